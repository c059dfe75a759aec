// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "command.h"
#include "message.h"

enum { CANNOT_RUN = 126, NOT_FOUND = 127 };

static const struct {
	int signal;
	void (*handler)(int);
} needed[COMMAND_SIGNALS] = {
	{ SIGCHLD, SIG_DFL },
	{ SIGPIPE, SIG_IGN },
	{ SIGXFSZ, SIG_IGN },
};

void command_take_signals(struct command *command)
{
	sigset_t none;

	for (int i = 0; i < COMMAND_SIGNALS; i++)
		sigaction(needed[i].signal, &(struct sigaction){ .sa_handler = needed[i].handler },
			  &command->inherited[i]);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, &command->blocked);
}

static void give_signals(const struct command *command)
{
	for (int i = 0; i < COMMAND_SIGNALS; i++)
		sigaction(needed[i].signal, &command->inherited[i], NULL);
	sigprocmask(SIG_SETMASK, &command->blocked, NULL);
}

void command_add_signals(sigset_t *set)
{
	static const int not_passed[] = { SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGPIPE, SIGXFSZ };

	sigfillset(set);
	for (size_t i = 0; i < sizeof(not_passed) / sizeof(*not_passed); i++)
		sigdelset(set, not_passed[i]);
}

static void close_pipe(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

/* In the child: waits for a byte, then becomes the command or says why it cannot. */
__attribute__((noreturn)) static void become(const struct command *command, char **arguments, int go,
					     int trouble)
{
	char byte;
	int error;

	if (read(go, &byte, 1) != 1)
		_exit(NOT_FOUND); /* netmon failed before it let the command run */
	give_signals(command);
	execvp(arguments[0], arguments);
	error = errno;
	cannot("run", arguments[0], NULL, NULL);
	if (write(trouble, &byte, 1) != 1)
		_exit(CANNOT_RUN);
	_exit(error == ENOENT ? NOT_FOUND : CANNOT_RUN);
}

int command_make(struct command *command, char **arguments)
{
	int go[2] = { -1, -1 }, trouble[2] = { -1, -1 };
	pid_t pid = -1;

	if (!pipe2(go, O_CLOEXEC) && !pipe2(trouble, O_CLOEXEC))
		pid = fork();
	if (!pid) {
		close(go[1]);
		close(trouble[0]);
		become(command, arguments, go[0], trouble[1]);
	}
	if (pid < 0)
		cannot("run", arguments[0], NULL, NULL);
	close_pipe(&go[0]);
	close_pipe(&trouble[1]);
	command->go = go[1];
	command->trouble = trouble[0];
	command->pid = pid < 0 ? 0 : pid;
	if (pid >= 0)
		return 0;
	close_pipe(&command->go);
	close_pipe(&command->trouble);
	return -1;
}

/* Returns when the process has become the command, or has failed to. */
void command_start(struct command *command)
{
	char byte = 0;

	command->started = true;
	if (write(command->go, &byte, 1) == 1)
		while (read(command->trouble, &byte, 1) < 0 && errno == EINTR)
			;
	close_pipe(&command->go);
	close_pipe(&command->trouble);
}

static void look(struct command *command, int options)
{
	pid_t pid = command->ended ? 0 : waitpid(command->pid, &command->status, options);

	command->ended |= pid == command->pid || (pid < 0 && errno == ECHILD);
}

void command_signal(struct command *command, const struct signalfd_siginfo *signal)
{
	look(command, WNOHANG);
	/* the kernel's own signals reach the command too, but for SIGALRM, and a hangup of the terminal, which
	 * only the session's leader gets (tty_signal_session_leader()) */
	if (signal->ssi_signo != SIGCHLD && !command->ended &&
	    (signal->ssi_code <= 0 || signal->ssi_signo == SIGALRM ||
	     (signal->ssi_signo == SIGHUP && getsid(0) == getpid())))
		kill(command->pid, (int)signal->ssi_signo);
}

void command_wait(struct command *command, int signals)
{
	struct pollfd wait = { .fd = signals, .events = POLLIN };
	struct signalfd_siginfo signal;

	close_pipe(&command->go);
	close_pipe(&command->trouble);
	while (!command->ended && signals >= 0) {
		look(command, WNOHANG);
		if (!command->ended && poll(&wait, 1, -1) > 0 &&
		    read(signals, &signal, sizeof(signal)) == sizeof(signal))
			command_signal(command, &signal);
	}
	look(command, 0);
}

void command_pass_on(const struct command *command)
{
	static const struct rlimit none;
	sigset_t set;
	int signal;

	if (WIFEXITED(command->status))
		exit(WEXITSTATUS(command->status));
	signal = WTERMSIG(command->status);
	setrlimit(RLIMIT_CORE, &none); /* the command has left its own core */
	prctl(PR_SET_DUMPABLE, 0);     /* a pipe for cores ignores the limit */
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signal);
	exit(128 + signal);
}
