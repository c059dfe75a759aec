#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016,SC2030,SC2031	# what helpers set; the other shell's; each test is a subshell
# Ways to attach, and what netmon reports where a kernel or a container refuses.

load lib/common
load lib/live

setup() {
	live_setup
	bpf=
}

teardown() {
	[ -z "${paranoid-}" ] || echo "$paranoid" >/proc/sys/kernel/perf_event_paranoid
	live_teardown
	[ -z "$bpf" ] || { umount -l "$bpf" && rmdir "$bpf"; }
}

@test "netmon counts exactly with each --attach way, or reports that the kernel refuses it" {
	for way in auto tracepoint fexit kprobe; do
		rm -f account
		status=0
		"$NETMON" --no-pin --attach $way -n 1 -i 0.01 >/dev/null 2>messages || status=$?
		if [ $status = 0 ]; then
			start --attach $way -f jsonl -i 0.2
			traffic up -b 5000000
			traffic down -6 -b 5000000
			traffic udp-sendto
			stop
			exact jsonl
		else
			equal $status 1
			grep -q "^netmon: cannot attach to '[a-z_]*': this kernel refuses every way that --attach allows: " messages
			[ $way != auto ]
		fi
	done
}

# hindered: sets NETMON to one that t/lib/hinder-bpf hinders; it has tracefs, for classic tracepoints
hindered() {
	! ldd "$NETMON" 2>&1 | grep -q 'not a dynamic' || skip 'a static netmon takes no library'
	cat >hindered <<-END
		#!/bin/sh
		exec unshare -m sh -c 'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
			LD_PRELOAD=$BUILD/t/hinder-bpf exec $NETMON "\$@"' - "\$@"
	END
	chmod +x hindered
	NETMON=./hindered
	export REFUSE='' ATTACH_MS=0
	advice="-v shows the verifier's log; a netmon built with another version of clang might load"
}

# the_ways: the ways in which the hooks of calls are attached, from ./messages: HOOK=WAY
the_ways() {
	sed -nE 's/^netmon: ((sock|inet6?|packet|tcp)_[a-z_]*): ((classic )?tracepoint|fexit|kprobe.*)$/\1=\3/p' messages
}

@test "netmon tries the next way if a program does not load, and ends only if none is left" {
	hindered
	start
	stop
	# the types of programs: BPF_PROG_TYPE_TRACING, _TRACEPOINT, _KPROBE
	first=$(the_ways | sed 's/=\(tracepoint\|fexit\)$/=26/; s/=classic.*/=5/; s/=kprobe.*/=2/')
	REFUSE=$(tr '\n' ' ' <<<"$first")
	start -f jsonl -i 0.2
	traffic up -b 5000000
	traffic down -6 -b 5000000
	traffic udp-sendto
	stop
	exact jsonl
	cat messages
	grep ': does not load as ' messages
	grep "invalid mem access 'refused by the test'" messages # the verifier's log

	case $first in
	sock_*) way=tracepoint ;;
	inet_sendmsg=26*) way=fexit ;;
	*) way=kprobe ;;
	esac
	REFUSE=
	for hook in sock_send inet_send inet6_send packet; do REFUSE+="$hook=26 $hook=5 $hook=2 "; done
	run -1 "$NETMON" --no-pin --attach $way
	[[ $output =~ ^"netmon: cannot attach to '"(sock_send_length|inet_sendmsg)"': this kernel refuses every way that --attach allows: Permission denied: try --attach auto"$ ]] ||
		fail "$output"
}

@test "--layer ip ends and names the hook if its program does not load" {
	beside_layer_ip
	"$NETMON" --no-pin --layer ip -n 1 -i 0.01 >reports 2>end || {
		grep -q ': it takes Linux 5\.11, on arm64 Linux 6\.4$' end || fail "$(cat end)"
		skip "$(cat end)"
	}
	hindered
	REFUSE=skb_egress=8 # BPF_PROG_TYPE_CGROUP_SKB
	run -1 "$NETMON" --no-pin --layer ip -n 1 -i 0.01
	equal "${lines[-1]}" "netmon: cannot attach to 'skb_egress': Permission denied: $advice"
}

@test "the first rate is right, however long the probes take to attach" {
	hindered
	ATTACH_MS=100
	"$BUILD/t/traffic" steady -r 10000000 -s 600 --log sending >account 3>&- &
	traffic=$!
	others+=("$traffic")
	until [ -s sending ]; do kill -0 $traffic; sleep 0.05; done
	start_stamped -i 0.1
	sleep 1
	stop_stamped
	pkill -TERM -P $traffic '^steady-send'
	wait $traffic
	rates_hold 1 before
}

@test "the peer of a datagram that is sent while the probes attach is not that of a later one" {
	hindered
	ATTACH_MS=100
	name=sender-$BASHPID
	python3 - "$name" >ports <<-'END' 3>&- &
		import os, socket, sys, time
		def new():
		    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		first, later = new(), new()
		for receiver in (first, later):
		    receiver.bind(("127.0.0.1", 0))
		    print(receiver.getsockname()[1], flush=True)
		open("/proc/self/comm", "w").write(sys.argv[1])
		go, close = os.pipe()
		for process in range(100): # each sends at another moment
		    if not os.fork():
		        os.close(close)
		        time.sleep(process * 0.03)
		        new().sendto(b"x", first.getsockname())
		        os.read(go, 1) # returns when the parent closes its end
		        connected = new()
		        connected.connect(later.getsockname())
		        connected.send(b"x" * 100)
		        os._exit(0)
		while not os.path.exists("go"):
		    time.sleep(0.05)
		os.close(close)
		for process in range(100):
		    os.wait()
	END
	senders=$!
	others+=("$senders")
	start -i 0.2 -f jsonl -o comm,rport,tx_bytes --comm "$name"
	touch go
	wait $senders
	stop
	equal "$(reported "map(select(.rport == $(tail -1 ports)).tx_bytes) | add")" 10000
	equal "$(reported "map(select(.rport == $(head -1 ports)).tx_bytes) | add < 100")" true
}

# without_btf COMMAND [CAPABILITIES]: what netmon reports where the shell command has hidden the kernel's BTF
without_btf() {
	run -1 --separate-stderr unshare -m sh -c "$1"' && exec setpriv ${2:+--reuid=65534 --clear-groups \
		--inh-caps="$2" --ambient-caps="$2"} -- "$1" --no-pin' sh "$NETMON" "${2-}"
	equal "$output" ''
	contains "$stderr" "netmon: cannot read '/sys/kernel/btf/vmlinux': "
}

@test "netmon reports that the kernel has no BTF, or that it may not be read, and ends with 1" {
	without_btf 'mount -t tmpfs none /sys/kernel/btf'
	contains "$stderr" 'needs a kernel with BTF'
	without_btf 'mount -t tmpfs -o mode=700 none /sys' +bpf,+perfmon
	equal "${stderr##*: }" "Permission denied"
}

# as_nobody CAPABILITIES: makes $NETMON run as nobody, with only these capabilities
as_nobody() {
	chmod 755 .
	cat >as-nobody <<-END
		#!/bin/sh
		exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=$1 \
			--ambient-caps=$1 --bounding-set=-all,$1 /proc/self/fd/9 "\$@" 9<"$NETMON"
	END
	chmod 755 as-nobody
	NETMON=./as-nobody
}

@test "netmon counts with CAP_BPF and CAP_PERFMON alone" {
	case $(uname -r) in
	5.*) ulimit -l unlimited ;; # as the manual requires
	esac
	as_nobody +bpf,+perfmon
	start -f jsonl -i 0.2
	[ "$(sed -n 's/^CapEff:\s*//p' "/proc/$netmon/status")" = 000000c000000000 ]
	traffic up -b 1000000
	traffic udp-sendto
	stop
	exact jsonl
	# it reports the way that it cannot use, and the consequence
	if grep -q ': tracepoint$' messages && [ "$(uname -r | cut -d . -f 1)" -ge 7 ]; then
		contains "$(cat messages)" "under load this kernel may skip calls: netmon will report how many: is tracefs mounted and readable?"
	fi
}

@test "classic tracepoints count with CAP_DAC_READ_SEARCH, which reads tracefs" {
	case $(uname -r) in
	[56].*) skip "before Linux 7.0 the other tracepoints are taken" ;;
	esac
	alone_with_paranoid
	paranoid=$(cat /proc/sys/kernel/perf_event_paranoid) # perf_event_open(2) is used, which Debian's default of 3 forbids
	[ "$paranoid" -le 2 ] || echo 2 >/proc/sys/kernel/perf_event_paranoid
	as_nobody +bpf,+perfmon,+dac_read_search
	start -f jsonl -i 0.2
	traffic up -b 1000000
	stop
	exact jsonl
	grep -qx 'netmon: sock_send_length: classic tracepoint' messages
}

@test "if the kernel refuses perf_event_open(2), netmon names the capability or sysctl that allows it" {
	alone_with_paranoid
	paranoid=$(cat /proc/sys/kernel/perf_event_paranoid)
	[ "$paranoid" -ge 3 ] || skip "only Debian's kernels refuse it, at 3"
	rights=-all,+bpf,+perfmon,+net_admin,+sys_resource
	advice='add CAP_SYS_ADMIN, or set the sysctl kernel.perf_event_paranoid to 2'
	status=0
	setpriv --bounding-set=$rights -- "$NETMON" --no-pin -n 1 -i 0.05 --attach kprobe >reports 2>said || status=$?
	[ $status = 0 ] || equal "$(cat said)" \
		"netmon: cannot attach to 'inet_sendmsg': this kernel refuses every way that --attach allows: Permission denied: $advice"
	setpriv --bounding-set=$rights -- "$NETMON" --no-pin -v -n 1 -i 0.05 >reports 2>said || true
	"$NETMON" --no-pin -v -n 1 -i 0.05 >reports 2>said.root
	# root has another way on these kernels
	grep -q 'classic tracepoint$\|: kprobe$' said.root || {
		diff said said.root
		return
	}
	contains "$(cat said)" ": $advice"
	# the advice is right
	echo 2 >/proc/sys/kernel/perf_event_paranoid
	setpriv --bounding-set=$rights -- "$NETMON" --no-pin -v -n 1 -i 0.05 >reports 2>said
	diff said said.root
}

@test "kprobes count every receive, even if 40 receivers wait" {
	[ -e /sys/bus/event_source/devices/kprobe ] || skip "this kernel has no kprobes"
	name=waiters-$BASHPID
	start --attach kprobe -f jsonl -i 0.2 --comm $name
	python3 - $name <<-'END'
		import os, socket, sys, time
		open("/proc/self/comm", "w").write(sys.argv[1])
		def receiver():
		    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    receiver.bind(("127.0.0.1", 0))
		    return receiver
		def state(pid):
		    return open(f"/proc/{pid}/stat").read().rpartition(") ")[2][0]
		waiting, children = [receiver() for _ in range(40)], []
		for each in waiting:
		    children.append(os.fork())
		    if not children[-1]:
		        each.recv(100)
		        os._exit(0)
		while any(state(pid) != "S" for pid in children): # not all of them wait yet
		    time.sleep(0.01)
		one, sender = receiver(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		for _ in range(100):
		    sender.sendto(b"x" * 1000, one.getsockname())
		    one.recv(2000)
		for each in waiting:
		    sender.sendto(b"x" * 7, each.getsockname())
		for pid in children:
		    os.waitpid(pid, 0)
	END
	stop
	equal "$(reported 'map(.rx_bytes) | add')" $((100 * 1000 + 40 * 7))
	equal "$(reported 'map(.tx_bytes) | add')" $((100 * 1000 + 40 * 7))
}

@test "a kretprobe that a killed netmon left is removed by the next one" {
	[ -e /sys/bus/event_source/devices/kprobe ] || skip "this kernel has no kprobes"
	start --attach kprobe
	killed=$netmon
	! grep -q ': kprobe.multi' messages || skip "this kernel has kprobe.multi, which leaves nothing"
	[ -n "$(kretprobes "$killed")" ]
	kill -KILL "$netmon"
	wait "$netmon" || true
	start --attach kprobe
	stop
	equal "$(kretprobes "$killed")" ''
}

# without_skipped [FILE]: messages, without that on calls that the kernel skipped just then
without_skipped() {
	grep -v '^netmon: cannot count [0-9]* calls: the kernel skipped the probes$' "$@" || true
}

@test "netmon starts with at most one line on what is not counted, and with none for -q, --from and --status" {
	local way tried=0
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	mount -t bpf bpf "$bpf"
	for way in tracepoint fexit kprobe; do
		"$NETMON" --no-pin --attach $way -n 1 -i 0.01 >/dev/null 2>said || continue
		tried=$((tried + 1))
		without_skipped said >messages
		[ "$(wc -l <messages)" -le 1 ]
		equal "$(grep -Ev '^netmon: counting; ' messages)" ''
		run -0 --separate-stderr "$NETMON" -q --no-pin --attach $way -n 1 -i 0.01
		equal "$(without_skipped <<<"$stderr")" ''
		"$NETMON" --pin "$bpf/netmon" --attach $way 2>pinning || continue
		cmp messages pinning
		run -0 --separate-stderr "$NETMON" --from "$bpf/netmon" -n 1 -i 0.01
		equal "$(without_skipped <<<"$stderr")" ''
		run -0 --separate-stderr "$NETMON" --from "$bpf/netmon" -v -n 1 -i 0.01
		equal "$(grep '^netmon: counting; ' <<<"$stderr")" "$(cat messages)"
		run -0 --separate-stderr "$NETMON" --status "$bpf/netmon"
		equal "$stderr" ''
		"$NETMON" --unpin "$bpf/netmon"
	done
	[ $tried -gt 0 ]
}

@test "netmon reports that /proc is not mounted, and does not run the command" {
	run -1 --separate-stderr unshare -m sh -c 'mount -t tmpfs none /proc; "$0" -- touch ran' "$NETMON"
	contains "$stderr" "netmon: cannot read '/proc/self/ns/pid': No such file or directory: is /proc mounted?"
	[ ! -e ran ]
}

@test "netmon names a lack of file descriptors as the reason, whatever the limit" {
	local limit
	for limit in 12 16 20 24 28 32 48 64 96 120; do
		run -1 --separate-stderr bash -c 'ulimit -n "$1"; "$0" -q --no-pin -n 1 -i 0.01' "$NETMON" $limit
		equal "$stderr" "netmon: cannot load 'probes': Too many open files: raise 'ulimit -n' to 256"
	done
	# the number that the message names is enough
	run -0 --separate-stderr bash -c 'ulimit -n 136; "$0" -q --no-pin -n 1 -i 0.01 -o +laddr,raddr' "$NETMON"
	equal "$stderr" ''
}

@test "netmon names the reason for root of a user namespace, and where bpf(2) is refused" {
	unshare -Ur true || cannot_run "no user namespace can be made here, as in a chroot"
	# by descriptor: it might be below a home directory that its owner alone can enter
	run -1 --separate-stderr unshare -Ur /proc/self/fd/9 --no-pin -n 1 9<"$NETMON"
	equal "$stderr" "netmon: cannot load 'probes': Operation not permitted: run it outside the user namespace"
	run -1 --separate-stderr python3 - "$NETMON" <<-'END'
		import ctypes, os, platform, struct, sys
		bpf = {"x86_64": 321, "aarch64": 280}[platform.machine()]
		ENOSYS = 38
		program = b"".join(struct.pack("HBBI", *instruction) for instruction in [
		    (0x20, 0, 0, 0),                     # load the number of the system call
		    (0x15, 0, 1, bpf),                   # is it bpf?
		    (0x06, 0, 0, 0x50000 | ENOSYS),      # then it fails
		    (0x06, 0, 0, 0x7fff0000)])
		text = ctypes.create_string_buffer(program)
		filter = struct.pack("HxxxxxxQ", 4, ctypes.addressof(text))
		libc = ctypes.CDLL(None, use_errno=True)
		libc.prctl(38, 1, 0, 0, 0)               # PR_SET_NO_NEW_PRIVS
		if libc.prctl(22, 2, filter, 0, 0):      # PR_SET_SECCOMP, by a filter
		    sys.exit("no seccomp")
		os.execv(sys.argv[1], ["netmon", "--no-pin", "-n", "1"])
	END
	equal "$stderr" "netmon: cannot load 'probes': Function not implemented: a seccomp filter may refuse bpf(2): in a container, add CAP_SYS_ADMIN, or use --security-opt seccomp=unconfined"
}
