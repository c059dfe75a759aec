/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Types that the vmlinux.h of some kernels lacks.  With them, a vmlinux.h made from any kernel's types
 * will do.
 */
#ifndef KERNEL_H
#define KERNEL_H

/* These are not in all kernels.  libbpf looks for the kernel's own by the name before "___". */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct trace_event_raw_sock_msg_length___netmon { /* Linux 6.3 */
	struct trace_entry ent;
	void *sk;
	__u16 family, protocol;
	int ret, flags;
};
struct tcp_zerocopy_receive___netmon {
	__u32 length;
	__s32 copybuf_len;
	__u32 msg_flags; /* Linux 5.12 */
};
struct mptcp_subflow_context___netmon { /* CONFIG_MPTCP, as the next */
	struct sock *conn;
};
struct tcp_sock___netmon {
	__u8 is_mptcp : 1;
};
struct proto___netmon {
	void *sendpage; /* before Linux 6.5 */
};
#pragma clang attribute pop
enum bpf_func_id___netmon {
	BPF_FUNC_get_current_task_btf___netmon = 1, /* Linux 5.11, as the next */
	BPF_FUNC_sock_from_file___netmon,
};
#define trace_event_raw_sock_msg_length trace_event_raw_sock_msg_length___netmon
#define tcp_zerocopy_receive tcp_zerocopy_receive___netmon
#define mptcp_subflow_context mptcp_subflow_context___netmon
#define bpf_func_id bpf_func_id___netmon
#define BPF_FUNC_get_current_task_btf BPF_FUNC_get_current_task_btf___netmon
#define BPF_FUNC_sock_from_file BPF_FUNC_sock_from_file___netmon

/* The registers of a probed call, by the names under which bpf/bpf_tracing.h asks for them on each
 * architecture.  They are part of the kernel's uapi, so their layout never changes. */
#if defined(__TARGET_ARCH_arm64)
struct netmon_registers {
	__u64 regs[31], sp, pc, pstate;
};
#define user_pt_regs netmon_registers
#elif defined(__TARGET_ARCH_s390)
typedef struct {
	unsigned long args[1];
	struct {
		unsigned long mask, addr;
	} psw;
	unsigned long gprs[16];
} netmon_registers;
#define user_pt_regs netmon_registers
#elif defined(__TARGET_ARCH_riscv)
struct netmon_registers {
	unsigned long pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7, s2, s3, s4,
		s5, s6, s7, s8, s9, s10, s11, t3, t4, t5, t6;
};
#define user_regs_struct netmon_registers
#elif defined(__TARGET_ARCH_loongarch)
struct netmon_registers {
	unsigned long regs[32], orig_a0, csr_era, csr_badv;
};
#define user_pt_regs netmon_registers
#elif defined(__TARGET_ARCH_powerpc)
struct netmon_registers {
	unsigned long gpr[32], nip, msr, orig_gpr3, ctr, link;
};
#define pt_regs netmon_registers
#elif defined(__TARGET_ARCH_arm)
struct netmon_registers {
	unsigned long uregs[18];
};
#define pt_regs netmon_registers
#elif defined(__TARGET_ARCH_mips)
struct netmon_registers {
	unsigned long regs[32], cp0_status, hi, lo, cp0_badvaddr, cp0_cause, cp0_epc;
};
#define pt_regs netmon_registers
#elif defined(__TARGET_ARCH_sparc)
enum { UREG_I0 = 8, UREG_I1, UREG_I2, UREG_I3, UREG_I4, UREG_I5, UREG_FP, UREG_I7 };
struct netmon_registers {
	unsigned long u_regs[16], tstate, tpc, tnpc;
};
#define pt_regs netmon_registers
#elif defined(__TARGET_ARCH_arc)
struct netmon_registers {
	unsigned long pad;
	struct {
		unsigned long bta, lp_start, lp_end, lp_count, status32, ret, blink, fp, gp, r12, r11,
			r10, r9, r8, r7, r6, r5, r4, r3, r2, r1, r0, sp;
	} scratch;
};
#define user_regs_struct netmon_registers
#endif

#endif
