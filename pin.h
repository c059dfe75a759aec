/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pins: a directory in the BPF file system that keeps programs, their links and maps in the kernel
 * after the netmon that loaded them has ended, and through which readers find them.  Its files are
 * named map_*, prog_* and link_*.
 *
 * map_about describes the pin.  Its beginning is the same in all versions; `build` identifies the layout
 * of the maps.
 *
 * A pin is made beside its place, in DIR-new-NUMBER, and takes the place when it is whole.  The
 * maker holds a lock on it: a DIR-new-NUMBER without a lock was left by a maker that was killed, and
 * the next maker removes it.
 *
 * A group reads the tables and nothing else.  No symbolic link is followed; a directory is used only by
 * its descriptor, once its file system and owner have been checked.
 */
#ifndef PIN_H
#define PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "probes.h"

#define PIN_DIR "/sys/fs/bpf/netmon"

struct about {
	char program[8];         /* "netmon" */
	char version[24];
	__u64 build;             /* of the probes */
	__u64 since;             /* milliseconds since the epoch */
	/* the rest is valid only for the same build; at most a page in all */
	struct layout layout;    /* of the tables */
	__u32 links, programs;   /* how many are pinned */
	char attached[1024];     /* how each hook is attached: HOOK=WAY, with spaces between */
	struct holes holes;
	char command[768];       /* the command line that pinned them, cut if it is longer */
};

enum { NEW_LENGTH = 13 };        /* of "-new-" and a number of eight digits */

/* Whether the name is one of those under which pins are made. */
static inline bool pin_is_new(const char *name)
{
	size_t length = strlen(name);
	const char *end = length > NEW_LENGTH ? name + length - NEW_LENGTH : "";

	return !strncmp(end, "-new-", 5) && strspn(end + 5, "0123456789abcdef") == NEW_LENGTH - 5;
}

struct pin_options {
	const char *dir;
	const char *group;       /* whose members may read; NULL: none */
	__u32 gid;
	bool replace;            /* replace what is pinned there */
	bool verbose;            /* report each file on standard error */
};

/* Whether probes can be pinned there, as far as can be known without trying.  Returns 0,
 * or -1 with a message. */
int pin_check(const struct pin_options *options);

/* Pins the probes, which have just been opened; `command` is the command line.  They go on counting
 * whether they are closed or not.  Returns 0; -1 with a message if nothing new is pinned; 1 with a
 * message if the new pin is there but the one that it replaces cannot be removed. */
int pin_make(const struct pin_options *options, struct probes *probes, const char *command);

/* Removes what is pinned there, whole or not, by any build of netmon; its probes end unless another
 * process has them open.  If nothing is pinned, says so only if `verbose` is set.  Returns 0, or -1
 * with a message. */
int pin_remove(const char *dir, bool verbose);

/* The end of a message about a pin that cannot be used: the advice or, if the user does not insist on a
 * pin and may load probes, that netmon does so instead. */
const char *pin_advice(bool insists, const char *advice);

struct pin;

/* Opens the probes that are pinned there for reading; loads nothing.  A pin is input: its owner, sizes
 * and strings are checked.  On failure returns NULL with a message; without a message if nothing is
 * pinned and the user does not insist on a pin. */
struct pin *pin_open(const char *dir, bool insists);

/* Takes NULL too. */
void pin_close(struct pin *pin);

/* The description of the pin: map_about. */
const struct about *pin_about(const struct pin *pin);

/* The tables that its probes fill. */
struct tables *pin_tables(const struct pin *pin);

/* Stores what probes_missed() returns for own probes.  Returns false if it is not known, because only
 * the owner of the pin may open the programs. */
bool pin_missed(const struct pin *pin, __u64 *missed);

/* Whether it has been removed, or another one has its place. */
bool pin_gone(const struct pin *pin);

#endif
