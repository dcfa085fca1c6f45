/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/spool.h"
#include "client/state.h"
#include "tests/unit/log_help.h"

struct fixture {
	char *dir, path[4200];
	char err[256];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = temp_dir_new();
	snprintf(f->path, sizeof(f->path), "%s/spool", f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static void
append(struct spool *s, unsigned n, enum spool_result want)
{
	char text[64];

	snprintf(text, sizeof(text), "item %u", n);
	assert_int_equal(spool_append(s, (uint8_t)(n % 5), n % 2 ? "cookie" : NULL, (uint8_t *)text, strlen(text)),
			 want);
}

/* Items first.. are there from `off` on, in order; returns how many. */
static unsigned
expect(struct spool *s, uint64_t off, unsigned first)
{
	struct spool_item item;
	char text[64];
	unsigned n = 0;

	for (; spool_read(s, off, &item) == SPOOL_OK; off = item.next, n++) {
		snprintf(text, sizeof(text), "item %u", first + n);
		assert_int_equal(item.len, strlen(text));
		assert_memory_equal(item.bytes, text, item.len);
		assert_int_equal(item.kind, (first + n) % 5);
		assert_int_equal(item.cookie_len, (first + n) % 2 ? 6 : 0);
	}
	assert_int_equal(off, s->end);
	return n;
}

static void
items_in_order(void **state)
{
	struct fixture *f = *state;

	for (int file = 0; file < 2; file++) {
		struct spool s;
		struct spool_item item;

		assert_int_equal(spool_open(&s, file ? f->path : NULL, 1 << 20, f->err, sizeof(f->err)), 0);
		for (unsigned i = 0; i < 1000; i++)
			append(&s, i, SPOOL_OK);
		assert_int_equal(expect(&s, s.released, 0), 1000);
		assert_int_equal(spool_read(&s, s.released, &item), SPOOL_OK);
		spool_release(&s, item.next);
		assert_int_equal(expect(&s, s.released, 1), 999);
		spool_close(&s);
	}
}

static void
it_survives_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct spool_item item;
	struct spool s, other;
	uint64_t end;

	assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
	for (unsigned i = 0; i < 10; i++)
		append(&s, i, SPOOL_OK);
	assert_int_equal(spool_read(&s, s.released, &item), SPOOL_OK);
	spool_release(&s, item.next);
	end = s.end;
	assert_int_equal(spool_open(&other, f->path, 1 << 20, f->err, sizeof(f->err)), -1);
	assert_non_null(strstr(f->err, "another process"));
	spool_close(&s);
	assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
	assert_true(s.end == end);
	assert_int_equal(expect(&s, s.released, 1), 9);
	append(&s, 10, SPOOL_OK);
	assert_int_equal(expect(&s, s.released, 1), 10);
	spool_close(&s);
}

/* A file cut anywhere holds every record that is whole. */
static void
a_torn_end_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct spool s;
	struct stat st;
	uint64_t ends[4];

	assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
	for (unsigned i = 0; i < 4; i++) {
		append(&s, i, SPOOL_OK);
		ends[i] = s.end;
	}
	spool_close(&s);
	assert_int_equal(stat(f->path, &st), 0);
	for (off_t cut = st.st_size - 1; cut >= 64; cut--) {
		unsigned whole = 0;

		assert_int_equal(truncate(f->path, cut), 0);
		assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
		while (whole < 4 && (off_t)ends[whole] <= cut - 64)
			whole++;
		assert_int_equal(expect(&s, s.released, 0), whole);
		spool_close(&s);
	}
	/* cut inside the header while it was made */
	for (off_t cut = 63; cut >= 0; cut--) {
		assert_int_equal(truncate(f->path, cut), 0);
		assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
		assert_int_equal(s.end, 0);
		spool_close(&s);
	}
}

static void
damage_ends_the_file_there(void **state)
{
	struct fixture *f = *state;
	struct spool s;
	uint64_t second;
	int fd;

	assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
	append(&s, 0, SPOOL_OK);
	second = s.end;
	append(&s, 1, SPOOL_OK);
	append(&s, 2, SPOOL_OK);
	spool_close(&s);
	fd = open(f->path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)(64 + second + 12)), 1);
	close(fd);
	assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), 0);
	assert_int_equal(expect(&s, s.released, 0), 1);
	append(&s, 1, SPOOL_OK);
	assert_int_equal(expect(&s, s.released, 0), 2);
	spool_close(&s);
	/* somebody else's file is left alone */
	fd = open(f->path, O_WRONLY);
	assert_int_equal(pwrite(fd, "precious", 8, 0), 8);
	close(fd);
	assert_int_equal(spool_open(&s, f->path, 1 << 20, f->err, sizeof(f->err)), -1);
}

static void
it_is_bounded_and_reuses_room(void **state)
{
	struct fixture *f = *state;

	for (int file = 0; file < 2; file++) {
		unsigned n = 0, first = 0;
		struct spool_item item;
		struct spool s;
		struct stat st;

		assert_int_equal(spool_open(&s, file ? f->path : NULL, 4096, f->err, sizeof(f->err)), 0);
		while (spool_append(&s, (uint8_t)(n % 5), n % 2 ? "cookie" : NULL, (const uint8_t *)"item 0", 6) ==
		       SPOOL_OK)
			n++;
		assert_true(n > 100 && s.end <= 4096);
		for (unsigned i = 0; i < 10 * n; i++) {
			assert_int_equal(spool_read(&s, s.released, &item), SPOOL_OK);
			spool_release(&s, item.next);
			first++;
			assert_int_equal(spool_append(&s, 0, NULL, (const uint8_t *)"x", 1), SPOOL_OK);
		}
		if (file) {
			assert_int_equal(stat(f->path, &st), 0);
			assert_true(st.st_size <= 4096 + 64);
		}
		assert_true(s.end - s.base <= 4096);
		spool_close(&s);
	}
}

static void
no_number_is_used_twice(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0, epoch = 0;

	for (int run = 0; run < 5; run++) {
		struct state s;

		assert_int_equal(state_open(&s, f->path, f->err, sizeof(f->err)), 0);
		assert_true(s.epoch != 0 && (epoch == 0 || epoch == s.epoch));
		epoch = s.epoch;
		for (int i = 0; i < 1500; i++) {
			uint64_t n = state_take(&s);

			assert_true(n > last);
			last = n;
		}
		state_close(&s); /* as after a kill: nothing is written here */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(items_in_order),
		T(it_survives_and_goes_on),
		T(a_torn_end_is_dropped),
		T(damage_ends_the_file_there),
		T(it_is_bounded_and_reuses_room),
		T(no_number_is_used_twice),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
