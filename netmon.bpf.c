// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes: payload bytes that the kernel accepted from a process on an IP socket or handed
 * over to it, by the value that the call returned.  An event takes six steps:
 *
 *   hook ──▶ moved(): family, flags, result ──▶ count(): pid ──▶
 *   process_get_or_add() ──▶ row_get_or_add() if the key is finer ──▶ count_in()
 *
 * Each hook has a thin program for each way to attach to it; probes.c loads one of them:
 *
 *   tp_btf/, tracepoint/   the tracepoints, where they run with preemption off (before Linux 7.0);
 *                          the same as classic programs, which the kernel never preempts
 *   fexit/                 functions that the tracepoints do not cover, or that replace them
 *   kprobe/, kretprobe/    the same functions where fexit is not available or can be preempted
 *   cgroup/                the peer of a datagram, where the socket does not know it
 *
 * inet_sendmsg() and its like lie above kernel TLS and MPTCP, so each payload byte passes
 * them once; tcp_sendmsg() would be called again for the records.
 *
 * The constants are set before loading: the verifier removes all code that they make unnecessary.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "filter.h"
#include "netmon.h"

enum { AF_INET = 2, AF_INET6 = 10, AF_PACKET = 17 };
enum { MSG_PEEK = 0x2, MSG_ERRQUEUE = 0x2000 };
enum { ICMPV6 = 58, UDPLITE = 136, MPTCP = 262 }; /* IPPROTO_*, not in all kernels */
enum { CLONE_THREAD = 0x10000 };
enum { ETHERTYPE_IP = 0x0800, ETHERTYPE_IPV6 = 0x86dd };
enum netmon_direction { NETMON_RX, NETMON_TX };

/* The parts of the key, and the parts that the key or the filter needs: enum netmon_part. */
const volatile __u32 parts = PART_PROCESS;
const volatile __u32 needs = PART_PROCESS;
const volatile struct netmon_filter filter;
/* descendants of the processes in wanted_pids are added to it */
const volatile bool follows;
/* Layer ip: calls are not counted; they only show which process uses a socket. */
const volatile bool by_packet;
/* Whether any hook is attached by kprobe. */
const volatile bool has_kprobes;
/* Whether any hook notes the peers of datagrams. */
const volatile bool needs_peer;
/* Sets of counters, and the bits of a CPU's number that select its set. */
const volatile __u32 groups = 1;
const volatile __u32 group_mask;
/* Elements of `rows`, from a row's counters in one set to those in the next, and after how long a
 * row counts as idle: nanoseconds. */
const volatile __u32 rows_limit = MAX_PROCESSES;
const volatile __u32 rows_stride = MAX_PROCESSES;
const volatile __u64 idle_after;
/* How many arguments __skb_recv_udp() has here. */
const volatile __u32 skb_recv_udp_arguments = 4;
/* Whether bpf_rdonly_cast() stands in for bpf_probe_read_kernel(), which lockdown refuses. */
const volatile bool casts;

/* Nothing counts before every program is attached: then user space sets it. */
volatile bool counting;

/* The number of rows with an owner; the next row to check for idleness; that of removed cgroups. */
static __u64 rows_taken, check_next, gone_count;

#define MAP(name, kind, count, type_of_value, ...)                                         \
	struct {                                                                           \
		__uint(type, BPF_MAP_TYPE_##kind);                                         \
		__uint(max_entries, count);                                                \
		__type(value, type_of_value);                                              \
		__VA_ARGS__                                                                \
	} name SEC(".maps")
#define BY(type_of_key) __type(key, type_of_key);
#define MAPPED BY(__u32) __uint(map_flags, BPF_F_MMAPABLE);

/* User space reads these through mmap(2). */
MAP(packet_stats, ARRAY, MAX_PROCESSES, struct netmon_counters, MAPPED); /* set * rows_stride + row */
MAP(rows, ARRAY, MAX_PROCESSES, struct netmon_row, MAPPED);
MAP(processes, ARRAY, MAX_PROCESSES, struct netmon_process, MAPPED);
MAP(status, ARRAY, STATUS_COUNT, __u64, MAPPED);                         /* enum netmon_status */
MAP(gone_cgroups, ARRAY, GONE_CGROUPS, struct netmon_gone, MAPPED);      /* for PART_CGROUP */

/* A place is an element of `processes` or `rows` (low half: its index) and which of its owners is
 * meant (high half: the generation, from 1 on).  0: none.  The next two maps have the place of each
 * live process, by its pid, and of each key. */
MAP(process_of, HASH, MAX_PROCESSES, __u64, BY(__u32));
MAP(row_of, HASH, MAX_ENTRIES, __u64, BY(struct netmon_key));

/* Elements without an owner, the one that has been free for longest first. */
MAP(free_processes, QUEUE, MAX_PROCESSES, __u32);
MAP(free_rows, QUEUE, MAX_ENTRIES, __u32);

/* Hints: the place that was last looked up for a pid, or for a key, of those with the same
 * hash.  Each saves a lookup in a hash map, 50 to 120 ns.  A hint is checked in place. */
enum { PROCESS_HINTS = 1 << 15, ROW_HINTS_BITS = 16 };

static volatile __u64 process_hints[PROCESS_HINTS];
static volatile __u64 row_hints[1 << ROW_HINTS_BITS];

/* The CPU that checks rows for idleness has an entry here: a lock that is only tried. */
MAP(checking, HASH, 1, __u32, BY(__u32));

MAP(wanted_pids, HASH, MAX_FOLLOWED, __u8, BY(__u32));
MAP(wanted_cgroup, CGROUP_ARRAY, 1, __u32, BY(__u32));

/* kprobes only: what the program at the return needs of a thread's call, by thread << 32 | hook. */
struct netmon_arguments {
	struct sock *sk;
	__u64 other;
};

MAP(calls, HASH, 65536, struct netmon_arguments, BY(__u64));

/* The other end of the datagram that a task is just sending or receiving, by the task's address plus
 * the direction, and of the last one that a socket sent, by the socket's address plus 2. */
struct netmon_peer {
	__u32 address[4];        /* as in struct netmon_key */
	__u16 port;
	__u8 family;
	__u8 fresh;              /* not used yet */
};

MAP(peers, LRU_HASH, 16384, struct netmon_peer, BY(__u64));

/* Reading kernel memory.  Pointers that are typed for the verifier are read in place, which
 * lockdown allows; others by bpf_probe_read_kernel(), which it refuses, or, under lockdown,
 * through bpf_rdonly_cast(), whose number netmon puts in before it loads this. */
static void *(*const rdonly_cast)(const void *object, __u32 type) = (void *)CALL_CAST;
#define CAST(type, object)                                                                 \
	((struct type *)rdonly_cast(object, bpf_core_type_id_kernel(struct type)))

/* A field of a pointer that is typed for the verifier, or only for the compiler. */
#define GET(pointer, field) (typed ? (pointer)->field : BPF_CORE_READ(pointer, field))
#define GET_BIT(pointer, field)                                                            \
	(typed ? BPF_CORE_READ_BITFIELD(pointer, field) : BPF_CORE_READ_BITFIELD_PROBED(pointer, field))

#define HAS_TYPED_TASK bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)

/* A field of the current task; typed since Linux 5.11. */
#define CURRENT(field, ...)                                                                \
	(HAS_TYPED_TASK ? bpf_get_current_task_btf()->field                                \
			: BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), __VA_ARGS__))
/* A field of the task `of`; NULL: of the current one. */
#define FIELD(of, field, ...) ((of) ? (of)->field : CURRENT(field, __VA_ARGS__))

static __always_inline void note(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&status, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Counters */

static __always_inline struct netmon_counters *counters_of(__u32 group, __u32 row)
{
	__u32 index = group * rows_stride + row;

	return bpf_map_lookup_elem(&packet_stats, &index);
}

/* Everything that was ever counted in the row. */
static __noinline int counters_sum(__u32 row, struct netmon_counters *sum)
{
	*sum = (struct netmon_counters){ 0 };
	for (__u32 group = 0; group < groups; group++) { /* at most MAX_GROUPS */
		const struct netmon_counters *counters = counters_of(group, row);

		if (!counters)
			break;
		sum->rx_bytes += counters->rx_bytes;
		sum->tx_bytes += counters->tx_bytes;
		sum->rx_calls += counters->rx_calls;
		sum->tx_calls += counters->tx_calls;
	}
	return 0;
}

/* Atomic: a program may be preempted, and CPUs may share a set. */
static __always_inline void count_in(__u32 row, enum netmon_direction direction, __u64 bytes,
				     __u64 calls_count)
{
	struct netmon_counters *counters = counters_of(bpf_get_smp_processor_id() & group_mask, row);
	bool in = direction == NETMON_RX;

	if (!counters)
		return;
	__sync_fetch_and_add(in ? &counters->rx_bytes : &counters->tx_bytes, bytes);
	__sync_fetch_and_add(in ? &counters->rx_calls : &counters->tx_calls, calls_count);
}

/* Owners of elements */

/* Orders the stores before it and those after it, for readers on other CPUs.  arm64 reorders
 * stores, and an atomic operation that orders them needs -mcpu=v3 (Linux 5.12).  Each peek takes
 * and releases a queue's lock (__queue_map_get()), and a release is ordered before the CPU's next
 * acquire (the kernel's tools/memory-model/Documentation/explanation.txt, "po-unlock-lock-po"). */
static __always_inline void order_stores(void)
{
	__u32 unused;

	bpf_map_peek_elem(&free_rows, &unused);
	bpf_map_peek_elem(&free_rows, &unused);
}

/* The element was just popped from its queue: no other program changes it until the owner is
 * found in the hash map. */
static __always_inline __u32 change_begin(__u64 *seq)
{
	__u64 last = *seq & ~(__u64)SEQ_STATES;

	*(volatile __u64 *)seq = last | SEQ_CHANGING;
	order_stores();
	return (last >> SEQ_GENERATION) + 1;
}

static __always_inline void change_end(__u64 *seq, __u64 generation, enum netmon_seq state)
{
	order_stores();
	*(volatile __u64 *)seq = generation << SEQ_GENERATION | state;
}

/* Enters the complete element in `map` under the key, and returns its place.  If another CPU did
 * so just before, frees the element and returns the other place; 0 if that is gone too. */
static __always_inline __u64 publish(void *map, const void *key, __u64 place, __u64 *seq, void *queue)
{
	bool added = !bpf_map_update_elem(map, key, &place, BPF_NOEXIST);
	__u32 index = place;
	__u64 *other;

	change_end(seq, place >> 32, added ? SEQ_OWNED : SEQ_FREE);
	if (added)
		return place;
	bpf_map_push_elem(queue, &index, 0);
	other = bpf_map_lookup_elem(map, key);
	return other ? *other : 0;
}

/* Whether the place is still its owner's: one load, so that there is nothing to order. */
static __always_inline bool is_owned(const __u64 *seq, __u64 place)
{
	return *(const volatile __u64 *)seq == place >> 32 << SEQ_GENERATION;
}

/* Takes the element that has been free for longest; NULL if there is none, or if a running program
 * may still have the index and that matters (`quarantine`).  Both kinds begin with `seq` and
 * `freed_at`. */
static __always_inline void *take_free(void *queue, void *elements, bool quarantine, __u32 *index)
{
	struct netmon_row *element;

	if (bpf_map_pop_elem(queue, index))
		return NULL;
	element = bpf_map_lookup_elem(elements, index);
	if (element && quarantine && element->freed_at &&
	    (__s64)(bpf_ktime_get_ns() - element->freed_at) < (__s64)QUARANTINE) {
		bpf_map_push_elem(queue, index, 0);
		return NULL;
	}
	return element;
}

static __always_inline __u64 place_of(__u32 index, __u32 generation)
{
	return (__u64)generation << 32 | index;
}

/* Processes */

/* The name of the process, not of the calling thread.  `of`: a task of it; NULL: the current one. */
static __always_inline void leader_comm(char *comm, struct task_struct *of)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (HAS_TYPED_TASK)
		__builtin_memcpy(comm, (of ?: bpf_get_current_task_btf())->group_leader->comm, COMM_LEN);
	else
		BPF_CORE_READ_INTO((char(*)[COMM_LEN])comm, task, group_leader, comm);
}

/* The row counts for the key from now on; the caller ends the change. */
static __always_inline __u32 row_begin(__u32 index, struct netmon_row *row,
				       const struct netmon_key *key)
{
	__u32 generation = change_begin(&row->seq);

	counters_sum(index, &row->base);
	row->base_retrans = row->tx_retrans;
	row->key = *key;
	row->checked_calls = row->base.rx_calls + row->base.tx_calls;
	row->checked_at = bpf_ktime_get_ns();
	row->freed_at = 0;
	return generation;
}

/* If the process is the key, its row has the same index. */
static __always_inline void row_of_process_begin(__u32 index, __u32 generation)
{
	const struct netmon_key key = { .process = index, .generation = generation };
	struct netmon_row *row = bpf_map_lookup_elem(&rows, &index);

	if (!row)
		return;
	row_begin(index, row, &key);
	change_end(&row->seq, generation, SEQ_OWNED);
}

/* Gives the process an element, complete before it is found in process_of, so that no byte comes
 * before its row's base.  Returns its place; 0 if there is none. */
static __noinline __u64 process_add(__u32 pid, struct task_struct *of)
{
	struct netmon_process *process;
	__u32 index, generation;

	/* past its end it only closes its files: those of a network file system are written then,
	 * and an element taken now would never be freed */
	if (!FIELD(of, signal->live.counter, signal, live.counter))
		return 0;
	/* in layer ip packets are charged to a process that has ended */
	process = take_free(&free_processes, &processes, by_packet, &index);
	if (!process) {
		note(PROCESSES_FULL);
		return 0;
	}
	generation = change_begin(&process->seq);
	process->freed_at = 0;
	process->pid = pid;
	process->ppid = FIELD(of, real_parent->tgid, real_parent, tgid);
	leader_comm(process->comm, of);
	if (parts == PART_PROCESS)
		row_of_process_begin(index, generation);
	return publish(&process_of, &pid, place_of(index, generation), &process->seq,
		       &free_processes);
}

static __noinline __u64 process_find_or_add(__u32 pid, struct task_struct *of)
{
	const __u64 *known = bpf_map_lookup_elem(&process_of, &pid);
	__u64 place = known ? *known : process_add(pid, of);

	if (place)
		process_hints[pid % PROCESS_HINTS] = place;
	return place;
}

/* The place of the process; 0 if it is past its end, if there is no room for it, or if another CPU
 * has just removed what it added.  `of`: a task of the process; NULL: the current one. */
static __always_inline __u64 process_get_or_add(__u32 pid, struct task_struct *of)
{
	__u64 place = process_hints[pid % PROCESS_HINTS];
	__u32 index = place;
	const struct netmon_process *process = bpf_map_lookup_elem(&processes, &index);

	if (process && place && process->pid == pid && is_owned(&process->seq, place))
		return place;
	return process_find_or_add(pid, of);
}

/* Frees the element of a process that has ended.  Two threads may both see that they are its last: the
 * one that removes it from the map does the rest. */
static __always_inline void process_free(struct task_struct *task)
{
	__u32 index, pid = task->tgid;
	struct netmon_process *process;
	const __u64 *place;

	if (!(parts & PART_PROCESS))
		return;
	place = bpf_map_lookup_elem(&process_of, &pid);
	index = place ? *place : 0;
	process = place ? bpf_map_lookup_elem(&processes, &index) : NULL;
	if (!process || bpf_map_delete_elem(&process_of, &pid))
		return;
	process->ppid = task->real_parent->tgid;
	process->freed_at = bpf_ktime_get_ns();
	order_stores();
	*(volatile __u64 *)&process->seq |= SEQ_FREE;
	bpf_map_push_elem(&free_processes, &index, 0);
}

/* Rows of keys that are finer than the process, or have no process */

/* Notes whether anything was counted in the row since its last check.  Frees it if its process has
 * ended or, if room is short, if it has been idle until its last bytes are in a report. */
static __noinline int row_check(__u32 index)
{
	struct netmon_row *row = bpf_map_lookup_elem(&rows, &index);
	__u64 calls_count, now = bpf_ktime_get_ns();
	const struct netmon_process *process;
	struct netmon_counters sum;
	const __u64 *place;
	bool dead, idle;

	if (!row || !row->seq || row->seq & SEQ_STATES)
		return 0;
	counters_sum(index, &sum);
	calls_count = sum.rx_calls + sum.tx_calls;
	if (calls_count != row->checked_calls) {
		row->checked_calls = calls_count;
		row->checked_at = now;
	}
	process = bpf_map_lookup_elem(&processes, &row->key.process);
	dead = parts & PART_PROCESS && process &&
	       !is_owned(&process->seq, place_of(row->key.process, row->key.generation));
	idle = rows_taken > rows_limit / 4 * 3 && now > row->checked_at &&
	       now - row->checked_at > idle_after;
	if (!dead && !idle)
		return 0;
	place = bpf_map_lookup_elem(&row_of, &row->key); /* unchanged until it is free */
	if (!place || (__u32)*place != index || bpf_map_delete_elem(&row_of, &row->key))
		return 0;
	/* a running program may still have the index */
	row->freed_at = !dead || by_packet ? bpf_ktime_get_ns() : 0;
	*(volatile __u64 *)&row->seq |= SEQ_FREE;
	__sync_fetch_and_add(&rows_taken, -1);
	bpf_map_push_elem(&free_rows, &index, 0);
	return 0;
}

/* Checks some rows at each new key, one CPU at a time: so a note is at most as old as
 * the time in which a quarter of the rows got new keys. */
static __always_inline void rows_check(void)
{
	__u64 first = check_next;
	__u32 lock = 0, count = rows_limit - 1;

	if (bpf_map_update_elem(&checking, &lock, &lock, BPF_NOEXIST))
		return;
	check_next = first + 4;
	for (__u32 i = 0; i < 4; i++)
		row_check(1 + (__u32)((first + i) % count));
	bpf_map_delete_elem(&checking, &lock);
}

/* Gives the key a row.  Returns its place; 0 if there is none. */
static __noinline __u64 row_add(const struct netmon_key *key)
{
	struct netmon_row *row;
	__u64 place, published;
	__u32 index;

	rows_check();
	row = take_free(&free_rows, &rows, true, &index);
	if (!row) {
		note(ROWS_FULL);
		return 0;
	}
	place = place_of(index, row_begin(index, row, key));
	published = publish(&row_of, key, place, &row->seq, &free_rows);
	if (published == place)
		__sync_fetch_and_add(&rows_taken, 1);
	return published;
}

/* Each part of a key by its field, of 16 bytes if it is wide. */
#define EACH_PART(DO, DO_WIDE)                                                             \
	DO(PART_PROCESS, process) DO(PART_PROCESS, generation)                             \
	DO(PART_PROTO, proto) DO(PART_FAMILY, family)                                      \
	DO(PART_LPORT, lport) DO(PART_RPORT, rport)                                        \
	DO(PART_UID, uid) DO(PART_NETNS, netns) DO(PART_CGROUP, cgroup)                    \
	DO_WIDE(PART_LADDR, laddr) DO_WIDE(PART_RADDR, raddr) DO_WIDE(PART_IFACE, iface)
#define COMPARE(part, field)                                                               \
	if (asked & (part) && a->field != b->field)                                        \
		return false;
#define COMPARE_WIDE(part, field)                                                          \
	if (asked & (part) && (((__u64 *)a->field)[0] != ((__u64 *)b->field)[0] ||         \
			       ((__u64 *)a->field)[1] != ((__u64 *)b->field)[1]))          \
		return false;
#define DROP_UNLESS_ASKED(part, field)                                                     \
	if (!(asked & (part)))                                                             \
		__builtin_memset(&key->field, 0, sizeof(key->field));

/* Whether the parts that are asked for are the same. */
static __always_inline bool key_same(const struct netmon_key *a, const struct netmon_key *b)
{
	const __u32 asked = parts;

	EACH_PART(COMPARE, COMPARE_WIDE)
	return true;
}

/* Drops the parts that only filters, or other parts, need. */
static __always_inline void key_reduce(struct netmon_key *key)
{
	const __u32 asked = parts;

	EACH_PART(DROP_UNLESS_ASKED, DROP_UNLESS_ASKED)
}

/* The row at the place if it has the key, which is there before the place is known. */
static __always_inline const struct netmon_row *row_with(const struct netmon_key *key, __u64 place)
{
	__u32 index = place;
	const struct netmon_row *row = bpf_map_lookup_elem(&rows, &index);

	return row && place && key_same(&row->key, key) ? row : NULL;
}

/* Finds the key's row by the hash map, and notes its place.  ROW_OTHER if there is none.  The
 * element that is found there may be another key's when it is read.  The map compares whole keys. */
static __noinline __u32 row_find_or_add(struct netmon_key *key, volatile __u64 *hint)
{
	const __u64 *known;
	__u64 place;

	key_reduce(key);
	known = bpf_map_lookup_elem(&row_of, key);
	place = known ? *known : 0;
	if (!row_with(key, place))
		place = row_add(key);
	if (place)
		*hint = place;
	return place;
}

static __always_inline __u32 key_hash(const struct netmon_key *key)
{
	const __u32 asked = parts;
	__u64 sum = key->process;

	if (asked & PART_PROTO)
		sum += (__u64)key->proto << 52;
	if (asked & (PART_LPORT | PART_RPORT))
		sum += ((__u64)key->lport << 32) + ((__u64)key->rport << 16);
	if (asked & PART_RADDR)
		sum += (__u64)(key->raddr[0] ^ key->raddr[3]) << 24; /* IPv4 and IPv6 */
	if (asked & PARTS_CALLER)
		sum += 3 * (key->uid + ((__u64)key->netns << 32)) + 5 * key->cgroup;
	return sum * 0x9e3779b97f4a7c15 >> (64 - ROW_HINTS_BITS); /* Fibonacci hashing */
}

/* The row of the key's parts that are asked for; ROW_OTHER if there is no room. */
static __always_inline __u32 row_get_or_add(struct netmon_key *key)
{
	volatile __u64 *hint = &row_hints[key_hash(key)];
	__u64 place = *hint;
	const struct netmon_row *row = row_with(key, place);

	return row && is_owned(&row->seq, place) ? place : row_find_or_add(key, hint);
}

/* The row of a key whose process, if it has a part for one, is at this place. */
static __always_inline __u32 row_of_place(struct netmon_key *key, __u64 place)
{
	if (!parts)
		return ROW_ALL;
	if (parts == PART_PROCESS || (parts & PART_PROCESS && !(__u32)place))
		return place;
	if (parts & PART_PROCESS) {
		key->process = place;
		key->generation = place >> 32;
	}
	return row_get_or_add(key);
}

/* Keys */

static __always_inline bool is_ip(int family)
{
	return family == AF_INET || family == AF_INET6;
}

static __always_inline bool is_datagram(__u16 proto)
{
	return proto == IPPROTO_UDP || proto == UDPLITE;
}

static __always_inline bool has_ports(__u16 proto)
{
	return proto == IPPROTO_TCP || is_datagram(proto) || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP;
}

static __always_inline __u16 proto_of(struct sock *sk, int family, bool typed)
{
	__u16 proto;

	if (family == AF_PACKET)
		return PROTO_PACKET;
	proto = GET(sk, sk_protocol);
	return proto == MPTCP ? IPPROTO_TCP : proto == ICMPV6 ? IPPROTO_ICMP : proto;
}

/* Turns an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) into an IPv4 one; false if it is none. */
static __always_inline bool unmap(__u32 address[4])
{
	if (address[0] | address[1] || address[2] != bpf_htonl(0xffff))
		return false;
	address[0] = address[3];
	address[2] = address[3] = 0;
	return true;
}

/* Returns whether these are IPv4 addresses. */
static __always_inline bool read_addresses(struct netmon_key *key, struct sock *sk, int family,
					   bool typed)
{
	bool is_v4;

	if (family == AF_INET) {
		key->laddr[0] = GET(sk, __sk_common.skc_rcv_saddr);
		key->raddr[0] = GET(sk, __sk_common.skc_daddr);
		return true;
	}
	if (typed) {
		__builtin_memcpy(key->laddr, &sk->__sk_common.skc_v6_rcv_saddr, sizeof(key->laddr));
		__builtin_memcpy(key->raddr, &sk->__sk_common.skc_v6_daddr, sizeof(key->raddr));
	} else {
		BPF_CORE_READ_INTO(&key->laddr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
		BPF_CORE_READ_INTO(&key->raddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
	}
	is_v4 = unmap(key->laddr);
	return unmap(key->raddr) || is_v4;
}

/* A TCP socket that is closed both ways, but not read to its end, has given its port back.
 * The port is still in inet_sport (tcp_time_wait()). */
static __always_inline __u16 local_port(struct sock *sk, __u16 proto, bool typed)
{
	__u16 port = GET(sk, __sk_common.skc_num);
	struct tcp_sock *tcp;

	if (port || proto != IPPROTO_TCP)
		return port;
	if (!typed)
		return bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	if (casts)
		return bpf_ntohs(CAST(inet_sock, sk)->inet_sport);
	tcp = bpf_skc_to_tcp_sock(sk);
	return tcp ? bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport) : 0;
}

/* Fills in both ends and the IP version on the wire.  If the call names a peer for the
 * datagram, that peer replaces the socket's. */
static __always_inline void describe_ends(struct netmon_key *key, struct sock *sk, int family,
					  bool typed, const struct netmon_peer *peer)
{
	bool is_v4 = read_addresses(key, sk, family, typed);

	if (has_ports(key->proto)) {
		key->lport = local_port(sk, key->proto, typed);
		key->rport = bpf_ntohs(GET(sk, __sk_common.skc_dport));
	}
	if (peer->family && (peer->fresh || no_address(key->raddr))) {
		__builtin_memcpy(key->raddr, peer->address, sizeof(key->raddr));
		key->rport = peer->port;
		key->family = peer->family;
	} else if (is_v4) {
		key->family = 4;
	} else if (!no_address(key->raddr) || !no_address(key->laddr) || !has_ports(key->proto) ||
		   GET_BIT(sk, __sk_common.skc_ipv6only)) {
		key->family = 6;
	}
}

/* The peer, if known, of the datagram that the current task has sent or received.  A send without a
 * peer on an unconnected socket continues its previous datagram (UDP_CORK). */
static __always_inline void peer_take(struct netmon_peer *peer, enum netmon_direction direction,
				      const struct sock *sk)
{
	__u64 datagram = bpf_get_current_task() + direction, socket = (__u64)sk + 2;
	struct netmon_peer *known = bpf_map_lookup_elem(&peers, &datagram), *last;

	last = direction == NETMON_TX ? bpf_map_lookup_elem(&peers, &socket) : NULL;
	if (!known || !known->fresh) {
		if (last)
			*peer = *last;
		return;
	}
	*peer = *known;
	known->fresh = 0;
	if (last)
		*last = *known;
	else if (direction == NETMON_TX)
		bpf_map_update_elem(&peers, &socket, known, BPF_ANY);
}

static __always_inline bool pid_passes(__u32 pid)
{
	return !(filter.kinds & FILTER_PIDS) ||
	       !bpf_map_lookup_elem(&wanted_pids, &pid) == leaves_out(&filter, FILTER_PIDS);
}

/* Before Linux 6.4 the verifier does not trace back what a function reads from its caller's stack
 * (backtrack_insn(): "insn->src_reg != BPF_REG_FP"): a value that is constant on one path, at a
 * multiple of 8, is taken for constant on others too, and the comparison is removed.  So `proto`,
 * `family` and `uid` lie elsewhere in the key. */
static __noinline bool key_passes(const struct netmon_key *key)
{
	if (!by_packet && filter.kinds & FILTER_CGROUP &&
	    (bpf_current_task_under_cgroup(&wanted_cgroup, 0) == 1) ==
		    leaves_out(&filter, FILTER_CGROUP))
		return false;
	return filter_passes(&filter, key);
}

static __always_inline void key_make(struct netmon_key *key, struct sock *sk, int family, bool typed,
				     const struct netmon_peer *peer)
{
	const __u32 asked = needs;

	if (asked & (PART_PROTO | PARTS_ENDS))
		key->proto = proto_of(sk, family, typed);
	if (asked & PARTS_ENDS && key->proto != PROTO_PACKET)
		describe_ends(key, sk, family, typed, peer);
	if (asked & PART_UID)
		key->uid = CURRENT(cred->euid.val, cred, euid.val);
	if (asked & PART_NETNS)
		key->netns = CURRENT(nsproxy->net_ns->ns.inum, nsproxy, net_ns, ns.inum);
	if (asked & PART_CGROUP) /* bpf_get_current_cgroup_id() takes 25 to 35 ns more */
		key->cgroup = CURRENT(cgroups->dfl_cgrp->kn->id, cgroups, dfl_cgrp, kn, id);
}

/* Counts one call of the current process that moved `bytes`; ignores errors and what is no traffic.
 * Threads of io_uring, and kernel threads that a process owns, are in its thread group. */
static __always_inline int count(enum netmon_direction direction, struct sock *sk, int family,
				 bool typed, long bytes, bool traffic)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct netmon_peer peer = {};
	struct netmon_key key = {};
	__u64 place = 0;

	/* a peer must not be kept for a later call */
	if (needs_peer && is_datagram(proto_of(sk, family, typed)))
		peer_take(&peer, direction, sk);
	if (!counting || !traffic || bytes <= 0 || !pid_passes(pid))
		return 0;
	if (needs & ~PART_PROCESS)
		key_make(&key, sk, family, typed, &peer);
	if (filter.kinds & ~FILTER_PIDS && !key_passes(&key))
		return 0;
	if (parts & PART_PROCESS)
		place = process_get_or_add(pid, NULL);
	count_in(row_of_place(&key, place), direction, bytes, 1);
	return 0;
}

#include "packets.bpf.h"

/* A call on the socket returned `bytes`.  A frame that a process sends by hand is its traffic; what
 * a packet socket receives is a copy of some other socket's. */
static __always_inline int moved(enum netmon_direction direction, struct sock *sk, bool typed,
				 int flags, long bytes)
{
	int family = GET(sk, __sk_common.skc_family);

	if (!is_ip(family) && !(family == AF_PACKET && direction == NETMON_TX))
		return 0;
	if (by_packet)
		return typed && is_ip(family) && bytes >= 0 ? socket_used(sk) : 0;
	return count(direction, sk, family, typed, bytes,
		     direction == NETMON_TX || !(flags & (MSG_PEEK | MSG_ERRQUEUE)));
}

/* Sockets: the tracepoints of Linux 6.3, in sock_sendmsg() and sock_recvmsg().  Classic programs
 * get a plain address, which only bpf_rdonly_cast() (Linux 6.2) can read under lockdown. */

#define SENT(...) moved(NETMON_TX, __VA_ARGS__)
#define RECEIVED(...) moved(NETMON_RX, __VA_ARGS__)

#define TRACEPOINTS(name, then)                                                            \
	SEC("tp_btf/" #name)                                                               \
	int BPF_PROG(name##_btf, struct sock *sk, int ret, int flags)                      \
	{                                                                                  \
		return then(sk, true, flags, ret);                                         \
	}                                                                                  \
	SEC("tracepoint/sock/" #name)                                                      \
	int name##_classic(struct trace_event_raw_sock_msg_length *ctx)                    \
	{                                                                                  \
		return casts ? then(CAST(sock, ctx->sk), true, ctx->flags, ctx->ret)       \
			     : then(ctx->sk, false, ctx->flags, ctx->ret);                 \
	}

TRACEPOINTS(sock_send_length, SENT)
TRACEPOINTS(sock_recv_length, RECEIVED)

/* The kprobe way: the entry keeps what the return needs.  If a thread enters again, or ends, before
 * it returned, a return was not seen, for lack of an instance of the kretprobe. */

enum netmon_hook {
	INET_SENDMSG, INET6_SENDMSG, PACKET_SENDMSG, PACKET_SENDMSG_SPKT, INET_SENDPAGE,
	INET_RECVMSG, INET6_RECVMSG, SOCK_COMMON_RECVMSG,
	SOCK_SPLICE_READ, TCP_ZEROCOPY_RECEIVE,
	NETMON_HOOKS,
};

static __always_inline int entered(enum netmon_hook hook, struct sock *sk, __u64 other)
{
	__u64 call = bpf_get_current_pid_tgid() << 32 | hook;
	struct netmon_arguments arguments = { .sk = sk, .other = other };

	if (bpf_map_update_elem(&calls, &call, &arguments, BPF_NOEXIST)) {
		note(CALLS_MISSED);
		bpf_map_update_elem(&calls, &call, &arguments, BPF_EXIST);
	}
	return 0;
}

static __always_inline bool returned(enum netmon_hook hook, struct netmon_arguments *arguments)
{
	__u64 call = bpf_get_current_pid_tgid() << 32 | hook;
	struct netmon_arguments *kept = bpf_map_lookup_elem(&calls, &call);

	if (!kept)
		return false;
	*arguments = *kept;
	bpf_map_delete_elem(&calls, &call);
	return true;
}

static __always_inline void thread_ended(void)
{
#pragma unroll /* Linux 5.10 does not see that the loop ends */
	for (int hook = 0; hook < NETMON_HOOKS; hook++) {
		__u64 call = bpf_get_current_pid_tgid() << 32 | hook;

		if (!bpf_map_delete_elem(&calls, &call))
			note(CALLS_MISSED);
	}
}

/* Sockets: the functions behind every call, where the tracepoints are missing.  `then` counts a
 * call on the socket `of`; NULL: it is counted elsewhere.  `...`: the arguments; `kept`: what
 * `then` needs of them.  A result fits in an int (MAX_RW_COUNT). */

#define FEXIT(name, then, typed, of, kept, ...)                                            \
	SEC("fexit/" #name)                                                                \
	int BPF_PROG(name##_fexit, __VA_ARGS__, int ret)                                   \
	{                                                                                  \
		struct sock *sk = of;                                                      \
                                                                                           \
		return sk ? then(sk, typed, kept, ret) : 0;                                \
	}

#define KPROBES(name, hook, then, of, kept, ...)                                           \
	SEC("kprobe/" #name)                                                               \
	int BPF_KPROBE(name##_kprobe, __VA_ARGS__)                                         \
	{                                                                                  \
		struct sock *sk = of;                                                      \
                                                                                           \
		return sk ? entered(hook, sk, (__u64)(kept)) : 0;                          \
	}                                                                                  \
	SEC("kretprobe/" #name)                                                            \
	int name##_kretprobe(struct pt_regs *ctx)                                          \
	{                                                                                  \
		int ret = PT_REGS_RC(ctx);                                                 \
		struct netmon_arguments call;                                              \
                                                                                           \
		return returned(hook, &call) ? then(call.sk, false, call.other, ret) : 0;  \
	}

#define FUNCTION(name, hook, then, kept, ...)                                              \
	FEXIT(name, then, true, sock->sk, kept, struct socket *sock, __VA_ARGS__)          \
	KPROBES(name, hook, then, BPF_CORE_READ(sock, sk), kept, struct socket *sock, __VA_ARGS__)
#define SENDS(name, hook) FUNCTION(name, hook, SENT, 0, struct msghdr *msg, size_t size)
#define RECEIVES(name, hook)                                                               \
	FUNCTION(name, hook, RECEIVED, flags, struct msghdr *msg, size_t size, int flags)

SENDS(inet_sendmsg, INET_SENDMSG)
SENDS(inet6_sendmsg, INET6_SENDMSG)
SENDS(packet_sendmsg, PACKET_SENDMSG)
SENDS(packet_sendmsg_spkt, PACKET_SENDMSG_SPKT)
RECEIVES(inet_recvmsg, INET_RECVMSG)
RECEIVES(inet6_recvmsg, INET6_RECVMSG)
/* SCTP and IPv6 raw sockets; other families use it too */
RECEIVES(sock_common_recvmsg, SOCK_COMMON_RECVMSG)

/* sendfile and splice into a socket, before Linux 6.5.  A protocol without a sendpage of
 * its own goes on to inet_sendmsg(), where it is counted (sock_no_sendpage()). */
static __always_inline struct sock *with_sendpage(struct socket *sock, bool typed)
{
	struct sock *sk = GET(sock, sk);
	struct proto___netmon *proto = (void *)GET(sk, __sk_common.skc_prot);

	return GET(proto, sendpage) ? sk : NULL;
}

FEXIT(inet_sendpage, SENT, true, with_sendpage(sock, true), 0, struct socket *sock,
      struct page *page, int offset, size_t size, int flags)
/* here and below without the fifth argument, which 32-bit arm has on the stack */
KPROBES(inet_sendpage, INET_SENDPAGE, SENT, with_sendpage(sock, false), 0, struct socket *sock)

/* Splice out of a socket.  A family without a splice of its own comes back as a recvmsg, and is
 * counted there.  TCP, MPTCP and kernel TLS have one each; this hook sees all of them. */

#define SOCK_FROM_FILE bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file)

/* `typed`: by the helper of Linux 5.11. */
static __always_inline struct sock *with_splice(struct file *file, bool typed)
{
	struct socket *sock = typed ? bpf_sock_from_file(file) : BPF_CORE_READ(file, private_data);
	const struct proto_ops *ops = sock ? GET(sock, ops) : NULL;

	return ops && GET(ops, splice_read) ? GET(sock, sk) : NULL;
}

FEXIT(sock_splice_read, RECEIVED, SOCK_FROM_FILE, with_splice(file, SOCK_FROM_FILE), 0,
      struct file *file, loff_t *pos, struct pipe_inode_info *pipe, size_t size, unsigned int flags)
KPROBES(sock_splice_read, SOCK_SPLICE_READ, RECEIVED, with_splice(file, false), 0,
	struct file *file)

/* What a successful TCP_ZEROCOPY_RECEIVE handed over: bytes in mapped pages and, where it
 * has a buffer for the rest, bytes copied (tcp_zerocopy_receive()). */
static __always_inline int zerocopied(struct sock *sk, bool typed, __u64 argument, int error)
{
	struct tcp_zerocopy_receive *zc = (void *)argument;
	__s32 copied = bpf_core_field_exists(zc->copybuf_len) ? GET(zc, copybuf_len) : 0;
	long bytes = (long)GET(zc, length) + (copied > 0 ? copied : 0);

	return moved(NETMON_RX, sk, typed, 0, error ? 0 : bytes);
}

/* What a function returned, which follows its arguments in ctx: `most` of them, or one less.  The
 * barrier keeps two loads two: the verifier takes no computed offset. */
static __always_inline __u64 result(const __u64 *ctx, int most, bool one_less)
{
	__u64 value = 0;

	if (one_less)
		value = ctx[most - 1];
	barrier();
	if (!one_less)
		value = ctx[most];
	return value;
}

SEC("fexit/tcp_zerocopy_receive")
int BPF_PROG(tcp_zerocopy_receive_fexit, struct sock *sk, struct tcp_zerocopy_receive *zc)
{
	/* the third argument came with that field, in Linux 5.12 */
	int error = result(ctx, 3, !bpf_core_field_exists(zc->msg_flags));

	return zerocopied(sk, true, (__u64)zc, error);
}

KPROBES(tcp_zerocopy_receive, TCP_ZEROCOPY_RECEIVE, zerocopied, of, zc, struct sock *of,
	struct tcp_zerocopy_receive *zc)

/* The peer of a datagram, as the caller names it or asks for it.  The kernel runs the programs of sends
 * only if it is not the socket's own peer (udp_sendmsg()), before the datagram is sent and counted. */

static __always_inline int peer_note(enum netmon_direction direction, struct netmon_peer *peer)
{
	__u64 datagram = bpf_get_current_task() + direction;

	if (unmap(peer->address))
		peer->family = 4;
	peer->fresh = 1;
	bpf_map_update_elem(&peers, &datagram, peer, BPF_ANY);
	return 1; /* let it pass */
}

#define PEER_OF_CALL(name, direction, version)                                             \
	SEC("cgroup/" #name)                                                               \
	int name##_cgroup(struct bpf_sock_addr *ctx)                                       \
	{                                                                                  \
		struct netmon_peer peer = { .family = version };                           \
                                                                                           \
		peer.port = bpf_ntohs((__u16)ctx->user_port);                              \
		peer.address[0] = version == 4 ? ctx->user_ip4 : ctx->user_ip6[0];         \
		if (version == 6) {                                                        \
			peer.address[1] = ctx->user_ip6[1];                                \
			peer.address[2] = ctx->user_ip6[2];                                \
			peer.address[3] = ctx->user_ip6[3];                                \
		}                                                                          \
		return peer_note(direction, &peer);                                        \
	}

PEER_OF_CALL(sendmsg4, NETMON_TX, 4)
PEER_OF_CALL(sendmsg6, NETMON_TX, 6)
PEER_OF_CALL(recvmsg4, NETMON_RX, 4)
PEER_OF_CALL(recvmsg6, NETMON_RX, 6)

/* The datagram that udp_recvmsg() or udpv6_recvmsg() takes from the queue, even if the caller
 * does not ask for its source. */
static __always_inline int received_skb(struct sk_buff *skb, bool typed)
{
	struct netmon_peer peer = { 0 };
	unsigned char *head;

	if (!skb)
		return 0;
	head = GET(skb, head);
	/* the source is the first field */
	bpf_probe_read_kernel(&peer.port, 2, head + GET(skb, transport_header));
	peer.port = bpf_ntohs(peer.port);
	head += GET(skb, network_header);
	peer.family = GET(skb, protocol) == bpf_htons(ETHERTYPE_IP) ? 4 : 6;
	if (peer.family == 4)
		bpf_probe_read_kernel(peer.address, 4, head + offsetof(struct iphdr, saddr));
	else
		bpf_probe_read_kernel(peer.address, 16, head + offsetof(struct ipv6hdr, saddr));
	peer_note(NETMON_RX, &peer);
	return 0;
}

SEC("fexit/__skb_recv_udp")
int __skb_recv_udp_fexit(__u64 *ctx)
{
	/* one argument fewer since Linux 5.19 */
	return received_skb((void *)result(ctx, 5, skb_recv_udp_arguments != 5), true);
}

SEC("kretprobe/__skb_recv_udp")
int __skb_recv_udp_kretprobe(struct pt_regs *ctx)
{
	return received_skb((void *)PT_REGS_RC(ctx), false);
}

/* The life of a process: its name, its children, and its end. */

/* NULL for a thread, whose name is not that of its process: process_of has only leaders. */
static __always_inline struct netmon_process *process_find(__u32 pid)
{
	const __u64 *place = bpf_map_lookup_elem(&process_of, &pid);
	__u32 index = place ? *place : 0;

	return place ? bpf_map_lookup_elem(&processes, &index) : NULL;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename_btf, struct task_struct *task, const char *comm)
{
	struct netmon_process *process = process_find(task->pid);

	if (process)
		bpf_probe_read_kernel_str(process->comm, COMM_LEN, comm);
	return 0;
}

SEC("tracepoint/task/task_rename")
int task_rename_classic(struct trace_event_raw_task_rename *ctx)
{
	struct netmon_process *process = process_find(ctx->pid);

	if (process)
		__builtin_memcpy(process->comm, ctx->newcomm, COMM_LEN); /* refused before Linux 7.0 */
	return 0;
}

/* Where lockdown refuses to read the new name: it is in place when this returns. */
SEC("fexit/__set_task_comm")
int BPF_PROG(__set_task_comm_fexit, struct task_struct *task)
{
	struct netmon_process *process = process_find(task->pid);

	if (process)
		__builtin_memcpy(process->comm, task->comm, COMM_LEN);
	return 0;
}

/* The kernel holds cgroup_mutex here: there is one writer at a time, and no call to be
 * skipped.  The id of a cgroup of version 1 may be the same. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_rmdir_btf, struct cgroup *cgroup, const char *path)
{
	__u32 index = gone_count & (GONE_CGROUPS - 1);
	struct netmon_gone *gone = bpf_map_lookup_elem(&gone_cgroups, &index);

	if (!gone || cgroup->root->hierarchy_id)
		return 0;
	change_begin(&gone->seq);
	gone->id = cgroup->kn->id;
	bpf_probe_read_kernel_str(gone->path, sizeof(gone->path), path);
	change_end(&gone->seq, ++gone_count, SEQ_OWNED);
	return 0;
}

/* A new process is followed if its parent is (copy_process()). */
static __always_inline int forked(__u32 child, __u64 flags)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u8 *wanted = bpf_map_lookup_elem(&wanted_pids, &pid);

	if (wanted && !(flags & CLONE_THREAD) &&
	    bpf_map_update_elem(&wanted_pids, &child, wanted, BPF_ANY))
		note(FORKS_MISSED);
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(task_newtask_btf, struct task_struct *task, __u64 flags)
{
	return forked(task->pid, flags);
}

SEC("tracepoint/task/task_newtask")
int task_newtask_classic(struct trace_event_raw_task_newtask *ctx)
{
	return forked(ctx->pid, ctx->clone_flags);
}

/* The last thread ends the process.  No call of the process can be under way: each of its threads,
 * those of io_uring included, is past its last one (do_exit()), and signal->live, which it
 * decremented by a fully ordered operation, orders what it counted before what is seen here. */
static __always_inline int ended(struct task_struct *task)
{
	__u32 pid = task->tgid;

	if (has_kprobes)
		thread_ended();
	if (task->signal->live.counter)
		return 0;
	if (follows)
		bpf_map_delete_elem(&wanted_pids, &pid);
	process_free(task);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit_btf, struct task_struct *task)
{
	return ended(task);
}

SEC("tracepoint/sched/sched_process_exit")
int sched_process_exit_classic(void *ctx)
{
	return ended(bpf_get_current_task_btf());
}

/* Frees the elements from the first number of ctx to before the second, at most FILL_MOST.  User
 * space runs these first (BPF_PROG_TEST_RUN): a system call for each element would take long. */

#define FILL(name, queue)                                                                  \
	SEC("raw_tp")                                                                      \
	int name(const __u64 *ctx)                                                         \
	{                                                                                  \
		for (__u32 i = 0; i < FILL_MOST; i++) {                                    \
			__u32 index = ctx[0] + i;                                          \
                                                                                           \
			if (index >= ctx[1])                                               \
				break;                                                     \
			bpf_map_push_elem(&queue, &index, 0);                              \
		}                                                                          \
		return 0;                                                                  \
	}

FILL(fill_processes, free_processes)
FILL(fill_rows, free_rows)

char LICENSE[] SEC("license") = "GPL";
