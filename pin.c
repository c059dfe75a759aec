// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "message.h"
#include "pin.h"

static const char about_name[] = "map_about";
static const char not_netmons[] = "what is pinned there is not netmon's";
static const char not_bpf[] = "it is not in a BPF file system";

_Static_assert(sizeof(struct about) <= 4096, "readers of all builds map a page of it");

enum { TRIES = 100 };

/* Where a pin is, or will be.  It is only ever looked up in `parent`, which is open. */
struct place {
	const char *dir;           /* its path, for messages */
	const char *name;          /* its end */
	int parent;
};

/* An object to pin: its descriptor and the name of its file. */
struct pin_object {
	char name[64];
	int fd;
	bool shared;               /* with the group */
};

struct pin {
	const char *dir;           /* for messages */
	bool insists;
	struct about about;
	int fd;                    /* the directory */
	struct tables *tables;
	int programs[PROBES_MOST]; /* for their misses */
	size_t count;
	bool knows_missed;         /* whether the programs could be opened */
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static const char *reason_of(int error)
{
	return error == ELOOP ? "netmon does not follow symbolic links" : strerror(error);
}

static bool needs_root(int error)
{
	return error == EACCES && geteuid();
}

static const char *root_advice(int error)
{
	return needs_root(error) ? "run it as root" : NULL;
}

/* Opens the directory of that name below `at`; fails if it is a symbolic link. */
static int open_next(int at, const char *name, size_t length)
{
	char copy[NAME_MAX + 1];
	struct stat status;
	int fd;

	if (length > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	snprintf(copy, sizeof(copy), "%.*s", (int)length, name);
	fd = openat(at, copy, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (!fstat(fd, &status) && S_ISDIR(status.st_mode)))
		return fd;
	close(fd);
	errno = S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR;
	return -1;
}

/* Opens a directory without following a symbolic link.  Not by openat2(2), which systemd's
 * RestrictSUIDSGID= refuses. */
static int open_dir(int at, const char *path, int flags)
{
	int dir = openat(at, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC), above;

	for (size_t length; dir >= 0 && *(path += strspn(path, "/")); path += length) {
		length = strcspn(path, "/");
		above = dir;
		dir = open_next(above, path, length);
		close(above);
	}
	if (dir < 0 || flags & O_PATH)
		return dir;
	above = dir;
	dir = openat(above, ".", flags | O_DIRECTORY | O_CLOEXEC);
	close(above);
	return dir;
}

/* Opens the parent of the pin's directory.  Returns 0, or -1 with errno. */
static int open_place(struct place *place, const char *dir)
{
	char parent[PATH_MAX];

	place->dir = dir;
	place->name = strrchr(dir, '/') + 1;
	snprintf(parent, sizeof(parent), "%.*s", (int)(place->name - dir), dir);
	place->parent = open_dir(AT_FDCWD, parent, O_PATH);
	return place->parent < 0 ? -1 : 0;
}

static bool is_bpf(int fd)
{
	struct statfs status;

	return !fstatfs(fd, &status) && status.f_type == BPF_FS_MAGIC;
}

static bool has_prefix(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* The files of the directory; NULL with errno. */
static DIR *list(int dir)
{
	int fd = open_dir(dir, ".", O_RDONLY);
	DIR *files = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !files)
		close(fd);
	return files;
}

/* The next one, without "." and ".."; NULL: there are no more. */
static const char *next_file(DIR *files)
{
	struct dirent *file;

	while ((file = readdir(files)))
		if (strcmp(file->d_name, ".") && strcmp(file->d_name, ".."))
			return file->d_name;
	return NULL;
}

/* Pins the object, or opens the pinned one if `object` is negative.  Before Linux 6.5 bpf(2)
 * takes no directory descriptor, so this changes the current directory.  Returns a descriptor or
 * 0, or -1 with errno. */
static int bpf_at(int dir, const char *name, int object)
{
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), result = -1, error;
	struct bpf_obj_get_opts options;

	memset(&options, 0, sizeof(options)); /* libbpf looks at the padding too */
	options.sz = sizeof(options);
	/* a read-only descriptor of a map cannot be mapped; the map is frozen instead */
	options.file_flags = has_prefix(name, "map_") ? 0 : BPF_F_RDONLY;
	if (!fchdir(dir))
		result = object < 0 ? bpf_obj_get_opts(name, &options) : bpf_obj_pin(object, name);
	error = errno;
	/* if the current directory cannot be opened, there is none to return to */
	if ((here < 0 || fchdir(here)) && chdir("/"))
		error = errno, result = -1;
	close_fd(here);
	errno = error;
	return result;
}

/* Opens a pinned object; fails if it is a link. */
static int open_object(int dir, const char *name)
{
	struct stat status;

	if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW))
		return -1;
	if (S_ISREG(status.st_mode))
		return bpf_at(dir, name, -1);
	errno = EINVAL;
	return -1;
}

/* Whether the descriptor is a map of this size that can be mapped into memory. */
static bool is_table(int fd, size_t value_size, size_t max_entries)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) && info.type == BPF_MAP_TYPE_ARRAY &&
	       info.map_flags & BPF_F_MMAPABLE && info.value_size == value_size &&
	       info.max_entries == max_entries;
}

/* Copies map_about.  That of another build can be shorter or longer; only the part that all
 * builds share is valid.  0, or -1 with errno; EINVAL: it is not netmon's. */
static int read_about(int dir, struct about *about)
{
	const size_t common = offsetof(struct about, layout);
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	int fd = open_object(dir, about_name), error = EINVAL;
	void *map = MAP_FAILED;

	if (fd < 0)
		return -1;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.value_size >= common &&
	    is_table(fd, info.value_size, 1)) {
		map = mmap(NULL, sizeof(*about), PROT_READ, MAP_SHARED, fd, 0);
		error = map == MAP_FAILED ? errno : 0;
	}
	close(fd);
	if (map != MAP_FAILED) {
		memcpy(about, map, sizeof(*about));
		munmap(map, sizeof(*about));
		about->version[sizeof(about->version) - 1] = '\0';
		about->attached[sizeof(about->attached) - 1] = '\0';
		about->command[sizeof(about->command) - 1] = '\0';
		if (memcmp(about->program, "netmon", sizeof("netmon")) ||
		    (about->build == probes_build() && info.value_size != sizeof(*about)))
			error = EINVAL;
	}
	errno = error;
	return error ? -1 : 0;
}

/* Whether the directory is not netmon's, or might not be, and the reason.  map_about is the first file that
 * is made and the last that is removed, so only an empty directory lacks it. */
static bool is_foreign(int dir, char reason[PATH_MAX])
{
	struct about about;
	int error = read_about(dir, &about) ? errno : 0;
	DIR *files = list(dir);
	const char *name;
	bool any = false;

	if (!files) {
		snprintf(reason, PATH_MAX, "%s", strerror(errno));
		return true;
	}
	while ((name = next_file(files))) {
		if (!has_prefix(name, "map_") && !has_prefix(name, "prog_") && !has_prefix(name, "link_"))
			break;
		any = true;
	}
	if (name)
		snprintf(reason, PATH_MAX, "'%s' in it is not netmon's", name);
	else if (error)
		snprintf(reason, PATH_MAX, "%s",
			 error == ENOENT || error == EINVAL ? not_netmons : strerror(error));
	closedir(files);
	return name || (error && (any || error != ENOENT));
}

/* Removing */

/* Removes the files whose names begin with the prefix, map_about only by its full name.
 * Repeats until there are none: reading a directory that changes may miss some. */
static int remove_files(int dir, const char *path, DIR *files, const char *prefix, bool verbose)
{
	char whole[PATH_MAX + NAME_MAX + 2];
	const char *name;
	bool any;

	do {
		any = false;
		rewinddir(files);
		while ((name = next_file(files))) {
			if (!has_prefix(name, prefix) ||
			    (!strcmp(name, about_name) && strcmp(prefix, about_name)))
				continue;
			snprintf(whole, sizeof(whole), "%s/%s", path, name);
			if (unlinkat(dir, name, 0)) {
				if (errno != ENOENT)
					return cannot("remove", whole, NULL, root_advice(errno));
				continue; /* another netmon removed it first */
			}
			if (verbose)
				say("removed '%s'", whole);
			any = true;
		}
	} while (any);
	return 0;
}

/* Whether the name still leads to this directory. */
static bool is_in_place(int dir, int parent, const char *name)
{
	struct stat it, there;

	return !fstat(dir, &it) && !fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) &&
	       it.st_dev == there.st_dev && it.st_ino == there.st_ino;
}

/* Removes netmon's directory `dir` of that name; the links first, so that counting ends. */
static int remove_dir(int dir, const struct place *place, const char *name, bool verbose)
{
	static const char *const order[] = { "link_", "prog_", "map_", about_name };
	char reason[PATH_MAX], path[PATH_MAX];
	DIR *files;
	int error = 0;

	snprintf(path, sizeof(path), "%.*s%s", (int)(place->name - place->dir), place->dir, name);
	if (!is_bpf(dir))
		return cannot("unpin", path, not_bpf, NULL);
	if (is_foreign(dir, reason))
		return cannot("unpin", path, reason, NULL);
	files = list(dir);
	if (!files)
		return cannot("unpin", path, NULL, NULL);
	for (size_t i = 0; i < sizeof(order) / sizeof(*order) && !error; i++)
		error = remove_files(dir, path, files, order[i], verbose);
	closedir(files);
	if (!error && is_in_place(dir, place->parent, name) &&
	    unlinkat(place->parent, name, AT_REMOVEDIR) && errno != ENOENT)
		error = cannot("remove", path, NULL, NULL);
	return error;
}

/* A pin is made beside its place, under a random name. */
static bool is_new(const struct place *place, const char *name)
{
	size_t length = strlen(place->name);

	return has_prefix(name, place->name) && strlen(name) == length + NEW_LENGTH && pin_is_new(name);
}

/* Whether this user made the directory and the maker has ended: a maker holds the lock while it
 * pins. */
static bool is_abandoned(int dir)
{
	struct stat status;

	return !fstat(dir, &status) && status.st_uid == geteuid() && is_bpf(dir) &&
	       !flock(dir, LOCK_EX | LOCK_NB);
}

/* Removes what makers that were killed left beside the place. */
static bool remove_abandoned(const struct place *place, bool verbose)
{
	DIR *files = list(place->parent);
	const char *name;
	bool any = false;

	while (files && (name = next_file(files))) {
		char copy[NAME_MAX + 1];
		int dir;

		if (!is_new(place, name))
			continue;
		snprintf(copy, sizeof(copy), "%s", name);
		dir = open_dir(place->parent, copy, O_RDONLY);
		any |= dir >= 0 && is_abandoned(dir) && !remove_dir(dir, place, copy, verbose);
		close_fd(dir);
	}
	if (files)
		closedir(files);
	return any;
}

/* Waits until the netmon that makes, replaces or removes this pin has finished: at most two seconds,
 * since members of its group can hold the lock too. */
static void wait_for_others(int dir)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };

	for (int tries = 0; tries < TRIES && flock(dir, LOCK_EX | LOCK_NB); tries++)
		nanosleep(&pause, NULL);
}

int pin_remove(const char *dir, bool verbose)
{
	struct place place;
	int fd = open_place(&place, dir) ? -1 : open_dir(place.parent, place.name, O_RDONLY);
	bool none = fd < 0 && errno == ENOENT;
	int error = 0;

	if (fd >= 0)
		wait_for_others(fd);
	if (fd >= 0)
		error = remove_dir(fd, &place, place.name, verbose);
	else if (!none)
		error = cannot("unpin", dir, reason_of(errno), root_advice(errno));
	if (place.parent >= 0 && !remove_abandoned(&place, verbose) && none && verbose)
		say("nothing is pinned in '%s'", dir);
	close_fd(fd);
	close_fd(place.parent);
	return error;
}

/* Making */

static int already_pinned(const struct place *place, int dir)
{
	char reason[128] = "it already exists", date[64] = "", advice[PATH_MAX + 64];
	struct about about = { 0 };
	time_t since;
	struct tm tm;

	if (!read_about(dir, &about)) {
		since = (time_t)(about.since / 1000);
		if (gmtime_r(&since, &tm))
			strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
		snprintf(reason, sizeof(reason), "netmon %s is pinned there since %s", about.version, date);
	}
	snprintf(advice, sizeof(advice), "--replace replaces it, 'netmon --unpin %s' removes it",
		 place->dir);
	return cannot("pin to", place->dir, reason, advice);
}

/* Whether the old pin (a descriptor, or -1 with errno) may be replaced. */
static int check_old(const struct pin_options *options, const struct place *place, int old)
{
	char reason[PATH_MAX];

	if (old < 0)
		return errno == ENOENT ? 0 : cannot("pin to", place->dir, reason_of(errno),
						    root_advice(errno));
	if (is_foreign(old, reason))
		return cannot("pin to", place->dir, reason, NULL);
	return options->replace ? 0 : already_pinned(place, old);
}

static int check_parent(const struct place *place)
{
	struct statvfs status;

	if (!is_bpf(place->parent))
		return cannot("pin to", place->dir, not_bpf, "mount one: 'mount -t bpf bpf /sys/fs/bpf'");
	if (!fstatvfs(place->parent, &status) && status.f_flag & ST_RDONLY)
		return cannot("pin to", place->dir, strerror(EROFS), "'mount -o remount,rw' it first");
	return 0;
}

static int open_parent(struct place *place, const char *dir)
{
	if (!open_place(place, dir))
		return check_parent(place);
	return cannot("pin to", dir, reason_of(errno), root_advice(errno));
}

/* Programs of any user could write to tables that he may open, frozen or not. */
static bool programs_are_unprivileged(void)
{
	FILE *file = fopen("/proc/sys/kernel/unprivileged_bpf_disabled", "re");
	bool are = file && fgetc(file) == '0';

	if (file)
		fclose(file);
	return are;
}

int pin_check(const struct pin_options *options)
{
	struct place place;
	int error = open_parent(&place, options->dir), old;

	if (!error && options->group && programs_are_unprivileged())
		error = cannot("let the group read", options->dir, "its members could write there by BPF programs",
			       "set the sysctl kernel.unprivileged_bpf_disabled to 2");
	if (!error) {
		remove_abandoned(&place, options->verbose);
		old = open_dir(place.parent, place.name, O_RDONLY);
		error = check_old(options, &place, old);
		close_fd(old);
	}
	close_fd(place.parent);
	return error;
}

/* Makes an empty, locked directory and its name.  Returns a descriptor, or -1 with errno. */
static int make_dir(const struct place *place, char name[NAME_MAX + 1])
{
	for (int tries = 0; tries < TRIES; tries++) {
		struct stat status;
		unsigned number;
		int dir;

		if (getrandom(&number, sizeof(number), 0) < 0)
			return -1;
		if (snprintf(name, NAME_MAX + 1, "%s-new-%08x", place->name, number) > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (mkdirat(place->parent, name, 0700)) {
			if (errno == EEXIST)
				continue;
			return -1;
		}
		dir = open_dir(place->parent, name, O_RDONLY);
		/* another maker may have removed it before it was locked */
		if (dir >= 0 && !fstat(dir, &status) && status.st_uid == geteuid() &&
		    !(status.st_mode & 077) && is_bpf(dir) && !flock(dir, LOCK_EX | LOCK_NB) &&
		    !fstat(dir, &status) && status.st_nlink)
			return dir;
		close_fd(dir);
	}
	errno = EBUSY;
	return -1;
}

/* Members of the group must be able to search the directories above.  Changes only directories
 * of this user and of this file system. */
static int open_parents(const struct pin_options *options, const struct place *place)
{
	int dir = open_dir(place->parent, ".", O_RDONLY), above;
	struct stat status;

	while (dir >= 0 && is_bpf(dir) && !fstat(dir, &status) && status.st_uid == geteuid()) {
		if (!(status.st_mode & S_IXOTH)) {
			if (fchmod(dir, (status.st_mode & 07777) | S_IXOTH)) {
				close(dir);
				return cannot("open to the group", options->dir, NULL, NULL);
			}
			if (options->verbose)
				say("a directory above '%s' is now searchable by all", options->dir);
		}
		above = open_dir(dir, "..", O_RDONLY);
		close(dir);
		dir = above;
	}
	close_fd(dir);
	return 0;
}

/* Gives the group the tables, and no program or link: a descriptor of a program is enough to attach it
 * once more. */
static int let_group(const struct pin_options *options, const struct place *place, int dir,
		     const struct pin_object *objects, size_t count)
{
	if (!options->group)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (objects[i].shared && (fchownat(dir, objects[i].name, (uid_t)-1, options->gid,
						   AT_SYMLINK_NOFOLLOW) ||
					  fchmodat(dir, objects[i].name, 0660, 0)))
			return cannot("let the group read", objects[i].name, NULL, NULL);
	if (fchown(dir, (uid_t)-1, options->gid) || fchmod(dir, 0750))
		return cannot("let the group read", options->dir, NULL, NULL);
	return open_parents(options, place);
}

/* What a member of the group without capabilities gets from opening map_about: 0 or an errno. */
static int read_as_member(const struct place *place, const char *name, gid_t gid)
{
	char path[PATH_MAX];
	int dir;

	if (setgroups(1, &gid) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return 0; /* without the right to change users, this cannot be tried */
	snprintf(path, sizeof(path), "%.*s%s", (int)(place->name - place->dir), place->dir, name);
	dir = open_dir(AT_FDCWD, path, O_PATH);
	return dir < 0 || open_object(dir, about_name) < 0 ? errno : 0;
}

/* Whether the group can read; a child process tries. */
static int try_group(const struct pin_options *options, const struct place *place, const char *name)
{
	int status = 0;
	pid_t child;

	if (!options->group)
		return 0;
	child = fork();
	if (!child)
		_exit(read_as_member(place, name, options->gid));
	if (child < 0 || waitpid(child, &status, 0) != child)
		return cannot("pin to", options->dir, NULL, NULL);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	if (!status)
		return 0;
	return cannot("let the group read", options->dir, strerror(status),
		      status == EACCES  ? "a directory above denies the group access"
		      : status == EPERM ? "before Linux 5.19 only root, or CAP_BPF, may read what is pinned"
					: NULL);
}

static int pin_object(const struct pin_options *options, int dir, const struct pin_object *object)
{
	if (bpf_at(dir, object->name, object->fd))
		return cannot("pin", object->name, NULL,
			      errno == EINVAL ? "before Linux 5.15 kprobes and classic tracepoints cannot be "
						"pinned: try another --attach"
					      : NULL);
	if (options->verbose)
		say("pinned '%s/%s'", options->dir, object->name);
	return 0;
}

/* Renames the new directory to its place by renameat2(2), which musl lacks. */
static int rename_to_place(const struct place *place, const char *name, unsigned flags)
{
	return (int)syscall(SYS_renameat2, place->parent, name, place->parent, place->name, flags);
}

/* What these return besides 0, and -1 with a message: another pin has taken the place meanwhile; or the new
 * pin is there, but the old one could not be removed. */
enum { AGAIN = 1, OLD_STAYS };

static int move_in(const struct place *place, const char *name)
{
	if (!rename_to_place(place, name, RENAME_NOREPLACE))
		return 0;
	return errno == EEXIST ? AGAIN : cannot("pin to", place->dir, NULL, NULL);
}

/* Exchanges the new pin and the old one atomically if the kernel can (Linux 5.16); otherwise
 * there is no pin for a moment. */
static int replace(const struct pin_options *options, const struct place *place, const char *name, int old)
{
	if (!rename_to_place(place, name, RENAME_EXCHANGE))
		return remove_dir(old, place, name, options->verbose) ? OLD_STAYS : 0;
	if (remove_dir(old, place, place->name, options->verbose))
		return -1;
	return move_in(place, name);
}

/* Moves the new pin to its place; tries again if another netmon has been faster. */
static int take_place(const struct pin_options *options, const struct place *place, const char *name,
		      int dir)
{
	int error = AGAIN;

	for (int tries = 0; tries < TRIES && error == AGAIN; tries++) {
		int old = open_dir(place->parent, place->name, O_RDONLY);

		error = check_old(options, place, old);
		if (!error && old < 0) {
			error = move_in(place, name);
		} else if (!error) {
			wait_for_others(old);
			error = is_in_place(old, place->parent, place->name)
					? replace(options, place, name, old) : AGAIN;
		}
		close_fd(old);
	}
	if (error == AGAIN || (!error && !is_in_place(dir, place->parent, place->name)))
		return cannot("pin to", place->dir, "another process renames files there", NULL);
	return error;
}

static int pin_objects(const struct pin_options *options, const struct pin_object *objects, size_t count)
{
	struct place place;
	char name[NAME_MAX + 1];
	int error = open_parent(&place, options->dir), dir = -1;

	if (!error) {
		dir = make_dir(&place, name);
		error = dir < 0 ? cannot("pin to", options->dir, NULL, NULL) : 0;
	}
	for (size_t i = 0; i < count && !error; i++)
		error = pin_object(options, dir, &objects[i]);
	if (!error && (let_group(options, &place, dir, objects, count) ||
		       try_group(options, &place, name)))
		error = -1;
	if (!error)
		error = take_place(options, &place, name, dir);
	if (error < 0 && dir >= 0)
		remove_dir(dir, &place, name, false);
	close_fd(dir);
	close_fd(place.parent);
	return error;
}

static void describe_pin(const struct probes *probes, struct about *about, const char *command)
{
	struct timespec now;
	struct probe probe;

	clock_gettime(CLOCK_REALTIME, &now);
	strcpy(about->program, "netmon");
	snprintf(about->version, sizeof(about->version), "%s", NETMON_VERSION);
	about->build = probes_build();
	about->since = (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
	about->layout = *probes_layout(probes);
	about->holes = *probes_holes(probes);
	snprintf(about->command, sizeof(about->command), "%s", command);
	while (probes_get(probes, about->links, &probe)) {
		about->links++;
		about->programs += probe.counts;
	}
	probes_ways(probes, about->attached, sizeof(about->attached));
}

/* A map that says what is pinned; its descriptor, or -1 with a message. */
static int make_about(const struct probes *probes, const char *command)
{
	struct bpf_map_create_opts options;
	void *about = MAP_FAILED;
	int fd;

	memset(&options, 0, sizeof(options));
	options.sz = sizeof(options);
	options.map_flags = BPF_F_MMAPABLE;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "netmon_about", sizeof(__u32), sizeof(struct about), 1,
			    &options);
	if (fd >= 0)
		about = mmap(NULL, sizeof(struct about), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (about == MAP_FAILED) {
		cannot("pin", about_name, NULL, NULL);
		close_fd(fd);
		return -1;
	}
	describe_pin(probes, about, command);
	munmap(about, sizeof(struct about));
	return fd;
}

static void add_object(struct pin_object *objects, size_t *count, const char *prefix, const char *name,
		       int fd, bool shared)
{
	struct pin_object *object = &objects[(*count)++];

	snprintf(object->name, sizeof(object->name), "%s%s", prefix, name);
	object->fd = fd;
	object->shared = shared;
}

/* Freezes the maps: only the probes may write.  The files stay writable, since a map could not
 * be mapped otherwise. */
static int freeze_maps(const struct pin_object *objects, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bpf_map_freeze(objects[i].fd))
			return cannot("freeze", objects[i].name, NULL, NULL);
	return 0;
}

int pin_make(const struct pin_options *options, struct probes *probes, const char *command)
{
	const struct table_fds fds = tables_fds(probes_tables(probes));
	struct pin_object objects[6 + 2 * PROBES_MOST] = { 0 };
	size_t count = 0;
	int about = make_about(probes, command), error;
	struct probe probe;

	if (about < 0)
		return -1;
	add_object(objects, &count, "map_", "about", about, true);
	add_object(objects, &count, "map_", "packet_stats", fds.counters, true);
	add_object(objects, &count, "map_", "rows", fds.rows, true);
	add_object(objects, &count, "map_", "processes", fds.processes, true);
	add_object(objects, &count, "map_", "status", fds.status, true);
	add_object(objects, &count, "map_", "gone_cgroups", fds.gone, true);
	error = freeze_maps(objects, count);
	for (size_t i = 0; probes_get(probes, i, &probe); i++) {
		if (probe.counts) /* only programs that count matter for missed_calls; links keep the others loaded */
			add_object(objects, &count, "prog_", probe.name, probe.program, false);
		add_object(objects, &count, "link_", probe.name, probe.link, false);
	}
	error = error ? error : pin_objects(options, objects, count);
	close(about);
	if (error >= 0)
		probes_leave(probes);
	return error;
}

/* Reading */

const char *pin_advice(bool insists, const char *advice)
{
	return insists || !probes_permitted(LAYER_SOCKET) ? advice : "netmon uses its own probes instead";
}

/* Reports why the pin is not read. */
static int refuse(const struct pin *pin, const char *reason, const char *advice)
{
	return cannot("read the pin", pin->dir, reason, pin_advice(pin->insists, advice));
}

static int refuse_incomplete(const struct pin *pin)
{
	char reason[PATH_MAX], advice[PATH_MAX + 64];

	if (is_foreign(pin->fd, reason))
		return refuse(pin, reason, NULL);
	snprintf(advice, sizeof(advice), "it is incomplete: 'netmon --unpin %s' removes it", pin->dir);
	return refuse(pin, strerror(ENOENT), advice);
}

static int refuse_for(const struct pin *pin, int error)
{
	switch (error) {
	case EPERM:
		return refuse(pin, strerror(error),
			      seccomp_advice() ? seccomp_advice()
					       : "before Linux 5.19 only root, or CAP_BPF, may read what is pinned");
	case EACCES:
		return refuse(pin, strerror(error),
			      needs_root(error)
				      ? "run it as root, or as a member of the group that --pin-group named"
				      : NULL);
	case EINVAL:
		return refuse(pin, not_netmons, NULL);
	case ENOENT:
		return refuse_incomplete(pin);
	default:
		return refuse(pin, reason_of(error), NULL);
	}
}

static int refuse_unless_replaced(const struct pin *pin, const struct place *place, int error)
{
	if (error == ENOENT && !is_in_place(pin->fd, place->parent, place->name))
		return 1;
	return refuse_for(pin, error);
}

/* A pin that other users could change is not trusted. */
static int check_owner(const struct pin *pin)
{
	struct stat status;
	char reason[64];

	if (fstat(pin->fd, &status))
		return refuse_for(pin, errno);
	if (status.st_uid && status.st_uid != geteuid()) {
		snprintf(reason, sizeof(reason), "it belongs to user %u, neither root nor you",
			 (unsigned)status.st_uid);
		return refuse(pin, reason, in_user_namespace() ? "run it outside the user namespace" : NULL);
	}
	return status.st_mode & 022 ? refuse(pin, "others may write to it", NULL) : 0;
}

static int check_build(const struct pin *pin)
{
	char reason[64], advice[PATH_MAX + 64];

	if (pin->about.build == probes_build())
		return 0;
	snprintf(reason, sizeof(reason), "made by another build of netmon, %s", pin->about.version);
	snprintf(advice, sizeof(advice), "'netmon --pin %s --replace' replaces it, --no-pin ignores it",
		 pin->dir);
	return refuse(pin, reason, advice);
}

static int open_table(int dir, const char *name, size_t value_size, size_t max_entries)
{
	int fd = open_object(dir, name);

	if (fd < 0 || is_table(fd, value_size, max_entries))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

/* Opens the tables; -1 with errno if one is missing or its size does not match the layout. */
static int open_tables(const struct pin *pin, struct table_fds *fds)
{
	const struct layout *layout = &pin->about.layout;

	errno = EINVAL;
	if (!layout_is_valid(layout))
		return -1;
	fds->counters = open_table(pin->fd, "map_packet_stats", sizeof(struct netmon_counters),
				   layout->groups * layout_stride(layout));
	if (fds->counters < 0)
		return -1;
	fds->rows = open_table(pin->fd, "map_rows", sizeof(struct netmon_row), layout_rows(layout));
	if (fds->rows < 0)
		return -1;
	fds->processes = open_table(pin->fd, "map_processes", sizeof(struct netmon_process),
				    layout_processes(layout));
	if (fds->processes < 0)
		return -1;
	fds->status = open_table(pin->fd, "map_status", sizeof(__u64), STATUS_COUNT);
	if (fds->status < 0)
		return -1;
	fds->gone = open_table(pin->fd, "map_gone_cgroups", sizeof(struct netmon_gone),
			       layout_gone(layout));
	return fds->gone < 0 ? -1 : 0;
}

/* Opens the programs that count, for their misses; only their owner and root may.  -1 with errno
 * if a program or its link is missing. */
static int open_programs(struct pin *pin)
{
	DIR *files = list(pin->fd);
	__u32 links = 0, programs = 0;
	const char *name;

	if (!files)
		return -1;
	pin->knows_missed = true;
	while ((name = next_file(files))) {
		int program;

		links += has_prefix(name, "link_");
		if (!has_prefix(name, "prog_") || ++programs > PROBES_MOST)
			continue;
		program = open_object(pin->fd, name);
		if (program >= 0)
			pin->programs[pin->count++] = program;
		else
			pin->knows_missed = false;
	}
	closedir(files);
	errno = ENOENT;
	return links == pin->about.links && programs == pin->about.programs ? 0 : -1;
}

/* Closes what was opened of the pin. */
static void close_pin(struct pin *pin)
{
	while (pin->count)
		close_fd(pin->programs[--pin->count]);
	tables_close(pin->tables);
	close_fd(pin->fd);
	pin->tables = NULL;
	pin->fd = -1;
}

/* Reads what is in the directory, which is open.  -1 with a message, or 1 if something is missing
 * because the directory has been replaced or removed since. */
static int read_dir(struct pin *pin, const struct place *place)
{
	struct table_fds fds = { -1, -1, -1, -1, -1 };
	int error;

	if (!is_bpf(pin->fd))
		return refuse(pin, not_bpf, NULL);
	if (check_owner(pin))
		return -1;
	if (read_about(pin->fd, &pin->about))
		return refuse_unless_replaced(pin, place, errno);
	if (check_build(pin))
		return -1;
	if (!open_tables(pin, &fds) && !open_programs(pin)) {
		pin->tables = tables_open(&pin->about.layout, &fds, true);
		return pin->tables ? 0 : -1;
	}
	error = errno;
	close_fd(fds.counters);
	close_fd(fds.rows);
	close_fd(fds.processes);
	close_fd(fds.status);
	close_fd(fds.gone);
	return refuse_unless_replaced(pin, place, error);
}

/* Returns 0, or -1 with a message; without a message if the user did not name the pin, and nothing is
 * pinned or the user may not look into the directory above. */
static int open_pin(struct pin *pin)
{
	struct place place;
	int error;

	open_place(&place, pin->dir);
	do {
		close_pin(pin);
		if (place.parent >= 0)
			pin->fd = open_dir(place.parent, place.name, O_PATH);
		error = pin->fd < 0 ? -1 : read_dir(pin, &place);
	} while (error > 0);
	if (pin->fd < 0 && pin->insists && errno == ENOENT)
		refuse(pin, "nothing is pinned there", NULL);
	else if (pin->fd < 0 && (pin->insists || (errno != ENOENT && errno != EACCES)))
		refuse_for(pin, errno);
	close_fd(place.parent);
	return error;
}

struct pin *pin_open(const char *dir, bool insists)
{
	struct pin *pin = calloc(1, sizeof(*pin));

	if (!pin) {
		cannot("read the pin", dir, strerror(ENOMEM), NULL);
		return NULL;
	}
	pin->dir = dir;
	pin->insists = insists;
	pin->fd = -1;
	if (!open_pin(pin))
		return pin;
	pin_close(pin);
	return NULL;
}

void pin_close(struct pin *pin)
{
	if (!pin)
		return;
	close_pin(pin);
	free(pin);
}

const struct about *pin_about(const struct pin *pin)
{
	return &pin->about;
}

struct tables *pin_tables(const struct pin *pin)
{
	return pin->tables;
}

bool pin_missed(const struct pin *pin, __u64 *missed)
{
	*missed = tables_calls_missed(pin->tables) + programs_missed(pin->programs, pin->count);
	return pin->knows_missed;
}

bool pin_gone(const struct pin *pin)
{
	struct stat status;

	return !fstat(pin->fd, &status) && !status.st_nlink;
}
