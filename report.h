/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From ticks to rows: one row for each distinct combination of the key columns asked for,
 * the measures added up over it; those without traffic left out; sorted; cut; summed.  The
 * table columns[] is the only place that knows a column.  Pure: no clock, no input or
 * output, no global state but that table.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include "history.h"

enum column_kind { REPORT, KEY, MEASURE };
enum value_type { UNKNOWN, INTEGER, DECIMAL, TIME, TEXT, ADDRESS };

/* One field: an integer, a decimal fraction (number / 10^decimals), milliseconds since the
 * epoch, bytes, or an IP address (number: its version; text: as in struct netmon_key). */
struct value {
	enum value_type type;
	int decimals;
	__u64 number;
	const char *text;
	size_t length;
};

/* What a row is made of: an entry, or several that differ in nothing that is asked for. */
struct row {
	const struct entry *entry;    /* the first of them */
	const char *user;             /* NULL: not asked for, or not known */
	const char *cgroup;
	const char *cmd;
	bool alive;                   /* the newest tick has one of them */
	struct netmon_counters interval;
	struct netmon_counters window;
	struct netmon_counters total;
	__u64 time;                   /* as in struct tick */
	__u64 dt;                     /* nanoseconds of the interval */
	__u64 span;                   /* nanoseconds of the window */
};

struct column {
	const char *name;
	enum column_kind kind;
	__u32 parts;                  /* of the kernel's key that it needs: enum part */
	const char *help;
	struct value (*get)(const struct row *row);
};

extern const struct column columns[];
extern const size_t columns_count;

enum { MAX_COLUMNS = 32 };

struct sort_key {
	const struct column *column;
	bool descending;
};

/* What is asked for. */
struct view {
	const struct column *columns[MAX_COLUMNS];
	size_t columns_count;
	struct sort_key sort[MAX_COLUMNS];   /* none: most traffic first */
	size_t sort_count;
	size_t window;      /* intervals that rates are averaged over */
	size_t top;         /* at the most so many rows; 0: all */
	bool all;           /* those without traffic too */
	bool total;         /* and a row that sums up all of them */
	bool iso;           /* write times as dates */
	const char *comm;   /* only processes with such a name: a pattern as of fnmatch(3) */
	/* what the probes have not left out already, as in struct probes_options; NULL: nothing */
	const struct netmon_filter *filter;
	const __u32 *pids;
	size_t pids_count;
	const char *cgroup; /* its path, without the slash at its beginning; "": all of them */
};

/* What the kernel's numbers stand for.  Each returns text that is good until the next
 * report, or NULL where there is none. */
struct names {
	const char *(*user)(void *context, __u32 uid);
	const char *(*cgroup)(void *context, __u64 id);
	const char *(*command)(void *context, __u32 pid);
	void *context;
};

struct report;

/* NULL where there is none of that name (of `length` bytes). */
const struct column *column_find(const char *name, size_t length);

/* The protocol's number, PROTO_PACKET for "packet"; -1 where there is none of that name. */
int proto_find(const char *name, size_t length);

bool view_has(const struct view *view, const char *name);

/* The parts of the kernel's key that it takes to make these rows: enum part. */
__u32 view_parts(const struct view *view);

/* Writes the names of the columns that these parts make, but for those that the parts `named` make
 * already, separated by commas; as many as fit. */
void parts_columns(__u32 parts, __u32 named, char *names, size_t size);

/* `parts` is what the entries are told apart by.  The view and the names must live as long as
 * the report.  NULL where memory is short. */
struct report *report_new(const struct view *view, __u32 parts, const struct names *names);

/* Takes NULL too. */
void report_free(struct report *report);

/* Makes the rows of the newest interval; none as long as there are not two ticks.  They
 * are good until the next call or the next tick.  Returns 0, or -1 where memory is short. */
int report_make(struct report *report, const struct history *history);

/* The rows, in the order asked for; the one that sums them up is the last. */
size_t report_count(const struct report *report);
const struct row *report_row(const struct report *report, size_t index);

#endif
