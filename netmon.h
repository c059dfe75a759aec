/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the probes in the kernel and the program share: the layout of the maps
 * packet_stats and processes, and the limits of them.
 *
 * packet_stats is an array of slots, one for each key that moved bytes, and processes
 * one of the processes behind them.  User space reads both through mmap(2): no system
 * call, so that reading can neither slow a probe down nor make the kernel skip one.  A
 * slot's counters, `now`, are the sum of its shares and never go back.  Where its place is
 * needed for another key (the slot longest free goes first), the newcomer's base is where the
 * counters stood.  So the sum over all slots of `now` is always the sum of all traffic,
 * whoever reads, however seldom.
 *
 * A key is as fine as what is asked for and no finer.  Where it is the process alone, the
 * process has the slot of its own number; where there is no process in it, `processes`
 * stays empty.
 */
#ifndef NETMON_H
#define NETMON_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum {
	COMM_LEN = 16,           /* TASK_COMM_LEN, with its NUL */
	SLOT_OTHER = 0,          /* counts for the keys that found no slot */
	SLOT_ALL = 1,            /* the only other one where the key has no part */
	PLACE_KERNEL = 1,        /* in layer ip: who has the packets that no process owns */
	MAX_PROCESSES = 16384,   /* unless --max-processes says otherwise */
	MAX_ENTRIES = 65536,     /* unless --max-entries says otherwise */
	MAX_SHARES = 4096,       /* of a slot */
	MAX_FOLLOWED = 65536,    /* living descendants of a command */
	FILL_MOST = 128,         /* numbers that one run makes free; the verifier goes through each */
	MAX_LISTED = 16,         /* protocols, ports, networks of a filter */
	PROTO_PACKET = 0xffff,   /* AF_PACKET; all others are IPPROTO_* */
	IFACE_LEN = 16,          /* IFNAMSIZ, with its NUL */
};

/* No user: whose packet it is, nobody knows. */
#define NO_UID ((__u32)-1)

/* What a key may be made of. */
enum part {
	PART_PROCESS = 1 << 0,
	PART_PROTO = 1 << 1,
	PART_FAMILY = 1 << 2,
	PART_LPORT = 1 << 3,
	PART_RPORT = 1 << 4,
	PART_UID = 1 << 5,
	PART_NETNS = 1 << 6,
	PART_CGROUP = 1 << 7,
	PART_LADDR = 1 << 8,
	PART_RADDR = 1 << 9,
	PART_IFACE = 1 << 10,    /* layer ip only */
	PARTS_CALLER = PART_UID | PART_NETNS | PART_CGROUP,
	PARTS_ENDS = PART_FAMILY | PART_LPORT | PART_RPORT | PART_LADDR | PART_RADDR,
};

/* What is not asked for is 0.  The map of keys is as wide as the last part that is asked for. */
struct netmon_key {
	__u32 process;           /* its place in processes, */
	__u32 generation;        /* and how often that was given away before */
	__u16 proto;
	__u8 family;             /* 4 or 6, on the wire; 0: not known, or no IP */
	__u8 unused;
	__u16 lport, rport;      /* host byte order; 0: none, or not known */
	__u32 laddr[4], raddr[4];/* as on the wire; IPv4 in the first word, the others 0 */
	__u32 uid;               /* effective */
	__u32 netns;             /* inode */
	__u64 cgroup;            /* id: the inode of its directory */
	char iface[IFACE_LEN];   /* filled up with NULs */
};

struct netmon_counters {
	__u64 rx_bytes;
	__u64 tx_bytes;
	__u64 rx_calls;
	__u64 tx_calls;
};

/* What stands for the number of bpf_rdonly_cast() in its calls. */
enum { CALL_CAST = 0x6e65746d };

/* A cache line for each CPU, or for each few, so that those that count for one key at once
 * need not wait for one another. */
struct share {
	struct netmon_counters now;
} __attribute__((aligned(64)));

/* Whole cache lines, so that no two keys share one: those of the shares are written at every
 * event, the others when the slot gets a new occupant. */
struct slot {
	__u64 turn;              /* odd while the occupant changes, +2 for each new one */
	__u64 free;              /* 1: given back */
	struct netmon_key key;    /* what most keys have of it is in this cache line */
	struct netmon_counters base;    /* `now` when the occupant came */
	__u64 checked_calls;     /* how many there were when it was last looked at for idleness */
	__u64 checked_at;        /* CLOCK_MONOTONIC, ns: when they were first that many, or it was */
	                         /* given back */
	struct share shares[];   /* all that was ever counted here; their sum is `now` */
} __attribute__((aligned(64)));

struct netmon_process {
	__u64 turn;              /* as above */
	__u32 pid;               /* thread group in the initial pid namespace */
	__u32 ppid;              /* its parent, when it came and when it ended */
	__u32 ended;             /* nothing of it can be counted any more; in layer ip: */
	__u32 ended_in;          /* from the reading on that comes after this one */
	char comm[COMM_LEN];     /* its leader's name */
} __attribute__((aligned(64)));

/* A network and whether to leave it out. */
struct netmon_network {
	__u32 address[4], mask[4];   /* as in struct netmon_key */
	__u8 family;
	__u8 leave_out;
};

enum filter_kind {
	FILTER_PIDS = 1 << 0,    /* those in the map wanted_pids */
	FILTER_UID = 1 << 1,
	FILTER_CGROUP = 1 << 2,  /* the one in the map wanted_cgroup, and below */
	FILTER_PROTO = 1 << 3,
	FILTER_PORT = 1 << 4,
	FILTER_NET = 1 << 5,
	FILTER_LOOPBACK = 1 << 6,/* leave it out */
	FILTER_IFACE = 1 << 7,   /* layer ip only */
	FILTERS_OF_PROCESS = FILTER_PIDS | FILTER_UID | FILTER_CGROUP,
};

/* What to count; a call must pass each kind that is set. */
struct netmon_filter {
	__u32 kinds;
	__u32 uid;
	__u32 protos_count, ports_count, nets_count, ifaces_count;
	__u16 protos[MAX_LISTED], ports[MAX_LISTED];
	struct netmon_network nets[MAX_LISTED];
	char ifaces[MAX_LISTED][IFACE_LEN];
};

/* What one reading says of one key. */
struct entry {
	__u64 id;                /* tells occupants of slots apart, rises with the slot */
	__u32 known;             /* which parts of the key are filled in: enum part */
	__u32 pid, ppid;
	__u32 ended;             /* its process has: the last reading of it */
	char comm[COMM_LEN];     /* not terminated where it fills the field */
	struct netmon_key key;
	struct netmon_counters total;   /* since the probes began to count */
};

#endif
