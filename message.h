/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages on standard error: a line each, in which names are escaped, written at once.  All of
 * them leave errno as it is.
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

/* Text as it is, such as a library's.  A reader of standard error that takes nothing for two
 * seconds is not waited for: what it has not taken is dropped. */
void put_message(const char *text, size_t length);

/* From then on messages are appended to the text, not written; NULL: written again. */
void keep_messages(struct text *text);

/* write(2) that waits for a slow reader in the kernel for 100 milliseconds at most; then it fails
 * with EINTR, unless some bytes were written.  Needs SIGALRM unblocked. */
ssize_t write_some(int fd, const char *bytes, size_t length);

#endif
