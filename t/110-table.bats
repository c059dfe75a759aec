#!/usr/bin/env bats
# -f table: blocks for people.
load lib/common

export TZ=UTC0

# scaled UNITS NUMBER WANTED...: a table writes each NUMBER as WANTED
scaled() {
	local units=$1 fixture='tick 0 0
tick 1000000000 1000' wanted=rx_bytes pid=0 number
	shift
	for ((; $#; )); do
		number=$1
		fixture+=$'\n'"$((++pid)) 1 \"x\" $number 1 1 1"
		wanted+=$'\n'"$2"
		shift 2
	done
	run -0 --separate-stderr replay -f table --units "$units" -o pid,rx_bytes -s pid --time none \
		<<<"$fixture"
	equal "$(awk '{ print $2 }' <<<"$output")" "$wanted"
}

two='tick 0 0
tick 1000000000 1000
1204 1 "curl" 1234567 12345 9 9 user="bob" cmd="curl -o x"
97 1 "chronyd" 76 76 1 1 user="_chrony" cmd="chronyd"
tick 2500000000 2500
1204 1 "curl" 1234567 12345 9 9 user="bob" cmd="curl -o x"
97 1 "chronyd" 152 152 2 2 user="_chrony" cmd="chronyd"
tick 3500000000 3500
1204 1 "curl" 1234567 12345 9 9 user="bob" cmd="curl -o x"
97 1 "chronyd" 152 152 2 2 user="_chrony" cmd="chronyd"'

@test "a table has a block for each report, with an empty line between blocks" {
	fixture=$two
	replayed '1970-01-01 00:00:01
 pid  comm     rx_rate  tx_rate
1204  curl        1.2M    12.3k
  97  chronyd       76       76

1970-01-01 00:00:02
pid  comm     rx_rate  tx_rate
 97  chronyd       51       51

1970-01-01 00:00:03
pid  comm  rx_rate  tx_rate' -f table
}

@test "a block begins with the time and dt, which all its rows share" {
	fixture=$two
	run -0 --separate-stderr replay -f table -o comm,time,tx_bytes,dt <<<"$fixture"
	equal "${lines[0]}" '1970-01-01 00:00:01  dt 1.000000'
	equal "${lines[4]}" '1970-01-01 00:00:02  dt 1.500000'
	run -0 --separate-stderr replay -f table --time epoch -o comm,time <<<"$fixture"
	equal "${lines[0]}" '1.000'
	run -0 --separate-stderr replay -f table --time iso -o comm,time <<<"$fixture"
	equal "${lines[0]}" '1970-01-01T00:00:01.000Z'
	TZ=XXX-5:30 run -0 --separate-stderr replay -f table -o comm,time <<<"$fixture"
	equal "${lines[0]}" '1970-01-01 05:30:01'
}

@test "-t, --total, -a, --no-header and --time none have the same effect on a table as on csv" {
	fixture=$two
	replayed 'comm     rx_rate
curl        1.2M
(total)     1.2M

comm     rx_rate
chronyd       51
(total)       51

comm     rx_rate
(total)        0' -f table -o comm,rx_rate --time none -t 1 --total
	replayed 'chronyd    76    76
curl     1.2M  1.2M

chronyd  76   152
curl      0  1.2M

chronyd  0   152
curl     0  1.2M' -f table -o comm,rx_bytes,rx_total --time none --no-header -a -s comm
}

@test "a table shows every column, and '-' for an unknown value" {
	run -0 --separate-stderr replay -f table --layer ip -s pid -o "$(column_names | paste -sd ,)" \
		<"$golden/names.ticks"
	equal "$(sed -n 2p <<<"$output" | tr -s ' ')" "$(column_names | grep -vx 'time\|dt' | paste -sd ' ')"
	contains "$output" ' 192.0.2.255    443  -  '
	[ "$(wc -l <<<"$output")" = $(($(replay -f jsonl <"$golden/names.ticks" | wc -l) + 2)) ]
}

@test "a table equals its golden file byte for byte" {
	replay -f table -s pid -o +cmd,user,rx_total,tx_total <"$golden/names.ticks" |
		diff - "$golden/names.table"
}

@test "a table rounds measures to SI or IEC prefixes, or writes them in full" {
	scaled si 0 0 999 999 1000 1.0k 1049 1.0k 1050 1.1k 99949 99.9k 99950 100k 99999 100k 100499 100k \
		100500 101k 999499 999k 999500 1.0M 1234567 1.2M 999999999 1.0G 9007199254740993 9.0P \
		18446744073709551615 18.4E
	scaled iec 1023 1023 1024 1.0Ki 1126 1.1Ki 102348 99.9Ki 102349 100Ki 1047552 1023Ki 1048063 1023Ki \
		1048064 1.0Mi 18446744073709551615 16.0Ei
	scaled none 1000 1000 18446744073709551615 18446744073709551615
}

@test "a table writes keys and dt in full" {
	fixture='tick 0 0
tick 2000000000000 1
1234567 1 "x" 1 0 1 0 uid=1000000 lport=65535 netns=4026531840'
	replayed 'dt 2000.000000
    pid      uid       netns  lport  rx_bytes
1234567  1000000  4026531840  65535         1' -f table -o dt,pid,uid,netns,lport,rx_bytes --units si
}

@test "a table fits the terminal: it cuts the widest text first, then addresses, and never a number" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "0123456789abcdef" 1 0 1 0 uid=1 user="bob" cmd="/usr/bin/program --with=some arguments"
2 1 "short" 2 0 1 0 uid=2 user="ann" cmd="sh"'
	WIDTH=50 replayed 'comm              cmd               user  rx_bytes
short             sh                ann          2
0123456789abcdef  /usr/bin/progra…  bob          1' -f table --time none -o comm,cmd,user,rx_bytes
	WIDTH=34 replayed 'comm      cmd       user  rx_bytes
short     sh        ann          2
0123456…  /usr/bi…  bob          1' -f table --time none -o comm,cmd,user,rx_bytes
	# the minimum width
	WIDTH=10 replayed 'comm      cmd       user  rx_bytes
short     sh        ann          2
0123456…  /usr/bi…  bob          1' -f table --time none -o comm,cmd,user,rx_bytes
	fixture+=' raddr=192.0.2.255'
	WIDTH=21 replayed 'comm      raddr
short     192.0.2.255
0123456…  -' -f table --time none -o comm,raddr
	WIDTH=18 replayed 'comm      raddr
short     192.0.2…
0123456…  -' -f table --time none -o comm,raddr
	# without a terminal nothing is cut
	run -0 --separate-stderr replay -f table -o cmd <<<"$fixture"
	contains "$output" '/usr/bin/program --with=some arguments'
}

@test "without a terminal, a long text shifts only its own row" {
	local long
	long=$(printf '%0200d' 0)
	fixture="tick 0 0
tick 1000000000 1000
1 1 \"a\" 1 0 1 0 cmd=\"$long\"
2 1 \"b\" 2 0 1 0 cmd=\"sh\""
	run -0 --separate-stderr replay -f table --time none -o cmd,rx_bytes <<<"$fixture"
	equal "${lines[1]}" "$(printf '%-100s  %8s' sh 2)"
	equal "${lines[2]}" "$long         1"
}

@test "a table aligns characters of two columns or none, and writes U+FFFD for those that reverse text" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "\xe7\xb6\xb2\xe8\xb7\xaf" 1 0 1 0
2 1 "e\xcc\x81t\xcc\x81" 2 0 1 0
3 1 "a\xe2\x80\xaeb" 4 0 1 0
4 1 "plain" 8 0 1 0'
	replayed 'comm   rx_bytes
plain         8
a�b           4
ét́            2
網路          1' -f table --time none -o comm,rx_bytes
	WIDTH=18 run -0 --separate-stderr replay -f table --time none -o comm,rx_bytes <<<"tick 0 0
tick 1000000000 1000
1 1 \"$(printf '\\xe7\\xb6\\xb2%.0s' 1 2 3 4 5)\" 1 0 1 0"
	equal "${lines[1]}" '網網網…          1'
}

@test "a table is valid UTF-8 without control characters, whatever the names" {
	python3 "$here/unit/random-names.py" make 1 >"$BATS_TEST_TMPDIR/random.ticks"
	for width in 0 30; do
		WIDTH=$width replay -f table <"$BATS_TEST_TMPDIR/random.ticks" >"$BATS_TEST_TMPDIR/out"
		python3 -c '
import re, sys
text = open(sys.argv[1], encoding="utf-8", newline="").read()
assert text.count("\n") > 4000
assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", text)
' "$BATS_TEST_TMPDIR/out"
	done
}

@test "a table of 10,000 rows takes at most 5 times the CPU of csv" {
	seq 10000 | awk 'BEGIN { print "tick 0 0\ntick 1000000000 1700000000000" }
		{ printf "%d 1 \"proc-%d\" %d %d %d %d uid=%d user=\"user%d\" proto=6 laddr=10.0.0.1 ", $1, $1,
			$1 * 7919, $1 * 104729, $1, $1, $1 % 50, $1 % 50
		  printf "lport=%d raddr=192.0.2.%d rport=443 cmd=\"/usr/bin/foo --bar=%d\"\n", $1, $1 % 256, $1 }' \
		>"$BATS_TEST_TMPDIR/rows.ticks"
	costs_at_most 5 table "$BATS_TEST_TMPDIR/rows.ticks" -o +cmd,user,proto,lport,raddr,rport,rx_total,tx_total
	equal "$(wc -l <"$BATS_TEST_TMPDIR/out")" 10002
}
