#!/usr/bin/env bats
# Processes that come and go for ten minutes.
# shellcheck disable=SC2154	# what the helpers set

load ../lib/common
load ../lib/live

: "${SECONDS_OF_SOAK:=600}" "${PROCESSES_A_MINUTE:=100000}"

setup() { live_setup; }
teardown() { live_teardown; }

# memory: netmon's resident KiB
memory() {
	sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/$netmon/status"
}

@test "ten minutes of 100,000 processes a minute are exact, and netmon's memory does not grow" {
	# in their own network namespace, which identifies their rows
	mkfifo begin end
	unshare --net sh -c 'ip link set lo up; stat -Lc %i /proc/self/ns/net >namespace; cat begin
		"$1" "$2" "$3" >started; cat end' - "$BUILD/t/short-processes" $((PROCESSES_A_MINUTE / 60)) \
		"$SECONDS_OF_SOAK" 3>&- &
	holder=$!
	exec 8>begin
	start -f csv -i 1 -o pid,comm,netns,tx_bytes,tx_calls --max-processes 65536 --max-entries 65536 8>&-
	exec 8>&-
	# the first interval has more processes than any later one, so it needs the most memory
	kill -STOP "$netmon"
	sleep 10
	kill -CONT "$netmon"
	until [ -s started ]; do
		memory >>memory
		sleep "$((SECONDS_OF_SOAK / 60))"
	done
	stop
	exec 8>end 8>&-
	wait $holder
	echo "# $(cat started); resident KiB, each sixtieth of the time: $(xargs <memory)" >&3
	equal "$(awk -F , -v namespace="$(cat namespace)" '$2 == "short-processes" && $3 == namespace {
		bytes += $4; calls += $5 }
		END { print bytes, calls }' reports)" "$(awk '{ print $1 * 100, $1 }' started)"
	[ "$(awk '{ print $1 }' started)" -ge $((PROCESSES_A_MINUTE * SECONDS_OF_SOAK / 60 * 9 / 10)) ]
	# memory must not grow after a fifth of the time; 1 % is for malloc(3)'s overhead
	awk '{ resident[NR] = $1 } END { warm = int(NR / 5) + 1
		for (i = 1; i <= warm; i++) if (resident[i] > most) most = resident[i]
		for (i = warm + 1; i <= NR; i++)
			if (resident[i] > 1.01 * most) { print resident[i] " KiB after " most; exit 1 } }' memory
}
