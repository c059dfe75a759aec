/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The names of users and groups: passwd(5), and the name service behind getpwuid(3), which may be
 * slow.
 */
#ifndef USERS_H
#define USERS_H

#include <stdbool.h>
#include <linux/types.h>

/* The id of the user of that name, or number.  False if there is none. */
bool user_find(const char *text, __u32 *uid);

/* The id of the group of that name, or number.  False if there is none. */
bool group_find(const char *text, __u32 *gid);

/* Calls `found` for each user of /etc/passwd. */
void users_of_file(void (*found)(void *context, __u32 uid, const char *name), void *context);

/* Asks the name service, in a thread of its own, one user at a time. */
struct resolver;

enum resolved { WAITING, NAMED, NAMELESS };

/* NULL if memory is short. */
struct resolver *resolver_new(void);

/* Takes NULL too.  Does not wait for a lookup under way: its thread frees the resolver. */
void resolver_free(struct resolver *resolver);

/* Whether it has nothing to do. */
bool resolver_is_idle(struct resolver *resolver);

/* Asks for the name of a user; only while it is idle.  False if it cannot. */
bool resolver_ask(struct resolver *resolver, __u32 uid);

/* The answer to the last question; waits for it until `deadline` at most (monotonic clock,
 * nanoseconds).  Then the resolver is idle again.  The caller frees the name. */
enum resolved resolver_answer(struct resolver *resolver, __u64 deadline, __u32 *uid, char **name);

#endif
