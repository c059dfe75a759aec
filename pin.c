// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "pin.h"

static const char about_name[] = "map_about";
static const char not_netmons[] = "what is pinned there is not netmon's";
static const char not_bpf[] = "not in a BPF file system";

_Static_assert(sizeof(struct about) <= 4096, "it is mapped by readers of all builds");

static int cannot(const char *verb, const char *object, const char *reason, const char *advice)
{
	fprintf(stderr, "netmon: cannot %s '%s': %s%s%s\n", verb, object, reason,
		advice ? ": " : "", advice ? advice : "");
	return -1;
}

static void path_of(char path[PATH_MAX], const char *dir, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
}

/* Beside the place, where a pin is made. */
static void path_new(char path[PATH_MAX], const char *dir)
{
	snprintf(path, PATH_MAX, "%s-new", dir);
}

static void path_parent(char path[PATH_MAX], const char *dir)
{
	char *slash;

	snprintf(path, PATH_MAX, "%s", dir);
	slash = strrchr(path, '/');
	if (!slash)
		strcpy(path, ".");
	else
		slash[slash == path] = '\0'; /* of "/dir" the slash stays */
}

static bool is_bpf(const char *path)
{
	struct statfs status;

	return !statfs(path, &status) && status.f_type == BPF_FS_MAGIC;
}

bool pin_exists(const char *dir)
{
	return !access(dir, F_OK);
}

static bool has_prefix(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

int pin_open(const char *dir, const char *name)
{
	struct bpf_obj_get_opts options;
	char path[PATH_MAX];

	memset(&options, 0, sizeof(options)); /* libbpf looks at the padding too */
	options.sz = sizeof(options);
	options.file_flags = has_prefix(name, "map_") ? 0 : BPF_F_RDONLY;
	path_of(path, dir, name);
	return bpf_obj_get_opts(path, &options);
}

/* Reading about */

static bool is_netmon(const struct about *about)
{
	return !memcmp(about->program, "netmon", sizeof("netmon"));
}

/* NULL with errno. */
static const struct about *map_about(const char *dir)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	int fd = pin_open(dir, about_name);
	void *about = MAP_FAILED;

	if (fd < 0)
		return NULL;
	errno = EINVAL;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.map_flags & BPF_F_MMAPABLE)
		about = mmap(NULL, sizeof(struct about), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (about == MAP_FAILED)
		return NULL;
	if (is_netmon(about))
		return about;
	munmap(about, sizeof(struct about));
	errno = EINVAL;
	return NULL;
}

static bool is_ours(const char *name)
{
	return has_prefix(name, "map_") || has_prefix(name, "prog_") || has_prefix(name, "link_");
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Whether the directory is not netmon's, or cannot be told to be, and the reason: what lacks map_about
 * must at least have the map of the counters, or be empty. */
static bool is_others(const char *dir, DIR *files, char reason[PATH_MAX])
{
	const struct about *about = map_about(dir);
	int error = about ? 0 : errno;
	bool counters = false, any = false;
	struct dirent *file;

	pin_about_free(about);
	rewinddir(files);
	while ((file = readdir(files))) {
		if (is_dot(file->d_name))
			continue;
		if (!is_ours(file->d_name)) {
			snprintf(reason, PATH_MAX, "'%s' in it is not netmon's", file->d_name);
			return true;
		}
		any = true;
		counters |= !strcmp(file->d_name, "map_packet_stats");
	}
	if (!error || (error == ENOENT && (counters || !any)))
		return false;
	snprintf(reason, PATH_MAX, "%s",
		 error == ENOENT || error == EINVAL ? not_netmons : strerror(error));
	return true;
}

static int cannot_read_whole(const char *verb, const char *dir)
{
	char reason[PATH_MAX], advice[PATH_MAX + 64];
	DIR *files = opendir(dir);
	bool others = files && is_others(dir, files, reason);

	if (files)
		closedir(files);
	if (others)
		return cannot(verb, dir, reason, NULL);
	snprintf(advice, sizeof(advice), "it is not whole: 'netmon --unpin %s' removes it", dir);
	return cannot(verb, dir, strerror(ENOENT), advice);
}

int pin_cannot(const char *verb, const char *dir, int error)
{
	switch (error) {
	case EPERM:
		return cannot(verb, dir, strerror(error),
			      "before Linux 5.19 only root, or CAP_BPF, may read what is pinned");
	case EACCES:
		return cannot(verb, dir, strerror(error),
			      "run it as root, or as a member of the group that --pin-group named");
	case EINVAL:
		return cannot(verb, dir, not_netmons, NULL);
	case ENOENT:
		return !pin_exists(dir) ? cannot(verb, dir, "nothing is pinned there", NULL)
		       : !is_bpf(dir)	? cannot(verb, dir, not_bpf, NULL)
					: cannot_read_whole(verb, dir);
	default:
		return cannot(verb, dir, strerror(error), NULL);
	}
}

const struct about *pin_about(const char *dir, __u64 build)
{
	const struct about *about = map_about(dir);
	char reason[64], advice[PATH_MAX + 64];

	if (!about) {
		pin_cannot("read the pin", dir, errno);
	} else if (about->build != build) {
		snprintf(reason, sizeof(reason), "made by another build of netmon, %.*s",
			 (int)sizeof(about->version), about->version);
		snprintf(advice, sizeof(advice),
			 "'netmon --pin %s --replace' makes it anew, --no-pin does without", dir);
		cannot("read the pin", dir, reason, advice);
		pin_about_free(about);
		about = NULL;
	}
	return about;
}

void pin_about_free(const struct about *about)
{
	if (about)
		munmap((void *)about, sizeof(*about));
}

/* Removing */

/* A directory of others' is not touched. */
static int check_ours(const char *verb, const char *dir, DIR *files)
{
	char reason[PATH_MAX];

	return is_others(dir, files, reason) ? cannot(verb, dir, reason, NULL) : 0;
}

/* Removes the files whose names begin so, what tells whose they are only by its whole name; the
 * directory's order is not to be relied on while it changes. */
static int remove_files(const char *dir, DIR *files, const char *prefix, bool verbose)
{
	struct dirent *file;
	bool any;

	do {
		any = false;
		rewinddir(files);
		while ((file = readdir(files))) {
			char path[PATH_MAX];

			if (is_dot(file->d_name) || !has_prefix(file->d_name, prefix) ||
			    (!strcmp(file->d_name, about_name) && strcmp(prefix, about_name)))
				continue;
			path_of(path, dir, file->d_name);
			if (unlink(path))
				return cannot("remove", path, strerror(errno), NULL);
			if (verbose)
				fprintf(stderr, "netmon: removed '%s'\n", path);
			any = true;
		}
	} while (any);
	return 0;
}

/* The links first: then nothing counts any more.  1: there is no such directory. */
static int remove_dir(const char *dir, bool verbose)
{
	DIR *files = opendir(dir);
	int error = -1;

	if (!files && errno == ENOENT)
		return 1;
	if (!files)
		return cannot("unpin", dir, strerror(errno), errno == EACCES ? "run it as root" : NULL);
	if (!is_bpf(dir))
		cannot("unpin", dir, not_bpf, NULL);
	else if (!check_ours("unpin", dir, files) && !remove_files(dir, files, "link_", verbose) &&
		 !remove_files(dir, files, "prog_", verbose) &&
		 !remove_files(dir, files, "map_", verbose) &&
		 !remove_files(dir, files, about_name, verbose))
		error = 0;
	closedir(files);
	if (!error && rmdir(dir))
		error = cannot("remove", dir, strerror(errno), NULL);
	return error;
}

int pin_remove(const char *dir, bool verbose)
{
	char half[PATH_MAX];
	int error = remove_dir(dir, verbose), half_error;

	path_new(half, dir);
	half_error = remove_dir(half, verbose);
	if (verbose && error == 1 && half_error == 1)
		fprintf(stderr, "netmon: nothing is pinned in '%s'\n", dir);
	return error < 0 || half_error < 0 ? -1 : 0;
}

/* Making */

static int already_pinned(const char *dir)
{
	const struct about *about = map_about(dir);
	char reason[128] = "something is there", date[64] = "", advice[PATH_MAX + 64];
	time_t since;
	struct tm tm;

	if (about) {
		since = (time_t)(about->since / 1000);
		if (gmtime_r(&since, &tm))
			strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
		snprintf(reason, sizeof(reason), "netmon %.*s is pinned there since %s",
			 (int)sizeof(about->version), about->version, date);
		pin_about_free(about);
	}
	snprintf(advice, sizeof(advice), "--replace takes its place, 'netmon --unpin %s' removes it", dir);
	return cannot("pin to", dir, reason, advice);
}

static int half_made(const char *dir, const char *new)
{
	char advice[PATH_MAX + 128];

	snprintf(advice, sizeof(advice),
		 "another netmon is pinning, or was stopped while it did: 'netmon --unpin %s' removes it",
		 new);
	return cannot("pin to", dir, "it is half made", advice);
}

/* What is there may go when a new pin is made. */
static int check_old(const char *dir)
{
	DIR *files = opendir(dir);
	int error;

	if (!files)
		return cannot("pin to", dir, strerror(errno), NULL);
	error = check_ours("pin to", dir, files);
	closedir(files);
	return error;
}

int pin_check(const struct pin_options *options)
{
	char parent[PATH_MAX], half[PATH_MAX];
	struct statvfs status;

	path_parent(parent, options->dir);
	path_new(half, options->dir);
	if (access(parent, F_OK))
		return cannot("pin to", options->dir, strerror(errno),
			      errno == EACCES ? "run it as root" : NULL);
	if (!is_bpf(parent))
		return cannot("pin to", options->dir, not_bpf,
			      "mount one: 'mount -t bpf bpf /sys/fs/bpf'");
	if (!statvfs(parent, &status) && status.f_flag & ST_RDONLY)
		return cannot("pin to", options->dir, strerror(EROFS),
			      "'mount -o remount,rw' it first");
	if (!access(half, F_OK))
		return half_made(options->dir, half);
	if (!pin_exists(options->dir))
		return 0;
	if (check_old(options->dir))
		return -1;
	return options->replace ? 0 : already_pinned(options->dir);
}

/* Members of the group must come through the directories above, whatever their own group;
 * those outside of the file system are not ours to open. */
static int open_parents(const struct pin_options *options)
{
	char path[PATH_MAX], parent[PATH_MAX];
	struct stat status;

	for (path_parent(path, options->dir); is_bpf(path); memcpy(path, parent, PATH_MAX)) {
		if (stat(path, &status))
			return cannot("pin to", options->dir, strerror(errno), NULL);
		if (!(status.st_mode & S_IXOTH)) {
			if (chmod(path, (status.st_mode & 07777) | S_IXOTH))
				return cannot("open to the group", path, strerror(errno), NULL);
			if (options->verbose)
				fprintf(stderr, "netmon: '%s' may be searched by all\n", path);
		}
		path_parent(parent, path);
		if (!strcmp(parent, path))
			break;
	}
	return 0;
}

static int let_group(const struct pin_options *options, const char *dir,
		     const struct pin_object *objects, size_t count)
{
	char path[PATH_MAX];

	if (!options->group)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (!objects[i].mode)
			continue;
		path_of(path, dir, objects[i].name);
		if (chown(path, (uid_t)-1, options->gid) || chmod(path, objects[i].mode))
			return cannot("let the group read", path, strerror(errno), NULL);
	}
	if (chown(dir, (uid_t)-1, options->gid) || chmod(dir, 0750))
		return cannot("let the group read", dir, strerror(errno), NULL);
	return open_parents(options);
}

/* Whether a member of the group, without any right else, can really read; a child tries.
 * Where this process may not become somebody else, nobody knows. */
static int try_group(const struct pin_options *options, const char *dir)
{
	const gid_t gid = options->gid;
	int status = 0;
	pid_t child;

	if (!options->group)
		return 0;
	child = fork();
	if (!child) {
		if (setgroups(1, &gid) || setresgid(65534, 65534, 65534) ||
		    setresuid(65534, 65534, 65534))
			_exit(0);
		_exit(pin_open(dir, about_name) < 0 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return cannot("pin to", options->dir, strerror(errno), NULL);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	if (status == EACCES)
		return cannot("let the group read", options->dir, strerror(status),
			      "a directory above is closed to it");
	return status ? pin_cannot("let the group read", options->dir, status) : 0;
}

static int pin_object(const char *dir, const struct pin_object *object, bool verbose)
{
	char path[PATH_MAX];

	path_of(path, dir, object->name);
	if (bpf_obj_pin(object->fd, path))
		return cannot("pin", path, strerror(errno),
			      errno == EINVAL ? "before Linux 5.15 kprobes and classic tracepoints end "
						"with the program: try another --attach"
					      : NULL);
	if (verbose)
		fprintf(stderr, "netmon: pinned '%s'\n", path);
	return 0;
}

/* The new pin gets its place at once where the kernel can exchange directories (Linux 5.16), and the
 * old one that of the new one; else there is none for a moment. */
static int take_place(const struct pin_options *options, const char *new)
{
	if (!renameat2(AT_FDCWD, new, AT_FDCWD, options->dir, RENAME_NOREPLACE))
		return 0;
	if (errno != EEXIST)
		return cannot("pin to", options->dir, strerror(errno), NULL);
	if (!options->replace)
		return already_pinned(options->dir);
	if (!renameat2(AT_FDCWD, new, AT_FDCWD, options->dir, RENAME_EXCHANGE))
		return 0;
	if (remove_dir(options->dir, options->verbose) < 0)
		return -1;
	return rename(new, options->dir) ? cannot("pin to", options->dir, strerror(errno), NULL) : 0;
}

int pin_make(const struct pin_options *options, const struct pin_object *objects, size_t count)
{
	char new[PATH_MAX];
	int error = 0;

	path_new(new, options->dir);
	if (mkdir(new, 0700))
		return errno == EEXIST ? half_made(options->dir, new)
				       : cannot("pin to", options->dir, strerror(errno), NULL);
	for (size_t i = 0; i < count && !error; i++)
		error = pin_object(new, &objects[i], options->verbose);
	if (error || let_group(options, new, objects, count) || try_group(options, new) ||
	    take_place(options, new)) {
		remove_dir(new, false);
		return -1;
	}
	return remove_dir(new, options->verbose) < 0; /* the old one, if there is one */
}
