/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is pinned, as one row in the formats of the reports.
 */
#ifndef STATUS_H
#define STATUS_H

#include "options.h"

/* Appends the row as the options have it.  Returns 0, or -1 with a message. */
int status_write(struct text *text, const struct options *options, const struct pin *pin);

#endif
