// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "netmon.skel.h"
#include "probes.h"

enum way { TP_BTF, CLASSIC, FEXIT, KPROBE, MULTI, WAYS };

static const struct {
	const char *name;         /* for -v */
	const char *suffix;       /* of the program: HOOK_SUFFIX */
	enum attach attach;       /* which --attach allows it */
} ways[WAYS] = {
	[TP_BTF] = { "tracepoint", "btf", ATTACH_TRACEPOINT },
	[CLASSIC] = { "classic tracepoint", "classic", ATTACH_TRACEPOINT },
	[FEXIT] = { "fexit", "fexit", ATTACH_FEXIT },
	[KPROBE] = { "kprobe", "kprobe", ATTACH_KPROBE },
	[MULTI] = { "kprobe.multi", "kprobe", ATTACH_KPROBE },
};

enum role { LIFE, SENDS, RECEIVES };

/* The hooks, in the order in which they are attached: the end of a process before
 * anything that gives it an entry.  A hook is not needed where the one named by `unless`,
 * an earlier one, is attached. */
static const struct hook {
	const char *name;
	const char *group;        /* of a tracepoint; NULL: a function */
	enum role role;
	const char *unless;
	const char *hole;         /* what goes wrong without it; NULL: others stand in */
} hooks[] = {
	{ "sched_process_exit", "sched", LIFE, NULL,
	  "ended processes keep their place in the table" },
	{ "task_rename", "task", LIFE, NULL, NULL },
	{ "__set_task_comm", NULL, LIFE, "task_rename",
	  "a process that changes its name keeps the old one" },
	{ "sock_send_length", "sock", SENDS, NULL, NULL },
	{ "sock_recv_length", "sock", RECEIVES, NULL, NULL },
	{ "inet_sendmsg", NULL, SENDS, "sock_send_length", "IPv4 sends are not counted" },
	{ "inet6_sendmsg", NULL, SENDS, "sock_send_length", "IPv6 sends are not counted" },
	{ "packet_sendmsg", NULL, SENDS, "sock_send_length", "AF_PACKET sends are not counted" },
	{ "inet_recvmsg", NULL, RECEIVES, "sock_recv_length", "IPv4 receives are not counted" },
	{ "inet6_recvmsg", NULL, RECEIVES, "sock_recv_length", "IPv6 receives are not counted" },
	{ "sock_common_recvmsg", NULL, RECEIVES, "sock_recv_length",
	  "SCTP and IPv6 raw receives are not counted" },
	{ "inet_sendpage", NULL, SENDS, NULL, "sendfile and splice into a socket are not counted" },
	{ "sock_splice_read", NULL, RECEIVES, NULL, "splice out of a socket is not counted" },
	{ "tcp_zerocopy_receive", NULL, RECEIVES, NULL, "TCP_ZEROCOPY_RECEIVE is not counted" },
};

enum {
	FIRST_MAPPED = 2048,      /* slots: 256 KiB, enough for most machines */
	UNUSED_IN_A_ROW = 256,
};

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

enum { HOOKS = LENGTH(hooks) };

/* What was last seen of a slot. */
struct seen {
	__u64 turn;
	bool over;                /* its occupant's end was reported */
	struct counters now;
	struct entry entry;
};

struct probes {
	struct probes_options options;
	struct bpf_link *links[2 * HOOKS];
	int programs[2 * HOOKS];   /* descriptors, for their misses */
	size_t count;              /* of both */
	int stats;                 /* descriptor of packet_stats */
	const struct slot *slots;  /* its first `mapped` slots */
	size_t mapped;
	size_t limit;              /* how many slots there are */
	struct seen *seen;         /* as many as are mapped */
	const __u64 *calls_missed;
	struct counters lost;      /* of processes that came and went between two readings */
	bool full_said;
};

/* Messages of libbpf go with -v only: a trial that fails is no error. */
static bool libbpf_verbose;

static int libbpf_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (!libbpf_verbose || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, format, arguments);
}

static void cannot(const char *verb, const char *object, int error, const char *advice)
{
	fprintf(stderr, "netmon: cannot %s '%s': %s%s%s\n", verb, object, strerror(error),
		advice ? ": " : "", advice ? advice : "");
}

/* In a user namespace that has these the kernel refuses all the same. */
static bool capable(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	__u64 effective;

	if (syscall(SYS_capget, &header, data))
		return true;
	effective = (__u64)data[1].effective << 32 | data[0].effective;
	return effective & 1ULL << CAP_SYS_ADMIN ||
	       ((effective & 1ULL << CAP_BPF) && (effective & 1ULL << CAP_PERFMON));
}

static const char *advice(int error)
{
	if (error == EPERM && !capable())
		return "run it as root, or with CAP_BPF and CAP_PERFMON";
	if (error == EPERM)
		return "before Linux 5.11 it may take 'ulimit -l unlimited'; "
		       "in a container, rights outside of it";
	return NULL;
}

/* Trials */

/* A program that does nothing, and one that would read kernel memory by address, as those
 * by kprobe do. */
static const struct bpf_insn does_nothing[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};
static const struct bpf_insn reads_kernel[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10 },
	{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 0 },
	{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel_str },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int load_trial(enum bpf_prog_type type, enum bpf_attach_type attach, int btf_id, bool reads)
{
	struct bpf_prog_load_opts options = {
		.sz = sizeof(options),
		.expected_attach_type = attach,
		.attach_btf_id = (__u32)btf_id,
	};

	return bpf_prog_load(type, "netmon_trial", "GPL", reads ? reads_kernel : does_nothing,
			     reads ? LENGTH(reads_kernel) : LENGTH(does_nothing), &options);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static bool try_btf(enum bpf_attach_type attach, int btf_id, bool reads)
{
	int program = load_trial(BPF_PROG_TYPE_TRACING, attach, btf_id, reads);
	int link = program < 0 ? -1 : bpf_raw_tracepoint_open(NULL, program);

	close_fd(link);
	close_fd(program);
	return link >= 0;
}

/* A number from a file of sysfs or tracefs, -1 where there is none. */
static int read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	int number = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%d", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

static bool try_perf(enum bpf_prog_type type, struct perf_event_attr *attributes)
{
	int program = load_trial(type, 0, 0, type == BPF_PROG_TYPE_KPROBE);
	int event = program < 0 ? -1 : (int)syscall(SYS_perf_event_open, attributes, -1, 0, -1,
						     PERF_FLAG_FD_CLOEXEC);
	bool works = event >= 0 && !ioctl(event, PERF_EVENT_IOC_SET_BPF, program);

	close_fd(event);
	close_fd(program);
	return works;
}

static bool try_classic(const struct hook *hook)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_TRACEPOINT,
					      .size = sizeof(attributes) };
	const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128];
	int id = -1;

	for (int i = 0; i < 2 && id < 0; i++) {
		snprintf(path, sizeof(path), "%s/events/%s/%s/id", roots[i], hook->group,
			 hook->name);
		id = read_number(path);
	}
	if (id < 0)
		return false;
	attributes.config = (__u64)id;
	return try_perf(BPF_PROG_TYPE_TRACEPOINT, &attributes);
}

static bool try_multi(const struct hook *hook)
{
	struct bpf_link_create_opts options = { .sz = sizeof(options) };
	int program, link;

	options.kprobe_multi.syms = (const char **)&hook->name;
	options.kprobe_multi.cnt = 1;
	options.kprobe_multi.flags = BPF_F_KPROBE_MULTI_RETURN;
	program = load_trial(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, 0, true);
	link = program < 0 ? -1
			   : bpf_link_create(program, 0, BPF_TRACE_KPROBE_MULTI, &options);
	close_fd(link);
	close_fd(program);
	return link >= 0;
}

static bool try_kprobe(const struct hook *hook)
{
	struct perf_event_attr attributes = { .size = sizeof(attributes) };
	int type = read_number("/sys/bus/event_source/devices/kprobe/type");

	if (type < 0)
		return false;
	attributes.type = (__u32)type;
	attributes.kprobe_func = (__u64)(unsigned long)hook->name;
	return try_perf(BPF_PROG_TYPE_KPROBE, &attributes);
}

static int btf_id(const struct btf *btf, const struct hook *hook)
{
	char name[64];

	if (!hook->group)
		return btf__find_by_name_kind(btf, hook->name, BTF_KIND_FUNC);
	snprintf(name, sizeof(name), "btf_trace_%s", hook->name);
	return btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
}

static bool try_way(enum way way, const struct hook *hook, int id)
{
	/* the new name is no typed pointer: lockdown (confidentiality) refuses to read it */
	bool reads = !strcmp(hook->name, "task_rename");

	switch (way) {
	case TP_BTF:
		return hook->group && try_btf(BPF_TRACE_RAW_TP, id, reads);
	case CLASSIC:
		return hook->group && try_classic(hook);
	case FEXIT:
		return !hook->group && try_btf(BPF_TRACE_FEXIT, id, false);
	case KPROBE:
		return !hook->group && hook->role != LIFE && try_kprobe(hook);
	case MULTI:
		return !hook->group && hook->role != LIFE && try_multi(hook);
	default:
		return false;
	}
}

/* Since Linux 7.0 tracepoints are called with preemption on, and preemption is always
 * possible.  Then a tp_btf or fexit program that is preempted makes the kernel skip it for
 * every other task on that CPU, while classic programs and kprobes run with preemption off.
 * A kretprobe of kprobe.multi has no limit of instances there, as that of a kprobe has
 * (fprobe on the function graph tracer, Linux 6.14).  Before, tp_btf is as exact as a
 * classic program, and cheaper. */
static bool tracing_is_preempted(void)
{
	struct utsname names;

	return !uname(&names) && strtol(names.release, NULL, 10) >= 7;
}

/* The best way for the hook, WAYS where there is none. */
static enum way choose_way(const struct probes_options *options, const struct hook *hook, int id)
{
	static const enum way orders[2][WAYS] = { { TP_BTF, CLASSIC, FEXIT, KPROBE, MULTI },
						  { CLASSIC, TP_BTF, MULTI, FEXIT, KPROBE } };
	const enum way *order = orders[tracing_is_preempted()];
	/* the life of a process can be seen by tracepoints only, whatever is asked for */
	bool forced = options->attach != ATTACH_AUTO && hook->role != LIFE;

	for (int i = 0; i < WAYS; i++) {
		if (forced && ways[order[i]].attach != options->attach)
			continue;
		if (try_way(order[i], hook, id))
			return order[i];
	}
	return WAYS;
}

/* Loading */

/* The index of a hook that the table has. */
static int find_hook(const char *name)
{
	int i = 0;

	while (strcmp(hooks[i].name, name))
		i++;
	return i;
}

static bool needed(const struct hook *hook, const enum way chosen[HOOKS])
{
	return !hook->unless || chosen[find_hook(hook->unless)] == WAYS;
}

/* Says what part of the traffic is not counted, or may not be. */
static void say_holes(const struct btf *btf, const enum way chosen[HOOKS])
{
	for (int i = 0; i < HOOKS; i++) {
		const struct hook *hook = &hooks[i];

		if (needed(hook, chosen) && chosen[i] == WAYS && hook->hole && btf_id(btf, hook) >= 0)
			fprintf(stderr, "netmon: cannot attach to '%s': refused by this kernel: %s\n",
				hook->name, hook->hole);
		if (chosen[i] == TP_BTF && tracing_is_preempted())
			fprintf(stderr, "netmon: cannot attach to '%s' as a classic tracepoint: "
				"is tracefs mounted and readable?  Under load this kernel may skip "
				"calls; netmon will say how many\n", hook->name);
	}
}

/* Chooses a way for each hook.  False where no way is left to count one direction. */
static bool choose_ways(const struct probes_options *options, const struct btf *btf,
			enum way chosen[HOOKS])
{
	bool can[RECEIVES + 1] = { false };

	for (int i = 0; i < HOOKS; i++)
		chosen[i] = WAYS;
	for (int i = 0; i < HOOKS; i++) {
		const struct hook *hook = &hooks[i];
		int id = btf_id(btf, hook);

		if (!needed(hook, chosen))
			continue;
		if (id >= 0)
			chosen[i] = choose_way(options, hook, id);
		if (chosen[i] != WAYS)
			can[hook->role] = true;
		if (options->verbose)
			fprintf(stderr, "netmon: %s: %s\n", hook->name,
				id < 0		    ? "not in this kernel"
				: chosen[i] == WAYS ? "no way to attach"
						    : ways[chosen[i]].name);
	}
	return can[SENDS] && can[RECEIVES];
}

static struct bpf_program *find_program(const struct netmon_bpf *skeleton, const struct hook *hook,
					const char *suffix)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", hook->name, suffix);
	return bpf_object__find_program_by_name(skeleton->obj, name);
}

/* The programs that serve a hook by a way, ends before entries: a return without an entry
 * is passed over, an entry without its return would look like a missed one. */
static int find_programs(const struct netmon_bpf *skeleton, const struct hook *hook, enum way way,
			 struct bpf_program *programs[2])
{
	int count = 0;

	if (way == WAYS)
		return 0;
	if (way == KPROBE || way == MULTI)
		programs[count++] = find_program(skeleton, hook, "kretprobe");
	programs[count++] = find_program(skeleton, hook, ways[way].suffix);
	return count;
}

/* Slot 0 is SLOT_OTHER, and never to be had. */
static int fill_free_slots(const struct netmon_bpf *skeleton, __u32 slots)
{
	int map = bpf_map__fd(skeleton->maps.free_slots);

	for (__u32 slot = SLOT_OTHER + 1; slot < slots; slot++)
		if (bpf_map_update_elem(map, NULL, &slot, BPF_ANY))
			return -errno;
	return 0;
}

static int load(struct probes *probes, struct netmon_bpf *skeleton, const enum way chosen[HOOKS])
{
	struct bpf_program *program, *programs[2];
	bool kprobes = false;
	int error;

	bpf_object__for_each_program(program, skeleton->obj)
		bpf_program__set_autoload(program, false);
	for (int i = 0; i < HOOKS; i++) {
		int count = find_programs(skeleton, &hooks[i], chosen[i], programs);

		while (count--) {
			bpf_program__set_autoload(programs[count], true);
			if (chosen[i] == MULTI)
				bpf_program__set_expected_attach_type(programs[count],
								      BPF_TRACE_KPROBE_MULTI);
		}
		kprobes |= chosen[i] == KPROBE || chosen[i] == MULTI;
	}
	skeleton->rodata->by_kprobe = kprobes;
	bpf_map__set_autocreate(skeleton->maps.calls, kprobes);
	bpf_map__set_max_entries(skeleton->maps.packet_stats, (__u32)probes->limit);
	bpf_map__set_max_entries(skeleton->maps.slot_of, (__u32)probes->limit);
	bpf_map__set_max_entries(skeleton->maps.free_slots, (__u32)probes->limit);
	error = netmon_bpf__load(skeleton);
	return error ? error : fill_free_slots(skeleton, (__u32)probes->limit);
}

static struct bpf_link *attach_program(const struct bpf_program *program, enum way way)
{
	struct bpf_kprobe_multi_opts options = { .sz = sizeof(options) };
	const char *section = bpf_program__section_name(program); /* kprobe/NAME, kretprobe/NAME */

	if (way != MULTI)
		return bpf_program__attach(program);
	options.retprobe = !strncmp(section, "kretprobe", 9);
	return bpf_program__attach_kprobe_multi_opts(program, strchr(section, '/') + 1, &options);
}

static int attach(struct probes *probes, struct netmon_bpf *skeleton, const enum way chosen[HOOKS])
{
	struct bpf_program *programs[2];

	for (int i = 0; i < HOOKS; i++) {
		int count = find_programs(skeleton, &hooks[i], chosen[i], programs);

		for (int j = 0; j < count; j++) {
			struct bpf_link *link = attach_program(programs[j], chosen[i]);

			if (!link) {
				cannot("attach to", hooks[i].name, errno, advice(errno));
				return -1;
			}
			probes->links[probes->count] = link;
			probes->programs[probes->count++] =
				fcntl(bpf_program__fd(programs[j]), F_DUPFD_CLOEXEC, 0);
		}
	}
	return 0;
}

/* Makes the first `count` slots visible, and room for what is seen of them. */
static int map_slots(struct probes *probes, size_t count)
{
	struct seen *seen;
	void *slots;

	if (count > probes->limit)
		count = probes->limit;
	slots = mmap(NULL, count * sizeof(struct slot), PROT_READ, MAP_SHARED, probes->stats, 0);
	if (slots == MAP_FAILED) {
		cannot("map", "packet_stats", errno, NULL);
		return -1;
	}
	seen = realloc(probes->seen, count * sizeof(*seen));
	if (!seen) {
		munmap(slots, count * sizeof(struct slot));
		cannot("read", "packet_stats", ENOMEM, NULL);
		return -1;
	}
	memset(seen + probes->mapped, 0, (count - probes->mapped) * sizeof(*seen));
	if (probes->slots)
		munmap((void *)probes->slots, probes->mapped * sizeof(struct slot));
	probes->seen = seen;
	probes->slots = slots;
	probes->mapped = count;
	return 0;
}

/* Keeps of the loaded object only what counting and reading need. */
static int keep(struct probes *probes, const struct netmon_bpf *skeleton)
{
	void *missed = mmap(NULL, sizeof(*probes->calls_missed), PROT_READ, MAP_SHARED,
			    bpf_map__fd(skeleton->maps.bss), 0);

	if (missed == MAP_FAILED) {
		cannot("map", "calls_missed", errno, NULL);
		return -1;
	}
	probes->calls_missed = missed;
	probes->stats = fcntl(bpf_map__fd(skeleton->maps.packet_stats), F_DUPFD_CLOEXEC, 0);
	return map_slots(probes, FIRST_MAPPED);
}

static int start(struct probes *probes, const struct btf *btf)
{
	enum way chosen[HOOKS];
	struct netmon_bpf *skeleton;
	int error;

	if (!choose_ways(&probes->options, btf, chosen)) {
		fprintf(stderr, "netmon: cannot attach the probes: this kernel refuses every way%s\n",
			probes->options.attach ? " that --attach allows: try --attach auto" : "");
		return -1;
	}
	say_holes(btf, chosen);
	skeleton = netmon_bpf__open();
	if (!skeleton) {
		cannot("load", "probes", errno, NULL);
		return -1;
	}
	error = load(probes, skeleton, chosen);
	if (error)
		cannot("load", "probes", -error, advice(-error));
	else if (keep(probes, skeleton) || attach(probes, skeleton, chosen))
		error = -1;
	netmon_bpf__destroy(skeleton);
	return error;
}

struct probes *probes_open(const struct probes_options *options)
{
	struct probes *probes = NULL;
	struct btf *btf = NULL;
	int error = -1;

	libbpf_verbose = options->verbose;
	libbpf_set_print(libbpf_message);
	if (!capable()) {
		cannot("load", "probes", EPERM, advice(EPERM));
		return NULL;
	}
	btf = btf__load_vmlinux_btf();
	if (!btf) {
		cannot("read", "/sys/kernel/btf/vmlinux", errno,
		       "netmon needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
		return NULL;
	}
	probes = calloc(1, sizeof(*probes));
	if (!probes) {
		cannot("load", "probes", ENOMEM, NULL);
	} else {
		probes->options = *options;
		probes->limit = (size_t)options->max_processes + 1;
		probes->stats = -1;
		error = start(probes, btf);
	}
	btf__free(btf);
	malloc_trim(0); /* loading took megabytes that reading does not need */
	if (!error)
		return probes;
	probes_close(probes);
	return NULL;
}

void probes_close(struct probes *probes)
{
	if (!probes)
		return;
	for (size_t i = 0; i < probes->count; i++) {
		bpf_link__destroy(probes->links[i]);
		close_fd(probes->programs[i]);
	}
	if (probes->slots)
		munmap((void *)probes->slots, probes->mapped * sizeof(struct slot));
	if (probes->calls_missed)
		munmap((void *)probes->calls_missed, sizeof(*probes->calls_missed));
	close_fd(probes->stats);
	free(probes->seen);
	free(probes);
}

/* Reading */

static struct counters minus(const struct counters *a, const struct counters *b)
{
	return (struct counters){
		.rx_bytes = a->rx_bytes - b->rx_bytes,
		.tx_bytes = a->tx_bytes - b->tx_bytes,
		.rx_calls = a->rx_calls - b->rx_calls,
		.tx_calls = a->tx_calls - b->tx_calls,
	};
}

static struct counters plus(const struct counters *a, const struct counters *b)
{
	return (struct counters){
		.rx_bytes = a->rx_bytes + b->rx_bytes,
		.tx_bytes = a->tx_bytes + b->tx_bytes,
		.rx_calls = a->rx_calls + b->rx_calls,
		.tx_calls = a->tx_calls + b->tx_calls,
	};
}

static bool is_zero(const struct counters *counters)
{
	return !(counters->rx_bytes | counters->tx_bytes | counters->rx_calls |
		 counters->tx_calls);
}

/* Copies a slot while it neither changes hands nor is renamed.  An end that the first look
 * sees makes the counters of the second final.  False where it changes all the time. */
static bool copy_slot(const struct slot *slot, struct slot *copy)
{
	struct slot first;

	for (int tries = 0; tries < 1000; tries++) {
		memcpy(&first, slot, sizeof(first));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		memcpy(copy, slot, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		copy->ended = first.ended;
		if (!(first.turn & 1) && first.turn == copy->turn &&
		    first.turn == __atomic_load_n(&slot->turn, __ATOMIC_RELAXED) &&
		    !memcmp(first.comm, copy->comm, COMM_LEN))
			return true;
	}
	return false;
}

/* Reports what a slot has that is new.  Where it changed hands once since it was last
 * seen, the rest is the last of the process seen then; where more often, nobody can tell
 * whose it is. */
static int read_slot(struct probes *probes, struct seen *seen, const struct slot *slot,
		     int (*found)(void *, const struct entry *), void *context)
{
	if (slot->turn != seen->turn) {
		struct counters rest = minus(&slot->base, &seen->now);

		if (seen->turn && !seen->over && slot->turn == seen->turn + 2) {
			seen->entry.total = plus(&seen->entry.total, &rest);
			if (found(context, &seen->entry))
				return -1;
		} else {
			probes->lost = plus(&probes->lost, &rest);
		}
	}
	seen->turn = slot->turn;
	seen->over = slot->ended;
	seen->now = slot->now;
	seen->entry.pid = slot->pid;
	seen->entry.since = slot->since;
	memcpy(seen->entry.comm, slot->comm, COMM_LEN);
	seen->entry.total = minus(&slot->now, &slot->base);
	return is_zero(&seen->entry.total) ? 0 : found(context, &seen->entry);
}

/* Reports what was seen before of a slot that can't be read now: the next reading has the
 * rest.  Without it the process would seem to have gone and come back. */
static int read_again(const struct seen *seen, int (*found)(void *, const struct entry *),
		      void *context)
{
	bool known = seen->turn && !seen->over && !is_zero(&seen->entry.total);

	return known ? found(context, &seen->entry) : 0;
}

static int read_other(struct probes *probes, int (*found)(void *, const struct entry *),
		      void *context)
{
	struct entry other = { .comm = "(other)" };

	other.total = plus(&probes->slots[SLOT_OTHER].now, &probes->lost);
	if (is_zero(&other.total))
		return 0;
	if (!probes->full_said)
		fprintf(stderr,
			"netmon: cannot add to 'packet_stats': full with %zu processes: the rest is "
			"summed in the row '(other)': raise it with --max-processes\n",
			probes->limit - 1);
	probes->full_said = true;
	return found(context, &other);
}

int probes_read(struct probes *probes, int (*found)(void *, const struct entry *), void *context)
{
	size_t unused = 0;

	/* Slots are first used in their order, give or take those that are being taken
	 * on other CPUs right now. */
	for (size_t i = SLOT_OTHER + 1; i < probes->limit && unused < UNUSED_IN_A_ROW; i++) {
		struct seen *seen;
		struct slot copy;
		__u64 turn;

		if (i == probes->mapped && map_slots(probes, 2 * probes->mapped))
			return -1;
		seen = &probes->seen[i];
		turn = __atomic_load_n(&probes->slots[i].turn, __ATOMIC_RELAXED);
		unused = turn ? 0 : unused + 1;
		if (turn == seen->turn && (!turn || seen->over))
			continue;
		if (copy_slot(&probes->slots[i], &copy)
			    ? read_slot(probes, seen, &copy, found, context)
			    : read_again(seen, found, context))
			return -1;
	}
	return read_other(probes, found, context);
}

__u64 probes_missed(const struct probes *probes)
{
	__u64 missed = *(const volatile __u64 *)probes->calls_missed;

	for (size_t i = 0; i < probes->count; i++) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);

		if (!bpf_obj_get_info_by_fd(probes->programs[i], &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
}
