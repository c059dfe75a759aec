/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From ticks to rows: one row for each distinct combination of the key columns asked for,
 * with the sums of the measures; rows without traffic are left out; the rest is sorted, cut and summed.
 * Pure: no clock, no input or output, no global state.
 */
#ifndef REPORT_H
#define REPORT_H

#include "columns.h"

struct sort_key {
	const struct column *column;
	bool descending;
};

enum { MAX_PATTERNS = 16 };

/* A pattern of names as in fnmatch(3), but a backslash is a character like any other. */
struct pattern {
	char *text;
	bool leave_out;
	bool is_id;         /* digits of a container's id: as many are compared as both have */
};

/* A name passes if it matches a pattern without `leave_out`, if there are any, and no pattern with
 * it. */
struct patterns {
	struct pattern list[MAX_PATTERNS];
	size_t count;
};

/* The rows that the user asks for. */
struct view {
	const struct column *columns[MAX_COLUMNS];
	size_t columns_count;
	struct sort_key sort[MAX_COLUMNS];   /* none: most traffic first */
	size_t sort_count;
	size_t window;      /* intervals that rates are averaged over */
	size_t top;         /* at most this many rows; 0: all */
	bool all;           /* rows without traffic too */
	bool total;         /* a last row that sums all others */
	bool fresh;         /* totals begin at 0 with the first report */
	bool series;        /* Prometheus: rows with the same text are one, and totals never fall */
	struct patterns comms, units, containers, cgroups; /* cgroups: also matched by a cgroup above */
	/* filters that the probes do not apply, as in struct probes_options; NULL: none */
	const struct netmon_filter *filter;
	const __u32 *pids;
	size_t pids_count;
};

/* What the kernel's numbers stand for.  Each returns text that is valid until the next
 * report, or NULL if there is none. */
struct names {
	const char *(*user)(void *context, __u32 uid);
	const char *(*cgroup)(void *context, __u64 id);      /* its path */
	const char *(*unit)(void *context, __u64 cgroup);    /* the unit in its path: see unit.h */
	const char *(*container)(void *context, __u64 cgroup);
	const char *(*command)(void *context, __u32 pid);
	void *context;
};

struct report;

bool view_has(const struct view *view, const char *name);

/* Whether the column is shown or sorted by. */
bool view_needs(const struct view *view, const char *name);

/* The parts of the kernel's key that these rows need: enum netmon_part. */
__u32 view_parts(const struct view *view);

/* `parts`: the keys of the entries.  The view and the names must live as long as
 * the report.  NULL if memory is short. */
struct report *report_new(const struct view *view, __u32 parts, const struct names *names);

/* Takes NULL too. */
void report_free(struct report *report);

/* Makes the rows of the newest interval; none until there are two ticks.  They
 * are valid until the next call or the next tick.  Returns 0, or -1 if memory is short. */
int report_make(struct report *report, const struct history *history);

/* How many reports were made. */
__u64 report_number(const struct report *report);

/* The sum of all rows, whether the report shows it or not. */
const struct row *report_sum(const struct report *report);

/* The rows in the order asked for; the row (total) is the last. */
size_t report_count(const struct report *report);
const struct row *report_row(const struct report *report, size_t index);

#endif
