#!/usr/bin/env bats
# What is not asked for is not collected: how many entries of the table are in use.
# shellcheck disable=SC2086,SC2154	# options are words; what helper.bash sets

load lib/common
load lib/live

setup() {
	live_setup
	mkfifo go
}
teardown() { live_teardown; }

# used: in how many slots of packet_stats anything was ever counted for an occupant, SLOT_OTHER and
# SLOT_ALL aside; not those that a CPU took and gave back as another one was faster
used() {
	local id
	for id in $(sed -n 's/^map_id:\t//p' /proc/"$netmon"/fdinfo/*); do
		! bpftool map show id "$id" | grep -q ' name packet_stats ' || break
	done
	bpftool -j map dump id "$id" | python3 -c '
import json, sys
slots = [bytes(int(byte, 16) for byte in slot["value"]) for slot in json.load(sys.stdin)]
turn, shares = slice(0, 8), slice(192, None)  # struct slot
print(sum(any(slot[turn]) and any(slot[shares]) for slot in slots))'
}

# keep COLUMNS: netmon with them, beside t/compare/key-columns, which has moved all that it moves
keep() {
	# shellcheck disable=SC2016,SC2046,SC2086	# options are words
	"$NETMON" $NETMON_OPTIONS -i 86400 -o "$1" --max-processes 512 --max-entries 2048 --to reports -- \
		sh -c '"$0" run $1 account && touch done && cat' "$here/compare/key-columns" $(ask) <go 2>messages 3>&- &
	netmon=$!
	exec 8>go
	until [ -e done ]; do
		kill -0 "$netmon" || fail "$(cat messages)"
		sleep 0.05
	done
}

# let_go: ends both
let_go() {
	exec 8>&-
	finish
	[ "$(wc -l <account)" -gt 700 ]
}

# distinct COLUMN...: how many combinations of these the account has
distinct() {
	awk -F '\t' -v names="$*" 'NR == 1 { split(names, name, " "); for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ key = ""; for (i = 1; i in name; i++) key = key FS $at[name[i]]; seen[key] }
		END { for (key in seen) n++; print n }' account
}

@test "plain netmon: one entry for each process, whatever the number of connections" {
	keep time,pid,comm,rx_rate,tx_rate
	entries=$(used)
	let_go
	equal "$(distinct pid)" 16
	equal "$entries" 16
}

@test "+proto,family: one for each combination in use" {
	keep +proto,family
	entries=$(used)
	let_go
	[ "$(distinct pid proto family)" -gt 16 ]
	equal "$entries" "$(distinct pid proto family)"
}

@test "without the process: one for each user; one for each protocol; none for no key" {
	keep user,rx_bytes
	entries=$(used)
	let_go
	equal "$entries" 3
	rm done
	keep proto,rx_bytes
	entries=$(used)
	let_go
	equal "$entries" 2
	rm done
	keep rx_bytes
	entries=$(used)
	let_go
	equal "$entries" 0
}

@test "entries that are idle make room: more keys than places, one after the other, and no (other)" {
	"$NETMON" $NETMON_OPTIONS -i 0.05 -f jsonl --max-entries 64 -o comm,rport,tx_bytes --to reports -- \
		python3 -c '
import socket, time
for port in range(20000, 20100):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x" * 100, ("127.0.0.1", port))
    time.sleep(0.15)' 2>messages
	equal "$(reported '[.[] | select(.comm != "(total)")] | [length, (map(.tx_bytes) | unique),
		(map(.rport) | unique | length)] | @json')" '[100,[100],100]'
	! grep full messages || fail "$(cat messages)"
}

@test "a cgroup that comes later takes no other's name" {
	root=$(findmnt --first-only --noheadings --types cgroup2 --output TARGET)
	"$NETMON" $NETMON_OPTIONS -i 0.3 -f jsonl -o cgroup,tx_bytes --to reports -- python3 - "$root" 2>messages <<-'END'
		import os, socket, sys, time
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
		    start("/netmon-late-%d" % number, wait, count)
		for _ in range(3):
		    os.wait()
		for _ in range(600):  # in a report before they go
		    if len({line for line in open("reports").read().split('"') if "/netmon-late" in line}) == 3:
		        break
		    time.sleep(0.05)
		for number in range(3):
		    os.rmdir(sys.argv[1] + "/netmon-late-%d" % number)
	END
	equal "$(reported 'group_by(.cgroup) | map([.[0].cgroup, (map(.tx_bytes) | add)]) | @json')" \
		'[["/netmon-late-0",2000],["/netmon-late-1",1000],["/netmon-late-2",500]]'
}
