/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the headers of an IP packet say: IPv4's with its options (RFC 791), or IPv6's with its
 * extensions (RFC 8200), then the transport protocol's.  Part of packets.bpf.h.
 */

enum { IPPROTO_HOPOPTS = 0, IPPROTO_ROUTING = 43, IPPROTO_FRAGMENT = 44, IPPROTO_DSTOPTS = 60 };
enum { EXTENSIONS_MOST = 6 };

struct netmon_headers {
	__u32 from[4], to[4];
	__u16 from_port, to_port; /* 0: the protocol has none, or they are in an earlier fragment */
	__u16 proto;
	__u16 family;             /* 4 or 6 */
	__u32 length;             /* in bytes, of all that each segment of a bundle repeats */
};

/* Skips IPv6's extensions: adds their length to `offset`, and sets `next` to the protocol after them.
 * Returns whether this is a fragment without the transport header. */
static __always_inline bool skip_extensions(struct __sk_buff *skb, __u32 *offset, __u8 *next)
{
	struct { __u8 next, length; __u16 offset; } extension = { 0 };
	bool later = false;

	for (int i = 0; i < EXTENSIONS_MOST; i++) {
		bool fragment = *next == IPPROTO_FRAGMENT;

		if (!fragment && *next != IPPROTO_HOPOPTS && *next != IPPROTO_ROUTING &&
		    *next != IPPROTO_DSTOPTS)
			break;
		if (bpf_skb_load_bytes(skb, *offset, &extension, sizeof(extension)))
			break;
		/* a fragment's has no length, but a byte that the sender may set */
		*offset += fragment ? 8 : (extension.length + 1) * 8;
		later |= fragment && extension.offset & bpf_htons(0xfff8);
		*next = extension.next;
	}
	return later;
}

static __always_inline __u32 transport_length(struct __sk_buff *skb, __u8 proto, __u32 offset)
{
	__u8 length = 0;

	if (proto != IPPROTO_TCP)
		return proto == IPPROTO_SCTP ? 12 : sizeof(struct udphdr);
	bpf_skb_load_bytes(skb, offset + 12, &length, 1);
	return (length >> 4) * 4;
}

/* Fills in what the packet has; `headers` begin with 0. */
static __noinline int read_headers(struct netmon_headers *headers, struct __sk_buff *skb)
{
	struct ipv6hdr ip6 = { 0 };
	struct iphdr ip4 = { 0 };
	__u16 ports[2] = { 0 };
	__u32 offset;
	bool later;
	__u8 next;

	if (skb->protocol == bpf_htons(ETHERTYPE_IP)) {
		bpf_skb_load_bytes(skb, 0, &ip4, sizeof(ip4));
		headers->family = 4;
		headers->from[0] = ip4.saddr;
		headers->to[0] = ip4.daddr;
		next = ip4.protocol;
		offset = ip4.ihl * 4;
		later = ip4.frag_off & bpf_htons(0x1fff);
	} else {
		bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6));
		headers->family = 6;
		__builtin_memcpy(headers->from, &ip6.saddr, sizeof(headers->from));
		__builtin_memcpy(headers->to, &ip6.daddr, sizeof(headers->to));
		next = ip6.nexthdr;
		offset = sizeof(ip6);
		later = skip_extensions(skb, &offset, &next);
	}
	headers->proto = next == ICMPV6 ? IPPROTO_ICMP : next;
	if (has_ports(next) && !later)
		bpf_skb_load_bytes(skb, offset, ports, sizeof(ports));
	headers->from_port = bpf_ntohs(ports[0]);
	headers->to_port = bpf_ntohs(ports[1]);
	if (skb->gso_size)
		headers->length = offset + transport_length(skb, next, offset);
	return 0;
}
