// SPDX-License-Identifier: GPL-2.0-only
/* What must not be counted: bytes that are no network traffic, and sockets that move none.
 * None of these calls keeps account. */
#define _GNU_SOURCE
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <unistd.h>
#include "traffic.h"

#ifndef VMADDR_CID_LOCAL
#define VMADDR_CID_LOCAL 1
#endif

/* nothing */

enum { STREAM, DATAGRAMS, VSOCK, KINDS };

/* Both ends of each kind; -1 where the kernel has no such thing. */
static int pairs[KINDS][2];

static void make_vsock_pair(int pair[2])
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL,
				       .svm_port = VMADDR_PORT_ANY };
	socklen_t size = sizeof(address);
	int listener = socket(AF_VSOCK, SOCK_STREAM, 0);

	pair[0] = pair[1] = -1;
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &size))
		return;
	pair[0] = (int)must(socket(AF_VSOCK, SOCK_STREAM, 0), "open", "a vsock socket");
	if (connect(pair[0], (struct sockaddr *)&address, size)) {
		close(pair[0]);
		pair[0] = -1;
	} else {
		pair[1] = accepted(listener);
	}
	close(listener);
}

static void send_nothing(void *context)
{
	(void)context;
	for (int kind = 0; kind < KINDS; kind++) {
		int fd = pairs[kind][0];

		if (fd < 0)
			continue;
		for (unsigned i = 0; i < asked(options.count, 100); i++)
			must(send(fd, buffer, odd_size(i, DATAGRAM_MOST), 0), "send to",
			     "a local socket");
		if (kind == DATAGRAMS)
			must(send(fd, buffer, 0, 0), "send to", "a local socket");   /* the end */
		else
			must(shutdown(fd, SHUT_WR), "shut down", "a local socket");
	}
}

static void ask_netlink(void)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
	} request = { { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP }, { AF_UNSPEC } };
	int fd = (int)must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), "open", "netlink");

	must(send(fd, &request, sizeof(request), 0), "send to", "netlink");
	must(recv(fd, buffer, BUFFER_SIZE, 0), "receive from", "netlink");
	close(fd);
}

static void receive_nothing(void *context)
{
	(void)context;
	for (int kind = 0; kind < KINDS; kind++)
		while (pairs[kind][1] >= 0 &&
		       must(recv(pairs[kind][1], buffer, KIB_64, 0), "receive from",
			    "a local socket"))
			;
	ask_netlink();
}

void idle_nothing(void)
{
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[STREAM]), "open", "a Unix socket");
	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs[DATAGRAMS]), "open", "a Unix socket");
	make_vsock_pair(pairs[VSOCK]);
	start("nothing-recv", receive_nothing, NULL);
	start("nothing-send", send_nothing, NULL);
}

/* idle-sockets */

enum { CONNECTIONS = 100 };

static void idle(int listener, int (*open_one)(int))
{
	for (uint64_t i = asked(options.connections, CONNECTIONS); i; i--)
		open_one(listener);
	sleep_until(now() + (uint64_t)(seconds_asked(1) * (double)SECOND));
}

static void idle_accepting(void *listener)
{
	idle(*(int *)listener, accepted);
}

static void idle_connecting(void *listener)
{
	idle(*(int *)listener, connected);
}

void idle_sockets(void)
{
	int listener;

	many_files();
	listener = listening(0, "TCP");
	start("idle-server", idle_accepting, &listener);
	start("idle-client", idle_connecting, &listener);
}
