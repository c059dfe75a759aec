// SPDX-License-Identifier: GPL-2.0-only
/*
 * netmon without a kernel: takes netmon's options, reads ticks from standard input, and writes
 * the same output as netmon would, by its own code for history, reports and formats.  The first
 * tick is netmon's start; each further one ends an interval.  The fixture sets the clocks, so rates
 * are exact.
 *
 * A fixture is text, one item a line:
 *
 *     # a comment; blank lines are skipped too
 *     tick CLOCK TIME           begins a tick: the monotonic clock in nanoseconds, the wall
 *                               clock in milliseconds since the epoch
 *     PID SINCE "COMM" RX_BYTES TX_BYTES RX_CALLS TX_CALLS [NAME=VALUE]...
 *                               an entry of that tick: its process, the start of that, and its
 *                               counters since the probes began to count; in COMM, \xHH
 *                               is a byte.  NAME is another part of the key: ppid, proto (a
 *                               number), uid, netns, laddr, lport, raddr, rport, iface
 *                               (as COMM); or a looked-up name: user, cgroup, cmd (as
 *                               COMM); or tx_retrans, or ended
 *
 * The environment variable WIDTH sets the width of the terminal, for tables.
 *
 * If COST is set, writes the CPU time of each report to standard error: of its text, and in total.
 *
 * The exit status is netmon's, or 3 for a broken fixture.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "options.h"
#include "unit.h"

enum { BROKEN_FIXTURE = 3 };

/* What identifies an entry, and what its numbers stand for. */
struct known {
	struct netmon_entry entry;
	__u64 since;
	char *user, *cgroup, *cmd, *unit, *container;
};

struct replay {
	struct options options;
	struct history *history;
	struct report *report;
	struct tick *tick;
	struct text text;
	struct known *known;
	size_t known_count, known_space;
	size_t *places; /* hash table of indexes in `known` plus 1; four times its capacity */
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

/* Reads a quoted name of at most `most` bytes; returns its length. */
static size_t read_quoted(const struct replay *replay, char **at, char *name, size_t most)
{
	char *p = *at + strspn(*at, " ");
	size_t length = 0;

	if (*p++ != '"')
		broken(replay, "no quote before the name");
	while (*p != '"') {
		int byte = (unsigned char)*p++;

		if (!byte || length == most)
			broken(replay, "a name that is too long or does not end");
		if (byte == '\\') {
			if (*p++ != 'x')
				broken(replay, "a backslash without x");
			byte = hex_digit(replay, *p++) << 4;
			byte |= hex_digit(replay, *p++);
		}
		name[length++] = (char)byte;
	}
	*at = p + 1;
	return length;
}

static char *read_string(const struct replay *replay, char **at)
{
	char name[256];

	return checked(strndup(name, read_quoted(replay, at, name, sizeof(name))));
}

/* Sets the IP version too. */
static void read_address(const struct replay *replay, char **at, struct netmon_key *key,
			 __u32 address[4])
{
	char *end = *at + strcspn(*at, " "), text[64] = "";

	if ((size_t)(end - *at) >= sizeof(text))
		broken(replay, "an address that is too long");
	memcpy(text, *at, (size_t)(end - *at));
	key->family = strchr(text, ':') ? 6 : 4;
	if (inet_pton(key->family == 6 ? AF_INET6 : AF_INET, text, address) != 1)
		broken(replay, "not an address");
	*at = end;
}

/* Reads NAME=VALUE; false at the end of the line. */
static bool read_part(struct replay *replay, char **at, struct known *known)
{
	struct netmon_key *key = &known->entry.key;
	char *name = *at + strspn(*at, " "), *value = strchrnul(name, '=');
	size_t length = (size_t)(value - name);

	if (!*name)
		return false;
	*at = *value ? value + 1 : value;
#define IS(wanted) (length == strlen(wanted) && !memcmp(name, wanted, length))
	if (IS("ppid"))
		known->entry.ppid = (__u32)read_number(replay, at);
	else if (IS("ended"))
		known->entry.ended = (__u32)read_number(replay, at);
	else if (IS("tx_retrans"))
		known->entry.tx_retrans = read_number(replay, at);
	else if (IS("proto"))
		key->proto = (__u16)read_number(replay, at);
	else if (IS("uid"))
		key->uid = (__u32)read_number(replay, at);
	else if (IS("netns"))
		key->netns = (__u32)read_number(replay, at);
	else if (IS("lport"))
		key->lport = (__u16)read_number(replay, at);
	else if (IS("rport"))
		key->rport = (__u16)read_number(replay, at);
	else if (IS("laddr"))
		read_address(replay, at, key, key->laddr);
	else if (IS("raddr"))
		read_address(replay, at, key, key->raddr);
	else if (IS("iface"))
		read_quoted(replay, at, key->iface, sizeof(key->iface) - 1);
	else if (IS("user"))
		known->user = read_string(replay, at);
	else if (IS("cgroup"))
		known->cgroup = read_string(replay, at);
	else if (IS("cmd"))
		known->cmd = read_string(replay, at);
	else
		broken(replay, "no part of that name");
#undef IS
	return true;
}

static void free_names(const struct known *known)
{
	free(known->user);
	free(known->unit);
	free(known->container);
	free(known->cgroup);
	free(known->cmd);
}

static bool same_entry(const struct known *a, const struct known *b)
{
	return a->entry.pid == b->entry.pid && a->since == b->since &&
	       !memcmp(&a->entry.key, &b->entry.key, sizeof(a->entry.key));
}

/* Returns the place of the entry, or a free place for it. */
static size_t *place_of(const struct replay *replay, const struct known *wanted)
{
	const unsigned char *key = (const unsigned char *)&wanted->entry.key;
	size_t hash = (size_t)(wanted->entry.pid * 31 + wanted->since), at;

	for (size_t i = 0; i < sizeof(wanted->entry.key); i++)
		hash = (hash ^ key[i]) * 1099511628211U;
	for (at = hash;; at++) {
		size_t *place = &replay->places[at % (4 * replay->known_space)];

		if (!*place || same_entry(&replay->known[*place - 1], wanted))
			return place;
	}
}

static void make_space(struct replay *replay)
{
	replay->known_space = replay->known_space ? 2 * replay->known_space : 64;
	replay->known = checked(realloc(replay->known, replay->known_space * sizeof(*replay->known)));
	free(replay->places);
	replay->places = checked(calloc(replay->known_space, 4 * sizeof(*replay->places)));
	for (size_t i = 0; i < replay->known_count; i++)
		*place_of(replay, &replay->known[i]) = i + 1;
}

/* An entry has the same id in every tick, the rank of its first line, and the names of that line. */
static __u64 id_of(struct replay *replay, const struct known *wanted)
{
	size_t *place;

	if (replay->known_count == replay->known_space)
		make_space(replay);
	place = place_of(replay, wanted);
	if (*place) {
		free_names(wanted);
	} else {
		replay->known[replay->known_count] = *wanted;
		*place = ++replay->known_count;
	}
	return *place - 1;
}

static void read_entry(struct replay *replay, char **at)
{
	struct known known = { .entry.known = ~0U };
	struct netmon_entry *entry = &known.entry;

	if (!replay->tick)
		broken(replay, "a process before the first tick");
	entry->pid = (__u32)read_number(replay, at);
	known.since = read_number(replay, at);
	read_quoted(replay, at, entry->comm, sizeof(entry->comm));
	entry->total.rx_bytes = read_number(replay, at);
	entry->total.tx_bytes = read_number(replay, at);
	entry->total.rx_calls = read_number(replay, at);
	entry->total.tx_calls = read_number(replay, at);
	while (read_part(replay, at, &known))
		;
	if (!entry->pid && strncmp(entry->comm, "(kernel)", COMM_LEN))
		entry->known = 0; /* (other) */
	entry->id = id_of(replay, &known);
	entry->key.process = entry->pid;
	entry->key.generation = (__u32)known.since;
	entry->key.cgroup = entry->id + 1; /* an arbitrary number, unique to the path */
	if (history_add(replay->history, entry))
		checked(NULL);
}

static const char *find_user(void *context, __u32 uid)
{
	const struct replay *replay = context;

	for (size_t i = 0; i < replay->known_count; i++)
		if (replay->known[i].entry.key.uid == uid && replay->known[i].user)
			return replay->known[i].user;
	return NULL;
}

static const char *find_cgroup(void *context, __u64 id)
{
	const struct replay *replay = context;

	return replay->known[id - 1].cgroup;
}

/* Copies the path; the copy is never freed. */
static const char *found(struct replay *replay, __u64 id, bool (*of)(const char *path, char *text))
{
	struct known *known = &replay->known[id - 1];
	char text[UNIT_SIZE], **kept = of == unit_of ? &known->unit : &known->container;

	if (!*kept && known->cgroup && of(known->cgroup, text))
		*kept = checked(strdup(text));
	return *kept;
}

static const char *find_unit(void *context, __u64 cgroup)
{
	return found(context, cgroup, unit_of);
}

static const char *find_container(void *context, __u64 cgroup)
{
	return found(context, cgroup, container_of);
}

static const char *find_command(void *context, __u32 pid)
{
	const struct replay *replay = context;

	for (size_t i = 0; i < replay->known_count; i++)
		if (replay->known[i].entry.pid == pid)
			return replay->known[i].cmd;
	return NULL;
}

static void write_text(struct text *text)
{
	if (text->no_memory)
		checked(NULL);
	if (text->length)
		fwrite(text->bytes, 1, text->length, stdout);
	text->length = 0;
}

/* The CPU time since then. */
static long microseconds(clock_t since)
{
	return (clock() - since) * 1000000 / CLOCKS_PER_SEC;
}

/* Reports the tick that has been read.  Returns false after the last report of -n. */
static bool end_tick(struct replay *replay)
{
	const struct options *options = &replay->options;
	clock_t start, made;

	if (!replay->tick)
		return true;
	start = clock();
	if (history_complete(replay->history))
		checked(NULL);
	if (history_count(replay->history) < 2)
		return true;
	if (report_make(replay->report, replay->history))
		checked(NULL);
	made = clock();
	format_report(&replay->text, &options->style, &options->view, replay->report);
	if (getenv("COST"))
		fprintf(stderr, "%ld us of CPU to write, %ld in all\n", microseconds(made), microseconds(start));
	write_text(&replay->text);
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
	const char *width = getenv("WIDTH");
	struct names names = { find_user, find_cgroup, find_unit, find_container, find_command, &replay };

	options_parse(options, argc, argv);
	options->style.width = width ? strtoul(width, NULL, 10) : 0;
	options_filter_reports(options); /* there are no probes that filter */
	replay.history = checked(history_new(options->view.window + 1, WINDOW_BYTES_MOST));
	replay.report = checked(report_new(&options->view, view_parts(&options->view), &names));
	if (options->style.header)
		format_header(&replay.text, &options->style, &options->view);
	write_text(&replay.text);
	read_fixture(&replay);
	for (size_t i = 0; i < replay.known_count; i++)
		free_names(&replay.known[i]);
	free(replay.known);
	free(replay.places);
	text_free(&replay.text);
	report_free(replay.report);
	history_free(replay.history);
	if (fflush(stdout) || ferror(stdout)) {
		perror("replay");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
