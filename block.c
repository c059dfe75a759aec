// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "array.h"
#include "block.h"

enum {
	GAP = 2,          /* between two columns */
	NARROWEST = 8,    /* text is not cut to less */
	WIDEST = 100,     /* without a terminal, longer text does not widen its column */
};

/* An ellipsis, one column wide. */
#define CUT "\xe2\x80\xa6"

struct cell {
	size_t end;       /* of its text, which begins at the end of the cell before */
	size_t width;     /* columns of a terminal */
};

/* The cells of the column names, then those of the rows. */
struct block {
	const struct column *columns[MAX_COLUMNS];
	size_t columns_count;
	size_t widths[MAX_COLUMNS];
	struct text text;
	struct cell *cells;
	size_t cells_count, cells_capacity;
	bool no_memory;
};

static bool is_text(const struct column *column)
{
	return column->type == TEXT || column->type == ADDRESS;
}

/* The length of the first character, in bytes; netmon's own text is well-formed. */
static size_t character_at(const char *bytes, size_t length)
{
	return utf8_length((const unsigned char *)bytes, length);
}

static size_t width_of(const char *bytes, size_t length)
{
	size_t width = 0;

	for (size_t i = 0, character; i < length; i += character) {
		character = character_at(bytes + i, length - i);
		width += character == 1 ? 1 : utf8_width((const unsigned char *)bytes + i, character);
	}
	return width;
}

/* Makes a cell of the text that was put last. */
static void end_cell(struct block *block, size_t column)
{
	size_t start = block->cells_count ? block->cells[block->cells_count - 1].end : 0;
	struct cell *cells = array_grow(block->cells, block->cells_count, 1, &block->cells_capacity,
					sizeof(*cells));
	struct cell cell = { .end = block->text.length };

	if (!cells || block->text.no_memory) {
		block->no_memory = true;
		return;
	}
	cell.width = width_of(block->text.bytes + start, cell.end - start);
	block->cells = cells;
	cells[block->cells_count++] = cell;
	if (cell.width > block->widths[column])
		block->widths[column] = cell.width;
}

static void add_names(struct block *block)
{
	for (size_t i = 0; i < block->columns_count && !block->no_memory; i++) {
		text_put_string(&block->text, block->columns[i]->name);
		end_cell(block, i);
	}
}

static void add_row(struct block *block, const struct style *style, const struct row *row)
{
	for (size_t i = 0; i < block->columns_count && !block->no_memory; i++) {
		struct value value = column_get(block->columns[i], row);

		if (block->columns[i]->kind == MEASURE && style->units != NO_UNITS)
			text_put_scaled(&block->text, value.number, style->units == IEC);
		else
			format_value(&block->text, style, &value);
		end_cell(block, i);
	}
}

/* Narrows the widest columns of that type until the lines fit the terminal. */
static void narrow(struct block *block, enum value_type type, size_t terminal)
{
	size_t width = 0;

	for (size_t i = 0; i < block->columns_count; i++)
		width += block->widths[i] + (i ? GAP : 0);
	for (; width > terminal; width--) {
		size_t *widest = NULL;

		for (size_t i = 0; i < block->columns_count; i++)
			if (block->columns[i]->type == type && (!widest || block->widths[i] > *widest))
				widest = &block->widths[i];
		if (!widest || *widest <= NARROWEST)
			return;
		--*widest;
	}
}

/* A name can be guessed from its beginning, an address cannot. */
static void fit(struct block *block, size_t terminal)
{
	narrow(block, TEXT, terminal);
	narrow(block, ADDRESS, terminal);
}

static void limit_widths(struct block *block)
{
	for (size_t i = 0; i < block->columns_count; i++)
		if (is_text(block->columns[i]) && block->widths[i] > WIDEST)
			block->widths[i] = WIDEST;
}

static void put_spaces(struct text *text, size_t count)
{
	static const char spaces[] = "                                                                ";

	for (size_t some; count; count -= some) {
		some = count < strlen(spaces) ? count : strlen(spaces);
		text_put(text, spaces, some);
	}
}

/* As much of the text as fits, with an ellipsis at its end. */
static void put_cut(struct text *text, const char *bytes, size_t length, size_t width)
{
	size_t end = 0, used = 0;

	while (end < length) {
		size_t character = character_at(bytes + end, length - end);
		size_t more = utf8_width((const unsigned char *)bytes + end, character);

		if (used + more > width - 1)
			break;
		used += more;
		end += character;
	}
	text_put(text, bytes, end);
	text_put_string(text, CUT);
	put_spaces(text, width - 1 - used);
}

static void put_cell(struct text *text, const struct block *block, size_t index, bool cuts)
{
	const struct cell *cell = &block->cells[index];
	size_t column = index % block->columns_count;
	size_t start = index ? cell[-1].end : 0, width = block->widths[column];
	size_t padding = width > cell->width ? width - cell->width : 0;
	bool last = column + 1 == block->columns_count, left = is_text(block->columns[column]);

	if (column)
		put_spaces(text, GAP);
	if (!left)
		put_spaces(text, padding);
	if (cuts && cell->width > width)
		put_cut(text, block->text.bytes + start, cell->end - start, width);
	else
		text_put(text, block->text.bytes + start, cell->end - start);
	if (left && !last)
		put_spaces(text, padding);
	if (last)
		text_put_char(text, '\n');
}

/* The first line: time and dt, which all rows share. */
static void put_head(struct text *text, const struct style *style, const struct view *view,
		     const struct row *row)
{
	bool any = false;

	for (size_t i = 0; i < view->columns_count; i++) {
		const struct column *column = view->columns[i];
		struct value value = column_get(column, row);

		if (column->kind != REPORT)
			continue;
		if (any)
			put_spaces(text, GAP);
		any = true;
		if (value.type != TIME) {
			text_put_string(text, column->name);
			text_put_char(text, ' ');
		}
		format_value(text, style, &value);
	}
	if (any)
		text_put_char(text, '\n');
}

static void put_lines(struct text *text, struct block *block, size_t terminal)
{
	if (terminal)
		fit(block, terminal);
	else
		limit_widths(block);
	for (size_t i = 0; i < block->cells_count; i++)
		put_cell(text, block, i, terminal);
}

void block_put(struct text *text, const struct style *style, const struct view *view,
	       const struct report *report)
{
	struct block block = { .columns_count = 0 };

	for (size_t i = 0; i < view->columns_count; i++)
		if (view->columns[i]->kind != REPORT)
			block.columns[block.columns_count++] = view->columns[i];
	if (style->header)
		add_names(&block);
	for (size_t i = 0; i < report_count(report); i++)
		add_row(&block, style, report_row(report, i));
	if (report_number(report) > 1)
		text_put_char(text, '\n');
	put_head(text, style, view, report_sum(report));
	if (block.no_memory)
		text->no_memory = true;
	else
		put_lines(text, &block, style->width);
	free(block.cells);
	text_free(&block.text);
}

void block_put_fields(struct text *text, const struct style *style, const struct field fields[],
		      size_t count)
{
	size_t widest = 0;

	for (size_t i = 0; i < count; i++)
		if (strlen(fields[i].name) > widest)
			widest = strlen(fields[i].name);
	for (size_t i = 0; i < count; i++) {
		text_put_string(text, fields[i].name);
		put_spaces(text, widest - strlen(fields[i].name) + GAP);
		format_value(text, style, &fields[i].value);
		text_put_char(text, '\n');
	}
}
