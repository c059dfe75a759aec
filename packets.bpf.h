/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layer ip: the IP packets of each socket, charged to the process that used the socket last.
 * Part of netmon.bpf.c, which has the tables.
 *
 *   packets   cgroup_skb programs at the root of cgroup v2 see each packet that a socket sends
 *             (after the packet filter, before fragmentation) or receives (after reassembly):
 *             skb_egress, skb_ingress ──▶ count_packet(): owner, key ──▶ row ──▶ counters.
 *   owners    The storage of a socket names its owner: the process that created it (sock_create),
 *             replaced by each process that sends or receives on it (socket_used()).  The kernel
 *             copies the storage of a listening socket to the accepted ones.  owners_iter finds
 *             the sockets that exist when netmon starts.
 *   resent    tcp_retransmit_skb tells what TCP sent again.
 *
 * Packets of a socket without an owner, or whose owner is no longer on record, are charged to
 * the kernel.
 */

enum { IPPROTO_HOPOPTS = 0, IPPROTO_ROUTING = 43, IPPROTO_FRAGMENT = 44, IPPROTO_DSTOPTS = 60 };
enum { PF_KTHREAD = 0x200000, EXTENSIONS_MOST = 6, DEPTH_MOST = 32 };
enum { GSO_BY_FRAGS = 0xffff };        /* gso_size of SCTP: the segments differ in size */
#define NO_ROW ((__u32)-1)             /* a filter leaves the packet out */

/* The cgroup of FILTER_CGROUP: the inode of its directory. */
const volatile __u64 wanted_cgroup_id;
/* Packets are charged to a process for this long after its end, in nanoseconds: until then no
 * report takes its numbers for final. */
#define ON_RECORD (QUARANTINE / 2)

/* Whether tcp_retransmit_skb passes an error, and is called for failures too (Linux 6.15). */
const volatile bool retransmit_has_error;

/* Whether kernel memory can be read by address at all: not under lockdown before Linux 6.2. */
const volatile bool peeks;
#define PEEK(type, object, field)                                                          \
	(casts ? CAST(type, object)->field : BPF_CORE_READ((struct type *)(object), field))

struct netmon_owner {
	__u64 place;             /* a struct netmon_place, in one word: replaced at once */
	__u64 cgroup;
	__u32 uid;
	__u32 pid;
	__u32 wanted;            /* it passes the filters of processes */
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct netmon_owner);
} owners SEC(".maps");

/* The same of MPTCP sockets, by cookie.  Their packets pass sockets of the kernel, the subflows,
 * and no helper leads from there to the storage of the MPTCP socket without a race. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct netmon_owner);
} mptcp_owners SEC(".maps");

/* Owners */

static __always_inline struct netmon_owner *mptcp_owner_get_or_add(__u64 cookie)
{
	struct netmon_owner none = { 0 };

	bpf_map_update_elem(&mptcp_owners, &cookie, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&mptcp_owners, &cookie);
}

/* Returns the owner for a change.  `sk` is a struct sock or, in cgroup programs, a struct bpf_sock. */
#define OWNER_GET_OR_ADD(sk, protocol)                                                     \
	((protocol) == IPPROTO_MPTCP                                                       \
		 ? mptcp_owner_get_or_add(bpf_get_socket_cookie(sk))                       \
		 : bpf_sk_storage_get(&owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE))

static __always_inline bool is_in_wanted_cgroup(struct task_struct *task)
{
	struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	struct cgroup_subsys_state *parent;

	for (int depth = 0; depth < DEPTH_MOST; depth++) {
		if (cgroup->kn->id == wanted_cgroup_id)
			return true;
		parent = cgroup->self.parent;
		if (!parent)
			break;
		cgroup = parent->cgroup;
	}
	return false;
}

static __always_inline bool is_wanted(struct task_struct *task, __u32 pid, __u32 uid)
{
	if (filter.kinds & FILTER_PIDS &&
	    !bpf_map_lookup_elem(&wanted_pids, &pid) != leaves_out(&filter, FILTER_PIDS))
		return false;
	if (filter.kinds & FILTER_UID && !user_passes(&filter, uid))
		return false;
	return !(filter.kinds & FILTER_CGROUP) ||
	       is_in_wanted_cgroup(task) != leaves_out(&filter, FILTER_CGROUP);
}

/* Makes the task's process the owner.  `of` as in process_get_or_add(). */
static __always_inline void owner_set(struct netmon_owner *owner, struct task_struct *task,
				      struct task_struct *of)
{
	struct netmon_place place;
	__u64 hint = 0; /* ROW_OTHER */
	__u32 pid = task->tgid;

	if (needs & PART_UID)
		owner->uid = task->cred->euid.val;
	if (needs & PART_CGROUP)
		owner->cgroup = task->cgroups->dfl_cgrp->kn->id;
	owner->wanted = is_wanted(task, pid, owner->uid);
	if (parts & PART_PROCESS && owner->wanted && process_get_or_add(pid, &place, of))
		hint = hint_of_place(&place);
	*(volatile __u64 *)&owner->place = hint;
	*(volatile __u32 *)&owner->pid = pid; /* last: with it there is an owner */
}

/* Finds the owner's place; false if its process is no longer on record. */
static __always_inline bool owner_place(const struct netmon_owner *owner, struct netmon_place *place)
{
	struct netmon_process *process;

	*place = place_of_hint(*(const volatile __u64 *)&owner->place);
	process = bpf_map_lookup_elem(&processes, &place->index);
	if (!process || is_owned(&process->seq, place))
		return process;
	return *(volatile __u64 *)&process->seq ==
		       ((__u64)place->generation << SEQ_GENERATION | SEQ_FREE) &&
	       bpf_ktime_get_ns() - process->freed_at < ON_RECORD;
}

SEC("cgroup/sock_create")
int sock_create_cgroup(struct bpf_sock *sk)
{
	struct netmon_owner *owner = OWNER_GET_OR_ADD(sk, sk->protocol);

	if (owner)
		owner_set(owner, bpf_get_current_task_btf(), NULL);
	return 1; /* let it pass */
}

/* The current process sends or receives on the socket.  The calls of kernel threads, which serve
 * sockets of processes too (kernel TLS), change nothing. */
static __noinline int owner_renew(struct netmon_owner *owner)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!(task->flags & PF_KTHREAD))
		owner_set(owner, task, NULL);
	return 0;
}

static __always_inline int socket_used(struct sock *sk)
{
	struct netmon_owner *owner;
	struct netmon_place place;

	if (!is_ip(sk->__sk_common.skc_family))
		return 0;
	owner = OWNER_GET_OR_ADD(sk, sk->sk_protocol);
	if (!owner)
		return 0;
	/* A process may change its user and cgroup. */
	if (owner->pid == bpf_get_current_pid_tgid() >> 32 && !(needs & (PART_UID | PART_CGROUP)) &&
	    (!(parts & PART_PROCESS) || (owner_place(owner, &place) && place.index != ROW_OTHER)))
		return 0;
	return owner_renew(owner);
}

SEC("iter/task_file")
int owners_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct netmon_owner *owner;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !is_ip(sk->__sk_common.skc_family))
		return 0;
	owner = OWNER_GET_OR_ADD(sk, sk->sk_protocol);
	if (owner && !owner->pid) /* nobody has used it since netmon began */
		owner_set(owner, task, task);
	return 0;
}

/* The owner of the MPTCP socket above a subflow.  An accepted subflow has that of the listening
 * one in its storage until a process uses the connection. */
static __always_inline struct netmon_owner *owner_above(void *sk, bool listens)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct mptcp_subflow_context *context;
	struct netmon_owner *owner;
	struct sock *above;
	__u64 cookie;

	if (!peeks || !bpf_core_type_exists(struct mptcp_subflow_context) || !tcp ||
	    !BPF_CORE_READ_BITFIELD((struct tcp_sock___netmon *)tcp, is_mptcp))
		return NULL;
	context = tcp->inet_conn.icsk_ulp_data;
	above = PEEK(mptcp_subflow_context, context, conn);
	cookie = PEEK(sock, above, __sk_common.skc_cookie.counter);
	owner = bpf_map_lookup_elem(&mptcp_owners, &cookie);
	if (owner && listens)
		bpf_sk_storage_get(&owners, sk, owner, BPF_SK_STORAGE_GET_F_CREATE);
	return owner;
}

static __always_inline struct netmon_owner *owner_of(void *sk, __u32 protocol, bool listens)
{
	struct netmon_owner *owner = protocol == IPPROTO_TCP ? owner_above(sk, listens) : NULL;

	owner = owner ? owner : bpf_sk_storage_get(&owners, sk, NULL, 0);
	return owner && owner->pid ? owner : NULL;
}

/* Keys */

static __always_inline bool is_listed_iface(const struct netmon_key *key)
{
	const volatile __u64 *wanted;
	const __u64 *its = (const __u64 *)key->iface;

#pragma unroll
	for (__u32 i = 0; i < MAX_LISTED; i++) {
		wanted = (const volatile __u64 *)filter.ifaces[i];
		if (i < filter.ifaces_count && wanted[0] == its[0] && wanted[1] == its[1])
			return true;
	}
	return false;
}

static __always_inline void read_device(struct netmon_key *key, const struct net_device *device)
{
	const struct net *net;

	if (needs & PART_NETNS) {
		net = PEEK(net_device, device, nd_net.net);
		key->netns = PEEK(net, net, ns.inum);
	}
	if (!(needs & PART_IFACE))
		return;
	if (casts)
		__builtin_memcpy(key->iface, CAST(net_device, device)->name, IFACE_LEN);
	else
		bpf_probe_read_kernel(key->iface, IFACE_LEN, device->name);
}

/* See key_passes(). */
static __noinline bool packet_passes(const struct netmon_key *key)
{
	return filter_passes(&filter, FILTERS_OF_PROCESS, key);
}

/* Fills in the owner's parts.  Returns the row of the key, NO_ROW if a filter leaves it out. */
static __noinline __u32 row_of_packet(struct netmon_key *key, struct netmon_owner *owner)
{
	struct netmon_place place = { PROCESS_KERNEL, 1 };

	if (filter.kinds & FILTERS_OF_PROCESS &&
	    (owner ? !owner->wanted : filter.kinds & ~filter.leave_out & FILTERS_OF_PROCESS))
		return NO_ROW;
	if (owner && parts & PART_PROCESS && !owner_place(owner, &place)) {
		place = (struct netmon_place){ PROCESS_KERNEL, 1 };
		owner = NULL;
	}
	key->uid = !(needs & PART_UID) ? 0 : owner ? owner->uid : NO_UID;
	key->cgroup = owner && needs & PART_CGROUP ? owner->cgroup : 0;
	if (filter.kinds & FILTER_IFACE && is_listed_iface(key) == leaves_out(&filter, FILTER_IFACE))
		return NO_ROW;
	if (filter.kinds & ~(FILTERS_OF_PROCESS | FILTER_IFACE) && !packet_passes(key))
		return NO_ROW;
	if (!parts)
		return ROW_ALL;
	if (parts == PART_PROCESS || (parts & PART_PROCESS && place.index == ROW_OTHER))
		return place.index;
	if (parts & PART_PROCESS) {
		key->process = place.index;
		key->generation = place.generation;
	}
	key_leave(key);
	if (!(parts & PART_IFACE))
		__builtin_memset(key->iface, 0, sizeof(key->iface));
	return row_get_or_add(key);
}

/* Packets */

struct packet {
	__u32 length;            /* from the IP header on */
	__u32 version;
	__u32 gso_size, gso_segs;
	__u32 transport;         /* offset of the header above IP and its extensions, if needed */
	__u32 proto;             /* IPPROTO_* of that header */
	__u32 jumbo;             /* size of the extension header that only large bundles have */
};

/* Returns false if it is no IP packet.  Each field of the context is read once and in one place:
 * the verifier refuses a read by an address that the compiler has kept in a register
 * ("dereference of modified ctx ptr"). */
static __always_inline bool read_packet(struct packet *packet, struct __sk_buff *skb)
{
	__u32 protocol = skb->protocol;
	__u8 version;

	packet->length = skb->len;
	packet->gso_size = skb->gso_size;
	packet->gso_segs = skb->gso_segs;
	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return false;
	packet->version = version >> 4;
	return protocol == bpf_htons(packet->version == 4 ? ETHERTYPE_IP : ETHERTYPE_IPV6) &&
	       (packet->version == 4 || packet->version == 6);
}

static __always_inline void find_transport4(struct packet *packet, struct __sk_buff *skb)
{
	__u8 byte = 0;

	bpf_skb_load_bytes(skb, 0, &byte, 1);
	packet->transport = (byte & 15) * 4;
	bpf_skb_load_bytes(skb, 9, &byte, 1);
	packet->proto = byte;
}

static __always_inline void find_transport6(struct packet *packet, struct __sk_buff *skb)
{
	struct { __u16 length; __u8 proto, size; } head = { 0 };

	bpf_skb_load_bytes(skb, 4, &head, 3);
	packet->transport = sizeof(struct ipv6hdr);
	packet->proto = head.proto;
	/* BIG TCP before Linux 7.0; jumbograms are no bundles */
	if (!head.length && head.proto == IPPROTO_HOPOPTS && packet->gso_size)
		packet->jumbo = 8;
	for (int i = 0; i < EXTENSIONS_MOST; i++) {
		if (packet->proto != IPPROTO_HOPOPTS && packet->proto != IPPROTO_ROUTING &&
		    packet->proto != IPPROTO_DSTOPTS && packet->proto != IPPROTO_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, packet->transport, &head.proto, 2))
			break;
		packet->transport += packet->proto == IPPROTO_FRAGMENT ? 8 : (head.size + 1) * 8;
		packet->proto = head.proto;
	}
}

/* A bundle of segments counts as the packets that it becomes, or was, each with its headers. */
static __always_inline void measure(const struct packet *packet, struct __sk_buff *skb, __u64 *bytes,
				    __u64 *packets)
{
	__u32 header = packet->transport + 8;
	__u8 byte = 0;

	*bytes = packet->length;
	*packets = 1;
	if (!packet->gso_size)
		return;
	if (packet->proto == IPPROTO_TCP) {
		bpf_skb_load_bytes(skb, packet->transport + 12, &byte, 1);
		header = packet->transport + (byte >> 4) * 4;
	} else if (packet->proto == IPPROTO_SCTP) {
		header = packet->transport + 12;
	}
	if (packet->gso_segs)
		*packets = packet->gso_segs;
	else if (packet->length > header) /* from the host of a virtual machine */
		*packets = (packet->length - header + packet->gso_size - 1) / packet->gso_size;
	*bytes += (*packets - 1) * (header - packet->jumbo) - packet->jumbo;
}

/* Fills in the ends: those of the packet, or those of its socket as far as that has them. */
static __always_inline void read_ends(struct netmon_key *key, struct __sk_buff *skb,
				      enum netmon_direction direction, __u32 transport)
{
	__u32 *from = direction == NETMON_RX ? key->raddr : key->laddr;
	__u32 *to = direction == NETMON_RX ? key->laddr : key->raddr;
	__u16 ports[2] = { 0 };

	if (key->family == 4) {
		bpf_skb_load_bytes(skb, 12, from, 4);
		bpf_skb_load_bytes(skb, 16, to, 4);
	} else {
		bpf_skb_load_bytes(skb, 8, from, 16);
		bpf_skb_load_bytes(skb, 24, to, 16);
	}
	if (has_ports(key->proto))
		bpf_skb_load_bytes(skb, transport, ports, sizeof(ports));
	key->lport = bpf_ntohs(ports[direction == NETMON_RX]);
	key->rport = bpf_ntohs(ports[direction == NETMON_TX]);
}

static __always_inline void take_ends(struct netmon_key *key, struct bpf_sock *sk)
{
	__u32 address[4] = { sk->dst_ip6[0], sk->dst_ip6[1], sk->dst_ip6[2], sk->dst_ip6[3] };
	__u32 ip4 = sk->dst_ip4;

	if (key->family == 4 ? !ip4 : no_address(address))
		return; /* not connected */
	if (key->family == 4) {
		key->raddr[0] = ip4;
		ip4 = sk->src_ip4;
		if (ip4)
			key->laddr[0] = ip4;
	} else {
		__builtin_memcpy(key->raddr, address, sizeof(address));
		address[0] = sk->src_ip6[0];
		address[1] = sk->src_ip6[1];
		address[2] = sk->src_ip6[2];
		address[3] = sk->src_ip6[3];
		if (!no_address(address))
			__builtin_memcpy(key->laddr, address, sizeof(address));
	}
	if (!has_ports(key->proto))
		return;
	key->rport = bpf_ntohs(sk->dst_port);
	if (sk->src_port) /* a closed socket has given it back */
		key->lport = sk->src_port;
}

static __always_inline int count_packet(struct __sk_buff *skb, enum netmon_direction direction)
{
	struct bpf_sock *sk = skb->sk;
	struct packet packet = { 0 };
	struct netmon_key key = { 0 };
	__u64 bytes, packets;
	__u32 row;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || !read_packet(&packet, skb))
		return 1; /* let it pass */
	if (needs & (PART_PROTO | PARTS_ENDS) || packet.gso_size) {
		if (packet.version == 4)
			find_transport4(&packet, skb);
		else
			find_transport6(&packet, skb);
	}
	measure(&packet, skb, &bytes, &packets);
	key.family = packet.version;
	key.proto = packet.proto == ICMPV6 ? IPPROTO_ICMP : packet.proto;
	if (needs & (PARTS_ENDS & ~PART_FAMILY)) {
		read_ends(&key, skb, direction, packet.transport);
		take_ends(&key, sk);
	}
	if (peeks && needs & (PART_NETNS | PART_IFACE))
		read_device(&key, PEEK(sk_buff, skb, dev));
	row = row_of_packet(&key, owner_of(sk, sk->protocol, sk->state == TCP_LISTEN));
	if (row != NO_ROW)
		count_in(row, direction, bytes, packets);
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

/* What TCP sends again passes skb_egress like all packets; here it is known as such. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit_skb_btf, struct sock *sk, struct sk_buff *skb)
{
	struct netmon_key key = { .proto = IPPROTO_TCP };
	struct netmon_peer peer = { 0 };
	__u32 at = bpf_core_field_offset(struct tcp_skb_cb, tcp_gso_segs), row;
	struct netmon_row *its;

	if (retransmit_has_error && ctx[2])
		return 0;
	if (needs & PARTS_ENDS)
		describe_ends(&key, sk, sk->__sk_common.skc_family, true, &peer);
	if (peeks && needs & (PART_NETNS | PART_IFACE))
		read_device(&key, sk->sk_dst_cache->dev);
	row = row_of_packet(&key, owner_of(sk, sk->sk_protocol, false));
	its = row == NO_ROW ? NULL : bpf_map_lookup_elem(&rows, &row);
	if (its)
		__sync_fetch_and_add(&its->tx_retrans, *(__u16 *)(skb->cb + at));
	return 0;
}
