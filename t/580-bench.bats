#!/usr/bin/env bats
# The benchmark works, and the static binary: on a small scale, what they say is not looked at.

load helper
load live

setup() { live_setup; }
teardown() { live_teardown; }

# bench PART...: what the benchmark makes of it, quickly
bench() {
	make -s -C "$here/.." "$BUILD/t/bench/hammer" "$BUILD/t/bench/crowd" "$BUILD/t/bench/empty" >/dev/null
	QUICK=1 NETMON=$NETMON BUILD=$BUILD timeout 120 "$here/bench/bench" "$@"
}
