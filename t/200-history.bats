#!/usr/bin/env bats
# From ticks to rows: rates, windows, totals, order, groups.  Runs netmon's own code on ticks at known
# times.
load lib/common

# burst COUNT: that many ticks, a second apart; each interval sends one byte, and every fifth interval,
# from the first on, receives 1000 bytes
burst() {
	local i
	echo 'tick 0 0'
	for ((i = 1; i <= $1; i++)); do
		echo "tick ${i}000000000 ${i}000"
		echo "7 1 \"a\" $(((i + 4) / 5 * 1000)) $i $i $i"
	done
}

several='tick 0 0
tick 1000000000 1000
5 1 "b" 10 0 1 1
3 1 "a" 0 30 1 1
4 1 "c" 5 5 4 1
1 1 "a" 20 10 3 1
2 1 "d" 4294967297 0 2 1
9 1 "idle" 0 0 0 0'

@test "the ring of ticks passes its unit tests" {
	run -0 "$BUILD/t/history"
	contains "$output" '1..'
}

@test "the layout of the counters passes its unit tests" {
	run -0 "$BUILD/t/table-layout"
	contains "$output" '1..'
}

@test "the names of processes, users and cgroups pass their unit tests" {
	mkdir "$BATS_TEST_TMPDIR/tree"
	run -0 --separate-stderr "$BUILD/t/names" "$BATS_TEST_TMPDIR/tree"
	contains "$output" '1..'
	contains "$stderr" "cannot look up 'the names of all users': the name service is slow"
}

@test "the names of units and containers pass their unit tests" {
	run -0 "$BUILD/t/unit-names"
	contains "$output" '1..'
}

@test "a steady sender has a steady rate" {
	fixture='tick 5000000000 1700000000000
tick 6000000000 1700000001000
7 1 "a" 0 10000000 0 100
tick 7000000000 1700000002000
7 1 "a" 0 20000000 0 200
tick 8000000000 1700000003000
7 1 "a" 0 30000000 0 300'
	replayed 'time,pid,comm,rx_rate,tx_rate
1700000001.000,7,a,0,10000000
1700000002.000,7,a,0,10000000
1700000003.000,7,a,0,10000000'
}

@test "one tick, or none, makes no report" {
	fixture=''
	replayed 'time,pid,comm,rx_rate,tx_rate' -a
	fixture='tick 0 0
7 1 "a" 1 1 1 1'
	replayed 'time,pid,comm,rx_rate,tx_rate' -a
	replayed '' -a -f jsonl
}

@test "without -w, or with -w 1, a rate covers one interval" {
	fixture=$(burst 7)
	replayed 'time,rx_rate,tx_rate
1.000,1000,1
2.000,0,1
3.000,0,1
4.000,0,1
5.000,0,1
6.000,1000,1
7.000,0,1' -o time,rx_rate,tx_rate
	replayed "$output" -o time,rx_rate,tx_rate -w 1
}

@test "-w 5 averages rates over five intervals; bytes stay those of the interval" {
	fixture=$(burst 12)
	replayed 'rx_rate,rx_bytes,tx_rate
1000,1000,1
500,0,1
333,0,1
250,0,1
200,0,1
200,1000,1
200,0,1
200,0,1
200,0,1
200,0,1
200,1000,1
200,0,1' -o rx_rate,rx_bytes,tx_rate -w 5
}

@test "a process without traffic has no row, whatever the window" {
	fixture='tick 0 0
tick 1000000000 1000
7 1 "a" 100 0 1 0
tick 2000000000 2000
7 1 "a" 100 0 1 0'
	replayed 'time,pid,comm,rx_rate,tx_rate
1.000,7,a,100,0' -w 5
	replayed 'time,pid,comm,rx_rate,tx_rate
1.000,7,a,100,0
2.000,7,a,50,0' -w 5 --all
}

@test "a process that has ended is not in the next report" {
	fixture='tick 0 0
tick 1000000000 1000
7 1 "a" 100 0 1 0
tick 2000000000 2000
7 1 "a" 101 0 1 0
8 5 "short" 3 0 1 0
tick 3000000000 3000
7 1 "a" 102 0 1 0
tick 4000000000 4000
tick 5000000000 5000
7 9 "other life" 50 0 1 0'
	replayed 'time,pid,comm,rx_bytes,rx_total
1.000,7,a,100,100
2.000,8,short,3,3
2.000,7,a,1,101
3.000,7,a,1,102
5.000,7,other life,50,50' -o time,pid,comm,rx_bytes,rx_total
	replayed "$output" -o time,pid,comm,rx_bytes,rx_total -a -w 3
}

@test "a process that is renamed has a row under each name" {
	fixture='tick 0 0
tick 1000000000 1000
7 1 "sh" 100 0 1 0
tick 2000000000 2000
7 1 "curl" 150 0 2 0'
	replayed 'pid,comm,rx_bytes,rx_total
7,sh,100,100
7,curl,50,150' -o pid,comm,rx_bytes,rx_total
}

@test "rows without traffic are shown with --all only" {
	fixture=$several
	replayed 'pid
2
1
3
4
5' -o pid
	replayed 'pid
2
1
3
4
5
9' -o pid --all
	replayed "$output" -o pid -a
}

@test "rows are sorted by the traffic of both directions, ties by pid" {
	fixture=$several
	replayed 'pid,rx_bytes,tx_bytes
2,4294967297,0
1,20,10
3,0,30
4,5,5
5,10,0' -o pid,rx_bytes,tx_bytes
}

@test "-s sorts a measure from the largest, a key from the smallest" {
	fixture=$several
	replayed 'pid,rx_bytes
2,4294967297
1,20
5,10
4,5
3,0' -o pid,rx_bytes -s rx_bytes
	replayed 'pid,rx_bytes
1,20
2,4294967297
3,0
4,5
5,10' -o pid,rx_bytes -s pid
}

@test "-s COLUMN:asc and :desc choose the direction" {
	fixture=$several
	replayed 'pid,rx_bytes
3,0
4,5
5,10
1,20
2,4294967297' -o pid,rx_bytes --sort rx_bytes:asc
	replayed 'pid,rx_bytes
2,4294967297
1,20
5,10
4,5
3,0' -o pid,rx_bytes --sort=rx_bytes:desc
	replayed 'pid
5
4
3
2
1' -o pid -s pid:desc
	replayed 'pid
1
2
3
4
5' -o pid -s pid:asc
}

@test "-s sorts by several columns, ties by pid" {
	fixture=$several
	replayed 'comm,pid,tx_bytes
a,3,30
a,1,10
b,5,0
c,4,5
d,2,0' -o comm,pid,tx_bytes -s comm,tx_bytes
	replayed 'tx_bytes,comm,pid
0,d,2
0,b,5
5,c,4
10,a,1
30,a,3' -o tx_bytes,comm,pid -s tx_bytes:asc,comm:desc
	replayed 'tx_calls,pid
1,1
1,2
1,3
1,4
1,5' -o tx_calls,pid -s tx_calls
	replayed "$output" -o tx_calls,pid -s tx_calls:asc
}

@test "-s sorts by every measure, shown or not" {
	fixture='tick 0 0
1 1 "a" 10 10 10 10
2 1 "b" 0 0 0 0
3 1 "c" 5 5 5 5
4 1 "d" 1 1 1 1
tick 1000000000 1000
1 1 "a" 11 14 12 13
2 1 "b" 2 1 4 4
3 1 "c" 9 7 6 7
4 1 "d" 4 4 4 2'
	local column order
	while read -r column order; do
		equal "$(replay --no-header -o pid -s "$column" <<<"$fixture" | paste -sd '')" "$order"
	done <<-'EOT'
		rx_bytes 3421
		rx_rate 3421
		tx_bytes 1432
		tx_rate 1432
		rx_calls 2413
		tx_calls 2134
		rx_total 1342
		tx_total 1342
	EOT
}

@test "-s compares numbers of any size" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 4294967296 0 1 0
2 1 "b" 1 0 1 0
3 1 "c" 9223372036854775809 0 1 0
4 1 "d" 2147483649 0 1 0'
	replayed 'pid
3
1
4
2' -o pid
	replayed "$output" -o pid -s rx_bytes
	replayed "$output" -o pid -s rx_total:desc
}

@test "-s comm compares names byte by byte" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "\xc3\xa9" 1 0 1 0
2 1 "ab" 1 0 1 0
3 1 "a" 1 0 1 0
4 1 "Z" 1 0 1 0
5 1 "" 1 0 1 0
6 1 "aaaaaaaaaaaaaaab" 1 0 1 0
7 1 "aaaaaaaaaaaaaaaa" 1 0 1 0'
	equal "$(replay --no-header -o pid,comm -s comm <<<"$fixture" | cut -d , -f 1 | paste -sd '')" \
		5437621
	equal "$(replay --no-header -o comm,rx_bytes -s comm:desc -f tsv <<<"$fixture" |
		cut -f 1 | paste -sd ,)" 'é,ab,aaaaaaaaaaaaaaab,aaaaaaaaaaaaaaaa,a,Z,'
}

@test "--top cuts each report after it is sorted" {
	fixture="$several
tick 2000000000 2000
5 1 \"b\" 11 0 1 1
3 1 \"a\" 0 33 1 1
4 1 \"c\" 7 5 4 1"
	replayed 'time,pid
1.000,2
1.000,1
2.000,3
2.000,4' -o time,pid -t 2
	replayed 'time,pid
1.000,1
2.000,3' -o time,pid --top 1 -s pid
	replayed 'pid
2
1
3
4
5
3
4
5' -o pid --top 100
}

@test "processes of the same name are one row without the column pid" {
	fixture=$several
	replayed 'comm,rx_bytes,tx_bytes,rx_calls,tx_calls,rx_rate,tx_rate,rx_total,tx_total
d,4294967297,0,2,1,4294967297,0,4294967297,0
a,20,40,4,2,20,40,20,40
b,10,0,1,1,10,0,10,0
c,5,5,4,1,5,5,5,5' -o comm,rx_bytes,tx_bytes,rx_calls,tx_calls,rx_rate,tx_rate,rx_total,tx_total
	replayed 'comm,rx_bytes
a,20
b,10
c,5
d,4294967297
idle,0' -o comm,rx_bytes -s comm -a
	replayed 'comm
d
a' -o comm -t 2
}

@test "all processes are one row without any key column" {
	fixture=$several
	replayed 'rx_bytes,tx_bytes,rx_calls,rx_total
4294967332,45,11,4294967332' -o rx_bytes,tx_bytes,rx_calls,rx_total
}

@test "names that differ in their last byte have two rows" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "0123456789abcdeX" 1 0 1 0
2 1 "0123456789abcdeY" 2 0 1 0
3 1 "0123456789abcdeX" 4 0 1 0
4 1 "0123456789abcde" 8 0 1 0'
	replayed 'comm,rx_bytes,rx_total
0123456789abcde,8,8
0123456789abcdeX,5,5
0123456789abcdeY,2,2' -o comm,rx_bytes,rx_total
}

@test "the total of a name keeps what ended processes moved" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "web" 100 1 1 1
2 1 "web" 50 1 1 1
3 1 "db" 7 0 1 0
tick 2000000000 2000
2 1 "web" 60 2 2 2
3 1 "db" 7 0 1 0
tick 3000000000 3000
3 1 "db" 7 0 1 0
tick 4000000000 4000
3 1 "db" 8 0 1 0
9 5 "web" 5 5 1 1'
	replayed 'time,comm,rx_bytes,rx_total,tx_total
1.000,web,150,150,2
1.000,db,7,7,0
2.000,web,10,160,3
4.000,web,5,165,8
4.000,db,1,8,0' -o time,comm,rx_bytes,rx_total,tx_total
	replayed "$output" -o time,comm,rx_bytes,rx_total,tx_total -w 3
	replayed 'time,rx_bytes,rx_total
1.000,157,157
2.000,10,167
4.000,6,173' -o time,rx_bytes,rx_total
}

@test "a name's total counts what was moved under that name" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "sh" 100 0 1 0
2 1 "curl" 1 0 1 0
tick 2000000000 2000
1 1 "curl" 150 0 2 0
2 1 "curl" 2 0 2 0'
	replayed 'comm,rx_bytes,rx_total
sh,100,100
curl,1,1
curl,51,52' -o comm,rx_bytes,rx_total
}

@test "the rate of a name is the sum of its processes' rates over the window" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "web" 100 0 1 0
2 1 "web" 50 0 1 0
tick 2000000000 2000
1 1 "web" 110 0 1 0
2 1 "web" 80 0 1 0'
	replayed 'comm,rx_rate
web,150
web,95' -o comm,rx_rate -w 2
}

@test "the bytes of all intervals add up to the last total" {
	fixture=$(burst 50)
	equal "$(replay -f jsonl -o rx_bytes,tx_bytes,rx_calls,rx_total,tx_total <<<"$fixture" |
		jq -sc '[(map(.rx_bytes) | add), (map(.tx_bytes) | add), (map(.rx_calls) | add),
			last.rx_total, last.tx_total]')" '[10000,50,50,10000,50]'
}

@test "the traffic of a process that does not fit in the table is in the row (other)" {
	fixture='tick 0 0
tick 1000000000 1000
0 0 "(other)" 70 0 7 0
1 1 "a" 1 0 1 0'
	replayed 'pid,comm,rx_bytes
0,(other),70
1,a,1' -o pid,comm,rx_bytes
}

@test "-o +COLUMNS adds columns to the default" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 10 20 3 4'
	replayed 'time,pid,comm,rx_rate,tx_rate,rx_total,tx_calls
1.000,1,a,10,20,10,4' -o +rx_total,tx_calls
	replayed 'time,pid,comm,rx_rate,tx_rate,dt
1.000,1,a,10,20,1.000000' --output=+dt
}

@test "columns are in the order of -o" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 10 20 3 4'
	replayed 'tx_calls,comm,time,pid
4,a,1.000,1' -o tx_calls,comm,time,pid
	replayed '{"tx_calls":4,"comm":"a","time":1.000,"pid":1}' -o tx_calls,comm,time,pid -f jsonl
}

@test "--no-header writes no header in csv and tsv" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 10 20 3 4'
	replayed '1.000,1,a,10,20' --no-header
	replayed $'1.000\t1\ta\t10\t20' --no-header -f tsv
	replayed '{"pid":1}' --no-header -f jsonl -o pid
}

@test "csv and tsv have one header, however many reports" {
	fixture=$(burst 5)
	equal "$(replay <<<"$fixture" | grep -c time)" 1
	equal "$(replay -f tsv <<<"$fixture" | grep -c time)" 1
	equal "$(replay -f jsonl -o pid <<<"$fixture" | sort | uniq -c | tr -s ' ')" ' 5 {"pid":7}'
}

@test "each column is right in each format" {
	fixture='tick 0 0
tick 1000000000 1700000000000
42 1 "cat" 1000 2000 3000 4000 ppid=7 proto=17 uid=1000 user="bob" cgroup="/machine.slice/machine-a.scope" netns=4026531840 laddr=10.0.0.1 lport=5000 raddr=192.0.2.7 rport=53 iface="eth0" cmd="cat_-" tx_retrans=5000
tick 1500000000 1700000000500
42 1 "cat" 1011 2013 3017 4019 ppid=7 proto=17 uid=1000 user="bob" cgroup="/machine.slice/machine-a.scope" netns=4026531840 laddr=10.0.0.1 lport=5000 raddr=192.0.2.7 rport=53 iface="eth0" cmd="cat_-" tx_retrans=5023'
	local column plain json format
	local -A seen=()
	while read -r column plain json; do
		for format in csv tsv; do
			equal "$(replay --layer ip -o "$column" -f "$format" <<<"$fixture" | sed -n '1p;3p')" \
				"$column"$'\n'"$plain"
		done
		equal "$(replay --layer ip -o "$column" -f jsonl <<<"$fixture" | tail -n 1)" \
			"{\"$column\":${json:-$plain}}"
		seen[$column]=1
	done <<-'EOT'
		time 1700000000.500
		dt 0.500000
		pid 42
		comm cat "cat"
		ppid 7
		cmd cat_- "cat_-"
		kind process "process"
		uid 1000
		user bob "bob"
		cgroup /machine.slice/machine-a.scope "/machine.slice/machine-a.scope"
		unit machine-a.scope "machine-a.scope"
		container a "a"
		netns 4026531840
		proto udp "udp"
		family 4
		laddr 10.0.0.1 "10.0.0.1"
		lport 5000
		raddr 192.0.2.7 "192.0.2.7"
		rport 53
		iface eth0 "eth0"
		rx_rate 22
		tx_rate 26
		rx_bytes 11
		tx_bytes 13
		rx_calls 17
		tx_calls 19
		tx_retrans 23
		rx_total 1011
		tx_total 2013
	EOT
	for column in $(column_names); do
		[ -n "${seen[$column]:-}" ] || fail "no test of column $column"
	done
}

@test "time is written to the millisecond and dt to the microsecond, with trailing zeros" {
	fixture='tick 0 0
tick 1000000 0
1 1 "a" 1 0 1 0
tick 86400001000000 5
1 1 "a" 2 0 1 0
tick 86400001000499 1000
1 1 "a" 3 0 1 0
tick 86400001000999 1700000000099
1 1 "a" 4 0 1 0
tick 86400001001998 1700000000100
1 1 "a" 5 0 1 0'
	replayed 'time,dt
0.000,0.001000
0.005,86400.000000
1.000,0.000000
1700000000.099,0.000001
1700000000.100,0.000001' -o time,dt
}
