#!/usr/bin/env bats
# What make install installs and make uninstall removes.

load lib/common

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	prefix=$PWD/usr
}

# make_target TARGET [VARIABLE=VALUE]...: runs make in the source tree
make_target() {
	make_built PREFIX="$prefix" "$@"
}

# The files below usr, except those of systemd.
plain_files() {
	printf './%s\n' sbin/netmon share/bash-completion/completions/netmon share/doc/netmon/CHANGELOG.md \
		share/doc/netmon/README.md share/fish/vendor_completions.d/netmon.fish share/man/man8/netmon.8 \
		share/zsh/site-functions/_netmon
	find "$here/../examples" -type f -printf './share/doc/netmon/examples/%P\n'
}

# The files of systemd.
systemd_files() {
	(cd "$here/../systemd" && printf './lib/systemd/system/%s\n' *.in | sed 's/\.in$//' &&
		find . -name '*.conf' -printf './lib/sysusers.d/%P\n')
}

@test "make install installs every file, and make uninstall removes them" {
	make_target install UNITDIR="$prefix/lib/systemd/system"
	equal "$(cd usr && find . -type f | sort)" "$( (plain_files; systemd_files) | sort)"
	equal "$(usr/sbin/netmon --version)" "$("$NETMON" --version)"
	make_target uninstall UNITDIR="$prefix/lib/systemd/system"
	equal "$(find usr -type f)" ''
	make_target install UNITDIR=
	equal "$(cd usr && find . -type f | sort)" "$(plain_files | sort)"
}

@test "make install accepts a DESTDIR with a space, and no installed file names it" {
	package="$PWD/my package"
	make_target install DESTDIR="$package" PREFIX=/usr UNITDIR=/usr/lib/systemd/system
	grep -qx 'ExecStop=/usr/sbin/netmon --unpin' "$package/usr/lib/systemd/system/netmon-pin.service"
	! grep -r "$PWD" "$package" --include='*.service' || fail 'found'
	make_target uninstall DESTDIR="$package" PREFIX=/usr UNITDIR=/usr/lib/systemd/system
	equal "$(find . -type f)" ''
}

@test "systemd accepts the units and rates their exposure at 1.4 of 10 or less" {
	make_target install UNITDIR="$prefix/lib/systemd/system"
	for unit in usr/lib/systemd/system/*.service; do
		run -0 systemd-analyze verify --man=no "$unit"
		equal "$output" ''
		most=10 # an exposure of 1.0 of 10
		[[ $unit == *log* ]] || most=14 # the others run as root, and load programs
		systemd-analyze security --offline=true --threshold=$most --no-pager "$unit" >said 2>&1 ||
			fail "$(cat said)"
	done
}

@test "netmon accepts the command lines of the units" {
	for unit in "$here"/../systemd/*.in; do
		words=$(sed -n 's/^Environment="[A-Z_]*=\(.*\)"$/\1/p' "$unit")
		# the group does not exist here
		sed -n 's/^ExecSt[a-z]*=@sbindir@.netmon //p' "$unit" | sed 's/--pin-group netmon/--pin-group root/' | while read -r line; do
			# shellcheck disable=SC2086	# options are words
			run -0 "$NETMON" ${line//\$NETMON_*_OPTIONS/$words} --version
		done
	done
}
