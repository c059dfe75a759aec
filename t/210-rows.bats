#!/usr/bin/env bats
# Rows by their keys: grouped, filtered, summed.  Runs netmon's own code on given entries.
load lib/common

# Processes of two users, four connections, a raw socket, and an entry for (other).
keys='tick 0 0
tick 1000000000 1700000000000
5 1 "curl" 100 10 4 3 ppid=1 proto=6 uid=1000 user="bob" netns=1 laddr=10.0.0.1 lport=4001 raddr=192.0.2.1 rport=443
5 1 "curl" 200 20 4 3 ppid=1 proto=6 uid=1000 user="bob" netns=1 laddr=10.0.0.1 lport=4002 raddr=192.0.2.1 rport=80
6 1 "curl" 400 40 4 3 ppid=5 proto=17 uid=1000 user="bob" netns=1 laddr=:: lport=4003 raddr=2001:db8::1 rport=53
7 1 "dig" 800 80 4 3 ppid=1 proto=17 uid=7 user="ann" netns=2 laddr=0.0.0.0 lport=4004 raddr=192.0.2.9 rport=53
8 1 "ping" 1600 160 4 3 ppid=1 proto=1 uid=7 user="ann" netns=2 laddr=0.0.0.0 raddr=9.9.9.9
0 0 "(other)" 3200 320 4 3'

@test "each combination of the key columns has one row" {
	fixture=$keys
	replayed 'proto,rx_bytes,tx_bytes
,3200,320
icmp,1600,160
udp,1200,120
tcp,300,30' -o proto,rx_bytes,tx_bytes
	replayed 'user,proto,rx_bytes
,,3200
ann,icmp,1600
ann,udp,800
bob,udp,400
bob,tcp,300' -o user,proto,rx_bytes
	replayed 'family,tx_bytes
6,40
4,270
,320' -o family,tx_bytes -s family:desc
	replayed 'comm,uid,rx_bytes
(other),,3200
ping,7,1600
dig,7,800
curl,1000,700' -o comm,uid,rx_bytes
	replayed 'rport,rx_bytes
,4800
53,1200
80,200
443,100' -o rport,rx_bytes
	replayed 'raddr,rx_calls
2001:db8::1,4
192.0.2.9,4
9.9.9.9,4
,4
192.0.2.1,8' -o raddr,rx_calls -s rx_calls:asc,raddr:desc
	replayed 'ppid,rx_bytes
,3200
1,2700
5,400' -o ppid,rx_bytes
}

@test "every byte of an IPv4 address is written right" {
	local addresses
	addresses=$(for i in {0..255}; do echo "$((i < 255 ? i + 1 : i)).$i.$((255 - i)).$i"; done)
	fixture="tick 0 0
tick 1000000000 1700000000000
$(sed 's/.*/& 1 "x" 1 1 1 1 raddr=&/; s/[.][0-9.]* / /' <<<"$addresses")"
	replayed "raddr
$addresses" -o raddr -s raddr:asc
}

@test "rows by any key columns add up to the same sums" {
	fixture=$keys
	local column
	for column in pid comm ppid proto family uid user netns laddr lport raddr rport cmd cgroup unit container \
		pid,comm raddr,rport user,comm,proto all; do
		replay -f jsonl -o "$column,rx_bytes,tx_bytes,rx_calls,tx_calls" <<<"$fixture" 2>/dev/null ||
			replay -f jsonl -o "$column" <<<"$fixture"
	done | jq -s '[(map(.rx_bytes) | add), (map(.tx_calls) | add)]' | jq -c . >"$BATS_TEST_TMPDIR/sum"
	equal "$(cat "$BATS_TEST_TMPDIR/sum")" '[126000,360]'
}

@test "unit and container work as columns and as filters" {
	local id=3fb6a1c2d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcde
	fixture="tick 0 0
tick 1000000000 1000
1 1 \"a\" 1 0 1 0 cgroup=\"/system.slice/nginx.service\"
2 1 \"b\" 2 0 1 0 cgroup=\"/system.slice/nginx.service/workers\"
3 1 \"c\" 4 0 1 0 cgroup=\"/system.slice/docker-$id.scope\"
4 1 \"d\" 8 0 1 0 cgroup=\"/docker/$id\"
5 1 \"e\" 16 0 1 0
0 1 \"(other)\" 32 0 1 0"
	replayed "unit,container,rx_bytes
,,48
,3fb6a1c2d4e5,8
docker-$id.scope,3fb6a1c2d4e5,4
nginx.service,,3" -o unit,container,rx_bytes
	replayed 'comm,rx_bytes
b,2
a,1' -o comm,rx_bytes --unit nginx.service
	replayed 'comm,rx_bytes
c,4
b,2
a,1' -o comm,rx_bytes --unit '*'
	replayed 'container,rx_bytes
3fb6a1c2d4e5,12' -o container,rx_bytes --container '3fb6*'
	replayed 'container,rx_bytes
3fb6a1c2d4e5,4' -o container,rx_bytes --container 3fb6a1c2d4e5 --unit 'docker-*'
	local digits
	for digits in 3 3fb6a1 3fb6a1c2d4e5f60 "$id"; do
		replayed 'rx_bytes
12' -o rx_bytes --container "$digits"
	done
	for digits in 3fb6a2 fb6a1 "${id}0" 3FB6A1 3fb6a1c2d4e6; do
		replayed rx_bytes -o rx_bytes --container "$digits"
	done
	replayed 'rx_bytes
51' -o rx_bytes --container "!$id"
	replayed 'comm,rx_bytes
c,4
(total),4' -o comm,rx_bytes --unit 'docker-*' --total
}

@test "a container's name that looks like the first digits of an id matches only itself" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 1 0 1 0 cgroup="/lxc.payload.db"
2 1 "b" 2 0 1 0 cgroup="/lxc.payload.db1"
3 1 "c" 4 0 1 0 cgroup="/lxc.payload.dbdbdbdbdbdbx"'
	replayed 'container,rx_bytes
db,1' -o container,rx_bytes --container db
	replayed 'container,rx_bytes
dbdbdbdbdbdbx,4
db1,2' -o container,rx_bytes --container '!db'
}

@test "--cgroup selects cgroups by lists and patterns, with all below them" {
	needs_cgroups
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 1 0 1 0 cgroup="/system.slice/nginx.service"
2 1 "b" 2 0 1 0 cgroup="/system.slice/nginx.service/workers"
3 1 "c" 4 0 1 0 cgroup="/system.slice/nginx.service-too"
4 1 "d" 8 0 1 0 cgroup="/system.slice/system-serial\x5cx2dgetty.slice/one.service"
5 1 "e" 16 0 1 0 cgroup="/"
6 1 "f" 32 0 1 0
0 1 "(other)" 64 0 1 0'
	local filter sum
	while read -r filter sum; do
		replayed "rx_bytes${sum:+
$sum}" -o rx_bytes --cgroup "$filter"
	done <<-'END'
		/system.slice/ngin[x].service 3
		system.slice/*.service 11
		*/nginx.service 3
		./system.slice//nginx.servic?/ 3
		/system.slice/nginx*,*one* 15
		/system.slice/nginx*,!*-too 3
		!/system.slice/ngin[x].service,!*-too 120
		*serial\x2d* 8
		* 31
		!* 96
		/nginx*
		*.slice 15
	END
	# the reader of a pin, with a single path
	replayed 'rx_bytes
31' -o rx_bytes --cgroup /
	replayed 'rx_bytes
32' -o rx_bytes --cgroup '!/'
}

@test "-o all has all columns in the order of --help" {
	fixture=$keys
	run -0 --separate-stderr replay --layer ip -o all <<<"$fixture"
	equal "${lines[0]}" "$(column_names | paste -sd ,)"
	equal "${#lines[@]}" 7
	run -0 --separate-stderr replay -o all <<<"$fixture"
	equal "${lines[0]}" "$(column_names | grep -vxE 'iface|tx_retrans' | paste -sd ,)"
	equal "${#lines[@]}" 7
}

@test "addresses sort as numbers, IPv4 before IPv6" {
	fixture=$keys
	replayed 'raddr
""
9.9.9.9
192.0.2.1
192.0.2.9
2001:db8::1' -o raddr -s raddr
	replayed 'lport
""
4001
4002
4003
4004' -o lport -s lport
}

@test "--comm selects names that match a pattern" {
	fixture=$keys
	replayed 'pid,lport,rx_bytes
6,4003,400
5,4002,200
5,4001,100' -o pid,lport,rx_bytes --comm 'c*'
	replayed 'comm
dig' -o comm --comm '?i[!n]'
	replayed 'comm' -o comm --comm 'CURL'
	replayed 'rx_bytes
700' -o rx_bytes --comm curl
}

@test "a reader's filters select rows, alone and together" {
	fixture=$keys # (other) can have traffic of any process, so it passes no filter
	replayed 'pid
8
7' -o pid -p 7,8,9
	replayed 'pid,lport
8,
7,4004' -o pid,lport --user 7
	replayed 'comm,tx_bytes
dig,80
curl,40' -o comm,tx_bytes --proto udp
	replayed 'lport
4002
4003' -o lport --port 80,53,7 --net '!192.0.2.9' -s lport
	replayed 'raddr
9.9.9.9
192.0.2.9
192.0.2.1' -o raddr --net 192.0.2.0/24,9.0.0.0/8
	replayed 'raddr
9.9.9.9
2001:db8::1' -o raddr --net '!192.0.2.0/24'
	replayed 'pid,rx_bytes,tx_bytes
7,800,80' -o pid,rx_bytes,tx_bytes --user 7 --port 53 --proto udp,tcp --net 192.0.2.0/24 -p 5,7
	replayed 'pid' -o pid --user 1000 --proto icmp
}

@test "filters take lists; '!' leaves out the list, but not unknown values" {
	fixture=$keys
	replayed 'comm
ping
dig' -o comm --comm 'ping,d*'
	replayed 'comm,rx_bytes
ping,1600
dig,800' -o comm,rx_bytes --comm '!curl,!(other)'
	replayed 'comm
ping
curl' -o comm --comm '!dig,ping,c*'
	replayed 'pid
8
7' -o pid -p '!5,!6'
	replayed 'user
bob' -o user --user '!7'
	replayed 'user
ann
bob' -o user --user '7,1000'
	replayed 'proto
icmp
tcp' -o proto --proto '!udp'
	replayed 'lport
""
4001' -o lport --port '!53,!80'
	replayed 'raddr
9.9.9.9' -o raddr --net '!192.0.2.0/24,!2001:db8::/32'
}

@test "--net accepts networks by name" {
	local last='' address
	fixture='tick 0 0
tick 1000000000 1000'
	for address in 10.255.255.255 11.0.0.0 172.15.255.255 172.16.0.0 172.31.0.1 172.32.0.0 192.168.0.1 192.169.0.1 \
		127.9.9.9 128.0.0.1 ::1 ::2 169.254.7.7 169.253.0.0 fe80::1 fec0::1 224.0.0.1 239.255.255.255 \
		240.0.0.1 ff02::1 fdff::1 fbff::1 fc00::1; do
		fixture+=$'\n'"$((++last)) 1 \"x\" 1 0 1 0 raddr=$address"
	done
	named() {
		run -0 --separate-stderr replay --no-header -o raddr -s raddr --net "$@" <<<"$fixture"
		equal "${lines[*]}" "$wanted"
	}
	wanted='10.255.255.255 172.16.0.0 172.31.0.1 192.168.0.1 fc00::1 fdff::1' named private
	wanted='127.9.9.9 ::1' named loopback
	wanted='169.254.7.7 fe80::1' named link-local
	wanted='224.0.0.1 239.255.255.255 ff02::1' named multicast
	wanted='10.255.255.255 127.9.9.9 172.16.0.0 172.31.0.1 192.168.0.1 ::1 fc00::1 fdff::1' \
		named loopback,private
	wanted='11.0.0.0 128.0.0.1 172.15.255.255 172.32.0.0 192.169.0.1 240.0.0.1 ::2 fbff::1 fec0::1' \
		named '!private,!loopback,!link-local,!multicast,!169.253.0.0'
}

@test "a reader's --no-loopback leaves out traffic of the host with itself" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 1 0 1 0 laddr=127.0.0.1 raddr=127.0.0.1
2 1 "b" 2 0 1 0 laddr=::1 raddr=::1
3 1 "c" 4 0 1 0 laddr=192.0.2.7 raddr=192.0.2.7
4 1 "d" 8 0 1 0 laddr=192.0.2.7 raddr=192.0.2.8'
	replayed 'pid,rx_bytes
4,8' -o pid,rx_bytes --no-loopback
	replayed 'rx_bytes
15' -o rx_bytes
}

@test "--total adds a row with the sum of all rows, also those that --top cuts" {
	fixture=$keys
	replayed 'pid,comm,proto,rx_bytes,tx_bytes,rx_rate,rx_calls,rx_total
8,ping,icmp,1600,160,1600,4,1600
0,(total),,3100,310,3100,20,3100' -o pid,comm,proto,rx_bytes,tx_bytes,rx_rate,rx_calls,rx_total \
		--comm '[!(]*' --total --top 1
	replayed '{"comm":"(total)","uid":null,"raddr":null,"rx_bytes":0}' -f jsonl -o comm,uid,raddr,rx_bytes \
		--comm none --total
}

@test "kind distinguishes rows without a process from processes of the same name" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "(total)" 1 0 1 0
2 1 "(other)" 2 0 1 0
3 1 "(kernel)" 4 0 1 0
0 0 "(kernel)" 8 0 1 0
0 0 "(other)" 16 0 1 0'
	replayed 'comm,kind,rx_bytes
(other),other,16
(kernel),kernel,8
(kernel),process,4
(other),process,2
(total),process,1
(total),total,31' -o comm,kind,rx_bytes --total
	# one row for each kind
	replayed 'kind,rx_bytes
other,16
kernel,8
process,7' -o kind,rx_bytes
}

@test "a process that changes its name keeps its total" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "old" 10 0 1 0 ppid=1
tick 2000000000 2000
1 1 "new" 15 0 2 0 ppid=2'
	replayed 'time,pid,comm,ppid,rx_bytes,rx_total
1.000,1,old,1,10,10
2.000,1,new,2,5,15' -o time,pid,comm,ppid,rx_bytes,rx_total --unit '!x.service'
}

@test "--total has a row in idle intervals too, with the total of all intervals" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "a" 10 0 1 0
2 1 "b" 5 1 1 1
tick 2000000000 2000
1 1 "a" 10 0 1 0
tick 3000000000 3000
1 1 "a" 12 0 2 0'
	replayed 'time,comm,rx_bytes,rx_total
1.000,a,10,10
1.000,b,5,5
1.000,(total),15,15
2.000,(total),0,15
3.000,a,2,12
3.000,(total),2,17' -o time,comm,rx_bytes,rx_total --total
}

@test "--time iso and local write the time as text, and --time none leaves it out" {
	fixture=$keys
	replayed 'time,comm
2023-11-14T22:13:20.000Z,dig' --time iso -o time,comm --comm dig
	replayed '{"time":"2023-11-14T22:13:20.000Z","comm":"dig"}' --time iso -o time,comm --comm dig -f jsonl
	replayed 'time,comm
1700000000.000,dig' --time epoch -o time,comm --comm dig
	local zone
	for zone in UTC0/22:13:20.000+00:00 XXX-5:30/03:43:20.000+05:30 XXX+3:30/18:43:20.000-03:30; do
		export TZ=${zone%%/*}
		run -0 --separate-stderr replay --time local -o time,comm --comm dig <<<"$fixture"
		contains "${lines[1]}" "T${zone#*/},dig"
	done
	replayed 'pid,comm,rx_rate,tx_rate
7,dig,800,80' --time none --comm dig
}

@test "a command line is a key, and is unknown once the process has ended" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "sh" 1 0 1 0 cmd="sh a"
2 1 "sh" 2 0 1 0 cmd="sh b"
3 1 "sh" 4 0 1 0 cmd="sh a"
4 1 "sh" 8 0 1 0 cmd="sh a" ended=1'
	replayed 'cmd,rx_bytes
,8
sh a,5
sh b,2' -o cmd,rx_bytes
}

@test "a process that ended in the window is in the rate of its group, without a row of its own" {
	fixture='tick 0 0
tick 1000000000 1000
1 1 "web" 100 0 1 0
2 1 "web" 50 0 1 0
tick 2000000000 2000
1 1 "web" 110 0 1 0
tick 3000000000 3000
1 1 "web" 110 0 1 0'
	replayed 'time,comm,rx_bytes,rx_rate
1.000,web,150,150
2.000,web,10,80
3.000,web,0,53' -o time,comm,rx_bytes,rx_rate -w 3 --all
	replayed 'time,pid,rx_bytes,rx_rate
1.000,1,100,100
1.000,2,50,50
2.000,1,10,55
3.000,1,0,37' -o time,pid,rx_bytes,rx_rate -w 3 --all
	replayed 'time,comm,rx_rate
1.000,web,150
1.000,(total),150
2.000,web,80
2.000,(total),80
3.000,(total),53' -o time,comm,rx_rate -w 3 --total
}
