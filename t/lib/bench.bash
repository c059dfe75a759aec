# Common to the tests of the benchmark.

# in_tree ARGUMENT...: make in the source tree
in_tree() {
	# as the tree's owner, who must own what is built; one run of the tests at a time
	flock "$here" setpriv --reuid="$(stat -c %u "$here")" --regid="$(stat -c %g "$here")" --clear-groups -- \
		env -u MAKEFLAGS -u MAKELEVEL make -s -C "$here/.." "$@" >&2
}

# bench PART...: runs them with QUICK=1
bench() {
	local build
	build=$(realpath --relative-to="$here/.." "$BUILD")
	in_tree "$build/t/bench/hammer" "$build/t/bench/crowd" "$build/t/bench/empty" \
		"$build/t/bench/turns"
	export NETMON BUILD
	QUICK=1 RESULTS=bench.csv timeout 300 "$here/bench/bench" "$@" 3>&-
}

# whole CSV: all lines have the same number of fields, and each target has a verdict
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

