#!/usr/bin/env bats
# Programs that read netmon's output get all of an hour's log, with any names in it.
load lib/common
load lib/hour-log

setup_file() {
	make_hour
}

@test "jq reads every row of an hour's log" {
	needs_tool jq
	jq -n "$sums" "$hour/log.jsonl" | found jsonl
}

@test "mlr reads every row of an hour's log" {
	needs_tool mlr
	mlr --icsv --ojsonl --jvquoteall stats1 -a sum -f rx_bytes -g comm then \
		rename rx_bytes_sum,sum "$hour/log.csv" | found csv
}

@test "csvkit reads every row of an hour's log" {
	needs_tool csvjson
	csvcut -c comm,rx_bytes "$hour/log.csv" | csvjson --no-inference --blanks --stream | jq -n "$sums" | found csv
}

@test "sqlite3 reads every row of an hour's log" {
	needs_tool sqlite3
	sqlite3 "$BATS_TEST_TMPDIR/log.db" \
		'CREATE TABLE log (time REAL, pid INTEGER, comm TEXT, rx_bytes INTEGER, tx_bytes INTEGER)' \
		".import --csv --skip 1 $hour/log.csv log" '.mode json' \
		'SELECT comm, sum(rx_bytes) AS sum FROM log GROUP BY comm' | jq -c '.[]' | found csv
}

@test "pandas reads every row of an hour's log" {
	python_with pandas
	"$python" - "$hour/log.csv" <<-'END' | found csv
		import json, pandas, sys
		log = pandas.read_csv(sys.argv[1], keep_default_na=False, dtype={"comm": str})
		for comm, sum in log.groupby("comm").rx_bytes.sum().items():
		    print(json.dumps({"comm": comm, "sum": int(sum)}))
	END
}

@test "datamash reads every row of an hour's log" {
	needs_tool datamash
	datamash --header-in --sort --group comm sum rx_bytes <"$hour/log.tsv" |
		jq -cR 'split("\t") | {comm: .[0], sum: .[1]}' | found tsv
}

@test "gnuplot reads every row of an hour's log" {
	needs_tool gnuplot
	# without a terminal, sudo sets one that gnuplot does not know
	TERM=dumb gnuplot -e "set datafile separator ','; set key autotitle columnhead;
		stats '$hour/log.csv' using 4 name 'rx' nooutput; print sprintf('%.0f %.0f', rx_records, rx_sum)" \
		2>"$BATS_TEST_TMPDIR/got"
	equal "$(cat "$BATS_TEST_TMPDIR/got")" \
		"$(awk -F '\t' '{ sum += $1 } END { printf "%d %d", NR * 3600, sum }' <(python3 "$here/unit/hour-log.py" sums csv))"
}

@test "promtool accepts a report with every name of an hour's log" {
	needs_tool promtool
	replay -n 1 -f prom -o comm,rx_total,rx_rate <"$hour/ticks" >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	equal "$output" ''
	equal "$(grep -c '^netmon_receive_bytes_total' "$BATS_TEST_TMPDIR/metrics")" \
		"$(python3 "$here/unit/hour-log.py" sums csv | cut -f 2 | sort -u | wc -l)"
}
