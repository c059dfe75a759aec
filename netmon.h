/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the probes in the kernel and the program share: the layout of the map
 * packet_stats and the limits of it.
 *
 * packet_stats is an array of slots, one for each process that moved bytes, which
 * user space reads through mmap(2): no system call, so that reading can neither
 * slow a probe down nor make the kernel skip one.  A slot's counters never go back.
 * When a process has ended, its slot keeps its last numbers until another process
 * needs the room (the slot longest free goes first); the newcomer's base is then
 * where the counters stood.  So the sum over all slots of `now` is always the sum
 * of all traffic, whoever reads, however seldom.
 */
#ifndef NETMON_H
#define NETMON_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum {
	COMM_LEN = 16,           /* TASK_COMM_LEN, with its NUL */
	SLOT_OTHER = 0,          /* counts for the processes that found no slot */
	MAX_PROCESSES = 16384,   /* slots, unless --max-processes says otherwise */
};

struct counters {
	__u64 rx_bytes;
	__u64 tx_bytes;
	__u64 rx_calls;
	__u64 tx_calls;
};

/* Two cache lines, so that no two processes share one: the first is written at every
 * event, the second when the slot gets a new occupant. */
struct slot {
	struct counters now;     /* all that was ever counted here */
	__u64 turn;              /* odd while the occupant changes, +2 for each new one */
	__u32 pid;               /* thread group in the initial pid namespace; 0: never used */
	__u32 ended;             /* the process has ended: `now` is final */
	char comm[COMM_LEN];     /* its leader's name */
	struct counters base;    /* `now` when the occupant came */
	__u64 since;             /* when it came: CLOCK_MONOTONIC, ns; tells lives of a pid apart */
} __attribute__((aligned(128)));

/* What one reading says of one process. */
struct entry {
	__u64 since;             /* as in struct slot */
	__u32 pid;
	char comm[COMM_LEN];     /* not terminated where it fills the field */
	struct counters total;   /* since the probes began to count */
};

#endif
