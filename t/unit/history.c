// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of history.h, in the Test Anything Protocol: each edge case by hand, then random sequences
 * of ticks against a model that keeps every tick.
 *
 *     history [SEED]     exit status 0 if all is well, 1 if a check failed
 *
 * The default seed is fixed, so that a failure can be repeated.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "history.h"
#include "tap.h"

enum { MAX_FOUND = 512 };

/* The changes that history_changes() found, in its order. */
struct found {
	size_t count;
	struct change changes[MAX_FOUND];
	struct netmon_entry entries[MAX_FOUND];
};

static uint64_t seed = 20231124;

/* The script: the ticks of a test.  Each ring gets all of them, whatever its capacity. */
enum { MAX_TICKS = 80, MAX_PUT = 256 };

static struct {
	size_t count;
	struct {
		uint64_t clock;
		size_t count;
		struct netmon_entry entries[MAX_PUT];
	} ticks[MAX_TICKS];
} script;

static void begin(void)
{
	script.count = 0;
}

static void tick(uint64_t clock)
{
	REQUIRE(script.count < MAX_TICKS);
	script.ticks[script.count].clock = clock;
	script.ticks[script.count++].count = 0;
}

static void put_entry(const struct netmon_entry *entry)
{
	REQUIRE(script.count && script.ticks[script.count - 1].count < MAX_PUT);
	script.ticks[script.count - 1].entries[script.ticks[script.count - 1].count++] = *entry;
}

static struct history *new_ring(size_t capacity, size_t bytes_most)
{
	struct history *history = history_new(capacity, bytes_most);

	REQUIRE(history);
	return history;
}

/* Gives the ring the tick of the script. */
static void play(struct history *history, size_t index)
{
	struct tick *begun = history_push(history);

	REQUIRE(begun);
	CHECK(begun->clock, 0);
	CHECK(begun->time, 0);
	CHECK(begun->count, 0);
	begun->clock = script.ticks[index].clock;
	begun->time = 7 * begun->clock;
	for (size_t i = 0; i < script.ticks[index].count; i++)
		REQUIRE(!history_add(history, &script.ticks[index].entries[i]));
	REQUIRE(!history_complete(history));
}

/* A ring that has seen the script. */
static struct history *ring(size_t capacity)
{
	struct history *history = new_ring(capacity, SIZE_MAX);

	for (size_t i = 0; i < script.count; i++)
		play(history, i);
	return history;
}

/* All counters differ, so that a swap shows. */
static struct netmon_counters counters_of(uint64_t rx_bytes)
{
	return (struct netmon_counters){ rx_bytes, 2 * rx_bytes, 3 * rx_bytes, 5 * rx_bytes };
}

/* Lives of a process, distinguished by when they began. */
static uint64_t life(uint32_t pid, uint64_t since)
{
	return (uint64_t)pid << 32 | since;
}

static void put(uint32_t pid, uint64_t since, uint64_t rx_bytes)
{
	struct netmon_entry entry = { .id = life(pid, since), .total = counters_of(rx_bytes) };

	put_entry(&entry);
}

static void note(void *context, const struct change *change)
{
	struct found *found = context;

	REQUIRE(found->count < MAX_FOUND);
	found->changes[found->count] = *change;
	found->entries[found->count] = *change->entry;
	found->changes[found->count].entry = &found->entries[found->count];
	found->count++;
}

static const struct found *changes_in(const struct history *history)
{
	static struct found found;

	found.count = 0;
	history_changes(history, note, &found);
	return &found;
}

/* Runs the script on a ring of that many intervals. */
static const struct found *changes(size_t window)
{
	struct history *history = ring(window + 1);
	const struct found *found = changes_in(history);

	history_free(history);
	return found;
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

/* Checks the process of the index-th change, and the growth of its rx_bytes. */
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
	CHECK(history_new(0, SIZE_MAX) == NULL, 1);
	CHECK(errno, EINVAL);
	history_free(NULL);
}

/* If the product of sizes wraps, the ring must not be small. */
static void capacity_beyond_memory(void)
{
	size_t wrapping = SIZE_MAX / sizeof(struct tick) + 2;

	errno = 0;
	CHECK(history_new(wrapping, SIZE_MAX) == NULL, 1);
	CHECK(errno, ENOMEM);
}

static void no_tick(void)
{
	struct history *history;

	begin();
	history = ring(3);
	CHECK(history_count(history), 0);
	CHECK(history_tick(history, 0) == NULL, 1);
	CHECK(history_tick(history, SIZE_MAX) == NULL, 1);
	CHECK(history_span(history, 1), 0);
	CHECK(changes_in(history)->count, 0);
	history_free(history);
}

static void one_tick(void)
{
	struct history *history;

	begin();
	tick(1000);
	put(1, 0, 500);
	history = ring(3);
	CHECK(history_count(history), 1);
	CHECK(history_tick(history, 0)->clock, 1000);
	CHECK(history_tick(history, 1) == NULL, 1);
	CHECK(history_span(history, 1), 0);
	CHECK(changes_in(history)->count, 0);
	history_free(history);
}

static void two_ticks(void)
{
	struct history *history;
	const struct found *found;

	begin();
	tick(1000);
	put(1, 0, 500);
	tick(3500);
	put(1, 0, 740);
	history = ring(3);
	CHECK(history_count(history), 2);
	CHECK(history_span(history, 1), 2500);
	found = changes_in(history);
	CHECK(found->count, 1);
	CHANGE(found, 0, 1, 0, 240, 240);
	history_free(history);
}

static void capacity_one(void)
{
	struct history *history = new_ring(1, SIZE_MAX);

	begin();
	for (uint64_t clock = 1; clock <= 5; clock++) {
		tick(clock);
		put(1, 0, 100 * clock);
		play(history, clock - 1);
		CHECK(history_count(history), 1);
		CHECK(history_tick(history, 0)->clock, clock);
		CHECK(history_tick(history, 1) == NULL, 1);
		CHECK(history_span(history, 1), 0);
		CHECK(history_bytes(history), 0);
		CHECK(changes_in(history)->count, 0);
	}
	history_free(history);
}

static void wrap_around(void)
{
	for (size_t capacity = 1; capacity <= 7; capacity++) {
		struct history *history = new_ring(capacity, SIZE_MAX);

		begin();
		for (size_t pushed = 1; pushed <= 10 * capacity + 3; pushed++) {
			size_t count = pushed < capacity ? pushed : capacity;

			tick(pushed);
			play(history, pushed - 1);
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

static void ticks_of_unequal_length(void)
{
	static const size_t lengths[] = { 200, 0, 1, 65, 64, 3, 129, 128 };

	begin();
	for (size_t t = 0; t < sizeof(lengths) / sizeof(*lengths); t++) {
		const struct found *found;
		size_t before = t ? lengths[t - 1] : 0;

		tick(t);
		for (uint32_t pid = 0; pid < lengths[t]; pid++)
			put(pid, 0, 1000 * (t + 1) + pid);
		found = changes(1);
		CHECK(found->count, t ? lengths[t] : 0);
		for (uint32_t i = 0; i < found->count; i++) {
			uint64_t grown = i < before ? 1000 : 1000 * (t + 1) + i;

			CHANGE(found, i, i, 0, grown, grown);
		}
	}
}

static void tick_with_nothing(void)
{
	struct history *history;

	begin();
	tick(10);
	put(1, 0, 100);
	tick(20);
	history = ring(4);
	CHECK(changes_in(history)->count, 0);
	CHECK(history_span(history, 1), 10);
	history_free(history);
	tick(30);
	put(2, 0, 7);
	CHECK(changes(1)->count, 1);
	CHANGE(changes(1), 0, 2, 0, 7, 7);
	CHANGE(changes(3), 0, 2, 0, 7, 7);
}

static void only_empty_ticks(void)
{
	begin();
	for (uint64_t clock = 1; clock <= 4; clock++) {
		tick(clock);
		CHECK(changes(1)->count, 0);
	}
}

static void appears(void)
{
	const struct found *found;

	begin();
	tick(1);
	put(5, 0, 100);
	tick(2);
	put(5, 0, 103);
	put(9, 0, 40);
	put(2, 0, 60);
	found = changes(1);
	CHECK(found->count, 3);
	CHANGE(found, 0, 2, 0, 60, 60);
	CHANGE(found, 1, 5, 0, 3, 3);
	CHANGE(found, 2, 9, 0, 40, 40);
}

/* An entry that is gone is found as long as it has traffic in the window. */
static void disappears(void)
{
	const struct found *found;

	begin();
	tick(1);
	put(5, 0, 100);
	put(6, 0, 200);
	tick(2);
	put(6, 0, 211);
	found = changes(2);
	CHECK(found->count, 1);
	CHANGE(found, 0, 6, 0, 11, 11);

	begin();
	tick(1);
	tick(2);
	put(5, 0, 100);
	put(6, 0, 200);
	tick(3);
	put(6, 0, 211);
	found = changes(2);
	CHECK(found->count, 2);
	CHANGE(found, 0, 5, 0, 0, 100);
	CHECK(found->changes[0].gone, true);
	CHANGE(found, 1, 6, 0, 11, 211);
	CHECK(found->changes[1].gone, false);
	CHECK(changes(1)->count, 1);
}

static void comes_back(void)
{
	begin();
	tick(1);
	put(5, 0, 100);
	tick(2);
	put(5, 0, 130);
	tick(3);
	tick(4);
	put(5, 0, 150);
	CHANGE(changes(1), 0, 5, 0, 150, 150);
	CHANGE(changes(2), 0, 5, 0, 150, 150);
	/* the 30 from the first tick to the second, and 150 from the third to the last */
	CHANGE(changes(3), 0, 5, 0, 150, 180);
}

static void counter_starts_again(void)
{
	begin();
	tick(1);
	put(5, 0, 1000);
	tick(2);
	put(5, 0, 1010);
	tick(3);
	put(5, 0, 4);
	CHANGE(changes(1), 0, 5, 0, 4, 4);
	CHANGE(changes(2), 0, 5, 0, 4, 14);
}

static void reused_pid(void)
{
	const struct found *found;

	begin();
	tick(1);
	put(5, 1000, 100);
	tick(2);
	put(5, 2000, 130); /* another process, with larger counters than the last */
	found = changes(1);
	CHECK(found->count, 1);
	CHANGE(found, 0, 5, 2000, 130, 130);

	tick(3);
	put(5, 3000, 8); /* both lives in one tick */
	put(5, 2000, 131);
	found = changes(2);
	CHECK(found->count, 2);
	CHANGE(found, 0, 5, 2000, 1, 131);
	CHANGE(found, 1, 5, 3000, 8, 8);
}

static void large_counters(void)
{
	static const uint64_t starts[] = { UINT32_MAX - 1ULL, 1ULL << 32, 1ULL << 53,
					   (1ULL << 53) + 1, 1ULL << 61 };

	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		begin();
		for (uint64_t t = 0; t < 3; t++) {
			uint64_t n = starts[i] + 3 * t;
			struct netmon_entry entry = { .id = 1, .total = { n, n, n, n } };

			tick(t);
			put_entry(&entry);
		}
		CHECK(changes(1)->changes[0].interval.rx_bytes, 3);
		CHECK(changes(1)->changes[0].interval.tx_calls, 3);
		CHECK(changes(2)->changes[0].window.tx_bytes, 6);
		CHECK(changes(2)->changes[0].window.rx_calls, 6);
	}
}

/* From nothing to 2^64 - 1 in one interval. */
static void largest_counter(void)
{
	struct netmon_entry entry = { .id = 1, .total = { UINT64_MAX, UINT64_MAX, 1, 0 } };

	begin();
	tick(0);
	tick(1);
	put_entry(&entry);
	CHECK(changes(1)->changes[0].interval.rx_bytes, UINT64_MAX);
	CHECK(changes(1)->changes[0].window.tx_bytes, UINT64_MAX);
	tick(2);
	tick(3);
	CHECK(changes(3)->changes[0].window.tx_bytes, UINT64_MAX);
	CHECK(changes(2)->count, 0);
}

/* A total growth of 2^64 wraps to 0, but the entry has traffic until that expires. */
static void sum_that_wraps(void)
{
	struct netmon_entry entry = { .id = 1, .total = { UINT64_MAX, 0, 0, 0 } };

	begin();
	tick(0);
	tick(1);
	put_entry(&entry);
	entry.total.rx_bytes = 1;
	tick(2);
	put_entry(&entry);
	tick(3);
	CHECK(changes(3)->count, 1);
	CHECK(changes(3)->changes[0].window.rx_bytes, 0);
	CHECK(changes(2)->changes[0].window.rx_bytes, 1);
	CHECK(changes(1)->count, 0);
}

static void unequal_times(void)
{
	static const uint64_t clocks[] = { 5, 7, 1000000007, 1000000008, 4000000008 };
	struct history *history;

	begin();
	for (size_t i = 0; i < 5; i++) {
		tick(clocks[i]);
		put(1, 0, 10 * i);
	}
	history = ring(4);
	CHECK(history_span(history, 1), 3000000000);
	CHECK(history_span(history, 2), 3000000001);
	CHECK(history_span(history, 3), 4000000001);
	CHANGE(changes_in(history), 0, 1, 0, 10, 30);
	history_free(history);
}

/* A window is not longer than what the ring has so far. */
static void window_longer_than_ring(void)
{
	static const size_t windows[] = { 2, 3, 100, SIZE_MAX - 1, SIZE_MAX };
	struct history *history = new_ring(3, SIZE_MAX);

	begin();
	for (uint64_t t = 1; t <= 7; t++) {
		uint64_t spans[] = { 0, 0, 100, 200, 200, 200, 200, 200 };

		tick(100 * t);
		put(1, 0, 10 * t);
		play(history, t - 1);
		for (size_t i = 0; i < 5; i++)
			CHECK(history_span(history, windows[i]), spans[t]);
		if (t > 1)
			CHANGE(changes_in(history), 0, 1, 0, 10, spans[t] / 10);
	}
	history_free(history);
}

static void order_of_entries(void)
{
	static const uint64_t ordered[] = { 0, 1, 2, INT32_MAX, UINT32_MAX, 1ULL << 63, UINT64_MAX };
	size_t count = sizeof(ordered) / sizeof(*ordered);
	const struct found *found;

	begin();
	tick(0);
	tick(1);
	for (size_t i = 0; i < count; i++) {
		struct netmon_entry entry = { .id = ordered[3 * i % count], .total = { 1, 0, 0, 0 } };

		put_entry(&entry);
	}
	found = changes(1);
	CHECK(found->count, count);
	for (size_t i = 0; i < count; i++)
		CHECK(found->changes[i].entry->id, ordered[i]);
}

/* The ring keeps its own copy, with the name up to its last byte; a newer tick updates it. */
static void entry_is_copied(void)
{
	struct netmon_entry entry = { .id = 4, .pid = 3, .total = { 1, 2, 3, 4 } };
	const struct netmon_entry *kept;

	begin();
	tick(0);
	memcpy(entry.comm, "0123456789abcdef", COMM_LEN);
	tick(1);
	put_entry(&entry);
	kept = changes(2)->changes[0].entry;
	CHECK(kept->pid, 3);
	CHECK(kept->id, 4);
	CHECK(memcmp(kept->comm, "0123456789abcdef", COMM_LEN), 0);
	CHECK(kept->total.tx_calls, 4);
	memcpy(entry.comm, "fedcba9876543210", COMM_LEN);
	tick(2);
	put_entry(&entry);
	tick(3); /* gone; the ring keeps its last state */
	kept = changes(3)->changes[0].entry;
	CHECK(memcmp(kept->comm, "fedcba9876543210", COMM_LEN), 0);
	CHECK(kept->total.tx_calls, 4);
}

/* Returns how much a ring reads to complete a tick, if each tick has that many entries, and the same
 * number of others has gone. */
static uint64_t work_of_a_tick(size_t capacity, uint32_t entries)
{
	struct history *history = new_ring(capacity, SIZE_MAX);
	uint64_t before = 0;

	for (uint64_t t = 0; t <= capacity + 1; t++) {
		struct tick *begun = history_push(history);

		before = history_work(history);
		begun->clock = t;
		for (uint32_t pid = 0; pid < entries; pid++) {
			struct netmon_entry entry = { .id = life(pid, 0), .total = counters_of(t + 1) };

			REQUIRE(!history_add(history, &entry));
		}
		REQUIRE(!history_complete(history));
	}
	before = history_work(history) - before;
	history_free(history);
	return before;
}

/* The cost of a tick depends on its entries only, not on the window. */
static void work_by_window(void)
{
	for (uint32_t entries = 1; entries <= 1000; entries *= 10) {
		uint64_t work = work_of_a_tick(2, entries);

		CHECK(work > 0 && work <= 4 * entries, true);
		CHECK(work_of_a_tick(61, entries), work);
		CHECK(work_of_a_tick(601, entries), work);
	}
}

/* 40 bytes for each entry with traffic in a tick older than the newest, none for idle entries. */
static void bytes_by_window(void)
{
	struct history *history = new_ring(11, SIZE_MAX);

	begin();
	for (uint64_t t = 0; t < 30; t++) {
		size_t older = !t ? 0 : t < 10 ? t - 1 : 9;

		tick(t);
		for (uint32_t pid = 0; pid < 100; pid++)
			put(pid, 0, pid < 7 ? t : 1000);
		play(history, t);
		CHECK(history_bytes(history), 40 * 7 * older);
		CHECK(history_was_cut(history), false);
	}
	for (uint64_t t = 30; t < 40; t++) {
		tick(t);
		play(history, t);
		CHECK(history_bytes(history), 40 * 7 * (39 - t));
	}
	CHECK(changes_in(history)->count, 0);
	history_free(history);
}

/* At its memory limit, a ring keeps fewer ticks, and its sums and span cover only these. */
static void bytes_at_most(void)
{
	struct history *history = new_ring(100, 40 * 25);

	begin();
	for (uint64_t t = 0; t < 20; t++) {
		const uint64_t intervals = t < 3 ? t : 3; /* two older ones and the newest */
		const struct found *found;

		tick(1000 * t);
		for (uint32_t pid = 0; pid < 10; pid++)
			put(pid, 0, t);
		play(history, t);
		CHECK(history_count(history), intervals + 1);
		CHECK(history_was_cut(history), t > 3);
		if (!t)
			continue;
		found = changes_in(history);
		CHECK(found->count, 10);
		CHANGE(found, 9, 9, 0, 1, intervals);
		CHECK(history_span(history, 100), 1000 * intervals);
	}
	history_free(history);
	history = new_ring(100, 0); /* the newest interval stays */
	for (size_t t = 0; t < 20; t++)
		play(history, t);
	CHECK(history_count(history), 2);
	CHANGE(changes_in(history), 0, 0, 0, 1, 1);
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
	/* no more digits than a double has */
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

/* xorshift64*: unlike rand(3), the same on all systems. */
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

/* The rate is right if its error is at most a half, checked by a product instead of another
 * division. */
static void random_rates(void)
{
	__extension__ typedef __int128 wide;

	for (int i = 0; i < 200000; i++) {
		uint64_t amount = random_number() >> below(64);
		uint64_t nanoseconds = 1 + (random_number() >> (6 + below(58)));
		wide exact = (wide)amount * 1000000000;
		wide off;

		if (exact / nanoseconds >= (wide)UINT64_MAX)
			continue; /* impossible rate */
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

/* The model: a table of all ticks by all possible processes. */
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

/* Adds a tick to the model: each process is there or not, and its counters grow, stay or restart. */
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

/* Adds the same tick to the history, with the processes in random order. */
static void push_model_tick(struct history *history, const struct model *model)
{
	size_t t = model->ticks - 1, first = below(MODEL_KEYS);

	begin();
	tick(model->clock[t]);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		size_t key = (first + 5 * i) % MODEL_KEYS; /* 5 is prime to MODEL_KEYS */
		const uint64_t *bytes = model->bytes[t][key];
		struct netmon_entry entry = {
			.id = key << 58,
			.total = { bytes[0], bytes[1], bytes[2], bytes[3] },
		};

		if (model->there[t][key])
			put_entry(&entry);
	}
	play(history, 0);
}

static void compare_with_model(const struct history *history, const struct model *model,
			       size_t capacity)
{
	size_t newest = model->ticks - 1, count = 0;
	size_t kept = model->ticks < capacity ? model->ticks : capacity;
	const struct found *found = changes_in(history);

	CHECK(history_count(history), kept);
	for (size_t i = 0; i < kept; i++) {
		CHECK(history_tick(history, i)->clock, model->clock[model->ticks - kept + i]);
		CHECK(history_span(history, i), model->clock[newest] - model->clock[newest - i]);
	}
	CHECK(history_tick(history, kept) == NULL, 1);
	CHECK(history_span(history, kept), history_span(history, kept - 1));
	for (size_t key = 0; key < MODEL_KEYS && kept > 1; key++) {
		const struct change *change = &found->changes[count];
		struct netmon_counters interval, in_window;

		interval = model_counters(model, key, newest - 1);
		in_window = model_counters(model, key, newest - (kept - 1));
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
		struct history *history = new_ring(capacity, SIZE_MAX);
		size_t ticks = 1 + below(MODEL_TICKS);

		model.ticks = 0;
		while (model.ticks < ticks && !failures) {
			model_tick(&model);
			push_model_tick(history, &model);
			compare_with_model(history, &model, capacity);
		}
		if (failures)
			printf("# in round %d of seed %" PRIu64 "\n", round, seed);
		history_free(history);
	}
}

static const struct test tests[] = {
	{ "no ring without capacity", capacity_none },
	{ "no ring beyond all memory", capacity_beyond_memory },
	{ "no tick", no_tick },
	{ "one tick", one_tick },
	{ "two ticks", two_ticks },
	{ "capacity of one", capacity_one },
	{ "wrap-around, from oldest to newest", wrap_around },
	{ "ticks of unequal length", ticks_of_unequal_length },
	{ "a tick with nothing in it", tick_with_nothing },
	{ "only such ticks", only_empty_ticks },
	{ "a process appears", appears },
	{ "a process disappears", disappears },
	{ "a process comes back", comes_back },
	{ "a counter starts again", counter_starts_again },
	{ "a reused pid", reused_pid },
	{ "counters beyond 2^32 and 2^53", large_counters },
	{ "the largest counter", largest_counter },
	{ "a sum that wraps", sum_that_wraps },
	{ "unequal times", unequal_times },
	{ "a window longer than the ring", window_longer_than_ring },
	{ "the order of entries", order_of_entries },
	{ "an entry is copied", entry_is_copied },
	{ "a tick costs the same whatever the window", work_by_window },
	{ "40 bytes for each entry that moves in a tick", bytes_by_window },
	{ "no more bytes than the ring may take", bytes_at_most },
	{ "rates, rounded", rates },
	{ "random rates", random_rates },
	{ "random sequences", random_sequences },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	random_state = seed ? seed : 1; /* xorshift stays at 0 */
	printf("# seed %" PRIu64 "\n", seed);
	return run_tests(tests, sizeof(tests) / sizeof(*tests));
}
