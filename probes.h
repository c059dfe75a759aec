/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel side: which probes there are, which of them this kernel accepts, and in which way they
 * attach.  The only module that uses libbpf to load programs.
 *
 * For each hook the ways are tried in order, best first, by really attaching a tiny
 * program; the one that worked is loaded and attached.  The kernel removes them when the
 * process ends, however it ends, unless they are pinned (pin.h).
 */
#ifndef PROBES_H
#define PROBES_H

#include <stdbool.h>
#include <time.h>
#include "netmon.h"
#include "table.h"

enum attach { ATTACH_AUTO, ATTACH_TRACEPOINT, ATTACH_FEXIT, ATTACH_KPROBE };

enum layer { LAYER_SOCKET, LAYER_IP };

/* What to count, by which keys, and how to attach. */
struct probes_options {
	enum layer layer;
	enum attach attach;        /* the only way to use for traffic, or ATTACH_AUTO */
	__u32 parts;               /* of the key: enum netmon_part */
	bool retransmits;          /* layer ip: count them too */
	struct netmon_filter filter;
	const __u32 *pids;         /* for FILTER_PIDS, */
	size_t pids_count;
	bool follow;               /* also follow their descendants */
	int cgroup;                /* for FILTER_CGROUP: its directory, a descriptor */
	int cgroup_root;           /* the root of cgroup v2, a descriptor; -1: there is none */
	__u32 max_processes;       /* processes that are counted separately, */
	__u32 max_entries;         /* and keys that are finer than the process, or coarser */
	__u64 idle_after;          /* nanoseconds without traffic after which such a key can
	                              lose its place: more than the time between two readings */
	bool verbose;              /* report on standard error how each hook is attached, */
	bool libbpf;               /* and pass on libbpf's messages */
};

struct probes;

/* Loads and attaches the probes, which then begin to count, all at once.  NULL with a message if
 * nothing can be counted. */
struct probes *probes_open(const struct probes_options *options);

/* When the probes began to count: CLOCK_MONOTONIC. */
struct timespec probes_began(const struct probes *probes);

/* Counts this process too, and its descendants; needs `follow`.  Returns 0, or -1 with a message. */
int probes_follow(struct probes *probes, __u32 pid);

/* Detaches and frees everything.  Takes NULL too. */
void probes_close(struct probes *probes);

/* The tables that they fill. */
struct tables *probes_tables(const struct probes *probes);

/* How many calls, at most, the kernel kept from the probes so far: the recursion_misses of the
 * programs that count (Linux 5.12; some would not have counted), and returns that no kretprobe was
 * free for. */
__u64 probes_missed(const struct probes *probes);

/* The version of libbpf. */
const char *probes_libbpf(void);

/* Whether tracefs can be read, which classic tracepoints need; with errno. */
bool probes_tracefs(void);

/* How often a program that only notes the peer of a datagram was skipped. */
__u64 probes_peers_missed(const struct probes *probes);

/* Whether this process has the capabilities that loading the layer's probes takes.  Root of a user
 * namespace has them too, but the kernel refuses it. */
bool probes_permitted(enum layer layer);

bool in_user_namespace(void);

/* What to do if bpf(2) fails with EPERM or ENOSYS under a seccomp filter; NULL: there is none. */
const char *seccomp_advice(void);

/* Removes from tracefs the kretprobes of netmons that are gone.  If some are in use, tries again: the
 * kernel releases those of a removed pin a moment later. */
void probes_clean(int tries);

/* The recursion_misses of programs, by their descriptors. */
__u64 programs_missed(const int *programs, size_t count);

/* For pinning */

/* Identifies the build: a hash of all that is loaded into the kernel. */
__u64 probes_build(void);

const struct layout *probes_layout(const struct probes *probes);

/* What is not seen: a bit for each hook, or 1.  No bool: a reader of a pin takes it from a map. */
struct holes {
	__u32 refused;           /* hooks that the kernel refuses */
	__u32 skipped;           /* hooks that are attached, but the kernel may skip them */
	__u32 waiting;           /* receives that already waited when the probes were attached */
	__u32 may_skip;          /* the kernel may skip programs that count */
	__u32 no_perf;           /* perf_event_open(2), with which no call is skipped, is refused */
};

const struct holes *probes_holes(const struct probes *probes);

/* Reports the holes in one line; nothing if there are none. */
void probes_say_holes(const struct holes *holes);

/* How each hook is attached: HOOK=WAY, with spaces between. */
void probes_ways(const struct probes *probes, char *text, size_t size);

enum { PROBES_MOST = 64 };

/* A program that is attached: its name and descriptors. */
struct probe {
	char name[40];
	int program, link;
	bool counts;             /* bytes are missed if the kernel skips it */
};

/* The probe with that index; false if there are no more. */
bool probes_get(const struct probes *probes, size_t index, struct probe *probe);

/* Makes the probes go on counting when they are closed. */
void probes_leave(struct probes *probes);

#endif
