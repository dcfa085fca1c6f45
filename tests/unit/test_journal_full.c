/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's retention, a disk that fills up, and a disk that fails. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"
#include "base/logline.h"
#include "collector/log/journal.h"
#include "collector/log/journal_format.h"
#include "tests/unit/log_help.h"

#define MB  (1u << 20)
#define BIG 250000u /* four batches of this size fill a segment of 1 MB */

/* ---- a disk with knobs ---- */

static struct {
	_Atomic uint64_t free_bytes;
	atomic_bool no_new_files; /* ENOSPC in what is being zero-filled */
	atomic_bool no_space;     /* ENOSPC everywhere */
	atomic_bool no_descriptors;
	atomic_bool sync_fails;
	atomic_bool write_fails;
	atomic_bool stutters; /* EINTR and short writes */
	_Atomic unsigned calls;
	_Atomic int making_fd;
} knob;

static int
knob_open(const char *path, int flags, unsigned mode)
{
	int fd;

	errno = EMFILE;
	if (atomic_load(&knob.no_descriptors))
		return -1;
	fd = journal_io_system.open(path, flags, mode);
	if (strstr(path, "making-") != NULL)
		atomic_store(&knob.making_fd, fd);
	return fd;
}

static int
knob_close(int fd)
{
	int expected = fd;

	atomic_compare_exchange_strong(&knob.making_fd, &expected, -1);
	return journal_io_system.close(fd);
}

static int64_t
knob_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
	errno = ENOSPC;
	if (atomic_load(&knob.no_space) || (atomic_load(&knob.no_new_files) && fd == atomic_load(&knob.making_fd)))
		return -1;
	errno = EIO;
	if (atomic_load(&knob.write_fails))
		return -1;
	errno = EINTR;
	if (atomic_load(&knob.stutters)) {
		if (atomic_fetch_add(&knob.calls, 1) % 3 == 0)
			return -1;
		len = len > 100 ? len / 2 : len;
	}
	return journal_io_system.pwrite(fd, buf, len, off);
}

static int
knob_allocate(int fd, uint64_t len)
{
	errno = ENOSPC;
	if (atomic_load(&knob.no_space) || atomic_load(&knob.no_new_files))
		return -1;
	errno = EOPNOTSUPP; /* a file system without: zeros do it */
	return atomic_load(&knob.stutters) ? -1 : journal_io_system.allocate(fd, len);
}

static int
knob_fdatasync(int fd)
{
	errno = EIO;
	return atomic_load(&knob.sync_fails) ? -1 : journal_io_system.fdatasync(fd);
}

static int
knob_free_bytes(const char *path, uint64_t *out)
{
	(void)path;
	*out = atomic_load(&knob.free_bytes);
	return 0;
}

static struct journal_io knob_io;

struct fixture {
	char *dir;
	struct mailbox *reply;
	uint64_t number; /* of the next batch, from 1 */
	struct journal_options o;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&knob, 0, sizeof(knob));
	atomic_store(&knob.free_bytes, UINT64_MAX);
	atomic_store(&knob.making_fd, -1);
	knob_io = journal_io_system;
	knob_io.open = knob_open;
	knob_io.close = knob_close;
	knob_io.pwrite = knob_pwrite;
	knob_io.allocate = knob_allocate;
	knob_io.fdatasync = knob_fdatasync;
	knob_io.free_bytes = knob_free_bytes;
	f->dir = temp_dir_new();
	f->reply = mailbox_new();
	f->number = 1;
	f->o = (struct journal_options){
		.segment_bytes = MB, .keep_bytes = 1u << 30, .reserve_bytes = 64 * MB, .io = &knob_io
	};
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
must_open(const struct fixture *f)
{
	char err[512] = "";
	struct log *l = journal_open(f->dir, &f->o, err, sizeof(err));

	if (l == NULL)
		fail_msg("%s", err);
	return l;
}

static uint64_t
add(struct fixture *f, struct log *l, size_t len)
{
	return must_append(l, f->reply, 1, f->number++, len);
}

/* Append until it is refused; returns how many went in. */
static unsigned
add_until_full(struct fixture *f, struct log *l, size_t len, enum log_class class)
{
	enum log_outcome outcome;
	enum log_append rc;
	uint64_t first;
	unsigned n = 0;

	while ((rc = append_one(l, f->reply, 1, f->number, len, class, &outcome, &first)) == LOG_QUEUED &&
	       outcome == LOG_DURABLE) {
		f->number++;
		n++;
	}
	assert_true(rc == LOG_FULL || (rc == LOG_QUEUED && outcome == LOG_REFUSED));
	return n;
}

static void
wait_pressure(struct fixture *f, struct log *l, enum log_pressure lowest, enum log_pressure highest)
{
	for (int i = 0; i < 4000; i++) {
		if (log_pressure(l) >= lowest && log_pressure(l) <= highest)
			return;
		mailbox_wait(f->reply, 5);
	}
	fail_msg("pressure stays at %d, wanted %d to %d", (int)log_pressure(l), (int)lowest, (int)highest);
}

/* Wait until all segments that are kept ready are. */
static void
wait_ready(struct fixture *f, uint64_t bytes)
{
	for (int i = 0; i < 4000 && counter_get(COUNTER_log_bytes_kept) < bytes; i++)
		mailbox_wait(f->reply, 5);
	assert_true(counter_get(COUNTER_log_bytes_kept) >= bytes);
}

/* Wait until no more than so many bytes are kept. */
static void
wait_kept(struct fixture *f, uint64_t at_most)
{
	for (int i = 0; i < 4000; i++) {
		if (counter_get(COUNTER_log_bytes_kept) <= at_most)
			return;
		mailbox_wait(f->reply, 5);
	}
	fail_msg("%llu bytes stay", (unsigned long long)counter_get(COUNTER_log_bytes_kept));
}

/* Every number from `first` to the last appended is there, in order. */
static void
expect_from(struct fixture *f, struct log *l, uint64_t first)
{
	struct log_reader *r = log_reader_new(l, 0);
	struct batch_view b;

	for (uint64_t n = first; n < f->number; n++) {
		assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
		assert_true(b.number == n);
	}
	assert_int_equal(log_read(r, &b, 0), LOG_WAIT);
	log_reader_free(r);
}

static uint64_t
oldest(struct log *l)
{
	uint64_t first, end;
	struct log_id id;

	log_bounds(l, &first, &end, &id);
	return first;
}

static void
release_all(struct log *l)
{
	log_release_below(l, LOG_FLOOR_LEDGER, UINT64_MAX);
	log_release_below(l, LOG_FLOOR_STORE, UINT64_MAX);
}

/* ---- retention ---- */

static void
size_budget_is_kept(void **state)
{
	struct fixture *f = *state;
	struct log *l;
	struct log_reader *r;
	struct batch_view b;

	f->o.keep_bytes = 10 * MB;
	l = must_open(f);
	release_all(l);
	for (int i = 0; i < 100; i++)
		add(f, l, BIG);
	wait_kept(f, 10 * MB);
	assert_true(counter_get(COUNTER_log_bytes_kept) >= 8 * MB);
	r = log_reader_new(l, oldest(l));
	assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
	assert_true(b.number > 70 && b.number <= 85); /* six or seven segments of data are left */
	log_reader_free(r);
	expect_from(f, l, b.number);
	log_close(l);
	l = must_open(f);
	expect_from(f, l, b.number);
	log_close(l);
}

static void
ledger_floor_is_never_crossed(void **state)
{
	struct fixture *f = *state;
	struct log *l;
	uint64_t floor = 0;

	f->o.keep_bytes = 6 * MB;
	f->o.keep_age_ms = 1;
	l = must_open(f);
	log_release_below(l, LOG_FLOOR_STORE, UINT64_MAX);
	for (int i = 0; i < 40; i++) { /* nothing was released: everything stays */
		uint64_t pos = add(f, l, BIG);

		floor = i == 20 ? pos : floor;
	}
	expect_from(f, l, 1);
	log_release_below(l, LOG_FLOOR_LEDGER, floor);
	wait_kept(f, 9 * MB);
	assert_true(oldest(l) <= floor);
	expect_from(f, l, 21); /* batch 21 begins a segment */
	log_close(l);
}

static void
projector_floor_holds_within_the_budget(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	struct log *l;

	f->o.keep_age_ms = 1;
	f->o.keep_bytes = 16 * MB;
	l = must_open(f);
	log_release_below(l, LOG_FLOOR_LEDGER, UINT64_MAX);
	for (int i = 0; i < 30; i++)
		add(f, l, BIG);
	before = oldest(l);
	journal_configure(l, &f->o); /* the keeper looks */
	expect_from(f, l, 1);        /* old, but the projector has not read it and there is room */
	assert_true(oldest(l) == before);
	for (int i = 0; i < 60; i++)
		add(f, l, BIG);
	wait_kept(f, 16 * MB);
	assert_true(oldest(l) > before); /* over the budget nobody waits for a database */
	log_release_below(l, LOG_FLOOR_REPLAY, 0);
	log_release_below(l, LOG_FLOOR_STORE, UINT64_MAX);
	assert_true(counter_get(COUNTER_log_bytes_kept) > 8 * MB);
	log_release_below(l, LOG_FLOOR_REPLAY, UINT64_MAX);
	wait_kept(f, 4 * MB); /* old and needed by nobody: the last segment and three ready */
	log_close(l);
}

/* A log that fills no segment within its age lets go of what is too old all the same. */
static void
age_is_kept_by_a_small_log(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	struct log *l;

	f->o.keep_age_ms = 7; /* a segment is closed after 1 ms */
	l = must_open(f);
	release_all(l);
	before = oldest(l);
	add(f, l, 100);
	mailbox_wait(f->reply, 20); /* let it grow old */
	add(f, l, 100);
	for (int i = 0; i < 4000 && oldest(l) == before; i++)
		mailbox_wait(f->reply, 5);
	expect_from(f, l, 2);
	log_close(l);
}

/* ---- a disk that fills up ---- */

static void
pressure_rises_with_the_reserve(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f);

	wait_pressure(f, l, LOG_PRESSURE_NONE, LOG_PRESSURE_NONE);
	static const struct {
		uint64_t mb;
		enum log_pressure want;
	} steps[] = {
		{ 64, LOG_PRESSURE_NONE },          { 63, LOG_PRESSURE_NO_DUMPS }, { 31, LOG_PRESSURE_THIN_PRESENCE },
		{ 15, LOG_PRESSURE_REDUCE_BODIES }, { 63, LOG_PRESSURE_NO_DUMPS }, { 64, LOG_PRESSURE_NONE },
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		atomic_store(&knob.free_bytes, steps[i].mb * MB);
		journal_configure(l, &f->o);
		wait_pressure(f, l, steps[i].want, steps[i].want);
		assert_true(counter_get(COUNTER_disk_pressure) == (uint64_t)steps[i].want);
	}
	log_close(l);
}

/* Three ready segments: the first goes to anybody, two to what is vital, then nothing goes,
 * and nothing that was acknowledged is lost.  With room it goes on by itself. */
static void
last_segments_are_for_signatures(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f);
	unsigned normal, vital;

	add(f, l, BIG);
	wait_ready(f, 4 * MB);
	atomic_store(&knob.no_new_files, true);
	normal = add_until_full(f, l, BIG, LOG_CLASS_NORMAL);
	assert_true(normal >= 3 && normal <= 7); /* the rest of the first segment, and perhaps the next */
	wait_pressure(f, l, LOG_PRESSURE_SIGNATURES_ONLY, LOG_PRESSURE_SIGNATURES_ONLY);
	vital = add_until_full(f, l, BIG, LOG_CLASS_VITAL);
	assert_true(vital >= 8 && vital <= 12);
	assert_int_equal(log_pressure(l), LOG_PRESSURE_FULL);
	expect_from(f, l, 1);
	log_close(l);
	l = must_open(f); /* restarting while full loses nothing either */
	expect_from(f, l, 1);
	wait_pressure(f, l, LOG_PRESSURE_FULL, LOG_PRESSURE_FULL);
	assert_int_equal(add_until_full(f, l, BIG, LOG_CLASS_VITAL), 0);
	atomic_store(&knob.no_new_files, false);
	wait_pressure(f, l, LOG_PRESSURE_NONE, LOG_PRESSURE_NONE);
	for (int i = 0; i < 20; i++)
		add(f, l, BIG);
	expect_from(f, l, 1);
	log_close(l);
}

/* Whoever used up the descriptors: it is like a full disk, and over when they are back. */
static void
no_descriptors_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f);

	add(f, l, BIG);
	wait_ready(f, 4 * MB);
	atomic_store(&knob.no_descriptors, true);
	assert_in_range(add_until_full(f, l, BIG, LOG_CLASS_NORMAL), 2, 3); /* the rest of the first segment */
	assert_false(log_stopped(l));
	atomic_store(&knob.no_descriptors, false);
	wait_pressure(f, l, LOG_PRESSURE_NONE, LOG_PRESSURE_NONE);
	for (int i = 0; i < 8; i++)
		add(f, l, BIG);
	expect_from(f, l, 1);
	log_close(l);
}

/* A file system that copies on write may refuse bytes of a zero-filled segment: the batch
 * waits, nobody is told anything wrong, and it goes in when there is room. */
static void
no_room_inside_a_segment_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct log *l = must_open(f);
	struct test_batch *t, *late = test_batch_new(1, 99, 1, 10, LOG_CLASS_VITAL, f->reply);

	for (int i = 0; i < 3; i++)
		add(f, l, 1000);
	wait_ready(f, 4 * MB);
	t = test_batch_new(1, f->number, 1, 1000, LOG_CLASS_VITAL, f->reply);
	atomic_store(&knob.no_space, true);
	assert_int_equal(log_append(l, &t->s), LOG_QUEUED);
	wait_pressure(f, l, LOG_PRESSURE_FULL, LOG_PRESSURE_FULL);
	assert_int_equal(log_append(l, &late->s), LOG_FULL);
	assert_false(t->answered);
	atomic_store(&knob.no_space, false);
	wait_answer(f->reply, t);
	assert_int_equal(t->s.outcome, LOG_DURABLE);
	f->number++;
	wait_pressure(f, l, LOG_PRESSURE_NONE, LOG_PRESSURE_NONE);
	add(f, l, 1000);
	expect_from(f, l, 1);
	log_close(l);
	test_batch_free(t);
	test_batch_free(late);
}

/* The same on a file system that is really full. */
static void
small_file_system(void **state)
{
	struct fixture *f = *state;
	uint8_t *ballast = calloc(1, MB);
	unsigned normal, vital;
	char path[512];
	struct log *l;
	int fd;

	if (mount("tmpfs", f->dir, "tmpfs", 0, "size=12m") == -1) {
		free(ballast);
		print_message("SKIPPED small_file_system: cannot mount a tmpfs: %s\n", strerror(errno));
		skip();
	}
	f->o.io = NULL;
	f->o.reserve_bytes = 2 * MB;
	l = must_open(f);
	for (int i = 0; i < 6; i++)
		add(f, l, BIG);
	wait_ready(f, 5 * MB);
	snprintf(path, sizeof(path), "%s/ballast", f->dir);
	assert_true((fd = open(path, O_WRONLY | O_CREAT, 0600)) != -1);
	while (write(fd, ballast, 65536) > 0)
		;
	close(fd);
	journal_configure(l, &f->o);
	wait_pressure(f, l, LOG_PRESSURE_NO_DUMPS, LOG_PRESSURE_FULL);
	normal = add_until_full(f, l, BIG, LOG_CLASS_NORMAL);
	assert_true(normal >= 1);
	vital = add_until_full(f, l, BIG, LOG_CLASS_VITAL);
	assert_true(vital >= 8);
	assert_int_equal(log_pressure(l), LOG_PRESSURE_FULL);
	expect_from(f, l, 1);
	log_close(l);
	l = must_open(f);
	expect_from(f, l, 1);
	assert_int_equal(unlink(path), 0);
	wait_pressure(f, l, LOG_PRESSURE_NONE, LOG_PRESSURE_NONE);
	for (int i = 0; i < 6; i++)
		add(f, l, BIG);
	expect_from(f, l, 1);
	log_close(l);
	assert_int_equal(umount(f->dir), 0);
	free(ballast);
}

/* ---- a disk that fails ---- */

static void
failed_call_is_unknown_and_stops_the_log(struct fixture *f, atomic_bool *failure)
{
	const uint64_t unknown = counter_get(COUNTER_log_unknown);
	struct test_batch *t = test_batch_new(1, 1000, 1, 100, LOG_CLASS_NORMAL, f->reply);
	struct log *l = must_open(f);
	enum log_outcome outcome;
	struct log_reader *r;
	struct batch_view b;
	uint64_t first;
	enum log_read rc;

	for (int i = 0; i < 3; i++)
		add(f, l, 100);
	wait_ready(f, 4 * MB);
	atomic_store(failure, true);
	assert_int_equal(log_append(l, &t->s), LOG_QUEUED);
	wait_answer(f->reply, t);
	assert_int_equal(t->s.outcome, LOG_UNKNOWN);
	assert_true(counter_get(COUNTER_log_unknown) == unknown + 1);
	atomic_store(failure, false);
	assert_int_equal(append_one(l, f->reply, 1, 1001, 100, LOG_CLASS_VITAL, &outcome, &first), LOG_BROKEN);
	assert_true(log_stopped(l));
	expect_from(f, l, 1); /* what is durable can be read; the other is not shown */
	log_close(l);
	l = must_open(f);
	r = log_reader_new(l, 0);
	for (uint64_t n = 1; n < f->number; n++) {
		assert_int_equal(log_read(r, &b, 0), LOG_BATCH);
		assert_true(b.number == n);
	}
	if ((rc = log_read(r, &b, 0)) == LOG_BATCH) { /* it may be there: once */
		assert_true(b.number == 1000);
		rc = log_read(r, &b, 0);
	}
	assert_int_equal(rc, LOG_WAIT);
	must_append(l, f->reply, 1, 1001, 100);
	log_reader_free(r);
	log_close(l);
	test_batch_free(t);
}

static void
failed_sync_is_unknown(void **state)
{
	failed_call_is_unknown_and_stops_the_log(*state, &knob.sync_fails);
}

static void
failed_write_is_unknown(void **state)
{
	failed_call_is_unknown_and_stops_the_log(*state, &knob.write_fails);
}

static void
short_and_interrupted_writes_are_finished(void **state)
{
	struct fixture *f = *state;
	struct log *l;

	atomic_store(&knob.stutters, true);
	l = must_open(f);
	for (int i = 0; i < 30; i++)
		add(f, l, 50000);
	log_close(l);
	l = must_open(f);
	expect_from(f, l, 1);
	log_close(l);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(size_budget_is_kept),
		CASE(ledger_floor_is_never_crossed),
		CASE(projector_floor_holds_within_the_budget),
		CASE(age_is_kept_by_a_small_log),
		CASE(pressure_rises_with_the_reserve),
		CASE(last_segments_are_for_signatures),
		CASE(no_descriptors_is_waited_for),
		CASE(no_room_inside_a_segment_is_waited_for),
		CASE(small_file_system),
		CASE(failed_sync_is_unknown),
		CASE(failed_write_is_unknown),
		CASE(short_and_interrupted_writes_are_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
