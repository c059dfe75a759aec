// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "filter.h"
#include "probes.h" /* before the skeleton: its constants are of our types */
#include "netmon.skel.h"

enum way { TP_BTF, CLASSIC, FENTRY, FEXIT, KPROBE, MULTI, CGROUP, WAYS };

static const struct {
	const char *name;         /* for -v */
	const char *suffix;       /* of the program: HOOK_SUFFIX */
	enum attach attach;       /* which --attach allows it */
} ways[WAYS] = {
	[TP_BTF] = { "tracepoint", "btf", ATTACH_TRACEPOINT },
	[CLASSIC] = { "classic tracepoint", "classic", ATTACH_TRACEPOINT },
	[FENTRY] = { "fentry", "fentry", ATTACH_FEXIT },
	[FEXIT] = { "fexit", "fexit", ATTACH_FEXIT },
	[KPROBE] = { "kprobe", "kprobe", ATTACH_KPROBE },
	[MULTI] = { "kprobe.multi", "kprobe", ATTACH_KPROBE },
	[CGROUP] = { "cgroup", "cgroup", ATTACH_AUTO },
};

/* END, NAME and CHILD: the life of a process; PEER: of a datagram; PACKETS: layer ip; SENDER: there,
 * of a call that has not returned. */
enum role { END, NAME, CHILD, PEER, PACKETS, SENDER, SENDS, RECEIVES, ROLES };

/* The hooks, in the order in which they are attached: the end of a process before
 * anything that gives it an entry.  A hook is not needed where the one named by `unless`,
 * an earlier one, is attached. */
static const struct hook {
	const char *name;
	const char *group;        /* of a tracepoint, or "cgroup"; NULL: a function */
	enum role role;
	const char *unless;
	const char *hole;         /* what goes wrong without it; NULL: others stand in */
	bool reads;               /* kernel memory by its address, which lockdown may refuse */
} hooks[] = {
	{ "sched_process_exit", "sched", END, NULL,
	  "ended processes keep their place in the table", false },
	{ "task_rename", "task", NAME, NULL, NULL, true },
	{ "__set_task_comm", NULL, NAME, "task_rename",
	  "a process that changes its name keeps the old one", false },
	{ "task_newtask", "task", CHILD, NULL, "what the command starts is not counted", false },
	{ "sendmsg4", "cgroup", PEER, NULL,
	  "the peer of an IPv4 datagram sent by an unconnected socket is not known", false },
	{ "sendmsg6", "cgroup", PEER, NULL,
	  "the peer of an IPv6 datagram sent by an unconnected socket is not known", false },
	{ "__skb_recv_udp", NULL, PEER, NULL,
	  "the peer of a datagram is not known where the receiver does not ask for it", true },
	{ "recvmsg4", "cgroup", PEER, "__skb_recv_udp",
	  "the peer of a received IPv4 datagram is not known", false },
	{ "recvmsg6", "cgroup", PEER, "__skb_recv_udp",
	  "the peer of a received IPv6 datagram is not known", false },
	{ "softirq_entry", "irq", PACKETS, NULL, NULL, false },
	{ "softirq_exit", "irq", PACKETS, NULL, NULL, false },
	{ "inet_sock_set_state", "sock", PACKETS, NULL, NULL, false },
	{ "sock_create", "cgroup", PACKETS, NULL, NULL, false },
	{ "skb_egress", "cgroup", PACKETS, NULL, NULL, false },
	{ "skb_ingress", "cgroup", PACKETS, NULL, NULL, false },
	{ "napi_poll", "napi", PACKETS, NULL, NULL, false },
	{ "net_dev_queue", "net", PACKETS, NULL, NULL, false },
	{ "netif_receive_skb", "net", PACKETS, NULL, NULL, false },
	{ "net_dev_start_xmit", "net", PACKETS, NULL, NULL, false },
	{ "tcp_sendmsg_locked", "tcp", SENDER, NULL, NULL, false },
	{ "tcp_sendmsg_locked", NULL, SENDER, "tcp_sendmsg_locked", NULL, false },
	{ "sock_send_length", "sock", SENDS, NULL, NULL, false },
	{ "sock_recv_length", "sock", RECEIVES, NULL, NULL, false },
	{ "inet_sendmsg", NULL, SENDS, "sock_send_length", "IPv4 sends are not counted", false },
	{ "inet6_sendmsg", NULL, SENDS, "sock_send_length", "IPv6 sends are not counted", false },
	{ "packet_sendmsg", NULL, SENDS, "sock_send_length", "AF_PACKET sends are not counted",
	  false },
	{ "inet_recvmsg", NULL, RECEIVES, "sock_recv_length", "IPv4 receives are not counted",
	  false },
	{ "inet6_recvmsg", NULL, RECEIVES, "sock_recv_length", "IPv6 receives are not counted",
	  false },
	{ "sock_common_recvmsg", NULL, RECEIVES, "sock_recv_length",
	  "SCTP and IPv6 raw receives are not counted", false },
	{ "inet_sendpage", NULL, SENDS, NULL, "sendfile and splice into a socket are not counted",
	  false },
	{ "sock_splice_read", NULL, RECEIVES, NULL, "splice out of a socket is not counted", false },
	{ "tcp_zerocopy_receive", NULL, RECEIVES, NULL, "TCP_ZEROCOPY_RECEIVE is not counted",
	  false },
};

/* libbpf looks at the padding too. */
#define INIT_OPTIONS(options) (memset(&(options), 0, sizeof(options)), (options).sz = sizeof(options))

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

enum { HOOKS = LENGTH(hooks) };

_Static_assert(HOOKS <= 32 && 2 * HOOKS <= PROBES_MOST, "struct holes has a bit for each");

#define SAME_PLACE(field) \
	(offsetof(struct watch, field) == offsetof(struct netmon_bpf__bss, field))

_Static_assert(SAME_PLACE(calls_missed) && SAME_PLACE(forks_missed) && SAME_PLACE(processes_full) &&
		       SAME_PLACE(entries_full) && SAME_PLACE(readings),
	       "struct watch is how .bss begins");

/* What the kernel has of what may be needed. */
struct kernel {
	__u32 ids[HOOKS];          /* of the types of the hooks; 0: none, or it has not got the hook */
	bool probed[HOOKS];        /* functions that have no type, but can be probed */
	__u32 skb_recv_udp_arguments;
	bool storage;              /* of sockets, for tracing programs (Linux 5.11) */
	bool pointers;             /* functions that it verifies by themselves may take some (Linux 5.12) */
	__u32 cast;                /* bpf_rdonly_cast(), Linux 6.2: its BTF id; 0: none */
};

struct probes {
	struct probes_options options;
	struct layout layout;
	struct tables *tables;
	struct bpf_link *links[PROBES_MOST];
	int programs[PROBES_MOST]; /* descriptors, for their misses */
	char names[PROBES_MOST][sizeof(((struct probe *)0)->name)];
	size_t count;              /* of the three */
	int wanted_pids;           /* descriptor of the map */
	enum way chosen[HOOKS];
	struct kernel kernel;
	struct holes holes;
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
static bool capable(enum layer layer)
{
	__u64 needed = 1ULL << CAP_BPF | 1ULL << CAP_PERFMON |
		       (layer == LAYER_IP ? 1ULL << CAP_NET_ADMIN : 0);
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	__u64 effective;

	if (syscall(SYS_capget, &header, data))
		return true;
	effective = (__u64)data[1].effective << 32 | data[0].effective;
	if (effective & 1ULL << CAP_SYS_ADMIN) /* which stands for those two */
		needed &= 1ULL << CAP_NET_ADMIN;
	return (effective & needed) == needed;
}

static const char *advice(int error, enum layer layer)
{
	if (error == EPERM && !capable(layer))
		return layer == LAYER_IP ? "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
					 : "run it as root, or with CAP_BPF and CAP_PERFMON";
	if (error == EPERM)
		return "before Linux 5.11 it may take 'ulimit -l unlimited'; "
		       "in a container, rights outside of it";
	return NULL;
}

/* One more than the highest number of a CPU ("0-7", "0,2-3"); 0 where that is not known. */
static __u32 cpus(void)
{
	FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
	__u32 number, count = 0;

	if (!file)
		return 0;
	while (fscanf(file, "%u%*[,-]", &number) == 1)
		count = number + 1;
	fclose(file);
	return count;
}

/* Trials */

/* A program that does nothing, one that lets a cgroup's datagrams pass, and one that would
 * read kernel memory by address, as those by kprobe do. */
static const struct bpf_insn does_nothing[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};
static const struct bpf_insn lets_pass[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
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

static int load_trial(enum bpf_prog_type type, enum bpf_attach_type attach, __u32 btf_id, bool reads)
{
	struct bpf_prog_load_opts options;
	const struct bpf_insn *program = does_nothing;
	size_t length = LENGTH(does_nothing);

	INIT_OPTIONS(options);
	options.expected_attach_type = attach;
	options.attach_btf_id = btf_id;
	if (reads) {
		program = reads_kernel;
		length = LENGTH(reads_kernel);
	} else if (type == BPF_PROG_TYPE_CGROUP_SOCK_ADDR || type == BPF_PROG_TYPE_CGROUP_SOCK ||
		   type == BPF_PROG_TYPE_CGROUP_SKB) {
		program = lets_pass;
		length = LENGTH(lets_pass);
	}
	return bpf_prog_load(type, "netmon_trial", "GPL", program, length, &options);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* `attaches`: it is known that what loads attaches. */
static bool try_btf(enum bpf_attach_type attach, __u32 btf_id, bool reads, bool attaches)
{
	int program = load_trial(BPF_PROG_TYPE_TRACING, attach, btf_id, reads);
	int link = program < 0 || attaches ? -1 : bpf_raw_tracepoint_open(NULL, program);

	close_fd(link);
	close_fd(program);
	return attaches ? program >= 0 : link >= 0;
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

static bool try_classic(const struct hook *hook, bool attaches)
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
	if (id < 0 || attaches)
		return id >= 0;
	attributes.config = (__u64)id;
	return try_perf(BPF_PROG_TYPE_TRACEPOINT, &attributes);
}

static bool try_multi(const struct hook *hook)
{
	struct bpf_link_create_opts options;
	int program, link;

	INIT_OPTIONS(options);
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

static bool is_cgroup(const struct hook *hook)
{
	return hook->group && !strcmp(hook->group, "cgroup");
}

static bool is_tracepoint(const struct hook *hook)
{
	return hook->group && !is_cgroup(hook);
}

static bool try_cgroup(const struct hook *hook, int root)
{
	static const struct {
		const char *name;
		enum bpf_prog_type type;
		enum bpf_attach_type attach;
	} kinds[] = {
		{ "sendmsg4", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_SENDMSG },
		{ "sendmsg6", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_SENDMSG },
		{ "recvmsg4", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_RECVMSG },
		{ "recvmsg6", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_RECVMSG },
		{ "sock_create", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE },
		{ "skb_egress", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS },
		{ "skb_ingress", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS },
	};
	int program, link, i = 0;

	while (strcmp(kinds[i].name, hook->name))
		i++;
	program = root < 0 ? -1 : load_trial(kinds[i].type, kinds[i].attach, 0, false);
	link = program < 0 ? -1 : bpf_link_create(program, root, kinds[i].attach, NULL);
	close_fd(link);
	close_fd(program);
	return link >= 0;
}

/* `attaches`: the way was found to attach to another tracepoint. */
static bool try_way(enum way way, const struct hook *hook, __u32 id, int cgroup_root, bool attaches)
{
	/* the life of a process can be seen by tracepoints only */
	bool probed = !hook->group && (hook->role == PEER || hook->role >= SENDS);

	switch (way) {
	case TP_BTF:
		return is_tracepoint(hook) && try_btf(BPF_TRACE_RAW_TP, id, hook->reads, attaches);
	case CLASSIC:
		return is_tracepoint(hook) && try_classic(hook, attaches);
	case FENTRY:
		return id && !hook->group && hook->role == SENDER &&
		       try_btf(BPF_TRACE_FENTRY, id, hook->reads, false);
	case FEXIT:
		return id && !hook->group && hook->role != SENDER &&
		       try_btf(BPF_TRACE_FEXIT, id, hook->reads, false);
	case KPROBE:
		return probed && try_kprobe(hook);
	case MULTI:
		return probed && try_multi(hook);
	case CGROUP:
		return is_cgroup(hook) && try_cgroup(hook, cgroup_root);
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

/* In layer ip those that see packets run where nothing is preempted, and those that see calls
 * count nothing. */
static bool prefers_classic(const struct probes_options *options, const struct hook *hook)
{
	return tracing_is_preempted() && (options->layer == LAYER_SOCKET || hook->role < PACKETS);
}

/* Only some ways lead to a socket's storage, which layer ip needs. */
static bool is_possible(const struct probes_options *options, const struct hook *hook, enum way way)
{
	if (options->layer == LAYER_IP && hook->role >= PACKETS)
		return way == TP_BTF || way == FENTRY || way == FEXIT || way == CGROUP;
	return options->attach == ATTACH_AUTO || hook->role < SENDS || ways[way].attach == options->attach;
}

/* Whether the way was taken for a tracepoint.  Then it works for all: to try that too would take 5 to
 * 15 ms, since who attaches to one just after another was let go has to wait for all that may still be
 * under way there (tp_rcu_cond_sync()). */
static bool attaches(enum way way, const enum way chosen[HOOKS])
{
	for (int i = 0; i < HOOKS; i++)
		if (is_tracepoint(&hooks[i]) && chosen[i] == way)
			return true;
	return false;
}

/* The best way for the hook, WAYS where there is none. */
static enum way choose_way(const struct probes_options *options, const struct hook *hook, __u32 id,
			   const enum way chosen[HOOKS])
{
	static const enum way orders[2][WAYS] = {
		{ TP_BTF, CLASSIC, FENTRY, FEXIT, KPROBE, MULTI, CGROUP },
		{ CLASSIC, TP_BTF, MULTI, FENTRY, FEXIT, KPROBE, CGROUP },
	};
	const enum way *order = orders[prefers_classic(options, hook)];

	for (int i = 0; i < WAYS; i++)
		if (is_possible(options, hook, order[i]) &&
		    try_way(order[i], hook, id, options->cgroup_root, attaches(order[i], chosen)))
			return order[i];
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

static bool has_constant(const struct btf *types, const struct btf_type *type, const char *name)
{
	const struct btf_enum *constants = btf_enum(type);

	for (int i = 0; i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(types, constants[i].name_off), name))
			return true;
	return false;
}

/* Which of the hooks the type is: a function, or what stands for a tracepoint; -1: none. */
static int hook_of(const struct btf_type *type, const char *name)
{
	static const char prefix[] = "btf_trace_";

	if (btf_is_typedef(type)) {
		if (strncmp(name, prefix, sizeof(prefix) - 1))
			return -1;
		name += sizeof(prefix) - 1;
	}
	for (int i = 0; i < HOOKS; i++)
		if (btf_is_typedef(type) == !!hooks[i].group && !strcmp(name, hooks[i].name))
			return i;
	return -1;
}

static void look_at_type(struct kernel *kernel, const struct btf *types, __u32 id)
{
	const struct btf_type *type = btf__type_by_id(types, id);
	const char *name = btf__name_by_offset(types, type->name_off);
	int hook;

	if (btf_is_enum(type) && !strcmp(name, "bpf_func_id")) {
		/* both came with the same version */
		kernel->storage = has_constant(types, type, "BPF_FUNC_sock_from_file");
		/* a helper that came one version later */
		kernel->pointers = has_constant(types, type, "BPF_FUNC_for_each_map_elem");
	}
	if (!btf_is_func(type) && !btf_is_typedef(type))
		return;
	if (btf_is_func(type) && !strcmp(name, "bpf_rdonly_cast"))
		kernel->cast = id;
	hook = hook_of(type, name);
	if (hook < 0 || kernel->ids[hook])
		return;
	kernel->ids[hook] = id;
	if (hook == find_hook("__skb_recv_udp"))
		kernel->skb_recv_udp_arguments = btf_vlen(btf__type_by_id(types, type->type));
}

/* 0, or -1 with errno. */
static int look_at_kernel(struct kernel *kernel)
{
	struct btf *types = btf__load_vmlinux_btf();

	if (!types)
		return -1;
	for (__u32 id = 1; id < btf__type_cnt(types); id++)
		look_at_type(kernel, types, id);
	btf__free(types);
	/* static functions are not in the types of arm64's Linux 5.10, but can be probed by their name */
	for (int i = 0; i < HOOKS; i++)
		kernel->probed[i] = !kernel->ids[i] && !hooks[i].group && hooks[i].role >= SENDS &&
				    try_kprobe(&hooks[i]);
	return 0;
}

static bool has_hook(const struct kernel *kernel, int hook)
{
	return kernel->ids[hook] || kernel->probed[hook] || is_cgroup(&hooks[hook]);
}

/* The parts that the key or the filter need. */
static __u32 needs(const struct probes_options *options)
{
	return options->parts | filter_parts(options->filter.kinds);
}

static bool needs_peer(const struct probes_options *options)
{
	return options->layer == LAYER_SOCKET && needs(options) & (PARTS_ENDS & ~PART_LPORT);
}

static bool needed(const struct probes_options *options, const struct hook *hook,
		   const enum way chosen[HOOKS])
{
	switch (hook->role) {
	case NAME:
		if (!(options->parts & PART_PROCESS))
			return false;
		break;
	case CHILD:
		if (!options->follow)
			return false;
		break;
	case PEER:
		if (!needs_peer(options))
			return false;
		break;
	case PACKETS:
	case SENDER:
		if (options->layer != LAYER_IP)
			return false;
		break;
	default:
		break;
	}
	return !hook->unless || chosen[find_hook(hook->unless)] == WAYS;
}

/* What part of the traffic is not counted, or may not be. */
static struct holes find_holes(const struct probes_options *options, const struct kernel *kernel,
			       const enum way chosen[HOOKS])
{
	struct holes holes = { 0 };

	for (int i = 0; i < HOOKS; i++) {
		if (hooks[i].role >= SENDS && options->layer == LAYER_IP)
			continue; /* it only tells who uses a socket */
		if (needed(options, &hooks[i], chosen) && chosen[i] == WAYS && hooks[i].hole &&
		    has_hook(kernel, i))
			holes.refused |= 1U << i;
		if (chosen[i] == TP_BTF && prefers_classic(options, &hooks[i]))
			holes.skipped |= 1U << i;
	}
	return holes;
}

void probes_say_holes(const struct holes *holes)
{
	for (int i = 0; i < HOOKS; i++) {
		if (holes->refused & 1U << i)
			fprintf(stderr, "netmon: cannot attach to '%s': refused by this kernel: %s\n",
				hooks[i].name, hooks[i].hole);
		if (holes->skipped & 1U << i)
			fprintf(stderr, "netmon: cannot attach to '%s' as a classic tracepoint: "
				"is tracefs mounted and readable?  Under load this kernel may skip "
				"calls; netmon will say how many\n", hooks[i].name);
	}
}

/* Whether what was chosen counts anything; says why not. */
static bool can_count(const struct probes_options *options, const enum way chosen[HOOKS])
{
	bool can[ROLES] = { false };

	for (int i = 0; i < HOOKS; i++) {
		if (chosen[i] != WAYS)
			can[hooks[i].role] = true;
		if (options->layer == LAYER_IP && hooks[i].role == PACKETS && chosen[i] == WAYS) {
			fprintf(stderr, "netmon: cannot attach to '%s': refused by this kernel: "
				"--layer ip needs it\n", hooks[i].name);
			return false;
		}
	}
	if (options->layer == LAYER_IP && !can[RECEIVES])
		fputs("netmon: cannot see who receives: a socket is taken for that of the process "
		      "which created it or was the last to send on it\n", stderr);
	if (options->layer == LAYER_IP || (can[SENDS] && can[RECEIVES]))
		return true;
	fprintf(stderr, "netmon: cannot attach the probes: this kernel refuses every way%s\n",
		options->attach ? " that --attach allows: try --attach auto" : "");
	return false;
}

/* Chooses a way for each hook.  False where nothing can be counted. */
static bool choose_ways(const struct probes_options *options, const struct kernel *kernel,
			enum way chosen[HOOKS])
{
	for (int i = 0; i < HOOKS; i++)
		chosen[i] = WAYS;
	for (int i = 0; i < HOOKS; i++) {
		const struct hook *hook = &hooks[i];

		if (!needed(options, hook, chosen))
			continue;
		if (has_hook(kernel, i))
			chosen[i] = choose_way(options, hook, kernel->ids[i], chosen);
		if (options->verbose)
			fprintf(stderr, "netmon: %s: %s\n", hook->name,
				!has_hook(kernel, i) ? "not in this kernel"
				: chosen[i] == WAYS  ? "no way to attach"
						     : ways[chosen[i]].name);
	}
	return can_count(options, chosen);
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
	programs[count] = find_program(skeleton, hook, ways[way].suffix);
	return programs[count] ? count + 1 : count; /* some need no entry */
}

static int fill_free(const struct bpf_program *fill, __u32 first, size_t limit)
{
	__u64 numbers[2] = { first, limit };
	struct bpf_test_run_opts options;

	INIT_OPTIONS(options);
	options.ctx_in = numbers;
	options.ctx_size_in = sizeof(numbers);
	for (; numbers[0] < limit; numbers[0] += FILL_MOST)
		if (bpf_prog_test_run_opts(bpf_program__fd(fill), &options))
			return -errno;
	return 0;
}

/* The first element of a table is never to be had. */
static __u32 first_place(const struct probes_options *options)
{
	return options->layer == LAYER_IP ? PLACE_KERNEL + 1 : SLOT_OTHER + 1;
}

/* The kernel itself has a place, and where the process is the key, a slot. */
static int add_kernel(const struct probes *probes, const struct netmon_bpf *skeleton)
{
	const struct netmon_process kernel = { .turn = 2, .comm = "(kernel)" };
	const __u32 index = PLACE_KERNEL, parts = probes->options.parts;
	struct slot *slot;
	int error = 0;

	if (probes->options.layer != LAYER_IP || !(parts & PART_PROCESS))
		return 0;
	slot = calloc(1, layout_slot_size(&probes->layout));
	if (!slot)
		return -ENOMEM;
	slot->turn = 2;
	slot->key.process = PLACE_KERNEL;
	slot->key.generation = 1;
	if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.processes), &index, &kernel, BPF_ANY) ||
	    (parts == PART_PROCESS &&
	     bpf_map_update_elem(bpf_map__fd(skeleton->maps.packet_stats), &index, slot, BPF_ANY)))
		error = -errno;
	free(slot);
	return error;
}

static int fill_wanted(const struct netmon_bpf *skeleton, const struct probes_options *options)
{
	const __u32 first = 0;
	const __u8 wanted = 1;

	for (size_t i = 0; i < options->pids_count; i++)
		if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.wanted_pids), &options->pids[i],
					&wanted, BPF_ANY))
			return -errno;
	if (options->filter.kinds & FILTER_CGROUP &&
	    bpf_map_update_elem(bpf_map__fd(skeleton->maps.wanted_cgroup), &first, &options->cgroup,
				BPF_ANY))
		return -errno;
	return 0;
}

/* How many bytes of struct netmon_key it takes to hold these parts. */
static __u32 key_size(__u32 parts)
{
	static const struct {
		__u32 part, end;
	} ends[] = {
#define END_OF(field) offsetof(struct netmon_key, field) + sizeof(((struct netmon_key *)0)->field)
		{ PART_PROCESS, END_OF(generation) },
		{ PART_PROTO, END_OF(unused) },
		{ PART_FAMILY, END_OF(unused) },
		{ PART_LPORT, END_OF(rport) },
		{ PART_RPORT, END_OF(rport) },
		{ PART_UID, END_OF(uid) },
		{ PART_NETNS, END_OF(netns) },
		{ PART_CGROUP, END_OF(cgroup) },
		{ PART_LADDR, END_OF(laddr) },
		{ PART_RADDR, END_OF(raddr) },
		{ PART_IFACE, END_OF(iface) },
#undef END_OF
	};
	__u32 size = 0;

	for (size_t i = 0; i < LENGTH(ends); i++)
		if (parts & ends[i].part && ends[i].end > size)
			size = ends[i].end;
	return size;
}

/* Makes only those maps that this key, these filters and hooks use. */
static void size_maps(const struct probes *probes, struct netmon_bpf *skeleton, bool kprobes)
{
	const struct probes_options *options = &probes->options;
	bool keyed = options->parts & ~PART_PROCESS, by_process = options->parts & PART_PROCESS;
	__u32 limit = (__u32)layout_processes(&probes->layout);

	bpf_map__set_autocreate(skeleton->maps.calls, kprobes);
	bpf_map__set_autocreate(skeleton->maps.peers, needs_peer(options));
	bpf_map__set_autocreate(skeleton->maps.wanted_pids,
				options->filter.kinds & FILTER_PIDS || options->follow);
	bpf_map__set_autocreate(skeleton->maps.wanted_cgroup,
				options->filter.kinds & FILTER_CGROUP);
	bpf_map__set_autocreate(skeleton->maps.owners, options->layer == LAYER_IP && probes->kernel.storage);
	bpf_map__set_autocreate(skeleton->maps.owners_by_address, options->layer == LAYER_IP);
	bpf_map__set_autocreate(skeleton->maps.answers, options->layer == LAYER_IP);
	bpf_map__set_autocreate(skeleton->maps.releasing, options->layer == LAYER_IP);
	bpf_map__set_autocreate(skeleton->maps.batches, options->layer == LAYER_IP);
	if (!options->follow && options->pids_count)
		bpf_map__set_max_entries(skeleton->maps.wanted_pids, (__u32)options->pids_count);

	bpf_map__set_max_entries(skeleton->maps.processes, limit);
	bpf_map__set_autocreate(skeleton->maps.place_of, by_process);
	bpf_map__set_autocreate(skeleton->maps.free_places, by_process);
	bpf_map__set_max_entries(skeleton->maps.place_of, limit);
	bpf_map__set_max_entries(skeleton->maps.free_places, limit);

	bpf_map__set_max_entries(skeleton->maps.packet_stats, (__u32)layout_slots(&probes->layout));
	bpf_map__set_value_size(skeleton->maps.packet_stats, (__u32)layout_slot_size(&probes->layout));
	bpf_map__set_autocreate(skeleton->maps.slot_of, keyed);
	bpf_map__set_autocreate(skeleton->maps.free_slots, keyed);
	bpf_map__set_autocreate(skeleton->maps.looking, keyed);
	bpf_map__set_max_entries(skeleton->maps.slot_of, (__u32)layout_slots(&probes->layout));
	bpf_map__set_max_entries(skeleton->maps.free_slots, (__u32)layout_slots(&probes->layout));
	if (keyed)
		bpf_map__set_key_size(skeleton->maps.slot_of, key_size(options->parts));
}

/* 0 where there is no such file. */
static __u64 inode_of(int fd)
{
	struct stat status;

	return fd < 0 || fstat(fd, &status) ? 0 : status.st_ino;
}

/* See `plain` and `masks` in netmon.bpf.c. */
static bool is_plain(const struct probes_options *options)
{
	return options->parts & ~PART_PROCESS && needs(options) == options->parts &&
	       !(options->parts & PARTS_CALLER) && !(options->filter.kinds & FILTER_CGROUP);
}

static bool tells_sender(const enum way chosen[HOOKS])
{
	for (int i = 0; i < HOOKS; i++)
		if (hooks[i].role == SENDER && chosen[i] == TP_BTF)
			return !tracing_is_preempted();
	return false;
}

static __u64 mask(__u32 parts, __u32 part, __u64 bits)
{
	return parts & part ? bits : 0;
}

static void set_constants(const struct probes *probes, struct netmon_bpf *skeleton,
			  bool kprobes)
{
	const struct probes_options *options = &probes->options;
	bool own = probes->layout.shares == cpus();

	skeleton->rodata->parts = options->parts;
	skeleton->rodata->needs = needs(options);
	skeleton->rodata->filter = options->filter;
	if (options->follow)
		skeleton->rodata->filter.kinds |= FILTER_PIDS;
	skeleton->rodata->plain = is_plain(options);
	skeleton->rodata->masks.middle = mask(options->parts, PART_PROTO, 0xffff) |
					 mask(options->parts, PART_FAMILY, 0xff) << 16 |
					 mask(options->parts, PART_LPORT, 0xffff) << 32 |
					 mask(options->parts, PART_RPORT, 0xffff) << 48;
	skeleton->rodata->masks.laddr = mask(options->parts, PART_LADDR, ~0U);
	skeleton->rodata->masks.raddr = mask(options->parts, PART_RADDR, ~0U);
	skeleton->rodata->masks.hash = (__u32)mask(options->parts, PARTS_ENDS & ~PART_FAMILY, ~0U);
	skeleton->rodata->follows = options->follow;
	skeleton->rodata->by_kprobe = kprobes;
	skeleton->rodata->by_peer = needs_peer(options);
	skeleton->rodata->shares = probes->layout.shares;
	skeleton->rodata->own_shares = own;
	skeleton->rodata->share_mask = own ? ~0U : probes->layout.shares - 1;
	skeleton->rodata->btf_is_preempted = tracing_is_preempted();
	skeleton->rodata->tells_sender = tells_sender(probes->chosen);
	skeleton->rodata->shows_current = probes->kernel.cast && options->parts & PART_PROCESS &&
					  !(needs(options) & (PART_UID | PART_CGROUP)) &&
					  !(options->filter.kinds & FILTERS_OF_PROCESS) && !options->follow;
	skeleton->rodata->slots = (__u32)layout_slots(&probes->layout) - 1;
	skeleton->rodata->idle_after = options->idle_after;
	skeleton->rodata->by_packet = options->layer == LAYER_IP;
	skeleton->rodata->casts = probes->kernel.cast;
	skeleton->rodata->wanted_cgroup_id = inode_of(options->cgroup);
	skeleton->rodata->skb_recv_udp_arguments = probes->kernel.skb_recv_udp_arguments;
}

static int load(struct probes *probes, struct netmon_bpf *skeleton)
{
	const enum way *chosen = probes->chosen;
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
		kprobes |= hooks[i].role >= SENDS && (chosen[i] == KPROBE || chosen[i] == MULTI);
	}
	bpf_program__set_autoload(skeleton->progs.fill_places, probes->options.parts & PART_PROCESS);
	bpf_program__set_autoload(skeleton->progs.fill_slots, probes->options.parts & ~PART_PROCESS);
	bpf_program__set_autoload(skeleton->progs.owners_iter, probes->options.layer == LAYER_IP);
	set_constants(probes, skeleton, kprobes);
	size_maps(probes, skeleton, kprobes);
	error = netmon_bpf__load(skeleton);
	if (!error && probes->options.parts & PART_PROCESS)
		error = fill_free(skeleton->progs.fill_places, first_place(&probes->options),
				  layout_processes(&probes->layout));
	if (!error && probes->options.parts & ~PART_PROCESS)
		error = fill_free(skeleton->progs.fill_slots, SLOT_OTHER + 1, layout_slots(&probes->layout));
	if (!error)
		error = add_kernel(probes, skeleton);
	return error ? error : fill_wanted(skeleton, &probes->options);
}

static struct bpf_link *attach_program(const struct probes *probes,
				       const struct bpf_program *program, enum way way)
{
	struct bpf_kprobe_multi_opts options;
	const char *section = bpf_program__section_name(program); /* kprobe/NAME, kretprobe/NAME */
	const char *slash = strchr(section, '/'), *function = slash ? slash + 1 : section;

	if (way == CGROUP)
		return bpf_program__attach_cgroup(program, probes->options.cgroup_root);
	if (way != MULTI)
		return bpf_program__attach(program);
	INIT_OPTIONS(options);
	options.retprobe = !strncmp(section, "kretprobe", 9);
	/* by name, not by pattern: for that libbpf reads addresses, which root alone may see */
	options.syms = &function;
	options.cnt = 1;
	return bpf_program__attach_kprobe_multi_opts(program, NULL, &options);
}

static int attach(struct probes *probes, struct netmon_bpf *skeleton)
{
	struct bpf_program *programs[2];

	for (int i = 0; i < HOOKS; i++) {
		int count = find_programs(skeleton, &hooks[i], probes->chosen[i], programs);

		for (int j = 0; j < count; j++) {
			struct bpf_link *link = attach_program(probes, programs[j],
							       probes->chosen[i]);

			if (!link) {
				cannot("attach to", hooks[i].name, errno,
				       advice(errno, probes->options.layer));
				return -1;
			}
			probes->links[probes->count] = link;
			snprintf(probes->names[probes->count], sizeof(probes->names[0]), "%s",
				 bpf_program__name(programs[j]));
			/* nothing is lost where one that counts nothing is skipped */
			probes->programs[probes->count++] =
				hooks[i].role >= SENDS && probes->options.layer == LAYER_IP
					? -1
					: fcntl(bpf_program__fd(programs[j]), F_DUPFD_CLOEXEC, 0);
		}
	}
	return 0;
}

/* Finds the owners of the sockets that there are. */
static int find_owners(const struct probes *probes, const struct netmon_bpf *skeleton)
{
	struct bpf_link *link;
	char nothing[64];
	ssize_t length = -1;
	int file;

	if (probes->options.layer != LAYER_IP)
		return 0;
	link = bpf_program__attach_iter(skeleton->progs.owners_iter, NULL);
	file = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	while (file >= 0 && (length = read(file, nothing, sizeof(nothing))) > 0)
		;
	if (length < 0)
		cannot("read", "the sockets of all processes", errno, NULL);
	close_fd(file);
	bpf_link__destroy(link);
	return (int)length;
}

static int duplicate(const struct bpf_map *map)
{
	return bpf_map__fd(map) < 0 ? -1 : fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
}

/* Keeps of the loaded object only what counting and reading need. */
static int keep(struct probes *probes, const struct netmon_bpf *skeleton)
{
	const struct table_fds fds = { duplicate(skeleton->maps.packet_stats),
				       duplicate(skeleton->maps.processes),
				       duplicate(skeleton->maps.bss) };

	probes->wanted_pids = duplicate(skeleton->maps.wanted_pids);
	probes->tables = tables_open(&probes->layout, &fds, false);
	return probes->tables ? 0 : -1;
}

#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"

/* Asks the kernel's types, and the kernel, what it takes to count here. */
static int choose(struct probes *probes)
{
	int error = look_at_kernel(&probes->kernel) ? errno : 0;

	if (error && access(KERNEL_TYPES, F_OK))
		cannot("read", KERNEL_TYPES, ENOENT, "netmon needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
	else if (error)
		cannot("read", KERNEL_TYPES, error,
		       "build netmon with a newer libbpf, which knows this kernel's BTF");
	if (error)
		return -1;
	if (!choose_ways(&probes->options, &probes->kernel, probes->chosen))
		return -1;
	probes->holes = find_holes(&probes->options, &probes->kernel, probes->chosen);
	return 0;
}

/* Opens what bpftool made of the programs, with the kernel's number in each call of `cast`.  As an
 * extern of libbpf's it would be looked for in modules too where the kernel has none, which takes
 * CAP_SYS_ADMIN, and before libbpf 1.5 that fails.  NULL with errno. */
static struct netmon_bpf *open_skeleton(__u32 cast)
{
	struct netmon_bpf *skeleton = calloc(1, sizeof(*skeleton));
	struct bpf_insn *code = NULL;
	size_t size;
	int error;

	if (!skeleton || netmon_bpf__create_skeleton(skeleton))
		goto failed;
	size = skeleton->skeleton->data_sz;
	code = malloc(size);
	if (!code)
		goto failed;
	memcpy(code, skeleton->skeleton->data, size);
	for (size_t i = 0; cast && i < size / sizeof(*code); i++)
		if (code[i].code == (BPF_JMP | BPF_CALL) && code[i].imm == CALL_CAST) {
			code[i].src_reg = BPF_PSEUDO_KFUNC_CALL;
			code[i].imm = (__s32)cast;
		}
	skeleton->skeleton->data = code;
	if (bpf_object__open_skeleton(skeleton->skeleton, NULL))
		goto failed;
	free(code);
	return skeleton;
failed:
	error = errno;
	free(code);
	netmon_bpf__destroy(skeleton);
	errno = error;
	return NULL;
}

/* Functions that the kernel verifies once, not at each call, which takes several times as long.  That is
 * what a global one is: where it may take no pointers, they become static. */
static void make_static(const struct bpf_object *object)
{
	static const char *const functions[] = { "count_packets", "settle_one", "find_arrival", "find_skb" };
	struct btf *btf = bpf_object__btf(object);

	for (size_t i = 0; i < LENGTH(functions); i++) {
		__s32 id = btf__find_by_name_kind(btf, functions[i], BTF_KIND_FUNC);

		if (id > 0)
			((struct btf_type *)btf__type_by_id(btf, (__u32)id))->info =
				BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC;
	}
}

static int start(struct probes *probes)
{
	struct netmon_bpf *skeleton;
	int error;

	if (choose(probes))
		return -1;
	probes_say_holes(&probes->holes);
	skeleton = open_skeleton(probes->kernel.cast);
	if (!skeleton) {
		cannot("load", "probes", errno, NULL);
		return -1;
	}
	if (!probes->kernel.pointers)
		make_static(skeleton->obj);
	error = load(probes, skeleton);
	if (error)
		cannot("load", "probes", -error, advice(-error, probes->options.layer));
	else if (keep(probes, skeleton) || attach(probes, skeleton) || find_owners(probes, skeleton))
		error = -1;
	netmon_bpf__destroy(skeleton);
	return error;
}

/* Nothing is open yet; NULL where memory is short. */
static struct probes *probes_new(const struct probes_options *options)
{
	struct probes *probes = calloc(1, sizeof(*probes));

	if (!probes)
		return NULL;
	probes->options = *options;
	probes->layout = (struct layout){ .parts = options->parts,
					  .max_processes = options->max_processes,
					  .max_entries = options->max_entries,
					  .by_packet = options->layer == LAYER_IP };
	probes->layout.shares = layout_shares(&probes->layout, cpus());
	probes->wanted_pids = -1;
	return probes;
}

struct probes *probes_open(const struct probes_options *options)
{
	struct probes *probes;
	int error = -1;

	libbpf_verbose = options->verbose;
	libbpf_set_print(libbpf_message);
	if (!capable(options->layer)) {
		cannot("load", "probes", EPERM, advice(EPERM, options->layer));
		return NULL;
	}
	probes = probes_new(options);
	if (probes)
		error = start(probes);
	else
		cannot("load", "probes", ENOMEM, NULL);
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
	tables_close(probes->tables);
	close_fd(probes->wanted_pids);
	free(probes);
}

int probes_follow(struct probes *probes, __u32 pid)
{
	const __u8 wanted = 1;

	if (!bpf_map_update_elem(probes->wanted_pids, &pid, &wanted, BPF_ANY))
		return 0;
	cannot("follow", "the command", errno, NULL);
	return -1;
}

struct tables *probes_tables(const struct probes *probes)
{
	return probes->tables;
}

__u64 programs_missed(const int *programs, size_t count)
{
	__u64 missed = 0;

	for (size_t i = 0; i < count; i++) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);

		if (!bpf_obj_get_info_by_fd(programs[i], &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
}

__u64 probes_missed(const struct probes *probes)
{
	return tables_calls_missed(probes->tables) + programs_missed(probes->programs, probes->count);
}

/* For pinning */

__u64 probes_build(void)
{
	__u64 hash = 0xcbf29ce484222325; /* FNV-1a */
	const unsigned char *bytes;
	size_t size;

	bytes = netmon_bpf__elf_bytes(&size);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

const struct layout *probes_layout(const struct probes *probes)
{
	return &probes->layout;
}

const struct holes *probes_holes(const struct probes *probes)
{
	return &probes->holes;
}

void probes_ways(const struct probes *probes, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (int i = 0; i < HOOKS && length < size; i++)
		if (probes->chosen[i] != WAYS)
			length += (size_t)snprintf(text + length, size - length, "%s%s=%s",
						   length ? " " : "", hooks[i].name,
						   ways[probes->chosen[i]].name);
}

bool probes_get(const struct probes *probes, size_t index, struct probe *probe)
{
	if (index >= probes->count)
		return false;
	memcpy(probe->name, probes->names[index], sizeof(probe->name));
	probe->program = probes->programs[index];
	probe->link = bpf_link__fd(probes->links[index]);
	return true;
}

void probes_leave(struct probes *probes)
{
	for (size_t i = 0; i < probes->count; i++)
		bpf_link__disconnect(probes->links[i]); /* else closing it would detach it */
}
