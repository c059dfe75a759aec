// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include "array.h"
#include "history.h"

/* An entry of the newest tick, or one that moved something in the window but is gone. */
struct known {
	struct netmon_entry entry;
	struct netmon_counters interval;
	struct netmon_counters window;
	__u64 tx_retrans;        /* in the interval */
	size_t moves;            /* how many ticks of the ring have growth of it */
};

/* Two runs, each in the order of the ids: the entries of a tick, then those that are gone. */
struct table {
	struct known *rows;
	size_t present;
	size_t count;
	size_t capacity;
	size_t moved;            /* how many rows moved something in the interval */
	bool out_of_order;
};

struct history {
	size_t capacity;
	size_t count;
	size_t oldest;
	size_t bytes, bytes_most;
	bool was_cut;
	__u64 work;
	struct table newest;
	struct table next;       /* of the tick that is being filled, if any */
	struct tick ticks[];
};

_Static_assert(sizeof(struct growth) == 40, "an older tick takes 40 bytes for each entry");

struct history *history_new(size_t capacity, size_t bytes_most)
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
	if (!history)
		return NULL;
	history->capacity = capacity;
	history->bytes_most = bytes_most;
	return history;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->capacity; i++)
		free(history->ticks[i].growth);
	free(history->newest.rows);
	free(history->next.rows);
	free(history);
}

size_t history_count(const struct history *history)
{
	return history->count;
}

size_t history_bytes(const struct history *history)
{
	return history->bytes;
}

bool history_was_cut(const struct history *history)
{
	return history->was_cut;
}

__u64 history_work(const struct history *history)
{
	return history->work;
}

static struct tick *tick_at(struct history *history, size_t index)
{
	return &history->ticks[(history->oldest + index) % history->capacity];
}

const struct tick *history_tick(const struct history *history, size_t index)
{
	if (index >= history->count)
		return NULL;
	return &history->ticks[(history->oldest + index) % history->capacity];
}

__u64 history_span(const struct history *history, size_t window)
{
	size_t newest = history->count - 1;

	if (history->count < 2)
		return 0;
	return history_tick(history, newest)->clock -
	       history_tick(history, window < newest ? newest - window : 0)->clock;
}

/* Counters */

/* A counter below its last value has started again. */
static __u64 grown(__u64 before, __u64 after)
{
	return after < before ? after : after - before;
}

static struct netmon_counters growth_of(const struct netmon_counters *before, const struct netmon_counters *after)
{
	return (struct netmon_counters){
		grown(before->rx_bytes, after->rx_bytes),
		grown(before->tx_bytes, after->tx_bytes),
		grown(before->rx_calls, after->rx_calls),
		grown(before->tx_calls, after->tx_calls),
	};
}

static void add(struct netmon_counters *sum, const struct netmon_counters *more)
{
	sum->rx_bytes += more->rx_bytes;
	sum->tx_bytes += more->tx_bytes;
	sum->rx_calls += more->rx_calls;
	sum->tx_calls += more->tx_calls;
}

static void subtract(struct netmon_counters *sum, const struct netmon_counters *less)
{
	sum->rx_bytes -= less->rx_bytes;
	sum->tx_bytes -= less->tx_bytes;
	sum->rx_calls -= less->rx_calls;
	sum->tx_calls -= less->tx_calls;
}

static bool is_zero(const struct netmon_counters *counters)
{
	return !(counters->rx_bytes | counters->tx_bytes | counters->rx_calls |
		 counters->tx_calls);
}

/* Tables */

/* Reads both runs of a table as one, in the order of the ids. */
struct cursor {
	struct known *present, *present_end;
	struct known *gone, *gone_end;
};

static struct cursor cursor_of(const struct table *table)
{
	struct known *rows = table->rows;

	if (!rows)
		return (struct cursor){ 0 };
	return (struct cursor){ rows, rows + table->present, rows + table->present,
				rows + table->count };
}

/* Returns the next row and advances; NULL at the end. */
static struct known *cursor_next(struct cursor *cursor)
{
	bool present = cursor->present < cursor->present_end;
	bool gone = cursor->gone < cursor->gone_end;

	if (present && (!gone || cursor->present->entry.id < cursor->gone->entry.id))
		return cursor->present++;
	return gone ? cursor->gone++ : NULL;
}

static struct known *append(struct table *table)
{
	struct known *rows = array_grow(table->rows, table->count, 1, &table->capacity, sizeof(*rows));

	if (!rows)
		return NULL;
	table->rows = rows;
	return &rows[table->count++];
}

static int compare_ids(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return (x->entry.id > y->entry.id) - (x->entry.id < y->entry.id);
}

/* Ticks */

/* Drops the oldest tick: the interval that it began leaves the window. */
static void drop_oldest(struct history *history)
{
	struct cursor cursor = cursor_of(&history->newest);
	struct tick *tick;

	history->oldest = (history->oldest + 1) % history->capacity;
	if (--history->count < 2) /* no interval is left: carry() starts the sums with the next one */
		return;
	tick = tick_at(history, 0);
	for (size_t i = 0; i < tick->count; i++) {
		struct known *row;

		do {
			row = cursor_next(&cursor);
			history->work++;
		} while (row && row->entry.id != tick->growth[i].id);
		if (!row)
			break;
		subtract(&row->window, &tick->growth[i].moved);
		row->moves--;
	}
	history->bytes -= tick->count * sizeof(*tick->growth);
	tick->count = 0;
	free(tick->growth);
	tick->growth = NULL;
}

struct tick *history_push(struct history *history)
{
	struct tick *tick;

	if (history->count == history->capacity)
		drop_oldest(history);
	tick = tick_at(history, history->count++);
	*tick = (struct tick){ 0 };
	history->next.count = history->next.moved = 0;
	history->next.out_of_order = false;
	return tick;
}

int history_add(struct history *history, const struct netmon_entry *entry)
{
	struct table *next = &history->next;
	struct known *row = append(next);

	if (!row)
		return -1;
	next->out_of_order |= row > next->rows && row[-1].entry.id > entry->id;
	*row = (struct known){ .entry = *entry };
	return 0;
}

/* Sets what the entry moved since the tick before; `before` is NULL if that tick lacks it. */
static void grow(struct table *table, struct known *row, const struct known *before)
{
	static const struct netmon_counters none;

	row->interval = growth_of(before ? &before->entry.total : &none, &row->entry.total);
	row->tx_retrans = grown(before ? before->entry.tx_retrans : 0, row->entry.tx_retrans);
	if (is_zero(&row->interval))
		return;
	add(&row->window, &row->interval);
	row->moves++;
	table->moved++;
}

/* Makes room for the growth of the tick before, which is subtracted when that tick expires. */
static int make_growth(struct history *history, struct tick *tick)
{
	const size_t moved = history->newest.moved;

	if (!moved)
		return 0;
	tick->growth = malloc(moved * sizeof(*tick->growth));
	if (!tick->growth)
		return -1;
	history->bytes += moved * sizeof(*tick->growth);
	return 0;
}

/* Moves the window's sums from the table before to the next, and the growth of the interval before to its
 * tick.  The sums of entries that are gone follow the next one's entries. */
static int carry(struct history *history)
{
	const bool begins = history->count == 2; /* the window, with this interval */
	struct tick *tick = tick_at(history, history->count - 2);
	struct table *next = &history->next;
	struct cursor cursor = cursor_of(&history->newest);
	struct known *before;
	size_t i = 0;

	next->present = next->count;
	if (!begins && make_growth(history, tick))
		return -1;
	while ((before = cursor_next(&cursor))) {
		bool was_present = before < history->newest.rows + history->newest.present;
		struct known *gone;

		history->work++;
		if (begins)
			before->window = (struct netmon_counters){ 0 }, before->moves = 0;
		else if (!is_zero(&before->interval))
			tick->growth[tick->count++] = (struct growth){ before->entry.id, before->interval };
		for (; i < next->present && next->rows[i].entry.id < before->entry.id; i++)
			grow(next, &next->rows[i], NULL);
		if (i < next->present && next->rows[i].entry.id == before->entry.id) {
			next->rows[i].window = before->window;
			next->rows[i].moves = before->moves;
			grow(next, &next->rows[i++], was_present ? before : NULL);
			continue;
		}
		if (!before->moves)
			continue;
		gone = append(next);
		if (!gone)
			return -1;
		*gone = *before;
		gone->interval = (struct netmon_counters){ 0 };
		gone->tx_retrans = 0;
	}
	for (; i < next->present; i++)
		grow(next, &next->rows[i], NULL);
	return 0;
}

int history_complete(struct history *history)
{
	const struct table last = history->newest;
	struct table *next = &history->next;

	if (next->out_of_order)
		qsort(next->rows, next->count, sizeof(*next->rows), compare_ids);
	if (history->count == 1) /* no interval has ended */
		next->present = next->count;
	else if (carry(history))
		return -1;
	history->newest = *next;
	history->next = last;
	while (history->bytes > history->bytes_most && history->count > 2) {
		drop_oldest(history);
		history->was_cut = true;
	}
	return 0;
}

void history_changes(const struct history *history,
		     void (*found)(void *context, const struct change *change), void *context)
{
	struct cursor cursor = cursor_of(&history->newest);
	const struct known *row;

	if (history->count < 2)
		return;
	while ((row = cursor_next(&cursor))) {
		struct change change = {
			.entry = &row->entry,
			.gone = row >= history->newest.rows + history->newest.present,
			.interval = row->interval,
			.window = row->window,
			.tx_retrans = row->tx_retrans,
		};

		if (!change.gone || row->moves)
			found(context, &change);
	}
}

/* One division if the product fits in 64 bits, else one decimal place at a time. */
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
