#!/usr/bin/env bats
# The benchmark runs on a small scale, and the static binary is static.  The numbers are not checked: that
# needs a quiet machine.

load lib/common
load lib/live
load lib/bench

setup() { live_setup; }
teardown() { live_teardown; }

@test "the benchmark finds that netmon sees each way to move bytes" {
	TOOLS=netmon bench seen >table
	grep -q '^| seen | netmon: exact, of 5 ways to move bytes | 5  | >= 5 | met |' table
}

@test "the benchmark finds that netmon reports every byte moved, and its last line counts the targets" {
	TOOLS=netmon bench compare >table
	[ "$(whole bench.csv)" -gt 1 ]
	grep -q '^| compare | netmon: bytes it reported of those moved | 1.000000 x | .* | met |' table
	grep -q '^| bytes reported of 40 MB sent | all |$' table
	tail -1 table | grep -qx '[0-9]* targets met, [0-9]* missed'
}

@test "make STATIC=1 makes a binary without libraries that counts exactly, and the plain one is under 1 MB" {
	[ "${BUILD##*/}" = build ] || skip "only of the plain build"
	strip -o stripped "$NETMON" # not the static one, whose size depends on this system's libraries
	[ "$(stat -c %s stripped)" -lt 1000000 ]
	run --separate-stderr in_tree STATIC=1
	if [ "$status" != 0 ]; then
		contains "$stderr" "cannot link 'libelf.a': elfutils 0.192 leaves out"
		skip "this system's libelf.a is not whole, as make says"
	fi
	NETMON=$BUILD/static/netmon
	run ! ldd "$NETMON"
	start -f jsonl -i 0.5 -o "$columns,user" --user root
	traffic tcp-rw
	stop
	exact jsonl
	equal "$(reported 'map(.user) | unique | join(" ")')" root
	run -0 "$NETMON" --user nobody --version
	run -2 "$NETMON" --user no-such-user --version
}

@test "the benchmark attaches programs of its own netmon only" {
	in_tree "${BUILD#"${here%/*}/"}/t/bench/turns"
	start -f jsonl -i 86400
	# the programs of a second netmon, started by the benchmark
	"$NETMON" --no-pin -v -i 86400 >/dev/null 2>others 3>&- &
	other=$!
	others=("$other")
	until grep -qx 'netmon: counting' others; do kill -0 $other; sleep 0.05; done
	coproc turns { exec "$BUILD/t/bench/turns" 3>&-; }
	others+=("$turns_PID")
	read -r -u "${turns[0]}" line
	for command in "hold $other" 0; do
		echo "$command" >&"${turns[1]}"
		read -r -u "${turns[0]}" line
		equal "$line" 'done'
	done
	traffic up -b 1000000
	traffic udp-sendto
	kill $other "$turns_PID"
	others=()
	stop
	exact jsonl
}
