// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches programs that do nothing where netmon counts sends and receives, until its
 * standard input ends; says "attached" when they are.
 *
 *     empty OBJECT WAY       WAY: btf, classic, fexit or kprobe
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/libbpf.h>

static struct bpf_program *choose(struct bpf_object *object, const char *direction, const char *way)
{
	struct bpf_program *program;
	char name[32];

	snprintf(name, sizeof(name), "%s_%s", direction, way);
	program = bpf_object__find_program_by_name(object, name);
	if (program)
		bpf_program__set_autoload(program, true);
	return program;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 3 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *program, *sends, *receives;
	char byte;

	if (!object)
		return EXIT_FAILURE;
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, false);
	sends = choose(object, "send", argv[2]);
	receives = choose(object, "recv", argv[2]);
	if (bpf_object__load(object) || !bpf_program__attach(sends) || !bpf_program__attach(receives))
		return EXIT_FAILURE;
	puts("attached");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return EXIT_SUCCESS;
}
