// SPDX-License-Identifier: GPL-2.0-only
/* Which process the traffic is charged to: processes start, end, and change while they send. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "traffic.h"

static uint64_t first_half(void)
{
	return bytes_asked() / 2;
}

static uint64_t second_half(void)
{
	return bytes_asked() - first_half();
}

/* A receiver for many senders. */
struct sink {
	int receiver;
	int over;                /* a gate, opened when all have sent */
	int sent;                /* a gate, opened by each sender when it has sent */
	uint64_t count;          /* of senders */
};

static void udp_sink(void *context)
{
	const struct sink *sink = context;

	receive_until(sink->receiver, sink->over, by_recv_now);
}

static void tcp_sink(void *context)
{
	const struct sink *sink = context;

	for (uint64_t i = sink->count; i; i--) {
		int fd = accepted(sink->receiver);

		receive_all(fd, by_recv);
		close(fd);
	}
}

/* rename */

static void send_under_two_names(int fd)
{
	send_all(fd, by_send, first_half(), STANDARD_MOST);
	take_name("name-after");
	send_all(fd, by_send, second_half(), STANDARD_MOST);
}

void life_rename(void)
{
	run_stream(&(struct stream){ .sender = "name-before", .receiver = "rename-recv",
				     .sending = send_under_two_names, .receive = by_recv });
}

/* exec: the process's new name is the program's file name */

static void send_and_exec(int fd)
{
	char path[PATH_MAX] = "", texts[3][16];
	unsigned index;
	int memory;

	send_all(fd, by_send, first_half(), STANDARD_MOST);
	process_id(&memory, &index);
	must(readlink("/proc/self/exe", path, sizeof(path) - 1), "read", "/proc/self/exe");
	snprintf(texts[0], sizeof(texts[0]), "%d", memory);
	snprintf(texts[1], sizeof(texts[1]), "%u", index);
	snprintf(texts[2], sizeof(texts[2]), "%d", fd);
	execl(path, path, "--after-exec", texts[0], texts[1], texts[2], (char *)NULL);
	cannot("execute", path);
}

void after_exec(char *const arguments[])
{
	int fd = atoi(arguments[2]);

	continue_process(atoi(arguments[0]), (unsigned)atoi(arguments[1]));
	send_all(fd, by_send, second_half(), STANDARD_MOST);
	shutdown(fd, SHUT_WR);
	finish();
}

void life_exec(void)
{
	run_stream(&(struct stream){ .sender = "before-exec", .receiver = "exec-recv",
				     .sending = send_and_exec, .receive = by_recv });
}

/* threads */

enum { THREADS = 8, MOST_THREADS = 256 };

struct thread {
	pthread_t id;
	unsigned number;
	int listener;
};

static void name_thread(const char *prefix, unsigned number)
{
	char name[16];

	snprintf(name, sizeof(name), "%s-%u", prefix, number);
	must(prctl(PR_SET_NAME, name), "set", "the name of a thread");
}

static unsigned threads_asked(void)
{
	return (unsigned)at_most(asked(options.connections, THREADS), MOST_THREADS);
}

static uint64_t share_of(unsigned thread)
{
	unsigned count = threads_asked();

	return bytes_asked() * (thread + 1) / count - bytes_asked() * thread / count;
}

static void *sending_thread(void *context)
{
	const struct thread *thread = context;
	int fd = connected(thread->listener);

	name_thread("sender", thread->number);
	send_all(fd, by_send, share_of(thread->number), STANDARD_MOST);
	shutdown(fd, SHUT_WR);
	close(fd);
	return NULL;
}

static void *receiving_thread(void *context)
{
	const struct thread *thread = context;
	int fd = accepted(thread->listener);

	name_thread("receiver", thread->number);
	receive_all(fd, by_recv);
	close(fd);
	return NULL;
}

static void run_threads(int listener, void *(*run)(void *))
{
	struct thread threads[MOST_THREADS];
	unsigned count = threads_asked();

	for (unsigned i = 0; i < count; i++) {
		threads[i] = (struct thread){ .number = i, .listener = listener };
		if (pthread_create(&threads[i].id, NULL, run, &threads[i]))
			cannot_because("start", "a thread", "no resources");
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i].id, NULL);
}

static void threads_send(void *listener)
{
	run_threads(*(int *)listener, sending_thread);
}

static void threads_receive(void *listener)
{
	run_threads(*(int *)listener, receiving_thread);
}

void life_threads(void)
{
	int listener = listening(0, "TCP");

	start("thread-recv", threads_receive, &listener);
	start("thread-send", threads_send, &listener);
}

/* before: both ends are connected before the line is read */

static int both_ready, go;

static void wait_to_go(int fd)
{
	(void)fd;
	no_limit();
	gate_open(both_ready);
	gate_wait(go);
	limit_time();
}

static void wait_for_line(void)
{
	char character;

	no_limit();
	while (read(STDIN_FILENO, &character, 1) == 1 && character != '\n')
		;
	limit_time();
}

void life_before(void)
{
	both_ready = gate_new();
	go = gate_new();
	run_stream(&(struct stream){ .sender = "before-send", .receiver = "before-recv",
				     .ready = wait_to_go, .send = by_send, .receive = by_recv });
	first_wait(both_ready, 2);
	pids_print();
	wait_for_line();
	gate_open(go);
}

/* short: many processes, each for a few milliseconds */

enum { SHORT_PROCESSES = 500, AT_ONCE = 50, LIFE_MS = 2, SHORT_BYTES = 100 };

static void short_send(void *context)
{
	const struct sink *sink = context;
	int fd = connected(sink->receiver);

	send_even(fd, by_send, asked(options.bytes, SHORT_BYTES), KIB_64 / 2);
	shutdown(fd, SHUT_WR);
	gate_open(sink->sent);
	sleep_until(now() + LIFE_MS * MILLISECOND);
}

/* At most AT_ONCE at a time, except with --linger. */
static void run_short(struct sink *sink)
{
	for (uint64_t i = 0; i < sink->count; i++) {
		if (i >= AT_ONCE && !options.linger)
			must(wait(NULL), "wait for", "a process");
		start("short", short_send, sink);
	}
	first_wait(sink->sent, sink->count);
}

void life_short(void)
{
	struct sink sink = { datagram_receiver(), gate_new(), gate_new(),
			     asked(options.processes, SHORT_PROCESSES) };

	start("short-sink", udp_sink, &sink);
	run_short(&sink);
	gate_open(sink.over);
}

void life_short_tcp(void)
{
	struct sink sink = { listening(0, "TCP"), gate_new(), gate_new(),
			     asked(options.processes, SHORT_PROCESSES) };

	start("short-sink", tcp_sink, &sink);
	run_short(&sink);
}

/* churn: as many processes as possible, one after the other, to fill tables with ended processes.
 * They share their parent's memory (vfork), and only the receiver has an account. */

static void churn(void *context)
{
	const struct sink *sink = context;
	int fd = connected(sink->receiver);

	no_limit();
	for (uint64_t i = 0; i < sink->count; i++) {
		pid_t pid = (pid_t)must(vfork(), "start", "a process");

		if (!pid)
			_exit(send(fd, buffer, SHORT_BYTES, 0) != SHORT_BYTES);
		must(waitpid(pid, NULL, 0), "wait for", "a process");
	}
	gate_open(sink->over);
	withdraw();
}

static void churn_sink(void *context)
{
	no_limit();
	udp_sink(context);
}

void life_churn(void)
{
	struct sink sink = { datagram_receiver(), gate_new(), gate_new(),
			     asked(options.processes, SHORT_PROCESSES) };

	no_limit();
	start("churn-sink", churn_sink, &sink);
	start("churn", churn, &sink);
}

/* fork: two processes send on one connection */

struct shared_fd {
	int fd;
	int gate;
};

static void send_second_half(void *context)
{
	const struct shared_fd *shared = context;

	send_all(shared->fd, by_send, second_half(), STANDARD_MOST);
	gate_open(shared->gate);
}

static void send_with_child(int fd)
{
	struct shared_fd shared = { fd, gate_new() };

	start("fork-child", send_second_half, &shared);
	send_all(fd, by_send, first_half(), STANDARD_MOST);
	gate_wait(shared.gate);
}

void life_fork(void)
{
	run_stream(&(struct stream){ .sender = "fork-parent", .receiver = "fork-recv",
				     .sending = send_with_child, .receive = by_recv });
}

/* fork-then: first the process sends, then its child */

static int childs_turn;

static void wait_and_send_second_half(void *context)
{
	gate_wait(childs_turn);
	send_second_half(context);
}

static void send_then_child(int fd)
{
	struct shared_fd shared = { fd, gate_new() };

	childs_turn = gate_new();
	start("fork-child", wait_and_send_second_half, &shared);
	send_all(fd, by_send, first_half(), STANDARD_MOST);
	gate_open(childs_turn);
	gate_wait(shared.gate);
}

void life_fork_then(void)
{
	run_stream(&(struct stream){ .sender = "fork-parent", .receiver = "fork-recv",
				     .sending = send_then_child, .receive = by_recv });
}

/* fd-pass: the connection goes to another process by SCM_RIGHTS */

union rights {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static int passage[2], taken;

static void send_and_pass(int fd)
{
	union rights rights = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec part = { buffer, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights,
				  .msg_controllen = sizeof(rights) };

	send_all(fd, by_send, first_half(), STANDARD_MOST);
	memcpy(CMSG_DATA(&rights.header), &fd, sizeof(fd));
	must(sendmsg(passage[0], &message, 0), "pass", "a socket");
	gate_wait(taken);
}

static void take_and_send(void *context)
{
	union rights rights;
	struct iovec part = { buffer, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights,
				  .msg_controllen = sizeof(rights) };
	int fd;

	(void)context;
	must(recvmsg(passage[1], &message, 0), "take", "a socket");
	if (!CMSG_FIRSTHDR(&message))
		cannot_because("take", "a socket", "there is none in the message");
	memcpy(&fd, CMSG_DATA(&rights.header), sizeof(fd));
	send_all(fd, by_send, second_half(), STANDARD_MOST);
	gate_open(taken);
}

void life_fd_pass(void)
{
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, passage), "open", "a Unix socket");
	taken = gate_new();
	start("fd-taker", take_and_send, NULL);
	run_stream(&(struct stream){ .sender = "fd-passer", .receiver = "fd-recv",
				     .sending = send_and_pass, .receive = by_recv });
}

/* prefork: workers that accept on one listening socket, and answer */

enum { ANSWER = 4099 };

static void serve(int fd)
{
	receive_all(fd, by_recv);
	send_all(fd, by_send, ANSWER, STANDARD_MOST);
	close(fd);
}

static void work(void *context)
{
	const struct sink *sink = context;
	struct pollfd fds[] = { { .fd = sink->receiver, .events = POLLIN },
				{ .fd = sink->over, .events = POLLIN } };

	while (must(poll(fds, 2, -1), "wait for", "a connection") && !fds[1].revents) {
		int fd = accept(sink->receiver, NULL, NULL);

		if (fd >= 0)
			serve(fd);
		else if (errno != EAGAIN)
			cannot("accept", "a connection");
	}
}

static void ask_workers(void *context)
{
	const struct sink *sink = context;

	for (uint64_t i = asked(options.connections, 64); i; i--) {
		int fd = connected(sink->receiver);

		send_all(fd, by_send, asked(options.bytes, STANDARD_MOST), STANDARD_MOST);
		shutdown(fd, SHUT_WR);
		receive_all(fd, by_recv);
		close(fd);
	}
	gate_open(sink->over);
}

void life_prefork(void)
{
	struct sink sink = { .receiver = listening(0, "TCP"), .over = gate_new() };

	must(fcntl(sink.receiver, F_SETFL, O_NONBLOCK), "set", "a socket to non-blocking");
	for (uint64_t i = asked(options.processes, 4); i; i--)
		start("pre-worker", work, &sink);
	start("pre-client", ask_workers, &sink);
}

/* reuse: two processes with the same pid, one after the other */

enum { TRIES = 1000 };

static pid_t wanted;

static void live(void *context)
{
	const struct sink *sink = context;
	int fd = connected(sink->receiver);

	send_all(fd, by_send, asked(options.bytes, STANDARD_MOST), STANDARD_MOST);
	shutdown(fd, SHUT_WR);
	gate_open(sink->sent);
}

static void first_life(void *context)
{
	never_linger();
	live(context);
}

static void second_life(void *context)
{
	if (getpid() != wanted)
		withdraw();
	live(context);
}

static bool start_second_life(struct sink *sink)
{
	char text[16];
	pid_t pid;

	snprintf(text, sizeof(text), "%d", (int)wanted - 1);
	write_setting("/proc/sys/kernel/ns_last_pid", text, "ns_last_pid");
	pid = start("reuse-later", second_life, sink);
	if (pid == wanted)
		return true;
	must(waitpid(pid, NULL, 0), "wait for", "a process");
	return false;
}

void life_reuse(void)
{
	struct sink sink = { listening(0, "TCP"), gate_new(), gate_new(), 2 };
	int tries = 0;

	start("reuse-sink", tcp_sink, &sink);
	wanted = start("reuse-first", first_life, &sink);
	must(waitpid(wanted, NULL, 0), "wait for", "a process");
	while (!start_second_life(&sink))
		if (++tries == TRIES)
			cannot_because("start", "a process with the same pid", "others take it");
}

/* netns: the sender is alone in a pid namespace, both ends are in a network namespace */

void life_netns(void)
{
	own_network();
	run_stream(&(struct stream){ .sender = "netns-send", .receiver = "netns-recv",
				     .send = by_send, .receive = by_recv, .own_pids = true });
}
