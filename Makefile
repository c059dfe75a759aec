# netmon: how much each process sends and receives
# 'make help' prints the lines that begin with '##'.

VERSION := 0.1.0

## CC                     compiles netmon (clang); aarch64-linux-gnu-gcc makes build/arm64/netmon,
##                        with PKG_CONFIG_LIBDIR, the folder of that architecture's libraries
ifeq ($(origin CC),default)
CC := clang
endif
## CLANG                  compiles the probes (clang); from version 14 on
CLANG ?= clang
## BUILD_CC               compiles what runs during a build for another architecture (CLANG)
BUILD_CC ?= $(CLANG)
## CFLAGS, CPPFLAGS, LDFLAGS  added to netmon's own flags (-O2 -g)
CFLAGS ?= -O2 -g
## V=1                    show the commands
## STATIC=1               one file without libraries, build/static/netmon
## SANITIZE=1             with the address and undefined-behaviour sanitizers
## BPFTOOL, PKG_CONFIG, BATS  these programs
BPFTOOL ?= $(firstword $(shell command -v bpftool) /usr/sbin/bpftool)
PKG_CONFIG ?= pkg-config
BATS ?= bats
## VMLINUX_H, VMLINUX_BTF  the kernel's types (vmlinux.h); what 'make vmlinux.h' takes them from
VMLINUX_BTF ?= /sys/kernel/btf/vmlinux
VMLINUX_H ?= vmlinux.h
## PREFIX, DESTDIR        where to install (/usr/local); what to put before it
PREFIX ?= /usr/local
## UNITDIR, SYSUSERSDIR   where systemd's files go: if systemd is here, below PREFIX; empty: nowhere
SYSTEMD := $(wildcard /usr/lib/systemd/system /lib/systemd/system)
UNITDIR ?= $(if $(SYSTEMD),$(PREFIX)/lib/systemd/system)
SYSUSERSDIR ?= $(if $(UNITDIR),$(PREFIX)/lib/sysusers.d)
# The architectures of CC's output and of this machine, as the kernel's source names them.
AS_KERNEL := sed 's/-.*//; s/x86_64\|i.86/x86/; s/aarch64/arm64/; s/^arm[^6].*/arm/; s/s390x/s390/; $\
	s/^ppc.*/powerpc/; s/\(powerpc\|riscv\|loongarch\|mips\).*/\1/'
# Without CC, which 'make deps' might yet install, it is this machine's.
HOST_ARCH := $(shell uname -m | $(AS_KERNEL))
ARCH := $(or $(shell $(CC) -dumpmachine 2>/dev/null | $(AS_KERNEL)),$(HOST_ARCH))

CROSS := $(filter-out $(HOST_ARCH),$(ARCH))

ifdef SANITIZE
BUILD := build/$(CROSS:%=%-)sanitize
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifdef STATIC
BUILD := build/$(CROSS:%=%-)static
STATIC_CPPFLAGS := -DNETMON_STATIC
STATIC_LDFLAGS := -static -Wl,--gc-sections -Wl,-z,noseparate-code
OR_NO_LIBELF = || { test -z "$$(nm $$($(CC) -print-file-name=libelf.a) 2>/dev/null | \
	grep ' U eu_search_tree_init')" || echo "make: cannot link 'libelf.a': elfutils 0.192 leaves out" \
	"eu_search_tree_* (its bug 32293): use libelf of 0.193 or newer (PKG_CONFIG_PATH), or build on" \
	"Debian 12 or sid: the binary runs here too" >&2; exit 1; }
else
BUILD := build$(CROSS:%=/%)
endif
NETMON := $(or $(filter-out build/netmon,$(BUILD)/netmon),netmon)

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow
DEFINES := -D_GNU_SOURCE= -DNETMON_VERSION='"$(VERSION)"'
# the binary must not depend on the source directory
PREFIX_MAP := -ffile-prefix-map='$(CURDIR)'=.
# -isystem: no warnings about generated headers
INCLUDES = -I. -isystem $(BUILD) $(shell $(PKG_CONFIG) --cflags libbpf)
LIBS = $(shell $(PKG_CONFIG) $(if $(STATIC),--static) --libs libbpf libelf zlib)
COMPILE = $(CC) -std=gnu11 $(DEFINES) $(STATIC_CPPFLAGS) $(INCLUDES) -MMD -MP $(WARNINGS) $(SANITIZERS) \
	$(PREFIX_MAP) $(CPPFLAGS) $(CFLAGS)
# no columns: the binary contains the source lines that the verifier can quote
# -fms-extensions: vmlinux.h has anonymous members of a named type since Linux 7.2
BPF_CFLAGS := -O2 -g -gno-column-info -target bpf -mcpu=v2 -D__TARGET_ARCH_$(ARCH) -ffile-compilation-dir=. \
	-fms-extensions -Wno-microsoft-anon-tag -Wall -Wextra -Wshadow -Wno-unused-parameter \
	-Wno-unknown-warning-option -Wno-default-const-init-var-unsafe

SOURCES := netmon.c options.c command.c names.c users.c cgroup.c unit.c table.c probes.c pin.c history.c report.c columns.c format.c prom.c block.c text.c status.c check.c message.c
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
UNITS := $(patsubst systemd/%.in,%,$(wildcard systemd/*.in))
SYSUSERS := $(wildcard systemd/*.conf)
COMPLETIONS := $(BUILD)/completion/netmon.bash $(BUILD)/completion/netmon.zsh $(BUILD)/completion/netmon.fish
SANITIZED_TESTS := 500-live 505-check 507-attach 510-every-case 520-pipes 525-signals 527-to 530-load \
	540-key-columns 545-full-table 547-cgroups 550-command 560-examples 570-layer-ip 585-systemd 590-pin
# The sources that the tables of options and columns need.
TABLES := options.c columns.c report.c history.c message.c users.c cgroup.c unit.c text.c
RELEASES := amd64 arm64
TRIPLET_amd64 := x86_64-linux-gnu
TRIPLET_arm64 := aarch64-linux-gnu
TESTS := history table-layout names unit-names traffic replay bpf-works hinder-bpf short-processes renames \
	tcp-info forged-tables forged-about
TEST_PROGRAMS := $(TESTS:%=$(BUILD)/t/%)
BENCH_PROGRAMS := $(BUILD)/t/bench/hammer $(BUILD)/t/bench/crowd $(BUILD)/t/bench/empty \
	$(BUILD)/t/bench/turns

BUILD_PACKAGES := clang bpftool libbpf-dev libelf-dev zlib1g-dev pkg-config
CHECK_PACKAGES := bats parallel codespell jq bc miller csvkit datamash python3 python3-pandas procps iproute2 util-linux mandoc curl gnuplot-nox sqlite3 systemd binutils \
	nftables ethtool gcc musl-tools git logrotate bash-completion zsh fish
# Packages with daemons, which the tests only unpack; before Debian 13, promtool is in the package prometheus.
UNPACKED_PACKAGES := promtool,prometheus prometheus-node-exporter
LONG_PACKAGES := build-essential debhelper lintian
# Compilers whose probes must load on each kernel, as far as the archive has them.
CLANGS := clang-14 clang-16 clang-19 clang-22
# Before Debian 13, virtiofsd is in QEMU's packages.
VM_PACKAGES := qemu-system-x86 qemu-system-arm busybox-static cpio kmod xz-utils zstd lz4 lld \
	debian-archive-keyring $(CLANGS) \
	$(if $(wildcard /usr/lib/qemu/virtiofsd),,virtiofsd)
BENCH_PACKAGES := python3 binutils util-linux redis-server redis-tools nginx-light wrk iperf3 nethogs \
	bpftrace bpfcc-tools libbpf-tools bandwhich strace
STATIC_PACKAGES := libc6-dev libzstd-dev
SANITIZE_PACKAGES := libclang-rt-dev
ANALYZE_PACKAGES := cppcheck clang-tidy
# The compiler and libraries of each architecture; for this machine's, the native ones.
HOST_DEBIAN := $(HOST_ARCH:x86=amd64)
RELEASE_LIBRARIES := libc6-dev libbpf-dev libelf-dev zlib1g-dev libzstd-dev
RELEASE_PACKAGES = gcc $(RELEASE_LIBRARIES) $(foreach arch,$(filter-out $(HOST_DEBIAN),$(RELEASES)),\
	gcc-$(subst _,-,$(TRIPLET_$(arch))) $(RELEASE_LIBRARIES:%=%:$(arch)))
PACKAGES = $(BUILD_PACKAGES) \
	$(if $(filter check check-long check-vm coverage,$(MAKECMDGOALS)),$(CHECK_PACKAGES)) \
	$(if $(filter check-long,$(MAKECMDGOALS)),$(LONG_PACKAGES)) \
	$(if $(filter check-vm coverage,$(MAKECMDGOALS)),$(VM_PACKAGES)) \
	$(if $(filter analyze,$(MAKECMDGOALS)),$(ANALYZE_PACKAGES)) \
	$(if $(filter bench,$(MAKECMDGOALS)),$(BENCH_PACKAGES)) \
	$(if $(STATIC)$(filter check check-long bench,$(MAKECMDGOALS)),$(STATIC_PACKAGES)) \
	$(if $(SANITIZE)$(filter check-long,$(MAKECMDGOALS)),$(SANITIZE_PACKAGES)) \
	$(if $(filter release,$(MAKECMDGOALS)),$(RELEASE_PACKAGES))

# seconds to wait while another process installs packages
APT_WAITS := -o DPkg::Lock::Timeout=600

# unix.Malloc reports false errors in the skeleton that bpftool generates
TIDY_CHECKS := -*,clang-analyzer-core.*,clang-analyzer-deadcode.*,clang-analyzer-unix.*,$\
	-clang-analyzer-unix.Malloc,bugprone-*,-bugprone-easily-swappable-parameters,$\
	-bugprone-suspicious-string-compare,-bugprone-reserved-identifier

ifdef V
Q :=
say := @:
else
Q := @
say := @printf '  %-8s %s\n'
endif

## make                   builds ./netmon
all: $(NETMON) $(COMPLETIONS)

## make help              prints these lines
help:
	@awk '/^## [^ ]/ { target = $$2 == "make" } /^## / && target { print substr($$0, 4) }' Makefile
	@printf '\nVariables, as in make V=1:\n'
	@awk '/^## [^ ]/ { target = $$2 == "make" } /^## / && !target { print substr($$0, 4) }' Makefile

# Under sudo, the tree's owner still owns what is built, and so can rebuild and remove it.
AS_OWNER := $(shell [ "$$(id -u)" != 0 ] || stat -c '%u %g' . | \
	sed '/^0 /d; s/\(.*\) \(.*\)/setpriv --reuid=\1 --regid=\2 --clear-groups --/')
AS_OWNER_MAKE = $(Q)$(AS_OWNER) $(MAKE) --no-print-directory $(if $(V),,-s)
# Begins a command that only root can run: what it writes to build/ is given to the owner at its end.
GIVING_TO_OWNER = $(if $(AS_OWNER),trap 'chown -hR --reference=. build' EXIT;)

# Goals run in the order of the command line: 'make deps check'.
.NOTPARALLEL:

$(NETMON): $(OBJECTS)
	$(say) LINK $@
	$(Q)$(CC) -pthread $(SANITIZERS) $(CFLAGS) $(STATIC_LDFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(OR_NO_LIBELF)

$(BUILD)/%.o: %.c
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -c -o $@ $<

$(BUILD)/probes.o: $(BUILD)/netmon.skel.h

$(BUILD)/netmon.skel.h: $(BUILD)/netmon.bpf.o
	$(say) SKELETON $@
	$(Q)$(BPFTOOL) gen object $(BUILD)/netmon.linked.o $<
	$(Q)$(BPFTOOL) gen skeleton $(BUILD)/netmon.linked.o name netmon_bpf > $@.new
	$(Q)mv $@.new $@

# The compiler reads one file, by its standard input, and writes to its standard output: clang keeps the
# absolute path of each file that it opens, and the order of types in BTF depends on the length of these
# paths, since LLVM sorts by address what is only pointed at (BTFDebug::FixupDerivedTypes).
$(BUILD)/%.bpf.o: %.bpf.c netmon.h filter.h packets.bpf.h headers.bpf.h mptcp.bpf.h kernel.h $(VMLINUX_H)
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -include $(VMLINUX_H) -include kernel.h -I. $(shell $(PKG_CONFIG) --cflags libbpf) \
		-E -frewrite-includes -o $(@:.o=.i) $<
	$(Q)$(CLANG) $(BPF_CFLAGS) -x c -c -o - - <$(@:.o=.i) >$@

# vmlinux.h is a source file, which make writes again only if it is a goal.
ifneq ($(filter vmlinux.h,$(MAKECMDGOALS)),)
.PHONY: vmlinux.h
endif
## make vmlinux.h         writes the kernel's types again
vmlinux.h:
	$(say) BTF $(VMLINUX_H)
	$(Q)$(BPFTOOL) btf dump file $(VMLINUX_BTF) format c > $(VMLINUX_H).new
	$(Q)mv $(VMLINUX_H).new $(VMLINUX_H)

# The program runs on this machine, for which netmon need not be built.
$(BUILD)/completion/complete: completion/complete.c $(TABLES) $(wildcard *.h)
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(if $(CROSS),$(BUILD_CC),$(CC)) -std=gnu11 $(DEFINES) -o $@ $(filter %.c,$^)

$(BUILD)/completion/netmon.%: completion/netmon.% $(BUILD)/completion/complete
	$(say) SHELL $@
	$(Q)$(BUILD)/completion/complete <$< >$@

$(BUILD)/t/history $(BUILD)/t/table-layout $(BUILD)/t/names: t/unit/tap.h
$(BUILD)/t/history: t/unit/history.c $(BUILD)/history.o
$(BUILD)/t/table-layout: t/unit/table-layout.c $(BUILD)/table.o $(BUILD)/message.o $(BUILD)/text.o
$(BUILD)/t/unit-names: t/unit/unit-names.c $(BUILD)/unit.o
$(BUILD)/t/names: t/unit/names.c $(BUILD)/names.o $(BUILD)/users.o $(BUILD)/cgroup.o $(BUILD)/unit.o $(BUILD)/message.o $(BUILD)/text.o
$(BUILD)/t/replay: t/unit/replay.c $(BUILD)/options.o $(BUILD)/message.o $(BUILD)/users.o $(BUILD)/cgroup.o $(BUILD)/unit.o $(BUILD)/history.o $(BUILD)/report.o $(BUILD)/columns.o $(BUILD)/format.o $(BUILD)/prom.o $(BUILD)/block.o $(BUILD)/text.o
$(BUILD)/t/traffic: $(wildcard t/traffic/*.c)
# The generator is not part of netmon, and does not run with a leak sanitizer.
$(BUILD)/t/traffic: SANITIZERS :=

$(BUILD)/t/bpf-works: t/lib/bpf-works.c
# A library to preload.
$(BUILD)/t/hinder-bpf: t/lib/hinder-bpf.c
$(BUILD)/t/hinder-bpf: LDLIBS = -shared -fPIC -ldl
$(BUILD)/t/hinder-bpf: SANITIZERS :=
$(BUILD)/t/short-processes: t/lib/short-processes.c
$(BUILD)/t/renames: t/lib/renames.c
$(BUILD)/t/tcp-info: t/lib/tcp-info.c
$(BUILD)/t/forged-about: t/lib/forged-about.c
$(BUILD)/t/forged-tables: t/unit/forged-tables.c $(BUILD)/table.o $(BUILD)/message.o $(BUILD)/text.o
$(BUILD)/t/bpf-works: LDLIBS = $(LIBS)

$(BENCH_PROGRAMS): $(BUILD)/%: %.c
$(BUILD)/t/bench/empty $(BUILD)/t/bench/turns: LDLIBS = $(LIBS)
$(BUILD)/t/bench/empty: | $(BUILD)/t/bench/empty.bpf.o $(BUILD)/t/bench/least.bpf.o

$(TEST_PROGRAMS) $(BENCH_PROGRAMS):
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -pthread -MF $@.d $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

## make run               builds and runs it; ARGS='-i 5 -f tsv' passes options
run:
	$(AS_OWNER_MAKE) $(NETMON)
	./$(NETMON) $(ARGS)

## make check             runs the tests; as root also the live ones, which need the kernel
## T, FILTER              make check: which files (t/500-live.bats); which tests, by a part of the title
check: export T := $(T)
check: export FILTER := $(FILTER)
check:
	$(AS_OWNER_MAKE) all $(TEST_PROGRAMS)
	$(Q)NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) BATS=$(BATS) LONG=$(or $(LONG),0) \
		t/lib/check $(BATS_FLAGS)

## make check-long        runs the tests that take longer, some of the others at full size, and live
##                        ones with the sanitizers
check-long:
	$(Q)$(MAKE) --no-print-directory check LONG=1 \
		T='$(or $(T),t/long t/530-load.bats t/540-key-columns.bats t/590-pin.bats)'
	$(if $(T),,$(Q)$(MAKE) --no-print-directory check SANITIZE=1 T='$(SANITIZED_TESTS:%=t/%.bats)')

## make bench             measures what netmon costs, and compares it with other tools; as root;
##                        QUICK=1 only tries it; ARGS='compare seen': these parts, see t/bench/bench
bench:
	$(AS_OWNER_MAKE) all $(TEST_PROGRAMS) $(BENCH_PROGRAMS)
	$(AS_OWNER_MAKE) STATIC=1
	$(Q)$(AS_OWNER) touch $(BUILD)/bench.csv
	$(Q)NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) QUICK=$(QUICK) t/bench/bench $(ARGS)

# A netmon with the probes of each compiler.
compilers:
	$(Q)for clang in $(CLANGS); do \
		! command -v $$clang >/dev/null || $(MAKE) --no-print-directory CLANG=$$clang \
			BUILD=$(BUILD)/$$clang NETMON=$(BUILD)/$$clang/netmon || exit; done

# A netmon for arm64, with the libraries of its virtual machines; and with the oldest and the newest compiler.
# Under sudo, only root can read these libraries.
arm64:
	$(Q)$(GIVING_TO_OWNER) root=$$(t/vm/run --arm64-root) && \
		$(MAKE) --no-print-directory LDFLAGS=-fuse-ld=lld \
		CC="$(CLANG) --target=aarch64-linux-gnu --sysroot=$$root" PKG_CONFIG_SYSROOT_DIR=$$root \
		PKG_CONFIG_LIBDIR=$$root/usr/lib/aarch64-linux-gnu/pkgconfig all test-programs compilers \
		CLANGS='$(firstword $(CLANGS)) $(lastword $(CLANGS))'

test-programs: $(TEST_PROGRAMS)

## make check-vm          runs the live tests under other kernels, in virtual machines, in half an hour
## KERNEL=6.1, ALL=1      make check-vm: under that kernel only; every test, which takes hours
check-vm:
	$(AS_OWNER_MAKE) all $(TEST_PROGRAMS) compilers
	$(Q)$(MAKE) --no-print-directory arm64
	$(GIVING_TO_OWNER) NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) \
		t/vm/test-kernels $(if $(ALL),-a) -k $(CURDIR)/$(BUILD)/check-vm $(KERNEL)

## make coverage          writes t/COVERAGE.md: what is counted under which kernel
coverage:
	$(AS_OWNER_MAKE) all $(TEST_PROGRAMS) compilers
	$(Q)$(MAKE) --no-print-directory arm64
	NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) t/vm/write-table

## make analyze           runs static analysis
analyze: $(BUILD)/netmon.skel.h
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem -D_GNU_SOURCE= -DNETMON_VERSION='""' \
		'-Dbpf_object__for_each_program(program, object)=for (;;)' -I. $(SOURCES)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY_CHECKS)' \
		$(SOURCES) -- -std=gnu11 $(DEFINES) $(CPPFLAGS) $(INCLUDES)

## make deps              installs what the other targets on the command line need (Debian, Ubuntu)
deps:
	$(Q)missing=; for package in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || \
			missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit; fi; \
	if ! command -v apt-get >/dev/null; then \
		echo "make: cannot install what is needed: no apt-get here: install what your system" \
			"calls these packages of Debian's: $(PACKAGES)" >&2; exit 1; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "make: cannot install$$missing: not root: use sudo" >&2; exit 1; fi; \
	for package in $$missing; do \
		case $$package in *:*) dpkg --add-architecture $${package#*:} || exit ;; esac; done; \
	apt-get $(APT_WAITS) update || exit; \
	wanted=; for package in $$missing; do \
		case $$package in virtiofsd | bandwhich | clang-[0-9]*) \
			apt-cache show $$package >/dev/null 2>&1 || continue ;; \
		esac; wanted="$$wanted $$package"; done; \
	DEBIAN_FRONTEND=noninteractive apt-get $(APT_WAITS) install --yes --no-install-recommends $$wanted
	$(Q)$(if $(filter check check-long,$(MAKECMDGOALS)),$(AS_OWNER) t/lib/unpack build/tools $(UNPACKED_PACKAGES))

# All that make install writes below PREFIX, except the files of systemd.
INSTALLED = sbin/netmon share/man/man8/netmon.8 share/doc/netmon \
	share/bash-completion/completions/netmon share/zsh/site-functions/_netmon \
	share/fish/vendor_completions.d/netmon.fish

## make install           installs netmon
install: $(if $(AS_OWNER),,$(NETMON) $(COMPLETIONS))
	$(if $(AS_OWNER),$(Q)$(MAKE) -q all || $(AS_OWNER) $(MAKE) --no-print-directory all)
	install -D -m 755 $(NETMON) '$(DESTDIR)$(PREFIX)/sbin/netmon'
	install -D -m 644 man/netmon.8 '$(DESTDIR)$(PREFIX)/share/man/man8/netmon.8'
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/doc/netmon' README.md CHANGELOG.md
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/doc/netmon/examples' examples/*
	install -D -m 644 $(BUILD)/completion/netmon.bash \
		'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/netmon'
	install -D -m 644 $(BUILD)/completion/netmon.zsh '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_netmon'
	install -D -m 644 $(BUILD)/completion/netmon.fish \
		'$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/netmon.fish'
	$(if $(SYSUSERSDIR),install -D -m 644 -t '$(DESTDIR)$(SYSUSERSDIR)' $(SYSUSERS))
	$(if $(UNITDIR),mkdir -p '$(DESTDIR)$(UNITDIR)')
	$(if $(UNITDIR),for unit in $(UNITS); do \
		sed 's|@sbindir@|$(PREFIX)/sbin|' systemd/$$unit.in >'$(DESTDIR)$(UNITDIR)'/$$unit && \
		chmod 644 '$(DESTDIR)$(UNITDIR)'/$$unit || exit; done)

## make uninstall         removes what make install has installed
uninstall:
	$(if $(DESTDIR)$(PREFIX),cd '$(DESTDIR)$(PREFIX)' 2>/dev/null && rm -rf $(INSTALLED) || :)
	$(if $(SYSUSERSDIR),cd '$(DESTDIR)$(SYSUSERSDIR)' 2>/dev/null && rm -f $(notdir $(SYSUSERS)) || :)
	$(if $(UNITDIR),cd '$(DESTDIR)$(UNITDIR)' 2>/dev/null && rm -f $(UNITS) || :)

# The files of the last commit, with its time.
## make dist              writes build/release/netmon-VERSION.tar.gz, the source of the last commit
dist:
	$(Q)mkdir -p build/release
	$(Q)git archive --prefix=netmon-$(VERSION)/ HEAD >build/release/netmon.tar
	$(say) DIST build/release/netmon-$(VERSION).tar.gz
	$(Q)gzip -9n <build/release/netmon.tar >build/release/netmon-$(VERSION).tar.gz && rm build/release/netmon.tar

## make release           writes static binaries for amd64 and arm64, and SHA256SUMS, to build/release
release:
	$(AS_OWNER_MAKE) build/release/SHA256SUMS
	$(Q)cat build/release/SHA256SUMS

build/release/SHA256SUMS: $(RELEASES:%=build/release/netmon-$(VERSION)-%)
	$(Q)cd build/release && sha256sum netmon-$(VERSION)* >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS

build/release/netmon-$(VERSION)-%: FORCE
	$(Q)$(MAKE) --no-print-directory STATIC=1 CC=$(TRIPLET_$*)-gcc BUILD=build/release/$* \
		PKG_CONFIG_LIBDIR=/usr/lib/$(TRIPLET_$*)/pkgconfig build/release/$*/netmon
	$(Q)$(TRIPLET_$*)-strip -o $@ build/release/$*/netmon

## make clean             removes what was built
clean:
	rm -rf build netmon

FORCE:

.PHONY: all help run check check-long bench compilers arm64 test-programs check-vm coverage analyze deps install uninstall dist release clean FORCE
.DELETE_ON_ERROR:

-include $(OBJECTS:.o=.d) $(TEST_PROGRAMS:=.d) $(BENCH_PROGRAMS:=.d)
