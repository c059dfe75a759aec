#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2086	# what the helpers set; options are words
# Key columns, filters and -- COMMAND: each row against the account of t/compare/key-columns.

load lib/common
load lib/live

export KEYS_CGROUP=netmon-keys-${BATS_RUN_TMPDIR##*/} # unique to this run of the tests

keys=pid,comm,proto,family,uid,user,cgroup,netns,laddr,lport,raddr,rport,ppid
measures=rx_bytes,tx_bytes,rx_calls,tx_calls
all_filters=(comm user cgroup proto port net not-net no-loopback)
# Each filter, and each pair of them, selects some lines of the account, but not all.
declare -gA filter=(
	[comm]='--comm key-*-[1-5]'
	[user]='--user nobody'
	[cgroup]="--cgroup /$KEYS_CGROUP"
	[proto]='--proto icmp,udp'
	[port]='--port 5001,5002,5004'
	[net]='--net 10.77.0.0/16,127.0.0.0/8,fd00::/8'
	[not-net]='--net !10.77.0.2,!::1'
	[no-loopback]='--no-loopback'
)

# The cgroups of t/compare/key-columns: --cgroup needs a cgroup that exists when netmon starts.
setup_file() {
	[ -z "$(why_not_live)" ] || return 0
	mkdir -p "$(cgroup_root)"/{"$KEYS_CGROUP/below","$KEYS_CGROUP-too"}
	ask >"$BATS_FILE_TMPDIR/ask"
	"$here/compare/key-columns" run --seconds 0 "$BATS_FILE_TMPDIR/account"
}

teardown_file() {
	[ -z "$(why_not_live)" ] || return 0
	rmdir "$(cgroup_root)"/{"$KEYS_CGROUP/below","$KEYS_CGROUP","$KEYS_CGROUP-too"} || true
}

setup() {
	watchers=()
	bpf=
	live_setup
	ask=$(cat "$BATS_FILE_TMPDIR/ask")
}

teardown() {
	live_teardown
	[ -z "${watchers[*]}" ] || kill -KILL "${watchers[@]}" 2>/dev/null || true
	if [ -n "$bpf" ]; then
		umount -l "$bpf"
		rmdir "$bpf"
	fi
}

# words NAME...: sets words to the arguments of these filters
words() {
	local name parts
	words=()
	for name; do
		read -ra parts <<<"${filter[$name]}"
		words+=("${parts[@]}")
	done
}

# check [OPTION]... FORMAT: whether ./reports equal ./account
check() {
	"$here/compare/key-columns" check "$@" reports account
}

# cut_to COLUMNS FORMAT: the lines of the account on standard input as a report in that format
cut_to() {
	awk -F '\t' -v OFS='\t' -v columns="$1" '
		NR == 1 { count = split(columns, name, ","); for (i = 1; i <= NF; i++) at[$i] = i }
		{ for (i = 1; i <= count; i++) printf "%s%s", $at[name[i]], i < count ? OFS : ORS }' |
		case $2 in
		tsv) cat ;;
		csv) tr '\t' , ;;
		jsonl) jq -Rsc 'rtrimstr("\n") / "\n" | map(. / "\t") | .[0] as $names | .[1:][]
			| [$names, .] | transpose | map({ (.[0]): (.[1] | tonumber? // .) }) | add' ;;
		esac
}

# accounted MEASURE: the sum over all lines of ./account
accounted() {
	cut_to "$1" tsv <account | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

# watch [OPTION]... -- COMMAND...: runs netmon with the options and the command
watch() {
	rm -f reports
	# shellcheck disable=SC2086	# options are words
	"$NETMON" $NETMON_OPTIONS "$@" 2>messages || fail "exit status $?: netmon $*" "$(cat messages)"
}

# exact_together SPEC...: netmons that count the same traffic, each as the command of another, are exact.
# A SPEC is "FORMAT COLUMNS [NAME...]", with names of filters.
exact_together() {
	local format columns names number=0
	local command=("$here/compare/key-columns" run $ask account)
	for spec; do
		read -r format columns names <<<"$spec"
		words $names
		command=("$NETMON" $NETMON_OPTIONS -i 0.1 -f "$format" -o "$columns" "${words[@]}" \
			--to "reports.$number" -- "${command[@]}")
		number=$((number + 1))
	done
	"${command[@]}" 2>messages || fail "exit status $?: ${command[*]}" "$(cat messages)"
	number=0
	for spec; do
		read -r format columns names <<<"$spec"
		words $names
		mv "reports.$number" reports
		check --where "${words[@]}" -- "$format" || fail "in $spec"
		number=$((number + 1))
	done
}

# The test tools, without netmon

@test "the generator's account lists every process, user and socket, and as many bytes received as sent" {
	cp "$BATS_FILE_TMPDIR/account" .
	for column in pid,16 comm,16 proto,2 family,2 user,3 uid,3 cgroup,3 netns,2 ppid,2; do
		equal "$column: $(cut_to "${column%,*}" tsv <account | tail -n +2 | sort -u | wc -l)" \
			"$column: ${column#*,}"
	done
	equal "$(accounted tx_bytes)" "$(accounted rx_bytes)"
	# the sockets of the clients: TCP sockets by both ends, since two can share a port; a socket that
	# is bound to no address has two rows if it uses both IPv4 and IPv6
	equal "$(cut_to comm,proto,laddr,lport,raddr,rport tsv <account | awk -F '\t' '/^key-client/ {
		print $1, $2, $3 == "0.0.0.0" ? "::" : $3, $4, $2 == "tcp" ? $5 " " $6 : "" }' |
		sort -u | wc -l)" 208
	# both ends of each TCP connection
	cut_to proto,laddr,lport,raddr,rport,rx_bytes,tx_bytes tsv <account | grep ^tcp >tcp
	equal "$(wc -l <tcp)" 256
	equal "$(awk -v OFS='\t' '{ print $1, $4, $5, $2, $3, $7, $6 }' tcp | sort)" "$(sort tcp)"
}

@test "the comparison accepts the account cut to any columns, in any format" {
	cp "$BATS_FILE_TMPDIR/account" .
	for format in csv tsv jsonl; do
		for columns in "pid,comm,$measures" "$keys,$measures" "$measures"; do
			cut_to "$columns" "$format" <account >reports
			check "$format"
		done
	done
	cut_to pid,tx_calls tsv <account >reports
	check tsv
}

# rejected [OPTION]...: check fails with a message
rejected() {
	local status=0
	check "$@" tsv >said 2>&1 || status=$?
	equal "$status" 1
	[ -s said ]
	! grep -q Traceback said || fail "$(cat said)"
}

@test "the comparison rejects a byte too many, a missing row, an extra row, a wrong total and an empty report" {
	cp "$BATS_FILE_TMPDIR/account" .
	cut_to "$keys,$measures" tsv <account >good
	awk -F '\t' -v OFS='\t' 'NR == 9 { $(NF - 2)++ } 1' good >reports
	rejected
	rejected --sums
	awk -F '\t' -v OFS='\t' 'NR == 9 { $(NF - 2)++ } NR == 10 { $(NF - 2)-- } 1' good >reports
	rejected
	sed 9d good >reports
	rejected
	contains "$(cat said)" missing
	sed '9{p;s/^[0-9]*/1/}' good >reports # one more, as it was before
	rejected
	contains "$(cat said)" 'too many'
	head -n 1 good >reports
	rejected
	: >reports
	rejected

	cut_to "pid,comm,$measures" tsv <account >good
	{ cat good; printf '0\t(total)\t%d\t%d\t%d\t%d\n' "$(accounted rx_bytes)" \
		"$(accounted tx_bytes)" "$(accounted rx_calls)" "$(accounted tx_calls)"; } >reports
	check tsv
	sed '$s/[0-9]$/x&/; $s/x[0-8]/9/; $s/x9/8/' reports >changed
	mv changed reports
	rejected
	contains "$(cat said)" '(total): '
	cut_to time,pid,tx_bytes tsv < <(sed '1s/^/time\t/; 2,$s/^/1\t/' account) >reports
	rejected
	contains "$(cat said)" 'rows in one report: time=1 pid='
	cp good reports
	rejected --where --comm nobody --
	contains "$(cat said)" 'nothing to compare'
	rejected --where --comm 'key-*' --
	contains "$(cat said)" 'the filters select all lines'
}

@test "the comparison accepts in (other) exactly the bytes that no other row has" {
	cp "$BATS_FILE_TMPDIR/account" .
	cut_to "pid,comm,lport,tx_bytes" tsv <account >good
	awk -F '\t' -v OFS='\t' 'NR <= 100 { print; next } { sum += $NF }
		END { print 0, "(other)", "", sum }' good >reports
	check --sums tsv
	rejected
	awk -F '\t' -v OFS='\t' '$2 == "(other)" { $NF -= 1 } 1' reports >changed
	mv changed reports
	rejected --sums
	awk -F '\t' -v OFS='\t' '$2 == "(other)" { $NF -= 2 } NR == 9 { $NF += 3 } 1' reports >changed
	mv changed reports
	rejected --sums
	contains "$(cat said)" 'too much'
}

@test "the comparison's filters select the lines that awk selects, with one filter and with four" {
	cp "$BATS_FILE_TMPDIR/account" .
	# shellcheck disable=SC2016	# the fields are awk's
	declare -A same=(
		[comm]='$2 ~ /^key-(client|server)-[1-5]$/'
		[user]='$6 == "nobody"'
		[cgroup]='$7 == "/'$KEYS_CGROUP'" || $7 == "/'$KEYS_CGROUP'/below"'
		[proto]='$3 == "udp"'
		[port]='$10 ~ /^500[124]$/ || $12 ~ /^500[124]$/'
		[net]='$11 ~ /^10[.]77[.]/ || $11 ~ /^127[.]/ || $11 ~ /^fd00:/'
		[not-net]='$11 != "10.77.0.2" && $11 != "::1"'
		[no-loopback]='$11 !~ /^127[.]/ && $11 != "::1" && $11 != $9'
	)
	for one in "${all_filters[@]}"; do
		awk -F '\t' "NR == 1 || ${same[$one]}" account >reports
		words "$one"
		check --where "${words[@]}" -- tsv
	done
	for four in "comm cgroup port no-loopback" "user proto net not-net"; do
		all=1
		for one in $four; do all+=" && (${same[$one]})"; done
		awk -F '\t' "NR == 1 || $all" account >reports
		words $four
		check --where "${words[@]}" -- tsv
	done
	equal "$("$here/compare/key-columns" select --user 65534 --proto udp -- account)" \
		"$("$here/compare/key-columns" select --proto udp --user nobody -- account)"
}

@test "the generator leaves no process and no cgroup behind if it is ended early" {
	mkfifo go
	"$here/compare/key-columns" run --wait $ask account <go >pids 3>&- 2>said &
	runner=$!
	exec 8>go
	until [ "$(wc -l <pids)" = 16 ]; do sleep 0.05; done
	[ "$(cat "$(cgroup_root)"/"$KEYS_CGROUP"*/cgroup.procs | wc -l)" -gt 0 ]
	kill $runner
	status=0
	wait $runner || status=$?
	equal "$status" 1
	exec 8>&-
	contains "$(cat said)" 'told to end'
	for _ in {1..100}; do # they end a moment after their parent
		left=$(cut -f 1 pids | while read -r pid; do ls -d "/proc/$pid" 2>/dev/null || true; done)
		[ -n "$left" ] || break
		sleep 0.05
	done
	equal "$left" ''
}

# Key columns

@test "rows by process, by name, by parent and without any key are exact" {
	exact_together "csv time,pid,comm,$measures" "jsonl time,comm,$measures" "csv ppid,$measures" \
		"tsv time,$measures" "csv rx_bytes"
}

@test "rows by protocol, IP version, user, cgroup and network namespace are exact" {
	exact_together "tsv time,proto,family,$measures" "csv family,$measures" "jsonl uid,$measures" \
		"csv time,user,$measures" "tsv cgroup,$measures" "jsonl time,netns,$measures"
}

@test "rows by the ends of connections are exact" {
	exact_together "tsv time,laddr,lport,raddr,rport,$measures" "jsonl time,comm,proto,raddr,$measures" \
		"tsv time,lport,$measures" "csv $measures,rport,user"
}

@test "rows by every key are exact" {
	exact_together "jsonl time,$keys,$measures" "csv time,$keys,$measures"
}

# Filters, most of them with columns that the filter does not need

@test "in another pid namespace, netmon reports that -p takes pids of the initial one" {
	start -f jsonl -i 0.2 -p 1
	stop
	equal "$(grep -c 'pid namespace' messages)" 0
	run -0 --separate-stderr unshare -pf --mount-proc "$NETMON" --no-pin -p 1 -i 0.01 -n 1
	contains "$stderr" 'netmon: cannot use the numbers of this pid namespace for --pid'
}

@test "a filter takes numbers, names, patterns and several values" {
	filter+=(
		[uid]='--user 1'
		[glob]='--comm *ient-[!02-9]'
		[below]="--cgroup /$KEYS_CGROUP/below"
		[cgroups]="--cgroup /$KEYS_CGROUP/below,/$KEYS_CGROUP-*"
		[tcp]='--proto sctp,tcp'
		[one-port]='--port 5003'
		[both]='--net 10.0.0.0/8,!10.77.0.1'
		[address]='--net fd00:77::2'
		[patterns]='--comm key-client-?,key-server-[12],!*-3'
		[users]='--user nobody,1'
	)
	exact_together "csv pid,family,$measures uid" "csv pid,family,$measures glob" \
		"csv pid,family,$measures below" "csv pid,family,$measures tcp"
	exact_together "csv pid,family,$measures one-port" "csv pid,family,$measures both" \
		"csv pid,family,$measures address"
	exact_together "csv pid,family,$measures patterns" "csv pid,family,$measures users" \
		"csv pid,family,$measures cgroups" "tsv user,$measures cgroups"
}

@test "filters with '!' leave out what is in their list" {
	filter=(
		[comm]='--comm !key-client-[1-4],!*-8'
		[user]='--user !root,!1'
		[cgroup]="--cgroup !/$KEYS_CGROUP"
		[cgroups]="--cgroup !*/$KEYS_CGROUP/b*,!/$KEYS_CGROUP-too"
		[proto]='--proto !udp'
		[port]='--port !5001,!5002,!5004'
		[net]='--net !private'
	)
	exact_together "csv pid,family,$measures comm" "csv pid,family,$measures user" \
		"csv pid,family,$measures cgroup" "csv pid,family,$measures proto"
	exact_together "csv pid,family,$measures port" "csv pid,family,$measures net" \
		"jsonl time,$keys,$measures user port comm" "tsv time,comm,$measures proto cgroups"
}

@test "each filter alone selects exactly the rows that match it" {
	exact_together "jsonl time,pid,comm,$measures comm" "jsonl time,pid,comm,$measures user" \
		"jsonl time,pid,comm,$measures cgroup" "jsonl time,pid,comm,$measures proto"
	exact_together "jsonl time,pid,comm,$measures port" "jsonl time,pid,comm,$measures net" \
		"jsonl time,pid,comm,$measures not-net" "jsonl time,pid,comm,$measures no-loopback"
}

# Groups of three filters that include each pair of the eight, most of them with columns that the
# filters do not need.
@test "several filters select the rows that pass all of them" {
	exact_together "jsonl time,pid,comm,$measures comm cgroup net" "csv proto,raddr,$measures port net not-net" \
		"tsv user,lport,$measures proto not-net no-loopback" "jsonl family,$measures comm user not-net"
	exact_together "csv time,$keys,$measures user cgroup no-loopback" "tsv cgroup,rport,$measures comm proto port" \
		"jsonl time,pid,comm,$measures user proto net" "csv proto,raddr,$measures cgroup port no-loopback"
	exact_together "tsv user,lport,$measures cgroup proto not-net" "jsonl family,$measures comm net no-loopback" \
		"csv time,$keys,$measures user cgroup port"
}

@test "--no-loopback leaves out datagrams whose peer is unknown if the socket's own address is local" {
	start -f jsonl --no-loopback -i 0.2
	for way in udp-sendto 'udp-sendto -6' udp-connected; do
		# shellcheck disable=SC2086	# a name and an option
		"$BUILD/t/traffic" $way >>account
	done
	stop
	[ "$(awk '$3 > 0' account | wc -l)" -ge 3 ]
	while IFS=$'\t' read -r pid comm _; do
		equal "$(reported "map(select(.pid == $pid and .comm == \"$comm\")) | length")" 0
	done <account
}

# nine_netmons [OPTION]...: at once, a netmon with -p alone, and one with -p and each other filter
nine_netmons() {
	filter[cgroup]="--cgroup ./$KEYS_CGROUP//"
	mkfifo go
	"$here/compare/key-columns" run --wait $ask account <go >pids 3>&- &
	runner=$!
	exec 8>go
	until [ "$(wc -l <pids)" = 16 ]; do sleep 0.05; done
	filter[pid]="-p $(awk -F '\t' '/[136]$/ { print $1 }' pids | paste -sd,)"
	for name in '' "${all_filters[@]}"; do
		# shellcheck disable=SC2086	# a name or none
		words pid $name
		# shellcheck disable=SC2086	# options are words
		"$NETMON" -v -i 0.1 -f jsonl -o "comm,family,$measures" "$@" "${words[@]}" \
			--to "reports.$name" 2>"messages.$name" 3>&- 8>&- &
		watchers+=($!)
	done
	for name in '' "${all_filters[@]}"; do
		for _ in {1..600}; do
			! grep -qx 'netmon: counting' "messages.$name" || break
			sleep 0.05
		done
		grep -qx 'netmon: counting' "messages.$name" || fail "$name" "$(cat "messages.$name")"
	done
	echo >&8
	wait $runner
	exec 8>&-
	kill "${watchers[@]}"
	wait "${watchers[@]}"
	watchers=()
	for name in '' "${all_filters[@]}"; do
		# shellcheck disable=SC2086	# a name or none
		words pid $name
		mv "reports.$name" reports
		# without later processes that reuse one of the pids: they have other names
		jq -c 'select(.comm | startswith("key-"))' reports >ours
		mv ours reports
		check --where "${words[@]}" -- jsonl || fail "${words[*]}"
	done
}

@test "-p selects processes, alone and with each other filter, in nine netmons at once" {
	nine_netmons --no-pin $NETMON_OPTIONS
}

@test "nine readers of one pin select the same rows by filters of their own" {
	bpf=$(mktemp -d /tmp/netmon-bpf.XXXXXX)
	mount -t bpf bpf "$bpf"
	"$NETMON" --pin "$bpf/netmon" $NETMON_OPTIONS -o "$keys" 2>messages || fail "$(cat messages)"
	nine_netmons --from "$bpf/netmon"
}

# Sockets that change their key

# sent_by PROGRAM [OPTION]...: runs a Python program that sends by send(SOCKET, BYTES) to the listeners at
# `ports`; compares what netmon has for each process and port with what was sent
sent_by() {
	cat >program <<-END
		import ctypes, os, socket, struct, time
		servers = [socket.create_server(("127.0.0.1", 0), backlog=100) for _ in range(40)]
		ports = [server.getsockname()[1] for server in servers]
		account = os.open("account", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
		def connection(port):
		    return socket.create_connection(("127.0.0.1", port))
		def send(client, data):
		    with open("/proc/self/comm") as comm:
		        line = [os.getpid(), comm.read().strip(), client.getpeername()[1], client.send(data)]
		    os.write(account, ("\t".join(map(str, line)) + "\n").encode())
		def child(name, client, data):
		    if pid := os.fork():
		        os.waitpid(pid, 0)
		        return pid
		    with open("/proc/self/comm", "w") as comm:
		        comm.write(name)
		    for byte in data:
		        send(client, bytes([byte]))
		    os._exit(0)
		$1
	END
	watch -i 0.1 -f tsv -o pid,comm,rport,tx_bytes "${@:2}" --to reports -- python3 program
	grep -v -e '(total)' -e ^pid reports | summed >got
	summed <account >wanted
}

summed() {
	awk -F '\t' -v OFS='\t' '{ sum[$1 OFS $2 OFS $3] += $4 } END { for (key in sum) print key, sum[key] }' | sort
}

@test "a socket that connects again has a row for each peer, with its bytes" {
	sent_by '
client = connection(ports[0])
for number in range(1, 40):
    send(client, b"before")
    assert not ctypes.CDLL(None).connect(client.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
    client.connect(("127.0.0.1", ports[number]))
    send(client, b"after it")
    send(client, b"once more")'
	equal "$(cat got)" "$(cat wanted)"
	equal "$(wc -l <got)" 40
}

@test "a socket that connects again from another port has a row for each port" {
	cat >program <<-'END'
		import ctypes, os, socket, struct, subprocess, sys, time
		server = socket.create_server(("127.0.0.1", 0))
		client = socket.socket()
		def state(sock):
		    return subprocess.check_output([os.environ["BUILD"] + "/t/tcp-info", str(sock.fileno())],
		                                   pass_fds=[sock.fileno()], text=True).split()[4]
		with open("account", "w") as account:
		    for size in 100, 20, 3:
		        client.connect(server.getsockname())
		        port = client.getsockname()[1]
		        client.shutdown(socket.SHUT_WR)
		        other, _ = server.accept()
		        assert not other.recv(1)
		        other.send(bytes(size))
		        other.close() # the connection is in TIME_WAIT, without its socket; the client has not read yet
		        for _ in range(10000):
		            if state(client) == "closed":
		                break
		            time.sleep(0.001)
		        else:
		            sys.exit("the port is not given back")
		        assert client.recv(1000) == bytes(size)
		        print(port, size, sep="\t", file=account)
		        libc = ctypes.CDLL(None)
		        assert not libc.connect(client.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)
	END
	watch -i 0.1 -f tsv -o pid,lport,rx_bytes --to reports -- python3 program
	equal "$(awk -F '\t' -v OFS='\t' 'NR > 1 && $3 { print $2, $3 }' reports | sort)" "$(sort account)"
}

@test "processes that share a socket have their own bytes, even if one reuses the pid of another" {
	sent_by '
client = connection(ports[0])
for _ in range(10):
    send(client, b"parent")
    child("child", client, b"some of its own")
other = connection(ports[1])
last = child("before", other, b"twice the pid")
for _ in range(1000):
    with open("/proc/sys/kernel/ns_last_pid", "w") as pid:
        pid.write(str(last - 1))
    if child("after", other, b"again") == last:
        break
else:
    raise SystemExit("nobody got the pid again")'
	equal "$(cat got)" "$(cat wanted)"
	equal "$(awk -F '\t' '$2 == "before" || $2 == "after" { print $1 }' got | sort | uniq -d | wc -l)" 1
}

@test "a process that takes the row of an ended process has its own bytes, even on the same socket" {
	sent_by '
client = connection(ports[0])
for number in range(1, 20):
    row = "%d\tchild\t" % child("child", client, bytes(number))
    for _ in range(600):
        if row in open("reports").read():
            break
        time.sleep(0.05)' --max-processes 3
	equal "$(cat got)" "$(cat wanted)"
	equal "$(wc -l <got)" 19
}

@test "a datagram to another peer than the connected one is counted for that peer" {
	cat >program <<-'END'
		import socket
		client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
		for other in others:
		    other.bind(("127.0.0.1", 0))
		client.connect(others[0].getsockname())
		for _ in range(100):
		    client.send(b"to its own")
		    client.sendto(b"other", others[1].getsockname())
		print(*(f"{other.getsockname()[1]}\t{sent}" for other, sent in zip(others, (1000, 500))), sep="\n",
		      file=open("account", "w"))
	END
	watch -i 0.1 -f tsv -o pid,rport,tx_bytes --to reports -- python3 program
	equal "$(awk -F '\t' -v OFS='\t' 'NR > 1 && $3 { sum[$2] += $3 } END { for (port in sum) print port, sum[port] }' \
		reports | sort)" "$(sort account)"
}

@test "all bytes of connections that lose their row and send again are counted" {
	sent_by '
clients = [connection(port) for port in ports]
for amount in 7, 10, 100:
    for client in clients:
        for _ in range(3):
            send(client, bytes(amount))
        time.sleep(0.05) # in total longer than an entry can stay idle in an almost full table' \
		--max-entries 16
	equal "$(awk -F '\t' '{ sum += $4 } END { print sum }' got)" $((3 * 40 * (7 + 10 + 100)))
	# no entry has more bytes than were sent there, and some have all of them
	awk -F '\t' 'NR == FNR { sent[$1, $2, $3] = $4; next }
		$2 != "(other)" && $4 > sent[$1, $2, $3] { print "too much: " $0; bad = 1 }
		$4 == sent[$1, $2, $3] { all++ } END { exit bad || !all }' wanted got
}

# Sockets that send in turn, with keys that differ in one part: no row may be taken for another, even if
# both keys have the same hash

# differ_in PART
differ_in() {
	cat >program <<-'END'
		import ipaddress, itertools, random, socket, struct, sys
		def addresses(form, *parts):
		    return [form % numbers for numbers in itertools.product(*parts)]
		near = addresses("127.0.0.%d", range(1, 100))
		random.seed(1) # of these 4000, about a hundred have the same hash as another
		peers = random.sample(addresses("127.1.%d.%d", range(256), range(1, 255)), 4000)
		ports = random.sample(range(10000, 65536), 4000)
		six = addresses("2001:db8:%x:%x::1", range(8), range(8))
		six += ["2001:%x:0:0:0:0:0:%x" % (number, 0x100 ^ number) for number in range(1, 50)]
		six = [str(ipaddress.ip_address(address)) for address in six]
		ways = {
		    "laddr": [(address, 5000, "127.0.0.1", 6000) for address in near],
		    "raddr": [("127.0.0.1", 5000, address, 6000) for address in peers],
		    "laddr, mapped": [("::ffff:" + address, 5000, "::ffff:127.0.0.1", 6000) for address in near],
		    "raddr, mapped": [("::ffff:127.0.0.1", 5000, "::ffff:" + address, 6000) for address in peers],
		    "laddr of IPv6": [(address, 5000, "2001:db8::1", 6000) for address in six],
		    "raddr of IPv6": [("2001:db8::1", 5000, address, 6000) for address in six],
		    "lport": [("127.0.0.1", port, "127.0.0.1", 6000) for port in ports],
		    "rport": [("127.0.0.1", 5000, "127.0.0.1", port) for port in ports],
		}[sys.argv[1]]
		# a datagram to a mapped address carries its own peer, like one from an unconnected socket
		kind = socket.SOCK_STREAM if "mapped" in sys.argv[1] else socket.SOCK_DGRAM
		server = socket.create_server(("::", 6000), family=socket.AF_INET6, dualstack_ipv6=True)
		with open("account", "w") as account:
		    for size, (*local, raddr, rport) in itertools.product((1, 20), ways):
		        family = socket.AF_INET6 if ":" in raddr else socket.AF_INET
		        with socket.socket(family, kind) as client:
		            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		            if family == socket.AF_INET6:
		                client.setsockopt(socket.IPPROTO_IPV6, 78, 1) # IPV6_FREEBIND
		            client.bind(tuple(local))
		            client.connect((raddr, rport))
		            if kind == socket.SOCK_STREAM:
		                server.accept()[0].close()
		            client.send(bytes(size))
		            print(*local, raddr, rport, size, sep="\t", file=account)
	END
	watch -i 0.1 -f tsv -o laddr,lport,raddr,rport,tx_bytes --to reports -- \
		unshare -n sh -c 'ip link set lo up && ip -6 route add local 2001::/16 dev lo && python3 program "$1"' sh "$1"
	awk -F '\t' 'FNR == NR { gsub("::ffff:", ""); wanted[$1, $2, $3, $4] += $5; next }
		FNR > 1 && $5 > 0 { got[$1, $2, $3, $4] += $5 }
		END { for (key in wanted) if (got[key] != wanted[key]) wrong++
			for (key in got) if (!(key in wanted)) wrong++
			for (key in wanted) keys++
			print keys, wrong + 0; exit wrong || keys < 99 }' account reports || fail "keys, wrong"
}

@test "connections that differ only in laddr have a row each" { differ_in laddr; }
@test "what is added to a datagram has its peer, also after another socket has sent, and by another thread" {
	cat >corked <<-'END'
		import socket, threading
		def udp():
		    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		a, b, c = udp(), udp(), udp()
		a.sendto(bytes(100), socket.MSG_MORE, ("127.0.0.1", 5001))
		c.sendto(bytes(30), socket.MSG_MORE, ("127.0.0.3", 5003))
		b.sendto(bytes(10), ("127.0.0.2", 5002))
		a.send(bytes(50))
		thread = threading.Thread(target=lambda: c.send(bytes(5)))
		thread.start()
		thread.join()
	END
	watch -f tsv --no-header -o raddr,rport,tx_bytes,tx_calls -s raddr --to reports -- python3 corked
	equal "$(grep -P '\t500\d\t' reports)" "$(printf '127.0.0.%s\n' $'1\t5001\t150\t2' $'2\t5002\t10\t1' $'3\t5003\t35\t2')"
}

@test "connections that differ only in raddr have a row each" { differ_in raddr; }
@test "connections that differ only in an IPv4 laddr of an IPv6 socket have a row each" { differ_in "laddr, mapped"; }
@test "connections that differ only in an IPv4 raddr of an IPv6 socket have a row each" { differ_in "raddr, mapped"; }
@test "connections that differ only in an IPv6 laddr have a row each" { differ_in "laddr of IPv6"; }
@test "connections that differ only in an IPv6 raddr have a row each" { differ_in "raddr of IPv6"; }
@test "connections that differ only in lport have a row each" { differ_in lport; }
@test "connections that differ only in rport have a row each" { differ_in rport; }

# Many connections in one interval

connections=$((LONG ? 60000 : 20000))

@test "rows of more connections than a table of 4,096 holds add up to all bytes, and one message reports that it is full" {
	watch -i 86400 -f jsonl -o pid,comm,raddr,rport,rx_bytes,tx_bytes --max-entries 4096 \
		--to reports -- "$here/compare/key-columns" short --connections "$connections" account
	check --sums jsonl
	equal "$(reported 'map(select(.comm == "(other)")) | map([.pid, .raddr, .rport]) | @json')" \
		'[[0,null,null]]'
	[ "$(wc -l <reports)" -gt 1000 ]
	equal "$(grep -c 'full.*--max-entries' messages)" 1
}

@test "each of 20,000 connections (60,000 in make check-long) has one exact row" {
	watch -i 86400 -f csv -o pid,comm,raddr,rport,rx_bytes,tx_bytes --max-entries 100000 \
		--to reports -- "$here/compare/key-columns" short --connections "$connections" account
	check csv
	# each connection at the server; one row for the client; the header
	equal "$(grep -vc '(total)' reports)" $((connections + 2))
	! grep -e full messages || fail "$(cat messages)"
}
