#!/usr/bin/env bats
# How much fits in the table of rows, and what happens when it is full.
# shellcheck disable=SC2086,SC2154	# options are words; what the helpers set

load lib/common
load lib/live

setup() { live_setup; }
teardown() { live_teardown; }

# moved [OPTION]...: runs t/compare/key-columns under netmon with these options
moved() {
	"$NETMON" $NETMON_OPTIONS -i 86400 -f jsonl --to reports "$@" -- \
		"$here/compare/key-columns" run $(ask) account 2>messages || fail "$(cat messages)"
	[ "$(wc -l <account)" -gt 700 ]
}

# distinct COLUMN...: the number of different combinations in the account
distinct() {
	awk -F '\t' -v names="$*" 'NR == 1 { split(names, name, " "); for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ key = ""; for (i = 1; i in name; i++) key = key FS $at[name[i]]; seen[key] }
		END { for (key in seen) n++; print n }' account
}

# has_room [OPTION]...: with these options, the table is not full, and all rows are exact
has_room() {
	moved "$@"
	"$here/compare/key-columns" check jsonl reports account
	! grep full messages || fail "$(cat messages)"
}

# is_full [OPTION]...: with these options, the table is full, and (other) has the rest
is_full() {
	moved "$@"
	"$here/compare/key-columns" check --sums jsonl reports account
	equal "$(grep -c full messages)" 1
	[ "$(reported 'map(select(.comm == "(other)")) | length')" = 1 ]
}

@test "a process takes one place in the table, whatever the number of its connections" {
	has_room --max-processes 16 -o pid,comm,rx_bytes,tx_bytes
	equal "$(distinct pid)" 16
	is_full --max-processes 15 -o pid,comm,rx_bytes,tx_bytes
}

@test "each combination of process, protocol and IP version takes one place in the table" {
	has_room --max-entries 64 -o pid,comm,proto,family,rx_bytes,tx_bytes
	entries=$(distinct pid proto family)
	[ "$entries" -gt 16 ]
	has_room --max-entries "$entries" -o pid,comm,proto,family,rx_bytes,tx_bytes
	is_full --max-entries $((entries - 1)) -o pid,comm,proto,family,rx_bytes,tx_bytes
}

@test "without the column pid, each user or protocol takes one place in the table" {
	has_room --max-entries 3 -o user,rx_bytes
	equal "$(distinct user)" 3
	has_room --max-entries 2 -o proto,rx_bytes
	equal "$(distinct proto)" 2
}

@test "idle rows make room for new ones, and nothing is counted in (other)" {
	# in its own network namespace, where nothing listens on the ports
	"$NETMON" $NETMON_OPTIONS -i 0.05 -f jsonl --max-entries 64 -o comm,rport,tx_bytes --to reports -- \
		unshare --net sh -c 'ip link set lo up && exec "$@"' - python3 -c '
import socket, time
for port in range(20000, 20080):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x" * 100, ("127.0.0.1", port))
    time.sleep(0.15)' 2>messages
	equal "$(reported '[.[] | select(.comm != "(total)")] | [length, (map(.tx_bytes) | unique),
		(map(.rport) | unique | length)] | @json')" '[80,[100],80]'
	! grep full messages || fail "$(cat messages)"
}

@test "the counters of all CPUs take at most 32 MiB" {
	for options in '' '-o all' '--max-processes 1' '--max-entries 1 -o all'; do
		start $options
		bytes=$(sed -n 's/^map_id:\s*//p' "/proc/$netmon/fdinfo/"* | sort -u | while read -r id; do
			bpftool -j map show id "$id" | jq 'select(.name == "packet_stats") | .bytes_value * .max_entries'
		done)
		[ "$bytes" -ge 4096 ]
		[ "$bytes" -le $((32 << 20)) ]
		stop
	done
}

@test "a cgroup that is made later does not take the name of an earlier one" {
	root=$(cgroup_root)
	"$NETMON" $NETMON_OPTIONS -i 0.3 -f jsonl -o cgroup,tx_bytes --to reports -- python3 - "$root" 2>messages <<-'END'
		import os, socket, sys, time
		parent = os.getpid() # the names are unique to this run of the tests
		def start(name, wait, count):
		    if os.fork():
		        return
		    time.sleep(wait)
		    os.mkdir(sys.argv[1] + name)
		    with open(sys.argv[1] + name + "/cgroup.procs", "w") as procs:
		        procs.write("0")
		    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    for _ in range(count):
		        sender.sendto(b"x" * 100, ("127.0.0.1", 9))
		        time.sleep(0.1)
		    os._exit(0)
		for number, (wait, count) in enumerate(((0, 20), (0.5, 10), (1, 5))):
		    start("/netmon-late-%d-%d" % (parent, number), wait, count)
		for _ in range(3):
		    os.wait()
		for _ in range(600):  # wait for a report before they end
		    if len({line for line in open("reports").read().split('"') if "/netmon-late-%d" % parent in line}) == 3:
		        break
		    time.sleep(0.05)
		for number in range(3):
		    os.rmdir(sys.argv[1] + "/netmon-late-%d-%d" % (parent, number))
	END
	equal "$(reported 'group_by(.cgroup) | map([(.[0].cgroup | sub("/netmon-late-[0-9]+"; "")), (map(.tx_bytes) | add)]) | @json')" \
		'[["-0",2000],["-1",1000],["-2",500]]'
}
