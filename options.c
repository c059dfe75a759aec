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
#include "cgroup.h"
#include "message.h"
#include "options.h"
#include "unit.h"
#include "users.h"

enum { WRONG_USAGE = 2 };

/* The longest interval of readers of a pin, nanoseconds. */
#define PINNED_INTERVAL 10000000000ULL

/* The modes that accept an option: reading, pinning, showing a pin, removing one, checking. */
enum { R = 1 << READ, P = 1 << PIN, S = 1 << STATUS, U = 1 << UNPIN, C = 1 << CHECK };

/* Options that take one of several words, in the order of the enum. */
static const struct {
	const char *option;
	const char *words[6];
} word_lists[] = {
	{ "format", { "csv", "tsv", "jsonl", "table", "prom" } },
	{ "time", { "epoch", "iso", "local", "none" } },
	{ "units", { "si", "iec", "none" } },
	{ "layer", { "socket", "ip" } },
	{ "attach", { "auto", "tracepoint", "fexit", "kprobe" } },
};

static const char help_head[] =
	"Usage: netmon [OPTION]... [INTERVAL [COUNT]] [-- COMMAND [ARGUMENT]...]\n"
	"       netmon --check | --pin [DIR] | --status [DIR] | --unpin [DIR]\n"
	"Writes, every interval, how much each process sends and receives.\n"
	"With COMMAND: runs it and reports only it and its descendants, until it ends.\n"
	"\n"
	"Examples:\n"
	"  netmon -f table                      what uses the network, each second\n"
	"  netmon -o comm,raddr,rx_bytes 10 1   what programs receive from where, in 10 s\n"
	"  netmon -f jsonl --to log.jsonl 60    a log, one report a minute\n"
	"  netmon -f table -- make              what one command moves\n"
	"\n";

static const char help_tail[] =
	"\n"
	"Needs root, or CAP_BPF and CAP_PERFMON (also CAP_NET_ADMIN for --layer ip and\n"
	"the peers of datagrams), except to read what is pinned for your group.\n"
	"See also: man netmon\n";

/* Without pid: each process would have its own series. */
static const char prom_columns[] = "comm,rx_total,tx_total";
static const char default_columns[] = "time,pid,comm,rx_rate,tx_rate";

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay(format, arguments);
	va_end(arguments);
	fputs("Try 'netmon --help'.\n", stderr);
	exit(WRONG_USAGE);
}

/* Ends after --help and --version; a full disk is an error there too. */
__attribute__((noreturn)) static void done(void)
{
	if ((fflush(stdout) || ferror(stdout)) && errno != EPIPE) { /* head(1) has had enough */
		cannot("write", "standard output", NULL, NULL);
		exit(EXIT_FAILURE);
	}
	exit(EXIT_SUCCESS);
}

/* Parses a decimal number, with a fraction if `decimals` is not 0; digits beyond that many places are
 * ignored.  Returns the number times 10^decimals, which must be from `min` to `max`. */
static __u64 number(const char *option, const char *text, int decimals, __u64 min, __u64 max,
		    const char *range)
{
	__u64 value = 0;
	int places = -1; /* after the point; -1 before it */
	bool digits = false;
	const char *whole = decimals ? "" : "whole ";

	for (const char *p = text; *p; p++) {
		if (*p == '.' && decimals && places < 0) {
			places = 0;
			continue;
		}
		if (*p < '0' || *p > '9')
			wrong("cannot use '%s' for %s: not a %snumber: %s", text, option, whole, range);
		digits = true;
		if (places >= decimals || value > max)
			continue; /* out of range, but the rest decides whether it is a number */
		value = value > max / 10 ? max + 1 : 10 * value + (__u64)(*p - '0');
		places += places >= 0;
	}
	if (!digits)
		wrong("cannot use '%s' for %s: not a %snumber: %s", text, option, whole, range);
	for (int i = places < 0 ? 0 : places; i < decimals && value <= max; i++)
		value *= 10;
	if (value < min || value > max)
		wrong("cannot use '%s' for %s: out of range: %s", text, option, range);
	return value;
}

const char *const *option_words(const char *option)
{
	for (size_t i = 0; i < sizeof(word_lists) / sizeof(*word_lists); i++)
		if (!strcmp(option, word_lists[i].option))
			return word_lists[i].words;
	return NULL;
}

/* The index of the text among the option's words. */
static int word(const char *option, const char *text)
{
	const char *const *words = option_words(option);
	char list[64] = "";

	for (int i = 0; words[i]; i++) {
		if (!strcmp(text, words[i]))
			return i;
		strcat(list, !i ? "" : words[i + 1] ? ", " : " or ");
		strcat(list, words[i]);
	}
	wrong("cannot use '%s' for --%s: it takes %s", text, option, list);
}

__attribute__((noreturn)) static void no_column(const char *name, size_t length)
{
	char names[512] = "";

	if (!length)
		wrong("cannot find column '': separate names by one comma, without spaces");
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

/* Columns that a command adds to the default, except those in the list. */
static void add_command_columns(struct view *view, const char *list)
{
	static const char *const names[] = { "rx_total", "tx_total" };

	for (size_t i = 0; i < 2; i++)
		if (!list || !strstr(list, names[i]))
			add_columns(view, names[i]);
}

static void choose_columns(struct options *options)
{
	struct view *view = &options->view;
	const char *list = options->output; /* NULL: the default */

	view->columns_count = 0;
	if (list && !strcmp(list, "all")) {
		for (size_t i = 0; i < columns_count; i++)
			if (options->probes.layer == LAYER_IP || !column_counts_packets(&columns[i]))
				view->columns[view->columns_count++] = &columns[i];
		return;
	}
	if (!list || *list == '+') {
		add_columns(view, options->style.format == PROM ? prom_columns : default_columns);
		if (options->command && options->style.format != PROM)
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

static void parse_sort(struct options *options, const char *list)
{
	struct view *view = &options->view;

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
		if (!key->column && memchr(name, ':', length))
			wrong("cannot sort by '%.*s': write COLUMN, COLUMN:asc or COLUMN:desc", (int)length, name);
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

/* A sort key must be among the columns: without it, rows are sums over it. */
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

/* Calls add() for each element of a list. */
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

static void set_filter(struct options *options, __u32 kind, bool leave_out)
{
	struct netmon_filter *filter = &options->probes.filter;

	filter->kinds |= kind;
	filter->leave_out = leave_out ? filter->leave_out | kind : filter->leave_out & ~kind;
}

/* The same for a filter of that kind, whose list says what to count or, with '!' before each element,
 * what to leave out. */
static void each_filter(const char *option, const char *list,
			void (*add)(struct options *, const char *), struct options *options,
			__u32 kind)
{
	char *copy = strdup(list), *rest = copy, *element;
	bool leave_out = *list == '!';

	if (!copy)
		wrong("cannot read '%s' for %s: %s", list, option, strerror(errno));
	while ((element = strsep(&rest, ","))) {
		if ((*element == '!') != leave_out)
			wrong("cannot use '%s' for %s: put '!' before every element, or before none",
			      list, option);
		add(options, element + leave_out);
	}
	free(copy);
	set_filter(options, kind, leave_out);
}

static void too_many(const char *element, const char *option, int most)
{
	wrong("cannot use '%s' for %s: more than %d", element, option, most);
}

static void add_pid(struct options *options, const char *text)
{
	__u32 pid = (__u32)number("--pid", text, 0, 1, 4194304,
					 "from 1 to 4194304; --comm takes names");

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
	/* as the probes have it: ICMPv6 is ICMP, MPTCP is TCP */
	filter->protos[filter->protos_count++] = (__u32)(proto == 58 ? 1 : proto == 262 ? 6 : proto);
}

static void add_port(struct options *options, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;
	__u32 port = (__u32)number("--port", text, 0, 1, 65535, "from 1 to 65535");

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

/* Adds a network; `text` is the whole element of the list, for messages. */
static void add_network(struct options *options, const char *text, const char *address, bool leave_out)
{
	static const char form[] = "it takes ADDRESS, ADDRESS/BITS, private, loopback, "
				   "link-local or multicast";
	struct netmon_filter *filter = &options->probes.filter;
	struct netmon_network *net = &filter->nets[filter->nets_count];
	const char *slash = strchrnul(address, '/');
	char copy[INET6_ADDRSTRLEN];
	__u32 host_bits = 0;
	unsigned most;

	if (filter->nets_count == MAX_LISTED)
		too_many(text, "--net", MAX_LISTED);
	if ((size_t)(slash - address) >= sizeof(copy))
		wrong("cannot use '%s' for --net: %s", text, form);
	memcpy(copy, address, (size_t)(slash - address));
	copy[slash - address] = '\0';
	*net = (struct netmon_network){ .leave_out = leave_out };
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
	for (int i = 0; i < 4; i++) {
		host_bits |= net->address[i] & ~net->mask[i];
		net->address[i] &= net->mask[i];
	}
	inet_ntop(net->family == 4 ? AF_INET : AF_INET6, net->address, copy, sizeof(copy));
	if (host_bits)
		wrong("cannot use '%s' for --net: host bits are set: use %s/%u", text, copy, most);
	filter->nets_count++;
}

static void add_net(struct options *options, const char *text)
{
	/* RFC 1918, 4193; 1122, 4291; 3927, 4291; 5771, 4291 */
	static const struct {
		const char *name;
		const char *networks[5];
	} words[] = {
		{ "private", { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7" } },
		{ "loopback", { "127.0.0.0/8", "::1" } },
		{ "link-local", { "169.254.0.0/16", "fe80::/10" } },
		{ "multicast", { "224.0.0.0/4", "ff00::/8" } },
	};
	bool leave_out = *text == '!';
	const char *name = text + leave_out;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(name, words[i].name))
			continue;
		for (const char *const *network = words[i].networks; *network; network++)
			add_network(options, text, *network, leave_out);
		return;
	}
	add_network(options, text, name, leave_out);
}

static void add_iface(struct options *options, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;

	if (filter->ifaces_count == MAX_LISTED)
		too_many(text, "--iface", MAX_LISTED);
	if (!*text || strlen(text) >= IFACE_LEN)
		wrong("cannot use '%s' for --iface: a name has 1 to %d bytes", text, IFACE_LEN - 1);
	if (strpbrk(text, "*?["))
		wrong("cannot use '%s' for --iface: it takes names, not patterns", text);
	strcpy(filter->ifaces[filter->ifaces_count++], text);
}

static void add_user(struct options *options, const char *text)
{
	struct netmon_filter *filter = &options->probes.filter;

	if (filter->uids_count == MAX_LISTED)
		too_many(text, "--user", MAX_LISTED);
	if (!user_find(text, &filter->uids[filter->uids_count++]))
		wrong("cannot use '%s' for --user: no such user", text);
}

static void need_cgroups(struct options *options)
{
	if (options->probes.cgroup_root < 0)
		options->probes.cgroup_root = cgroup_root_open();
}

/* Copies a path in the form of the column, without the slash at its beginning. */
static void normalize_path(char *to, const char *path)
{
	char *end = to;

	for (const char *name = path, *next; *name; name = next + (*next == '/')) {
		next = strchrnul(name, '/');
		if (next == name || (next - name == 1 && *name == '.'))
			continue;
		if (end > to)
			*end++ = '/';
		end = mempcpy(end, name, (size_t)(next - name));
	}
	*end = '\0';
}

static void parse_pids(struct options *options, const char *text)
{
	options->probes.pids_count = 0;
	each_filter("--pid", text, add_pid, options, FILTER_PIDS);
}

/* The patterns point into the copy, which is PATH_MAX bytes. */
static void parse_patterns(struct patterns *patterns, const char *option, const char *text, char *copy)
{
	char *element;

	if (strlen(text) >= PATH_MAX)
		wrong("cannot use '%s' for %s: %s", text, option, strerror(ENAMETOOLONG));
	strcpy(copy, text);
	patterns->count = 0;
	while ((element = strsep(&copy, ","))) {
		bool leave_out = *element == '!';

		if (patterns->count == MAX_PATTERNS)
			too_many(element, option, MAX_PATTERNS);
		patterns->list[patterns->count].text = element + leave_out;
		patterns->list[patterns->count++].leave_out = leave_out;
	}
}

/* The length of the shortest text that the pattern matches. */
static size_t least_length(const char *pattern)
{
	size_t length = 0;

	for (const char *p = pattern; *p; p++) {
		const char *end = *p == '[' ? strrchr(p, ']') : NULL; /* or less */

		length += *p != '*';
		p = end ? end : p;
	}
	return length;
}

/* The kernel cuts a process's name. */
static void parse_comm(struct options *options, const char *text)
{
	static char copy[PATH_MAX];
	struct patterns *comms = &options->view.comms;

	parse_patterns(comms, "--comm", text, copy);
	for (size_t i = 0; i < comms->count; i++) {
		const char *name = comms->list[i].text;

		if (strlen(name) >= COMM_LEN && !strpbrk(name, "*?["))
			wrong("cannot use '%s' for --comm: a name has at most %d bytes: use '%.*s'", name,
			      COMM_LEN - 1, COMM_LEN - 1, name);
		if (least_length(name) >= COMM_LEN)
			wrong("cannot use '%s' for --comm: a name has at most %d bytes", name, COMM_LEN - 1);
	}
}

/* Brings the path into the form of the column; "" is the root, which all others are below.  A path
 * that is no pattern must exist. */
static void parse_path(struct options *options, struct pattern *pattern, char *normal)
{
	const char *path = pattern->text;
	struct probes_options *probes = &options->probes;

	if (!*path)
		wrong("cannot use '' for --cgroup: it takes paths and patterns, separated by commas");
	pattern->text = normal;
	*normal = '/';
	normalize_path(normal + (*path != '*'), path);
	if (!normal[1])
		*normal = '\0';
	if (strpbrk(path, "*?["))
		return;
	need_cgroups(options);
	if (probes->cgroup_root < 0)
		wrong("cannot use '%s' for --cgroup: no cgroup v2 can be opened: %s", path, strerror(errno));
	if (probes->cgroup >= 0)
		close(probes->cgroup);
	probes->cgroup = cgroup_open(probes->cgroup_root, normal);
	if (probes->cgroup < 0)
		wrong("cannot use '%s' for --cgroup: no such cgroup: %s", path, strerror(errno));
}

/* A single path is left to the probes; lists and patterns to the reports, by the column's text. */
static void parse_cgroups(struct options *options, const char *text)
{
	static char copy[PATH_MAX], normal[PATH_MAX + 2 * MAX_PATTERNS];
	struct patterns *cgroups = &options->cgroups;
	const char *first = text + (*text == '!');
	char *next = normal;

	parse_patterns(cgroups, "--cgroup", text, copy);
	for (size_t i = 0; i < cgroups->count; i++, next += strlen(next) + 1)
		parse_path(options, &cgroups->list[i], next);
	options->probes.filter.kinds &= ~(__u32)FILTER_CGROUP;
	if (!strpbrk(first, ",*?["))
		set_filter(options, FILTER_CGROUP, *text == '!');
}

static void parse_users(struct options *options, const char *text)
{
	options->probes.filter.uids_count = 0;
	each_filter("--user", text, add_user, options, FILTER_UID);
}

static void parse_unit(struct options *options, const char *text)
{
	static char copy[PATH_MAX];

	parse_patterns(&options->view.units, "--unit", text, copy);
	for (size_t i = 0; i < options->view.units.count; i++)
		if (!strpbrk(options->view.units.list[i].text, ".*?["))
			wrong("cannot use '%s' for --unit: a unit's name ends in its type, such as "
			      "nginx.service", options->view.units.list[i].text);
}

/* An id may be given whole, or by its first digits. */
static void check_container(struct pattern *pattern)
{
	size_t length = strlen(pattern->text);

	if (!length)
		wrong("cannot use '' for --container: it takes names, ids and patterns, separated by commas");
	pattern->is_id = length <= CONTAINER_ID && strspn(pattern->text, HEX_DIGITS) == length;
}

static void parse_container(struct options *options, const char *text)
{
	static char copy[PATH_MAX];

	parse_patterns(&options->view.containers, "--container", text, copy);
	for (size_t i = 0; i < options->view.containers.count; i++)
		check_container(&options->view.containers.list[i]);
}

static void parse_protos(struct options *options, const char *text)
{
	options->probes.filter.protos_count = 0;
	each_filter("--proto", text, add_proto, options, FILTER_PROTO);
}

static void parse_ports(struct options *options, const char *text)
{
	options->probes.filter.ports_count = 0;
	each_filter("--port", text, add_port, options, FILTER_PORT);
}

static void parse_nets(struct options *options, const char *text)
{
	options->probes.filter.nets_count = 0;
	each("--net", text, add_net, options);
	options->probes.filter.kinds |= FILTER_NET;
}

static void parse_ifaces(struct options *options, const char *text)
{
	options->probes.filter.ifaces_count = 0;
	each_filter("--iface", text, add_iface, options, FILTER_IFACE);
}

static void parse_no_loopback(struct options *options, const char *text)
{
	(void)text;
	options->probes.filter.kinds |= FILTER_LOOPBACK;
}

/* Options without an argument */
#define FLAG(name, member, value)                                                          \
	static void parse_##name(struct options *options, const char *text)                \
	{                                                                                  \
		(void)text;                                                                \
		options->member = value;                                                   \
	}
FLAG(quiet, quiet, true)
FLAG(append, append, true)
FLAG(no_header, style.header, false)
FLAG(total, view.total, true)
FLAG(all, view.all, true)
FLAG(verbose, probes.verbose, true)
FLAG(replace, pin.replace, true)
FLAG(no_pin, no_pin, true)

static void parse_interval(struct options *options, const char *text)
{
	options->interval = number("--interval", text, 9, 10000000ULL, 86400000000000ULL,
				   "seconds from 0.01 to 86400");
}

static void parse_count(struct options *options, const char *text)
{
	options->count = number("--count", text, 0, 1, 1ULL << 62, "from 1");
}

static void parse_window(struct options *options, const char *text)
{
	options->view.window = number("--window", text, 0, 1, 3600, "from 1 to 3600");
}

static void parse_to(struct options *options, const char *text)
{
	if (!*text)
		wrong("cannot use '' for --to: it takes the name of a file");
	options->to = text;
}

static void parse_format(struct options *options, const char *text)
{
	options->style.format = (enum format)word("format", text);
}

static void parse_output(struct options *options, const char *text)
{
	options->output = text;
	options->view.columns_count = 0;
	if (strcmp(text, "all"))
		add_columns(&options->view, text + (*text == '+'));
}

static void parse_time(struct options *options, const char *text)
{
	options->style.time = (enum time_format)word("time", text);
}

static void parse_units(struct options *options, const char *text)
{
	options->style.units = (enum units)word("units", text);
}

static void parse_top(struct options *options, const char *text)
{
	options->view.top = number("--top", text, 0, 1, 1ULL << 62, "from 1");
}

static void parse_layer(struct options *options, const char *text)
{
	options->probes.layer = (enum layer)word("layer", text);
}

static void parse_max_processes(struct options *options, const char *text)
{
	options->own = "--max-processes";
	options->probes.max_processes = (__u32)number("--max-processes", text, 0, 1, 4194304,
						      "from 1 to 4194304");
}

static void parse_max_entries(struct options *options, const char *text)
{
	options->own = "--max-entries";
	options->probes.max_entries = (__u32)number("--max-entries", text, 0, 1, 4194304,
						    "from 1 to 4194304");
}

static void parse_attach(struct options *options, const char *text)
{
	options->own = "--attach";
	options->probes.attach = (enum attach)word("attach", text);
}

static void set_mode(struct options *options, enum mode mode, const char *dir)
{
	if (options->mode != READ && options->mode != mode)
		wrong("cannot use --check, --pin, --status and --unpin at the same time");
	options->mode = mode;
	if (dir)
		options->pin.dir = dir;
}

static void parse_check(struct options *options, const char *text)
{
	set_mode(options, CHECK, text);
}

static void parse_pin(struct options *options, const char *dir)
{
	set_mode(options, PIN, dir);
}

static void parse_status(struct options *options, const char *dir)
{
	set_mode(options, STATUS, dir);
}

static void parse_unpin(struct options *options, const char *dir)
{
	set_mode(options, UNPIN, dir);
}

static void parse_pin_group(struct options *options, const char *text)
{
	if (!group_find(text, &options->pin.gid))
		wrong("cannot use '%s' for --pin-group: no such group", text);
	options->pin.group = text;
}

static void parse_from(struct options *options, const char *dir)
{
	options->pin.dir = dir;
	options->from = true;
}

__attribute__((noreturn)) static void parse_version(struct options *options, const char *text)
{
	(void)options;
	(void)text;
	puts("netmon " NETMON_VERSION);
	done();
}

__attribute__((noreturn)) static void parse_help(struct options *options, const char *text);

/* The order is that of --help. */
const struct known_option known_options[] = {
	{ .help = "Reports:" },
	{ "interval", 'i', "SECONDS", R | P, "time between reports, 0.01 to 86400 (1; with COMMAND:\n"
	  "one report at its end)", parse_interval },
	{ "count", 'n', "N", R, "end after N reports", parse_count },
	{ "window", 'w', "K", R, "average rates over K intervals, 1 to 3600 (1)", parse_window },
	{ "to", 0, "FILE", R | S, "write to FILE, not to standard output (with COMMAND:\n"
	  "standard error)", parse_to },
	{ "append", 0, NULL, R | S, "with --to: append to FILE", parse_append },

	{ .help = "Rows:" },
	{ "format", 'f', "FORMAT", R | S, "csv, tsv, jsonl; table for people; prom for\n"
	  "Prometheus (csv)",
	  parse_format },
	{ "output", 'o', "COLUMNS", R | P, "the columns, separated by commas; +COLUMNS adds to\n"
	  "the default (time,pid,comm,rx_rate,tx_rate) and, with\n"
	  "COMMAND, rx_total,tx_total; all: all of the layer", parse_output },
	{ "no-header", 0, NULL, R | S, "leave out the line of column names", parse_no_header },
	{ "time", 0, "HOW", R | S, "epoch, iso, local or none (epoch; in a table local)", parse_time },
	{ "units", 0, "UNITS", R, "in a table: si (1.2M), iec (1.1Mi) or none (si)",
	  parse_units },
	{ "sort", 's', "COLUMNS", R, "by COL, COL:asc or COL:desc, separated by commas;\n"
	  "measures descend, keys ascend (most traffic first)", parse_sort },
	{ "top", 't', "N", R, "at most N rows in a report", parse_top },
	{ "total", 0, NULL, R, "add a row (total), the sum of all rows", parse_total },
	{ "all", 'a', NULL, R, "also write rows without traffic in the interval", parse_all },

	{ .help = "What is counted:" },
	{ "layer", 0, "LAYER", R, "socket: payload, at the calls; ip: IP packets with\n"
	  "their headers (socket)", parse_layer },

	{ .help = "Filters; traffic is counted if it passes all.  Each takes a list, separated by\n"
		  "commas; '!' before each element inverts it; patterns have * ? [...]:" },
	{ "pid", 'p', "PIDS", R | P, "only these processes", parse_pids },
	{ "comm", 0, "PATTERNS", R, "only processes whose name matches", parse_comm },
	{ "user", 0, "USERS", R | P, "only processes of these users, by name or id", parse_users },
	{ "cgroup", 0, "PATTERNS", R | P, "only processes in matching cgroups (version 2) or\n"
	  "below; paths without * ? [...] must exist", parse_cgroups },
	{ "unit", 0, "PATTERNS", R, "only processes in matching systemd units", parse_unit },
	{ "container", 0, "NAMES", R, "only processes in matching containers, by name or by\n"
	  "the first digits of the id", parse_container },
	{ "proto", 0, "PROTOCOLS", R | P, "only these protocols, by name or number", parse_protos },
	{ "port", 0, "PORTS", R | P, "only traffic with one of these ports at either end", parse_ports },
	{ "net", 0, "NETWORKS", R | P, "only remote addresses in these: ADDRESS[/BITS],\n"
	  "private, loopback, link-local, multicast", parse_nets },
	{ "no-loopback", 0, NULL, R | P, "leave out traffic that stays on this host", parse_no_loopback },
	{ "iface", 0, "NAMES", R, "with --layer ip: only packets at these interfaces", parse_ifaces },

	{ .help = "Probes:" },
	{ "max-processes", 0, "N", R | P, "live processes counted separately, up to 4194304\n"
	  "(16384)",
	  parse_max_processes },
	{ "max-entries", 0, "N", R | P, "connections or other keys counted separately, up to\n"
	  "4194304 (65536)", parse_max_entries },
	{ "attach", 0, "WAY", R | P, "auto, tracepoint, fexit or kprobe (auto)", parse_attach },
	{ "check", 0, NULL, C, "report what can be counted here; exit status 0:\n"
	  "everything, 3: a part, 1: nothing", parse_check },
	{ "verbose", 'v', NULL, R | P | S | U | C, "report how each probe is attached", parse_verbose },
	{ "quiet", 'q', NULL, R | P, "no line on what cannot be counted on this kernel", parse_quiet },

	{ .help = "Probes pinned in DIR (/sys/fs/bpf/netmon), for any netmon to read:" },
	{ "pin", 0, "[DIR]", P, "load, attach and pin them, and end", parse_pin },
	{ "pin-group", 0, "GROUP", P, "with --pin: let its members read without root", parse_pin_group },
	{ "replace", 0, NULL, P, "with --pin: replace what is pinned there", parse_replace },
	{ "status", 0, "[DIR]", S, "describe what is pinned", parse_status },
	{ "unpin", 0, "[DIR]", U, "remove what is pinned", parse_unpin },
	{ "from", 0, "DIR", R, "read what is pinned in DIR", parse_from },
	{ "no-pin", 0, NULL, R, "ignore pinned probes", parse_no_pin },

	{ .help = "Help:" },
	{ "help", 'h', NULL, R, "this text", parse_help },
	{ "version", 'V', NULL, R, "the version", parse_version },
};

enum { OPTIONS = sizeof(known_options) / sizeof(*known_options), FIRST_VALUE = 256 };

const size_t known_options_count = OPTIONS;

static bool is_optional(const struct known_option *option)
{
	return option->argument && *option->argument == '[';
}

/* One option of --help: its name and, from one column on, what it does. */
static void print_option(const struct known_option *option)
{
	const char *line = option->help, *end = strchrnul(line, '\n');
	const char *argument = option->argument ? option->argument : "";
	char letter[] = { '-', option->letter, ',', '\0' };
	int width = 18 - (int)strlen(option->name);

	printf("  %3s --%s%s%-*s %.*s\n", option->letter ? letter : "", option->name,
	       *argument ? " " : "", width - (*argument != '\0'), argument, (int)(end - line), line);
	while (*end) {
		line = end + 1;
		end = strchrnul(line, '\n');
		printf("%27s%.*s\n", "", (int)(end - line), line);
	}
}

static void parse_help(struct options *options, const char *text)
{
	(void)options;
	(void)text;
	fputs(help_head, stdout);
	for (size_t i = 0; i < OPTIONS; i++) {
		if (known_options[i].name)
			print_option(&known_options[i]);
		else
			printf("%s%s\n", i ? "\n" : "", known_options[i].help);
	}
	puts("\nColumns:");
	for (size_t i = 0; i < columns_count; i++)
		printf("  %-10s %s\n", columns[i].name, columns[i].help);
	fputs(help_tail, stdout);
	done();
}

/* Options and columns that only one layer has. */
static void check_layer(const struct options *options)
{
	const struct probes_options *probes = &options->probes;

	if (probes->layer == LAYER_IP && options->from)
		wrong("cannot use --from with --layer ip: pinned probes count calls");
	if (probes->layer == LAYER_IP && probes->attach)
		wrong("cannot use --attach with --layer ip: there is only one way to count packets");
	if (probes->layer == LAYER_SOCKET && probes->filter.kinds & FILTER_IFACE)
		wrong("cannot use --iface without --layer ip: a call has no interface");
	if (probes->layer == LAYER_SOCKET && probes->parts & PART_IFACE)
		wrong("cannot use column 'iface' without --layer ip: a call has no interface");
	if (probes->layer == LAYER_SOCKET && probes->retransmits)
		wrong("cannot use column 'tx_retrans' without --layer ip: calls are not retransmitted");
}

static void check_style(struct style *style)
{
	if (style->units != ANY_UNITS && style->format != TABLE)
		wrong("cannot use --units without --format table: other formats have plain numbers");
	if (style->time != BY_FORMAT && style->format == PROM)
		wrong("cannot use --time with --format prom: Prometheus has its own time format");
	if (style->time == BY_FORMAT)
		style->time = style->format == TABLE ? LOCAL : EPOCH;
}

/* Idle processes have a series too: Prometheus cannot derive a rate from one with gaps. */
static void check_prom(struct options *options)
{
	struct view *view = &options->view;
	bool measures = false;

	if (options->mode == STATUS)
		wrong("cannot use --format prom with --status");
	if (view->total)
		wrong("cannot use --total with --format prom: Prometheus sums series itself");
	if (options->append)
		wrong("cannot use --append with --format prom: each report replaces the file");
	for (size_t i = 0; i < view->columns_count; i++)
		measures |= view->columns[i]->kind != KEY;
	if (!measures)
		wrong("cannot use --format prom: -o has no column with a number to report");
	view->series = view->all = true;
}

/* --check tries everything that any option needs. */
static void check_all(struct options *options)
{
	options->probes.parts = PART_PROCESS | PART_PROTO | PARTS_CALLER | PARTS_ENDS;
	options->probes.follow = options->probes.verbose = true;
}

/* The reports apply what the probes cannot. */
static void choose_cgroups(struct options *options)
{
	if (options->probes.filter.kinds & FILTER_CGROUP || !options->cgroups.count)
		return;
	if (options->mode == PIN)
		wrong("cannot use a list or a pattern for --cgroup with --pin: pinned probes take one path");
	options->view.cgroups = options->cgroups;
}

/* Checks and settings that depend on several options. */
static void combine(struct options *options)
{
	struct view *view = &options->view;
	struct probes_options *probes = &options->probes;

	if (options->command && options->count && !options->interval)
		wrong("cannot use --count with a command without --interval: it is reported once, at its end");
	if (options->command && probes->pids_count)
		wrong("cannot use --pid with a command: the command is the process to report");
	choose_columns(options);
	check_style(&options->style);
	if (options->style.format == PROM)
		check_prom(options);
	if (options->style.time == NO_TIME)
		drop_time(view);
	check_sort(view);
	choose_cgroups(options);
	probes->pids = options->pids;
	probes->parts = view_parts(view);
	probes->retransmits = view_needs(view, "tx_retrans");
	probes->follow = options->command;
	probes->libbpf = probes->verbose;
	if (options->mode == CHECK)
		check_all(options);
	check_layer(options);
	if (options->mode == CHECK || probes->layer == LAYER_IP || probes->parts & (PART_CGROUP | PARTS_ENDS) ||
	    probes->filter.kinds & (FILTER_NET | FILTER_PORT | FILTER_LOOPBACK))
		need_cgroups(options);
	if (!options->interval && !options->command)
		options->interval = options->mode == PIN ? PINNED_INTERVAL : 1000000000;
	/* an idle key keeps its row until a report has it: with a command, that might be the last report */
	probes->idle_after = options->interval && !(options->command && options->count)
				     ? options->interval + 1000000000
				     : ~0ULL;
}

/* Refuses options that have no meaning in this mode. */
static void check_mode(struct options *options, const bool given[OPTIONS])
{
	static const char *const modes[] = { [PIN] = "--pin", [UNPIN] = "--unpin",
					     [STATUS] = "--status", [CHECK] = "--check" };

	for (int i = 0; i < OPTIONS; i++) {
		if (!given[i] || known_options[i].modes & 1U << options->mode)
			continue;
		if (options->mode == READ)
			wrong("cannot use --%s without --pin", known_options[i].name);
		if (options->mode == PIN && known_options[i].parse == parse_layer)
			wrong("cannot use --layer with --pin: pinned probes count calls");
		wrong("cannot use --%s with %s%s", known_options[i].name, modes[options->mode],
		      options->mode == PIN && known_options[i].modes & R && known_options[i].parse != parse_no_pin
			      ? ": give it to the netmon that reads the pin" : "");
	}
	if (options->mode != READ && options->command)
		wrong("cannot use a command with %s", modes[options->mode]);
	if (options->from && options->no_pin)
		wrong("cannot use --from with --no-pin");
	if (options->from && options->command)
		wrong("cannot use --from with a command: a command has its own probes");
	if (options->append && !options->to)
		wrong("cannot use --append without --to");
}

/* Makes an absolute path without a slash at its end, so that its parents can be found. */
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
	normalize_path(path + 1, whole);
	if (options->mode == PIN && pin_is_new(path))
		wrong("cannot pin to '%s': netmon makes pins under names that end in -new- and a number", path);
	options->pin.dir = path;
}

static void join(char *text, size_t size, char **words)
{
	for (size_t length = 0; *words && length + 1 < size; words++, length = strlen(text))
		snprintf(text + length, size - length, "%s%s", length ? " " : "", *words);
}

/* Makes the arguments of getopt_long() from the table: the value of a long option is its index. */
static void fill_getopt(struct option long_options[], char *letters)
{
	*letters++ = '+'; /* a command's options are its own */
	*letters++ = ':'; /* distinguishes a missing argument from an unknown option */
	for (int i = 0; i < OPTIONS; i++) {
		const struct known_option *known = &known_options[i];

		if (!known->name)
			continue;
		*long_options++ = (struct option){
			.name = known->name,
			.has_arg = is_optional(known)  ? optional_argument
				   : known->argument ? required_argument
						     : no_argument,
			.val = FIRST_VALUE + i,
		};
		if (!known->letter)
			continue;
		*letters++ = known->letter;
		if (known->argument)
			*letters++ = ':';
	}
}

/* Replaces the messages of getopt_long(), which do not escape the argument. */
__attribute__((noreturn)) static void no_option(const char *argument)
{
	size_t length = strcspn(argument, "=");
	char names[512] = "";

	for (int i = 0; i < OPTIONS && length > 2 && !strncmp(argument, "--", 2); i++) {
		if (!known_options[i].name || strncmp(known_options[i].name, argument + 2, length - 2))
			continue;
		strcat(names, " --");
		strcat(names, known_options[i].name);
	}
	if (*names)
		wrong("cannot use '%s': it can mean%s", argument, names);
	wrong("cannot use '%s': no such option", argument);
}

__attribute__((noreturn)) static void wrong_option(bool incomplete, const char *argument)
{
	char letter[] = { '-', (char)optopt, '\0' };
	bool known = incomplete || optopt >= FIRST_VALUE;

	if (optopt && optopt < FIRST_VALUE)
		argument = letter;
	if (!known)
		no_option(argument);
	wrong("cannot use '%s': it %s an argument", argument, incomplete ? "needs" : "does not take");
}

/* The index of the option that getopt_long() returned. */
static int find_option(int value, const char *argument)
{
	if (value >= FIRST_VALUE)
		return value - FIRST_VALUE;
	for (int i = 0; i < OPTIONS; i++)
		if (known_options[i].letter == value && value)
			return i;
	wrong_option(value == ':', argument);
}

/* Whether getopt_long() has come to '--', which is no option's argument. */
static bool is_end(char **argv, const char *last_argument)
{
	return !strcmp(argv[optind - 1], "--") && argv[optind - 1] != last_argument;
}

static bool is_number(char **argv, const char *last_argument)
{
	const char *argument = argv[optind];

	return argument && strspn(argument, "0123456789.") && !is_end(argv, last_argument);
}

/* Parses the options, INTERVAL and COUNT, and finds the command behind them. */
static void parse_arguments(struct options *options, int argc, char **argv, bool given[OPTIONS])
{
	struct option long_options[OPTIONS + 1] = { 0 };
	char letters[2 * OPTIONS + 3] = "";
	const char *last_argument = NULL;
	static const char operands[] = "in"; /* INTERVAL and COUNT, by their options */
	size_t count = 0;
	bool ends;

	fill_getopt(long_options, letters);
	for (;;) {
		int value = getopt_long(argc, argv, letters, long_options, NULL), option;

		if (value == -1 && (count == 2 || !is_number(argv, last_argument)))
			break;
		option = find_option(value == -1 ? operands[count++] : value, argv[optind - 1]);
		if (value == -1 && given[option])
			wrong("cannot use argument '%s': --%s is already given", argv[optind],
			      known_options[option].name);
		/* '--pin DIR', not '--pin=DIR' alone */
		if (value == -1 || (is_optional(&known_options[option]) && !optarg &&
				    argv[optind] && *argv[optind] != '-'))
			optarg = argv[optind++];
		last_argument = optarg;
		given[option] = true;
		known_options[option].parse(options, optarg);
	}
	ends = is_end(argv, last_argument);
	if (optind < argc && !ends)
		wrong("cannot use argument '%s': put '--' before a command, and no spaces in a list",
		      argv[optind]);
	if (ends && (optind == argc || !*argv[optind]))
		wrong("cannot run '': there is no command after '--'");
	if (optind < argc)
		options->command = &argv[optind];
}

void options_parse(struct options *options, int argc, char **argv)
{
	bool given[OPTIONS] = { false };

	*options = (struct options){
		.probes = { .max_processes = MAX_PROCESSES,
			    .max_entries = MAX_ENTRIES,
			    .cgroup = -1,
			    .cgroup_root = -1 },
		.pin = { .dir = PIN_DIR },
		.view = { .window = 1 },
		.style = { .format = CSV, .time = BY_FORMAT, .header = true, .units = ANY_UNITS },
	};
	argv[0] = "netmon";
	join(options->pin_command, sizeof(options->pin_command), argv);
	parse_arguments(options, argc, argv, given);
	check_mode(options, given);
	check_dir(options);
	combine(options);
	options->pin.verbose = options->probes.verbose;
}

void options_filter_reports(struct options *options)
{
	options->view.filter = &options->probes.filter;
	options->view.cgroups = options->cgroups;
	options->view.pids = options->pids;
	options->view.pids_count = options->probes.pids_count;
}
