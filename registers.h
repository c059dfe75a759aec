/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The registers of a probed call, by the names under which bpf/bpf_tracing.h asks for them on each
 * architecture.  vmlinux.h has only those of the machine it was made on; these are of the kernel's
 * uapi, so their places never change.
 */
#ifndef REGISTERS_H
#define REGISTERS_H

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
#endif

#endif
