/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line, checked whole before anything is loaded.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "format.h"
#include "pin.h"
#include "probes.h"
#include "report.h"

enum { MAX_PIDS = 1024 };

/* What netmon is to do. */
enum mode { READ, PIN, UNPIN, STATUS, CHECK };

struct options {
	enum mode mode;
	struct pin_options pin;
	char pin_command[768]; /* the command line, which --status shows */
	bool from, no_pin;   /* --from, --no-pin: insist on a pin, or ignore it */
	const char *output;  /* the columns asked for; NULL: the default */
	const char *own;     /* an option that applies only to new probes; NULL: none */
	struct probes_options probes;
	struct view view;
	struct style style;
	__u64 interval;      /* nanoseconds; 0: one report at the end of the command */
	__u64 count;         /* reports; 0: no end */
	const char *to;      /* a file for the rows */
	bool append;         /* keep what the file has */
	bool quiet;
	char **command;      /* its arguments, ended by NULL; NULL: no command */
	__u32 pids[MAX_PIDS];
	struct patterns cgroups;
};

/* An option.  If it has no name, `help` is the title of the options that follow it in --help. */
struct known_option {
	const char *name;
	char letter;                  /* 0: none */
	const char *argument;         /* NULL: none; in brackets: it may be left out */
	unsigned modes;
	const char *help;
	void (*parse)(struct options *options, const char *text);
};

/* The only list of options: the parser, --help and the shells' completion are made from it. */
extern const struct known_option known_options[];
extern const size_t known_options_count;

/* The words that the option takes, ended by NULL; NULL if it takes other arguments or none. */
const char *const *option_words(const char *option);

/* Fills in the options, which keep pointers to themselves and to argv.  Opens the root of cgroup v2 if
 * it is needed, and the cgroup of --cgroup.  Exits with status 2 and a message if the command line is
 * wrong, with 0 after --help or --version. */
void options_parse(struct options *options, int argc, char **argv);

/* Makes the reports apply the filters too, for pinned probes that do not. */
void options_filter_reports(struct options *options);

#endif
