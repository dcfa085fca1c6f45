/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "collector/log/log.h"
#include "collector/workers/dumps.h"

/* ---- a log that only has pressure ---- */

static enum log_pressure pressure_now;

static enum log_pressure
fake_pressure(const struct log *l)
{
	(void)l;
	return pressure_now;
}

static const struct log_ops fake_ops = { .pressure = fake_pressure };
static struct log fake_log = { &fake_ops };

/* ---- fixture ---- */

struct fixture {
	char dir[64];
	struct dumps *d;
	struct dumps_options o;
	struct mailbox *reply;
	int outcomes; /* done() calls */
};

static void
reopen(struct fixture *f)
{
	char err[256];

	dumps_close(f->d);
	f->d = dumps_open(f->dir, &f->o, &fake_log, err, sizeof(err));
	if (f->d == NULL)
		fail_msg("%s", err);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/faultline-dumps-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->o = (struct dumps_options){
		.max_dump = 1 << 20, .keep_bytes = 1 << 24, .per_signature = 3, .keep_days = 30
	};
	f->reply = mailbox_new();
	pressure_now = LOG_PRESSURE_NONE;
	reopen(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	dumps_close(f->d);
	mailbox_free(f->reply);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static void
on_done(struct dumps_commit *c)
{
	struct fixture *f = c->arg;

	f->outcomes++;
}

static struct dump_writer *
begin(struct fixture *f, uint64_t signature)
{
	enum discard why = DISCARD_none;
	struct dump_writer *w = dumps_begin(f->d, 0, signature, &why);

	if (w == NULL)
		fail_msg("refused: %s", discard_code(why));
	return w;
}

static struct dumps_commit
commit(struct fixture *f, struct dump_writer *w)
{
	struct dumps_commit c = { .reply = f->reply, .done = on_done, .arg = f };
	int before = f->outcomes;

	dumps_commit(w, &c);
	while (f->outcomes == before) {
		assert_true(mailbox_wait(f->reply, 10000));
		dumps_dispatch(f->reply);
	}
	return c;
}

/* A dump of `size` bytes that differs by seed. */
static struct dumps_commit
store(struct fixture *f, uint64_t signature, char seed, size_t size)
{
	struct dump_writer *w = begin(f, signature);
	char *bytes = malloc(size);

	memset(bytes, seed, size);
	assert_int_equal(dumps_write(w, bytes, size / 2), DISCARD_none);
	assert_int_equal(dumps_write(w, bytes + size / 2, size - size / 2), DISCARD_none);
	free(bytes);
	return commit(f, w);
}

static char *
path_of(struct fixture *f, const uint8_t sha256[SHA256_BYTES])
{
	static char path[256];
	char hex[SHA256_HEX];

	hex_encode(sha256, SHA256_BYTES, hex);
	snprintf(path, sizeof(path), "%s/dumps/%.2s/%s", f->dir, hex, hex);
	return path;
}

static unsigned
count_entries(struct fixture *f, const char *sub)
{
	char path[256];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", f->dir, sub);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static bool
refused(struct fixture *f, uint64_t signature, enum discard expected)
{
	enum discard why = DISCARD_none;
	struct dump_writer *w = dumps_begin(f->d, 0, signature, &why);

	dumps_abandon(w);
	return w == NULL && why == expected;
}

/* ---- tests ---- */

static void
stored_dump_has_its_hash_as_name_and_is_read_only(void **state)
{
	struct fixture *f = *state;
	struct dumps_commit c = store(f, 1, 'a', 3);
	char hex[SHA256_HEX], got[8] = "";
	uint64_t size = 0;
	struct stat st;
	int fd;

	assert_int_equal(c.outcome, DUMPS_STORED);
	assert_string_equal(hex_encode(c.sha256, SHA256_BYTES, hex),
			    "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0");
	assert_int_equal(stat(path_of(f, c.sha256), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	fd = dumps_open_file(f->d, c.sha256, &size);
	assert_true(fd >= 0);
	assert_int_equal(size, 3);
	assert_int_equal(read(fd, got, sizeof(got)), 3);
	assert_string_equal(got, "aaa");
	close(fd);
	assert_int_equal(dumps_bytes(f->d), 3);
	assert_int_equal(count_entries(f, "incoming"), 0);
}

static void
same_dump_twice_is_a_duplicate_and_kept_once(void **state)
{
	struct fixture *f = *state;
	struct dumps_commit a = store(f, 1, 'a', 1000), b = store(f, 2, 'a', 1000);

	assert_int_equal(a.outcome, DUMPS_STORED);
	assert_int_equal(b.outcome, DUMPS_DUPLICATE);
	assert_memory_equal(a.sha256, b.sha256, SHA256_BYTES);
	assert_int_equal(dumps_bytes(f->d), 1000);
	assert_int_equal(count_entries(f, "incoming"), 0);
}

static void
damaged_file_under_the_name_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct dumps_commit a = store(f, 1, 'a', 1000);
	struct stat st;

	assert_int_equal(chmod(path_of(f, a.sha256), 0600), 0);
	assert_int_equal(truncate(path_of(f, a.sha256), 10), 0);
	assert_int_equal(store(f, 2, 'a', 1000).outcome, DUMPS_STORED);
	assert_int_equal(stat(path_of(f, a.sha256), &st), 0);
	assert_int_equal(st.st_size, 1000);
}

static void
many_commits_at_once_all_answer(void **state)
{
	struct fixture *f = *state;
	struct dumps_commit c[50];
	struct dump_writer *w;

	for (uint32_t i = 0; i < 50; i++) {
		w = begin(f, 0);
		assert_int_equal(dumps_write(w, &i, sizeof(i)), DISCARD_none);
		c[i] = (struct dumps_commit){ .reply = f->reply, .done = on_done, .arg = f };
		dumps_commit(w, &c[i]);
	}
	while (f->outcomes < 50) {
		assert_true(mailbox_wait(f->reply, 10000));
		dumps_dispatch(f->reply);
	}
	for (int i = 0; i < 50; i++) {
		assert_int_equal(c[i].outcome, DUMPS_STORED);
		assert_int_equal(access(path_of(f, c[i].sha256), R_OK), 0);
	}
}

static void
too_large_is_refused_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct dump_writer *w = begin(f, 1);
	char *block = calloc(1, 1 << 20);

	assert_int_equal(dumps_write(w, block, 1 << 20), DISCARD_none);
	assert_int_equal(dumps_write(w, block, 1), DISCARD_dump_too_large);
	assert_int_equal(count_entries(f, "incoming"), 1);
	dumps_abandon(w);
	assert_int_equal(count_entries(f, "incoming"), 0);
	assert_int_equal(dumps_bytes(f->d), 0);
	free(block);
}

static void
signature_quota_counts_dumps_being_received(void **state)
{
	struct fixture *f = *state;
	struct dump_writer *w[3];

	for (int i = 0; i < 3; i++)
		w[i] = begin(f, 7);
	assert_true(refused(f, 7, DISCARD_dump_not_wanted));
	dumps_abandon(w[0]); /* its place is free again */
	w[0] = begin(f, 7);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dumps_write(w[i], &i, sizeof(i)), DISCARD_none);
		assert_int_equal(commit(f, w[i]).outcome, DUMPS_STORED);
	}
	assert_true(refused(f, 7, DISCARD_dump_not_wanted));
	dumps_abandon(begin(f, 8));
}

static void
signature_quota_survives_a_restart(void **state)
{
	struct fixture *f = *state;

	for (char i = 0; i < 3; i++)
		store(f, 7, i, 10);
	reopen(f);
	assert_true(refused(f, 7, DISCARD_dump_not_wanted));
	assert_int_equal(dumps_bytes(f->d), 30);
	dumps_abandon(begin(f, 8));
}

static void
damaged_quota_file_only_forgets(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int fd;

	for (char i = 0; i < 3; i++)
		store(f, 7, i, 10);
	snprintf(path, sizeof(path), "%s/dumps/quota", f->dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage", 7, 36), 7); /* in the second entry */
	close(fd);
	reopen(f);
	dumps_abandon(begin(f, 7));
	store(f, 7, 'x', 10);
	store(f, 7, 'y', 10);
	assert_true(refused(f, 7, DISCARD_dump_not_wanted));
}

static void
asks_for_as_many_dumps_as_the_quota_allows(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++)
		assert_true(dumps_want(f->d, 0, 7));
	assert_false(dumps_want(f->d, 0, 7));
	assert_true(dumps_want(f->d, 1, 7));  /* another tenant's */
	assert_false(dumps_want(f->d, 0, 0)); /* nothing to ask about */
	store(f, 7, 'a', 10);                 /* an answer: one kept, two still asked for */
	assert_false(dumps_want(f->d, 0, 7));
	pressure_now = LOG_PRESSURE_NO_DUMPS;
	assert_false(dumps_want(f->d, 0, 8));
}

static void
disk_pressure_refuses_before_and_during_an_upload(void **state)
{
	struct fixture *f = *state;
	struct dump_writer *w = begin(f, 1);

	pressure_now = LOG_PRESSURE_NO_DUMPS;
	assert_int_equal(dumps_write(w, "x", 1), DISCARD_dump_disk_low);
	dumps_abandon(w);
	assert_true(refused(f, 1, DISCARD_dump_disk_low));
	pressure_now = LOG_PRESSURE_NONE;
	dumps_abandon(begin(f, 1));
}

static unsigned
admitted_of_1000(struct fixture *f)
{
	enum discard why;
	unsigned n = 0;

	for (int i = 0; i < 1000; i++) {
		struct dump_writer *w = dumps_begin(f->d, 0, 0, &why);

		n += w != NULL;
		dumps_abandon(w);
	}
	return n;
}

static void
drops_early_by_what_is_used(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	store(f, 0, 'a', 1000);
	f->o.keep_bytes = 2000; /* half: none dropped */
	dumps_configure(f->d, &f->o);
	assert_int_equal(admitted_of_1000(f), 1000);
	f->o.keep_bytes = 1333; /* three quarters: about half, 12 sigma around it */
	dumps_configure(f->d, &f->o);
	n = admitted_of_1000(f);
	assert_in_range(n, 310, 690);
	f->o.keep_bytes = 1000; /* all: every one */
	dumps_configure(f->d, &f->o);
	assert_int_equal(admitted_of_1000(f), 0);
}

static void
budget_is_never_passed_by_a_running_upload(void **state)
{
	struct fixture *f = *state;
	struct dump_writer *w;

	f->o.keep_bytes = 1000;
	dumps_configure(f->d, &f->o);
	w = begin(f, 0);
	assert_int_equal(dumps_write(w, (char[900]){ 0 }, 900), DISCARD_none);
	assert_int_equal(dumps_write(w, (char[101]){ 0 }, 101), DISCARD_dump_disk_low);
	dumps_abandon(w);
	assert_int_equal(dumps_bytes(f->d), 0);
}

static void
unfinished_uploads_are_swept_at_start(void **state)
{
	struct fixture *f = *state;
	char path[128];
	FILE *fp;

	snprintf(path, sizeof(path), "%s/incoming/17.part", f->dir);
	fp = fopen(path, "w");
	fputs("half a dump", fp);
	fclose(fp);
	reopen(f);
	assert_int_equal(count_entries(f, "incoming"), 0);
	assert_int_equal(store(f, 1, 'a', 10).outcome, DUMPS_STORED);
}

static void
old_dumps_expire(void **state)
{
	struct fixture *f = *state;
	struct dumps_commit old = store(f, 1, 'a', 100), young = store(f, 1, 'b', 10);
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = clock_wall_us() / 1000000 - 31 * 86400 } };
	uint64_t size;
	int fd;

	assert_int_equal(utimensat(AT_FDCWD, path_of(f, old.sha256), t, 0), 0);
	reopen(f);
	assert_int_equal(dumps_open_file(f->d, old.sha256, &size), -1);
	fd = dumps_open_file(f->d, young.sha256, &size);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(dumps_bytes(f->d), 10);
}

static void
settling_counts_once_and_removes_what_is_too_many(void **state)
{
	struct fixture *f = *state;
	struct dumps_commit c[5];
	uint64_t size;
	int fd;

	for (int i = 0; i < 5; i++) /* forms: no signature claimed */
		c[i] = store(f, 0, (char)('a' + i), 10);
	for (int i = 0; i < 3; i++) {
		assert_true(dumps_settle(f->d, c[i].sha256, 0, 7));
		assert_true(dumps_settle(f->d, c[i].sha256, 0, 7));
	}
	assert_false(dumps_settle(f->d, c[3].sha256, 0, 7));
	assert_int_equal(dumps_open_file(f->d, c[3].sha256, &size), -1);
	assert_true(dumps_settle(f->d, c[4].sha256, 0, 8));
	fd = dumps_open_file(f->d, c[4].sha256, &size);
	assert_true(fd >= 0);
	close(fd);
	assert_true(refused(f, 7, DISCARD_dump_not_wanted));
	assert_int_equal(dumps_bytes(f->d), 40);
}

static void
a_false_claim_is_counted_where_triage_puts_it(void **state)
{
	struct fixture *f = *state;

	for (char i = 0; i < 3; i++)
		assert_true(dumps_settle(f->d, store(f, 7, i, 10).sha256, 0, 9));
	dumps_abandon(begin(f, 7));
	assert_true(refused(f, 9, DISCARD_dump_not_wanted));
}

static void
a_failed_write_is_told_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct dump_writer *w = begin(f, 1);
	struct dumps_commit c;
	char cmd[128];

	assert_int_equal(dumps_write(w, "abc", 3), DISCARD_none);
	snprintf(cmd, sizeof(cmd), "rm -rf %s/incoming/*", f->dir);
	assert_int_equal(system(cmd), 0);
	c = commit(f, w);
	assert_int_equal(c.outcome, DUMPS_FAILED);
	assert_int_equal(dumps_bytes(f->d), 0);
	dumps_abandon(begin(f, 1));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(stored_dump_has_its_hash_as_name_and_is_read_only),
		T(same_dump_twice_is_a_duplicate_and_kept_once),
		T(damaged_file_under_the_name_is_replaced),
		T(many_commits_at_once_all_answer),
		T(too_large_is_refused_and_leaves_nothing),
		T(signature_quota_counts_dumps_being_received),
		T(signature_quota_survives_a_restart),
		T(damaged_quota_file_only_forgets),
		T(asks_for_as_many_dumps_as_the_quota_allows),
		T(disk_pressure_refuses_before_and_during_an_upload),
		T(drops_early_by_what_is_used),
		T(budget_is_never_passed_by_a_running_upload),
		T(unfinished_uploads_are_swept_at_start),
		T(old_dumps_expire),
		T(settling_counts_once_and_removes_what_is_too_many),
		T(a_false_claim_is_counted_where_triage_puts_it),
		T(a_failed_write_is_told_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
