/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel has: its functions, tracepoints and constants by name, from the types that it
 * describes itself with (BTF; Documentation/bpf/btf.rst).
 *
 * All names are looked up in one pass over the types.  libbpf would copy and index them first,
 * which takes a good part of the time that netmon needs to start.
 */
#ifndef TYPES_H
#define TYPES_H

#include <stddef.h>
#include <stdbool.h>
#include <linux/btf.h>

struct types;

/* A type to be looked for. */
struct wanted_type {
	const char *name;
	__u32 kind;                /* BTF_KIND_* */
	__u32 id;                  /* 0: the kernel does not have it */
};

/* Reads the types of the running kernel.  NULL with errno where it has none, or they cannot be
 * read. */
struct types *types_open(void);
void types_close(struct types *types);

/* Fills in the id of each of them.  False, with errno EINVAL, where the types are of a form that
 * is not known here. */
bool types_find(const struct types *types, struct wanted_type *wanted, size_t count);

/* How many arguments the function has that has this id; 0 for the id 0. */
__u32 types_arguments(const struct types *types, __u32 id);

/* Whether the enumeration that has this id has a constant of that name. */
bool types_has_constant(const struct types *types, __u32 id, const char *name);

#endif
