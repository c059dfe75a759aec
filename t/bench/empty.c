// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches empty programs to netmon's hooks, and writes "attached".  Ends when its standard
 * input does.
 *
 *     empty OBJECT PROGRAM...     of empty.bpf.c
 */
#include <unistd.h>
#include <bpf/libbpf.h>
#include "bench.h"

static struct bpf_link *attach(const struct bpf_program *program)
{
	return strncmp(bpf_program__section_name(program), "cgroup", 6)
		       ? bpf_program__attach(program)
		       : bpf_program__attach_cgroup(program, open_cgroup());
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *program;
	char byte;

	if (!object)
		return EXIT_FAILURE;
	bpf_object__for_each_program(program, object) {
		bool wanted = false;

		for (int i = 2; i < argc; i++)
			wanted |= !strcmp(bpf_program__name(program), argv[i]);
		bpf_program__set_autoload(program, wanted);
	}
	if (bpf_object__load(object))
		return EXIT_FAILURE;
	for (int i = 2; i < argc; i++) {
		program = bpf_object__find_program_by_name(object, argv[i]);
		if (!program || !attach(program))
			return EXIT_FAILURE;
	}
	puts("attached");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return EXIT_SUCCESS;
}
