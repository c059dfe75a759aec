#!/usr/bin/env bats
# The units, under a real systemd.

load lib/common
load lib/live

setup() {
	needs_live
	[ -x /lib/systemd/systemd ] || cannot_run 'no systemd here'
	cd "$BATS_TEST_TMPDIR" || return
}

# under_systemd: runs a script from standard input as a service, with netmon and its units installed
under_systemd() {
	make_built install DESTDIR="$PWD/installed" PREFIX=/usr UNITDIR=/etc/systemd/system >/dev/null
	cp "$BUILD/t/traffic" .
	{
		cat <<-'END'
			cp -R /mnt/installed/. /
			systemd-sysusers /mnt/netmon.conf
			systemctl daemon-reload
			# eventually COMMAND...: returns when it succeeds
			eventually() {
				for _ in {1..600}; do
					! "$@" >/dev/null 2>&1 || return 0
					sleep 0.1
				done
				echo "never: $*"
				return 1
			}
			logged() {
				journalctl --unit netmon-log --output cat | grep -F "$1"
			}
			# received NAME BYTES: whether the rows of that name add up to it; a report can fall in between
			received() {
				logged "\"comm\":\"$1\"" | jq -se "(map(.rx_bytes) | add) == $2"
			}
			main_pid() {
				systemctl show --property MainPID --value netmon-log
			}
			has_begun() {
				ps -o args= -p "$(main_pid)" | grep '^/usr/sbin/netmon'
			}
			has_changed() {
				[ "$(main_pid)" != "$1" ] && has_begun
			}
		END
		cat
	} >script
	cp "$here/../systemd/netmon.conf" .
	"$here/lib/with-systemd" script || fail "$(cat output)"
}

@test "netmon-log.service logs exact JSON lines without root, across a restart with another build" {
	sed -n 's/\\-/-/g; s/\\(aq/'"'"'/g; s/^\\(oq\(journalctl .*\)\\(cq.*/\1/p' "$here/../man/netmon.8" >recipe
	[ "$(wc -l <recipe)" = 1 ]
	alone_with_paranoid
	under_systemd <<-'END'
		netmon --pin 2>/dev/null
		netmon --status -f jsonl | jq .attached >unconfined
		netmon --unpin
		if grep -q '=classic\|=kprobe\b' unconfined && [ "$(cat /proc/sys/kernel/perf_event_paranoid)" -ge 3 ]; then
			# as in the manual
			mkdir /etc/systemd/system/netmon-pin.service.d
			printf '[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n' \
				>/etc/systemd/system/netmon-pin.service.d/override.conf
			systemctl daemon-reload
		fi
		echo 'NETMON_LOG_OPTIONS="-i 0.2 -o pid,comm,rx_bytes"' >/etc/default/netmon
		systemctl start netmon-log
		netmon --status -f jsonl | jq .attached | diff unconfined -
		eventually has_begun
		log=$(main_pid)
		# by number: not every system resolves the names of dynamic users
		user=$(systemctl show --property UID --value netmon-log)
		ps -o uid=,supgrp:64= -p $log | grep "^ *$user .*\<netmon\>"
		/mnt/traffic up -b 12345 >account
		server=$(awk '$3 == 12345 { print $2 }' account)
		eventually received $server 12345
		bash -euo pipefail /mnt/recipe | grep -F "\"comm\":\"$server\""
		first=$server
		# upgrade to another build
		sed 's/rows_stride\x00/rows_strixx\x00/g' /usr/sbin/netmon >other
		cmp -s other /usr/sbin/netmon && exit 1
		chmod 755 other
		mv other /usr/sbin/netmon
		systemctl restart netmon-pin
		eventually has_changed $log
		sleep 1 # until it has read the earlier counts
		/mnt/traffic up -b 54321 >account
		server=$(awk '$3 == 54321 { print $2 }' account)
		eventually received $server 54321
		received $first 12345
		# if it is killed, systemd starts it again
		log=$(main_pid)
		kill -KILL $log
		eventually has_changed $log
		systemctl stop netmon-pin
		systemctl is-active netmon-log && exit 1
		ls -d /sys/fs/bpf/netmon* && exit 1
		journalctl --unit netmon-log --unit netmon-pin --output cat | grep cannot |
			grep -v 'cannot tell whether\|been unpinned' && exit 1
		true
	END
}

@test "netmon-prom.service gives node_exporter exact totals of each unit" {
	needs_tool prometheus-node-exporter
	needs_tool promtool
	cp "$(command -v prometheus-node-exporter)" .
	under_systemd <<-'END'
		directory=/var/lib/prometheus/node-exporter
		mkdir -p $directory
		echo 'NETMON_PROM_OPTIONS="-i 0.2 -o unit,rx_total,tx_total"' >/etc/default/netmon
		systemctl enable --quiet --now netmon-prom # as in the manual
		# moves UNIT BYTES: in a unit that stays, since a removed cgroup has its path outside of this namespace
		moves() {
			printf '[Service]\nType=oneshot\nExecStart=/mnt/traffic up -b %s\nExecStart=sleep 600\n' $2 \
				>/run/systemd/system/$1.service
			systemctl daemon-reload
			systemctl start --no-block $1
		}
		moves first 12345
		moves second 54321
		setpriv --reuid=65534 --regid=65534 --clear-groups /mnt/prometheus-node-exporter \
			--collector.disable-defaults --collector.textfile --collector.textfile.directory=$directory \
			--web.listen-address=127.0.0.1:9100 &
		exported() {
			curl -s 127.0.0.1:9100/metrics >/mnt/metrics
			grep -xF "netmon_$1_bytes_total{unit=\"$2.service\"} $3" /mnt/metrics
		}
		eventually exported receive second 54321
		eventually exported transmit first 12345
		eventually exported receive first 12345
		grep -x 'node_textfile_scrape_error 0' /mnt/metrics
		systemctl stop netmon-prom
		ls -d /sys/fs/bpf/netmon* && exit 1
		[ -z "$(ls $directory)" ]
		journalctl --unit netmon-prom --output cat | grep cannot | grep -v 'netmon is in a cgroup namespace' && exit 1
		kill $!
	END
	grep netmon_ metrics | promtool check metrics
}

@test "JSON lines with hostile names survive the journal unchanged" {
	python3 "$here/unit/hour-log.py" ticks | "$BUILD/t/replay" -f jsonl -n 40 -o comm,rx_bytes >lines
	under_systemd <<-'END'
		systemd-cat --identifier names cat /mnt/lines
		kept() {
			journalctl --identifier names --output cat | cmp - /mnt/lines
		}
		eventually kept
	END
	[ "$(jq -s length lines)" = 1080 ]
}
