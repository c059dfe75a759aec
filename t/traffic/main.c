// SPDX-License-Identifier: GPL-2.0-only
/* The command line, and the table of the cases. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "traffic.h"

enum { WRONG_USAGE = 2 };

static const struct test {
	const char *name;
	const char *families;    /* "46", "4" or "6": -4 and -6 can select these; "-": none */
	const char *help;
	void (*run)(void);
	enum agreement agreement;
} cases[] = {
	{ "up", "46", "a client uploads 100,000,000 bytes in calls of 64 KiB", tcp_up, SAME },
	{ "down", "46", "a client downloads as many", tcp_down, SAME },
	{ "tcp-rw", "46", "write and read", tcp_rw, SAME },
	{ "tcp-iov", "46", "writev and readv", tcp_iov, SAME },
	{ "tcp-send", "46", "send and recv", tcp_send, SAME },
	{ "tcp-msg", "46", "sendmsg and recvmsg", tcp_msg, SAME },
	{ "tcp-mmsg", "46", "sendmmsg and recvmmsg", tcp_mmsg, SAME },
	{ "tcp-mapped", "-", "IPv4 on IPv6 sockets", tcp_mapped, SAME },
	{ "tcp-sendfile", "46", "sendfile from a file", tcp_sendfile, SAME },
	{ "tcp-splice-in", "46", "splice from a pipe", tcp_splice_in, SAME },
	{ "tcp-splice-out", "46", "splice to a pipe", tcp_splice_out, SAME },
	{ "tcp-zerocopy-send", "46", "MSG_ZEROCOPY", tcp_zerocopy_send, SAME },
	{ "tcp-zerocopy-recv", "46", "TCP_ZEROCOPY_RECEIVE", tcp_zerocopy_recv, SAME },
	{ "tcp-peek", "46", "MSG_PEEK before each recv", tcp_peek, SAME },
	{ "tcp-waitall", "46", "MSG_WAITALL, sent in small pieces", tcp_waitall, SAME },
	{ "tcp-trunc", "46", "MSG_TRUNC, which discards", tcp_trunc, SAME },
	{ "tcp-eagain", "46", "short sends and EAGAIN", tcp_eagain, SAME },
	{ "tcp-epipe", "46", "sends after the peer has closed", tcp_epipe, NOT_MORE },
	{ "tcp-oob", "46", "urgent data out of line", tcp_oob, SAME },
	{ "tcp-oob-inline", "46", "urgent data inline", tcp_oob_inline, SAME },
	{ "tcp-fastopen", "46", "data in the SYN, by MSG_FASTOPEN", tcp_fastopen, SAME },
	{ "ktls-12", "46", "kernel TLS 1.2", tcp_ktls_12, SAME },
	{ "ktls-13", "46", "kernel TLS 1.3", tcp_ktls_13, SAME },
	{ "ktls-sendfile", "46", "sendfile over kernel TLS", tcp_ktls_sendfile, SAME },
	{ "ktls-splice-out", "46", "splice out of kernel TLS", tcp_ktls_splice_out, SAME },
	{ "mptcp", "46", "MPTCP", mptcp_send, SAME },
	{ "mptcp-splice-out", "46", "splice out of an MPTCP socket", mptcp_splice_out, SAME },
	{ "uring", "46", "io_uring: SEND and RECV", uring_plain, SAME },
	{ "uring-msg", "46", "io_uring: SENDMSG and RECVMSG", uring_msg, SAME },
	{ "uring-sqpoll", "46", "io_uring, called by a polling thread", uring_polled, SAME },
	{ "uring-iowq", "46", "io_uring, called by worker threads", uring_workers, SAME },
	{ "uring-zc", "46", "io_uring: SEND_ZC", uring_zerocopy, SAME },
	{ "uring-udp", "46", "io_uring: SEND and RECV of datagrams", uring_udp, NOT_MORE },
	{ "udp-sendto", "46", "sendto and recvfrom, not connected", udp_sendto, NOT_MORE },
	{ "udp-connected", "46", "send and recv, connected", udp_connected, NOT_MORE },
	{ "udp-msg", "46", "sendmsg and recvmsg", udp_msg, NOT_MORE },
	{ "udp-mmsg", "46", "sendmmsg and recvmmsg", udp_mmsg, NOT_MORE },
	{ "udp-mapped", "-", "IPv4 on IPv6 sockets", udp_mapped, NOT_MORE },
	{ "udp-splice", "46", "splice from a pipe", udp_splice, NOT_MORE },
	{ "udp-gso", "46", "UDP_SEGMENT", udp_gso, NOT_MORE },
	{ "udp-gro", "46", "UDP_SEGMENT and UDP_GRO", udp_gro, NOT_MORE },
	{ "udp-cork", "46", "MSG_MORE and UDP_CORK", udp_cork, NOT_MORE },
	{ "udp-peek", "46", "MSG_PEEK before each recv", udp_peek, NOT_MORE },
	{ "udp-short-buffer", "46", "a small buffer, with and without MSG_TRUNC",
	  udp_short_buffer, NOT_MORE },
	{ "udp-zero", "46", "empty datagrams between others", udp_zero, NOT_MORE },
	{ "udp-multicast", "46", "one sender, two receivers", udp_multicast, FREE },
	{ "udp-refused", "46", "sends to a closed port", udp_refused, NOT_MORE },
	{ "ping", "46", "ICMP by a datagram socket", ip_ping, SAME },
	{ "ping-raw", "46", "ICMP by a raw socket", ip_ping_raw, FREE },
	{ "raw", "46", "a raw socket; IPv4 receives come with their headers", ip_raw, FREE },
	{ "sctp", "46", "SCTP, one to one", sctp_one_to_one, SAME },
	{ "sctp-many", "46", "SCTP, one to many", sctp_one_to_many, NOT_MORE },
	{ "packet", "46", "frames of UDP by AF_PACKET", ip_packet, NOT_MORE },
	{ "sock-packet", "46", "frames of UDP by SOCK_PACKET", ip_sock_packet, NOT_MORE },
	{ "threads", "46", "8 (-C) threads with other names, each on a connection", life_threads, SAME },
	{ "exec", "46", "a process execs itself and goes on to send", life_exec, SAME },
	{ "rename", "46", "a process takes another name in the middle", life_rename, SAME },
	{ "before", "46", "connect, print the pids, wait for a line, then send", life_before, SAME },
	{ "short", "46", "500 (-P) processes send 100 bytes each by UDP", life_short, NOT_MORE },
	{ "short-tcp", "46", "the same by TCP", life_short_tcp, SAME },
	{ "churn", "46", "the same, as fast as possible; only the receiver has an account",
	  life_churn, FREE },
	{ "fork", "46", "a process and its child send on one connection", life_fork, SAME },
	{ "fork-then", "46", "a process sends on a connection, then its child", life_fork_then, SAME },
	{ "fd-pass", "46", "a connection goes to another process", life_fd_pass, SAME },
	{ "prefork", "46", "-P workers accept -C connections", life_prefork, SAME },
	{ "reuse", "46", "two processes with the same pid", life_reuse, SAME },
	{ "netns", "46", "in its own network and pid namespaces", life_netns, SAME },
	{ "kernel-thread", "46", "a kernel thread that serves NFS", kernel_thread, SAME },
	{ "nothing", "-", "Unix and netlink: no network traffic", idle_nothing, SAME },
	{ "nothing-vsock", "-", "vsock: neither", idle_vsock, SAME },
	{ "idle-sockets", "46", "-C connections that move nothing for -s seconds", idle_sockets,
	  SAME },
	{ "steady", "46", "-r bytes a second for -s seconds, in steps of 1 ms", load_steady, SAME },
	{ "bursty", "46", "-r bytes a second as 200 ms of each second", load_bursty, SAME },
	{ "bulk", "46", "-P processes send on -C connections each for -s seconds", load_bulk,
	  SAME },
	{ "flood", "46", "-n small datagrams a second for -s seconds", load_flood, NOT_MORE },
};

static const char usage[] =
	"Usage: traffic CASE [OPTION]...\n"
	"       traffic --list\n"
	"\n"
	"Moves bytes between processes on this host, and prints what each of them moved:\n"
	"PID, COMM, RX_BYTES, TX_BYTES, RX_CALLS, TX_CALLS (- where not known).\n"
	"\n"
	"  -4, -6              the IP version (default: 4)\n"
	"  -b BYTES            how much to send in all; short: each process\n"
	"  -n COUNT            datagrams, or rounds, where a case goes by number\n"
	"  -r RATE             bytes a second\n"
	"  -s SECONDS          how long\n"
	"  -P PROCESSES        how many processes\n"
	"  -C CONNECTIONS      how many connections\n"
	"      --log FILE      steady, bursty: write a line for each call that sent: the clock\n"
	"                      before and after it, seconds since the epoch, and the bytes so far\n"
	"      --linger        print the account, then live on to the end of standard input\n"
	"      --list          write the cases: NAME, FAMILIES (4, 6, 46, -), HELP\n"
	"  -h, --help          write this\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 77 this kernel cannot do it.\n";

static void __attribute__((noreturn)) wrong(const char *what, const char *argument)
{
	fprintf(stderr, "traffic: %s: %s\nTry 'traffic --help'.\n", argument, what);
	exit(WRONG_USAGE);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || !value || value > most)
		wrong("not a number, or out of range", text);
	return value;
}

static double duration(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (*text < '0' || *text > '9' || *end || !(value > 0 && value <= 86400))
		wrong("not a number of seconds", text);
	return value;
}

static void log_to(const char *path)
{
	if (!*path || strlen(path) >= sizeof(options.log))
		wrong("no such name of a file", path);
	strcpy(options.log, path);
}

static void list(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		printf("%s\t%s\t%s\n", cases[i].name, cases[i].families, cases[i].help);
	if (fflush(stdout))
		cannot("write", "the list");
	exit(EXIT_SUCCESS);
}

static void help(void)
{
	fputs(usage, stdout);
	exit(EXIT_SUCCESS);
}

static const struct test *find(const char *name)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (!strcmp(name, cases[i].name))
			return &cases[i];
	wrong("no such case", name);
}

static const struct test *parse(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "linger", no_argument, NULL, 'l' },
		{ "list", no_argument, NULL, 'L' },
		{ "log", required_argument, NULL, 'o' },
		{ 0 },
	};
	const struct test *test;
	char family = 0;
	int option;

	while ((option = getopt_long(argc, argv, "46b:n:r:s:P:C:h", longs, NULL)) != -1) {
		switch (option) {
		case '4': case '6': family = (char)option; break;
		case 'b': options.bytes = number(optarg, UINT64_C(1) << 50); break;
		case 'n': options.count = number(optarg, UINT32_MAX); break;
		case 'r': options.rate = number(optarg, UINT64_C(1) << 40); break;
		case 's': options.seconds = duration(optarg); break;
		case 'P': options.processes = number(optarg, 10000000); break;
		case 'C': options.connections = number(optarg, 100000); break;
		case 'l': options.linger = true; break;
		case 'L': list(); break;
		case 'o': log_to(optarg); break;
		case 'h': help(); break;
		default: exit(WRONG_USAGE);
		}
	}
	if (optind + 1 != argc)
		wrong("one case is needed", argv[0]);
	test = find(argv[optind]);
	if (family && !strchr(test->families, family))
		wrong("not in this IP version", test->name);
	if (!family)
		family = *test->families;
	options.family = family == '6' ? AF_INET6 : AF_INET;
	return test;
}

static void wait_for_end_of_input(void)
{
	char line[256];

	no_limit();
	while (read(STDIN_FILENO, line, sizeof(line)) > 0)
		;
}

int main(int argc, char *argv[])
{
	const struct test *test;
	bool agreed;

	if (argc == 5 && !strcmp(argv[1], "--after-exec"))
		after_exec(&argv[2]);
	test = parse(argc, argv);
	processes_open();
	test->run();
	processes_wait(test->name);
	agreed = accounts_print(test->agreement);
	if (options.linger) {
		wait_for_end_of_input();
		processes_release();
	}
	return agreed ? EXIT_SUCCESS : EXIT_FAILURE;
}
