// SPDX-License-Identifier: GPL-2.0-only
/* What must not be counted: bytes that are no network traffic, and idle sockets.  These calls
 * are not in any account. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <unistd.h>
#include "traffic.h"

#ifndef VMADDR_CID_LOCAL
#define VMADDR_CID_LOCAL 1
#endif

/* nothing */

enum { STREAM, DATAGRAMS, KINDS };

static int pairs[KINDS][2];

static void send_local(int fd)
{
	for (unsigned i = 0; i < asked(options.count, 100); i++)
		must(send(fd, buffer, odd_size(i, DATAGRAM_MOST), 0), "send to", "a local socket");
}

static void receive_local(int fd)
{
	while (must(recv(fd, buffer, KIB_64, 0), "receive from", "a local socket"))
		;
}

static void send_nothing(void *context)
{
	(void)context;
	send_local(pairs[STREAM][0]);
	must(shutdown(pairs[STREAM][0], SHUT_WR), "shut down", "a local socket");
	send_local(pairs[DATAGRAMS][0]);
	must(send(pairs[DATAGRAMS][0], buffer, 0, 0), "send to", "a local socket");   /* the end */
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
	receive_local(pairs[STREAM][1]);
	receive_local(pairs[DATAGRAMS][1]);
	ask_netlink();
}

void idle_nothing(void)
{
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[STREAM]), "open", "a Unix socket");
	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs[DATAGRAMS]), "open", "a Unix socket");
	start("silent-recv", receive_nothing, NULL);
	start("silent-send", send_nothing, NULL);
}

/* nothing-vsock: over the loopback transport, whose module must be loaded */

static void send_to_vsock(void *listener)
{
	struct sockaddr_vm address;
	socklen_t size = sizeof(address);
	int fd = (int)must(socket(AF_VSOCK, SOCK_STREAM, 0), "open", "a vsock socket");

	must(getsockname(*(int *)listener, (struct sockaddr *)&address, &size), "get",
	     "the address of a socket");
	address.svm_cid = VMADDR_CID_LOCAL;
	if (connect(fd, (struct sockaddr *)&address, size)) {
		if (access("/sys/module/vsock_loopback", F_OK))
			missing("vsock_loopback");
		cannot("connect", "a vsock socket");
	}
	send_local(fd);
	close(fd);
}

static void receive_from_vsock(void *listener)
{
	receive_local(accepted(*(int *)listener));
}

void idle_vsock(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY,
				       .svm_port = VMADDR_PORT_ANY };
	int listener = (int)needs(socket(AF_VSOCK, SOCK_STREAM, 0), "open", "vsock");

	must(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind",
	     "a vsock socket");
	must(listen(listener, 1), "listen on", "a vsock socket");
	start("vsock-recv", receive_from_vsock, &listener);
	start("vsock-send", send_to_vsock, &listener);
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
