/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is pinned, as one row in the formats of the reports.
 */
#ifndef STATUS_H
#define STATUS_H

#include "format.h"
#include "probes.h"

/* Appends the row, with a header where that is asked for; times as dates where `iso` is set.  Returns 0, or -1
 * with a message. */
int status_write(struct text *text, enum format format, bool header, bool iso, const char *dir,
		 struct probes *probes);

#endif
