/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fixed-size ring of ticks.  A tick is what one reading of the probes found: for each
 * entry its counters, which only grow, and when that was.  A new tick replaces the
 * oldest; throughput can be had as soon as there are two.  Pure: no clock, no input or
 * output, no global state.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include "netmon.h"

struct tick {
	__u64 clock;             /* when it was read: monotonic clock, nanoseconds */
	__u64 time;              /* the same by the wall clock: milliseconds since the epoch */
	size_t count;
	size_t capacity;
	struct entry *entries;   /* in the order of their ids after tick_sort() */
};

/* What an entry moved: in the newest interval, and in the window that ends with it. */
struct change {
	const struct entry *entry;   /* of the newest tick that has it */
	bool gone;                   /* the newest tick does not */
	struct netmon_counters interval;
	struct netmon_counters window;
};

struct history;

/* Appends a copy of the entry.  Returns 0, or -1 where memory is short. */
int tick_add(struct tick *tick, const struct entry *entry);

/* Puts the entries in order, as the other functions need them. */
void tick_sort(struct tick *tick);

/* A ring of at least one tick; NULL with errno EINVAL for none, or ENOMEM. */
struct history *history_new(size_t capacity);

/* Takes NULL too. */
void history_free(struct history *history);

/* Starts a new tick, empty, and returns it to be filled and sorted.  Where the ring is
 * full it takes the place of the oldest. */
struct tick *history_push(struct history *history);

/* How many ticks there are: from 0 to the capacity. */
size_t history_count(const struct history *history);

/* A tick by age: 0 is the oldest, history_count() - 1 the newest; NULL beyond. */
const struct tick *history_tick(const struct history *history, size_t index);

/* Nanoseconds from the tick `window` intervals before the newest (or the oldest, where
 * the ring has fewer) to the newest; 0 as long as there are not two ticks. */
__u64 history_span(const struct history *history, size_t window);

/* Calls `found` for each entry of the newest tick, and for each that moved anything over
 * the same span and is gone since, in the order of their ids.  An entry that an earlier
 * tick does not have began with 0 after it, also when a still earlier one has it.  Does
 * nothing as long as there are not two ticks.  Returns 0, or -1 where memory is short. */
int history_changes(const struct history *history, size_t window,
		    void (*found)(void *context, const struct change *change), void *context);

/* Bytes, calls ... a second, rounded to the nearest integer; 0 for a span of 0. */
__u64 throughput(__u64 amount, __u64 nanoseconds);

#endif
