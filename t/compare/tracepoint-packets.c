// SPDX-License-Identifier: GPL-2.0-only
/* tracepoint-packets OBJECT - loads and attaches the programs of tracepoint-packets.bpf.c, and says
 * "ready".  At the end of standard input writes a line for each interface: NAME, packets received
 * and sent. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

struct packets {
	unsigned long long received, sent;
};

static void __attribute__((noreturn)) cannot(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void write_packets(int map)
{
	char name[16], before[16];
	struct packets packets;
	const char *last = NULL;

	while (!bpf_map_get_next_key(map, last, name)) {
		if (!bpf_map_lookup_elem(map, name, &packets))
			printf("%.16s %llu %llu\n", name, packets.received, packets.sent);
		for (size_t i = 0; i < sizeof(before); i++)
			before[i] = name[i];
		last = before;
	}
}

int main(int argc, char *argv[])
{
	struct bpf_object *object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *program;
	char byte;

	if (!object || bpf_object__load(object))
		cannot("load");
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			cannot("attach");
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	write_packets(bpf_object__find_map_fd_by_name(object, "witnessed"));
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
