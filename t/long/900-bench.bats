#!/usr/bin/env bats
# The parts of the benchmark that t/580-bench.bats leaves out, on a small scale.

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
