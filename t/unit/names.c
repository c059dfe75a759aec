// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of names.h, in the Test Anything Protocol: how often it asks the name service and the file
 * system, and what a report shows until there is an answer.  This program replaces the name service
 * and file handles; the cgroup tree is a directory below DIRECTORY.
 *
 *     names DIRECTORY    exit status 0 if all is well, 1 if a check failed
 */
#include <dlfcn.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cgroup.h"
#include "names.h"
#include "tap.h"

/* The name service: user N is "user-N", except those below; it answers only while it is open. */
enum { FIRST_UID = 2000000000, NAMELESS_UID = FIRST_UID - 1, BROKEN_UID = FIRST_UID - 2 };

static pthread_mutex_t service_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t service_opened = PTHREAD_COND_INITIALIZER;
static bool service_open = true;
static unsigned asked;

static void open_service(bool open)
{
	pthread_mutex_lock(&service_lock);
	service_open = open;
	pthread_cond_broadcast(&service_opened);
	pthread_mutex_unlock(&service_lock);
}

static unsigned times_asked(void)
{
	unsigned times;

	pthread_mutex_lock(&service_lock);
	times = asked;
	asked = 0;
	pthread_mutex_unlock(&service_lock);
	return times;
}

struct passwd *getpwuid(uid_t uid)
{
	static char name[32];
	static struct passwd user = { .pw_name = name };

	pthread_mutex_lock(&service_lock);
	asked++;
	while (!service_open)
		pthread_cond_wait(&service_opened, &service_lock);
	pthread_mutex_unlock(&service_lock);
	snprintf(name, sizeof(name), "user-%u", uid);
	errno = uid == BROKEN_UID ? EIO : 0;
	return uid == NAMELESS_UID || uid == BROKEN_UID ? NULL : &user;
}

/* The kernel's ring of removed cgroups; each is read once. */
static uint64_t gone_id;
static const char *gone_path;

void tables_gone(struct tables *tables, void (*found)(void *context, __u64 id, const char *path),
		 void *context)
{
	(void)tables;
	if (gone_path)
		found(context, gone_id, gone_path);
	gone_path = NULL;
}

/* File handles of this file system, unless they are forbidden. */
static bool handles_allowed;
static unsigned handles, directories;
static const struct cgroup *handle_tree;
static size_t handle_tree_count;
static int handle_root;

int open_by_handle_at(int mount, struct file_handle *handle, int flags)
{
	uint64_t id;

	(void)mount;
	handles++;
	if (!handles_allowed) {
		errno = EPERM;
		return -1;
	}
	CHECK(handle->handle_type, 0xfe);
	CHECK(handle->handle_bytes, sizeof(id));
	memcpy(&id, handle->f_handle, sizeof(id));
	for (size_t i = 0; i < handle_tree_count; i++)
		if (handle_tree[i].id == id)
			return openat(handle_root, handle_tree[i].path[1] ? handle_tree[i].path + 1 : ".", flags);
	errno = ESTALE;
	return -1;
}

/* Every directory is a mount point, for statx(2) as cgroup.c calls it. */
long syscall(long number, ...)
{
	long (*real)(long, ...);
	void *found = dlsym(RTLD_NEXT, "syscall");
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_statx) {
		*(struct statx *)arguments[4] = (struct statx){ .stx_attributes = STATX_ATTR_MOUNT_ROOT };
		return 0;
	}
	REQUIRE(found);
	memcpy(&real, &found, sizeof(real));
	return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

DIR *fdopendir(int descriptor)
{
	DIR *(*real)(int);
	void *found = dlsym(RTLD_NEXT, "fdopendir");

	REQUIRE(found);
	memcpy(&real, &found, sizeof(real));
	directories++;
	return real(descriptor);
}

/* Users */

static struct name_cache *cache;
static struct names names;

static void begin(int root, uint64_t interval)
{
	cache = names_new(root, interval, NULL);
	REQUIRE(cache);
	names = names_of(cache);
	names_forget(cache);
	times_asked();
}

static void end(void)
{
	names_free(cache);
	cache = NULL;
}

#define SECOND 1000000000ULL

static const char *user(uint32_t uid)
{
	return names.user(names.context, uid);
}

static void asked_once(void)
{
	begin(-1, 0);
	for (int report = 0; report < 3; report++) {
		for (uint32_t i = 0; i < 10000; i++) {
			char wanted[32];

			snprintf(wanted, sizeof(wanted), "user-%u", FIRST_UID + i % 5000);
			CHECK_TEXT(user(FIRST_UID + i % 5000), wanted);
		}
		CHECK(times_asked(), report ? 0 : 5000);
		names_forget(cache);
	}
	end();
}

static void from_the_file(void)
{
	struct passwd *root;

	setpwent();
	root = getpwent();
	REQUIRE(root);
	begin(-1, 0);
	CHECK_TEXT(user(root->pw_uid), root->pw_name);
	CHECK(times_asked(), 0);
	end();
	endpwent();
}

static void nameless(void)
{
	begin(-1, 0);
	for (int report = 0; report < 3; report++) {
		CHECK_TEXT(user(NAMELESS_UID), "1999999999");
		CHECK(times_asked(), report ? 0 : 1);
		names_forget(cache);
	}
	end();
}

static void asked_again_after_an_error(void)
{
	begin(-1, 0);
	for (int report = 0; report < 3; report++) {
		CHECK_TEXT(user(BROKEN_UID), "1999999998");
		CHECK(times_asked(), 1);
		names_forget(cache);
	}
	end();
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* A service that does not answer delays one report by half of its interval, and no later one.  A
 * user has the same text in all rows of a report. */
static void slow_service(void)
{
	uint64_t start;

	begin(-1, SECOND / 5);
	open_service(false);
	start = now();
	for (int row = 0; row < 1000; row++) {
		CHECK_TEXT(user(FIRST_UID), "2000000000");
		CHECK_TEXT(user(FIRST_UID + 1), "2000000001");
	}
	CHECK(now() - start >= SECOND / 10, true);
	CHECK(times_asked(), 1);
	names_forget(cache);
	CHECK_TEXT(user(FIRST_UID), "2000000000");
	open_service(true);
	for (int row = 0; row < 1000; row++) { /* the answer comes while the report is made */
		CHECK_TEXT(user(FIRST_UID), "2000000000");
		usleep(100);
	}
	for (int tries = 0; tries < 1000; tries++, usleep(10000)) {
		const char *first, *second;

		names_forget(cache);
		first = user(FIRST_UID);
		second = user(FIRST_UID + 1);
		if (!strncmp(first, "user-", 5) && !strncmp(second, "user-", 5))
			break;
	}
	CHECK(times_asked(), 1);
	names_forget(cache);
	CHECK_TEXT(user(FIRST_UID), "user-2000000000");
	CHECK_TEXT(user(FIRST_UID + 1), "user-2000000001");
	CHECK(times_asked(), 0);
	end();
}

/* netmon ends even if the service never answers. */
static void end_while_waiting(void)
{
	begin(-1, SECOND / 100);
	open_service(false);
	CHECK_TEXT(user(FIRST_UID), "2000000000");
	end();
	open_service(true);
	usleep(100000); /* the abandoned thread frees its memory */
}

/* Cgroups */

static int tree;

static uint64_t make(const char *path)
{
	struct stat status;

	REQUIRE(!mkdirat(tree, path, 0700));
	REQUIRE(!fstatat(tree, path, &status, 0));
	return status.st_ino;
}

static void unmake(const char *path)
{
	REQUIRE(!unlinkat(tree, path, AT_REMOVEDIR));
}

static const char *cgroup(uint64_t id)
{
	return names.cgroup(names.context, id);
}

/* A report walks the tree once, however many cgroups are gone, and not if all are known. */
static void one_walk(void)
{
	uint64_t a = make("a"), b = make("a/b"), later;

	handles_allowed = false;
	begin(tree, 0);
	directories = 0;
	for (int row = 0; row < 3; row++) {
		CHECK_TEXT(cgroup(b), "/a/b");
		CHECK_TEXT(cgroup(a), "/a");
		for (uint64_t gone = 1; gone <= 100; gone++)
			CHECK_TEXT(cgroup(gone << 40), NULL);
	}
	CHECK(directories, 3); /* the root, a, b */
	names_forget(cache);
	CHECK_TEXT(cgroup(b), "/a/b");
	CHECK_TEXT(cgroup(1ULL << 40), NULL);
	CHECK(directories, 3);
	later = make("later");
	CHECK_TEXT(cgroup(later), "/later");
	CHECK(directories, 7);
	names_forget(cache);
	unmake("later");
	CHECK_TEXT(cgroup(later), "/later"); /* its path has not changed */
	CHECK(directories, 7);
	end();
	unmake("a/b");
	unmake("a");
}

/* With handles, each cgroup is opened once, and the tree is not read. */
static void one_handle(void)
{
	uint64_t a = make("a"), deleted = make("a/x (deleted)");
	struct cgroup *cgroups;
	size_t count;

	cgroups = cgroup_walk(tree, &count);
	REQUIRE(cgroups && count == 3);
	handle_tree = cgroups;
	handle_tree_count = count;
	handle_root = tree;
	handles_allowed = true;
	begin(tree, 0);
	directories = handles = 0;
	for (int row = 0; row < 3; row++) {
		CHECK_TEXT(cgroup(a), "/a");
		CHECK_TEXT(cgroup(deleted), "/a/x (deleted)");
		for (uint64_t gone = 1; gone <= 100; gone++)
			CHECK_TEXT(cgroup(gone << 40), NULL);
		names_forget(cache);
	}
	CHECK(directories, 0);
	CHECK(handles, 102);
	end();
	handles_allowed = false;
	for (size_t i = 0; i < count; i++)
		free(cgroups[i].path);
	free(cgroups);
	handle_tree_count = 0;
	unmake("a/x (deleted)");
	unmake("a");
}

/* The path of a removed cgroup is known from its removal, by handle and by reading the tree. */
static void removed(void)
{
	for (int with_handles = 0; with_handles < 2; with_handles++) {
		handles_allowed = with_handles;
		begin(tree, 0);
		gone_id = 5ULL << 40;
		gone_path = "/removed";
		directories = 0;
		CHECK_TEXT(cgroup(5ULL << 40), "/removed");
		CHECK_TEXT(cgroup(6ULL << 40), NULL);
		names_forget(cache);
		CHECK_TEXT(cgroup(5ULL << 40), "/removed");
		CHECK(directories, with_handles ? 0 : 1);
		end();
	}
	handles_allowed = false;
}

/* Deeper than the longest path of a system call (PATH_MAX). */
static void deep(void)
{
	enum { DEPTH = 300 };
	static const char name[] = "twenty-bytes-of-name";
	int at[DEPTH + 1] = { dup(tree) }, opened;
	static char wanted[DEPTH * sizeof(name) + 1];
	struct stat status, same;

	for (int i = 0; i < DEPTH; i++) {
		REQUIRE(!mkdirat(at[i], name, 0700));
		at[i + 1] = openat(at[i], name, O_RDONLY | O_DIRECTORY);
		REQUIRE(at[i + 1] >= 0);
		strcat(strcat(wanted, "/"), name);
	}
	REQUIRE(strlen(wanted) > PATH_MAX);
	REQUIRE(!fstat(at[DEPTH], &status));
	begin(tree, 0);
	CHECK_TEXT(cgroup(status.st_ino), wanted);
	end();
	opened = cgroup_open(tree, wanted);
	CHECK(opened >= 0 && !fstat(opened, &same), true);
	CHECK(same.st_ino, status.st_ino);
	close(opened);
	for (int i = DEPTH; i > 0; i--) {
		close(at[i]);
		REQUIRE(!unlinkat(at[i - 1], name, AT_REMOVEDIR));
	}
	close(at[0]);
}

static const struct test tests[] = {
	{ "the name service is asked once for each user", asked_once },
	{ "it is not asked for users of /etc/passwd", from_the_file },
	{ "a user without a name keeps the number", nameless },
	{ "an error is no answer", asked_again_after_an_error },
	{ "a slow name service holds up one report, for half of the interval", slow_service },
	{ "it does not hold up the end", end_while_waiting },
	{ "without handles the tree is read once a report at most", one_walk },
	{ "with handles the tree is not read", one_handle },
	{ "a removed cgroup keeps its path", removed },
	{ "a path longer than PATH_MAX", deep },
};

int main(int argc, char **argv)
{
	REQUIRE(argc == 2);
	tree = open(argv[1], O_RDONLY | O_DIRECTORY);
	REQUIRE(tree >= 0);
	return run_tests(tests, sizeof(tests) / sizeof(*tests));
}
