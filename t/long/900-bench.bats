#!/usr/bin/env bats
# The parts of the benchmark that t/580-bench.bats leaves out, on a small scale, and what takes many rows.

load ../lib/common
load ../lib/live
load ../lib/bench

setup() { live_setup; }
teardown() { live_teardown; }

@test "the benchmark of events, workloads, reports and growth writes its tables" {
	bench event workload reader growth >table
	[ "$(whole bench.csv)" -gt 40 ]
	[ "$(grep -c '^| ' table)" -gt 40 ]
	grep -q '^| event | send, calls, connections' table
	grep -q '^| reader | report of 1,000 processes: CPU' table
	grep -q '^| growth | send with 100 sockets, connections' table
}

# shortened: the messages that the window is shortened
shortened() {
	grep "cannot average over 'all intervals': they take more than 256 MiB: " messages
}

# round: each of 60,000 peers gets a datagram, which a tick keeps in 2.4 MB
round() {
	kill -0 "$netmon"
	echo >&"${crowd[1]}"
	read -r -u "${crowd[0]}" _
	sleep 0.05
}

@test "a window (-w) that would exceed 256 MiB is shortened, with one message" {
	in_tree "${BUILD#"${here%/*}/"}/t/bench/crowd"
	"$NETMON" --no-pin -v -w 3600 -i 0.1 -o pid,raddr,tx_rate --max-entries 100000 >/dev/null 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do kill -0 $netmon; sleep 0.05; done
	coproc crowd { exec "$BUILD/t/bench/crowd" peers 60000 3>&-; }
	read -r -u "${crowd[0]}" _
	for ((rounds = 0; rounds < 400; rounds++)); do
		round
		[ -z "$(shortened)" ] || break
	done
	for _ in {1..40}; do round; done
	kill "$crowd_PID"
	equal "$(shortened | wc -l)" 1
	[ "$(awk '/^VmHWM:/ { print $2 }' "/proc/$netmon/status")" -lt $((440 << 10)) ] # all ticks: 480 MiB
	stop
}
