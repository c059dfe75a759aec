#!/usr/bin/env bats
# Every way to move bytes is counted exactly, for each process, at both ends.  t/compare/every-case
# runs the cases; each test here checks the result of one.  A title names the case and describes it.

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

@test "up is exact: a client uploads 100,000,000 bytes in calls of 64 KiB" { is_exact up; }
@test "down is exact: a client downloads 100,000,000 bytes in calls of 64 KiB" { is_exact down; }
@test "tcp-rw is exact: write and read" { is_exact tcp-rw; }
@test "tcp-iov is exact: writev and readv" { is_exact tcp-iov; }
@test "tcp-send is exact: send and recv" { is_exact tcp-send; }
@test "tcp-msg is exact: sendmsg and recvmsg" { is_exact tcp-msg; }
@test "tcp-mmsg is exact: sendmmsg and recvmmsg" { is_exact tcp-mmsg; }
@test "tcp-mapped is exact: IPv4 on IPv6 sockets" { is_exact tcp-mapped; }
@test "tcp-sendfile is exact: sendfile from a file" { is_exact tcp-sendfile; }
@test "tcp-splice-in is exact: splice from a pipe" { is_exact tcp-splice-in; }
@test "tcp-splice-out is exact: splice to a pipe" { is_exact tcp-splice-out; }
@test "tcp-zerocopy-send is exact: MSG_ZEROCOPY" { is_exact tcp-zerocopy-send; }
@test "tcp-zerocopy-recv is exact: TCP_ZEROCOPY_RECEIVE" { is_exact tcp-zerocopy-recv; }
@test "tcp-peek is exact: MSG_PEEK before each recv" { is_exact tcp-peek; }
@test "tcp-waitall is exact: MSG_WAITALL, sent in small pieces" { is_exact tcp-waitall; }
@test "tcp-trunc is exact: MSG_TRUNC, which discards" { is_exact tcp-trunc; }
@test "tcp-eagain is exact: short sends and EAGAIN" { is_exact tcp-eagain; }
@test "tcp-epipe is exact: sends after the peer has closed" { is_exact tcp-epipe; }
@test "tcp-oob is exact: urgent data out of line" { is_exact tcp-oob; }
@test "tcp-oob-inline is exact: urgent data inline" { is_exact tcp-oob-inline; }
@test "tcp-fastopen is exact: data in the SYN, by MSG_FASTOPEN" { is_exact tcp-fastopen; }
@test "ktls-12 is exact: kernel TLS 1.2" { is_exact ktls-12; }
@test "ktls-13 is exact: kernel TLS 1.3" { is_exact ktls-13; }
@test "ktls-sendfile is exact: sendfile over kernel TLS" { is_exact ktls-sendfile; }
@test "ktls-splice-out is exact: splice out of kernel TLS" { is_exact ktls-splice-out; }
@test "mptcp is exact: MPTCP" { is_exact mptcp; }
@test "mptcp-splice-out is exact: splice out of an MPTCP socket" { is_exact mptcp-splice-out; }
@test "uring is exact: SEND and RECV by io_uring" { is_exact uring; }
@test "uring-msg is exact: SENDMSG and RECVMSG by io_uring" { is_exact uring-msg; }
@test "uring-sqpoll is exact: SEND and RECV by io_uring, called by a polling thread" { is_exact uring-sqpoll; }
@test "uring-iowq is exact: SEND and RECV by io_uring, called by worker threads" { is_exact uring-iowq; }
@test "uring-zc is exact: SEND_ZC by io_uring" { is_exact uring-zc; }
@test "uring-udp is exact: SEND and RECV of datagrams by io_uring" { is_exact uring-udp; }
@test "udp-sendto is exact: sendto and recvfrom, not connected" { is_exact udp-sendto; }
@test "udp-connected is exact: send and recv, connected" { is_exact udp-connected; }
@test "udp-msg is exact: sendmsg and recvmsg" { is_exact udp-msg; }
@test "udp-mmsg is exact: sendmmsg and recvmmsg" { is_exact udp-mmsg; }
@test "udp-mapped is exact: IPv4 on IPv6 sockets" { is_exact udp-mapped; }
@test "udp-splice is exact: splice from a pipe" { is_exact udp-splice; }
@test "udp-gso is exact: UDP_SEGMENT" { is_exact udp-gso; }
@test "udp-gro is exact: UDP_SEGMENT and UDP_GRO" { is_exact udp-gro; }
@test "udp-cork is exact: MSG_MORE and UDP_CORK" { is_exact udp-cork; }
@test "udp-peek is exact: MSG_PEEK before each recv" { is_exact udp-peek; }
@test "udp-short-buffer is exact: a small buffer, with and without MSG_TRUNC" { is_exact udp-short-buffer; }
@test "udp-zero is exact: empty datagrams between others" { is_exact udp-zero; }
@test "udp-multicast is exact: one sender, two receivers" { is_exact udp-multicast; }
@test "udp-refused is exact: sends to a closed port" { is_exact udp-refused; }
@test "ping is exact: ICMP by a datagram socket" { is_exact ping; }
@test "ping-raw is exact: ICMP by a raw socket" { is_exact ping-raw; }
@test "raw is exact: a raw socket; IPv4 receives come with their headers" { is_exact raw; }
@test "sctp is exact: SCTP, one to one" { is_exact sctp; }
@test "sctp-many is exact: SCTP, one to many" { is_exact sctp-many; }
@test "packet is exact: frames of UDP by AF_PACKET" { is_exact packet; }
@test "sock-packet is exact: frames of UDP by SOCK_PACKET" { is_exact sock-packet; }
@test "threads is exact: 8 threads with other names, each on a connection" { is_exact threads; }
@test "exec is exact: a process execs itself and goes on to send" { is_exact exec; }
@test "rename is exact: a process takes another name in the middle" { is_exact rename; }
@test "short is exact: 500 (-P) processes send 100 bytes each by UDP" { is_exact short; }
@test "short-tcp is exact: 500 (-P) processes send 100 bytes each by TCP" { is_exact short-tcp; }
@test "fork is exact: a process and its child send on one connection" { is_exact fork; }
@test "fork-then is exact: a process sends on a connection, then its child" { is_exact fork-then; }
@test "fd-pass is exact: a connection goes to another process" { is_exact fd-pass; }
@test "prefork is exact: -P workers accept -C connections" { is_exact prefork; }
@test "reuse is exact: two processes with the same pid" { is_exact reuse; }
@test "netns is exact: in its own network and pid namespaces" { is_exact netns; }
@test "kernel-thread is exact: a kernel thread that serves NFS" { is_exact kernel-thread; }
@test "nothing is exact: Unix and netlink sockets, which are no network traffic" { is_exact nothing; }
@test "nothing-vsock is exact: vsock, which is no network traffic" { is_exact nothing-vsock; }
@test "steady is exact: -r bytes a second for -s seconds, in steps of 1 ms" { is_exact steady; }
@test "bursty is exact: -r bytes a second as 200 ms of each second" { is_exact bursty; }
@test "bulk is exact: -P processes send on -C connections each for -s seconds" { is_exact bulk; }
@test "flood is exact: -n small datagrams a second for -s seconds" { is_exact flood; }
