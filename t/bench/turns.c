// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches programs in turn, for some milliseconds each, that took far longer to load.  On standard
 * input, each answered by a line:
 *
 *     hold       keeps those of tp_btf and fexit that are loaded now, on the hooks of sends and
 *                receives, and are not kept yet: whoever loaded them may end
 *     NUMBER     attaches those of that "hold", from 0 on, in place of the ones before; -1: none
 */
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "bench.h"

enum { MOST_SETS = 16, MOST_PROGRAMS = 8 };

struct set {
	int programs[MOST_PROGRAMS];
	int count;
};

static struct set sets[MOST_SETS];
static int sets_count;
static int links[MOST_PROGRAMS];
static int links_count;

/* netmon's, and those of empty.bpf.c; the kernel cuts the names. */
static bool is_wanted(const struct bpf_prog_info *info)
{
	static const char *const hooks[] = { "sock_send_", "sock_recv_", "inet_sendmsg", "inet_recvmsg",
					     "send_", "recv_" };

	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++)
		if (info->type == BPF_PROG_TYPE_TRACING && !strncmp(info->name, hooks[i], strlen(hooks[i])))
			return true;
	return false;
}

static void hold(void)
{
	static __u32 last;
	struct set *set = &sets[sets_count++];

	must(sets_count <= MOST_SETS, "turns: hold");
	while (!bpf_prog_get_next_id(last, &last)) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		int program = bpf_prog_get_fd_by_id(last);

		if (program < 0)
			continue; /* it is gone */
		must(!bpf_obj_get_info_by_fd(program, &info, &size), "turns: program");
		if (is_wanted(&info) && set->count < MOST_PROGRAMS)
			set->programs[set->count++] = program;
		else
			close(program);
	}
	must(set->count, "turns: nothing to hold");
}

static void attach(int number)
{
	while (links_count)
		close(links[--links_count]);
	for (int i = 0; number >= 0 && i < sets[number].count; i++) {
		links[i] = bpf_raw_tracepoint_open(NULL, sets[number].programs[i]);
		must(links[i] >= 0, "turns: attach");
		links_count++;
	}
}

int main(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "hold\n"))
			hold();
		else
			attach(atoi(line) < sets_count ? atoi(line) : -1);
		puts("done");
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
