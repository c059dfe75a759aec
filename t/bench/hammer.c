// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cheapest calls that move bytes, to show best what a probe adds.  Each thread sends single
 * bytes on its own TCP connection, which the kernel holds back (MSG_MORE), and receives them one
 * by one.
 *
 *     hammer calls|messages|datagrams THREADS
 *
 * "calls" uses send() and recv(); "messages" uses sendmmsg() and recvmmsg(), with one system call
 * for many messages, each of which passes the hooks.  "datagrams" sends and receives one datagram
 * after the other, each of which passes the hooks of packets both ways; a send's time is that of both.
 *
 * For each number of milliseconds on standard input, all threads do so for that long, each on its
 * own CPU.  The answer is a line with the nanoseconds of a send and of a receive, each the median
 * of all rounds of all threads.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include "bench.h"

enum { ROUND = 1024, EXCHANGES = 32, MOST_ROUNDS = 1 << 16 };

struct pair {
	int from, to;
};

struct hammer {
	pthread_t thread;
	int cpu;
	struct pair pair;
	struct mmsghdr messages[ROUND];
	size_t rounds;
	unsigned sends[MOST_ROUNDS], receives[MOST_ROUNDS];   /* picoseconds a call */
};

static int threads;
static bool by_calls, datagrams;
static struct hammer *hammers;
static pthread_barrier_t begin, end;
static double until;
static unsigned all[2 * MOST_ROUNDS];

static struct pair connection(int listener)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	struct pair pair = { .from = socket(AF_INET, SOCK_STREAM, 0) };
	int yes = 1;

	getsockname(listener, (struct sockaddr *)&address, &size);
	must(!connect(pair.from, (struct sockaddr *)&address, size), "hammer: connect");
	pair.to = accept(listener, NULL, NULL);
	setsockopt(pair.from, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return pair;
}

static struct pair datagram_pair(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	struct pair pair = { socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET, SOCK_DGRAM, 0) };

	must(!bind(pair.to, (struct sockaddr *)&address, size), "hammer: bind");
	getsockname(pair.to, (struct sockaddr *)&address, &size);
	must(!connect(pair.from, (struct sockaddr *)&address, size), "hammer: connect");
	return pair;
}

static unsigned each(double before, double after, int count)
{
	return (unsigned)((after - before) * 1e3 / count);
}

static void send_round(struct hammer *hammer)
{
	for (int i = 0; by_calls && i < ROUND; i++)
		must(send(hammer->pair.from, "", 1, MSG_MORE) == 1, "hammer: send");
	must(by_calls || sendmmsg(hammer->pair.from, hammer->messages, ROUND, MSG_MORE) == ROUND,
	     "hammer: send");
}

static void receive_round(struct hammer *hammer)
{
	int taken = 0;
	char byte;

	for (int i = 0; by_calls && i < ROUND; i++)
		must(recv(hammer->pair.to, &byte, 1, 0) == 1, "hammer: receive");
	while (!by_calls && taken < ROUND) {
		int more = recvmmsg(hammer->pair.to, hammer->messages, (unsigned)(ROUND - taken), 0,
				    NULL);

		must(more > 0, "hammer: receive");
		taken += more;
	}
}

static void exchange_datagrams(struct hammer *hammer)
{
	double start = now();
	char byte;

	for (int i = 0; i < EXCHANGES; i++) {
		must(send(hammer->pair.from, "", 1, 0) == 1, "hammer: send");
		must(recv(hammer->pair.to, &byte, 1, 0) == 1, "hammer: receive");
	}
	hammer->sends[hammer->rounds] = each(start, now(), EXCHANGES);
}

/* The send between the two rounds transmits the held bytes; its time is not counted. */
static void hit(struct hammer *hammer)
{
	double start = now(), sent;
	char byte;

	send_round(hammer);
	hammer->sends[hammer->rounds] = each(start, now(), ROUND);
	send(hammer->pair.from, "", 1, 0);
	sent = now();
	receive_round(hammer);
	hammer->receives[hammer->rounds] = each(sent, now(), ROUND);
	recv(hammer->pair.to, &byte, 1, 0);
}

static void *run(void *context)
{
	struct hammer *hammer = context;
	char byte = 0;
	struct iovec part = { &byte, 1 };
	cpu_set_t cpus;

	for (int i = 0; i < ROUND; i++)
		hammer->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 };
	CPU_ZERO(&cpus);
	CPU_SET((size_t)hammer->cpu, &cpus);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	for (;;) {
		pthread_barrier_wait(&begin);
		for (hammer->rounds = 0; now() < until && hammer->rounds < MOST_ROUNDS; hammer->rounds++)
			(datagrams ? exchange_datagrams : hit)(hammer);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Nanoseconds. */
static double median(bool sends)
{
	size_t count = 0;

	for (int i = 0; i < threads; i++)
		for (size_t j = 0; j < hammers[i].rounds && count < sizeof(all) / sizeof(*all); j++)
			all[count++] = sends ? hammers[i].sends[j] : hammers[i].receives[j];
	qsort(all, count, sizeof(*all), compare);
	return count ? all[count / 2] / 1e3 : 0;
}

static void open_all(void)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	must(!listen(listener, 16), "hammer: listen");
	hammers = calloc((size_t)threads, sizeof(*hammers));
	must(hammers, "hammer: memory");
	for (int i = 0; i < threads; i++)
		hammers[i].pair = datagrams ? datagram_pair() : connection(listener);
}

int main(int argc, char **argv)
{
	double milliseconds;

	if (argc != 3)
		return EXIT_FAILURE;
	by_calls = !strcmp(argv[1], "calls");
	datagrams = !strcmp(argv[1], "datagrams");
	threads = atoi(argv[2]);
	open_all();
	pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
	pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++) {
		hammers[i].cpu = i;
		pthread_create(&hammers[i].thread, NULL, run, &hammers[i]);
	}
	puts("ready");
	fflush(stdout);
	while (scanf("%lf", &milliseconds) == 1) {
		until = now() + milliseconds * 1e6;
		pthread_barrier_wait(&begin);
		pthread_barrier_wait(&end);
		printf("%.1f %.1f\n", median(true), median(false));
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
