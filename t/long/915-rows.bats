#!/usr/bin/env bats
# A report of a million rows, through the real code, without a kernel.

load ../lib/common

: "${ROWS:=1000000}"

setup_file() {
	seq "$ROWS" | awk 'BEGIN { print "tick 0 0\ntick 1000000000 1700000000000" }
		{ printf "%d 1 \"p%d\" %.0f %.0f 2 3 uid=%d user=\"u%d\" proto=6 raddr=10.%d.%d.%d rport=%d\n", $1, $1 % 1000,
			$1, 2 * $1, $1 % 50, $1 % 50, $1 / 65536, $1 / 256 % 256, $1 % 256, $1 % 65536 }' \
		>"$BATS_FILE_TMPDIR/rows.ticks"
}

# wanted FORMAT: the rows of the fixture in that format, by pid
wanted() {
	local row
	case $1 in
	csv) row='%d,p%d,u%d,10.%d.%d.%d,%.0f,%.0f\n' ;;
	tsv) row='%d\tp%d\tu%d\t10.%d.%d.%d\t%.0f\t%.0f\n' ;;
	jsonl) row='{"pid":%d,"comm":"p%d","user":"u%d","raddr":"10.%d.%d.%d","rx_bytes":%.0f,"tx_total":%.0f}\n' ;;
	esac
	seq "$ROWS" | awk -v row="$row" '{ printf row, $1, $1 % 1000, $1 % 50, $1 / 65536, $1 / 256 % 256, $1 % 256,
		$1, 2 * $1 }'
}

rows() {
	replay --no-header "$@" <"$BATS_FILE_TMPDIR/rows.ticks"
}

@test "each of a million rows is right in csv, tsv and jsonl" {
	for format in csv tsv jsonl; do
		rows -f $format -s pid -o pid,comm,user,raddr,rx_bytes,tx_total | cmp - <(wanted $format)
	done
}

@test "a table and prom have all of a million rows" {
	equal "$(rows -f table --time none -o pid,rx_bytes --units none | awk '{ rows++; sum += $2 } END { printf "%d %.0f", rows, sum }')" \
		"$ROWS $((ROWS * (ROWS + 1) / 2))"
	equal "$(rows -f prom -o pid,rx_total | awk '{ rows++; sum += $2 } END { printf "%d %.0f", rows, sum }')" \
		"$ROWS $((ROWS * (ROWS + 1) / 2))"
}

@test "a million rows add up by name, and --top cuts them after they are sorted" {
	equal "$(rows -o comm,rx_bytes -s comm | wc -l)" 1000
	equal "$(rows -o rx_bytes,tx_bytes,rx_calls)" "$((ROWS * (ROWS + 1) / 2)),$((ROWS * (ROWS + 1))),$((2 * ROWS))"
	equal "$(rows -t 3 -o pid | xargs)" "$ROWS $((ROWS - 1)) $((ROWS - 2))"
}
