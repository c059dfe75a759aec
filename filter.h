/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a key passes a filter.  The probes use it to leave out what does not pass, and a reader of
 * pinned probes to leave out what they count beyond its filters.  The key does not hold the pid and
 * the cgroup of a filter: probes and reader check them by their own means.
 */
#ifndef FILTER_H
#define FILTER_H

#include <stdbool.h>
#include "netmon.h"

#ifdef __bpf__
#define UNROLL _Pragma("unroll")
#else
#include <arpa/inet.h>
#define bpf_htonl htonl
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define UNROLL
#endif

static __always_inline bool no_address(const __u32 address[4])
{
	return !(address[0] | address[1] | address[2] | address[3]);
}

/* Whether the list of this kind says what to leave out. */
static __always_inline bool leaves_out(const volatile struct netmon_filter *filter, __u32 kind)
{
	return filter->leave_out & kind;
}

static __always_inline bool is_listed(const volatile __u32 *list, __u32 count, __u32 wanted)
{
	UNROLL
	for (__u32 i = 0; i < MAX_LISTED; i++)
		if (i < count && list[i] == wanted)
			return true;
	return false;
}

static __always_inline bool in_net(const volatile struct netmon_network *net, const struct netmon_key *key)
{
	bool in = net->family == key->family && !no_address(key->raddr);

	UNROLL
	for (int i = 0; i < 4; i++)
		in = in && (key->raddr[i] & net->mask[i]) == net->address[i];
	return in;
}

/* Whether the remote address is in a network to count, if there are any, and in none to leave out. */
static __always_inline bool in_nets(const volatile struct netmon_filter *filter,
				    const struct netmon_key *key)
{
	bool in = false, any = false;

	UNROLL
	for (__u32 i = 0; i < MAX_LISTED; i++) {
		if (i >= filter->nets_count)
			break;
		if (!filter->nets[i].leave_out)
			any = true;
		if (!in_net(&filter->nets[i], key))
			continue;
		if (filter->nets[i].leave_out)
			return false;
		in = true;
	}
	return in || !any;
}

static __always_inline bool is_loopback_address(const __u32 address[4], __u8 family)
{
	if (family == 4)
		return (address[0] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return family == 6 && !(address[0] | address[1] | address[2]) && address[3] == bpf_htonl(1);
}

/* A packet to an address of this host never leaves it; its source is that address too.  Where the
 * peer is not known, the local address may tell as much. */
static __always_inline bool is_loopback(const struct netmon_key *key)
{
	const __u32 *a = key->laddr, *b = key->raddr;

	if (is_loopback_address(no_address(b) ? a : b, key->family))
		return true;
	return !no_address(b) && a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline bool user_passes(const volatile struct netmon_filter *filter, __u32 uid)
{
	return is_listed(filter->uids, filter->uids_count, uid) != leaves_out(filter, FILTER_UID);
}

static __always_inline bool is_listed_iface(const volatile struct netmon_filter *filter,
					    const struct netmon_key *key)
{
	UNROLL
	for (__u32 i = 0; i < MAX_LISTED; i++) {
		__u8 differ = i >= filter->ifaces_count;

		UNROLL
		for (int j = 0; j < IFACE_LEN; j++)
			differ |= filter->ifaces[i][j] ^ key->iface[j];
		if (!differ)
			return true;
	}
	return false;
}

/* All kinds but FILTER_PIDS and FILTER_CGROUP. */
static __always_inline bool filter_passes(const volatile struct netmon_filter *filter,
					  const struct netmon_key *key)
{
	__u32 kinds = filter->kinds;

	if (kinds & FILTER_UID && !user_passes(filter, key->uid))
		return false;
	if (kinds & FILTER_PROTO &&
	    is_listed(filter->protos, filter->protos_count, key->proto) ==
		    leaves_out(filter, FILTER_PROTO))
		return false;
	if (kinds & FILTER_PORT &&
	    (is_listed(filter->ports, filter->ports_count, key->lport) ||
	     is_listed(filter->ports, filter->ports_count, key->rport)) ==
		    leaves_out(filter, FILTER_PORT))
		return false;
	if (kinds & FILTER_NET && !in_nets(filter, key))
		return false;
	if (kinds & FILTER_IFACE && is_listed_iface(filter, key) == leaves_out(filter, FILTER_IFACE))
		return false;
	return !(kinds & FILTER_LOOPBACK && is_loopback(key));
}

/* The parts of a key that these kinds need: enum netmon_part. */
static inline __u32 filter_parts(__u32 kinds)
{
	return (kinds & FILTER_UID ? PART_UID : 0) | (kinds & FILTER_PROTO ? PART_PROTO : 0) |
	       (kinds & FILTER_PORT ? PART_LPORT | PART_RPORT : 0) |
	       (kinds & (FILTER_NET | FILTER_LOOPBACK) ? PART_FAMILY | PART_LADDR | PART_RADDR : 0) |
	       (kinds & FILTER_IFACE ? PART_IFACE : 0);
}

#endif
