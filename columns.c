// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>
#include "columns.h"

static struct value integer(__u64 number)
{
	return (struct value){ .type = INTEGER, .number = number };
}

static struct value unknown(void)
{
	return (struct value){ .type = UNKNOWN };
}

/* A number; 0 means that it is unknown. */
static struct value nonzero(__u64 number)
{
	return number ? integer(number) : unknown();
}

/* A field of a fixed size, which may have no NUL. */
static struct value text(const char *bytes, size_t size)
{
	return (struct value){ .type = TEXT, .text = bytes, .length = strnlen(bytes, size) };
}

static struct value name(const char *string)
{
	if (!string)
		return unknown();
	return (struct value){ .type = TEXT, .text = string, .length = strlen(string) };
}

/* As ss(8) and the protocols(5) file have them. */
static const struct {
	__u16 number;
	const char *name;
} protos[] = {
	{ 1, "icmp" },    /* ICMPv6 too: see family */
	{ 2, "igmp" },   { 6, "tcp" },   { 17, "udp" },   { 33, "dccp" },  { 47, "gre" },
	{ 50, "esp" },   { 51, "ah" },   { 89, "ospf" },  { 103, "pim" },  { 112, "vrrp" },
	{ 115, "l2tp" }, { 132, "sctp" }, { 136, "udplite" },
	{ PROTO_PACKET, "packet" },
};

static const char *proto_name(__u16 number)
{
	for (size_t i = 0; i < sizeof(protos) / sizeof(*protos); i++)
		if (protos[i].number == number)
			return protos[i].name;
	return NULL;
}

int proto_find(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(protos) / sizeof(*protos); i++)
		if (strlen(protos[i].name) == length && !memcmp(protos[i].name, name, length))
			return protos[i].number;
	return -1;
}

static bool knows(const struct row *row, enum netmon_part part)
{
	return row->entry->known & (__u32)part;
}

static struct value get_time(const struct row *row, const void *field)
{
	(void)field;
	return (struct value){ .type = TIME, .number = row->time };
}

static struct value get_dt(const struct row *row, const void *field)
{
	(void)field;
	return (struct value){ .type = DECIMAL, .number = (row->dt + 500) / 1000, .decimals = 6 };
}

static struct value get_pid(const struct row *row, const void *field)
{
	(void)field;
	return integer(row->entry->pid);
}

static struct value get_comm(const struct row *row, const void *field)
{
	(void)field;
	return text(row->entry->comm, COMM_LEN);
}

static struct value get_ppid(const struct row *row, const void *field)
{
	(void)field;
	return row->entry->pid ? integer(row->entry->ppid) : unknown();
}

/* Distinguishes rows that no process owns from a process of the same name. */
static struct value get_kind(const struct row *row, const void *field)
{
	const struct netmon_entry *entry = row->entry;

	(void)field;
	return name(row->is_total	? "total"
		    : !entry->known	? "other"
		    : !entry->pid	? "kernel"
					: "process");
}

static struct value get_uid(const struct row *row, const void *field)
{
	(void)field;
	return knows(row, PART_UID) ? integer(row->entry->key.uid) : unknown();
}

static struct value get_netns(const struct row *row, const void *field)
{
	(void)field;
	return nonzero(row->entry->key.netns);
}

static struct value get_proto(const struct row *row, const void *field)
{
	const char *proto = proto_name(row->entry->key.proto);

	(void)field;
	if (!knows(row, PART_PROTO))
		return unknown();
	return proto ? name(proto) : integer(row->entry->key.proto);
}

static struct value get_family(const struct row *row, const void *field)
{
	(void)field;
	return nonzero(row->entry->key.family);
}

static struct value address(const struct row *row, const __u32 bytes[4])
{
	return (struct value){ .type = ADDRESS,
			       .number = row->entry->key.family,
			       .text = (const char *)bytes,
			       .length = row->entry->key.family == 4 ? 4 : 16 };
}

/* 0.0.0.0 and :: are the address of a socket that is bound to any address of the host. */
static struct value get_laddr(const struct row *row, const void *field)
{
	const struct netmon_key *key = &row->entry->key;

	(void)field;
	return key->family ? address(row, key->laddr) : unknown();
}

static struct value get_raddr(const struct row *row, const void *field)
{
	const __u32 *a = row->entry->key.raddr;

	(void)field;
	return a[0] | a[1] | a[2] | a[3] ? address(row, a) : unknown();
}

static struct value get_lport(const struct row *row, const void *field)
{
	(void)field;
	return nonzero(row->entry->key.lport);
}

static struct value get_rport(const struct row *row, const void *field)
{
	(void)field;
	return nonzero(row->entry->key.rport);
}

static struct value get_iface(const struct row *row, const void *field)
{
	const char *iface = row->entry->key.iface;

	(void)field;
	return *iface ? text(iface, IFACE_LEN) : unknown();
}

/* A name that was looked up. */
static struct value get_name(const struct row *row, const void *field)
{
	const char *const *string = field;

	(void)row;
	return name(*string);
}

static struct value get_count(const struct row *row, const void *field)
{
	const __u64 *count = field;

	(void)row;
	return integer(*count);
}

static struct value get_rate(const struct row *row, const void *field)
{
	const __u64 *bytes = field;

	return integer(throughput(*bytes, row->span));
}

/* An address also needs its IP version. */
enum { LADDR = PART_LADDR | PART_FAMILY, RADDR = PART_RADDR | PART_FAMILY };

#define AT(member) offsetof(struct row, member)

const struct column columns[] = {
	{ "time", REPORT, TIME, 0, "when the interval ended: seconds since the epoch", get_time, 0 },
	{ "dt", REPORT, DECIMAL, 0, "the interval's true length: seconds", get_dt, 0 },
	{ "pid", KEY, INTEGER, PART_PROCESS, "process (thread group) in the initial pid namespace", get_pid, 0 },
	{ "comm", KEY, TEXT, PART_PROCESS, "its name", get_comm, 0 },
	{ "ppid", KEY, INTEGER, PART_PROCESS, "its parent process", get_ppid, 0 },
	{ "cmd", KEY, TEXT, PART_PROCESS, "its command line; empty once it has ended", get_name, AT(cmd) },
	{ "kind", KEY, TEXT, PART_PROCESS, "process, kernel, other or total: see the manual", get_kind, 0 },
	{ "uid", KEY, INTEGER, PART_UID, "its effective user id", get_uid, 0 },
	{ "user", KEY, TEXT, PART_UID, "that user's name", get_name, AT(user) },
	{ "cgroup", KEY, TEXT, PART_CGROUP, "path of its cgroup (version 2)", get_name, AT(cgroup) },
	{ "unit", KEY, TEXT, PART_CGROUP, "systemd's unit in that path", get_name, AT(unit) },
	{ "container", KEY, TEXT, PART_CGROUP, "container in that path: 12 digits of its id, or name",
	  get_name, AT(container) },
	{ "netns", KEY, INTEGER, PART_NETNS, "inode of its network namespace", get_netns, 0 },
	{ "proto", KEY, TEXT, PART_PROTO, "tcp, udp, icmp, sctp, packet ...; or a number", get_proto, 0 },
	{ "family", KEY, INTEGER, PART_FAMILY, "IP version on the wire: 4 or 6", get_family, 0 },
	{ "laddr", KEY, ADDRESS, LADDR, "local address", get_laddr, 0 },
	{ "lport", KEY, INTEGER, PART_LPORT, "local port", get_lport, 0 },
	{ "raddr", KEY, ADDRESS, RADDR, "remote address", get_raddr, 0 },
	{ "rport", KEY, INTEGER, PART_RPORT, "remote port", get_rport, 0 },
	{ "iface", KEY, TEXT, PART_IFACE, "interface (only with --layer ip)", get_iface, 0 },
	{ "rx_rate", MEASURE, INTEGER, 0, "bytes received per second, over the window",
	  get_rate, AT(window.rx_bytes) },
	{ "tx_rate", MEASURE, INTEGER, 0, "bytes sent per second, over the window",
	  get_rate, AT(window.tx_bytes) },
	{ "rx_bytes", MEASURE, INTEGER, 0, "bytes received in the interval", get_count, AT(interval.rx_bytes) },
	{ "tx_bytes", MEASURE, INTEGER, 0, "bytes sent in the interval", get_count, AT(interval.tx_bytes) },
	{ "rx_calls", MEASURE, INTEGER, 0, "calls that received; with --layer ip: packets",
	  get_count, AT(interval.rx_calls) },
	{ "tx_calls", MEASURE, INTEGER, 0, "calls that sent; with --layer ip: packets",
	  get_count, AT(interval.tx_calls) },
	{ "tx_retrans", MEASURE, INTEGER, 0, "packets that TCP retransmitted (only with --layer ip)",
	  get_count, AT(tx_retrans) },
	{ "rx_total", MEASURE, INTEGER, 0, "bytes received since netmon, or the pin, began to count",
	  get_count, AT(total.rx_bytes) },
	{ "tx_total", MEASURE, INTEGER, 0, "bytes sent since netmon, or the pin, began to count",
	  get_count, AT(total.tx_bytes) },
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

struct value column_get(const struct column *column, const struct row *row)
{
	return column->get(row, (const char *)row + column->field);
}

bool column_counts_packets(const struct column *column)
{
	return column->parts & PART_IFACE || column->field == AT(tx_retrans);
}

void parts_columns(__u32 parts, __u32 named, char *names, size_t size)
{
	*names = '\0';
	for (size_t i = 0; i < columns_count; i++) {
		size_t length = strlen(names);

		if (!(columns[i].parts & ~named) || columns[i].parts & ~parts)
			continue;
		snprintf(names + length, size - length, "%s%s", length ? "," : "", columns[i].name);
		named |= columns[i].parts;
	}
}
