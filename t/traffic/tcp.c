// SPDX-License-Identifier: GPL-2.0-only
/* TCP and protocols on top of it, by every system call. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include "traffic.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* Plain calls */

static ssize_t by_write(int fd, size_t size)
{
	return sent(write(fd, buffer, size));
}

static ssize_t by_read(int fd, size_t size)
{
	return received(read(fd, buffer, size));
}

static ssize_t by_writev(int fd, size_t size)
{
	struct iovec parts[PARTS];

	cut(parts, size);
	return sent(writev(fd, parts, PARTS));
}

static ssize_t by_readv(int fd, size_t size)
{
	struct iovec parts[PARTS];

	cut(parts, size);
	return received(readv(fd, parts, PARTS));
}

static ssize_t by_recvmmsg(int fd, size_t size)
{
	(void)size;
	return receive_messages(fd, MSG_WAITFORONE);
}

void tcp_rw(void)
{
	run_stream(&(struct stream){ .send = by_write, .receive = by_read });
}

void tcp_iov(void)
{
	run_stream(&(struct stream){ .send = by_writev, .receive = by_readv });
}

void tcp_send(void)
{
	run_stream(&(struct stream){ .send = by_send, .receive = by_recv });
}

void tcp_msg(void)
{
	run_stream(&(struct stream){ .send = by_sendmsg, .receive = by_recvmsg });
}

void tcp_mmsg(void)
{
	run_stream(&(struct stream){ .send = by_sendmmsg, .receive = by_recvmmsg });
}

void tcp_mapped(void)
{
	use_mapped();
	tcp_send();
}

/* Without a buffer */

void tcp_sendfile(void)
{
	run_stream(&(struct stream){ .send = by_sendfile, .receive = by_recv, .most = KIB_64 });
}

void tcp_splice_in(void)
{
	run_stream(&(struct stream){ .send = by_splice_in, .receive = by_recv });
}

void tcp_splice_out(void)
{
	run_stream(&(struct stream){ .receiver = "splice-out", .send = by_send,
				     .receive = by_splice_out });
}

static uint32_t to_complete;    /* sends by MSG_ZEROCOPY without a completion yet */

/* The error queue has completions, as control messages; they are no traffic. */
static void read_completions(int fd)
{
	char control[256];
	struct msghdr message = { .msg_control = control, .msg_controllen = sizeof(control) };
	const struct cmsghdr *header;
	struct sock_extended_err error;

	if (recvmsg(fd, &message, MSG_ERRQUEUE) < 0) {
		if (errno != EAGAIN)
			cannot("read", "the error queue");
		return;
	}
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		cannot_because("read", "the error queue", "no control message");
	memcpy(&error, CMSG_DATA(header), sizeof(error));
	if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
		cannot_because("read", "the error queue", "not a completion");
	to_complete -= error.ee_data - error.ee_info + 1;
}

static void wait_for_completion(int fd)
{
	struct pollfd events = { .fd = fd };

	must(poll(&events, 1, -1), "wait for", "a completion");
	read_completions(fd);
}

static ssize_t by_zerocopy(int fd, size_t size)
{
	ssize_t result;

	while ((result = sent(send(fd, buffer, size, MSG_ZEROCOPY))) < 0 && errno == ENOBUFS &&
	       to_complete)
		wait_for_completion(fd);
	to_complete += result > 0;
	read_completions(fd);
	return result;
}

static void all_completed(int fd)
{
	while (to_complete)
		wait_for_completion(fd);
}

static void allow_zerocopy(int fd)
{
	set_option(fd, SOL_SOCKET, SO_ZEROCOPY, 1, "SO_ZEROCOPY");
}

void tcp_zerocopy_send(void)
{
	run_stream(&(struct stream){ .ready = allow_zerocopy, .send = by_zerocopy,
				     .receive = by_recv, .sent = all_completed });
}

/*
 * TCP_ZEROCOPY_RECEIVE maps whole, aligned pages.  Loopback copies data sent by MSG_ZEROCOPY into
 * new pages, from the start of each segment.  So pages are mapped if the segment size is a
 * multiple of the page size.
 */
enum { PAGE = 4096, TIMESTAMPS = 12, SEGMENT = 7 * PAGE, MAPPED = 64 * PAGE, COPIED = 1500 };

/* Linux 5.10 fills it in up to `error`. */
struct zerocopy_receive {
	uint64_t address;
	uint32_t length;
	uint32_t skip;           /* bytes to receive by another call before pages can be mapped */
	uint32_t queued;
	int32_t error;
	uint64_t copy_address;
	int32_t copy_size;
	uint32_t flags;
	uint64_t control;
	uint64_t control_size;
	uint32_t message_flags;
	uint32_t reserved;
};

static void segments_of_pages(int listener)
{
	set_option(listener, IPPROTO_TCP, TCP_MAXSEG, SEGMENT + TIMESTAMPS, "TCP_MAXSEG");
}

/* One call.  Returns the bytes mapped and copied, or -1. */
static ssize_t map_received(int fd, void *pages, struct zerocopy_receive *request)
{
	socklen_t size = sizeof(*request);
	ssize_t moved;

	*request = (struct zerocopy_receive){
		.address = (uintptr_t)pages, .length = MAPPED,
		.copy_address = (uintptr_t)buffer, .copy_size = COPIED,
	};
	if (getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, request, &size))
		return -1;
	moved = request->length;
	if (size > offsetof(struct zerocopy_receive, copy_size) && request->copy_size > 0)
		moved += request->copy_size;
	return received(moved);
}

static void receive_pages(int fd)
{
	void *pages = mmap(NULL, MAPPED, PROT_READ, MAP_SHARED, fd, 0);
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	struct zerocopy_receive request;
	uint64_t mapped = 0;
	ssize_t moved;

	if (pages == MAP_FAILED)
		needs(-1, "map", "TCP_ZEROCOPY_RECEIVE");
	do {
		must(poll(&readable, 1, -1), "wait for", "a socket");
		moved = map_received(fd, pages, &request);
		if (moved < 0 && errno == EIO)          /* the end */
			break;
		needs(moved, "receive by", "TCP_ZEROCOPY_RECEIVE");
		mapped += request.length;
		if (request.skip || !moved)
			moved = must(by_recv(fd, asked(request.skip, KIB_64)), "receive from",
				     "a socket");
	} while (moved);
	if (!mapped)
		cannot_because("receive by", "TCP_ZEROCOPY_RECEIVE", "no page was mapped");
}

void tcp_zerocopy_recv(void)
{
	run_stream(&(struct stream){ .receiver = "mapped-recv", .listener = segments_of_pages,
				     .ready = allow_zerocopy,
				     .send = by_zerocopy, .sent = all_completed, .even = true,
				     .most = 4 * SEGMENT, .receiving = receive_pages });
}

/* Flags of receives */

static ssize_t by_peek_and_recv(int fd, size_t size)
{
	must(recv(fd, buffer, size, MSG_PEEK), "peek into", "a socket");
	return by_recv(fd, size);
}

static ssize_t by_waiting_for_all(int fd, size_t size)
{
	return received(recv(fd, buffer, size, MSG_WAITALL));
}

static ssize_t by_discarding(int fd, size_t size)
{
	return received(recv(fd, buffer, size, MSG_TRUNC));
}

static void no_delay(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
}

void tcp_peek(void)
{
	run_stream(&(struct stream){ .send = by_send, .receive = by_peek_and_recv });
}

void tcp_waitall(void)
{
	run_stream(&(struct stream){ .ready = no_delay, .most = 997, .send = by_send,
				     .receive = by_waiting_for_all });
}

void tcp_trunc(void)
{
	run_stream(&(struct stream){ .send = by_send, .receive = by_discarding });
}

/* Sends that fail */

static int gate;

/* The receiver waits until the sender has met a full buffer. */
static void send_without_waiting(int fd)
{
	unsigned shorter = 0, refused = 0;
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	uint64_t left = bytes_asked();

	set_option(fd, SOL_SOCKET, SO_SNDBUF, 1, "SO_SNDBUF");
	must(fcntl(fd, F_SETFL, O_NONBLOCK), "set", "a socket to non-blocking");
	while (left) {
		size_t size = at_most(left, 100003);
		ssize_t result = by_send(fd, size);

		if (result >= 0) {
			shorter += (size_t)result < size;
			left -= (uint64_t)result;
			continue;
		}
		if (errno != EAGAIN)
			cannot("send to", "a socket");
		refused++;
		gate_open(gate);
		must(poll(&writable, 1, -1), "wait for", "a socket");
	}
	gate_open(gate);
	if (!shorter || !refused)
		cannot_because("provoke", "short sends", "too few bytes");
}

static void receive_late(int fd)
{
	gate_wait(gate);
	receive_all(fd, by_recv);
}

void tcp_eagain(void)
{
	gate = gate_new();
	run_stream(&(struct stream){ .sending = send_without_waiting,
				     .receiving = receive_late });
}

static void send_to_nobody(int fd)
{
	unsigned failed = 0;

	send_all(fd, by_send, bytes_asked(), STANDARD_MOST);
	gate_wait(gate);
	for (unsigned i = 0; i < 1000 && failed < 10; i++) {
		if (by_send(fd, odd_size(i, STANDARD_MOST)) >= 0)
			continue;
		if (errno != EPIPE && errno != ECONNRESET)
			cannot("send to", "a closed connection");
		failed++;
	}
	if (!failed)
		cannot_because("provoke", "failing sends", "none failed");
}

static void receive_and_close(int fd)
{
	for (uint64_t left = bytes_asked(); left;)
		left -= (uint64_t)must(by_recv(fd, at_most(left, KIB_64)), "receive from",
				       "a socket");
	close(fd);
	gate_open(gate);
}

void tcp_epipe(void)
{
	gate = gate_new();
	run_stream(&(struct stream){ .sending = send_to_nobody, .receiving = receive_and_close });
}

/* Urgent data: each round sends some bytes and an urgent one.  Out of line, the kernel keeps one
 * urgent byte, so the next round waits until it has been received. */

static int turn = -1;

static void take_turn(void)
{
	eventfd_t value;

	if (turn >= 0)
		must(eventfd_read(turn, &value), "read from", "an event descriptor");
}

static void send_urgent(int fd)
{
	for (unsigned i = 0; i < asked(options.count, 100); i++) {
		must(by_send(fd, odd_size(i, 5003)), "send to", "a socket");
		must(sent(send(fd, buffer, 1 + i % 3, MSG_OOB)), "send to", "a socket");
		take_turn();
	}
}

static void receive_urgent(int fd)
{
	struct pollfd urgent = { .fd = fd, .events = POLLPRI };

	while (must(poll(&urgent, 1, -1), "wait for", "urgent data") &&
	       urgent.revents & POLLPRI) {
		must(received(recv(fd, buffer, 1, MSG_OOB)), "receive", "urgent data");
		while (!must(sockatmark(fd), "find", "the urgent mark"))
			must(by_recv(fd, KIB_64), "receive from", "a socket");
		gate_open(turn);
		/* the end of the stream, or the next round */
		urgent.events = POLLPRI | POLLRDHUP;
	}
	receive_all(fd, by_recv);
}

static void take_inline(int fd)
{
	set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE");
}

void tcp_oob(void)
{
	turn = gate_new();
	run_stream(&(struct stream){ .sending = send_urgent, .receiving = receive_urgent });
}

void tcp_oob_inline(void)
{
	run_stream(&(struct stream){ .ready = take_inline, .sending = send_urgent,
				     .receive = by_recv });
}

/* Fast open: without a cookie at both ends, which needs a network namespace with its own settings */

static size_t in_syn;

static void allow_fast_open(int listener)
{
	set_option(listener, IPPROTO_TCP, TCP_FASTOPEN, 16, "TCP_FASTOPEN");
}

static int connect_by_sending(int listener)
{
	union address address;
	int fd = socket_like(listener);

	own_address(listener, &address);
	in_syn = (size_t)needs(sent(sendto(fd, buffer, at_most(bytes_asked(), 1001), MSG_FASTOPEN,
					   &address.any, address_size(&address))),
			       "send by", "TCP fast open");
	return fd;
}

static void send_rest(int fd)
{
	send_all(fd, by_send, bytes_asked() - in_syn, STANDARD_MOST);
}

static void receive_from_syn(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), "get", "TCP_INFO");
	if (!(info.tcpi_options & TCPI_OPT_SYN_DATA))
		cannot_because("receive by", "TCP fast open", "the SYN's data was not accepted");
	receive_all(fd, by_recv);
}

void tcp_fastopen(void)
{
	own_network();
	write_setting("/proc/sys/net/ipv4/tcp_fastopen", "519", "TCP fast open");
	run_stream(&(struct stream){ .listener = allow_fast_open, .connect = connect_by_sending,
				     .sending = send_rest, .receiving = receive_from_syn });
}

/* Kernel TLS, with the same key both ways */

static void tls_option(int fd, int option, const struct tls12_crypto_info_aes_gcm_128 *key)
{
	if (!setsockopt(fd, SOL_TLS, option, key, sizeof(*key)))
		return;
	if (errno == ENOENT || errno == EINVAL)
		missing("kernel TLS with AES-GCM-128");
	needs(-1, "set up", "kernel TLS");
}

static void use_tls(int fd, uint16_t version)
{
	const struct tls12_crypto_info_aes_gcm_128 key = {
		.info = { .version = version, .cipher_type = TLS_CIPHER_AES_GCM_128 },
		.iv = "initial",
		.key = "no secret, this",
		.salt = "abc",
	};

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"))) {
		if (errno == ENOENT)
			missing("kernel TLS");
		needs(-1, "set up", "kernel TLS");
	}
	tls_option(fd, TLS_TX, &key);
	tls_option(fd, TLS_RX, &key);
}

static void use_tls_12(int fd)
{
	use_tls(fd, TLS_1_2_VERSION);
}

static void use_tls_13(int fd)
{
	use_tls(fd, TLS_1_3_VERSION);
}

void tcp_ktls_12(void)
{
	run_stream(&(struct stream){ .ready = use_tls_12, .send = by_send, .receive = by_recv });
}

void tcp_ktls_13(void)
{
	run_stream(&(struct stream){ .ready = use_tls_13, .send = by_send, .receive = by_recv });
}

void tcp_ktls_sendfile(void)
{
	run_stream(&(struct stream){ .ready = use_tls_12, .send = by_sendfile,
				     .receive = by_recv });
}

void tcp_ktls_splice_out(void)
{
	run_stream(&(struct stream){ .receiver = "splice-out", .ready = use_tls_12,
				     .send = by_send, .receive = by_splice_out });
}

/* MPTCP */

void mptcp_send(void)
{
	run_stream(&(struct stream){ .sender = "mptcp-send", .receiver = "mptcp-recv",
				     .protocol = IPPROTO_MPTCP, .feature = "MPTCP",
				     .send = by_send, .receive = by_recv });
}

void mptcp_splice_out(void)
{
	run_stream(&(struct stream){ .sender = "mptcp-send", .receiver = "splice-out",
				     .protocol = IPPROTO_MPTCP, .feature = "MPTCP",
				     .send = by_send, .receive = by_splice_out });
}
