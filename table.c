// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "message.h"
#include "table.h"

/* What packet_stats may take for each CPU to have its own share of each slot: bytes. */
#define SHARES_MOST (64UL << 20)

enum {
	FIRST_MAPPED = 512,       /* slots */
	UNUSED_IN_A_ROW = 256,
};

/* What was last seen of a slot. */
struct seen {
	__u64 turn;
	bool over;                /* its process's end was reported */
	struct netmon_counters now;
	struct entry entry;
};

/* An array of the kernel, of which the first part is mapped into our memory. */
struct table {
	const char *name;
	int fd;
	size_t size;              /* of an element */
	size_t limit;             /* how many there are, */
	size_t mapped;            /* and are mapped */
	const char *elements;
	void *seen;               /* as many, of what was seen of each */
	size_t seen_size;
};

struct tables {
	struct layout layout;
	bool pinned;
	struct table stats;        /* struct slot, seen as struct seen */
	struct table processes;    /* struct netmon_process, seen as the same */
	int watch_fd;
	struct watch *watch;
	bool read_before;
	struct netmon_counters other;     /* of what found no room, at the reading before */
	struct netmon_counters lost;      /* of keys that came and went between two readings */
	bool lost_process;         /* what was lost had a place in `processes` that was taken */
	bool processes_said, entries_said;
};

/* Layout */

size_t layout_processes(const struct layout *layout)
{
	return 1 + (layout->parts & PART_PROCESS ? layout->max_processes + layout->by_packet : 0);
}

size_t layout_slots(const struct layout *layout)
{
	if (!layout->parts)
		return 1 + SLOT_ALL;
	return layout->parts == PART_PROCESS ? layout_processes(layout) : 1 + layout->max_entries;
}

static size_t slot_size(__u32 shares)
{
	return sizeof(struct slot) + shares * sizeof(struct share);
}

size_t layout_slot_size(const struct layout *layout)
{
	return slot_size(layout->shares);
}

__u32 layout_shares(const struct layout *layout, __u32 cpus)
{
	size_t slots_count = layout_slots(layout);
	__u32 shares = 1;

	if (cpus && cpus <= MAX_SHARES && slots_count * slot_size(cpus) <= SHARES_MOST)
		return cpus;
	while (2 * shares < cpus && slots_count * slot_size(2 * shares) <= SHARES_MOST)
		shares *= 2;
	return shares;
}

/* Mapping */

/* Makes the first `count` elements visible, and room for what is seen of them. */
static int table_map(struct table *table, size_t count)
{
	void *elements, *seen;

	if (count > table->limit)
		count = table->limit;
	elements = mmap(NULL, count * table->size, PROT_READ, MAP_SHARED, table->fd, 0);
	if (elements == MAP_FAILED) {
		cannot("map", table->name, NULL, NULL);
		return -1;
	}
	seen = realloc(table->seen, count * table->seen_size);
	if (!seen) {
		munmap(elements, count * table->size);
		cannot("read", table->name, strerror(ENOMEM), NULL);
		return -1;
	}
	memset((char *)seen + table->mapped * table->seen_size, 0,
	       (count - table->mapped) * table->seen_size);
	if (table->elements)
		munmap((void *)table->elements, table->mapped * table->size);
	table->seen = seen;
	table->elements = elements;
	table->mapped = count;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void table_close(struct table *table)
{
	if (table->elements)
		munmap((void *)table->elements, table->mapped * table->size);
	close_fd(table->fd);
	free(table->seen);
}

/* Makes visible what the probes count. */
static int map_all(struct tables *tables)
{
	bool writes = tables->layout.by_packet; /* how often it reads */
	void *watch = mmap(NULL, sizeof(*tables->watch), writes ? PROT_READ | PROT_WRITE : PROT_READ,
			   MAP_SHARED, tables->watch_fd, 0);

	if (watch == MAP_FAILED) {
		cannot("map", "watch", NULL, NULL);
		return -1;
	}
	tables->watch = watch;
	return table_map(&tables->stats, FIRST_MAPPED) || table_map(&tables->processes, FIRST_MAPPED);
}

struct tables *tables_open(const struct layout *layout, const struct table_fds *fds, bool pinned)
{
	struct tables *tables = calloc(1, sizeof(*tables));

	if (!tables) {
		cannot("map", "packet_stats", strerror(ENOMEM), NULL);
		close_fd(fds->stats);
		close_fd(fds->processes);
		close_fd(fds->watch);
		return NULL;
	}
	tables->layout = *layout;
	tables->pinned = pinned;
	tables->stats = (struct table){ "packet_stats", fds->stats, layout_slot_size(layout),
					.limit = layout_slots(layout),
					.seen_size = sizeof(struct seen) };
	tables->processes = (struct table){ "processes", fds->processes, sizeof(struct netmon_process),
					    .limit = layout_processes(layout),
					    .seen_size = sizeof(struct netmon_process) };
	tables->watch_fd = fds->watch;
	if (!map_all(tables))
		return tables;
	tables_close(tables);
	return NULL;
}

void tables_close(struct tables *tables)
{
	if (!tables)
		return;
	if (tables->watch)
		munmap(tables->watch, sizeof(*tables->watch));
	table_close(&tables->stats);
	table_close(&tables->processes);
	close_fd(tables->watch_fd);
	free(tables);
}

struct table_fds tables_fds(const struct tables *tables)
{
	return (struct table_fds){ tables->stats.fd, tables->processes.fd, tables->watch_fd };
}

/* Reading */

static struct netmon_counters minus(const struct netmon_counters *a, const struct netmon_counters *b)
{
	return (struct netmon_counters){
		.rx_bytes = a->rx_bytes - b->rx_bytes,
		.tx_bytes = a->tx_bytes - b->tx_bytes,
		.rx_calls = a->rx_calls - b->rx_calls,
		.tx_calls = a->tx_calls - b->tx_calls,
	};
}

static struct netmon_counters plus(const struct netmon_counters *a, const struct netmon_counters *b)
{
	return (struct netmon_counters){
		.rx_bytes = a->rx_bytes + b->rx_bytes,
		.tx_bytes = a->tx_bytes + b->tx_bytes,
		.rx_calls = a->rx_calls + b->rx_calls,
		.tx_calls = a->tx_calls + b->tx_calls,
	};
}

static bool is_zero(const struct netmon_counters *counters)
{
	return !(counters->rx_bytes | counters->tx_bytes | counters->rx_calls |
		 counters->tx_calls);
}

enum { TRIES = 1000 };

/* Whether nothing was being changed, by its turn before, while it was read. */
static bool is_whole(const __u64 *turn, __u64 before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return !(before & 1) && before == __atomic_load_n(turn, __ATOMIC_RELAXED);
}

/* Copies it while it neither changes hands nor else.  False where it does all the time. */
static bool copy_process(const struct netmon_process *process, struct netmon_process *copy)
{
	enum { MEMBERS = offsetof(struct netmon_process, comm) + COMM_LEN }; /* not what pads them */

	for (int tries = 0; tries < TRIES; tries++) {
		__u64 before = __atomic_load_n(&process->turn, __ATOMIC_ACQUIRE);

		*copy = *process;
		if (is_whole(&process->turn, before) && !memcmp(copy, process, MEMBERS))
			return true;
	}
	return false;
}

static struct netmon_counters sum_up(const struct tables *tables, const struct slot *slot)
{
	struct netmon_counters sum = { 0 };

	for (__u32 i = 0; i < tables->layout.shares; i++)
		sum = plus(&sum, &slot->shares[i].now);
	return sum;
}

/* Copies all but the shares, and sums these up, while it does not change hands. */
static bool copy_slot(const struct tables *tables, const struct slot *slot, struct slot *copy,
		      struct netmon_counters *now)
{
	for (int tries = 0; tries < TRIES; tries++) {
		__u64 before = __atomic_load_n(&slot->turn, __ATOMIC_ACQUIRE);

		*copy = *slot;
		*now = sum_up(tables, slot);
		if (is_whole(&slot->turn, before))
			return true;
	}
	return false;
}

static struct netmon_process *seen_process(const struct tables *tables, size_t index)
{
	return &((struct netmon_process *)tables->processes.seen)[index];
}

static const struct netmon_process *kernel_process(const struct tables *tables, size_t index)
{
	return &((const struct netmon_process *)tables->processes.elements)[index];
}

/* Looks at the process anew; keeps what was seen where it changes right now. */
static void look_at_process(struct tables *tables, size_t index)
{
	struct netmon_process copy;

	if (copy_process(kernel_process(tables, index), &copy))
		*seen_process(tables, index) = copy;
}

/* It begins with its turn. */
static const void *element(const struct table *table, size_t index)
{
	return table->elements + index * table->size;
}

/* Elements are first used in their order, give or take those that are being taken on other
 * CPUs right now.  Returns 1 where `index` is one to look at, 0 where all used ones are
 * behind it, -1 where memory is short; counts the unused in `unused`. */
static int next_used(struct table *table, size_t index, size_t *unused)
{
	const __u64 *turn;

	if (index >= table->limit || *unused >= UNUSED_IN_A_ROW)
		return 0;
	if (index == table->mapped && table_map(table, 2 * table->mapped))
		return -1;
	turn = element(table, index);
	*unused = __atomic_load_n(turn, __ATOMIC_RELAXED) ? 0 : *unused + 1;
	return 1;
}

/* An end that is seen here makes the counters that are read later final. */
static int read_processes(struct tables *tables)
{
	size_t unused = 0;
	int used;

	for (size_t i = 1; (used = next_used(&tables->processes, i, &unused)) > 0; i++) {
		const struct netmon_process *process = seen_process(tables, i);

		if (unused || (process->ended &&
			       process->turn == __atomic_load_n(&kernel_process(tables, i)->turn,
								__ATOMIC_RELAXED)))
			continue;
		look_at_process(tables, i);
	}
	return used;
}

/* Whether nothing of the process can be counted any more.  In layer ip it can until the first
 * reading after its end begins, and may just have been when that reads. */
static bool is_over(const struct tables *tables, const struct netmon_process *process)
{
	if (!tables->layout.by_packet)
		return process->ended;
	return process->ended && tables->watch->readings - process->ended_in >= 2;
}

static bool is_of(const struct netmon_process *process, const struct netmon_key *key)
{
	return process->turn >> 1 == key->generation;
}

/* Fills in the process of the entry.  False where its place was taken by another one before
 * anybody looked, so that nobody knows any more who it was. */
static int find_process(struct tables *tables, struct entry *entry, bool known, bool *over)
{
	const struct netmon_process *process;
	size_t index = entry->key.process;

	*over = false;
	while (index >= tables->processes.mapped)
		if (table_map(&tables->processes, 2 * tables->processes.mapped))
			return -1;
	process = seen_process(tables, index);
	if (is_of(process, &entry->key))
		*over = is_over(tables, process);
	else
		look_at_process(tables, index);
	if (is_of(process, &entry->key)) {
		entry->pid = process->pid;
		entry->ppid = process->ppid;
		entry->ended = *over;
		memcpy(entry->comm, process->comm, COMM_LEN);
		return 1;
	}
	entry->ended = 1;
	*over = known; /* its counters were read after it had ended */
	return known;
}

/* Takes a name that came while the counters were read: what it sent under that one may be among
 * them, and nothing else after it. */
static void refresh_name(struct tables *tables, struct entry *entry)
{
	size_t index = entry->key.process;

	look_at_process(tables, index);
	if (is_of(seen_process(tables, index), &entry->key))
		memcpy(entry->comm, seen_process(tables, index)->comm, COMM_LEN);
}

/* What the kernel sends and receives itself has no user and no cgroup. */
static __u32 known_parts(const struct tables *tables, const struct netmon_key *key)
{
	__u32 known = tables->layout.parts;

	if (key->uid == NO_UID)
		known &= ~(__u32)PART_UID;
	if (!key->cgroup)
		known &= ~(__u32)PART_CGROUP;
	return known;
}

/* Reports what a slot has that is new.  Where it changed hands once since it was last
 * seen, the rest is the last of the key seen then; where more often, nobody can tell
 * whose it is. */
static int read_slot(struct tables *tables, size_t index, struct seen *seen,
		     const struct slot *slot, const struct netmon_counters *now,
		     int (*found)(void *, const struct entry *), void *context)
{
	bool known = slot->turn == seen->turn;
	int who = 1;

	if (!known) {
		struct netmon_counters rest = minus(&slot->base, &seen->now);

		if (seen->turn && !seen->over && slot->turn == seen->turn + 2) {
			seen->entry.total = plus(&seen->entry.total, &rest);
			seen->entry.ended = 1;
			if (!is_zero(&seen->entry.total) && found(context, &seen->entry))
				return -1;
		} else {
			tables->lost = plus(&tables->lost, &rest);
		}
		memset(&seen->entry, 0, sizeof(seen->entry));
		seen->over = false;
		seen->turn = slot->turn;
		seen->now = slot->base;
		seen->entry.id = (__u64)index << 40 | slot->turn >> 1;
		seen->entry.known = known_parts(tables, &slot->key);
		seen->entry.key = slot->key;
	}
	if (tables->layout.parts & PART_PROCESS)
		who = find_process(tables, &seen->entry, known && seen->entry.pid, &seen->over);
	if (who < 0)
		return -1;
	if (!who) {
		struct netmon_counters rest = minus(now, &seen->now);

		tables->lost = plus(&tables->lost, &rest);
		tables->lost_process = true;
		seen->now = *now;
		return 0;
	}
	if (tables->layout.parts & PART_PROCESS && !seen->over &&
	    memcmp(&seen->now, now, sizeof(*now)))
		refresh_name(tables, &seen->entry);
	seen->now = *now;
	seen->entry.total = minus(now, &slot->base);
	return is_zero(&seen->entry.total) ? 0 : found(context, &seen->entry);
}

/* Reports what was seen before of a slot that can't be read now: the next reading has the
 * rest.  Without it the key would seem to have gone and come back.  Where it changes hands at
 * the first reading of a pin, nothing counts there meanwhile. */
static int read_again(const struct tables *tables, struct seen *seen, const struct slot *slot,
		      int (*found)(void *, const struct entry *), void *context)
{
	bool known = seen->turn && !seen->over && !is_zero(&seen->entry.total);

	if (tables->pinned && !tables->read_before)
		seen->now = sum_up(tables, slot);
	return known ? found(context, &seen->entry) : 0;
}

static void say_full(__u32 limit, const char *what, const char *option)
{
	say("cannot add to 'packet_stats': full with %u %s: the rest is summed in the row '(other)': "
	    "raise it with %s", limit, what, option);
}

static int read_other(struct tables *tables, int (*found)(void *, const struct entry *),
		      void *context)
{
	struct netmon_counters now = sum_up(tables, element(&tables->stats, SLOT_OTHER));
	struct entry other = { .id = ~0ULL, .comm = "(other)" };
	bool keyed = tables->layout.parts & ~PART_PROCESS, lost = !is_zero(&tables->lost);
	bool of_processes = tables->lost_process || (lost && !keyed);
	struct netmon_counters more;

	other.total = plus(&now, &tables->lost);
	more = minus(&other.total, &tables->other);
	tables->other = other.total;
	if (is_zero(&other.total))
		return 0;
	/* what others before us lost is theirs to say */
	if (is_zero(&more) || (tables->pinned && !tables->read_before))
		return found(context, &other);
	if (!tables->processes_said && (tables->watch->processes_full || of_processes)) {
		say_full(tables->layout.max_processes, "processes", "--max-processes");
		tables->processes_said = true;
	}
	if (!tables->entries_said && (tables->watch->entries_full || (lost && !of_processes))) {
		say_full(tables->layout.max_entries, "entries", "--max-entries");
		tables->entries_said = true;
	}
	return found(context, &other);
}

static int read_stats(struct tables *tables, int (*found)(void *, const struct entry *),
		      void *context)
{
	struct table *stats = &tables->stats;
	size_t unused = 0;
	int used;

	for (size_t i = 1;
	     (used = next_used(stats, i, &unused)) > 0; i++) {
		const struct slot *slot = element(stats, i);
		struct seen *seen = &((struct seen *)stats->seen)[i];
		bool same = __atomic_load_n(&slot->turn, __ATOMIC_RELAXED) == seen->turn;
		struct netmon_counters now;
		struct slot copy;

		if (tables->layout.parts && (unused || (same && seen->over)))
			continue;
		if (copy_slot(tables, slot, &copy, &now)
			    ? read_slot(tables, i, seen, &copy, &now, found, context)
			    : read_again(tables, seen, slot, found, context))
			return -1;
	}
	return used;
}

int tables_read(struct tables *tables, int (*found)(void *, const struct entry *), void *context)
{
	if (tables->layout.by_packet)
		__atomic_fetch_add(&tables->watch->readings, 1, __ATOMIC_SEQ_CST);
	if (tables->layout.parts & PART_PROCESS && read_processes(tables))
		return -1;
	if (read_stats(tables, found, context))
		return -1;
	/* what came and went before the first reading of a pin is none of its reader's */
	if (tables->pinned && !tables->read_before) {
		tables->lost = (struct netmon_counters){ 0 };
		tables->lost_process = false;
	}
	if (read_other(tables, found, context))
		return -1;
	tables->read_before = true;
	return 0;
}

int tables_use(struct tables *tables, struct tables_use *use)
{
	*use = (struct tables_use){ 0 };
	if (table_map(&tables->stats, tables->stats.limit) ||
	    table_map(&tables->processes, tables->processes.limit))
		return -1;
	for (size_t i = 1; i < tables->processes.limit; i++) {
		const struct netmon_process *process = kernel_process(tables, i);

		use->processes += process->turn && !process->ended;
	}
	for (size_t i = 0; i < tables->stats.limit; i++) {
		const struct slot *slot = element(&tables->stats, i);
		struct netmon_counters now = sum_up(tables, slot);

		use->entries += i && slot->turn && !slot->free;
		use->all = plus(&use->all, &now);
	}
	if (tables->layout.parts == PART_PROCESS)
		use->entries = use->processes;
	return 0;
}
__u64 tables_calls_missed(const struct tables *tables)
{
	return *(const volatile __u64 *)&tables->watch->calls_missed;
}

__u64 tables_not_followed(const struct tables *tables)
{
	return *(const volatile __u64 *)&tables->watch->forks_missed;
}
