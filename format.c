// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "array.h"
#include "format.h"

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

static void put_csv(struct text *text, const char *bytes, size_t length)
{
	bool quoted = !length; /* an empty name, not an unknown one */

	for (size_t i = 0; i < length && !quoted; i++)
		quoted = bytes[i] == ',' || bytes[i] == '"' || bytes[i] == '\r' || bytes[i] == '\n';
	if (!quoted) {
		put(text, bytes, length);
		return;
	}
	put_char(text, '"');
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '"')
			put_char(text, '"');
		put_char(text, bytes[i]);
	}
	put_char(text, '"');
}

static void put_hex(struct text *text, const char *prefix, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	put_string(text, prefix);
	put_char(text, digits[byte >> 4]);
	put_char(text, digits[byte & 15]);
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static void put_tsv(struct text *text, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		switch (bytes[i]) {
		case '\t':
			put_string(text, "\\t");
			break;
		case '\n':
			put_string(text, "\\n");
			break;
		case '\r':
			put_string(text, "\\r");
			break;
		case '\\':
			put_string(text, "\\\\");
			break;
		default:
			if (is_control((unsigned char)bytes[i]))
				put_hex(text, "\\x", (unsigned char)bytes[i]);
			else
				put_char(text, bytes[i]);
		}
	}
}

/* Unicode, table 3-7: nothing overlong, no surrogates, nothing above U+10FFFF. */
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

static void put_json(struct text *text, const char *bytes, size_t length)
{
	const unsigned char *s = (const unsigned char *)bytes;

	put_char(text, '"');
	for (size_t i = 0; i < length;) {
		size_t character = utf8_length(s + i, length - i);

		if (!character) {
			put_string(text, "\xef\xbf\xbd");
			character = 1;
		} else if (s[i] == '"' || s[i] == '\\') {
			put_char(text, '\\');
			put_char(text, bytes[i]);
		} else if (s[i] < 0x20) {
			put_hex(text, "\\u00", s[i]);
		} else {
			put(text, bytes + i, character);
		}
		i += character;
	}
	put_char(text, '"');
}

static void put_text(struct text *text, enum format format, const char *bytes, size_t length)
{
	switch (format) {
	case CSV:
		put_csv(text, bytes, length);
		break;
	case TSV:
		put_tsv(text, bytes, length);
		break;
	case JSONL:
		put_json(text, bytes, length);
		break;
	}
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
		put_json(text, name, strlen(name));
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
