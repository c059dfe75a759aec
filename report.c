// SPDX-License-Identifier: GPL-2.0-only
#include <endian.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include "array.h"
#include "filter.h"
#include "report.h"
#include "text.h"
#include "unit.h"

enum { GROUPS_MOST = 1 << 18, KEYS_MOST = 1 << 26 };

/* A group sums the entries of one row: one for each combination of the keys asked for.  It is kept from
 * report to report only if a total is asked for that includes ended processes. */
struct group {
	size_t key;                   /* offset of its key in `keys` */
	size_t length;                /* of the key */
	__u64 hash;
	size_t row;                   /* index of its row, in the report of this number */
	__u64 report;
	struct netmon_counters total;
};

/* What a row is sorted by: sorting moves 24 bytes, not the row. */
struct rank {
	__u64 traffic;                /* in the interval */
	size_t key;                   /* as in struct group */
	__u32 length;
	__u32 row;
};

/* Half of the hash distinguishes most groups without a look at them. */
struct bucket {
	__u32 hash;                   /* its high half */
	__u32 group;                  /* its index + 1; 0: none */
};

struct report {
	const struct view *view;
	const struct names *names;
	struct row *rows;
	size_t rows_count;
	size_t rows_capacity;
	struct rank *ranks;           /* of all rows; after report_make(): of the rows to show */
	size_t ranks_count;
	size_t ranks_capacity;
	struct group *groups;
	size_t groups_count;
	size_t groups_capacity;
	struct bucket *buckets;
	size_t buckets_count;         /* a power of two */
	struct text clean;            /* a name without what clean() replaces */
	char *keys;
	size_t keys_length;
	size_t keys_capacity;
	struct netmon_entry total_entry;
	struct row sum;               /* of all rows that pass the filters */
	bool shows_pid;
	bool by_pid;                  /* each entry is a row: its key is the process alone */
	bool shows_user, shows_cgroup, shows_unit, shows_container, shows_cmd;
	bool shows_totals;
	bool keeps_groups;
	bool keeps_renamed;           /* a process that changes its name or parent keeps its group */
	bool first;                   /* no interval yet: totals are the table's */
	bool no_memory;
	__u64 number;
	__u64 time, dt, span;
};

bool view_has(const struct view *view, const char *name)
{
	const struct column *column = column_find(name, strlen(name));

	for (size_t i = 0; i < view->columns_count; i++)
		if (view->columns[i] == column)
			return true;
	return false;
}

static __u32 columns_parts(const struct view *view)
{
	__u32 parts = 0;

	for (size_t i = 0; i < view->columns_count; i++)
		parts |= view->columns[i]->parts;
	return parts;
}

__u32 view_parts(const struct view *view)
{
	bool by_cgroup = view->units.count || view->containers.count || view->cgroups.count;

	return columns_parts(view) | (view->comms.count ? PART_PROCESS : 0) |
	       (by_cgroup ? PART_CGROUP : 0);
}

bool view_needs(const struct view *view, const char *name)
{
	for (size_t i = 0; i < view->sort_count; i++)
		if (!strcmp(view->sort[i].column->name, name))
			return true;
	return view_has(view, name);
}

struct report *report_new(const struct view *view, __u32 parts, const struct names *names)
{
	struct report *report = calloc(1, sizeof(*report));

	if (!report)
		return NULL;
	report->view = view;
	report->names = names;
	report->first = !view->fresh;
	report->shows_pid = view_has(view, "pid");
	report->by_pid = report->shows_pid && parts == PART_PROCESS && !view->series;
	report->shows_user = view_has(view, "user");
	report->shows_cgroup = view_has(view, "cgroup");
	report->shows_unit = view_has(view, "unit");
	report->shows_container = view_has(view, "container");
	report->shows_cmd = view_has(view, "cmd");
	report->shows_totals = view_needs(view, "rx_total") || view_needs(view, "tx_total");
	report->keeps_groups = report->shows_totals &&
			       (view->series || !report->shows_pid || parts & ~columns_parts(view));
	report->keeps_renamed = report->keeps_groups && report->shows_pid && !view->series;
	strcpy(report->total_entry.comm, "(total)");
	return report;
}

void report_free(struct report *report)
{
	if (!report)
		return;
	free(report->rows);
	free(report->ranks);
	free(report->groups);
	free(report->buckets);
	free(report->keys);
	text_free(&report->clean);
	free(report);
}

static void add(struct netmon_counters *sum, const struct netmon_counters *more)
{
	sum->rx_bytes += more->rx_bytes;
	sum->tx_bytes += more->tx_bytes;
	sum->rx_calls += more->rx_calls;
	sum->tx_calls += more->tx_calls;
}

static bool moved(const struct netmon_counters *counters)
{
	return counters->rx_bytes || counters->tx_bytes;
}

static __u64 traffic(const struct row *row)
{
	return row->interval.rx_bytes + row->interval.tx_bytes;
}

/* Groups */

static bool put_value(struct report *report, const struct value *value)
{
	size_t length = 1 + sizeof(__u64) + value->length + 1;
	char *keys = array_grow(report->keys, report->keys_length, length, &report->keys_capacity, 1);
	__u64 number = htobe64(value->number);

	if (!keys) {
		report->no_memory = true;
		return false;
	}
	report->keys = keys;
	keys += report->keys_length;
	report->keys_length += length;
	*keys++ = (char)value->type;
	memcpy(keys, &number, sizeof(number));
	keys += sizeof(number);
	if (value->length)
		memcpy(keys, value->text, value->length);
	keys[value->length] = '\0';
	return true;
}

/* Replaces the value by the text as the formats write it.  An empty text becomes unknown. */
static void clean(struct report *report, struct value *value)
{
	report->clean.length = 0;
	text_put_clean(&report->clean, value->text, value->length);
	report->no_memory |= report->clean.no_memory;
	if (report->clean.no_memory || !report->clean.length)
		*value = (struct value){ .type = UNKNOWN };
	else
		value->text = report->clean.bytes, value->length = report->clean.length;
}

/* Whether a process can change it. */
static bool may_change(const struct column *column)
{
	return column->parts == PART_PROCESS && strcmp(column->name, "pid");
}

/* Appends the keys of the row, so that memcmp(3) puts rows into the order of the
 * columns: no text has a NUL, and addresses of one family are of one length. */
static bool put_key(struct report *report, const struct row *row)
{
	const struct view *view = report->view;
	const struct netmon_key *key = &row->entry->key;
	/* a reused pid is a different process */
	const struct value process = {
		.type = INTEGER,
		.number = report->shows_pid && !view->series ? (__u64)key->process << 32 | key->generation : 0,
	};

	for (size_t i = 0; i < view->columns_count; i++) {
		struct value value;

		if (view->columns[i]->kind != KEY || (report->keeps_renamed && may_change(view->columns[i])))
			continue;
		value = column_get(view->columns[i], row);
		if (view->series && value.type == TEXT)
			clean(report, &value);
		if (!put_value(report, &value))
			return false;
	}
	return put_value(report, &process);
}

/* Like FNV-1a, on words; the shifts mix high bits into the low ones, which choose the bucket. */
static __u64 hash_of(const char *bytes, size_t length)
{
	__u64 hash = 0xcbf29ce484222325, word = 0;

	for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, bytes, length);
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

static struct bucket *find_bucket(const struct report *report, __u64 hash, const char *key,
				  size_t length)
{
	size_t mask = report->buckets_count - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct bucket *bucket = &report->buckets[i];
		const struct group *group;

		if (!bucket->group)
			return bucket;
		if (bucket->hash != hash >> 32)
			continue;
		group = &report->groups[bucket->group - 1];
		if (group->length == length && !memcmp(report->keys + group->key, key, length))
			return bucket;
	}
}

static struct bucket bucket_for(__u64 hash, size_t group)
{
	return (struct bucket){ .hash = (__u32)(hash >> 32), .group = (__u32)group + 1 };
}

/* Keeps at least half of the buckets empty. */
static bool widen(struct report *report)
{
	size_t count = report->buckets_count ? 2 * report->buckets_count : 128;
	struct bucket *buckets;

	if (2 * (report->groups_count + 1) <= report->buckets_count)
		return true;
	buckets = calloc(count, sizeof(*buckets));
	if (!buckets) {
		report->no_memory = true;
		return false;
	}
	free(report->buckets);
	report->buckets = buckets;
	report->buckets_count = count;
	for (size_t i = 0; i < report->groups_count; i++) {
		const struct group *group = &report->groups[i];

		*find_bucket(report, group->hash, report->keys + group->key, group->length) =
			bucket_for(group->hash, i);
	}
	return true;
}

/* The group of the key that was put last, added if it is new; NULL if memory is short. */
static struct group *find_group(struct report *report, size_t key)
{
	size_t length = report->keys_length - key;
	struct bucket *bucket;
	struct group *groups;
	__u64 hash;

	if (!widen(report))
		return NULL;
	hash = hash_of(report->keys + key, length);
	bucket = find_bucket(report, hash, report->keys + key, length);
	if (bucket->group) {
		report->keys_length = key;
		return &report->groups[bucket->group - 1];
	}
	groups = array_grow(report->groups, report->groups_count, 1, &report->groups_capacity,
		      sizeof(*groups));
	if (!groups) {
		report->no_memory = true;
		return NULL;
	}
	report->groups = groups;
	groups[report->groups_count] =
		(struct group){ .key = key, .length = length, .hash = hash };
	*bucket = bucket_for(hash, report->groups_count);
	return &groups[report->groups_count++];
}

/* If totals are asked for, keeps all groups or, above GROUPS_MOST or KEYS_MOST bytes, those of the last
 * report. */
static void forget_groups(struct report *report)
{
	size_t count = report->groups_count;

	if (report->keeps_groups && count < GROUPS_MOST && report->keys_length < KEYS_MOST)
		return;
	report->groups_count = report->keys_length = 0;
	if (!count)
		return;
	memset(report->buckets, 0, report->buckets_count * sizeof(*report->buckets));
	for (size_t i = 0; i < count && report->keeps_groups; i++) {
		struct group group = report->groups[i];

		if (group.report != report->number - 1)
			continue;
		memmove(report->keys + report->keys_length, report->keys + group.key, group.length);
		group.key = report->keys_length;
		report->keys_length += group.length;
		*find_bucket(report, group.hash, report->keys + group.key, group.length) =
			bucket_for(group.hash, report->groups_count);
		report->groups[report->groups_count++] = group;
	}
}

/* Rows */

static bool passes(const struct report *report, const struct netmon_entry *entry)
{
	const struct view *view = report->view;
	const struct netmon_filter *filter = view->filter;
	bool listed = false;

	if (!entry->known && filter->kinds)
		return false; /* (other): the process is unknown */
	for (size_t i = 0; i < view->pids_count && !listed; i++)
		listed = view->pids[i] == entry->pid;
	if (filter->kinds & FILTER_PIDS && listed == leaves_out(filter, FILTER_PIDS))
		return false;
	return filter_passes(filter, &entry->key);
}

/* Whether the name is an id that begins with these digits; names have CONTAINER_SHOWN of its digits. */
static bool is_same_id(const char *digits, const char *name)
{
	size_t length = strnlen(digits, CONTAINER_SHOWN);

	return strlen(name) == CONTAINER_SHOWN && strspn(name, HEX_DIGITS) == CONTAINER_SHOWN &&
	       !memcmp(digits, name, length);
}

static bool matches(const struct pattern *pattern, const char *name, int flags)
{
	return !fnmatch(pattern->text, name, FNM_NOESCAPE | flags) ||
	       (pattern->is_id && is_same_id(pattern->text, name));
}

/* A name that is not known is NULL and matches no pattern. */
static bool patterns_pass(const struct patterns *patterns, const char *name, int flags)
{
	bool in = false, any = false;

	for (size_t i = 0; i < patterns->count; i++) {
		const struct pattern *pattern = &patterns->list[i];
		bool matched = name && matches(pattern, name, flags);

		if (pattern->leave_out && matched)
			return false;
		any |= !pattern->leave_out;
		in |= matched;
	}
	return in || !any;
}

/* Whether the path of the entry's cgroup passes, or the unit or the container in it. */
static bool cgroup_passes(const struct report *report, const struct patterns *patterns,
			  const char *(*name_of)(void *context, __u64 cgroup),
			  const struct netmon_entry *entry, int flags)
{
	const char *name = NULL;

	if (!patterns->count)
		return true;
	if (entry->known & PART_CGROUP)
		name = name_of(report->names->context, entry->key.cgroup);
	return patterns_pass(patterns, name, flags);
}

static bool is_wanted(const struct report *report, const struct netmon_entry *entry)
{
	const struct view *view = report->view;
	const struct names *names = report->names;
	char comm[COMM_LEN + 1] = "";

	memcpy(comm, entry->comm, COMM_LEN);
	return patterns_pass(&view->comms, comm, 0) &&
	       cgroup_passes(report, &view->units, names->unit, entry, 0) &&
	       cgroup_passes(report, &view->containers, names->container, entry, 0) &&
	       cgroup_passes(report, &view->cgroups, names->cgroup, entry, FNM_LEADING_DIR) &&
	       (!view->filter || passes(report, entry));
}

static void look_up(const struct report *report, struct row *row)
{
	const struct names *names = report->names;
	const struct netmon_entry *entry = row->entry;

	if (report->shows_user && entry->known & PART_UID)
		row->user = names->user(names->context, entry->key.uid);
	if (report->shows_cgroup && entry->known & PART_CGROUP)
		row->cgroup = names->cgroup(names->context, entry->key.cgroup);
	if (report->shows_unit && entry->known & PART_CGROUP)
		row->unit = names->unit(names->context, entry->key.cgroup);
	if (report->shows_container && entry->known & PART_CGROUP)
		row->container = names->container(names->context, entry->key.cgroup);
	if (report->shows_cmd && entry->pid && !entry->ended)
		row->cmd = names->command(names->context, entry->pid);
}

/* Appends the row; NULL if memory is short. */
static struct row *add_row(struct report *report, const struct row *row, size_t key, size_t length)
{
	struct row *rows = array_grow(report->rows, report->rows_count, 1, &report->rows_capacity,
				sizeof(*rows));
	struct rank *ranks = array_grow(report->ranks, report->ranks_count, 1, &report->ranks_capacity,
				  sizeof(*ranks));

	report->rows = rows ? rows : report->rows;
	report->ranks = ranks ? ranks : report->ranks;
	if (!rows || !ranks) {
		report->no_memory = true;
		return NULL;
	}
	rows[report->rows_count] = *row;
	ranks[report->ranks_count++] = (struct rank){ traffic(row), key, (__u32)length, (__u32)report->rows_count };
	return &rows[report->rows_count++];
}

/* Adds the row to the one with the same key. */
static void merge_row(struct report *report, const struct row *row, size_t key)
{
	struct group *group = find_group(report, key);
	struct row *same;

	if (!group)
		return;
	if (group->report != report->number) {
		group->report = report->number;
		group->row = report->rows_count;
		same = add_row(report, row, group->key, group->length);
		if (!same)
			return;
	} else {
		same = &report->rows[group->row];
		report->ranks[group->row].traffic += traffic(row);
		add(&same->interval, &row->interval);
		add(&same->window, &row->window);
		add(&same->total, &row->total);
		same->tx_retrans += row->tx_retrans;
		same->alive |= row->alive;
	}
	/* what was counted before the first report is part of no interval */
	add(&group->total, report->first ? &row->total : &row->interval);
	if (report->keeps_groups)
		same->total = group->total;
}

/* Whether the entry moved nothing and can be skipped. */
static bool is_idle(const struct report *report, const struct change *change)
{
	if (report->view->all || moved(&change->interval) || change->tx_retrans)
		return false;
	return report->by_pid || (!report->shows_totals && !moved(&change->window));
}

static void add_change(void *context, const struct change *change)
{
	struct report *report = context;
	struct row row = {
		.entry = change->entry,
		.alive = !change->gone,
		.interval = change->interval,
		.window = change->window,
		.total = change->entry->total,
		.tx_retrans = change->tx_retrans,
		.time = report->time,
		.dt = report->dt,
		.span = report->span,
	};
	const size_t key = report->keys_length;

	if (!is_wanted(report, change->entry))
		return;
	add(&report->sum.total, report->first ? &row.total : &row.interval);
	add(&report->sum.interval, &change->interval);
	add(&report->sum.window, &change->window);
	report->sum.tx_retrans += change->tx_retrans;
	if (is_idle(report, change))
		return;
	look_up(report, &row);
	if (!put_key(report, &row))
		return;
	if (report->by_pid)
		add_row(report, &row, key, report->keys_length - key);
	else
		merge_row(report, &row, key);
}

/* IPv4 before IPv6. */
static int compare_values(const struct value *a, const struct value *b)
{
	size_t shorter = a->length < b->length ? a->length : b->length;
	int order;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	order = shorter ? memcmp(a->text, b->text, shorter) : 0;
	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_by(const struct column *column, const struct row *a, const struct row *b)
{
	struct value x = column_get(column, a), y = column_get(column, b);

	return compare_values(&x, &y);
}

/* The order asked for, then that of the keys, so that the order of rows is always the same. */
static int compare_ranks(const void *a, const void *b, void *context)
{
	const struct report *report = context;
	const struct view *view = report->view;
	const struct rank *x = a, *y = b;
	int order = view->sort_count ? 0 : (x->traffic < y->traffic) - (x->traffic > y->traffic);

	for (size_t i = 0; i < view->sort_count && !order; i++) {
		order = compare_by(view->sort[i].column, &report->rows[x->row],
				   &report->rows[y->row]);
		if (view->sort[i].descending)
			order = -order;
	}
	for (size_t i = 0; report->keeps_renamed && i < view->columns_count && !order; i++)
		if (view->columns[i]->kind == KEY)
			order = compare_by(view->columns[i], &report->rows[x->row], &report->rows[y->row]);
	if (!order)
		order = memcmp(report->keys + x->key, report->keys + y->key,
			       x->length < y->length ? x->length : y->length);
	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Whether a row without traffic is shown. */
static bool shows_idle(const struct report *report, const struct row *row)
{
	return moved(&row->interval) /* its sum was a multiple of 2^64 */ || row->tx_retrans ||
	       (report->view->all && row->alive);
}

/* Keeps the rows to show and sorts them. */
static void rank_rows(struct report *report)
{
	size_t kept = 0;

	for (size_t i = 0; i < report->ranks_count; i++) {
		struct rank rank = report->ranks[i];

		if (rank.traffic || shows_idle(report, &report->rows[rank.row]))
			report->ranks[kept++] = rank;
	}
	report->ranks_count = kept;
	if (kept)
		qsort_r(report->ranks, kept, sizeof(*report->ranks), compare_ranks, report);
}

int report_make(struct report *report, const struct history *history)
{
	const struct view *view = report->view;
	size_t ticks = history_count(history);

	report->rows_count = report->ranks_count = 0;
	report->no_memory = false;
	report->number++;
	if (ticks < 2)
		return 0;
	report->time = history_tick(history, ticks - 1)->time;
	report->dt = history_span(history, 1);
	report->span = history_span(history, view->window);
	report->sum = (struct row){
		.entry = &report->total_entry,
		.is_total = true,
		.alive = true,
		.total = report->sum.total,
		.time = report->time,
		.dt = report->dt,
		.span = report->span,
	};
	forget_groups(report);
	history_changes(history, add_change, report);
	if (report->no_memory)
		return -1;
	report->first = false;
	rank_rows(report);
	if (view->top && view->top < report->ranks_count)
		report->ranks_count = view->top;
	return view->total && !add_row(report, &report->sum, 0, 0) ? -1 : 0;
}

__u64 report_number(const struct report *report)
{
	return report->number;
}

const struct row *report_sum(const struct report *report)
{
	return &report->sum;
}

size_t report_count(const struct report *report)
{
	return report->ranks_count;
}

const struct row *report_row(const struct report *report, size_t index)
{
	return &report->rows[report->ranks[index].row];
}
