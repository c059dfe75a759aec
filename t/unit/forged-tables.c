// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads tables with forged contents: table.h must return, access only its own memory, and report
 * only processes and rows that exist.
 *
 *     forged-tables [SEED [RUNS]]     exit status 0 if all is well
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "table.h"

static __u64 state = 20231124;

static __u64 number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Small numbers and the largest are more likely to find faults. */
static __u64 odd_number(void)
{
	switch (number() % 4) {
	case 0:
		return number() % 8;
	case 1:
		return ~(number() % 8);
	case 2:
		return number() % 70000;
	default:
		return number();
	}
}

/* A file instead of a map, of the map's size in whole pages. */
static int make_map(size_t size, char **bytes)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = memfd_create("map", MFD_CLOEXEC);

	size = (size + page - 1) / page * page;
	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    (*bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
		perror("forged-tables");
		exit(EXIT_FAILURE);
	}
	return fd;
}

enum { TABLES = 5 };

struct forged {
	char *bytes;
	size_t element, count;
};

/* Changes words and bytes of some elements of some tables. */
static void forge(const struct forged *tables, size_t count)
{
	for (int i = 0; i < 400; i++) {
		const struct forged *table = &tables[number() % count];
		size_t index = number() % 2 ? number() % table->count
					    : number() % (table->count < 40 ? table->count : 40);
		char *element = table->bytes + index * table->element;
		__u64 word = odd_number();

		if (number() % 8)
			memcpy(element + number() % (table->element / 8) * 8, &word, 8);
		else
			memset(element, (int)number(), table->element);
	}
}

static int found(void *context, const struct netmon_entry *entry)
{
	size_t *count = context;

	if (entry->ended > 1)
		abort();
	++*count;
	return 0;
}

static void found_gone(void *context, __u64 id, const char *path)
{
	size_t *count = context;

	*count += id && strlen(path);
}

static size_t run(void)
{
	static const __u32 parts[] = { 0, PART_PROCESS, PART_PROCESS | PART_PROTO, PART_UID,
				       PART_PROCESS | PARTS_ENDS | PART_CGROUP };
	struct layout layout = { .parts = parts[number() % 5],
				 .max_processes = (__u32)(1 + number() % 2000),
				 .max_entries = (__u32)(1 + number() % 2000),
				 .groups = (__u32)(1 + number() % 4) };
	struct forged forged[] = {
		{ .element = sizeof(struct netmon_counters), .count = layout.groups * layout_stride(&layout) },
		{ .element = sizeof(struct netmon_row), .count = layout_rows(&layout) },
		{ .element = sizeof(struct netmon_process), .count = layout_processes(&layout) },
		{ .element = sizeof(__u64), .count = STATUS_COUNT },
		{ .element = sizeof(struct netmon_gone), .count = layout_gone(&layout) },
	};
	int fds[TABLES];
	struct tables *tables;
	struct tables_use use;
	size_t count = 0;

	for (int i = 0; i < TABLES; i++)
		fds[i] = make_map(forged[i].element * forged[i].count, &forged[i].bytes);
	tables = tables_open(&layout, &(struct table_fds){ fds[0], fds[1], fds[2], fds[3], fds[4] },
			     number() % 2);
	if (!tables)
		exit(EXIT_FAILURE);
	for (int i = 0; i < 6; i++) {
		forge(forged, TABLES);
		if (tables_read(tables, found, &count))
			exit(EXIT_FAILURE);
		tables_gone(tables, found_gone, &count);
		if (number() % 4 == 0 && tables_use(tables, &use))
			exit(EXIT_FAILURE);
	}
	tables_close(tables);
	for (int i = 0; i < TABLES; i++)
		munmap(forged[i].bytes, forged[i].element * forged[i].count);
	return count;
}

int main(int count, char *words[])
{
	int runs = count > 2 ? atoi(words[2]) : 100;
	size_t entries = 0;

	if (count > 1)
		state = strtoull(words[1], NULL, 10);
	for (int i = 0; i < runs; i++) {
		alarm(20); /* a reader that never ends */
		entries += run();
	}
	printf("%zu entries\n", entries);
	return entries ? EXIT_SUCCESS : EXIT_FAILURE;
}
