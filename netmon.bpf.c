// SPDX-License-Identifier: GPL-2.0-only
/*
 * The probes: payload bytes that the kernel accepted from a process on an IP socket
 * or handed over to it, by the value that the call returned.
 *
 * One body of code, count(), serves all.  Each hook has a thin wrapper for each way
 * to attach to it; probes.c loads one of them for each hook:
 *
 *   tp_btf/      the tracepoints, where they run with preemption off (before Linux 7.0)
 *   tracepoint/  the same as classic programs, which the kernel never preempts
 *   fexit/       the functions that the tracepoints do not cover or that stand in for them
 *   kprobe/, kretprobe/   the same functions where fexit is not to be had; as kprobe.multi
 *                before it where fexit programs may be preempted (since Linux 7.0)
 *
 * inet_sendmsg() and its like lie above kernel TLS and MPTCP, so each payload byte
 * passes them once; tcp_sendmsg() would be called again for the records.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "netmon.h"

enum { AF_INET = 2, AF_INET6 = 10, AF_PACKET = 17 };
enum { MSG_PEEK = 0x2, MSG_ERRQUEUE = 0x2000 };
enum direction { RX, TX };

#define barrier() asm volatile("" ::: "memory")

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct slot);
} packet_stats SEC(".maps");

/* Which slot a living process has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PROCESSES);
	__type(key, __u32);
	__type(value, __u32);
} slot_of SEC(".maps");

/* The slots to be had, longest free first; filled by probes.c before the first event. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MAX_PROCESSES);
	__type(value, __u32);
} free_slots SEC(".maps");

/* kprobes only: what the return of a thread's call needs of its arguments. */
struct call {
	__u32 thread;
	__u32 hook;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct call);
	__type(value, __u64);
} calls SEC(".maps");

/* kprobes only: calls whose return the kernel kept from us (nmissed). */
__u64 calls_missed;

/* Whether any hook is attached by kprobe. */
const volatile bool by_kprobe;

/* The name of the process, not that of the thread which happens to be first.  Read
 * through a typed pointer where there is one (Linux 5.11): lockdown allows that, and
 * refuses bpf_probe_read_kernel(). */
static __always_inline void leader_comm(char *comm)
{
	struct task_struct *task;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = bpf_get_current_task_btf();
		__builtin_memcpy(comm, task->group_leader->comm, COMM_LEN);
	} else {
		task = (void *)bpf_get_current_task();
		BPF_CORE_READ_INTO((char(*)[COMM_LEN])comm, task, group_leader, comm);
	}
}

/* Gives the process a slot and returns its index, SLOT_OTHER where there is none.  The
 * slot is complete before it is found in slot_of, so that no byte comes before its base. */
static __noinline __u32 add_process(__u32 pid)
{
	__u32 index = SLOT_OTHER, *winner;
	struct slot *slot;

	if (bpf_map_pop_elem(&free_slots, &index))
		return SLOT_OTHER;
	slot = bpf_map_lookup_elem(&packet_stats, &index);
	if (!slot)
		return SLOT_OTHER;

	__sync_fetch_and_add(&slot->turn, 1);
	barrier();
	slot->base = slot->now;
	slot->pid = pid;
	slot->ended = 0;
	slot->since = bpf_ktime_get_ns();
	leader_comm(slot->comm);
	barrier();
	__sync_fetch_and_add(&slot->turn, 1);

	if (bpf_map_update_elem(&slot_of, &pid, &index, BPF_NOEXIST)) {
		/* another thread of it was faster */
		slot->ended = 1;
		bpf_map_push_elem(&free_slots, &index, 0);
		winner = bpf_map_lookup_elem(&slot_of, &pid);
		return winner ? *winner : SLOT_OTHER;
	}
	return index;
}

/* Counts one call of the current process that moved `bytes`; none if that is an error.
 * io_uring's and other kernel threads that a process owns are in its thread group. */
static __always_inline int count(enum direction direction, long bytes)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u32 index, *known;
	struct slot *slot;

	if (bytes <= 0)
		return 0;
	known = bpf_map_lookup_elem(&slot_of, &pid);
	index = known ? *known : add_process(pid);
	slot = bpf_map_lookup_elem(&packet_stats, &index);
	if (!slot)
		return 0;
	if (direction == RX) {
		__sync_fetch_and_add(&slot->now.rx_bytes, bytes);
		__sync_fetch_and_add(&slot->now.rx_calls, 1);
	} else {
		__sync_fetch_and_add(&slot->now.tx_bytes, bytes);
		__sync_fetch_and_add(&slot->now.tx_calls, 1);
	}
	return 0;
}

static __always_inline bool is_ip(int family)
{
	return family == AF_INET || family == AF_INET6;
}

/* A frame sent by hand is traffic of its sender; what a packet socket receives is a
 * copy of somebody's. */
static __always_inline int sent(int family, long bytes)
{
	return is_ip(family) || family == AF_PACKET ? count(TX, bytes) : 0;
}

static __always_inline int received(int family, int flags, long bytes)
{
	return is_ip(family) && !(flags & (MSG_PEEK | MSG_ERRQUEUE)) ? count(RX, bytes) : 0;
}

/* Sockets: the tracepoints of Linux 6.3, in sock_sendmsg() and sock_recvmsg(). */

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length_btf, struct sock *sk, int ret, int flags)
{
	return sent(sk->__sk_common.skc_family, ret);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length_btf, struct sock *sk, int ret, int flags)
{
	return received(sk->__sk_common.skc_family, flags, ret);
}

SEC("tracepoint/sock/sock_send_length")
int sock_send_length_classic(struct trace_event_raw_sock_msg_length *ctx)
{
	return sent(ctx->family, ctx->ret);
}

SEC("tracepoint/sock/sock_recv_length")
int sock_recv_length_classic(struct trace_event_raw_sock_msg_length *ctx)
{
	return received(ctx->family, ctx->flags, ctx->ret);
}

/* The kprobe way: what the return needs is kept from the entry.  A thread that enters
 * again, or ends, before it returned shows a return that the kernel kept from us, for want
 * of an instance of the kretprobe. */

enum hook {
	INET_SENDMSG, INET6_SENDMSG, PACKET_SENDMSG, INET_SENDPAGE,
	INET_RECVMSG, INET6_RECVMSG, SOCK_COMMON_RECVMSG,
	SOCK_SPLICE_READ, TCP_ZEROCOPY_RECEIVE,
	HOOKS,
};

static __always_inline int entered(enum hook hook, __u64 argument)
{
	struct call call = { .thread = bpf_get_current_pid_tgid(), .hook = hook };

	if (bpf_map_update_elem(&calls, &call, &argument, BPF_NOEXIST)) {
		__sync_fetch_and_add(&calls_missed, 1);
		bpf_map_update_elem(&calls, &call, &argument, BPF_EXIST);
	}
	return 0;
}

static __always_inline bool returned(enum hook hook, __u64 *argument)
{
	struct call call = { .thread = bpf_get_current_pid_tgid(), .hook = hook };
	__u64 *kept = bpf_map_lookup_elem(&calls, &call);

	if (!kept)
		return false;
	*argument = *kept;
	bpf_map_delete_elem(&calls, &call);
	return true;
}

static __always_inline void thread_ended(void)
{
	__u32 thread = bpf_get_current_pid_tgid();

#pragma unroll /* Linux 5.10 does not see that the loop ends */
	for (int hook = 0; hook < HOOKS; hook++) {
		struct call call = { .thread = thread, .hook = hook };

		if (!bpf_map_delete_elem(&calls, &call))
			__sync_fetch_and_add(&calls_missed, 1);
	}
}

/* Sockets: the functions behind every call, where the tracepoints are missing. */

#define SENDS(function, hook)                                                              \
	SEC("fexit/" #function)                                                            \
	int BPF_PROG(function##_fexit, struct socket *sock, struct msghdr *msg, size_t size, \
		     int ret)                                                              \
	{                                                                                  \
		return count(TX, ret);                                                     \
	}                                                                                  \
	SEC("kprobe/" #function)                                                           \
	int function##_kprobe(struct pt_regs *ctx)                                         \
	{                                                                                  \
		return entered(hook, 0);                                                   \
	}                                                                                  \
	SEC("kretprobe/" #function)                                                        \
	int function##_kretprobe(struct pt_regs *ctx)                                      \
	{                                                                                  \
		__u64 argument;                                                            \
                                                                                           \
		return returned(hook, &argument) ? count(TX, (int)PT_REGS_RC(ctx)) : 0;    \
	}

SENDS(inet_sendmsg, INET_SENDMSG)
SENDS(inet6_sendmsg, INET6_SENDMSG)
SENDS(packet_sendmsg, PACKET_SENDMSG)

#define RECEIVES(function, hook)                                                           \
	SEC("fexit/" #function)                                                            \
	int BPF_PROG(function##_fexit, struct socket *sock, struct msghdr *msg, size_t size, \
		     int flags, int ret)                                                   \
	{                                                                                  \
		return received(sock->sk->__sk_common.skc_family, flags, ret);             \
	}                                                                                  \
	SEC("kprobe/" #function)                                                           \
	int BPF_KPROBE(function##_kprobe, struct socket *sock, struct msghdr *msg,         \
		       size_t size, int flags)                                             \
	{                                                                                  \
		__u64 family = BPF_CORE_READ(sock, sk, __sk_common.skc_family);            \
                                                                                           \
		return entered(hook, family << 32 | (__u32)flags);                         \
	}                                                                                  \
	SEC("kretprobe/" #function)                                                        \
	int function##_kretprobe(struct pt_regs *ctx)                                      \
	{                                                                                  \
		__u64 argument;                                                            \
                                                                                           \
		return returned(hook, &argument)                                           \
			       ? received(argument >> 32, argument, (int)PT_REGS_RC(ctx))  \
			       : 0;                                                        \
	}

RECEIVES(inet_recvmsg, INET_RECVMSG)
RECEIVES(inet6_recvmsg, INET6_RECVMSG)
/* SCTP and IPv6 raw sockets; other families use it too */
RECEIVES(sock_common_recvmsg, SOCK_COMMON_RECVMSG)

/* sendfile and splice into a socket, before Linux 6.5.  A protocol without a sendpage of
 * its own goes on to inet_sendmsg(), where it is counted (sock_no_sendpage()). */
struct proto___before_6_5 {
	void *sendpage;
} __attribute__((preserve_access_index));

SEC("fexit/inet_sendpage")
int BPF_PROG(inet_sendpage_fexit, struct socket *sock, struct page *page, int offset, size_t size,
	     int flags, long ret)
{
	struct proto___before_6_5 *proto = (void *)sock->sk->__sk_common.skc_prot;

	return proto->sendpage ? count(TX, ret) : 0;
}

SEC("kprobe/inet_sendpage")
int BPF_KPROBE(inet_sendpage_kprobe, struct socket *sock)
{
	struct proto___before_6_5 *proto = (void *)BPF_CORE_READ(sock, sk, __sk_common.skc_prot);

	return BPF_CORE_READ(proto, sendpage) ? entered(INET_SENDPAGE, 0) : 0;
}

SEC("kretprobe/inet_sendpage")
int inet_sendpage_kretprobe(struct pt_regs *ctx)
{
	__u64 argument;

	return returned(INET_SENDPAGE, &argument) ? count(TX, PT_REGS_RC(ctx)) : 0;
}

/* Out of a socket without a recvmsg: splice, and pages mapped by getsockopt.
 *
 * A family without a splice of its own comes back as a recvmsg, and is counted there.
 * TCP, MPTCP and kernel TLS have one each; this is the one way to all of them. */

static __always_inline int splice_family(struct socket *sock)
{
	return BPF_CORE_READ(sock, ops, splice_read) ? BPF_CORE_READ(sock, sk, __sk_common.skc_family)
						     : 0;
}

SEC("fexit/sock_splice_read")
int BPF_PROG(sock_splice_read_fexit, struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
	     size_t size, unsigned int flags, long ret)
{
	struct socket *sock;

	/* a typed pointer, Linux 5.11, for lockdown's sake as in leader_comm() */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_sock_from_file))
		return received(splice_family(BPF_CORE_READ(file, private_data)), 0, ret);
	sock = bpf_sock_from_file(file);
	if (!sock || !sock->ops->splice_read)
		return 0;
	return received(sock->sk->__sk_common.skc_family, 0, ret);
}

SEC("kprobe/sock_splice_read")
int BPF_KPROBE(sock_splice_read_kprobe, struct file *file)
{
	return entered(SOCK_SPLICE_READ, splice_family(BPF_CORE_READ(file, private_data)));
}

SEC("kretprobe/sock_splice_read")
int sock_splice_read_kretprobe(struct pt_regs *ctx)
{
	__u64 family;

	return returned(SOCK_SPLICE_READ, &family) ? received(family, 0, PT_REGS_RC(ctx)) : 0;
}

/* What a successful TCP_ZEROCOPY_RECEIVE handed over: bytes in mapped pages and, where it
 * has a buffer for the rest, bytes copied (tcp_zerocopy_receive()). */
static __always_inline int zerocopied(__u32 mapped, __s32 copied, int error)
{
	return error ? 0 : count(RX, (long)mapped + (copied > 0 ? copied : 0));
}

SEC("fexit/tcp_zerocopy_receive")
int BPF_PROG(tcp_zerocopy_receive_fexit, struct sock *sk, struct tcp_zerocopy_receive *zc)
{
	__s32 copied = bpf_core_field_exists(zc->copybuf_len) ? zc->copybuf_len : 0;
	int error;

	/* A third argument came with that field, in Linux 5.12.  The barriers keep two
	 * loads two: the verifier takes no computed offset. */
	if (bpf_core_field_exists(zc->msg_flags)) {
		error = ctx[3];
		barrier();
	} else {
		error = ctx[2];
		barrier();
	}
	return zerocopied(zc->length, copied, error);
}

SEC("kprobe/tcp_zerocopy_receive")
int BPF_KPROBE(tcp_zerocopy_receive_kprobe, struct sock *sk, struct tcp_zerocopy_receive *zc)
{
	return entered(TCP_ZEROCOPY_RECEIVE, (__u64)zc);
}

SEC("kretprobe/tcp_zerocopy_receive")
int tcp_zerocopy_receive_kretprobe(struct pt_regs *ctx)
{
	struct tcp_zerocopy_receive *zc;
	__s32 copied = 0;
	__u64 argument;

	if (!returned(TCP_ZEROCOPY_RECEIVE, &argument))
		return 0;
	zc = (void *)argument;
	if (bpf_core_field_exists(zc->copybuf_len))
		copied = BPF_CORE_READ(zc, copybuf_len);
	return zerocopied(BPF_CORE_READ(zc, length), copied, PT_REGS_RC(ctx));
}

/* The life of a process: its name, and its end. */

static __always_inline struct slot *find_slot(__u32 pid)
{
	__u32 *index = bpf_map_lookup_elem(&slot_of, &pid);

	return index ? bpf_map_lookup_elem(&packet_stats, index) : NULL;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename_btf, struct task_struct *task, const char *comm)
{
	struct slot *slot = task->pid == task->tgid ? find_slot(task->pid) : NULL;

	if (slot)
		bpf_probe_read_kernel_str(slot->comm, COMM_LEN, comm);
	return 0;
}

/* Where lockdown refuses to read the new name: it is in place when this returns. */
SEC("fexit/__set_task_comm")
int BPF_PROG(__set_task_comm_fexit, struct task_struct *task)
{
	struct slot *slot = task->pid == task->tgid ? find_slot(task->pid) : NULL;

	if (slot)
		__builtin_memcpy(slot->comm, task->comm, COMM_LEN);
	return 0;
}

/* A thread may rename another one, but only of its own process (comm_write()). */
SEC("tracepoint/task/task_rename")
int task_rename_classic(struct trace_event_raw_task_rename *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct slot *slot = (__u32)ctx->pid == pid ? find_slot(pid) : NULL;

	if (slot)
		__builtin_memcpy(slot->comm, ctx->newcomm, COMM_LEN);
	return 0;
}

/* The last thread ends the process.  Two threads may both be the last to see; only one
 * of them removes the entry, and only that one frees the slot.  No call of the process
 * can be under way any more: each of its threads, those of io_uring included, is past
 * its last one (do_exit()). */
static __always_inline int ended(const struct task_struct *task)
{
	__u32 index, *known, pid = task->tgid;
	struct slot *slot;

	if (by_kprobe)
		thread_ended();
	if (task->signal->live.counter)
		return 0;
	known = bpf_map_lookup_elem(&slot_of, &pid);
	if (!known)
		return 0;
	index = *known;
	if (bpf_map_delete_elem(&slot_of, &pid))
		return 0;
	slot = bpf_map_lookup_elem(&packet_stats, &index);
	if (slot)
		slot->ended = 1;
	bpf_map_push_elem(&free_slots, &index, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit_btf, struct task_struct *task)
{
	return ended(task);
}

SEC("tracepoint/sched/sched_process_exit")
int sched_process_exit_classic(void *ctx)
{
	return ended(bpf_get_current_task_btf());
}

char LICENSE[] SEC("license") = "GPL";
