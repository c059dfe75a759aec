/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command that netmon runs and reports on: its process is made before the probes, becomes the
 * command when they count, and passes its exit status on to netmon.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/types.h>

enum { COMMAND_SIGNALS = 3 };

struct command {
	sigset_t blocked;    /* by netmon's parent */
	struct sigaction inherited[COMMAND_SIGNALS];
	pid_t pid;           /* 0: there is none */
	int go, trouble;     /* pipes: to let it run; from it, if it cannot */
	bool started;        /* command_start() let it run */
	bool ended;
	int status;          /* as of waitpid(2) */
};

/* Sets the signals as netmon needs them, whatever its parent blocks or ignores: none blocked,
 * SIGCHLD not ignored, SIGPIPE and SIGXFSZ ignored, so that a write fails instead.  The command
 * gets back the parent's. */
void command_take_signals(struct command *command);

/* Makes a process that waits to become the command, an array that ends in NULL.  Returns 0, or
 * -1 with a message. */
int command_make(struct command *command, char **arguments);

/* Lets it run.  If it cannot be run, its process says why and ends with status 126 or 127, as in a
 * shell. */
void command_start(struct command *command);

/* Adds the signals to pass on: all except those that stop and continue jobs, and those that netmon
 * ignores.  A fault of netmon itself ends it even if its signal is blocked. */
void command_add_signals(sigset_t *set);

/* Takes a signal that netmon got: SIGCHLD shows whether the command has ended; others are
 * passed on, except those of the terminal, which the command gets anyway.  A SIGALRM of the kernel
 * is that of a timer that was set before netmon began. */
void command_signal(struct command *command, const struct signalfd_siginfo *signal);

/* Waits for its end; a command that was not started ends at once.  `signals` is a signalfd. */
void command_wait(struct command *command, int signals);

/* Ends netmon as the command ended: with its status, or by the same signal. */
void command_pass_on(const struct command *command) __attribute__((noreturn));

#endif
