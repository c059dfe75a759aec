#!/usr/bin/env bats
# netmon as a Unix filter, in a pipe.

load lib/common
load lib/live

setup() {
	live_setup
	"$BUILD/t/traffic" steady -r 1000000 -s 600 --log sending >/dev/null 3>&- &
	traffic=$!
	until [ -s sending ]; do kill -0 $traffic; sleep 0.05; done
	sender=$(pgrep -P $traffic '^steady-send')
	name=$(cat "/proc/$sender/comm")
}

teardown() {
	[ -z "${traffic-}" ] || kill "$traffic" || true
	live_teardown
}

@test "rows in tsv can be sorted by sort" {
	"$NETMON" --no-pin -i 0.2 -n 10 -f tsv --no-header | sort >sorted
	LC_ALL=C sort -c sorted || sort -c sorted
	equal "$(awk -F '\t' '{ print NF }' sorted | sort -u)" 5
	[ "$(cut -f 2,3 sorted | grep -cFx "$sender	$name")" -ge 4 ]
}

@test "-n 10 writes ten reports under one header, and ends" {
	"$NETMON" --no-pin -i 0.3 -n 10 --total >log.csv
	[ "$(grep -cF ",$sender,$name," log.csv)" -gt 1 ]
	equal "$(head -1 log.csv)" 'time,pid,comm,rx_rate,tx_rate'
	equal "$(tail -n +2 log.csv | cut -d , -f 1 | sort -u | wc -l)" 10
}

@test "each line of jsonl is an object that jq reads at once" {
	"$NETMON" --no-pin -i 0.2 -n 10 -f jsonl | 
		jq -c --arg name "$name" 'select(.comm == $name and .tx_rate > 1000)' >rows
	[ "$(wc -l <rows)" -ge 4 ]
}

@test "netmon flushes each report at once" {
	start -i 2 -f jsonl -t 1
	eventually [ -s reports ]
	[ "$(stat -c %s reports)" -lt 4096 ] # less than a buffer of stdio
}

@test "netmon ends quietly if its reader ends" {
	run -0 --separate-stderr bash -c 'set -o pipefail; "$0" --no-pin -i 0.1 2>messages | head -2' "$NETMON"
	equal "${#lines[@]}" 2
	equal "$(grep -v '^netmon: counting' messages)" ''
}

@test "an idle netmon ends when the reader of its pipe ends" {
	mkfifo fifo
	"$NETMON" --no-pin -i 3600 -f jsonl >fifo &
	netmon=$!
	sleep 0.5 <fifo
	eventually ended "$netmon"
	finish
}

@test "an idle netmon ends when the reader of its socket ends" {
	run -0 --separate-stderr timeout 120 python3 - "$NETMON" <<-'END'
		import socket, subprocess, sys, time
		ours, its = socket.socketpair()
		netmon = subprocess.Popen([sys.argv[1], "--no-pin", "-i", "3600"], stdout=its, stderr=subprocess.DEVNULL)
		its.close()
		ours.recv(100)  # the header
		ours.close()
		sys.exit(netmon.wait(timeout=60))
	END
}

@test "SIGTERM ends a netmon whose terminal is not read" {
	python3 - "$NETMON" 3>&- <<-'END' &
		import os, pty, subprocess, sys
		ours, its = pty.openpty()
		netmon = subprocess.Popen([sys.argv[1], "--no-pin", "-v", "-i", "0.01", "-o", "+dt,rx_total,tx_total"],
		                          stdout=its, stderr=open("messages", "w"))
		with open("pid", "w") as file:
		    print(netmon.pid, file=file)
		sys.exit(netmon.wait())
	END
	python=$!
	others=("$python")
	until [ -s pid ]; do sleep 0.05; done
	netmon=$(cat pid)
	stalled "$netmon"
	kill -TERM "$netmon"
	eventually ended $python
	status=0
	wait $python || status=$?
	netmon=
	equal $status 1
	contains "$(cat messages)" "netmon: cannot write 'standard output': its reader does not read"
}

@test "netmon ends with 1 and reports the error if it writes to /dev/full" {
	run -1 --separate-stderr bash -c '"$0" --no-pin -i 0.1 >/dev/full' "$NETMON"
	contains "$stderr" "netmon: cannot write 'standard output': No space left on device"
}

@test "netmon ends with 1 and reports the error if the file system is full" {
	mkdir disk
	run -1 --separate-stderr unshare -m bash -c 'mount -t tmpfs -o size=4k none disk &&
		"$0" --no-pin -i 0.01 >disk/log' "$NETMON"
	contains "$stderr" "netmon: cannot write 'standard output': No space left on device"
}

@test "netmon ends with 1 if standard output is closed, and does not run a command if standard error is" {
	run -1 --separate-stderr bash -c '"$0" --no-pin -i 3600 -f jsonl >&-' "$NETMON"
	equal "$stderr" "netmon: cannot write 'standard output': Bad file descriptor"
	# the same for standard error, where rows go if there is a command
	run -1 bash -c '"$0" -- touch ran 2>&-' "$NETMON"
	[ ! -e ran ]
}

@test "messages never go to the file of the rows, even if standard error is closed" {
	bash -c '"$0" --no-pin -v -i 0.05 -n 2 --total -o dt --to rows 2>&-' "$NETMON"
	equal "$(grep -vxc '[0-9.]*' rows)" 1
	equal "$(head -1 rows)" dt
	# standard error is closed for a command too
	run -7 bash -c '"$0" --to rows -- bash -c ": >&2 || exit 7" 2>&-' "$NETMON"
}

@test "--to FILE writes the rows there, and empties the file only if netmon starts" {
	for size in 100000 0; do
		head -c $size /dev/zero >rows
		equal "$("$NETMON" --no-pin -i 0.05 -n 1 --total -o dt --to rows)" ''
		equal "$(grep -vxac '[0-9.]*' rows)" 1
		cp rows before
		run -1 "$NETMON" --from "$PWD/none" --to rows
		run -1 "$NETMON" --status "$PWD/none" --to rows
		cmp before rows
	done
}

@test "-f prom does not write its new file to a pipe or link that another user has put there" {
	echo kept >outside
	for make in 'mkfifo rows.new' 'ln -s outside rows.new' 'ln outside rows.new' true; do
		rm -f rows rows.new
		$make
		timeout 60 "$NETMON" --no-pin -n 2 -i 0.05 -f prom --to rows 2>/dev/null
		[ -f rows ] && [ ! -h rows ] && [ ! -e rows.new ] || fail "$make: $(ls -l)"
		grep -q '^# TYPE netmon_receive_bytes_total counter' rows
		equal "$(cat outside)" kept
	done
}

@test "-f prom replaces the file that a link of --to leads to, and not the link" {
	local to
	echo old >target
	ln -s target link
	ln -s /proc/self/fd/1 stdout
	for to in link stdout; do
		"$NETMON" --no-pin -n 2 -i 0.05 -f prom --to $to 2>/dev/null >>target
		[ -h $to ] && [ ! -h target ] || fail "$to: $(ls -l)"
		equal "$(head -c 6 target)" '# HELP'
		echo old >target
	done
	run -1 --separate-stderr "$NETMON" --no-pin -n 1 -i 0.05 -f prom --to dir/missing
	equal "$stderr" "netmon: cannot open 'dir/missing': No such file or directory"
}
