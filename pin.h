/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probes that stay: the directory in the BPF file system that keeps the programs, their
 * links and the maps in the kernel when the netmon that loaded them has ended, and through
 * which others find them.  Names there say what a file is: map_*, prog_*, link_*.
 *
 * map_about describes the pin.  It begins the same in all versions; `build` identifies the layout of
 * the maps.
 *
 * A pin is made beside its place, in DIR-new-NUMBER, and takes the place when it is whole.  The
 * maker holds a lock on it: what is there without a lock was left by one that was killed, and the
 * next maker removes it.
 *
 * A group reads the tables and nothing else.  No symbolic link is followed, and whatever is done
 * with a directory is done with its descriptor, whose file system and owner were looked at.
 */
#ifndef PIN_H
#define PIN_H

#include <stdbool.h>
#include <stddef.h>
#include "probes.h"

#define PIN_DIR "/sys/fs/bpf/netmon"

struct about {
	char program[8];         /* "netmon" */
	char version[24];
	__u64 build;             /* of the probes */
	__u64 since;             /* milliseconds since the epoch */
	/* from here on as that build has it; altogether at most a page of memory */
	struct layout layout;    /* of the tables */
	__u32 links, programs;   /* how many are pinned */
	char attached[1024];     /* how each hook is: HOOK=WAY, with spaces between */
	struct holes holes;
	char command[768];       /* the command line that pinned them, cut if it is longer */
};

struct pin_options {
	const char *dir;
	const char *group;       /* whose members may read; NULL: none */
	__u32 gid;
	bool replace;            /* what is pinned there */
	bool verbose;            /* say on standard error what is done */
};

/* Whether probes can be pinned there, as far as can be known without trying.  Returns 0,
 * or -1 with a message. */
int pin_check(const struct pin_options *options);

/* Pins the probes, which have just been opened; `command` is how it was asked for.  They go on
 * counting whether they are closed or not.  Returns 0, or -1 with a message, and nothing new is pinned,
 * or 1 with a message where it is but the pin that it replaces cannot be removed. */
int pin_make(const struct pin_options *options, struct probes *probes, const char *command);

/* Removes what is pinned there, whole or not, by whatever netmon: its probes end unless
 * somebody else holds them.  If nothing is pinned, `verbose` says so.  Returns
 * 0, or -1 with a message. */
int pin_remove(const char *dir, bool verbose);

struct pin;

/* The probes that are pinned there, for reading: nothing is loaded.  What is there is input: its owner,
 * sizes and strings are checked.  Returns NULL with a message; without one if nothing is there and
 * the user does not insist on a pin. */
struct pin *pin_open(const char *dir, bool insists);

/* Takes NULL too. */
void pin_close(struct pin *pin);

/* What there is to say of it besides its numbers. */
const struct about *pin_about(const struct pin *pin);

/* What its probes count into. */
struct tables *pin_tables(const struct pin *pin);

/* As probes_missed().  Returns false if that is not known, because only their owner may open the
 * programs. */
bool pin_missed(const struct pin *pin, __u64 *missed);

/* Whether it has been removed, or another one has its place. */
bool pin_gone(const struct pin *pin);

#endif
