#!/usr/bin/env bats
# What make install installs, and make uninstall removes again.

load lib/common

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	prefix=$PWD/usr
}

# make_target TARGET [VARIABLE=VALUE]...: in the source tree, without a build of its own
make_target() {
	make -C "$here/.." -o netmon NETMON="$NETMON" PREFIX="$prefix" "$@"
}

@test "make install installs the program, the manual and the units, and make uninstall removes them" {
	make_target install UNITDIR="$prefix/lib/systemd/system"
	equal "$(cd usr && find . -type f | sort)" "$(printf '%s\n' ./lib/systemd/system/netmon-log.service \
		./lib/systemd/system/netmon-pin.service ./sbin/netmon ./share/doc/netmon/examples/logrotate \
		./share/man/man8/netmon.8)"
	equal "$(usr/sbin/netmon --version)" "$("$NETMON" --version)"
	make_target uninstall UNITDIR="$prefix/lib/systemd/system"
	equal "$(find usr -type f)" ''
	make_target install UNITDIR=
	equal "$(cd usr && find . -type f | sort)" "$(printf '%s\n' ./sbin/netmon ./share/doc/netmon/examples/logrotate ./share/man/man8/netmon.8)"
}

@test "make install accepts a DESTDIR with a space, and no installed file names it" {
	package="$PWD/my package"
	make_target install DESTDIR="$package" PREFIX=/usr UNITDIR=/usr/lib/systemd/system
	grep -qx 'ExecStop=/usr/sbin/netmon --unpin' "$package/usr/lib/systemd/system/netmon-pin.service"
	! grep -r "$PWD" "$package" --include='*.service' || fail 'found'
	make_target uninstall DESTDIR="$package" PREFIX=/usr UNITDIR=/usr/lib/systemd/system
	equal "$(find . -type f)" ''
}

@test "systemd accepts the units, and finds them hardened" {
	make_target install UNITDIR="$prefix/lib/systemd/system"
	for unit in usr/lib/systemd/system/*.service; do
		run -0 systemd-analyze verify --man=no "$unit"
		equal "$output" ''
		systemd-analyze security --offline=true --threshold=40 --no-pager "$unit" >said 2>&1 ||
			fail "$(cat said)"
	done
}

@test "netmon accepts the command lines of the units" {
	for unit in "$here"/../systemd/*.in; do
		words=$(sed -n 's/^Environment="[A-Z_]*=\(.*\)"$/\1/p' "$unit")
		sed -n 's/^ExecSt[a-z]*=@sbindir@.netmon //p' "$unit" | while read -r line; do
			# shellcheck disable=SC2086	# options are words
			run -0 "$NETMON" ${line//\$NETMON_*_OPTIONS/$words} --version
		done
	done
}
