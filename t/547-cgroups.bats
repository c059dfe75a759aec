#!/usr/bin/env bats
# Paths of cgroups of any depth, from inside a namespace, beside cgroup v1; units and containers.
# shellcheck disable=SC2016,SC2086,SC2154	# what other shells expand; options are words; what common.bash sets

load lib/common
load lib/live

setup() {
	live_setup
	root=$(cgroup_root)
	export in=/netmon-in-$$ out=/netmon-out-$$ # unique to this run of the tests
	mkdir "$root$in" "$root$out"
}

teardown() {
	live_teardown
	! mountpoint -q bpf || umount -l bpf
	[ -z "${root-}" ] || find "$root$in" "$root$out" -depth -type d -exec rmdir {} + || true
}

# send CGROUP BYTES: prints a command that sends the bytes from the cgroup
send() {
	printf '%s\n' "sh -c 'echo \$\$ >\"$1/cgroup.procs\"; exec python3 -c \"import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\\\"x\\\" * $2, (\\\"127.0.0.1\\\", 9))\"'"
}

# Without the capabilities to leave a namespace, and to open a file by handle.
without_handles=(setpriv --bounding-set=-dac_read_search,-sys_ptrace)

# inside COMMAND...: in a cgroup namespace with the root $in, whose tree is mounted
inside() {
	sh -c 'echo $$ >"$1$in/cgroup.procs"; shift; exec "$@"' sh "$root" \
		unshare --mount --cgroup --propagation private \
		sh -c 'umount -l "$1" && mount -t cgroup2 cgroup2 "$1" && shift && exec "$@"' sh "$root" \
		"$@" 7<"$root"
}

@test "a cgroup 100 levels deep has its whole path, by handle and by reading the tree" {
	local path=$in
	for level in {1..100}; do path+=/$level; done
	mkdir -p "$root$path"
	send "$root$path" 1234 >sender
	for how in '' "${without_handles[*]}"; do
		$how "$NETMON" --no-pin $NETMON_OPTIONS -f jsonl -o cgroup,tx_bytes --cgroup $in \
			--to reports -- sh -c '. ./sender; sleep 0.1' 2>messages
		equal "$(cat reports)" "{\"cgroup\":\"$path\",\"tx_bytes\":1234}"
	done
}

@test "a cgroup that is removed and made again is lost for its path, with a message, not for a pattern" {
	send "$root$in" 10 >sender
	echo "rmdir '$root$in'; mkdir '$root$in'; sleep 0.3" >>sender
	send "$root$in" 20 >>sender
	for cgroup in "$in" "$in*"; do
		"$NETMON" --no-pin $NETMON_OPTIONS -i 0.1 -f jsonl -o cgroup,tx_bytes --cgroup "$cgroup" \
			--to reports -- sh ./sender 2>messages
		[ "$cgroup" != "$in" ] || cp messages lost
	done
	equal "$(jq -s 'map(.tx_bytes) | add' reports)" 30
	equal "$(grep -c "cannot count '$in': the cgroup was removed: a pattern also selects one that is made again" lost)" 1
	! grep 'cannot count' messages || fail "$(cat messages)"
}

@test "in a cgroup namespace, netmon writes the paths that cgroups have on the host" {
	send /proc/self/fd/7$out 100 >sender
	send /proc/self/fd/7$in 11 >>sender
	inside "$NETMON" --no-pin $NETMON_OPTIONS -f jsonl -o cgroup,tx_bytes -s cgroup \
		--to reports -- sh ./sender 2>messages
	equal "$(cat reports)" "{\"cgroup\":\"$in\",\"tx_bytes\":11}
{\"cgroup\":\"$out\",\"tx_bytes\":100}"
	! grep namespace messages || fail "$(cat messages)"
}

@test "in a cgroup namespace, datagrams between processes outside of it have their peers at both ends" {
	local receive=recv
	[ -z "$(ask)" ] || receive=recvfrom # this kernel shows the peer only to a receiver that asks for it
	cat >program <<-END
		import socket
		receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
		receiver.bind(("127.0.0.1", 0))
		for _ in range(1000):
		    sender.sendto(b"x" * 1000, receiver.getsockname())
		    receiver.$receive(2000)
	END
	inside "$NETMON" --no-pin $NETMON_OPTIONS -f jsonl -o raddr,rx_bytes,tx_bytes --net 127.0.0.0/8 \
		--to reports -- sh -c 'echo $$ >"/proc/self/fd/7$out/cgroup.procs"; exec python3 program' 2>messages
	equal "$(cat reports)" '{"raddr":"127.0.0.1","rx_bytes":1000000,"tx_bytes":1000000}'
}

@test "in a cgroup namespace without capabilities, netmon reports what it cannot show" {
	send /proc/self/fd/7$out 100 >sender
	inside "${without_handles[@]}" "$NETMON" --no-pin $NETMON_OPTIONS -f jsonl -o cgroup,tx_bytes \
		--to reports -- sh ./sender 2>messages
	equal "$(cat reports)" '{"cgroup":null,"tx_bytes":100}'
	contains "$(cat messages)" "netmon: cannot open 'the root of cgroup v2': netmon is in a cgroup namespace: cgroups outside have no path: add CAP_DAC_READ_SEARCH, or run netmon in the host's cgroup namespace"
	run -0 inside "${without_handles[@]}" "$NETMON" --no-pin $NETMON_OPTIONS -n 1 -i 0.1 -o raddr
	contains "$output" 'netmon is in a cgroup namespace: datagrams outside have no peer'
	run -1 inside "${without_handles[@]}" "$NETMON" --no-pin --layer ip -n 1 -i 0.1
	contains "$output" "netmon: cannot open 'the root of cgroup v2': netmon is in a cgroup namespace: --layer ip would see no packets outside"
}

@test "in a cgroup namespace, netmon finds the root through process 1 of the host" {
	send /proc/self/fd/7$out 100 >sender
	# process 1 of a pid namespace is in the first cgroup namespace, as the host's is
	inside=$(declare -f inside) root=$root unshare --pid --fork --mount-proc bash -c '
		eval "$inside"
		(inside setpriv --bounding-set=-dac_read_search "$@")' bash \
		"$NETMON" --no-pin $NETMON_OPTIONS -n 1 -i 0.1 -o cgroup,tx_bytes 2>messages >reports
	! grep namespace messages || fail "$(cat messages)"
}

@test "a live process has its unit and container, and filters select by them" {
	local id=3fb6a1c2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcde
	mkdir "$root$in/docker-$id.scope" "$root$out/lxc.payload.web"
	send "$root$in/docker-$id.scope" 100 >sender
	send "$root$out/lxc.payload.web" 11 >>sender
	send "$root$out" 5 >>sender
	for filter in '' '--container 3fb6*' '--unit none.service'; do
		"$NETMON" --no-pin $NETMON_OPTIONS -o unit,container,tx_bytes -s tx_bytes --no-header $filter \
			--to reports -- sh ./sender 2>messages
		cat reports >>all
	done
	equal "$(cat all)" ',3fb6a1c2d4e5,100
,web,11
,,5
,3fb6a1c2d4e5,100'
}

# passing CGROUP BYTES: makes a cgroup, and removes it as soon as a process has sent from it
passing() {
	printf 'mkdir "%s"\n' "$1"
	send "$1" "$2"
	printf 'rmdir "%s"\n' "$1"
}

@test "a cgroup that is removed before the report keeps its path" {
	local long
	long=$(printf '%0200d/%0200d/%0200d/%0200d/%0200d' 1 2 3 4 5)
	mkdir -p "$root$in/$long"
	{
		passing "$root$in/one" 100
		passing "$root$in/two (deleted)" 11
		passing "$root$in/$long/end-of-a-path-that-is-cut" 7
	} >sender
	for how in '' "${without_handles[*]}"; do
		$how "$NETMON" --no-pin $NETMON_OPTIONS -f jsonl -o cgroup,tx_bytes -s tx_bytes \
			--to reports -- sh ./sender 2>messages
		equal "$(sed -n 1p reports)" "{\"cgroup\":\"$in/one\",\"tx_bytes\":100}"
		equal "$(sed -n 2p reports)" "{\"cgroup\":\"$in/two (deleted)\",\"tx_bytes\":11}"
		# TRACE_CGROUP_PATH_LEN, with a NUL at the end
		equal "$(sed -n 3p reports | jq -r .cgroup)" "$(printf '%s/%s/end-of-a-path' "$in" "$long" | head -c 1023)"
		equal "$(wc -l <reports)" 3
	done
}

@test "a reader of a pin has the paths of removed cgroups, even among 300 others" {
	python3 - "$root$in" >others <<-'END'
		import sys
		for number in range(300): # the ring has 1,024, and another run of this test fills it too
		    print("mkdir %s/%d\nrmdir %s/%d" % (sys.argv[1], number, sys.argv[1], number))
	END
	{ passing "$root$in/one" 100; cat others; passing "$root$in/two" 11; } >sender
	mkdir bpf
	mount -t bpf bpf bpf
	"$NETMON" $NETMON_OPTIONS --pin "$PWD/bpf/netmon" -o cgroup 2>messages
	sh ./sender
	"$NETMON" --from "$PWD/bpf/netmon" -n 1 -i 0.1 -a -f jsonl -o cgroup,tx_total --to reports \
		--cgroup $in 2>>messages
	"$NETMON" --unpin "$PWD/bpf/netmon"
	umount bpf
	equal "$(jq -c 'select(.tx_total > 0)' reports | sort)" "{\"cgroup\":\"$in/one\",\"tx_total\":100}
{\"cgroup\":\"$in/two\",\"tx_total\":11}"
}

@test "where cgroup v1 is mounted, netmon reports that it cannot show its cgroups" {
	local message="netmon: cannot show 'cgroups of version 1'"
	unshare --mount --propagation private sh -c 'umount --all --types cgroup || exit
		"$0" --no-pin -n 1 -i 0.1 -o cgroup 2>none
		mkdir v1 && mount -t cgroup -o none,name=systemd cgroup v1 || exit 0
		"$0" --no-pin -n 1 -i 0.1 -o cgroup 2>some
		"$0" --no-pin -n 1 -i 0.1 -o pid 2>unasked
		"$0" --no-pin -n 1 -i 0.1 -o cgroup -q 2>quiet' "$NETMON"
	! grep -F "$message" none || fail "$(cat none)"
	[ -e some ] || skip "this kernel has no cgroup v1"
	grep -F "$message" some
	! grep -F "$message" unasked || fail "$(cat unasked)"
	equal "$(cat quiet)" ''
}
