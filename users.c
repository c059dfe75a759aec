// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "users.h"

enum { SECOND = 1000000000 }; /* nanoseconds */

#ifdef NETMON_STATIC
/* A static binary reads the files: getpwnam() and its like load libraries, which might be missing, or of
 * another version than the one it was built with. */

static const struct passwd *find_passwd(const char *name, __u32 uid)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *user = NULL;

	while (file && (user = fgetpwent(file)))
		if (name ? !strcmp(user->pw_name, name) : user->pw_uid == uid)
			break;
	if (file)
		fclose(file);
	errno = 0;
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
/* The user of that name or, if it is NULL, of that id; NULL if there is none. */
static const struct passwd *find_passwd(const char *name, __u32 uid)
{
	errno = 0;
	return name ? getpwnam(name) : getpwuid(uid);
}

static const struct group *find_group(const char *name)
{
	return getgrnam(name);
}
#endif

/* Parses an id that is given as a number; (__u32)-1 is not an id. */
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

void users_of_file(void (*found)(void *context, __u32 uid, const char *name), void *context)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *user;

	if (!file)
		return;
	while ((user = fgetpwent(file)))
		if (*user->pw_name != '+' && *user->pw_name != '-') /* skips lines for NIS */
			found(context, user->pw_uid, user->pw_name);
	fclose(file);
}

/* The resolver */

struct resolver {
	pthread_mutex_t lock;
	pthread_cond_t asked, answered;
	pthread_t thread;
	bool runs, ends, is_left;
	enum { IDLE, ASKED, ANSWERED } state;
	__u32 uid;
	char *name;
	enum resolved answer;
};

/* WAITING if there was an error. */
static enum resolved look_up(__u32 uid, char **name)
{
	const struct passwd *user = find_passwd(NULL, uid);

	*name = user ? strdup(user->pw_name) : NULL;
	if (*name)
		return NAMED;
	return !user && (!errno || errno == ENOENT || errno == ESRCH) ? NAMELESS : WAITING;
}

static void destroy(struct resolver *resolver)
{
	pthread_cond_destroy(&resolver->asked);
	pthread_cond_destroy(&resolver->answered);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver->name);
	free(resolver);
}

static void *serve(void *context)
{
	struct resolver *resolver = context;

	pthread_mutex_lock(&resolver->lock);
	while (!resolver->ends) {
		enum resolved answer;
		char *name;
		__u32 uid;

		if (resolver->state != ASKED) {
			pthread_cond_wait(&resolver->asked, &resolver->lock);
			continue;
		}
		uid = resolver->uid;
		pthread_mutex_unlock(&resolver->lock);
		answer = look_up(uid, &name);
		pthread_mutex_lock(&resolver->lock);
		resolver->answer = answer;
		resolver->name = name;
		resolver->state = ANSWERED;
		pthread_cond_signal(&resolver->answered);
	}
	pthread_mutex_unlock(&resolver->lock);
	if (resolver->is_left)
		destroy(resolver);
	return NULL;
}

struct resolver *resolver_new(void)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	pthread_condattr_t attributes;

	if (!resolver)
		return NULL;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&resolver->lock, NULL);
	pthread_cond_init(&resolver->asked, NULL);
	pthread_cond_init(&resolver->answered, &attributes);
	pthread_condattr_destroy(&attributes);
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	pthread_t thread;
	bool is_left;

	if (!resolver)
		return;
	thread = resolver->thread;
	if (!resolver->runs) {
		destroy(resolver);
		return;
	}
	pthread_mutex_lock(&resolver->lock);
	is_left = resolver->state == ASKED;
	resolver->is_left = is_left;
	resolver->ends = true;
	pthread_cond_signal(&resolver->asked);
	pthread_mutex_unlock(&resolver->lock);
	if (is_left) { /* the lookup might take for ever */
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	destroy(resolver);
}

bool resolver_is_idle(struct resolver *resolver)
{
	bool idle;

	pthread_mutex_lock(&resolver->lock);
	idle = resolver->state == IDLE;
	pthread_mutex_unlock(&resolver->lock);
	return idle;
}

/* Signals are for the main thread. */
static bool start(struct resolver *resolver)
{
	sigset_t all, before;

	if (resolver->runs)
		return true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	resolver->runs = !pthread_create(&resolver->thread, NULL, serve, resolver);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return resolver->runs;
}

bool resolver_ask(struct resolver *resolver, __u32 uid)
{
	if (!start(resolver))
		return false;
	pthread_mutex_lock(&resolver->lock);
	resolver->uid = uid;
	resolver->state = ASKED;
	pthread_cond_signal(&resolver->asked);
	pthread_mutex_unlock(&resolver->lock);
	return true;
}

enum resolved resolver_answer(struct resolver *resolver, __u64 deadline, __u32 *uid, char **name)
{
	const struct timespec until = { .tv_sec = (time_t)(deadline / SECOND),
					.tv_nsec = (long)(deadline % SECOND) };
	enum resolved answer = WAITING;
	int late = 0;

	pthread_mutex_lock(&resolver->lock);
	while (resolver->state == ASKED && !late)
		late = pthread_cond_timedwait(&resolver->answered, &resolver->lock, &until);
	if (resolver->state == ANSWERED) {
		answer = resolver->answer;
		*uid = resolver->uid;
		*name = resolver->name;
		resolver->name = NULL;
		resolver->state = IDLE;
	}
	pthread_mutex_unlock(&resolver->lock);
	return answer;
}
