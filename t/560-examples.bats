#!/usr/bin/env bats
# The examples of the README and the manual, as they are written, beside traffic.  Scripts replace
# netmon and sudo: they shorten the times, and omit --pin-group if the kernel does not let a group
# read pinned tables.

load lib/common
load lib/live

setup() {
	live_setup
	beside_layer_ip
	mkdir bin site
	cat >bin/sudo <<-'END'
		#!/bin/sh
		exec "$@"
	END
	cat >bin/netmon <<-'END'
		#!/usr/bin/env python3
		import os, sys
		arguments = sys.argv[1:]
		end = arguments.index("--") if "--" in arguments else len(arguments)
		for i, argument in enumerate(arguments[:end]):
		    if argument == "-i":
		        arguments[i + 1] = "0.3"
		    elif argument == "-n":
		        arguments[i + 1] = str(min(int(arguments[i + 1]), 4))
		reports = end == len(arguments) and not {"--pin", "--status", "--unpin"} & set(arguments)
		if reports and "-n" not in arguments:
		    arguments[:0] = ["-n", "4"]
		if reports and "-i" not in arguments:
		    arguments[:0] = ["-i", "0.3"]
		if "--pin-group" in arguments and [int(n) for n in os.uname().release.split(".")[:2]] < [5, 19]:
		    group = arguments.index("--pin-group")
		    del arguments[group:group + 2]
		os.execv(os.environ["REAL"], ["netmon"] + arguments)
	END
	chmod +x bin/*
	python_with pandas
	ln -s "$(command -v "$python")" bin/python3
	"$BUILD/t/traffic" steady -r 5000000 -s 600 >/dev/null 3>&- &
	background=($!)
	eventually pkill -0 -P $! '^steady-send'
	sender=$(ps -o comm= --ppid $! | grep '^steady-send')
	head -c 20000000 /dev/urandom >site/data
	python3 -u - site >port <<-'END' 3>&- &
		import http.server, sys, time
		class Handler(http.server.SimpleHTTPRequestHandler):
		    def __init__(self, *arguments):
		        super().__init__(*arguments, directory=sys.argv[1])
		    def do_GET(self):
		        if self.path != "/steady":
		            return super().do_GET()
		        self.send_response(200)
		        self.end_headers()
		        while True:
		            self.wfile.write(bytes(20000))
		            time.sleep(0.01)
		server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
		print(server.server_port)
		server.serve_forever()
	END
	background+=($!)
	until [ -s port ]; do sleep 0.05; done
	# a client that never pauses, unlike one that limits its own rate
	curl -s -o /dev/null "http://127.0.0.1:$(cat port)/steady" 3>&- &
	background+=($!)
}

teardown() {
	[ -z "${background-}" ] || kill -KILL "${background[@]}" 2>/dev/null || true
	live_teardown
}

# run_all FILE: runs the examples in it, each followed by a line with a form feed, in their own
# folders ex-1, ex-2 ...; four at a time, since they mostly wait
run_all() {
	python3 - "$1" <<-'END'
		import concurrent.futures, os, subprocess, sys
		examples = [e.strip() for e in open(sys.argv[1]).read().split("\f") if e.strip()]
		assert len(examples) > 9, examples
		path = os.path.abspath("bin") + ":" + os.environ["PATH"]
		with open("port") as file:
		    url = "http://127.0.0.1:%s/data" % file.read().strip()
		def run(i, example):
		    folder = "ex-%d" % i
		    os.mkdir(folder)
		    with open(folder + "/Makefile", "w") as makefile:
		        makefile.write("all:\n\tcurl -s -r 0-99999 -o /dev/null %s\n" % url)
		    with open(folder + "/command", "w") as file:
		        file.write(example)
		    # a private BPF file system
		    shell = ["unshare", "-m", "bash", "-euo", "pipefail", "-c",
		             "mount -t bpf bpf /sys/fs/bpf\n"
		             # a netmon in the background takes a moment to make its file
		             "mv() { until [ -e \"$1\" ]; do sleep 0.1; done; command mv \"$@\"; }\n" + example]
		    result = subprocess.run(shell, cwd=folder, timeout=120,
		                            env=dict(os.environ, PATH=path, REAL=os.environ["NETMON"]),
		                            stdin=subprocess.DEVNULL, capture_output=True)
		    assert result.returncode == 0, "%s\n%s\nexit status %d" % (
		        example, (result.stdout + result.stderr).decode(errors="replace"), result.returncode)
		    for name, text in (("out", result.stdout), ("err", result.stderr)):
		        with open(folder + "/" + name, "wb") as file:
		            file.write(text)
		    files = [name for name in os.listdir(folder) if os.path.getsize(folder + "/" + name)]
		    assert set(files) - {"command", "Makefile"}, example + ": nothing came of it"
		with concurrent.futures.ThreadPoolExecutor(4) as pool:
		    list(pool.map(run, range(1, len(examples) + 1), examples))
	END
}

# of PATTERN: the folders of the examples whose command contains it
of() {
	grep -l -e "$1" ex-*/command | sed 's,/command$,,'
}

# Checks the results of the README's examples.
look_at_readme() {
	local found
	found=$(of 'netmon -n 1 -t 5\b') # the names depend on other traffic
	[[ $(grep -cE '^ *[0-9]+ .*[1-9]' "$found/out") = [1-5] ]]
	found=$(of 'time,user,') && grep -q ',root,' "$found/out"
	found=$(of '-- make$')
	[ "$(awk -F , '$1 == "curl" { print ($2 > 100000) }' "$found/err")" = 1 ]
	grep -q ',curl,' "$found/out" # the process by its name
	found=$(of gnuplot)
	[ "$(head -c 8 "$found/minute.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
	[ "$(wc -l <"$found/minute.csv")" -ge 4 ]
	found=$(of sqlite3) && grep -qF "$sender|0|" "$found/out"
	found=$(of 'select(.tx_rate > 1e6)') && grep -qF "\"comm\":\"$sender\"" "$found/out"
	found=$(of '--to day.csv') && grep -qF ",$sender," "$found/day.csv"
	found=$(of 'raddr,rport') && grep -q '127.0.0.1' "$found/out"
	found=$(of '-f prom') && grep -q '^netmon_receive_bytes_total{unit=' "$found/netmon.prom"
}

# Checks the results of the manual's examples.
look_at_results() {
	local folder found
	found=$(of 'netmon -n 1 -t 5\b')
	[[ $(grep -cE '^[0-9.]+,[0-9]+,.*[1-9]' "$found/out") = [1-5] ]]
	found=$(of 'netmon -o time,user,') && grep -q ',root,' $found/out
	found=$(of '-- make$')
	[ "$(awk -F , '$1 == "curl" { print ($2 > 100000) }' "$found/err")" = 1 ]
	found=$(of gnuplot)
	[ "$(head -c 8 "$found/minute.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
	[ "$(stat -c %s "$found/minute.png")" -gt 3000 ] # more than empty axes
	[ "$(wc -l <"$found/minute.csv")" -ge 4 ]
	found=$(of sqlite3)
	equal "$(grep -F "$sender|" "$found/out")" \
		"$(awk -F , -v name="$sender" '$3 == name { rx += $4; tx += $5 } END { printf "%s|%d|%d\n", name, rx, tx }' \
			"$found/log.csv")"
	found=$(of 'select(.tx_rate > 1e6)') && grep -qF "\"comm\":\"$sender\"" "$found/out"
	found=$(of 'mbit') && grep '^{' "$found/out" | jq -se 'any(.[]; (.comm | startswith("steady-recv.")) and .mbit > 10)' >/dev/null
	found=$(of numfmt) && grep -qE "	$sender	0	[0-9.]+[KM]$" "$found/out"
	found=$(of mlr) && [ "$(grep -cE "^$sender +0 +[1-9]" "$found/out")" = 2 ] # and pandas
	found=$(of datamash) && grep -qE "^$sender	0	[1-9]" "$found/out"
	found=$(of promtool) && grep -q '^netmon_receive_bytes_total{unit="' "$found/netmon.prom"
	found=$(of 'proto,family$') && grep -q ',tcp,4$' "$found/out"
	found=$(of 'raddr,rport') && grep -q '127.0.0.1' "$found/out"
}

# An empty line, or the end of a block, ends an example.
@test "the README's examples work as they are written" {
	awk '/^## / { in_it = /^## (Recipes|Counting permanently)/ }
		in_it && /^```/ { fenced = !fenced; print "\f"; next }
		in_it && fenced { print /^$/ ? "\f" : $0 }' "$here/../README.md" >examples
	run_all examples
	look_at_readme
}

@test "the manual's examples work as they are written" {
	needs_tool promtool
	python3 - "$here/../man/netmon.8" >examples <<-'END'
		import re, sys
		text = re.search(r"^\.Sh EXAMPLES\n(.*?)^\.Sh ", open(sys.argv[1]).read(), re.M | re.S)[1]
		text = re.sub(r"^psql (.*\\e\n)*.*\n", "", text, flags=re.M)  # t/long has it, with a server
		for one, block in re.findall(r"^\.Dl (.*)$|^\.Bd .*\n((?:.*\n)*?)\.Ed$", text, re.M):
		    print((one or block).replace(r"\(aq", "'").replace(r"\e", "\\").replace(r"\&", "").replace(r"\-", "-"), "\f")
	END
	run_all examples
	look_at_results
}
