// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what TCP_INFO has of a socket: segments sent and received, bytes sent with retransmits,
 * segments retransmitted, and the state: closed or open.
 *
 *     tcp-info FD     of this descriptor, which it has inherited
 */
#include <linux/bpf.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	if (argc != 2 || getsockopt(atoi(argv[1]), IPPROTO_TCP, TCP_INFO, &info, &size)) {
		perror("tcp-info");
		return 1;
	}
	printf("%u %u %llu %u %s\n", info.tcpi_segs_out, info.tcpi_segs_in,
	       (unsigned long long)info.tcpi_bytes_sent, info.tcpi_total_retrans,
	       info.tcpi_state == BPF_TCP_CLOSE ? "closed" : "open");
	return 0;
}
