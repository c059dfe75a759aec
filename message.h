/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages on standard error: a line each, in which names are escaped, written at once.  None
 * of these functions changes errno.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>
#include "text.h"

/* The form of a complaint: "netmon: cannot VERB 'OBJECT': REASON: ADVICE".  Without a reason it
 * is errno's; without advice the message ends there.  Returns -1. */
int cannot(const char *verb, const char *object, const char *reason, const char *advice);

/* Any other message, without "netmon: " and the line feed. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vsay(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* Writes text unchanged, such as a library's.  If the reader of standard error takes nothing for two
 * seconds, the rest of the text is dropped. */
void put_message(const char *text, size_t length);

/* Appends later messages to the text instead of writing them; NULL: they are written again. */
void keep_messages(struct text *text);

/* write(2) that waits for a slow reader in the kernel for 100 milliseconds at most; then it fails
 * with EINTR, unless some bytes were written.  A SIGALRM that another process sends meanwhile takes
 * effect afterwards. */
ssize_t write_some(int fd, const char *bytes, size_t length);

#endif
