/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the probes in the kernel and the program share: the layout of the mapped tables and
 * their limits.
 *
 * `processes` has an element for each process that moved bytes, `rows` one for each key that
 * did, and `packet_stats` the sums of each row, one set for each CPU (or for each few).  User space
 * reads all three through mmap(2): a system call could slow a probe down or make the kernel
 * skip one.
 *
 * A row's counters never go back.  When a row gets a new owner (the row that has been free
 * for longest is taken first), the owner's base is their value at that time.  So the sum
 * over all rows is always the sum of all traffic, however many readers, however seldom they read.
 *
 * A key has only the parts that the user asks for.  If it is the process alone, the process
 * and its row have the same index.
 */
#ifndef NETMON_H
#define NETMON_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum {
	COMM_LEN = 16,           /* TASK_COMM_LEN, with its NUL */
	IFACE_LEN = 16,          /* IFNAMSIZ, with its NUL */
	LOOPBACK_IFINDEX = 1,    /* in every network namespace */
	ROW_OTHER = 0,           /* counts what found no row */
	ROW_ALL = 1,             /* the only other row if the key has no part */
	PROCESS_KERNEL = 1,      /* layer ip: packets that no process owns are charged to it */
	MAX_PROCESSES = 16384,   /* unless --max-processes says otherwise */
	MAX_ENTRIES = 65536,     /* rows, unless --max-entries says otherwise */
	MAX_GROUPS = 64,         /* sets of counters: a new row's base is summed over all of them */
	MAX_FOLLOWED = 65536,    /* live descendants of a command */
	FILL_MOST = 128,         /* elements that one run frees; the verifier visits each */
	MAX_LISTED = 16,         /* users, protocols, ports, networks ... of a filter */
	GONE_CGROUPS = 1024,     /* paths of removed cgroups; a power of two */
	GONE_PATH = 1024,        /* TRACE_CGROUP_PATH_LEN, with its NUL */
	PROTO_PACKET = 0xffff,   /* AF_PACKET; all others are IPPROTO_* */
};

/* A placeholder for the number of bpf_rdonly_cast() in calls of it. */
enum { CALL_CAST = 0x6e65746d };

/* The user of a packet that no process owns. */
#define NO_UID ((__u32)-1)

/* A freed element is not reused for this long, in nanoseconds, so that a program that looked
 * it up just before has finished adding. */
#define QUARANTINE 1000000000ULL

/* The parts that a key can have. */
enum netmon_part {
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

/* Parts that the key does not have are 0. */
struct netmon_key {
	__u32 process;           /* its index in `processes` */
	__u32 generation;        /* which of that element's owners it is */
	__u8 unused;             /* keeps the next two off a multiple of 8: see key_passes() */
	__u8 family;             /* 4 or 6, on the wire; 0: not known, or no IP */
	__u16 proto;
	__u16 lport, rport;      /* host byte order; 0: none, or not known */
	__u32 laddr[4], raddr[4];/* as on the wire; IPv4 in the first word, the others 0 */
	__u32 netns;             /* inode */
	__u32 uid;               /* effective; off a multiple of 8 too */
	__u64 cgroup;            /* id: the inode of its directory */
	char iface[IFACE_LEN];   /* filled up with NULs */
};

/* In place of an interface's name, if the kernel refuses to read it (lockdown before Linux 6.2). */
struct netmon_iface {
	__u32 no_name;           /* 0 */
	__u32 index;
	__u32 netns;             /* inode; 0: not known */
	__u32 unused;
};

struct netmon_counters {
	__u64 rx_bytes;
	__u64 tx_bytes;
	__u64 rx_calls;
	__u64 tx_calls;
};

/* The state of an element that changes hands, in the low bits of its seqcount; the other
 * bits are the generation, which is 1 for the first owner.  A reader whose copy saw
 * SEQ_CHANGING, or not the same seqcount before and after, reads again. */
enum netmon_seq {
	SEQ_OWNED = 0,
	SEQ_FREE = 1,            /* it still has the content of its last owner */
	SEQ_CHANGING = 2,
	SEQ_STATES = 3,          /* mask of the states */
	SEQ_GENERATION = 2,      /* shift of the generation */
};

struct netmon_row {
	__u64 seq;
	__u64 freed_at;          /* CLOCK_MONOTONIC, ns; 0: it may be reused at once */
	struct netmon_key key;   /* most of it is in the first cache line */
	struct netmon_counters base;   /* the counters when the owner took the row */
	__u64 checked_calls;     /* calls counted when it was last checked for idleness */
	__u64 checked_at;        /* when a check first found that number: CLOCK_MONOTONIC, ns */
	__u64 tx_retrans, base_retrans;   /* layer ip: packets that TCP sent again, and their base */
} __attribute__((aligned(64)));

struct netmon_process {
	__u64 seq;
	__u64 freed_at;          /* when it ended: CLOCK_MONOTONIC, ns */
	__u32 pid;               /* thread group in the initial pid namespace */
	__u32 ppid;              /* its parent when it took the element; later, when it ended */
	char comm[COMM_LEN];     /* its leader's name */
} __attribute__((aligned(64)));

/* The path of a removed cgroup: an element of a ring. */
struct netmon_gone {
	__u64 seq;               /* generation: the number of paths noted so far */
	__u64 id;
	char path[GONE_PATH];    /* cut if it is longer */
};

/* What the map `status` counts, by index. */
enum netmon_status {
	CALLS_MISSED,            /* kprobes: calls whose return was not seen */
	FORKS_MISSED,            /* descendants that wanted_pids had no room for */
	PROCESSES_FULL,          /* processes that found no room */
	ROWS_FULL,               /* keys that found no room */
	STATUS_COUNT,
};

/* A network and whether to leave it out. */
struct netmon_network {
	__u32 address[4], mask[4];   /* as in struct netmon_key */
	__u8 family;
	__u8 leave_out;
};

enum netmon_filter_kind {
	FILTER_PIDS = 1 << 0,    /* those in the map wanted_pids */
	FILTER_UID = 1 << 1,
	FILTER_CGROUP = 1 << 2,  /* the one in the map wanted_cgroup, and below */
	FILTER_PROTO = 1 << 3,
	FILTER_PORT = 1 << 4,
	FILTER_NET = 1 << 5,
	FILTER_LOOPBACK = 1 << 6,/* leave out loopback traffic */
	FILTER_IFACE = 1 << 7,   /* layer ip only */
	FILTERS_OF_PROCESS = FILTER_PIDS | FILTER_CGROUP, /* not checked by the key */
};

/* What to count; a call must pass each kind that is set.  The list of a kind says what to count or,
 * if the kind is in `leave_out`, what to leave out; each network has its own `leave_out`. */
struct netmon_filter {
	__u32 kinds, leave_out;
	__u32 uids_count, protos_count, ports_count, nets_count, ifaces_count;
	__u32 uids[MAX_LISTED], protos[MAX_LISTED], ports[MAX_LISTED];
	struct netmon_network nets[MAX_LISTED];
	char ifaces[MAX_LISTED][IFACE_LEN];
};

/* What one reading found for one key. */
struct netmon_entry {
	__u64 id;                /* distinguishes owners of rows; ascends with the row */
	__u32 known;             /* which parts of the key are filled in: enum netmon_part */
	__u32 pid, ppid;
	__u32 ended;             /* its process has ended: this is its last entry */
	char comm[COMM_LEN];     /* not terminated if it fills the field */
	struct netmon_key key;
	struct netmon_counters total;   /* since the probes began to count */
	__u64 tx_retrans;        /* layer ip: packets that TCP sent again since then */
};

#endif
