// SPDX-License-Identifier: GPL-2.0-only
/* Sockets on loopback, and the two patterns of most cases: a stream, and datagrams. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <unistd.h>
#include "traffic.h"

enum { QUIET_MS = 100 };

/* Addresses */

socklen_t address_size(const union address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

static struct in6_addr loopback_6 = IN6ADDR_LOOPBACK_INIT;

void use_mapped(void)
{
	options.family = AF_INET6;
	must(inet_pton(AF_INET6, "::ffff:127.0.0.1", &loopback_6), "read", "an address");
}

void loopback(union address *address)
{
	memset(address, 0, sizeof(*address));
	address->any.sa_family = (sa_family_t)options.family;
	if (options.family == AF_INET6)
		address->v6.sin6_addr = loopback_6;
	else
		address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

void own_address(int fd, union address *address)
{
	socklen_t size = sizeof(*address);

	must(getsockname(fd, &address->any, &size), "get", "the address of a socket");
}

/* Sockets */

int open_socket(int type, int protocol, const char *feature)
{
	return (int)needs(socket(options.family, type, protocol), "open", feature);
}

void set_option(int fd, int level, int option, int value, const char *name)
{
	needs(setsockopt(fd, level, option, &value, sizeof(value)), "set", name);
}

/* Exceeds the limit in net.core if privileged. */
void set_buffer(int fd, int option, int size)
{
	int force = option == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;

	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)))
		set_option(fd, SOL_SOCKET, option, size, "the buffer size of a socket");
}

void bind_loopback(int fd)
{
	union address address;

	loopback(&address);
	if (!bind(fd, &address.any, address_size(&address)))
		return;
	if (errno == EADDRNOTAVAIL && options.family == AF_INET6)
		missing("IPv6");
	cannot("bind", "a socket to the loopback address");
}

static int listening_after(int protocol, const char *feature, void (*prepare)(int fd))
{
	int fd = open_socket(SOCK_STREAM, protocol, feature);

	bind_loopback(fd);
	if (prepare)
		prepare(fd);
	needs(listen(fd, SOMAXCONN), "listen on", feature);
	return fd;
}

int listening(int protocol, const char *feature)
{
	return listening_after(protocol, feature, NULL);
}

int accepted(int listener)
{
	int fd;

	do
		fd = accept(listener, NULL, NULL);
	while (fd < 0 && errno == EINTR);
	return (int)must(fd, "accept", "a connection");
}

int socket_like(int other)
{
	int protocol, type;
	socklen_t size = sizeof(int);

	must(getsockopt(other, SOL_SOCKET, SO_PROTOCOL, &protocol, &size), "get", "a protocol");
	must(getsockopt(other, SOL_SOCKET, SO_TYPE, &type, &size), "get", "a socket's type");
	return open_socket(type, protocol, "a socket");
}

void connect_to(int fd, int receiver)
{
	union address address;

	own_address(receiver, &address);
	must(connect(fd, &address.any, address_size(&address)), "connect", "a socket");
}

int connected(int listener)
{
	int fd = socket_like(listener);

	connect_to(fd, listener);
	return fd;
}

static int bound(int type, int protocol, const char *feature)
{
	int fd = open_socket(type, protocol, feature);

	set_buffer(fd, SO_RCVBUF, RECEIVE_BUFFER);
	bind_loopback(fd);
	return fd;
}

int datagram_receiver(void)
{
	return bound(SOCK_DGRAM, 0, "UDP");
}

int datagram_socket(void)
{
	return open_socket(SOCK_DGRAM, 0, "UDP");
}

void many_files(void)
{
	struct rlimit limit;

	must(getrlimit(RLIMIT_NOFILE, &limit), "get", "the limit of open files");
	limit.rlim_cur = limit.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &limit), "raise", "the limit of open files");
}

/* Networks */

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM, 0), "open", "a socket");

	must(ioctl(fd, SIOCSIFFLAGS, &request), "raise", "the loopback interface");
	close(fd);
}

void own_network(void)
{
	must(unshare(CLONE_NEWNET), "make", "a network namespace");
	loopback_up();
}

void write_setting(const char *path, const char *value, const char *feature)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		missing(feature);
	must(fd, "open", path);
	must(write(fd, value, strlen(value)), "write to", path);
	close(fd);
}

/* Calls */

union address peer;

ssize_t by_send(int fd, size_t size)
{
	return sent(send(fd, buffer, size, 0));
}

ssize_t by_sendto(int fd, size_t size)
{
	return sent(sendto(fd, buffer, size, 0, &peer.any, address_size(&peer)));
}

ssize_t by_recv(int fd, size_t size)
{
	return received(recv(fd, buffer, size, 0));
}

ssize_t by_recv_now(int fd, size_t size)
{
	return received(recv(fd, buffer, size, MSG_DONTWAIT));
}

void cut(struct iovec parts[PARTS], size_t size)
{
	char *next = buffer;

	for (int i = 0; i < PARTS; i++) {
		parts[i].iov_base = next;
		parts[i].iov_len = (size_t)(i + 1) * size / PARTS - (size_t)i * size / PARTS;
		next += parts[i].iov_len;
	}
}

ssize_t by_sendmsg(int fd, size_t size)
{
	struct iovec parts[PARTS];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = PARTS };

	cut(parts, size);
	return sent(sendmsg(fd, &message, 0));
}

ssize_t by_recvmsg(int fd, size_t size)
{
	struct iovec parts[PARTS];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = PARTS };

	cut(parts, size);
	return received(recvmsg(fd, &message, 0));
}

/* A message for each part of the buffer that is not empty. */
static unsigned make_messages(struct mmsghdr messages[PARTS], struct iovec parts[PARTS],
			      size_t size)
{
	unsigned count = 0;

	cut(parts, size);
	for (int i = 0; i < PARTS; i++)
		if (parts[i].iov_len)
			messages[count++] = (struct mmsghdr){
				.msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
	return count;
}

ssize_t by_sendmmsg(int fd, size_t size)
{
	struct mmsghdr messages[PARTS];
	struct iovec parts[PARTS];
	unsigned count = make_messages(messages, parts, size);

	return sent_messages(messages, sendmmsg(fd, messages, count, 0));
}

ssize_t receive_messages(int fd, int flags)
{
	struct mmsghdr messages[PARTS];
	struct iovec parts[PARTS];
	unsigned count = make_messages(messages, parts, BUFFER_SIZE);

	return received_messages(messages, recvmmsg(fd, messages, count, flags, NULL));
}

static int file_in_memory(void)
{
	int fd = (int)must(memfd_create("file", MFD_CLOEXEC), "create", "a file");

	must(ftruncate(fd, BUFFER_SIZE), "create", "a file");
	return fd;
}

ssize_t by_sendfile(int fd, size_t size)
{
	static int file = -1;
	off_t offset = 0;

	if (file < 0)
		file = file_in_memory();
	return sent_in_parts(sendfile(fd, file, &offset, size));
}

/* Fills the pipe, and empties it to the socket as far as the socket accepts. */
ssize_t by_splice_in(int fd, size_t size)
{
	static int pipes[2] = { -1, -1 };
	static size_t waiting;
	ssize_t moved;

	if (pipes[0] < 0)
		must(pipe(pipes), "create", "a pipe");
	if (!waiting)
		waiting = (size_t)must(write(pipes[1], buffer, at_most(size, KIB_64)), "write to",
				       "a pipe");
	moved = must(sent_in_parts(splice(pipes[0], NULL, fd, NULL, waiting, 0)), "splice to",
		     "a socket");
	waiting -= (size_t)moved;
	return moved;
}

ssize_t by_splice_out(int fd, size_t size)
{
	static int pipes[2] = { -1, -1 };
	ssize_t moved;

	if (pipes[0] < 0)
		must(pipe(pipes), "create", "a pipe");
	moved = received(splice(fd, NULL, pipes[1], NULL, at_most(size, KIB_64), 0));
	for (ssize_t left = moved; left > 0;)
		left -= must(read(pipes[0], buffer, (size_t)left), "read from", "a pipe");
	return moved;
}

void send_all(int fd, call send, uint64_t bytes, size_t most)
{
	for (unsigned i = 0; bytes; i++)
		bytes -= (uint64_t)must(send(fd, at_most(bytes, odd_size(i, most))), "send to",
					"a socket");
}

void send_even(int fd, call send, uint64_t bytes, size_t size)
{
	while (bytes)
		bytes -= (uint64_t)must(send(fd, at_most(bytes, size)), "send to", "a socket");
}

void receive_all(int fd, call receive)
{
	while (must(receive(fd, KIB_64), "receive from", "a socket"))
		;
}

/* Streams */

struct end {
	const struct stream *stream;
	int listener;
};

static void stream_send(const struct stream *stream, int fd)
{
	uint64_t bytes = bytes_asked();
	size_t most = asked(stream->most, STANDARD_MOST);

	if (stream->sending)
		stream->sending(fd);
	else if (stream->even)
		send_even(fd, stream->send, bytes, most);
	else
		send_all(fd, stream->send, bytes, most);
	if (stream->sent)
		stream->sent(fd);
	shutdown(fd, SHUT_WR);
}

static void stream_receive(const struct stream *stream, int fd)
{
	if (stream->receiving)
		stream->receiving(fd);
	else
		receive_all(fd, stream->receive);
}

static void connecting(void *context)
{
	const struct end *end = context;
	int fd = (end->stream->connect ? end->stream->connect : connected)(end->listener);

	if (end->stream->ready)
		end->stream->ready(fd);
	(end->stream->reverse ? stream_receive : stream_send)(end->stream, fd);
	close(fd);
}

static void accepting(void *context)
{
	const struct end *end = context;
	int fd = accepted(end->listener);

	if (end->stream->ready)
		end->stream->ready(fd);
	(end->stream->reverse ? stream_send : stream_receive)(end->stream, fd);
	close(fd);
}

void run_stream(const struct stream *stream)
{
	const char *sender = stream->sender ? stream->sender : "tcp-send";
	const char *receiver = stream->receiver ? stream->receiver : "tcp-recv";
	const char *feature = stream->feature ? stream->feature : "TCP";
	struct end end = { stream, listening_after(stream->protocol, feature, stream->listener) };

	start(stream->reverse ? sender : receiver, accepting, &end);
	if (stream->own_pids)
		must(unshare(CLONE_NEWPID), "make", "a pid namespace");
	start(stream->reverse ? receiver : sender, connecting, &end);
}

/* Datagrams */

void receive_until(int fd, int over, call receive)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = over, .events = POLLIN } };

	for (;;) {
		/* once the gate is open, wait for data in flight */
		bool closing = fds[1].revents & POLLIN;

		if (poll(fds, closing ? 1 : 2, closing ? QUIET_MS : -1) == 0)
			return;
		if (!(fds[0].revents & POLLIN))
			continue;
		while (receive(fd, BUFFER_SIZE) >= 0)
			;
		if (errno != EAGAIN)
			cannot("receive from", "a socket");
	}
}

struct datagram_end {
	const struct datagrams *datagrams;
	int receiver;
	int over;
};

static void datagrams_send(void *context)
{
	const struct datagram_end *end = context;
	const struct datagrams *datagrams = end->datagrams;
	int fd = socket_like(end->receiver);

	own_address(end->receiver, &peer);
	if (datagrams->connect)
		connect_to(fd, end->receiver);
	if (datagrams->sending)
		datagrams->sending(fd);
	else
		send_all(fd, datagrams->send, bytes_asked(),
			 asked(datagrams->most, DATAGRAM_MOST));
	gate_open(end->over);
}

static void datagrams_receive(void *context)
{
	const struct datagram_end *end = context;

	receive_until(end->receiver, end->over, end->datagrams->receive);
}

void run_datagrams(const struct datagrams *datagrams)
{
	int type = datagrams->type ? datagrams->type : SOCK_DGRAM;
	const char *feature = datagrams->feature ? datagrams->feature : "UDP";
	struct datagram_end end = { datagrams, bound(type, datagrams->protocol, feature),
				    gate_new() };

	if (datagrams->prepare)
		datagrams->prepare(end.receiver);
	start(datagrams->receiver ? datagrams->receiver : "udp-recv", datagrams_receive, &end);
	start(datagrams->sender ? datagrams->sender : "udp-send", datagrams_send, &end);
}
