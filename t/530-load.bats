#!/usr/bin/env bats
# Nothing is lost: under load, in a full table, across late ticks.

load helper
load live

setup() { live_setup; }
teardown() {
	[ -z "${paranoid-}" ] || echo "$paranoid" >/proc/sys/kernel/perf_event_paranoid
	live_teardown
}

# sums: bytes received and sent, over all rows of the processes in the account and (other)
sums() {
	reported '[.[] | select(.comm | test("^(short|short-.*|udp-.*|\\(other\\))$"))]
		| [map(.rx_bytes), map(.tx_bytes)] | map(add) | @tsv'
}

# accounted: the same by the generator
accounted() {
	awk '{ rx += $(NF - 3); tx += $(NF - 2) } END { printf "%d\t%d\n", rx, tx }' account
}

# The cases with each IP version, but those that netmon said it cannot count here.
countable() {
	local without=^$
	! grep -q 'is not counted$' messages || without='-splice-out |^tcp-zerocopy-recv '
	"$BUILD/t/traffic" --list | grep -Ev '^(before|idle-sockets)' |
		awk -F '\t' '$2 == "-" { print $1, "" } $2 ~ 4 { print $1, "-4" } $2 ~ 6 { print $1, "-6" }' |
		grep -Ev -e "$without"
}

@test "all the cases at once, 36 busy processes, reports every 0.02 s" {
	start -f jsonl -i 0.02
	mapfile -t cases < <(countable)
	[ "${#cases[@]}" -gt 100 ]
	cases+=("${cases[@]}")
	for ((worker = 0; worker < 18; worker++)); do # each case has two processes at the least
		(for ((i = worker; i < ${#cases[@]}; i += 18)); do
			# shellcheck disable=SC2086	# a name and an option
			"$BUILD/t/traffic" ${cases[i]} || [ $? = 77 ]
		done) >"account.$worker" 3>&- &
		workers+=($!)
	done
	for worker in "${workers[@]}"; do wait "$worker"; done
	stop
	grep -hv '^not on this kernel' account.* >account
	exact jsonl
}

@test "200 connections of 16 processes at full speed, reports every 0.05 s" {
	start -f jsonl -i 0.05
	traffic bulk -P 16 -C 13 -s "${SECONDS_OF_LOAD:-20}"
	stop
	exact jsonl
}

# foreign FILE: bytes that others than the processes in the account moved meanwhile
foreign() {
	jq -r '[.pid, .rx_bytes + .tx_bytes] | @tsv' "$1" |
		awk 'NR == FNR { ours[$1] = 1; next } !($1 in ours) { sum += $2 } END { print sum + 0 }' \
			account -
}

@test "a table of 64 for 5,000 processes: the rows add up, and it is said once" {
	"$NETMON" -v -f jsonl -o pid,rx_bytes,tx_bytes >everything 2>started 3>&- &
	everything=$!
	until grep -qx 'netmon: counting' started; do sleep 0.05; done
	start -f jsonl -i 0.5 --max-processes 64
	traffic short -P 5000
	stop
	kill $everything
	wait $everything
	# exact, unless others use the network too: they may be in (other) as well
	if [ "$(foreign everything)" = 0 ]; then
		equal "$(sums)" "$(accounted)"
	else
		paste <(sums) <(accounted) | awk -v foreign="$(foreign everything)" '
			$1 < $3 || $2 < $4 || $1 + $2 > $3 + $4 + foreign { bad = 1; print } END { exit !NR || bad }'
	fi
	[ "$(reported 'map(select(.comm == "(other)")) | length')" -gt 0 ]
	equal "$(grep -c "cannot add to 'packet_stats': full with 64 processes.*--max-processes" \
		messages)" 1
}

@test "5,000 processes that end: every byte in one report, at 0.05 s and at 5 s" {
	for interval in 0.05 5; do
		rm -f account
		start -f jsonl -i $interval
		traffic short -P 5000
		stop
		exact jsonl
		grep $'\t100\t' account >senders
		mv senders account
		exact jsonl --rows
	done
}

@test "a tick that comes late gives one report with its true length" {
	start -f jsonl -i 0.5
	"$BUILD/t/traffic" steady -r 1000000 -s 8 >account 3>&- &
	traffic=$!
	sleep 1.2
	kill -STOP "$netmon"
	sleep 5
	kill -CONT "$netmon"
	wait $traffic
	stop
	exact jsonl
	# one long interval; no burst of reports to make up for it
	equal "$(reported '[.[].dt] | map(select(. > 4.5)) | unique | length')" 1
	equal "$(reported '[.[] | [.time, .dt]] | unique | map(select(.[1] < 0.1)) | length < 3')" true
	sender=$(awk '$4 > 0 { print $1 }' account)
	reported ".[] | select(.pid == $sender and .dt > 4.5) | .tx_rate" |
		awk '{ if ($1 < 950000 || $1 > 1050000) { print "rate " $1; bad = 1 } }
			END { exit !NR || bad }'
}

@test "a reader that stalls for 10 s loses no byte" {
	mkfifo fifo
	{ sleep 10; cat; } <fifo >reports 3>&- &
	reader=$!
	"$NETMON" -v -o "$columns" -f jsonl -i 0.01 -a >fifo 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do sleep 0.05; done
	traffic short -P 300
	traffic up
	sleep 10
	stop
	wait $reader
	exact jsonl
}

@test "the clock set back bends no rate" {
	# a time step needs a machine of its own: the virtual machines of check-vm
	grep -q '^QEMU' /sys/class/dmi/id/sys_vendor 2>/dev/null ||
		skip "not in a virtual machine: CLOCK_REALTIME is not ours to set"
	start -f jsonl -i 0.5
	"$BUILD/t/traffic" steady -r 1000000 -s 5 >account 3>&- &
	traffic=$!
	sleep 2
	date -s '-1 hour' >/dev/null
	wait $traffic
	stop
	exact jsonl
	equal "$(reported '[.[].dt] | map(select(. < 0 or . > 2)) | length')" 0
	equal "$(reported '[.[].tx_rate] | max < 3000000')" true
}

@test "CAP_BPF and CAP_PERFMON suffice" {
	# what else a kernel may ask for, the manual says: locked memory, readable tracefs
	caps=+bpf,+perfmon
	case $(uname -r) in
	5.*) ulimit -l unlimited ;;
	6.*) ;;
	*) caps+=,+dac_read_search ;;
	esac
	chmod 755 . # as nobody: no other right to the files here
	if [ "$caps" != +bpf,+perfmon ]; then # perf, too, is asked: Debian's default says no
		paranoid=$(cat /proc/sys/kernel/perf_event_paranoid)
		[ "$paranoid" -le 2 ] || echo 2 >/proc/sys/kernel/perf_event_paranoid
	fi
	cat >as-nobody <<-END
		#!/bin/sh
		exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=$caps \
			--ambient-caps=$caps --bounding-set=-all,$caps /proc/self/fd/9 "\$@" 9<"$NETMON"
	END
	chmod 755 as-nobody
	NETMON=./as-nobody
	start -f jsonl -i 0.2
	traffic up -b 1000000
	stop
	exact jsonl
}

@test "a process that lived before netmon counts from its start" {
	mkfifo go
	"$BUILD/t/traffic" before <go >account 3>&- &
	traffic=$!
	exec 8>go
	until [ -s account ]; do sleep 0.05; done
	start -f jsonl -i 0.2
	echo >&8
	wait $traffic
	stop
	awk -F '\t' 'NF == 6' account >full
	mv full account
	exact jsonl
}
