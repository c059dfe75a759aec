/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the probes counted: the tables that they fill (netmon.h), mapped into memory, and the
 * reading of them.  Of the kernel this module knows the descriptors of the maps, no more.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include "netmon.h"

/* How the tables are laid out: the probes are loaded with it, and readers of a pin find it there. */
struct layout {
	__u32 parts;               /* of the key: enum part */
	__u32 max_processes;       /* processes that are counted separately, */
	__u32 max_entries;         /* and keys that are finer than the process, or coarser */
	__u32 groups;              /* sets of counters */
	__u32 by_packet;           /* 1: layer ip */
};

/* Whether it can be that of a pin; it may come from anybody. */
bool layout_is_valid(const struct layout *layout);

/* How many elements there are of each, the first one included. */
size_t layout_processes(const struct layout *layout);
size_t layout_rows(const struct layout *layout);

/* How many paths of removed cgroups the ring has. */
__u32 layout_gone(const struct layout *layout);

/* From a row's counters in one set to those in the next, in counters: sets begin on a page. */
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

/* They stay the tables' own. */
struct table_fds tables_fds(const struct tables *tables);

/*
 * Calls `found` for each key that has moved bytes and may move more, and once more, with
 * its last numbers, for one whose process has ended since the reading before; and for what
 * found no room in the tables, as pid 0 with the name "(other)".  In the order of entry.id,
 * "(other)" last.  The totals count from when the probes were attached; over all entries of all
 * readings they are complete.  The first reading of a pin has what was counted before, of those that are
 * still there.
 *
 * Returns 0, or -1 with a message where `found` returned that or memory is short.
 */
int tables_read(struct tables *tables, int (*found)(void *context, const struct entry *entry),
		void *context);

/* Calls `found` for each cgroup that was removed since the call before, the last GONE_CGROUPS at
 * most.  Only if the key has the cgroup. */
void tables_gone(struct tables *tables, void (*found)(void *context, __u64 id, const char *path),
		 void *context);

/* How the tables are used. */
struct tables_use {
	size_t processes, entries;       /* that have a place */
	struct netmon_counters all;      /* that was ever counted */
};

/* Returns 0, or -1 with a message. */
int tables_use(struct tables *tables, struct tables_use *use);

/* How many returns no kretprobe was free for, so far. */
__u64 tables_calls_missed(const struct tables *tables);

/* How many processes could not be followed because too many lived. */
__u64 tables_not_followed(const struct tables *tables);

#endif
