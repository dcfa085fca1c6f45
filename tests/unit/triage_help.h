/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_TRIAGE_HELP_H
#define TESTS_UNIT_TRIAGE_HELP_H

/* One dump through triage_run(), for tests of its formats.  Include cmocka.h first. */

#include <stdlib.h>
#include <string.h>

#include "tests/synth/synth.h"
#include "triage/triage.h"

struct run {
	struct arena *arena;
	struct triage_result r; /* lives as long as arena */
	struct diag diag;
	enum err err;
};

/* Triage a copy of exactly size bytes, so that a sanitizer sees reads beyond; images may be NULL.  run_end() after it. */
static inline void
run_with(struct run *x, const void *p, size_t size, struct images *images)
{
	uint8_t *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, p, size);
	*x = (struct run){ .arena = arena_new(TRIAGE_ARENA_BYTES) };
	x->err = triage_run(x->arena, copy, size, &(struct triage_options){ .images = images }, &x->r, &x->diag);
	free(copy);
}

static inline void
run_bytes(struct run *x, const void *p, size_t size)
{
	run_with(x, p, size, NULL);
}

static inline void
run_synth(struct run *x, struct synth *s)
{
	run_bytes(x, s->p, s->len);
}

static inline void
run_end(struct run *x)
{
	arena_free(x->arena);
}

/* The crash of that name among synth_example()'s; fails the test if there is none. */
static inline const struct synth_crash *
synth_named(const char *name)
{
	const struct synth_crash *c;
	const char *n;

	for (size_t i = 0; (c = synth_example(i, &n)) != NULL; i++)
		if (strcmp(n, name) == 0)
			return c;
	fail_msg("no example %s", name);
	return NULL;
}

#endif
