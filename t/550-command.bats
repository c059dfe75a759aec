#!/usr/bin/env bats
# netmon -- COMMAND reports exactly what it and its descendants move, and passes on its exit status.
load lib/common
load lib/live

setup() { live_setup; }
teardown() {
	[ -z "${server-}" ] || kill "$server" 2>/dev/null || true
	[ -z "${other-}" ] || kill "$other" 2>/dev/null || true
	live_teardown
}

# serve BYTES: an HTTP server on $port, with a file `data` of that length
serve() {
	head -c "$1" /dev/urandom >data
	python3 -u - >port <<-'END' 3>&- &
		import http.server
		class Handler(http.server.SimpleHTTPRequestHandler):
		    def log_message(self, *arguments):
		        pass
		server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
		print(server.server_port)
		server.serve_forever()
	END
	server=$!
	until [ -s port ]; do sleep 0.05; done
	port=$(cat port)
}

@test "netmon -- curl reports exactly curl's bytes, headers included, in one report" {
	serve 1234567
	"$NETMON" -f jsonl -o pid,comm,rx_bytes,tx_bytes,rx_total,tx_total --to reports -- \
		curl -s -o got -w '%{size_header} %{size_download} %{size_request}\n' \
		"http://127.0.0.1:$port/data" >sizes
	cmp data got
	read -r header download request <sizes
	equal "$(reported '.[] | select(.comm == "curl") | [.rx_bytes, .tx_bytes] | @tsv')" \
		"$((header + download))"$'\t'"$request"
	# the last row has its totals, and there are no other rows
	equal "$(reported '[.[].comm] | join(" ")')" 'curl (total)'
	equal "$(reported '.[1] | [.rx_total, .tx_total] | @tsv')" \
		"$((header + download))"$'\t'"$request"
}

@test "descendants of the command are counted, other processes are not" {
	"$BUILD/t/traffic" steady -r 1000000 -s 60 >/dev/null 3>&- &
	other=$!
	"$NETMON" -i 0.1 -f jsonl -o pid,comm,rx_bytes,tx_bytes,rx_calls,tx_calls --to reports -- \
		sh -c '"$0" up -b 5000000; "$0" short -P 50; "$0" udp-sendto -6' "$BUILD/t/traffic" >account
	exact jsonl
	# all rows, not only those in the account
	equal "$(reported 'map(select(.comm != "(total)")) | [map(.rx_bytes), map(.tx_bytes)] | map(add) | @tsv')" \
		"$(awk '{ rx += $3; tx += $4 } END { printf "%d\t%d\n", rx, tx }' account)"
}

@test "threads and processes made by vfork, clone and double fork are counted with the command" {
	"$NETMON" -f jsonl -o pid,comm,rx_bytes,tx_bytes,rx_calls,tx_calls --to reports -- \
		setsid -f --wait sh -c '"$0" threads; (("$0" fork) & wait); env "$0" exec' "$BUILD/t/traffic" >account
	exact jsonl
}

@test "netmon ends as the command does, by exit status or signal" {
	local status
	for status in 0 1 2 77 126 255; do
		run -"$status" --separate-stderr "$NETMON" --to reports -- sh -c "exit $status"
	done
	for signal in TERM:143 KILL:137 INT:130 SEGV:139; do
		# a script's background processes inherit that SIGINT is ignored
		run -"${signal#*:}" --separate-stderr env --default-signal=INT bash -c '"$0" --to reports -- sh -c "kill -$1 \$\$"' \
			"$NETMON" "${signal%:*}"
	done
	# a real signal, not an exit status that looks like one
	run -0 python3 - "$NETMON" <<-'END'
		import signal, subprocess, sys
		command = [sys.argv[1], "--to", "reports", "--", "sh", "-c", "kill -TERM $$"]
		sys.exit(subprocess.run(command, stderr=subprocess.DEVNULL).returncode != -signal.SIGTERM)
	END
}

@test "the command gets SIGHUP if the terminal of netmon, the leader of its session, hangs up" {
	python3 - "$NETMON" <<-'END'
		import os, pty, signal, sys, time
		pid, terminal = pty.fork()
		if not pid:
		    os.execv(sys.argv[1], [sys.argv[1], "--to", "reports", "--", "sh", "-c",
		        "trap 'echo hup >got; exit 7' HUP; : >ready; while :; do sleep 0.05; done"])
		while not os.path.exists("ready"):
		    time.sleep(0.01)
		os.close(terminal)
		for _ in range(500):
		    ended, status = os.waitpid(pid, os.WNOHANG)
		    if ended:
		        break
		    time.sleep(0.02)
		else:
		    os.kill(pid, signal.SIGTERM) # which its command gets
		assert ended and os.waitstatus_to_exitcode(status) == 7
	END
	equal "$(cat got)" hup
}

@test "prom has no series (total) beside those of the command" {
	"$NETMON" -f prom --to reports -- python3 -c '
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes(100), ("127.0.0.1", 9))'
	equal "$(grep -v '^#' reports | grep -c '} 100$')" 1
	! grep '(total)' reports || fail "$(cat reports)"
}

@test "a command that does not exist or cannot be run ends netmon with 127 or 126" {
	run -127 --separate-stderr "$NETMON" --to reports -- /no/such/command
	contains "$stderr" "netmon: cannot run '/no/such/command': No such file or directory"
	run -126 --separate-stderr "$NETMON" --to reports -- /etc/passwd
	contains "$stderr" "netmon: cannot run '/etc/passwd': Permission denied"
}

@test "standard input and output belong to the command, and rows go to standard error" {
	run -0 --separate-stderr bash -c 'echo hello | "$0" -- tr a-z A-Z' "$NETMON"
	equal "$output" HELLO
	contains "$stderr" 'time,pid,comm,rx_rate,tx_rate,rx_total,tx_total'
	contains "$stderr" ',0,(total),0,0,0,0'
}

@test "the command inherits signals unchanged, and no descriptor of netmon" {
	run -0 --separate-stderr "$NETMON" --to reports -- sh -c 'grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status; ls /proc/self/fd'
	equal "$output" "$(sh -c 'grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status; ls /proc/self/fd')"
}

@test "netmon ends with the command, and does not wait for a daemon that it started" {
	# shellcheck disable=SC2016
	timeout 60 "$NETMON" -f jsonl -o pid,comm,rx_bytes,tx_bytes,rx_calls,tx_calls --to reports -- \
		sh -c '"$0" up -b 1000000 >account; setsid sleep 60 </dev/null >/dev/null 2>&1 3>&- & echo $! >daemon' \
		"$BUILD/t/traffic"
	kill "$(cat daemon)" # fails unless it is alive
	exact jsonl
}

@test "the bytes of a daemon are counted until the command ends" {
	"$NETMON" -f jsonl -o pid,comm,rx_bytes,tx_bytes,rx_calls,tx_calls --to reports -- \
		sh -c '(setsid "$0" up -b 1000000 >account &) ; until [ -s account ]; do sleep 0.1; done' "$BUILD/t/traffic"
	exact jsonl
}

@test "-n limits the reports before the last one, and does not end the command" {
	run -3 --separate-stderr "$NETMON" -i 0.1 -n 2 -f jsonl --to reports \
		-o dt,pid,comm,rx_bytes,tx_bytes,rx_calls,tx_calls,rx_total,tx_total --total -- \
		sh -c 'until [ "$(grep -c total reports)" -ge 2 ]; do sleep 0.1; done; sleep 0.5
			"$0" up -b 5000 >account; exit 3' "$BUILD/t/traffic"
	exact jsonl
	equal "$(reported 'map(select(.comm == "(total)")) | [length, last.rx_total, last.tx_total, last.dt > 0.3] | @csv')" \
		3,5000,5000,true
}

@test "-o +COLUMNS accepts the columns that a command adds" {
	for names in rx_total,dt:tx_total,rx_total,dt dt,tx_total,rx_total:dt,tx_total,rx_total dt:rx_total,tx_total,dt; do
		"$NETMON" -o "+${names%:*}" --to reports -- true
		equal "$(head -1 reports)" "time,pid,comm,rx_rate,tx_rate,${names#*:}"
	done
	run -2 "$NETMON" -o +rx_total,rx_total -- true
	contains "$output" "cannot use column 'rx_total' twice"
}

@test "SIGTERM is sent to the command, and netmon ends as it does" {
	"$NETMON" --to reports -- sh -c 'trap "exit 9" TERM; echo go >ready; while :; do sleep 0.1; done' 3>&- &
	netmon=$!
	until [ -s ready ]; do sleep 0.05; done
	kill -TERM "$netmon"
	status=0
	wait "$netmon" || status=$?
	netmon=
	equal "$status" 9
	contains "$(cat reports)" '(total)'
}

@test "Ctrl-C in a terminal ends the command; netmon reports and ends as it did" {
	run -0 python3 - "$NETMON" <<-'END'
		import os, pty, signal, sys, time
		pid, terminal = pty.fork()
		if not pid:
		    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the default, as in a terminal
		    os.execv(sys.argv[1], [sys.argv[1], "--to", "reports", "--", "sh", "-c",
		                           "echo ready; exec sleep 60"])
		seen = b""
		while b"ready" not in seen:
		    seen += os.read(terminal, 1000)
		time.sleep(0.3)
		os.write(terminal, b"\x03")
		status = os.waitpid(pid, 0)[1]
		rows = open("reports").read()
		sys.exit(not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
		              and "(total)" in rows))
	END
}

@test "the command goes on if the disk is full, and netmon fails when it has ended" {
	run -1 --separate-stderr "$NETMON" -i 0.05 --total --to /dev/full -- sh -c 'sleep 0.5; echo done'
	equal "$output" done
	contains "$stderr" "netmon: cannot write '/dev/full': No space left on device"
}

@test "netmon sees the end of the command even if its parent ignores SIGCHLD" {
	run -5 --separate-stderr timeout 60 python3 -c '
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], ["netmon", "--to", "reports", "--", "sh", "-c", "exit 5"])' "$NETMON"
}

@test "a command in another pid namespace is refused and not run" {
	run -1 --separate-stderr unshare -pf --mount-proc "$NETMON" -- touch ran
	contains "$stderr" "netmon: cannot follow 'the command': netmon is not in the initial pid namespace"
	[ ! -e ran ]
}
