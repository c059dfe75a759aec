#!/usr/bin/env bats
# csv, tsv and jsonl: byte for byte, and through independent readers.
load lib/common

# All columns of the table: a new column fails the tests until the golden files have it.
all_columns() {
	column_names | paste -sd ,
}

# golden FORMAT: the output for the fixture of names equals the golden file
golden() {
	replay --layer ip -f "$1" -s pid -o "$(all_columns)" <"$golden/names.ticks" >"$BATS_TEST_TMPDIR/out"
	cmp "$BATS_TEST_TMPDIR/out" "$golden/names.$1"
}

# names_back FIXTURE FORMAT
names_back() {
	replay --layer ip -f "$2" -o "$(all_columns)" <"$1" >"$BATS_TEST_TMPDIR/out"
	python3 "$here/unit/random-names.py" check "$1" "$2" <"$BATS_TEST_TMPDIR/out"
}

# random_names FORMAT: the same for every byte and random names
random_names() {
	python3 "$here/unit/random-names.py" make 1 >"$BATS_TEST_TMPDIR/random.ticks"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/random.ticks")" -gt 4000 ]
	names_back "$BATS_TEST_TMPDIR/random.ticks" "$1"
}

@test "csv equals its golden file byte for byte" {
	golden csv
}

@test "tsv equals its golden file byte for byte" {
	golden tsv
}

@test "jsonl equals its golden file byte for byte" {
	golden jsonl
}

@test "the golden files have every column of the table" {
	equal "$(head -n 1 "$golden/names.csv")" "$(column_names | paste -sd ,)"
	equal "$(head -n 1 "$golden/names.tsv")" "$(column_names | paste -s)"
	equal "$(jq -r 'keys_unsorted | join("\n")' "$golden/names.jsonl" | sort -u)" \
		"$(column_names | sort)"
}

@test "every name survives a round trip through csv, with U+FFFD for control characters" {
	names_back "$golden/names.ticks" csv
	random_names csv
}

@test "every name survives a round trip through tsv" {
	names_back "$golden/names.ticks" tsv
	random_names tsv
}

@test "every name survives a round trip through jsonl" {
	names_back "$golden/names.ticks" jsonl
	random_names jsonl
}

@test "a row is one line in csv and tsv, whatever the names" {
	local format rows
	rows=$(replay -f jsonl <"$golden/names.ticks" | wc -l)
	for format in csv tsv; do
		replay -f "$format" <"$golden/names.ticks" >"$BATS_TEST_TMPDIR/out.$format"
		equal "$(wc -l <"$BATS_TEST_TMPDIR/out.$format")" $((rows + 1))
	done
	equal "$(awk -F '\t' '{ print NF }' "$BATS_TEST_TMPDIR/out.tsv" | sort -u)" 5
}

@test "a row whose only column is empty is still a line" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "" 1 0 1 0'
	equal "$(replay -o comm <<<"$fixture" | od -An -c)" "$(printf 'comm\n""\n' | od -An -c)"
	equal "$(replay -o comm -f tsv <<<"$fixture" | od -An -c)" "$(printf 'comm\n\n' | od -An -c)"
	replayed '{"comm":""}' -o comm -f jsonl
}

@test "jsonl writes numbers without quotes and with all digits" {
	fixture='tick 0 0
tick 1000000000 1700000000123
1 1 "a" 18446744073709551615 9007199254740993 1 0'
	replayed '{"time":1700000000.123,"rx_total":18446744073709551615,"tx_bytes":9007199254740993,"rx_rate":18446744073709551615}' \
		-f jsonl -o time,rx_total,tx_bytes,rx_rate
	equal "$(replay -f jsonl -o time,dt,pid,rx_rate,rx_bytes,rx_calls,tx_total <<<"$fixture" |
		jq -c 'map(type) | unique')" '["number"]'
}
