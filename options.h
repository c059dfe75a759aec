/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line, checked whole before anything is loaded.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "format.h"
#include "probes.h"
#include "report.h"

struct options {
	struct probes_options probes;
	struct view view;
	enum format format;
	bool header;
	__u64 interval;      /* nanoseconds */
	__u64 count;         /* reports; 0: no end */
};

/* Fills in the options.  Exits with status 2 and a message where the command line is
 * wrong, with 0 after --help or --version. */
void options_parse(struct options *options, int argc, char **argv);

#endif
