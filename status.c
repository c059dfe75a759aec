// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "status.h"

enum { SINCE = 2 }; /* its index among the fields */

static struct field text_field(const char *name, const char *text, size_t size)
{
	return (struct field){ name, { .type = TEXT, .text = text, .length = strnlen(text, size) } };
}

static struct field number_field(const char *name, __u64 number)
{
	return (struct field){ name, { .type = INTEGER, .number = number } };
}

int status_write(struct text *text, const struct options *options, const struct pin *pin)
{
	const struct about *about = pin_about(pin);
	__u32 max_entries = about->layout.parts == PART_PROCESS ? about->layout.max_processes : about->layout.max_entries;
	struct tables_use use;
	__u64 missed;
	bool knows_missed = pin_missed(pin, &missed);
	char keys[256];
	size_t count;

	if (tables_use(pin_tables(pin), &use))
		return -1;
	parts_columns(about->layout.parts, 0, keys, sizeof(keys));

	struct field fields[] = {
		text_field("dir", options->pin.dir, strlen(options->pin.dir)),
		text_field("version", about->version, sizeof(about->version)),
		{ "since", { .type = TIME, .number = about->since } },
		text_field("command", about->command, sizeof(about->command)),
		text_field("columns", keys, sizeof(keys)),
		text_field("attached", about->attached, sizeof(about->attached)),
		number_field("processes", use.processes),
		number_field("max_processes", about->layout.parts & PART_PROCESS ? about->layout.max_processes : 0),
		number_field("entries", use.entries),
		number_field("max_entries", about->layout.parts ? max_entries : 1),
		number_field("rx_bytes", use.all.rx_bytes),
		number_field("tx_bytes", use.all.tx_bytes),
		number_field("rx_calls", use.all.rx_calls),
		number_field("tx_calls", use.all.tx_calls),
		{ "missed_calls", { .type = knows_missed ? INTEGER : UNKNOWN, .number = missed } },
	};

	count = sizeof(fields) / sizeof(*fields);

	if (options->style.time == NO_TIME)
		memmove(fields + SINCE, fields + SINCE + 1, (--count - SINCE) * sizeof(*fields));
	format_fields(text, &options->style, fields, count);
	return 0;
}
