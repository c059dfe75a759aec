#!/usr/bin/env bats
# shellcheck disable=SC2154	# what common.bash sets
# The comparison of netmon's reports with the account of the traffic generator.

load lib/common

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' 7 up-server.aB3 100 0 2 0 8 name-after.aB3 0 100 0 1 9 traffic 5 5 1 1 >account
	header=pid,comm,rx_bytes,tx_bytes,rx_calls,tx_calls
	rows="7,up-server.aB3,60,0,1,0
7,up-server.aB3,40,0,1,0
8,name-before.aB3,0,60,0,1
8,name-after.aB3,0,40,0,0
9,before-exec.aB3,5,0,1,0
9,traffic,0,5,0,1"
}

# compared STATUS WANTED ROWS [OPTION]...: the comparison of these rows with the account
compared() {
	printf '%s\n' "$header" "$3" >reports
	run "-$1" "$here/compare/processes" csv reports "${@:4}" account
	equal "$output" "$2"
}

@test "compare/processes accepts rows that add up to the account, also under an earlier name of the process" {
	compared 0 '' "$rows"
}

@test "compare/processes ignores rows of another run of the generator, even with the same pid and role" {
	compared 0 '' "$rows
7,up-server.xY4,999,0,1,0
8,curl,999,0,1,0"
}

@test "compare/processes rejects a byte or call too many or too few, and a row under the name of another process" {
	compared 1 '7 up-server.aB3: rx_bytes 101, not 100' "${rows/40,0/41,0}"
	compared 1 '8 name-after.aB3: tx_bytes 99, not 100' "${rows/0,60/0,59}"
	compared 1 '9 traffic: tx_calls 0, not 1' "${rows%1}0"
	compared 1 "8: name 'up-server.aB3', not ['name-after.aB3']" "$rows
8,up-server.aB3,1,0,1,0"
	: >account
	compared 1 'the account is empty' "$rows"
}

@test "compare/processes --rows rejects a process with two rows" {
	compared 1 '7 up-server.aB3: 2 rows, not 1
8 name-after.aB3: 2 rows, not 1
9 traffic: 2 rows, not 1' "$rows" --rows
}
