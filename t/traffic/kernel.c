// SPDX-License-Identifier: GPL-2.0-only
/* A kernel thread that uses sockets: the NFS server's, in its own network namespace.  A process
 * sends it null requests. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>
#include "traffic.h"

enum { NFS_PORT = 2049, NFS_PROGRAM = 100003, NFS_VERSION = 4, NULL_PROCEDURE = 0 };
enum { CALL = 0, RPC_VERSION = 2, QUESTIONS = 500, ANSWER = 28 };
enum { MOST_BEFORE = 64 };

#define LAST_FRAGMENT 0x80000000U

#define SETTINGS "/proc/fs"     /* the mount point of the server's settings, in our own namespace */
#define THREAD "nfsd"
#define COMMON "/sys/module"    /* a directory that is the same for all runs on this machine */

static pid_t before[MOST_BEFORE];       /* threads of other NFS servers */
static size_t before_count;

static bool is_thread(const char *pid)
{
	char path[300], comm[17] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(comm, sizeof(comm), file))
		*comm = 0;
	fclose(file);
	return !strcmp(comm, THREAD "\n");
}

static bool was_before(pid_t pid)
{
	for (size_t i = 0; i < before_count; i++)
		if (before[i] == pid)
			return true;
	return false;
}

/* Returns a server thread that is not in `before`, and adds it there; 0 if there is none. */
static pid_t new_thread(void)
{
	DIR *directory = opendir("/proc");
	const struct dirent *entry;
	pid_t found = 0;

	if (!directory)
		cannot("open", "/proc");
	while (!found && (entry = readdir(directory))) {
		pid_t pid = atoi(entry->d_name);

		if (isdigit(*entry->d_name) && !was_before(pid) && is_thread(entry->d_name))
			found = pid;
	}
	closedir(directory);
	if (found && before_count < MOST_BEFORE)
		before[before_count++] = found;
	return found;
}

/* Another run of this case, of any build, waits until all processes of this one have ended: the
 * threads of all NFS servers have the same name. */
static void one_at_a_time(void)
{
	int fd = (int)must(open(COMMON, O_RDONLY), "open", COMMON);

	must(flock(fd, LOCK_EX), "lock", COMMON);
}

/* Hides rpcbind: its socket in /run would serve all network namespaces. */
static pid_t start_server(void)
{
	one_at_a_time();
	while (new_thread())
		;
	own_network();
	must(unshare(CLONE_NEWNS), "make", "a mount namespace");
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "make private", "the mounts");
	must(mount("none", "/run", "tmpfs", 0, NULL), "mount", "/run");
	if (mount("none", SETTINGS, "nfsd", 0, NULL)) {
		if (errno == ENODEV)
			missing("an NFS server");
		cannot("mount", "the settings of the NFS server");
	}
	write_setting(SETTINGS "/versions", "-2 -3 +4\n", "NFS 4");
	write_setting(SETTINGS "/portlist", "tcp 2049\n", "NFS by TCP");
	write_setting(SETTINGS "/threads", "1\n", "an NFS server");
	return new_thread();
}

static void ask(int fd, uint32_t number)
{
	enum { WORDS = 11 };
	const uint32_t question[WORDS] = {
		htonl(LAST_FRAGMENT | (uint32_t)((WORDS - 1) * sizeof(uint32_t))), htonl(number),
		htonl(CALL), htonl(RPC_VERSION), htonl(NFS_PROGRAM), htonl(NFS_VERSION),
		htonl(NULL_PROCEDURE),  /* no credentials */
	};
	uint32_t answered;

	memcpy(buffer, question, sizeof(question));
	for (size_t left = sizeof(question); left;)
		left -= (size_t)must(by_send(fd, left), "send to", "the NFS server");
	for (size_t left = ANSWER; left;) {
		ssize_t size = must(by_recv(fd, left), "receive from", "the NFS server");

		if (!size)
			cannot_because("receive from", "the NFS server", "it has closed");
		left -= (size_t)size;
	}
	memcpy(&answered, buffer + sizeof(uint32_t), sizeof(answered));
	if (answered != question[1])
		cannot_because("receive from", "the NFS server", "not the answer");
}

/* Waits for the end of the thread: all that it moved is counted then. */
static void ask_server(void *context)
{
	pid_t server = *(pid_t *)context;
	union address address;
	int fd = open_socket(SOCK_STREAM, 0, "TCP");

	loopback(&address);
	address.v4.sin_port = htons(NFS_PORT);          /* at the same offset for IPv6 */
	must(connect(fd, &address.any, address_size(&address)), "connect to", "the NFS server");
	for (uint32_t i = 0; i < asked(options.count, QUESTIONS); i++)
		ask(fd, i);
	close(fd);
	write_setting(SETTINGS "/threads", "0\n", "an NFS server");
	account_of_peer(server, THREAD);
}

void kernel_thread(void)
{
	pid_t server = start_server();

	if (!server)
		cannot_because("find", "the thread of the NFS server", "none is new");
	start("nfs-client", ask_server, &server);
}
