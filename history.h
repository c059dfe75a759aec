/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fixed-size ring of ticks, from the oldest to the newest.  A tick is one reading of the
 * probes: the counters of each entry, which only grow, and when they were read.  A new tick
 * replaces the oldest; throughput can be derived from two ticks on.
 *
 * The window is the whole ring.  What each entry moved in it is a running sum: a new tick adds
 * its growth, and the expiring one is subtracted.  So a tick costs O(entries), however many
 * ticks the ring has, and a tick between the oldest and the newest keeps 40 bytes for each entry that
 * moved anything in it.
 * Pure: no clock, no input or output, no global state.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include "netmon.h"

/* The most memory that the window of a report may take. */
enum { WINDOW_BYTES_MOST = 256 << 20 };

/* What an entry moved from one tick to the next. */
struct growth {
	__u64 id;
	struct netmon_counters moved;
};

struct tick {
	__u64 clock;             /* when it was read: monotonic clock, nanoseconds */
	__u64 time;              /* the same by the wall clock: milliseconds since the epoch */
	size_t count;
	struct growth *growth;   /* since the tick before; none in the oldest and in the newest */
};

/* What an entry moved: in the newest interval, and in the window that ends with it. */
struct change {
	const struct netmon_entry *entry;   /* of the newest tick that has it */
	bool gone;                   /* the newest tick does not have it */
	struct netmon_counters interval;
	struct netmon_counters window;
	__u64 tx_retrans;            /* in the interval */
};

struct history;

/* A ring of at least one tick.  If its growth would take more than `bytes_most`, the oldest
 * ticks leave early, down to two.  NULL with errno EINVAL for no tick, or ENOMEM. */
struct history *history_new(size_t capacity, size_t bytes_most);

/* Takes NULL too. */
void history_free(struct history *history);

/* Begins a new tick, empty, and returns it.  If the ring is full, the oldest leaves. */
struct tick *history_push(struct history *history);

/* Adds a copy of the entry to the tick that was begun.  Returns 0, or -1 if memory is short. */
int history_add(struct history *history, const struct netmon_entry *entry);

/* Completes the tick that was begun: all of its entries have been added, in any order.
 * Returns 0, or -1 if memory is short. */
int history_complete(struct history *history);

/* How many ticks there are: from 0 to the capacity. */
size_t history_count(const struct history *history);

/* A tick by age: 0 is the oldest, history_count() - 1 the newest; NULL beyond. */
const struct tick *history_tick(const struct history *history, size_t index);

/* Nanoseconds from the tick `window` intervals before the newest (or from the oldest, if the
 * ring has fewer) to the newest; 0 until there are two ticks. */
__u64 history_span(const struct history *history, size_t window);

/* Calls `found` for each entry of the newest tick, and for each that moved anything in the
 * window but is gone, in the order of their ids.  An entry that the tick before does not
 * have began with 0 after it, even if a still earlier one has it.  Does nothing until there are
 * two ticks. */
void history_changes(const struct history *history,
		     void (*found)(void *context, const struct change *change), void *context);

/* The bytes that the growth of all ticks takes. */
size_t history_bytes(const struct history *history);

/* Whether ticks ever left early, because of `bytes_most`. */
bool history_was_cut(const struct history *history);

/* How many entries and growths have been read so far to complete ticks: the work, for tests. */
__u64 history_work(const struct history *history);

/* Bytes, calls ... a second, rounded to the nearest integer; 0 for a span of 0. */
__u64 throughput(__u64 amount, __u64 nanoseconds);

#endif
