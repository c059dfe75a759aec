#!/usr/bin/env bats
# netmon killed at random moments: while it starts, counts, pins, replaces a pin and reads one.
# shellcheck disable=SC2154	# what the helpers set

load ../lib/common
load ../lib/live

: "${KILLS:=500}"

setup() {
	bpf=
	live_setup
	# the last way that this kernel has
	for way in kprobe fexit tracepoint; do
		! "$NETMON" -q --no-pin --attach $way -n 1 -i 0.01 >/dev/null 2>&1 || break
	done
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	mount -t bpf bpf "$bpf"
	# a user for this test only, to find the programs that it loaded
	user=$((1000000000 + BASHPID))
}

teardown() {
	live_teardown
	[ -z "$bpf" ] || { umount -l "$bpf" && rmdir "$bpf"; }
}

# as_user COMMAND...: as that user, with all capabilities that netmon can use
as_user() {
	local rights=+bpf,+perfmon,+net_admin,+sys_admin,+dac_override
	exec setpriv --reuid="$user" --clear-groups --inh-caps=$rights --ambient-caps=$rights -- "$@"
}

# objects_of PID: the BPF objects that the process has open, such as "prog 17"
objects_of() {
	sed -n 's/^\(prog\|map\|link\)_id:\s*/\1 /p' /proc/"$1"/fdinfo/* 2>/dev/null | sort -u
}

# existing: the BPF objects of the kernel, in the same form
existing() {
	local kind
	for kind in prog map link; do
		bpftool -j $kind show | jq -r ".[] | \"$kind \\(.id)\""
	done | sort -u
}

# loaded: the programs that the user of this test has loaded
loaded() {
	bpftool -j prog show | jq -r --argjson uid "$user" '.[] | select(.uid == $uid) | "prog \(.id)"'
}

# gone FILE: whether no object in FILE and no program of the user exists
gone() {
	[ -z "$(existing | comm -12 "$1" -)$(loaded)" ]
}

@test "500 netmons that are killed by SIGKILL at random moments leave nothing in the kernel" {
	chmod 755 . "$bpf"
	chown "$user" "$bpf"
	: >seen
	RANDOM=$KILLS counting=0 latest=250 # milliseconds after the start
	for ((i = 0; i < KILLS; i++)); do
		case $((i % 6)) in
		0) options=(--no-pin -o +user,cgroup) ;;
		1) options=(--no-pin --layer ip) ;;
		2) options=(--no-pin --attach "$way") ;;
		3) options=(--pin "$bpf/netmon") ;;
		4) options=(--pin "$bpf/netmon" --replace -o +proto) ;;
		5) options=(-- sleep 5) ;;
		esac
		(as_user "$NETMON" -q -i 0.01 "${options[@]}") >/dev/null 2>&1 3>&- &
		netmon=$!
		delay=$((RANDOM % latest))
		sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
		# every second netmon is stopped before the kill, to list all its objects
		[ $((i / 6 % 2)) = 0 ] || kill -STOP "$netmon" 2>/dev/null || true
		objects_of "$netmon" >>seen
		# half of them shall be attached, however slow the machine is
		if grep -q '^link' <(objects_of "$netmon"); then
			counting=$((counting + 1))
			latest=$((latest * 9 / 10 + 1))
		else
			latest=$((latest * 10 / 9 + 1))
		fi
		# end the command of netmon too, which would outlive it
		pkill -KILL -P "$netmon" -x sleep || true
		kill -KILL "$netmon" 2>/dev/null || true
		wait "$netmon" || true
		netmon=
	done
	"$NETMON" --unpin "$bpf/netmon"
	equal "$(ls "$bpf" | grep -v '\.debug$')" '' # which some kernels make
	sort -u seen -o seen
	echo "# $counting of them were attached, and had $(wc -l <seen) programs, maps and links" >&3
	[ "$counting" -gt $((KILLS / 5)) ]
	[ "$(wc -l <seen)" -gt "$KILLS" ]
	eventually gone seen
}

@test "a netmon that starts after the kills is exact" {
	start --attach "$way" -f jsonl
	traffic up -b 1000000
	stop
	exact jsonl
}
