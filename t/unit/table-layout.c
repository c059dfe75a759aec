// SPDX-License-Identifier: GPL-2.0-only
/* Unit test of the layout of the tables: the memory of the counters. */
#include "table.h"
#include "tap.h"

enum { MOST = 32 << 20 };

static size_t size_of(const struct layout *layout, size_t groups)
{
	return groups * layout_stride(layout) * sizeof(struct netmon_counters);
}

/* Each CPU has a set of its own, or as many as fit are shared, a power of two. */
static void check_groups(const struct layout *layout)
{
	for (__u32 cpus = 1; cpus <= 8192; cpus++) {
		const size_t groups = layout_groups(layout, cpus);
		const bool fits = cpus <= MAX_GROUPS && size_of(layout, cpus) <= MOST;

		CHECK(groups >= 1 && groups <= MAX_GROUPS && groups <= cpus, true);
		CHECK(size_of(layout, groups) <= MOST || groups == 1, true);
		if (fits)
			CHECK(groups, cpus);
		else
			CHECK(groups & (groups - 1), 0);
		if (!fits && 2 * groups < cpus)
			CHECK(2 * groups > MAX_GROUPS || size_of(layout, 2 * groups) > MOST, true);
	}
}

static void processes(void)
{
	for (__u32 most = 1; most <= 1 << 20; most *= 4)
		check_groups(&(struct layout){ .parts = PART_PROCESS, .max_processes = most });
}

static void connections(void)
{
	for (__u32 most = 1; most <= 1 << 20; most *= 4)
		check_groups(&(struct layout){ .parts = PART_PROCESS | PARTS_ENDS, .max_processes = most,
					       .max_entries = 4 * most });
}

static const struct test tests[] = {
	{ "counters by process take at most 32 MiB, whatever the CPUs", processes },
	{ "counters by connection take at most 32 MiB, whatever the CPUs", connections },
};

int main(void)
{
	return run_tests(tests, sizeof(tests) / sizeof(*tests));
}
