// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches sets of programs in turn, for milliseconds each, without loading them again.  Commands
 * on standard input, each answered by a line:
 *
 *     hold PID   keeps the tp_btf, fexit and cgroup programs that the process has attached (cgroup
 *                programs at the root); it can end then
 *     NUMBER     replaces the attached set by that of the NUMBERth "hold", from 0; -1: by none
 */
#include <dirent.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "bench.h"

enum { MOST_SETS = 64, MOST_PROGRAMS = 64 };

struct program {
	int fd;
	bool is_cgroup;
	enum bpf_attach_type type;      /* of a cgroup program */
};

struct set {
	struct program programs[MOST_PROGRAMS];
	int count;
};

static struct set sets[MOST_SETS];
static int sets_count;
static int links[MOST_PROGRAMS];
static int links_count;
static int cgroup;                      /* the root */

/* Opens the program that a link descriptor of a process attaches, from its fdinfo.  False: none. */
static bool open_program(struct program *program, const char *path)
{
	FILE *file = fopen(path, "r");
	bool is_tracing = false;
	unsigned id = 0, type = 0;
	char line[128];

	program->is_cgroup = false;
	while (file && fgets(line, sizeof(line), file)) {
		is_tracing |= !strcmp(line, "link_type:\traw_tracepoint\n") ||
			      !strcmp(line, "link_type:\ttracing\n");
		program->is_cgroup |= !strcmp(line, "link_type:\tcgroup\n");
		sscanf(line, "prog_id: %u", &id);
		sscanf(line, "attach_type: %u", &type);
	}
	if (file)
		fclose(file);
	if (!id || !(is_tracing || program->is_cgroup))
		return false;
	program->type = type;
	program->fd = bpf_prog_get_fd_by_id(id);
	must(program->fd >= 0, "turns: program");
	return true;
}

static void hold(int pid)
{
	struct set *set = &sets[sets_count++];
	struct dirent *entry;
	char path[300];
	DIR *folder;

	must(sets_count <= MOST_SETS, "turns: hold");
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	folder = opendir(path);
	must(folder, "turns: hold");
	while ((entry = readdir(folder))) {
		must(set->count < MOST_PROGRAMS, "turns: hold");
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		set->count += open_program(&set->programs[set->count], path);
	}
	closedir(folder);
	must(set->count, "turns: nothing to hold");
}

static void attach(int number)
{
	while (links_count)
		close(links[--links_count]);
	for (int i = 0; number >= 0 && i < sets[number].count; i++) {
		const struct program *program = &sets[number].programs[i];

		links[i] = program->is_cgroup ? bpf_link_create(program->fd, cgroup, program->type, NULL)
					      : bpf_raw_tracepoint_open(NULL, program->fd);
		must(links[i] >= 0, "turns: attach");
		links_count++;
	}
}

int main(void)
{
	char line[32];
	int pid;

	cgroup = open_cgroup();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "hold %d", &pid) == 1)
			hold(pid);
		else
			attach(atoi(line) < sets_count ? atoi(line) : -1);
		puts("done");
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
