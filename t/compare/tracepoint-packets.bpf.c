// SPDX-License-Identifier: GPL-2.0-only
/* Counts the IP packets that the tracepoints of layer ip show, for each interface, and does
 * nothing else: what the kernel does not show here either, no program could count. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

struct interface {
	char name[16];
};

struct packets {
	__u64 received, sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct interface);
	__type(value, struct packets);
} witnessed SEC(".maps");

static struct packets *packets_of(const struct sk_buff *skb, const struct net_device *device)
{
	const struct packets none = { 0 };
	struct interface interface;

	if (skb->protocol != bpf_htons(0x0800) && skb->protocol != bpf_htons(0x86dd))
		return NULL;
	__builtin_memcpy(&interface, device->name, sizeof(interface));
	bpf_map_update_elem(&witnessed, &interface, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&witnessed, &interface);
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(witness_sent, struct sk_buff *skb, struct net_device *device)
{
	struct packets *packets = packets_of(skb, device);

	if (packets)
		__sync_fetch_and_add(&packets->sent, 1);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(witness_received, struct sk_buff *skb)
{
	struct packets *packets = packets_of(skb, skb->dev);

	if (packets)
		__sync_fetch_and_add(&packets->received, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
