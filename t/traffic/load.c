// SPDX-License-Identifier: GPL-2.0-only
/* Amounts and rates: bulk, steady, bursty, and many small datagrams. */
#define _GNU_SOURCE
#include <signal.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "traffic.h"

enum { BURST_MS = 200, PERIOD_MS = 1000, STEPS = 1000 /* a second */ };

/* up, down */

static void standard_up(int fd)
{
	send_even(fd, by_send, asked(options.bytes, 100000000), KIB_64);
}

void tcp_up(void)
{
	run_stream(&(struct stream){ .sender = "up-client", .receiver = "up-server",
				     .sending = standard_up, .receive = by_recv });
}

void tcp_down(void)
{
	run_stream(&(struct stream){ .sender = "down-server", .receiver = "down-client",
				     .sending = standard_up, .receive = by_recv, .reverse = true });
}

/* steady, bursty: each step sends what is due at its end */

static uint64_t steps_asked(void)
{
	return (uint64_t)(seconds_asked(1) * STEPS + 0.5);
}

/* rate * step / STEPS without overflow */
static uint64_t due_after(uint64_t rate, uint64_t step)
{
	return rate / STEPS * step + rate % STEPS * step / STEPS;
}

static uint64_t due_steadily(uint64_t rate, uint64_t step)
{
	return due_after(rate, step);
}

static uint64_t due_in_bursts(uint64_t rate, uint64_t step)
{
	uint64_t whole = step / PERIOD_MS * PERIOD_MS, into = step % PERIOD_MS;

	return due_after(rate, whole + at_most(into, BURST_MS) * PERIOD_MS / BURST_MS);
}

static double clock_of_day(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / (double)SECOND;
}

static FILE *sending_log;       /* NULL: none */

static ssize_t by_logged_send(int fd, size_t size)
{
	static uint64_t sum;
	double before = clock_of_day();
	ssize_t result = by_send(fd, size);

	sum += result > 0 ? (uint64_t)result : 0;
	if (sending_log)
		fprintf(sending_log, "%.6f %.6f %" PRIu64 "\n", before, clock_of_day(), sum);
	return result;
}

static volatile sig_atomic_t ended;     /* by SIGTERM; the account has what was sent until then */

static void end_early(int signal)
{
	(void)signal;
	ended = 1;
}

static void send_paced(int fd, uint64_t (*due)(uint64_t rate, uint64_t step))
{
	uint64_t rate = asked(options.rate, 1000000), done = 0;
	struct pace pace;

	if (*options.log && !(sending_log = fopen(options.log, "we")))
		cannot("open", options.log);
	signal(SIGTERM, end_early);
	pace_start(&pace, SECOND / STEPS);
	for (uint64_t step = 1, steps = steps_asked(); step <= steps && !ended; step++) {
		uint64_t target = due(rate, step);

		pace_step(&pace);
		send_even(fd, by_logged_send, target - done, KIB_64);
		done = target;
	}
	if (sending_log && fclose(sending_log))
		cannot("write to", options.log);
}

static void send_steadily(int fd)
{
	send_paced(fd, due_steadily);
}

static void send_in_bursts(int fd)
{
	send_paced(fd, due_in_bursts);
}

void load_steady(void)
{
	run_stream(&(struct stream){ .sender = "steady-send", .receiver = "steady-recv",
				     .sending = send_steadily, .receive = by_recv });
}

void load_bursty(void)
{
	run_stream(&(struct stream){ .sender = "bursty-send", .receiver = "bursty-recv",
				     .sending = send_in_bursts, .receive = by_recv });
}

/* bulk: each sender has its own receiver */

static size_t connections_asked(size_t otherwise)
{
	return (size_t)asked(options.connections, otherwise);
}

static void bulk_send(void *listener)
{
	size_t count = connections_asked(2);
	int *fds = calloc(count, sizeof(*fds));
	uint64_t end;

	if (!fds)
		cannot("make room for", "the connections");
	for (size_t i = 0; i < count; i++)
		fds[i] = connected(*(int *)listener);
	end = now() + (uint64_t)(seconds_asked(1) * (double)SECOND);
	while (now() < end)
		for (size_t i = 0; i < count; i++)
			must(by_send(fds[i], KIB_64), "send to", "a socket");
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
}

/* Receives from all connections until each has ended. */
static void receive_from_each(struct pollfd *fds, size_t count)
{
	size_t open = count;

	while (open) {
		must(poll(fds, count, -1), "wait for", "the connections");
		for (size_t i = 0; i < count; i++) {
			if (!fds[i].revents || must(by_recv(fds[i].fd, KIB_64), "receive from",
						    "a socket"))
				continue;
			close(fds[i].fd);
			fds[i].fd = -1;
			open--;
		}
	}
}

static void bulk_receive(void *listener)
{
	size_t count = connections_asked(2);
	struct pollfd *fds = calloc(count, sizeof(*fds));

	if (!fds)
		cannot("make room for", "the connections");
	for (size_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = accepted(*(int *)listener), .events = POLLIN };
	receive_from_each(fds, count);
	free(fds);
}

void load_bulk(void)
{
	many_files();
	for (size_t i = 0; i < asked(options.processes, 2); i++) {
		int listener = listening(0, "TCP");

		start("bulk-recv", bulk_receive, &listener);
		start("bulk-send", bulk_send, &listener);
		close(listener);
	}
}

/* flood */

static void send_flood(int fd)
{
	uint64_t rate = asked(options.count, 60000), done = 0;
	size_t size = (size_t)asked(options.bytes, 20);
	struct pace pace;

	pace_start(&pace, SECOND / STEPS);
	for (uint64_t step = 1, steps = steps_asked(); step <= steps; step++) {
		pace_step(&pace);
		for (uint64_t due = due_after(rate, step); done < due; done++)
			must(by_send(fd, size), "send to", "a socket");
	}
}

void load_flood(void)
{
	run_datagrams(&(struct datagrams){ .sender = "flood-send", .receiver = "flood-recv",
					   .connect = true, .sending = send_flood,
					   .receive = by_recv_now });
}
