// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "array.h"
#include "text.h"

void text_put(struct text *text, const char *bytes, size_t length)
{
	if (text->no_memory || !length)
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

void text_put_char(struct text *text, char c)
{
	text_put(text, &c, 1);
}

void text_put_string(struct text *text, const char *string)
{
	text_put(text, string, strlen(string));
}

/* Without printf, which costs more than all the rest of a row. */
void text_put_number(struct text *text, __u64 number, int decimals)
{
	char digits[24], *p = digits + sizeof(digits);
	int written = 0;

	do {
		if (written++ == decimals && decimals)
			*--p = '.';
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number || written <= decimals);
	text_put(text, p, (size_t)(digits + sizeof(digits) - p));
}

void text_put_scaled(struct text *text, __u64 number, bool binary)
{
	const __u64 unit = binary ? 1024 : 1000;
	const char *prefix = binary ? "KMGTPE" : "kMGTPE";
	__u64 scale = unit, whole, tenths;

	if (number < unit) {
		text_put_number(text, number, 0);
		return;
	}
	for (; number / scale >= unit; scale *= unit)
		prefix++;
	whole = number / scale + (number % scale >= scale / 2);
	tenths = number / scale * 10 + (number % scale * 10 + scale / 2) / scale;
	if (tenths < 1000) {
		text_put_number(text, tenths, 1);
	} else if (whole < unit) {
		text_put_number(text, whole, 0);
	} else { /* 999.5k */
		text_put_string(text, "1.0");
		prefix++;
	}
	text_put_char(text, *prefix);
	if (binary)
		text_put_char(text, 'i');
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

void text_put_clean(struct text *text, const char *bytes, size_t length)
{
	const unsigned char *s = (const unsigned char *)bytes;

	for (size_t i = 0, character; i < length; i += character ? character : 1) {
		character = utf8_length(s + i, length - i);
		if (character && !utf8_is_control(s + i))
			text_put(text, bytes + i, character);
		else
			text_put_string(text, REPLACEMENT);
	}
}

/* Of a well-formed character. */
static __u32 code_point(const unsigned char *s, size_t length)
{
	static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	__u32 point = s[0] & masks[length];

	for (size_t i = 1; i < length; i++)
		point = point << 6 | (s[i] & 0x3f);
	return point;
}

struct range {
	__u32 first, last;
};

static bool is_in(const struct range *ranges, size_t count, __u32 point)
{
	for (size_t i = 0; i < count; i++)
		if (point >= ranges[i].first && point <= ranges[i].last)
			return true;
	return false;
}

size_t utf8_width(const unsigned char *s, size_t length)
{
	/* combining marks and joiners, and the blocks of East Asian width W and F (Unicode, annex 11) */
	static const struct range none[] = { { 0x300, 0x36f }, { 0x200b, 0x200d }, { 0xfe00, 0xfe0f },
					     { 0xfeff, 0xfeff } };
	static const struct range two[] = { { 0x1100, 0x115f }, { 0x2e80, 0xa4cf }, { 0xac00, 0xd7a3 },
					    { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f }, { 0xff00, 0xff60 },
					    { 0xffe0, 0xffe6 }, { 0x1f300, 0x1faff },
					    { 0x20000, 0x3fffd } };
	__u32 point = code_point(s, length);

	if (is_in(none, sizeof(none) / sizeof(*none), point))
		return 0;
	return is_in(two, sizeof(two) / sizeof(*two), point) ? 2 : 1;
}

bool utf8_is_format(const unsigned char *s, size_t length)
{
	static const struct range ranges[] = { { 0x61c, 0x61c }, { 0x200e, 0x200f },
					       { 0x2028, 0x202e }, { 0x2066, 0x2069 } };

	return is_in(ranges, sizeof(ranges) / sizeof(*ranges), code_point(s, length));
}

void text_free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){ 0 };
}
