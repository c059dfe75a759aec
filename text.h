/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text that grows, and its characters.  Pure.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/* U+FFFD */
#define REPLACEMENT "\xef\xbf\xbd"

/* Begins as { 0 }; text_free() when done. */
struct text {
	char *bytes;
	size_t length;
	size_t capacity;
	bool no_memory;      /* the text is incomplete and must not be used */
};

void text_free(struct text *text);

void text_put(struct text *text, const char *bytes, size_t length);
void text_put_char(struct text *text, char c);
void text_put_string(struct text *text, const char *string);

/* Appends a name with U+FFFD for each control character, and each byte that is part of no character. */
void text_put_clean(struct text *text, const char *bytes, size_t length);

/* Appends number / 10^decimals with as many digits after the point. */
void text_put_number(struct text *text, __u64 number, int decimals);

/* Appends the number for people: in full below 1000 (binary: 1024), else with a prefix, and one digit
 * after the point below 100: 999, 1.0k, 12.3M, 123G; binary 1.0Ki. */
void text_put_scaled(struct text *text, __u64 number, bool binary);

/* The length of the well-formed UTF-8 character at `s`; 0 if there is none (Unicode, table
 * 3-7: nothing overlong, no surrogates, nothing above U+10FFFF). */
size_t utf8_length(const unsigned char *s, size_t length);

/* Whether the well-formed character is a control character: C0, DEL or C1. */
bool utf8_is_control(const unsigned char *s);

/* How many columns of a terminal the well-formed character takes: 0, 1 or 2. */
size_t utf8_width(const unsigned char *s, size_t length);

/* Whether the well-formed character changes the direction or the line of the text around it. */
bool utf8_is_format(const unsigned char *s, size_t length);

#endif
