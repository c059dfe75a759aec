/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree of cgroup v2: its root, and the paths in it.  A cgroup's id is the inode of its
 * directory, and that of the root is 1.  A path begins with a slash, at the root.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/* Opens the root of cgroup v2, wherever it is mounted; if it is not, mounts it for this descriptor
 * alone.  In a cgroup namespace the mounts can begin below the root: then opens it by its file
 * handle (CAP_DAC_READ_SEARCH), or in the namespace of process 1 (CAP_SYS_ADMIN).  If neither
 * works, opens the topmost cgroup that can be seen.  Returns the descriptor, or -1 with errno. */
int cgroup_root_open(void);

/* Whether the directory is the root, not a cgroup below it. */
bool cgroup_is_root(int directory);

/* Whether the processes of this host are in cgroups of version 1: controllers are mounted there, or
 * systemd's own tree. */
bool cgroup_v1_is_used(void);

/* Opens the directory of a cgroup, named by its path, with or without the leading slash.
 * Returns the descriptor, or -1 with errno. */
int cgroup_open(int root, const char *path);

/* How the path of a cgroup can be found. */
struct cgroup_paths {
	int root;            /* from cgroup_root_open() */
	bool by_handle;
	char *prefix;        /* what /proc/self/fd puts before a path */
};

void cgroup_paths_init(struct cgroup_paths *paths, int root);
void cgroup_paths_free(struct cgroup_paths *paths);

/* The path of a cgroup by its file handle, allocated.  NULL with errno: ENOENT if there is no such
 * cgroup; any other value if only a walk can tell. */
char *cgroup_path(struct cgroup_paths *paths, __u64 id);

struct cgroup {
	__u64 id;
	char *path;          /* allocated */
};

/* Reads the whole tree, however deep.  Returns the cgroups, allocated, and their count: as many as
 * there is memory for. */
struct cgroup *cgroup_walk(int root, size_t *count);

#endif
