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
	# of a user for this test only: netmon leaves out all others, which might start even more at a time
	user=$((1000000000 + BASHPID))
	start -f csv -i 1 -w 2 -o pid,comm,tx_bytes,tx_calls --user "$user" --max-processes 65536 --max-entries 65536
	setpriv --reuid="$user" --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override -- \
		"$BUILD/t/short-processes" $((PROCESSES_A_MINUTE / 60)) "$SECONDS_OF_SOAK" >started 3>&- &
	# the first interval has more processes than any later one, so it needs the most memory; -w 2: the next
	# one, which the history keeps elsewhere, has them too
	kill -STOP "$netmon"
	sleep 10
	kill -CONT "$netmon"
	until [ -s started ]; do
		memory >>memory
		sleep "$((SECONDS_OF_SOAK / 60))"
	done
	stop
	echo "# $(cat started); resident KiB, each sixtieth of the time: $(xargs <memory)" >&3
	equal "$(awk -F , '$2 == "short-processes" { bytes += $3; calls += $4 }
		END { print bytes, calls }' reports)" "$(awk '{ print $1 * 100, $1 }' started)"
	[ "$(awk '{ print $1 }' started)" -ge $((PROCESSES_A_MINUTE * SECONDS_OF_SOAK / 60 * 9 / 10)) ]
	# memory must not grow after a fifth of the time; 1 % is for malloc(3)'s overhead
	awk '{ resident[NR] = $1 } END { warm = int(NR / 5) + 1
		for (i = 1; i <= warm; i++) if (resident[i] > most) most = resident[i]
		for (i = warm + 1; i <= NR; i++)
			if (resident[i] > 1.01 * most) { print resident[i] " KiB after " most; exit 1 } }' memory
}
