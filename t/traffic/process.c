// SPDX-License-Identifier: GPL-2.0-only
/* The processes of a case: how they start and end, their accounts, their failures. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "traffic.h"

enum { MAX_ACCOUNTS = 1 << 18, TIME_LIMIT = 600, NOT_ON_THIS_KERNEL = 77 };

struct account {
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t rx_calls;
	uint64_t tx_calls;
	pid_t pid;
	bool rx_in_parts;        /* the number of calls is not known */
	bool tx_in_parts;
	bool done;
	bool withdrawn;          /* not to be printed */
	char comm[16];
};

/*
 * Each process holds the writing end of the pipe `news` until it is done: the end of file says
 * that all are done, and a byte is the exit status of a process that failed.  Nothing is written
 * to the pipe `hold`; its end of file ends the lingering processes.
 */
static struct shared {
	struct options options;
	int news[2];
	int hold[2];
	bool failed;             /* a message was written already */
	char tag[4];             /* of this run */
	unsigned count;
	struct account accounts[MAX_ACCOUNTS];
} *shared;

static int memory = -1;             /* the descriptor of `shared` */
static struct account *self;        /* NULL in the first process */

struct options options;
char buffer[BUFFER_SIZE] __attribute__((aligned(4096)));

/* Failures */

/* Only the first failure has a message: later ones are its consequences. */
static bool first_to_fail(void)
{
	if (!shared || !__atomic_exchange_n(&shared->failed, true, __ATOMIC_SEQ_CST))
		return true;
	usleep(200000); /* the end of this process could end the first before it has written */
	return false;
}

static void __attribute__((noreturn)) give_up(int status)
{
	char byte = (char)status;

	if (self && write(shared->news[1], &byte, 1) < 0)
		status = EXIT_FAILURE;
	_exit(status);
}

void cannot_because(const char *verb, const char *object, const char *reason)
{
	if (first_to_fail())
		fprintf(stderr, "traffic: cannot %s %s: %s\n", verb, object, reason);
	give_up(EXIT_FAILURE);
}

void cannot(const char *verb, const char *object)
{
	cannot_because(verb, object, strerror(errno));
}

void missing(const char *feature)
{
	if (first_to_fail()) {
		printf("not on this kernel: %s\n", feature);
		fflush(stdout);
	}
	give_up(NOT_ON_THIS_KERNEL);
}

ssize_t must(ssize_t result, const char *verb, const char *object)
{
	if (result < 0)
		cannot(verb, object);
	return result;
}

ssize_t needs(ssize_t result, const char *verb, const char *feature)
{
	if (result >= 0)
		return result;
	switch (errno) {
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENOSYS:
	case EPROTONOSUPPORT:
	case ESOCKTNOSUPPORT:
	case EPFNOSUPPORT:
	case EAFNOSUPPORT:
		missing(feature);
	}
	cannot(verb, feature);
}

static void too_late(int signal)
{
	static const char message[] = "traffic: cannot finish the case: it takes too long\n";

	(void)signal;
	if (first_to_fail() && write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		_exit(EXIT_FAILURE);
	give_up(EXIT_FAILURE);
}

void limit_time(void)
{
	signal(SIGALRM, too_late);
	alarm(TIME_LIMIT + (unsigned)options.seconds);
}

void no_limit(void)
{
	alarm(0);
}

/* The life of a process */

static void map_memory(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (shared == MAP_FAILED) {
		shared = NULL;
		cannot("map", "the accounts");
	}
}

/* Three characters at random. */
static void make_tag(void)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	unsigned number;

	must(getrandom(&number, sizeof(number), 0), "get", "a random number");
	for (int i = 0; i < 3; i++, number /= sizeof(digits) - 1)
		shared->tag[i] = digits[number % (sizeof(digits) - 1)];
}

/* A file in memory, not an anonymous mapping, which exec would drop. */
void processes_open(void)
{
	memory = (int)must(memfd_create("accounts", 0), "create", "memory for the accounts");
	must(ftruncate(memory, sizeof(*shared)), "create", "memory for the accounts");
	map_memory();
	shared->options = options;
	make_tag();
	must(pipe(shared->news), "create", "a pipe");
	must(pipe(shared->hold), "create", "a pipe");
	signal(SIGPIPE, SIG_IGN);
	limit_time();
}

void take_name(const char *name)
{
	char tagged[16];

	if (snprintf(tagged, sizeof(tagged), "%s.%s", name, shared->tag) >= (int)sizeof(tagged))
		cannot_because("take", name, "the name is too long");
	must(prctl(PR_SET_NAME, tagged), "set", "the name of a process");
}

static void become(struct account *account, const char *name)
{
	if (!self) {                     /* only children of the first process have these ends */
		close(shared->news[0]);
		close(shared->hold[1]);
	}
	self = account;
	/* end with the first process, however it ends */
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "ask for", "a signal when the parent ends");
	take_name(name);
	limit_time();
}

static struct account *new_account(void)
{
	unsigned index = __atomic_fetch_add(&shared->count, 1, __ATOMIC_SEQ_CST);

	if (index >= MAX_ACCOUNTS)
		cannot_because("start", "a process", "there are too many");
	return &shared->accounts[index];
}

pid_t start(const char *name, void (*run)(void *), void *context)
{
	struct account *account = new_account();
	pid_t pid = (pid_t)must(fork(), "start", "a process");

	if (!pid) {
		become(account, name);
		run(context);
		finish();
	}
	account->pid = pid;
	return pid;
}

void process_id(int *descriptor, unsigned *index)
{
	*descriptor = memory;
	*index = (unsigned)(self - shared->accounts);
}

void continue_process(int descriptor, unsigned index)
{
	memory = descriptor;
	map_memory();
	self = &shared->accounts[index];
	options = shared->options;
	limit_time();
}

void never_linger(void)
{
	options.linger = false;
}

void withdraw(void)
{
	self->withdrawn = true;
	never_linger();
	finish();
}

void finish(void)
{
	char byte;

	must(prctl(PR_GET_NAME, self->comm), "get", "the name of a process");
	__atomic_store_n(&self->done, true, __ATOMIC_RELEASE);
	no_limit();
	close(shared->news[1]);
	if (options.linger)
		while (read(shared->hold[0], &byte, 1) < 0 && errno == EINTR)
			;
	while (wait(NULL) > 0 || errno == EINTR)
		;
	_exit(EXIT_SUCCESS);
}

/* Ends with the status of a process that failed; returns when all have ended. */
static void read_news(void)
{
	char status;
	ssize_t size;

	do
		size = read(shared->news[0], &status, 1);
	while (size < 0 && errno == EINTR);
	if (must(size, "wait for", "the processes"))
		_exit(status);
}

void processes_wait(const char *what)
{
	close(shared->news[1]);
	read_news();
	for (unsigned i = 0; i < shared->count; i++)
		if (!__atomic_load_n(&shared->accounts[i].done, __ATOMIC_ACQUIRE))
			cannot_because("finish", what, "a process died");
	if (!options.linger)
		processes_release();
}

void first_wait(int gate, uint64_t count)
{
	struct pollfd fds[] = { { .fd = gate, .events = POLLIN },
				{ .fd = shared->news[0], .events = POLLIN } };
	eventfd_t more;

	for (; count; count -= more) {
		while (poll(fds, 2, -1) < 0)
			if (errno != EINTR)
				cannot("wait for", "the processes");
		if (fds[1].revents)
			read_news();
		must(eventfd_read(gate, &more), "wait for", "the processes");
	}
}

void processes_release(void)
{
	if (shared->hold[1] >= 0)
		close(shared->hold[1]);
	shared->hold[1] = -1;
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

/* Accounts */

static ssize_t add(uint64_t *bytes, uint64_t *calls, ssize_t result)
{
	if (result > 0) {
		__atomic_fetch_add(bytes, (uint64_t)result, __ATOMIC_RELAXED);
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
	return result;
}

ssize_t sent(ssize_t result)
{
	return add(&self->tx_bytes, &self->tx_calls, result);
}

ssize_t received(ssize_t result)
{
	return add(&self->rx_bytes, &self->rx_calls, result);
}

ssize_t sent_in_parts(ssize_t result)
{
	self->tx_in_parts = true;
	return sent(result);
}

static ssize_t add_messages(const struct mmsghdr *messages, int count, ssize_t (*add_one)(ssize_t))
{
	ssize_t sum = 0;

	if (count < 0)
		return -1;
	for (int i = 0; i < count; i++)
		sum += add_one(messages[i].msg_len);
	return sum;
}

ssize_t sent_messages(const struct mmsghdr *messages, int count)
{
	return add_messages(messages, count, sent);
}

ssize_t received_messages(const struct mmsghdr *messages, int count)
{
	return add_messages(messages, count, received);
}

void account_of_peer(pid_t pid, const char *name)
{
	struct account *account = new_account();

	account->pid = pid;
	strcpy(account->comm, name);
	account->rx_bytes = self->tx_bytes;
	account->tx_bytes = self->rx_bytes;
	account->rx_in_parts = account->tx_in_parts = true;
	__atomic_store_n(&account->done, true, __ATOMIC_RELEASE);
}

static void print_calls(uint64_t calls, bool in_parts)
{
	if (in_parts)
		printf("\t-");
	else
		printf("\t%" PRIu64, calls);
}

static void print(const struct account *account)
{
	printf("%d\t%s\t%" PRIu64 "\t%" PRIu64, (int)account->pid, account->comm,
	       account->rx_bytes, account->tx_bytes);
	print_calls(account->rx_calls, account->rx_in_parts);
	print_calls(account->tx_calls, account->tx_in_parts);
	putchar('\n');
}

void pids_print(void)
{
	for (unsigned i = 0; i < shared->count; i++)
		printf("%d\n", (int)shared->accounts[i].pid);
	if (fflush(stdout))
		cannot("write", "the pids");
}

bool accounts_print(enum agreement agreement)
{
	uint64_t rx = 0, tx = 0;

	for (unsigned i = 0; i < shared->count; i++) {
		if (!shared->accounts[i].withdrawn)
			print(&shared->accounts[i]);
		rx += shared->accounts[i].rx_bytes;
		tx += shared->accounts[i].tx_bytes;
	}
	if (fflush(stdout) || ferror(stdout))
		cannot("write", "the account");
	if (agreement == FREE || rx == tx || (agreement == NOT_MORE && rx < tx))
		return true;
	fprintf(stderr, "traffic: cannot balance the account: %" PRIu64 " bytes received, %" PRIu64
		" sent\n", rx, tx);
	return false;
}

/* Gates and the clock */

int gate_new(void)
{
	return (int)must(eventfd(0, 0), "create", "an event descriptor");
}

void gate_open(int gate)
{
	must(eventfd_write(gate, 1), "write to", "an event descriptor");
}

void gate_wait(int gate)
{
	struct pollfd fd = { .fd = gate, .events = POLLIN };

	while (poll(&fd, 1, -1) < 0)
		if (errno != EINTR)
			cannot("wait for", "an event descriptor");
}

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

void sleep_until(uint64_t time)
{
	struct timespec until = { .tv_sec = (time_t)(time / SECOND),
				  .tv_nsec = (long)(time % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

void pace_start(struct pace *pace, uint64_t step)
{
	pace->next = now();
	pace->step = step;
}

void pace_step(struct pace *pace)
{
	pace->next += pace->step;
	sleep_until(pace->next);
}

/* Sizes */

size_t at_most(uint64_t left, size_t most)
{
	return left < most ? (size_t)left : most;
}

size_t odd_size(unsigned number, size_t most)
{
	return 1 + (number * UINT64_C(7919) + 4242) % most;
}
