/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a field of a row is and how its value is got.  The table columns[] is the only place that
 * knows a column: header, formats, -o, -s and --help are made from it.  Pure: no clock, no input or
 * output, no global state but that table.
 */
#ifndef COLUMNS_H
#define COLUMNS_H

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

/* A row: an entry, or several that have the same values in all requested key columns. */
struct row {
	const struct netmon_entry *entry;    /* the first of the row's entries */
	bool is_total;                /* the sum of all rows */
	const char *user;             /* NULL: not asked for, or not known */
	const char *cgroup;
	const char *unit;
	const char *container;
	const char *cmd;
	bool alive;                   /* the newest tick has one of the entries */
	struct netmon_counters interval;
	struct netmon_counters window;
	struct netmon_counters total;
	__u64 tx_retrans;             /* packets that TCP retransmitted in the interval */
	__u64 time;                   /* as in struct tick */
	__u64 dt;                     /* nanoseconds of the interval */
	__u64 span;                   /* nanoseconds of the window */
};

struct column {
	const char *name;
	enum column_kind kind;
	enum value_type type;         /* of most of its values: proto has numbers too */
	__u32 parts;                  /* what it needs of the kernel's key: enum netmon_part */
	const char *help;
	struct value (*get)(const struct row *row, const void *field);
	size_t field;                 /* its offset in the row, if get() serves several columns */
};

extern const struct column columns[];
extern const size_t columns_count;

enum { MAX_COLUMNS = 32 };

/* Returns NULL if no column has that name (of `length` bytes). */
const struct column *column_find(const char *name, size_t length);

struct value column_get(const struct column *column, const struct row *row);

/* Whether only layer ip has the column. */
bool column_counts_packets(const struct column *column);

/* The protocol's number, PROTO_PACKET for "packet"; -1 if none has that name. */
int proto_find(const char *name, size_t length);

/* Writes the names of the columns that need these parts, except those that need only the
 * parts `named`, separated by commas; as many as fit. */
void parts_columns(__u32 parts, __u32 named, char *names, size_t size);

#endif
