# Common to the live tests, which run netmon beside traffic.  Needs root.

# Options for every netmon here, such as '--attach fexit'.
: "${NETMON_OPTIONS:=}"

# The columns that compare/processes and the tests need.
columns=time,dt,pid,comm,rx_rate,tx_rate,rx_bytes,tx_bytes,rx_calls,tx_calls,rx_total,tx_total

# The root of cgroup v2.
cgroup_root() {
	findmnt --first-only --noheadings --types cgroup2 --output TARGET
}

# beside_layer_ip [OPTION OF FLOCK]: takes a lock on the hooks of layer ip until the test ends, shared with
# other tests, also of other runs; with --exclusive, alone
beside_layer_ip() {
	exec 6<"$(cgroup_root)"
	flock --wait 300 "${1---shared}" 6
}

# alone_with_paranoid: takes a lock on the sysctl kernel.perf_event_paranoid until the test ends, also
# against other runs
alone_with_paranoid() {
	exec 5</sys/bus/event_source
	flock --wait 300 5
}

# Room for all processes that other programs start in one interval, even a late one.
roomy='--max-processes 65536'

# Prints why live tests cannot run here; nothing if they can.
why_not_live() {
	if [ "$(id -u)" != 0 ]; then
		echo "not root"
	elif ! [ -r /sys/kernel/btf/vmlinux ]; then
		echo "no /sys/kernel/btf/vmlinux: the kernel has no BTF"
	elif "$BUILD/t/bpf-works" 2>&1 && [ -z "$(cgroup_root)" ]; then
		echo "no cgroup v2 is mounted"
	fi
}

needs_live() {
	local why
	why=$(why_not_live)
	[ -z "$why" ] || cannot_run "$why"
}

live_setup() {
	netmon=
	stamping=
	reader=
	others=() # further processes that must not outlive the test
	needs_live
	cd "$BATS_TEST_TMPDIR" || return
}

live_teardown() {
	for pid in $netmon $stamping $reader "${others[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
}

# eventually COMMAND...: returns when it succeeds; fails if it does not within a minute
eventually() {
	for _ in {1..1200}; do
		! "$@" || return 0
		sleep 0.05
	done
	fail "never: $*"
}

# reports_with NUMBER TEXT: whether at least that many lines of ./reports contain TEXT
reports_with() {
	[ "$(grep -cF "$2" reports)" -ge "$1" ]
}

# rows FILE: the number of rows (total) in it
rows() {
	grep -c '(total)' "$1" 2>/dev/null || true
}

# rows_in FILE NUMBER: whether it has at least that many rows (total)
rows_in() {
	[ "$(rows "$1")" -ge "$2" ]
}

# start [OPTION]...: starts netmon, with its reports in ./reports.  Returns when the probes count.
start() {
	: >messages
	# shellcheck disable=SC2086	# options are words
	"$NETMON" --no-pin -v -o "$columns" $roomy $NETMON_OPTIONS "$@" >reports 2>messages 3>&- &
	netmon=$!
	until grep -qx 'netmon: counting' messages; do
		kill -0 "$netmon" || grep -qx 'netmon: counting' messages ||
			fail "netmon did not start:" "$(cat messages)"
		sleep 0.02
	done
}

# start_stamped [OPTION]...: the same in jsonl; rows go to ./stamped, with the time of their arrival
start_stamped() {
	mkfifo rows
	python3 "$here/compare/sender-log" stamp 3>&- <rows >stamped &
	stamping=$!
	start -f jsonl --to rows "$@"
}

# stop_stamped: ends it; ./stamped becomes ./reports
stop_stamped() {
	stop
	wait $stamping
	stamping=
	mv stamped reports
}

# sender [FILE]: a jq condition for the rows of the account's sender
sender() {
	awk -F '\t' '$4 > 0 { printf "(.pid == %d and .comm == \"%s\")", $1, $2 }' "${1-account}"
}

# rates_hold [WINDOW [before]]: the sender's rates are right, by its log `sending`; before: it sent before
# netmon began
rates_hold() {
	jq -c "select($(sender))" reports | python3 "$here/compare/sender-log" check sending "${1-1}" "${2-}"
}

# stalled_reader: makes a pipe ./fifo with a reader that does not read
stalled_reader() {
	rm -f fifo reading
	mkfifo fifo
	python3 -c 'import fcntl, os, sys, time
F_SETPIPE_SZ = 1031
fifo = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
fcntl.fcntl(fifo, F_SETPIPE_SZ, 4096)
print("open", flush=True)
time.sleep(600)' >reading 3>&- &
	reader=$!
	until [ -s reading ]; do sleep 0.05; done
}

# stalled PID: returns when netmon has been unable to write for four seconds, by two measurements:
# a busy machine can delay a write for longer than one of them
stalled() {
	local before now=0 equal=0
	until grep -qx 'netmon: counting' messages; do sleep 0.05; done
	until [ $equal = 2 ]; do
		kill -0 "$1"
		before=$now
		sleep 2
		now=$(sed -n 's/^wchar: //p' "/proc/$1/io")
		if [ "$now" = "$before" ]; then equal=$((equal + 1)); else equal=0; fi
	done
}

# stop [SIGNAL]: ends netmon, which must exit with 0
stop() {
	kill "-${1:-TERM}" "$netmon"
	finish
}

# ended PID: whether the process has ended
ended() {
	! kill -0 "$1" 2>/dev/null
}

# Waits for a netmon that ends by itself.
finish() {
	local status=0
	wait "$netmon" || status=$?
	netmon=
	equal "$status" 0
}

# traffic CASE [OPTION]...: runs the case; its account goes to ./account
traffic() {
	"$BUILD/t/traffic" "$@" >>account
}

# exact FORMAT [--rows]: ./reports equal the account
exact() {
	"$here/compare/processes" "$1" reports account "${@:2}"
}

# reported QUERY: runs jq on the array of all rows, for reports in jsonl
reported() {
	jq -rs "$1" reports
}

# ask: the option of t/compare/key-columns for a kernel on which, as netmon says, the peer of a
# datagram is visible only if the receiver asks for it
ask() {
	# shellcheck disable=SC2086	# options are words
	if "$NETMON" --no-pin $NETMON_OPTIONS -o raddr -n 1 -i 0.01 2>&1 >/dev/null |
		grep -q 'not seen: .*the peer of a datagram if the receiver does not ask'; then
		echo --ask
	fi
}

# kretprobes PID: the names of the kretprobes in tracefs that this netmon has made
kretprobes() {
	cat /sys/kernel/tracing/kprobe_events /sys/kernel/debug/tracing/kprobe_events 2>/dev/null |
		sed -n "s/.*:\\(netmon\\/[^ ]*_$1_[0-9a-f]*\\) .*/\\1/p" | sort -u
}
