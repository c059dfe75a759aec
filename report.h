/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From ticks to rows: one row for each distinct combination of the key columns asked for,
 * the measures added up over it; those without traffic left out; sorted; cut.  The table
 * columns[] is the only place that knows a column.  Pure: no clock, no input or output,
 * no global state but that table.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include "history.h"

enum column_kind { REPORT, KEY, MEASURE };
enum value_type { INTEGER, DECIMAL, TEXT };

/* One field: an integer, a decimal fraction (number / 10^decimals), or bytes. */
struct value {
	enum value_type type;
	int decimals;
	__u64 number;
	const char *text;
	size_t length;
};

/* What a row is made of: a process, or several where pid is not asked for. */
struct row {
	const struct entry *entry;    /* the first of them */
	struct counters interval;
	struct counters window;
	struct counters total;
	__u64 time;                   /* as in struct tick */
	__u64 dt;                     /* nanoseconds of the interval */
	__u64 span;                   /* nanoseconds of the window */
};

struct column {
	const char *name;
	enum column_kind kind;
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
	size_t window;    /* intervals that rates are averaged over */
	size_t top;       /* at the most so many rows; 0: all */
	bool all;         /* those without traffic too */
	__u32 pid;        /* only this process; 0: all */
};

struct report;

/* NULL where there is none of that name (of `length` bytes). */
const struct column *column_find(const char *name, size_t length);

/* The view must live as long as the report.  NULL where memory is short. */
struct report *report_new(const struct view *view);

/* Takes NULL too. */
void report_free(struct report *report);

/* Makes the rows of the newest interval; none as long as there are not two ticks.  They
 * are good until the next call or the next tick.  Returns 0, or -1 where memory is short. */
int report_make(struct report *report, const struct history *history);

/* The rows, in the order asked for. */
size_t report_count(const struct report *report);
const struct row *report_row(const struct report *report, size_t index);

#endif
