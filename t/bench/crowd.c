// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many processes or sockets that send a byte each: many rows for netmon.
 *
 *     crowd KIND COUNT
 *
 *     processes    COUNT processes that stay alive
 *     short        COUNT new processes in each round, one after the other
 *     users        the same, each with its own user id
 *     sockets      COUNT connected sockets of one process
 *     peers        COUNT peers of one socket
 *
 * Each line on standard input starts a round, in which each of them sends one datagram.  The
 * answer is a line with the nanoseconds per datagram: CPU time of this process or, of live processes, the
 * median, which leaves out the switches from one process to the next.
 */
#include <arpa/inet.h>
#include <linux/futex.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

enum { FIRST_USER = 1000000, STACK = 16 << 10, SHARED = CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD };

static long count;
static int sink;                  /* never read, so its buffer is full after the first datagrams */
static struct sockaddr_in where;  /* the address of `sink` */
static int *sockets;
static unsigned round_number, done;
static double *taken;             /* nanoseconds of each live process for its datagram */

static void wait_while(unsigned *word, unsigned value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void wake(unsigned *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int udp_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	must(fd >= 0, "crowd: socket");
	return fd;
}

static void send_to(int fd, struct sockaddr_in to)
{
	sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof(to));
}

/* The processes share all memory, so that ten thousand fit; each needs its own stack. */
static char *stack(void)
{
	char *bottom = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(bottom != MAP_FAILED, "crowd: stack");
	return bottom + STACK;
}

static int live(void *own)
{
	double *took = own;
	unsigned seen = 0;

	for (;;) {
		double start;

		wait_while(&round_number, seen++);
		start = now();
		send_to(*sockets, where);
		*took = now() - start;
		if (__atomic_add_fetch(&done, 1, __ATOMIC_ACQ_REL) == (unsigned)count)
			wake(&done);
	}
	return 0;
}

static void start_all(void)
{
	taken = calloc((size_t)count, sizeof(*taken));
	must(taken != NULL, "crowd: memory");
	for (long i = 0; i < count; i++)
		must(clone(live, stack(), SHARED, &taken[i]) > 0, "crowd: start a process");
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median_taken(void)
{
	qsort(taken, (size_t)count, sizeof(*taken), compare);
	return taken[count / 2];
}

static void all_send(void)
{
	done = 0;
	__atomic_add_fetch(&round_number, 1, __ATOMIC_ACQ_REL);
	wake(&round_number);
	for (unsigned seen; (seen = __atomic_load_n(&done, __ATOMIC_ACQUIRE)) < (unsigned)count;)
		wait_while(&done, seen);
}

/* The bare system call: setuid(3) would change the other processes too, which it takes for threads. */
static int send_and_end(void *user)
{
	if (user)
		must(!syscall(SYS_setuid, (long)(uintptr_t)user), "crowd: setuid");
	send_to(*sockets, where);
	_exit(EXIT_SUCCESS);
}

static void start_short_ones(long user)
{
	static char *top;

	if (!top)
		top = stack();
	signal(SIGCHLD, SIG_IGN);
	for (long i = 0; i < count; i++)
		must(clone(send_and_end, top, SHARED | CLONE_VFORK, user ? (void *)(user + i) : NULL) > 0,
		     "crowd: start a process");
}

static void short_ones_send(void)
{
	start_short_ones(0);
}

static void users_send(void)
{
	start_short_ones(FIRST_USER);
}

/* Each program has its own address: one address has too few ports for several crowds. */
static void open_sockets(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET };

	own.sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffffffU) | (uint32_t)ntohs(where.sin_port) << 8 | 1);
	for (long i = 0; i < count; i++) {
		sockets[i] = udp_socket();
		must(!bind(sockets[i], (struct sockaddr *)&own, sizeof(own)), "crowd: bind");
		must(!connect(sockets[i], (struct sockaddr *)&where, sizeof(where)), "crowd: connect");
	}
}

static void sockets_send(void)
{
	for (long i = 0; i < count; i++)
		send(sockets[i], "", 1, 0);
}

static void send_to_peers(void)
{
	struct sockaddr_in to = where;

	for (long i = 0; i < count; i++) {
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)i);
		send_to(*sockets, to);
	}
}

static const struct kind {
	const char *name;
	void (*prepare)(void);
	void (*round)(void);
} kinds[] = {
	{ "processes", start_all, all_send },
	{ "short", NULL, short_ones_send },
	{ "users", NULL, users_send },
	{ "sockets", open_sockets, sockets_send },
	{ "peers", NULL, send_to_peers },
	{ 0 },
};

static const struct kind *find(const char *name)
{
	const struct kind *kind = kinds;

	while (kind->name && strcmp(kind->name, name))
		kind++;
	return kind;
}

static void prepare(void)
{
	socklen_t size = sizeof(where);
	struct rlimit files;
	int little = 1;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sink = udp_socket();
	setsockopt(sink, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	where = (struct sockaddr_in){ .sin_family = AF_INET };
	must(!bind(sink, (struct sockaddr *)&where, size), "crowd: bind");
	getsockname(sink, (struct sockaddr *)&where, &size);
	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sockets = calloc((size_t)count + 1, sizeof(*sockets));
	must(sockets != NULL, "crowd: memory");
	*sockets = udp_socket();
}

/* SIGTERM goes to the whole process group.  What is left to process 1 keeps its pid until that has time. */
static void end(int signal)
{
	(void)signal;
	while (wait(NULL) > 0)
		;
	_exit(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
	const struct kind *kind = argc == 3 ? find(argv[1]) : NULL;
	char line[64];

	count = argc == 3 ? atol(argv[2]) : 0;
	if (count < 1 || !kind->name)
		return EXIT_FAILURE;
	prepare();
	signal(SIGTERM, end);
	if (kind->prepare)
		kind->prepare();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		double start = cpu_time();

		kind->round();
		printf("%.1f\n", taken ? median_taken() : (cpu_time() - start) / (double)count);
		fflush(stdout);
	}
	kill(0, SIGTERM); /* the process group */
	return EXIT_SUCCESS;
}
