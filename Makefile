# netmon: which process uses the network, how much
#
#   make help             these lines
#   make                  build ./netmon            V=1 shows the commands
#   make run              build and run it          ARGS='-i 5 -f tsv'
#   make check            the tests                 as root: the live ones need the kernel
#                         T=t/500-live.bats: those of a file; FILTER='rate': those with that in the title
#   make check-long       those that take longer, and some of the others at full size
#   make check-vm         the live tests under other kernels, in virtual machines (KERNEL=6.1),
#                         so many as take half an hour; ALL=1: all of them, which takes hours
#   make coverage         what is counted on which kernel: writes t/COVERAGE.md
#   make bench            what netmon costs, and what other tools do; as root; QUICK=1 only to see that it
#                         works; ARGS='compare seen': those parts, see t/bench/bench
#   make STATIC=1         one file without libraries: build/static/netmon
#   make CC=aarch64-linux-gnu-gcc PKG_CONFIG_LIBDIR=...   for another architecture: build/arm64/netmon
#   make check SANITIZE=1 the same with the address and undefined-behaviour sanitizers
#   make analyze          static analysis
#   make install          PREFIX, DESTDIR, UNITDIR
#   make deps             install what the targets named beside it need (Debian, Ubuntu)
#   make vmlinux.h        regenerate the types    VMLINUX_BTF=/sys/kernel/btf/vmlinux

VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := clang
endif
CLANG ?= clang
BPFTOOL ?= $(firstword $(shell command -v bpftool) /usr/sbin/bpftool)
PKG_CONFIG ?= pkg-config
BATS ?= bats
VMLINUX_BTF ?= /sys/kernel/btf/vmlinux
VMLINUX_H ?= vmlinux.h
PREFIX ?= /usr/local
# Where systemd is, units go below PREFIX, where it looks for them too.
UNITDIR ?= $(if $(wildcard /usr/lib/systemd/system /lib/systemd/system),$(PREFIX)/lib/systemd/system)
# What CC compiles for, and what make runs on, as the kernel's source calls it.
AS_KERNEL := sed 's/-.*//; s/x86_64\|i.86/x86/; s/aarch64/arm64/; s/^arm[^6].*/arm/; s/s390x/s390/; $\
	s/^ppc.*/powerpc/; s/\(powerpc\|riscv\|loongarch\|mips\).*/\1/'
ARCH := $(shell $(CC) -dumpmachine | $(AS_KERNEL))
HOST_ARCH := $(shell uname -m | $(AS_KERNEL))

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
CFLAGS ?= -O2 -g
DEFINES := -D_GNU_SOURCE= -DNETMON_VERSION='"$(VERSION)"'
# the same binary wherever the source lies
PREFIX_MAP := -ffile-prefix-map='$(CURDIR)'=.
# generated headers are not ours to warn of
INCLUDES = -I. -isystem $(BUILD) $(shell $(PKG_CONFIG) --cflags libbpf)
LIBS = $(shell $(PKG_CONFIG) $(if $(STATIC),--static) --libs libbpf libelf zlib)
COMPILE = $(CC) -std=gnu11 $(DEFINES) $(STATIC_CPPFLAGS) $(INCLUDES) -MMD -MP $(WARNINGS) $(SANITIZERS) \
	$(PREFIX_MAP) $(CPPFLAGS) $(CFLAGS)
# no columns: what the verifier may quote is in the binary
# -fms-extensions: vmlinux.h has anonymous members of a named type since Linux 7.2
BPF_CFLAGS := -O2 -g -gno-column-info -target bpf -mcpu=v2 -D__TARGET_ARCH_$(ARCH) $(PREFIX_MAP) \
	-fms-extensions -Wno-microsoft-anon-tag -Wall -Wextra -Wshadow -Wno-unused-parameter \
	-Wno-unknown-warning-option -Wno-default-const-init-var-unsafe

SOURCES := netmon.c options.c command.c names.c users.c cgroup.c unit.c table.c probes.c pin.c history.c report.c columns.c format.c prom.c block.c text.c status.c message.c
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
UNITS := netmon-pin.service netmon-log.service
TESTS := history names unit traffic replay bpf-works short-processes renames forged-tables
TEST_PROGRAMS := $(TESTS:%=$(BUILD)/t/%)
BENCH_PROGRAMS := $(BUILD)/t/bench/hammer $(BUILD)/t/bench/crowd $(BUILD)/t/bench/empty \
	$(BUILD)/t/bench/turns

BUILD_PACKAGES := clang bpftool libbpf-dev libelf-dev zlib1g-dev pkg-config
CHECK_PACKAGES := bats codespell jq bc python3 procps iproute2 util-linux mandoc curl gnuplot-nox sqlite3 systemd binutils \
	nftables ethtool gcc musl-tools logrotate
# Whose probes must load on each kernel: those of them that the archive has.
CLANGS := clang-14 clang-16 clang-19 clang-22
# Before Debian 13, virtiofsd is a part of QEMU's packages and has none of its own.
VM_PACKAGES := qemu-system-x86 qemu-system-arm busybox-static cpio kmod xz-utils zstd lz4 lld \
	debian-archive-keyring $(CLANGS) \
	$(if $(wildcard /usr/lib/qemu/virtiofsd),,virtiofsd)
BENCH_PACKAGES := python3 binutils util-linux redis-server redis-tools nginx-light wrk iperf3 nethogs \
	bpftrace bpfcc-tools libbpf-tools bandwhich strace
STATIC_PACKAGES := libc6-dev libzstd-dev
SANITIZE_PACKAGES := libclang-rt-dev
ANALYZE_PACKAGES := cppcheck clang-tidy
PACKAGES = $(BUILD_PACKAGES) \
	$(if $(filter check check-long check-vm coverage,$(MAKECMDGOALS)),$(CHECK_PACKAGES)) \
	$(if $(filter check-vm coverage,$(MAKECMDGOALS)),$(VM_PACKAGES)) \
	$(if $(filter analyze,$(MAKECMDGOALS)),$(ANALYZE_PACKAGES)) \
	$(if $(filter bench,$(MAKECMDGOALS)),$(BENCH_PACKAGES)) \
	$(if $(STATIC)$(filter check check-long bench,$(MAKECMDGOALS)),$(STATIC_PACKAGES)) \
	$(if $(SANITIZE),$(SANITIZE_PACKAGES))

# seconds, where another one installs packages
APT_WAITS := -o DPkg::Lock::Timeout=600

# unix.Malloc would complain of the skeleton that bpftool generates
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

all: $(NETMON)

help:
	@sed '1,2d; s/^# \{0,1\}//; /^$$/q' Makefile

# Goals in the order in which they stand on the command line: 'make deps check'.
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

$(BUILD)/%.bpf.o: %.bpf.c netmon.h filter.h packets.bpf.h kernel.h $(VMLINUX_H)
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -include $(VMLINUX_H) -include kernel.h -I. $(shell $(PKG_CONFIG) --cflags libbpf) -c -o $@ $<

# A source file like the others, unless it is asked for by name.
ifneq ($(filter vmlinux.h,$(MAKECMDGOALS)),)
.PHONY: vmlinux.h
endif
vmlinux.h:
	$(say) BTF $(VMLINUX_H)
	$(Q)$(BPFTOOL) btf dump file $(VMLINUX_BTF) format c > $(VMLINUX_H).new
	$(Q)mv $(VMLINUX_H).new $(VMLINUX_H)

$(BUILD)/t/history: t/unit/history.c $(BUILD)/history.o
$(BUILD)/t/unit: t/unit/unit.c $(BUILD)/unit.o
$(BUILD)/t/names: t/unit/names.c $(BUILD)/names.o $(BUILD)/users.o $(BUILD)/cgroup.o $(BUILD)/unit.o $(BUILD)/message.o $(BUILD)/text.o
$(BUILD)/t/replay: t/unit/replay.c $(BUILD)/options.o $(BUILD)/message.o $(BUILD)/users.o $(BUILD)/cgroup.o $(BUILD)/unit.o $(BUILD)/history.o $(BUILD)/report.o $(BUILD)/columns.o $(BUILD)/format.o $(BUILD)/prom.o $(BUILD)/block.o $(BUILD)/text.o
$(BUILD)/t/traffic: $(wildcard t/traffic/*.c)
# The generator is no part of netmon, and does what a leak sanitizer does not survive.
$(BUILD)/t/traffic: SANITIZERS :=

$(BUILD)/t/bpf-works: t/lib/bpf-works.c
$(BUILD)/t/short-processes: t/lib/short-processes.c
$(BUILD)/t/renames: t/lib/renames.c
$(BUILD)/t/forged-tables: t/unit/forged-tables.c $(BUILD)/table.o $(BUILD)/message.o $(BUILD)/text.o
$(BUILD)/t/bpf-works: LDLIBS = $(LIBS)

$(BENCH_PROGRAMS): $(BUILD)/%: %.c
$(BUILD)/t/bench/empty $(BUILD)/t/bench/turns: LDLIBS = $(LIBS)
$(BUILD)/t/bench/empty: | $(BUILD)/t/bench/empty.bpf.o

$(TEST_PROGRAMS) $(BENCH_PROGRAMS):
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -pthread -MF $@.d $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

# By sudo too, what is built is of the tree's owner, who can build again, and remove it.
AS_OWNER := $(shell [ "$$(id -u)" != 0 ] || stat -c '%u %g' . | \
	sed '/^0 /d; s/\(.*\) \(.*\)/setpriv --reuid=\1 --regid=\2 --clear-groups --/')
AS_OWNER_MAKE = $(Q)$(AS_OWNER) $(MAKE) --no-print-directory $(if $(V),,-s)

run:
	$(AS_OWNER_MAKE) $(NETMON)
	./$(NETMON) $(ARGS)

check:
	$(AS_OWNER_MAKE) $(NETMON) $(TEST_PROGRAMS)
	$(Q)NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) BATS=$(BATS) LONG=$(or $(LONG),0) T='$(T)' FILTER='$(FILTER)' \
		t/lib/check $(BATS_FLAGS)

# What takes too long for each time: at full size, and t/long.
check-long:
	$(Q)$(MAKE) --no-print-directory check LONG=1 \
		T='$(or $(T),t/long t/530-load.bats t/540-key-columns.bats t/590-pin.bats)'

bench: $(NETMON) $(TEST_PROGRAMS) $(BENCH_PROGRAMS)
	$(Q)$(MAKE) --no-print-directory STATIC=1
	$(Q)NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) QUICK=$(QUICK) t/bench/bench $(ARGS)

# The probes by each compiler, in programs of their own.
compilers:
	$(Q)for clang in $(CLANGS); do \
		! command -v $$clang >/dev/null || $(MAKE) --no-print-directory CLANG=$$clang \
			BUILD=$(BUILD)/$$clang NETMON=$(BUILD)/$$clang/netmon || exit; done

# The same for the virtual machines of arm64, with their libraries.
arm64:
	$(Q)root=$$(t/vm/run --arm64-root) && $(MAKE) --no-print-directory LDFLAGS=-fuse-ld=lld \
		CC="$(CLANG) --target=aarch64-linux-gnu --sysroot=$$root" PKG_CONFIG_SYSROOT_DIR=$$root \
		PKG_CONFIG_LIBDIR=$$root/usr/lib/aarch64-linux-gnu/pkgconfig all test-programs

test-programs: $(TEST_PROGRAMS)

# Not as root only: the machines are virtual.
check-vm: $(NETMON) $(TEST_PROGRAMS) compilers arm64
	NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) t/vm/test-kernels $(if $(ALL),-a) \
		-k $(CURDIR)/$(BUILD)/matrix $(KERNEL)

coverage: $(NETMON) $(TEST_PROGRAMS) compilers arm64
	NETMON=$(CURDIR)/$(NETMON) BUILD=$(CURDIR)/$(BUILD) t/vm/write-table

analyze: $(BUILD)/netmon.skel.h
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem -D_GNU_SOURCE= -DNETMON_VERSION='""' \
		'-Dbpf_object__for_each_program(program, object)=for (;;)' -I. $(SOURCES)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY_CHECKS)' \
		$(SOURCES) -- -std=gnu11 $(DEFINES) $(CPPFLAGS) $(INCLUDES)

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
	apt-get $(APT_WAITS) update || exit; \
	wanted=; for package in $$missing; do \
		case $$package in virtiofsd | bandwhich | clang-[0-9]*) \
			apt-cache show $$package >/dev/null 2>&1 || continue ;; \
		esac; wanted="$$wanted $$package"; done; \
	DEBIAN_FRONTEND=noninteractive apt-get $(APT_WAITS) install --yes --no-install-recommends $$wanted

install: $(NETMON)
	install -D -m 755 $(NETMON) '$(DESTDIR)$(PREFIX)/sbin/netmon'
	install -D -m 644 man/netmon.8 '$(DESTDIR)$(PREFIX)/share/man/man8/netmon.8'
	install -D -m 644 examples/logrotate '$(DESTDIR)$(PREFIX)/share/doc/netmon/examples/logrotate'
	$(if $(UNITDIR),mkdir -p '$(DESTDIR)$(UNITDIR)')
	$(if $(UNITDIR),for unit in $(UNITS); do \
		sed 's|@sbindir@|$(PREFIX)/sbin|' systemd/$$unit.in >'$(DESTDIR)$(UNITDIR)'/$$unit && \
		chmod 644 '$(DESTDIR)$(UNITDIR)'/$$unit || exit; done)

uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/sbin/netmon' '$(DESTDIR)$(PREFIX)/share/man/man8/netmon.8'
	rm -rf '$(DESTDIR)$(PREFIX)/share/doc/netmon'
	$(if $(UNITDIR),cd '$(DESTDIR)$(UNITDIR)' 2>/dev/null && rm -f $(UNITS) || :)

clean:
	rm -rf build netmon

.PHONY: all help run check check-long bench compilers arm64 test-programs check-vm coverage analyze deps install uninstall clean
.DELETE_ON_ERROR:

-include $(OBJECTS:.o=.d) $(TEST_PROGRAMS:=.d) $(BENCH_PROGRAMS:=.d)
