/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one way to grow an array.
 */
#ifndef ARRAY_H
#define ARRAY_H

#include <stdlib.h>

/* Makes room for `more` elements of `size` bytes behind the `count` that the array has, and sets its
 * new capacity.  The capacity doubles.  Returns the array, which may have moved; NULL if memory is
 * short: then the array is unchanged. */
static inline void *array_grow(void *array, size_t count, size_t more, size_t *capacity, size_t size)
{
	size_t wanted = *capacity ? *capacity : 64;

	if (count + more <= *capacity)
		return array;
	while (wanted < count + more)
		wanted *= 2;
	array = realloc(array, wanted * size);
	if (array)
		*capacity = wanted;
	return array;
}

#endif
