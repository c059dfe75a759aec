/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's numbers stand for: the names of users, the paths of cgroups, the command lines
 * of processes (/proc).  Names and paths are looked up once and kept.
 */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include "report.h"
#include "table.h"

struct name_cache;

/* The cache behind the functions of struct names.  `cgroup_root` comes from cgroup_root_open(); it and
 * the tables, which have the paths of removed cgroups, must outlive the cache.  A report waits for the
 * name service for at most half of its interval (nanoseconds; 0: one report at the end).  NULL if
 * memory is short. */
struct name_cache *names_new(int cgroup_root, __u64 interval, struct tables *tables);

/* Takes NULL too. */
void names_free(struct name_cache *cache);

/* Ends a report: frees the text that was returned for it. */
void names_forget(struct name_cache *cache);

/* The functions, with this cache as their context. */
struct names names_of(struct name_cache *cache);

/* Whether this process sees pids as the probes do, in the initial pid namespace. */
bool pids_are_initial(void);

#endif
