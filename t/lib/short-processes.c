// SPDX-License-Identifier: GPL-2.0-only
/* short-processes [RATE [SECONDS]] - starts RATE processes a second (1600), each of which sends a
 * datagram of 100 bytes over loopback and ends, like the other work of a busy machine. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void send_datagram(void)
{
	const struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(9),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char data[100] = "";
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	_exit(sendto(fd, data, sizeof(data), 0, (const struct sockaddr *)&peer, sizeof(peer)) < 0);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double rate = argc > 1 ? atof(argv[1]) : 1600, seconds = argc > 2 ? atof(argv[2]) : 10;
	double begin = now(), passed = 0;
	unsigned long started = 0;

	signal(SIGCHLD, SIG_IGN);
	while ((passed = now() - begin) < seconds) {
		for (; (double)started < passed * rate; started++) {
			pid_t pid = fork();

			if (!pid)
				send_datagram();
			if (pid < 0)
				break;
		}
		usleep(1000);
	}
	wait(NULL); /* for all of them, since SIGCHLD is ignored */
	printf("%lu processes, %.0f a second\n", started, (double)started / passed);
	return EXIT_SUCCESS;
}
