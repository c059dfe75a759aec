/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the programs of the benchmark. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

#endif
