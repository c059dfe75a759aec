// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches sets of programs in turn, for milliseconds each, without loading them again.  Commands
 * on standard input, each answered by a line:
 *
 *     hold PID   keeps the tp_btf and fexit programs that the process has attached; it can end then
 *     NUMBER     replaces the attached set by that of the NUMBERth "hold", from 0; -1: by none
 */
#include <dirent.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "bench.h"

enum { MOST_SETS = 64, MOST_PROGRAMS = 64 };

struct set {
	int programs[MOST_PROGRAMS];
	int count;
};

static struct set sets[MOST_SETS];
static int sets_count;
static int links[MOST_PROGRAMS];
static int links_count;

/* The id of the tp_btf or fexit program that a link descriptor of a process attaches, from its
 * fdinfo; 0: none. */
static unsigned attached_by(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned program = 0;
	bool is_tracing = false;
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		is_tracing |= !strcmp(line, "link_type:\traw_tracepoint\n") ||
			      !strcmp(line, "link_type:\ttracing\n");
		sscanf(line, "prog_id: %u", &program);
	}
	if (file)
		fclose(file);
	return is_tracing ? program : 0;
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
		unsigned program;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		program = attached_by(path);
		if (!program)
			continue;
		must(set->count < MOST_PROGRAMS, "turns: hold");
		set->programs[set->count] = bpf_prog_get_fd_by_id(program);
		must(set->programs[set->count++] >= 0, "turns: program");
	}
	closedir(folder);
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
	char line[32];
	int pid;

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
