// SPDX-License-Identifier: GPL-2.0-only
/* io_uring, by its bare system calls; one request at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "traffic.h"

/* Linux 6.0; older headers lack it. */
enum { SEND_ZC = 47, CQE_MORE = 1 << 1, CQE_NOTIFICATION = 1 << 3 };
enum { ENTRIES = 8, IDLE_MS = 5 };

static struct ring {
	int fd;                  /* -1: not yet open */
	bool polled;             /* a kernel thread polls for submissions */
	uint8_t flags;           /* of each request */
	unsigned notifications;  /* still to come */
	unsigned *sq_tail, *sq_mask, *sq_array, *sq_flags;
	unsigned *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring = { .fd = -1 };

static void *map_ring(size_t size, off_t offset)
{
	void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			     ring.fd, offset);

	if (mapping == MAP_FAILED)
		cannot("map", "io_uring");
	return mapping;
}

/* Registers the socket as file 0: with polling, Linux 5.10 accepts registered files only. */
static void register_file(int fd)
{
	must(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, &fd, 1), "register",
	     "a socket with io_uring");
}

static void open_ring(int fd)
{
	struct io_uring_params params = { .flags = ring.polled ? IORING_SETUP_SQPOLL : 0,
					  .sq_thread_idle = IDLE_MS };
	char *sq, *cq;

	ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring.fd < 0 && errno == EPERM)       /* forbidden by a setting, or by Linux 5.10 */
		missing("io_uring");
	needs(ring.fd, "set up", "io_uring");
	sq = map_ring(params.sq_off.array + params.sq_entries * sizeof(unsigned),
		      IORING_OFF_SQ_RING);
	cq = map_ring(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	ring.sqes = map_ring(params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.sq_tail = (unsigned *)(void *)(sq + params.sq_off.tail);
	ring.sq_mask = (unsigned *)(void *)(sq + params.sq_off.ring_mask);
	ring.sq_array = (unsigned *)(void *)(sq + params.sq_off.array);
	ring.sq_flags = (unsigned *)(void *)(sq + params.sq_off.flags);
	ring.cq_head = (unsigned *)(void *)(cq + params.cq_off.head);
	ring.cq_tail = (unsigned *)(void *)(cq + params.cq_off.tail);
	ring.cq_mask = (unsigned *)(void *)(cq + params.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(void *)(cq + params.cq_off.cqes);
	register_file(fd);
}

/* Submits the requests in the ring, and waits for a completion. */
static void enter(unsigned submitted)
{
	unsigned flags = IORING_ENTER_GETEVENTS;

	if (ring.polled) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(ring.sq_flags, __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP)
			flags |= IORING_ENTER_SQ_WAKEUP;
	}
	while (syscall(SYS_io_uring_enter, ring.fd, submitted, 1, flags, NULL, 0) < 0)
		if (errno != EINTR)
			cannot("enter", "io_uring");
}

static void submit(const struct io_uring_sqe *request)
{
	unsigned tail = *ring.sq_tail, index = tail & *ring.sq_mask;

	ring.sqes[index] = *request;
	ring.sq_array[index] = index;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	enter(1);
}

/* Returns the result of the next completion.  Notifications, which only say that a buffer is free
 * again, are counted and skipped. */
static ssize_t answer(void)
{
	for (;;) {
		unsigned head = *ring.cq_head;
		struct io_uring_cqe *cqe = &ring.cqes[head & *ring.cq_mask];
		bool notification;
		ssize_t result;

		if (head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
			enter(0);
			continue;
		}
		result = cqe->res;
		notification = cqe->flags & CQE_NOTIFICATION;
		ring.notifications += (cqe->flags & CQE_MORE) != 0;
		ring.notifications -= notification;
		__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
		if (!notification)
			return result;
	}
}

/* Makes a request on the socket.  Like a system call, returns -1 and sets errno on failure. */
static ssize_t request(int fd, unsigned char operation, void *data, size_t size, unsigned flags)
{
	struct io_uring_sqe sqe = {
		.opcode = operation,
		.flags = IOSQE_FIXED_FILE | ring.flags,
		.addr = (uintptr_t)data,
		.len = (uint32_t)size,
		.msg_flags = flags,
	};
	ssize_t result;

	if (ring.fd < 0)
		open_ring(fd);
	submit(&sqe);
	result = answer();
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static ssize_t by_uring_send(int fd, size_t size)
{
	return sent(request(fd, IORING_OP_SEND, buffer, size, 0));
}

static ssize_t by_uring_recv(int fd, size_t size)
{
	return received(request(fd, IORING_OP_RECV, buffer, size, 0));
}

static ssize_t by_uring_recv_now(int fd, size_t size)
{
	return received(request(fd, IORING_OP_RECV, buffer, size, MSG_DONTWAIT));
}

static ssize_t by_uring_sendmsg(int fd, size_t size)
{
	struct iovec parts[PARTS];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = PARTS };

	cut(parts, size);
	return sent(request(fd, IORING_OP_SENDMSG, &message, 1, 0));
}

static ssize_t by_uring_recvmsg(int fd, size_t size)
{
	struct iovec parts[PARTS];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = PARTS };

	cut(parts, size);
	return received(request(fd, IORING_OP_RECVMSG, &message, 1, 0));
}

static ssize_t by_uring_zerocopy(int fd, size_t size)
{
	ssize_t result = sent(request(fd, SEND_ZC, buffer, size, 0));

	if (result < 0 && errno == EINVAL)
		missing("IORING_OP_SEND_ZC");
	return result;
}

/* The buffers must stay until the last notification has come. */
static void wait_for_notifications(int fd)
{
	(void)fd;
	while (ring.notifications) {
		unsigned head = *ring.cq_head;

		if (head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
			enter(0);
			continue;
		}
		ring.notifications--;
		__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
	}
}

void uring_plain(void)
{
	run_stream(&(struct stream){ .sender = "uring-send", .receiver = "uring-recv",
				     .send = by_uring_send, .receive = by_uring_recv });
}

void uring_msg(void)
{
	run_stream(&(struct stream){ .sender = "uring-send", .receiver = "uring-recv",
				     .send = by_uring_sendmsg, .receive = by_uring_recvmsg });
}

void uring_polled(void)
{
	ring.polled = true;
	uring_plain();
}

void uring_workers(void)
{
	ring.flags = IOSQE_ASYNC;
	uring_plain();
}

void uring_zerocopy(void)
{
	run_stream(&(struct stream){ .sender = "uring-send", .receiver = "uring-recv",
				     .send = by_uring_zerocopy, .receive = by_uring_recv,
				     .sent = wait_for_notifications });
}

void uring_udp(void)
{
	run_datagrams(&(struct datagrams){ .sender = "uring-send", .receiver = "uring-recv",
					   .connect = true, .send = by_uring_send,
					   .receive = by_uring_recv_now });
}
