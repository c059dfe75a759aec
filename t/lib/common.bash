# Common to all tests.  NETMON and BUILD come from `make check`; the default is the normal build.
# shellcheck disable=SC2034,SC2154  # bats and the tests set and use them
bats_require_minimum_version 1.5.0

here=$(cd "${BASH_SOURCE%/*}/.." && pwd)
: "${NETMON:=${here%/*}/netmon}"
: "${BUILD:=${here%/*}/build}"
export NETMON BUILD
# what `make deps check` unpacked there
for tools in "${here%/*}"/build/tools/*/usr/bin; do PATH=$PATH:$tools; done

# cannot_run REASON: this machine cannot run the test, which is skipped; with CI=true, it fails
cannot_run() {
	if [ "${CI-}" = true ]; then
		fail "cannot run this test: $1"
	else
		skip "$1"
	fi
}
# needs_tool PROGRAM
needs_tool() {
	command -v "$1" >/dev/null || cannot_run "$1 is not here: 'make deps check' gets it"
}
# Some containers have no cgroup v2.
needs_cgroups() {
	grep -q "^[^ ]* [^ ]* cgroup2 " /proc/self/mounts || cannot_run "no cgroup v2 is mounted"
}
# python_with MODULE: sets python to one that has the module; that in PATH might not be the distribution's
python_with() {
	for python in python3 /usr/bin/python3 "the Python module $1"; do
		! "$python" -c "import $1" 2>/dev/null || return 0
	done
	needs_tool "$python"
}
# 1 in make check-long: slow tests run at full size.
: "${LONG:=0}"
golden=$here/unit/golden

# Ends the test and says why.
fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# make_built [ARGUMENT]...: runs make in the source tree, without building anything, even if a source is newer
make_built() {
	make -C "$here/.." -o "$NETMON" -o "$BUILD/completion/netmon.bash" -o "$BUILD/completion/netmon.zsh" \
		-o "$BUILD/completion/netmon.fish" NETMON="$NETMON" BUILD="$BUILD" AS_OWNER= "$@"
}

# equal GOT WANTED
equal() {
	[ "$1" = "$2" ] || fail "got:" "$1" "wanted:" "$2"
}

# contains TEXT PART
contains() {
	case $1 in
	*"$2"*) ;;
	*) fail "not there: $2" "in:" "$1" ;;
	esac
}

# netmon with these options, on ticks from standard input instead of a kernel
replay() {
	"$BUILD/t/replay" "$@"
}

# replayed WANTED [OPTION]...: the output for the ticks in $fixture
replayed() {
	local wanted=$1
	shift
	run -0 --separate-stderr replay "$@" <<<"$fixture"
	equal "$stderr" ''
	equal "$output" "$wanted"
}

# costs_at_most TIMES FORMAT TICKS [OPTION]...: writing the report of these ticks, which goes to
# $BATS_TEST_TMPDIR/out, takes at most so many times the CPU of csv
costs_at_most() {
	local round format
	for round in {1..20}; do
		for format in csv "$2"; do
			COST=1 replay -f "$format" "${@:4}" <"$3" 2>&1 >"$BATS_TEST_TMPDIR/out" | sed "s/^/$format /"
		done >>"$BATS_TEST_TMPDIR/costs"
		# the cheapest of at least five: other programs might evict the CPU's caches
		[ "$round" -ge 5 ] || continue
		! awk -v times="$1" -v format="$2" '!($1 in least) || $2 < least[$1] { least[$1] = $2 }
			END { exit !(least[format] && least[format] <= times * least["csv"]) }' "$BATS_TEST_TMPDIR/costs" ||
			return 0
	done
	fail "$(cat "$BATS_TEST_TMPDIR/costs")"
}

# netmon without any privilege.  Run by a descriptor: the tree might be in a home directory that is
# closed to others.  In a container, root might have no privilege to give up.
unprivileged() {
	if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
		setpriv --reuid=65534 --clear-groups -- /proc/self/fd/9 "$@" 9<"$NETMON"
	else
		"$NETMON" "$@"
	fi
}

# The names of the columns, as --help lists them.
column_names() {
	"$NETMON" --help | sed -n '/^Columns:$/,/^$/s/^  \([a-z0-9_]*\) .*/\1/p'
}
