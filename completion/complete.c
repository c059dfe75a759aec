// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes a shell's completion: copies a template from standard input, and replaces its lines
 * @options@ and @columns@ by lists from netmon's own tables.  Each line of a list is an element,
 * quoted so that bash, zsh and fish can read it: LETTER:NAME:ARGUMENT:WORDS:HELP or NAME:HELP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../columns.h"
#include "../options.h"

/* Writes a text on one line, for single quotes. */
static void print(const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text == '\n' ? ' ' : *text);
}

static void print_option(const struct known_option *option)
{
	const char *const *words = option_words(option->name);
	const char letter[] = { option->letter, '\0' };

	printf("\t'%s:%s:%s:", letter, option->name, option->argument ? option->argument : "");
	for (int i = 0; words && words[i]; i++)
		printf("%s%s", i ? " " : "", words[i]);
	putchar(':');
	print(option->help);
	puts("' \\");
}

static void print_column(const struct column *column)
{
	printf("\t'%s:", column->name);
	print(column->help);
	puts("' \\");
}

int main(void)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "@options@\n")) {
			for (size_t i = 0; i < known_options_count; i++)
				if (known_options[i].name)
					print_option(&known_options[i]);
		} else if (!strcmp(line, "@columns@\n")) {
			for (size_t i = 0; i < columns_count; i++)
				print_column(&columns[i]);
		} else {
			fputs(line, stdout);
		}
	}
	return ferror(stdin) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
