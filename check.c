// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "cgroup.h"
#include "check.h"
#include "names.h"

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	va_list arguments;
	char *line;
	int length;

	va_start(arguments, format);
	length = vasprintf(&line, format, arguments);
	va_end(arguments);
	if (length < 0) {
		text->no_memory = true;
		return;
	}
	text_put(text, line, (size_t)length);
	free(line);
}

/* The file's first line; false with errno. */
static bool first_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool has = file && fgets(line, (int)size, file);

	if (file)
		fclose(file);
	if (has)
		line[strcspn(line, "\n")] = '\0';
	return has;
}

static const char *lockdown(char *line, size_t size)
{
	char *begin, *end;

	if (!first_line("/sys/kernel/security/lockdown", line, size))
		return errno == ENOENT ? "not in this kernel, or securityfs is not mounted" : strerror(errno);
	begin = strchr(line, '[');
	end = begin ? strchr(begin, ']') : NULL;
	if (!end)
		return line;
	*end = '\0';
	return begin + 1;
}

static const char *jit(char *line, size_t size)
{
	if (!first_line("/proc/sys/net/core/bpf_jit_enable", line, size))
		return errno == ENOENT ? "not in this kernel: fexit needs it" : strerror(errno);
	return *line == '0' ? "off" : "on"; /* off: programs are interpreted, by fexit too */
}

static const char *root_of_cgroups(int root)
{
	if (root < 0)
		return "none";
	return cgroup_is_root(root) ? "its root can be opened" : "not its root (cgroup namespace)";
}

static void put_capabilities(struct text *text)
{
	static const struct {
		int number;
		const char *name;
	} wanted[] = {
		{ CAP_BPF, "CAP_BPF" },
		{ CAP_PERFMON, "CAP_PERFMON" },
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
		{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH" },
	};
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	bool all = true;

	syscall(SYS_capget, &header, data);
	text_put_string(text, "capabilities: ");
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		const int number = wanted[i].number;

		if (data[number / 32].effective & 1U << number % 32)
			continue;
		put(text, "%s%s", all ? "without " : ", ", wanted[i].name);
		all = false;
	}
	put(text, "%s\n", all ? "all that netmon can use" : "");
}

void check_system(struct text *text, const struct options *options)
{
	struct utsname names = { 0 };
	char line[128];

	uname(&names);
	put(text, "netmon %s, libbpf %s\n", NETMON_VERSION, probes_libbpf());
	put(text, "kernel: %s %s %s\n", names.sysname, names.release, names.machine);
	put(text, "BTF: %s\n", access("/sys/kernel/btf/vmlinux", R_OK) ? strerror(errno) : "can be read");
	put(text, "tracefs: %s\n", probes_tracefs() ? "can be read" : strerror(errno));
	put(text, "JIT: %s\n", jit(line, sizeof(line)));
	put(text, "lockdown: %s\n", lockdown(line, sizeof(line)));
	put(text, "perf_event_paranoid: %s\n",
	    first_line("/proc/sys/kernel/perf_event_paranoid", line, sizeof(line)) ? line : strerror(errno));
	put(text, "cgroup v2: %s%s\n", root_of_cgroups(options->probes.cgroup_root),
	    cgroup_v1_is_used() ? "; processes are in cgroups of version 1, which netmon does not show" : "");
	if (!pids_are_initial())
		text_put_string(text, "pid namespace: not the initial one\n");
	put_capabilities(text);
}

/* Appends messages without their prefix. */
static void put_said(struct text *text, const struct text *said, const char *indent)
{
	static const char prefix[] = "netmon: ";
	const char *line = said->bytes, *end = said->length ? line + said->length : line;

	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));

		next = next ? next + 1 : end;
		if ((size_t)(end - line) > strlen(prefix) && !strncmp(line, prefix, strlen(prefix)))
			line += strlen(prefix);
		text_put_string(text, indent);
		text_put(text, line, (size_t)(next - line));
		line = next;
	}
	text->no_memory |= said->no_memory;
}

void check_pin(struct text *text, const struct options *options, const struct pin *pin,
	       const struct text *said)
{
	char keys[256];

	put_said(text, said, "pin: ");
	if (!pin)
		return;
	parts_columns(pin_about(pin)->layout.parts, 0, keys, sizeof(keys));
	put(text, "pin: netmon %s in '%s', columns %s\n", pin_about(pin)->version, options->pin.dir, keys);
}

enum found check_layer(struct text *text, const struct options *options, const struct probes *probes,
		       const struct text *said)
{
	static const char *const words[] = { "everything", "a part", "nothing" };
	const struct holes *holes = probes ? probes_holes(probes) : NULL;
	enum found found = NOTHING;

	if (holes)
		found = holes->refused || holes->skipped || holes->waiting ||
				!cgroup_is_root(options->probes.cgroup_root) ? A_PART : EVERYTHING;
	put(text, "\n--layer %s: %s can be counted\n", option_words("layer")[options->probes.layer],
	    words[found]);
	put_said(text, said, "  ");
	return found;
}
