#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2086	# what helper.bash sets; options are words
# Layer ip: rows against the counters of interfaces and of nftables, and against TCP_INFO.

load lib/common
load lib/live

setup() {
	live_setup
	pin=/sys/fs/bpf/netmon-test-$$
	root=$(findmnt --first-only --noheadings --types cgroup2 --output TARGET)
	export NETMON BUILD
}

teardown() {
	live_teardown
	for namespace in ${namespaces-}; do ip netns delete "$namespace" || true; done
	if [ -e "$pin" ]; then
		bpftool cgroup detach "$root" egress pinned "$pin" || true
		rm "$pin"
	fi
}

# packets WORD...: by t/compare/layer-ip, which says what differs.  Once more where it is the kernel
# that did not call its tracepoints, as a witness shows (seen on Linux 6.18, paravirtual, under
# load).
packets() {
	local status try
	for try in 1 2 3; do
		status=0
		"$here/compare/layer-ip" "$@" || status=$?
		[ $status = 3 ] || return $status
	done
	return 1
}

# Against the interfaces' own counters and nftables', offloads off

@test "the wire, IPv4: bulk" { packets interface bulk4; }
@test "the wire, IPv6: bulk" { packets interface bulk6; }
@test "the wire, IPv4: one byte a write" { packets interface bytes4; }
@test "the wire, IPv6: one byte a write" { packets interface bytes6; }
@test "the wire, IPv4: 2,000 short connections" { packets interface short4; }
@test "the wire, IPv6: 2,000 short connections" { packets interface short6; }
@test "the wire, IPv4: datagrams, in one packet and in fragments" {
	packets interface datagrams4 fragments4
}
@test "the wire, IPv6: datagrams, in one packet and in fragments" {
	packets interface datagrams6 fragments6
}

# Against TCP_INFO, offloads on

@test "bundles of segments: as many packets, with their headers, as TCP_INFO has" {
	packets sockets bulk4 bulk6 bytes4 bytes6
}

@test "retransmits are in layer ip, and not in layer socket" {
	packets loss bulk4 bulk6
}

# Whose packets they are

# look: netmon in the background, of one network namespace later
look() {
	"$NETMON" --layer ip -v -i "${interval-0.2}" -f jsonl --proto "${1-tcp}" \
		-o pid,comm,netns,rx_bytes,rx_calls,tx_bytes,tx_calls >all 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do
		kill -0 $netmon || fail "$(cat messages)"
		sleep 0.02
	done
}

# alone COMMAND...: over a loopback of its own that sends nothing twice, with headers of one length
alone() {
	unshare --net bash -euc '
		ip link set lo up
		echo 0 >/proc/sys/net/ipv4/tcp_early_retrans
		echo 0 >/proc/sys/net/ipv4/tcp_recovery
		echo 0 >/proc/sys/net/ipv4/tcp_sack
		ip route change local 127.0.0.0/8 dev lo table local src 127.0.0.1 rto_min 20s
		stat -Lc %i /proc/self/ns/net >namespace
		status=0
		"$@" || status=$?
		awk "/^Tcp: [0-9]/ { print \$13 }" /proc/net/snmp >retransmitted
		exit $status' - "$@"
}

# attributed COMMAND...: each process has the payload that it moved, as the command says
attributed() {
	local try
	for try in 1 2 3; do
		look
		alone "$@" >account
		sleep 0.5 # the last acknowledgements
		stop
		# what is sent again, since a busy receiver had no room for it, is in no account
		[ "$(cat retransmitted)" != 0 ] || break
	done
	jq -c "select(.netns == $(cat namespace))" all >reports
	"$here/compare/layer-ip" owners reports account
}

# traffic CASE [OPTION]...: by t/traffic
traffic() { attributed "$BUILD/t/traffic" "$@"; }

# in_turn CASE: processes that use a socket one after the other.  In one report, as whoever has ended
# may still have something in the queue.
in_turn() {
	local interval=60
	traffic "$1"
}

@test "workers that accept on one socket: each has its connections" { traffic prefork; }
@test "a socket that is passed on: each process has what it sends" { in_turn fd-pass; }
@test "a socket that is inherited: each process has what it sends" { in_turn fork-then; }
# deferring BACKLOG: a listener that has a connection once bytes have come; what runs then is on
# standard input
deferring() {
	local begin
	begin=$(cat <<-'END'
		import os, socket, sys, time

		def process(name, work):
		    if not (pid := os.fork()):
		        open("/proc/self/comm", "w").write(name)
		        work()
		        os._exit(0)
		    return pid

		open("/proc/self/comm", "w").write("listener")
		listener = socket.socket()
		listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 9)
		listener.bind(("127.0.0.1", 0))
		listener.listen(int(sys.argv[1]))
	END
	)
	"$NETMON" --layer ip -i 600 -f jsonl --proto tcp -o pid,comm,rx_bytes,rx_calls \
		--to reports -- python3 -c "$begin"$'\n'"$(cat)" "$1"
}

# The acknowledgement before them may also come late, from another CPU.
@test "bytes that make a connection: of who accepts it, not of who listens" {
	deferring 9 <<-'END'
		def accept():
		    connection = listener.accept()[0]
		    while connection.recv(65536):
		        pass

		def send():
		    socket.create_connection(listener.getsockname()).send(bytes(5000))

		for pid in process("acceptor", accept), process("client", send):
		    os.waitpid(pid, 0)
		time.sleep(0.5)  # the last acknowledgements
	END
	# its packets after the handshake have headers of 52 bytes
	equal "$(jq -c 'select(.comm == "acceptor") | .rx_bytes - 52 * .rx_calls' reports)" 5000
	equal "$(jq -c 'select(.comm == "listener") | [.rx_bytes, .rx_calls]' reports)" '[112,2]'
}

# One waits by then, which is all that may: the kernel drops the bytes of the other one.
@test "bytes that come while no more connections may wait: of who listens, and again of who accepts" {
	deferring 0 <<-'END'
		def accept():
		    for _ in range(2):
		        connection = listener.accept()[0]
		        while connection.recv(65536):
		            pass

		def send():
		    clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
		    for client in clients:
		        client.send(bytes(5000))
		        client.shutdown(socket.SHUT_WR)
		    os.write(sent, b".")
		    os.read(accepted, 1)

		ready, sent = os.pipe()
		accepted, done = os.pipe()
		client = process("client", send)
		os.read(ready, 1)
		os.waitpid(process("acceptor", accept), 0)
		time.sleep(0.5)  # the last acknowledgements
		os.write(done, b".")
		os.waitpid(client, 0)
	END
	# the packets of the clients have headers of 52 bytes, the first ones of 60
	equal "$(jq -c 'select(.comm == "acceptor") | .rx_bytes - 52 * .rx_calls' reports)" 10000
	# sent again until there is room
	equal "$(jq -c 'select(.comm == "listener") | .rx_bytes - 52 * .rx_calls - 2 * 8 |
		. > 0 and . % 5000 == 0' reports)" true
}

@test "threads, and a process that execs itself" {
	in_turn threads
	in_turn exec
}
@test "processes that live for milliseconds" { traffic short-tcp -P 60; }

@test "a call that waits: what the kernel sends of it meanwhile is of who calls, not of who sent before" {
	local interval=60
	attributed python3 -c '
import fcntl, os, socket, struct, termios, time
BEFORE, SENT = 50000, 400000
def waiting():
    return struct.unpack("i", fcntl.ioctl(a, termios.TIOCOUTQ, bytes(4)))[0]
def account(rx, tx):
    print(os.getpid(), "python3", rx, tx, sep="\t", flush=True)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
listener.bind(("127.0.0.1", 0))
listener.listen()
a = socket.socket()
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 150000)
a.connect(listener.getsockname())
b, _ = listener.accept()
if not os.fork():
    a.sendall(bytes(BEFORE))
    account(0, BEFORE)
    os._exit(0)
os.wait()
if not os.fork():
    a.sendall(bytes(SENT))
    account(0, SENT)
    os._exit(0)
seen = 0
while seen <= BEFORE or waiting() != seen:
    seen = waiting()
    time.sleep(0.1)
received = 0
while received < BEFORE + SENT:
    received += len(b.recv(65536))
os.wait()
account(received, 0)
'
}

# used CASE PROTO: all but a few packets, of handshakes and farewells, are of the processes that have
# the sockets, and those are not fewer bytes than they moved.  What SCTP gets before somebody accepts
# is for who listens.  In one report, as in_turn.
used() {
	local status=0 interval=60
	look "$2"
	alone "$BUILD/t/traffic" "$1" >account || status=$?
	sleep 0.5
	stop
	[ $status != 77 ] || skip "$(cat account)"
	[ $status = 0 ]
	jq -c "select(.netns == $(cat namespace))" all >reports
	awk 'NF == 6 { print $1, $3, $4 }' account | while read -r pid rx tx; do
		jq -se "(map(select(.pid == $pid or .comm == \"traffic\") | .rx_bytes) | add) > $rx and
			(map(select(.pid == $pid) | .tx_bytes) | add) > $tx" \
			reports >/dev/null ||
			fail "$1: $pid has fewer than $rx, $tx: $(jq -sc 'group_by(.pid)[] | [.[0].pid, .[0].comm,
				(map(.rx_bytes) | add), (map(.tx_bytes) | add)]' reports | tr '\n' ' ')"
	done
	jq -se 'map(select(.comm == "(kernel)") | .rx_bytes + .tx_bytes) | add // 0 | . < 2000' reports >/dev/null ||
		fail "$1: $(grep kernel reports)"
}

@test "kernel TLS" { used ktls-13 tcp; }
@test "subflows of MPTCP" { used mptcp tcp; }
@test "SCTP" { used sctp sctp; }

@test "connections that were there before" {
	local interval=60 # as in_turn
	mkfifo input
	alone "$BUILD/t/traffic" before <input >account 3>&- &
	traffic=$!
	exec 8>input
	until [ "$(wc -l <account)" = 2 ]; do sleep 0.02; done
	look
	echo >&8
	wait $traffic
	exec 8>&-
	sleep 0.5
	stop
	jq -c "select(.netns == $(cat namespace))" all >reports
	"$here/compare/layer-ip" owners reports account
}

# pings NUMBER: as many datagrams of 100 bytes, each with its answer, over a loopback of its own
pings() {
	alone python3 -c '
import socket, sys
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
b.bind(("127.0.0.1", 7))
for _ in range(int(sys.argv[1])):
    a.sendto(b"x" * 100, ("127.0.0.1", 7))
    data, peer = b.recvfrom(1000)
    b.sendto(data, peer)
    a.recv(1000)
' "$1"
}

@test "filters, keys and -- COMMAND: as in layer socket" {
	for words in '--port 7' '--proto udp' '--iface lo' '--iface eth0,lo' '--net 127.0.0.0/8' '--user root'; do
		"$NETMON" --layer ip -f jsonl $words --to rows \
			-o iface,user,proto,raddr,rport,rx_bytes,rx_calls,tx_bytes,tx_calls -- \
			unshare --net python3 -c '
import ctypes, os, socket, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
b.bind(("127.0.0.1", 7))
a.bind(("127.0.0.1", 8))
for _ in range(10):
    a.sendto(b"x" * 100, ("127.0.0.1", 7))
    b.recv(1000)
'
		equal "$words: $(jq -rs 'map([.iface, .user, .proto, .raddr, .rport, .rx_bytes, .rx_calls,
			.tx_bytes, .tx_calls] | @csv) | sort | join(" ")' rows)" \
			"$words: \"lo\",\"root\",\"udp\",\"127.0.0.1\",7,0,0,1280,10 \"lo\",\"root\",\"udp\",\"127.0.0.1\",8,1280,10,0,0"
	done
	for words in '--port 9' '--proto tcp' '--iface eth0' '--net !127.0.0.0/8' '--user nobody' --no-loopback; do
		"$NETMON" --layer ip -f jsonl $words --to rows -o iface,rx_bytes -- \
			unshare --net sh -c 'ip link set lo up; exec "$@"' - "$BUILD/t/traffic" udp-sendto -b 10000
		equal "$words: $(cat rows)" "$words: "
	done
}

@test "what the kernel answers itself is its own" {
	"$NETMON" --layer ip -v -f jsonl --port 9 -o pid,comm,uid,rx_calls,tx_calls >all 2>messages 3>&- &
	netmon=$!
	until grep -qx "netmon: counting" messages; do kill -0 $netmon || fail "$(cat messages)"; sleep 0.02; done
	alone python3 -c '
import socket
for _ in range(5):
    try:
        socket.create_connection(("127.0.0.1", 9))
    except ConnectionRefusedError:
        pass'
	stop
	# the SYN goes to nobody, the RST comes from nobody
	equal "$(jq -sc 'map(select(.comm == "(kernel)")) | [(map(.rx_calls) | add), (map(.tx_calls) | add),
		(map(.uid) | unique)]' all)" '[5,5,[null]]'
	equal "$(jq -sc 'map(select(.comm != "(kernel)")) | [(map(.rx_calls) | add), (map(.tx_calls) | add)]' all)" '[5,5]'
}

# is_up NAMESPACE INTERFACE: whether it can send
is_up() {
	ip -n "$1" link show "$2" | grep -q 'state UP'
}

# exchange NUMBER A B: as many datagrams of 100 bytes from the one namespace to 10.79.2.2 in the other, each
# with its answer
exchange() {
	ip netns exec "$3" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.bind(("10.79.2.2", 7))
print("ready", flush=True)
for _ in range(int(sys.argv[1])):
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
' "$1" >answering 3>&- &
	eventually grep -q ready answering
	ip netns exec "$2" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
for _ in range(int(sys.argv[1])):
    s.sendto(b"x" * 100, ("10.79.2.2", 7))
    s.recv(2000)
' "$1"
	wait $!
}

@test "what is forwarded is nobody's here" {
	local a=$$-a b=$$-b c=$$-c
	namespaces="$a $b $c"
	ip -batch - <<-END
		netns add $a
		netns add $b
		netns add $c
		link add left$$ netns $b type veth peer name end netns $a
		link add right$$ netns $b type veth peer name end netns $c
	END
	ip -n "$b" -batch - <<-END
		addr add 10.79.1.1/24 dev left$$
		addr add 10.79.2.1/24 dev right$$
		link set left$$ up
		link set right$$ up
	END
	ip netns exec "$b" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	for side in 1:$a 2:$c; do
		ip -n "${side#*:}" -batch - <<-END
			addr add 10.79.${side%:*}.2/24 dev end
			link set end up
			route add default via 10.79.${side%:*}.1
		END
		eventually is_up "${side#*:}" end
	done
	"$NETMON" --layer ip -v -f jsonl --proto udp --net 10.79.0.0/16 \
		-o comm,iface,rx_calls,tx_calls >all 2>messages 3>&- &
	netmon=$!
	until grep -qx "netmon: counting" messages; do kill -0 $netmon || fail "$(cat messages)"; sleep 0.02; done
	exchange 100 "$a" "$c"
	stop
	equal "$(jq -sc 'group_by(.iface) | map([.[0].iface, (map(.rx_calls) | add), (map(.tx_calls) | add)])' all)" \
		'[["end",200,200]]'
}

@test "a tunnel on an interface has its own packets, and that has them wrapped" {
	local a=$$-a b=$$-b
	namespaces="$a $b"
	ip netns add "$a"
	ip netns add "$b"
	ip -n "$a" link add end type veth peer name end netns "$b"
	for side in 1:2:$a 2:1:$b; do
		ip netns exec "${side##*:}" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
		ip -n "${side##*:}" -batch - <<-END
			link set lo up
			addr add 10.79.1.${side%%:*}/24 dev end
			link set end up
			link add tunnel type vxlan id 1 dev end remote 10.79.1.$(cut -d : -f 2 <<<"$side") dstport 4789
			addr add 10.79.2.${side%%:*}/24 dev tunnel
			link set tunnel up
		END
	done
	"$NETMON" --layer ip -v -i 60 -f jsonl --proto udp --net 10.79.0.0/16 \
		-o pid,comm,iface,rx_bytes,rx_calls,tx_bytes,tx_calls >reports 2>messages 3>&- &
	netmon=$!
	until grep -qx "netmon: counting" messages; do kill -0 $netmon || fail "$(cat messages)"; sleep 0.02; done
	exchange 10 "$a" "$b"
	stop
	equal "$(reported '.[] | select(.iface == "tunnel") | [.comm, .rx_bytes, .rx_calls, .tx_bytes, .tx_calls] | @csv')" \
		$'"python3",1280,10,1280,10\n"python3",1280,10,1280,10'
	equal "$(reported 'map(select(.iface == "end")) | (map(.tx_calls) | add) >= 20')" true
}

# tunnel RULES: netmon beside a namespace with a tunnel's device and these rules of nftables, and what runs
# there on standard input, after a few words of Python; ./reports has the rows of the device
tunnel() {
	local words
	words=$(cat <<-'END'
		import fcntl, os, socket, struct, sys, time

		def name(text):
		    with open("/proc/self/comm", "w") as comm:
		        comm.write(text)

		def ip(proto, data):  # from 10.79.0.2
		    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 0, 0, 64, proto, 0,
		                       bytes((10, 79, 0, 2)), bytes((10, 79, 0, 1)))
		    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data

		def checksum(data):
		    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
		    while total >> 16:
		        total = (total & 0xffff) + (total >> 16)
		    return total ^ 0xffff

		def udp(port, size):
		    return ip(17, struct.pack("!HHHH", 5000, port, 8 + size, 0) + bytes(size))

		def tcp(flags, sequence, answers, data=b""):
		    segment = struct.pack("!HHIIBBHHH", 5000, 7, sequence, answers, 5 << 4, flags, 60000, 0, 0) + data
		    pseudo = bytes((10, 79, 0, 2, 10, 79, 0, 1, 0, 6)) + struct.pack("!H", len(segment))
		    return ip(6, segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:])

		device = os.open("/dev/net/tun", os.O_RDWR)
		fcntl.ioctl(device, 0x400454ca, struct.pack("16sH22x", b"tunnel", 0x1001))  # TUNSETIFF: IFF_TUN, IFF_NO_PI
		os.system("ip addr add 10.79.0.1/24 dev tunnel && ip link set tunnel up")
		os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
	END
	)
	modprobe -q tun || true
	"$NETMON" --layer ip -v -i 60 -f jsonl --iface tunnel -o comm,netns,lport,rx_bytes,rx_calls,tx_bytes,tx_calls \
		>all 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do kill -0 $netmon || fail "$(cat messages)"; sleep 0.02; done
	echo "$words
$(cat)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))  # a softirq here
os.system('ip -j -s link show tunnel >counters')" >program
	unshare --net bash -euc '
		ip link set lo up
		echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
		stat -Lc %i /proc/self/ns/net >namespace
		nft -f - <<<"$1"
		python3 program' - "$1"
	stop
	jq -c "select(.netns == $(cat namespace)) | del(.netns)" all >reports
	equal "$(reported '[(map(.rx_bytes) | add), (map(.rx_calls) | add)] | @csv')" \
		"$(jq -r '.[0].stats64.rx | [.bytes, .packets] | @csv' counters)"
}

@test "what comes outside of polls, from a tunnel's device, is of its socket, however much" {
	tunnel '' <<-'END'
		name("receiver")
		receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		receiver.bind(("10.79.0.1", 7))
		for _ in range(300):
		    os.write(device, udp(7, 100))
	END
	equal "$(reported '.[] | select(.comm == "receiver") | [.rx_bytes, .rx_calls] | @csv')" 38400,300
}

@test "NAT: what a socket gets is its own, with the ports that it came with" {
	tunnel 'table ip nat {
		chain pre { type nat hook prerouting priority -100; udp dport 80 redirect to :7; }
	}' <<-'END'
		name("receiver")
		receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		receiver.bind(("10.79.0.1", 7))
		for _ in range(10):
		    os.write(device, udp(80, 100))
		    data, peer = receiver.recvfrom(1000)
		    receiver.sendto(data, peer)
	END
	equal "$(reported 'map(.comm) | unique | @json')" '["receiver"]'
	equal "$(reported '.[] | [.lport, .rx_bytes, .rx_calls, .tx_bytes, .tx_calls] | @csv')" 80,1280,10,1280,10
}

@test "of packets that look the same, those that are dropped are nobody's" {
	tunnel 'table ip filter {
		chain in { type filter hook input priority 0; meta length > 1000 drop; }
	}' <<-'END'
		name("receiver")
		receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		receiver.bind(("10.79.0.1", 7))
		for _ in range(10):
		    os.write(device, udp(7, 1400))
		    os.write(device, udp(7, 50))
	END
	equal "$(reported 'sort_by(.comm) | .[] | [.comm, .rx_bytes, .rx_calls] | @csv')" \
		$'"(kernel)",14280,10\n"receiver",780,10'
}

@test "who writes to a tunnel's device is not who uses the sockets" {
	tunnel '' <<-'END'
		listener = socket.create_server(("10.79.0.1", 7))
		if not os.fork():
		    name("writer")
		    os.write(device, tcp(0x02, 1000, 0))
		    answer = b""
		    while answer[9:10] != b"\6":
		        answer = os.read(device, 2000)
		    answers = struct.unpack("!I", answer[24:28])[0] + 1
		    os.write(device, tcp(0x10, 1001, answers))
		    for number in range(5):
		        os.write(device, tcp(0x18, 1001 + number * 1000, answers, bytes(1000)))
		    os._exit(0)
		os.wait()
		name("receiver")
		connection, _ = listener.accept()
		received = 0
		while received < 5000:
		    received += len(connection.recv(65536))
	END
	equal "$(reported 'map(.comm) | unique | @json')" '["receiver"]'
	equal "$(reported '.[] | [.rx_bytes, .rx_calls] | @csv')" 5280,7
}

# Beside others

@test "other programs at the root of cgroup v2 keep working" {
	cat >other.bpf.c <<-'END'
		#include <linux/bpf.h>
		#include <bpf/bpf_helpers.h>
		__u64 seen;
		SEC("cgroup_skb/egress") int other(struct __sk_buff *skb)
		{
			__sync_fetch_and_add(&seen, 1);
			return 1;
		}
		char LICENSE[] SEC("license") = "GPL";
	END
	clang -O2 -g -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -c -o other.bpf.o other.bpf.c
	seen() {
		bpftool -j map dump id "$(bpftool -j prog show pinned "$pin" | jq '.map_ids[0]')" | jq -c '.[0].formatted.value | .. | .seen? // empty'
	}
	for order in before after; do
		[ $order = after ] || bpftool prog load other.bpf.o "$pin"
		[ $order = after ] || bpftool cgroup attach "$root" egress pinned "$pin" multi
		look
		[ $order = before ] || bpftool prog load other.bpf.o "$pin"
		[ $order = before ] || bpftool cgroup attach "$root" egress pinned "$pin" multi
		pings 10
		with=$(seen)
		stop
		jq -se "map(select(.netns == $(cat namespace)))" all >/dev/null
		pings 10
		[ "$with" -ge 20 ]
		[ "$(seen)" -ge $((with + 20)) ]
		bpftool cgroup detach "$root" egress pinned "$pin"
		rm "$pin"
	done
}

@test "without a mounted cgroup v2" {
	unshare --mount bash -euc '
		umount --all --types cgroup2
		[ -z "$(findmnt --types cgroup2)" ]
		"$NETMON" --layer ip -f jsonl --iface lo --to rows -o rx_calls,tx_calls -- \
			unshare --net sh -c "ip link set lo up; exec $1/t/traffic udp-sendto -b 100000" >account
		cat rows' - "$BUILD"
	equal "$(jq -sc 'map(.rx_calls, .tx_calls) | unique | length' rows)" 1
	[ "$(jq -s '.[0].rx_calls' rows)" -gt 70 ]
}

# The command line

@test "an error of the command line: what only the other layer has" {
	run -2 --separate-stderr "$NETMON" --iface lo
	contains "$stderr" "cannot use --iface without --layer ip"
	run -2 --separate-stderr "$NETMON" -o +iface
	contains "$stderr" "cannot use column 'iface' without --layer ip"
	run -2 --separate-stderr "$NETMON" --layer ip --attach fexit
	contains "$stderr" "cannot use --attach with --layer ip"
	run -2 --separate-stderr "$NETMON" --layer ip --iface a-name-that-is-too-long
	contains "$stderr" "for --iface: a name has 1 to 15 bytes"
	run -2 --separate-stderr "$NETMON" --layer line
	contains "$stderr" "it takes socket or ip"
}

@test "-o all has iface in layer ip only" {
	"$NETMON" -n 1 -i 0.01 -o all | head -n 1 >socket
	"$NETMON" --layer ip -n 1 -i 0.01 -o all | head -n 1 >ip
	equal "$(sed 's/,iface,/,/' ip)" "$(cat socket)"
	contains "$(cat ip)" ,iface,
}
