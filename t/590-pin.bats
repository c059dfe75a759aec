#!/usr/bin/env bats
# shellcheck disable=SC2154	# what the helpers set
# Pins: probes that are attached once, for any number of readers.

load lib/common
load lib/live

# Our own BPF file system, which all users can reach.
setup() {
	readers=()
	bpf= cgroup=
	live_setup
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	chmod 755 "$bpf"
	mount -t bpf -o mode=0700 bpf "$bpf"
	pin=$bpf/netmon
}

teardown() {
	live_teardown
	[ -z "${readers[*]}" ] || kill -KILL "${readers[@]}" 2>/dev/null || true
	[ -z "$cgroup" ] || { kill -KILL $(cat "$cgroup/cgroup.procs"); eventually rmdir "$cgroup"; } 2>/dev/null || true
	[ -n "$bpf" ] || return 0
	umount -l "$bpf"
	rmdir "$bpf"
}

# pin [OPTION]...: pins from a shell that ends
pin() {
	# shellcheck disable=SC2086,SC2016	# options are words; the other shell's
	bash -c '"$@"' - "$NETMON" --pin "$pin" $NETMON_OPTIONS "$@" 2>pin-messages ||
		fail "netmon --pin: exit status $?" "$(cat pin-messages)"
}

# reader NAME [OPTION]...: starts a reader with output to reports.NAME; returns when it reads
reader() {
	: >"messages.$1"
	"$NETMON" -v -o "$columns" -f jsonl --from "$pin" "${@:2}" >"reports.$1" 2>"messages.$1" 3>&- &
	readers+=($!)
	until grep -qx 'netmon: counting' "messages.$1"; do
		kill -0 $! || fail "reader $1 did not start:" "$(cat "messages.$1")"
		sleep 0.02
	done
	date +%s.%N >"began.$1"
}

# end_readers STATUS: waits for all readers, which must end with STATUS; 0: ends them first
end_readers() {
	local pid status
	[ "$1" != 0 ] || kill "${readers[@]}"
	for pid in "${readers[@]}"; do
		status=0
		wait "$pid" || status=$?
		equal "$status" "$1"
	done
	readers=()
}

# pinned: the files in $bpf, except those that some kernels make
pinned() {
	ls "$bpf" | grep -v '\.debug$' || true
}

# status_of FIELD...: the values of these fields in --status
status_of() {
	"$NETMON" --status "$pin" -f jsonl 2>/dev/null | jq -r "[.$(sed 's/ /, ./g' <<<"$*")] | @tsv"
}

# pin_cgroup [OPTION]...: pins for a cgroup of the test, since other processes could fill the table
pin_cgroup() {
	cgroup=$(cgroup_root)/netmon-churn-$BASHPID
	mkdir "$cgroup"
	pin --cgroup "/${cgroup##*/}" "$@"
}

# in_cgroup COMMAND...: in a subshell or the background
in_cgroup() {
	echo $BASHPID >"$cgroup/cgroup.procs"
	exec "$@"
}

# before_5_19 FILE: netmon said there that nobody without CAP_BPF can read a pin, and the kernel is so old
before_5_19() {
	grep -q ': Operation not permitted: before Linux 5\.19 ' "$1" &&
		[ "$(printf '%s\n' 5.19 "$(uname -r)" | sort -V | head -1)" != 5.19 ]
}

# refused STATUS MESSAGE [OPTION]...: netmon ends with STATUS, and only MESSAGE and what it cannot count
refused() {
	run "-$1" --separate-stderr "$NETMON" "${@:3}"
	equal "$output" ''
	equal "$(grep -v '^netmon: counting' <<<"$stderr")" "netmon: $2"
}

@test "three readers of one pin report exact bytes, each from its own start" {
	pin
	traffic up -b 3000000
	mv account account.before
	"$BUILD/t/traffic" steady -r 2000000 -s 600 --log sending >account.steady 3>&- &
	steady=$!
	others+=("$steady")
	until [ -s sending ]; do kill -0 $steady; sleep 0.1; done
	for interval in 0.05 0.3 1; do reader $interval -i $interval; done
	traffic short -P 300
	pkill -TERM -P $steady '^steady-send' # not before each reader has seen it send
	wait $steady
	end_readers 0
	sender=$(sender account.steady)
	total=$(awk '$4 > 0 { print $4 }' account.steady)
	for interval in 0.05 0.3 1; do
		cp reports.$interval reports
		exact jsonl
		# processes that ended before have no rows
		while IFS=$'\t' read -r pid comm _; do
			equal "$(reported "[.[] | select(.pid == $pid and .comm == \"$comm\")] | length")" 0
		done <account.before
		equal "$(reported "map(select($sender)) | [last.tx_total, first.tx_total - first.tx_bytes
			+ (map(.tx_bytes) | add)] | @csv")" "$total,$total"
		# at the start of the reader, the total is what the sender had sent by then
		reported "map(select($sender)) | first | [.time - .dt, .tx_total - .tx_bytes] | @tsv" |
			awk -v began="$(cat began.$interval)" 'NR == FNR { begin = $1; counted = $2; next }
				$2 <= begin - 0.001 { least = $3 } $1 <= began { most = $3 }
				END { if (!(counted > 0 && least <= counted && counted <= most)) {
					print counted " bytes counted, of " least " to " most; exit 1 } }' - sending
	done
	# --status sums all traffic since the pin
	sum=$(cat account.before account.steady account | awk '{ sum += $4 } END { print sum }')
	[ "$(status_of tx_bytes)" -ge "$sum" ]
}

@test "totals count from the pin for every reader" {
	pin
	mkfifo hold
	"$BUILD/t/traffic" up -b 1234567 --linger <hold >account 3>&- &
	held=$!
	exec 8>hold
	until [ -s account ]; do kill -0 $held; sleep 0.1; done
	for _ in 1 2 3; do
		"$NETMON" --from "$pin" -a -n 1 -i 0.05 -f jsonl -o pid,rx_bytes,rx_total,tx_total >reports
		while read -r pid _ rx tx _; do
			equal "$(reported "map(select(.pid == $pid)) | .[] | [.rx_bytes, .rx_total, .tx_total] | @csv")" \
				"0,$rx,$tx"
		done <account
	done
	exec 8>&-
	wait $held
}

@test "processes that come and go without a reader use up no rows and no memory, and leave totals right" {
	pin_cgroup --max-processes 1024
	bpftool map show pinned "$pin/map_packet_stats" >before
	mkfifo hold
	count=${CHURN:-$((LONG ? 200000 : 20000))}
	in_cgroup "$BUILD/t/traffic" churn -P "$count" --linger <hold >account 3>&- &
	churn=$!
	exec 8>hold
	until [ -s account ]; do kill -0 $churn; sleep 0.5; done
	"$NETMON" --from "$pin" -a -n 1 -i 0.05 -f jsonl -o pid,comm,rx_total,rx_calls,tx_total >reports
	read -r sink name received _ <account
	equal "$(reported "map(select(.pid == $sink)) | .[] | [.comm, .rx_total] | @csv")" \
		"\"$name\",$received"
	equal "$(reported 'map(select(.comm == "(other)")) | length')" 0
	bpftool map show pinned "$pin/map_packet_stats" | diff before -
	[ "$(status_of processes)" -lt 100 ]
	equal "$(status_of tx_bytes)" $((100 * count))
	exec 8>&-
	wait $churn
}

@test "ended processes use up no rows if the pin has keys finer than the process" {
	pin_cgroup --max-processes 1024 --max-entries 1024 -o +proto,family,rport
	(in_cgroup "$BUILD/t/traffic" churn -P $((${CHURN:-$((LONG ? 200000 : 20000))} / 10)) >account)
	[ "$(status_of tx_bytes)" -gt 0 ]
	"$NETMON" --from "$pin" -a -n 1 -i 0.05 -f jsonl -o comm,rx_bytes >reports
	equal "$(reported 'map(select(.comm == "(other)")) | length')" 0
	[ "$(status_of entries)" -lt 512 ]
}

@test "readers killed at any moment change nothing for other readers and the pin" {
	pin
	reader stays -i 0.05
	status_of version since command max_entries >before
	"$BUILD/t/traffic" short -P 1500 >account 3>&- &
	traffic=$!
	for delay in 0 0.01 0.03 0.1 0.2 0.3; do
		for _ in 1 2 3; do
			"$NETMON" --from "$pin" -i 0.01 >/dev/null 2>&1 3>&- &
			sleep $delay
			kill -KILL $!
			wait $! || true
		done
	done
	wait $traffic
	end_readers 0
	mv reports.stays reports
	exact jsonl
	status_of version since command max_entries | diff before -
}

@test "readers that run during --unpin report everything until then, and end with 1 and a message" {
	# shellcheck disable=SC2086	# two words: room for all processes until the seldom reader looks again
	pin $roomy
	reader often -i 0.05
	reader seldom -i 1000
	traffic up -b 2000000
	"$NETMON" --unpin "$pin"
	end_readers 1
	for name in often seldom; do
		mv reports.$name reports
		exact jsonl
		equal "$(reported 'map(select(.rx_bytes + .tx_bytes == 0)) | length')" 0
		equal "$(grep -c "cannot go on reading '$pin': it has been unpinned" messages.$name)" 1
	done
	equal "$(pinned)" ''
}

@test "a reader loads no program" {
	pin
	reader one -i 0.1
	reader two -i 0.2
	for file in "$pin"/prog_*; do bpftool prog show pinned "$file"; done |
		sed -n 's/^\([0-9]*\):.*/\1/p' | sort >pinned
	[ -s pinned ]
	for pid in "${readers[@]}"; do
		cat "/proc/$pid/fdinfo/"* 2>/dev/null | sed -n 's/^prog_id:[[:space:]]*//p' | sort | diff pinned -
		[ "$(cat "/proc/$pid/fdinfo/"* | grep -c '^link_id')" = 0 ]
	done
	end_readers 0
}

# as_member COMMAND...: as a member of group 4242, without any other right
as_member() {
	setpriv --reuid=65534 --regid=65534 --groups=4242 -- "$@"
}

# overwrite MAP [as_member]: writes zeros to its first element
overwrite() {
	# shellcheck disable=SC2046	# a word for each byte
	${2-} bpftool map update pinned "$1" key 0 0 0 0 \
		value $(yes 0 | head -n "$(bpftool -j map show pinned "$1" | jq .bytes_value)")
}

# no_kernel_address FILE...: tables that a member can read have no kernel addresses
no_kernel_address() {
	as_member "$(PATH=/usr/bin:/bin command -v python3)" - "$@" <<-'END'
		import ctypes, mmap, os, platform, struct, sys
		BPF_OBJ_GET = 7
		number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
		libc, read = ctypes.CDLL(None), 0
		libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
		libc.mmap.restype = ctypes.c_void_p
		for path in sys.argv[1:]:
		    name = ctypes.create_string_buffer(path.encode())
		    attributes = struct.pack("QII", ctypes.addressof(name), 0, 0)
		    fd = libc.syscall(number, BPF_OBJ_GET, attributes, len(attributes))
		    if fd < 0:
		        continue
		    about = dict(line.split(":\t") for line in open(f"/proc/self/fdinfo/{fd}"))
		    size = int(about["value_size"]) * int(about["max_entries"])
		    size = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
		    at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
		    if at == ctypes.c_void_p(-1).value: # a hash table
		        continue
		    read += 1
		    for word in memoryview((ctypes.c_uint64 * (size // 8)).from_address(at)).cast("B").cast("Q"):
		        if word >> 47 == 0x1ffff and word >> 32 != 0xffffffff and not word % 8:
		            sys.exit("%s: %x" % (path, word))
		sys.exit(read < 5 and "only %d tables can be read" % read)
	END
}

@test "members of --pin-group can read, but neither write nor unpin; others cannot read" {
	if ! "$NETMON" --pin "$pin" --pin-group 4242 2>pin-messages; then
		contains "$(cat pin-messages)" "cannot let the group read '$pin': "
		before_5_19 pin-messages || fail "$(cat pin-messages)"
		equal "$(pinned)" ''
		skip "Linux before 5.19 lets nobody without CAP_BPF read"
	fi
	mkfifo hold
	"$BUILD/t/traffic" up -b 1234567 --linger <hold >account 3>&- &
	held=$!
	exec 8>hold
	until [ -s account ]; do kill -0 $held; sleep 0.1; done
	as_member /proc/self/fd/9 --from "$pin" -a -n 1 -i 0.05 -f jsonl -o pid,rx_total,tx_total \
		>reports 2>messages 9<"$NETMON"
	while read -r pid _ rx tx _; do
		equal "$(reported "map(select(.pid == $pid)) | .[] | [.rx_total, .tx_total] | @csv")" "$rx,$tx"
	done <account
	equal "$(as_member /proc/self/fd/9 --status "$pin" -f jsonl 9<"$NETMON" | jq -c .missed_calls)" null
	equal "$(status_of missed_calls | grep -c '^[0-9][0-9]*$')" 1
	# members can open tables, but no programs and links
	equal "$(cd "$pin" && find . -type f ! -perm 600 | sort | xargs)" './map_about ./map_gone_cgroups ./map_packet_stats ./map_processes ./map_rows ./map_status'
	for file in "$pin"/prog_* "$pin"/link_*; do
		show=(bpftool "$(basename "$file" | sed 's/_.*//')" show pinned "$file")
		"${show[@]}"
		run ! as_member "${show[@]}"
		contains "$output" 'Permission denied'
	done
	no_kernel_address "$pin"/map_*
	run ! as_member rm -f "$pin"/link_*
	contains "$output" "cannot remove '$pin/link_"
	run -1 --separate-stderr as_member /proc/self/fd/9 --unpin "$pin" 9<"$NETMON"
	contains "$stderr" "cannot remove '$pin/link_"
	contains "$stderr" 'Permission denied'
	# not even root can write
	bpftool map create "$bpf/own" type array key 4 value 32 entries 1 name own
	overwrite "$bpf/own"
	for map in "$pin"/map_*; do
		for who in '' as_member; do
			run ! overwrite "$map" $who
			contains "$output" 'Operation not permitted'
		done
	done
	run -1 --separate-stderr setpriv --reuid=65534 --regid=65534 --clear-groups -- \
		/proc/self/fd/9 --status "$pin" 9<"$NETMON"
	contains "$stderr" "cannot read the pin '$pin': Permission denied: run it as root, or as a member"
	exec 8>&-
	wait $held
}

@test "a second --pin is refused with the version and start of the first" {
	pin
	since=$("$NETMON" --status "$pin" --time iso -f jsonl 2>/dev/null | jq -r .since)
	refused 1 "cannot pin to '$pin': netmon $("$NETMON" --version | cut -d ' ' -f 2) is pinned there since ${since%.*}Z: --replace replaces it, 'netmon --unpin $pin' removes it" \
		--pin "$pin"
}

@test "--replace loses no byte that is counted meanwhile" {
	pin
	reader old -i 0.1
	"$BUILD/t/traffic" steady -r 5000000 -s 60 >account 3>&- &
	traffic=$!
	sleep 2
	pin --replace -o +proto
	end_readers 1
	reader new -i 0.1 # has the bytes of live processes
	sleep 1
	pkill -TERM -P $traffic '^steady-send'
	wait $traffic
	end_readers 0
	equal "$(status_of columns)" pid,proto
	equal "$(pinned)" netmon
	total=$(awk '$4 > 0 { sum += $4 } END { print sum }' account)
	pids=$(cut -f 1 account | jq -sc .)
	of() {
		jq -s --argjson pids "$pids" 'map(select(.tx_total > 0 and IN(.pid; $pids[]))) | group_by(.pid) |
			map(last.tx_total) | add // 0' "reports.$1"
	}
	old=$(of old)
	new=$(of new)
	[ "$old" -lt "$total" ]
	[ "$new" -lt "$total" ]
	[ $((old + new)) -ge "$total" ]
}

# another_build: makes ./other, with another name of a variable in the debug information of the probes
another_build() {
	sed 's/rows_stride\x00/rows_strixx\x00/g' "$NETMON" >other
	! cmp -s other "$NETMON" || fail "nothing to change in $NETMON"
	chmod +x other
}

@test "a pin made by another build is reported and not read" {
	pin
	another_build
	for mode in --from --status; do
		run -1 --separate-stderr ./other $mode "$pin"
		equal "$output" ''
		equal "$stderr" "netmon: cannot read the pin '$pin': made by another build of netmon, $(
			"$NETMON" --version | cut -d ' ' -f 2): 'netmon --pin $pin --replace' replaces it, --no-pin ignores it"
	done
	run -1 ./other --pin "$pin"
	contains "$output" 'is pinned there since'
	./other --unpin "$pin"
	[ ! -e "$pin" ]
}

@test "a damaged pin is not read, and --unpin removes it" {
	pin
	files=$(cd "$pin" && ls)
	"$NETMON" --unpin "$pin"
	for file in map_packet_stats map_rows map_processes map_status $(grep -m 1 ^prog_ <<<"$files") \
		$(grep -m 1 ^link_ <<<"$files"); do
		pin
		rm "$pin/$file"
		refused 1 "cannot read the pin '$pin': No such file or directory: it is incomplete: 'netmon --unpin $pin' removes it" \
			--from "$pin"
		run -0 --separate-stderr "$NETMON" --unpin "$pin"
		equal "$stderr$output" ''
		[ ! -e "$pin" ]
	done
	# map_about is made first and removed last: a directory without it is not netmon's
	pin
	rm "$pin/map_about"
	refused 1 "cannot read the pin '$pin': what is pinned there is not netmon's" --from "$pin"
	refused 1 "cannot unpin '$pin': what is pinned there is not netmon's" --unpin "$pin"
	rm -r "$pin"
}

# kill_pin DELAY [OPTION]...: runs --pin, and kills it after DELAY
kill_pin() {
	"$NETMON" --pin "$pin" "${@:2}" 2>/dev/null 3>&- &
	sleep "$1"
	kill -KILL $! 2>/dev/null || true
	wait $! 2>/dev/null || true
}

@test "a half-made pin of a killed --pin is removed by the next --pin, and by --unpin" {
	for delay in 0.01 0.03 0.06 0.08 0.1 0.12 0.2; do
		kill_pin $delay
		"$NETMON" --unpin "$pin"
		equal "$(pinned)" ''
	done
	for delay in 0.03 0.06 0.08 0.1 0.12 0.14 0.2; do
		kill_pin $delay --replace
		pin --replace
		equal "$(pinned)" netmon
	done
	# the same at a known moment: the new pin is half made, and the old one not yet removed
	for i in 1 2; do
		mv "$pin" "$bpf/$i"
		pin
	done
	rm "$bpf/1/map_processes" "$bpf"/1/link_*
	mv "$bpf/1" "$pin-new-00000001"
	mv "$bpf/2" "$pin-new-00000002"
	mkdir "$pin-new-00000003"
	pin --replace
	equal "$(pinned)" netmon
	mv "$pin" "$pin-new-00000001"
	run -0 --separate-stderr "$NETMON" --unpin "$pin" -v
	contains "$stderr" "removed '$pin-new-00000001/map_about'"
	equal "$(pinned)" ''
}

@test "several --pin --replace at once, and --unpin beside them, take turns" {
	for round in {1..4}; do
		makers=()
		for i in 1 2 3; do
			"$NETMON" --pin "$pin" --replace -q 2>said.$i 3>&- &
			makers+=($!)
		done
		[ $((round % 2)) = 1 ] || { sleep 0.1; "$NETMON" --unpin "$pin"; }
		for maker in "${makers[@]}"; do wait "$maker" || fail "$(cat said.?)"; done
		equal "$(cat said.?)" ''
		pinned | grep -vx netmon && fail "$(pinned)"
		[ $((round % 2)) = 0 ] || equal "$(pinned)" netmon
	done
	pin --replace
	"$NETMON" --status "$pin" >/dev/null 2>&1
	# a lock that a member of the group holds does not stop root
	exec 7<"$pin"
	flock 7
	pin --replace
	exec 7<&-
	"$NETMON" --unpin "$pin"
	equal "$(pinned)" ''
}

@test "--unpin removes neither a pin that is being made nor files that are not netmon's" {
	pin
	mv "$pin" "$pin-new-12345678"
	mkdir "$pin-new-87654321" "$pin-new-87654321/others" "$pin-newer"
	exec 7<"$pin-new-12345678"
	flock 7
	pin
	run -0 "$NETMON" --unpin "$pin"
	contains "$output" "cannot unpin '$pin-new-87654321': 'others' in it is not netmon's"
	equal "$(pinned)" "$(printf '%s\n' netmon-new-12345678 netmon-new-87654321 netmon-newer)"
	exec 7<&-
	rmdir "$pin-new-87654321/others"
	"$NETMON" --unpin "$pin"
	equal "$(pinned)" netmon-newer
}

# pinned_by_kprobe [OPTION]...: pins, and prints the process that did
pinned_by_kprobe() {
	"$NETMON" --pin "$pin" --attach kprobe "$@" >said 2>&1 3>&- &
	echo $!
	wait $! || fail "$(cat said)"
}

# needs_pinned_kprobes: skips the test if kprobes cannot be pinned here
needs_pinned_kprobes() {
	[ -e /sys/bus/event_source/devices/kprobe ] || skip "this kernel has no kprobes"
	case $(uname -r) in
	5.10.*) skip "before Linux 5.15 kprobes cannot be pinned" ;;
	esac
}

@test "--replace and --unpin remove the kretprobes of the old pin from tracefs" {
	needs_pinned_kprobes
	first=$(pinned_by_kprobe)
	[ -n "$(kretprobes "$first")" ] || skip "this kernel has kprobe.multi, which leaves nothing"
	second=$(pinned_by_kprobe --replace)
	equal "$(kretprobes "$first")" ''
	[ -n "$(kretprobes "$second")" ]
	traffic up -b 1000
	"$NETMON" --unpin "$pin"
	equal "$(kretprobes "$second")" ''
}

@test "a new pin has its own kretprobes even if the old pin's maker had the same pid" {
	needs_pinned_kprobes
	unshare --pid --fork "$NETMON" --pin "$pin" --attach kprobe
	first=$(kretprobes 1)
	[ -n "$first" ] || skip "this kernel has kprobe.multi, which leaves nothing"
	unshare --pid --fork "$NETMON" --pin "$pin" --attach kprobe --replace
	[ -n "$(comm -13 <(echo "$first") <(kretprobes 1))" ]
}

@test "--unpin is quiet if nothing is pinned, except with -v, and removes no other files" {
	run -0 --separate-stderr "$NETMON" --unpin "$pin"
	equal "$output$stderr" ''
	run -0 --separate-stderr "$NETMON" --unpin "$pin" -v
	equal "$output$stderr" "netmon: nothing is pinned in '$pin'"
	mkdir "$pin" "$pin/others"
	refused 1 "cannot unpin '$pin': 'others' in it is not netmon's" --unpin "$pin"
	rmdir "$pin/others"
	bpftool map create "$pin/map_about" type array key 4 value 4 entries 1 name others
	others="what is pinned there is not netmon's"
	refused 1 "cannot unpin '$pin': $others" --unpin "$pin"
	refused 1 "cannot pin to '$pin': $others" --pin "$pin" --replace
	refused 1 "cannot read the pin '$pin': $others" --status "$pin"
	mv "$pin/map_about" "$pin/map_others" # names that begin as netmon's do
	refused 1 "cannot unpin '$pin': $others" --unpin "$pin"
	refused 1 "cannot pin to '$pin': $others" --pin "$pin" --replace
	refused 1 "cannot pin to '$pin': $others" --pin "$pin"
	refused 1 "cannot read the pin '$pin': $others" --from "$pin"
	equal "$(ls "$pin")" map_others
	equal "$(pinned)" netmon
	rm "$pin/map_others"
	refused 1 "cannot unpin '$PWD': it is not in a BPF file system" --unpin "$PWD"
	for mode in --status --from; do
		refused 1 "cannot read the pin '$bpf/nothing': nothing is pinned there" $mode "$bpf/nothing"
		refused 1 "cannot read the pin '$PWD': it is not in a BPF file system" $mode "$PWD"
		refused 1 "cannot read the pin '$pin': No such file or directory: it is incomplete: 'netmon --unpin $pin' removes it" \
			$mode "$pin"
	done
}

@test "netmon reports once to a member of the group that it cannot tell how many calls were skipped" {
	"$NETMON" --pin "$pin" --pin-group 4242 --attach fexit 2>pin-messages || {
		grep -q 'this kernel refuses every way' pin-messages || before_5_19 pin-messages || fail "$(cat pin-messages)"
		skip "no fexit here, or nobody without CAP_BPF reads: $(cat pin-messages)"
	}
	as_member /proc/self/fd/9 --from "$pin" -n 3 -i 0.05 9<"$NETMON" >reports 2>said
	equal "$(cat said)" "netmon: cannot tell whether the kernel skipped calls: only root may open the programs pinned in '$pin'"
	"$NETMON" --from "$pin" -n 1 -i 0.05 >reports 2>said
	equal "$(cat said)" ''
}

# by_user COMMAND...: as a user without rights to any pin
by_user() {
	setpriv --reuid=12345 --regid=12345 --clear-groups -- "$@"
}

@test "symbolic links are not followed, and do not keep root from pinning" {
	chmod 1777 "$bpf"
	pin
	files=$(ls "$pin")
	by_user ln -s netmon "$bpf/link"
	by_user ln -s . "$bpf/dir"
	by_user ln -s nowhere "$bpf/other-new-00000000"
	no_link='netmon does not follow symbolic links'
	for path in "$bpf/link" "$bpf/dir/netmon"; do
		refused 1 "cannot unpin '$path': $no_link" --unpin "$path"
		refused 1 "cannot pin to '$path': $no_link" --pin "$path"
		refused 1 "cannot pin to '$path': $no_link" --pin "$path" --replace
		refused 1 "cannot read the pin '$path': $no_link" --from "$path"
		refused 1 "cannot read the pin '$path': $no_link" --status "$path"
	done
	"$NETMON" --pin "$bpf/other" 2>/dev/null
	"$NETMON" --unpin "$bpf/other"
	equal "$(ls "$pin")" "$files"
	equal "$(pinned)" "$(printf '%s\n' dir link netmon other-new-00000000)"
}

@test "a pin that another user owns, or that others may write to, is not read" {
	pin
	chown 12345 "$pin"
	refused 1 "cannot read the pin '$pin': it belongs to user 12345, neither root nor you" --from "$pin"
	refused 1 "cannot read the pin '$pin': it belongs to user 12345, neither root nor you" --status "$pin"
	chown 0 "$pin"
	chmod 770 "$pin"
	refused 1 "cannot read the pin '$pin': others may write to it" --from "$pin"
	chmod 700 "$pin"
	"$NETMON" --status "$pin" >/dev/null 2>&1
}

@test "a table of another type or size is not read" {
	pin
	id=$(bpftool -j map show pinned "$pin/map_processes" | jq .id)
	read -r entries size < <(bpftool -j map show id "$id" | jq -r '"\(.max_entries) \(.bytes_value)"')
	for forged in "array 4 $size $((entries - 1)) 0x400" "array 4 $((2 * size)) $entries 0x400" \
		"array 4 $size $entries 0" "hash 4 $size $entries 0"; do
		read -r type key value count flags <<<"$forged"
		rm "$pin/map_processes"
		bpftool map create "$pin/map_processes" type "$type" key "$key" value "$value" \
			entries "$count" name forged flags "$flags"
		refused 1 "cannot read the pin '$pin': what is pinned there is not netmon's" --from "$pin"
	done
	rm "$pin/map_processes"
	bpftool map create "$pin/map_processes" type array key 4 value "$size" entries "$entries" name forged \
		flags 0x400
	"$NETMON" --status "$pin" >/dev/null 2>&1
}

@test "a reader of a pin with a forged description ends with 0 or 1, and never crashes" {
	pin -o +proto,raddr
	bpftool -j map lookup pinned "$pin/map_about" key 0 0 0 0 | jq -c .value >about
	size=$(jq length about)
	for seed in {1..40}; do
		rm "$pin/map_about"
		bpftool map create "$pin/map_about" type array key 4 value "$size" entries 1 name forged flags 0x400
		jq -r '.[]' about | "$BUILD/t/forged-about" $seed >value
		# shellcheck disable=SC2046
		bpftool map update pinned "$pin/map_about" key 0 0 0 0 value $(cat value)
		for mode in "--status $pin" "--from $pin -n 1 -i 0.01 -o comm,proto"; do
			status=0
			# shellcheck disable=SC2086
			timeout 60 "$NETMON" $mode >said 2>&1 || status=$?
			[ "$status" -le 1 ] || fail "seed $seed: $mode: exit status $status" "$(cat said)"
		done
	done
}

# at_usual_place SCRIPT: in a mount namespace with its own BPF file system at the usual place
at_usual_place() {
	unshare -m --propagation private bash -euc "mount -t bpf -o mode=1777 bpf /sys/fs/bpf; $1"
}

@test "a plain netmon uses its own probes, and reports why, if the pin cannot be used" {
	own='netmon uses its own probes instead'
	another_build
	while IFS='|' read -r make reason; do
		at_usual_place "$make; exec \"\$NETMON\" -n 1 -i 0.05" >reports 2>said
		contains "$(cat reports)" 'pid,comm'
		equal "$(grep -v '^netmon: counting' said)" \
			"netmon: cannot read the pin '/sys/fs/bpf/netmon': $reason: $own"
		run -1 at_usual_place "$make; exec \"\$NETMON\" --from /sys/fs/bpf/netmon"
	done <<-END
		./other --pin 2>/dev/null|made by another build of netmon, $("$NETMON" --version | cut -d ' ' -f 2)
		mkdir /sys/fs/bpf/netmon|No such file or directory
		setpriv --reuid=12345 mkdir /sys/fs/bpf/netmon|it belongs to user 12345, neither root nor you
		ln -s nowhere /sys/fs/bpf/netmon|netmon does not follow symbolic links
		\$NETMON --pin 2>/dev/null; rm /sys/fs/bpf/netmon/map_processes|No such file or directory
	END
	at_usual_place 'exec "$NETMON" -n 1 -i 0.05' 2>&1 >/dev/null | grep -v '^netmon: counting' >said || true
	equal "$(cat said)" ''
}

@test "a user who owns the directory above a pin gains nothing by renaming it while root pins" {
	mkdir outside
	echo kept >outside/map_about
	chmod 600 outside/map_about
	pin
	kept=$(ls -l "$pin"; ls -l outside)
	mkdir "$bpf/above"
	chmod 755 "$bpf"
	chown 12345 "$bpf/above"
	"$BUILD/t/renames" "$bpf/above" 12345 "$PWD/outside" "$pin" 3>&- &
	renaming=$!
	others=("$renaming")
	rounds=25
	[ -z "${ROUNDS-}" ] || rounds=2 # in a virtual machine a start takes seconds
	for ((round = 0; round < rounds; round++)); do
		for options in "--pin" "--pin --replace" "--pin --replace --pin-group 4242" "--unpin"; do
			status=0
			# shellcheck disable=SC2086
			"$NETMON" ${options%% *} "$bpf/above/x" ${options#--*pin} >said 2>&1 || status=$?
			[ "$status" -le 1 ] || fail "$options: exit status $status" "$(cat said)"
		done
	done
	kill $renaming
	wait $renaming || true
	others=()
	equal "$(ls -l "$pin"; ls -l outside)" "$kept"
	rm -rf "$bpf/above"
}

# refuses_total OBJECT FORGOTTEN ADVICE [OPTION]...: a reader of the pin
refuses_total() {
	refused 1 "cannot show $1: the probes pinned in '$pin' forget $2: $3" --from "$pin" "${@:4}"
}

@test "a total that would fall is refused with the command for a suitable pin" {
	pin -o +user
	again="pin them again with 'netmon --pin $pin --replace -o"
	ended='a process that has ended'
	idle='an address or port that is idle'
	for total in rx_total tx_total; do
		refuses_total "'$total' without 'pid'" "$ended" "$again uid', or add --no-pin" -o user,$total
		for column in cmd ppid kind; do
			refuses_total "'$total' without 'pid'" "$ended" 'add the column pid, or --no-pin' \
				-o $column,$total
		done
		refuses_total "'$total' in the row '(total)'" "$ended" 'leave out --total, or add --no-pin' \
			-o pid,comm,$total --total
		refuses_total "'$total' in the row '(total)'" "$ended" "$again $total', or add --no-pin" \
			-o $total --total
		run --separate-stderr -0 "$NETMON" --from "$pin" -n 1 -i 0.01 -o comm,$total
		equal "$stderr" "netmon: counting '$total' of each name from now on: the probes pinned in '$pin' forget $ended: add the column pid for totals since the pin"
	done
	refuses_total "'tx_total' without 'pid'" "$ended" 'add the column pid, or --no-pin' -f prom
	for taken in user,tx_bytes pid,user,tx_total "pid,comm,tx_bytes --total" "pid,comm -s tx_total"; do
		# shellcheck disable=SC2086	# a word for each option
		"$NETMON" --from "$pin" -n 1 -i 0.01 -o $taken >/dev/null 2>&1
	done
	pin --replace -o pid,raddr,rport
	refuses_total "'tx_total' without 'raddr,rport'" "$idle" "$again pid', or add --no-pin" -o pid,comm,tx_total
	refuses_total "'tx_total' without 'pid,raddr'" "$ended" "$again rport', or add --no-pin" -o rport,tx_total
	"$NETMON" --from "$pin" -n 1 -i 0.01 -o pid,raddr,rport,tx_total >/dev/null 2>&1
	pin --replace -o user,proto
	last=0
	for _ in 1 2 3; do
		"$BUILD/t/traffic" up -b 1000 >account
		total=$("$NETMON" --from "$pin" -a -n 1 -i 0.01 -f jsonl -o user,tx_total 2>/dev/null |
			jq -s 'map(select(.user == "root").tx_total) | add')
		[ "$total" -ge $((last + 1000)) ] || fail "$total after $last"
		last=$total
	done
	"$NETMON" --from "$pin" -n 1 -i 0.01 -o proto,tx_total --total >/dev/null 2>&1
}

# sends NAME BYTES: a process with that name sends a datagram, and ends when its standard input does
sends() {
	python3 -c 'import socket, sys
open("/proc/self/comm", "w").write(sys.argv[1])
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x" * int(sys.argv[2]), ("127.0.0.1", 9))
print("sent", flush=True)
sys.stdin.read()' "$@"
}

@test "the total of a name begins at 0 with each reader of a pin, and does not fall when a process ends" {
	pin
	name=named-$BASHPID
	mkfifo hold
	sends $name 1000 <hold >sent 3>&- &
	held=$!
	exec 8>hold
	eventually [ -s sent ]
	run -0 --separate-stderr "$NETMON" --from "$pin" -a -n 1 -i 0.01 -o comm,tx_total --comm $name --no-header
	equal "$output" $name,0
	"$NETMON" -v --from "$pin" -i 0.05 -f jsonl -o comm,tx_total --comm $name >reports 2>messages 3>&- 8>&- &
	readers=($!)
	eventually grep -qx 'netmon: counting' messages
	sends $name 2000 </dev/null
	exec 8>&-
	wait $held
	sends $name 3000 </dev/null
	end_readers 0
	equal "$(reported 'map(.tx_total) | [. == sort, last] | @csv')" true,5000
}

@test "a plain netmon uses its own probes, and reports why, if the pin lacks a column or takes no such option" {
	own='netmon uses its own probes instead'
	while IFS='|' read -r options reason; do
		at_usual_place "\$NETMON --pin 2>/dev/null; exec \$NETMON -n 1 -i 0.05 $options" >reports 2>said
		[ -s reports ]
		equal "$(grep -v '^netmon: counting' said)" "netmon: $reason: $own"
	done <<-END
		-o pid,raddr|cannot show 'family,raddr': the probes pinned in '/sys/fs/bpf/netmon' do not record it
		-o comm,tx_total|cannot show 'tx_total' without 'pid': the probes pinned in '/sys/fs/bpf/netmon' forget a process that has ended
		--max-processes 2048|cannot use --max-processes with the probes pinned in '/sys/fs/bpf/netmon': it applies to new ones
	END
}

@test "a pin beside another is not taken for one that was left half-made" {
	"$NETMON" --pin "$pin-new-test" 2>/dev/null
	"$NETMON" --pin "$pin" 2>/dev/null
	"$NETMON" --unpin "$pin"
	"$NETMON" --status "$pin-new-test" >/dev/null 2>&1
	"$NETMON" --unpin "$pin-new-test"
}

@test "a group may not read where its programs could write" {
	echo 0 >allowed
	run -1 --separate-stderr unshare -m sh -c '
		mount --bind allowed /proc/sys/kernel/unprivileged_bpf_disabled && exec "$0" "$@"' \
		"$NETMON" --pin "$pin" --pin-group 4242
	contains "$stderr" "cannot let the group read '$pin': its members could write there by BPF programs: set the sysctl kernel.unprivileged_bpf_disabled to 2"
	[ ! -e "$pin" ]
}

@test "a reader that may load no probes learns what to do about the pin" {
	at_usual_place '
		exec 9<"$NETMON"
		"$NETMON" --pin --pin-group 4242 -o pid,proto
		exec setpriv --reuid=65534 --regid=4242 --clear-groups -- /proc/self/fd/9 -n 1 -o pid,raddr
	' 2>said || :
	if before_5_19 said; then skip "before Linux 5.19 the group cannot read"; fi
	grep -qx "netmon: cannot show 'family,raddr': the probes pinned in '/sys/fs/bpf/netmon' do not record it: pin them again with 'netmon --pin /sys/fs/bpf/netmon --replace -o pid,proto,family,raddr', or add --no-pin" \
		said || fail "$(cat said)"
	grep -q "^netmon: cannot load 'probes': Operation not permitted: run it as root" said || fail "$(cat said)"
}

@test "the path of a pin can be relative, and as long as the kernel accepts" {
	long=$bpf/$(printf '%0200d/%060d' 0 0)
	mkdir -m 700 "${long%/*}"
	cd "${long%/*}"
	if ! "$NETMON" --pin "${long##*/}" --pin-group 4242 2>"$BATS_TEST_TMPDIR/said"; then
		before_5_19 "$BATS_TEST_TMPDIR/said"
		"$NETMON" --pin "${long##*/}" 2>/dev/null
	else
		as_member /proc/self/fd/9 --from "$long" -n 1 -i 0.01 9<"$NETMON" >/dev/null 2>&1
	fi
	cd /
	"$NETMON" --from "$long" -n 1 -i 0.01 >/dev/null 2>&1
	equal "$("$NETMON" --status "$long" -f jsonl 2>/dev/null | jq -r .dir)" "$long"
	cd "$long"
	"$NETMON" --unpin .
	cd /
	[ ! -e "$long" ]
}

@test "--status and --from without rights name the right that they lack" {
	pin
	for mode in --status --from; do
		run -1 --separate-stderr setpriv --reuid=65534 --regid=65534 --clear-groups -- \
			/proc/self/fd/9 $mode "$pin" 9<"$NETMON"
		grep -Eq "cannot read the pin '$pin': (Permission denied: run it as root, or as a member|Operation not permitted: before Linux 5.19)" \
			<<<"$stderr" || fail "$stderr"
	done
}

@test "a user who cannot look for a pin at the usual place gets no message about it" {
	at_usual_place '
		chmod 700 /sys/fs/bpf
		exec setpriv --reuid=65534 --regid=65534 --clear-groups -- /proc/self/fd/9 -n 1 9<"$NETMON"
	' 2>said || :
	grep -q "^netmon: cannot load 'probes': " said || fail "$(cat said)"
	equal "$(grep -c /sys/fs/bpf said)" 0
}

@test "--unpin and --pin by a member of the group, and reads in a user namespace, end with 1 and report the reason" {
	"$NETMON" --pin "$pin" --pin-group 4242 2>said || {
		before_5_19 said || fail "$(cat said)"
		skip "before Linux 5.19 the group cannot read"
	}
	by_member() {
		run -1 --separate-stderr setpriv --reuid=65534 --regid=4242 --clear-groups -- "$@" 9<"$NETMON"
	}
	by_member /proc/self/fd/9 --unpin "$pin"
	[[ $stderr == "netmon: cannot remove '$pin/link_"*"': Permission denied: run it as root" ]] || fail "$stderr"
	by_member /proc/self/fd/9 --pin "$pin" --replace
	contains "$stderr" ': run it as root'
	unshare -U true || cannot_run "no user namespaces here"
	for mode in --status --from; do
		by_member unshare -Ur /proc/self/fd/9 $mode "$pin"
		equal "$stderr" "netmon: cannot read the pin '$pin': it belongs to user 65534, neither root nor you: run it outside the user namespace"
	done
}

@test "each place that cannot have a pin is refused with its own message" {
	refused 1 "cannot pin to '$PWD/x': it is not in a BPF file system: mount one: 'mount -t bpf bpf /sys/fs/bpf'" \
		--pin "$PWD/x"
	refused 1 "cannot pin to '$bpf/none/x': No such file or directory" --pin "$bpf/none/x"
	mkdir "$bpf/file"
	refused 1 "cannot pin to '$bpf/file': it already exists: --replace replaces it, 'netmon --unpin $bpf/file' removes it" \
		--pin "$bpf/file"
	mount -o remount,ro "$bpf"
	refused 1 "cannot pin to '$pin': Read-only file system: 'mount -o remount,rw' it first" --pin "$pin"
	# no BPF file system at the usual place
	unshare -m bash -c 'while umount -l /sys/fs/bpf 2>/dev/null; do :; done; exec "$@"' - "$NETMON" --pin 2>said && false
	contains "$(cat said)" "cannot pin to '/sys/fs/bpf/netmon': it is not in a BPF file system: mount one"
}

@test "a pin at the usual place is read without being named, except with --no-pin or a command" {
	umount "$bpf" # the script mounts a private one at the usual place
	unshare -m bash -euc '
		mount -t bpf bpf /sys/fs/bpf
		"$NETMON" --pin
		mkfifo hold
		"$BUILD/t/traffic" up -b 1000 --linger <hold >account &
		exec 8>hold
		until [ -s account ]; do sleep 0.1; done
		"$NETMON" -a -n 1 -i 0.05 -f jsonl -o pid,rx_total
		exec 8>&-
		"$NETMON" --no-pin -a -n 1 -i 0.05 -f jsonl -o pid,rx_total
		"$NETMON" -f jsonl -o comm,rx_total --to command -- true
		wait
		"$NETMON" --unpin
	' 2>messages >reports
	mount -t bpf bpf "$bpf"
	server=$(awk '$3 == 1000 { print $1 }' account)
	equal "$(reported "map(select(.pid == $server).rx_total) | @csv")" 1000
	equal "$(jq -c . command)" '{"comm":"(total)","rx_total":0}'
}

@test "--status is the same in all formats; -v names each file that is pinned or removed" {
	pin -v -o +proto
	for file in "$pin"/*; do
		equal "$(grep -cx "netmon: pinned '$pin/${file##*/}'" pin-messages)" 1
	done
	"$NETMON" --status "$pin" -f csv >csv 2>/dev/null
	"$NETMON" --status "$pin" -f tsv >tsv 2>/dev/null
	"$NETMON" --status "$pin" -f jsonl >jsonl 2>/dev/null
	python3 - <<-'END'
		import csv, json
		line = json.load(open("jsonl"))
		for name, rows in (("csv", csv.DictReader(open("csv"))),
		                   ("tsv", csv.DictReader(open("tsv"), delimiter="\t"))):
		    row, = rows
		    assert list(row) == list(line), (row, line)
		    for field in row:
		        assert row[field] == str(line[field]) or field in (
		            "since", "processes", "entries", "rx_bytes", "tx_bytes", "rx_calls", "tx_calls"), field
		assert line["columns"] == "pid,proto" and line["max_processes"] == 16384, line
		assert line["max_entries"] == 65536 and line["entries"] <= 65536, line
		assert all("=" in way or way in ("tracepoint", "multi") for way in line["attached"].split()), line
		assert "sched_process_exit=" in line["attached"], line
	END
	equal "$(jq '.since | . > now - 3600 and . <= now' jsonl)" true
	"$NETMON" --status "$pin" -f jsonl --time none 2>/dev/null | jq -c keys_unsorted >without
	equal "$(cat without)" "$(jq -c 'del(.since) | keys_unsorted' jsonl)"
	files=$(cd "$pin" && ls)
	"$NETMON" --unpin "$pin" -v 2>said
	for file in $files; do
		equal "$(grep -cx "netmon: removed '$pin/$file'" said)" 1
	done
}

@test "a reader that starts while a pin is replaced reads either pin whole" {
	pin
	for _ in 1 2 3; do
		for keys in +proto +family; do
			"$NETMON" --pin "$pin" --replace -o $keys 2>/dev/null 3>&- &
			replacing=$!
			while kill -0 $replacing 2>/dev/null; do
				"$NETMON" --status "$pin" -f jsonl >line 2>said || {
					# Linux 5.16 is the first that exchanges the two pins at once.
					printf '%s\n' "$(uname -r)" 5.16 | sort -VC || fail "$(cat said)"
					grep -Eq 'it is incomplete|nothing is pinned there' said || fail "$(cat said)"
					continue
				}
				equal "$(jq '.max_processes' line)" 16384
			done
			wait $replacing
		done
	done
	equal "$(status_of columns)" pid,family
}

@test "a column that the pin does not record is refused with the command that pins it" {
	pin -o +proto
	refused 1 "cannot show 'family,raddr': the probes pinned in '$pin' do not record it: pin them again with 'netmon --pin $pin --replace -o pid,proto,family,raddr', or add --no-pin" \
		--from "$pin" -o pid,raddr
	refused 1 "cannot show 'uid': the probes pinned in '$pin' do not record it: pin them again with 'netmon --pin $pin --replace -o pid,uid,proto', or add --no-pin" \
		--from "$pin" --user root
	pin --replace -o +family
	refused 1 "cannot show 'raddr': the probes pinned in '$pin' do not record it: pin them again with 'netmon --pin $pin --replace -o pid,family,raddr', or add --no-pin" \
		--from "$pin" -o +family,raddr
	pin --replace -o user
	refused 1 "cannot show 'pid': the probes pinned in '$pin' do not record it: pin them again with 'netmon --pin $pin --replace -o pid,uid', or add --no-pin" \
		--from "$pin"
	pin --replace -o pid,uid
	"$NETMON" --from "$pin" -o +user -n 1 -i 0.01 >/dev/null 2>&1
	pin --replace -o +proto
	refused 1 "cannot use --attach with the probes pinned in '$pin': it applies to new ones: add --no-pin" \
		--from "$pin" --attach auto
	"$NETMON" --from "$pin" -o comm,proto -n 1 -i 0.01 >/dev/null 2>&1
}

@test "filters of the pin apply to all readers" {
	pin --proto udp -o +proto
	reader one -i 0.1
	traffic up -b 1000
	mv account account.tcp
	traffic udp-connected
	end_readers 0
	mv reports.one reports
	exact jsonl
	while IFS=$'\t' read -r pid comm _; do
		equal "$(reported "[.[] | select(.pid == $pid and .comm == \"$comm\")] | length")" 0
	done <account.tcp
	equal "$(status_of command columns)" "$(printf 'netmon --pin %s --proto udp -o +proto\tpid,proto' "$pin")"
}

@test "a pin counts every way to move bytes exactly" {
	pin
	"$here/compare/every-case" --from "$pin"
}
