#!/usr/bin/env bats
# Readers of an hour's log that 'make deps' does not install: R is large, and the packages of the others
# start a server.  Those that are here are tested.

load ../lib/common
load ../lib/hour-log

setup_file() {
	make_hour
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	[ -z "${server-}" ] || { kill "$server" && wait "$server"; } || true
	[ -z "${cluster-}" ] || rm -rf "$cluster"
}

# needs_package PROGRAM PACKAGE
needs_package() {
	command -v "$1" >/dev/null || skip "no $1 here: install the package $2"
}

# eventually COMMAND...: returns when it succeeds
eventually() {
	for _ in {1..300}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	fail "never: $*"
}

@test "PostgreSQL reads every row of an hour's log with the manual's recipe" {
	PATH=$PATH:$(printf %s: /usr/lib/postgresql/*/bin)
	needs_package initdb postgresql
	local user=()
	[ "$(id -u)" != 0 ] || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	cluster=$(mktemp -d) # not below bats' folder, which is closed to others
	[ "$(id -u)" != 0 ] || chown 65534:65534 "$cluster"
	cd "$cluster"
	"${user[@]}" initdb --pgdata=data --username=postgres --auth=trust >/dev/null
	"${user[@]}" postgres -D data -k "$cluster" -c listen_addresses= 2>messages 3>&- &
	server=$!
	export PGHOST=$cluster PGUSER=postgres
	eventually psql -c 'SELECT 1'
	cp "$hour/log.csv" .
	python3 - "$here/../man/netmon.8" >recipe <<-'END'
		import re, sys
		recipe = re.search(r"^psql (.*\\e\n)*.*\n", open(sys.argv[1]).read(), re.M)[0]
		print(recipe.replace(r"\(aq", "'").replace(r"\e", "\\"))
	END
	sh -eu recipe >sums
	grep -qE '^ *say "hi" *\|' sums
	psql -qtAc "SELECT json_build_object('comm', comm, 'sum', sum(rx_bytes)) FROM log GROUP BY comm" | found csv
}

@test "R reads every row of an hour's log" {
	needs_package Rscript r-base-core
	cat >sums.R <<-'END'
		log <- read.csv(commandArgs(TRUE)[1], na.strings = NULL, colClasses = c(comm = "character"))
		sums <- tapply(log$rx_bytes, log$comm, sum)
		writeLines(paste(format(sums, scientific = FALSE, trim = TRUE), names(sums), sep = "\t"))
	END
	Rscript sums.R "$hour/log.csv" | jq -cR 'split("\t") | {sum: .[0], comm: .[1]}' | found csv
}

@test "rsyslog reads every row of an hour's log" {
	needs_package rsyslogd rsyslog
	cat >conf <<-END
		global(workDirectory="$PWD" maxMessageSize="64k")
		module(load="imfile" mode="inotify")
		module(load="mmjsonparse")
		template(name="sums" type="list") {
		    property(name="\$!all-json-plain")
		    constant(value="\n")
		}
		ruleset(name="log") {
		    action(type="mmjsonparse" cookie="")
		    if \$parsesuccess == "OK" then action(type="omfile" file="$PWD/out" template="sums")
		}
		input(type="imfile" file="$hour/log.jsonl" tag="netmon" ruleset="log")
	END
	rsyslogd -n -f conf -i "$PWD/pid" 2>messages 3>&- &
	server=$!
	eventually sh -c '[ "$(wc -l <out)" -ge 97200 ]'
	jq -n "$sums" out | found jsonl
}
