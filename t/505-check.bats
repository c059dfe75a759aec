#!/usr/bin/env bats
# --check reports about this kernel what a netmon that counts reports.
load lib/common
load lib/live

# --check attaches the probes of both layers.
setup() {
	live_setup
	beside_layer_ip
}
teardown() { live_teardown; }

# check STATUS [COMMAND]...: runs [COMMAND] netmon --check; its lines go to ./check
check() {
	run "-$1" --separate-stderr "${@:2}" "$NETMON" --check
	equal "$stderr" ''
	echo "$output" >check
	contains "${lines[0]}" "$("$NETMON" --version), libbpf "
	contains "$output" "kernel: Linux $(uname -r) $(uname -m)"
}

# of_layer LAYER: the lines of ./check about the layer
of_layer() {
	sed -n "/^--layer $1:/,/^\$/s/^  //p" check
}

# found LAYER: everything, a part or nothing
found() {
	sed -n "s/^--layer $1: \(.*\) can be counted\$/\1/p" check
}

@test "--check reports the way of each probe, and what is not seen, as netmon does when it starts" {
	local status=3 layer
	for layer in socket ip; do
		# with every column, to have every probe; --check also includes those that follow a command
		"$NETMON" --no-pin --layer $layer -v -o all -n 1 -i 0.01 2>&1 >reports |
			sed -n '/^netmon: counting$/d; s/^netmon: \([a-z0-9_]*: \|counting; \)/\1/p' >"$layer" || true
	done
	if grep -q 'sock_send_length\|inet_sendmsg' ip && ! grep -q '^counting;' socket ip; then
		status=0
	fi
	check $status
	for layer in socket ip; do
		if [ ! -s $layer ]; then
			equal "$(found $layer)" nothing
			continue
		fi
		equal "$(of_layer $layer | grep -v '^task_newtask:')" "$(cat $layer)"
		if grep -q '^counting;' $layer; then
			equal "$(found $layer)" 'a part'
		else
			equal "$(found $layer)" everything
		fi
	done
}

@test "--check names the capability that is missing, and ends with 3" {
	# the kernel also accepts CAP_SYS_ADMIN instead
	check 3 setpriv --bounding-set -net_admin,-sys_admin --inh-caps -net_admin,-sys_admin
	contains "$output" 'capabilities: without CAP_NET_ADMIN, CAP_SYS_ADMIN'
	equal "$(found socket)" 'a part'
	contains "$(of_layer socket)" 'sendmsg4: no way to attach: '
	contains "$(of_layer socket)" 'the peer of an IPv4 datagram sent by an unconnected socket'
	equal "$(found ip)" nothing
	contains "$(of_layer ip)" "cannot load 'probes': Operation not permitted: run it as root, or with CAP_BPF, "
}

@test "--check without root ends with 1 and names the capabilities that it needs" {
	check 1 setpriv --reuid=65534 --clear-groups
	equal "$(found socket)" nothing
	equal "$(found ip)" nothing
	contains "$(of_layer socket)" "cannot load 'probes': Operation not permitted: run it as root, or with CAP_BPF and CAP_PERFMON"
}

@test "--check names the pin at the usual place, and leaves nothing behind" {
	# shellcheck disable=SC2016
	check 0 unshare -m --propagation private sh -euc 'mount -t bpf bpf /sys/fs/bpf
		"$0" --pin -q -o user
		status=0
		"$0" --check || status=$?
		[ "$(ls -d /sys/fs/bpf/netmon*)" = /sys/fs/bpf/netmon ]
		"$0" --unpin
		[ $status = 0 ] || [ $status = 3 ]'
	contains "$output" "pin: netmon $("$NETMON" --version | cut -d ' ' -f 2) in '/sys/fs/bpf/netmon', columns uid"
}
