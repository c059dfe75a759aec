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

# ready_probes: makes ./clang, which writes the probes of this build, since to compile them takes 6 s
ready_probes() {
	cp "$BUILD/netmon.bpf.o" probes
	cat >clang <<-'END'
		#!/bin/sh
		case "$*" in
		*' -c -o - -') exec cat "${0%/*}/probes" ;;
		*) exec clang "$@" ;;
		esac
	END
	chmod +x clang
}

# compile [VARIABLE=VALUE]...: compiles all objects of the program; fails on a warning
compile() {
	local objects
	objects=$(make -s -C "$top" --eval 'objects: ; @echo $(OBJECTS:$(BUILD)/%=%)' objects)
	ready_probes
	# shellcheck disable=SC2086	# words
	build "$top" BUILD="$PWD/build" CLANG="$PWD/clang" "$@" $(printf "$PWD/build/%s " $objects)
}

@test "two clones in different directories give the same binary, and no warning, by gcc" {
	ready_probes # that the directory does not change them is tested below
	clone one
	clone two/deeper
	build one CC=gcc CLANG="$PWD/clang" &
	build two/deeper CC=gcc CLANG="$PWD/clang"
	wait $!
	cmp one/netmon two/deeper/netmon
}

@test "after 'make run' and 'make install' by root, root owns nothing in the tree, and its owner can build and clean it" {
	[ "$(id -u)" = 0 ] || cannot_run 'not root'
	clone tree
	cd tree
	ready_probes
	chown -R 65534:65534 .
	run -0 make -s run CC=gcc CFLAGS= CLANG=./clang ARGS=--version
	equal "${lines[-1]}" "$("$NETMON" --version)"
	[ -e build/netmon.o ]
	rm build/netmon.o
	run -0 make -s install CC=gcc CFLAGS= CLANG=./clang DESTDIR="$BATS_TEST_TMPDIR/installed"
	[ -e build/netmon.o ]
	equal "$(find . ! -user 65534)" ''
	as_owner=(setpriv --reuid=65534 --regid=65534 --clear-groups -- make -s CC=gcc CFLAGS= CLANG=./clang)
	run -0 "${as_owner[@]}" all
	run -0 "${as_owner[@]}" all
	equal "$output" ''
	run -0 "${as_owner[@]}" clean
	[ ! -e build ]
}

@test "the user's CPPFLAGS and CFLAGS are added to those that netmon needs" {
	compile CPPFLAGS=-DUNUSED CFLAGS='-O0 -Werror'
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

# compile_probes CLANG: compiles the probes to $BATS_FILE_TMPDIR/CLANG, once for all tests
compile_probes() {
	build "$top" BUILD="$BATS_FILE_TMPDIR/$1" CLANG="$1" "$BATS_FILE_TMPDIR/$1/netmon.bpf.o"
}

# two_at_a_time COMMAND ARGUMENT...: runs the command with each argument; fails if one fails
two_at_a_time() {
	local argument pid pids=()
	for argument in "${@:2}"; do
		[ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
		"$1" "$argument" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
}

@test "the oldest and the newest clang that are installed compile the probes without a warning" {
	[ -n "$(clangs)" ] || fail 'no clang of a version: make deps check'
	# shellcheck disable=SC2046	# words
	two_at_a_time compile_probes $(clangs | sed -n '1p; $p' | sort -u)
}

@test "each clang between them compiles the probes without a warning" {
	[ "$(clangs | wc -l)" -gt 2 ] || cannot_run "no more than two versions of clang are here: 'make deps check' gets them"
	# shellcheck disable=SC2046	# words
	two_at_a_time compile_probes $(clangs | sed '1d; $d')
}

# in_another_directory CLANG: it makes the same probes there; an order that depends on addresses also
# depends on the length of the path
in_another_directory() {
	local directory
	directory=$1/$(printf 'x%.0s' {1..90})
	compile_probes "$1"
	clone "$directory"
	build "$directory" BUILD="build/$1" CLANG="$1" "build/$1/netmon.bpf.o"
	cmp {"$BATS_FILE_TMPDIR/","$directory/build/"}"$1/netmon.bpf.o"
}

@test "the newest and the default clang make the same probes in any directory" {
	newest=$(clangs | tail -1) default=clang-$(clang -dumpversion | cut -d . -f 1)
	# shellcheck disable=SC2046	# words
	two_at_a_time in_another_directory $(printf '%s\n' "$newest" "$default" | sort -u)
}

@test "the probes compile with this vmlinux.h for every architecture whose registers libbpf knows" {
	sed -nE 's/^#(el)?if defined\(__TARGET_ARCH_([a-z0-9]+)\)$/\2/p' /usr/include/bpf/bpf_tracing.h >known
	[ "$(wc -l <known)" -ge 9 ]
	# architectures differ in types only, which clang checks before it makes code
	types_only='clang -fsyntax-only -Wno-unused-command-line-argument'
	while read -r arch; do
		build "$top" BUILD="$PWD/$arch" ARCH="$arch" CLANG="$types_only" "$PWD/$arch/netmon.bpf.o"
	done <known
}

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
