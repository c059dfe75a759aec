// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <mntent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "array.h"
#include "cgroup.h"

#ifndef STATX_TYPE /* musl before 1.2.5 */
#include <linux/stat.h>
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000 /* Linux 5.8 */
#endif

enum { ROOT_ID = 1, KERNFS_HANDLE = 0xfe /* FILEID_KERNFS, linux/exportfs.h */ };

/* The root */

static __u64 id_of(int directory)
{
	struct stat status;

	return directory >= 0 && !fstat(directory, &status) ? status.st_ino : 0;
}

bool cgroup_is_root(int directory)
{
	return id_of(directory) == ROOT_ID;
}

static void close_open(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
}

/* The topmost cgroup of this cgroup namespace. */
static int mount_privately(void)
{
	int fs = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
	int mount = -1, root;

	if (fs < 0)
		return -1;
	if (!syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	if (mount < 0)
		return -1;
	root = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(mount);
	return root;
}

/* The same in the namespace of process 1, which is the host's if netmon is in the initial pid
 * namespace. */
static int mount_with_process_1(void)
{
	int own = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	int first = open("/proc/1/ns/cgroup", O_RDONLY | O_CLOEXEC);
	int root = -1;

	if (own >= 0 && first >= 0 && !setns(first, CLONE_NEWCGROUP)) {
		root = mount_privately();
		if (setns(own, CLONE_NEWCGROUP)) {
			close_open(root);
			root = -1;
		}
	}
	close_open(own);
	close_open(first);
	return root;
}

static int open_by_id(int mount, __u64 id, int flags)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} kernfs = { .handle = { .handle_bytes = sizeof(id), .handle_type = KERNFS_HANDLE } };

	memcpy(kernfs.bytes + offsetof(struct file_handle, f_handle), &id, sizeof(id));
	return open_by_handle_at(mount, &kernfs.handle, flags | O_CLOEXEC);
}

/* The first mount that begins at the root, or else the first one. */
static int open_mounted(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *mount;
	int best = -1;

	while (mounts && !cgroup_is_root(best) && (mount = getmntent(mounts))) {
		int root;

		if (strcmp(mount->mnt_type, "cgroup2"))
			continue;
		root = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (best >= 0 && !cgroup_is_root(root)) {
			close_open(root);
			continue;
		}
		close_open(best);
		best = root;
	}
	if (mounts)
		endmntent(mounts);
	return best;
}

/* Keeps the opened descriptor if it is the root, or if there is none yet. */
static void prefer(int *root, int opened)
{
	if (*root < 0 || cgroup_is_root(opened)) {
		close_open(*root);
		*root = opened;
	} else {
		close_open(opened);
	}
}

int cgroup_root_open(void)
{
	int root = open_mounted();

	if (!cgroup_is_root(root))
		prefer(&root, mount_privately());
	if (root >= 0 && !cgroup_is_root(root))
		prefer(&root, open_by_id(root, ROOT_ID, O_RDONLY | O_DIRECTORY));
	if (root >= 0 && !cgroup_is_root(root))
		prefer(&root, mount_with_process_1());
	return root;
}

bool cgroup_v1_is_used(void)
{
	static const char *const options[] = { "name=systemd", "memory", "pids", "cpu" };
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *mount;
	bool used = false;

	while (mounts && !used && (mount = getmntent(mounts)))
		for (size_t i = 0; i < 4 && !strcmp(mount->mnt_type, "cgroup"); i++)
			used |= hasmntopt(mount, options[i]) != NULL;
	if (mounts)
		endmntent(mounts);
	return used;
}

/* Opens a directory below another, by a path of any length that does not begin with a slash. */
static int open_below(int directory, const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int from = directory;

	while (from >= 0 && strlen(path) >= PATH_MAX) {
		char part[PATH_MAX] = "";
		const char *slash;
		int next;

		memcpy(part, path, PATH_MAX - 1);
		slash = strrchr(part, '/');
		if (!slash)
			break;
		part[slash - part] = '\0';
		next = openat(from, part, flags);
		if (from != directory)
			close(from);
		from = next;
		path += slash - part + 1;
	}
	if (from >= 0) {
		int opened = openat(from, *path ? path : ".", flags);

		if (from != directory)
			close(from);
		return opened;
	}
	return -1;
}

int cgroup_open(int root, const char *path)
{
	path += strspn(path, "/");
	if (!strcmp(path, "..") || !strncmp(path, "../", 3) || strstr(path, "/..")) {
		errno = EINVAL; /* it would lead out of the tree */
		return -1;
	}
	return open_below(root, path);
}

/* Paths */

/* The path that /proc/self/fd has for a descriptor, allocated; NULL with errno. */
static char *link_of(int descriptor)
{
	char name[64], text[PATH_MAX];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", descriptor);
	length = readlink(name, text, sizeof(text));
	if (length < 0)
		return NULL;
	if (length == sizeof(text)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return strndup(text, (size_t)length);
}

/* Whether the mount of the descriptor begins at the root.  Not so if the root was opened by its handle on
 * a mount of a cgroup below it: then /proc has two kinds of paths. */
static bool begins_mount(int root)
{
	struct statx status;

	/* musl before 1.2.5 has no statx() */
	return root >= 0 && !syscall(SYS_statx, root, "", AT_EMPTY_PATH, 0, &status) &&
	       status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

void cgroup_paths_init(struct cgroup_paths *paths, int root)
{
	*paths = (struct cgroup_paths){ .root = root };
	if (!begins_mount(root))
		return;
	paths->prefix = link_of(root);
	paths->by_handle = paths->prefix;
	if (paths->prefix && !strcmp(paths->prefix, "/"))
		*paths->prefix = '\0';
}

void cgroup_paths_free(struct cgroup_paths *paths)
{
	free(paths->prefix);
	paths->prefix = NULL;
}

/* The path of a cgroup that is just being removed has the suffix, but the name of a cgroup can end in it
 * too. */
static void drop_suffix(int root, __u64 id, char *path)
{
	static const char suffix[] = " (deleted)";
	size_t length = strlen(path), end = length - strlen(suffix);
	int same;

	if (length <= strlen(suffix) || strcmp(path + end, suffix))
		return;
	same = cgroup_open(root, path);
	if (id_of(same) != id)
		path[end] = '\0';
	close_open(same);
}

char *cgroup_path(struct cgroup_paths *paths, __u64 id)
{
	size_t length = paths->by_handle ? strlen(paths->prefix) : 0;
	char *link, *path = NULL;
	int directory;

	if (!paths->by_handle) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	directory = open_by_id(paths->root, id, O_PATH | O_DIRECTORY);
	if (directory < 0) {
		if (errno == ESTALE)
			errno = ENOENT;
		else if (errno == EPERM || errno == EOPNOTSUPP)
			paths->by_handle = false;
		return NULL;
	}
	link = link_of(directory);
	close(directory);
	if (!link)
		return NULL;
	if (!strncmp(link, paths->prefix, length) && (!link[length] || link[length] == '/'))
		path = strdup(link[length] ? link + length : "/");
	free(link);
	if (path)
		drop_suffix(paths->root, id, path);
	else
		errno = EXDEV;
	return path;
}

/* The cgroups found so far; their children are read in this order. */
struct walk {
	struct cgroup *cgroups;
	size_t count, capacity;
};

/* Takes ownership of the path. */
static bool add_found(struct walk *walk, __u64 id, char *path)
{
	struct cgroup *cgroups = !path ? NULL : array_grow(walk->cgroups, walk->count, 1,
							   &walk->capacity, sizeof(*cgroups));

	if (!cgroups) {
		free(path);
		return false;
	}
	walk->cgroups = cgroups;
	cgroups[walk->count++] = (struct cgroup){ id, path };
	return true;
}

/* Adds the children of a cgroup, unless it was removed meanwhile. */
static bool look_into(struct walk *walk, int root, const char *path)
{
	int directory = open_below(root, path + 1);
	DIR *entries = directory < 0 ? NULL : fdopendir(directory);
	const struct dirent *entry;
	bool complete = true;

	if (!entries) {
		close_open(directory);
		return true;
	}
	while (complete && (entry = readdir(entries))) {
		char *below;

		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") ||
		    !strcmp(entry->d_name, ".."))
			continue;
		if (asprintf(&below, "%s/%s", path[1] ? path : "", entry->d_name) < 0)
			below = NULL;
		complete = add_found(walk, entry->d_ino, below);
	}
	closedir(entries);
	return complete;
}

struct cgroup *cgroup_walk(int root, size_t *count)
{
	struct walk walk = { 0 };
	bool complete = root >= 0 && add_found(&walk, id_of(root), strdup("/"));

	for (size_t i = 0; complete && i < walk.count; i++)
		complete = look_into(&walk, root, walk.cgroups[i].path);
	*count = walk.count;
	return walk.cgroups;
}
