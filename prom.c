// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "array.h"
#include "prom.h"

/* Names by the conventions of Prometheus, in base units; other columns keep their own names. */
static const struct {
	const char *column, *metric;
} metrics[] = {
	{ "time", "report_time_seconds" },
	{ "dt", "interval_seconds" },
	{ "rx_rate", "receive_bytes_per_second" },
	{ "tx_rate", "transmit_bytes_per_second" },
	{ "rx_bytes", "receive_interval_bytes" },
	{ "tx_bytes", "transmit_interval_bytes" },
	{ "rx_calls", "receive_interval_calls" },
	{ "tx_calls", "transmit_interval_calls" },
	{ "rx_total", "receive_bytes_total" },
	{ "tx_total", "transmit_bytes_total" },
	{ "tx_retrans", "transmit_interval_retransmits" },
};

/* The labels of all rows, one after the other. */
struct labels {
	struct text text;
	size_t *ends;
	size_t count, capacity;
};

static const char *metric_of(const struct column *column)
{
	for (size_t i = 0; i < sizeof(metrics) / sizeof(*metrics); i++)
		if (!strcmp(metrics[i].column, column->name))
			return metrics[i].metric;
	return column->name;
}

static void put_label(struct text *text, const struct style *style, const struct column *column,
		      const struct value *value)
{
	bool quoted = value->type == TEXT || value->type == ADDRESS;

	text_put_string(text, column->name);
	text_put_string(text, quoted ? "=" : "=\"");
	format_value(text, style, value);
	if (!quoted)
		text_put_char(text, '"');
}

/* False if memory is short. */
static bool add_labels(struct labels *labels, const struct style *style, const struct view *view,
		       const struct row *row)
{
	size_t *ends = array_grow(labels->ends, labels->count, 1, &labels->capacity, sizeof(*ends));
	bool any = false;

	if (!ends)
		return false;
	for (size_t i = 0; i < view->columns_count; i++) {
		struct value value = column_get(view->columns[i], row);

		if (view->columns[i]->kind != KEY)
			continue;
		text_put_char(&labels->text, any ? ',' : '{');
		put_label(&labels->text, style, view->columns[i], &value);
		any = true;
	}
	if (any)
		text_put_char(&labels->text, '}');
	labels->ends = ends;
	ends[labels->count++] = labels->text.length;
	return !labels->text.no_memory;
}

static void put_head(struct text *text, const struct column *column)
{
	const char *metric = metric_of(column), *suffix = "_total";
	size_t length = strlen(metric), tail = strlen(suffix);
	bool counter = length > tail && !strcmp(metric + length - tail, suffix);

	text_put_string(text, "# HELP netmon_");
	text_put_string(text, metric);
	text_put_char(text, ' ');
	text_put_string(text, column->help);
	text_put_string(text, "\n# TYPE netmon_");
	text_put_string(text, metric);
	text_put_string(text, counter ? " counter\n" : " gauge\n");
}

static void put_name(struct text *text, const struct column *column)
{
	text_put_string(text, "netmon_");
	text_put_string(text, metric_of(column));
}

static void put_value(struct text *text, const struct column *column, const struct row *row)
{
	struct value value = column_get(column, row);

	text_put_char(text, ' ');
	text_put_number(text, value.number, value.type == TIME ? 3 : value.decimals);
	text_put_char(text, '\n');
}

static void put_metric(struct text *text, const struct column *column, const struct labels *labels,
		       const struct report *report)
{
	if (column->kind == REPORT) {
		put_name(text, column);
		put_value(text, column, report_sum(report));
		return;
	}
	for (size_t i = 0; i < labels->count; i++) {
		size_t start = i ? labels->ends[i - 1] : 0;

		put_name(text, column);
		if (labels->text.length) /* there are key columns */
			text_put(text, labels->text.bytes + start, labels->ends[i] - start);
		put_value(text, column, report_row(report, i));
	}
}

void prom_put(struct text *text, const struct style *style, const struct view *view,
	      const struct report *report)
{
	struct labels labels = { .count = 0 };

	for (size_t i = 0; i < report_count(report) && !text->no_memory; i++)
		text->no_memory = !add_labels(&labels, style, view, report_row(report, i));
	for (size_t i = 0; i < view->columns_count; i++) {
		const struct column *column = view->columns[i];

		if (column->kind == KEY)
			continue;
		if (style->header)
			put_head(text, column);
		put_metric(text, column, &labels, report);
	}
	free(labels.ends);
	text_free(&labels.text);
}
