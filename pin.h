/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes that stay: the directory in the BPF file system that keeps the programs, their
 * links and the maps in the kernel when the netmon that loaded them has ended, and through
 * which others find them.  Names there say what a file is: map_*, prog_*, link_*.
 *
 * map_about says whose they are.  It begins the same in all versions; a pin whose maps
 * are laid out in another way is told by its build.
 *
 * A pin is made beside its place, in DIR-new, and takes the place when it is whole.
 */
#ifndef PIN_H
#define PIN_H

#include <stdbool.h>
#include <stddef.h>
#include "netmon.h"

#define PIN_DIR "/sys/fs/bpf/netmon"

/* Hooks that the probes lack, a bit for each: what they would see is not counted. */
struct holes {
	__u32 refused;           /* by the kernel */
	__u32 skipped;           /* attached, but the kernel may skip them */
};

struct about {
	char program[8];         /* "netmon" */
	char version[24];
	__u64 build;             /* of the probes */
	__u64 since;             /* milliseconds since the epoch */
	/* from here on as that build has it; altogether a page of memory at the most */
	__u32 parts;             /* of the key: enum part */
	__u32 max_processes, max_entries;
	__u32 shares;            /* of a slot */
	char programs[1024];     /* their names, and how each hook is attached, with spaces between */
	char attached[1024];
	struct holes holes;
	char command[768];       /* the command line that pinned them, cut where it is longer */
};

/* What is to be pinned: a descriptor and the name of its file. */
struct pin_object {
	char name[64];
	int fd;
	unsigned mode;           /* of its file where a group may read; 0: not for it */
};

struct pin_options {
	const char *dir;
	const char *group;       /* whose members may read; NULL: none */
	__u32 gid;
	bool replace;            /* what is pinned there */
	bool verbose;            /* say on standard error what is done */
};

/* Whether anything is there. */
bool pin_exists(const char *dir);

/* Whether probes can be pinned there, as far as can be told without trying.  Returns 0,
 * or -1 with a message. */
int pin_check(const struct pin_options *options);

/* Pins the objects.  Returns 0, or -1 with a message, and nothing new is pinned, or 1 with a message
 * where it is but the pin that it replaces cannot be removed. */
int pin_make(const struct pin_options *options, const struct pin_object *objects, size_t count);

/* Removes what is pinned there, whole or not, by whatever netmon: its probes end unless
 * somebody else holds them.  Where nothing is there that is said with `verbose`.  Returns
 * 0, or -1 with a message. */
int pin_remove(const char *dir, bool verbose);

/* Opens a pinned object, a map so that it can be mapped into memory: for reading alone the kernel
 * does not allow that; the map is frozen instead.  Returns a descriptor, or -1 with errno. */
int pin_open(const char *dir, const char *name);

/* Says that it failed so, with what to do where that is known, in the words "cannot `verb` 'DIR'".
 * Returns -1. */
int pin_cannot(const char *verb, const char *dir, int error);

/* Maps what is said of the pin of such a build into memory.  NULL with a message where it is
 * another one's, or can't be read; pin_about_free() when done. */
const struct about *pin_about(const char *dir, __u64 build);

/* Takes NULL too. */
void pin_about_free(const struct about *about);

#endif
