// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <mntent.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "names.h"

enum { COMMAND_MOST = 4096, DEPTH_MOST = 64 };

struct user {
	__u32 uid;
	char *name;
};

struct cgroup {
	__u64 id;
	char *path;              /* NULL: it was gone before anybody looked */
	bool found;              /* in the walk under way, */
	bool used;               /* or wanted since the last one */
};

struct name_cache {
	int cgroup_root;
	bool pids_are_initial;
	struct user *users;
	size_t users_count;
	struct cgroup *cgroups;  /* in order of their ids */
	size_t cgroups_count;
	char **texts;            /* that this report may use, and none after it */
	size_t texts_count;
	__u32 last_pid;          /* whose command line is the last of them; 0: none's */
};

struct name_cache *names_new(int cgroup_root)
{
	struct name_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->cgroup_root = cgroup_root;
	cache->pids_are_initial = pids_are_initial();
	return cache;
}

void names_forget(struct name_cache *cache)
{
	for (size_t i = 0; i < cache->texts_count; i++)
		free(cache->texts[i]);
	cache->texts_count = 0;
	cache->last_pid = 0;
}

void names_free(struct name_cache *cache)
{
	if (!cache)
		return;
	names_forget(cache);
	for (size_t i = 0; i < cache->users_count; i++)
		free(cache->users[i].name);
	for (size_t i = 0; i < cache->cgroups_count; i++)
		free(cache->cgroups[i].path);
	free(cache->users);
	free(cache->cgroups);
	free(cache->texts);
	free(cache);
}

/* Makes room for one more element at the end of an array of `count`.  False where memory is
 * short. */
static bool widen(void *array, size_t count, size_t size)
{
	void *old, *wider;

	if (count & (count + 1)) /* it has room up to the next 2^n - 1 */
		return true;
	memcpy(&old, array, sizeof(old));
	wider = realloc(old, (2 * count + 1) * size);
	if (wider)
		memcpy(array, &wider, sizeof(wider));
	return wider;
}

/* Frees the text when the report that may use it has ended. */
static bool free_later(struct name_cache *cache, char *text)
{
	if (!widen(&cache->texts, cache->texts_count, sizeof(*cache->texts)))
		return false;
	cache->texts[cache->texts_count++] = text;
	cache->last_pid = 0;
	return true;
}

/* Users */

#ifdef NETMON_STATIC
/* getpwnam() and its like load libraries, which need not be those that a static binary was made
 * with, or be there at all: it knows whom the files have. */

static const struct passwd *find_passwd(const char *name, __u32 uid)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *user = NULL;

	while (file && (user = fgetpwent(file)))
		if (name ? !strcmp(user->pw_name, name) : user->pw_uid == uid)
			break;
	if (file)
		fclose(file);
	return user;
}

static const struct group *find_group(const char *name)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *group = NULL;

	while (file && (group = fgetgrent(file)) && strcmp(group->gr_name, name))
		;
	if (file)
		fclose(file);
	return group;
}
#else
/* The user of that name or, where there is none given, of that id; NULL where there is none. */
static const struct passwd *find_passwd(const char *name, __u32 uid)
{
	return name ? getpwnam(name) : getpwuid(uid);
}

static const struct group *find_group(const char *name)
{
	return getgrnam(name);
}
#endif

static char *user_name(__u32 uid)
{
	const struct passwd *user = find_passwd(NULL, uid);
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	return strdup(user ? user->pw_name : number);
}

static const char *find_user(void *context, __u32 uid)
{
	struct name_cache *cache = context;

	for (size_t i = 0; i < cache->users_count; i++)
		if (cache->users[i].uid == uid)
			return cache->users[i].name;
	if (!widen(&cache->users, cache->users_count, sizeof(*cache->users)))
		return NULL;
	cache->users[cache->users_count] = (struct user){ uid, user_name(uid) };
	return cache->users[cache->users_count++].name;
}

/* The id that stands there as a number; (__u32)-1 is nobody's. */
static bool id_of(const char *text, __u32 *id)
{
	unsigned long long number;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	number = strtoull(text, NULL, 10);
	*id = (__u32)number;
	return !errno && number < (__u32)-1;
}

bool user_find(const char *text, __u32 *uid)
{
	const struct passwd *user = find_passwd(text, 0);

	if (!user)
		return id_of(text, uid);
	*uid = user->pw_uid;
	return true;
}

bool group_find(const char *text, __u32 *gid)
{
	const struct group *group = find_group(text);

	if (!group)
		return id_of(text, gid);
	*gid = group->gr_gid;
	return true;
}

/* Cgroups */

static int mount_privately(void)
{
	int fs = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
	int root = -1;

	if (fs < 0)
		return -1;
	if (!syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	if (root >= 0) { /* a descriptor for the directory itself */
		int directory = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(root);
		root = directory;
	}
	return root;
}

int cgroup_root_open(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *mount;
	int root = -1;

	while (mounts && root < 0 && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2"))
			root = open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mounts)
		endmntent(mounts);
	return root < 0 ? mount_privately() : root;
}

int cgroup_open(int cgroup_root, const char *path)
{
	path += strspn(path, "/");
	if (!strcmp(path, "..") || !strncmp(path, "../", 3) || strstr(path, "/..")) {
		errno = EINVAL; /* it would lead out of the tree */
		return -1;
	}
	return openat(cgroup_root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Where the cgroup is, or belongs. */
static size_t cgroup_place(const struct name_cache *cache, __u64 id)
{
	size_t low = 0, high = cache->cgroups_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (cache->cgroups[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Takes the path over.  NULL where memory is short. */
static struct cgroup *add_cgroup(struct name_cache *cache, __u64 id, char *path)
{
	size_t place = cgroup_place(cache, id);
	struct cgroup *cgroup;

	if (place < cache->cgroups_count && cache->cgroups[place].id == id) {
		cgroup = &cache->cgroups[place];
		if (cgroup->path && path && !strcmp(cgroup->path, path)) {
			free(path);
			path = cgroup->path;
		} else if (cgroup->path && !free_later(cache, cgroup->path)) {
			free(path);
			return NULL;
		}
	} else {
		if (!widen(&cache->cgroups, cache->cgroups_count, sizeof(*cgroup))) {
			free(path);
			return NULL;
		}
		cgroup = &cache->cgroups[place];
		memmove(cgroup + 1, cgroup, (cache->cgroups_count++ - place) * sizeof(*cgroup));
		cgroup->id = id;
		cgroup->used = false;
	}
	cgroup->path = path;
	cgroup->found = true;
	return cgroup;
}

/* Adds all cgroups below a directory, whose path has no slash at its end, and closes it. */
static void walk(struct name_cache *cache, int directory, const char *path, int depth)
{
	DIR *entries = directory < 0 ? NULL : fdopendir(directory);
	const struct dirent *entry;
	char *below;

	if (!entries) {
		if (directory >= 0)
			close(directory);
		return;
	}
	while ((entry = readdir(entries))) {
		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") ||
		    !strcmp(entry->d_name, ".."))
			continue;
		if (asprintf(&below, "%s/%s", path, entry->d_name) < 0)
			continue;
		if (depth < DEPTH_MOST)
			walk(cache,
			     openat(dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			     below, depth + 1);
		add_cgroup(cache, entry->d_ino, below);
	}
	closedir(entries);
}

/* Reads the tree anew, and drops what is neither in it nor was wanted since the last time. */
static void read_cgroups(struct name_cache *cache)
{
	int root = cache->cgroup_root < 0 ? -1 : cgroup_open(cache->cgroup_root, "/");
	struct stat status;
	size_t kept = 0;

	for (size_t i = 0; i < cache->cgroups_count; i++)
		cache->cgroups[i].found = false;
	if (root >= 0 && !fstat(root, &status))
		add_cgroup(cache, status.st_ino, strdup("/"));
	walk(cache, root, "", 0);
	for (size_t i = 0; i < cache->cgroups_count; i++) {
		struct cgroup *cgroup = &cache->cgroups[i];

		if (!cgroup->found && !cgroup->used &&
		    (!cgroup->path || free_later(cache, cgroup->path)))
			continue;
		cgroup->used = false;
		cache->cgroups[kept++] = *cgroup;
	}
	cache->cgroups_count = kept;
}

static const char *find_cgroup(void *context, __u64 id)
{
	struct name_cache *cache = context;
	size_t place = cgroup_place(cache, id);
	struct cgroup *cgroup;

	if (place == cache->cgroups_count || cache->cgroups[place].id != id) {
		read_cgroups(cache);
		place = cgroup_place(cache, id);
	}
	cgroup = place < cache->cgroups_count && cache->cgroups[place].id == id
			 ? &cache->cgroups[place]
			 : add_cgroup(cache, id, NULL);
	if (!cgroup)
		return NULL;
	cgroup->used = true;
	return cgroup->path;
}

/* Commands */

bool pids_are_initial(void)
{
	struct stat status;

	/* PROC_PID_INIT_INO, linux/proc_ns.h */
	return !stat("/proc/self/ns/pid", &status) && status.st_ino == 0xEFFFFFFC;
}

static const char *find_command(void *context, __u32 pid)
{
	struct name_cache *cache = context;
	char path[32], *text;
	ssize_t length;
	int file;

	if (!cache->pids_are_initial)
		return NULL;
	if (pid == cache->last_pid) /* another connection of it */
		return cache->texts[cache->texts_count - 1];
	snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return NULL;
	text = malloc(COMMAND_MOST + 1);
	length = text ? read(file, text, COMMAND_MOST) : -1;
	close(file);
	if (length < 0 || !free_later(cache, text)) {
		free(text);
		return NULL;
	}
	while (length && !text[length - 1])
		length--;
	text[length] = '\0';
	for (ssize_t i = 0; i < length; i++)
		if (!text[i])
			text[i] = ' ';
	cache->last_pid = pid;
	return text;
}

struct names names_of(struct name_cache *cache)
{
	return (struct names){ find_user, find_cgroup, find_command, cache };
}
