#!/usr/bin/env bats
# What a release is made of.

load ../lib/common

@test "two clones give the same make release for each architecture whose libraries are here" {
	cd "$BATS_TEST_TMPDIR"
	# another architecture's come by make deps release
	architectures=$(for arch in amd64:x86_64 arm64:aarch64; do
		[ ! -e "/usr/lib/${arch#*:}-linux-gnu/libbpf.a" ] || echo "${arch%:*}"
	done)
	[ -n "$architectures" ]
	for clone in one two/deeper; do
		mkdir -p "$clone"
		git -C "$here/.." ls-files -z | tar -C "$here/.." --null -T - -c | tar -C "$clone" -x
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
