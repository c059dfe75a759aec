// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "array.h"
#include "format.h"

/* U+FFFD */
#define REPLACEMENT "\xef\xbf\xbd"

static void put(struct text *text, const char *bytes, size_t length)
{
	if (text->no_memory)
		return;
	if (text->length + length > text->capacity) {
		char *larger = array_grow(text->bytes, text->length, length, &text->capacity, 1);

		if (!larger) {
			text->no_memory = true;
			return;
		}
		text->bytes = larger;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

static void put_char(struct text *text, char c)
{
	put(text, &c, 1);
}

static void put_string(struct text *text, const char *string)
{
	put(text, string, strlen(string));
}

/* Without printf: it costs more than all the rest of a row. */
static void put_number(struct text *text, __u64 number, int decimals)
{
	char digits[24], *p = digits + sizeof(digits);
	int written = 0;

	do {
		if (written++ == decimals && decimals)
			*--p = '.';
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number || written <= decimals);
	put(text, p, (size_t)(digits + sizeof(digits) - p));
}

static void put_hex(struct text *text, const char *prefix, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	put_string(text, prefix);
	put_char(text, digits[byte >> 4]);
	put_char(text, digits[byte & 15]);
}

size_t utf8_length(const unsigned char *s, size_t length)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t wanted;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	wanted = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (wanted > length)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < wanted; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return wanted;
}

bool utf8_is_control(const unsigned char *s)
{
	return *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0);
}

static void put_control(struct text *text, enum format format, const unsigned char *s, size_t length)
{
	static const char letters[] = "\t\n\r", names[] = "tnr";
	const char *letter = *s ? strchr(letters, *s) : NULL;

	switch (format) {
	case CSV:
		put_string(text, REPLACEMENT);
		break;
	case TSV:
		if (letter) {
			put_char(text, '\\');
			put_char(text, names[letter - letters]);
			break;
		}
		for (size_t i = 0; i < length; i++)
			put_hex(text, "\\x", s[i]);
		break;
	case JSONL:
		put_hex(text, "\\u00", s[length - 1]);
		break;
	}
}

static void put_quote_or_backslash(struct text *text, enum format format, char c)
{
	switch (format) {
	case CSV:
		if (c == '"')
			put_char(text, '"');
		break;
	case TSV:
		if (c == '\\')
			put_char(text, '\\');
		break;
	case JSONL:
		put_char(text, '\\');
		break;
	}
	put_char(text, c);
}

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* Appends the first character, or the first byte if it begins none.  Returns its length. */
static size_t put_character(struct text *text, enum format format, const unsigned char *s,
			    size_t left)
{
	size_t length = utf8_length(s, left);

	if (!length) {
		put_string(text, REPLACEMENT);
		return 1;
	}
	if (*s == '"' || *s == '\\')
		put_quote_or_backslash(text, format, (char)*s);
	else if (utf8_is_control(s))
		put_control(text, format, s, length);
	else
		put(text, (const char *)s, length);
	return length;
}

static bool is_quoted(enum format format, const char *bytes, size_t length)
{
	if (format == CSV) /* without a byte: an empty name, not an unknown one */
		return !length || memchr(bytes, ',', length) || memchr(bytes, '"', length);
	return format == JSONL;
}

static void put_text(struct text *text, enum format format, const char *bytes, size_t length)
{
	bool quoted = is_quoted(format, bytes, length);

	if (quoted)
		put_char(text, '"');
	for (size_t i = 0, plain; i < length;) {
		for (plain = i; plain < length && is_plain(bytes[plain]);)
			plain++;
		put(text, bytes + i, plain - i);
		i = plain;
		if (i < length)
			i += put_character(text, format, (const unsigned char *)bytes + i, length - i);
	}
	if (quoted)
		put_char(text, '"');
}

/* As RFC 3339 has it, in UTC: sorts as text. */
static void put_date(struct text *text, enum format format, __u64 milliseconds)
{
	time_t seconds = (time_t)(milliseconds / 1000);
	char date[64], fraction[8];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		memset(&tm, 0, sizeof(tm));
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(fraction, sizeof(fraction), ".%03uZ", (unsigned)(milliseconds % 1000));
	strcat(date, fraction);
	put_text(text, format, date, strlen(date));
}

/* IPv4 without inet_ntop(), which prints by printf. */
static size_t print_ip4(char *to, const unsigned char *bytes)
{
	char *p = to;

	for (int i = 0; i < 4; i++) {
		if (i)
			*p++ = '.';
		if (bytes[i] >= 100)
			*p++ = (char)('0' + bytes[i] / 100);
		if (bytes[i] >= 10)
			*p++ = (char)('0' + bytes[i] / 10 % 10);
		*p++ = (char)('0' + bytes[i] % 10);
	}
	return (size_t)(p - to);
}

static void put_address(struct text *text, enum format format, const struct value *value)
{
	char address[INET6_ADDRSTRLEN];
	size_t length;

	if (value->number == 4) {
		length = print_ip4(address, (const unsigned char *)value->text);
	} else {
		inet_ntop(AF_INET6, value->text, address, sizeof(address));
		length = strlen(address);
	}
	put_text(text, format, address, length);
}

static void put_value(struct text *text, enum format format, bool iso, const struct value *value)
{
	switch (value->type) {
	case UNKNOWN:
		if (format == JSONL)
			put_string(text, "null");
		break;
	case INTEGER:
	case DECIMAL:
		put_number(text, value->number, value->decimals);
		break;
	case TIME:
		if (iso)
			put_date(text, format, value->number);
		else
			put_number(text, value->number, 3);
		break;
	case TEXT:
		put_text(text, format, value->text, value->length);
		break;
	case ADDRESS:
		put_address(text, format, value);
		break;
	}
}

static void put_separator(struct text *text, enum format format, size_t column)
{
	if (column)
		put_char(text, format == TSV ? '\t' : ',');
}

void text_free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){ 0 };
}

void format_header(struct text *text, enum format format, const struct view *view)
{
	if (format == JSONL)
		return;
	for (size_t i = 0; i < view->columns_count; i++) {
		put_separator(text, format, i);
		put_string(text, view->columns[i]->name);
	}
	put_char(text, '\n');
}

/* The field in that column of a line. */
static void put_field(struct text *text, enum format format, bool iso, size_t column,
		      const char *name, const struct value *value)
{
	put_separator(text, format, column);
	if (format == JSONL) {
		put_text(text, format, name, strlen(name));
		put_char(text, ':');
	}
	put_value(text, format, iso, value);
}

void format_row(struct text *text, enum format format, const struct view *view,
		const struct row *row)
{
	if (format == JSONL)
		put_char(text, '{');
	for (size_t i = 0; i < view->columns_count; i++) {
		struct value value = column_get(view->columns[i], row);

		put_field(text, format, view->iso, i, view->columns[i]->name, &value);
	}
	put_string(text, format == JSONL ? "}\n" : "\n");
}

void format_fields(struct text *text, enum format format, bool header, bool iso,
		   const struct field fields[], size_t count)
{
	for (size_t i = 0; header && format != JSONL && i < count; i++) {
		put_separator(text, format, i);
		put_string(text, fields[i].name);
	}
	if (header && format != JSONL)
		put_char(text, '\n');
	if (format == JSONL)
		put_char(text, '{');
	for (size_t i = 0; i < count; i++)
		put_field(text, format, iso, i, fields[i].name, &fields[i].value);
	put_string(text, format == JSONL ? "}\n" : "\n");
}
