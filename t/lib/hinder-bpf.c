// SPDX-License-Identifier: GPL-2.0-only
/*
 * A library to preload, for two variables of the environment.
 * REFUSE: bpf(2) does not load some programs, as if the verifier had refused them.  A word for each:
 * HOOK=TYPE, the beginning of the program's name and its enum bpf_prog_type.
 * ATTACH_MS: bpf(2) returns so many milliseconds after it has attached a program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_refused(const union bpf_attr *attr)
{
	const char *word = getenv("REFUSE");

	while (word && *word) {
		size_t length = strcspn(word, "=");
		/* the kernel has the first 15 characters of a name */
		size_t known = length < BPF_OBJ_NAME_LEN ? length : BPF_OBJ_NAME_LEN - 1;

		if (!strncmp(attr->prog_name, word, known) &&
		    strtoul(word + length + 1, NULL, 10) == attr->prog_type)
			return true;
		word += strcspn(word, " ");
		word += strspn(word, " ");
	}
	return false;
}

/* libbpf calls bpf(2) by this function of the C library. */
long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long arguments[6], result;
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && arguments[0] == BPF_PROG_LOAD) {
		const union bpf_attr *attr = (const union bpf_attr *)arguments[1];

		if (is_refused(attr)) {
			if (attr->log_level)
				snprintf((char *)(uintptr_t)attr->log_buf, attr->log_size,
					 "0: R0 invalid mem access 'refused by the test'\n");
			errno = EACCES;
			return -1;
		}
	}
	if (!next) {
		void *symbol = dlsym(RTLD_NEXT, "syscall");

		memcpy(&next, &symbol, sizeof(next));   /* C knows no conversion */
	}
	result = next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	if (number == SYS_bpf && result >= 0 && getenv("ATTACH_MS") &&
	    (arguments[0] == BPF_LINK_CREATE || arguments[0] == BPF_RAW_TRACEPOINT_OPEN))
		usleep((useconds_t)atoi(getenv("ATTACH_MS")) * 1000);
	return result;
}
