#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016,SC2086	# what helpers set; the other shell's; options are words
# Signals, with different starters of netmon.

load lib/common
load lib/live

setup() {
	live_setup
	bpf=
}

teardown() {
	live_teardown
	[ -z "$bpf" ] || { umount -l "$bpf" && rmdir "$bpf"; }
}

@test "SIGTERM ends a netmon whose reader does not read, even if its parent has blocked signals" {
	stalled_reader
	env --block-signal "$NETMON" --no-pin -v -i 0.01 --total -o "$columns" >fifo 2>messages 3>&- &
	netmon=$!
	stalled "$netmon"
	kill -TERM "$netmon"
	status=0
	wait "$netmon" || status=$?
	netmon=
	equal $status 1
	contains "$(cat messages)" "netmon: cannot write 'standard output': its reader does not read"
}

@test "a command inherits the blocked and ignored signals of netmon's parent" {
	for as in --block-signal=USR1,ALRM,CHLD --ignore-signal=CHLD,PIPE,XFSZ --default-signal=CHLD,PIPE,XFSZ; do
		run -0 --separate-stderr env "$as" "$NETMON" --to reports -- grep -E '^Sig(Blk|Ign)' /proc/self/status
		equal "$output" "$(env "$as" grep -E '^Sig(Blk|Ign)' /proc/self/status)"
	done
}

@test "netmon pins for a group even if its parent ignores SIGCHLD" {
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	chmod 755 "$bpf"
	mount -t bpf bpf "$bpf"
	# before Linux 5.19 this fails, with the same message in both runs
	"$NETMON" -q --pin "$bpf/netmon" --pin-group root >said 2>&1 || touch refused
	"$NETMON" --unpin "$bpf/netmon" >/dev/null
	run env --ignore-signal=CHLD "$NETMON" -q --pin "$bpf/netmon" --pin-group root
	equal "$output" "$(cat said)"
	[ -e refused ] || equal "$status" 0
}

@test "a full pipe on standard error delays neither rows nor the end by SIGTERM or SIGINT" {
	local signal
	for signal in TERM INT; do
		stalled_reader
		# another process fills the pipe, so netmon's first message does not fit
		timeout 1 cat /dev/zero >fifo || true
		: >reports
		"$NETMON" --no-pin -v -i 0.1 --total -f jsonl >reports 2>fifo 3>&- &
		netmon=$!
		eventually rows_in reports 3
		stop "$signal"
		kill "$reader"
	done
}

@test "SIGHUP reports the interval in progress and ends netmon, as SIGTERM does" {
	start -i 3600 -f jsonl
	traffic up -b 10000
	stop HUP
	exact jsonl
}

@test "netmon under nohup ignores SIGHUP" {
	env --ignore-signal=HUP "$NETMON" --no-pin -i 0.1 --total -f jsonl >reports 3>&- &
	netmon=$!
	eventually rows_in reports 1
	kill -HUP "$netmon"
	eventually rows_in reports "$(($(rows reports) + 3))"
	stop
}

@test "netmon passes signals on to its command" {
	local signal
	for signal in HUP INT QUIT TERM USR1 USR2 WINCH PWR ALRM VTALRM PROF XCPU ABRT SEGV IO RTMIN RTMAX-1; do
		rm -f ready
		# a script's background processes inherit that INT and QUIT are ignored
		env --default-signal "$NETMON" -n 1 -i 0.1 --to reports -- bash -c \
			'trap "exit 9" "$1"; : >ready; while :; do sleep 0.05; done' - "$signal" 3>&- &
		netmon=$!
		eventually [ -e ready ]
		kill "-$signal" "$netmon"
		status=0
		wait "$netmon" || status=$?
		netmon=
		equal "$signal $status" "$signal 9"
		contains "$(cat reports)" '(total)'
	done
}

@test "an alarm that was set before netmon began ends the command, though netmon uses alarms too" {
	run -142 --separate-stderr timeout 30 python3 -c '
import os, signal, sys
signal.setitimer(signal.ITIMER_REAL, 2)
os.execv(sys.argv[1], ["netmon", "-i", "0.05", "--total", "--", "sleep", "60"])' "$NETMON"
}

# alarmed STATUS ROWS: the netmon that writes to ROWS ends with STATUS by SIGALRM
alarmed() {
	eventually rows_in "$2" 3
	kill -ALRM "$netmon"
	status=0
	wait "$netmon" || status=$?
	netmon=
	equal "$status" "$1"
}

@test "SIGALRM ends netmon with or without a command, and reaches the command" {
	# a pipe, since netmon limits each write to one by SIGALRM, which parallel(1) ignores
	env --default-signal=ALRM "$NETMON" --no-pin -v -i 0.01 --total 2>messages 3>&- > >(cat >reports) &
	netmon=$!
	alarmed 142 reports
	env --default-signal=ALRM "$NETMON" -i 0.01 --total -- \
		bash -c 'trap "exit 9" ALRM; : >ready; while :; do sleep 0.05; done' \
		2> >(cat >rows) 3>&- &
	netmon=$!
	eventually [ -e ready ]
	alarmed 9 rows
}
