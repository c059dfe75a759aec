// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "array.h"
#include "cgroup.h"
#include "message.h"
#include "names.h"
#include "unit.h"
#include "users.h"

enum { COMMAND_MOST = 4096, KEPT_MOST = 65536 };

#define SECOND 1000000000ULL         /* nanoseconds */
#define LONGEST_WAIT (5 * SECOND)

/* The text for a number, such as the name of a user.  It never changes within a report. */
struct name {
	__u64 id;
	__u64 used;              /* the number of the last report that used it; 0: none */
	char *text;              /* NULL: not known */
	char *newer;             /* replaces `text` in the next report */
	char *unit, *container;  /* of a cgroup's path; NULL: none */
	bool is_parsed;
	bool taken;
	bool is_final;           /* needs no further lookup */
};

/* A hash table with open addressing, at least half of it free. */
struct table {
	struct name *names;
	size_t count;
	size_t capacity;         /* a power of two; 0: empty */
};

struct name_cache {
	__u64 report;            /* the number of the report that is being made */
	struct table users;
	struct resolver *resolver;
	bool read_file;          /* /etc/passwd has been read */
	bool said_slow;
	__u64 patience;          /* how long a report waits: nanoseconds */
	__u64 deadline;          /* until when this report waits; 0: it has not waited yet */
	struct table cgroups;
	struct tables *tables;
	struct cgroup_paths paths;
	__u64 walked;            /* the last report that read the whole tree */
	bool pids_are_initial;
	char **texts;            /* texts that only this report may use */
	size_t texts_count, texts_capacity;
	__u32 last_pid;          /* the process whose command line is the last of `texts`; 0: none */
};

struct name_cache *names_new(int cgroup_root, __u64 interval, struct tables *tables)
{
	struct name_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->report = 1;
	cache->tables = tables;
	cache->patience = interval && interval / 2 < LONGEST_WAIT ? interval / 2 : LONGEST_WAIT;
	cache->pids_are_initial = pids_are_initial();
	cgroup_paths_init(&cache->paths, cgroup_root);
	cache->resolver = resolver_new();
	if (!cache->resolver) {
		names_free(cache);
		return NULL;
	}
	return cache;
}

/* Tables */

static size_t hash_of(__u64 id)
{
	id *= 0x9e3779b97f4a7c15;
	return (size_t)(id ^ id >> 32);
}

/* The element of the number, or the free element to put it into. */
static struct name *place_of(const struct table *table, __u64 id)
{
	size_t mask = table->capacity - 1, i = hash_of(id) & mask;

	while (table->names[i].taken && table->names[i].id != id)
		i = (i + 1) & mask;
	return &table->names[i];
}

static struct name *find(const struct table *table, __u64 id)
{
	struct name *name = table->capacity ? place_of(table, id) : NULL;

	return name && name->taken ? name : NULL;
}

static void free_table(struct table *table)
{
	for (size_t i = 0; i < table->capacity; i++) {
		free(table->names[i].text);
		free(table->names[i].newer);
		free(table->names[i].unit);
		free(table->names[i].container);
	}
	free(table->names);
}

/* Rebuilds the table with that capacity and the names that were used since the report `since`.  False
 * if memory is short. */
static bool rebuild(struct table *table, size_t capacity, __u64 since)
{
	struct table next = { calloc(capacity, sizeof(*next.names)), 0, capacity };

	if (!next.names)
		return false;
	for (size_t i = 0; i < table->capacity; i++) {
		struct name *name = &table->names[i];

		if (!name->taken || name->used < since)
			continue;
		*place_of(&next, name->id) = *name;
		name->text = name->newer = name->unit = name->container = NULL;
		next.count++;
	}
	free_table(table);
	*table = next;
	return true;
}

/* The name of the number, added if it is new.  NULL if memory is short. */
static struct name *find_or_add(struct table *table, __u64 id)
{
	struct name *name = find(table, id);

	if (name)
		return name;
	if (2 * (table->count + 1) > table->capacity &&
	    !rebuild(table, table->capacity ? 2 * table->capacity : 64, 0))
		return NULL;
	name = place_of(table, id);
	*name = (struct name){ .id = id, .taken = true };
	table->count++;
	return name;
}

/* If there are many names, drops those that the last report did not use. */
static void trim(struct table *table, __u64 report)
{
	if (table->count > KEPT_MOST)
		rebuild(table, table->capacity, report);
}

void names_forget(struct name_cache *cache)
{
	for (size_t i = 0; i < cache->texts_count; i++)
		free(cache->texts[i]);
	cache->texts_count = 0;
	cache->last_pid = 0;
	cache->deadline = 0;
	trim(&cache->users, cache->report);
	trim(&cache->cgroups, cache->report);
	cache->report++;
}

void names_free(struct name_cache *cache)
{
	if (!cache)
		return;
	names_forget(cache);
	resolver_free(cache->resolver);
	free_table(&cache->users);
	free_table(&cache->cgroups);
	cgroup_paths_free(&cache->paths);
	free(cache->texts);
	free(cache);
}

/* Frees the text at the end of this report, which might use it. */
static bool free_later(struct name_cache *cache, char *text)
{
	char **texts = array_grow(cache->texts, cache->texts_count, 1, &cache->texts_capacity,
				  sizeof(*texts));

	if (!texts)
		return false;
	cache->texts = texts;
	texts[cache->texts_count++] = text;
	return true;
}

/* Users */

static void add_user(void *context, __u32 uid, const char *text)
{
	struct name_cache *cache = context;
	struct name *name = find_or_add(&cache->users, uid);

	if (!name || name->text) /* the first line with an id names the user */
		return;
	name->text = strdup(text);
	name->is_final = name->text;
}

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (__u64)time.tv_sec * SECOND + (__u64)time.tv_nsec;
}

/* The name service answers one question at a time: waits for the answer until the report's
 * deadline, and keeps it. */
static void take_answer(struct name_cache *cache)
{
	struct name *name;
	char *text = NULL;
	__u32 uid = 0;
	enum resolved answer = resolver_answer(cache->resolver, cache->deadline, &uid, &text);

	if (answer == WAITING)
		return;
	name = find(&cache->users, uid);
	if (!name) {
		free(text); /* the name was dropped meanwhile */
		return;
	}
	name->is_final = true;
	free(name->newer);
	name->newer = text;
}

/* If a question of an earlier report has no answer yet, this report does not wait. */
static void set_deadline(struct name_cache *cache)
{
	if (!cache->deadline)
		cache->deadline = now() + (resolver_is_idle(cache->resolver) ? cache->patience : 0);
}

static void ask_for_user(struct name_cache *cache, __u32 uid)
{
	const struct name *name;

	set_deadline(cache);
	if (!resolver_is_idle(cache->resolver))
		take_answer(cache);
	name = find(&cache->users, uid);
	if (name->is_final) /* the answer was for this user */
		return;
	if (resolver_is_idle(cache->resolver) && resolver_ask(cache->resolver, uid))
		take_answer(cache);
	if (resolver_is_idle(cache->resolver) || cache->said_slow)
		return;
	cache->said_slow = true;
	cannot("look up", "the names of all users", "the name service is slow",
	       "rows show the user's number until it answers");
}

static const char *find_user(void *context, __u32 uid)
{
	struct name_cache *cache = context;
	char number[16];
	struct name *name;

	if (!cache->read_file)
		users_of_file(add_user, cache);
	cache->read_file = true;
	name = find_or_add(&cache->users, uid);
	if (!name)
		return NULL;
	if (name->used == cache->report)
		return name->text;
	if (!name->is_final && !name->newer)
		ask_for_user(cache, uid);
	name = find(&cache->users, uid);
	name->used = cache->report;
	if (name->newer) {
		free(name->text);
		name->text = name->newer;
		name->newer = NULL;
	}
	if (!name->text) {
		snprintf(number, sizeof(number), "%u", uid);
		name->text = strdup(number);
	}
	return name->text;
}

/* Cgroups */

/* Takes ownership of the path. */
static void add_cgroup(struct name_cache *cache, __u64 id, char *path)
{
	struct name *name = find_or_add(&cache->cgroups, id);

	if (!name || name->text || !path) {
		free(path);
		return;
	}
	name->text = path;
	name->is_final = true;
}

/* Reads the whole tree, once a report.  The cgroup of a row is older than the report: if the walk does
 * not find it, it was removed.  False if there was no walk. */
static bool walk(struct name_cache *cache)
{
	size_t count = 0;
	struct cgroup *cgroups;

	if (cache->walked == cache->report)
		return true;
	cgroups = cgroup_walk(cache->paths.root, &count);
	for (size_t i = 0; i < count; i++)
		add_cgroup(cache, cgroups[i].id, cgroups[i].path);
	free(cgroups);
	if (count)
		cache->walked = cache->report;
	return count;
}

static void add_gone(void *context, __u64 id, const char *path)
{
	add_cgroup(context, id, strdup(path));
}

/* Looks for the path of a live or removed cgroup.  False if it may be found later. */
static bool seek_cgroup(struct name_cache *cache, __u64 id)
{
	char *path = cgroup_path(&cache->paths, id);
	bool reads_tree = !path && errno != ENOENT, is_final = true;

	if (path) {
		add_cgroup(cache, id, path);
		return true;
	}
	tables_gone(cache->tables, add_gone, cache);
	if (reads_tree && !find(&cache->cgroups, id)) {
		is_final = walk(cache);
		tables_gone(cache->tables, add_gone, cache); /* removed meanwhile */
	}
	return is_final;
}

/* NULL if memory is short. */
static struct name *look_up_cgroup(struct name_cache *cache, __u64 id)
{
	struct name *name = find(&cache->cgroups, id);
	bool is_final = true;

	if (!name || !name->is_final) {
		is_final = seek_cgroup(cache, id);
		name = find_or_add(&cache->cgroups, id);
	}
	if (!name)
		return NULL;
	name->is_final = is_final;
	name->used = cache->report;
	return name;
}

static const char *find_cgroup(void *context, __u64 id)
{
	const struct name *name = look_up_cgroup(context, id);

	return name ? name->text : NULL;
}

/* Also with the unit and the container in its path. */
static const struct name *parse_cgroup(struct name_cache *cache, __u64 id)
{
	struct name *name = look_up_cgroup(cache, id);
	char text[UNIT_SIZE];

	if (!name || !name->text || name->is_parsed)
		return name;
	name->is_parsed = true;
	name->unit = unit_of(name->text, text) ? strdup(text) : NULL;
	name->container = container_of(name->text, text) ? strdup(text) : NULL;
	return name;
}

static const char *find_unit(void *context, __u64 cgroup)
{
	const struct name *name = parse_cgroup(context, cgroup);

	return name ? name->unit : NULL;
}

static const char *find_container(void *context, __u64 cgroup)
{
	const struct name *name = parse_cgroup(context, cgroup);

	return name ? name->container : NULL;
}

/* Commands */

bool pids_are_initial(void)
{
	struct stat status;

	if (stat("/proc/self/ns/pid", &status))
		return false;
	errno = 0;
	return status.st_ino == 0xEFFFFFFC; /* PROC_PID_INIT_INO, linux/proc_ns.h */
}

static const char *find_command(void *context, __u32 pid)
{
	struct name_cache *cache = context;
	char path[32], *text;
	ssize_t length;
	int file;

	if (!cache->pids_are_initial)
		return NULL;
	if (pid == cache->last_pid) /* another row of the same process */
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
	return (struct names){ find_user, find_cgroup, find_unit, find_container, find_command, cache };
}
