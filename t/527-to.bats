#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016,SC2086	# what helpers set; the other shell's; options are words
# The file of --to: its header, rotation, --append.

load lib/common
load lib/live

setup() { live_setup; }
teardown() { live_teardown; }

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
