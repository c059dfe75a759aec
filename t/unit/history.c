// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of history.h, in the Test Anything Protocol: each edge by hand, then random
 * sequences of ticks against a model that keeps every tick and knows no ring.
 *
 *     history [SEED]     exit status 0 where all is well, 1 where a check failed
 *
 * The seed is fixed, so that a failure comes back; another one searches elsewhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "history.h"

enum { MAX_FOUND = 512 };

/* What history_changes() found, in its order. */
struct found {
	size_t count;
	struct change changes[MAX_FOUND];
};

static unsigned long failures;
static uint64_t seed = 20231124;

static void check_at(int line, const char *what, uint64_t got, uint64_t wanted)
{
	if (got == wanted)
		return;
	failures++;
	printf("# %s:%d: %s: got %" PRIu64 ", wanted %" PRIu64 "\n", __FILE__, line, what, got,
	       wanted);
}

#define CHECK(got, wanted) check_at(__LINE__, #got, (uint64_t)(got), (uint64_t)(wanted))

/* Where going on would only crash. */
#define REQUIRE(condition)                                                                  \
	do {                                                                                \
		if (!(condition)) {                                                         \
			printf("Bail out! %s:%d: %s\n", __FILE__, __LINE__, #condition);    \
			exit(EXIT_FAILURE);                                                 \
		}                                                                           \
	} while (0)

static struct history *ring(size_t capacity)
{
	struct history *history = history_new(capacity);

	REQUIRE(history);
	return history;
}

static struct tick *push(struct history *history, uint64_t clock)
{
	struct tick *tick = history_push(history);

	REQUIRE(tick);
	tick->clock = clock;
	return tick;
}

/* Counters that differ from each other, so that none can stand in for another. */
static struct netmon_counters counters_of(uint64_t rx_bytes)
{
	return (struct netmon_counters){ rx_bytes, 2 * rx_bytes, 3 * rx_bytes, 5 * rx_bytes };
}

/* Lives of a process, told apart by when they began. */
static uint64_t life(uint32_t pid, uint64_t since)
{
	return (uint64_t)pid << 32 | since;
}

static void put(struct tick *tick, uint32_t pid, uint64_t since, uint64_t rx_bytes)
{
	struct entry entry = { .id = life(pid, since), .total = counters_of(rx_bytes) };

	REQUIRE(!tick_add(tick, &entry));
}

static void note(void *context, const struct change *change)
{
	struct found *found = context;

	REQUIRE(found->count < MAX_FOUND);
	found->changes[found->count++] = *change;
}

static const struct found *changes(const struct history *history, size_t window)
{
	static struct found found;

	found.count = 0;
	CHECK(history_changes(history, window, note, &found), 0);
	return &found;
}

static void check_counters(int line, const char *what, const struct netmon_counters *got,
			   const struct netmon_counters *wanted)
{
	char name[64];

#define FIELD(field)                                                                        \
	snprintf(name, sizeof(name), "%s." #field, what);                                   \
	check_at(line, name, got->field, wanted->field)
	FIELD(rx_bytes);
	FIELD(tx_bytes);
	FIELD(rx_calls);
	FIELD(tx_calls);
#undef FIELD
}

/* That the index-th change is of that process, and how much its rx_bytes grew. */
static void change_at(int line, const struct found *found, size_t index, uint32_t pid,
		      uint64_t since, uint64_t interval, uint64_t window)
{
	struct netmon_counters in_interval = counters_of(interval), in_window = counters_of(window);
	const struct change *change = &found->changes[index];

	check_at(line, "found", index < found->count, 1);
	if (index >= found->count)
		return;
	check_at(line, "id", change->entry->id, life(pid, since));
	check_counters(line, "interval", &change->interval, &in_interval);
	check_counters(line, "window", &change->window, &in_window);
}

#define CHANGE(found, index, pid, since, interval, window) \
	change_at(__LINE__, found, index, pid, since, interval, window)

static void capacity_none(void)
{
	errno = 0;
	CHECK(history_new(0) == NULL, 1);
	CHECK(errno, EINVAL);
	history_free(NULL);
}

/* A product that wraps must not come out as a small ring. */
static void capacity_beyond_memory(void)
{
	size_t wrapping = SIZE_MAX / sizeof(struct tick) + 2;

	errno = 0;
	CHECK(history_new(wrapping) == NULL, 1);
	CHECK(errno, ENOMEM);
}

static void no_tick(void)
{
	struct history *history = ring(3);

	CHECK(history_count(history), 0);
	CHECK(history_tick(history, 0) == NULL, 1);
	CHECK(history_tick(history, SIZE_MAX) == NULL, 1);
	CHECK(history_span(history, 1), 0);
	CHECK(changes(history, 1)->count, 0);
	history_free(history);
}

static void one_tick(void)
{
	struct history *history = ring(3);
	struct tick *tick = push(history, 1000);

	put(tick, 1, 0, 500);
	tick_sort(tick);
	CHECK(history_count(history), 1);
	CHECK(history_tick(history, 0) == tick, 1);
	CHECK(history_tick(history, 1) == NULL, 1);
	CHECK(history_span(history, 1), 0);
	CHECK(changes(history, 1)->count, 0);
	history_free(history);
}

static void two_ticks(void)
{
	struct history *history = ring(3);
	const struct found *found;

	put(push(history, 1000), 1, 0, 500);
	put(push(history, 3500), 1, 0, 740);
	CHECK(history_count(history), 2);
	CHECK(history_span(history, 1), 2500);
	found = changes(history, 1);
	CHECK(found->count, 1);
	CHANGE(found, 0, 1, 0, 240, 240);
	history_free(history);
}

static void capacity_one(void)
{
	struct history *history = ring(1);

	for (uint64_t clock = 1; clock <= 5; clock++) {
		struct tick *tick = push(history, clock);

		CHECK(tick->count, 0);
		put(tick, 1, 0, 100 * clock);
		CHECK(history_count(history), 1);
		CHECK(history_tick(history, 0)->clock, clock);
		CHECK(history_tick(history, 0)->entries[0].total.rx_bytes, 100 * clock);
		CHECK(history_tick(history, 1) == NULL, 1);
		CHECK(history_span(history, 1), 0);
		CHECK(changes(history, 1)->count, 0);
	}
	history_free(history);
}

static void wrap_around(void)
{
	for (size_t capacity = 1; capacity <= 9; capacity++) {
		struct history *history = ring(capacity);

		for (size_t pushed = 1; pushed <= 10 * capacity + 3; pushed++) {
			size_t count = pushed < capacity ? pushed : capacity;

			push(history, pushed)->time = 7 * pushed;
			CHECK(history_count(history), count);
			for (size_t i = 0; i < count; i++) {
				CHECK(history_tick(history, i)->clock, pushed - count + 1 + i);
				CHECK(history_tick(history, i)->time,
				      7 * (pushed - count + 1 + i));
			}
			CHECK(history_tick(history, count) == NULL, 1);
		}
		history_free(history);
	}
}

/* A tick that takes the place of another starts with nothing of it. */
static void new_tick_is_empty(void)
{
	struct history *history = ring(2);

	for (uint32_t i = 0; i < 6; i++) {
		struct tick *tick = history_push(history);

		CHECK(tick->clock, 0);
		CHECK(tick->time, 0);
		CHECK(tick->count, 0);
		tick->clock = tick->time = 99;
		put(tick, i, 0, 1);
	}
	history_free(history);
}

static void ticks_of_unequal_length(void)
{
	static const size_t lengths[] = { 200, 0, 1, 65, 64, 3, 129, 128 };
	struct history *history = ring(2);

	for (size_t t = 0; t < sizeof(lengths) / sizeof(*lengths); t++) {
		struct tick *tick = push(history, t);
		const struct found *found;
		size_t before = t ? lengths[t - 1] : 0;

		for (uint32_t pid = 0; pid < lengths[t]; pid++)
			put(tick, pid, 0, 1000 * (t + 1) + pid);
		CHECK(tick->count, lengths[t]);
		found = changes(history, 1);
		CHECK(found->count, t ? lengths[t] : 0);
		for (uint32_t i = 0; i < found->count; i++) {
			uint64_t grown = i < before ? 1000 : 1000 * (t + 1) + i;

			CHANGE(found, i, i, 0, grown, grown);
		}
	}
	history_free(history);
}

static void tick_with_nothing(void)
{
	struct history *history = ring(4);
	struct tick *empty;

	put(push(history, 10), 1, 0, 100);
	empty = push(history, 20);
	tick_sort(empty);
	CHECK(changes(history, 1)->count, 0);
	CHECK(history_span(history, 1), 10);
	put(push(history, 30), 2, 0, 7);
	CHECK(changes(history, 1)->count, 1);
	CHANGE(changes(history, 1), 0, 2, 0, 7, 7);
	CHANGE(changes(history, 3), 0, 2, 0, 7, 7);
	history_free(history);
}

static void only_empty_ticks(void)
{
	struct history *history = ring(2);

	for (uint64_t clock = 1; clock <= 4; clock++) {
		push(history, clock);
		CHECK(changes(history, 1)->count, 0);
	}
	history_free(history);
}

static void appears(void)
{
	struct history *history = ring(3);
	const struct found *found;
	struct tick *tick;

	put(push(history, 1), 5, 0, 100);
	tick = push(history, 2);
	put(tick, 5, 0, 103);
	put(tick, 9, 0, 40);
	put(tick, 2, 0, 60);
	tick_sort(tick);
	found = changes(history, 1);
	CHECK(found->count, 3);
	CHANGE(found, 0, 2, 0, 60, 60);
	CHANGE(found, 1, 5, 0, 3, 3);
	CHANGE(found, 2, 9, 0, 40, 40);
	history_free(history);
}

/* What is gone is only found as long as it moved something in the window. */
static void disappears(void)
{
	struct history *history = ring(3);
	const struct found *found;
	struct tick *tick = push(history, 1);

	put(tick, 5, 0, 100);
	put(tick, 6, 0, 200);
	put(push(history, 2), 6, 0, 211);
	found = changes(history, 2);
	CHECK(found->count, 1);
	CHANGE(found, 0, 6, 0, 11, 11);
	history_free(history);

	history = ring(3);
	push(history, 1);
	tick = push(history, 2);
	put(tick, 5, 0, 100);
	put(tick, 6, 0, 200);
	put(push(history, 3), 6, 0, 211);
	found = changes(history, 2);
	CHECK(found->count, 2);
	CHANGE(found, 0, 5, 0, 0, 100);
	CHECK(found->changes[0].gone, true);
	CHANGE(found, 1, 6, 0, 11, 211);
	CHECK(found->changes[1].gone, false);
	CHECK(changes(history, 1)->count, 1);
	history_free(history);
}

static void comes_back(void)
{
	struct history *history = ring(4);

	put(push(history, 1), 5, 0, 100);
	put(push(history, 2), 5, 0, 130);
	push(history, 3);
	put(push(history, 4), 5, 0, 150);
	CHANGE(changes(history, 1), 0, 5, 0, 150, 150);
	CHANGE(changes(history, 2), 0, 5, 0, 150, 150);
	/* the 30 from the first tick to the second, and 150 from the third to the last */
	CHANGE(changes(history, 3), 0, 5, 0, 150, 180);
	history_free(history);
}

static void counter_begins_anew(void)
{
	struct history *history = ring(4);

	put(push(history, 1), 5, 0, 1000);
	put(push(history, 2), 5, 0, 1010);
	put(push(history, 3), 5, 0, 4);
	CHANGE(changes(history, 1), 0, 5, 0, 4, 4);
	CHANGE(changes(history, 2), 0, 5, 0, 4, 14);
	history_free(history);
}

static void reused_pid(void)
{
	struct history *history = ring(3);
	const struct found *found;
	struct tick *tick;

	put(push(history, 1), 5, 1000, 100);
	tick = push(history, 2);
	put(tick, 5, 2000, 130); /* another process, with more than the one before */
	found = changes(history, 1);
	CHECK(found->count, 1);
	CHANGE(found, 0, 5, 2000, 130, 130);

	tick = push(history, 3);
	put(tick, 5, 3000, 8); /* both lives in one tick */
	put(tick, 5, 2000, 131);
	tick_sort(tick);
	found = changes(history, 2);
	CHECK(found->count, 2);
	CHANGE(found, 0, 5, 2000, 1, 131);
	CHANGE(found, 1, 5, 3000, 8, 8);
	history_free(history);
}

static void large_counters(void)
{
	static const uint64_t starts[] = { UINT32_MAX - 1ULL, 1ULL << 32, 1ULL << 53,
					   (1ULL << 53) + 1, 1ULL << 61 };

	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		struct history *history = ring(3);

		for (uint64_t t = 0; t < 3; t++) {
			uint64_t n = starts[i] + 3 * t;
			struct entry entry = { .id = 1, .total = { n, n, n, n } };

			REQUIRE(!tick_add(push(history, t), &entry));
		}
		CHECK(changes(history, 1)->changes[0].interval.rx_bytes, 3);
		CHECK(changes(history, 1)->changes[0].interval.tx_calls, 3);
		CHECK(changes(history, 2)->changes[0].window.tx_bytes, 6);
		CHECK(changes(history, 2)->changes[0].window.rx_calls, 6);
		history_free(history);
	}
}

/* From nothing to 2^64 - 1 in one interval. */
static void largest_counter(void)
{
	struct history *history = ring(2);
	struct entry entry = { .id = 1, .total = { UINT64_MAX, UINT64_MAX, 1, 0 } };

	push(history, 0);
	REQUIRE(!tick_add(push(history, 1), &entry));
	CHECK(changes(history, 1)->changes[0].interval.rx_bytes, UINT64_MAX);
	CHECK(changes(history, 1)->changes[0].window.tx_bytes, UINT64_MAX);
	history_free(history);
}

static void unequal_times(void)
{
	static const uint64_t clocks[] = { 5, 7, 1000000007, 1000000008, 4000000008 };
	struct history *history = ring(4);

	for (size_t i = 0; i < 5; i++)
		put(push(history, clocks[i]), 1, 0, 10 * i);
	CHECK(history_span(history, 1), 3000000000);
	CHECK(history_span(history, 2), 3000000001);
	CHECK(history_span(history, 3), 4000000001);
	CHANGE(changes(history, 3), 0, 1, 0, 10, 30);
	history_free(history);
}

static void window_longer_than_ring(void)
{
	static const size_t windows[] = { 2, 3, 100, SIZE_MAX - 1, SIZE_MAX };
	struct history *history = ring(3);

	for (uint64_t t = 1; t <= 2; t++)
		put(push(history, 100 * t), 1, 0, 10 * t);
	for (size_t i = 0; i < 5; i++) { /* nor than what there is of it yet */
		CHECK(history_span(history, windows[i]), 100);
		CHANGE(changes(history, windows[i]), 0, 1, 0, 10, 10);
	}
	for (uint64_t t = 3; t <= 7; t++)
		put(push(history, 100 * t), 1, 0, 10 * t);
	for (size_t i = 0; i < 5; i++) {
		CHECK(history_span(history, windows[i]), 200);
		CHANGE(changes(history, windows[i]), 0, 1, 0, 10, 20);
	}
	history_free(history);
}

static void order_of_entries(void)
{
	static const struct entry ordered[] = {
		{ .id = 0 }, { .id = 1 }, { .id = 2 }, { .id = INT32_MAX }, { .id = UINT32_MAX },
		{ .id = 1ULL << 63 }, { .id = UINT64_MAX },
	};
	size_t count = sizeof(ordered) / sizeof(*ordered);
	struct history *history = ring(1);
	struct tick *tick = push(history, 0);

	for (size_t i = 0; i < count; i++)
		REQUIRE(!tick_add(tick, &ordered[3 * i % count]));
	tick_sort(tick);
	for (size_t i = 0; i < count; i++)
		CHECK(tick->entries[i].id, ordered[i].id);
	history_free(history);
}

/* tick_add() copies, the name and its last byte too. */
static void entry_is_copied(void)
{
	struct history *history = ring(2);
	struct entry entry = { .id = 4, .pid = 3, .total = { 1, 2, 3, 4 } };
	const struct entry *kept;

	memcpy(entry.comm, "0123456789abcdef", COMM_LEN);
	push(history, 0);
	REQUIRE(!tick_add(push(history, 1), &entry));
	memset(&entry, 0xff, sizeof(entry));
	kept = changes(history, 1)->changes[0].entry;
	CHECK(kept->pid, 3);
	CHECK(kept->id, 4);
	CHECK(memcmp(kept->comm, "0123456789abcdef", COMM_LEN), 0);
	CHECK(kept->total.tx_calls, 4);
	history_free(history);
}

static void rates(void)
{
	CHECK(throughput(0, 0), 0);
	CHECK(throughput(5, 0), 0);
	CHECK(throughput(UINT64_MAX, 0), 0);
	CHECK(throughput(0, 1), 0);
	CHECK(throughput(1000, 1000000000), 1000);
	CHECK(throughput(1000, 500000000), 2000);
	CHECK(throughput(1000, 2000000000), 500);
	CHECK(throughput(1, 1), 1000000000);
	/* to the nearest, halves upwards */
	CHECK(throughput(1, 2000000001), 0);
	CHECK(throughput(1, 2000000000), 1);
	CHECK(throughput(1, 1999999999), 1);
	CHECK(throughput(3, 2000000000), 2);
	CHECK(throughput(3, 2000000001), 1);
	CHECK(throughput(10, 3000000000), 3);
	CHECK(throughput(11, 3000000000), 4);
	CHECK(throughput(2, 3000000000), 1);
	CHECK(throughput(18446744073, 3000000000), 6148914691); /* the last one whose product fits */
	CHECK(throughput(18446744074, 3000000000), 6148914691);
	CHECK(throughput(18446744075, 3000000000), 6148914692);
	/* with no more digits than a double has */
	CHECK(throughput((1ULL << 32) + 1, 1000000000), (1ULL << 32) + 1);
	CHECK(throughput((1ULL << 53) + 1, 1000000000), (1ULL << 53) + 1);
	CHECK(throughput((1ULL << 62) + 1, 1000000000), (1ULL << 62) + 1);
	CHECK(throughput((1ULL << 63) + 1, 1000000000), (1ULL << 63) + 1);
	CHECK(throughput(UINT64_MAX - 1, 1000000000), UINT64_MAX - 1);
	CHECK(throughput(UINT64_MAX, 1000000000), UINT64_MAX);
	/* the longest window: 3600 intervals of a day */
	CHECK(throughput(UINT64_MAX, 3600 * 86400ULL * 1000000000), 59306661760);
}

static uint64_t random_state;

/* xorshift64*: the same everywhere, as rand(3) is not. */
static uint64_t random_number(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ULL;
}

static uint64_t below(uint64_t limit)
{
	return random_number() % limit;
}

/* The rate is right where twice what it is off, in units of 1 / nanoseconds, is no more than
 * one such unit: checked by a product, not by another division. */
static void random_rates(void)
{
	__extension__ typedef __int128 wide;

	for (int i = 0; i < 200000; i++) {
		uint64_t amount = random_number() >> below(64);
		uint64_t nanoseconds = 1 + (random_number() >> (6 + below(58)));
		wide exact = (wide)amount * 1000000000;
		wide off;

		if (exact / nanoseconds >= (wide)UINT64_MAX)
			continue; /* no rate that there can be */
		off = 2 * ((wide)throughput(amount, nanoseconds) * nanoseconds - exact);
		if (off > -(wide)nanoseconds && off <= (wide)nanoseconds)
			continue;
		failures++;
		printf("# throughput(%" PRIu64 ", %" PRIu64 ") is %" PRIu64
		       ": not the nearest integer\n",
		       amount, nanoseconds, (uint64_t)throughput(amount, nanoseconds));
		return;
	}
}

/* The model: a table of all ticks by all processes that there can be. */
enum { MODEL_TICKS = 40, MODEL_KEYS = 12 };

struct model {
	size_t ticks;
	uint64_t clock[MODEL_TICKS];
	bool there[MODEL_TICKS][MODEL_KEYS];
	uint64_t bytes[MODEL_TICKS][MODEL_KEYS][4];
};

/* The field-th counter's growth from tick `from` to tick `to`, tick by tick. */
static uint64_t model_growth(const struct model *model, size_t key, int field, size_t from,
			     size_t to)
{
	uint64_t old, new;

	if (from == to)
		return 0;
	old = model->there[to - 1][key] ? model->bytes[to - 1][key][field] : 0;
	new = model->there[to][key] ? model->bytes[to][key][field] : 0;
	return model_growth(model, key, field, from, to - 1) + (new >= old ? new - old : new);
}

static struct netmon_counters model_counters(const struct model *model, size_t key, size_t from)
{
	size_t to = model->ticks - 1;

	return (struct netmon_counters){
		model_growth(model, key, 0, from, to), model_growth(model, key, 1, from, to),
		model_growth(model, key, 2, from, to), model_growth(model, key, 3, from, to),
	};
}

/* One more tick for the model: each process is there or not, its counters grow, stand
 * still or begin anew. */
static void model_tick(struct model *model)
{
	size_t t = model->ticks++;

	model->clock[t] = (t ? model->clock[t - 1] : below(1000)) + below(3000000000);
	for (size_t key = 0; key < MODEL_KEYS; key++) {
		model->there[t][key] = below(3) > 0;
		for (int field = 0; field < 4; field++) {
			uint64_t last = t ? model->bytes[t - 1][key][field] : 0;
			uint64_t more = random_number() >> (8 + below(56));

			model->bytes[t][key][field] = !below(8) ? last :
						      !below(16) ? below(last + 1) :
								   last + more;
		}
	}
}

/* The same tick for the history, its processes in any order. */
static void push_model_tick(struct history *history, const struct model *model)
{
	size_t t = model->ticks - 1, first = below(MODEL_KEYS);
	struct tick *tick = push(history, model->clock[t]);

	for (size_t i = 0; i < MODEL_KEYS; i++) {
		size_t key = (first + 5 * i) % MODEL_KEYS; /* 5 is prime to MODEL_KEYS */
		const uint64_t *bytes = model->bytes[t][key];
		struct entry entry = {
			.id = key << 58,
			.total = { bytes[0], bytes[1], bytes[2], bytes[3] },
		};

		if (model->there[t][key])
			REQUIRE(!tick_add(tick, &entry));
	}
	tick_sort(tick);
}

static void compare_with_model(const struct history *history, const struct model *model,
			       size_t capacity, size_t window)
{
	size_t newest = model->ticks - 1, count = 0;
	size_t kept = model->ticks < capacity ? model->ticks : capacity;
	size_t length = window < kept - 1 ? window : kept - 1;
	const struct found *found = changes(history, window);

	CHECK(history_count(history), kept);
	for (size_t i = 0; i < kept; i++)
		CHECK(history_tick(history, i)->clock, model->clock[model->ticks - kept + i]);
	CHECK(history_tick(history, kept) == NULL, 1);
	CHECK(history_span(history, window), model->clock[newest] - model->clock[newest - length]);
	for (size_t key = 0; key < MODEL_KEYS && kept > 1; key++) {
		const struct change *change = &found->changes[count];
		struct netmon_counters interval, in_window;

		interval = model_counters(model, key, newest - 1);
		in_window = model_counters(model, key, newest - length);
		if (!model->there[newest][key] &&
		    !(in_window.rx_bytes | in_window.tx_bytes | in_window.rx_calls | in_window.tx_calls))
			continue;
		CHECK(count < found->count, 1);
		if (count++ >= found->count)
			return;
		CHECK(change->entry->id, key << 58);
		CHECK(change->gone, !model->there[newest][key]);
		check_counters(__LINE__, "interval", &change->interval, &interval);
		check_counters(__LINE__, "window", &change->window, &in_window);
	}
	CHECK(found->count, count);
}

static void random_sequences(void)
{
	static struct model model;

	for (int round = 0; round < 3000 && !failures; round++) {
		size_t capacity = 1 + below(12);
		struct history *history = ring(capacity);
		size_t ticks = 1 + below(MODEL_TICKS);

		model.ticks = 0;
		while (model.ticks < ticks && !failures) {
			model_tick(&model);
			push_model_tick(history, &model);
			compare_with_model(history, &model, capacity, 1 + below(capacity + 3));
		}
		if (failures)
			printf("# in round %d of seed %" PRIu64 "\n", round, seed);
		history_free(history);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "no ring without capacity", capacity_none },
	{ "no ring beyond all memory", capacity_beyond_memory },
	{ "no tick", no_tick },
	{ "one tick", one_tick },
	{ "two ticks", two_ticks },
	{ "capacity of one", capacity_one },
	{ "wrap-around, from oldest to newest", wrap_around },
	{ "a new tick is empty", new_tick_is_empty },
	{ "ticks of unequal length", ticks_of_unequal_length },
	{ "a tick with nothing in it", tick_with_nothing },
	{ "only such ticks", only_empty_ticks },
	{ "a process appears", appears },
	{ "a process disappears", disappears },
	{ "a process comes back", comes_back },
	{ "a counter begins anew", counter_begins_anew },
	{ "a reused pid", reused_pid },
	{ "counters beyond 2^32 and 2^53", large_counters },
	{ "the largest counter", largest_counter },
	{ "unequal times", unequal_times },
	{ "a window longer than the ring", window_longer_than_ring },
	{ "the order of entries", order_of_entries },
	{ "an entry is copied", entry_is_copied },
	{ "rates, rounded", rates },
	{ "random rates", random_rates },
	{ "random sequences", random_sequences },
};

int main(int argc, char **argv)
{
	size_t count = sizeof(tests) / sizeof(*tests);
	unsigned long failed = 0;

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	random_state = seed ? seed : 1; /* xorshift stays at 0 */
	printf("1..%zu\n# seed %" PRIu64 "\n", count, seed);
	for (size_t i = 0; i < count; i++) {
		failures = 0;
		tests[i].run();
		printf("%s %zu - %s\n", failures ? "not ok" : "ok", i + 1, tests[i].name);
		failed += failures > 0;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
