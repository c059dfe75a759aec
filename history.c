// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "history.h"

struct history {
	size_t capacity;
	size_t count;
	size_t oldest;
	struct tick ticks[];
};

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

int tick_add(struct tick *tick, const struct entry *entry)
{
	if (tick->count == tick->capacity) {
		size_t capacity = tick->capacity ? 2 * tick->capacity : 64;
		struct entry *entries = realloc(tick->entries, capacity * sizeof(*entries));

		if (!entries)
			return -1;
		tick->entries = entries;
		tick->capacity = capacity;
	}
	tick->entries[tick->count++] = *entry;
	return 0;
}

/* The probes find them in order already. */
void tick_sort(struct tick *tick)
{
	for (size_t i = 1; i < tick->count; i++)
		if (entry_compare(&tick->entries[i - 1], &tick->entries[i]) > 0) {
			qsort(tick->entries, tick->count, sizeof(*tick->entries), entry_compare);
			return;
		}
}

struct history *history_new(size_t capacity)
{
	struct history *history;

	if (!capacity) {
		errno = EINVAL;
		return NULL;
	}
	if (capacity > (SIZE_MAX - sizeof(*history)) / sizeof(*history->ticks)) {
		errno = ENOMEM;
		return NULL;
	}
	history = calloc(1, sizeof(*history) + capacity * sizeof(*history->ticks));
	if (history)
		history->capacity = capacity;
	return history;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->capacity; i++)
		free(history->ticks[i].entries);
	free(history);
}

struct tick *history_push(struct history *history)
{
	struct tick *tick;

	if (history->count < history->capacity)
		history->count++;
	else
		history->oldest = (history->oldest + 1) % history->capacity;
	tick = &history->ticks[(history->oldest + history->count - 1) % history->capacity];
	tick->clock = tick->time = 0;
	tick->count = 0;
	return tick;
}

size_t history_count(const struct history *history)
{
	return history->count;
}

const struct tick *history_tick(const struct history *history, size_t index)
{
	if (index >= history->count)
		return NULL;
	return &history->ticks[(history->oldest + index) % history->capacity];
}

/* The tick where a window begins that ends with the newest; there is at least one. */
static size_t window_start(const struct history *history, size_t window)
{
	size_t newest = history->count - 1;

	return window < newest ? newest - window : 0;
}

__u64 history_span(const struct history *history, size_t window)
{
	if (history->count < 2)
		return 0;
	return history_tick(history, history->count - 1)->clock -
	       history_tick(history, window_start(history, window))->clock;
}

/* A counter that is below what it was began anew. */
static __u64 grown(__u64 before, __u64 after)
{
	return after < before ? after : after - before;
}

static void add_growth(struct netmon_counters *sum, const struct netmon_counters *before,
		       const struct netmon_counters *after)
{
	sum->rx_bytes += grown(before->rx_bytes, after->rx_bytes);
	sum->tx_bytes += grown(before->tx_bytes, after->tx_bytes);
	sum->rx_calls += grown(before->rx_calls, after->rx_calls);
	sum->tx_calls += grown(before->tx_calls, after->tx_calls);
}

static bool is_zero(const struct netmon_counters *counters)
{
	return !(counters->rx_bytes | counters->tx_bytes | counters->rx_calls |
		 counters->tx_calls);
}

/* Where each tick of a window is being read. */
struct cursor {
	const struct entry *next, *end;
};

/* The lowest id that any of the cursors has next; false where all are at their end. */
static bool lowest_id(const struct cursor *cursors, size_t count, __u64 *id)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (cursors[i].next == cursors[i].end || (any && cursors[i].next->id >= *id))
			continue;
		*id = cursors[i].next->id;
		any = true;
	}
	return any;
}

/* What the entry moved from the first of these ticks to the last; passes it over. */
static struct change change_of(struct cursor *cursors, size_t count, __u64 id)
{
	static const struct netmon_counters none;
	const struct netmon_counters *before = &none;
	struct change change = { .gone = true };

	for (size_t i = 0; i < count; i++) {
		struct cursor *cursor = &cursors[i];
		bool here = cursor->next < cursor->end && cursor->next->id == id;

		if (!here) {
			before = &none;
			continue;
		}
		change.entry = cursor->next++;
		change.gone = i < count - 1;
		if (i)
			add_growth(&change.window, before, &change.entry->total);
		if (i == count - 1)
			add_growth(&change.interval, before, &change.entry->total);
		before = &change.entry->total;
	}
	return change;
}

int history_changes(const struct history *history, size_t window,
		    void (*found)(void *context, const struct change *change), void *context)
{
	size_t start, count;
	struct cursor *cursors;
	__u64 id;

	if (history->count < 2)
		return 0;
	start = window_start(history, window);
	count = history->count - start;
	cursors = calloc(count, sizeof(*cursors));
	if (!cursors)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct tick *tick = history_tick(history, start + i);

		cursors[i].next = tick->entries;
		cursors[i].end = tick->count ? tick->entries + tick->count : tick->entries;
	}
	while (lowest_id(cursors, count, &id)) {
		struct change change = change_of(cursors, count, id);

		if (!change.gone || !is_zero(&change.window))
			found(context, &change);
	}
	free(cursors);
	return 0;
}

/* In one division where the product fits, else by a decimal place at a time. */
__u64 throughput(__u64 amount, __u64 nanoseconds)
{
	const bool fits = amount <= UINT64_MAX / 1000000000;
	__u64 rate, rest;

	if (!nanoseconds)
		return 0;
	if (fits)
		amount *= 1000000000;
	rate = amount / nanoseconds;
	rest = amount % nanoseconds;
	for (int places = fits ? 0 : 9; places; places--) {
		rest *= 10;
		rate = 10 * rate + rest / nanoseconds;
		rest %= nanoseconds;
	}
	return rate + (rest >= nanoseconds - rest);
}
