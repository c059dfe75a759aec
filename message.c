// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "message.h"
#include "text.h"

enum { PATIENCE = 2000, SLICE = 100 }; /* milliseconds */
enum { LONGEST = 8192 };

static struct text *kept; /* see keep_messages() */

void keep_messages(struct text *text)
{
	kept = text;
}

static volatile sig_atomic_t sent; /* a SIGALRM that is not the timer's */

static void wake_up(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	sent |= info->si_code <= 0;
}

ssize_t write_some(int fd, const char *bytes, size_t length)
{
	/* repeated: the first one might come before the write begins */
	static const struct itimerval soon = { .it_value.tv_usec = SLICE * 1000L,
					       .it_interval.tv_usec = SLICE * 1000L };
	/* no SA_RESTART: it ends a write */
	struct sigaction alarm = { .sa_sigaction = wake_up, .sa_flags = SA_SIGINFO }, before;
	struct itimerval inherited; /* alarm(2) outlives exec(2) */
	sigset_t set, blocked;
	ssize_t written;
	int error;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaction(SIGALRM, &alarm, &before);
	sigprocmask(SIG_UNBLOCK, &set, &blocked);
	setitimer(ITIMER_REAL, &soon, &inherited);
	written = write(fd, bytes, length);
	error = errno;
	setitimer(ITIMER_REAL, &inherited, NULL);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	sigaction(SIGALRM, &before, NULL);
	if (sent)
		kill(getpid(), SIGALRM);
	sent = 0;
	errno = error;
	return written;
}

void put_message(const char *text, size_t length)
{
	static int patience = PATIENCE;
	struct pollfd wait = { .fd = STDERR_FILENO, .events = POLLOUT };
	int error = errno;

	if (kept) {
		text_put(kept, text, length);
		length = 0;
	}
	while (length) {
		int ready = poll(&wait, 1, patience < SLICE ? patience : SLICE);
		ssize_t written = ready > 0 ? write_some(STDERR_FILENO, text, length) : -1;

		if (written >= 0) {
			text += written;
			length -= (size_t)written;
			patience = PATIENCE;
		} else if (patience <= 0 || (ready > 0 && errno != EINTR && errno != EAGAIN)) {
			break;
		} else {
			patience -= SLICE;
		}
	}
	errno = error;
}

/* Escapes as tsv does, so that a name can neither end the line nor control a terminal.  Writes at
 * most four bytes for each. */
static size_t escape(char *to, const char *text)
{
	static const char letters[] = "\t\n\r\\", names[] = "tnr\\";
	const unsigned char *s = (const unsigned char *)text;
	size_t left = strlen(text), length = 0;

	while (left) {
		size_t character = utf8_length(s, left);
		const char *letter = strchr(letters, *s);

		if (letter)
			length += (size_t)sprintf(to + length, "\\%c", names[letter - letters]);
		else if (!character || utf8_is_control(s))
			for (size_t i = 0; i < (character ? character : 1); i++)
				length += (size_t)sprintf(to + length, "\\x%02x", s[i]);
		else
			length = (size_t)((char *)mempcpy(to + length, s, character) - to);
		s += character ? character : 1;
		left -= character ? character : 1;
	}
	return length;
}

void vsay(const char *format, va_list arguments)
{
	static const char prefix[] = "netmon: ";
	char text[LONGEST], line[4UL * LONGEST + sizeof(prefix)];
	size_t length = strlen(prefix);
	int error = errno;

	vsnprintf(text, sizeof(text), format, arguments);
	memcpy(line, prefix, sizeof(prefix));
	length += escape(line + length, text);
	line[length++] = '\n';
	put_message(line, length);
	errno = error;
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay(format, arguments);
	va_end(arguments);
}

int cannot(const char *verb, const char *object, const char *reason, const char *advice)
{
	say("cannot %s '%s': %s%s%s", verb, object, reason ? reason : strerror(errno),
	    advice ? ": " : "", advice ? advice : "");
	return -1;
}
