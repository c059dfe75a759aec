/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel side: which probes there are, which of them this kernel takes and by which
 * way, and what they counted.  The only module that knows libbpf.
 *
 * For each hook the ways are tried in order, best first, by really attaching a tiny
 * program; the one that worked is loaded and attached.  All of it goes with the process,
 * however that ends, unless it is pinned; then others read what it counts (pin.h).
 */
#ifndef PROBES_H
#define PROBES_H

#include <stdbool.h>
#include "netmon.h"
#include "pin.h"

enum attach { ATTACH_AUTO, ATTACH_TRACEPOINT, ATTACH_FEXIT, ATTACH_KPROBE };

enum layer { LAYER_SOCKET, LAYER_IP };

/* What to count, how finely to tell it apart, and where to attach. */
struct probes_options {
	enum layer layer;
	enum attach attach;        /* the only way to use for traffic, or ATTACH_AUTO */
	__u32 parts;               /* of the key: enum part */
	struct netmon_filter filter;
	const __u32 *pids;         /* for FILTER_PIDS, */
	size_t pids_count;
	bool follow;               /* with the processes that they start */
	int cgroup;                /* for FILTER_CGROUP: its directory, a descriptor */
	int cgroup_root;           /* the root of cgroup v2, a descriptor; -1: there is none */
	__u32 max_processes;       /* how many processes can be told apart, */
	__u32 max_entries;         /* and how many keys that are finer, or have none in them */
	__u64 idle_after;          /* nanoseconds without traffic after which such a key may
	                              lose its place: more than the time between two readings */
	bool verbose;              /* say on standard error which way each hook took */
};

struct probes;

/* Loads and attaches the probes; they count from then on.  Says on standard error what
 * failed, or what part of the traffic this kernel keeps from being counted.  NULL where
 * nothing can be counted. */
struct probes *probes_open(const struct probes_options *options);

/* The probes that are pinned in this directory, for reading: nothing is loaded.  `verbose` is
 * all of the options that counts; the others are as at the pin.  NULL with a message where that can't be. */
struct probes *probes_open_pinned(const char *dir, bool verbose);

/* Pins the probes, which have just been opened; `command` is how it was asked for.  They go on
 * counting whether they are closed or not.  Returns 0, or -1 with a message. */
int probes_pin(struct probes *probes, const struct pin_options *pin, const char *command);

/* What there is to say of a pin besides its numbers; NULL where the probes are not pinned. */
const struct about *probes_about(const struct probes *probes);

/* Whether the pin has been removed, or another one has its place. */
bool probes_gone(const struct probes *probes);

/* How the tables are used. */
struct probes_use {
	size_t processes, entries;       /* that have a place */
	struct netmon_counters all;             /* that was ever counted */
};

/* Returns 0, or -1 with a message. */
int probes_use(struct probes *probes, struct probes_use *use);

/* Counts this process too, where `follow` is set.  Returns 0, or -1 with a message. */
int probes_follow(struct probes *probes, __u32 pid);

/* Detaches and frees everything.  Takes NULL too. */
void probes_close(struct probes *probes);

/*
 * Calls `found` for each key that has moved bytes and may move more, and once more, with
 * its last numbers, for one whose process has ended since the reading before; and for what
 * found no room in the tables, as pid 0 with the name "(other)".  In the order of entry.id,
 * "(other)" last.  The totals count from probes_open(), or the pin; over all entries of all
 * readings they are complete.  The first reading of a pin has what was counted before, of those that are
 * still there.
 *
 * Returns 0, or -1 with a message where `found` returned that or memory is short.
 */
int probes_read(struct probes *probes, int (*found)(void *context, const struct entry *entry),
		void *context);

/* How many calls, at the most, the kernel kept from the probes so far: the programs'
 * recursion_misses (Linux 5.12; some would not have counted), and returns that no kretprobe
 * was free for. */
__u64 probes_missed(const struct probes *probes);

/* How many processes could not be followed because too many lived. */
__u64 probes_not_followed(const struct probes *probes);

#endif
