/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The systemd unit and the container that the path of a cgroup names.  Pure.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>

/* Room for a name: a part of a path has at most 255 bytes. */
enum { UNIT_SIZE = 256 };

/* The digits of a container's id, and how many of them container_of() writes. */
enum { CONTAINER_ID = 64, CONTAINER_SHOWN = 12 };

#define HEX_DIGITS "0123456789abcdef"

/* Writes the unit of the path, as systemctl(1) names it: the service or scope, below a user's
 * manager that manager's unit; otherwise the slice.  False if there is none. */
bool unit_of(const char *path, char unit[UNIT_SIZE]);

/* Writes the innermost container of the path: the first 12 digits of its id (docker,
 * podman, containerd, CRI-O, Kubernetes), or its name (LXC, systemd-nspawn).  False if there is
 * none. */
bool container_of(const char *path, char container[UNIT_SIZE]);

#endif
