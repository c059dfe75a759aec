#!/usr/bin/env bats
# The benchmark runs, on a small scale, and the static binary is one: what the numbers are is
# not looked at, which takes a quiet machine.

load lib/common
load lib/live

setup() { live_setup; }
teardown() { live_teardown; }

# in_tree ARGUMENT...: make, where the sources are
in_tree() {
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$here/.." "$@" >&2
}

# bench PART...: the table that it makes of them, quickly
bench() {
	local build
	build=$(realpath --relative-to="$here/.." "$BUILD")
	in_tree "$build/t/bench/hammer" "$build/t/bench/crowd" "$build/t/bench/empty" \
		"$build/t/bench/turns"
	QUICK=1 timeout 300 "$here/bench/bench" "$@" 3>&-
}

# whole CSV: all lines have as many fields, and each target its verdict
whole() {
	python3 - "$1" <<'PYTHON'
import csv, sys

with open(sys.argv[1]) as file:
    rows = list(csv.DictReader(file))
assert rows and all(None not in row and None not in row.values() for row in rows), rows
assert all(bool(row["target"]) == (row["verdict"] in ("met", "missed")) for row in rows), rows
print(len(rows))
PYTHON
}

@test "the benchmark of events, of netmon itself, and of growth" {
	export NETMON BUILD
	bench event reader growth >table
	[ "$(whole "$BUILD/bench.csv")" -gt 40 ]
	[ "$(grep -c '^| ' table)" -gt 40 ]
	grep -q '^| event | send, calls, connections' table
	grep -q '^| reader | report of 1,000 processes: CPU' table
	grep -q '^| growth | send with 100 sockets, connections' table
}

@test "the benchmark of workloads: what netmon reports is what was moved" {
	export NETMON BUILD
	bench workload >table
	[ "$(whole "$BUILD/bench.csv")" -gt 2 ]
	grep -q '^| workload | netmon: bytes it reported of those moved | 1.000000 x | .* | met |' table
}

@test "make STATIC=1: a binary without libraries, under 2 MB, that counts the same" {
	[ "${BUILD##*/}" = build ] || skip "only of the plain build"
	in_tree STATIC=1
	NETMON=$BUILD/static/netmon
	run ! ldd "$NETMON"
	strip -o stripped "$NETMON"
	[ "$(stat -c %s stripped)" -lt 2000000 ]
	start -f jsonl -i 0.5 -o "$columns,user" --user root
	traffic tcp-rw
	stop
	exact jsonl
	equal "$(reported 'map(.user) | unique | join(" ")')" root
	run -0 "$NETMON" --user nobody --version
	run -2 "$NETMON" --user no-such-user --version
}
