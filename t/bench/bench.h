/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the programs of the benchmark. */
#ifndef BENCH_H
#define BENCH_H

#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* If `good` is false, ends with a message: `what` and errno. */
static inline void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(EXIT_FAILURE);
}

static inline double nanoseconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The monotonic clock, in nanoseconds. */
static inline double now(void)
{
	return nanoseconds(CLOCK_MONOTONIC);
}

/* What the process has used so far, in nanoseconds. */
static inline double cpu_time(void)
{
	return nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* A mount of cgroup v2; -1 if there is none. */
static inline int open_cgroup(void)
{
	FILE *mounts = setmntent("/proc/mounts", "r");
	const struct mntent *mount = NULL;
	int cgroup = -1;

	while (mounts && cgroup < 0 && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2"))
			cgroup = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mounts)
		endmntent(mounts);
	return cgroup;
}

#endif
