#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016,SC2086	# what helpers set; the other shell's; options are words
# Signals, with different starters of netmon, and rotation of the file of --to.

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

# rows FILE: the number of rows (total) in it
rows() {
	grep -c '(total)' "$1" 2>/dev/null || true
}

# rows_in FILE NUMBER: whether it has at least that many rows (total)
rows_in() {
	[ "$(rows "$1")" -ge "$2" ]
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

@test "after the file of --to is renamed, SIGHUP starts a new one, and no row is lost" {
	local i
	start -i 0.1 -f jsonl --to log
	for i in 1 2 3; do
		traffic up -b 100000
		mv log log.$i
		kill -HUP "$netmon"
		traffic up -b 100000
		eventually [ -s log ]
	done
	stop
	cat log.1 log.2 log.3 log >reports
	exact jsonl
}

@test "each new file begins with the header, and a file that has rows gets no second one" {
	start -i 0.1 --total --to log
	eventually rows_in log 1
	mv log log.1
	kill -HUP "$netmon"
	eventually rows_in log 1
	# the same file again
	kill -HUP "$netmon"
	eventually rows_in log "$(($(rows log) + 3))"
	# a file that has content
	mv log log.2
	echo before >log
	kill -HUP "$netmon"
	eventually rows_in log 1
	stop
	for i in log.1 log.2; do
		equal "$(head -1 $i)" "$columns"
		equal "$(grep -c time $i)" 1
	done
	equal "$(head -1 log)" before
	equal "$(grep -c time log)" 0
}

@test "a file of --to that is truncated in place has a header again, and no NUL bytes" {
	start -i 0.1 --total --to log
	eventually rows_in log 5
	: >log
	eventually rows_in log 1
	stop
	equal "$(tr -dc '\0' <log | wc -c)" 0
	equal "$(head -1 log)" "$columns"
	equal "$(grep -c time log)" 1
}

@test "logrotate with the example loses no row, and each log begins with the header" {
	mkdir logs bin
	sed "s|/var/log/netmon|$PWD/logs|g" "$here/../examples/logrotate" >config
	printf '%s\n' '#!/bin/sh' '[ "$*" = "kill --signal=HUP netmon-log.service" ] && kill -HUP "$(cat pid)"' >bin/systemctl
	chmod 755 bin/systemctl
	start -i 0.1 --to logs/log.csv
	echo "$netmon" >pid
	for i in 1 2 3; do
		traffic up -b 100000
		eventually grep -q ',up-' logs/log.csv
		PATH=$PWD/bin:$PATH logrotate --state "$PWD/state" --force config
		eventually [ -s logs/log.csv ]
		traffic up -b 100000
	done
	stop
	equal "$(ls logs | sort)" "$(printf '%s\n' log.csv log.csv.1 log.csv.2.gz log.csv.3.gz)"
	head -1 logs/log.csv >reports
	for log in logs/log.csv.3.gz logs/log.csv.2.gz logs/log.csv.1 logs/log.csv; do
		gzip -cdf $log >rows
		equal "$(head -1 rows)" "$columns"
		tail -n +2 rows >>reports
	done
	equal "$(grep -c time reports)" 1
	exact csv
}

@test "if the file of --to cannot be reopened, netmon reports it and goes on with the open one" {
	mkdir logs
	start -i 0.1 --total -f jsonl --to logs/log
	mv logs moved
	kill -HUP "$netmon"
	eventually grep -qx "netmon: cannot reopen 'logs/log': No such file or directory: rows still go to the old file" messages
	eventually rows_in moved/log "$(($(rows moved/log) + 3))"
	# and a pipe without a reader
	mkdir logs
	mkfifo logs/log
	kill -HUP "$netmon"
	eventually grep -qx "netmon: cannot reopen 'logs/log': No such device or address: rows still go to the old file" messages
	stop
}

@test "--append keeps the file's rows, and writes a header only to an empty file" {
	echo before >log
	for _ in 1 2; do
		"$NETMON" -i 0.05 -n 1 --total --no-pin -q -o comm,tx_calls --to log --append 2>messages
		grep -qx "netmon: cannot match the header of 'log': new rows have other columns: use another file, or --no-header" messages
	done
	equal "$(head -1 log)" before
	equal "$(grep -c '^(total),' log)" 2
	equal "$(grep -c comm log)" 0
	: >empty
	for file in empty none; do
		for _ in 1 2; do
			"$NETMON" -i 0.05 -n 1 --total --no-pin -q -o comm,tx_calls --to $file --append 2>messages
			! grep 'cannot match the header' messages || fail
		done
		equal "$(head -1 $file)" comm,tx_calls
		equal "$(grep -c comm $file)" 1
		equal "$(grep -c '^(total),' $file)" 2
	done
}

@test "a file beyond the limit of file sizes is a write error" {
	run -1 --separate-stderr bash -c 'ulimit -f 1; "$0" --no-pin -i 0.01 --total >log' "$NETMON"
	contains "$stderr" "netmon: cannot write 'standard output': File too large"
	run -1 --separate-stderr bash -c 'ulimit -f 1; "$0" --no-pin -i 0.01 --total --to log' "$NETMON"
	contains "$stderr" "netmon: cannot write 'log': File too large"
	equal "$(stat -c %s log)" 1024
}

# without_skipped [FILE]: messages, without that on calls that the kernel skipped just then
without_skipped() {
	grep -v '^netmon: cannot count [0-9]* calls: the kernel skipped the probes$' "$@" || true
}

@test "netmon starts with at most one line on what is not counted, and with none for -q, --from and --status" {
	local way tried=0
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	mount -t bpf bpf "$bpf"
	for way in tracepoint fexit kprobe; do
		"$NETMON" --no-pin --attach $way -n 1 -i 0.01 >/dev/null 2>said || continue
		tried=$((tried + 1))
		without_skipped said >messages
		[ "$(wc -l <messages)" -le 1 ]
		equal "$(grep -Ev '^netmon: counting; ' messages)" ''
		run -0 --separate-stderr "$NETMON" -q --no-pin --attach $way -n 1 -i 0.01
		equal "$(without_skipped <<<"$stderr")" ''
		"$NETMON" --pin "$bpf/netmon" --attach $way 2>pinning || continue
		cmp messages pinning
		run -0 --separate-stderr "$NETMON" --from "$bpf/netmon" -n 1 -i 0.01
		equal "$(without_skipped <<<"$stderr")" ''
		run -0 --separate-stderr "$NETMON" --from "$bpf/netmon" -v -n 1 -i 0.01
		equal "$(grep '^netmon: counting; ' <<<"$stderr")" "$(cat messages)"
		run -0 --separate-stderr "$NETMON" --status "$bpf/netmon"
		equal "$stderr" ''
		"$NETMON" --unpin "$bpf/netmon"
	done
	[ $tried -gt 0 ]
}

@test "netmon reports that /proc is not mounted, and does not run the command" {
	run -1 --separate-stderr unshare -m sh -c 'mount -t tmpfs none /proc; "$0" -- touch ran' "$NETMON"
	contains "$stderr" "netmon: cannot read '/proc/self/ns/pid': No such file or directory: is /proc mounted?"
	[ ! -e ran ]
}

@test "netmon names a lack of file descriptors as the reason, whatever the limit" {
	local limit
	for limit in 12 16 20 24 28 32 48 64 96 120; do
		run -1 --separate-stderr bash -c 'ulimit -n "$1"; "$0" -q --no-pin -n 1 -i 0.01' "$NETMON" $limit
		equal "$stderr" "netmon: cannot load 'probes': Too many open files: raise 'ulimit -n' to 256"
	done
	# the number that the message names is enough
	run -0 --separate-stderr bash -c 'ulimit -n 136; "$0" -q --no-pin -n 1 -i 0.01 -o +laddr,raddr' "$NETMON"
	equal "$stderr" ''
}

@test "netmon names the reason for root of a user namespace, and where bpf(2) is refused" {
	unshare -Ur true || cannot_run "no user namespace can be made here, as in a chroot"
	# by descriptor: it might be below a home directory that its owner alone can enter
	run -1 --separate-stderr unshare -Ur /proc/self/fd/9 --no-pin -n 1 9<"$NETMON"
	equal "$stderr" "netmon: cannot load 'probes': Operation not permitted: run it outside the user namespace"
	run -1 --separate-stderr python3 - "$NETMON" <<-'END'
		import ctypes, os, platform, struct, sys
		bpf = {"x86_64": 321, "aarch64": 280}[platform.machine()]
		ENOSYS = 38
		program = b"".join(struct.pack("HBBI", *instruction) for instruction in [
		    (0x20, 0, 0, 0),                     # load the number of the system call
		    (0x15, 0, 1, bpf),                   # is it bpf?
		    (0x06, 0, 0, 0x50000 | ENOSYS),      # then it fails
		    (0x06, 0, 0, 0x7fff0000)])
		text = ctypes.create_string_buffer(program)
		filter = struct.pack("HxxxxxxQ", 4, ctypes.addressof(text))
		libc = ctypes.CDLL(None, use_errno=True)
		libc.prctl(38, 1, 0, 0, 0)               # PR_SET_NO_NEW_PRIVS
		if libc.prctl(22, 2, filter, 0, 0):      # PR_SET_SECCOMP, by a filter
		    sys.exit("no seccomp")
		os.execv(sys.argv[1], ["netmon", "--no-pin", "-n", "1"])
	END
	equal "$stderr" "netmon: cannot load 'probes': Function not implemented: a seccomp filter may refuse bpf(2): in a container, add CAP_SYS_ADMIN, or use --security-opt seccomp=unconfined"
}
