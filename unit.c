// SPDX-License-Identifier: GPL-2.0-only
#include <stddef.h>
#include <string.h>
#include "unit.h"

/* A name between two slashes of a path. */
struct part {
	const char *text;
	size_t length;
};

/* Takes the next part of the path.  False at the end. */
static bool next_part(const char **path, struct part *part)
{
	*path += strspn(*path, "/");
	*part = (struct part){ *path, strcspn(*path, "/") };
	*path += part->length;
	return part->length && part->length < UNIT_SIZE;
}

static bool begins(const struct part *part, const char *prefix)
{
	size_t length = strlen(prefix);

	return part->length > length && !memcmp(part->text, prefix, length);
}

static bool ends(const struct part *part, const char *suffix)
{
	size_t length = strlen(suffix);

	return part->length > length && !memcmp(part->text + part->length - length, suffix, length);
}

static void copy(char *to, const struct part *part)
{
	memcpy(to, part->text, part->length);
	to[part->length] = '\0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* Units */

/* systemd puts a '_' in front of a name that the kernel might take for a file of its own. */
static struct part unescaped(struct part part)
{
	if (*part.text == '_' && part.length > 1) {
		part.text++;
		part.length--;
	}
	return part;
}

/* "user@1000.service" */
static bool is_user_manager(const struct part *part)
{
	size_t length = part->length;

	if (!begins(part, "user@") || !ends(part, ".service"))
		return false;
	for (size_t i = strlen("user@"); i < length - strlen(".service"); i++)
		if (!is_digit(part->text[i]))
			return false;
	return length > strlen("user@.service");
}

static bool is_unit(const struct part *part)
{
	static const char *const types[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (ends(part, types[i]))
			return true;
	return false;
}

/* A path has slices, then the unit, then cgroups that the unit manages itself.  If the unit is a user's
 * manager, slices and units follow again. */
bool unit_of(const char *path, char unit[UNIT_SIZE])
{
	struct part part;
	bool known = false;

	while (next_part(&path, &part)) {
		part = unescaped(part);
		if (!ends(&part, ".slice") && !is_unit(&part))
			break;
		if (ends(&part, ".slice") && known && is_user_manager(&(struct part){ unit, strlen(unit) }))
			continue; /* the manager is the unit unless a unit follows */
		copy(unit, &part);
		known = true;
		if (is_unit(&part) && !is_user_manager(&part))
			break;
	}
	return known;
}

/* Containers */

/* An id of 64 hexadecimal digits, at the end: alone, or after a word and '-' or ':', such as
 * docker-, libpod-, crio-, cri-containerd-; not the process that watches a container. */
static bool has_id(struct part part, char container[UNIT_SIZE])
{
	const char *id;

	if (ends(&part, ".scope"))
		part.length -= strlen(".scope");
	if (part.length < CONTAINER_ID)
		return false;
	id = part.text + part.length - CONTAINER_ID;
	for (size_t i = 0; i < CONTAINER_ID; i++)
		if (!is_hex(id[i]))
			return false;
	part.length -= CONTAINER_ID;
	if (part.length && id[-1] != '-' && id[-1] != ':')
		return false;
	if (ends(&part, "conmon-"))
		return false;
	copy(container, &(struct part){ id, CONTAINER_SHOWN });
	return true;
}

static int hex_value(char c)
{
	return is_digit(c) ? c - '0' : c - 'a' + 10;
}

/* Copies the name between `before` and `after`, with systemd's \xHH decoded. */
static bool has_name(const struct part *part, const char *before, const char *after,
		     char container[UNIT_SIZE])
{
	size_t end = part->length - strlen(after), length = 0;

	if (!begins(part, before) || (*after && !ends(part, after)) || end <= strlen(before))
		return false;
	for (size_t i = strlen(before); i < end; i++) {
		const char *c = part->text + i;

		if (end - i >= 4 && c[0] == '\\' && c[1] == 'x' && is_hex(c[2]) && is_hex(c[3]) &&
		    (c[2] != '0' || c[3] != '0')) {
			container[length++] = (char)(hex_value(c[2]) << 4 | hex_value(c[3]));
			i += 3;
		} else {
			container[length++] = *c;
		}
	}
	container[length] = '\0';
	return true;
}

static bool is(const struct part *part, const char *text)
{
	return part->length == strlen(text) && !memcmp(part->text, text, part->length);
}

bool container_of(const char *path, char container[UNIT_SIZE])
{
	struct part part, parent = { "", 0 };
	bool known = false;

	for (; next_part(&path, &part); parent = part) {
		if (has_id(part, container) ||
		    has_name(&part, "lxc.payload.", "", container) ||
		    has_name(&part, "systemd-nspawn@", ".service", container) ||
		    (!begins(&part, "machine-qemu") && has_name(&part, "machine-", ".scope", container))) {
			known = true;
		} else if (is(&parent, "lxc") || is(&parent, "lxc.payload")) {
			copy(container, &part);
			known = true;
		}
	}
	return known;
}
