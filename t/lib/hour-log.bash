# An hour's log with hostile names (t/unit/hour-log.py), and whether a program found all of it there.
# shellcheck disable=SC2154	# what common.bash sets

# make_hour: writes $hour/log.csv, .tsv and .jsonl; for setup_file
make_hour() {
	export LC_ALL=C.UTF-8 hour=$BATS_FILE_TMPDIR
	local format
	python3 "$here/unit/hour-log.py" ticks >"$hour/ticks"
	for format in csv tsv jsonl; do
		"$BUILD/t/replay" -f $format -o time,pid,comm,rx_bytes,tx_bytes <"$hour/ticks" >"$hour/log.$format"
	done
}

# found FORMAT: standard input, a JSON object for each name with its sum, must equal what was moved
found() {
	jq -r '"\(.sum)\t\(.comm | @base64)"' | LC_ALL=C sort >"$BATS_TEST_TMPDIR/got"
	python3 "$here/unit/hour-log.py" sums "$1" | LC_ALL=C sort | diff "$BATS_TEST_TMPDIR/got" -
}

# Sums the rows of standard input, JSON objects.
sums='reduce inputs as $row ({}; .[$row.comm] += ($row.rx_bytes | tonumber)) |
	to_entries[] | {comm: .key, sum: .value}'
