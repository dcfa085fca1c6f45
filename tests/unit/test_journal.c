/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/log/journal.h"
#include "collector/log/journal_format.h"
#include "tests/unit/log_help.h"

/* What the journal alone promises; what every log promises is in log_driver.c. */

struct fixture {
	char *dir;
	struct mailbox *reply;
};

static const struct journal_options small = { .segment_bytes = JOURNAL_SEGMENT_MIN, .keep_bytes = 1 << 30 };

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = temp_dir_new();
	f->reply = mailbox_new();
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	log_dispatch(f->reply);
	mailbox_free(f->reply);
	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static struct log *
must_open(const struct fixture *f, const struct journal_options *o)
{
	char err[512] = "";
	struct log *l = journal_open(f->dir, o, err, sizeof(err));

	if (l == NULL)
		fail_msg("%s", err);
	return l;
}

static void
must_not_open(const struct fixture *f, const struct journal_options *o, const char *why)
{
	char err[512] = "";

	assert_null(journal_open(f->dir, o, err, sizeof(err)));
	if (strstr(err, why) == NULL)
		fail_msg("said \"%s\", not \"%s\"", err, why);
}

/* Read from `from` on and expect the batches first..last of producer 1, one record of len bytes each. */
static void
expect_numbers(struct log *l, uint64_t from, uint64_t first, uint64_t last, size_t len)
{
	struct log_reader *r = log_reader_new(l, from);
	struct batch_view b;

	for (uint64_t n = first; n <= last; n++) {
		assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
		assert_true(b.number == n);
		assert_true(test_batch_is(&b, 1, len));
	}
	assert_int_equal(log_read(r, &b, 0), LOG_WAIT);
	log_reader_free(r);
}

static void
survives_reopening(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	uint64_t pos, last = 0, first, end;
	struct log_id id, again;

	log_bounds(l, &first, &end, &id);
	assert_true(first == end);
	for (uint64_t n = 1; n <= 50; n++) {
		if (n % 10 == 0) {
			log_close(l);
			l = must_open(f, &small);
			log_bounds(l, &first, &end, &again);
			assert_memory_equal(&id, &again, sizeof(id));
		}
		pos = must_append(l, f->reply, 1, n, 100);
		assert_true(pos > last && pos % 0x10000 == 0);
		last = pos;
	}
	expect_numbers(l, 0, 1, 50, 100);
	expect_numbers(l, last, 50, 50, 100);
	log_bounds(l, &first, &end, &id);
	expect_numbers(l, end, 51, 50, 100);
	log_close(l);
}

static void
fills_many_segments(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	uint64_t pos[21];
	struct log_id id;
	uint64_t first, end;

	for (uint64_t n = 1; n <= 20; n++) /* two fit into a segment */
		pos[n] = must_append(l, f->reply, 1, n, RECORD_MAX_BYTES - RECORD_HEADER);
	expect_numbers(l, 0, 1, 20, RECORD_MAX_BYTES - RECORD_HEADER);
	log_close(l);
	l = must_open(f, &small);
	log_bounds(l, &first, &end, &id);
	for (uint64_t n = 1; n <= 20; n++)
		expect_numbers(l, pos[n] + 7, n, 20, RECORD_MAX_BYTES - RECORD_HEADER);
	log_close(l);
}

static void
finds_every_position_in_a_large_segment(void **state)
{
	struct fixture *f = *state;
	struct journal_options o = { .segment_bytes = 16 << 20, .keep_bytes = 1 << 30, .queue_bytes = 64 << 20 };
	struct log *l = must_open(f, &o);
	enum { N = 400 }; /* 12 MB: never busy, however slow the disk */
	uint64_t pos[N];
	struct test_batch *t[N];
	struct log_reader *r;
	struct batch_view b;

	for (uint64_t n = 0; n < N; n++) {
		t[n] = test_batch_new(1, n, 1 + (uint32_t)n % 5, (n * 7919) % 20000, LOG_CLASS_NORMAL, f->reply);
		assert_int_equal(log_append(l, &t[n]->s), LOG_QUEUED);
	}
	for (uint64_t n = 0; n < N; n++) {
		wait_answer(f->reply, t[n]);
		assert_int_equal(t[n]->s.outcome, LOG_DURABLE);
		pos[n] = t[n]->s.first;
		test_batch_free(t[n]);
	}
	r = log_reader_new(l, 0);
	for (uint64_t n = N; n-- > 0;) {
		log_reader_seek(r, pos[n] + n % 5);
		assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
		assert_true(b.number == n && b.first == pos[n]);
		assert_true(test_batch_is(&b, 1 + (uint32_t)n % 5, (n * 7919) % 20000));
	}
	log_reader_free(r);
	log_close(l);
}

static void
second_opener_is_refused(void **state)
{
	struct fixture *f = *state;
	struct journal_options ro = small;
	struct log *l = must_open(f, &small);

	ro.read_only = true;
	must_not_open(f, &small, "in use by another process");
	must_not_open(f, &ro, "in use by another process");
	log_close(l);
	l = must_open(f, &small);
	log_close(l);
}

static void
read_only_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct journal_options ro = small;
	struct log *l;
	struct test_batch *t = test_batch_new(1, 1, 1, 10, LOG_CLASS_VITAL, f->reply);

	ro.read_only = true;
	must_not_open(f, &ro, "no log");
	l = must_open(f, &small);
	must_append(l, f->reply, 1, 1, 100);
	must_append(l, f->reply, 1, 2, 100);
	log_close(l);
	l = must_open(f, &ro);
	assert_int_equal(log_append(l, &t->s), LOG_BROKEN);
	expect_numbers(l, 0, 1, 2, 100);
	log_close(l);
	test_batch_free(t);
}

/* ---- damage ---- */

static int
seg_filter(const struct dirent *e)
{
	return strstr(e->d_name, ".seg") != NULL;
}

/* Path of the i-th segment, oldest first. */
static void
segment_path(const struct fixture *f, int i, char path[512])
{
	struct dirent **list;
	int n = scandir(f->dir, &list, seg_filter, alphasort);

	assert_true(n > i);
	snprintf(path, 512, "%s/%s", f->dir, list[i]->d_name);
	for (int k = 0; k < n; k++)
		free(list[k]);
	free(list);
}

static void
flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t c;

	assert_true(fd != -1);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x40;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

/* Offset of the k-th frame when each batch has one record of len bytes. */
static off_t
frame_at(unsigned k, size_t len)
{
	return (off_t)(JOURNAL_HEADER_BYTES + k * frame_size((uint32_t)(BATCH_HEADER + RECORD_HEADER + len)));
}

static void
torn_tail_is_dropped_and_written_over(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	uint8_t rest[2000];
	char path[512];
	int fd;

	for (uint64_t n = 1; n <= 3; n++)
		must_append(l, f->reply, 1, n, 1000);
	log_close(l);
	segment_path(f, 0, path);
	flip(path, frame_at(2, 1000) + 600); /* nothing follows: an interrupted write, for all we know */
	l = must_open(f, &small);
	expect_numbers(l, 0, 1, 2, 1000);
	assert_true((fd = open(path, O_RDONLY)) != -1);
	assert_int_equal(pread(fd, rest, sizeof(rest), frame_at(2, 1000)), sizeof(rest));
	for (size_t i = 0; i < sizeof(rest); i++)
		assert_int_equal(rest[i], 0);
	close(fd);
	must_append(l, f->reply, 1, 3, 1000);
	must_append(l, f->reply, 1, 4, 1000);
	expect_numbers(l, 0, 1, 4, 1000);
	log_close(l);
	l = must_open(f, &small);
	expect_numbers(l, 0, 1, 4, 1000);
	log_close(l);
}

/* Batches of one group reach the disk in any order: one missing in front of another is no
 * damage, and the later one must not come back to life. */
static void
unordered_tail_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	uint64_t pos = must_append(l, f->reply, 1, 1, 1000), first, end;
	uint8_t frame[4096];
	struct log_id id;
	struct test_batch *t = test_batch_new(1, 3, 1, 1000, LOG_CLASS_NORMAL, f->reply);
	char path[512];
	int fd;

	log_bounds(l, &first, &end, &id);
	log_close(l);
	segment_path(f, 0, path);
	assert_true((fd = open(path, O_RDWR)) != -1);
	frame_encode(frame_seed(&id, first), pos + 2 * LOG_POS_STEP, end, t->s.bytes, t->s.len, frame);
	assert_int_equal(pwrite(fd, frame, frame_size(t->s.len), frame_at(2, 1000)), (ssize_t)frame_size(t->s.len));
	close(fd);
	l = must_open(f, &small);
	expect_numbers(l, 0, 1, 1, 1000);
	must_append(l, f->reply, 1, 2, 1000);
	expect_numbers(l, 0, 1, 2, 1000);
	log_close(l);
	l = must_open(f, &small);
	expect_numbers(l, 0, 1, 2, 1000);
	log_close(l);
	test_batch_free(t);
}

static void
damage_before_acknowledged_batches_is_refused(void **state)
{
	struct fixture *f = *state;
	struct journal_options ro = small;
	struct log *l = must_open(f, &small);
	char path[512];

	ro.read_only = true;
	for (uint64_t n = 1; n <= 5; n++)
		must_append(l, f->reply, 1, n, 1000);
	log_close(l);
	segment_path(f, 0, path);
	flip(path, frame_at(1, 1000) + 600);
	must_not_open(f, &small, "is damaged at byte");
	must_not_open(f, &ro, "is damaged at byte");
	flip(path, frame_at(1, 1000) + 600);
	flip(path, frame_at(3, 1000) + 4); /* in a frame's header */
	must_not_open(f, &small, "is damaged at byte");
	flip(path, frame_at(3, 1000) + 4);
	flip(path, 20);
	must_not_open(f, &small, "damaged header");
	flip(path, 20);
	l = must_open(f, &small);
	expect_numbers(l, 0, 1, 5, 1000);
	log_close(l);
}

static void
damage_in_an_older_segment_stops_its_reader(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	struct log_reader *r;
	struct batch_view b;
	char path[512];

	for (uint64_t n = 1; n <= 10; n++)
		must_append(l, f->reply, 1, n, 200000);
	log_close(l);
	segment_path(f, 0, path);
	flip(path, frame_at(2, 200000) + 600);
	l = must_open(f, &small);
	r = log_reader_new(l, 0);
	assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
	assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
	assert_int_equal(log_read(r, &b, 0), LOG_BROKEN_READ);
	log_reader_free(r);
	log_close(l);
}

static void
missing_and_foreign_segments_are_refused(void **state)
{
	struct fixture *f = *state, other = { .reply = f->reply };
	struct log *l = must_open(f, &small);
	char path[512], other_path[512], away[600], here[1200];

	for (uint64_t n = 1; n <= 20; n++)
		must_append(l, f->reply, 1, n, 200000);
	log_close(l);
	segment_path(f, 1, path);
	snprintf(away, sizeof(away), "%s.away", path);
	assert_int_equal(rename(path, away), 0);
	must_not_open(f, &small, "has a hole");
	assert_int_equal(rename(away, path), 0);
	other.dir = temp_dir_new();
	l = must_open(&other, &small);
	must_append(l, other.reply, 1, 1, 100);
	log_close(l);
	segment_path(&other, 0, other_path);
	snprintf(here, sizeof(here), "%s%s", f->dir, strrchr(other_path, '/'));
	assert_int_equal(rename(other_path, here), 0);
	must_not_open(f, &small, "two different logs");
	assert_int_equal(unlink(here), 0);
	assert_int_equal(truncate(path, JOURNAL_SEGMENT_MIN / 2), 0);
	must_not_open(f, &small, "not what its header says");
	temp_dir_free(other.dir);
}

static void
copy_file(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	assert_true(in != -1 && out != -1);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

/* A disk put back to an older copy: what was written since is gone, and a reader that has
 * seen it is told, also when the log has grown past its position again. */
static void
rolled_back_disk_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	uint64_t first, kept, seen, end;
	char path[512], copy[600];
	struct log_reader *r;
	struct batch_view b;
	struct log_id id;

	must_append(l, f->reply, 1, 1, 1000);
	log_bounds(l, &first, &kept, &id);
	log_close(l);
	segment_path(f, 0, path);
	snprintf(copy, sizeof(copy), "%s.copy", path);
	copy_file(path, copy);
	l = must_open(f, &small);
	for (uint64_t n = 2; n <= 5; n++)
		must_append(l, f->reply, 1, n, 1000);
	log_bounds(l, &first, &seen, &id);
	log_close(l);
	copy_file(copy, path);

	l = must_open(f, &small);
	for (int i = 0; i < 2; i++) {
		r = log_reader_new(l, seen);
		assert_int_equal(log_read(r, &b, 0), LOG_REWOUND);
		log_reader_free(r);
		if (i == 0)
			for (uint64_t n = 12; n <= 22; n++)
				must_append(l, f->reply, 1, n, 1000);
	}
	log_bounds(l, &first, &end, &id);
	assert_true(end > seen);
	expect_numbers(l, kept, 12, 22, 1000); /* it was at the common end: nothing is wrong */
	log_close(l);
}

/* Files are used again, and under load not even zeroed: nothing old may be read as new. */
static void
recycled_files_do_not_come_back(void **state)
{
	struct fixture *f = *state;
	struct journal_options o = { .segment_bytes = JOURNAL_SEGMENT_MIN, .keep_bytes = 5 * JOURNAL_SEGMENT_MIN };
	struct log *l = must_open(f, &o);
	struct log_reader *r;
	struct batch_view b;
	uint64_t want, pos = 0;

	for (uint64_t n = 1; n <= 120; n++) {
		pos = must_append(l, f->reply, 1, n, 150000 + (n * 7919) % 50000);
		log_release_below(l, LOG_FLOOR_LEDGER, pos);
		if (n % 13 != 0)
			continue;
		log_close(l);
		l = must_open(f, &o);
		r = log_reader_new(l, 0);
		assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
		for (want = b.number; want < n; want++) {
			assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
			assert_true(b.number == want + 1);
		}
		assert_int_equal(log_read(r, &b, 0), LOG_WAIT);
		assert_true(b.first == pos);
		log_reader_free(r);
	}
	log_close(l);
}

/* Its file is being written over: the reader gets what it had copied, then TRUNCATED, and
 * never the new bytes or a false alarm. */
static void
reader_in_a_recycled_file_is_told(void **state)
{
	struct fixture *f = *state;
	struct journal_options o = { .segment_bytes = 3 * JOURNAL_SEGMENT_MIN, .keep_bytes = 15 * JOURNAL_SEGMENT_MIN };
	struct log *l = must_open(f, &o);
	struct log_reader *r = log_reader_new(l, 0);
	uint64_t n, first, end, begin, seen = 1;
	struct batch_view b;
	struct log_id id;
	enum log_read rc;

	log_release_below(l, LOG_FLOOR_LEDGER, UINT64_MAX);
	log_bounds(l, &begin, &end, &id);
	for (n = 1; n <= 14; n++)
		must_append(l, f->reply, 1, n, 200000);
	assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
	for (first = begin; n <= 150 || first == begin; n++) {
		must_append(l, f->reply, 1, n, 200000);
		log_bounds(l, &first, &end, &id);
	}
	while ((rc = log_read(r, &b, 0)) == LOG_BATCH)
		assert_true(b.number == ++seen && test_batch_is(&b, 1, 200000));
	assert_int_equal(rc, LOG_TRUNCATED);
	assert_true(seen < 14);
	assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
	assert_true(b.number > seen);
	log_reader_free(r);
	log_close(l);
}

static void
damaged_batches_stay_out(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f, &small);
	struct test_batch *t = test_batch_new(1, 2, 1, 100, LOG_CLASS_VITAL, f->reply);

	must_append(l, f->reply, 1, 1, 100);
	((uint8_t *)(uintptr_t)t->s.bytes)[t->s.len - 1] ^= 1;
	assert_int_equal(log_append(l, &t->s), LOG_QUEUED);
	wait_answer(f->reply, t);
	assert_int_equal(t->s.outcome, LOG_REFUSED);
	must_append(l, f->reply, 1, 2, 100);
	expect_numbers(l, 0, 1, 2, 100);
	log_close(l);
	test_batch_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(survives_reopening, setup, teardown),
		cmocka_unit_test_setup_teardown(fills_many_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(finds_every_position_in_a_large_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(second_opener_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_tail_is_dropped_and_written_over, setup, teardown),
		cmocka_unit_test_setup_teardown(unordered_tail_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_before_acknowledged_batches_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_in_an_older_segment_stops_its_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_and_foreign_segments_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(recycled_files_do_not_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(reader_in_a_recycled_file_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_batches_stay_out, setup, teardown),
		cmocka_unit_test_setup_teardown(rolled_back_disk_is_noticed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
