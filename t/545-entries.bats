#!/usr/bin/env bats
# What is not asked for is not collected: how many entries of the table are in use.

load helper
load live

setup() {
	live_setup
	mkfifo go
}
teardown() { live_teardown; }

# used: how many slots of packet_stats ever had an occupant, SLOT_OTHER and SLOT_ALL aside
used() {
	local fd id
	for fd in /proc/"$netmon"/fdinfo/*; do
		! grep -qx $'value_size:\t192' "$fd" || id=$(awk '/^map_id:/ { print $2 }' "$fd")
	done
	bpftool -j map dump id "$id" | python3 -c '
import json, sys
slots = [bytes(int(byte, 16) for byte in slot["value"]) for slot in json.load(sys.stdin)]
turn = slice(32, 40)  # struct slot
print(sum(any(slot[turn]) for slot in slots))'
}

# keep COLUMNS: netmon with them, beside t/keys, which has moved all that it moves
keep() {
	# shellcheck disable=SC2016,SC2046,SC2086	# options are words
	"$NETMON" $NETMON_OPTIONS -i 86400 -o "$1" --max-processes 512 --max-entries 2048 --to reports -- \
		sh -c '"$0" run $1 account && touch done && cat' "$here/keys" $(ask) <go 2>messages 3>&- &
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
