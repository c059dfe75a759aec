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
	char pin_command[768]; /* the command line, for whoever finds the pin */
	bool from, no_pin;   /* read the pin, or do not, whether there is one or not */
	const char *output;  /* the columns asked for; NULL: the default */
	const char *own;     /* an option given that only probes of one's own can follow */
	struct probes_options probes;
	struct view view;
	struct style style;
	__u64 interval;      /* nanoseconds; 0: one report at the end of the command */
	__u64 count;         /* reports; 0: no end */
	const char *to;      /* a file for the rows */
	bool append;         /* to what it has */
	bool quiet;
	char **command;      /* to run and report on, ends in NULL */
	__u32 pids[MAX_PIDS];
	struct patterns cgroups;
};

/* An option; without a name, the title of those that follow it in --help. */
struct known_option {
	const char *name;
	char letter;                  /* 0: none */
	const char *argument;         /* NULL: none; in brackets: it may be left out */
	unsigned modes;
	const char *help;
	void (*parse)(struct options *options, const char *text);
};

/* The only place that knows an option: the parser, --help and the shells' completion go by it. */
extern const struct known_option known_options[];
extern const size_t known_options_count;

/* The words that the option takes, ended by NULL; NULL if it takes other arguments or none. */
const char *const *option_words(const char *option);

/* Fills in the options, which keep pointers to themselves and to argv.  Opens what they
 * name: the cgroup root where it is needed, and a cgroup.  Exits with status 2 and a message where the command line is
 * wrong, with 0 after --help or --version. */
void options_parse(struct options *options, int argc, char **argv);

/* Has the reports leave out what the filters do, for probes that count more than they let pass. */
void options_filter_reports(struct options *options);

#endif
