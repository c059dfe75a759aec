#!/usr/bin/env bats
# -f prom: Prometheus' text format.
load lib/common

# Fails unless standard input is in that format, with each series once.  Prints each metric, the number
# of its series and their sum.
sums() {
	python3 -c '
import re, sys
text = sys.stdin.buffer.read().decode("utf-8")
assert text.endswith("\n")
assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f]", text), "a control character"
label = r"[a-z_]+=\"(?:[^\"\\\n]|\\[\\\"n])*\""
series, sums, last = set(), {}, None
for line in text[:-1].split("\n"):
    head = re.fullmatch(r"# (HELP|TYPE) (netmon_[a-z_]+) (.+)", line)
    if head:
        assert head[1] == "HELP" and head[2] not in sums or head[2] == last, line
        last = head[2]
        sums.setdefault(last, [])
        assert head[1] == "HELP" or head[3] == ("counter" if last.endswith("_total") else "gauge"), line
        continue
    sample = re.fullmatch(r"(netmon_[a-z_]+)(\{%s(?:,%s)*\})? ([0-9.]+)" % (label, label), line)
    assert sample and sample[1] == last, line
    assert (sample[1], sample[2]) not in series, "twice: " + line
    series.add((sample[1], sample[2]))
    sums[last].append(float(sample[3]))
for metric, values in sums.items():
    print(metric, len(values), "%.15g" % sum(values))
'
}

fixture='tick 0 0
tick 2000000000 2000
5 1 "curl" 100 10 4 3 proto=6 uid=7 user="ann"
6 1 "curl" 50 5 1 1 proto=17 uid=7 user="ann"
7 1 "idle" 1 1 1 1 proto=6 uid=7 user="ann"
0 0 "(other)" 7 0 1 0
tick 4000000000 4000
5 1 "curl" 140 10 5 3 proto=6 uid=7 user="ann" ended=1
7 1 "idle" 1 1 1 1 proto=6 uid=7 user="ann"
0 0 "(other)" 7 0 1 0
tick 5000000000 5000
5 2 "curl" 3 0 1 0 proto=6 uid=7 user="ann"
7 1 "idle" 1 1 1 1 proto=6 uid=7 user="ann"
0 0 "(other)" 7 0 1 0'

@test "prom has a metric for each measure, a series for each row, and a label for each key" {
	replayed '# HELP netmon_receive_bytes_total bytes received since netmon, or the pin, began to count
# TYPE netmon_receive_bytes_total counter
netmon_receive_bytes_total{comm="curl"} 150
netmon_receive_bytes_total{comm="(other)"} 7
netmon_receive_bytes_total{comm="idle"} 1
# HELP netmon_transmit_bytes_total bytes sent since netmon, or the pin, began to count
# TYPE netmon_transmit_bytes_total counter
netmon_transmit_bytes_total{comm="curl"} 15
netmon_transmit_bytes_total{comm="(other)"} 0
netmon_transmit_bytes_total{comm="idle"} 1' -f prom -n 1
	replayed 'netmon_receive_bytes_per_second{proto="tcp",uid="7"} 51
netmon_receive_bytes_per_second{proto="udp",uid="7"} 25
netmon_receive_bytes_per_second{proto="",uid=""} 4
netmon_interval_seconds 2.000000
netmon_report_time_seconds 2.000
netmon_transmit_interval_calls{proto="tcp",uid="7"} 4
netmon_transmit_interval_calls{proto="udp",uid="7"} 1
netmon_transmit_interval_calls{proto="",uid=""} 0' -f prom -n 1 --no-header -o proto,rx_rate,uid,dt,time,tx_calls
	replayed 'netmon_receive_interval_bytes 158' -f prom -n 1 --no-header -o rx_bytes
}

@test "a total never falls if a process ends or its pid is reused, and an idle process keeps its series" {
	replayed 'netmon_receive_bytes_total{comm="curl"} 150
netmon_receive_bytes_total{comm="(other)"} 7
netmon_receive_bytes_total{comm="idle"} 1
netmon_receive_bytes_total{comm="curl"} 190
netmon_receive_bytes_total{comm="(other)"} 7
netmon_receive_bytes_total{comm="idle"} 1
netmon_receive_bytes_total{comm="curl"} 193
netmon_receive_bytes_total{comm="(other)"} 7
netmon_receive_bytes_total{comm="idle"} 1' -f prom --no-header -o comm,rx_total
	run -0 --separate-stderr replay -f prom --no-header -o pid,rx_total <<<"$fixture"
	equal "$(grep 'pid="5"' <<<"$output")" 'netmon_receive_bytes_total{pid="5"} 100
netmon_receive_bytes_total{pid="5"} 140
netmon_receive_bytes_total{pid="5"} 143'
}

@test "names that prom writes alike share a series, other names do not" {
	python3 "$here/unit/random-names.py" make 1 >"$BATS_TEST_TMPDIR/random.ticks"
	rows=$(grep -c '^[0-9]' "$BATS_TEST_TMPDIR/random.ticks")
	for columns in comm,rx_total,tx_bytes pid,comm,rx_total,tx_bytes; do
		replay -f prom -o $columns <"$BATS_TEST_TMPDIR/random.ticks" >"$BATS_TEST_TMPDIR/out"
		sums <"$BATS_TEST_TMPDIR/out" >"$BATS_TEST_TMPDIR/sums"
		# each name moved one byte
		equal "$(cut -d ' ' -f 1,3 "$BATS_TEST_TMPDIR/sums")" "netmon_receive_bytes_total $rows
netmon_transmit_interval_bytes $rows"
	done
	equal "$(cut -d ' ' -f 2 "$BATS_TEST_TMPDIR/sums" | sort -u)" "$rows"
}

@test "prom is valid with every column and hostile names" {
	replay --layer ip -f prom -o "$(column_names | paste -sd ,)" <"$golden/names.ticks" >"$BATS_TEST_TMPDIR/out"
	sums <"$BATS_TEST_TMPDIR/out" >"$BATS_TEST_TMPDIR/sums"
	equal "$(wc -l <"$BATS_TEST_TMPDIR/sums")" \
		"$(column_names | grep -cx 'time\|dt\|[rt]x_.*')"
}

@test "promtool accepts the output" {
	needs_tool promtool
	python3 "$here/unit/random-names.py" make 2 >"$BATS_TEST_TMPDIR/random.ticks"
	for columns in comm,rx_total,tx_total pid,comm,rx_rate,tx_rate,rx_bytes,tx_bytes,rx_calls,tx_calls,time,dt; do
		replay -f prom -o $columns <"$BATS_TEST_TMPDIR/random.ticks" >"$BATS_TEST_TMPDIR/out"
		run -0 promtool check metrics <"$BATS_TEST_TMPDIR/out"
		equal "$output" ''
	done
}

@test "10,000 rows of prom take at most 5 times the CPU of csv" {
	seq 10000 | awk 'BEGIN { print "tick 0 0\ntick 1000000000 1700000000000" }
		{ printf "%d 1 \"proc-%d\" %d %d 1 1 uid=%d user=\"user%d\"\n", $1, $1, $1, $1, $1 % 50, $1 % 50 }' \
		>"$BATS_TEST_TMPDIR/rows.ticks"
	costs_at_most 5 prom "$BATS_TEST_TMPDIR/rows.ticks" -o pid,comm,user,rx_total,tx_total,rx_rate,tx_rate
	equal "$(grep -c '^netmon_receive_bytes_total' "$BATS_TEST_TMPDIR/out")" 10000
}
