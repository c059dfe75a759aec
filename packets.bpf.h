/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layer ip: the IP packets of each socket, charged to the process that used the socket last.
 * Part of netmon.bpf.c, which has the tables.
 *
 *   packets   skb_egress and skb_ingress, at the root of cgroup v2, see each packet that a socket
 *             sends (after the packet filter, before fragmentation) or receives (after
 *             reassembly): count_packet(): owner, key ──▶ row ──▶ counters.
 *   owners    The storage of a socket names its owner: the process that created it (sock_create)
 *             or sent or received on it last (socket_used()).  The kernel copies the storage of
 *             a listening socket to the accepted ones.  owners_iter finds the sockets that exist
 *             when netmon starts.
 *   resent    tcp_retransmit_skb reports what TCP sends again.
 *
 * Packets of a socket without an owner are charged to the kernel; those of an owner that is no longer on
 * record too, if rows have a process.
 */

enum { PF_KTHREAD = 0x200000, DEPTH_MOST = 32 };
#define NO_ROW ((__u32)-1)             /* a filter leaves the packet out */
/* Packets are charged to a process for this long after its end, in nanoseconds: until then no
 * report takes its numbers for final. */
#define ON_RECORD (QUARANTINE / 2)
/* Places that are none of a process. */
#define PLACE_KERNEL (1ULL << 32 | PROCESS_KERNEL)
#define PLACE_OTHER (1ULL << 32)       /* there is no room for the process, or no row has one */
#define PLACE_LEFT_OUT (~0ULL)         /* a filter leaves the process out */

/* The cgroup of FILTER_CGROUP: the inode of its directory. */
const volatile __u64 wanted_cgroup_id;
/* Whether tcp_retransmit_skb passes an error, and is called for failures too (Linux 6.15). */
const volatile bool retransmit_has_error;
/* Whether kernel memory can be read by address at all: not under lockdown before Linux 6.2. */
const volatile bool peeks;
#define PEEK(type, object, field)                                                          \
	(casts ? CAST(type, object)->field : BPF_CORE_READ((struct type *)(object), field))

struct netmon_owner {
	__u64 place;             /* 0: none yet */
	__u64 check;             /* the start of the process ^ place; if two CPUs wrote at once it fits none */
	__u64 cgroup;
	__u32 uid;
	__u32 netns;             /* of the socket */
	__u32 is_mptcp;          /* an MPTCP socket's, or a subflow's copy of that */
};

MAP(owners, SK_STORAGE, 0, struct netmon_owner,
    BY(int) __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE););

#include "headers.bpf.h"
#include "mptcp.bpf.h"

/* Owners */

/* `sk` is a struct sock or, in cgroup programs, a struct bpf_sock. */
static __always_inline struct netmon_owner *owner_get_or_add(void *sk, __u32 protocol)
{
	if (protocol == MPTCP && SEES_MPTCP)
		return mptcp_get_or_add(sk);
	return bpf_sk_storage_get(&owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

/* False too for a task that is DEPTH_MOST levels below it. */
static __always_inline bool is_in_wanted_cgroup(struct task_struct *task)
{
	struct cgroup_subsys_state *state = &task->cgroups->dfl_cgrp->self;

	for (int depth = 0; depth < DEPTH_MOST && state; depth++, state = state->parent)
		if (state->cgroup->kn->id == wanted_cgroup_id)
			return true;
	return false;
}

/* Makes the task's process the owner of a socket in this namespace. */
static __noinline int owner_set(struct netmon_owner *owner, struct task_struct *task, __u32 netns)
{
	__u64 place = PLACE_OTHER;
	__u32 pid = task->tgid;

	owner->netns = netns;
	owner->uid = task->cred->euid.val;
	owner->cgroup = task->cgroups->dfl_cgrp->kn->id;
	if (!pid_passes(pid) || (filter.kinds & FILTER_UID && !user_passes(&filter, owner->uid)) ||
	    (filter.kinds & FILTER_CGROUP &&
	     is_in_wanted_cgroup(task) == leaves_out(&filter, FILTER_CGROUP)))
		place = PLACE_LEFT_OUT;
	else if (parts & PART_PROCESS)
		place = process_get_or_add(pid, task) ?: PLACE_OTHER;
	*(volatile __u64 *)&owner->check = task->group_leader->start_boottime ^ place;
	*(volatile __u64 *)&owner->place = place;
	return 0;
}

/* The owner's place, or that of the kernel if the process is no longer on record. */
static __always_inline __u64 owner_place(const struct netmon_owner *owner)
{
	__u64 place = *(const volatile __u64 *)&owner->place;
	__u64 freed = place >> 32 << SEQ_GENERATION | SEQ_FREE;
	struct netmon_process *process;
	__u32 index = place;

	if (!place)
		return PLACE_KERNEL;
	if (!(parts & PART_PROCESS) || place == PLACE_OTHER || place == PLACE_LEFT_OUT)
		return place;
	process = bpf_map_lookup_elem(&processes, &index);
	if (process && (is_owned(&process->seq, place) ||
			(*(volatile __u64 *)&process->seq == freed &&
			 bpf_ktime_get_ns() - process->freed_at < ON_RECORD)))
		return place;
	return PLACE_KERNEL;
}

SEC("cgroup/sock_create")
int sock_create_cgroup(struct bpf_sock *sk)
{
	struct netmon_owner *owner = owner_get_or_add(sk, sk->protocol);
	struct task_struct *task = bpf_get_current_task_btf();

	if (owner)
		owner_set(owner, task, task->nsproxy->net_ns->ns.inum);
	return 1; /* let it pass */
}

/* The task's process is the owner of the socket now, unless it is past its end: then it closes its files. */
static __noinline int owner_renew(struct sock *sk, struct task_struct *task)
{
	struct netmon_owner *owner = owner_get_or_add(sk, sk->sk_protocol);

	if (owner && task->signal->live.counter)
		owner_set(owner, task, sk->__sk_common.skc_net.net->ns.inum);
	return 0;
}

/* The current process sends or receives on the socket.  Kernel threads, which serve sockets of
 * processes too (kernel TLS), change nothing. */
static __always_inline int socket_used(struct sock *sk)
{
	const bool may_change = needs & (PART_UID | PART_CGROUP) || filter.kinds & FILTER_CGROUP;
	struct task_struct *task = bpf_get_current_task_btf();
	const struct netmon_owner *owner;

	if (task->flags & PF_KTHREAD)
		return 0;
	/* NULL for an MPTCP socket too */
	owner = may_change ? NULL : bpf_sk_storage_get(&owners, sk, NULL, 0);
	/* a process without a place may get one */
	if (owner && (parts & PART_PROCESS ? (__u32)owner->place : owner->place) &&
	    (owner->check ^ owner->place) == task->group_leader->start_boottime)
		return 0;
	return owner_renew(sk, task);
}

SEC("iter/task_file")
int owners_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct netmon_owner *owner;
	struct socket *socket;
	struct sock *sk;

	socket = task && file ? bpf_sock_from_file(file) : NULL;
	sk = socket ? socket->sk : NULL;
	if (!sk || !is_ip(sk->__sk_common.skc_family))
		return 0;
	owner = owner_get_or_add(sk, sk->sk_protocol);
	if (!owner || owner->place) /* a process has used it since netmon began */
		return 0;
	owner_renew(sk, task);
	if (!task->signal->live.counter) /* it ended meanwhile, perhaps before it had its place */
		process_free(task);
	return 0;
}

static __always_inline struct netmon_owner *owner_of(struct bpf_sock *sk)
{
	struct netmon_owner *owner = bpf_sk_storage_get(&owners, sk, NULL, 0);

	return (!owner || owner->is_mptcp) && SEES_MPTCP ? mptcp_copy(sk, owner) : owner;
}

/* Keys */

/* The interface and its namespace.  If the kernel refuses to read them, the namespace is the socket's,
 * and user space finds the name by index and namespace. */
static __always_inline void read_device(struct netmon_key *key, struct net_device *device, __u32 index,
					const struct netmon_owner *owner)
{
	struct netmon_iface *iface = (void *)key->iface;
	__u32 name = 0xff, byte;

	key->netns = owner ? owner->netns : 0;
	if (casts) {
		key->netns = CAST(net_device, device)->nd_net.net->ns.inum;
		__builtin_memcpy(key->iface, CAST(net_device, device)->name, IFACE_LEN);
	} else if (peeks) {
		key->netns = BPF_CORE_READ(device, nd_net.net, ns.inum);
		bpf_probe_read_kernel(key->iface, IFACE_LEN, device->name);
	} else if (index == LOOPBACK_IFINDEX) {
		__builtin_memcpy(key->iface, "lo", 3);
	} else {
		iface->index = index;
		iface->netns = key->netns;
	}
	/* a rename leaves the end of a longer name behind (dev_change_name()) */
	for (int i = 0; i < IFACE_LEN && peeks; i++) {
		byte = (__u8)key->iface[i];
		barrier_var(byte); /* no branch, of which the verifier would follow each */
		name &= -byte >> 8;
		key->iface[i] &= name;
	}
}

/* Fills in the owner's parts.  Returns the row of the key, NO_ROW if a filter leaves it out. */
static __always_inline __u32 row_of_packet(struct netmon_key *key, const struct netmon_owner *owner)
{
	const bool needs_process = filter.kinds & ~filter.leave_out & FILTERS_OF_PROCESS;
	__u64 place = PLACE_KERNEL;

	key->uid = NO_UID;
	if (owner) {
		place = owner_place(owner);
		if (place != PLACE_KERNEL) {
			key->uid = owner->uid;
			key->cgroup = owner->cgroup;
		}
	}
	if (place == PLACE_LEFT_OUT || (place == PLACE_KERNEL && needs_process) ||
	    (filter.kinds & ~FILTERS_OF_PROCESS && !key_passes(key)))
		return NO_ROW;
	return row_of_place(key, place);
}

/* Puts a connected socket's ends in place of those that NAT makes of them.  An SCTP socket has several
 * addresses and does not tell which one is in use. */
static __always_inline void read_connection(struct netmon_key *key, struct bpf_sock *sk)
{
	sk = bpf_sk_fullsock(sk);
	/* a closed socket has given its port back */
	if (!sk || !has_ports(key->proto) || key->proto == IPPROTO_SCTP || !sk->src_port || !sk->dst_port)
		return;
	key->lport = sk->src_port;
	key->rport = bpf_ntohs(sk->dst_port);
	key->laddr[0] = key->family == 4 ? sk->src_ip4 : sk->src_ip6[0];
	key->raddr[0] = key->family == 4 ? sk->dst_ip4 : sk->dst_ip6[0];
	if (key->family == 4)
		return;
	key->laddr[1] = sk->src_ip6[1]; /* no loop: CO-RE needs constant indexes */
	key->laddr[2] = sk->src_ip6[2];
	key->laddr[3] = sk->src_ip6[3];
	key->raddr[1] = sk->dst_ip6[1];
	key->raddr[2] = sk->dst_ip6[2];
	key->raddr[3] = sk->dst_ip6[3];
}

static __always_inline void key_of_packet(struct netmon_key *key, const struct netmon_headers *headers,
					  enum netmon_direction direction)
{
	const bool in = direction == NETMON_RX;

	key->proto = headers->proto;
	key->family = headers->family;
	key->lport = in ? headers->to_port : headers->from_port;
	key->rport = in ? headers->from_port : headers->to_port;
	__builtin_memcpy(key->laddr, in ? headers->to : headers->from, sizeof(key->laddr));
	__builtin_memcpy(key->raddr, in ? headers->from : headers->to, sizeof(key->raddr));
}

/* Packets */

static __always_inline int count_packet(struct __sk_buff *skb, enum netmon_direction direction)
{
	const __u32 asked = needs, protocol = skb->protocol, size = skb->gso_size;
	const bool needs_headers = asked & (PART_PROTO | PARTS_ENDS);
	__u32 row, length = skb->len, segments = 1;
	struct netmon_headers headers = { 0 };
	struct bpf_sock *sk = skb->sk;
	struct netmon_owner *owner;
	struct netmon_key key;
	__u64 bytes = length;

	if (!counting || !sk ||
	    (protocol != bpf_htons(ETHERTYPE_IP) && protocol != bpf_htons(ETHERTYPE_IPV6)))
		return 1; /* let it pass */
	if (size || needs_headers)
		read_headers(&headers, skb);
	if (size) {
		segments = skb->gso_segs;
		if (!segments) /* from the host of a virtual machine */
			segments = length > headers.length + size
					   ? (length - headers.length + size - 1) / size : 1;
		bytes += (__u64)(segments - 1) * headers.length;
	}
	owner = owner_of(sk);
	if (asked & ~PART_PROCESS)
		key = (struct netmon_key){ 0 };
	if (needs_headers)
		key_of_packet(&key, &headers, direction);
	if (asked & PARTS_ENDS)
		read_connection(&key, sk);
	if (asked & (PART_NETNS | PART_IFACE))
		read_device(&key, peeks ? PEEK(sk_buff, skb, dev) : NULL, skb->ifindex, owner);
	row = row_of_packet(&key, owner);
	if (row != NO_ROW)
		count_in(row, direction, bytes, segments);
	return 1;
}

SEC("cgroup_skb/ingress")
int skb_ingress_cgroup(struct __sk_buff *skb)
{
	return count_packet(skb, NETMON_RX);
}

SEC("cgroup_skb/egress")
int skb_egress_cgroup(struct __sk_buff *skb)
{
	return count_packet(skb, NETMON_TX);
}

/* What TCP sends again passes skb_egress as all packets do; only here is it known to be sent again. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit_skb_btf, struct sock *sk, struct sk_buff *skb)
{
	struct netmon_owner *owner = bpf_sk_storage_get(&owners, sk, NULL, 0);
	struct netmon_key key = { .proto = IPPROTO_TCP };
	struct netmon_peer peer = { 0 };
	__u32 segments_at = bpf_core_field_offset(struct tcp_skb_cb, tcp_gso_segs), row;
	struct netmon_row *counters;

	if (!counting || (retransmit_has_error && ctx[2]))
		return 0;
	if (needs & PARTS_ENDS)
		describe_ends(&key, sk, sk->__sk_common.skc_family, true, &peer);
	if (needs & (PART_NETNS | PART_IFACE))
		read_device(&key, sk->sk_dst_cache->dev, sk->sk_dst_cache->dev->ifindex, owner);
	row = row_of_packet(&key, owner);
	counters = row == NO_ROW ? NULL : bpf_map_lookup_elem(&rows, &row);
	if (counters)
		__sync_fetch_and_add(&counters->tx_retrans, *(__u16 *)(skb->cb + segments_at));
	return 0;
}
