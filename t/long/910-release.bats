#!/usr/bin/env bats
# The files of a release.

load ../lib/common

# clone DIRECTORY: copies the source tree without built files
clone() {
	mkdir -p "$1"
	tar -C "$here/.." -c --exclude=./build --exclude=./netmon --exclude=./.git . | tar -C "$1" -x
}

@test "two clones give the same make release for each architecture whose libraries are here" {
	cd "$BATS_TEST_TMPDIR"
	# 'make deps release' installs those of other architectures
	architectures=$(for arch in amd64:x86_64 arm64:aarch64; do
		[ ! -e "/usr/lib/${arch#*:}-linux-gnu/libbpf.a" ] || echo "${arch%:*}"
	done)
	[ -n "$architectures" ]
	for clone in one two/deeper; do
		clone "$clone"
		make -s -C "$clone" release RELEASES="${architectures//$'\n'/ }" >said 2>&1
		! grep 'warning:' said
	done
	diff one/build/release/SHA256SUMS two/deeper/build/release/SHA256SUMS
	cd one/build/release
	sha256sum --check --quiet SHA256SUMS
	[ "$(wc -l <SHA256SUMS)" = "$(wc -l <<<"$architectures")" ]
	for file in netmon-*; do
		# stripped, and without libraries
		equal "$(readelf -S --wide "$file" | grep -cE '\.(symtab|debug_info|interp|dynamic) ')" 0
	done
	equal "$(./netmon-*-"$(dpkg --print-architecture)" --version)" "$("$NETMON" --version)"
}

@test "dpkg-buildpackage makes a package that passes lintian" {
	cd "$BATS_TEST_TMPDIR"
	clone netmon
	(cd netmon && DEB_BUILD_PROFILES=nocheck DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc)
	run -0 lintian --allow-root netmon_*.changes
	equal "$output" ''
	dpkg-deb --extract netmon_*.deb root
	equal "$(root/usr/sbin/netmon --version)" "$("$NETMON" --version)"
	# the files of make install; debhelper compresses documents, and before Debian 13 units are not below /usr
	make -s -C netmon install DESTDIR="$PWD/plain" PREFIX=/usr UNITDIR=/usr/lib/systemd/system >said
	equal "$(cd root && find . -type f ! -path '*/share/doc/*' | sed 's/\.gz$//; s|^\./lib/|./usr/lib/|' | sort)" \
		"$(cd plain && find . -type f ! -path '*/share/doc/*' | sort)"
}
