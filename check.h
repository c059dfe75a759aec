/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netmon --check: what can be counted on this kernel, as lines of text for people and bug reports.
 */
#ifndef CHECK_H
#define CHECK_H

#include "options.h"

/* How much can be counted. */
enum found { EVERYTHING, A_PART, NOTHING };

/* Appends the facts about this system that decide what can be counted. */
void check_system(struct text *text, const struct options *options);

/* Appends what is pinned (NULL: nothing that can be read), and the messages of opening it. */
void check_pin(struct text *text, const struct options *options, const struct pin *pin,
	       const struct text *said);

/* Appends how the probes for the layer of the options are attached (NULL: they could not be opened), and
 * the messages of opening them.  Returns how much they count. */
enum found check_layer(struct text *text, const struct options *options, const struct probes *probes,
		       const struct text *said);

#endif
