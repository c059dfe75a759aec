// SPDX-License-Identifier: GPL-2.0-only
/* UDP by every system call. */
#define _GNU_SOURCE
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "traffic.h"

/* Plain calls */

static ssize_t by_recvfrom(int fd, size_t size)
{
	union address from;
	socklen_t length = sizeof(from);

	return received(recvfrom(fd, buffer, size, MSG_DONTWAIT, &from.any, &length));
}

static ssize_t by_recvmsg_now(int fd, size_t size)
{
	struct iovec parts[PARTS];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = PARTS };

	cut(parts, size);
	return received(recvmsg(fd, &message, MSG_DONTWAIT));
}

static ssize_t by_recvmmsg_now(int fd, size_t size)
{
	(void)size;
	return receive_messages(fd, MSG_DONTWAIT);
}

void udp_sendto(void)
{
	run_datagrams(&(struct datagrams){ .send = by_sendto, .receive = by_recvfrom });
}

void udp_connected(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_send,
					   .receive = by_recv_now });
}

void udp_msg(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_sendmsg,
					   .receive = by_recvmsg_now });
}

void udp_mmsg(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_sendmmsg,
					   .receive = by_recvmmsg_now, .most = 10007 });
}

void udp_mapped(void)
{
	use_mapped();
	udp_sendto();
}

void udp_splice(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_splice_in,
					   .receive = by_recv_now });
}

/* Several datagrams as one, and the other way round */

enum { SEGMENT = 1201 };

static ssize_t by_segments(int fd, size_t size)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(uint16_t))];
	} control = { .header = { .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT,
				  .cmsg_len = CMSG_LEN(sizeof(uint16_t)) } };
	struct iovec part = { buffer, size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &(uint16_t){ SEGMENT }, sizeof(uint16_t));
	return sent(sendmsg(fd, &message, 0));
}

static void take_bundles(int fd)
{
	set_option(fd, IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO");
}

void udp_gso(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_segments,
					   .receive = by_recv_now, .most = 50021 });
}

void udp_gro(void)
{
	run_datagrams(&(struct datagrams){ .prepare = take_bundles, .connect = true,
					   .send = by_segments, .receive = by_recv_now,
					   .most = 50021 });
}

/* Each round sends one datagram by four calls. */
static void send_corked(int fd)
{
	unsigned step = 0;

	for (uint64_t left = bytes_asked(); left; step++) {
		bool by_option = step / 4 % 2, last = step % 4 == 3;
		size_t size = at_most(left, odd_size(step, DATAGRAM_MOST));

		if (by_option && step % 4 == 0)
			set_option(fd, IPPROTO_UDP, UDP_CORK, 1, "UDP_CORK");
		left -= (uint64_t)must(sent(send(fd, buffer, size,
						 by_option || last || left == size ? 0 : MSG_MORE)),
				       "send to", "a socket");
		if (by_option && (last || !left))
			set_option(fd, IPPROTO_UDP, UDP_CORK, 0, "UDP_CORK");
	}
}

void udp_cork(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .sending = send_corked,
					   .receive = by_recv_now });
}

/* Receives that return another amount than was sent */

static ssize_t by_peek_and_recv(int fd, size_t size)
{
	if (recv(fd, buffer, size, MSG_PEEK | MSG_DONTWAIT) < 0)
		return -1;
	return by_recv_now(fd, size);
}

/* Every second call has MSG_TRUNC, and returns the datagram's length. */
static ssize_t by_short_buffer(int fd, size_t size)
{
	static unsigned turn;
	int flags = MSG_DONTWAIT | (turn++ % 2 ? MSG_TRUNC : 0);

	(void)size;
	return received(recv(fd, buffer, 101, flags));
}

static void send_with_empty_ones(int fd)
{
	for (unsigned i = 0; i < asked(options.count, 300); i++)
		must(by_send(fd, i % 3 ? 0 : odd_size(i, DATAGRAM_MOST)), "send to", "a socket");
}

void udp_peek(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_send,
					   .receive = by_peek_and_recv });
}

void udp_short_buffer(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .send = by_send,
					   .receive = by_short_buffer });
}

void udp_zero(void)
{
	run_datagrams(&(struct datagrams){ .connect = true, .sending = send_with_empty_ones,
					   .receive = by_recv_now });
}

/* multicast */

struct group {
	union address address;
	int fd;                  /* a member's socket */
	int over;
};

static unsigned loopback_index(void)
{
	unsigned index = if_nametoindex("lo");

	if (!index)
		cannot("find", "the loopback interface");
	return index;
}

static void choose_group(union address *address)
{
	loopback(address);
	if (options.family == AF_INET) {
		address->v4.sin_addr.s_addr = htonl(0xeffff00d);       /* 239.255.240.13 */
		return;
	}
	address->v6.sin6_addr = (struct in6_addr){ .s6_addr = { 0xff, 0x02, [15] = 0xfd } };
	address->v6.sin6_scope_id = loopback_index();
}

static int join_group(const union address *group)
{
	int fd = datagram_socket();

	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
	set_buffer(fd, SO_RCVBUF, RECEIVE_BUFFER);
	must(bind(fd, &group->any, address_size(group)), "bind", "a socket to a multicast group");
	if (options.family == AF_INET) {
		struct ip_mreqn request = { .imr_multiaddr = group->v4.sin_addr,
					    .imr_ifindex = (int)loopback_index() };

		must(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)),
		     "join", "a multicast group");
	} else {
		struct ipv6_mreq request = { .ipv6mr_multiaddr = group->v6.sin6_addr,
					     .ipv6mr_interface = loopback_index() };

		must(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof(request)),
		     "join", "a multicast group");
	}
	return fd;
}

static void member_receive(void *context)
{
	const struct group *group = context;

	receive_until(group->fd, group->over, by_recv_now);
}

static void send_to_group(void *context)
{
	const struct group *group = context;
	struct ip_mreqn request = { .imr_ifindex = (int)loopback_index() };
	int fd = datagram_socket();

	if (options.family == AF_INET)
		must(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request)), "set",
		     "IP_MULTICAST_IF");
	else
		set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, request.imr_ifindex,
			   "IPV6_MULTICAST_IF");
	peer = group->address;
	send_all(fd, by_sendto, bytes_asked(), DATAGRAM_MOST);
	gate_open(group->over);
}

/* IPv6 has no multicast route on loopback: adds one, in a namespace. */
static void add_multicast_route(void)
{
	struct in6_rtmsg route = { .rtmsg_dst = { .s6_addr = { 0xff } }, .rtmsg_dst_len = 8,
				   .rtmsg_metric = 256, .rtmsg_flags = RTF_UP | RTF_LOCAL };
	int fd;

	own_network();
	fd = datagram_socket();
	route.rtmsg_ifindex = (int)loopback_index();
	must(ioctl(fd, SIOCADDRT, &route), "add", "a multicast route");
	close(fd);
}

void udp_multicast(void)
{
	struct group group = { .over = gate_new() };

	if (options.family == AF_INET6)
		add_multicast_route();
	choose_group(&group.address);
	for (int i = 0; i < 2; i++) {
		group.fd = join_group(&group.address);
		own_address(group.fd, &group.address);      /* the second member binds the same port */
		start("mcast-recv", member_receive, &group);
	}
	start("mcast-send", send_to_group, &group);
}

/* refused: after a datagram to a closed port, the next call fails */

/* Sends; returns true if the call failed because the datagram before was refused. */
static bool refused(int fd, size_t size)
{
	if (by_send(fd, size) >= 0)
		return false;
	if (errno != ECONNREFUSED)
		cannot("send to", "a closed port");
	return true;
}

/* On a busy machine, the ICMP error might come only after the last datagram. */
static void send_refused(void *context)
{
	int fd = datagram_socket();
	unsigned count = 0;

	(void)context;
	must(connect(fd, &peer.any, address_size(&peer)), "connect", "a socket");
	for (unsigned i = 0; i < asked(options.count, 100); i++)
		count += refused(fd, odd_size(i, DATAGRAM_MOST));
	for (unsigned i = 0; !count && i < 10000; i++) {
		sleep_until(now() + MILLISECOND);
		count += refused(fd, odd_size(i, DATAGRAM_MOST));
	}
	if (!count)
		cannot_because("provoke", "failing sends", "none was refused");
}

void udp_refused(void)
{
	int receiver;

	own_network(); /* no other program can get the port there */
	receiver = datagram_receiver();
	own_address(receiver, &peer);
	close(receiver);
	start("closed-send", send_refused, NULL);
}
