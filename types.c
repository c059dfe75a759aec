// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "types.h"

struct types {
	const char *first, *end;   /* of the types, one after the other */
	const char *names;         /* which they are offsets in */
	size_t names_length;       /* the last byte is NUL */
	char data[];
};

static bool read_all(int fd, char *data, size_t size)
{
	while (size) {
		ssize_t length = read(fd, data, size);

		if (length <= 0) {
			errno = length ? errno : EINVAL;
			return false;
		}
		data += length;
		size -= (size_t)length;
	}
	return true;
}

/* Finds the two sections.  False where they are not there. */
static bool find_sections(struct types *types, size_t size)
{
	const struct btf_header *header = (const void *)types->data;
	size_t room;

	if (size < sizeof(*header) || header->magic != BTF_MAGIC || header->hdr_len < sizeof(*header) ||
	    header->hdr_len > size)
		return false;
	room = size - header->hdr_len;
	if (header->type_off > room || header->type_len > room - header->type_off ||
	    header->str_off > room || header->str_len > room - header->str_off || !header->str_len)
		return false;
	types->first = types->data + header->hdr_len + header->type_off;
	types->end = types->first + header->type_len;
	types->names = types->data + header->hdr_len + header->str_off;
	types->names_length = header->str_len;
	return !types->names[types->names_length - 1];
}

struct types *types_open(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC), error;
	struct types *types = NULL;
	struct stat status;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &status))
		types = malloc(sizeof(*types) + (size_t)status.st_size);
	if (types && read_all(fd, types->data, (size_t)status.st_size)) {
		if (find_sections(types, (size_t)status.st_size)) {
			close(fd);
			return types;
		}
		errno = EINVAL;
	}
	error = errno;
	free(types);
	close(fd);
	errno = error;
	return NULL;
}

void types_close(struct types *types)
{
	free(types);
}

/* Where the type ends; NULL where its kind is not known. */
static const char *after(const char *at)
{
	const struct btf_type *type = (const void *)at;
	size_t count = BTF_INFO_VLEN(type->info);

	at += sizeof(*type);
	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return at;
	case BTF_KIND_INT:
		return at + sizeof(__u32);
	case BTF_KIND_VAR:
		return at + sizeof(struct btf_var);
	case BTF_KIND_DECL_TAG:
		return at + sizeof(struct btf_decl_tag);
	case BTF_KIND_ARRAY:
		return at + sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return at + count * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return at + count * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return at + count * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return at + count * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return at + count * sizeof(struct btf_var_secinfo);
	default:
		return NULL;
	}
}

/* The type, whole, and what comes after it in `next`; NULL at the end, and where the kind is not
 * known. */
static const struct btf_type *type_at(const struct types *types, const char *at, const char **next)
{
	if ((size_t)(types->end - at) < sizeof(struct btf_type))
		return NULL;
	*next = after(at);
	return *next && *next <= types->end ? (const void *)at : NULL;
}

static const char *name_at(const struct types *types, __u32 offset)
{
	return offset < types->names_length ? types->names + offset : "";
}

/* Of two bytes, which tell most names from those that are wanted. */
static unsigned int start_of(const char *name)
{
	return *name ? (unsigned char)name[0] << 8 | (unsigned char)name[1] : 0;
}

bool types_find(const struct types *types, struct wanted_type *wanted, size_t count)
{
	bool starts[1 << 16] = { false };
	const struct btf_type *type;
	const char *at = types->first, *next;
	__u32 kinds = 0, id = 1;

	for (size_t i = 0; i < count; i++) {
		wanted[i].id = 0;
		kinds |= 1U << wanted[i].kind;
		starts[start_of(wanted[i].name)] = true;
	}
	for (; (type = type_at(types, at, &next)); at = next, id++) {
		const __u32 kind = BTF_INFO_KIND(type->info);
		const char *name;

		if (!(kinds & 1U << kind))
			continue;
		name = name_at(types, type->name_off);
		for (size_t i = 0; starts[start_of(name)] && i < count; i++)
			if (kind == wanted[i].kind && !wanted[i].id && !strcmp(name, wanted[i].name))
				wanted[i].id = id;
	}
	errno = EINVAL;
	return at == types->end;
}

static const struct btf_type *find_id(const struct types *types, __u32 wanted)
{
	const struct btf_type *type;
	const char *at = types->first, *next;
	__u32 id = 1;

	for (; (type = type_at(types, at, &next)); at = next, id++)
		if (id == wanted)
			return type;
	return NULL;
}

__u32 types_arguments(const struct types *types, __u32 id)
{
	const struct btf_type *type = find_id(types, id);
	const struct btf_type *proto = type ? find_id(types, type->type) : NULL;

	return proto ? BTF_INFO_VLEN(proto->info) : 0;
}

bool types_has_constant(const struct types *types, __u32 id, const char *name)
{
	const struct btf_type *type = find_id(types, id);
	const struct btf_enum *constants;

	if (!type)
		return false;
	constants = (const void *)(type + 1);
	for (__u32 i = 0; i < BTF_INFO_VLEN(type->info); i++)
		if (!strcmp(name_at(types, constants[i].name_off), name))
			return true;
	return false;
}
