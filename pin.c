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
#include <sys/mman.h>
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
static const char not_bpf[] = "not in a BPF file system";

_Static_assert(sizeof(struct about) <= 4096, "it is mapped by readers of all builds");

/* What is to be pinned: a descriptor and the name of its file. */
struct pin_object {
	char name[64];
	int fd;
	unsigned mode;           /* of its file where a group may read; 0: not for it */
};

struct pin {
	const struct about *about;
	int dir;                   /* its descriptor */
	struct tables *tables;
	int programs[PROBES_MOST]; /* for their misses */
	size_t count;
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void path_of(char path[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		path[0] = '\0'; /* there is no such file */
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

/* Opens a pinned object, a map so that it can be mapped into memory: for reading alone the kernel
 * does not allow that; the map is frozen instead.  Returns a descriptor, or -1 with errno. */
static int open_object(const char *dir, const char *name)
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
	int fd = open_object(dir, about_name);
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

static void about_free(const struct about *about)
{
	if (about)
		munmap((void *)about, sizeof(*about));
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

	about_free(about);
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

/* Says that it failed so, with what to do where that is known, in the words "cannot `verb` 'DIR'".
 * Returns -1. */
static int say_error(const char *verb, const char *dir, int error)
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
				say("removed '%s'", path);
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
		say("nothing is pinned in '%s'", dir);
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
		about_free(about);
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
				say("'%s' may be searched by all", path);
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
		_exit(open_object(dir, about_name) < 0 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return cannot("pin to", options->dir, strerror(errno), NULL);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	if (status == EACCES)
		return cannot("let the group read", options->dir, strerror(status),
			      "a directory above is closed to it");
	return status ? say_error("let the group read", options->dir, status) : 0;
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
		say("pinned '%s'", path);
	return 0;
}

/* renameat2(2), which musl does not have. */
static int rename_to(const char *from, const char *to, unsigned int flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* The new pin gets its place at once where the kernel can exchange directories (Linux 5.16), and the
 * old one that of the new one; else there is none for a moment. */
static int take_place(const struct pin_options *options, const char *new)
{
	if (!rename_to(new, options->dir, RENAME_NOREPLACE))
		return 0;
	if (errno != EEXIST)
		return cannot("pin to", options->dir, strerror(errno), NULL);
	if (!options->replace)
		return already_pinned(options->dir);
	if (!rename_to(new, options->dir, RENAME_EXCHANGE))
		return 0;
	if (remove_dir(options->dir, options->verbose) < 0)
		return -1;
	return rename(new, options->dir) ? cannot("pin to", options->dir, strerror(errno), NULL) : 0;
}

static int pin_objects(const struct pin_options *options, const struct pin_object *objects, size_t count)
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

static void describe_pin(const struct probes *probes, struct about *about, const char *command)
{
	struct timespec now;
	struct probe probe;
	size_t length = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	strcpy(about->program, "netmon");
	snprintf(about->version, sizeof(about->version), "%s", NETMON_VERSION);
	about->build = probes_build();
	about->since = (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
	about->layout = *probes_layout(probes);
	about->holes = *probes_holes(probes);
	snprintf(about->command, sizeof(about->command), "%s", command);
	for (size_t i = 0; probes_get(probes, i, &probe) && length < sizeof(about->programs); i++)
		length += (size_t)snprintf(about->programs + length, sizeof(about->programs) - length,
					   "%s%s", i ? " " : "", probe.name);
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
		cannot("pin", about_name, strerror(errno), NULL);
		close_fd(fd);
		return -1;
	}
	describe_pin(probes, about, command);
	munmap(about, sizeof(struct about));
	return fd;
}

static void add_object(struct pin_object *objects, size_t *count, const char *prefix,
		       const char *name, int fd)
{
	struct pin_object *object = &objects[(*count)++];

	snprintf(object->name, sizeof(object->name), "%s%s", prefix, name);
	object->fd = fd;
	object->mode = !strcmp(prefix, "map_") ? 0660 : !strcmp(prefix, "prog_") ? 0640 : 0;
}

/* Nobody but the probes may write: whoever maps a map must be able to open it for that. */
static int freeze_maps(const struct pin_object *objects, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bpf_map_freeze(objects[i].fd))
			return cannot("freeze", objects[i].name, strerror(errno), NULL);
	return 0;
}

int pin_make(const struct pin_options *options, struct probes *probes, const char *command)
{
	const struct table_fds fds = tables_fds(probes_tables(probes));
	struct pin_object objects[4 + 2 * PROBES_MOST] = { 0 };
	size_t count = 0;
	int about = make_about(probes, command), error;
	struct probe probe;

	if (about < 0)
		return -1;
	add_object(objects, &count, "map_", "about", about);
	add_object(objects, &count, "map_", "packet_stats", fds.counters);
	add_object(objects, &count, "map_", "rows", fds.rows);
	add_object(objects, &count, "map_", "processes", fds.processes);
	add_object(objects, &count, "map_", "status", fds.status);
	error = freeze_maps(objects, count);
	for (size_t i = 0; probes_get(probes, i, &probe); i++) {
		add_object(objects, &count, "prog_", probe.name, probe.program);
		add_object(objects, &count, "link_", probe.name, probe.link);
	}
	error = error ? error : pin_objects(options, objects, count);
	close(about);
	if (error >= 0)
		probes_leave(probes);
	return error;
}

/* Reading */

/* NULL with a message where the pin is another build's, or can't be read. */
static const struct about *open_about(const char *dir)
{
	const struct about *about = map_about(dir);
	char reason[64], advice[PATH_MAX + 64];

	if (!about) {
		say_error("read the pin", dir, errno);
	} else if (about->build != probes_build()) {
		snprintf(reason, sizeof(reason), "made by another build of netmon, %.*s",
			 (int)sizeof(about->version), about->version);
		snprintf(advice, sizeof(advice),
			 "'netmon --pin %s --replace' makes it anew, --no-pin does without", dir);
		cannot("read the pin", dir, reason, advice);
		about_free(about);
		about = NULL;
	}
	return about;
}

/* Programs, for what they missed. */
static int open_programs(struct pin *pin, const char *dir)
{
	char names[sizeof(pin->about->programs)], *rest = names, *name;

	memcpy(names, pin->about->programs, sizeof(names));
	while ((name = strsep(&rest, " ")) && *name && pin->count < PROBES_MOST) {
		char file[64], path[PATH_MAX];

		snprintf(file, sizeof(file), "link_%s", name);
		snprintf(path, sizeof(path), "%s/%s", dir, file);
		if (access(path, F_OK))
			return -1;
		snprintf(file, sizeof(file), "prog_%s", name);
		pin->programs[pin->count] = open_object(dir, file);
		if (pin->programs[pin->count] < 0)
			return -1;
		pin->count++;
	}
	return 0;
}

/* Opens all of the pin; -1 with errno where something is missing. */
static int open_objects(struct pin *pin, const char *dir, struct table_fds *fds)
{
	fds->counters = open_object(dir, "map_packet_stats");
	if (fds->counters < 0)
		return -1;
	fds->rows = open_object(dir, "map_rows");
	if (fds->rows < 0)
		return -1;
	fds->processes = open_object(dir, "map_processes");
	if (fds->processes < 0)
		return -1;
	fds->status = open_object(dir, "map_status");
	return fds->status < 0 ? -1 : open_programs(pin, dir);
}

/* Whether that is still what has the name: else what was opened may be of two pins. */
static bool is_still(int pin, const char *dir)
{
	struct stat before, now;

	return !fstat(pin, &before) && !stat(dir, &now) && before.st_dev == now.st_dev &&
	       before.st_ino == now.st_ino;
}

static int open_whole(struct pin *pin, const char *dir)
{
	struct table_fds fds = { -1, -1, -1, -1 };
	int error;

	pin->about = open_about(dir);
	if (!pin->about)
		return -1;
	error = open_objects(pin, dir, &fds) ? errno : 0;
	if (!is_still(pin->dir, dir)) {
		cannot("read the pin", dir, strerror(ESTALE), "it has just been replaced: try again");
	} else if (error) {
		say_error("read the pin", dir, error);
	} else {
		pin->tables = tables_open(&pin->about->layout, &fds, true);
		return pin->tables ? 0 : -1;
	}
	close_fd(fds.counters);
	close_fd(fds.rows);
	close_fd(fds.processes);
	close_fd(fds.status);
	return -1;
}

struct pin *pin_open(const char *dir)
{
	struct pin *pin = calloc(1, sizeof(*pin));

	if (!pin) {
		cannot("read the pin", dir, strerror(ENOMEM), NULL);
		return NULL;
	}
	pin->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!open_whole(pin, dir))
		return pin;
	pin_close(pin);
	return NULL;
}

void pin_close(struct pin *pin)
{
	if (!pin)
		return;
	for (size_t i = 0; i < pin->count; i++)
		close_fd(pin->programs[i]);
	tables_close(pin->tables);
	close_fd(pin->dir);
	about_free(pin->about);
	free(pin);
}

const struct about *pin_about(const struct pin *pin)
{
	return pin->about;
}

struct tables *pin_tables(const struct pin *pin)
{
	return pin->tables;
}

__u64 pin_missed(const struct pin *pin)
{
	return tables_calls_missed(pin->tables) + programs_missed(pin->programs, pin->count);
}

bool pin_gone(const struct pin *pin)
{
	struct stat status;

	return !fstat(pin->dir, &status) && !status.st_nlink;
}
