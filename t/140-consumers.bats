#!/usr/bin/env bats
# Programs that read netmon's output get all of an hour's log, with any names in it.
load lib/common

setup_file() {
	export LC_ALL=C.UTF-8 hour=$BATS_FILE_TMPDIR
	local format
	python3 "$here/unit/hour.py" ticks >"$hour/ticks"
	for format in csv tsv jsonl; do
		"$BUILD/t/replay" -f $format -o time,pid,comm,rx_bytes,tx_bytes <"$hour/ticks" >"$hour/log.$format"
	done
}

# found FORMAT: standard input, a JSON object for each name with its sum, must equal what was moved
found() {
	jq -r '"\(.sum)\t\(.comm | @base64)"' | LC_ALL=C sort >"$BATS_TEST_TMPDIR/got"
	python3 "$here/unit/hour.py" sums "$1" | LC_ALL=C sort | diff "$BATS_TEST_TMPDIR/got" -
}

# Sums the rows of standard input, JSON objects.
sums='reduce inputs as $row ({}; .[$row.comm] += ($row.rx_bytes | tonumber)) |
	to_entries[] | {comm: .key, sum: .value}'

@test "jq reads an hour's log whole" {
	needs_tool jq
	jq -n "$sums" "$hour/log.jsonl" | found jsonl
}

@test "mlr reads an hour's log whole" {
	needs_tool mlr
	mlr --icsv --ojsonl --jvquoteall stats1 -a sum -f rx_bytes -g comm then \
		rename rx_bytes_sum,sum "$hour/log.csv" | found csv
}

@test "csvkit reads an hour's log whole" {
	needs_tool csvjson
	csvcut -c comm,rx_bytes "$hour/log.csv" | csvjson --no-inference --blanks --stream | jq -n "$sums" | found csv
}

@test "sqlite3 reads an hour's log whole" {
	needs_tool sqlite3
	sqlite3 "$BATS_TEST_TMPDIR/log.db" \
		'CREATE TABLE log (time REAL, pid INTEGER, comm TEXT, rx_bytes INTEGER, tx_bytes INTEGER)' \
		".import --csv --skip 1 $hour/log.csv log" '.mode json' \
		'SELECT comm, sum(rx_bytes) AS sum FROM log GROUP BY comm' | jq -c '.[]' | found csv
}

@test "datamash reads an hour's log whole" {
	needs_tool datamash
	datamash --header-in --sort --group comm sum rx_bytes <"$hour/log.tsv" |
		jq -cR 'split("\t") | {comm: .[0], sum: .[1]}' | found tsv
}

@test "gnuplot reads an hour's log whole" {
	needs_tool gnuplot
	gnuplot -e "set datafile separator ','; set key autotitle columnhead;
		stats '$hour/log.csv' using 4 name 'rx' nooutput; print sprintf('%.0f %.0f', rx_records, rx_sum)" \
		2>"$BATS_TEST_TMPDIR/got"
	equal "$(cat "$BATS_TEST_TMPDIR/got")" \
		"$(awk -F '\t' '{ sum += $1 } END { printf "%d %d", NR * 3600, sum }' <(python3 "$here/unit/hour.py" sums csv))"
}

@test "promtool reads a report with all of these names" {
	needs_tool promtool
	replay -n 1 -f prom -o comm,rx_total,rx_rate <"$hour/ticks" >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	equal "$output" ''
	equal "$(grep -c '^netmon_receive_bytes_total' "$BATS_TEST_TMPDIR/metrics")" \
		"$(python3 "$here/unit/hour.py" sums csv | cut -f 2 | sort -u | wc -l)"
}
