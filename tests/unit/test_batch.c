/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "proto/batch.h"

static struct batch_writer w;

static int
setup(void **state)
{
	(void)state;
	return batch_writer_init(&w);
}

static int
teardown(void **state)
{
	(void)state;
	batch_writer_fini(&w);
	return 0;
}

static void
add(enum record_type type, uint16_t tenant, int64_t us, const char *text)
{
	uint8_t *p = batch_writer_add(&w, type, tenant, us, strlen(text));

	assert_non_null(p);
	memcpy(p, text, strlen(text));
}

static void
put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* Make the batch's CRC right again after a change. */
static void
seal(uint8_t *b, uint32_t len)
{
	put32(b + 8, crc32c(0, b + 12, len - 12));
}

static void
records_come_back(void **state)
{
	struct batch_view b;
	struct record_view r;
	struct diag d;
	uint32_t cursor = 0;

	(void)state;
	add(RECORD_REPORT, 0, 1721361600000000, "first");
	add(RECORD_TICK, 65535, -1, "");
	add((enum record_type)60000, 7, INT64_MAX, "a type nobody knows");
	batch_writer_finish(&w, 0xfedcba9876543210ull, UINT64_MAX, 9);
	assert_int_equal(batch_open(w.bytes, w.len, &b), ERR_OK);
	assert_int_equal(b.n, 3);
	assert_true(b.producer == 0xfedcba9876543210ull && b.number == UINT64_MAX && b.epoch == 9);
	b.first = 0x30000;
	assert_true(batch_next(&b, &cursor, &r, &d));
	assert_true(r.type == RECORD_REPORT && r.tenant == 0 && r.received_us == 1721361600000000 && r.pos == 0x30000);
	assert_int_equal(r.payload_len, 5);
	assert_memory_equal(r.payload, "first", 5);
	assert_true(batch_next(&b, &cursor, &r, &d));
	assert_true(r.type == RECORD_TICK && r.tenant == 65535 && r.received_us == -1 && r.payload_len == 0);
	assert_true(batch_next(&b, &cursor, &r, &d));
	assert_true((unsigned)r.type == 60000 && r.received_us == INT64_MAX && r.pos == 0x30002 && r.index == 2);
	assert_false(batch_next(&b, &cursor, &r, &d));
	assert_int_equal(d.code, ERR_OK);
	assert_true(batch_of_record(0x30002) == 0x30000);
}

static void
a_writer_can_be_used_again(void **state)
{
	struct batch_view b;

	(void)state;
	add(RECORD_REPORT, 0, 0, "x");
	batch_writer_finish(&w, 1, 1, 0);
	batch_writer_reset(&w);
	batch_writer_finish(&w, 1, 2, 0);
	assert_int_equal(batch_open(w.bytes, w.len, &b), ERR_OK);
	assert_true(b.n == 0 && b.len == BATCH_HEADER && b.number == 2);
}

static void
limits_are_refused_without_a_trace(void **state)
{
	struct batch_view b;

	(void)state;
	assert_null(batch_writer_add(&w, RECORD_REPORT, 0, 0, RECORD_MAX_BYTES - RECORD_HEADER + 1));
	assert_null(batch_writer_add(&w, RECORD_REPORT, 0, 0, SIZE_MAX));
	assert_non_null(batch_writer_add(&w, RECORD_REPORT, 0, 0, RECORD_MAX_BYTES - RECORD_HEADER));
	assert_false(batch_writer_fits(&w, RECORD_MAX_BYTES - RECORD_HEADER));
	assert_true(batch_writer_fits(&w, RECORD_MAX_BYTES - RECORD_HEADER - BATCH_HEADER));
	assert_null(batch_writer_add(&w, RECORD_REPORT, 0, 0, RECORD_MAX_BYTES - RECORD_HEADER));
	memset(w.bytes + BATCH_HEADER + RECORD_HEADER, 0, RECORD_MAX_BYTES - RECORD_HEADER);
	batch_writer_finish(&w, 1, 1, 0);
	assert_int_equal(batch_open(w.bytes, w.len, &b), ERR_OK);
	assert_int_equal(b.n, 1);
}

static void
every_cut_is_truncated(void **state)
{
	struct batch_view b;

	(void)state;
	add(RECORD_REPORT, 0, 0, "some bytes of a report");
	batch_writer_finish(&w, 1, 1, 0);
	for (uint32_t n = 0; n < w.len; n++) {
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, w.bytes, n);
		assert_int_equal(batch_open(cut, n, &b), ERR_TRUNCATED);
		free(cut);
	}
}

static void
every_flipped_bit_is_noticed(void **state)
{
	struct batch_view b;

	(void)state;
	add(RECORD_REPORT, 0, 0, "some bytes");
	batch_writer_finish(&w, 1, 1, 0);
	for (uint32_t bit = 0; bit < w.len * 8; bit++) {
		w.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(batch_open(w.bytes, w.len, &b), ERR_OK);
		w.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* A batch with a right CRC from somebody who writes nonsense. */
static void
lying_lengths_end_in_a_diagnosis(void **state)
{
	static const uint32_t lengths[] = { 0, 1, RECORD_HEADER - 1, 0x7fffffff, 0xffffffff, RECORD_HEADER + 11 };
	struct batch_view b;
	struct record_view r;
	struct diag d;

	(void)state;
	add(RECORD_REPORT, 0, 0, "0123456789");
	batch_writer_finish(&w, 1, 1, 0);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint32_t cursor = 0;

		put32(w.bytes + BATCH_HEADER, lengths[i]);
		seal(w.bytes, w.len);
		assert_int_equal(batch_open(w.bytes, w.len, &b), ERR_OK);
		assert_false(batch_next(&b, &cursor, &r, &d));
		assert_int_not_equal(d.code, ERR_OK);
		cursor = 0;
		assert_false(batch_next(&b, &cursor, &r, NULL));
	}
	put32(w.bytes + 12, 0xffff); /* more records than bytes */
	seal(w.bytes, w.len);
	assert_int_equal(batch_open(w.bytes, w.len, &b), ERR_MALFORMED);
}

/* The header's count is what a reader may size things by: the records must match it. */
static void
wrong_counts_end_in_a_diagnosis(void **state)
{
	struct batch_view b;
	struct record_view r;
	struct diag d;

	(void)state;
	add(RECORD_REPORT, 0, 0, "0123456789012345678901234567890123456789");
	add(RECORD_REPORT, 0, 0, "0123456789012345678901234567890123456789");
	batch_writer_finish(&w, 1, 1, 0);
	for (uint32_t n = 0; n <= 3; n++) {
		uint32_t cursor = 0, seen = 0;

		put32(w.bytes + 12, n);
		seal(w.bytes, w.len);
		assert_int_equal(batch_open(w.bytes, w.len, &b), ERR_OK);
		while (batch_next(&b, &cursor, &r, &d))
			seen++;
		assert_true(seen <= n);
		assert_int_equal(d.code == ERR_OK, n == 2);
	}
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(records_come_back),
		CASE(a_writer_can_be_used_again),
		CASE(limits_are_refused_without_a_trace),
		CASE(every_cut_is_truncated),
		CASE(every_flipped_bit_is_noticed),
		CASE(lying_lengths_end_in_a_diagnosis),
		CASE(wrong_counts_end_in_a_diagnosis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
