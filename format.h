/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rows to text.  One walk over the columns serves all formats:
 *
 *   csv    RFC 4180, but lines end in LF: a field with a comma or a quote is quoted; a control
 *          character becomes U+FFFD
 *   tsv    IANA text/tab-separated-values; tab, newline, carriage return and backslash as
 *          \t \n \r \\, each byte of another control character as \xHH
 *   jsonl  one object a line (RFC 8259); a control character as \u00HH
 *
 * All of them are valid UTF-8: each byte of a name that is part of no character becomes U+FFFD.  And
 * none has a control character (C0, DEL, C1) of a name: it could end a row or write to a terminal.
 * An unknown value is an empty field, null in jsonl.  Pure: no input or output, no global state.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include "report.h"

enum format { CSV, TSV, JSONL };

/* Text that grows.  Begins as { 0 }; text_free() when done. */
struct text {
	char *bytes;
	size_t length;
	size_t capacity;
	bool no_memory;      /* something is missing: it must not be used */
};

void text_free(struct text *text);

/* Appends the line of column names; for jsonl nothing. */
void format_header(struct text *text, enum format format, const struct view *view);

/* Appends the row as one line. */
void format_row(struct text *text, enum format format, const struct view *view,
		const struct row *row);

/* The length of the well-formed UTF-8 character that begins there; 0 where none does. */
size_t utf8_length(const unsigned char *s, size_t length);

/* Whether the well-formed character is a control character: C0, DEL or C1. */
bool utf8_is_control(const unsigned char *s);

/* A value of something that is no row. */
struct field {
	const char *name;
	struct value value;
};

/* Appends the names of the fields as the header, where that is asked for, and their values as
 * one line; times as dates where `iso` is set. */
void format_fields(struct text *text, enum format format, bool header, bool iso,
		   const struct field fields[], size_t count);

#endif
