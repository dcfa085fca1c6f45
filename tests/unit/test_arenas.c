/* SPDX-License-Identifier: Apache-2.0 */
/* The allocation-failure sweep: every seed of every format, with every memory that is too small. */
#include "config.h"

#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>

#include <cmocka.h>

#include "triage/triage.h"

#define ENOUGH TRIAGE_ARENA_BYTES

static uint8_t *
slurp(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;
	long n;

	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	n = ftell(f);
	assert_true(n >= 0);
	rewind(f);
	p = malloc((size_t)n + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)n, f), (size_t)n);
	fclose(f);
	*size = (size_t)n;
	return p;
}

static enum err
run(const uint8_t *p, size_t size, size_t limit, struct triage_result *r, size_t *used, bool threads)
{
	const struct triage_options opt = { .all_threads = threads };
	struct arena *a = arena_new(limit);
	struct diag diag = { ERR_OK, NULL, 0 };
	enum err e = triage_run(a, p, size, &opt, r, &diag);

	assert_true(a == NULL || arena_used(a) <= limit);
	*used = arena_used(a);
	if (e != ERR_OK)
		assert_true(diag.code == e && diag.what != NULL);
	arena_free(a);
	return e;
}

/* Refused for the want of memory, or told with the signature that there is with enough of it: less never says something else. */
static void
sweep(const char *path)
{
	struct triage_result whole, r;
	size_t size, used, enough;
	uint8_t *p = slurp(path, &size);
	const enum err want = run(p, size, ENOUGH, &whole, &enough, true);

	for (size_t limit = 0; limit <= enough + 4096; limit += limit < 65536 ? 192 : limit / 40) {
		enum err e = run(p, size, limit, &r, &used, true);

		if (e != ERR_OK) {
			assert_true(e == ERR_LIMIT || e == ERR_NOMEM || e == want);
			continue;
		}
		assert_int_equal(want, ERR_OK);
		if (r.has_signature != whole.has_signature || (r.has_signature && r.signature != whole.signature))
			fail_msg("%s: another signature with %zu bytes of %zu", path, limit, enough);
	}
	free(p);
}

static void
folder(const char *name, size_t at_least)
{
	const char *sources = getenv("srcdir");
	char path[1024];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", sources != NULL ? sources : ".", name);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL) {
		char file[2048];

		if (d->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, d->d_name);
		sweep(file);
		n++;
	}
	closedir(dir);
	assert_true(n >= at_least);
}

static void
test_minidumps(void **state)
{
	(void)state;
	folder("minidump", 10);
}

static void
test_cores(void **state)
{
	(void)state;
	folder("elfcore", 5);
}

static void
test_kernel_dumps(void **state)
{
	(void)state;
	folder("kdump", 10);
}

static void
test_texts(void **state)
{
	static const char *const names[] = { "oops", "tombstone", "microdump", "apple", "winevent" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		folder(names[i], 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_minidumps),
		cmocka_unit_test(test_cores),
		cmocka_unit_test(test_kernel_dumps),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
