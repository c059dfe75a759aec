/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The format for people: each report is a block, aligned to its content.
 *
 *   2026-11-28 16:10:13
 *    pid  comm    rx_rate  tx_rate
 *   1204  curl       1.2M    12.3k
 *     97  chronyd      76       76
 *
 * Time and dt, which all rows share, are in the first line.  Text is aligned left, numbers right;
 * measures have units.  Pure.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include "format.h"

/* Appends the report, and before it an empty line unless it is the first. */
void block_put(struct text *text, const struct style *style, const struct view *view,
	       const struct report *report);

/* Appends the fields, one a line, after their names. */
void block_put_fields(struct text *text, const struct style *style, const struct field fields[],
		      size_t count);

#endif
