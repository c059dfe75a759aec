// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs on the hooks of layer ip that do the least of what it is built on: each finds the storage of
 * its socket, and those of packets add twice to what is there, atomically.  No key, filter or table.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64[2]);
} owners SEC(".maps");

static __always_inline int count(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u64 *counters = sk ? bpf_sk_storage_get(&owners, sk, NULL, 0) : NULL;

	if (counters) {
		__sync_fetch_and_add(&counters[0], skb->len);
		__sync_fetch_and_add(&counters[1], 1);
	}
	return 1; /* let it pass */
}

SEC("cgroup_skb/ingress")
int packet_in(struct __sk_buff *skb)
{
	return count(skb);
}

SEC("cgroup_skb/egress")
int packet_out(struct __sk_buff *skb)
{
	return count(skb);
}

SEC("cgroup/sock_create")
int socket_made(struct bpf_sock *sk)
{
	bpf_sk_storage_get(&owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	return 1;
}

#define USES(section, name, type, sk)                                                      \
	SEC(section)                                                                       \
	int BPF_PROG(name, struct type *used)                                              \
	{                                                                                  \
		bpf_sk_storage_get(&owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);        \
		return 0;                                                                  \
	}

USES("tp_btf/sock_send_length", send_btf, sock, used)
USES("tp_btf/sock_recv_length", recv_btf, sock, used)
USES("fexit/inet_sendmsg", send_fexit, socket, used->sk)
USES("fexit/inet_recvmsg", recv_fexit, socket, used->sk)

char LICENSE[] SEC("license") = "GPL";
