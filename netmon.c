// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-process network rates: loads the probes and writes a report at each tick of a grid
 * of the monotonic clock, until it has written as many as asked for, or a signal ends it.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "options.h"

enum { GRACE = 2000 }; /* milliseconds */

enum outcome { GO_ON, DONE, FAILED };

struct netmon {
	struct options options;
	struct probes *probes;
	struct history *history;
	struct report *report;
	struct text text;
	int timer;
	int signals;
	bool regular;         /* standard output is a file that never keeps a write waiting */
	__u64 missed;
};

static void failed(const char *verb, const char *object, int error)
{
	fprintf(stderr, "netmon: cannot %s '%s': %s\n", verb, object, strerror(error));
}

static __u64 now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (__u64)time.tv_sec * 1000000000 + (__u64)time.tv_nsec;
}

static void wake_up(int signal)
{
	(void)signal;
}

/* Signals that end netmon come through a descriptor, to the same poll as all else. */
static int open_signals(void)
{
	struct sigaction alarm = { .sa_handler = wake_up }; /* no SA_RESTART: it ends a write */
	sigset_t set;

	sigaction(SIGALRM, &alarm, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN); /* a write error instead */
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A grid that begins at `start`, nanoseconds of the monotonic clock. */
static int open_timer(__u64 start, __u64 interval)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct timespec first = { .tv_sec = (time_t)((start + interval) / 1000000000),
				  .tv_nsec = (long)((start + interval) % 1000000000) };
	struct timespec each = { .tv_sec = (time_t)(interval / 1000000000),
				 .tv_nsec = (long)(interval % 1000000000) };
	struct itimerspec grid = { .it_value = first, .it_interval = each };

	if (timer >= 0 && timerfd_settime(timer, TFD_TIMER_ABSTIME, &grid, NULL)) {
		close(timer);
		return -1;
	}
	return timer;
}

static void say_missed(struct netmon *netmon)
{
	__u64 missed = probes_missed(netmon->probes);

	if (missed > netmon->missed)
		fprintf(stderr, "netmon: cannot count %llu calls: the kernel skipped the probes\n",
			missed - netmon->missed);
	netmon->missed = missed;
}

/* Waits until standard output takes some bytes.  A signal that is to end netmon leaves a
 * stalled reader GRACE to take what there is. */
static enum outcome wait_for_output(struct netmon *netmon)
{
	struct pollfd wait[] = { { .fd = STDOUT_FILENO, .events = POLLOUT },
				 { .fd = netmon->signals, .events = POLLIN } };

	if (poll(wait, 2, -1) > 0 && !wait[0].revents && poll(wait, 1, GRACE) == 0) {
		fputs("netmon: cannot write 'standard output': its reader takes nothing: "
		      "the last report is lost\n", stderr);
		return FAILED;
	}
	return GO_ON; /* to a write, which tells what else there is */
}

/* A write that a stalled reader could block for ever.  A pipe takes PIPE_BUF bytes when it
 * is ready; a terminal, or a pipe with another writer, may take fewer: then the alarm ends
 * the write, for netmon to look at its signals. */
static ssize_t write_some(const char *bytes, size_t length)
{
	static const struct itimerval second = { .it_value.tv_sec = 1, .it_interval.tv_sec = 1 };
	static const struct itimerval never;
	ssize_t written;

	setitimer(ITIMER_REAL, &second, NULL);
	written = write(STDOUT_FILENO, bytes, length < PIPE_BUF ? length : PIPE_BUF);
	setitimer(ITIMER_REAL, &never, NULL);
	return written;
}

/* Writes the text whole. */
static enum outcome write_text(struct netmon *netmon)
{
	const struct text *text = &netmon->text;
	size_t written = 0;

	if (text->no_memory) {
		failed("write", "report", ENOMEM);
		return FAILED;
	}
	while (written < text->length) {
		const char *bytes = text->bytes + written;
		size_t length = text->length - written;
		enum outcome outcome = netmon->regular ? GO_ON : wait_for_output(netmon);
		ssize_t taken;

		if (outcome != GO_ON)
			return outcome;
		taken = netmon->regular ? write(STDOUT_FILENO, bytes, length)
					: write_some(bytes, length);
		if (taken >= 0)
			written += (size_t)taken;
		else if (errno == EPIPE)
			return DONE; /* the reader has had enough */
		else if (errno != EINTR && errno != EAGAIN) {
			failed("write", "standard output", errno);
			return FAILED;
		}
	}
	netmon->text.length = 0;
	return GO_ON;
}

static int add_entry(void *tick, const struct entry *entry)
{
	if (!tick_add(tick, entry))
		return 0;
	failed("read", "packet_stats", ENOMEM);
	return -1;
}

static enum outcome report(struct netmon *netmon)
{
	const struct options *options = &netmon->options;
	struct tick *tick = history_push(netmon->history);

	tick->clock = now(CLOCK_MONOTONIC);
	tick->time = now(CLOCK_REALTIME) / 1000000;
	if (probes_read(netmon->probes, add_entry, tick))
		return FAILED;
	tick_sort(tick);
	if (report_make(netmon->report, netmon->history)) {
		failed("make", "report", ENOMEM);
		return FAILED;
	}
	for (size_t i = 0; i < report_count(netmon->report); i++)
		format_row(&netmon->text, options->format, &options->view,
			   report_row(netmon->report, i));
	say_missed(netmon);
	return write_text(netmon);
}

/* Reports at each tick.  A tick that comes late takes those that it missed with it. */
static enum outcome run(struct netmon *netmon)
{
	struct pollfd wait[] = { { .fd = netmon->timer, .events = POLLIN },
				 { .fd = netmon->signals, .events = POLLIN },
				 { .fd = STDOUT_FILENO } }; /* its reader has gone, if it says anything */
	__u64 reports = 0;
	enum outcome outcome = GO_ON;

	while (outcome == GO_ON) {
		__u64 ticks;

		if (poll(wait, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			failed("poll", "timer", errno);
			return FAILED;
		}
		if (wait[2].revents & (POLLERR | POLLHUP))
			return DONE;
		if (wait[1].revents) {
			outcome = report(netmon);
			return outcome == GO_ON ? DONE : outcome;
		}
		if (read(netmon->timer, &ticks, sizeof(ticks)) != sizeof(ticks))
			continue;
		outcome = report(netmon);
		if (outcome == GO_ON && ++reports == netmon->options.count)
			return DONE;
	}
	return outcome;
}

/* Everything that netmon needs; it counts from the tick that begins the history. */
static int start(struct netmon *netmon)
{
	const struct options *options = &netmon->options;
	struct stat output;
	struct tick *tick;

	if (fstat(STDOUT_FILENO, &output)) {
		failed("write", "standard output", errno);
		return -1;
	}
	netmon->regular = S_ISREG(output.st_mode);
	netmon->signals = open_signals();
	netmon->history = history_new(options->view.window + 1);
	netmon->report = report_new(&options->view);
	if (netmon->signals < 0 || !netmon->history || !netmon->report) {
		failed("start", "netmon", errno);
		return -1;
	}
	netmon->probes = probes_open(&options->probes);
	if (!netmon->probes)
		return -1;
	tick = history_push(netmon->history);
	tick->clock = now(CLOCK_MONOTONIC);
	netmon->timer = open_timer(tick->clock, options->interval);
	if (netmon->timer < 0) {
		failed("set", "timer", errno);
		return -1;
	}
	if (options->probes.verbose)
		fputs("netmon: counting\n", stderr);
	return 0;
}

int main(int argc, char **argv)
{
	struct netmon netmon = { .timer = -1, .signals = -1 };
	enum outcome outcome = FAILED;

	options_parse(&netmon.options, argc, argv);
	if (start(&netmon))
		goto cleanup;
	if (netmon.options.header)
		format_header(&netmon.text, netmon.options.format, &netmon.options.view);
	outcome = write_text(&netmon);
	if (outcome == GO_ON)
		outcome = run(&netmon);
cleanup:
	probes_close(netmon.probes);
	report_free(netmon.report);
	history_free(netmon.history);
	text_free(&netmon.text);
	if (netmon.timer >= 0)
		close(netmon.timer);
	if (netmon.signals >= 0)
		close(netmon.signals);
	return outcome == DONE ? EXIT_SUCCESS : EXIT_FAILURE;
}
