// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"

enum { WRONG_USAGE = 2 };
enum { NO_HEADER = 256, ATTACH, MAX_PROCESSES_OPTION };

static const struct option long_options[] = {
	{ "interval", required_argument, NULL, 'i' },
	{ "count", required_argument, NULL, 'n' },
	{ "window", required_argument, NULL, 'w' },
	{ "format", required_argument, NULL, 'f' },
	{ "output", required_argument, NULL, 'o' },
	{ "no-header", no_argument, NULL, NO_HEADER },
	{ "sort", required_argument, NULL, 's' },
	{ "top", required_argument, NULL, 't' },
	{ "all", no_argument, NULL, 'a' },
	{ "pid", required_argument, NULL, 'p' },
	{ "max-processes", required_argument, NULL, MAX_PROCESSES_OPTION },
	{ "attach", required_argument, NULL, ATTACH },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char short_options[] = "i:n:w:f:o:s:t:ap:vVh";

static const char help_head[] =
	"Usage: netmon [OPTION]...\n"
	"Writes every interval which process uses the network, and how much.\n"
	"\n"
	"Reports:\n"
	"  -i, --interval SECONDS   time between reports, 0.01 to 86400 (1)\n"
	"  -n, --count N            end after N reports\n"
	"  -w, --window K           average rates over K intervals, 1 to 3600 (1)\n"
	"\n"
	"Rows:\n"
	"  -f, --format FORMAT      csv, tsv or jsonl (csv)\n"
	"  -o, --output COLUMNS     the columns, separated by commas; +COLUMNS adds to\n"
	"                           the default (time,pid,comm,rx_rate,tx_rate)\n"
	"      --no-header          no line of column names\n"
	"  -s, --sort COLUMNS       by COL, COL:asc or COL:desc, separated by commas;\n"
	"                           measures fall, others rise (most traffic first)\n"
	"  -t, --top N              at most N rows in a report\n"
	"  -a, --all                also processes without traffic in the interval\n"
	"  -p, --pid PID            only this process\n"
	"\n"
	"Probes:\n"
	"      --max-processes N    processes to tell apart, 1 to 4194304 (16384)\n"
	"      --attach WAY         auto, tracepoint, fexit or kprobe (auto)\n"
	"  -v, --verbose            say how each probe is attached\n"
	"\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"Columns:\n";

static const char help_tail[] =
	"\n"
	"Needs root, or CAP_BPF and CAP_PERFMON.  Everything else: man netmon\n";

static const char default_columns[] = "time,pid,comm,rx_rate,tx_rate";

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	va_list arguments;

	fputs("netmon: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\nTry 'netmon --help'.\n", stderr);
	exit(WRONG_USAGE);
}

/* Ends after --help and --version; a full disk is an error there too. */
__attribute__((noreturn)) static void done(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		perror("netmon: cannot write 'standard output'");
		exit(EXIT_FAILURE);
	}
	exit(EXIT_SUCCESS);
}

static void help(void)
{
	fputs(help_head, stdout);
	for (size_t i = 0; i < columns_count; i++)
		printf("  %-10s %s\n", columns[i].name, columns[i].help);
	fputs(help_tail, stdout);
	done();
}

/* The one parser of numbers: decimal digits and, where `decimals` allows, as many after a
 * point.  Returns the number times 10^decimals; min and max, in the same unit, bound it. */
static __u64 number(const char *option, const char *text, int decimals, __u64 min, __u64 max,
		    const char *range)
{
	__u64 value = 0;
	int places = -1; /* after the point; -1 before it */
	bool digits = false;

	for (const char *p = text; *p; p++) {
		if (*p == '.' && decimals && places < 0) {
			places = 0;
			continue;
		}
		if (*p < '0' || *p > '9')
			wrong("cannot use '%s' for %s: not a number: %s", text, option, range);
		digits = true;
		if (places >= decimals || value > max)
			continue; /* too fine or too large already: but is it a number? */
		value = value > max / 10 ? max + 1 : 10 * value + (__u64)(*p - '0');
		places += places >= 0;
	}
	if (!digits)
		wrong("cannot use '%s' for %s: not a number: %s", text, option, range);
	for (int i = places < 0 ? 0 : places; i < decimals && value <= max; i++)
		value *= 10;
	if (value < min || value > max)
		wrong("cannot use '%s' for %s: out of range: %s", text, option, range);
	return value;
}

/* Which of the words, given in the order of an enum and ended by NULL, the text is. */
static int word(const char *option, const char *text, const char *const words[], const char *list)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(text, words[i]))
			return i;
	wrong("cannot use '%s' for %s: it takes %s", text, option, list);
}

__attribute__((noreturn)) static void no_column(const char *name, size_t length)
{
	char names[512] = "";

	for (size_t i = 0; i < columns_count; i++) {
		strcat(names, " ");
		strcat(names, columns[i].name);
	}
	wrong("cannot find column '%.*s': the columns are:%s", (int)length, name, names);
}

static void add_columns(struct view *view, const char *list)
{
	for (const char *name = list, *end;; name = end + 1) {
		const struct column *column;

		end = strchrnul(name, ',');
		column = column_find(name, (size_t)(end - name));
		if (!column)
			no_column(name, (size_t)(end - name));
		for (size_t i = 0; i < view->columns_count; i++)
			if (view->columns[i] == column)
				wrong("cannot use column '%s' twice", column->name);
		view->columns[view->columns_count++] = column;
		if (!*end)
			break;
	}
}

static void parse_columns(struct view *view, const char *list)
{
	view->columns_count = 0;
	if (*list == '+') {
		add_columns(view, default_columns);
		list++;
	}
	add_columns(view, list);
}

static bool ends_with(const char *text, size_t length, const char *suffix)
{
	size_t wanted = strlen(suffix);

	return length > wanted && !memcmp(text + length - wanted, suffix, wanted);
}

static void parse_sort(struct view *view, const char *list)
{
	view->sort_count = 0;
	for (const char *name = list, *end;; name = end + 1) {
		struct sort_key *key = &view->sort[view->sort_count];
		bool rising, falling;
		size_t length;

		end = strchrnul(name, ',');
		length = (size_t)(end - name);
		rising = ends_with(name, length, ":asc");
		falling = ends_with(name, length, ":desc");
		length -= rising ? strlen(":asc") : falling ? strlen(":desc") : 0;
		key->column = column_find(name, length);
		if (!key->column)
			no_column(name, length);
		key->descending = falling || (!rising && key->column->kind == MEASURE);
		for (size_t i = 0; i < view->sort_count; i++)
			if (view->sort[i].column == key->column)
				wrong("cannot sort by '%s' twice", key->column->name);
		view->sort_count++;
		if (!*end)
			break;
	}
}

/* A key by which to sort must tell the rows apart. */
static void check_sort(const struct view *view)
{
	for (size_t i = 0; i < view->sort_count; i++) {
		const struct column *column = view->sort[i].column;
		bool shown = column->kind != KEY;

		for (size_t j = 0; j < view->columns_count; j++)
			shown |= view->columns[j] == column;
		if (!shown)
			wrong("cannot sort by '%s': it is not among the columns of -o",
			      column->name);
	}
}

static void parse_option(struct options *options, int option, const char *text)
{
	static const char *const formats[] = { "csv", "tsv", "jsonl", NULL };
	static const char *const attaches[] = { "auto", "tracepoint", "fexit", "kprobe", NULL };
	struct view *view = &options->view;

	switch (option) {
	case 'i':
		options->interval = number("--interval", text, 9, 10000000ULL, 86400000000000ULL,
					   "seconds from 0.01 to 86400");
		break;
	case 'n':
		options->count = number("--count", text, 0, 1, 1ULL << 62, "from 1");
		break;
	case 'w':
		view->window = number("--window", text, 0, 1, 3600, "from 1 to 3600");
		break;
	case 'f':
		options->format = (enum format)word("--format", text, formats,
						    "csv, tsv or jsonl");
		break;
	case 'o':
		parse_columns(view, text);
		break;
	case NO_HEADER:
		options->header = false;
		break;
	case 's':
		parse_sort(view, text);
		break;
	case 't':
		view->top = number("--top", text, 0, 1, 1ULL << 62, "from 1");
		break;
	case 'a':
		view->all = true;
		break;
	case 'p':
		view->pid = (__u32)number("--pid", text, 0, 1, 4194304, "from 1 to 4194304");
		break;
	case MAX_PROCESSES_OPTION:
		options->probes.max_processes = (__u32)number("--max-processes", text, 0, 1, 4194304,
							      "from 1 to 4194304");
		break;
	case ATTACH:
		options->probes.attach = (enum attach)word("--attach", text, attaches,
							   "auto, tracepoint, fexit or kprobe");
		break;
	case 'v':
		options->probes.verbose = true;
		break;
	case 'V':
		puts("netmon " NETMON_VERSION);
		done();
	case 'h':
		help();
		break;
	default:
		fputs("Try 'netmon --help'.\n", stderr);
		exit(WRONG_USAGE);
	}
}

void options_parse(struct options *options, int argc, char **argv)
{
	int option;

	*options = (struct options){
		.probes = { .max_processes = MAX_PROCESSES },
		.view = { .window = 1 },
		.format = CSV,
		.header = true,
		.interval = 1000000000,
	};
	parse_columns(&options->view, default_columns);
	argv[0] = "netmon"; /* getopt names it in its messages */
	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1)
		parse_option(options, option, optarg);
	if (optind < argc)
		wrong("cannot use argument '%s': netmon takes options only", argv[optind]);
	check_sort(&options->view);
}
