#!/usr/bin/env bats
# What the Makefile builds with: compilers, C libraries, architectures.

load lib/common

setup() {
	top=${here%/*}
	cd "$BATS_TEST_TMPDIR" || return
}

# clone DIRECTORY: copies the source tree without built files
clone() {
	mkdir -p "$1"
	tar -C "$top" -c --exclude=./build --exclude=./netmon --exclude=./.git . | tar -C "$1" -x
}

# build DIRECTORY [ARGUMENT]...: runs make; fails on a warning
build() {
	run -0 make -C "$1" --no-print-directory "${@:2}"
	[[ $output != *warning:* ]] || fail "$output"
}

# compile [VARIABLE=VALUE]...: compiles all objects of the program; fails on a warning
compile() {
	local objects
	objects=$(make -s -C "$top" --eval 'objects: ; @echo $(OBJECTS:$(BUILD)/%=%)' objects)
	# shellcheck disable=SC2086	# words
	build "$top" BUILD="$PWD/build" "$@" $(printf "$PWD/build/%s " $objects)
}

@test "two clones in different directories give the same binary, and no warning, by gcc" {
	clone one
	clone two/deeper
	build one CC=gcc
	build two/deeper CC=gcc
	cmp one/netmon two/deeper/netmon
}

@test "after 'make run' by root, root owns nothing in the tree, and its owner can build and clean it" {
	[ "$(id -u)" = 0 ] || skip 'not root'
	clone tree
	chown -R 65534:65534 tree
	cd tree
	run -0 make -s run CC=gcc ARGS=--version
	equal "${lines[-1]}" "$("$NETMON" --version)"
	[ -e build/netmon.o ]
	equal "$(find . ! -user 65534)" ''
	as_owner=(setpriv --reuid=65534 --regid=65534 --clear-groups -- make -s CC=gcc)
	run -0 "${as_owner[@]}" all
	run -0 "${as_owner[@]}" all
	equal "$output" ''
	run -0 "${as_owner[@]}" clean
	[ ! -e build ]
}

@test "the user's CPPFLAGS and CFLAGS are added to those that netmon needs" {
	compile CPPFLAGS=-DUNUSED CFLAGS='-O1 -Werror'
}

@test "netmon compiles with the headers of musl" {
	[ -n "$(command -v musl-gcc)" ] || fail 'no musl-gcc: make deps check'
	mkdir headers
	for header in linux asm-generic bpf libelf.h gelf.h zlib.h zconf.h; do
		ln -s "/usr/include/$header" headers/
	done
	ln -s "/usr/include/$(gcc -dumpmachine)/asm" headers/
	compile CC=musl-gcc CPPFLAGS="-isystem $PWD/headers"
}

# clangs: those that are installed, the oldest first
clangs() { compgen -c clang- | grep -xE 'clang-(1[4-9]|[2-9][0-9])' | sort -uV; }

@test "each clang that is installed compiles the probes without a warning" {
	[ -n "$(clangs)" ] || fail 'no clang of a version: make deps check'
	for clang in $(clangs); do
		build "$top" BUILD="$PWD/$clang" CLANG="$clang" "$PWD/$clang/netmon.bpf.o"
	done
}

@test "the newest clang that is installed makes the same probes in any directory" {
	# an order that depends on addresses also depends on the length of the path
	long=$(printf 'x%.0s' {1..90}) clang=$(clangs | tail -1)
	for directory in a "${long:0:20}" "$long"; do
		clone "$directory"
		build "$directory" BUILD="build/$clang" CLANG="$clang" "build/$clang/netmon.bpf.o"
		cmp {a,"$directory"}"/build/$clang/netmon.bpf.o"
	done
}

# compile_probes THIRD: for this third of the architectures whose registers bpf/bpf_tracing.h knows
compile_probes() {
	sed -nE 's/^#(el)?if defined\(__TARGET_ARCH_([a-z0-9]+)\)$/\2/p' /usr/include/bpf/bpf_tracing.h >known
	[ "$(wc -l <known)" -ge 9 ]
	for arch in $(awk -v "third=$1" 'NR % 3 == third' known); do
		build "$top" BUILD="$PWD/$arch" ARCH="$arch" "$PWD/$arch/netmon.bpf.o"
	done
}

@test "the probes compile with this vmlinux.h for every architecture of libbpf: 1 of 3" { compile_probes 0; }
@test "the probes compile with this vmlinux.h for every architecture of libbpf: 2 of 3" { compile_probes 1; }
@test "the probes compile with this vmlinux.h for every architecture of libbpf: 3 of 3" { compile_probes 2; }

@test "make help names every target that is meant for users, once, and no other" {
	# except targets for parts: of the build, of the virtual machines
	targets=$(sed -n 's/^\.PHONY: //p' "$top/Makefile" | sed 's/^vmlinux\.h$//' | tr ' ' '\n' |
		grep -vxE 'all|compilers|arm64|test-programs|FORCE|')
	[ "$(wc -l <<<"$targets")" -gt 10 ]
	make -s -C "$top" help >help
	equal "$(sed -n 's/^make \([a-z.-]\+\)  .*/\1/p' help | sort)" "$( (echo "$targets"; echo vmlinux.h) | sort)"
	grep -q '^make  ' help
	! grep -nE '^.{105}' help || fail 'too long'
}

@test "make help names every variable that a user can set, and each is used" {
	make -s -C "$top" help | sed -n '/^Variables/,$s/  .*//p' | tr -d ' ' | tr , '\n' |
		sed 's/=.*//; /^$/d; /^Variables/d' | sort -u >named
	sed -nE 's/^([A-Z_]+) \?=.*/\1/p' "$top/Makefile" | sort -u >settable
	equal "$(comm -13 named settable)" ''
	while read -r variable; do
		echo "$variable"
		grep -qE "\\\$\($variable\)|ifdef $variable\b|\(if \\\$\($variable\)" "$top/Makefile"
	done <named
}

@test "two clones give the same make dist, which has every file of the commit" {
	for clone in one two/deeper; do
		clone "$clone"
		(
			cd "$clone"
			git init -q
			git add .
			GIT_COMMITTER_DATE='2001-02-03 04:05:06 +0000' git -c user.name=a -c user.email=a commit \
				--quiet --message all --date '2001-02-03 04:05:06 +0000'
			touch not-committed
			make -s dist
		)
	done
	tarball=build/release/netmon-$(sed -n 's/^VERSION := //p' "$top/Makefile").tar.gz
	cmp "one/$tarball" "two/deeper/$tarball"
	tar -xf "one/$tarball"
	equal "$(cd netmon-* && find . -type f | sort)" "$(git -C one ls-files | sed 's|^|./|' | sort)"
}
