// SPDX-License-Identifier: GPL-2.0-only
/* Empty programs on netmon's hooks, for each way to attach: the least that any probe costs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define RETURNS(number, section, name)                                                     \
	SEC(section)                                                                       \
	int name(void *ctx)                                                                \
	{                                                                                  \
		return number;                                                             \
	}
#define EMPTY(section, name) RETURNS(0, section, name)
#define PASS(section, name) RETURNS(1, section, name)

EMPTY("tp_btf/sock_send_length", send_btf)
EMPTY("tp_btf/sock_recv_length", recv_btf)
EMPTY("tracepoint/sock/sock_send_length", send_classic)
EMPTY("tracepoint/sock/sock_recv_length", recv_classic)
EMPTY("fexit/inet_sendmsg", send_fexit)
EMPTY("fexit/inet_recvmsg", recv_fexit)
EMPTY("kretprobe/inet_sendmsg", send_kprobe)
EMPTY("kretprobe/inet_recvmsg", recv_kprobe)
PASS("cgroup_skb/ingress", packet_in)
PASS("cgroup_skb/egress", packet_out)
PASS("cgroup/sock_create", socket_made)

char LICENSE[] SEC("license") = "GPL";
