#!/usr/bin/env bats
# Many netmons at once, each exact.
# shellcheck disable=SC2154	# what the helpers set

load ../lib/common
load ../lib/live

: "${NETMONS:=50}"

setup() {
	live_setup
	bpf=
	netmons=()
}

teardown() {
	live_teardown
	[ -z "${netmons[*]}" ] || kill -KILL "${netmons[@]}" 2>/dev/null || true
	[ -z "$bpf" ] || { umount -l "$bpf" && rmdir "$bpf"; }
}

# all_exact OPTION...: $NETMONS netmons with these options, with different intervals and formats, are exact
all_exact() {
	local formats=(csv tsv jsonl) intervals=(0.1 0.25 1 3600) i
	for ((i = 0; i < NETMONS; i++)); do
		: >"messages.$i"
		"$NETMON" -v -o "$columns" -f "${formats[i % 3]}" -i "${intervals[i % 4]}" "$@" \
			>"reports.$i" 2>"messages.$i" 3>&- &
		netmons+=($!)
	done
	for ((i = 0; i < NETMONS; i++)); do
		eventually grep -qx 'netmon: counting' "messages.$i"
	done
	cases=("up -b 20000000" "down -6 -b 20000000" udp-sendto "udp-connected -6" "short -P 500" threads)
	# a kernel allows 38 fexit programs on a function: further netmons count by kprobes
	cat messages.* | grep -q 'not seen: .*splice out' || cases+=(tcp-splice-out)
	for case in "${cases[@]}"; do
		# shellcheck disable=SC2086	# a name and options
		traffic $case
	done
	kill "${netmons[@]}"
	for i in "${!netmons[@]}"; do
		wait "${netmons[i]}"
		"$here/compare/processes" "${formats[i % 3]}" "reports.$i" account || fail "netmon $i" "$(cat "messages.$i")"
	done
	netmons=()
}

@test "fifty netmons at once are exact" {
	all_exact --no-pin
}

@test "fifty readers of a pin at once are exact" {
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	mount -t bpf bpf "$bpf"
	"$NETMON" -q --pin "$bpf/netmon"
	all_exact --from "$bpf/netmon"
}
