/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's numbers stand for, as others have it written down: the names of users
 * (passwd(5)), the paths of cgroups (the file system of cgroup v2), the command lines of
 * processes (/proc).
 */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include "report.h"

struct name_cache;

/* The functions of struct names look things up through this.  `cgroup_root` is as of
 * cgroup_root_open(), and stays the caller's.  NULL where memory is short. */
struct name_cache *names_new(int cgroup_root);

/* Takes NULL too. */
void names_free(struct name_cache *cache);

/* Ends a report: what was returned for it is not good any more. */
void names_forget(struct name_cache *cache);

/* The functions, with this cache behind them. */
struct names names_of(struct name_cache *cache);

/* Whether this process sees pids as the probes do, in the initial pid namespace. */
bool pids_are_initial(void);

/* The id of the user of that name, or number.  False where there is none. */
bool user_find(const char *text, __u32 *uid);

/* The same of a group. */
bool group_find(const char *text, __u32 *gid);

/* Opens the root directory of cgroup v2, wherever it is mounted; where it is not, mounts it
 * for this descriptor alone.  Returns the descriptor, or -1 with errno. */
int cgroup_root_open(void);

/* Opens the directory of a cgroup, named by its path below that root, with or without a
 * leading slash.  Returns the descriptor, or -1 with errno. */
int cgroup_open(int cgroup_root, const char *path);

#endif
