# Common to the tests of the benchmark.

# in_tree ARGUMENT...: make, where the sources are
in_tree() {
	# what is built is of the tree's owner, as in the Makefile; by one run of the tests at a time
	flock "$here" setpriv --reuid="$(stat -c %u "$here")" --regid="$(stat -c %g "$here")" --clear-groups -- \
		env -u MAKEFLAGS -u MAKELEVEL make -s -C "$here/.." "$@" >&2
}

# bench PART...: the table that it makes of them, quickly
bench() {
	local build
	build=$(realpath --relative-to="$here/.." "$BUILD")
	in_tree "$build/t/bench/hammer" "$build/t/bench/crowd" "$build/t/bench/empty" \
		"$build/t/bench/turns"
	export NETMON BUILD
	QUICK=1 RESULTS=bench.csv timeout 300 "$here/bench/bench" "$@" 3>&-
}

# whole CSV: all lines have as many fields, and each target its verdict
whole() {
	python3 - "$1" <<'PYTHON'
import csv, sys

with open(sys.argv[1]) as file:
    rows = list(csv.DictReader(file))
assert rows and all(None not in row and None not in row.values() for row in rows), rows
assert all(bool(row["target"]) == (row["verdict"] in ("met", "missed")) for row in rows), rows
print(len(rows))
PYTHON
}

