/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The owners of MPTCP sockets.  Their packets pass the kernel's own sockets, the subflows, and no safe
 * helper leads from those to the storage of the MPTCP socket: its owner is found by its inode.
 * Part of packets.bpf.h.
 */

#define SEES_MPTCP (peeks && bpf_core_type_exists(struct mptcp_subflow_context))

MAP(mptcp_owners, LRU_HASH, 16384, struct netmon_owner, BY(__u64));

/* The inode of the process's end of a struct sock; 0: it has none, before accept(2) or after close(2). */
static __always_inline __u64 inode_of(const void *sk)
{
	const void *socket = PEEK(sock, sk, sk_socket);

	return PEEK(socket_alloc, socket, vfs_inode.i_ino);
}

/* The owner of an MPTCP socket, which a process uses. */
static __always_inline struct netmon_owner *mptcp_get_or_add(const void *sk)
{
	static const struct netmon_owner none = { .is_mptcp = 1 };
	struct netmon_owner *owner;
	__u64 inode = inode_of(sk);

	owner = bpf_map_lookup_elem(&mptcp_owners, &inode);
	if (!owner && inode && !bpf_map_update_elem(&mptcp_owners, &inode, &none, BPF_NOEXIST))
		owner = bpf_map_lookup_elem(&mptcp_owners, &inode);
	return owner;
}

/* If the socket is a subflow whose MPTCP socket has an owner, replaces its own by a copy of that one:
 * for retransmits, and for connections that a listening MPTCP socket accepts without MPTCP.  The two
 * sockets can part at any moment, so each step from one to the other is a read that cannot fault.
 * bpf_skc_to_mptcp_sock() has no such care: Linux 6.1 panicked in it. */
static __always_inline struct netmon_owner *mptcp_copy(struct bpf_sock *sk, struct netmon_owner *owner)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct netmon_owner *above;
	void *context;
	__u64 inode;

	if (!tcp || !BPF_CORE_READ_BITFIELD((struct tcp_sock___netmon *)tcp, is_mptcp))
		return owner;
	context = tcp->inet_conn.icsk_ulp_data;
	inode = inode_of(PEEK(mptcp_subflow_context, context, conn));
	above = bpf_map_lookup_elem(&mptcp_owners, &inode);
	if (!above)
		return owner;
	if (!owner)
		return bpf_sk_storage_get(&owners, sk, above, BPF_SK_STORAGE_GET_F_CREATE);
	*owner = *above;
	return owner;
}
