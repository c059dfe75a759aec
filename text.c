// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "array.h"
#include "text.h"

void text_put(struct text *text, const char *bytes, size_t length)
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

void text_put_char(struct text *text, char c)
{
	text_put(text, &c, 1);
}

void text_put_string(struct text *text, const char *string)
{
	text_put(text, string, strlen(string));
}

/* Without printf: it costs more than all the rest of a row. */
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

void text_free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){ 0 };
}
