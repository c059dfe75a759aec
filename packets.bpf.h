/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Layer ip: whole IP packets, as each interface sends and receives them, with the process
 * that uses their socket.  A part of netmon.bpf.c, which has the tables.
 *
 *   sent       net_dev_start_xmit is where a packet is handed to its interface: after
 *              fragmentation, queueing and loss there, with its socket.
 *   received   netif_receive_skb is where it comes from the interface.  Its socket is found
 *              later: cgroup_skb/ingress sees the packet there, by then perhaps with other
 *              addresses (NAT), or as another one (a clone, a segment).  Until then it is in a
 *              batch, one for each CPU; what nobody claimed when the poll that brought it
 *              ends (napi_poll) is the kernel's own, what goes on to another interface
 *              (net_dev_queue) is forwarded and none of ours.
 *   owner      in socket storage, MPTCP's by the socket's address: who created the socket
 *              (cgroup/sock_create), sent or received on it last, or had it when netmon
 *              began (iter/task_file).  A send by TCP makes one from its beginning on
 *              (tcp_sendmsg_locked).  An accepted socket has that of the listening one
 *              until somebody uses it.
 *
 * What sees packets runs where the kernel is not preempted (softirqs are off), so none is
 * skipped.  What sees calls may be, since Linux 7.0: no packet is lost by that, but its socket
 * may still be taken for that of who used it before.
 */

enum { IPPROTO_HOPOPTS = 0, IPPROTO_ROUTING = 43, IPPROTO_FRAGMENT = 44, IPPROTO_DSTOPTS = 60 };
enum { ETHERTYPE_VLAN = 0x8100, ETHERTYPE_QINQ = 0x88a8 };
enum { PACKET_LOOPBACK = 5 };          /* pkt_type of a multicast that comes back */
enum { GSO_BY_FRAGS = 0xffff };        /* gso_size: SCTP */
enum { S_IFMT = 0170000, S_IFSOCK = 0140000 };
enum { PF_KTHREAD = 0x200000 };
enum { BATCH = 64, STRIDE = 8, EXTENSIONS_MOST = 6, DEPTH_MOST = 32 };

/* How long fragments wait for the others of their datagram: nanoseconds. */
#define FRAGMENTS_WAIT 1000000000ULL

/* The cgroup of FILTER_CGROUP: the inode of its directory. */
const volatile __u64 wanted_cgroup_id;

/* Whether each send by TCP tells so before its first byte, without fail: tcp_sendmsg_locked, where it
 * is a tracepoint whose programs are not preempted. */
const volatile bool tells_sender;
/* Whether the current process can be known without a call of a helper, and nothing is noted of it but
 * its place. */
const volatile bool shows_current;

/* A packet, or a bundle of them, as on the wire. */
struct packet {
	struct netmon_key key;    /* what the packet itself tells of it */
	__u64 bytes;
	__u32 packets;           /* 0: not IP, or not there any more */
	__u32 fragment;          /* of which datagram it is one; 0: none */
	__u32 proto, at;         /* of the header above IP, and where that is */
	__u32 later;             /* not 0: a fragment but the first, without ports */
	__u32 payload;           /* how much there is above the headers */
	__u32 sequence;          /* TCP: of the first byte of it */
};

/* A process that uses a socket. */
struct user {
	__u64 place;             /* a struct place, changed at once */
	__u64 cgroup;
	__u32 uid;
	__u32 wanted;            /* it passes the filters of processes */
};

/* What a socket's storage says. */
struct owner {
	struct user receiver, sender;
	bool received, sent;     /* somebody has, who is not only its creator */
	bool shared;             /* more than one process has sent: */
	struct user before;      /* what TCP has in its queue up to `boundary` is of this one */
	__u32 boundary;
	__u32 end;               /* TCP: where in the stream the last finished send ended */
	__u32 inherited;         /* from a listening socket, and nobody has used it yet: */
	struct packet held;      /* what came before is for who does */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

/* The same by the address of the socket: for MPTCP's, which only their subflows lead to, and for all
 * before Linux 5.11, where tracing programs have no way to that storage.  What a socket leaves here
 * is overwritten when the next one gets its memory. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct owner);
} owners_by_address SEC(".maps");

/* Packets that accept a connection, on their way to the interface: their socket is not the
 * listening one any more, and not that of the connection yet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);      /* the address of the struct sk_buff */
	__type(value, struct user);
} answers SEC(".maps");

/* The sockets whose held packets are just being counted, by the address of their owner. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} releasing SEC(".maps");

/* What has come and is not claimed yet: one packet, or the fragments of a datagram so far. */
struct arrival {
	struct packet packet;
	__u64 skb;
	__u64 time;
};

struct batch {
	__u64 address[2];        /* of what has another type here: of a task, and in a softirq */
	struct user listener;    /* of the socket that has just got a packet: see inherit() */
	struct user early_user;  /* the same when it got the packet `early` */
	bool in_softirq;         /* whatever the current task is, it is not it that runs */
	/* The packet that just is sent, comes, is claimed.  Not on the stack: here its numbers are
	 * any for the verifier, which else would go through what follows for each way to get
	 * them. */
	struct packet sending, arriving, claimed;
	struct packet early;     /* bytes to a listening socket, which may make the connection's own */
	__u32 count, kept, found;
	struct arrival arrivals[BATCH];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct batch);
} batches SEC(".maps");

static __always_inline struct batch *this_batch(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&batches, &first);
}

/* A pointer as a number, which only reading it again makes it for the verifier. */
static __always_inline __u64 number_of(struct batch *batch, const void *pointer)
{
	volatile __u64 *address = &batch->address[batch->in_softirq];

	*address = (__u64)pointer;
	return *address;
}

enum { FIND, CREATE, RENEW };

static const volatile struct owner nobody;

static __noinline struct owner *owner_at(__u64 address, int how)
{
	struct owner *owner = how == RENEW ? NULL : bpf_map_lookup_elem(&owners_by_address, &address);

	if (owner || how == FIND)
		return owner;
	bpf_map_update_elem(&owners_by_address, &address, (const void *)&nobody,
			    how == RENEW ? BPF_ANY : BPF_NOEXIST);
	return bpf_map_lookup_elem(&owners_by_address, &address);
}

/* The owner of the socket; `how` to get it: one that is there, else a new one, a new one in any
 * case.  NULL where there is none. */
#define HAS_STORAGE bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file)
#define OWNER_BY(protocol, sk, how)                                                        \
	({                                                                                 \
		struct batch *its_batch;                                                   \
                                                                                           \
		HAS_STORAGE && (protocol) != IPPROTO_MPTCP                                 \
		? bpf_sk_storage_get(&owners, sk, NULL,                                    \
				     (how) ? BPF_SK_STORAGE_GET_F_CREATE : 0)              \
		: (its_batch = this_batch()) ? owner_at(number_of(its_batch, sk), how)     \
					     : NULL;                                       \
	})
/* Of a socket that packets have, which is not MPTCP's. */
#define OWNER(sk, how) OWNER_BY(IPPROTO_TCP, sk, how)

/* Where to look at a packet: by the context of a cgroup's program, or in memory. */
struct source {
	struct __sk_buff *context;
	const unsigned char *ip;
	__u32 length;            /* from the IP header on */
	__u32 gso_size, gso_segs;
	__u32 inner;             /* offset of the inner transport header; 0: there is none */
	__u32 inner_proto;
};

/* The 4 bytes there. */
static __always_inline __u32 word_at(const void *address)
{
	struct in6_addr *window;
	__u32 word = 0;

	if (casts) {
		window = CAST(in6_addr, address);
		return window->in6_u.u6_addr32[0];
	}
	bpf_probe_read_kernel(&word, sizeof(word), address);
	return word;
}

/* Copies `words` times 4 bytes at an offset from the IP header. */
static __always_inline bool look(const struct source *source, __u32 offset, __u32 *to, int words)
{
	if (offset + words * 4 > source->length)
		return false;
	if (source->context)
		return !bpf_skb_load_bytes(source->context, offset, to, words * 4);
#pragma unroll
	for (int i = 0; i < words; i++)
		to[i] = word_at(source->ip + offset + i * 4);
	return true;
}

/* Packets */

/* As it is in memory: any number for the verifier, which else goes through what follows for each way to
 * get it. */
#define ANY(number) (*(volatile typeof(number) *)&(number))

/* Passes by the extension headers of IPv6. */
static __always_inline void skip_extensions(const struct source *source, struct packet *packet)
{
	__u32 proto, at, word, id;

#pragma unroll
	for (int i = 0; i < EXTENSIONS_MOST; i++) {
		proto = ANY(packet->proto);
		at = ANY(packet->at);
		if (proto != IPPROTO_HOPOPTS && proto != IPPROTO_ROUTING && proto != IPPROTO_DSTOPTS &&
		    proto != IPPROTO_FRAGMENT)
			break;
		if (!look(source, at, &word, 1))
			break;
		word = bpf_ntohl(word);
		if (proto == IPPROTO_FRAGMENT) {
			if (!look(source, at + 4, &id, 1))
				break;
			packet->fragment = id ? id : 1;
			packet->later = word & 0xfff8;
			packet->at = at + 8;
		} else {
			packet->at = at + ((word >> 16 & 0xff) + 1) * 8;
		}
		packet->proto = word >> 24;
	}
}

/* How long the header above IP is that each segment of a bundle repeats. */
static __always_inline __u32 header_size(const struct source *source, __u32 at, __u32 proto)
{
	__u32 word;

	if (proto == IPPROTO_TCP)
		return look(source, at + 12, &word, 1) ? (bpf_ntohl(word) >> 28) * 4 : 0;
	return proto == IPPROTO_SCTP ? 12 : 8;
}

/* A bundle of segments is as many packets, each with its headers. */
static __always_inline void count_segments(const struct source *source, struct packet *packet,
					   __u32 header)
{
	if (!source->gso_size || packet->bytes <= header)
		return;
	packet->packets = source->gso_size == GSO_BY_FRAGS
				  ? source->gso_segs
				  : (packet->bytes - header + source->gso_size - 1) / source->gso_size;
	if (packet->packets)
		packet->bytes += (__u64)(packet->packets - 1) * header;
}

static __always_inline bool read_ip4(const struct source *source, struct packet *packet, __u32 *from,
				     __u32 *to)
{
	__u32 head[5];

	if (!look(source, 0, head, 5))
		return false;
	packet->key.family = 4;
	packet->bytes = bpf_ntohl(head[0]) & 0xffff;
	packet->later = bpf_ntohl(head[1]) & 0x1fff;
	if (bpf_ntohl(head[1]) & 0x3fff)
		packet->fragment = bpf_ntohl(head[1]) >> 16 | 0x10000;
	packet->proto = bpf_ntohl(head[2]) >> 16 & 0xff;
	packet->at = (bpf_ntohl(head[0]) >> 24 & 0xf) * 4;
	from[0] = head[3];
	to[0] = head[4];
	return true;
}

static __always_inline bool read_ip6(const struct source *source, struct packet *packet, __u32 *from,
				     __u32 *to)
{
	__u32 head[2];

	if (!look(source, 0, head, 2) || !look(source, 8, from, 4) || !look(source, 24, to, 4))
		return false;
	packet->key.family = 6;
	packet->bytes = (bpf_ntohl(head[1]) >> 16) + sizeof(struct ipv6hdr);
	packet->proto = bpf_ntohl(head[1]) >> 8 & 0xff;
	packet->at = sizeof(struct ipv6hdr);
	skip_extensions(source, packet);
	return true;
}

/* Fills in what the packet itself tells.  Returns false where it is no IP packet. */
static __noinline bool read_packet(const struct source *source, enum direction direction,
				   struct packet *packet)
{
	__u32 *from = direction == RX ? packet->key.raddr : packet->key.laddr;
	__u32 *to = direction == RX ? packet->key.laddr : packet->key.raddr;
	__u32 word, proto, at, header;

	__builtin_memset(packet, 0, sizeof(*packet));
	if (!look(source, 0, &word, 1))
		return false;
	word = bpf_ntohl(word) >> 28;
	if (word == 4 ? !read_ip4(source, packet, from, to)
		      : word != 6 || !read_ip6(source, packet, from, to))
		return false;
	proto = ANY(packet->proto);
	at = ANY(packet->at);
	if (!at)
		return false;
	/* jumbograms have 0; a short Ethernet frame is padded */
	if (packet->bytes <= at || packet->bytes > source->length)
		packet->bytes = source->length;
	packet->packets = 1;
	packet->key.proto = proto == ICMPV6 ? IPPROTO_ICMP : proto;
	if (has_ports(proto) && !packet->later && look(source, at, &word, 1)) {
		word = bpf_ntohl(word);
		packet->key.lport = direction == RX ? word & 0xffff : word >> 16;
		packet->key.rport = direction == RX ? word >> 16 : word & 0xffff;
	}
	if (proto == IPPROTO_TCP && look(source, at + 4, &word, 1))
		packet->sequence = bpf_ntohl(word);
	if (source->inner)
		header = source->inner + header_size(source, source->inner, source->inner_proto);
	else
		header = at + (packet->later ? 0 : header_size(source, at, proto));
	packet->payload = packet->bytes > header ? packet->bytes - header : 0;
	count_segments(source, packet, header);
	return true;
}

/* What memory there is of a bundle's segments. */
static __always_inline void read_bundle(struct source *source, const struct sk_buff *skb,
					const unsigned char *head)
{
	const unsigned char *info = head + skb->end;
	__u32 type = PEEK(skb_shared_info, info, gso_type);

	source->gso_size = PEEK(skb_shared_info, info, gso_size);
	source->gso_segs = PEEK(skb_shared_info, info, gso_segs);
	if (source->gso_size && BPF_CORE_READ_BITFIELD(skb, encapsulation)) {
		source->inner = head + skb->inner_transport_header - source->ip;
		source->inner_proto = type & SKB_GSO_UDP_L4 ? IPPROTO_UDP : IPPROTO_TCP;
	}
}

static __always_inline bool is_listed_iface(const char *name)
{
	const volatile __u64 *wanted;
	const __u64 *its = (const __u64 *)name;

#pragma unroll
	for (__u32 i = 0; i < MAX_LISTED; i++) {
		wanted = (const volatile __u64 *)filter.ifaces[i];
		if (i < filter.ifaces_count && wanted[0] == its[0] && wanted[1] == its[1])
			return true;
	}
	return false;
}

/* The packet's interface and network namespace. */
static __always_inline void read_device(struct packet *packet, const struct net_device *device)
{
	const __u32 *name = (const __u32 *)device->name;
	__u32 *to = (__u32 *)packet->key.iface;

	if (needs & PART_NETNS)
		packet->key.netns = device->nd_net.net->ns.inum;
	if (needs & PART_IFACE) {
		to[0] = name[0];
		to[1] = name[1];
		to[2] = name[2];
		to[3] = name[3];
	}
}

/* An interface that stands on others (a bridge, a bond, a VLAN) passes the same packets on
 * to them, or has them from there: they count once, below.  VXLAN is a tunnel, on one or on none. */
static __always_inline bool stands_on_others(const struct net_device *device)
{
	const struct list_head *lower = &device->adj_list.lower;
	const struct rtnl_link_ops *link;

	if (lower->next == lower)
		return false;
	link = device->rtnl_link_ops;
	return !link || word_at(link->kind) != bpf_htonl(0x76786c61); /* "vxla" */
}

static __always_inline bool packet_passes(const struct packet *packet)
{
	if (filter.kinds & FILTER_IFACE && !is_listed_iface(packet->key.iface))
		return false;
	return !(filter.kinds & ~(FILTERS_OF_PROCESS | FILTER_IFACE)) ||
	       filter_passes(&filter, FILTERS_OF_PROCESS, &packet->key);
}

/* Owners */

/* Whether a socket that is used here is used by the current process.  One that ends closes
 * its sockets, but has no place any more: they stay whose they are. */
static __always_inline bool is_user(void)
{
	const struct batch *batch = this_batch();

	return batch && !batch->in_softirq && !(CURRENT(flags, flags) & (PF_EXITING | PF_KTHREAD));
}

/* Whether the task is in the wanted cgroup or below it. */
static __always_inline bool is_in_cgroup(struct task_struct *task, bool typed)
{
	struct cgroup_subsys_state *state;
	struct css_set *set = GET(task, cgroups);
	struct cgroup *cgroup = GET(set, dfl_cgrp);
	struct kernfs_node *node;

	for (int depth = 0; depth < DEPTH_MOST; depth++) {
		node = GET(cgroup, kn);
		if (GET(node, id) == wanted_cgroup_id)
			return true;
		state = GET(cgroup, self.parent);
		if (!state)
			return false;
		cgroup = GET(state, cgroup);
	}
	return false;
}

static __always_inline bool is_wanted_process(struct task_struct *task, __u32 pid, __u32 uid,
					      bool typed)
{
	if (filter.kinds & FILTER_PIDS && !bpf_map_lookup_elem(&wanted_pids, &pid))
		return false;
	if (filter.kinds & FILTER_UID && uid != filter.uid)
		return false;
	return !(filter.kinds & FILTER_CGROUP) || is_in_cgroup(task, typed);
}

/* Makes it the process of the task.  `of` as in add_process(). */
static __always_inline void set_user(struct user *user, struct task_struct *task, bool typed,
				     struct task_struct *of)
{
	struct place place = { 0 };
	struct kernfs_node *node;
	struct cgroup *cgroup;
	const struct cred *cred;
	struct css_set *set;
	__u32 pid = GET(task, tgid), uid = 0;

	if (needs & PART_UID) {
		cred = GET(task, cred);
		user->uid = uid = GET(cred, euid.val);
	}
	if (needs & PART_CGROUP) {
		set = GET(task, cgroups);
		cgroup = GET(set, dfl_cgrp);
		node = GET(cgroup, kn);
		user->cgroup = GET(node, id);
	}
	user->wanted = is_wanted_process(task, pid, uid, typed);
	if (parts & PART_PROCESS && user->wanted)
		look_for_place(pid, &place, of); /* else it is SLOT_OTHER */
	user->place = *(__u64 *)&place;
}

/* The sockets that were there before.  Whoever used one meanwhile owns it. */
SEC("iter/task_file")
int owners_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct owner *owner;
	struct sock *sk;
	int family, protocol;

	if (!task || !file || task->flags & PF_EXITING)
		return 0;
	if (HAS_STORAGE) {
		socket = bpf_sock_from_file(file);
		if (!socket)
			return 0;
		sk = socket->sk;
		if (!sk)
			return 0;
		family = sk->__sk_common.skc_family;
		protocol = sk->sk_protocol;
	} else {
		if ((file->f_inode->i_mode & S_IFMT) != S_IFSOCK)
			return 0;
		sk = BPF_CORE_READ((struct socket *)file->private_data, sk);
		family = BPF_CORE_READ(sk, __sk_common.skc_family);
		protocol = 0;
	}
	if ((!is_ip(family) && family != AF_PACKET) || OWNER_BY(protocol, sk, FIND))
		return 0;
	owner = OWNER_BY(protocol, sk, CREATE);
	if (!owner)
		return 0;
	set_user(&owner->receiver, task, true, task);
	owner->sender = owner->receiver;
	return 0;
}

/* Counting */

/* The place of the user, as long as a report is still to come that has it. */
static __always_inline bool find_user(const struct user *user, struct place *place)
{
	__u64 known = user->place;
	struct netmon_process *process;

	*place = *(struct place *)&known;
	if (place->index == SLOT_OTHER)
		return true;
	process = bpf_map_lookup_elem(&processes, &place->index);
	return process && process->turn == 2 * (__u64)place->generation &&
	       (!process->ended || process->ended_in == readings);
}

/* Only filters may have needed the rest. */
static __always_inline void leave_packet_parts(struct netmon_key *key)
{
	leave_parts(key);
	if (!(parts & PART_NETNS))
		key->netns = 0;
	if (!(parts & PART_CGROUP))
		key->cgroup = 0;
	if (!(parts & PART_IFACE))
		__builtin_memset(key->iface, 0, sizeof(key->iface));
}

static __always_inline void add_packets(enum direction direction, __u32 index, __u64 bytes,
					__u32 packets)
{
	struct slot *slot = bpf_map_lookup_elem(&packet_stats, &index);
	struct netmon_counters *now = slot ? share_of(slot, bpf_get_smp_processor_id() & share_mask) : NULL;

	if (!now)
		return;
	if (direction == RX) { /* atomic: softirqs come over tasks */
		add(&now->rx_bytes, bytes, true);
		add(&now->rx_calls, packets, true);
	} else {
		add(&now->tx_bytes, bytes, true);
		add(&now->tx_calls, packets, true);
	}
}

/* `its`: what the packets themselves tell; `user`: NULL for the kernel's own.  As those others that are
 * not static, the verifier goes through it once, not once for each state at each call, and with any
 * pointer that may be NULL: see make_static(). */
__noinline int count_packets(enum direction direction, const struct netmon_key *its, __u64 bytes,
			     __u32 packets, struct user *user)
{
	struct place place = { PLACE_KERNEL, 1 };
	struct netmon_key key;
	__u32 index;

	if (!its)
		return 0;
	if (filter.kinds & FILTERS_OF_PROCESS && !(user && user->wanted))
		return 0;
	if (user && parts & PART_PROCESS && !find_user(user, &place)) {
		place = (struct place){ PLACE_KERNEL, 1 };
		user = NULL;
	}
	if (!parts) {
		index = SLOT_ALL;
	} else if (parts == PART_PROCESS || place.index == SLOT_OTHER) {
		index = place.index;
	} else {
		key = *its;
		key.uid = user ? user->uid : NO_UID;
		key.cgroup = user ? user->cgroup : 0;
		if (parts & PART_PROCESS) {
			key.process = place.index;
			key.generation = place.generation;
		}
		leave_packet_parts(&key);
		index = look_for_slot(&key, NULL);
	}
	add_packets(direction, index, bytes, packets);
	return 0;
}

static __always_inline int count_packet(enum direction direction, const struct packet *packet,
					struct user *user)
{
	return count_packets(direction, &packet->key, packet->bytes, packet->packets, user);
}

/* Takes what is held, if nobody else is just doing so. */
static __always_inline void take_held(struct owner *owner, __u64 *bytes, __u32 *packets)
{
	__u64 lock = (__u64)owner, more_bytes;
	__u32 more;

	if (!*(volatile __u32 *)&owner->held.packets ||
	    bpf_map_update_elem(&releasing, &lock, &lock, BPF_NOEXIST))
		return;
	more_bytes = owner->held.bytes;
	more = owner->held.packets;
	__sync_fetch_and_add(&owner->held.bytes, -more_bytes);
	__sync_fetch_and_add(&owner->held.packets, -more);
	bpf_map_delete_elem(&releasing, &lock);
	*bytes += more_bytes;
	*packets += more;
}

/* Counts what was held for who receives now.  Who adds something and sees that nothing is held any
 * more comes here too; if he is kept from taking it, it is there when the other one looks again. */
static __noinline int release(struct owner *owner)
{
	__u64 bytes = 0;
	__u32 packets = 0;

	owner->inherited = 0;
	barrier();
	take_held(owner, &bytes, &packets);
	take_held(owner, &bytes, &packets);
	return packets ? count_packets(RX, &owner->held.key, bytes, packets, &owner->receiver) : 0;
}

static __always_inline void set_current(struct user *user)
{
	const bool typed = bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf);
	struct task_struct *task;

	if (typed)
		task = bpf_get_current_task_btf();
	else
		task = (void *)bpf_get_current_task();
	set_user(user, task, typed, NULL);
}

/* The current process receives or sends on the socket.  Who does one of them first does the
 * other one too, as long as nobody else does. */
static __noinline int received_by(struct owner *owner)
{
	set_current(&owner->receiver);
	owner->received = true;
	if (!owner->sent)
		owner->sender = owner->receiver;
	return 0;
}

static __noinline int sent_by(struct owner *owner)
{
	struct user before = owner->sender;

	set_current(&owner->sender);
	if (before.place != owner->sender.place && owner->sent) {
		owner->before = before;
		owner->boundary = owner->end;
		owner->shared = true;
	}
	owner->sent = true;
	if (!owner->received)
		owner->receiver = owner->sender;
	return 0;
}

/* The place of the current process, as in struct user; 0 where it takes more than a look to know it. */
static __always_inline __u64 current_place(void)
{
	return shows_current ? last_place(find_pid(bpf_get_smp_processor_id())) : 0;
}

/* Where in its stream TCP puts the next byte that is sent. */
static __always_inline bool next_byte(struct sock *sk, __u32 *number)
{
	struct tcp_sock *tcp;

	if (casts) {
		*number = CAST(tcp_sock, sk)->write_seq;
		return true;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp)
		*number = tcp->write_seq;
	return tcp;
}

static __always_inline int use(enum direction direction, struct sock *sk)
{
	struct owner *owner;
	__u64 place;

	/* what kernel TLS sends may be given to TCP by a thread of the kernel's */
	if (tells_sender && direction == TX && sk->sk_protocol == IPPROTO_TCP &&
	    !CAST(inet_connection_sock, sk)->icsk_ulp_ops)
		return 0;
	place = current_place();
	owner = OWNER_BY(sk->sk_protocol, sk, CREATE);
	if (!owner)
		return 0;
	if (direction == RX) {
		if (!owner->received || !place || owner->receiver.place != place)
			received_by(owner);
	} else if (!owner->sent || !place || owner->sender.place != place) {
		sent_by(owner);
	}
	if (owner->inherited || owner->held.packets)
		release(owner);
	if (direction == TX && sk->sk_protocol == IPPROTO_TCP)
		next_byte(sk, &owner->end);
	return 0;
}

/* A call has the socket's lock, and is about to give TCP what it sends: from the next byte on all is
 * its, whoever makes the kernel send that. */
static __always_inline int begins_to_send(struct sock *sk)
{
	__u64 place = current_place();
	struct owner *owner = place ? OWNER(sk, FIND) : NULL;

	if (owner && owner->sent && owner->sender.place == place) {
		next_byte(sk, &owner->end);
		return 0;
	}
	owner = is_user() ? OWNER(sk, CREATE) : NULL;
	if (!owner || !next_byte(sk, &owner->end))
		return 0;
	sent_by(owner);
	return release(owner);
}

/* For each part that it gives; Linux 6.16. */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tcp_sendmsg_locked_btf, struct sock *sk)
{
	return begins_to_send(sk);
}

SEC("fentry/tcp_sendmsg_locked")
int BPF_PROG(tcp_sendmsg_locked_fentry, struct sock *sk)
{
	return begins_to_send(sk);
}

SEC("cgroup/sock_create")
int sock_create_cgroup(struct bpf_sock *sk)
{
	struct owner *owner = OWNER_BY(sk->protocol, sk, RENEW);

	if (!owner)
		return 1; /* let it pass */
	set_current(&owner->receiver);
	owner->sender = owner->receiver;
	return 1;
}

/* Whether the socket of TCP is a subflow of MPTCP, a socket of the kernel's, and the owner of the
 * socket above it, NULL where that is not known.  bpf_skc_to_mptcp_sock() would panic where a
 * subflow is just closed (Linux 6.1). */
static __always_inline bool is_subflow(const void *sk, struct owner **owner)
{
	const struct mptcp_subflow_context *context;
	struct batch *batch = this_batch();
	__u64 above;

	if (!batch || !bpf_core_field_exists(((struct mptcp_subflow_context *)0)->conn))
		return false;
	sk = (const void *)number_of(batch, sk);
	if (!PEEK(tcp_sock, sk, is_mptcp))
		return false;
	context = PEEK(tcp_sock, sk, inet_conn.icsk_ulp_data);
	above = context ? number_of(batch, PEEK(mptcp_subflow_context, context, conn)) : 0;
	if (!above)
		return false;
	*owner = owner_at(above, FIND);
	return true;
}

/* Notes who listens for the connection that this packet accepts. */
static __always_inline void note_answer(struct __sk_buff *skb, const struct owner *listener)
{
	struct batch *batch = this_batch();
	__u64 key;

	if (!batch)
		return;
	key = number_of(batch, skb);
	bpf_map_update_elem(&answers, &key, &listener->sender, BPF_ANY);
}

/* Whether the packet of TCP has something that no finished send has put into the queue: a call
 * may send what waits there of others, or acknowledge what it receives.  A subflow of MPTCP does not
 * tell that: the numbers there are its own. */
static __noinline bool is_new(struct __sk_buff *skb, const struct owner *owner, bool subflow)
{
	struct source source = { .context = skb, .length = skb->len };
	struct packet packet = { 0 };

	if (owner->sent && (subflow || tells_sender))
		return false;
	return read_packet(&source, TX, &packet) && packet.payload &&
	       (!owner->sent || (__s32)(packet.sequence + packet.payload - owner->end) > 0);
}

/* Whether there is nothing to note of who sends, nor of what is held for him. */
static __always_inline bool is_settled(const struct owner *owner, __u32 protocol, bool subflow)
{
	__u64 place;

	if (!owner->sent || owner->inherited || owner->held.packets)
		return false;
	if (protocol == IPPROTO_TCP)
		return subflow || tells_sender;
	place = current_place();
	return place && owner->sender.place == place;
}

/* Whether nobody uses the socket just now: a process locks it to send by these protocols, and what comes
 * from a tunnel's device is received while the task that writes to that is current. */
static __always_inline bool is_unused(struct batch *batch, struct bpf_sock *sk)
{
	if (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_SCTP && sk->protocol != IPPROTO_DCCP)
		return false;
	return !PEEK(sock, (const void *)number_of(batch, sk), sk_lock.owned);
}

/* A packet that leaves its socket while a task makes the kernel send: before the call returns
 * that tells who sends. */
SEC("cgroup_skb/egress")
int skb_egress_cgroup(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct owner *owner;
	struct batch *batch;
	bool subflow;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	subflow = sk->protocol == IPPROTO_TCP && is_subflow(sk, &owner);
	/* the kernel's own, for ICMP and the like, have none */
	if (!subflow)
		owner = OWNER(sk, FIND);
	if (!owner)
		return 1;
	if (sk->state == TCP_LISTEN) {
		note_answer(skb, owner);
		return 1;
	}
	if (is_settled(owner, sk->protocol, subflow) || !is_user())
		return 1;
	batch = this_batch();
	if (!batch || (!subflow && is_unused(batch, sk)))
		return 1;
	/* who makes the kernel acknowledge, or close, has received: calls alone would not do, which
	 * the kernel may skip (Linux 7.0) */
	if (sk->protocol != IPPROTO_TCP || is_new(skb, owner, subflow))
		sent_by(owner);
	else if (owner->inherited)
		received_by(owner);
	release(owner);
	return 1;
}

/* The owner of the socket that a packet is sent from; NULL where there is none. */
static __always_inline struct owner *owner_of(struct sock *sk)
{
	struct owner *owner;

	/* what a process sends by an AF_PACKET socket passes no cgroup */
	if (sk->__sk_common.skc_family != AF_PACKET || !is_user())
		return OWNER(sk, FIND);
	owner = OWNER(sk, CREATE);
	if (owner)
		sent_by(owner);
	return owner;
}

/* Whether all that the packet has to say is what it acknowledges. */
static __always_inline bool is_answer(const struct packet *packet)
{
	return packet->key.proto == IPPROTO_TCP && !packet->payload;
}

/* What TCP has still to send of who sent before is of that one; what only acknowledges is of
 * who receives. */
static __always_inline int count_sent(struct packet *packet, struct owner *owner)
{
	__u32 of_before = owner->boundary - packet->sequence, rest;

	if (is_answer(packet))
		return count_packet(TX, packet, &owner->receiver);
	if (packet->key.proto != IPPROTO_TCP || !owner->shared || (__s32)of_before <= 0)
		return count_packet(TX, packet, &owner->sender);
	if (of_before < packet->payload) {
		rest = packet->payload - of_before;
		packet->bytes -= rest;
		count_packets(TX, &packet->key, rest, 0, &owner->sender);
	}
	return count_packet(TX, packet, &owner->before);
}

static __always_inline int count_xmit(struct packet *packet, struct sk_buff *skb)
{
	struct sock *sk = skb->sk;
	__u64 key = (__u64)skb;
	struct owner *owner;

	if (!sk)
		return count_packet(TX, packet, NULL);
	if (sk->__sk_common.skc_state == TCP_NEW_SYN_RECV)
		return count_packet(TX, packet, bpf_map_lookup_elem(&answers, &key));
	if (sk->__sk_common.skc_state != TCP_TIME_WAIT && sk->sk_protocol == IPPROTO_TCP &&
	    is_subflow(sk, &owner))
		return count_packet(TX, packet, !owner ? NULL : is_answer(packet) ? &owner->receiver
										 : &owner->sender);
	owner = owner_of(sk);
	return owner ? count_sent(packet, owner) : count_packet(TX, packet, NULL);
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(net_dev_start_xmit_btf, struct sk_buff *skb, struct net_device *device)
{
	const unsigned char *head = skb->head;
	struct source source = { .ip = head + skb->network_header };
	struct batch *batch = this_batch();
	struct packet *packet;

	if (!batch || skb->skb_iif || stands_on_others(device))
		return 0;
	source.length = skb->len - (__u32)(source.ip - skb->data);
	read_bundle(&source, skb, head);
	packet = &batch->sending;
	if (!read_packet(&source, TX, packet))
		return 0;
	read_device(packet, device);
	return packet_passes(packet) ? count_xmit(packet, skb) : 0;
}

/* What nobody claimed is the kernel's.  Fragments wait a while for the others.  (Returns nothing of use:
 * such a function has to return a number.) */
__noinline int settle_one(struct batch *batch, __u64 index, __u64 now)
{
	struct arrival *arrival;
	__u32 kept;

	if (!batch)
		return 0;
	arrival = &batch->arrivals[index % BATCH];
	if (!arrival->packet.packets)
		return 0;
	if (!arrival->packet.fragment || now - arrival->time > FRAGMENTS_WAIT)
		return count_packet(RX, &arrival->packet, NULL);
	kept = batch->kept;
	if (kept < BATCH) {
		batch->arrivals[kept] = *arrival;
		batch->kept = kept + 1;
	}
	return 0;
}

static __noinline int settle(struct batch *batch)
{
	__u64 now = bpf_ktime_get_ns();

	batch->kept = 0;
	for (__u32 i = 0; i < BATCH; i++) {
		if (i >= batch->count)
			break;
		settle_one(batch, i, now);
	}
	batch->count = batch->kept;
	return 0;
}

/* Whether protocol, family and addresses are the same: by one comparison, since each is a way more for the
 * verifier. */
static __always_inline bool is_same_pair(const struct netmon_key *a, const struct netmon_key *b)
{
	const __u64 *x = (const __u64 *)a->laddr, *y = (const __u64 *)b->laddr;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (a->proto ^ b->proto) |
		 (a->family ^ b->family));
}

/* How long the datagram is that they make: with one IP header. */
static __always_inline __u64 reassembled(const struct packet *fragments)
{
	__u32 each = fragments->key.family == 4 ? 20 : 48, once = fragments->key.family == 4 ? 20 : 40;

	return fragments->bytes - (__u64)fragments->packets * each + once;
}

/* Whether what has arrived is the packet that a socket gets, a bundle that it may be a part of, or all of
 * its fragments; `adds`: whether the packet is one more of them. */
static __always_inline bool belongs(const struct packet *arrived, const struct packet *packet, bool adds)
{
	if (!arrived->packets || !is_same_pair(&arrived->key, &packet->key))
		return false;
	if (adds)
		return arrived->fragment == packet->fragment;
	if (arrived->fragment)
		return reassembled(arrived) == packet->bytes;
	return arrived->key.lport == packet->key.lport && arrived->key.rport == packet->key.rport &&
	       (arrived->bytes == packet->bytes || arrived->packets > packet->packets);
}

/* The first of STRIDE arrivals, from a multiple of that on, to which the packet belongs; BATCH where there is
 * none.  (A limit that is compared may be seen by the verifier in a copy only, a mask is not.) */
__noinline __u64 find_arrival(struct batch *batch, const struct packet *packet, __u64 first, bool adds)
{
	if (!batch || !packet)
		return BATCH;
	first &= BATCH - STRIDE;
	for (__u64 i = 0; i < STRIDE; i++) {
		if (first + i >= batch->count)
			break;
		if (belongs(&batch->arrivals[first + i].packet, packet, adds))
			return first + i;
	}
	return BATCH;
}

/* The last arrival of this address that is not claimed, since memory is used again; BATCH where there is
 * none.  (What is found lies in memory, where it is any number for the verifier.) */
__noinline __u64 find_skb(struct batch *batch, __u64 skb)
{
	if (!batch)
		return BATCH;
	ANY(batch->found) = BATCH;
	for (__u32 i = 0; i < BATCH; i++) {
		if (i >= batch->count)
			break;
		if (batch->arrivals[i].skb == skb && batch->arrivals[i].packet.packets)
			ANY(batch->found) = i;
	}
	return ANY(batch->found);
}

/* The arrival of this address; NULL where there is none. */
static __always_inline struct packet *arrival_at(struct batch *batch, const void *skb)
{
	__u64 found = find_skb(batch, number_of(batch, skb));

	return found < BATCH ? &batch->arrivals[found & (BATCH - 1)].packet : NULL;
}

/* The first arrival to which the packet belongs; NULL where there is none. */
static __always_inline struct packet *arrival_of(struct batch *batch, const struct packet *packet, bool adds)
{
	__u64 found;

	for (__u32 i = 0; i < BATCH; i += STRIDE) {
		if (i >= batch->count)
			break;
		found = find_arrival(batch, packet, i, adds);
		if (found < BATCH)
			return &batch->arrivals[found].packet;
	}
	return NULL;
}

/* Adds a fragment to those of its datagram, which may go on as the one that came last.  False where it is
 * the first one to come. */
static __noinline bool add_fragment(struct batch *batch, const struct packet *packet, __u64 skb)
{
	struct packet *arrived = arrival_of(batch, packet, true);

	if (!arrived)
		return false;
	arrived->bytes += packet->bytes;
	arrived->packets += packet->packets;
	((struct arrival *)arrived)->skb = skb;
	return true;
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(netif_receive_skb_btf, struct sk_buff *skb)
{
	struct source source = { .ip = skb->data, .length = skb->len };
	struct batch *batch = this_batch();
	struct net_device *device = skb->dev;
	struct packet *packet;
	__u32 index;

	if (!batch || BPF_CORE_READ_BITFIELD(skb, pkt_type) == PACKET_LOOPBACK || stands_on_others(device))
		return 0;
	if (skb->protocol == bpf_htons(ETHERTYPE_VLAN) || skb->protocol == bpf_htons(ETHERTYPE_QINQ)) {
		source.ip += 4;
		source.length -= 4;
	} else if (skb->protocol != bpf_htons(ETHERTYPE_IP) && skb->protocol != bpf_htons(ETHERTYPE_IPV6)) {
		return 0;
	}
	read_bundle(&source, skb, skb->head);
	packet = &batch->arriving;
	if (!read_packet(&source, RX, packet))
		return 0;
	read_device(packet, device);
	if (!packet_passes(packet))
		return 0;
	if (packet->fragment && add_fragment(batch, packet, (__u64)skb))
		return 0;
	index = batch->count;
	if (index >= BATCH)
		return count_packet(RX, packet, NULL);
	batch->arrivals[index].packet = *packet;
	batch->arrivals[index].skb = (__u64)skb;
	batch->arrivals[index].time = bpf_ktime_get_ns();
	batch->count = index + 1;
	return 0;
}

/* Gives up the place of the last one, if nothing of it is left: what comes outside of polls, as from a
 * tunnel's device, is claimed one by one. */
static __always_inline void drop_last(struct batch *batch)
{
	__u32 last = batch->count - 1;

	if (last < BATCH && !batch->arrivals[last & (BATCH - 1)].packet.packets)
		batch->count = last;
}

/* Whether what had its address is the packet, whatever NAT made of its addresses and ports. */
static __always_inline bool is_same_packet(const struct packet *arrived, const struct packet *packet)
{
	return arrived->key.proto == packet->key.proto && arrived->key.family == packet->key.family &&
	       (arrived->fragment ? reassembled(arrived) : arrived->bytes) == packet->bytes;
}

/* Takes what has arrived of the packet that a socket gets, by the address that it has, else by what it
 * says of itself.  A bundle may come to the socket in parts, fragments come as one, and a packet may
 * come to several sockets, of which the first one has it.  False where nothing is left. */
static __noinline bool take_arrival(struct batch *batch, struct packet *packet, const void *skb)
{
	struct packet *arrived = arrival_at(batch, skb);

	if (!arrived || !is_same_packet(arrived, packet))
		arrived = arrival_of(batch, packet, false);
	if (!arrived)
		return false;
	if (arrived->fragment) {
		__builtin_memcpy(packet->key.iface, arrived->key.iface, IFACE_LEN);
		packet->key.netns = arrived->key.netns;
		packet->packets = arrived->packets;
	} else {
		packet->key = arrived->key;
	}
	if (packet->packets > arrived->packets)
		packet->packets = arrived->packets;
	if (packet->bytes > arrived->bytes || packet->packets == arrived->packets)
		packet->bytes = arrived->bytes; /* all that is left */
	arrived->packets -= packet->packets;
	arrived->bytes -= packet->bytes;
	drop_last(batch);
	return true;
}

/* Keeps a packet for who will use its socket. */
static __always_inline void hold(struct owner *owner, const struct packet *packet)
{
	if (!owner->held.packets)
		owner->held.key = packet->key;
	__sync_fetch_and_add(&owner->held.bytes, packet->bytes);
	__sync_fetch_and_add(&owner->held.packets, packet->packets);
	if (!*(volatile __u32 *)&owner->inherited)
		release(owner); /* somebody does just now */
}

/* Counts what came for a connection and made none. */
static __always_inline void settle_early(struct batch *batch)
{
	if (!batch->early.packets)
		return;
	count_packet(RX, &batch->early, &batch->early_user);
	batch->early.packets = 0;
}

/* The owner of what is accepted from a subflow that listens, and does not speak MPTCP. */
static __always_inline void hand_down(struct bpf_sock *sk, const struct owner *above)
{
	struct owner *owner = OWNER(sk, CREATE);

	if (!owner)
		return;
	owner->receiver = owner->sender = above->receiver;
	owner->inherited = 1;
}

SEC("cgroup_skb/ingress")
int skb_ingress_cgroup(struct __sk_buff *skb)
{
	struct source source = { .context = skb, .length = skb->len,
				 .gso_size = skb->gso_size, .gso_segs = skb->gso_segs };
	struct bpf_sock *sk = skb->sk;
	struct batch *batch = this_batch();
	struct packet *packet;
	struct owner *owner;
	bool subflow;

	if (!batch || !sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || (!batch->count && sk->state != TCP_LISTEN))
		return 1;
	packet = &batch->claimed;
	if (!read_packet(&source, RX, packet)) /* first, so that the verifier does so once */
		return 1;
	subflow = sk->protocol == IPPROTO_TCP && is_subflow(sk, &owner);
	if (!subflow)
		owner = OWNER(sk, FIND);
	if (!owner)
		return 1;
	if (sk->state == TCP_LISTEN) {
		settle_early(batch); /* what this packet makes is not of that one */
		owner->inherited = 1; /* by those that are accepted from it */
		batch->listener = owner->receiver;
		if (subflow)
			hand_down(sk, owner);
	}
	if (!take_arrival(batch, packet, skb))
		return 1;
	if (owner->inherited && sk->state != TCP_LISTEN) {
		hold(owner, packet);
	} else if (sk->state == TCP_LISTEN && packet->key.proto == IPPROTO_TCP && packet->payload && !subflow) {
		/* the acknowledgement before it is late or waited for (TCP_DEFER_ACCEPT), or it is not
		 * needed (TCP Fast Open) */
		batch->early = *packet;
		batch->early_user = owner->receiver;
	} else {
		count_packet(RX, packet, is_answer(packet) ? &owner->sender : &owner->receiver);
	}
	return 1;
}

/* The storage of a listening socket goes over to those that are accepted from it.  Without it,
 * they come into being just after that has got a packet (tcp_check_req()). */
static __always_inline void inherit(struct sock *sk)
{
	struct owner *owner = OWNER_BY(sk->sk_protocol, sk, RENEW);
	struct batch *batch = this_batch();

	if (!owner || !batch)
		return;
	owner->receiver = owner->sender = batch->listener;
	owner->inherited = 1;
}

/* The packet that has just made this connection is for who uses it. */
static __always_inline void take_early(struct sock *sk)
{
	struct owner *owner = OWNER(sk, FIND);
	struct batch *batch = this_batch();

	if (!owner || !batch || !batch->early.packets)
		return;
	hold(owner, &batch->early);
	batch->early.packets = 0;
}

/* A connection that is accepted, or that ends and nobody has used. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state_btf, struct sock *sk, int before, int after)
{
	struct owner *owner;

	if (before == TCP_LISTEN && after != TCP_CLOSE &&
	    (!HAS_STORAGE || sk->sk_protocol == IPPROTO_MPTCP))
		inherit(sk);
	if (before == TCP_LISTEN && after == TCP_SYN_RECV && sk->sk_protocol == IPPROTO_TCP)
		take_early(sk);
	/* what accepts makes a socket of its own (sctp_sock_migrate()) */
	if (sk->sk_protocol == IPPROTO_SCTP && after == TCP_ESTABLISHED && sk->sk_lock.owned && is_user() &&
	    (owner = OWNER(sk, RENEW))) {
		set_current(&owner->receiver);
		owner->sender = owner->receiver;
	}
	if (after != TCP_CLOSE || before == TCP_LISTEN)
		return 0;
	owner = OWNER_BY(sk->sk_protocol, sk, FIND);
	if (owner)
		release(owner);
	return 0;
}

SEC("tp_btf/napi_poll")
int BPF_PROG(napi_poll_btf)
{
	struct batch *batch = this_batch();

	if (!batch)
		return 0;
	settle_early(batch);
	if (batch->count)
		settle(batch);
	return 0;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(softirq_entry_btf)
{
	struct batch *batch = this_batch();

	if (batch)
		batch->in_softirq = true;
	return 0;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(softirq_exit_btf)
{
	struct batch *batch = this_batch();

	if (batch)
		batch->in_softirq = false;
	return 0;
}

SEC("tp_btf/net_dev_queue")
int BPF_PROG(net_dev_queue_btf, struct sk_buff *skb)
{
	struct batch *batch;
	struct packet *arrived;

	if (!skb->skb_iif)
		return 0;
	batch = this_batch();
	if (!batch)
		return 0;
	arrived = arrival_at(batch, skb);
	if (arrived)
		arrived->packets = 0;
	drop_last(batch);
	return 0;
}
