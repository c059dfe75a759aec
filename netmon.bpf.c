// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes: payload bytes that the kernel accepted from a process on an IP socket
 * or handed over to it, by the value that the call returned.
 *
 * One body of code, count(), serves all.  Each hook has a thin wrapper for each way
 * to attach to it; probes.c loads one of them for each hook:
 *
 *   tp_btf/      the tracepoints, where they run with preemption off (before Linux 7.0)
 *   tracepoint/  the same as classic programs, which the kernel never preempts
 *   fexit/       the functions that the tracepoints do not cover or that stand in for them
 *   kprobe/, kretprobe/   the same functions where fexit is not to be had; as kprobe.multi
 *                before it where fexit programs may be preempted (since Linux 7.0)
 *   cgroup/      who a datagram is for or from, where the socket does not know it
 *
 * inet_sendmsg() and its like lie above kernel TLS and MPTCP, so each payload byte
 * passes them once; tcp_sendmsg() would be called again for the records.
 *
 * What is asked for is constant before the programs are loaded: the verifier takes out
 * all that it does not need.
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
enum { CLONE_THREAD = 0x10000, PF_EXITING = 4 };
enum { ETHERTYPE_IP = 0x0800, ETHERTYPE_IPV6 = 0x86dd };
enum direction { RX, TX };

/* A slot that was taken from its key serves no other one for so long: a program that still
 * had found it there is done by then. */
#define QUARANTINE 1000000000ULL

#define barrier() asm volatile("" ::: "memory")

/* The parts that the key is made of, and those that it or the filter needs: enum part. */
const volatile __u32 parts = PART_PROCESS;
const volatile __u32 needs = PART_PROCESS;
const volatile struct netmon_filter filter;
/* Whether the key, of no more parts than process, protocol and ends, is all that filters look at too;
 * and where in its words these parts are, see struct netmon_key: as masks, since each test of `parts`
 * costs as much as what it may spare. */
const volatile bool plain;
const volatile struct {
	__u64 middle;            /* from proto to rport */
	__u64 laddr, raddr;
	__u32 hash;              /* of a socket; 0 where the key has neither addresses nor ports */
} masks;
/* wanted_pids follows the descendants of those in it */
const volatile bool follows;
/* Layer ip: what a process sends and receives tells only which sockets are its own. */
const volatile bool by_packet;
/* Whether any hook is attached by kprobe. */
const volatile bool by_kprobe;
/* Whether anything tells the peer of a datagram. */
const volatile bool by_peer;
/* How many shares a slot has, and which bits of its number tell a CPU's.  Where each CPU has
 * its own, no other one writes there, and a program that is not preempted can add without
 * an atomic operation: no interrupt calls a socket.  Those by tp_btf are preempted on some
 * kernels, those by fexit on all, the others never. */
const volatile __u32 shares = 1;
const volatile __u32 share_mask;
const volatile bool own_shares;
const volatile bool btf_is_preempted;
/* Slots behind SLOT_OTHER, and after how long one counts as idle: nanoseconds. */
const volatile __u32 slots = MAX_PROCESSES;
const volatile __u64 idle_after;
/* How many arguments __skb_recv_udp() has here. */
const volatile __u32 skb_recv_udp_arguments = 4;

/* kprobes only: calls whose return the kernel kept from us (nmissed). */
__u64 calls_missed;
/* Descendants that wanted_pids has no room for. */
__u64 forks_missed;
/* Whether any process, or key, ever found no room. */
__u64 processes_full;
__u64 entries_full;
/* Layer ip: how often the tables were read. */
__u32 readings;
/* Slots that have a key, and the next one to be looked at for idleness. */
__u64 slots_taken;
__u64 hand;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_PROCESSES);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct slot) + sizeof(struct share));
} packet_stats SEC(".maps");

/* Which slot a key has; as wide as `parts` needs.  Not there where the key is the process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENTRIES);
	__uint(key_size, sizeof(struct netmon_key));
	__uint(value_size, sizeof(__u32));
} slot_of SEC(".maps");

/* Which slot a key of this hash, or what a socket of this one moves, had when it was last looked
 * for in slot_of. */
enum { LAST_SLOTS_BITS = 16 };

static volatile __u32 last_slots[1 << LAST_SLOTS_BITS] __attribute__((aligned(64)));

/* The slots to be had, longest free first; filled before the first event. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MAX_ENTRIES);
	__type(value, __u32);
} free_slots SEC(".maps");

/* Who has an entry here looks for idle slots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} looking SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct netmon_process);
} processes SEC(".maps");

/* Which place a living process has there. */
struct place {
	__u32 index;
	__u32 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct place);
} place_of SEC(".maps");

/* What is in place_of of the process that was last looked for there, of those whose pids
 * have the same rest, to be had without a hash: each in one word with the pid. */
enum { LAST_PLACES = 1 << 15 };

static volatile struct {
	__u64 index, generation;
} last_places[LAST_PLACES];

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MAX_PROCESSES);
	__type(value, __u32);
} free_places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FOLLOWED);
	__type(key, __u32);
	__type(value, __u8);
} wanted_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} wanted_cgroup SEC(".maps");

/* kprobes only: what the return needs of a thread's call. */
struct call {
	__u32 thread;
	__u32 hook;
};

struct arguments {
	struct sock *sk;
	__u64 other;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct call);
	__type(value, struct arguments);
} calls SEC(".maps");

/* The other end of the datagram that a task is just sending or receiving. */
struct datagram {
	__u64 task;
	__u64 direction;
};

struct peer {
	__u32 address[4];        /* as in struct netmon_key */
	__u16 port;
	__u8 family;
	__u8 fresh;              /* not used yet */
	__u64 sk;                /* that it was used with */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct datagram);
	__type(value, struct peer);
} peers SEC(".maps");

/* Kernel memory can be looked at without bpf_probe_read_kernel(), which lockdown refuses:
 * bpf_rdonly_cast(), whose number is put in before this is loaded. */
static void *(*const rdonly_cast)(const void *object, __u32 type) = (void *)CALL_CAST;
const volatile bool casts;
#define CAST(type, object)                                                                 \
	((struct type *)rdonly_cast(object, bpf_core_type_id_kernel(struct type)))
#define PEEK(type, object, field)                                                          \
	(casts ? CAST(type, object)->field : BPF_CORE_READ((struct type *)(object), field))

/* The task, as one that the verifier does not trust: at each pointer read from one that it does it looks
 * through the names of all types, half a millisecond of the start each time (Linux 6.18,
 * btf_nested_type_is_trusted()). */
static __always_inline struct task_struct *only_read(struct task_struct *task)
{
	return casts ? CAST(task_struct, task) : task;
}

/* The current task.  Read through a typed pointer where there is one (Linux 5.11): lockdown
 * allows that, and refuses bpf_probe_read_kernel(). */
#define CURRENT(field, ...)                                                                \
	(bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)       \
		 ? only_read(bpf_get_current_task_btf())->field                             \
		 : BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), __VA_ARGS__))

/* The same of any pointer that is typed for the verifier, or only for the compiler. */
#define GET(pointer, field) (typed ? (pointer)->field : BPF_CORE_READ(pointer, field))

/* Each CPU's run queue (struct rq), 0 until it is known. */
static volatile __u64 run_queues[MAX_SHARES] __attribute__((aligned(64)));

/* Processes */

/* Returns the current process too. */
static __noinline __u32 look_for_run_queue(__u32 cpu)
{
	struct task_struct *task = only_read(bpf_get_current_task_btf());
	struct rq *queue;

	/* CONFIG_FAIR_GROUP_SCHED */
	if (cpu < MAX_SHARES && bpf_core_field_exists(task->se.cfs_rq) &&
	    bpf_core_field_exists(((struct cfs_rq *)0)->rq)) {
		queue = task->se.cfs_rq->rq;
		if ((__u32)queue->cpu == cpu && queue->curr == task)
			run_queues[cpu] = (__u64)queue;
	}
	return bpf_get_current_pid_tgid() >> 32;
}

/* The current process.  Who runs on a CPU is in its run queue, and that a program stays on its CPU holds
 * also where it is preempted (migrate_disable()): to read it there takes no call, where that of a helper
 * costs more than all the rest of counting. */
static __always_inline __u32 find_pid(__u32 cpu)
{
	__u64 known = cpu < MAX_SHARES ? run_queues[cpu] : 0;
	struct rq *queue;

	if (!known)
		return look_for_run_queue(cpu);
	queue = CAST(rq, (void *)known);
	return queue->curr->tgid;
}

/* The name of the process, not that of the thread which happens to be first.  `of`: a task
 * of it; NULL: the current one, whose pointer may have no type. */
static __always_inline void leader_comm(char *comm, struct task_struct *of)
{
	struct task_struct *task;

	if (of) {
		__builtin_memcpy(comm, of->group_leader->comm, COMM_LEN);
	} else if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = only_read(bpf_get_current_task_btf());
		__builtin_memcpy(comm, task->group_leader->comm, COMM_LEN);
	} else {
		task = (void *)bpf_get_current_task();
		BPF_CORE_READ_INTO((char(*)[COMM_LEN])comm, task, group_leader, comm);
	}
}

static __always_inline __u32 parent_pid(void)
{
	return CURRENT(real_parent->tgid, real_parent, tgid);
}

/* Whether nothing of the current process lives any more but what the kernel does to close its
 * files: those of a network file system are written then.  A place would never be freed. */
static __always_inline bool is_past_end(void)
{
	return CURRENT(flags, flags) & PF_EXITING &&
	       !CURRENT(signal->live.counter, signal, live.counter);
}

/* Begins and ends a change of a slot's or a place's occupant: a reader that sees an odd
 * turn, or not the same one twice, reads again. */
static __always_inline void change(__u64 *turn)
{
	barrier();
	__sync_fetch_and_add(turn, 1);
	barrier();
}

/* NULL only for the verifier: no CPU has such a number. */
static __always_inline struct netmon_counters *share_of(struct slot *slot, __u32 number)
{
	return number < shares ? &slot->shares[number].now : NULL;
}

/* All that was ever counted there. */
static __noinline int sum_up(struct slot *slot, struct netmon_counters *sum)
{
	__builtin_memset(sum, 0, sizeof(*sum));
	for (__u32 i = 0; i < MAX_SHARES; i++) {
		const struct netmon_counters *share = share_of(slot, i);

		if (!share)
			break;
		sum->rx_bytes += share->rx_bytes;
		sum->tx_bytes += share->tx_bytes;
		sum->rx_calls += share->rx_calls;
		sum->tx_calls += share->tx_calls;
	}
	return 0;
}

/* Gives the process a place, that of the task `of`, as above; returns false where there is
 * none.  The place, and where the process is the key the slot, is complete before it is found
 * in place_of, so that no byte comes before its base. */
static __noinline bool add_process(__u32 pid, struct place *place, struct task_struct *of)
{
	struct place *winner;
	struct netmon_process *process;
	struct slot *slot = NULL;
	__u32 index;

	if (!of && is_past_end())
		return false;
	if (bpf_map_pop_elem(&free_places, &index)) {
		processes_full = 1;
		return false;
	}
	process = bpf_map_lookup_elem(&processes, &index);
	if (!process)
		return false;
	change(&process->turn);
	process->pid = pid;
	process->ppid = of ? of->real_parent->tgid : parent_pid();
	process->ended = 0;
	leader_comm(process->comm, of);
	change(&process->turn);
	place->index = index;
	place->generation = process->turn >> 1;

	if (parts == PART_PROCESS) {
		slot = bpf_map_lookup_elem(&packet_stats, &index);
		if (!slot)
			return false;
		change(&slot->turn);
		sum_up(slot, &slot->base);
		slot->key.process = place->index;
		slot->key.generation = place->generation;
		change(&slot->turn);
	}
	if (bpf_map_update_elem(&place_of, &pid, place, BPF_NOEXIST)) {
		/* another thread of it was faster */
		process->ended = 1;
		bpf_map_push_elem(&free_places, &index, 0);
		winner = bpf_map_lookup_elem(&place_of, &pid);
		if (!winner)
			return false;
		*place = *winner;
	}
	return true;
}

static __noinline bool look_for_place(__u32 pid, struct place *place, struct task_struct *of)
{
	struct place *known = bpf_map_lookup_elem(&place_of, &pid);

	if (known)
		*place = *known;
	else if (!add_process(pid, place, of))
		return false;
	last_places[pid % LAST_PLACES].index = (__u64)pid << 32 | place->index;
	last_places[pid % LAST_PLACES].generation = (__u64)pid << 32 | place->generation;
	return true;
}

/* The place of the process as one number; 0 where another one was last looked for, or it has none. */
static __always_inline __u64 last_place(__u32 pid)
{
	__u64 index = last_places[pid % LAST_PLACES].index;
	__u64 generation = last_places[pid % LAST_PLACES].generation;

	return index >> 32 == pid && generation >> 32 == pid ? (__u32)index | generation << 32 : 0;
}

/* `whole`: its generation too, which who has it for a slot of its own does not need. */
static __always_inline bool find_place(__u32 pid, struct place *place, bool whole)
{
	__u64 index = last_places[pid % LAST_PLACES].index;
	__u64 generation = whole ? last_places[pid % LAST_PLACES].generation : index;

	if (index >> 32 != pid || generation >> 32 != pid)
		return look_for_place(pid, place, NULL);
	place->index = index;
	place->generation = generation;
	return true;
}

/* Slots for keys that are finer than the process, or have none in them */

/* `rests`: a program may have found the slot, and not be done with it. */
static __always_inline void give_back(__u32 index, struct slot *slot, bool rests)
{
	slot->free = 1;
	slot->checked_at = rests ? bpf_ktime_get_ns() : 0;
	__sync_fetch_and_add(&slots_taken, -1);
	bpf_map_push_elem(&free_slots, &index, 0);
}

/* Whether the process that the key is of has ended: nothing will be counted for it. */
static __always_inline bool is_dead(const struct netmon_key *key)
{
	__u32 index = key->process;
	struct netmon_process *process;

	if (!(parts & PART_PROCESS))
		return false;
	process = bpf_map_lookup_elem(&processes, &index);
	return process && (process->ended || process->turn >> 1 != key->generation);
}

/* Notes whether the slot's key moved anything since it was last looked at.  Takes the slot
 * from a key of a process that has ended; where room is short, from one that has been idle
 * for so long that its last bytes are in a report. */
static __noinline int check_idle(__u32 index)
{
	struct slot *slot = bpf_map_lookup_elem(&packet_stats, &index);
	__u64 moved, now = bpf_ktime_get_ns();
	struct netmon_counters sum;
	bool dead, idle;
	__u32 *its;

	if (!slot || slot->free || !slot->turn || slot->turn & 1)
		return 0;
	sum_up(slot, &sum);
	moved = sum.rx_calls + sum.tx_calls;
	dead = is_dead(&slot->key);
	idle = moved == slot->checked_calls && slots_taken > slots / 4 * 3 &&
	       now > slot->checked_at && now - slot->checked_at > idle_after;
	if (moved != slot->checked_calls) {
		slot->checked_calls = moved;
		slot->checked_at = now;
	}
	if (dead || idle) {
		its = bpf_map_lookup_elem(&slot_of, &slot->key); /* nobody changes it until it is free */
		if (its && *its == index && !bpf_map_delete_elem(&slot_of, &slot->key))
			give_back(index, slot, !dead || by_packet);
	}
	return 0;
}

/* Looks at some more slots, one CPU at a time.  At each new key, so that what is noted is
 * at the most as old as it took to give as many keys a slot as a quarter of all. */
static __always_inline void look_for_idle(void)
{
	__u64 first = hand;
	__u32 lock = 0;

	if (bpf_map_update_elem(&looking, &lock, &lock, BPF_NOEXIST))
		return;
	hand = first + 4;
	check_idle(1 + (__u32)(first % slots));
	check_idle(1 + (__u32)((first + 1) % slots));
	check_idle(1 + (__u32)((first + 2) % slots));
	check_idle(1 + (__u32)((first + 3) % slots));
	bpf_map_delete_elem(&looking, &lock);
}

/* Gives the key a slot and returns its index, SLOT_OTHER where there is none. */
static __noinline __u32 add_key(struct netmon_key *key)
{
	__u32 index = SLOT_OTHER, *winner;
	struct slot *slot;
	__u64 now;

	look_for_idle();
	if (bpf_map_pop_elem(&free_slots, &index)) {
		entries_full = 1;
		return SLOT_OTHER;
	}
	slot = bpf_map_lookup_elem(&packet_stats, &index);
	if (!slot)
		return SLOT_OTHER;
	now = bpf_ktime_get_ns();
	if (slot->free && (__s64)(now - slot->checked_at) < (__s64)QUARANTINE) {
		bpf_map_push_elem(&free_slots, &index, 0);
		entries_full = 1;
		return SLOT_OTHER;
	}
	change(&slot->turn);
	sum_up(slot, &slot->base);
	slot->key = *key;
	slot->checked_calls = slot->base.rx_calls + slot->base.tx_calls;
	slot->checked_at = now;
	change(&slot->turn);
	__sync_fetch_and_add(&slots_taken, 1);

	if (bpf_map_update_elem(&slot_of, key, &index, BPF_NOEXIST)) {
		/* another CPU was faster */
		give_back(index, slot, false);
		winner = bpf_map_lookup_elem(&slot_of, key);
		return winner ? *winner : SLOT_OTHER;
	}
	slot->free = 0; /* find_key() may find it from now on */
	return index;
}

/* The ends of a socket */

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

static __always_inline bool is_mapped(const __u32 address[4])
{
	return !(address[0] | address[1]) && address[2] == bpf_htonl(0xffff);
}

/* An IPv4 address that stands in an IPv6 one becomes one. */
static __always_inline void unmap(__u32 address[4])
{
	address[0] = address[3];
	address[1] = address[2] = address[3] = 0;
}

static __always_inline void read_addresses(struct netmon_key *key, struct sock *sk, int family, bool typed)
{
	if (family == AF_INET) {
		key->laddr[0] = GET(sk, __sk_common.skc_rcv_saddr);
		key->raddr[0] = GET(sk, __sk_common.skc_daddr);
	} else if (typed) {
#pragma unroll
		for (int i = 0; i < 4; i++) {
			key->laddr[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			key->raddr[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		BPF_CORE_READ_INTO(&key->laddr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
		BPF_CORE_READ_INTO(&key->raddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
	}
}

static __always_inline bool is_v6_only(struct sock *sk, bool typed)
{
	return typed ? BPF_CORE_READ_BITFIELD(sk, __sk_common.skc_ipv6only)
		     : BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only);
}

/* A TCP socket that is closed both ways, but not read to its end, has given its port back;
 * what it was is still in the headers that it would send (tcp_time_wait()). */
static __always_inline __u16 local_port(struct sock *sk, __u16 proto, bool typed)
{
	__u16 port = GET(sk, __sk_common.skc_num);
	struct tcp_sock *tcp;

	if (port || proto != IPPROTO_TCP)
		return port;
	if (!typed || casts)
		return bpf_ntohs(PEEK(tcp_sock, sk, inet_conn.icsk_inet.inet_sport));
	tcp = bpf_skc_to_tcp_sock(sk);
	return tcp ? bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport) : 0;
}

/* Fills in both ends and the IP version on the wire.  A datagram's peer is that of the
 * call, where that has one, before that of the socket. */
static __always_inline void describe_ends(struct netmon_key *key, struct sock *sk, int family, bool typed,
					  const struct peer *peer)
{
	read_addresses(key, sk, family, typed);
	if (has_ports(key->proto)) {
		key->lport = local_port(sk, key->proto, typed);
		key->rport = bpf_ntohs(GET(sk, __sk_common.skc_dport));
	}
	if (peer->family && (peer->fresh || no_address(key->raddr))) {
		__builtin_memcpy(key->raddr, peer->address, sizeof(key->raddr));
		key->rport = peer->port;
		key->family = peer->family;
	} else if (family == AF_INET) {
		key->family = 4;
	} else if (is_mapped(key->raddr)) {
		unmap(key->raddr);
		key->family = 4;
	} else if (is_mapped(key->laddr)) {
		key->family = 4;
	} else if (!no_address(key->raddr) || !no_address(key->laddr) || !has_ports(key->proto) ||
		   is_v6_only(sk, typed)) {
		key->family = 6;
	}
	if (family == AF_INET6 && is_mapped(key->laddr))
		unmap(key->laddr);
}

/* What is known of the peer of the datagram that the current task has just sent or
 * received.  A send without one, on a socket that is not connected, goes on with the
 * datagram before (UDP_CORK). */
static __always_inline void take_peer(struct peer *peer, enum direction direction,
				      const struct sock *sk)
{
	struct datagram datagram = { .task = bpf_get_current_task(), .direction = direction };
	struct peer *known = bpf_map_lookup_elem(&peers, &datagram);

	if (!known)
		return;
	if (known->fresh) {
		*peer = *known;
		known->sk = (__u64)sk;
		known->fresh = 0;
	} else if (direction == TX && known->sk == (__u64)sk) {
		*peer = *known;
	}
}

static __noinline bool passes(const struct netmon_key *key)
{
	if (filter.kinds & FILTER_CGROUP && bpf_current_task_under_cgroup(&wanted_cgroup, 0) != 1)
		return false;
	return filter_passes(&filter, 0, key);
}

/* Counting */

static __always_inline void describe(struct netmon_key *key, struct sock *sk, int family, bool typed,
				     const struct peer *peer)
{
	if (needs & (PART_PROTO | PARTS_ENDS))
		key->proto = proto_of(sk, family, typed);
	if (needs & PARTS_ENDS && is_ip(family))
		describe_ends(key, sk, family, typed, peer);
	if (needs & PART_UID)
		key->uid = CURRENT(cred->euid.val, cred, euid.val);
	if (needs & PART_NETNS)
		key->netns = CURRENT(nsproxy->net_ns->ns.inum, nsproxy, net_ns, ns.inum);
	if (needs & PART_CGROUP)
		key->cgroup = bpf_get_current_cgroup_id();
}

/* Only filters may have needed the rest. */
static __always_inline void leave_parts(struct netmon_key *key)
{
	if (!(parts & PART_PROTO))
		key->proto = 0;
	if (!(parts & PART_FAMILY))
		key->family = 0;
	if (!(parts & PART_LPORT))
		key->lport = 0;
	if (!(parts & PART_RPORT))
		key->rport = 0;
	if (!(parts & PART_UID))
		key->uid = 0;
	if (!(parts & PART_LADDR))
		__builtin_memset(key->laddr, 0, sizeof(key->laddr));
	if (!(parts & PART_RADDR))
		__builtin_memset(key->raddr, 0, sizeof(key->raddr));
}

static __always_inline bool is_same(const struct netmon_key *a, const struct netmon_key *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;
	__u64 differ = (x[0] ^ y[0]) | (x[1] ^ y[1]);

	if (parts & (PART_LADDR | PART_RADDR))
		differ |= (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]);
	if (parts & PARTS_CALLER)
		differ |= (x[6] ^ y[6]) | (x[7] ^ y[7]);
	return !differ;
}

static __always_inline __u32 hash_of_key(const struct netmon_key *key)
{
	__u64 sum = key->process + ((__u64)key->proto << 52);

	if (parts & (PART_LPORT | PART_RPORT))
		sum += ((__u64)key->lport << 32) + ((__u64)key->rport << 16);
	if (parts & PART_RADDR)
		sum += (__u64)(key->raddr[0] ^ key->raddr[3]) << 24; /* IPv4 and IPv6 */
	if (parts & PARTS_CALLER)
		sum += 3 * (key->uid + ((__u64)key->netns << 32)) + 5 * key->cgroup;
	return sum * 0x9e3779b97f4a7c15 >> (64 - LAST_SLOTS_BITS); /* Fibonacci hashing */
}

/* Finds the key's slot by the hash map, which is always right, and notes it. */
static __noinline __u32 look_for_slot(struct netmon_key *key, volatile __u32 *last)
{
	__u32 *known = bpf_map_lookup_elem(&slot_of, key);
	__u32 index = known ? *known : add_key(key);

	if (last)
		*last = index;
	return index;
}

/* Around a look at the key of a slot: whether it has one, and had it all the while.  A slot that loses
 * it just after is as one that the hash map lost just after: see QUARANTINE. */
static __always_inline bool begin(const struct slot *slot, __u64 *turn)
{
	*turn = *(volatile __u64 *)&slot->turn;
	return !(*turn & 1) && !*(volatile __u64 *)&slot->free;
}

static __always_inline bool is_still(const struct slot *slot, __u64 turn)
{
	barrier();
	return *(volatile __u64 *)&slot->turn == turn;
}

static __always_inline __u32 find_key(struct netmon_key *key)
{
	volatile __u32 *last = &last_slots[hash_of_key(key)];
	__u32 index = *last;
	const struct slot *slot = bpf_map_lookup_elem(&packet_stats, &index);
	__u64 turn;

	if (slot && index != SLOT_OTHER && begin(slot, &turn) && is_same(&slot->key, key) &&
	    is_still(slot, turn))
		return index;
	return look_for_slot(key, last);
}

/* Where the process alone is the key: the slot is that of its place. */
static __always_inline __u32 find_own_slot(__u32 pid)
{
	struct place place;

	return find_place(pid, &place, false) ? place.index : SLOT_OTHER;
}

/* The slot of the key and process; SLOT_OTHER where a table is full.  `last`: where it is to be
 * noted, and was not; NULL: where the key's hash says. */
static __always_inline __u32 find_slot(struct netmon_key *key, __u32 pid, volatile __u32 *last)
{
	struct place place;

	if (parts == PART_PROCESS)
		return find_own_slot(pid);
	if (parts & PART_PROCESS) {
		if (!find_place(pid, &place, true))
			return SLOT_OTHER;
		key->process = place.index;
		key->generation = place.generation;
	}
	return !parts ? SLOT_ALL : last ? look_for_slot(key, last) : find_key(key);
}

/* An atomic operation waits for all memory that the call has touched: it costs several times
 * what all the rest of this does. */
static __always_inline void add(__u64 *sum, __u64 amount, bool atomic)
{
	if (atomic)
		__sync_fetch_and_add(sum, amount);
	else
		*(volatile __u64 *)sum += amount;
}

/* What a call tells of its key beside the socket and the process. */
struct hints {
	struct peer peer;
	volatile __u32 *last;    /* see find_slot() */
};

/* The slot of what moves on the socket; NULL where a filter leaves it out. */
static __noinline struct slot *look_for_key(struct sock *sk, int family, bool typed, __u32 pid,
					    const struct hints *hints)
{
	struct netmon_key key = { 0 };
	__u32 index;

	if (needs & ~PART_PROCESS || filter.kinds & ~FILTER_PIDS) {
		describe(&key, sk, family, typed, &hints->peer);
		if (filter.kinds & ~FILTER_PIDS && !passes(&key))
			return NULL;
		leave_parts(&key);
	}
	index = find_slot(&key, pid, hints->last);
	return bpf_map_lookup_elem(&packet_stats, &index);
}

/* Whether an address of a socket is not the one that a key has: any bit. */
static __always_inline __u32 differs(const __u32 its[4], const __u32 now[4])
{
	if (is_mapped(now))
		return (its[0] ^ now[3]) | its[1] | its[2] | its[3];
	return (its[0] ^ now[0]) | (its[1] ^ now[1]) | (its[2] ^ now[2]) | (its[3] ^ now[3]);
}

/* Whether describe_ends() would make another key of a TCP or UDP socket, or might: it looks further where
 * one that is closed has given its port back, and at an IPv6 one that has no peer. */
static __always_inline __u64 ends_differ(const struct netmon_key *key, const struct sock *sk, int family,
					 __u16 proto)
{
	const __u32 *local = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32,
		    *remote = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32;
	__u64 ports = (__u64)sk->__sk_common.skc_num << 32 |
		      (__u64)bpf_ntohs(sk->__sk_common.skc_dport) << 48;
	__u64 middle = ports | 4 << 16 | proto, differ;

	/* each key with an address has its family too */
	if (family == AF_INET) {
		differ = ((key->laddr[0] ^ sk->__sk_common.skc_rcv_saddr) & masks.laddr) |
			 ((key->raddr[0] ^ sk->__sk_common.skc_daddr) & masks.raddr);
	} else {
		if (!is_mapped(remote) && !is_mapped(local))
			middle ^= (4 ^ 6) << 16;
		differ = (differs(key->laddr, local) & masks.laddr) |
			 (differs(key->raddr, remote) & masks.raddr) |
			 ((__u64)no_address(remote) << 16 & masks.middle);
	}
	return differ | ((middle & masks.middle) ^ ((const __u64 *)key)[1]);
}

/* Of what a process does with a socket.  The kernel's own hash is of its ends (inet_ehashfn(), and of
 * UDP's local one). */
static __always_inline __u32 hash_of_use(const struct sock *sk, int family, __u32 pid, __u16 proto)
{
	__u32 hash = pid + ((__u32)proto << 11) + ((__u32)family << 7);

	return (hash ^ (sk->__sk_common.skc_hash & masks.hash)) % (1 << LAST_SLOTS_BITS);
}

/* The slot that the key of this had when it was last looked for; NULL where it is another one now, or
 * the key has to be made to see that.  Else it need not be, which costs as much as all the rest.
 * `last`: where that slot is noted. */
static __always_inline struct slot *find_quickly(struct sock *sk, int family, __u32 pid,
						 volatile __u32 **last)
{
	struct place place = { 0 };
	struct slot *slot;
	__u64 turn, differ;
	__u32 index;
	__u16 proto;

	if (!plain || !is_ip(family))
		return NULL;
	proto = proto_of(sk, family, true);
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return NULL;
	*last = &last_slots[hash_of_use(sk, family, pid, proto)];
	index = **last;
	slot = bpf_map_lookup_elem(&packet_stats, &index);
	if (!slot || index == SLOT_OTHER || !begin(slot, &turn))
		return NULL;
	if (parts & PART_PROCESS && !find_place(pid, &place, true))
		return NULL;
	differ = (slot->key.process ^ place.index) | (slot->key.generation ^ place.generation) |
		 ends_differ(&slot->key, sk, family, proto);
	return !differ && is_still(slot, turn) ? slot : NULL;
}

/* Layer ip: the current process uses the socket. */
static __always_inline int use(enum direction direction, struct sock *sk);

/* Counts one call of the current process that moved `bytes`; none if that is an error, or
 * what moved is no traffic.  io_uring's and other kernel threads that a process owns are in
 * its thread group. */
static __always_inline int count(enum direction direction, struct sock *sk, int family, bool typed,
				 bool preempted, long bytes, bool traffic)
{
	__u32 index, pid, cpu = bpf_get_smp_processor_id();
	struct hints hints = { 0 };
	struct slot *slot = NULL;
	struct netmon_counters *now;
	bool atomic;

	/* a peer must not wait for a later call */
	if (by_peer && is_ip(family) && is_datagram(GET(sk, sk_protocol)))
		take_peer(&hints.peer, direction, sk);
	if (!traffic || bytes <= 0)
		return 0;
	pid = typed && casts ? find_pid(cpu) : bpf_get_current_pid_tgid() >> 32;
	if (filter.kinds & FILTER_PIDS && !bpf_map_lookup_elem(&wanted_pids, &pid))
		return 0;
	if (parts == PART_PROCESS && !(filter.kinds & ~FILTER_PIDS)) {
		index = find_own_slot(pid);
		slot = bpf_map_lookup_elem(&packet_stats, &index);
	} else {
		if (typed && !hints.peer.family)
			slot = find_quickly(sk, family, pid, &hints.last);
		if (!slot)
			slot = look_for_key(sk, family, typed, pid, &hints);
	}
	now = slot ? share_of(slot, cpu & share_mask) : NULL;
	if (!now)
		return 0;
	atomic = preempted || !own_shares;
	if (direction == RX) {
		add(&now->rx_bytes, bytes, atomic);
		add(&now->rx_calls, 1, atomic);
	} else {
		add(&now->tx_bytes, bytes, atomic);
		add(&now->tx_calls, 1, atomic);
	}
	return 0;
}

/* A frame sent by hand is traffic of its sender; what a packet socket receives is a
 * copy of somebody's. */
static __always_inline int sent(struct sock *sk, int family, bool typed, bool preempted, long bytes)
{
	if (!is_ip(family) && family != AF_PACKET)
		return 0;
	if (by_packet)
		return typed && bytes >= 0 ? use(TX, sk) : 0;
	return count(TX, sk, family, typed, preempted, bytes, true);
}

static __always_inline int received(struct sock *sk, int family, bool typed, bool preempted, int flags,
				    long bytes)
{
	if (!is_ip(family))
		return 0;
	if (by_packet)
		return typed && bytes >= 0 ? use(RX, sk) : 0;
	return count(RX, sk, family, typed, preempted, bytes, !(flags & (MSG_PEEK | MSG_ERRQUEUE)));
}

/* Sockets: the tracepoints of Linux 6.3, in sock_sendmsg() and sock_recvmsg(); where these are,
 * bpf_rdonly_cast() is. */

static __always_inline struct sock *typed_sk(const void *sk)
{
	return CAST(sock, sk);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length_btf, struct sock *sk, int ret, int flags)
{
	return sent(sk, sk->__sk_common.skc_family, true, btf_is_preempted, ret);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length_btf, struct sock *sk, int ret, int flags)
{
	return received(sk, sk->__sk_common.skc_family, true, btf_is_preempted, flags, ret);
}

SEC("tracepoint/sock/sock_send_length")
int sock_send_length_classic(struct trace_event_raw_sock_msg_length *ctx)
{
	return sent(typed_sk(ctx->sk), ctx->family, true, false, ctx->ret);
}

SEC("tracepoint/sock/sock_recv_length")
int sock_recv_length_classic(struct trace_event_raw_sock_msg_length *ctx)
{
	return received(typed_sk(ctx->sk), ctx->family, true, false, ctx->flags, ctx->ret);
}

/* The kprobe way: what the return needs is kept from the entry.  A thread that enters
 * again, or ends, before it returned shows a return that the kernel kept from us, for want
 * of an instance of the kretprobe. */

enum hook {
	INET_SENDMSG, INET6_SENDMSG, PACKET_SENDMSG, INET_SENDPAGE,
	INET_RECVMSG, INET6_RECVMSG, SOCK_COMMON_RECVMSG,
	SOCK_SPLICE_READ, TCP_ZEROCOPY_RECEIVE,
	HOOKS,
};

static __always_inline int entered(enum hook hook, struct sock *sk, __u64 other)
{
	struct call call = { .thread = bpf_get_current_pid_tgid(), .hook = hook };
	struct arguments arguments = { .sk = sk, .other = other };

	if (bpf_map_update_elem(&calls, &call, &arguments, BPF_NOEXIST)) {
		__sync_fetch_and_add(&calls_missed, 1);
		bpf_map_update_elem(&calls, &call, &arguments, BPF_EXIST);
	}
	return 0;
}

static __always_inline bool returned(enum hook hook, struct arguments *arguments)
{
	struct call call = { .thread = bpf_get_current_pid_tgid(), .hook = hook };
	struct arguments *kept = bpf_map_lookup_elem(&calls, &call);

	if (!kept)
		return false;
	*arguments = *kept;
	bpf_map_delete_elem(&calls, &call);
	return true;
}

static __always_inline void thread_ended(void)
{
	__u32 thread = bpf_get_current_pid_tgid();

#pragma unroll /* Linux 5.10 does not see that the loop ends */
	for (int hook = 0; hook < HOOKS; hook++) {
		struct call call = { .thread = thread, .hook = hook };

		if (!bpf_map_delete_elem(&calls, &call))
			__sync_fetch_and_add(&calls_missed, 1);
	}
}

static __always_inline int returned_sent(enum hook hook, long bytes)
{
	struct arguments call;
	struct sock *sk;

	if (!returned(hook, &call))
		return 0;
	sk = call.sk;
	return sent(sk, BPF_CORE_READ(sk, __sk_common.skc_family), false, false, bytes);
}

static __always_inline int returned_received(enum hook hook, long bytes)
{
	struct arguments call;
	struct sock *sk;

	if (!returned(hook, &call))
		return 0;
	sk = call.sk;
	return received(sk, BPF_CORE_READ(sk, __sk_common.skc_family), false, false, call.other,
			bytes);
}

/* Sockets: the functions behind every call, where the tracepoints are missing. */

#define SENDS(function, hook)                                                              \
	SEC("fexit/" #function)                                                            \
	int BPF_PROG(function##_fexit, struct socket *sock, struct msghdr *msg, size_t size, \
		     int ret)                                                              \
	{                                                                                  \
		struct sock *sk = sock->sk;                                                \
                                                                                           \
		return sent(sk, sk->__sk_common.skc_family, true, true, ret);              \
	}                                                                                  \
	SEC("kprobe/" #function)                                                           \
	int BPF_KPROBE(function##_kprobe, struct socket *sock)                             \
	{                                                                                  \
		return entered(hook, BPF_CORE_READ(sock, sk), 0);                          \
	}                                                                                  \
	SEC("kretprobe/" #function)                                                        \
	int function##_kretprobe(struct pt_regs *ctx)                                      \
	{                                                                                  \
		return returned_sent(hook, (int)PT_REGS_RC(ctx));                          \
	}

SENDS(inet_sendmsg, INET_SENDMSG)
SENDS(inet6_sendmsg, INET6_SENDMSG)
SENDS(packet_sendmsg, PACKET_SENDMSG)

#define RECEIVES(function, hook)                                                           \
	SEC("fexit/" #function)                                                            \
	int BPF_PROG(function##_fexit, struct socket *sock, struct msghdr *msg, size_t size, \
		     int flags, int ret)                                                   \
	{                                                                                  \
		struct sock *sk = sock->sk;                                                \
                                                                                           \
		return received(sk, sk->__sk_common.skc_family, true, true, flags, ret);   \
	}                                                                                  \
	SEC("kprobe/" #function)                                                           \
	int BPF_KPROBE(function##_kprobe, struct socket *sock, struct msghdr *msg,         \
		       size_t size, int flags)                                             \
	{                                                                                  \
		return entered(hook, BPF_CORE_READ(sock, sk), (__u32)flags);               \
	}                                                                                  \
	SEC("kretprobe/" #function)                                                        \
	int function##_kretprobe(struct pt_regs *ctx)                                      \
	{                                                                                  \
		return returned_received(hook, (int)PT_REGS_RC(ctx));                      \
	}

RECEIVES(inet_recvmsg, INET_RECVMSG)
RECEIVES(inet6_recvmsg, INET6_RECVMSG)
/* SCTP and IPv6 raw sockets; other families use it too */
RECEIVES(sock_common_recvmsg, SOCK_COMMON_RECVMSG)

/* sendfile and splice into a socket, before Linux 6.5.  A protocol without a sendpage of
 * its own goes on to inet_sendmsg(), where it is counted (sock_no_sendpage()). */
struct proto___before_6_5 {
	void *sendpage;
} __attribute__((preserve_access_index));

SEC("fexit/inet_sendpage")
int BPF_PROG(inet_sendpage_fexit, struct socket *sock, struct page *page, int offset, size_t size,
	     int flags, long ret)
{
	struct sock *sk = sock->sk;
	struct proto___before_6_5 *proto = (void *)sk->__sk_common.skc_prot;

	return proto->sendpage ? sent(sk, sk->__sk_common.skc_family, true, true, ret) : 0;
}

SEC("kprobe/inet_sendpage")
int BPF_KPROBE(inet_sendpage_kprobe, struct socket *sock)
{
	struct sock *sk = BPF_CORE_READ(sock, sk);
	struct proto___before_6_5 *proto = (void *)BPF_CORE_READ(sk, __sk_common.skc_prot);

	return BPF_CORE_READ(proto, sendpage) ? entered(INET_SENDPAGE, sk, 0) : 0;
}

SEC("kretprobe/inet_sendpage")
int inet_sendpage_kretprobe(struct pt_regs *ctx)
{
	return returned_sent(INET_SENDPAGE, PT_REGS_RC(ctx));
}

/* Out of a socket without a recvmsg: splice, and pages mapped by getsockopt.
 *
 * A family without a splice of its own comes back as a recvmsg, and is counted there.
 * TCP, MPTCP and kernel TLS have one each; this is the one way to all of them. */

SEC("fexit/sock_splice_read")
int BPF_PROG(sock_splice_read_fexit, struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
	     size_t size, unsigned int flags, long ret)
{
	struct socket *sock;
	struct sock *sk;

	/* a typed pointer, Linux 5.11, for lockdown's sake as in CURRENT() */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file)) {
		sock = BPF_CORE_READ(file, private_data);
		if (!BPF_CORE_READ(sock, ops, splice_read))
			return 0;
		sk = BPF_CORE_READ(sock, sk);
		return received(sk, BPF_CORE_READ(sk, __sk_common.skc_family), false, true, 0, ret);
	}
	sock = bpf_sock_from_file(file);
	if (!sock || !sock->ops->splice_read)
		return 0;
	sk = sock->sk;
	return received(sk, sk->__sk_common.skc_family, true, true, 0, ret);
}

SEC("kprobe/sock_splice_read")
int BPF_KPROBE(sock_splice_read_kprobe, struct file *file)
{
	struct socket *sock = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(sock, ops, splice_read)
		       ? entered(SOCK_SPLICE_READ, BPF_CORE_READ(sock, sk), 0)
		       : 0;
}

SEC("kretprobe/sock_splice_read")
int sock_splice_read_kretprobe(struct pt_regs *ctx)
{
	return returned_received(SOCK_SPLICE_READ, PT_REGS_RC(ctx));
}

/* What a successful TCP_ZEROCOPY_RECEIVE handed over: bytes in mapped pages and, where it
 * has a buffer for the rest, bytes copied (tcp_zerocopy_receive()). */
static __always_inline long zerocopied(__u32 mapped, __s32 copied, int error)
{
	return error ? 0 : (long)mapped + (copied > 0 ? copied : 0);
}

SEC("fexit/tcp_zerocopy_receive")
int BPF_PROG(tcp_zerocopy_receive_fexit, struct sock *sk, struct tcp_zerocopy_receive *zc)
{
	__s32 copied = bpf_core_field_exists(zc->copybuf_len) ? zc->copybuf_len : 0;
	int error;

	/* A third argument came with that field, in Linux 5.12.  The barriers keep two
	 * loads two: the verifier takes no computed offset. */
	if (bpf_core_field_exists(zc->msg_flags)) {
		error = ctx[3];
		barrier();
	} else {
		error = ctx[2];
		barrier();
	}
	return received(sk, sk->__sk_common.skc_family, true, true, 0,
			zerocopied(zc->length, copied, error));
}

SEC("kprobe/tcp_zerocopy_receive")
int BPF_KPROBE(tcp_zerocopy_receive_kprobe, struct sock *sk, struct tcp_zerocopy_receive *zc)
{
	return entered(TCP_ZEROCOPY_RECEIVE, sk, (__u64)zc);
}

SEC("kretprobe/tcp_zerocopy_receive")
int tcp_zerocopy_receive_kretprobe(struct pt_regs *ctx)
{
	struct tcp_zerocopy_receive *zc;
	struct arguments call;
	__s32 copied = 0;
	struct sock *sk;

	if (!returned(TCP_ZEROCOPY_RECEIVE, &call))
		return 0;
	sk = call.sk;
	zc = (void *)call.other;
	if (bpf_core_field_exists(zc->copybuf_len))
		copied = BPF_CORE_READ(zc, copybuf_len);
	return received(sk, BPF_CORE_READ(sk, __sk_common.skc_family), false, false, 0,
			zerocopied(BPF_CORE_READ(zc, length), copied, PT_REGS_RC(ctx)));
}

/* The peer of a datagram: what the caller says, or asks for, passes these.  The kernel calls
 * the sends only where the socket's own peer is not the one (udp_sendmsg()), before the
 * datagram is sent and thus before it is counted. */

static __always_inline int peer_is(enum direction direction, struct peer *peer)
{
	struct datagram datagram = { .task = bpf_get_current_task(), .direction = direction };

	if (is_mapped(peer->address) && peer->family == 6) {
		unmap(peer->address);
		peer->family = 4;
	}
	peer->fresh = 1;
	bpf_map_update_elem(&peers, &datagram, peer, BPF_ANY);
	return 1; /* let it pass */
}

#define PEER4(name, direction)                                                             \
	SEC("cgroup/" #name)                                                               \
	int name##_cgroup(struct bpf_sock_addr *ctx)                                       \
	{                                                                                  \
		struct peer peer = { .family = 4 };                                        \
                                                                                           \
		peer.address[0] = ctx->user_ip4;                                           \
		peer.port = bpf_ntohs((__u16)ctx->user_port);                              \
		return peer_is(direction, &peer);                                          \
	}

#define PEER6(name, direction)                                                             \
	SEC("cgroup/" #name)                                                               \
	int name##_cgroup(struct bpf_sock_addr *ctx)                                       \
	{                                                                                  \
		struct peer peer = { .family = 6 };                                        \
                                                                                           \
		peer.address[0] = ctx->user_ip6[0];                                        \
		peer.address[1] = ctx->user_ip6[1];                                        \
		peer.address[2] = ctx->user_ip6[2];                                        \
		peer.address[3] = ctx->user_ip6[3];                                        \
		peer.port = bpf_ntohs((__u16)ctx->user_port);                              \
		return peer_is(direction, &peer);                                          \
	}

PEER4(sendmsg4, TX)
PEER6(sendmsg6, TX)
PEER4(recvmsg4, RX)
PEER6(recvmsg6, RX)

/* The datagram that udp_recvmsg() or udpv6_recvmsg() takes from the queue, also where
 * nobody asks whom it is from. */
static __always_inline int received_skb(struct sk_buff *skb, bool typed)
{
	struct peer peer = { 0 };
	unsigned char *head;
	struct udphdr udp;

	if (!skb)
		return 0;
	head = GET(skb, head);
	bpf_probe_read_kernel(&udp, sizeof(udp), head + GET(skb, transport_header));
	peer.port = bpf_ntohs(udp.source);
	head += GET(skb, network_header);
	if (GET(skb, protocol) == bpf_htons(ETHERTYPE_IP)) {
		peer.family = 4;
		bpf_probe_read_kernel(&peer.address, sizeof(__be32),
				      head + offsetof(struct iphdr, saddr));
	} else {
		peer.family = 6;
		bpf_probe_read_kernel(&peer.address, sizeof(peer.address),
				      head + offsetof(struct ipv6hdr, saddr));
	}
	peer_is(RX, &peer);
	return 0;
}

SEC("fexit/__skb_recv_udp")
int __skb_recv_udp_fexit(__u64 *ctx)
{
	struct sk_buff *skb;

	/* one argument less since Linux 5.19; barriers as in tcp_zerocopy_receive_fexit() */
	if (skb_recv_udp_arguments == 5) {
		skb = (void *)ctx[5];
		barrier();
	} else {
		skb = (void *)ctx[4];
		barrier();
	}
	return received_skb(skb, true);
}

SEC("kretprobe/__skb_recv_udp")
int __skb_recv_udp_kretprobe(struct pt_regs *ctx)
{
	return received_skb((void *)PT_REGS_RC(ctx), false);
}

/* The life of a process: its name, its children, and its end. */

static __always_inline struct netmon_process *find_process(__u32 pid)
{
	struct place *place = bpf_map_lookup_elem(&place_of, &pid);

	return place ? bpf_map_lookup_elem(&processes, &place->index) : NULL;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename_btf, struct task_struct *task, const char *comm)
{
	struct netmon_process *process = task->pid == task->tgid ? find_process(task->pid) : NULL;

	if (process)
		bpf_probe_read_kernel_str(process->comm, COMM_LEN, comm);
	return 0;
}

/* Where lockdown refuses to read the new name: it is in place when this returns. */
SEC("fexit/__set_task_comm")
int BPF_PROG(__set_task_comm_fexit, struct task_struct *task)
{
	struct netmon_process *process = task->pid == task->tgid ? find_process(task->pid) : NULL;

	if (process)
		__builtin_memcpy(process->comm, task->comm, COMM_LEN);
	return 0;
}

/* A thread may rename another one, but only of its own process (comm_write()). */
SEC("tracepoint/task/task_rename")
int task_rename_classic(struct trace_event_raw_task_rename *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct netmon_process *process = (__u32)ctx->pid == pid ? find_process(pid) : NULL;

	if (process)
		__builtin_memcpy(process->comm, ctx->newcomm, COMM_LEN);
	return 0;
}

/* A new process is wanted where the one that makes it is (copy_process()). */
static __always_inline int born(__u32 child, __u64 flags)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u8 *wanted = bpf_map_lookup_elem(&wanted_pids, &pid);

	if (wanted && !(flags & CLONE_THREAD) &&
	    bpf_map_update_elem(&wanted_pids, &child, wanted, BPF_ANY))
		__sync_fetch_and_add(&forks_missed, 1);
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(task_newtask_btf, struct task_struct *task, __u64 flags)
{
	return born(task->pid, flags);
}

SEC("tracepoint/task/task_newtask")
int task_newtask_classic(struct trace_event_raw_task_newtask *ctx)
{
	return born(ctx->pid, ctx->clone_flags);
}

/* The last thread ends the process.  Two threads may both be the last to see; only one
 * of them removes the entry, and only that one frees the place.  No call of the process
 * can be under way any more: each of its threads, those of io_uring included, is past
 * its last one (do_exit()). */
static __always_inline int ended(struct task_struct *task)
{
	__u32 index, pid = task->tgid;
	struct netmon_process *process;
	struct place *known;

	if (by_kprobe)
		thread_ended();
	if (only_read(task)->signal->live.counter)
		return 0;
	if (follows)
		bpf_map_delete_elem(&wanted_pids, &pid);
	if (!(parts & PART_PROCESS))
		return 0;
	known = bpf_map_lookup_elem(&place_of, &pid);
	if (!known)
		return 0;
	index = known->index;
	if (bpf_map_delete_elem(&place_of, &pid))
		return 0;
	if (last_places[pid % LAST_PLACES].index >> 32 == pid)
		last_places[pid % LAST_PLACES].index = 0;
	if (last_places[pid % LAST_PLACES].generation >> 32 == pid)
		last_places[pid % LAST_PLACES].generation = 0;
	process = bpf_map_lookup_elem(&processes, &index);
	if (process) {
		process->ppid = parent_pid();
		process->ended_in = readings;
		barrier();
		process->ended = 1;
	}
	bpf_map_push_elem(&free_places, &index, 0);
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

/* What can be given away, from the first number of ctx to before the second, FILL_MOST at the
 * most: user space runs these before any other (BPF_PROG_TEST_RUN), since a system call for
 * each number would take long. */

static __always_inline int fill(void *free, const __u64 *ctx)
{
	for (__u32 i = 0; i < FILL_MOST; i++) {
		__u32 index = ctx[0] + i;

		if (index >= ctx[1])
			break;
		bpf_map_push_elem(free, &index, 0);
	}
	return 0;
}

SEC("raw_tp")
int fill_places(const __u64 *ctx)
{
	return fill(&free_places, ctx);
}

SEC("raw_tp")
int fill_slots(const __u64 *ctx)
{
	return fill(&free_slots, ctx);
}

#include "packets.bpf.h"

char LICENSE[] SEC("license") = "GPL";
