#!/usr/bin/env bats
# No byte is lost: under load, in a full table, across late ticks.

load lib/common
load lib/live

setup() { live_setup; }
teardown() { live_teardown; }

# split_rows FILE: bytes received and sent by the processes in the account and (other), and the bytes
# of all other rows
split_rows() {
	jq -r '[.pid, .comm, .rx_bytes, .tx_bytes] | @tsv' "$1" | awk -F '\t' '
		NR == FNR { ours[$1, $2] = 1; next }
		($1, $2) in ours || $2 == "(other)" { rx += $3; tx += $4; next }
		{ others += $3 + $4 }
		END { printf "%.0f\t%.0f\t%.0f\n", rx, tx, others }' account -
}

# add_up FOREIGN: the rows of the account's processes and (other) have at least the account's bytes, and
# at most FOREIGN more, of other processes
add_up() {
	paste <(split_rows reports) <(accounted) | awk -v foreign="$1" '
		$1 < $4 || $2 < $5 || $1 + $2 > $4 + $5 + foreign { bad = 1; print } END { exit !NR || bad }'
}

# accounted: bytes received and sent in the account
accounted() {
	awk '{ rx += $(NF - 3); tx += $(NF - 2) } END { printf "%d\t%d\n", rx, tx }' account
}

# The cases with each IP version, without those that netmon said it cannot count here.
countable() {
	local without=^$
	! grep -Eq 'not seen: .*(splice out|TCP_ZEROCOPY)' messages || without='-splice-out |^tcp-zerocopy-recv '
	"$BUILD/t/traffic" --list | grep -Ev '^(before|idle-sockets|churn)\b' |
		awk -F '\t' '$2 == "-" { print $1, "" } $2 ~ 4 { print $1, "-4" } $2 ~ 6 { print $1, "-6" }' |
		grep -Ev -e "$without"
}

@test "every case is exact if all run at once, with reports every 0.02 s" {
	start -f jsonl -i 0.02
	mapfile -t cases < <(countable)
	[ "${#cases[@]}" -gt 100 ]
	[ "${ROUNDS:-2}" = 1 ] || cases+=("${cases[@]}")
	for ((worker = 0; worker < 18; worker++)); do # each case has at least two processes
		(for ((i = worker; i < ${#cases[@]}; i += 18)); do
			# shellcheck disable=SC2086	# a name and an option
			"$BUILD/t/traffic" ${cases[i]} || [ $? = 77 ]
		done) >"account.$worker" 3>&- &
		workers+=($!)
	done
	for worker in "${workers[@]}"; do wait "$worker"; done
	stop
	grep -hv '^not on this kernel' account.* >account
	# splice is counted by fexit programs only, of which the kernel might skip some calls
	skipped=$(awk '/^netmon: cannot count [0-9]+ calls/ { sum += $4 } END { print sum + 0 }' messages)
	exact jsonl --skipped="$skipped"
}

@test "208 connections of 16 processes at full speed are exact, with reports every 0.05 s" {
	start -f jsonl -i 0.05
	traffic bulk -P 16 -C 13 -s "$((LONG ? 60 : 5))"
	stop
	exact jsonl
}

@test "bytes of a process that uses every CPU are exact, in one row" {
	start -f jsonl -i 86400
	traffic threads -b 50000000 -C "$((2 * $(nproc)))"
	stop
	exact jsonl --rows
}

@test "rows of 5,000 processes in a table of 64 add up to all bytes, and one message reports that it is full" {
	"$NETMON" --no-pin -v -f jsonl -o pid,comm,rx_bytes,tx_bytes >everything 2>started 3>&- &
	everything=$!
	others=("$everything")
	until grep -qx 'netmon: counting' started; do kill -0 $everything; sleep 0.05; done
	start -f jsonl -i 0.5 --max-processes 64
	for seen in 1 2; do
		kill -STOP "$netmon" # all processes come and go in one interval
		traffic short -P 2500
		kill -CONT "$netmon"
		eventually reports_with $seen '"(other)"'
	done
	stop
	kill $everything
	wait $everything
	others=()
	# exact, except for other users of the network, who can be in (other) too
	add_up "$(split_rows everything | cut -f 3)"
	equal "$(grep -c "full with 64 processes.*--max-processes" messages)" 1
}

@test "a full table in layer ip is reported with its size" {
	case $(uname -r) in
	5.10.*) skip "layer ip takes Linux 5.15" ;;
	esac
	beside_layer_ip
	NETMON_OPTIONS="" start -f jsonl -i 86400 --layer ip --max-processes 8
	traffic short -P 100
	stop
	equal "$(grep -c "full with 8 processes.*--max-processes" messages)" 1
}

@test "300 live processes in a table of 64 have at most 64 rows, and (other) has the rest" {
	"$NETMON" --no-pin -v -f jsonl -o pid,comm,rx_bytes,tx_bytes >everything 2>started 3>&- &
	everything=$!
	others=("$everything")
	until grep -qx 'netmon: counting' started; do kill -0 $everything; sleep 0.05; done
	start -f jsonl -i 0.5 --max-processes 64 -a
	mkfifo go
	"$BUILD/t/traffic" short -P 300 --linger <go >account 3>&- &
	traffic=$!
	exec 8>go
	until [ -s account ]; do sleep 0.1; done
	sleep 1.5
	exec 8>&-
	wait $traffic
	stop
	kill $everything
	wait $everything
	others=()
	[ "$(reported '[.[] | select(.comm == "(other)")] | length')" -gt 0 ]
	tag=$(cut -f 2 account | grep -m 1 -o '\.[^.]*$')
	equal "$(reported "map(select((.comm | endswith(\"$tag\")) or .comm == \"(other)\"))
		| group_by(.time) | map(length) | max <= 65")" true
	add_up "$(split_rows everything | cut -f 3)"
}

@test "each of 5,000 processes that end has all bytes in one row, at 0.05 s and at 5 s" {
	for interval in 0.05 5; do
		rm -f account
		start -f jsonl -i $interval
		traffic short -P 5000
		stop
		exact jsonl
		grep $'\t100\t' account >senders
		equal "$(wc -l <senders)" 5000
		mv senders account
		exact jsonl --rows
	done
}

@test "after SIGSTOP and SIGCONT netmon writes one report with its true length and right rates" {
	start_stamped -i 0.5 --total
	"$BUILD/t/traffic" steady -r 1000000 -s 8 --log sending >account 3>&- &
	traffic=$!
	sleep 1.2
	kill -STOP "$netmon"
	sleep 5
	kill -CONT "$netmon"
	wait $traffic
	stop_stamped
	exact jsonl
	rates_hold
	# the long interval replaces at least ten ticks, with no burst of reports to make up for them
	equal "$(reported 'map(select(.comm == "(total)").dt) | max > 4.5 and length <= (add / 0.5 | floor) - 8')" true
}

@test "no byte is lost while the reader stalls" {
	mkfifo fifo hold
	{ until [ -e go ]; do sleep 0.1; done; cat; } <fifo >reports 3>&- &
	reader=$!
	# shellcheck disable=SC2086	# options are words
	"$NETMON" --no-pin -v -o "$columns" $roomy -f jsonl -i 0.01 -a >fifo 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do sleep 0.05; done
	# lingering processes have rows, which fill the pipe
	"$BUILD/t/traffic" up -b 1000 --linger <hold >account.held 3>&- &
	held=$!
	exec 8>hold
	stalled $netmon
	traffic short -P 300
	traffic up
	traffic steady -r 1000000 -s 5
	touch go
	exec 8>&-
	wait $held
	stop
	wait $reader
	cat account.held >>account
	exact jsonl
	# it did stall, and the late report has its true length
	equal "$(reported '[.[].dt] | max > 5')" true
}

@test "no rate changes if the clock is set back" {
	[ -e /run/vm/main ] || skip "not in a virtual machine of t/vm/run: the clock is not ours to set"
	read -r begin _ </proc/uptime
	start -f jsonl -i 0.5
	"$BUILD/t/traffic" steady -r 1000000 -s 5 >account 3>&- &
	traffic=$!
	sleep 2
	date -s '-1 hour' >/dev/null
	wait $traffic
	stop
	read -r end _ </proc/uptime
	exact jsonl
	# the time went back between two reports, but no dt is negative
	reports='[.[] | [.time, .dt]] | reduce .[] as $r ([]; if .[-1] == $r then . else . + [$r] end)'
	equal "$(reported "$reports | [.[1:], .[:-1]] | transpose
		| map(select(.[0][0] - .[1][0] < -3500)) | length")" 1
	equal "$(reported "$reports | map(select(.[1] <= 0)) | length")" 0
	equal "$(reported 'all((.tx_rate * .dt - .tx_bytes | fabs) <= 1 + .dt + .tx_rate / 1000000)')" true
	# all intervals with traffic together are not longer than the test
	equal "$(reported "$reports | map(.[1]) | add | . > 4 and . < $end - $begin + 0.02")" true
}
