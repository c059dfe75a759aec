/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads what the probes counted: maps the tables that they fill (netmon.h) into memory.  All that this
 * module needs of the kernel is the descriptors of the maps.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include "netmon.h"

/* How the tables are laid out: set when the probes are loaded, and stored in a pin for its readers. */
struct layout {
	__u32 parts;               /* what the key has: enum netmon_part */
	__u32 max_processes;       /* processes that are counted separately, */
	__u32 max_entries;         /* and keys that are finer than the process, or coarser */
	__u32 groups;              /* sets of counters */
	__u32 by_packet;           /* 1: layer ip */
};

/* Whether the layout of a pin, which is input, is possible. */
bool layout_is_valid(const struct layout *layout);

/* How many elements each table has, including the first. */
size_t layout_processes(const struct layout *layout);
size_t layout_rows(const struct layout *layout);

/* How many paths of removed cgroups the ring has. */
__u32 layout_gone(const struct layout *layout);

/* The distance between a row's counters in one set and in the next, in counters: sets begin on a page. */
size_t layout_stride(const struct layout *layout);

/* How many sets of counters this number of possible CPUs needs: one for each or, if these would take
 * more than 32 MiB, a power of two that CPUs share. */
__u32 layout_groups(const struct layout *layout, __u32 cpus);

/* Descriptors of the maps. */
struct table_fds {
	int counters, rows, processes, status, gone;
};

struct tables;

/* Maps the tables; takes ownership of the descriptors even if it fails.  `pinned`: counting began
 * before this reader did.  NULL with a message. */
struct tables *tables_open(const struct layout *layout, const struct table_fds *fds, bool pinned);

/* Takes NULL too. */
void tables_close(struct tables *tables);

/* The descriptors; the tables still own them. */
struct table_fds tables_fds(const struct tables *tables);

/*
 * Calls `found` for each key that has moved bytes and can move more; once more, with its last numbers,
 * for each key whose process has ended since the last reading; and for what found no room in the
 * tables, as pid 0 with the name "(other)".  The order is that of entry.id, with "(other)" last.
 * Totals count from when the probes were attached; no byte is missing from the entries of all readings.
 * The first reading of a pin includes what was counted before for keys that are still in the tables.
 *
 * Returns 0, or -1 with a message if `found` returned -1 or memory is short.
 */
int tables_read(struct tables *tables, int (*found)(void *context, const struct netmon_entry *entry),
		void *context);

/* Calls `found` for each cgroup that was removed since the last call, at most the last GONE_CGROUPS.
 * Needs a key with the cgroup. */
void tables_gone(struct tables *tables, void (*found)(void *context, __u64 id, const char *path),
		 void *context);

/* How the tables are used. */
struct tables_use {
	size_t processes, entries;       /* in use */
	struct netmon_counters all;      /* the sum of everything counted so far */
};

/* Returns 0, or -1 with a message. */
int tables_use(struct tables *tables, struct tables_use *use);

/* How many calls found no free kretprobe so far. */
__u64 tables_calls_missed(const struct tables *tables);

/* How many descendants of the command were not followed because too many were alive. */
__u64 tables_not_followed(const struct tables *tables);

#endif
