// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "names.h"
#include "options.h"

enum { WRONG_USAGE = 2 };

/* How seldom pinned probes may be read, nanoseconds. */
#define PINNED_INTERVAL 10000000000ULL

enum { NO_HEADER = 256, ATTACH, MAX_PROCESSES_OPTION, MAX_ENTRIES_OPTION, COMM, USER, CGROUP_OPTION,
       PROTO, PORT, NET, NO_LOOPBACK, LAYER, IFACE, TIME_OPTION, TOTAL, TO, PIN_OPTION, PIN_GROUP, REPLACE,
       STATUS_OPTION, UNPIN_OPTION, FROM, NO_PIN, OPTIONS };

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
	{ "total", no_argument, NULL, TOTAL },
	{ "time", required_argument, NULL, TIME_OPTION },
	{ "to", required_argument, NULL, TO },
	{ "layer", required_argument, NULL, LAYER },
	{ "pid", required_argument, NULL, 'p' },
	{ "comm", required_argument, NULL, COMM },
	{ "user", required_argument, NULL, USER },
	{ "cgroup", required_argument, NULL, CGROUP_OPTION },
	{ "proto", required_argument, NULL, PROTO },
	{ "port", required_argument, NULL, PORT },
	{ "net", required_argument, NULL, NET },
	{ "iface", required_argument, NULL, IFACE },
	{ "no-loopback", no_argument, NULL, NO_LOOPBACK },
	{ "max-processes", required_argument, NULL, MAX_PROCESSES_OPTION },
	{ "max-entries", required_argument, NULL, MAX_ENTRIES_OPTION },
	{ "attach", required_argument, NULL, ATTACH },
	{ "pin", optional_argument, NULL, PIN_OPTION },
	{ "pin-group", required_argument, NULL, PIN_GROUP },
	{ "replace", no_argument, NULL, REPLACE },
	{ "status", optional_argument, NULL, STATUS_OPTION },
	{ "unpin", optional_argument, NULL, UNPIN_OPTION },
	{ "from", required_argument, NULL, FROM },
	{ "no-pin", no_argument, NULL, NO_PIN },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char short_options[] = "+i:n:w:f:o:s:t:ap:vVh";

static const char help_head[] =
	"Usage: netmon [OPTION]... [-- COMMAND [ARGUMENT]...]\n"
	"       netmon --pin [DIR] | --status [DIR] | --unpin [DIR]\n"
	"Writes every interval which process uses the network, and how much.\n"
	"With COMMAND: runs it and reports only it and what it starts, until it ends.\n"
	"\n"
	"Reports:\n"
	"  -i, --interval SECONDS   time between reports, 0.01 to 86400 (1; with COMMAND\n"
	"                           one report at its end)\n"
	"  -n, --count N            end after N reports\n"
	"  -w, --window K           average rates over K intervals, 1 to 3600 (1)\n"
	"      --to FILE            write to FILE, not to standard output (with COMMAND:\n"
	"                           standard error)\n"
	"\n"
	"Rows:\n"
	"  -f, --format FORMAT      csv, tsv or jsonl (csv)\n"
	"  -o, --output COLUMNS     the columns, separated by commas; +COLUMNS adds to\n"
	"                           the default (time,pid,comm,rx_rate,tx_rate) and, with\n"
	"                           COMMAND, rx_total,tx_total; all: every column\n"
	"      --no-header          no line of column names\n"
	"      --time HOW           epoch, iso or none (epoch)\n"
	"  -s, --sort COLUMNS       by COL, COL:asc or COL:desc, separated by commas;\n"
	"                           measures fall, others rise (most traffic first)\n"
	"  -t, --top N              at most N rows in a report\n"
	"      --total              and a row (total), the sum of all rows\n"
	"  -a, --all                also what had no traffic in the interval\n"
	"\n"
	"What is counted:\n"
	"      --layer LAYER        socket: payload, at the calls; ip: whole IP packets,\n"
	"                           as interfaces send and receive them (socket)\n"
	"\n"
	"Filters; what is counted passes all of them:\n"
	"  -p, --pid PIDS           only these processes, separated by commas\n"
	"      --comm PATTERN       only processes with such a name: * ? [...]\n"
	"      --user USER          only this user's, by name or id\n"
	"      --cgroup PATH        only those in this cgroup (version 2) and below\n"
	"      --proto PROTOCOLS    only these: names or numbers, separated by commas\n"
	"      --port PORTS         only these, at either end, separated by commas\n"
	"      --net NETWORKS       only remote addresses in these: ADDRESS[/BITS],\n"
	"                           separated by commas; !NETWORK: not in it\n"
	"      --no-loopback        not what stays on this host\n"
	"      --iface NAMES        with --layer ip: only at these interfaces\n"
	"\n"
	"Probes:\n"
	"      --max-processes N    processes to tell apart, 1 to 4194304 (16384)\n"
	"      --max-entries N      connections and the like to tell apart where -o asks\n"
	"                           for more than processes, 1 to 4194304 (65536)\n"
	"      --attach WAY         auto, tracepoint, fexit or kprobe (auto)\n"
	"  -v, --verbose            say how each probe is attached\n"
	"\n"
	"Probes that stay, pinned in DIR (/sys/fs/bpf/netmon), for any netmon to read:\n"
	"      --pin [DIR]          load, attach and pin them, and end\n"
	"      --pin-group GROUP    with --pin: its members may read without root\n"
	"      --replace            with --pin: take the place of what is pinned there\n"
	"      --status [DIR]       say what is pinned\n"
	"      --unpin [DIR]        remove what is pinned\n"
	"      --from DIR           read what is pinned in DIR\n"
	"      --no-pin             use probes of its own, also where some are pinned\n"
	"\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n"
	"\n"
	"Columns:\n";

static const char help_tail[] =
	"\n"
	"Needs root, or CAP_BPF and CAP_PERFMON (with --layer ip also CAP_NET_ADMIN),\n"
	"but to read what is pinned for your group.  Everything else: man netmon\n";

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

/* What a command adds to the default, but for what the list names itself. */
static void add_command_columns(struct view *view, const char *list)
{
	static const char *const names[] = { "rx_total", "tx_total" };

	for (size_t i = 0; i < 2; i++)
		if (!list || !strstr(list, names[i]))
			add_columns(view, names[i]);
}

/* NULL: the default. */
static void choose_columns(struct options *options, const char *list)
{
	struct view *view = &options->view;

	view->columns_count = 0;
	if (list && !strcmp(list, "all")) {
		for (size_t i = 0; i < columns_count; i++)
			if (options->probes.layer == LAYER_IP || !(columns[i].parts & PART_IFACE))
				view->columns[view->columns_count++] = &columns[i];
		return;
	}
	if (!list || *list == '+') {
		add_columns(view, default_columns);
		if (options->command)
			add_command_columns(view, list);
	}
	if (list)
		add_columns(view, list + (*list == '+'));
}

static void drop_time(struct view *view)
{
	size_t kept = 0;

	for (size_t i = 0; i < view->columns_count; i++)
		if (strcmp(view->columns[i]->name, "time"))
			view->columns[kept++] = view->columns[i];
	view->columns_count = kept;
	if (!kept)
		wrong("cannot use 'none' for --time: -o has no other column");
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

/* Calls add() for each element of a list; the element ends where the list did or in a NUL. */
static void each(const char *option, const char *list, void (*add)(struct options *, const char *),
		 struct options *options)
{
	char *copy = strdup(list), *rest = copy, *element;

	if (!copy)
		wrong("cannot read '%s' for %s: %s", list, option, strerror(errno));
	while ((element = strsep(&rest, ",")))
		add(options, element);
	free(copy);
}

static void too_many(const char *element, const char *option, int most)
{
	wrong("cannot use '%s' for %s: more than %d", element, option, most);
}

static void add_pid(struct options *options, const char *text)
{
	__u32 pid = (__u32)number("--pid", text, 0, 1, 4194304, "from 1 to 4194304");

	if (options->probes.pids_count == MAX_PIDS)
		too_many(text, "--pid", MAX_PIDS);
	options->pids[options->probes.pids_count++] = pid;
}

static void add_proto(struct options *options, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;
	int proto = proto_find(text, strlen(text));

	if (proto < 0 && strspn(text, "0123456789") != strlen(text))
		wrong("cannot use '%s' for --proto: no such protocol: try its number", text);
	if (proto < 0)
		proto = (int)number("--proto", text, 0, 0, 65534, "from 0 to 65534");
	if (filter->protos_count == MAX_LISTED)
		too_many(text, "--proto", MAX_LISTED);
	filter->protos[filter->protos_count++] = (__u16)proto;
}

static void add_port(struct options *options, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;
	__u16 port = (__u16)number("--port", text, 0, 1, 65535, "from 1 to 65535");

	if (filter->ports_count == MAX_LISTED)
		too_many(text, "--port", MAX_LISTED);
	filter->ports[filter->ports_count++] = port;
}

/* Sets the first `bits` of a mask in network byte order. */
static void set_mask(__u32 mask[4], unsigned bits)
{
	unsigned char *bytes = (unsigned char *)mask;

	for (unsigned i = 0; i < bits; i++)
		bytes[i / 8] |= (unsigned char)(0x80 >> i % 8);
}

static void add_net(struct options *options, const char *text)
{
	static const char form[] = "it takes ADDRESS or ADDRESS/BITS";
	struct netmon_filter *filter = &options->probes.filter;
	struct netmon_network *net = &filter->nets[filter->nets_count];
	const char *address = text + (*text == '!'), *slash = strchrnul(address, '/');
	char copy[INET6_ADDRSTRLEN];
	unsigned most;

	if (filter->nets_count == MAX_LISTED)
		too_many(text, "--net", MAX_LISTED);
	if ((size_t)(slash - address) >= sizeof(copy))
		wrong("cannot use '%s' for --net: %s", text, form);
	memcpy(copy, address, (size_t)(slash - address));
	copy[slash - address] = '\0';
	*net = (struct netmon_network){ .leave_out = *text == '!' };
	if (inet_pton(AF_INET, copy, net->address) == 1)
		net->family = 4;
	else if (inet_pton(AF_INET6, copy, net->address) == 1)
		net->family = 6;
	else
		wrong("cannot use '%s' for --net: %s", text, form);
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)net->address) && net->family == 6)
		wrong("cannot use '%s' for --net: write it as an IPv4 network", text);
	most = net->family == 4 ? 32 : 128;
	if (*slash)
		most = (unsigned)number("--net", slash + 1, 0, 0, most,
					net->family == 4 ? "bits from 0 to 32" : "bits from 0 to 128");
	set_mask(net->mask, most);
	for (int i = 0; i < 4; i++)
		if (net->address[i] & ~net->mask[i])
			wrong("cannot use '%s' for --net: bits are set behind the network's", text);
	filter->nets_count++;
}

static void add_iface(struct options *options, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;

	if (filter->ifaces_count == MAX_LISTED)
		too_many(text, "--iface", MAX_LISTED);
	if (!*text || strlen(text) >= IFACE_LEN)
		wrong("cannot use '%s' for --iface: a name has 1 to %d bytes", text, IFACE_LEN - 1);
	strcpy(filter->ifaces[filter->ifaces_count++], text);
}

static void parse_user(struct options *options, const char *text)
{
	if (!user_find(text, &options->probes.filter.uid))
		wrong("cannot use '%s' for --user: no such user", text);
}

static void need_cgroups(struct options *options)
{
	if (options->probes.cgroup_root < 0)
		options->probes.cgroup_root = cgroup_root_open();
}

/* Copies a path as the column has it, but for the slash at its beginning. */
static void plain_path(char *plain, const char *path)
{
	char *end = plain;

	for (const char *name = path, *next; *name; name = next + (*next == '/')) {
		next = strchrnul(name, '/');
		if (next == name || (next - name == 1 && *name == '.'))
			continue;
		if (end > plain)
			*end++ = '/';
		end = mempcpy(end, name, (size_t)(next - name));
	}
	*end = '\0';
}

static void parse_cgroup(struct options *options, const char *path)
{
	static char plain[PATH_MAX];
	struct probes_options *probes = &options->probes;

	if (!*path || strlen(path) >= PATH_MAX)
		wrong("cannot use '%s' for --cgroup: no such cgroup: %s", path,
		      *path ? strerror(ENAMETOOLONG) : "it is empty");
	plain_path(plain, path);
	need_cgroups(options);
	if (probes->cgroup >= 0)
		close(probes->cgroup);
	probes->cgroup = probes->cgroup_root < 0 ? -1 : cgroup_open(probes->cgroup_root, plain);
	if (probes->cgroup < 0)
		wrong("cannot use '%s' for --cgroup: no such cgroup: %s", path, strerror(errno));
	options->view.cgroup = plain;
}

/* The options that choose what is counted; false where it is none of them. */
static bool parse_filter(struct options *options, int option, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;

	switch (option) {
	case 'p':
		options->probes.pids_count = 0;
		each("--pid", text, add_pid, options);
		filter->kinds |= FILTER_PIDS;
		return true;
	case COMM:
		options->view.comm = text;
		return true;
	case USER:
		parse_user(options, text);
		filter->kinds |= FILTER_UID;
		return true;
	case CGROUP_OPTION:
		parse_cgroup(options, text);
		filter->kinds |= FILTER_CGROUP;
		return true;
	case PROTO:
		filter->protos_count = 0;
		each("--proto", text, add_proto, options);
		filter->kinds |= FILTER_PROTO;
		return true;
	case PORT:
		filter->ports_count = 0;
		each("--port", text, add_port, options);
		filter->kinds |= FILTER_PORT;
		return true;
	case NET:
		filter->nets_count = 0;
		each("--net", text, add_net, options);
		filter->kinds |= FILTER_NET;
		return true;
	case IFACE:
		filter->ifaces_count = 0;
		each("--iface", text, add_iface, options);
		filter->kinds |= FILTER_IFACE;
		return true;
	case NO_LOOPBACK:
		filter->kinds |= FILTER_LOOPBACK;
		return true;
	default:
		return false;
	}
}

/* The options of the rows; false where it is none of them. */
static bool parse_rows(struct options *options, int option, const char *text)
{
	static const char *const formats[] = { "csv", "tsv", "jsonl", NULL };
	struct view *view = &options->view;

	switch (option) {
	case 'f':
		options->format = (enum format)word("--format", text, formats,
						    "csv, tsv or jsonl");
		return true;
	case NO_HEADER:
		options->header = false;
		return true;
	case 's':
		parse_sort(view, text);
		return true;
	case 't':
		view->top = number("--top", text, 0, 1, 1ULL << 62, "from 1");
		return true;
	case TOTAL:
		view->total = true;
		return true;
	case 'a':
		view->all = true;
		return true;
	default:
		return false;
	}
}

static void set_mode(struct options *options, enum mode mode, const char *dir)
{
	if (options->mode != READ && options->mode != mode)
		wrong("cannot use --pin, --status and --unpin at the same time");
	options->mode = mode;
	if (dir)
		options->pin.dir = dir;
}

/* The options of what is pinned; false where it is none of them. */
static bool parse_pin(struct options *options, int option, const char *text)
{
	switch (option) {
	case PIN_OPTION:
		set_mode(options, PIN, text);
		return true;
	case STATUS_OPTION:
		set_mode(options, STATUS, text);
		return true;
	case UNPIN_OPTION:
		set_mode(options, UNPIN, text);
		return true;
	case PIN_GROUP:
		if (!group_find(text, &options->pin.gid))
			wrong("cannot use '%s' for --pin-group: no such group", text);
		options->pin.group = text;
		return true;
	case REPLACE:
		options->pin.replace = true;
		return true;
	case FROM:
		options->pin.dir = text;
		options->from = true;
		return true;
	case NO_PIN:
		options->no_pin = true;
		return true;
	default:
		return false;
	}
}

static void parse_option(struct options *options, int option, const char *text)
{
	static const char *const attaches[] = { "auto", "tracepoint", "fexit", "kprobe", NULL };
	static const char *const layers[] = { "socket", "ip", NULL };

	if (parse_filter(options, option, text) || parse_rows(options, option, text) ||
	    parse_pin(options, option, text))
		return;
	switch (option) {
	case 'i':
		options->interval = number("--interval", text, 9, 10000000ULL, 86400000000000ULL,
					   "seconds from 0.01 to 86400");
		break;
	case 'n':
		options->count = number("--count", text, 0, 1, 1ULL << 62, "from 1");
		break;
	case 'w':
		options->view.window = number("--window", text, 0, 1, 3600, "from 1 to 3600");
		break;
	case TO:
		if (!*text)
			wrong("cannot use '' for --to: it takes the name of a file");
		options->to = text;
		break;
	case LAYER:
		options->probes.layer = (enum layer)word("--layer", text, layers, "socket or ip");
		break;
	case MAX_PROCESSES_OPTION:
		options->own = "--max-processes";
		options->probes.max_processes = (__u32)number("--max-processes", text, 0, 1, 4194304,
							      "from 1 to 4194304");
		break;
	case MAX_ENTRIES_OPTION:
		options->own = "--max-entries";
		options->probes.max_entries = (__u32)number("--max-entries", text, 0, 1, 4194304,
							    "from 1 to 4194304");
		break;
	case ATTACH:
		options->own = "--attach";
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

/* What one layer has and the other has not. */
static void check_layer(const struct options *options)
{
	const struct probes_options *probes = &options->probes;

	if (probes->layer == LAYER_IP && options->from)
		wrong("cannot use --from with --layer ip: what is pinned counts calls");
	if (probes->layer == LAYER_IP && probes->attach)
		wrong("cannot use --attach with --layer ip: there is one way to see packets");
	if (probes->layer == LAYER_SOCKET && probes->filter.kinds & FILTER_IFACE)
		wrong("cannot use --iface without --layer ip: a call has no interface");
	if (probes->layer == LAYER_SOCKET && probes->parts & PART_IFACE)
		wrong("cannot use column 'iface' without --layer ip: a call has no interface");
}

/* What depends on several options. */
static void combine(struct options *options, const char *output)
{
	struct view *view = &options->view;
	struct probes_options *probes = &options->probes;

	if (options->command && probes->pids_count)
		wrong("cannot use --pid with a command: it is the process to report");
	choose_columns(options, output);
	if (options->time == NO_TIME)
		drop_time(view);
	view->iso = options->time == ISO;
	check_sort(view);
	probes->pids = options->pids;
	probes->parts = view_parts(view);
	probes->follow = options->command;
	check_layer(options);
	if (probes->layer == LAYER_IP || probes->parts & (PART_CGROUP | PARTS_ENDS) ||
	    probes->filter.kinds & (FILTER_NET | FILTER_PORT | FILTER_LOOPBACK))
		need_cgroups(options);
	if (!options->interval && !options->command)
		options->interval = options->mode == PIN ? PINNED_INTERVAL : 1000000000;
	/* a report must come between the last bytes of what is idle and the loss of its place: of a
	 * command it may be the last one */
	probes->idle_after = options->interval && !(options->command && options->count)
				     ? options->interval + 1000000000
				     : ~0ULL;
}

/* Which modes the option is for: a bit for each. */
static unsigned modes_of(int option)
{
	switch (option) {
	case 'v':
		return 1 << READ | 1 << PIN | 1 << STATUS | 1 << UNPIN;
	case 'i': case 'o': case 'p': case USER: case CGROUP_OPTION: case PROTO: case PORT:
	case NET: case NO_LOOPBACK: case MAX_PROCESSES_OPTION: case MAX_ENTRIES_OPTION: case ATTACH:
		return 1 << READ | 1 << PIN;
	case 'f': case NO_HEADER: case TIME_OPTION: case TO:
		return 1 << READ | 1 << STATUS;
	case PIN_OPTION: case PIN_GROUP: case REPLACE:
		return 1 << PIN;
	case STATUS_OPTION:
		return 1 << STATUS;
	case UNPIN_OPTION:
		return 1 << UNPIN;
	default:
		return 1 << READ;
	}
}

static const char *name_of(int option)
{
	const struct option *known = long_options;

	while (known->val != option)
		known++;
	return known->name;
}

/* Every option that was given must have a meaning for what is to be done. */
static void check_mode(struct options *options, const bool given[OPTIONS])
{
	static const char *const modes[] = { [PIN] = "--pin", [UNPIN] = "--unpin",
					     [STATUS] = "--status" };

	for (int i = 0; i < OPTIONS; i++) {
		if (!given[i] || modes_of(i) & 1U << options->mode)
			continue;
		if (options->mode == READ)
			wrong("cannot use --%s without --pin", name_of(i));
		wrong("cannot use --%s with %s", name_of(i), modes[options->mode]);
	}
	if (options->mode != READ && options->command)
		wrong("cannot use a command with %s", modes[options->mode]);
	if (options->from && options->no_pin)
		wrong("cannot use --from with --no-pin");
	if (options->from && options->command)
		wrong("cannot use --from with a command: it needs probes of its own");
}

/* An absolute path, whose parents can be found, without a slash at its end. */
static void check_dir(struct options *options)
{
	static char path[PATH_MAX] = "/";
	char whole[PATH_MAX] = "";
	const char *dir = options->pin.dir;
	size_t length;

	if (!*dir)
		wrong("cannot use '' for a directory: it is empty");
	if (*dir != '/' && !getcwd(whole, sizeof(whole)))
		wrong("cannot use '%s' for a directory: %s", dir, strerror(errno));
	length = strlen(whole);
	if (length + strlen(dir) > PATH_MAX - 128)
		wrong("cannot use '%s' for a directory: %s", dir, strerror(ENAMETOOLONG));
	snprintf(whole + length, sizeof(whole) - length, "/%s", dir);
	plain_path(path + 1, whole);
	options->pin.dir = path;
}

static void join(char *text, size_t size, char **words)
{
	for (size_t length = 0; *words && length + 1 < size; words++, length = strlen(text))
		snprintf(text + length, size - length, "%s%s", length ? " " : "", *words);
}

void options_parse(struct options *options, int argc, char **argv)
{
	static const char *const times[] = { "epoch", "iso", "none", NULL };
	const char *output = NULL, *last_argument = NULL;
	bool given[OPTIONS] = { false };
	int option;

	*options = (struct options){
		.probes = { .max_processes = MAX_PROCESSES,
			    .max_entries = MAX_ENTRIES,
			    .cgroup = -1,
			    .cgroup_root = -1 },
		.pin = { .dir = PIN_DIR },
		.view = { .window = 1 },
		.format = CSV,
		.header = true,
	};
	argv[0] = "netmon"; /* getopt names it in its messages */
	join(options->pin_command, sizeof(options->pin_command), argv);
	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		/* '--pin DIR', not '--pin=DIR' alone */
		if ((option == PIN_OPTION || option == STATUS_OPTION || option == UNPIN_OPTION) &&
		    !optarg && argv[optind] && *argv[optind] != '-')
			optarg = argv[optind++];
		last_argument = optarg;
		given[option] = true;
		if (option == 'o')
			choose_columns(options, output = optarg);
		else if (option == TIME_OPTION)
			options->time = (enum time_format)word("--time", optarg, times,
							       "epoch, iso or none");
		else
			parse_option(options, option, optarg);
	}
	if (optind < argc && (strcmp(argv[optind - 1], "--") || last_argument == argv[optind - 1]))
		wrong("cannot use argument '%s': put '--' before a command", argv[optind]);
	if (optind < argc)
		options->command = &argv[optind];
	check_mode(options, given);
	check_dir(options);
	combine(options, output);
	options->pin.verbose = options->probes.verbose;
}

void options_filter_reports(struct options *options)
{
	options->view.filter = &options->probes.filter;
	options->view.pids = options->pids;
	options->view.pids_count = options->probes.pids_count;
}
