/* SPDX-License-Identifier: GPL-2.0-only */
/* The checks of unit tests, and their results in the Test Anything Protocol. */
#ifndef TAP_H
#define TAP_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long failures;

static inline void check_at(int line, const char *what, uint64_t got, uint64_t wanted)
{
	if (got == wanted)
		return;
	failures++;
	printf("# %s:%d: %s: got %" PRIu64 ", wanted %" PRIu64 "\n", __BASE_FILE__, line, what, got, wanted);
}

static inline void check_text_at(int line, const char *what, const char *got, const char *wanted)
{
	if (got == wanted || (got && wanted && !strcmp(got, wanted)))
		return;
	failures++;
	printf("# %s:%d: %s: got '%s', wanted '%s'\n", __BASE_FILE__, line, what, got ? got : "(null)",
	       wanted ? wanted : "(null)");
}

#define CHECK(got, wanted) check_at(__LINE__, #got, (uint64_t)(got), (uint64_t)(wanted))
#define CHECK_TEXT(got, wanted) check_text_at(__LINE__, #got, got, wanted)

/* For failures after which the test would crash. */
#define REQUIRE(condition)                                                                  \
	do {                                                                                \
		if (!(condition)) {                                                         \
			printf("Bail out! %s:%d: %s\n", __FILE__, __LINE__, #condition);    \
			exit(EXIT_FAILURE);                                                 \
		}                                                                           \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

/* Runs the tests; returns the exit status. */
static inline int run_tests(const struct test *tests, size_t count)
{
	unsigned long failed = 0;

	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		failures = 0;
		tests[i].run();
		printf("%s %zu - %s\n", failures ? "not ok" : "ok", i + 1, tests[i].name);
		failed += failures > 0;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
