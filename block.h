/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The format for people: each report a block that is aligned to what is in it.
 *
 *   2026-11-28 16:10:13
 *    pid  comm    rx_rate  tx_rate
 *   1204  curl       1.2M    12.3k
 *     97  chronyd      76       76
 *
 * What is the same in all rows stands in the first line.  Text is on the left, numbers are on the
 * right, measures with units.  Pure.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include "format.h"

/* Appends the report, and before it an empty line unless it is the first. */
void block_put(struct text *text, const struct style *style, const struct view *view,
	       const struct report *report);

/* Appends the fields, one a line, behind their names. */
void block_put_fields(struct text *text, const struct style *style, const struct field fields[],
		      size_t count);

#endif
