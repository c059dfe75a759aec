/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The format for Prometheus (its text format 0.0.4): for each measure a metric, for each row a series,
 * whose labels are the key columns.
 *
 *   # HELP netmon_receive_bytes_total bytes received since netmon, or the pin, began to count
 *   # TYPE netmon_receive_bytes_total counter
 *   netmon_receive_bytes_total{comm="curl"} 1234567
 *
 * Pure.
 */
#ifndef PROM_H
#define PROM_H

#include "format.h"

/* Appends the report.  No two rows may have the same labels: see `series` in struct view. */
void prom_put(struct text *text, const struct style *style, const struct view *view,
	      const struct report *report);

#endif
