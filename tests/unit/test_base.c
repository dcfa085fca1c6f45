/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, times, texts, tokens, hashes, mailboxes. */
#include "config.h"

#include <pthread.h>
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

#include "base/arena.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/hash.h"
#include "base/latency.h"
#include "base/mailbox.h"
#include "base/settings.h"
#include "base/text.h"
#include "base/token.h"

static char *
write_file(const char *text, mode_t mode)
{
	static char path[64];
	int fd;

	strcpy(path, "/tmp/fl-base-XXXXXX");
	fd = mkstemp(path);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	fchmod(fd, mode);
	close(fd);
	return path;
}

/* ---- settings ---- */

static void
test_every_preset_reads_back(void **state)
{
	struct settings s;
	size_t n;
	const struct setting_row *rows = settings_rows(&n);
	char text[256];

	(void)state;
	assert_int_equal(settings_init(&s), 0);
	for (size_t i = 0; i < n; i++) {
		settings_get(&s, rows[i].name, text, sizeof(text));
		if (strcmp(rows[i].preset, text) != 0)
			fail_msg("%s: preset %s reads back as %s", rows[i].name, rows[i].preset, text);
	}
	assert_true(s.max_dump == 100ull << 20);
	assert_true(s.idle_timeout == 300000);
	settings_fini(&s);
}

static void
test_wrong_values_are_named(void **state)
{
	static const char *const bad[][2] = {
		{ "max-dump", "10 MB" },
		{ "max-dump", "99999999999999999999" },
		{ "idle-timeout", "5" },
		{ "workers", "-1" },
		{ "halt-alpha", "1e-6x" },
		{ "halt-rho", "nan" },
		{ "allow-unauthenticated", "maybe" },
		{ "no-such-thing", "1" },
	};
	struct settings s;
	char err[256];

	(void)state;
	assert_int_equal(settings_init(&s), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(settings_set(&s, bad[i][0], bad[i][1], err, sizeof(err)), -1);
		assert_non_null(strstr(err, bad[i][0]));
	}
	assert_int_equal(settings_set(&s, "idle-timeout", "5", err, sizeof(err)), -1);
	assert_non_null(strstr(err, "15s"));
	assert_true(s.idle_timeout == 300000);
	settings_fini(&s);
}

static void
test_flags_win_over_the_file(void **state)
{
	char *path = write_file("[gates]\nworkers = 3\nlisten = 127.0.0.1:9\n", 0600), err[256];
	char words[5][32] = { "x", "--workers=5", "--config", "--allow-unauthenticated", "rest" };
	char *argv[] = { words[0], words[1], words[2], path, words[3], words[4] };
	struct settings s;
	int action;

	(void)state;
	assert_int_equal(settings_init(&s), 0);
	assert_int_equal(settings_read_args(&s, 6, argv, &action, err, sizeof(err)), 5);
	assert_int_equal(s.workers, 5);
	assert_string_equal(s.listen, "127.0.0.1:9");
	assert_true(s.allow_unauthenticated);
	settings_fini(&s);
	unlink(path);
}

static void
test_a_bad_file_names_the_line(void **state)
{
	char *path = write_file("workers = 3\nwrokers = 4\n", 0600), err[256];
	struct settings s;

	(void)state;
	assert_int_equal(settings_init(&s), 0);
	assert_int_equal(settings_read_file(&s, path, err, sizeof(err)), -1);
	assert_non_null(strstr(err, ":2:"));
	assert_non_null(strstr(err, "wrokers"));
	settings_fini(&s);
	unlink(path);
}

static void
test_unusable_numbers_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "workers", "0" }, { "gate-threads", "0" }, { "segment-bytes", "1" },    { "max-frame", "100G" },
		{ "tick", "0s" },   { "halt-alpha", "2" },   { "halt-hosts-kernel", "1" }
	};
	struct settings s;
	char err[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(settings_init(&s), 0);
		assert_int_equal(settings_check(&s, err, sizeof(err)), 0);
		assert_int_equal(settings_set(&s, bad[i][0], bad[i][1], err, sizeof(err)), 0);
		assert_int_equal(settings_check(&s, err, sizeof(err)), -1);
		assert_non_null(strstr(err, bad[i][0]));
		settings_fini(&s);
	}
}

/* ---- times and texts ---- */

static void
test_rfc3339_both_ways(void **state)
{
	char buf[CLOCK_RFC3339_SIZE];
	int64_t us = 1;

	(void)state;
	assert_string_equal(clock_rfc3339(1721362140000000, buf), "2024-07-19T04:09:00.000Z");
	assert_string_equal(clock_rfc3339(-1, buf), "1969-12-31T23:59:59.999Z");
	assert_int_equal(clock_parse_rfc3339("2024-07-19T06:09:00.5+02:00", &us), 0);
	assert_true(us == 1721362140500000);
	assert_int_equal(clock_parse_rfc3339("2024-07-19 04:09:00Z", &us), 0);
	assert_int_equal(clock_parse_rfc3339("2024-13-19T04:09:00Z", &us), -1);
	assert_int_equal(clock_parse_rfc3339("2024-07-19T04:09:00", &us), -1);
	assert_int_equal(clock_parse_rfc3339("2024-07-19T04:09:00Zjunk", &us), -1);
	assert_int_equal(clock_parse_rfc3339("yesterday", &us), -1);
	assert_int_equal(clock_parse_rfc3339("2024-07-19T+4:09:00Z", &us), -1);
	assert_int_equal(clock_parse_rfc3339("1601-01-01T00:00:00Z", &us), 0);
	assert_true(us == -11644473600000000);
	assert_int_equal(clock_parse_rfc3339("2000-02-29T23:59:60.123456789-00:30", &us), 0);
	assert_true(us == 951870600123456);
	assert_int_equal(clock_parse_rfc3339("0000-01-01T00:00:00Z", &us), 0);
	assert_true(us == -62167219200000000);
}

static void
test_utf8(void **state)
{
	(void)state;
	assert_true(text_is_utf8(TEXT("csagent.sys")));
	assert_true(text_is_utf8(TEXT("\xc3\xbc\xe2\x82\xac\xf0\x9f\x92\xa5")));
	assert_false(text_is_utf8(TEXT("\xc0\xaf")));         /* overlong */
	assert_false(text_is_utf8(TEXT("\xed\xa0\x80")));     /* surrogate */
	assert_false(text_is_utf8(TEXT("\xf4\x90\x80\x80"))); /* past the last */
	assert_false(text_is_utf8(TEXT("\xe2\x82")));         /* cut */
	assert_false(text_is_utf8(TEXT("a\0b")));
}

/* ---- secrets and hashes ---- */

static void
test_tokens(void **state)
{
	char *path = write_file("# ops\n0123456789abcdef0123 # deploy\n\n", 0600), err[256];
	struct tokens *t = tokens_load(path, err, sizeof(err));

	(void)state;
	assert_non_null(t);
	assert_true(tokens_match_header(t, "Bearer 0123456789abcdef0123", 27));
	assert_true(tokens_match_header(t, "bearer  0123456789abcdef0123", 28));
	assert_false(tokens_match_header(t, "Bearer 0123456789abcdef012", 26));
	assert_false(tokens_match_header(t, "Basic 0123456789abcdef0123", 26));
	tokens_free(t);
	chmod(path, 0644);
	assert_null(tokens_load(path, err, sizeof(err)));
	assert_non_null(strstr(err, "chmod"));
	unlink(path);
	path = write_file("short\n", 0600);
	assert_null(tokens_load(path, err, sizeof(err)));
	unlink(path);
	path = write_file("# nothing\n", 0600);
	assert_null(tokens_load(path, err, sizeof(err)));
	unlink(path);
}

static void
test_known_hash_values(void **state)
{
	uint8_t key[16], data[15], out[32];
	char hex[65];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 15; i++)
		data[i] = i;
	/* The paper's own vector (appendix A). */
	assert_true(siphash64(key, data, 15) == 0xa129ca6149be45e5ull);
	/* RFC 3720, B.4: 32 bytes of zeros. */
	assert_int_equal(crc32c(0, (uint8_t[32]){ 0 }, 32), 0x8a9136aau);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
	sha256("abc", 3, out);
	assert_string_equal(hex_encode(out, 32, hex),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(hex_decode("0x", 2, out), -1);
	assert_int_equal(hex_decode("abc", 3, out), -1);
}

static void
test_arena_limit_holds(void **state)
{
	struct arena *a = arena_new(1000);

	(void)state;
	assert_non_null(arena_calloc(a, 10, 50));
	assert_null(arena_calloc(a, SIZE_MAX / 2, 4));
	assert_null(arena_calloc(a, 1, 600));
	assert_non_null(arena_calloc(a, 1, 400));
	arena_free(a);
}

/* ---- mailbox ---- */

#define SENDERS 4
#define EACH    20000

struct letter {
	struct mail mail;
	int sender, n;
};

struct sender {
	struct mailbox *box;
	struct letter *letters;
	int id;
};

static void *
send_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < EACH; i++) {
		s->letters[i].sender = s->id;
		s->letters[i].n = i;
		mailbox_post(s->box, &s->letters[i].mail);
	}
	return NULL;
}

static void
test_mailbox_loses_nothing_and_keeps_each_senders_order(void **state)
{
	struct mailbox *box = mailbox_new();
	struct sender s[SENDERS];
	pthread_t thread[SENDERS];
	int next[SENDERS] = { 0 }, got = 0;

	(void)state;
	for (int i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ box, calloc(EACH, sizeof(struct letter)), i };
		pthread_create(&thread[i], NULL, send_all, &s[i]);
	}
	while (got < SENDERS * EACH) {
		assert_true(mailbox_wait(box, 10000));
		for (struct mail *m = mailbox_take(box); m != NULL; m = m->next) {
			struct letter *l = (struct letter *)(void *)m;

			assert_int_equal(l->n, next[l->sender]++);
			got++;
		}
	}
	for (int i = 0; i < SENDERS; i++) {
		pthread_join(thread[i], NULL);
		free(s[i].letters);
	}
	assert_null(mailbox_take(box));
	mailbox_free(box);
}

static void
test_latency(void **state)
{
	static struct latency_counts before, after;

	(void)state;
	latency_read(LATENCY_LOG_FLUSH, &before);
	assert_int_equal(latency_quantile(&before, &before, 0.99), 0);
	for (int i = 0; i < 990; i++)
		latency_add(LATENCY_LOG_FLUSH, 1000);
	for (int i = 0; i < 10; i++)
		latency_add(LATENCY_LOG_FLUSH, 50000);
	latency_add(LATENCY_LOG_FLUSH, -5);
	latency_add(LATENCY_LOG_FLUSH, INT64_MAX);
	latency_read(LATENCY_LOG_FLUSH, &after);
	assert_in_range(latency_quantile(&before, &after, 0.5), 1001, 1190);
	assert_in_range(latency_quantile(&before, &after, 0.995), 50001, 59500);
	assert_int_equal(latency_quantile(&before, &after, 0.0001), 1);
	for (uint64_t us = 1; us < 100000000; us = us * 9 / 8 + 1) { /* never below, at most a quarter above */
		before = after;
		latency_add(LATENCY_LOG_FLUSH, (int64_t)us);
		latency_read(LATENCY_LOG_FLUSH, &after);
		assert_in_range(latency_quantile(&before, &after, 1), us + 1, us + us / 4 + 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_every_preset_reads_back),
		cmocka_unit_test(test_wrong_values_are_named),
		cmocka_unit_test(test_flags_win_over_the_file),
		cmocka_unit_test(test_a_bad_file_names_the_line),
		cmocka_unit_test(test_unusable_numbers_are_refused),
		cmocka_unit_test(test_rfc3339_both_ways),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_known_hash_values),
		cmocka_unit_test(test_arena_limit_holds),
		cmocka_unit_test(test_mailbox_loses_nothing_and_keeps_each_senders_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
