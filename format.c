// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "block.h"
#include "format.h"
#include "prom.h"

static void put_hex(struct text *text, const char *prefix, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	text_put_string(text, prefix);
	text_put_char(text, digits[byte >> 4]);
	text_put_char(text, digits[byte & 15]);
}

static void put_control(struct text *text, enum format format, const unsigned char *s, size_t length)
{
	static const char letters[] = "\t\n\r", names[] = "tnr";
	const char *letter = *s ? strchr(letters, *s) : NULL;

	switch (format) {
	case CSV:
	case TABLE:
	case PROM:
		text_put_string(text, REPLACEMENT);
		break;
	case TSV:
		if (letter) {
			text_put_char(text, '\\');
			text_put_char(text, names[letter - letters]);
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
			text_put_char(text, '"');
		break;
	case TSV:
		if (c == '\\')
			text_put_char(text, '\\');
		break;
	case JSONL:
	case PROM:
		text_put_char(text, '\\');
		break;
	case TABLE:
		break;
	}
	text_put_char(text, c);
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
		text_put_string(text, REPLACEMENT);
		return 1;
	}
	if (*s == '"' || *s == '\\')
		put_quote_or_backslash(text, format, (char)*s);
	else if (utf8_is_control(s) || (format == TABLE && utf8_is_format(s, length)))
		put_control(text, format, s, length);
	else
		text_put(text, (const char *)s, length);
	return length;
}

static bool is_quoted(enum format format, const char *bytes, size_t length)
{
	if (format == CSV) /* an empty name, as distinct from an unknown one */
		return !length || memchr(bytes, ',', length) || memchr(bytes, '"', length);
	return format == JSONL || format == PROM;
}

static void put_text(struct text *text, enum format format, const char *bytes, size_t length)
{
	bool quoted = is_quoted(format, bytes, length);

	if (quoted)
		text_put_char(text, '"');
	for (size_t i = 0, end; i < length;) {
		for (end = i; end < length && is_plain(bytes[end]);)
			end++;
		text_put(text, bytes + i, end - i);
		i = end;
		if (i < length)
			i += put_character(text, format, (const unsigned char *)bytes + i, length - i);
	}
	if (quoted)
		text_put_char(text, '"');
}

/* As in RFC 3339: in UTC, such text sorts by time. */
static void put_date(struct text *text, __u64 milliseconds, bool local)
{
	time_t seconds = (time_t)(milliseconds / 1000);
	char date[32], zone[8] = "Z";
	struct tm tm = { 0 };

	if (local) {
		localtime_r(&seconds, &tm);
		strftime(zone, sizeof(zone), "%z", &tm); /* +hhmm */
		memmove(zone + 4, zone + 3, 3);
		zone[3] = ':';
	} else {
		gmtime_r(&seconds, &tm);
	}
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S.", &tm);
	text_put_string(text, date);
	for (unsigned unit = 100; unit; unit /= 10)
		text_put_char(text, (char)('0' + milliseconds % 1000 / unit % 10));
	text_put_string(text, zone);
}

/* In a table: without the zone. */
static void put_local(struct text *text, __u64 milliseconds)
{
	time_t seconds = (time_t)(milliseconds / 1000);
	char date[32];
	struct tm tm = { 0 };

	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	text_put_string(text, date);
}

static void put_time(struct text *text, const struct style *style, __u64 milliseconds)
{
	bool quoted = style->format == JSONL;

	if (style->time == EPOCH) {
		text_put_number(text, milliseconds, 3);
		return;
	}
	if (style->format == TABLE && style->time == LOCAL) {
		put_local(text, milliseconds);
		return;
	}
	if (quoted)
		text_put_char(text, '"');
	put_date(text, milliseconds, style->time == LOCAL);
	if (quoted)
		text_put_char(text, '"');
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

void format_value(struct text *text, const struct style *style, const struct value *value)
{
	switch (value->type) {
	case UNKNOWN:
		if (style->format == JSONL)
			text_put_string(text, "null");
		else if (style->format == TABLE)
			text_put_char(text, '-');
		break;
	case INTEGER:
	case DECIMAL:
		text_put_number(text, value->number, value->decimals);
		break;
	case TIME:
		put_time(text, style, value->number);
		break;
	case TEXT:
		put_text(text, style->format, value->text, value->length);
		break;
	case ADDRESS:
		put_address(text, style->format, value);
		break;
	}
}

static void put_separator(struct text *text, enum format format, size_t column)
{
	if (column)
		text_put_char(text, format == TSV ? '\t' : ',');
}

void format_header(struct text *text, const struct style *style, const struct view *view)
{
	if (style->format != CSV && style->format != TSV)
		return;
	for (size_t i = 0; i < view->columns_count; i++) {
		put_separator(text, style->format, i);
		text_put_string(text, view->columns[i]->name);
	}
	text_put_char(text, '\n');
}

/* Appends the field of that column. */
static void put_field(struct text *text, const struct style *style, size_t column, const char *name,
		      const struct value *value)
{
	put_separator(text, style->format, column);
	if (style->format == JSONL) {
		put_text(text, JSONL, name, strlen(name));
		text_put_char(text, ':');
	}
	format_value(text, style, value);
}

static void put_row(struct text *text, const struct style *style, const struct view *view,
		    const struct row *row)
{
	if (style->format == JSONL)
		text_put_char(text, '{');
	for (size_t i = 0; i < view->columns_count; i++) {
		struct value value = column_get(view->columns[i], row);

		/* no line of csv is empty: readers would skip it */
		if (style->format == CSV && view->columns_count == 1 && value.type == UNKNOWN)
			text_put_string(text, "\"\"");
		else
			put_field(text, style, i, view->columns[i]->name, &value);
	}
	text_put_string(text, style->format == JSONL ? "}\n" : "\n");
}

void format_report(struct text *text, const struct style *style, const struct view *view,
		   const struct report *report)
{
	if (style->format == TABLE) {
		block_put(text, style, view, report);
		return;
	}
	if (style->format == PROM) {
		prom_put(text, style, view, report);
		return;
	}
	for (size_t i = 0; i < report_count(report); i++)
		put_row(text, style, view, report_row(report, i));
}

void format_fields(struct text *text, const struct style *style, const struct field fields[],
		   size_t count)
{
	bool header = style->header && style->format != JSONL;

	if (style->format == TABLE) {
		block_put_fields(text, style, fields, count);
		return;
	}
	for (size_t i = 0; header && i < count; i++) {
		put_separator(text, style->format, i);
		text_put_string(text, fields[i].name);
	}
	if (header)
		text_put_char(text, '\n');
	if (style->format == JSONL)
		text_put_char(text, '{');
	for (size_t i = 0; i < count; i++)
		put_field(text, style, i, fields[i].name, &fields[i].value);
	text_put_string(text, style->format == JSONL ? "}\n" : "\n");
}
