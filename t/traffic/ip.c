// SPDX-License-Identifier: GPL-2.0-only
/* IP without TCP and UDP: ICMP, raw sockets, SCTP; and frames made by hand. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "traffic.h"

enum { EXPERIMENTAL = 253 };    /* protocol number, RFC 3692 */

/* The Internet checksum.  All parts but the last must have an even size. */
static uint32_t add_up(const void *data, size_t size, uint32_t sum)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* ping: ICMP and ICMPv6 echoes have the same layout */

enum { ECHO_SIZE = 1000, PINGS = 100 };

static bool is_answer(const char *packet, ssize_t size, const struct icmphdr *asked_for, bool raw)
{
	struct icmphdr header;
	ssize_t skip = 0;

	if (raw && options.family == AF_INET)
		skip = (packet[0] & 15) * 4;
	if (size < skip + (ssize_t)sizeof(header))
		return false;
	memcpy(&header, packet + skip, sizeof(header));
	return header.type == (options.family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
	       header.un.echo.sequence == asked_for->un.echo.sequence &&
	       (!raw || header.un.echo.id == asked_for->un.echo.id);
}

/* A raw socket also receives the request, and the ICMP traffic of other programs. */
static void ping(int fd, unsigned sequence, bool raw)
{
	size_t size = asked(options.bytes, ECHO_SIZE);
	struct icmphdr header = {
		.type = options.family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
		.un.echo.id = htons((uint16_t)getpid()),
		.un.echo.sequence = htons((uint16_t)sequence),
	};

	if (size < sizeof(header) || size > KIB_64 - 100)
		cannot_because("make", "an echo request", "no such size");
	memset(buffer, 0, size);
	memcpy(buffer, &header, sizeof(header));
	header.checksum = checksum(add_up(buffer, size, 0));
	if (options.family == AF_INET)          /* the kernel computes that of ICMPv6 */
		memcpy(buffer, &header, sizeof(header));
	must(by_send(fd, size), "send", "an echo request");
	while (!is_answer(buffer, must(by_recv(fd, BUFFER_SIZE), "receive", "an echo"), &header,
			  raw))
		;
}

static int ping_socket(int type)
{
	union address address;
	int fd = open_socket(type, options.family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6,
			     "ICMP sockets");

	loopback(&address);
	must(connect(fd, &address.any, address_size(&address)), "connect", "a socket");
	return fd;
}

static void ping_by(int type)
{
	int fd = ping_socket(type);

	for (unsigned i = 0; i < asked(options.count, PINGS); i++)
		ping(fd, i, type == SOCK_RAW);
}

static void ping_datagrams(void *context)
{
	(void)context;
	ping_by(SOCK_DGRAM);
}

static void ping_raw(void *context)
{
	(void)context;
	ping_by(SOCK_RAW);
}

void ip_ping(void)
{
	own_network();
	write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647", "ping sockets");
	start("ping", ping_datagrams, NULL);
}

void ip_ping_raw(void)
{
	start("ping-raw", ping_raw, NULL);
}

void ip_raw(void)
{
	run_datagrams(&(struct datagrams){ .sender = "raw-send", .receiver = "raw-recv",
					   .type = SOCK_RAW, .protocol = EXPERIMENTAL,
					   .feature = "raw sockets", .connect = true,
					   .send = by_send, .receive = by_recv_now });
}

/* SCTP */

void sctp_one_to_one(void)
{
	run_stream(&(struct stream){ .sender = "sctp-send", .receiver = "sctp-recv",
				     .protocol = IPPROTO_SCTP, .feature = "SCTP",
				     .send = by_send, .receive = by_recv });
}

static void take_associations(int fd)
{
	needs(listen(fd, SOMAXCONN), "listen on", "SCTP");
}

void sctp_one_to_many(void)
{
	run_datagrams(&(struct datagrams){ .sender = "sctp-send", .receiver = "sctp-recv",
					   .type = SOCK_SEQPACKET, .protocol = IPPROTO_SCTP,
					   .feature = "SCTP", .prepare = take_associations,
					   .send = by_sendto, .receive = by_recv_now });
}

/* Frames: a UDP datagram in an IP packet in an Ethernet frame, by AF_PACKET */

enum { FRAMES = 400, TTL = 64 };

struct frame {
	struct ether_header ethernet;
	union {
		struct {
			struct iphdr ip;
			struct udphdr udp;
			char payload[DATAGRAM_MOST];
		} __attribute__((packed)) v4;
		struct {
			struct ip6_hdr ip;
			struct udphdr udp;
			char payload[DATAGRAM_MOST];
		} __attribute__((packed)) v6;
	} packet;
} __attribute__((packed));

/* The pseudo headers of both IP versions differ in the addresses only. */
static struct udphdr udp_header(uint32_t addresses, in_port_t port, size_t payload)
{
	struct udphdr header = { .source = htons(9), .dest = port,
				 .len = htons((uint16_t)(sizeof(header) + payload)) };

	addresses += IPPROTO_UDP + (uint32_t)(sizeof(header) + payload);
	header.check = checksum(add_up(&header, sizeof(header), addresses));   /* of zeros */
	return header;
}

static size_t make_v4(struct frame *frame, size_t payload)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = TTL, .protocol = IPPROTO_UDP,
			    .tot_len = htons((uint16_t)(sizeof(ip) + sizeof(struct udphdr) +
							payload)),
			    .saddr = peer.v4.sin_addr.s_addr, .daddr = peer.v4.sin_addr.s_addr };

	ip.check = checksum(add_up(&ip, sizeof(ip), 0));
	frame->packet.v4.ip = ip;
	frame->packet.v4.udp = udp_header(add_up(&ip.saddr, 8, 0), peer.v4.sin_port, payload);
	return ntohs(ip.tot_len);
}

static size_t make_v6(struct frame *frame, size_t payload)
{
	struct ip6_hdr ip = { .ip6_src = peer.v6.sin6_addr, .ip6_dst = peer.v6.sin6_addr };

	ip.ip6_vfc = 6 << 4;
	ip.ip6_hlim = TTL;
	ip.ip6_nxt = IPPROTO_UDP;
	ip.ip6_plen = htons((uint16_t)(sizeof(struct udphdr) + payload));
	frame->packet.v6.ip = ip;
	frame->packet.v6.udp = udp_header(add_up(&ip.ip6_src, 32, 0), peer.v6.sin6_port, payload);
	return sizeof(ip) + sizeof(struct udphdr) + payload;
}

static ssize_t send_to_link(int fd, void *data, size_t size, struct sockaddr_ll *link, bool msg)
{
	struct iovec part = { data, size };
	struct msghdr message = { .msg_name = link, .msg_namelen = sizeof(*link),
				  .msg_iov = &part, .msg_iovlen = 1 };

	if (msg)
		return sent(sendmsg(fd, &message, 0));
	return sent(sendto(fd, data, size, 0, (struct sockaddr *)link, sizeof(*link)));
}

static void send_frames(int udp)
{
	uint16_t type = htons(options.family == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = type,
				    .sll_ifindex = (int)if_nametoindex("lo"), .sll_halen = 6 };
	int whole = (int)needs(socket(AF_PACKET, SOCK_RAW, 0), "open", "packet sockets");
	int packets = (int)needs(socket(AF_PACKET, SOCK_DGRAM, 0), "open", "packet sockets");
	struct frame frame = { .ethernet.ether_type = type };

	(void)udp;
	for (unsigned i = 0; i < asked(options.count, FRAMES); i++) {
		size_t payload = odd_size(i, sizeof(frame.packet.v6.payload));
		size_t size = (options.family == AF_INET ? make_v4 : make_v6)(&frame, payload);

		if (i % 2)
			must(send_to_link(packets, &frame.packet, size, &link, i % 4 == 1), "send",
			     "a packet");
		else
			must(send_to_link(whole, &frame, sizeof(frame.ethernet) + size, &link,
					  i % 4 == 0), "send", "a frame");
	}
}

/* SOCK_PACKET, as before Linux 2.2: the interface by its name, and its own sendmsg in the kernel */
static void send_frames_by_name(int udp)
{
	uint16_t type = htons(options.family == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	struct sockaddr_pkt link = { .spkt_family = AF_PACKET, .spkt_device = "lo", .spkt_protocol = type };
	int fd = (int)needs(socket(AF_PACKET, SOCK_PACKET, 0), "open", "packet sockets");
	struct frame frame = { .ethernet.ether_type = type };

	(void)udp;
	for (unsigned i = 0; i < asked(options.count, FRAMES); i++) {
		size_t payload = odd_size(i, sizeof(frame.packet.v6.payload));
		size_t size = (options.family == AF_INET ? make_v4 : make_v6)(&frame, payload);

		must(sent(sendto(fd, &frame, sizeof(frame.ethernet) + size, 0, (struct sockaddr *)&link,
				 sizeof(link))), "send", "a frame");
	}
}

static void run_frames(const struct datagrams *datagrams)
{
	own_network();
	/* by default IPv4 drops packets on loopback that it has not sent itself */
	write_setting("/proc/sys/net/ipv4/conf/lo/route_localnet", "1", "route_localnet");
	write_setting("/proc/sys/net/ipv4/conf/lo/accept_local", "1", "accept_local");
	run_datagrams(datagrams);
}

void ip_packet(void)
{
	run_frames(&(struct datagrams){ .sender = "packet-send", .receiver = "packet-recv",
					.sending = send_frames, .receive = by_recv_now });
}

void ip_sock_packet(void)
{
	run_frames(&(struct datagrams){ .sender = "spkt-send", .receiver = "spkt-recv",
					.sending = send_frames_by_name, .receive = by_recv_now });
}
