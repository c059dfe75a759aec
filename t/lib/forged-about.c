// SPDX-License-Identifier: GPL-2.0-only
/* t/forged-about SEED - reads the bytes of a pin's map_about as bpftool writes them ("0x1f"), changes some
 * at random, and writes them for bpftool.  It keeps the bytes that identify the build. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include "pin.h"

int main(int count, char **words)
{
	const size_t begin = offsetof(struct about, since);
	static const int changes[] = { 1, 4, 2000 };
	static unsigned char value[sizeof(struct about)];
	size_t end;

	for (size_t i = 0; i < sizeof(value); i++) {
		unsigned int byte;

		if (scanf("%x", &byte) != 1) {
			fprintf(stderr, "forged-about: only %zu bytes of %zu\n", i, sizeof(value));
			return EXIT_FAILURE;
		}
		value[i] = (unsigned char)byte;
	}
	srand(count > 1 ? (unsigned int)atoi(words[1]) : 1);
	end = rand() % 2 ? offsetof(struct about, attached) : sizeof(value);
	for (int i = changes[rand() % 3]; i; i--) {
		const int bytes[] = { 0, 1, 255, rand() % 256 };

		value[begin + (size_t)rand() % (end - begin)] = (unsigned char)bytes[rand() % 4];
	}
	for (size_t i = 0; i < sizeof(value); i++)
		printf("%d ", value[i]);
	return EXIT_SUCCESS;
}
