// SPDX-License-Identifier: GPL-2.0-only
/* Whether this process may load a BPF program and attach it to a tracepoint; if not, says why. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>

int main(void)
{
	const struct bpf_insn return_0[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "works", "GPL", return_0, 2, NULL);

	if (program >= 0 && bpf_raw_tracepoint_open("sched_process_exit", program) >= 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "bpf(2): %s\n", strerror(errno));
	return EXIT_FAILURE;
}
