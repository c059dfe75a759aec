// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "filter.h"
#include "message.h"
#include "probes.h" /* before the skeleton, whose constants have types of this header */
#include "netmon.skel.h"

enum way { TP_BTF, CLASSIC, FEXIT, KPROBE, MULTI, CGROUP, WAYS };

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
	[CGROUP] = { "cgroup", "cgroup", ATTACH_AUTO },
};

/* What a hook is for.  END, NAME and CHILD: the life of a process; GONE: a removed cgroup; PEER: the
 * peer of a datagram; PACKETS and RETRANSMITS: layer ip. */
enum role { END, NAME, CHILD, GONE, PEER, PACKETS, RETRANSMITS, SENDS, RECEIVES, ROLES };

/* The group of programs at the root of cgroup v2. */
#define CGROUP_V2 "cgroup v2"

/* The hooks, in the order in which they are attached: the end of a process before anything that
 * gives it a row; what notes a datagram's peer after what takes the note, which would else stay for
 * a later datagram.  A hook is not needed if the one named by `unless`, an earlier one, is attached. */
static const struct hook {
	const char *name;
	const char *group;        /* of a tracepoint, or CGROUP_V2; NULL: a function */
	enum role role;
	const char *unless;
	const char *hole;         /* what is not seen without it; NULL: other hooks replace it */
	bool reads;               /* reads kernel memory by address, which lockdown can refuse */
} hooks[] = {
	{ "sched_process_exit", "sched", END, NULL,
	  "the end of processes (they keep their rows)", false },
	{ "task_rename", "task", NAME, NULL, NULL, true },
	{ "__set_task_comm", NULL, NAME, "task_rename",
	  "new names of processes", false },
	{ "task_newtask", "task", CHILD, NULL, "descendants of the command", false },
	{ "cgroup_rmdir", "cgroup", GONE, NULL, "paths of cgroups that are removed before a report", true },
	{ "sock_create", CGROUP_V2, PACKETS, NULL, NULL, false },
	{ "skb_egress", CGROUP_V2, PACKETS, NULL, NULL, false },
	{ "skb_ingress", CGROUP_V2, PACKETS, NULL, NULL, false },
	{ "tcp_retransmit_skb", "tcp", RETRANSMITS, NULL, "retransmitted TCP packets (tx_retrans)", false },
	{ "sock_send_length", "sock", SENDS, NULL, NULL, false },
	{ "sock_recv_length", "sock", RECEIVES, NULL, NULL, false },
	{ "inet_sendmsg", NULL, SENDS, "sock_send_length", "IPv4 sends", false },
	{ "inet6_sendmsg", NULL, SENDS, "sock_send_length", "IPv6 sends", false },
	{ "packet_sendmsg", NULL, SENDS, "sock_send_length", "AF_PACKET sends",
	  false },
	{ "packet_sendmsg_spkt", NULL, SENDS, "sock_send_length", "SOCK_PACKET sends",
	  false },
	{ "inet_recvmsg", NULL, RECEIVES, "sock_recv_length", "IPv4 receives",
	  false },
	{ "inet6_recvmsg", NULL, RECEIVES, "sock_recv_length", "IPv6 receives",
	  false },
	{ "sock_common_recvmsg", NULL, RECEIVES, "sock_recv_length",
	  "SCTP and IPv6 raw receives", false },
	{ "inet_sendpage", NULL, SENDS, NULL, "sendfile and splice into a socket",
	  false },
	{ "sock_splice_read", NULL, RECEIVES, NULL, "splice out of TCP sockets", false },
	{ "tcp_zerocopy_receive", NULL, RECEIVES, NULL, "TCP_ZEROCOPY_RECEIVE",
	  false },
	{ "sendmsg4", CGROUP_V2, PEER, NULL,
	  "the peer of an IPv4 datagram sent by an unconnected socket", false },
	{ "sendmsg6", CGROUP_V2, PEER, NULL,
	  "the peer of an IPv6 datagram sent by an unconnected socket", false },
	{ "__skb_recv_udp", NULL, PEER, NULL,
	  "the peer of a datagram if the receiver does not ask for it", true },
	{ "recvmsg4", CGROUP_V2, PEER, "__skb_recv_udp",
	  "the peer of a received IPv4 datagram", false },
	{ "recvmsg6", CGROUP_V2, PEER, "__skb_recv_udp",
	  "the peer of a received IPv6 datagram", false },
};

enum { LOG_SIZE = 4096 };

/* libbpf looks at the padding too. */
#define INIT_OPTIONS(options) (memset(&(options), 0, sizeof(options)), (options).sz = sizeof(options))

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

enum { HOOKS = LENGTH(hooks) };

_Static_assert(HOOKS <= 32 && 2 * HOOKS <= PROBES_MOST, "struct holes has a bit for each");

/* What this kernel has. */
struct kernel {
	__u32 ids[HOOKS];          /* BTF ids of the hooks; 0: the kernel lacks the type or the hook */
	bool probed[HOOKS];        /* functions without a type in BTF that can be probed by name */
	__u32 skb_recv_udp_arguments;
	__u32 retransmit_arguments;
	bool storage;              /* programs reach sockets' storage and the current task (Linux 5.15) */
	__u32 cast;                /* bpf_rdonly_cast(), Linux 6.2: its BTF id; 0: none */
	bool tracepoint_srcu;      /* see tracing_is_preempted() */
	bool fast_srcu;            /* Linux 6.15 */
	bool tramp_image;          /* Linux 5.10.28, 5.12: before, ending a fexit program can crash
				    * the kernel if a call sleeps in the function */
};

struct probes {
	struct probes_options options;
	struct layout layout;
	struct tables *tables;
	struct timespec began;     /* CLOCK_MONOTONIC */
	struct bpf_link *links[PROBES_MOST];
	int programs[PROBES_MOST]; /* descriptors, to read their misses */
	char names[PROBES_MOST][sizeof(((struct probe *)0)->name)];
	size_t count;              /* of links, programs and names */
	int wanted_pids;           /* descriptor of the map */
	enum role roles[PROBES_MOST];
	enum way chosen[HOOKS];
	int reasons[HOOKS];        /* why no better way works: an errno; 0: not known */
	enum way better[HOOKS];    /* the way that did not work for that reason */
	unsigned int refused[HOOKS]; /* ways whose programs did not load: a bit for each */
	struct kernel kernel;
	bool casts;                /* bpf_rdonly_cast() is used */
	bool peeks;                /* layer ip: kernel memory can be read by its address */
	struct holes holes;
};

/* libbpf's messages are shown with -v only: a failed trial is no error. */
static bool libbpf_verbose;

static int libbpf_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char *text = NULL;
	int length;

	if (!libbpf_verbose || level == LIBBPF_DEBUG)
		return 0;
	length = vasprintf(&text, format, arguments);
	if (length > 0)
		put_message(text, (size_t)length);
	free(text);
	return length;
}

bool probes_permitted(enum layer layer)
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

bool in_user_namespace(void)
{
	struct stat status;

	/* PROC_USER_INIT_INO, linux/proc_ns.h */
	return !stat("/proc/self/ns/user", &status) && status.st_ino != 0xEFFFFFFD;
}

const char *seccomp_advice(void)
{
	enum { FILTERED = 2 }; /* SECCOMP_MODE_FILTER */

	/* the kernel itself has another reason to refuse a command that it does not know */
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != FILTERED ||
	    syscall(__NR_bpf, -1, NULL, 0) != -1 || errno == EINVAL)
		return NULL;
	return "a seccomp filter may refuse bpf(2): in a container, add CAP_SYS_ADMIN, or use "
	       "--security-opt seccomp=unconfined";
}

static const char *advice_for(int error, enum layer layer)
{
	if (error == EPERM && !probes_permitted(layer))
		return layer == LAYER_IP ? "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
					 : "run it as root, or with CAP_BPF and CAP_PERFMON";
	if (error == EPERM && in_user_namespace())
		return "run it outside the user namespace";
	if (error == EPERM && !seccomp_advice())
		return "before Linux 5.11, try 'ulimit -l unlimited'";
	return error == EPERM || error == ENOSYS ? seccomp_advice() : NULL;
}

/* Does not change errno. */
static const char *advice(int error, enum layer layer)
{
	const char *text = advice_for(error, layer);

	errno = error;
	return text;
}

/* One more than the highest number of a possible CPU ("0-7", "0,2-3"); 0 if it is not known. */
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

/* `attaches`: a program that loads is known to attach. */
static bool try_btf(enum bpf_attach_type attach, __u32 btf_id, bool reads, bool attaches)
{
	int program = load_trial(BPF_PROG_TYPE_TRACING, attach, btf_id, reads);
	int link = program < 0 || attaches ? -1 : bpf_raw_tracepoint_open(NULL, program);

	close_fd(link);
	close_fd(program);
	return attaches ? program >= 0 : link >= 0;
}

/* The number at the beginning of the file, -1 if there is none; closes the file. */
static int read_number(int fd)
{
	char text[32] = "";
	int number = -1;

	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%d", &number) != 1)
		number = -1;
	close(fd);
	return number;
}

/* Opens a file of tracefs, wherever that is mounted; -1 with errno. */
static int tracefs_open(const char *name, int flags)
{
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	int fd = -1;

	for (size_t i = 0; i < LENGTH(roots) && fd < 0; i++) {
		char path[160];

		snprintf(path, sizeof(path), "%s/%s", roots[i], name);
		fd = open(path, flags | O_CLOEXEC);
	}
	return fd;
}

static int read_event_id(const char *group, const char *name)
{
	char file[128];

	snprintf(file, sizeof(file), "events/%s/%s/id", group, name);
	return read_number(tracefs_open(file, O_RDONLY));
}

static int perf_open(struct perf_event_attr *attributes)
{
	return (int)syscall(SYS_perf_event_open, attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

static const char perf_advice[] = "add CAP_SYS_ADMIN, or set the sysctl kernel.perf_event_paranoid to 2";

/* Whether the kernel refuses every event of perf, as Debian's do with CAP_PERFMON alone. */
static bool perf_is_refused(void)
{
	struct perf_event_attr nothing = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(nothing),
					   .config = PERF_COUNT_SW_DUMMY };
	int event = perf_open(&nothing);
	bool refused = event < 0 && (errno == EACCES || errno == EPERM);

	close_fd(event);
	return refused;
}

static bool try_perf(enum bpf_prog_type type, struct perf_event_attr *attributes)
{
	int program = load_trial(type, 0, 0, type == BPF_PROG_TYPE_KPROBE);
	int event = program < 0 ? -1 : perf_open(attributes);
	bool works = event >= 0 && !ioctl(event, PERF_EVENT_IOC_SET_BPF, program);

	close_fd(event);
	close_fd(program);
	return works;
}

static bool try_classic(const struct hook *hook, bool attaches)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_TRACEPOINT,
					      .size = sizeof(attributes) };
	int id = read_event_id(hook->group, hook->name);

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
	int type = read_number(open("/sys/bus/event_source/devices/kprobe/type", O_RDONLY | O_CLOEXEC));

	if (type < 0)
		return false;
	attributes.type = (__u32)type;
	attributes.kprobe_func = (__u64)(unsigned long)hook->name;
	return try_perf(BPF_PROG_TYPE_KPROBE, &attributes);
}

static bool is_cgroup(const struct hook *hook)
{
	return hook->group && !strcmp(hook->group, CGROUP_V2);
}

static bool is_tracepoint(const struct hook *hook)
{
	return hook->group && !is_cgroup(hook);
}

/* Whether bpf_probe_read_kernel() is allowed; lockdown=confidentiality refuses it. */
static bool can_read_kernel(void)
{
	int program = load_trial(BPF_PROG_TYPE_TRACEPOINT, 0, 0, true);

	close_fd(program);
	return program >= 0;
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

/* `attaches`: this way is known to attach to another tracepoint. */
static bool try_way(enum way way, const struct hook *hook, __u32 id, int cgroup_root, bool attaches)
{
	/* only tracepoints show the life of a process */
	bool probed = !hook->group && (hook->role == PEER || hook->role >= SENDS);

	switch (way) {
	case TP_BTF:
		return is_tracepoint(hook) && try_btf(BPF_TRACE_RAW_TP, id, hook->reads, attaches);
	case CLASSIC:
		return is_tracepoint(hook) && try_classic(hook, attaches);
	case FEXIT:
		return id && !hook->group &&
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

/* Since Linux 7.0 tracepoints are called with preemption on, under a fast SRCU instead, and
 * preemption is always possible.  Then a tp_btf or fexit program that is preempted makes the kernel
 * skip it for every other task on that CPU, while classic programs and kprobes run with preemption
 * off.  A kretprobe of kprobe.multi has no limit of instances there, as that of a kprobe has
 * (fprobe on the function graph tracer, Linux 6.14).  Before, tp_btf is as exact as a
 * classic program, and cheaper.
 *
 * Up to Linux 6.12, tracepoints had an SRCU for other purposes, which was not a fast one. */
static bool tracing_is_preempted(const struct kernel *kernel)
{
	return kernel->tracepoint_srcu && kernel->fast_srcu;
}

/* In layer ip, the kernel never skips the programs that see packets, and those that see calls
 * count nothing. */
static bool prefers_classic(const struct probes_options *options, const struct kernel *kernel,
			    const struct hook *hook)
{
	return tracing_is_preempted(kernel) && hook->role != GONE &&
	       (options->layer == LAYER_SOCKET || hook->role < PACKETS);
}

/* Only some ways lead to a socket's storage, which layer ip needs. */
static bool is_possible(const struct probes_options *options, const struct hook *hook, enum way way)
{
	if (hook->role == GONE)
		return way == TP_BTF;
	if (options->layer == LAYER_IP && hook->role >= PACKETS)
		return way == TP_BTF || way == FEXIT || way == CGROUP;
	return options->attach == ATTACH_AUTO || hook->role < SENDS || ways[way].attach == options->attach;
}

/* Whether the way was chosen for another tracepoint.  Then it works for all.  Another trial would take 5
 * to 15 ms: a program that is attached just after another was detached has to wait for all calls that
 * might still be under way there (tp_rcu_cond_sync()). */
static bool attaches(enum way way, const enum way chosen[HOOKS])
{
	for (int i = 0; i < HOOKS; i++)
		if (is_tracepoint(&hooks[i]) && chosen[i] == way)
			return true;
	return false;
}

/* The first way that works for the hook, WAYS if none does.  Keeps the reason why the best way does not
 * work, for messages. */
static enum way choose_way(struct probes *probes, int index)
{
	static const enum way orders[2][WAYS] = {
		{ TP_BTF, CLASSIC, FEXIT, KPROBE, MULTI, CGROUP },
		{ CLASSIC, TP_BTF, MULTI, FEXIT, KPROBE, CGROUP },
	};
	const struct probes_options *options = &probes->options;
	const struct hook *hook = &hooks[index];
	const enum way *order = orders[prefers_classic(options, &probes->kernel, hook)];

	for (int i = 0; i < WAYS; i++) {
		if (probes->refused[index] & 1U << order[i] || !is_possible(options, hook, order[i]) ||
		    (order[i] == FEXIT && !probes->kernel.tramp_image))
			continue;
		errno = 0;
		if (try_way(order[i], hook, probes->kernel.ids[index], options->cgroup_root,
			    attaches(order[i], probes->chosen)))
			return order[i];
		if (!probes->reasons[index]) {
			probes->reasons[index] = errno;
			probes->better[index] = order[i];
		}
	}
	return WAYS;
}

/* Loading */

/* The index of a hook in hooks[], which must have it. */
static int find_hook(const char *name)
{
	int i = 0;

	while (strcmp(hooks[i].name, name))
		i++;
	return i;
}

/* The hook that the type stands for: a function, or the type of a tracepoint; -1: none. */
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

static const struct btf_type *pointed_at(const struct btf *types, __u32 id)
{
	return btf__type_by_id(types, btf__type_by_id(types, id)->type);
}

static void look_at_type(struct kernel *kernel, const struct btf *types, __u32 id)
{
	const struct btf_type *type = btf__type_by_id(types, id);
	const char *name = btf__name_by_offset(types, type->name_off);
	int hook;

	/* all helpers up to that one, which came when programs of cgroups got that of the current task
	 * (bpf_base_func_proto()), and the constant after the last one */
	if (btf_is_enum(type) && !strcmp(name, "bpf_func_id"))
		kernel->storage = btf_vlen(type) >= BPF_FUNC_task_pt_regs + 2;
	if (btf_is_struct(type) && !strcmp(name, "srcu_ctr"))
		kernel->fast_srcu = true;
	if (btf_is_struct(type) && !strcmp(name, "bpf_tramp_image"))
		kernel->tramp_image = true;
	if (btf_is_var(type) && !strcmp(name, "tracepoint_srcu_srcu_data"))
		kernel->tracepoint_srcu = true;
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
	if (hook == find_hook("tcp_retransmit_skb")) /* its first argument is not the event's */
		kernel->retransmit_arguments = btf_vlen(pointed_at(types, type->type)) - 1;
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
	case GONE:
		if (!(options->parts & PART_CGROUP))
			return false;
		break;
	case PEER:
		if (!needs_peer(options))
			return false;
		break;
	case PACKETS:
		if (options->layer != LAYER_IP)
			return false;
		break;
	case RETRANSMITS:
		if (!options->retransmits)
			return false;
		break;
	default:
		break;
	}
	return !hook->unless || chosen[find_hook(hook->unless)] == WAYS;
}

/* What is not counted, or may be skipped. */
static struct holes find_holes(const struct probes_options *options, const struct kernel *kernel,
			       const enum way chosen[HOOKS])
{
	struct holes holes = { 0 };

	for (int i = 0; i < HOOKS; i++) {
		if (hooks[i].role >= SENDS && options->layer == LAYER_IP)
			continue; /* it only notes which process uses a socket */
		if (needed(options, &hooks[i], chosen) && chosen[i] == WAYS && hooks[i].hole &&
		    has_hook(kernel, i))
			holes.refused |= 1U << i;
		if (chosen[i] == TP_BTF && prefers_classic(options, kernel, &hooks[i]))
			holes.skipped |= 1U << i;
		if (hooks[i].role == RECEIVES && chosen[i] != WAYS)
			holes.waiting |= !hooks[i].group && hooks[i].unless;
		if (hooks[i].role >= SENDS && (chosen[i] == FEXIT || (chosen[i] == TP_BTF &&
								      tracing_is_preempted(kernel))))
			holes.may_skip = true;
	}
	holes.no_perf = holes.skipped && probes_tracefs() && perf_is_refused();
	return holes;
}

static void add_hole(char *text, size_t size, const char *hole)
{
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%s%s", length ? ", " : "; not seen: ", hole);
}

void probes_say_holes(const struct holes *holes)
{
	char text[2048] = "";

	for (int i = 0; i < HOOKS; i++)
		if (holes->refused & 1U << i)
			add_hole(text, sizeof(text), hooks[i].hole);
	if (holes->waiting)
		add_hole(text, sizeof(text), "receives that were already waiting");
	if (*text || holes->skipped)
		say("counting%s%s%s", text, !holes->skipped ? "" : "; under load this kernel may skip calls: "
		    "netmon will report how many: ", !holes->skipped ? "" : holes->no_perf ? perf_advice :
		    "is tracefs mounted and readable?");
}

#define NEEDS_STORAGE "cannot use --layer ip: this kernel's probes cannot reach a socket's storage: it " \
		      "takes Linux 5.15, on arm64 Linux 6.4"

/* For a program that does not load, though a trial loads. */
#define VERIFIER_ADVICE "-v shows the verifier's log; a netmon built with another version of clang might load"

/* Layer ip: reports a hook of packets that cannot be attached.  EPERM does not mean missing capabilities,
 * which were checked before. */
static void say_refused(const struct probes *probes, int index)
{
	const struct hook *hook = &hooks[index];

	errno = 0;
	if (probes->refused[index])
		cannot("attach to", hook->name, strerror(probes->reasons[index]), VERIFIER_ADVICE);
	else if (!try_cgroup(hook, probes->options.cgroup_root) && errno == EPERM)
		cannot("attach to", hook->name, NULL,
		       "another program is attached to this hook of the root cgroup exclusively "
		       "(without BPF_F_ALLOW_MULTI): see 'bpftool cgroup show'");
	else
		cannot("attach to", hook->name, "this kernel refuses it", "--layer ip needs it");
}

/* No hook of this role is attached: the first one with a reason, or else the first one. */
static int first_without_way(const struct probes *probes, enum role role)
{
	int first = HOOKS;

	for (int i = HOOKS - 1; i >= 0; i--)
		if (hooks[i].role == role &&
		    (first == HOOKS || probes->reasons[i] || !probes->reasons[first]))
			first = i;
	return first;
}

/* Reports that without this hook nothing is counted. */
static void say_no_way(const struct probes *probes, int hook)
{
	const struct probes_options *options = &probes->options;
	bool no_perf = options->attach != ATTACH_FEXIT && perf_is_refused();
	int error = no_perf ? EACCES : probes->reasons[hook];
	char reason[128];

	snprintf(reason, sizeof(reason), "this kernel refuses every way%s: %s",
		 options->attach ? " that --attach allows" : "", error ? strerror(error) : "see -v");
	cannot("attach to", hooks[hook].name, reason,
	       no_perf ? perf_advice
	       : options->attach ? "try --attach auto"
	       : probes->refused[hook] ? VERIFIER_ADVICE : NULL);
}

/* Whether the chosen ways count anything; if not, says why. */
static bool can_count(const struct probes *probes)
{
	const struct probes_options *options = &probes->options;
	bool can[ROLES] = { false };
	int hook;

	for (int i = 0; i < HOOKS; i++) {
		if (probes->chosen[i] != WAYS) {
			can[hooks[i].role] = true;
		} else if (options->layer == LAYER_IP && hooks[i].role == PACKETS) {
			say_refused(probes, i);
			return false;
		}
	}
	if (can[SENDS] && can[RECEIVES])
		return true;
	hook = first_without_way(probes, can[SENDS] ? RECEIVES : SENDS);
	if (options->layer == LAYER_IP && !probes->refused[hook])
		say(NEEDS_STORAGE);
	else
		say_no_way(probes, hook);
	return false;
}

static void say_way(const struct probes *probes, int index, bool has)
{
	const char *name = hooks[index].name;
	int reason = probes->reasons[index];

	if (!has)
		say("%s: not in this kernel", name);
	else if (probes->chosen[index] != WAYS)
		say("%s: %s", name, ways[probes->chosen[index]].name);
	else if (reason)
		say("%s: no way to attach: %s: %s", name, ways[probes->better[index]].name, strerror(reason));
	else
		say("%s: no way to attach", name);
}

/* Chooses a way for each hook.  False if nothing can be counted. */
static bool choose_ways(struct probes *probes)
{
	for (int i = 0; i < HOOKS; i++)
		probes->chosen[i] = WAYS;
	for (int i = 0; i < HOOKS; i++) {
		bool has = has_hook(&probes->kernel, i);

		if (!needed(&probes->options, &hooks[i], probes->chosen))
			continue;
		if (has)
			probes->chosen[i] = choose_way(probes, i);
		if (probes->options.verbose)
			say_way(probes, i, has);
	}
	return can_count(probes);
}

static struct bpf_program *find_program(const struct netmon_bpf *skeleton, const struct hook *hook,
					const char *suffix)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", hook->name, suffix);
	return bpf_object__find_program_by_name(skeleton->obj, name);
}

/* The programs for a hook and a way.  The one at the return comes first: a return without an entry is
 * ignored, an entry without its return would look like a missed call. */
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

/* The first element that a process or key can have. */
static __u32 first_place(const struct probes_options *options)
{
	return options->layer == LAYER_IP ? PROCESS_KERNEL + 1 : ROW_OTHER + 1;
}

/* The kernel itself is a process and, if the process is the key, has a row. */
static int add_kernel(const struct probes *probes, const struct netmon_bpf *skeleton)
{
	const __u64 seq = 1 << SEQ_GENERATION | SEQ_OWNED;
	const struct netmon_process kernel = { .seq = seq, .comm = "(kernel)" };
	const struct netmon_row row = { .seq = seq, .key = { .process = PROCESS_KERNEL, .generation = 1 } };
	const __u32 index = PROCESS_KERNEL, parts = probes->options.parts;

	if (probes->options.layer != LAYER_IP || !(parts & PART_PROCESS))
		return 0;
	if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.processes), &index, &kernel, BPF_ANY) ||
	    (parts == PART_PROCESS &&
	     bpf_map_update_elem(bpf_map__fd(skeleton->maps.rows), &index, &row, BPF_ANY)))
		return -errno;
	return 0;
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

/* Creates only the maps that this key and these filters and hooks use. */
static void size_maps(const struct probes *probes, struct netmon_bpf *skeleton, bool kprobes)
{
	const struct probes_options *options = &probes->options;
	const struct layout *layout = &probes->layout;
	bool keyed = options->parts & ~PART_PROCESS, by_process = options->parts & PART_PROCESS;
	__u32 limit = (__u32)layout_processes(layout), rows = (__u32)layout_rows(layout);

	bpf_map__set_autocreate(skeleton->maps.calls, kprobes);
	bpf_map__set_autocreate(skeleton->maps.peers, needs_peer(options));
	bpf_map__set_autocreate(skeleton->maps.owners, options->layer == LAYER_IP);
	bpf_map__set_autocreate(skeleton->maps.mptcp_owners, options->layer == LAYER_IP);
	bpf_map__set_autocreate(skeleton->maps.wanted_pids,
				options->filter.kinds & FILTER_PIDS || options->follow);
	bpf_map__set_autocreate(skeleton->maps.wanted_cgroup,
				options->filter.kinds & FILTER_CGROUP);
	if (!options->follow && options->pids_count)
		bpf_map__set_max_entries(skeleton->maps.wanted_pids, (__u32)options->pids_count);

	bpf_map__set_max_entries(skeleton->maps.processes, limit);
	bpf_map__set_autocreate(skeleton->maps.process_of, by_process);
	bpf_map__set_autocreate(skeleton->maps.free_processes, by_process);
	bpf_map__set_max_entries(skeleton->maps.process_of, limit);
	bpf_map__set_max_entries(skeleton->maps.free_processes, limit);

	bpf_map__set_max_entries(skeleton->maps.packet_stats,
				 (__u32)layout_stride(layout) * layout->groups);
	bpf_map__set_max_entries(skeleton->maps.rows, rows);
	bpf_map__set_max_entries(skeleton->maps.gone_cgroups, layout_gone(layout));
	bpf_map__set_autocreate(skeleton->maps.row_of, keyed);
	bpf_map__set_autocreate(skeleton->maps.checking, keyed);
	bpf_map__set_max_entries(skeleton->maps.row_of, rows);
	bpf_map__set_max_entries(skeleton->maps.free_rows, keyed ? rows : 1);
}

/* Classic programs, and those of layer ip that look at a packet's interface, have an address without a
 * type.  Under lockdown, bpf_probe_read_kernel() cannot read it. */
static void choose_reading(struct probes *probes)
{
	bool needed = probes->options.layer == LAYER_IP, can;

	for (int i = 0; i < HOOKS; i++)
		needed |= hooks[i].role >= SENDS && probes->chosen[i] == CLASSIC;
	can = needed && can_read_kernel();
	probes->casts = needed && !can && probes->kernel.cast;
	probes->peeks = probes->options.layer == LAYER_IP && (can || probes->casts);
}

/* The inode of an open file; 0 if there is none. */
static __u64 inode_of(int fd)
{
	struct stat status;

	return fd < 0 || fstat(fd, &status) ? 0 : status.st_ino;
}

/* If the names of interfaces cannot be read, packets have an index instead: filters those of netmon's
 * own network namespace. */
static void filter_by_index(struct netmon_filter *filter)
{
	struct stat own = { 0 };

	stat("/proc/self/ns/net", &own);
	for (__u32 i = 0; i < filter->ifaces_count; i++) {
		struct netmon_iface iface = { .index = if_nametoindex(filter->ifaces[i]),
					      .netns = (__u32)own.st_ino };

		if (iface.index > LOOPBACK_IFINDEX)
			memcpy(filter->ifaces[i], &iface, sizeof(iface));
	}
}

static void set_constants(const struct probes *probes, struct netmon_bpf *skeleton, bool kprobes)
{
	const struct probes_options *options = &probes->options;
	const struct layout *layout = &probes->layout;

	skeleton->rodata->parts = options->parts;
	skeleton->rodata->needs = needs(options);
	skeleton->rodata->filter = options->filter;
	if (!probes->peeks)
		filter_by_index(&skeleton->rodata->filter);
	if (options->follow)
		skeleton->rodata->filter.kinds |= FILTER_PIDS;
	skeleton->rodata->follows = options->follow;
	skeleton->rodata->by_packet = options->layer == LAYER_IP;
	skeleton->rodata->has_kprobes = kprobes;
	skeleton->rodata->needs_peer = needs_peer(options);
	skeleton->rodata->groups = layout->groups;
	skeleton->rodata->group_mask = layout->groups == cpus() ? ~0U : layout->groups - 1;
	skeleton->rodata->rows_limit = (__u32)layout_rows(layout);
	skeleton->rodata->rows_stride = (__u32)layout_stride(layout);
	skeleton->rodata->idle_after = options->idle_after;
	skeleton->rodata->casts = probes->casts;
	skeleton->rodata->peeks = probes->peeks;
	skeleton->rodata->retransmit_has_error = probes->kernel.retransmit_arguments > 2;
	skeleton->rodata->wanted_cgroup_id = inode_of(options->cgroup);
	skeleton->rodata->skb_recv_udp_arguments = probes->kernel.skb_recv_udp_arguments;
}

/* Opens the skeleton that bpftool made, and puts the kernel's number into each call of `cast`.  Not by an
 * extern: if the kernel lacks the function, libbpf looks for it in modules, which needs CAP_SYS_ADMIN
 * and fails before libbpf 1.5.  NULL with errno. */
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

/* Selects the programs to load.  The verifier writes to `log`, unless that is NULL. */
static void select_programs(const struct probes *probes, const struct netmon_bpf *skeleton,
			    char (*log)[LOG_SIZE])
{
	struct bpf_program *program, *programs[2];

	bpf_object__for_each_program(program, skeleton->obj)
		bpf_program__set_autoload(program, false);
	for (int i = 0; i < HOOKS; i++) {
		int count = find_programs(skeleton, &hooks[i], probes->chosen[i], programs);

		while (count--) {
			bpf_program__set_autoload(programs[count], true);
			if (log)
				bpf_program__set_log_buf(programs[count], log[i], LOG_SIZE);
			if (probes->chosen[i] == MULTI)
				bpf_program__set_expected_attach_type(programs[count],
								      BPF_TRACE_KPROBE_MULTI);
		}
	}
	bpf_program__set_autoload(skeleton->progs.fill_processes, probes->options.parts & PART_PROCESS);
	bpf_program__set_autoload(skeleton->progs.fill_rows, probes->options.parts & ~PART_PROCESS);
	bpf_program__set_autoload(skeleton->progs.owners_iter, probes->options.layer == LAYER_IP);
}

static bool has_kprobes(const struct probes *probes)
{
	for (int i = 0; i < HOOKS; i++)
		if (hooks[i].role >= SENDS && (probes->chosen[i] == KPROBE || probes->chosen[i] == MULTI))
			return true;
	return false;
}

/* Opens and loads the programs for the ways that were chosen.  NULL with errno. */
static struct netmon_bpf *load(struct probes *probes, char (*log)[LOG_SIZE])
{
	struct netmon_bpf *skeleton = open_skeleton(probes->casts ? probes->kernel.cast : 0);
	int error;

	if (!skeleton)
		return NULL;
	select_programs(probes, skeleton, log);
	set_constants(probes, skeleton, has_kprobes(probes));
	size_maps(probes, skeleton, has_kprobes(probes));
	error = netmon_bpf__load(skeleton);
	if (!error)
		return skeleton;
	netmon_bpf__destroy(skeleton);
	errno = -error;
	return NULL;
}

/* Loads again to find each program that the verifier refuses: a way that attached in a trial might not
 * load as this compiler made it.  Refuses these ways; returns whether there are any, so that other ways
 * are tried for their hooks.  `error`: of the first load; the log buffers are small and can change it. */
static bool refuse_ways(struct probes *probes, int error)
{
	char (*log)[LOG_SIZE] = calloc(HOOKS, sizeof(*log));
	bool any = false, again = log;

	while (again) {
		struct netmon_bpf *skeleton = load(probes, log);

		again = false;
		for (int i = 0; !skeleton && i < HOOKS; i++) {
			if (!log[i][0] || probes->chosen[i] == WAYS)
				continue;
			if (probes->options.verbose)
				say("%s: does not load as %s", hooks[i].name, ways[probes->chosen[i]].name);
			probes->refused[i] |= 1U << probes->chosen[i];
			probes->reasons[i] = error;
			probes->better[i] = probes->chosen[i];
			probes->chosen[i] = WAYS;
			any = again = true;
		}
		netmon_bpf__destroy(skeleton);
	}
	free(log);
	return any;
}

/* Fills the maps that the probes need before their first event. */
static int prepare(const struct probes *probes, const struct netmon_bpf *skeleton)
{
	const struct layout *layout = &probes->layout;
	int error = 0;

	if (layout->parts & PART_PROCESS)
		error = fill_free(skeleton->progs.fill_processes, first_place(&probes->options),
				  layout_processes(layout));
	if (!error && layout->parts & ~PART_PROCESS)
		error = fill_free(skeleton->progs.fill_rows, ROW_OTHER + 1, layout_rows(layout));
	error = error ? error : add_kernel(probes, skeleton);
	return error ? error : fill_wanted(skeleton, &probes->options);
}

/* Ends the names of this netmon's kretprobes.  The pid alone is not enough: in a container of its own,
 * each netmon has the same one. */
static const char *kretprobes_end(void)
{
	static char end[24];
	unsigned number = 0;

	if (!*end) {
		getrandom(&number, sizeof(number), 0);
		snprintf(end, sizeof(end), "_%d_%08x", getpid(), number);
	}
	return end;
}

/* Removes the kretprobes that killed netmons and removed pins left; those in use stay (EBUSY).  `events`:
 * tracefs' kprobe_events.  Returns whether any of another process stays. */
static bool remove_kretprobes(int events)
{
	FILE *lines = fdopen(tracefs_open("kprobe_events", O_RDONLY), "r");
	char line[256], name[64];
	bool stays = false;

	while (lines && fgets(line, sizeof(line), lines))
		if (sscanf(line, "r%*[^:]:netmon/%63s", name) == 1 &&
		    dprintf(events, "-:netmon/%s\n", name) < 0)
			stays |= !strstr(name, kretprobes_end());
	if (lines)
		fclose(lines);
	return stays;
}

/* Opens kprobe_events for adding to it, and locks it, so that no other netmon removes a kretprobe before
 * it is in use.  -1 with errno. */
static int kretprobes_lock(void)
{
	int events = tracefs_open("kprobe_events", O_WRONLY | O_APPEND);

	if (events >= 0)
		flock(events, LOCK_EX);
	return events;
}

void probes_clean(int tries)
{
	static const struct timespec pause = { .tv_nsec = 50000000 };
	bool stays = true;

	while (stays && tries--) {
		int events = kretprobes_lock();

		stays = events >= 0 && remove_kretprobes(events);
		close_fd(events);
		if (stays && tries)
			nanosleep(&pause, NULL);
	}
}

/* A kretprobe, with as many instances as the kernel allows (KRETPROBE_MAXACTIVE_MAX): each call that
 * waits holds one, and without a free one a return is not seen.  Only tracefs takes their number.
 * NULL with errno. */
static struct bpf_link *attach_kretprobe(const struct bpf_program *program, const char *function)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attributes) };
	struct bpf_link *link = NULL;
	int events = kretprobes_lock(), id, event;
	char name[64];

	if (events < 0)
		return NULL;
	remove_kretprobes(events);
	snprintf(name, sizeof(name), "%.36s%s", function, kretprobes_end());
	if (dprintf(events, "r4096:netmon/%s %s\n", name, function) > 0) {
		id = read_event_id("netmon", name);
		attributes.config = (__u64)id;
		event = id < 0 ? -1 : perf_open(&attributes);
		link = event < 0 ? NULL : bpf_program__attach_perf_event(program, event);
		if (!link)
			close_fd(event);
	}
	close(events);
	return link;
}

static struct bpf_link *attach_program(const struct probes *probes,
				       const struct bpf_program *program, enum way way)
{
	struct bpf_kprobe_multi_opts options;
	const char *section = bpf_program__section_name(program); /* kprobe/NAME, kretprobe/NAME */
	const char *slash = strchr(section, '/'), *function = slash ? slash + 1 : section;
	bool returns = !strncmp(section, "kretprobe", 9);
	struct bpf_link *link;

	if (way == CGROUP)
		return bpf_program__attach_cgroup(program, probes->options.cgroup_root);
	if (way == KPROBE && returns) {
		link = attach_kretprobe(program, function);
		if (link)
			return link;
	}
	if (way != MULTI)
		return bpf_program__attach(program);
	INIT_OPTIONS(options);
	options.retprobe = returns;
	/* by name: for a pattern, libbpf reads addresses, which only root may see */
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
			const size_t at = probes->count;
			struct bpf_link *link = attach_program(probes, programs[j],
							       probes->chosen[i]);

			if (!link)
				return cannot("attach to", hooks[i].name, NULL,
					      advice(errno, probes->options.layer));
			probes->links[at] = link;
			probes->roles[at] = hooks[i].role;
			snprintf(probes->names[at], sizeof(probes->names[0]), "%s",
				 bpf_program__name(programs[j]));
			probes->programs[at] = fcntl(bpf_program__fd(programs[j]), F_DUPFD_CLOEXEC, 0);
			probes->count++;
		}
	}
	return 0;
}

/* Finds the owners of existing sockets. */
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
	/* EAGAIN after each million of files */
	while (file >= 0 && ((length = read(file, nothing, sizeof(nothing))) > 0 ||
			     (length < 0 && errno == EAGAIN)))
		;
	if (length < 0)
		cannot("read", "the sockets of all processes", NULL, NULL);
	close_fd(file);
	bpf_link__destroy(link);
	return (int)length;
}

static int duplicate(const struct bpf_map *map)
{
	return bpf_map__fd(map) < 0 ? -1 : fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
}

/* Takes from the loaded object what counting and reading need; the rest can be freed. */
static int keep(struct probes *probes, const struct netmon_bpf *skeleton)
{
	const struct table_fds fds = { duplicate(skeleton->maps.packet_stats),
				       duplicate(skeleton->maps.rows),
				       duplicate(skeleton->maps.processes),
				       duplicate(skeleton->maps.status),
				       duplicate(skeleton->maps.gone_cgroups) };

	probes->wanted_pids = duplicate(skeleton->maps.wanted_pids);
	probes->tables = tables_open(&probes->layout, &fds, false);
	return probes->tables ? 0 : -1;
}

/* Chooses ways and loads, until all chosen programs load or no way is left.  NULL with a message. */
static struct netmon_bpf *choose_and_load(struct probes *probes)
{
	for (;;) {
		struct netmon_bpf *skeleton;
		int error;

		if (!choose_ways(probes))
			return NULL;
		choose_reading(probes);
		skeleton = load(probes, NULL);
		if (skeleton)
			return skeleton;
		error = errno;
		if (!refuse_ways(probes, error)) {
			cannot("load", "probes", strerror(error), advice(error, probes->options.layer));
			return NULL;
		}
	}
}

#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"

/* What to do if the kernel's types cannot be read.  Sets errno if it is not libbpf that fails. */
static const char *types_advice(void)
{
	int types = open(KERNEL_TYPES, O_RDONLY | O_CLOEXEC);

	close_fd(types);
	if (types >= 0)
		return "build netmon with a newer libbpf, which knows this kernel's BTF";
	if (errno != ENOENT)
		return NULL;
	return access("/sys/kernel", F_OK) ? "mount sysfs on /sys"
					   : "netmon needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)";
}

static int start(struct probes *probes)
{
	struct netmon_bpf *skeleton;
	int error;

	if (look_at_kernel(&probes->kernel))
		return cannot("read", KERNEL_TYPES, NULL, types_advice());
	if (probes->options.layer == LAYER_IP && !probes->kernel.storage) {
		say(NEEDS_STORAGE);
		return -1;
	}
	skeleton = choose_and_load(probes);
	if (!skeleton)
		return -1;
	probes->holes = find_holes(&probes->options, &probes->kernel, probes->chosen);
	error = prepare(probes, skeleton);
	if (error)
		cannot("load", "probes", strerror(-error), advice(-error, probes->options.layer));
	else if (keep(probes, skeleton) || attach(probes, skeleton) || find_owners(probes, skeleton))
		error = -1;
	clock_gettime(CLOCK_MONOTONIC, &probes->began);
	skeleton->bss->counting = !error;
	netmon_bpf__destroy(skeleton);
	return error;
}

/* Makes the structure; nothing is open yet.  NULL if memory is short. */
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
	probes->layout.groups = layout_groups(&probes->layout, cpus());
	probes->wanted_pids = -1;
	return probes;
}

/* Whether the kernel loads any program for this process.  If not, sets errno: no hook can be attached. */
static bool may_load(void)
{
	int program = load_trial(BPF_PROG_TYPE_TRACEPOINT, 0, 0, false);

	close_fd(program);
	return program >= 0;
}

/* Loading takes megabytes, since libbpf reads the kernel's types; counting needs little. */
static void give_back_memory(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

struct probes *probes_open(const struct probes_options *options)
{
	struct probes *probes;
	int error = -1;

	libbpf_verbose = options->libbpf;
	libbpf_set_print(libbpf_message);
	if (!probes_permitted(options->layer)) {
		cannot("load", "probes", strerror(EPERM), advice(EPERM, options->layer));
		return NULL;
	}
	if (!may_load()) {
		cannot("load", "probes", NULL, advice(errno, options->layer));
		return NULL;
	}
	probes = probes_new(options);
	if (probes)
		error = start(probes);
	else
		cannot("load", "probes", strerror(ENOMEM), NULL);
	give_back_memory();
	if (!error)
		return probes;
	probes_close(probes);
	return NULL;
}

void probes_close(struct probes *probes)
{
	bool kretprobes = false;

	if (!probes)
		return;
	for (size_t i = 0; i < probes->count; i++) {
		bpf_link__destroy(probes->links[i]);
		close_fd(probes->programs[i]);
	}
	for (int i = 0; i < HOOKS; i++)
		kretprobes |= probes->chosen[i] == KPROBE;
	if (kretprobes)
		probes_clean(1);
	tables_close(probes->tables);
	close_fd(probes->wanted_pids);
	free(probes);
}

int probes_follow(struct probes *probes, __u32 pid)
{
	const __u8 wanted = 1;

	if (!bpf_map_update_elem(probes->wanted_pids, &pid, &wanted, BPF_ANY))
		return 0;
	return cannot("follow", "the command", NULL, NULL);
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

/* Whether bytes are missed if the kernel skips the probe.  In layer ip, calls count nothing. */
static bool counts(const struct probes *probes, enum role role)
{
	return role != PEER && (probes->options.layer == LAYER_SOCKET || role < SENDS);
}

__u64 probes_missed(const struct probes *probes)
{
	__u64 missed = tables_calls_missed(probes->tables);

	for (size_t i = 0; i < probes->count; i++)
		if (counts(probes, probes->roles[i]))
			missed += programs_missed(&probes->programs[i], 1);
	return missed;
}

const char *probes_libbpf(void)
{
	return libbpf_version_string() + 1; /* v1.2 */
}

bool probes_tracefs(void)
{
	int fd = tracefs_open("events/sched/sched_process_exit/id", O_RDONLY);

	close_fd(fd);
	return fd >= 0;
}

__u64 probes_peers_missed(const struct probes *probes)
{
	__u64 missed = 0;

	for (size_t i = 0; i < probes->count; i++)
		if (probes->roles[i] == PEER)
			missed += programs_missed(&probes->programs[i], 1);
	return missed;
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

struct timespec probes_began(const struct probes *probes)
{
	return probes->began;
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
	probe->counts = counts(probes, probes->roles[index]);
	return true;
}

void probes_leave(struct probes *probes)
{
	for (size_t i = 0; i < probes->count; i++)
		bpf_link__disconnect(probes->links[i]); /* else closing it would detach it */
}
