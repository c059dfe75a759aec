/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rows to text.  One walk over the columns serves all formats:
 *
 *   csv    RFC 4180, but lines end in LF: a field with a comma or a quote is quoted; a control
 *          character becomes U+FFFD
 *   tsv    IANA text/tab-separated-values; tab, newline, carriage return and backslash as
 *          \t \n \r \\, each byte of another control character as \xHH
 *   jsonl  one object a line (RFC 8259); a control character as \u00HH
 *   table  for people: see block.h; a control character becomes U+FFFD, as do those that change
 *          the direction of text
 *   prom   for Prometheus: see prom.h; a control character becomes U+FFFD
 *
 * All of them are valid UTF-8: each byte of a name that is part of no character becomes U+FFFD.  None
 * passes on a control character of a name (C0, DEL, C1), which could end a row or control a terminal.
 * An unknown value is an empty field, null in jsonl, - in a table.  Pure: no input or output, no global state.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include "report.h"
#include "text.h"

enum format { CSV, TSV, JSONL, TABLE, PROM };

/* BY_FORMAT: local for a table, else seconds since the epoch. */
enum time_format { EPOCH, ISO, LOCAL, NO_TIME, BY_FORMAT };

/* The units of measures in a table; ANY_UNITS: the default. */
enum units { SI, IEC, NO_UNITS, ANY_UNITS };

/* How rows are written. */
struct style {
	enum format format;
	enum time_format time;
	bool header;
	enum units units;
	size_t width;        /* of the terminal, which a table fits; 0: there is none */
};

/* Appends the line of column names that begins csv and tsv; for other formats nothing. */
void format_header(struct text *text, const struct style *style, const struct view *view);

/* Appends the rows, one a line; for a table as a block, for Prometheus by metric. */
void format_report(struct text *text, const struct style *style, const struct view *view,
		   const struct report *report);

/* Appends the value as a field. */
void format_value(struct text *text, const struct style *style, const struct value *value);

/* A named value outside a row. */
struct field {
	const char *name;
	struct value value;
};

/* Appends the names of the fields as the header, if the style has one, and their values as one
 * line. */
void format_fields(struct text *text, const struct style *style, const struct field fields[],
		   size_t count);

#endif
