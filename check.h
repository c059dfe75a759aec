/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netmon --check: what this kernel lets be counted, as lines of text for people and bug reports.
 */
#ifndef CHECK_H
#define CHECK_H

#include "options.h"

/* How much can be counted. */
enum found { EVERYTHING, A_PART, NOTHING };

/* Appends what netmon runs on, as far as it explains what can be counted. */
void check_system(struct text *text, const struct options *options);

/* Appends what is pinned (NULL: nothing that can be read) and what was said while it was opened. */
void check_pin(struct text *text, const struct options *options, const struct pin *pin,
	       const struct text *said);

/* Appends how probes were opened for the layer of the options (NULL: they could not be), and what was
 * said meanwhile.  Returns how much they count. */
enum found check_layer(struct text *text, const struct options *options, const struct probes *probes,
		       const struct text *said);

#endif
