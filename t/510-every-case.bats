#!/usr/bin/env bats
# Every way to move bytes is counted exactly: each process has its bytes and calls, at both ends.
# t/compare/every-case runs the cases; each test here checks the result of one.  A title ends with the
# name of the case.

load lib/common
load lib/live

setup_file() {
	[ -z "$(why_not_live)" ] || return 0
	# shellcheck disable=SC2086	# options are words
	"$here/compare/every-case" ${NETMON_OPTIONS:-} >"$BATS_FILE_TMPDIR/results" || true
}

setup() { needs_live; }

# is_exact CASE: the case is exact over each IP version.  If the kernel lacks the feature, skips the test.
is_exact() {
	local wanted results
	wanted=$("$BUILD/t/traffic" --list | awk -F '\t' -v name="$1" '$1 == name { print length($2) }')
	results=$(awk -F '\t' -v name="$1" '$1 == name { print $3 }' "$BATS_FILE_TMPDIR/results")
	equal "$(wc -l <<<"$results")" "$wanted"
	case $results in
	*wrong:*) fail "$results" ;;
	*"not on this kernel"*)
		grep -qv '^not on this kernel' <<<"$results" || skip "$(head -1 <<<"$results")"
		fail "$results"
		;;
	*"not counted"*)
		# allowed only if netmon said at its start that this kernel has no way
		grep -Evqx 'exact|not counted: .*' <<<"$results" && fail "$results"
		skip "$(grep -m 1 '^not counted' <<<"$results")"
		;;
	*) equal "$(sort -u <<<"$results")" exact ;;
	esac
}

@test "each case of the traffic generator has its test here" {
	"$BUILD/t/traffic" --list | cut -f 1 | grep -vx -e before -e idle-sockets -e churn >"$BATS_TEST_TMPDIR/cases"
	sed -n 's/^@test ".*" { is_exact \(.*\); }$/\1/p' "$BATS_TEST_FILENAME" | diff "$BATS_TEST_TMPDIR/cases" -
}

@test "bytes of an upload over TCP in calls of 64 KiB are counted exactly (up)" { is_exact up; }
@test "bytes of a download over TCP in calls of 64 KiB are counted exactly (down)" { is_exact down; }
@test "bytes of write and read over TCP are counted exactly (tcp-rw)" { is_exact tcp-rw; }
@test "bytes of writev and readv over TCP are counted exactly (tcp-iov)" { is_exact tcp-iov; }
@test "bytes of send and recv over TCP are counted exactly (tcp-send)" { is_exact tcp-send; }
@test "bytes of sendmsg and recvmsg over TCP are counted exactly (tcp-msg)" { is_exact tcp-msg; }
@test "bytes of sendmmsg and recvmmsg over TCP are counted exactly (tcp-mmsg)" { is_exact tcp-mmsg; }
@test "bytes of IPv4 connections of IPv6 sockets are counted exactly (tcp-mapped)" { is_exact tcp-mapped; }
@test "bytes of sendfile from a file over TCP are counted exactly (tcp-sendfile)" { is_exact tcp-sendfile; }
@test "bytes of splice from a pipe to a TCP socket are counted exactly (tcp-splice-in)" { is_exact tcp-splice-in; }
@test "bytes of splice from a TCP socket to a pipe are counted exactly (tcp-splice-out)" { is_exact tcp-splice-out; }
@test "bytes of sends with MSG_ZEROCOPY over TCP are counted exactly (tcp-zerocopy-send)" { is_exact tcp-zerocopy-send; }
@test "bytes of receives with TCP_ZEROCOPY_RECEIVE are counted exactly (tcp-zerocopy-recv)" { is_exact tcp-zerocopy-recv; }
@test "bytes that MSG_PEEK shows before each recv over TCP are counted once (tcp-peek)" { is_exact tcp-peek; }
@test "bytes of receives with MSG_WAITALL, sent in small pieces over TCP, are counted exactly (tcp-waitall)" { is_exact tcp-waitall; }
@test "bytes that a receive with MSG_TRUNC discards over TCP are counted exactly (tcp-trunc)" { is_exact tcp-trunc; }
@test "bytes of short sends and sends that fail with EAGAIN over TCP are counted exactly (tcp-eagain)" { is_exact tcp-eagain; }
@test "bytes of sends over TCP after the peer has closed are counted exactly (tcp-epipe)" { is_exact tcp-epipe; }
@test "bytes of urgent data out of line over TCP are counted exactly (tcp-oob)" { is_exact tcp-oob; }
@test "bytes of urgent data inline over TCP are counted exactly (tcp-oob-inline)" { is_exact tcp-oob-inline; }
@test "bytes in the SYN, sent with MSG_FASTOPEN, are counted exactly (tcp-fastopen)" { is_exact tcp-fastopen; }
@test "bytes over kernel TLS 1.2 are counted exactly (ktls-12)" { is_exact ktls-12; }
@test "bytes over kernel TLS 1.3 are counted exactly (ktls-13)" { is_exact ktls-13; }
@test "bytes of sendfile over kernel TLS are counted exactly (ktls-sendfile)" { is_exact ktls-sendfile; }
@test "bytes of splice from a socket with kernel TLS to a pipe are counted exactly (ktls-splice-out)" { is_exact ktls-splice-out; }
@test "bytes over MPTCP are counted exactly (mptcp)" { is_exact mptcp; }
@test "bytes of splice from an MPTCP socket to a pipe are counted exactly (mptcp-splice-out)" { is_exact mptcp-splice-out; }
@test "bytes of SEND and RECV by io_uring are counted exactly (uring)" { is_exact uring; }
@test "bytes of SENDMSG and RECVMSG by io_uring are counted exactly (uring-msg)" { is_exact uring-msg; }
@test "bytes of SEND and RECV by a polling thread of io_uring are counted exactly (uring-sqpoll)" { is_exact uring-sqpoll; }
@test "bytes of SEND and RECV by worker threads of io_uring are counted exactly (uring-iowq)" { is_exact uring-iowq; }
@test "bytes of SEND_ZC by io_uring are counted exactly (uring-zc)" { is_exact uring-zc; }
@test "bytes of SEND and RECV of datagrams by io_uring are counted exactly (uring-udp)" { is_exact uring-udp; }
@test "bytes of sendto and recvfrom on unconnected UDP sockets are counted exactly (udp-sendto)" { is_exact udp-sendto; }
@test "bytes of send and recv on connected UDP sockets are counted exactly (udp-connected)" { is_exact udp-connected; }
@test "bytes of sendmsg and recvmsg over UDP are counted exactly (udp-msg)" { is_exact udp-msg; }
@test "bytes of sendmmsg and recvmmsg over UDP are counted exactly (udp-mmsg)" { is_exact udp-mmsg; }
@test "bytes of IPv4 datagrams of IPv6 sockets are counted exactly (udp-mapped)" { is_exact udp-mapped; }
@test "bytes of splice from a pipe to a UDP socket are counted exactly (udp-splice)" { is_exact udp-splice; }
@test "bytes of datagrams sent with UDP_SEGMENT are counted exactly (udp-gso)" { is_exact udp-gso; }
@test "bytes of datagrams sent with UDP_SEGMENT and received with UDP_GRO are counted exactly (udp-gro)" { is_exact udp-gro; }
@test "bytes of datagrams put together by MSG_MORE and UDP_CORK are counted exactly (udp-cork)" { is_exact udp-cork; }
@test "bytes that MSG_PEEK shows before each recv over UDP are counted once (udp-peek)" { is_exact udp-peek; }
@test "bytes of datagrams that do not fit the buffer, with and without MSG_TRUNC, are counted exactly (udp-short-buffer)" { is_exact udp-short-buffer; }
@test "bytes and calls of datagrams with empty ones between them are counted exactly (udp-zero)" { is_exact udp-zero; }
@test "bytes of multicast from one sender to two receivers are counted exactly (udp-multicast)" { is_exact udp-multicast; }
@test "bytes of datagrams to a closed port are counted exactly (udp-refused)" { is_exact udp-refused; }
@test "bytes of ICMP on datagram sockets are counted exactly (ping)" { is_exact ping; }
@test "bytes of ICMP on raw sockets are counted exactly (ping-raw)" { is_exact ping-raw; }
@test "bytes of raw sockets, which receive IPv4 with its headers, are counted exactly (raw)" { is_exact raw; }
@test "bytes of SCTP sockets, one to one, are counted exactly (sctp)" { is_exact sctp; }
@test "bytes of SCTP sockets, one to many, are counted exactly (sctp-many)" { is_exact sctp-many; }
@test "bytes of UDP frames sent and received by AF_PACKET are counted exactly (packet)" { is_exact packet; }
@test "bytes of UDP frames sent and received by SOCK_PACKET are counted exactly (sock-packet)" { is_exact sock-packet; }
@test "bytes of 8 threads with other names, each on its connection, are counted exactly (threads)" { is_exact threads; }
@test "bytes of a process that execs itself and goes on to send are counted exactly (exec)" { is_exact exec; }
@test "bytes of a process that changes its name between sends are counted exactly (rename)" { is_exact rename; }
@test "bytes of 500 processes that send 100 bytes each by UDP are counted exactly (short)" { is_exact short; }
@test "bytes of 500 processes that send 100 bytes each by TCP are counted exactly (short-tcp)" { is_exact short-tcp; }
@test "bytes of a process and its child that send on one connection are counted exactly (fork)" { is_exact fork; }
@test "bytes of a process and then its child on the same connection are counted exactly (fork-then)" { is_exact fork-then; }
@test "bytes of a connection that is passed to another process are counted exactly (fd-pass)" { is_exact fd-pass; }
@test "bytes of workers that accept connections on one socket are counted exactly (prefork)" { is_exact prefork; }
@test "two processes with the same pid have their own bytes (reuse)" { is_exact reuse; }
@test "bytes of a process in its own network and pid namespaces are counted exactly (netns)" { is_exact netns; }
@test "bytes of a kernel thread that serves NFS are counted exactly (kernel-thread)" { is_exact kernel-thread; }
@test "Unix and netlink sockets have no rows (nothing)" { is_exact nothing; }
@test "vsock sockets have no rows (nothing-vsock)" { is_exact nothing-vsock; }
@test "bytes of a steady sender, in steps of 1 ms, are counted exactly (steady)" { is_exact steady; }
@test "bytes of a sender that pauses for 800 ms of each second are counted exactly (bursty)" { is_exact bursty; }
@test "bytes of several processes with several connections each are counted exactly (bulk)" { is_exact bulk; }
@test "bytes of a flood of small datagrams are counted exactly (flood)" { is_exact flood; }
