#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2086,SC2016	# what lib/common sets; options are words; programs in quotes
# Layer ip: compares rows with the counters of interfaces and nftables, and with TCP_INFO.

load lib/common
load lib/live

setup() {
	live_setup
	pin=/sys/fs/bpf/netmon-test-$$
	root=$(cgroup_root)
	export NETMON BUILD
	beside_layer_ip
	new_namespace
	[[ $BATS_TEST_DESCRIPTION == *5.15* ]] || ! is_too_old || skip "this kernel has no way to layer ip"
}

# is_too_old: whether netmon says that the kernel is too old, and is right
is_too_old() {
	"$NETMON" --no-pin --layer ip -n 1 -i 0.01 2>&1 >/dev/null | grep -qF 'it takes Linux 5.15' || return 1
	case $(uname -rm) in
	5.[0-9].* | 5.1[0-4].*) ;;
	5.*aarch64 | 6.[0-3].*aarch64) ;;
	*) fail "not so: $(uname -rm)" ;;
	esac
}

teardown() {
	live_teardown
	for namespace in ${namespaces-}; do ip netns delete "$namespace" || true; done
	[ ! -e namespace ] || umount own-namespace
	[ -z "${own_cgroup-}" ] || rmdir "$own_cgroup"
	if [ -e "$pin" ]; then
		bpftool cgroup detach "$root" egress pinned "$pin" || true
		rm "$pin"
	fi
}

compared() { "$here/compare/layer-ip" "$@"; }

# Compared with the counters of interfaces, offloads off

@test "rows of a bulk transfer over IPv4 add up to the interfaces' counters" { compared interface bulk4; }
@test "rows of a bulk transfer over IPv6 add up to the interfaces' counters" { compared interface bulk6; }
@test "rows of writes of one byte over IPv4 add up to the interfaces' counters" { compared interface bytes4; }
@test "rows of writes of one byte over IPv6 add up to the interfaces' counters" { compared interface bytes6; }
@test "rows of 2,000 short connections over IPv4 add up to the interfaces' counters" { compared interface short4; }
@test "rows of 2,000 short connections over IPv6 add up to the interfaces' counters" { compared interface short6; }
@test "rows of datagrams add up to the interfaces' counters" { compared interface datagrams4 datagrams6; }
@test "rows of packets with IPv6 extension headers, of bundles too, add up to the interfaces' counters" {
	compared extensions bulk6 datagrams6
}

# Compared with TCP_INFO, offloads on

@test "a bundle of segments counts as the segments and headers that TCP_INFO has" {
	compared sockets bulk4 bulk6 bytes4 bytes6
}
@test "a bundle of datagrams (UDP_SEGMENT) counts as datagrams" { compared datagrams 1200 200 10; }
@test "a fragmented datagram counts as one packet" { compared datagrams 9000 300 0; }
@test "12,000 packets in a row are all counted, even if softirqs are preempted (PREEMPT_RT)" {
	compared datagrams 100 6000 0
}
@test "retransmits are in layer ip and in tx_retrans, as TCP_INFO has them, and not in layer socket" {
	compared loss bulk4 bulk6
}

@test "a bundle without a number of segments (gso_segs 0, from a virtual machine's host) counts as its segments" {
	cat >inject.py <<-'END'
		import fcntl, os, socket, struct, subprocess
		tun = os.open("/dev/net/tun", os.O_RDWR)
		fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"tun", 0x5001))  # TUNSETIFF: IFF_TUN, NO_PI, VNET_HDR
		subprocess.run(["ip", "addr", "add", "10.79.3.1/24", "dev", "tun"], check=True)
		subprocess.run(["ip", "link", "set", "tun", "up"], check=True)
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(20)
		s.setsockopt(socket.IPPROTO_UDP, 104, 1)  # UDP_GRO: receive the bundle whole
		s.bind(("10.79.3.1", 7))
		ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 3528, 1, 0, 64, 17, 0, socket.inet_aton("10.79.3.2"),
		                 socket.inet_aton("10.79.3.1"))
		total = sum(struct.unpack("!10H", ip))
		total = (total & 0xffff) + (total >> 16)
		ip = ip[:10] + struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + ip[12:]
		# NEEDS_CSUM, GSO_UDP_L4, headers, segments of 1000, where UDP begins, where its checksum is
		head = struct.pack("=BBHHHH", 1, 5, 28, 1000, 20, 6)
		os.write(tun, head + ip + struct.pack("!HHHH", 9, 7, 3508, 0) + bytes(3500))
		assert len(s.recv(65536)) == 3500
	END
	modprobe -q tun || true
	[ -e /dev/net/tun ] || skip "not in this kernel: tun"
	case $(uname -r) in 5.* | 6.[01].*) skip "Linux 6.2 takes bundles of datagrams from a tun" ;; esac
	look --proto udp
	charged python3 inject.py
	equal "$(reported 'map([.comm, .rx_bytes, .rx_calls]) | @json')" "[[\"python3\",$((3500 + 4 * 28)),4]]"
}

# Three duplicate acknowledgements make TCP send the first segment again, without a timer.  A real-time
# process that does not sleep meanwhile has all of it happen in its own context: a kernel may run no
# tracing program where a softirq interrupts a certain process.
@test "a failed retransmit and a repeated SYN-ACK are not in tx_retrans" {
	look --proto tcp -o pid,comm,netns,tx_calls,tx_retrans
	charged bash -c 'with_names "$1"' - '
import subprocess
def nft(chain, rule):
    subprocess.run(["nft", "-f", "-"], input="table ip lossy { chain %s { type filter hook %s priority 0; tcp dport 80 %s drop; }; }" % (
        chain, chain, rule), text=True, check=True)
def counter(name):
    with open("/proc/net/snmp") as snmp, open("/proc/net/netstat") as netstat:
        lines = [line.split() for line in [*snmp, *netstat]]
    return next(int(numbers[names.index(name)]) for names, numbers in zip(lines[::2], lines[1::2]) if name in names)
def retransmitted(sock):
    return int(subprocess.check_output([os.environ["BUILD"] + "/t/tcp-info", str(sock.fileno())],
                                       pass_fds=[sock.fileno()]).split()[3])
def lose_one(sock, counted):
    before = counter(counted)
    nft("input", "quota 160 bytes")  # only the first of these segments
    for size in 100, 50, 50, 50:
        sock.send(b"x" * size)
    while counter(counted) == before:
        pass
accepted, by_server = os.pipe()
def ask():
    sock = socket.create_connection(("127.0.0.1", 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wait_for(accepted)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    lose_one(sock, "RetransSegs")
    print(retransmitted(sock), counter("TCPSynRetrans"), flush=True)
    nft("output", "quota over 470 bytes")  # four segments leave, and no fifth
    lose_one(sock, "TCPRetransFail")
    os._exit(0)
listener = socket.socket()
listener.bind(("127.0.0.1", 80))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)  # without data, SYN-ACK is sent again
listener.listen()
name("server")
client = process("client", ask)
connection, _ = listener.accept()
tell(by_server)
os.waitpid(client, 0)
'
	cat account reports # bats prints them if the test fails
	equal "$(cat account)" "1 1"
	equal "$(reported 'map(select(.comm == "client") | .tx_retrans) | add')" 1
	equal "$(reported 'map(select(.comm == "server") | .tx_retrans) | add')" 0
}

# Which process packets are charged to

# look [OPTION]...: starts netmon, in the namespace $inside if that is set; returns when it counts
look() {
	: >messages
	${inside:+nsenter --net=/run/netns/$inside} "$NETMON" --no-pin --layer ip -v -i "${interval-60}" -f jsonl $roomy \
		-o pid,comm,netns,iface,rx_bytes,rx_calls,tx_bytes,tx_calls "$@" >all 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do
		kill -0 $netmon || fail "$(cat messages)"
		sleep 0.02
	done
}

# keep_own: ./reports has the rows of $namespaces, or else of new_namespace()
keep_own() {
	local name numbers
	numbers=$([ -n "${namespaces-}" ] || cat namespace; for name in ${namespaces-}; do stat -Lc %i "/run/netns/$name"; done)
	jq -c "select(IN(.netns; $(paste -sd , <<<"$numbers")))" all >reports
}

# new_namespace: makes a network namespace without retransmits and with TCP headers of a fixed length.
# It is there before and after each netmon: meanwhile, no other namespace has its number.
new_namespace() {
	touch own-namespace
	unshare --net="$PWD/own-namespace" bash -euc '
		ip link set lo up
		echo 0 >/proc/sys/net/ipv4/tcp_early_retrans
		echo 0 >/proc/sys/net/ipv4/tcp_recovery
		echo 0 >/proc/sys/net/ipv4/tcp_sack
		ip route change local 127.0.0.0/8 dev lo table local src 127.0.0.1 rto_min 20s
		stat -Lc %i /proc/self/ns/net >namespace'
}

# alone COMMAND...: in that namespace
alone() {
	nsenter --net=own-namespace bash -euc '
		status=0
		"$@" || status=$?
		awk "/^Tcp: [0-9]/ { print \$13 }" /proc/net/snmp >retransmitted
		exit $status' - "$@"
}

# charged COMMAND...: runs it in that namespace; ./reports has the rows of its traffic
charged() {
	alone timeout 60 "$@" >account
	# the last packets can come, and be charged to a process, after its end
	for _ in {1..7}; do
		sleep 0.1
		[ -n "$(nsenter --net=own-namespace ss -Htn state connected exclude time-wait)" ] || break
	done
	stop
	! grep full messages || fail "$(cat messages)"
	keep_own
}

# with_names PROGRAM: runs python3 with a few more functions; process(NAME, WORK) forks.  On one CPU: a packet
# that arrives while another CPU completes its connection would count twice.
with_names() {
	python3 -c 'import os, socket, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
def name(text):
    with open("/proc/self/comm", "w") as comm:
        comm.write(text)
def process(text, work):
    pid = os.fork()
    if not pid:
        name(text)
        work()
        os._exit(0)
    return pid
def tell(end): os.write(end, b".")
def wait_for(end): assert os.read(end, 1)
'"$1"
}
export -f with_names

# packets_of NAME: packets received and sent
packets_of() {
	reported "map(select(.comm == \"$1\")) | [(map(.rx_calls) | add // 0), (map(.tx_calls) | add // 0)] | @csv"
}

# payload_of NAME: bytes received and sent by TCP over IPv4, without 52 bytes of headers per packet; a SYN
# has 8 more
payload_of() {
	reported "map(select(.comm == \"$1\")) |
		[(map(.rx_bytes - 52 * .rx_calls) | add // 0), (map(.tx_bytes - 52 * .tx_calls) | add // 0)] | @csv"
}

@test "a process that is passed a socket is charged for its packets after its first call" {
	look --proto udp
	charged bash -c 'with_names "$1"' - '
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
a, b = socket.socketpair()
def give():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(10):
        s.sendto(b"x" * 100, receiver.getsockname())
    socket.send_fds(a, [b"."], [s.fileno()])
def take():
    _, fds, _, _ = socket.recv_fds(b, 1, 1)
    s = socket.socket(fileno=fds[0])
    for _ in range(10):
        s.sendto(b"x" * 100, receiver.getsockname())
for pid in process("giver", give), process("taker", take):
    os.waitpid(pid, 0)
'
	# the first packet is sent before the call returns
	equal "$(packets_of giver)" 0,11
	equal "$(packets_of taker)" 0,9
	equal "$(packets_of python3)" 20,0
}

@test "a socket is charged to its creator until a child that inherited it uses it" {
	look --proto udp
	charged bash -c 'with_names "$1"' - '
name("parent")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
def send():
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(5):
        other.sendto(b"x", s.getsockname())
os.waitpid(process("sender", send), 0)
def use():
    for _ in range(5):
        s.recv(10)
    send()
os.waitpid(process("child", use), 0)
'
	equal "$(packets_of parent)" 5,0
	equal "$(packets_of sender)" 0,5
	equal "$(packets_of child)" 5,5
}

@test "a process that reuses the pid of a socket's last user is charged after its first call" {
	look --proto udp
	charged bash -c 'with_names "$1"' - '
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
def send():
    for _ in range(5):
        s.sendto(b"x", s.getsockname())
before = process("before", send)
os.waitpid(before, 0)
def send_if_same():
    if os.getpid() == before:
        send()
for _ in range(1000):
    with open("/proc/sys/kernel/ns_last_pid", "w") as pid:
        pid.write(str(before - 1))
    after = process("after", send_if_same)
    os.waitpid(after, 0)
    if after == before:
        break
else:
    raise SystemExit("nobody got the pid again")
'
	equal "$(reported 'map(select(.comm == "before" or .comm == "after") | .pid) | unique | length')" 1
	equal "$(packets_of after)" 4,4
}

@test "workers that accept on one socket have the packets of their connections, and the listener has the earlier ones" {
	look --proto tcp
	charged bash -c 'with_names "$1"' - '
name("listener")
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
def work():
    for _ in range(5):
        connection = listener.accept()[0]
        assert connection.recv(1000) == b"x" * 100
        connection.send(b"y" * 1000)
        assert connection.recv(1000) == b"x" * 200
        assert not connection.recv(1000)
        connection.close()
def ask():
    for _ in range(15):
        s = socket.create_connection(listener.getsockname())
        s.send(b"x" * 100)
        s.recv(1000, socket.MSG_WAITALL)
        s.send(b"x" * 200)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
for pid in [process("worker%d" % i, work) for i in range(3)] + [process("client", ask)]:
    os.waitpid(pid, 0)
'
	# SYN and the first request; SYN-ACK
	equal "$(payload_of listener)" $((15 * (8 + 100))),$((15 * 8))
	for worker in worker0 worker1 worker2; do equal "$(payload_of $worker)" 1000,5000; done
	equal "$(payload_of client)" $((15 * (8 + 1000))),$((15 * (8 + 300)))
}

@test "processes that live for milliseconds have their packets, including those after their end" {
	look --proto tcp
	charged bash -c 'with_names "$1"' - '
name("sink")
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(100)
def send():
    s = socket.create_connection(listener.getsockname())
    s.send(b"x" * 100)
for i in range(60):
    os.waitpid(process("short%d" % i, send), 0)
    connection = listener.accept()[0]
    while connection.recv(1000):
        pass
    connection.close()
'
	# SYN, acknowledgement and bytes; the FIN comes after the end
	equal "$(reported 'map(select(.comm | startswith("short")) | .tx_bytes - 52 * .tx_calls) | group_by(.) |
		map([length, .[0]]) | @json')" '[[60,108]]'
	equal "$(reported 'map(select(.comm | startswith("short")) | .tx_calls >= 4) | unique | @json')" '[true]'
	equal "$(reported 'map(select(.comm | startswith("short")) | .pid) | unique | length')" 60
	equal "$(payload_of sink)" $((60 * (8 + 100))),$((60 * 8))
}

@test "packets that are sent long after the end of a process are charged to the kernel" {
	look --proto tcp
	charged bash -c 'with_names "$1"' - '
name("reader")
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
listener.bind(("127.0.0.1", 0))
listener.listen()
def send():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    s.connect(listener.getsockname())
    s.setblocking(False)
    print(s.send(bytes(200000)), flush=True)
os.waitpid(process("sender", send), 0)
connection = listener.accept()[0]
time.sleep(1.5)
while connection.recv(65536):
    pass
'
	local sender kernel
	sender=$(payload_of sender)
	kernel=$(payload_of '(kernel)')
	[ "${kernel#*,}" -gt 100000 ]
	equal $((${sender#*,} - 8 + ${kernel#*,})) "$(cat account)"
}

@test "a process that execs itself, and its threads, are one process" {
	look --proto udp
	charged python3 -c '
import os, socket, sys, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
os.set_inheritable(s.fileno(), True)
def send():
    for _ in range(5):
        s.sendto(b"x", s.getsockname())
threads = [threading.Thread(target=send) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.execv(sys.executable, ["python3", "-c", """
import socket
s = socket.socket(fileno=%d)
for _ in range(5):
    s.sendto(b"x", s.getsockname())
""" % s.fileno()])
'
	equal "$(reported 'map([.rx_calls, .tx_calls]) | @json')" '[[20,20]]'
}

@test "a socket from before netmon is charged to a process that has it open" {
	mkfifo input
	alone bash -c 'with_names "$1"' - '
name("before")
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
a.bind(("127.0.0.1", 0))
b.connect(a.getsockname())
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    b.send(b"x")
' <input >account 3>&- &
	traffic=$!
	exec 8>input
	eventually grep -q ready account
	look --proto udp
	echo >&8
	wait $traffic
	exec 8>&-
	stop
	keep_own
	# even the first packet, before any call is seen
	equal "$(packets_of before)" 10,10
	equal "$(reported length)" 1
}

@test "subflows of MPTCP are charged to the process that uses the MPTCP socket, or listens on it" {
	[ -e /proc/sys/net/mptcp/enabled ] || skip "not in this kernel: MPTCP"
	look --proto tcp
	charged bash -c 'with_names "$1"' - '
MPTCP = 262
name("listener")
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
listener.bind(("127.0.0.1", 0))
listener.listen()
def work():
    for _ in range(2):
        connection = listener.accept()[0]
        connection.recv(1000)
        connection.send(b"y" * 1000)
        while connection.recv(100000):
            pass
        connection.close()
def ask(protocol):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    s.connect(listener.getsockname())
    s.send(b"x" * 100)
    s.recv(1000, socket.MSG_WAITALL)
    s.sendall(bytes(100000))
worker = process("worker", work)
os.waitpid(process("mptcp", lambda: ask(MPTCP)), 0)
os.waitpid(process("tcp", lambda: ask(0)), 0)
os.waitpid(worker, 0)
'
	for client in mptcp tcp; do
		reported "map(select(.comm == \"$client\"))[0] | .rx_bytes > 1000 and .tx_bytes > 100100" | grep -qx true
	done
	reported 'map(select(.comm == "worker"))[0] | .rx_bytes > 200000 and .tx_bytes > 2000' | grep -qx true
	# the handshakes and requests; the kernel can send the packets that close a connection
	reported 'map(select(.comm == "listener"))[0] | .rx_bytes < 2000 and .rx_calls >= 4' | grep -qx true
	reported 'map(select(.comm == "(kernel)") | .rx_bytes + .tx_bytes) | add // 0 | . < 1000' | grep -qx true
}

# Keys and filters

# pings NUMBER: that many datagrams of 100 bytes, with an answer to each, in new_namespace()
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

@test "filters, keys and -- COMMAND work as in layer socket" {
	for words in '--port 7' '--proto udp' '--iface lo' '--iface eth0,lo' '--iface !eth0' '--net 127.0.0.0/8' '--user root' \
		'--user !nobody' '--cgroup !/no-such-*,!/nor-this*'; do
		"$NETMON" --no-pin --layer ip -f jsonl $words --to rows \
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
}

@test "a filter that no packet passes leaves no row in layer ip" {
	for words in '--port 9' '--proto tcp' '--iface eth0' '--iface !lo' '--net !127.0.0.0/8' '--user nobody' \
		'--user !root' '--cgroup /no-such-*' --no-loopback; do
		"$NETMON" --no-pin --layer ip -f jsonl $words --to rows -o iface,rx_bytes -- \
			unshare --net sh -c 'ip link set lo up; exec "$@"' - "$BUILD/t/traffic" udp-sendto -b 10000
		equal "$words: $(cat rows)" "$words: "
	done
}

@test "--cgroup follows a process that leaves the cgroup" {
	own_cgroup=$(cgroup_root)/netmon-test-$BASHPID
	mkdir "$own_cgroup"
	look --proto udp --cgroup "/${own_cgroup##*/}"
	cgroup=$own_cgroup charged bash -c 'with_names "$1"' - '
def enter(cgroup):
    with open(cgroup + "/cgroup.procs", "w") as processes:
        processes.write("0")
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for cgroup in os.environ["cgroup"], os.path.dirname(os.environ["cgroup"]), os.environ["cgroup"]:
    enter(cgroup)
    for _ in range(10):
        sender.sendto(b"x", receiver.getsockname())
'
	# the first packet after each move is sent before the call returns
	equal "$(reported 'map(.tx_calls) | add')" $((9 + 1 + 9))
}

@test "a packet that the kernel itself sends is in the row (kernel), and a packet for no socket is in no row" {
	look --proto tcp --port 19 -o pid,comm,uid,netns,rx_calls,tx_calls
	alone python3 -c '
import socket
for _ in range(5):
    try:
        socket.create_connection(("127.0.0.1", 19))
    except ConnectionRefusedError:
        pass'
	stop
	keep_own
	# the SYN has no socket, the RST comes from the kernel's socket
	equal "$(reported 'map(select(.comm == "(kernel)")) | [(map(.rx_calls) | add), (map(.tx_calls) | add),
		(map(.uid) | unique)] | @json')" '[0,5,[null]]'
	equal "$(reported 'map(select(.comm != "(kernel)")) | [(map(.rx_calls) | add), (map(.tx_calls) | add)] | @json')" '[5,5]'
}

# is_up NAMESPACE INTERFACE: whether it can send
is_up() {
	ip -n "$1" link show "$2" | grep -q 'state UP'
}

# exchange NUMBER A B: that many datagrams of 100 bytes from namespace A to 10.79.2.2 in namespace B, with an
# answer to each
exchange() {
	: >answering # without what an exchange before wrote
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

@test "a forwarded packet is in no row of the machine that forwards it" {
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
	look --proto udp --net 10.79.0.0/16
	exchange 100 "$a" "$c"
	stop
	keep_own
	equal "$(reported 'group_by(.iface) | map([.[0].iface, (map(.rx_calls) | add), (map(.tx_calls) | add)]) | @json')" \
		'[["end",200,200]]'
}

# has_no_names: whether this kernel forbids reading names of interfaces (lockdown before Linux 6.2)
has_no_names() {
	grep -qsF '[confidentiality]' /sys/kernel/security/lockdown && [[ $(uname -r) == 5.* || $(uname -r) == 6.[01].* ]]
}

# near_and_far NAME NAME: two namespaces, a and b, joined by interfaces that are made under these names and
# then called near and far
near_and_far() {
	a=$$-a b=$$-b inside=$a
	namespaces="$a $b"
	ip netns add "$a"
	ip netns add "$b"
	ip -n "$a" link add "$1" index 77 type veth peer name "$2" index 88 netns "$b"
	[ "$1" = near ] || ip -n "$a" link set "$1" name near
	[ "$2" = far ] || ip -n "$b" link set "$2" name far
	ip -n "$a" addr add 10.79.2.1/24 dev near
	ip -n "$b" addr add 10.79.2.2/24 dev far
	ip -n "$a" link set near up
	ip -n "$b" link set far up
	eventually is_up "$a" near
}

@test "an interface has its name, even if the kernel can only read its index" {
	local far=far
	near_and_far near far
	! has_no_names || far=if88
	look --net 10.79.0.0/16 --iface near
	exchange 10 "$a" "$b"
	stop
	keep_own
	equal "$(reported 'map([.iface, .rx_calls, .tx_calls]) | @json')" '[["near",10,10]]'
	look --net 10.79.0.0/16
	exchange 10 "$a" "$b"
	stop
	keep_own
	equal "$(reported 'map([.iface, .rx_calls, .tx_calls]) | sort | @json')" "[[\"$far\",10,10],[\"near\",10,10]]"
	# the namespace is known for both
	equal "$(reported 'map(.netns) | sort | .[]')" "$(stat -Lc %i "/run/netns/$a" "/run/netns/$b" | sort -n)"
}

@test "a renamed interface has its new name only" {
	near_and_far a-much-longer-1 other
	look --net 10.79.0.0/16 --iface near
	exchange 10 "$a" "$b"
	stop
	keep_own
	equal "$(reported 'map([.iface, .rx_calls, .tx_calls]) | @json')" '[["near",10,10]]'
	look --net 10.79.0.0/16 --iface '!near'
	exchange 10 "$a" "$b"
	stop
	keep_own
	equal "$(reported 'map([.iface == "near", .rx_calls, .tx_calls]) | @json')" '[[false,10,10]]'
}

@test "a tunnel's packets are counted at its device, and not wrapped at the device below" {
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
	look --proto udp --net 10.79.0.0/16
	exchange 10 "$a" "$b"
	stop
	keep_own
	equal "$(reported 'map([.comm, .iface, .rx_bytes, .rx_calls, .tx_bytes, .tx_calls]) | sort | @json')" \
		'[["python3","tunnel",1280,10,1280,10],["python3","tunnel",1280,10,1280,10]]'
}

@test "with NAT, a connected socket has its own ends, and an unconnected one has the packet's" {
	local words='-o pid,comm,netns,lport,rport,rx_calls,tx_calls'
	look --proto udp $words
	charged bash -c 'nft -f - <<<"table ip nat {
		chain out { type nat hook output priority -100; udp dport 80 redirect to :7; }
	}"
	python3 -c "
import socket
server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
server.bind((\"127.0.0.1\", 7))
client.bind((\"127.0.0.1\", 8))
client.connect((\"127.0.0.1\", 80))
for _ in range(5):
    client.send(b\"x\")
    data, peer = server.recvfrom(10)
    server.sendto(data, peer)
    client.recv(10)
"'
	equal "$(reported 'map([.lport, .rport, .rx_calls, .tx_calls]) | sort | @json')" '[[7,8,5,0],[8,80,5,5],[80,8,0,5]]'
}

# Former faults

@test "a frame that is not IP is in no row, whatever it looks like" {
	look
	charged python3 -c '
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("lo", 0x88b5))
for _ in range(10):
    s.send(bytes(12) + b"\x88\xb5" + bytes((0x45, 0, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)) + bytes(80))
'
	equal "$(cat reports)" ""
}

@test "a later fragment that a process sends by hand has no ports" {
	look -o pid,comm,netns,proto,lport,rport,tx_bytes,tx_calls
	charged python3 -c '
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 36, 1, 100, 64, socket.IPPROTO_UDP, 0, *[socket.inet_aton("127.0.0.1")] * 2)
for _ in range(10):
    s.sendto(header + struct.pack("!8H", *range(1001, 1009)), ("127.0.0.1", 0))
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
header = struct.pack("!IHBB16s16sBBHI", 6 << 28, 24, 44, 64, *[socket.inet_pton(socket.AF_INET6, "::1")] * 2, 17, 0, 800, 1)
for _ in range(10):
    s.sendto(header + struct.pack("!8H", *range(1001, 1009)), ("::1", 0))
'
	equal "$(reported 'map(select(.comm == "python3") | [.proto, .lport, .rport, .tx_bytes, .tx_calls]) | sort | @json')" \
		'[["udp",null,null,1000,20]]'
}

@test "lone fragments do not keep other packets from being counted" {
	look --proto udp
	charged python3 -c '
import socket, struct, threading
lone = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(("127.0.0.1", 0))
for number in range(200):
    # more fragments, at offset 0
    lone.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, number, 0x2000, 64, 17, 0, socket.inet_aton("127.0.0.1"),
                            socket.inet_aton("127.0.0.1")) + bytes(24), ("127.0.0.1", 0))
    sender.sendto(b"x" * 100, receiver.getsockname())
    receiver.recv(1000)
'
	equal "$(reported 'map([.comm, .rx_bytes, .rx_calls, .tx_bytes, .tx_calls]) | @json')" \
		"[[\"python3\",$((200 * 128)),200,$((200 * (128 + 44))),400]]"
}

@test "in a private cgroup namespace packets are charged as outside, or netmon reports why not" {
	mkdir "$root/netmon-private-$$"
	bash -c 'echo $$ >"$1/cgroup.procs"
		exec unshare --mount --cgroup --propagation private bash -c "umount --lazy \"\$1\"
			mount -t cgroup2 none \"\$1\"
			exec \"$NETMON\" --layer ip --no-pin -v -i 60 -f jsonl -o comm,netns,rx_calls,tx_calls" - "$2"' \
		- "$root/netmon-private-$$" "$root" >all 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do kill -0 $netmon 2>/dev/null || break; sleep 0.02; done
	if kill -0 $netmon 2>/dev/null; then
		pings 10
		stop
		keep_own
		equal "$(reported 'map([.comm, .rx_calls, .tx_calls]) | @json')" '[["python3",20,20]]'
	else
		netmon=
		contains "$(cat messages)" 'cgroup namespace'
	fi
	rmdir "$root/netmon-private-$$"
}

@test "another program that holds the hook exclusively is named as the reason" {
	cat >other.bpf.c <<-'END'
		#include <linux/bpf.h>
		#include <bpf/bpf_helpers.h>
		SEC("cgroup_skb/egress") int other(struct __sk_buff *skb) { return 1; }
		char LICENSE[] SEC("license") = "GPL";
	END
	clang -O2 -g -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -c -o other.bpf.o other.bpf.c
	beside_layer_ip --exclusive
	! bpftool cgroup show "$root" | grep -q egress || skip "another program is attached there"
	bpftool prog load other.bpf.o "$pin"
	bpftool cgroup attach "$root" egress pinned "$pin"
	run -1 --separate-stderr "$NETMON" --no-pin --layer ip -n 1
	bpftool cgroup detach "$root" egress pinned "$pin"
	rm "$pin"
	contains "$stderr" "cannot attach to 'skb_egress': Operation not permitted: another program is attached"
}

# Beside other programs

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
		keep_own
		equal "$(reported '[(map(.rx_calls) | add), (map(.tx_calls) | add)] | @csv')" 20,20
		pings 10
		[ "$with" -ge 20 ]
		[ "$(seen)" -ge $((with + 20)) ]
		bpftool cgroup detach "$root" egress pinned "$pin"
		rm "$pin"
	done
}

@test "layer ip counts if no cgroup v2 is mounted" {
	unshare --mount bash -euc '
		umount --all --types cgroup2
		[ -z "$(findmnt --types cgroup2)" ]
		"$NETMON" --no-pin --layer ip -f jsonl --iface lo --to rows -o rx_calls,tx_calls -- \
			unshare --net sh -c "ip link set lo up; exec $1/t/traffic udp-sendto -b 100000" >account
		cat rows' - "$BUILD"
	equal "$(jq -sc 'map(.rx_calls, .tx_calls) | unique | length' rows)" 1
	[ "$(jq -s '.[0].rx_calls' rows)" -gt 70 ]
}

# The command line

@test "a kernel before Linux 5.15 is named as the reason" {
	is_too_old || skip "this kernel is newer"
	run -1 --separate-stderr "$NETMON" --no-pin --layer ip -n 1
	contains "$stderr" "cannot use --layer ip: this kernel's probes cannot reach a socket's storage: it takes Linux 5.15"
}

@test "an option or column of the other layer is refused" {
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
	run -2 --separate-stderr "$NETMON" -o +tx_retrans
	contains "$stderr" "cannot use column 'tx_retrans' without --layer ip"
}

@test "-o all has iface and tx_retrans in layer ip only" {
	"$NETMON" --no-pin -n 1 -i 0.01 -o all | head -n 1 >socket
	"$NETMON" --no-pin --layer ip -n 1 -i 0.01 -o all | head -n 1 >ip
	equal "$(sed 's/,iface,/,/; s/,tx_retrans,/,/' ip)" "$(cat socket)"
	contains "$(cat ip)" ,iface,
	contains "$(cat ip)" ,tx_retrans,
}
