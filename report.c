// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>
#include "report.h"

/* What rows of several processes moved so far: processes end, their sum stays. */
struct group {
	char comm[COMM_LEN];
	struct counters total;
};

struct report {
	const struct view *view;
	struct row *rows;
	size_t count;
	size_t capacity;
	struct group *groups;         /* in order of comm; none where pid is asked for */
	size_t groups_count;
	size_t groups_capacity;
	bool by_pid;
	bool by_comm;
	bool no_memory;
	__u64 time, dt, span;
};

static struct value integer(__u64 number)
{
	return (struct value){ .type = INTEGER, .number = number };
}

static struct value decimal(__u64 number, int decimals)
{
	return (struct value){ .type = DECIMAL, .number = number, .decimals = decimals };
}

static struct value get_time(const struct row *row)
{
	return decimal(row->time, 3);
}

static struct value get_dt(const struct row *row)
{
	return decimal((row->dt + 500) / 1000, 6);
}

static struct value get_pid(const struct row *row)
{
	return integer(row->entry->pid);
}

static struct value get_comm(const struct row *row)
{
	const char *comm = row->entry->comm;

	return (struct value){ .type = TEXT, .text = comm, .length = strnlen(comm, COMM_LEN) };
}

static struct value get_rx_rate(const struct row *row)
{
	return integer(throughput(row->window.rx_bytes, row->span));
}

static struct value get_tx_rate(const struct row *row)
{
	return integer(throughput(row->window.tx_bytes, row->span));
}

static struct value get_rx_bytes(const struct row *row)
{
	return integer(row->interval.rx_bytes);
}

static struct value get_tx_bytes(const struct row *row)
{
	return integer(row->interval.tx_bytes);
}

static struct value get_rx_calls(const struct row *row)
{
	return integer(row->interval.rx_calls);
}

static struct value get_tx_calls(const struct row *row)
{
	return integer(row->interval.tx_calls);
}

static struct value get_rx_total(const struct row *row)
{
	return integer(row->total.rx_bytes);
}

static struct value get_tx_total(const struct row *row)
{
	return integer(row->total.tx_bytes);
}

const struct column columns[] = {
	{ "time", REPORT, "when the interval ended: seconds since the epoch", get_time },
	{ "dt", REPORT, "the interval's true length: seconds", get_dt },
	{ "pid", KEY, "process (thread group) in the initial pid namespace", get_pid },
	{ "comm", KEY, "its name", get_comm },
	{ "rx_rate", MEASURE, "received: bytes per second over the window", get_rx_rate },
	{ "tx_rate", MEASURE, "sent: bytes per second over the window", get_tx_rate },
	{ "rx_bytes", MEASURE, "bytes received in the interval", get_rx_bytes },
	{ "tx_bytes", MEASURE, "bytes sent in the interval", get_tx_bytes },
	{ "rx_calls", MEASURE, "calls that received them", get_rx_calls },
	{ "tx_calls", MEASURE, "calls that sent them", get_tx_calls },
	{ "rx_total", MEASURE, "bytes received since netmon began to count", get_rx_total },
	{ "tx_total", MEASURE, "bytes sent since netmon began to count", get_tx_total },
};

const size_t columns_count = sizeof(columns) / sizeof(*columns);

_Static_assert(sizeof(columns) / sizeof(*columns) <= MAX_COLUMNS, "MAX_COLUMNS is too small");

const struct column *column_find(const char *name, size_t length)
{
	for (size_t i = 0; i < columns_count; i++)
		if (strlen(columns[i].name) == length && !memcmp(columns[i].name, name, length))
			return &columns[i];
	return NULL;
}

static bool has_column(const struct view *view, const char *name)
{
	const struct column *column = column_find(name, strlen(name));

	for (size_t i = 0; i < view->columns_count; i++)
		if (view->columns[i] == column)
			return true;
	return false;
}

struct report *report_new(const struct view *view)
{
	struct report *report = calloc(1, sizeof(*report));

	if (!report)
		return NULL;
	report->view = view;
	report->by_pid = has_column(view, "pid");
	report->by_comm = has_column(view, "comm");
	return report;
}

void report_free(struct report *report)
{
	if (!report)
		return;
	free(report->rows);
	free(report->groups);
	free(report);
}

/* Makes room for one more element of an array that has `count`. */
static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
	size_t wanted = *capacity ? 2 * *capacity : 64;

	if (count < *capacity)
		return array;
	array = realloc(array, wanted * size);
	if (array)
		*capacity = wanted;
	return array;
}

static void add(struct counters *sum, const struct counters *more)
{
	sum->rx_bytes += more->rx_bytes;
	sum->tx_bytes += more->tx_bytes;
	sum->rx_calls += more->rx_calls;
	sum->tx_calls += more->tx_calls;
}

static void add_row(void *context, const struct change *change)
{
	struct report *report = context;
	struct row *rows;

	if (report->view->pid && change->entry->pid != report->view->pid)
		return;
	rows = grow(report->rows, report->count, &report->capacity, sizeof(*rows));
	if (!rows) {
		report->no_memory = true;
		return;
	}
	report->rows = rows;
	rows[report->count++] = (struct row){
		.entry = change->entry,
		.interval = change->interval,
		.window = change->window,
		.total = change->entry->total,
		.time = report->time,
		.dt = report->dt,
		.span = report->span,
	};
}

static int compare_comm(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return strncmp(x->entry->comm, y->entry->comm, COMM_LEN);
}

/* The group of that name, made where it is new; NULL where memory is short. */
static struct group *find_group(struct report *report, const char *comm)
{
	size_t low = 0, high = report->groups_count;
	struct group *groups;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strncmp(comm, report->groups[middle].comm, COMM_LEN);

		if (!order)
			return &report->groups[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	groups = grow(report->groups, report->groups_count, &report->groups_capacity,
		      sizeof(*groups));
	if (!groups)
		return NULL;
	report->groups = groups;
	memmove(&groups[low + 1], &groups[low], (report->groups_count++ - low) * sizeof(*groups));
	memset(&groups[low], 0, sizeof(*groups));
	memcpy(groups[low].comm, comm, COMM_LEN);
	return &groups[low];
}

/* Adds the rows up that differ in nothing that is asked for. */
static int merge_rows(struct report *report)
{
	static const char any[COMM_LEN];
	size_t merged = 0;

	if (report->by_comm && report->count)
		qsort(report->rows, report->count, sizeof(*report->rows), compare_comm);
	for (size_t i = 0; i < report->count; i++) {
		struct row *row = &report->rows[i], *last = &report->rows[merged - !!merged];

		if (merged && (!report->by_comm || !compare_comm(last, row))) {
			add(&last->interval, &row->interval);
			add(&last->window, &row->window);
		} else {
			report->rows[merged++] = *row;
		}
	}
	report->count = merged;
	for (size_t i = 0; i < merged; i++) {
		struct row *row = &report->rows[i];
		struct group *group =
			find_group(report, report->by_comm ? row->entry->comm : any);

		if (!group)
			return -1;
		add(&group->total, &row->interval);
		row->total = group->total;
	}
	return 0;
}

static int compare_values(const struct value *a, const struct value *b)
{
	size_t shorter = a->length < b->length ? a->length : b->length;
	int order;

	if (a->type != TEXT)
		return (a->number > b->number) - (a->number < b->number);
	order = memcmp(a->text, b->text, shorter);
	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int most_traffic(const struct row *a, const struct row *b)
{
	__u64 x = a->interval.rx_bytes + a->interval.tx_bytes;
	__u64 y = b->interval.rx_bytes + b->interval.tx_bytes;

	return (x < y) - (x > y);
}

/* The order asked for; then that of the names or processes, so that it is always the same. */
static int compare_rows(const void *a, const void *b, void *context)
{
	const struct report *report = context;
	const struct view *view = report->view;
	const struct row *x = a, *y = b;
	int order = view->sort_count ? 0 : most_traffic(x, y);

	for (size_t i = 0; i < view->sort_count && !order; i++) {
		struct value left = view->sort[i].column->get(x);
		struct value right = view->sort[i].column->get(y);

		order = compare_values(&left, &right);
		if (view->sort[i].descending)
			order = -order;
	}
	if (order)
		return order;
	return report->by_pid ? entry_compare(x->entry, y->entry) : compare_comm(x, y);
}

static void drop_idle(struct report *report)
{
	size_t kept = 0;

	for (size_t i = 0; i < report->count; i++)
		if (report->rows[i].interval.rx_bytes || report->rows[i].interval.tx_bytes)
			report->rows[kept++] = report->rows[i];
	report->count = kept;
}

int report_make(struct report *report, const struct history *history)
{
	const struct view *view = report->view;
	size_t ticks = history_count(history);

	report->count = 0;
	report->no_memory = false;
	if (ticks < 2)
		return 0;
	report->time = history_tick(history, ticks - 1)->time;
	report->dt = history_span(history, 1);
	report->span = history_span(history, view->window);
	if (history_changes(history, view->window, add_row, report) || report->no_memory)
		return -1;
	if (!report->by_pid && merge_rows(report))
		return -1;
	if (!view->all)
		drop_idle(report);
	if (report->count)
		qsort_r(report->rows, report->count, sizeof(*report->rows), compare_rows,
			report);
	return 0;
}

size_t report_count(const struct report *report)
{
	size_t top = report->view->top;

	return top && top < report->count ? top : report->count;
}

const struct row *report_row(const struct report *report, size_t index)
{
	return &report->rows[index];
}
