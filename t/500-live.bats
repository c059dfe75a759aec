#!/usr/bin/env bats
# netmon on the running kernel: compares known bytes exactly.

load lib/common
load lib/live

setup() { live_setup; }
teardown() { live_teardown; }

# start_three: a netmon for each format, with its reports in ./reports.FORMAT
start_three() {
	for format in csv tsv jsonl; do
		start -f $format -i 0.2
		mv reports reports.$format
		others+=("$netmon")
	done
}

@test "bytes and calls of TCP and UDP, over IPv4 and IPv6, are exact in every format" {
	start_three
	for version in -4 -6; do
		for case in up down; do
			traffic "$case" $version -b 5000000
		done
		for case in udp-sendto udp-connected; do
			traffic "$case" $version
		done
	done
	for netmon in "${others[@]}"; do stop; done
	for format in csv tsv jsonl; do
		mv reports.$format reports
		exact $format
	done
}

@test "100,000,000 bytes are reported as 100,000,000 bytes at both ends" {
	for case in up down; do
		rm -f account
		start -i 1 -f jsonl
		traffic $case -b 100000000
		stop
		exact jsonl
		equal "$(awk '{ rx += $3; tx += $4 } END { print rx, tx }' account)" '100000000 100000000'
	done
}

@test "the last bytes of a process are in the report of the interval in which it ended" {
	start -f jsonl -i 86400
	traffic short -P 50
	stop INT
	exact jsonl
	equal "$(reported 'map(.time) | unique | length')" 1
}

@test "each rate of a steady sender is what it sent, divided by the time" {
	start_stamped -i 1
	traffic steady -r 10000000 -s 6 --log sending
	stop_stamped
	exact jsonl
	rates_hold
}

@test "-w averages the rate of a bursty sender over the window" {
	start_stamped -i 0.2 -w 5 -a
	traffic bursty -r 1000000 -s 5 --log sending
	stop_stamped
	exact jsonl
	# a period has five intervals, four of them a pause
	rates_hold 5
	equal "$(reported 'map(select('"$(sender)"')) | map(select(.tx_bytes == 0 and .tx_rate > 0)) | length > 0')" true
}

@test "a process without traffic has no row in the next report, except with --all" {
	"$BUILD/t/traffic" up --linger <<<"" >/dev/null
	start -f jsonl -i 0.2 --all
	mkfifo hold
	"$BUILD/t/traffic" up -b 1000 --linger <hold >account 3>&- &
	traffic=$!
	exec 8>hold
	eventually [ -s account ]
	eventually reports_with 2 "\"pid\":$(awk '$4 > 0 { print $1 }' account),"
	exec 8>&-
	wait $traffic
	stop
	equal "$(reported "[.[] | select($(sender)).tx_bytes] | map(select(. > 0)) | @csv")" 1000
	equal "$(reported "[.[] | select($(sender)).tx_total] | unique | @csv")" 1000

	rm reports account
	start -f jsonl -i 0.2
	sleep 0.5 | "$BUILD/t/traffic" up -b 1000 --linger >account
	stop
	equal "$(reported "[.[] | select($(sender))] | length")" 1
}

@test "-p reports no other process" {
	sleep 600 3>&- &
	sleeper=$!
	others=("$sleeper")
	start -f jsonl -i 86400 -p $sleeper
	traffic up -b 1000
	stop
	kill $sleeper
	equal "$(cat reports)" ''
}

# Each dt is the difference of two times, which are in milliseconds.
true_lengths() {
	equal "$(reported 'map(select(.comm == "(total)") | [.time, .dt]) | [.[1:], .[:-1]] | transpose
		| all(.[0][0] - .[1][0] - .[0][1] | fabs < 0.0021)')" true
}

@test "reports stay on a fixed grid, and dt is their true length" {
	start -f jsonl -i 0.1 -n 80 --total
	for _ in {1..8}; do
		kill -STOP "$netmon" || break # a late report does not shift the next ones
		sleep 0.15
		kill -CONT "$netmon"
		sleep 0.5
	done
	finish
	# no drift: some reports of each quarter are on a common grid; the others are late
	reported '.[] | select(.comm == "(total)").time' >times
	python3 - <<-'END'
		times = [float(line) for line in open("times")]
		assert len(times) == 80, times
		def on_grid(start, time):
		    off = (time - start) % 0.1
		    return min(off, 0.1 - off) <= 0.01
		start = max(times, key=lambda start: sum(on_grid(start, time) for time in times))
		for i in range(0, 80, 20):
		    hits = [on_grid(start, time) for time in times[i:i + 20]]
		    assert sum(hits) >= 5, (start, times[i:i + 20])
	END
	# the report after a late one is on the grid again
	equal "$(reported 'map(select(.comm == "(total)" and .dt < 0.09)) | length >= 2')" true
	true_lengths
}

@test "dt is right even if reading the clock takes long" {
	"${CC:-clang}" -shared -fPIC -x c -o late.so - <<-'END'
		#include <sys/syscall.h>
		#include <time.h>
		#include <unistd.h>

		int clock_gettime(clockid_t clock, struct timespec *time)
		{
			static unsigned reads;
			int error = syscall(SYS_clock_gettime, clock, time);

			if (++reads % 7 == 0)
				usleep(5000); /* as if preempted */
			return error;
		}
	END
	LD_PRELOAD=$PWD/late.so start -f jsonl -i 0.05 -n 40 --total
	finish
	equal "$(reported 'map(select(.comm == "(total)")) | length')" 40
	true_lengths
}

@test "no two reports have the same time, even a millisecond apart" {
	start -f jsonl -i 0.01 -o time,comm,dt --total
	for _ in {1..1000}; do
		! reports_with 200 '"(total)"' || break
		kill -STOP "$netmon"
		sleep 0.02
		kill -CONT "$netmon" # a late report, and the next one on the grid, at any distance
		sleep 0.02
	done
	stop
	equal "$(reported 'map(select(.comm == "(total)").time) | [length >= 200, length - (unique | length)] | @csv')" true,0
}

@test "SIGINT and SIGTERM report the interval in progress with its true length" {
	for signal in INT TERM; do
		rm -f account
		start -f jsonl -i 3600
		traffic up -b 5000
		sleep 0.5
		stop $signal
		exact jsonl
		equal "$(reported 'map(.dt) | unique | length == 1 and .[0] > 0.5 and .[0] < 10')" true
	done
}

@test "netmon killed by SIGKILL during traffic leaves nothing in the kernel" {
	objects() {
		for kind in prog map link; do
			bpftool -j $kind show | jq -r ".[] | \"$kind \\(.id)\""
		done | sort
	}
	start -i 0.1
	"$BUILD/t/traffic" bulk -s 2 >/dev/null &
	sleep 0.5
	sed -n 's/^\(prog\|map\|link\)_id:\s*/\1 /p' "/proc/$netmon/fdinfo/"* | sort -u >ours
	[ "$(grep -c ^prog ours)" -ge 4 ]
	[ "$(grep -c ^map ours)" -ge 3 ]
	kill -KILL "$netmon"
	wait "$netmon" || true
	wait
	gone() {
		! objects | comm -12 ours - | grep .
	}
	eventually gone # the kernel frees the programs a grace period later
}

# cpu PID: its CPU time in nanoseconds
cpu() {
	cut -d ' ' -f 1 "/proc/$1/schedstat"
}

# slept PID: how often it went to sleep
slept() {
	sed -n 's/^voluntary_ctxt_switches:\s*//p' "/proc/$1/status"
}

# sleeps_more_than NUMBER: whether netmon went to sleep more often
sleeps_more_than() {
	[ "$(slept "$netmon")" -gt "$1" ]
}

# memory PID: resident KiB
memory() {
	sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}

@test "netmon uses no measurable CPU if there is no traffic, and less than 8 MB" {
	start -i 1 -p $$ # without the rows of other programs
	# less than a clock tick in five reports.  Takes the cheapest of several: in a virtual machine, CPU
	# time includes time stolen by the host.
	least=2000000
	for ((reports = 0; reports < 20 && least == 2000000; reports++)); do
		before=$(cpu "$netmon") times=$(slept "$netmon")
		eventually sleeps_more_than "$times"
		used=$(($(cpu "$netmon") - before))
		[ $used -ge $least ] || least=$used
	done
	[ $least -lt 2000000 ]
	# it wakes up for its reports only
	begin=${EPOCHREALTIME/./} times=$(slept "$netmon")
	sleep 3
	[ $((($(slept "$netmon") - times) * 1000000)) -le $((${EPOCHREALTIME/./} - begin + 1000000)) ]
	case $NETMON in
	*/sanitize/*) ;; # the sanitizers take far more memory
	*) [ "$(memory "$netmon")" -lt 8192 ] ;;
	esac
	stop
}

@test "every name survives in every format, in csv with U+FFFD for control characters" {
	start_three
	python3 - <<-'END'
		import os, re, socket, time
		names = [b"tab\there", b"a,b", b'quo"te', b"new\nline", b"con\x01trol", b"bad\xff\xc3",
		         b"back\\slash", b"\\t", b"caf\xc3\xa9", b"fifteen bytes !", b"\r", b" "]
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

		def rows():
		    return [len(re.findall(rb"\b%d\b" % os.getpid(), open("reports." + format, "rb").read()))
		            for format in ("csv", "tsv", "jsonl")]

		for number, name in enumerate(names, 1):
		    open("/proc/self/comm", "wb").write(name)
		    s.sendto(b"x", ("127.0.0.1", 9))
		    end = time.monotonic() + 30
		    while min(rows()) < number:  # one report with this name
		        assert time.monotonic() < end, name
		        time.sleep(0.05)
	END
	for netmon in "${others[@]}"; do stop; done
	for format in csv tsv jsonl; do
		python3 - $format <<-'END'
			import csv, json, re, sys
			names = [b"tab\there", b"a,b", b'quo"te', b"new\nline", b"con\x01trol", b"bad\xff\xc3",
			         b"back\\slash", b"\\t", b"caf\xc3\xa9", b"fifteen bytes !", b"\r", b" "]
			names = [name.decode(errors="replace") for name in names]
			raw = open("reports." + sys.argv[1], encoding="utf-8", newline="")
			if sys.argv[1] == "csv":
			    names = [re.sub("[\0-\x1f]", "\ufffd", name) for name in names]
			    got = [row["comm"] for row in csv.DictReader(raw)]
			elif sys.argv[1] == "tsv":
			    unescape = lambda m: {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}.get(
			        m[1][0]) or chr(int(m[1][1:], 16))
			    lines = [line.split("\t") for line in raw.read().split("\n")[:-1]]
			    got = [re.sub(r"\\(x..|.)", unescape, line[3]) for line in lines]
			else:
			    got = [json.loads(line)["comm"] for line in raw]
			missing = [name for name in names if name not in got]
			sys.exit("not got back: %r of %r" % (missing, got) if missing else 0)
		END
	done
}

@test "a table fits the terminal, even after the terminal's size changes" {
	python3 - "$NETMON" <<-'END'
		import fcntl, os, pty, signal, socket, struct, subprocess, sys, termios
		signal.alarm(60)
		master, terminal = pty.openpty()

		def resize(columns):
		    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

		resize(200)
		netmon = subprocess.Popen([sys.argv[1], "--no-pin", "-f", "table", "-o", "+cmd", "-i", "0.2", "-p",
		                           str(os.getpid())], stdout=terminal, stderr=subprocess.DEVNULL)
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		text, resized = "", False
		while "\u2026" not in text:  # ends when a row was cut
		    s.sendto(b"x", ("127.0.0.1", 9))
		    text = (text + os.read(master, 65536).decode()).replace("\r", "")
		    if not resized and os.path.basename(sys.argv[1]) + "\n" in text.replace(" ", "\n"):
		        resize(50)  # the command line was there, whole
		        resized = True
		netmon.terminate()
		assert netmon.wait() == 0
		row = next(line for line in text.split("\n") if "\u2026" in line)
		assert len(row) == 50, row
	END
}

@test "with -f prom, the file of --to holds one whole report whenever it is read" {
	echo old >metrics
	"$NETMON" --no-pin -f prom -i 0.01 --to metrics 2>messages &
	netmon=$!
	python3 - "prom-$BASHPID" <<-'END'
		import re, signal, socket, sys
		signal.alarm(60)
		open("/proc/self/comm", "w").write(sys.argv[1])
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		seen, last, sent = set(), 0, 0
		while len(seen) < 20:
		    sent += s.sendto(b"x" * 10, ("127.0.0.1", 9))
		    with open("metrics", encoding="utf-8") as file:
		        text = file.read()
		    if text == "old\n":
		        continue
		    assert re.fullmatch("# HELP netmon_receive_bytes_total .*\n# TYPE .*\n(?:netmon_receive.*\n)*"
		                        "# HELP netmon_transmit_bytes_total .*\n# TYPE .*\n(?:netmon_transmit.*\n)*",
		                        text), text
		    total = sum(int(n) for n in re.findall('netmon_transmit_bytes_total{comm="%s"} (.*)' % sys.argv[1], text))
		    assert last <= total <= sent, (last, total, sent)
		    last = total
		    seen.add(total)
	END
	stop
	equal "$(ls metrics*)" metrics
	[ "$(stat -c %a metrics)" = "$(printf '%o' $((0666 & ~$(umask))))" ]
}

@test "a process that began before netmon is counted from netmon's start" {
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

@test "sendfile over UDP to a device that gathers no fragments is counted once, on Linux 5.10 twice" {
	local wanted=$'10000\t10'
	[[ $(uname -r) != 5.10.* ]] || wanted=$'20000\t20' # see BUGS
	head -c 1000 /dev/zero >file
	"$NETMON" $NETMON_OPTIONS --no-pin -f tsv --no-header -o tx_bytes,tx_calls --comm python3 --to reports -- unshare -n sh -c '
		ip link add near type veth peer name far
		ip addr add 10.79.3.1/24 dev near
		ip link set near up
		ip link set far up
		ethtool -K near sg off >/dev/null
		exec python3 -c "
import os, socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect((\"10.79.3.2\", 9))
file = open(\"file\", \"rb\")
assert sum(os.sendfile(client.fileno(), file.fileno(), 0, 1000) for i in range(10)) == 10000"' 2>messages
	equal "$(cat reports)" "$wanted"
}
