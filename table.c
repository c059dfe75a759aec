// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "message.h"
#include "table.h"

/* The most that all sets of counters may take, in bytes. */
#define COUNTERS_MOST (32UL << 20)

enum {
	FIRST_MAPPED = 512,       /* elements */
	UNUSED_IN_A_ROW = 256,
};

/* What the last reading found in a row. */
struct seen {
	__u64 generation;         /* 0: it was not in use */
	bool final;               /* its last entry has been reported */
	struct netmon_counters now;
	__u64 tx_retrans;
	struct netmon_entry entry;
};

/* A map whose first elements are mapped into memory.  Each element begins with its seqcount. */
struct table {
	const char *name;
	int fd;
	size_t size;              /* of an element, in bytes */
	size_t limit;             /* elements in the map */
	size_t mapped;            /* elements mapped so far */
	const char *elements;
	void *seen;               /* for each mapped element, what the last reading found */
	size_t seen_size;
};

struct tables {
	struct layout layout;
	bool pinned;
	struct table rows;         /* struct netmon_row, seen as struct seen */
	struct table processes;    /* struct netmon_process, seen as struct netmon_process */
	int counters_fd, status_fd, gone_fd;
	const struct netmon_counters *sets[MAX_GROUPS];   /* the counters of the mapped rows */
	const __u64 *status;       /* by enum netmon_status */
	const struct netmon_gone *gone;   /* a ring of layout_gone() paths */
	__u64 gone_read;           /* the generation of the newest path that was read */
	__u64 started;             /* when this reading began: CLOCK_MONOTONIC, ns */
	bool read_before;
	struct netmon_counters other;     /* the row (other) at the last reading */
	struct netmon_counters lost;      /* what keys moved that came and went between two readings */
	__u64 lost_retrans;
	bool lost_process;         /* at least one was lost because its element of `processes` was taken */
	bool processes_said, entries_said;
};

/* Layout */

bool layout_is_valid(const struct layout *layout)
{
	return layout->groups && layout->groups <= MAX_GROUPS && !layout->by_packet;
}

size_t layout_processes(const struct layout *layout)
{
	return 1 + (layout->parts & PART_PROCESS ? layout->max_processes + layout->by_packet : 0);
}

size_t layout_rows(const struct layout *layout)
{
	if (!layout->parts)
		return 1 + ROW_ALL;
	return layout->parts == PART_PROCESS ? layout_processes(layout) : 1 + layout->max_entries;
}

__u32 layout_gone(const struct layout *layout)
{
	return layout->parts & PART_CGROUP ? GONE_CGROUPS : 1;
}

size_t layout_stride(const struct layout *layout)
{
	const size_t a_page = (size_t)sysconf(_SC_PAGESIZE) / sizeof(struct netmon_counters);

	return (layout_rows(layout) + a_page - 1) / a_page * a_page;
}

__u32 layout_groups(const struct layout *layout, __u32 cpus)
{
	const size_t size = layout_stride(layout) * sizeof(struct netmon_counters);
	size_t groups = 1;

	if (cpus && cpus <= MAX_GROUPS && cpus * size <= COUNTERS_MOST)
		return cpus;
	while (2 * groups < cpus && 2 * groups <= MAX_GROUPS && 2 * groups * size <= COUNTERS_MOST)
		groups *= 2;
	return (__u32)groups;
}

/* Mapping */

/* Maps the first `count` elements, and makes room for what readings find in them. */
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

static void unmap_counters(struct tables *tables, size_t rows)
{
	for (__u32 i = 0; i < tables->layout.groups; i++) {
		if (tables->sets[i])
			munmap((void *)tables->sets[i], rows * sizeof(struct netmon_counters));
		tables->sets[i] = NULL;
	}
}

/* Maps the first `count` rows and their counters. */
static int map_rows(struct tables *tables, size_t count)
{
	const size_t stride = layout_stride(&tables->layout);

	unmap_counters(tables, tables->rows.mapped);
	if (table_map(&tables->rows, count))
		return -1;
	for (__u32 i = 0; i < tables->layout.groups; i++) {
		void *set = mmap(NULL, tables->rows.mapped * sizeof(struct netmon_counters), PROT_READ,
				 MAP_SHARED, tables->counters_fd,
				 (off_t)(i * stride * sizeof(struct netmon_counters)));

		if (set == MAP_FAILED) {
			cannot("map", "packet_stats", NULL, NULL);
			return -1;
		}
		tables->sets[i] = set;
	}
	return 0;
}

/* Maps the beginning of the tables. */
static int map_all(struct tables *tables)
{
	void *status = mmap(NULL, STATUS_COUNT * sizeof(*tables->status), PROT_READ, MAP_SHARED,
			    tables->status_fd, 0);
	void *gone;

	if (status == MAP_FAILED)
		return cannot("map", "status", NULL, NULL);
	tables->status = status;
	gone = mmap(NULL, layout_gone(&tables->layout) * sizeof(*tables->gone), PROT_READ, MAP_SHARED,
		    tables->gone_fd, 0);
	if (gone == MAP_FAILED)
		return cannot("map", "gone_cgroups", NULL, NULL);
	tables->gone = gone;
	return map_rows(tables, FIRST_MAPPED) || table_map(&tables->processes, FIRST_MAPPED);
}

struct tables *tables_open(const struct layout *layout, const struct table_fds *fds, bool pinned)
{
	struct tables *tables = calloc(1, sizeof(*tables));

	if (!tables) {
		cannot("map", "packet_stats", strerror(ENOMEM), NULL);
		close_fd(fds->counters);
		close_fd(fds->rows);
		close_fd(fds->processes);
		close_fd(fds->status);
		close_fd(fds->gone);
		return NULL;
	}
	tables->layout = *layout;
	tables->pinned = pinned;
	tables->rows = (struct table){ "rows", fds->rows, sizeof(struct netmon_row),
				       .limit = layout_rows(layout), .seen_size = sizeof(struct seen) };
	tables->processes = (struct table){ "processes", fds->processes, sizeof(struct netmon_process),
					    .limit = layout_processes(layout),
					    .seen_size = sizeof(struct netmon_process) };
	tables->counters_fd = fds->counters;
	tables->status_fd = fds->status;
	tables->gone_fd = fds->gone;
	if (!map_all(tables))
		return tables;
	tables_close(tables);
	return NULL;
}

void tables_close(struct tables *tables)
{
	if (!tables)
		return;
	if (tables->status)
		munmap((void *)tables->status, STATUS_COUNT * sizeof(*tables->status));
	if (tables->gone)
		munmap((void *)tables->gone, layout_gone(&tables->layout) * sizeof(*tables->gone));
	unmap_counters(tables, tables->rows.mapped);
	table_close(&tables->rows);
	table_close(&tables->processes);
	close_fd(tables->counters_fd);
	close_fd(tables->status_fd);
	close_fd(tables->gone_fd);
	free(tables);
}

struct table_fds tables_fds(const struct tables *tables)
{
	return (struct table_fds){ tables->counters_fd, tables->rows.fd, tables->processes.fd,
				   tables->status_fd, tables->gone_fd };
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

static __u64 generation_of(__u64 seq)
{
	return seq >> SEQ_GENERATION;
}

static bool is_free(__u64 seq)
{
	return (seq & SEQ_STATES) == SEQ_FREE;
}

static __u64 read_seq(const __u64 *seq)
{
	return __atomic_load_n(seq, __ATOMIC_ACQUIRE);
}

/* Whether the element did not change hands while it was copied. */
static bool is_whole(const __u64 *seq, __u64 before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return (before & SEQ_STATES) != SEQ_CHANGING && before == __atomic_load_n(seq, __ATOMIC_RELAXED);
}

/* Copies the process while nothing in it changes; the name can change without a new owner.
 * False if it keeps changing. */
static bool copy_process(const struct netmon_process *process, struct netmon_process *copy)
{
	enum { MEMBERS = offsetof(struct netmon_process, comm) + COMM_LEN }; /* without the padding */

	for (int tries = 0; tries < TRIES; tries++) {
		__u64 before = read_seq(&process->seq);

		*copy = *process;
		if (is_whole(&process->seq, before) && !memcmp(copy, process, MEMBERS))
			return true;
	}
	return false;
}

static struct netmon_counters sum_up(const struct tables *tables, size_t index)
{
	struct netmon_counters sum = { 0 };

	for (__u32 i = 0; i < tables->layout.groups; i++)
		sum = plus(&sum, &tables->sets[i][index]);
	return sum;
}

static const void *element(const struct table *table, size_t index)
{
	return table->elements + index * table->size;
}

/* Copies the row and sums up its counters while its owner does not change. */
static bool copy_row(const struct tables *tables, size_t index, struct netmon_row *copy,
		     struct netmon_counters *now)
{
	const struct netmon_row *row = element(&tables->rows, index);

	for (int tries = 0; tries < TRIES; tries++) {
		__u64 before = read_seq(&row->seq);

		*copy = *row;
		*now = sum_up(tables, index);
		if (is_whole(&row->seq, before))
			return true;
	}
	return false;
}

static struct netmon_process *seen_process(const struct tables *tables, size_t index)
{
	return &((struct netmon_process *)tables->processes.seen)[index];
}

/* Reads the process again; if it keeps changing, keeps what the last reading found. */
static void look_at_process(struct tables *tables, size_t index)
{
	struct netmon_process copy;

	if (copy_process(element(&tables->processes, index), &copy))
		*seen_process(tables, index) = copy;
}

/* Whether `index` is an element of the table to look at; counts the unused ones before it in
 * `unused`.  Elements are first used in their order, except for those that other CPUs are taking
 * at the same moment: after UNUSED_IN_A_ROW unused ones there are no more. */
static bool is_used(const struct table *table, size_t index, size_t *unused)
{
	if (index >= table->limit || *unused >= UNUSED_IN_A_ROW)
		return false;
	*unused = read_seq(element(table, index)) ? 0 : *unused + 1;
	return true;
}

/* Reads the processes before the counters: the counters of a process that has ended by now are final. */
static int read_processes(struct tables *tables)
{
	struct table *processes = &tables->processes;
	size_t unused = 0;

	for (size_t i = 1; i < processes->limit; i++) {
		__u64 seen;

		if (i == processes->mapped && table_map(processes, 2 * processes->mapped))
			return -1;
		if (!is_used(processes, i, &unused))
			break;
		seen = seen_process(tables, i)->seq;
		if (!unused && !(is_free(seen) && seen == read_seq(element(processes, i))))
			look_at_process(tables, i);
	}
	return 0;
}

/* Whether nothing more can be counted for the process.  In layer ip, packets are charged to it
 * for less than QUARANTINE after its end. */
static bool is_final(const struct tables *tables, const struct netmon_process *process)
{
	return is_free(process->seq) && (!tables->layout.by_packet ||
					 tables->started > process->freed_at + QUARANTINE);
}

static bool is_of(const struct netmon_process *process, const struct netmon_key *key)
{
	return generation_of(process->seq) == key->generation;
}

/* Fills in the process of the entry.  0 if another process took its element before it was ever
 * read, so that the process is unknown; -1 if memory is short. */
static int find_process(struct tables *tables, struct netmon_entry *entry, bool known, bool *final)
{
	const struct netmon_process *process;
	size_t index = entry->key.process;

	*final = false;
	if (index >= tables->processes.limit)
		return 0;
	while (index >= tables->processes.mapped)
		if (table_map(&tables->processes, 2 * tables->processes.mapped))
			return -1;
	process = seen_process(tables, index);
	if (is_of(process, &entry->key))
		*final = is_final(tables, process);
	else
		look_at_process(tables, index);
	if (is_of(process, &entry->key)) {
		entry->pid = process->pid;
		entry->ppid = process->ppid;
		entry->ended = *final;
		memcpy(entry->comm, process->comm, COMM_LEN);
		return 1;
	}
	entry->ended = 1;
	*final = known; /* its counters were read after it had ended */
	return known;
}

/* Reads the name again: if the process changed it while the counters were read, they can have
 * bytes that it moved under the new name. */
static void refresh_name(struct tables *tables, struct netmon_entry *entry)
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

/* Layer ip, where the kernel could not read the name: "if7" is index 7 in some other namespace. */
static void name_iface(struct netmon_key *key)
{
	struct netmon_iface iface;
	struct stat own;

	memcpy(&iface, key->iface, sizeof(iface));
	if (iface.no_name || !iface.index)
		return;
	memset(key->iface, 0, IFACE_LEN);
	if (stat("/proc/self/ns/net", &own) || own.st_ino != iface.netns ||
	    !if_indextoname(iface.index, key->iface))
		snprintf(key->iface, IFACE_LEN, "if%u", iface.index);
}

/* The row has a new owner.  If it changed hands once, the bytes up to the new owner's base
 * belong to the previous owner; if more often, their owner is unknown. */
static int hand_over(struct tables *tables, size_t index, struct seen *seen, const struct netmon_row *row,
		     int (*found)(void *, const struct netmon_entry *), void *context)
{
	const __u64 generation = generation_of(row->seq);
	struct netmon_counters rest = minus(&row->base, &seen->now);

	if (seen->generation && !seen->final && generation == seen->generation + 1) {
		seen->entry.total = plus(&seen->entry.total, &rest);
		seen->entry.tx_retrans += row->base_retrans - seen->tx_retrans;
		seen->entry.ended = 1;
		if (!is_zero(&seen->entry.total) && found(context, &seen->entry))
			return -1;
	} else {
		tables->lost = plus(&tables->lost, &rest);
		tables->lost_retrans += row->base_retrans - seen->tx_retrans;
	}
	*seen = (struct seen){ .generation = generation, .now = row->base, .tx_retrans = row->base_retrans };
	seen->entry.id = (__u64)index << 40 | generation;
	seen->entry.known = known_parts(tables, &row->key);
	seen->entry.key = row->key;
	name_iface(&seen->entry.key);
	return 0;
}

/* Reports what the row has counted. */
static int read_row(struct tables *tables, size_t index, struct seen *seen, const struct netmon_row *row,
		    const struct netmon_counters *now, int (*found)(void *, const struct netmon_entry *),
		    void *context)
{
	const bool by_process = tables->layout.parts & PART_PROCESS;
	bool known = generation_of(row->seq) == seen->generation;
	int has_process = 1;

	if (!known && hand_over(tables, index, seen, row, found, context))
		return -1;
	if (by_process)
		has_process = find_process(tables, &seen->entry, known && seen->entry.pid, &seen->final);
	if (has_process < 0)
		return -1;
	if (!has_process) {
		struct netmon_counters rest = minus(now, &seen->now);

		tables->lost = plus(&tables->lost, &rest);
		tables->lost_retrans += row->tx_retrans - seen->tx_retrans;
		tables->lost_process = true;
		seen->now = *now;
		seen->tx_retrans = row->tx_retrans;
		return 0;
	}
	if (by_process && !seen->final && memcmp(&seen->now, now, sizeof(*now)))
		refresh_name(tables, &seen->entry);
	seen->now = *now;
	seen->tx_retrans = row->tx_retrans;
	seen->entry.total = minus(now, &row->base);
	seen->entry.tx_retrans = row->tx_retrans - row->base_retrans;
	return is_zero(&seen->entry.total) ? 0 : found(context, &seen->entry);
}

/* Reports again what the last reading found in a row that cannot be read now; the next reading has the
 * rest.  Otherwise the key would seem to have gone and come back.  At the first reading of a pin, takes
 * the counters as they are: while a row changes hands, nothing is added to it. */
static int read_again(const struct tables *tables, size_t index, struct seen *seen,
		      int (*found)(void *, const struct netmon_entry *), void *context)
{
	bool known = seen->generation && !seen->final && !is_zero(&seen->entry.total);

	if (tables->pinned && !tables->read_before)
		seen->now = sum_up(tables, index);
	return known ? found(context, &seen->entry) : 0;
}

static void say_full(__u32 limit, const char *what, const char *option)
{
	say("cannot add to 'packet_stats': full with %u %s: the rest is summed in the row '(other)': "
	    "raise it with %s", limit, what, option);
}

static int read_other(struct tables *tables, int (*found)(void *, const struct netmon_entry *),
		      void *context)
{
	struct netmon_counters now = sum_up(tables, ROW_OTHER);
	struct netmon_entry other = { .id = ~0ULL, .comm = "(other)" };
	bool keyed = tables->layout.parts & ~PART_PROCESS, lost = !is_zero(&tables->lost);
	bool of_processes = tables->lost_process || (lost && !keyed);
	struct netmon_counters more;

	other.total = plus(&now, &tables->lost);
	other.tx_retrans = ((const struct netmon_row *)element(&tables->rows, ROW_OTHER))->tx_retrans +
			   tables->lost_retrans;
	more = minus(&other.total, &tables->other);
	tables->other = other.total;
	if (is_zero(&other.total))
		return 0;
	/* what was lost before belongs to earlier readers */
	if (is_zero(&more) || (tables->pinned && !tables->read_before))
		return found(context, &other);
	if (!tables->processes_said && (tables->status[PROCESSES_FULL] || of_processes)) {
		say_full(tables->layout.max_processes, "processes", "--max-processes");
		tables->processes_said = true;
	}
	if (!tables->entries_said && (tables->status[ROWS_FULL] || (lost && !of_processes))) {
		say_full(tables->layout.max_entries, "entries", "--max-entries");
		tables->entries_said = true;
	}
	return found(context, &other);
}

static int read_rows(struct tables *tables, int (*found)(void *, const struct netmon_entry *), void *context)
{
	struct table *rows = &tables->rows;
	size_t unused = 0;

	for (size_t i = 1; i < rows->limit; i++) {
		struct netmon_counters now;
		struct netmon_row copy;
		struct seen *seen;
		__u64 seq;

		if (i == rows->mapped && map_rows(tables, 2 * rows->mapped))
			return -1;
		if (!is_used(rows, i, &unused))
			break;
		seen = &((struct seen *)rows->seen)[i];
		seq = read_seq(element(rows, i));
		if (tables->layout.parts &&
		    (unused || (generation_of(seq) == seen->generation && seen->final)))
			continue;
		if (copy_row(tables, i, &copy, &now)
			    ? read_row(tables, i, seen, &copy, &now, found, context)
			    : read_again(tables, i, seen, found, context))
			return -1;
	}
	return 0;
}

int tables_read(struct tables *tables, int (*found)(void *, const struct netmon_entry *), void *context)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	tables->started = (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
	if (tables->layout.parts & PART_PROCESS && read_processes(tables))
		return -1;
	if (read_rows(tables, found, context))
		return -1;
	/* what came and went before the first reading of a pin is not this reader's */
	if (tables->pinned && !tables->read_before) {
		tables->lost = (struct netmon_counters){ 0 };
		tables->lost_retrans = 0;
		tables->lost_process = false;
	}
	if (read_other(tables, found, context))
		return -1;
	tables->read_before = true;
	return 0;
}

static size_t owned(const struct table *table)
{
	size_t count = 0;

	for (size_t i = 1; i < table->limit; i++) {
		__u64 seq = read_seq(element(table, i));

		count += seq && !is_free(seq);
	}
	return count;
}

int tables_use(struct tables *tables, struct tables_use *use)
{
	*use = (struct tables_use){ 0 };
	if (map_rows(tables, tables->rows.limit) || table_map(&tables->processes, tables->processes.limit))
		return -1;
	use->processes = owned(&tables->processes);
	use->entries = tables->layout.parts == PART_PROCESS ? use->processes : owned(&tables->rows);
	for (size_t i = 0; i < tables->rows.limit; i++) {
		struct netmon_counters now = sum_up(tables, i);

		use->all = plus(&use->all, &now);
	}
	return 0;
}

static __u64 read_status(const struct tables *tables, enum netmon_status what)
{
	return __atomic_load_n(&tables->status[what], __ATOMIC_RELAXED);
}

__u64 tables_calls_missed(const struct tables *tables)
{
	return read_status(tables, CALLS_MISSED);
}

__u64 tables_not_followed(const struct tables *tables)
{
	return read_status(tables, FORKS_MISSED);
}

/* Leaves a path that is just being written for the next call, which reads all of them again. */
void tables_gone(struct tables *tables, void (*found)(void *context, __u64 id, const char *path),
		 void *context)
{
	const __u32 count = layout_gone(&tables->layout);
	__u64 newest = tables->gone_read;
	bool all = true;

	for (__u32 i = 0; i < count; i++) {
		const struct netmon_gone *gone = &tables->gone[(tables->gone_read + i) % count];
		__u64 id, seq = read_seq(&gone->seq), number = generation_of(seq);
		char path[GONE_PATH];

		if (!(seq & SEQ_STATES) && number <= tables->gone_read)
			break; /* of the lap before, or not used yet: so are all that follow */
		id = gone->id;
		memcpy(path, gone->path, sizeof(path));
		if (!is_whole(&gone->seq, seq)) {
			all = false;
			continue;
		}
		path[sizeof(path) - 1] = '\0';
		found(context, id, path);
		newest = number > newest ? number : newest;
	}
	if (all)
		tables->gone_read = newest;
}
