// SPDX-License-Identifier: GPL-2.0-only
/* t/renames DIR USER TARGET... - as that user, keeps exchanging the entries of DIR with links to the
 * targets, until it is killed. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 64 };

static void make_decoys(int dir, int count, char **targets)
{
	mkdirat(dir, "decoy", 0755);
	for (int i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "link%d", i);
		if (symlinkat(targets[i], dir, name))
			perror(name);
	}
}

static size_t list(DIR *files, char names[MOST][256])
{
	struct dirent *file;
	size_t count = 0;

	rewinddir(files);
	while (count < MOST && (file = readdir(files)))
		if (file->d_name[0] != '.')
			strcpy(names[count++], file->d_name);
	return count;
}

int main(int count, char *words[])
{
	static char names[MOST][256];
	DIR *files;
	int dir;

	if (count < 3 || setgid((gid_t)atoi(words[2])) || setuid((uid_t)atoi(words[2])) ||
	    !(files = opendir(words[1]))) {
		perror("renames");
		return EXIT_FAILURE;
	}
	dir = dirfd(files);
	make_decoys(dir, count - 3, words + 3);
	for (;;) {
		size_t there = list(files, names);
		const char *a = names[(size_t)rand() % there], *b = names[(size_t)rand() % there];

		syscall(SYS_renameat2, dir, a, dir, b, rand() % 4 ? RENAME_EXCHANGE : RENAME_NOREPLACE);
	}
}
