#!/usr/bin/env bats
# The command line: what is accepted, what is refused, with which status and message.
load lib/common

# refused OBJECT [ARGUMENT]...: status 2, and only a message that names the object and the way out.
# Runs without privileges, so that any attempt to load a program would fail with another message.
refused() {
	local object=$1
	shift
	run -2 --separate-stderr unprivileged "$@"
	equal "$output" ''
	contains "${stderr_lines[0]}" 'netmon: '
	contains "${stderr_lines[0]}" "$object"
	equal "${stderr_lines[1]}" "Try 'netmon --help'."
	equal "${#stderr_lines[@]}" 2
}

# taken [ARGUMENT]...
taken() {
	run -0 --separate-stderr replay "$@" </dev/null
	equal "$stderr" ''
}

@test "--help and -h write to standard output, without privileges, and end with 0" {
	run -0 --separate-stderr unprivileged --help
	equal "$stderr" ''
	equal "${lines[0]}" 'Usage: netmon [OPTION]... [INTERVAL [COUNT]] [-- COMMAND [ARGUMENT]...]'
	local long=$output
	run -0 --separate-stderr "$NETMON" -h
	equal "$output" "$long"
}

@test "--help fits a terminal of 80 columns" {
	run -0 --separate-stderr "$NETMON" --help
	local line
	for line in "${lines[@]}"; do
		[ "${#line}" -le 80 ] || fail "too long: $line"
	done
}

@test "--version and -V write the version of the Makefile" {
	local version
	version=$(sed -n 's/^VERSION := //p' "$here/../Makefile")
	run -0 --separate-stderr "$NETMON" --version
	equal "$output" "netmon $version"
	equal "$stderr" ''
	run -0 --separate-stderr "$NETMON" -V
	equal "$output" "netmon $version"
}

@test "--help and --version on a full disk end with 1 and report the reason" {
	local option
	for option in --help --version; do
		# shellcheck disable=SC2016
		run -1 --separate-stderr sh -c '"$0" "$1" >/dev/full' "$NETMON" "$option"
		equal "$output" ''
		equal "$stderr" "netmon: cannot write 'standard output': No space left on device"
	done
}

@test "--help ends quietly if its reader has gone" {
	run -0 --separate-stderr python3 -c '
import os, subprocess, sys
gone, pipe = os.pipe()
os.close(gone)
sys.exit(subprocess.run([sys.argv[1], "--help"], stdout=pipe).returncode)' "$NETMON"
	equal "$stderr" ""
}

@test "every option is accepted, short and long" {
	taken -i 1
	taken -i1
	taken --interval 1
	taken --interval=1
	taken -n 1
	taken --count 1
	taken -w 5
	taken --window 5
	local word
	for word in csv tsv jsonl table prom; do
		taken -f "$word"
		taken --format "$word"
	done
	taken -o pid
	taken --output pid
	taken --no-header
	taken -s pid
	taken --sort pid
	taken -t 3
	taken --top 3
	taken -a
	taken --all
	taken -p 1
	taken --pid 1
	taken --max-processes 100
	taken --max-entries 100
	taken -o all
	taken -o +proto,family
	for word in epoch iso local none; do
		taken --time "$word"
	done
	for word in si iec none; do
		taken -f table --units "$word"
	done
	taken --total
	taken --to "$BATS_TEST_TMPDIR/out"
	taken -p 1,2,4194304
	for word in 'curl*' '' '!sshd' 'a,!b' "$(seq -s , 16)"; do
		taken --comm "$word"
	done
	taken --unit 'nginx*.service' --container 3fb6a1c2d4e5
	taken --unit '!*.scope,!*.slice' --container 'a,b'
	for word in root 0 65534 12345 root,1 '!root' '!0,!1'; do
		taken --user "$word"
	done
	taken --proto tcp
	taken --proto tcp,udp,icmp,sctp,packet,253,0
	taken --port 80
	taken --port 1,65535
	taken --port '!22,!80'
	taken --proto '!tcp,!17'
	taken -p '!1,!2'
	taken --layer ip --iface '!lo,!eth0'
	for word in 10.0.0.0/8 192.0.2.1 0.0.0.0/0 2001:db8::/32 ::1 ::/0 '!10.0.0.0/8' \
		'10.0.0.0/8,!10.1.0.0/16,::1' private '!loopback,multicast,link-local'; do
		taken --net "$word"
	done
	taken --no-loopback
	for word in auto tracepoint fexit kprobe; do
		taken --attach "$word"
	done
	taken -v
	taken --verbose
	taken -av -f tsv
}

@test "numbers are accepted up to their limits" {
	local number
	for number in 0.01 .01 0.010 0.5 1. 00001 86400 86400.000 0.0100000000000000001; do
		taken -i "$number"
	done
	taken -n 1
	taken -n 1000000000000000
	taken -w 1
	taken -w 3600
	taken -t 1
	taken -t 1000000000000000
	taken -p 1
	taken -p 4194304
	taken --max-processes 1
	taken --max-processes 4194304
	taken --max-entries 1
	taken --max-entries 4194304
}

@test "an interval that is not a number or out of range is refused" {
	local number
	for number in 0 abc 1x 0.009 86401 -1 '' 1e3 0x10 nan inf ' 1' '1 ' +1 . .. 1.1. 1,5 -0 \
		0.0 0.00999999999 86400.1 99999999999999999999 1.0000000000x 1.0000000000. \
		18446744073709551617 99999999999999999999x; do
		refused "'$number' for --interval" -i "$number"
		refused "'$number' for --interval" --interval="$number"
	done
	refused "'' for --interval: not a number" -i ''
	refused "'.' for --interval: not a number" -i .
	refused "'0' for --interval: out of range" -i 0
}

@test "each option that takes a number refuses other text, and numbers out of range" {
	local option
	for option in count window top pid port max-processes max-entries; do
		for number in -1 0 '' x 1x 1.5 1. ' 1' +1 1e3 0x10 99999999999999999999 \
			18446744073709551617 18446744073709551620; do
			refused "'$number' for --$option" "--$option=$number"
		done
	done
	refused "'-1' for --count" -n -1
	refused "'0' for --top" -t 0
	refused "'0' for --window" -w 0
	refused "'3601' for --window" -w 3601
	refused "'0' for --pid" -p 0
	refused "'4194305' for --pid" -p 4194305
	refused "'4294967297' for --pid" -p 4294967297
}

@test "an unknown format is refused with the list of formats" {
	local word
	for word in xml '' CSV "csv," cs csvx; do
		refused "'$word' for --format" -f "$word"
		contains "$stderr" 'csv, tsv, jsonl, table or prom'
	done
}

@test "an unknown way to attach is refused with the list of ways" {
	refused "'x' for --attach" --attach x
	contains "$stderr" 'auto, tracepoint, fexit or kprobe'
	refused "'' for --attach" --attach ''
}

@test "an unknown way to write the time is refused with the list of ways" {
	refused "'x' for --time" --time x
	contains "$stderr" 'epoch, iso, local or none'
	refused "'kb' for --units" -f table --units kb
	contains "$stderr" 'si, iec or none'
	refused 'cannot use --units without --format table' --units si -f csv
	refused 'cannot use --time with --format prom' --time iso -f prom
	refused "'none' for --time: -o has no other column" --time none -o time
}

@test "filters that can match nothing are refused" {
	local word
	for word in nosuchuser '' -1 4294967295 4294967296 99999999999999999999 1x ' 1' 1.5; do
		refused "'$word' for --user: no such user" --user="$word"
	done
	for word in nosuch '' TCP tcp4 1x; do
		refused "'$word' for --proto" --proto="$word"
	done
	refused "'' for --proto" --proto=tcp,
	refused "'65535' for --proto: out of range" --proto 65535
	refused "'systemd-resolved*' for --comm: a name has at most 15 bytes" --comm 'systemd-resolved*'
	refused 'cannot use --count with a command without --interval' -n 3 -- true
	refused "cannot use column 'tx_retrans' without --layer ip" -s tx_retrans
	refused "cannot sort by 'pid:up': write COLUMN, COLUMN:asc or COLUMN:desc" -s pid:up
	refused 'cannot use --layer with --pin: pinned probes count calls' --pin --layer ip
	refused "cannot pin to '/sys/fs/bpf/x-new-0123abcd': netmon makes pins under names" --pin /sys/fs/bpf/x-new-0123abcd
	refused "'18' for --proto: more than 16" --proto "$(seq -s , 2 18)"
	refused "'0' for --port: out of range" --port 80,0
	refused "'65536' for --port: out of range" --port 65536
	refused "'' for --port" --port 80,,81
	refused "'17' for --port: more than 16" --port "$(seq -s , 17)"
	for word in '' x 10 10.0.0 10.0.0.0.0 256.0.0.1 /8 ! 10.0.0.0/ 10.0.0.0/33 10.0.0.0/x \
		2001:db8::/129 2001:db8::g '!' '!!10.0.0.0/8' 10.0.0.0/8/8 ' 10.0.0.1' \
		1111:2222:3333:4444:5555:6666:7777:8888:9999/64 0x7f.1; do
		refused "for --net: " --net="$word"
	done
	refused "'::ffff:10.0.0.0/104' for --net: write it as an IPv4 network" --net ::ffff:10.0.0.0/104
	refused "'10.0.0.1/8' for --net: host bits are set: use 10.0.0.0/8" --net 10.0.0.1/8
	refused "'2001:db8::1/64' for --net: host bits are set: use 2001:db8::/64" --net 2001:db8::1/64
	refused "'17.0.0.0/8' for --net: more than 16" --net "$(seq -f %g.0.0.0/8 -s , 17)"
	refused "for --net: more than 16" --net private,private,private,private,loopback
	refused "'Private' for --net" --net Private
	refused "'!22' for --port: not a whole number" --port '!!22'
	for word in '80,!22' '!22,80'; do
		refused "'$word' for --port: put '!' before every element, or before none" --port "$word"
	done
	refused "'root,!1' for --user: put '!' before" --user 'root,!1'
	refused "'!tcp,udp' for --proto: put '!' before" --proto '!tcp,udp'
	refused "'1,!2' for --pid: put '!' before" -p '1,!2'
	refused "'lo,!eth0' for --iface: put '!' before" --layer ip --iface 'lo,!eth0'
	for word in 'veth*' 'eth?' 'eth[01]'; do
		refused "'$word' for --iface: it takes names, not patterns" --layer ip --iface "$word"
	done
	refused "'17' for --comm: more than 16" --comm "$(seq -s , 17)"
	for word in gnome-terminal-server 'curl,!gnome-terminal-server'; do
		refused "'gnome-terminal-server' for --comm: a name has at most 15 bytes: use 'gnome-terminal-'" --comm "$word"
	done
	refused "for --comm: File name too long" --comm "$(printf '%04096d' 0)"
	for word in nginx '' '!nginx' 'ssh*,nginx'; do
		refused " for --unit: a unit's name ends in its type, such as nginx.service" --unit "$word"
	done
	refused "'' for --container: it takes names, ids and patterns" --container 'web,'
	refused "'4194305' for --pid" -p 1,4194305
	refused "'' for --pid" -p 1,
}

@test "--cgroup takes paths that exist, patterns and lists, and '!' before them" {
	needs_cgroups
	taken --cgroup '!/'
	taken --cgroup '/,*.service'
	taken --cgroup '!*.scope,/system.slice/[a-m]*'
	refused "'/no/such/cgroup' for --cgroup: no such cgroup" --cgroup /no/such/cgroup
	for word in '' '!' '/,' ',*'; do
		refused "'' for --cgroup: it takes paths and patterns" --cgroup "$word"
	done
	refused "'/no/such/cgroup' for --cgroup: no such cgroup" --cgroup '/*,!/no/such/cgroup'
	refused "'17' for --cgroup: more than 16" --cgroup "$(seq -s , 17)"
	refused "for --cgroup: File name too long" --cgroup "$(printf '%04096d' 0)"
	for word in '/,/' '!*.service'; do
		refused 'cannot use a list or a pattern for --cgroup with --pin' --pin --cgroup "$word"
	done
	refused "'/..' for --cgroup: no such cgroup" --cgroup /..
	refused "'a/../..' for --cgroup: no such cgroup" --cgroup a/../..
}

@test "options that do not go with a command are refused" {
	refused "--pid with a command" -p 1 -- true
	refused "'true': put '--' before a command, and no spaces in a list" true
	refused "'true': put '--' before a command" --to -- true
	refused "'true': put '--' before a command" -n 1 true --
	refused "'' for --to" --to ''
}

@test "--pin, --status and --unpin accept a directory, after = too, and options in any order" {
	for mode in --pin --status --unpin; do
		taken $mode
		taken $mode dir
		taken $mode=dir
		taken $mode -v
		taken -v $mode
		taken $mode dir -v
		taken $mode
		refused "'more'" $mode dir more
		refused "''" $mode ''
		refused "for a directory: File name too long" $mode "$(printf '%05000d' 1)"
	done
	taken --pin -i 5 -o +proto -p 1 --user root --proto tcp --port 80 --net ::1 --no-loopback \
		--max-processes 9 --max-entries 9 --attach fexit --pin-group 0 --replace
	taken --status -f jsonl --no-header --time iso --to file
	taken --from dir -n 1
	taken --no-pin -- true
}

@test "options that mean nothing for --pin, --status or --unpin are refused" {
	for option in '-n 1' '-w 2' '-f csv' --no-header '--time iso' '-s pid' '-t 1' --total -a '--comm x' '--unit x.service' '--container x' \
		'--to x' '--from x' --no-pin; do
		# shellcheck disable=SC2086	# an option and its argument
		refused ' with --pin' --pin $option
	done
	for option in '-i 1' '-n 1' '-o pid' '-p 1' --no-loopback '--attach auto' '--max-processes 1' '--from x'; do
		# shellcheck disable=SC2086
		refused ' with --status' --status $option
		# shellcheck disable=SC2086
		refused ' with --unpin' $option --unpin
	done
	refused 'with --pin: give it to the netmon that reads the pin' --pin --unit x.service
	refused 'cannot use --pin-group without --pin' --pin-group 0
	refused 'cannot use --replace without --pin' --replace
	refused 'cannot use --replace with --unpin' --unpin --replace
	refused 'cannot use a command with --pin' --pin -- true
	refused 'at the same time' --pin --unpin
	refused 'at the same time' --status --pin
	refused 'cannot use --from with --no-pin' --from x --no-pin
	refused 'cannot use --from with a command' --from x -- true
	refused "cannot use 'no-such-group' for --pin-group: no such group" --pin --pin-group no-such-group
	refused "cannot use '4294967295' for --pin-group: no such group" --pin --pin-group 4294967295
}

@test "netmon ends with 1, and does not run the command, if the file of --to cannot be opened" {
	run -1 --separate-stderr "$NETMON" --to /no/such/file -- touch "$BATS_TEST_TMPDIR/ran"
	equal "$stderr" "netmon: cannot open '/no/such/file': No such file or directory"
	[ ! -e "$BATS_TEST_TMPDIR/ran" ]
}

@test "an unknown column is refused with the list of columns" {
	local all
	all=$(column_names | tr '\n' ' ')
	refused "'nosuch'" -o nosuch
	equal "${stderr_lines[0]##*the columns are: }" "${all% }"
	refused "'nosuch'" -o pid,nosuch
	refused "'nosuch'" -o +nosuch
	refused "'PID'" -o PID
	refused "'pi'" -o pi
	refused "'pids'" -o pids
	refused "' pid'" -o ' pid'
	refused "'': separate names by one comma, without spaces" -o ''
	refused "''" -o +
	refused "''" -o pid,,comm
	refused "''" -o ,pid
	refused "''" -o pid,
	refused "'+pid'" -o comm,+pid
	refused "'pid:asc'" -o pid:asc
}

@test "options that do not go with --format prom are refused" {
	taken -f prom -o +rx_rate,user
	refused "cannot use column 'rx_total' twice" -f prom -o +rx_total
	refused 'cannot use --total with --format prom' -f prom --total
	refused 'cannot use --append with --format prom' -f prom --to x --append
	refused 'cannot use --format prom with --status' --status -f prom
	refused 'cannot use --format prom: -o has no column with a number' -f prom -o pid,comm
}

@test "a column named twice is refused" {
	refused "'pid'" -o pid,pid
	refused "'pid'" -o pid,comm,pid
	refused "'pid'" -o +pid
	refused "'rx_total'" -o +rx_total,rx_total
}

@test "an unknown order is refused" {
	refused "'nosuch'" -s nosuch
	contains "$stderr" ' tx_total'
	refused "''" -s ''
	refused "''" -s pid,
	refused "':asc'" -s :asc
	refused "'rx_rate:up'" -s rx_rate:up
	refused "'rx_rate:'" -s rx_rate:
	refused "'rx_rate:asc'" -s rx_rate:asc:desc
	refused "'-rx_rate'" -s -rx_rate
	refused "'rx_rate'" -s rx_rate,rx_rate
	refused "'rx_rate'" -s rx_rate:asc,pid,rx_rate:desc
}

@test "an order by a key that is not among the columns is refused" {
	refused "'pid'" -o comm,rx_rate -s pid
	refused "'pid'" -s pid -o comm,rx_rate
	refused "'comm'" -o pid,rx_rate -s rx_rate,comm:desc
	# measures can be sort columns even if they are not shown
	taken -o comm -s rx_total,dt
}

@test "stray arguments, unknown options and missing arguments are refused" {
	refused "'stray'" stray
	refused "'stray'" -n 1 stray
	refused "''" ''
	refused "'-'" -
	refused "'--nosuch'" --nosuch
	refused "'-x': no such option" -x
	refused "'-x': no such option" --total -axz
	refused "'-\\xc3': no such option" -é
	refused "'-i': it needs an argument" -i
	refused "'--a': it can mean --append --all --attach" --a
	refused "'--pi=3': it can mean --pid --pin --pin-group" --pi=3
	refused "netmon: cannot use '--x\\nnetmon: forged': no such option" $'--x\nnetmon: forged'
}

@test "INTERVAL and COUNT are accepted as operands" {
	taken 5
	taken 0.5 12
	taken 5 12 -f tsv
	taken -f tsv 5 -o pid 12 --total
	taken 1 2 -- 3
	refused "'7': put '--' before a command" 5 3 7
	refused "'5x' for --interval" 5x
	refused "'0' for --interval" 0
	refused "'1.5' for --count" 1 1.5
	refused "'5': --interval is already given" -i 1 5
	refused "'5': --count is already given" -n 1 1 5
	refused "'x'" 5 x
}

@test "an empty command is refused" {
	refused "cannot run '': there is no command after '--'" --
	refused "cannot run '': there is no command after '--'" -i 1 --
	refused "cannot run '': there is no command after '--'" 1 --
	refused "cannot run '': there is no command after '--'" -- ''
	refused "cannot run '': there is no command after '--'" -- '' x
}

@test "--append is refused without --to" {
	refused 'cannot use --append without --to' --append
	refused 'cannot use --append with --pin' --append --pin
	taken --to x --append
}

@test "netmon reports the first wrong argument, even if --help follows" {
	refused "'xml'" -f xml -i 0
	refused "'xml'" -f xml --help
}

@test "netmon without privileges ends with 1 and names the capabilities that it needs" {
	run -1 --separate-stderr unprivileged --no-pin -n 1
	equal "$output" ''
	contains "${stderr_lines[0]}" 'netmon: cannot '
	contains "$stderr" CAP_BPF
	contains "$stderr" CAP_PERFMON
	equal "${#stderr_lines[@]}" 1
}

@test "random command lines end with 0 or 2, and never crash netmon" {
	run -0 python3 "$here/unit/random-options.py" vectors "$BUILD/t/replay" 1 1500
	equal "$output" ''
}

@test "random numbers are accepted in range, and refused out of range" {
	run -0 python3 "$here/unit/random-options.py" numbers "$BUILD/t/replay" 1 1500
	equal "$output" ''
}

@test "a name in a message can neither forge another message nor control a terminal" {
	refused "netmon: cannot use 'é\\nnetmon: \\x1b[1mforged\\r\\t\\xff\\xc2\\x9b\\\\n\\x7f' for --user: no such user" \
		--user $'é\nnetmon: \e[1mforged\r\t\xff\xc2\x9b\\n\x7f'
}
