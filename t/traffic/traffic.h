/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A generator of exactly known traffic, to compare netmon with.
 *
 * A case is a function that starts its processes by start().  Each process has an account in
 * shared memory, to which sent() and received() add what its calls returned, and not what the case
 * planned to move.  When all processes are done, the first one, which moves no bytes itself, prints
 * the accounts.
 *
 * Any failure ends all processes with a message: must(), needs(), cannot().
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* The command line.  0 if an option is missing: each case has its own defaults. */
struct options {
	int family;              /* AF_INET or AF_INET6 */
	bool linger;             /* stay alive when done */
	uint64_t bytes;
	uint64_t count;
	uint64_t rate;           /* bytes a second */
	double seconds;
	uint64_t processes;
	uint64_t connections;
	char log[256];           /* file name; empty: none */
};

extern struct options options;

enum {
	STANDARD_BYTES = 1234567,
	STANDARD_MOST = 20011,   /* bytes of one call */
	DATAGRAM_MOST = 1400,
	KIB_64 = 64 << 10,
	RECEIVE_BUFFER = 32 << 20,
	PARTS = 8,               /* buffers or messages of one call */
};

static inline uint64_t asked(uint64_t option, uint64_t otherwise)
{
	return option ? option : otherwise;
}

static inline uint64_t bytes_asked(void)
{
	return asked(options.bytes, STANDARD_BYTES);
}

static inline double seconds_asked(double otherwise)
{
	return options.seconds > 0 ? options.seconds : otherwise;
}

/* All calls send from it and receive to it; its contents do not matter. */
enum { BUFFER_SIZE = 1 << 18 };
extern char buffer[BUFFER_SIZE];

/* Irregular sizes of calls, from 1 to `most`, the same in each run; limited to what is left. */
size_t odd_size(unsigned call, size_t most);
size_t at_most(uint64_t left, size_t most);

/* Processes: process.c */

/* End with `traffic: cannot VERB OBJECT: REASON`; the reason is errno, or as given. */
void cannot(const char *verb, const char *object) __attribute__((noreturn));
void cannot_because(const char *verb, const char *object, const char *reason)
	__attribute__((noreturn));

/* End with status 77 and a message that the kernel lacks the feature. */
void missing(const char *feature) __attribute__((noreturn));

/* Returns the result of a call; a negative one ends the run with a message. */
ssize_t must(ssize_t result, const char *verb, const char *object);

/* The same for a call that fails if the kernel lacks the feature. */
ssize_t needs(ssize_t result, const char *verb, const char *feature);

/* Make the shared memory, and the pipes between the first process and the others. */
void processes_open(void);

/* Gives the process the name NAME.TAG.  NAME has at most 11 characters; TAG tells the processes of
 * this run from those of another one, which can have the same names and, later, the same pids. */
void take_name(const char *name);

/* Starts a process with its own account that takes the name, calls run(context) and ends.  Returns
 * its pid.  A process may start others. */
pid_t start(const char *name, void (*run)(void *), void *context);

/* Exempts the process that was just started from --linger. */
void never_linger(void);

/* Goes on as the process with account `index` after an exec; `memory` is its descriptor. */
void continue_process(int memory, unsigned index);
void process_id(int *memory, unsigned *index);

/* Ends the process, which has moved nothing, without an account. */
void withdraw(void) __attribute__((noreturn));

/* The account is complete: ends the process, or lingers. */
void finish(void) __attribute__((noreturn));

/* Waits until all processes are done; if a process fails, ends with its status. */
void processes_wait(const char *what);

/* Waits until the gate was opened `count` times; if a process fails, ends with its status. */
void first_wait(int gate, uint64_t count);

/* Prints the pids of the processes so far, a line each. */
void pids_print(void);

enum agreement {
	SAME,                    /* all that was sent was received */
	NOT_MORE,                /* datagrams can be lost, so less may be received than sent */
	FREE,                    /* no relation: the kernel adds bytes */
};

/* Prints the accounts.  Returns false if they do not agree. */
bool accounts_print(enum agreement agreement);

/* Ends the lingering processes, and waits for all processes. */
void processes_release(void);

/* Limits the time of the whole case. */
void limit_time(void);
void no_limit(void);

/* Add to the account what a call returned, if that is more than 0; return it. */
ssize_t sent(ssize_t result);
ssize_t received(ssize_t result);

/* The same for a system call that can make several calls at the socket. */
ssize_t sent_in_parts(ssize_t result);

/* The same for sendmmsg() and recvmmsg(), where each message is a call.  Return the total bytes,
 * or -1. */
ssize_t sent_messages(const struct mmsghdr *messages, int count);
ssize_t received_messages(const struct mmsghdr *messages, int count);

/* An account for a kernel thread whose only peer is the calling process: it has received what the
 * process has sent, and the reverse, in an unknown number of calls. */
void account_of_peer(pid_t pid, const char *name);

/* Processes wait at a gate until a process opens it; it stays open. */
int gate_new(void);
void gate_open(int gate);
void gate_wait(int gate);

/* A clock of even steps: pace_step() sleeps until the next one. */
struct pace {
	uint64_t next;           /* CLOCK_MONOTONIC, ns */
	uint64_t step;
};
enum { MILLISECOND = 1000000 };
#define SECOND UINT64_C(1000000000)

uint64_t now(void);
void sleep_until(uint64_t time);
void pace_start(struct pace *pace, uint64_t step);
void pace_step(struct pace *pace);

/* Sockets: socket.c */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

socklen_t address_size(const union address *address);
void loopback(union address *address);          /* port 0 */
void use_mapped(void);                          /* loopback() gives ::ffff:127.0.0.1 from now on */
void own_address(int fd, union address *address);

int open_socket(int type, int protocol, const char *feature);
void set_option(int fd, int level, int option, int value, const char *name);
void set_buffer(int fd, int option, int size);
void bind_loopback(int fd);
int listening(int protocol, const char *feature);
int accepted(int listener);
int connected(int listener);                    /* a socket connected to the listener, of the same protocol */
int socket_like(int other);
int datagram_receiver(void);                    /* bound, UDP, with a large buffer */
int datagram_socket(void);
void connect_to(int fd, int receiver);
void many_files(void);                          /* raises the limit of descriptors */

/* Moves this process, and those that it starts, to a new network namespace with loopback up. */
void own_network(void);
void write_setting(const char *path, const char *value, const char *feature);

/* Sends or receives up to `size` bytes by one call, and adds them to the account.  Returns the
 * bytes moved, or -1. */
typedef ssize_t (*call)(int fd, size_t size);

extern union address peer;

ssize_t by_send(int fd, size_t size);
ssize_t by_sendto(int fd, size_t size);        /* to `peer` */
ssize_t by_recv(int fd, size_t size);
ssize_t by_recv_now(int fd, size_t size);      /* does not wait */
ssize_t by_sendmsg(int fd, size_t size);       /* from and to several parts */
ssize_t by_recvmsg(int fd, size_t size);
ssize_t by_sendmmsg(int fd, size_t size);      /* in several messages */
ssize_t by_sendfile(int fd, size_t size);
ssize_t by_splice_in(int fd, size_t size);
ssize_t by_splice_out(int fd, size_t size);

/* Divides the start of the buffer into PARTS parts; if `size` is less than PARTS, some are empty. */
void cut(struct iovec parts[PARTS], size_t size);
ssize_t receive_messages(int fd, int flags);   /* by recvmmsg() */

void send_all(int fd, call send, uint64_t bytes, size_t most);   /* in odd sizes */
void send_even(int fd, call send, uint64_t bytes, size_t size);  /* in equal sizes */
void receive_all(int fd, call receive);                          /* to the end */

/* A stream from one process to another; the members are what cases vary. */
struct stream {
	const char *sender;      /* names of the processes; NULL: tcp-send and tcp-recv */
	const char *receiver;
	int protocol;
	const char *feature;     /* the protocol, if a kernel can lack it */
	bool reverse;            /* the listening side sends */
	bool own_pids;           /* the connecting side is in a new pid namespace */
	bool even;               /* calls of exactly `most` bytes */
	size_t most;             /* bytes of one send; 0: STANDARD_MOST */
	call send;
	call receive;
	int (*connect)(int listener);   /* instead of connected() */
	void (*listener)(int fd);   /* prepares the listening socket, */
	void (*ready)(int fd);      /* each end of the connection, */
	void (*sending)(int fd);    /* or replaces the sends */
	void (*receiving)(int fd);
	void (*sent)(int fd);       /* after the last send */
};

void run_stream(const struct stream *stream);

/* Datagrams from one process to another. */
struct datagrams {
	const char *sender;      /* NULL: udp-send and udp-recv */
	const char *receiver;
	bool connect;            /* the sender's socket */
	size_t most;             /* bytes of one datagram; 0: DATAGRAM_MOST */
	call send;               /* on a connected socket, or to `peer` */
	call receive;            /* must not wait */
	void (*sending)(int fd);
	void (*prepare)(int fd); /* the receiving socket */
	int type;                /* 0: SOCK_DGRAM */
	int protocol;
	const char *feature;     /* the protocol, if a kernel can lack it */
};

void run_datagrams(const struct datagrams *datagrams);

/* Receives until the gate is open and nothing more arrives. */
void receive_until(int fd, int over, call receive);

/* The cases; the table in main.c describes them. */
void tcp_up(void), tcp_down(void);
void tcp_rw(void), tcp_iov(void), tcp_send(void), tcp_msg(void), tcp_mmsg(void);
void tcp_mapped(void), tcp_sendfile(void), tcp_splice_in(void), tcp_splice_out(void);
void tcp_zerocopy_send(void), tcp_zerocopy_recv(void);
void tcp_peek(void), tcp_waitall(void), tcp_trunc(void), tcp_eagain(void), tcp_epipe(void);
void tcp_oob(void), tcp_oob_inline(void), tcp_fastopen(void);
void tcp_ktls_12(void), tcp_ktls_13(void), tcp_ktls_sendfile(void), tcp_ktls_splice_out(void);
void mptcp_send(void), mptcp_splice_out(void);
void udp_sendto(void), udp_connected(void), udp_msg(void), udp_mmsg(void), udp_mapped(void);
void udp_splice(void), udp_gso(void), udp_gro(void), udp_cork(void), udp_peek(void);
void udp_short_buffer(void), udp_zero(void), udp_multicast(void), udp_refused(void);
void life_exec(void), life_rename(void), life_threads(void), life_before(void);
void life_short(void), life_short_tcp(void), life_churn(void), life_fork(void), life_fork_then(void), life_fd_pass(void);
void life_prefork(void), life_reuse(void), life_netns(void);
void kernel_thread(void);
void uring_plain(void), uring_msg(void), uring_polled(void), uring_workers(void);
void uring_zerocopy(void), uring_udp(void);
void ip_ping(void), ip_ping_raw(void), ip_raw(void), ip_packet(void), ip_sock_packet(void);
void sctp_one_to_one(void), sctp_one_to_many(void);
void idle_nothing(void), idle_vsock(void), idle_sockets(void);
void load_steady(void), load_bursty(void), load_bulk(void), load_flood(void);

/* `traffic --after-exec`: the second half of life_exec() */
void after_exec(char *const arguments[]);

#endif
