// SPDX-License-Identifier: GPL-2.0-only
/*
 * netmon without a kernel: takes netmon's options, reads ticks from standard input and
 * writes what netmon would have written had its probes found them, through the same
 * history, report and format.  The first tick is netmon's start; each further one ends an
 * interval.  The clocks are the fixture's, so rates are exact.
 *
 * A fixture is text, one item a line:
 *
 *     # a comment; blank lines are skipped too
 *     tick CLOCK TIME           begins a tick: the monotonic clock in nanoseconds, the wall
 *                               clock in milliseconds since the epoch
 *     PID SINCE "COMM" RX_BYTES TX_BYTES RX_CALLS TX_CALLS
 *                               a process of that tick: when it came, and its counters since
 *                               the probes began to count; in COMM \xHH stands for any byte
 *
 * Exit status: as netmon's; 3 for a broken fixture, which is no result of netmon's.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"

enum { BROKEN_FIXTURE = 3 };

struct replay {
	struct options options;
	struct history *history;
	struct report *report;
	struct tick *tick;
	__u64 reports;
	unsigned long line;
};

__attribute__((noreturn)) static void broken(const struct replay *replay, const char *what)
{
	fprintf(stderr, "replay: line %lu: %s\n", replay->line, what);
	exit(BROKEN_FIXTURE);
}

static void *checked(void *pointer)
{
	if (!pointer) {
		perror("replay");
		exit(BROKEN_FIXTURE);
	}
	return pointer;
}

static __u64 read_number(const struct replay *replay, char **at)
{
	char *end;
	__u64 number;

	*at += strspn(*at, " ");
	if (!isdigit((unsigned char)**at))
		broken(replay, "not a number");
	errno = 0;
	number = strtoull(*at, &end, 10);
	if (errno)
		broken(replay, "number out of range");
	*at = end;
	return number;
}

static int hex_digit(const struct replay *replay, char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *digit = c ? strchr(digits, c) : NULL;

	if (!digit)
		broken(replay, "not two hexadecimal digits after \\x");
	return (int)(digit - digits);
}

static void read_comm(const struct replay *replay, char **at, char comm[COMM_LEN])
{
	char *p = *at + strspn(*at, " ");
	size_t length = 0;

	if (*p++ != '"')
		broken(replay, "no quote before the name");
	while (*p != '"') {
		int byte = (unsigned char)*p++;

		if (!byte || length == COMM_LEN)
			broken(replay, "a name that is too long or does not end");
		if (byte == '\\') {
			if (*p++ != 'x')
				broken(replay, "a backslash without x");
			byte = hex_digit(replay, *p++) << 4;
			byte |= hex_digit(replay, *p++);
		}
		comm[length++] = (char)byte;
	}
	*at = p + 1;
}

static void read_entry(struct replay *replay, char **at)
{
	struct entry entry = { 0 };

	if (!replay->tick)
		broken(replay, "a process before the first tick");
	entry.pid = (__u32)read_number(replay, at);
	entry.since = read_number(replay, at);
	read_comm(replay, at, entry.comm);
	entry.total.rx_bytes = read_number(replay, at);
	entry.total.tx_bytes = read_number(replay, at);
	entry.total.rx_calls = read_number(replay, at);
	entry.total.tx_calls = read_number(replay, at);
	if (tick_add(replay->tick, &entry))
		checked(NULL);
}

static void write_text(struct text *text)
{
	if (text->no_memory)
		checked(NULL);
	if (text->length)
		fwrite(text->bytes, 1, text->length, stdout);
	text_free(text);
}

/* Reports the tick that has been read; false where no more are asked for. */
static bool end_tick(struct replay *replay)
{
	const struct options *options = &replay->options;
	struct text text = { 0 };

	if (!replay->tick)
		return true;
	tick_sort(replay->tick);
	if (history_count(replay->history) < 2)
		return true;
	if (report_make(replay->report, replay->history))
		checked(NULL);
	for (size_t i = 0; i < report_count(replay->report); i++)
		format_row(&text, options->format, &options->view,
			   report_row(replay->report, i));
	write_text(&text);
	return ++replay->reports != options->count;
}

static void begin_tick(struct replay *replay, char **at)
{
	replay->tick = history_push(replay->history);
	replay->tick->clock = read_number(replay, at);
	replay->tick->time = read_number(replay, at);
}

static void read_fixture(struct replay *replay)
{
	char *line = NULL;
	size_t size = 0;
	bool more = true;

	while (more && getline(&line, &size, stdin) >= 0) {
		char *at = line;

		replay->line++;
		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (!strncmp(line, "tick ", 5)) {
			at += 5;
			more = end_tick(replay);
			if (more)
				begin_tick(replay, &at);
		} else {
			read_entry(replay, &at);
		}
		if (more && *at)
			broken(replay, "something after the last field");
	}
	if (more)
		end_tick(replay);
	free(line);
}

int main(int argc, char **argv)
{
	struct replay replay = { .line = 0 };
	struct options *options = &replay.options;
	struct text header = { 0 };

	options_parse(options, argc, argv);
	replay.history = checked(history_new(options->view.window + 1));
	replay.report = checked(report_new(&options->view));
	if (options->header)
		format_header(&header, options->format, &options->view);
	write_text(&header);
	read_fixture(&replay);
	report_free(replay.report);
	history_free(replay.history);
	if (fflush(stdout) || ferror(stdout)) {
		perror("replay");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
