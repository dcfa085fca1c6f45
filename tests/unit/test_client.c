/* SPDX-License-Identifier: Apache-2.0 */
/* libfaultline-client against the real stream gate, both in this process and thread. */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/faultline-client.h"
#include "collector/gate/stream.h"
#include "collector/gate/stream_conn.h"
#include "collector/workers/dumps.h"
#include "tests/unit/log_help.h"
#include "tests/unit/stream_help.h"

struct fixture {
	struct world *w;
	struct faultline *f;
	struct faultline_options o;
	char server[64], spool[4200], state[4200], dump[4200], *dir;
	/* what was told */
	uint64_t acked;
	int connects, disconnects, refusals, wants, dumps_stored;
	char why[256], cookie[64], code[64], halted[64], advice[128];
};

static void
on_acked(void *arg, uint64_t ticket)
{
	((struct fixture *)arg)->acked = ticket;
}

static void
on_refused(void *arg, uint64_t ticket, const char *cookie, const char *code, const char *message)
{
	struct fixture *x = arg;

	(void)ticket;
	(void)message;
	x->refusals++;
	snprintf(x->cookie, sizeof(x->cookie), "%s", cookie);
	snprintf(x->code, sizeof(x->code), "%s", code);
}

static int
on_want_dump(void *arg, const char *cookie, const char *report_id)
{
	struct fixture *x = arg;

	assert_int_equal(strlen(report_id), 20);
	x->wants++;
	snprintf(x->cookie, sizeof(x->cookie), "%s", cookie);
	return open(x->dump, O_RDONLY);
}

static void
on_dump_done(void *arg, const char *report_id, const char *code)
{
	struct fixture *x = arg;

	(void)report_id;
	x->dumps_stored += code == NULL;
	snprintf(x->code, sizeof(x->code), "%s", code != NULL ? code : "");
}

static void
on_halted(void *arg, const char *const *ids, size_t n)
{
	struct fixture *x = arg;

	x->halted[0] = '\0';
	for (size_t i = 0; i < n; i++)
		strcat(strcat(x->halted, ids[i]), ";");
}

static void
on_advice(void *arg, const char *signature, const char *text)
{
	struct fixture *x = arg;

	assert_memory_equal(signature, "s1-", 3);
	snprintf(x->advice, sizeof(x->advice), "%s", text);
}

static void
on_connection(void *arg, int connected, const char *why)
{
	struct fixture *x = arg;

	x->connects += connected;
	x->disconnects += !connected;
	if (!connected)
		snprintf(x->why, sizeof(x->why), "%s", why);
}

static void
client_open(struct fixture *x)
{
	char err[256];

	x->f = faultline_new(&x->o, err, sizeof(err));
	if (x->f == NULL)
		fail_msg("%s", err);
}

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->w = world_new(NULL);
	x->dir = temp_dir_new();
	snprintf(x->server, sizeof(x->server), "127.0.0.1:%u", stream_port(x->w->stream));
	snprintf(x->spool, sizeof(x->spool), "%s/spool", x->dir);
	snprintf(x->state, sizeof(x->state), "%s/state", x->dir);
	snprintf(x->dump, sizeof(x->dump), "%s/dump", x->dir);
	x->o = (struct faultline_options){
		.size = sizeof(x->o),
		.server = x->server,
		.host = "host-a",
		.host_len = 6,
		.arg = x,
		.retry_min_ms = 5,
		.retry_max_ms = 20,
		.on = { on_acked, on_refused, on_want_dump, on_dump_done, on_halted, on_advice, on_connection },
	};
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	faultline_free(x->f);
	world_turn(x->w);
	world_free(x->w);
	temp_dir_free(x->dir);
	free(x);
	return 0;
}

/* Both sides take turns until *flag >= want, or for five seconds. */
static void
until(struct fixture *x, const int *flag, int want)
{
	for (int i = 0; i < 5000 && *flag < want; i++) {
		world_turn(x->w);
		faultline_wait(x->f, 1);
	}
	assert_true(*flag >= want);
}

static void
until_acked(struct fixture *x, uint64_t ticket)
{
	for (int i = 0; i < 5000 && x->acked < ticket; i++) {
		world_turn(x->w);
		faultline_wait(x->f, 1);
	}
	assert_true(x->acked >= ticket);
}

static uint64_t
send_report(struct fixture *x, const char *cookie, int has_dump)
{
	struct faultline_frame frames[2] = { { "libc.so.6", "aa", "abort", 0x10, 1 }, { "app", "bb", NULL, 0x20, 3 } };
	struct faultline_pair label = { "site", "berlin" };
	uint64_t ticket = 0;
	struct faultline_report r = {
		.kind = FAULTLINE_KIND_SERVICE,
		.module = "app",
		.module_id = "bb",
		.offset = 0x20,
		.reason = "SIGABRT",
		.frames = frames,
		.n_frames = 2,
		.labels = &label,
		.n_labels = 1,
		.has_dump = has_dump,
		.cookie = cookie,
	};

	assert_int_equal(faultline_report(x->f, &r, &ticket), FAULTLINE_OK);
	return ticket;
}

/* The i-th durable report. */
static struct report
logged(struct fixture *x, size_t i)
{
	struct report r;
	struct diag diag;

	for (size_t k = 0; k < x->w->n_records; k++)
		if (x->w->records[k].type == RECORD_REPORT && i-- == 0) {
			assert_int_equal(report_decode(x->w->records[k].payload, x->w->records[k].len, &r, &diag),
					 DISCARD_none);
			return r;
		}
	fail_msg("no such report");
	return r;
}

static void
a_report_arrives_whole(void **state)
{
	struct fixture *x = *state;
	struct report_frame frames[REPORT_MAX_FRAMES];
	struct report r;

	client_open(x);
	until_acked(x, send_report(x, NULL, 0));
	assert_int_equal(faultline_pending(x->f), 0);
	r = logged(x, 0);
	assert_true(text_equal(r.module, TEXT("app")) && r.offset == 0x20 && text_equal(r.site, TEXT("berlin")));
	assert_int_equal(report_frames(&r, frames), 2);
	assert_true(text_equal(frames[0].function, TEXT("abort")));
	assert_true(r.epoch == faultline_epoch(x->f) && r.seq == 1);
}

static void
thousands_are_batched(void **state)
{
	struct fixture *x = *state;
	uint64_t ticket = 0;

	client_open(x);
	for (int i = 0; i < 3000; i++)
		ticket = send_report(x, NULL, 0);
	until_acked(x, ticket);
	assert_int_equal(world_count(x->w, RECORD_REPORT), 3000);
	assert_true(x->w->stream->frame <= 14); /* 3000 / 256 and a hello */
	for (uint64_t i = 0; i < 3000; i++)
		assert_true(logged(x, i).seq == i + 1);
}

/* Sent, not acknowledged, connection lost: sent again, with the same numbers. */
static void
what_was_not_acknowledged_is_sent_again(void **state)
{
	struct fixture *x = *state;
	uint64_t ticket;

	client_open(x);
	until(x, &x->connects, 1);
	x->w->hold = true;
	ticket = send_report(x, NULL, 0);
	for (int i = 0; i < 20; i++) {
		world_turn(x->w);
		faultline_wait(x->f, 1);
	}
	assert_int_equal(x->acked, 0);
	conn_kill(TAILQ_FIRST(&x->w->stream->list[CONN_OPEN]));
	world_settle(x->w, LOG_DURABLE); /* it is stored, and nobody could say so */
	x->w->hold = false;
	until_acked(x, ticket);
	assert_int_equal(x->connects, 2);
	assert_int_equal(world_count(x->w, RECORD_REPORT), 2);
	assert_true(logged(x, 0).seq == logged(x, 1).seq && logged(x, 0).epoch == logged(x, 1).epoch);
}

/* The server says when to come back, and why. */
static void
a_nack_is_obeyed(void **state)
{
	struct fixture *x = *state;

	client_open(x);
	until(x, &x->connects, 1);
	x->w->answer = LOG_FULL;
	send_report(x, NULL, 0);
	until(x, &x->disconnects, 1);
	assert_non_null(strstr(x->why, "disk_full"));
	x->w->answer = LOG_QUEUED;
	for (int i = 0; i < 50; i++) { /* its own back-off would be 5 to 20 ms */
		world_turn(x->w);
		faultline_wait(x->f, 1);
	}
	assert_int_equal(x->connects, 1);
	assert_true(faultline_pending(x->f) > 0);
}

/* As after kill -9: the handle is never freed, a new one opens the same files. */
static void
the_spool_outlives_the_process(void **state)
{
	struct fixture *x = *state;
	uint64_t epoch, ticket = 0;
	char err[256];

	x->o.spool = x->spool;
	x->o.state = x->state;
	x->o.server = "127.0.0.1:1";
	client_open(x);
	epoch = faultline_epoch(x->f);
	for (int i = 0; i < 300; i++)
		send_report(x, "path", 0);
	assert_null(faultline_new(&x->o, err, sizeof(err))); /* one process at a time */
	assert_non_null(strstr(err, "another process"));
	faultline_free(x->f);
	x->o.server = x->server;
	client_open(x);
	assert_true(faultline_epoch(x->f) == epoch);
	assert_true(faultline_pending(x->f) > 0);
	ticket = send_report(x, NULL, 0);
	until_acked(x, ticket);
	assert_int_equal(world_count(x->w, RECORD_REPORT), 301);
	for (uint64_t i = 0; i < 300; i++)
		assert_true(logged(x, i).seq == i + 1 && logged(x, i).epoch == epoch);
	assert_true(logged(x, 300).seq > 300);
}

static void
a_full_queue_says_so(void **state)
{
	struct fixture *x = *state;
	struct faultline_report r = { .module = "app", .reason = "SIGABRT" };
	int rc = FAULTLINE_OK, n = 0;

	x->o.server = "127.0.0.1:1";
	x->o.queue_bytes = 8192;
	client_open(x);
	while ((rc = faultline_report(x->f, &r, NULL)) == FAULTLINE_OK && n < 10000)
		n++;
	assert_int_equal(rc, FAULTLINE_FULL);
	assert_true(n > 20);
	assert_int_equal(faultline_flush(x->f, 10), FAULTLINE_TIMEOUT);
}

static void
bad_reports_are_refused_here(void **state)
{
	struct fixture *x = *state;
	struct faultline_report r = { .module = "\xff\xfe" };

	client_open(x);
	assert_int_equal(faultline_report(x->f, &r, NULL), FAULTLINE_INVALID);
	r = (struct faultline_report){ .host = "", .host_len = 0 };
	assert_int_equal(faultline_report(x->f, &r, NULL), FAULTLINE_INVALID);
	r = (struct faultline_report){ .n_params = 5 };
	assert_int_equal(faultline_report(x->f, &r, NULL), FAULTLINE_INVALID);
	assert_int_equal(faultline_receipt(x->f, "", NULL, 0, 0, NULL), FAULTLINE_INVALID);
	assert_int_equal(faultline_pending(x->f), 0);
}

static void
a_dump_is_sent_when_asked_for(void **state)
{
	struct fixture *x = *state;
	static char big[300000];
	uint64_t before = dumps_bytes(x->w->env.dumps);
	int fd = open(x->dump, O_WRONLY | O_CREAT, 0600);

	memset(big, 'd', sizeof(big));
	assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
	close(fd);
	x->w->wants = 1;
	client_open(x);
	send_report(x, "/var/crash/one", 0);
	send_report(x, "/var/crash/two", 1);
	send_report(x, "/var/crash/three", 1);
	until(x, &x->dumps_stored, 1);
	assert_int_equal(x->wants, 1);
	assert_string_equal(x->cookie, "/var/crash/two");
	assert_int_equal(dumps_bytes(x->w->env.dumps) - before, sizeof(big));
	assert_int_equal(world_count(x->w, RECORD_DUMP_STORED), 1);
	assert_int_equal(faultline_flush(x->f, 0), FAULTLINE_OK);
}

static void
heartbeats_goodbyes_receipts(void **state)
{
	struct fixture *x = *state;
	struct faultline_pair content = { "sensor-content", "291-32" };
	struct faultline_heartbeat h = { .boot_id = "b", .boot_id_len = 1, .content = &content, .n_content = 1 };
	uint64_t ticket;

	client_open(x);
	assert_int_equal(faultline_heartbeat(x->f, &h), FAULTLINE_OK);
	assert_int_equal(faultline_receipt(x->f, "dep-1", NULL, 0, 0, NULL), FAULTLINE_OK);
	assert_int_equal(faultline_receipt(x->f, "dep-1", "host-b", 6, 0, &ticket), FAULTLINE_OK);
	assert_int_equal(faultline_goodbye(x->f, &h), FAULTLINE_OK);
	until_acked(x, ticket);
	for (int i = 0; i < 1000 && faultline_flush(x->f, 0) != FAULTLINE_OK; i++)
		world_turn(x->w);
	assert_int_equal(world_count(x->w, RECORD_HEARTBEAT), 2);
	assert_int_equal(world_count(x->w, RECORD_RECEIPT), 1);
}

static void
halts_and_advice_are_told(void **state)
{
	struct fixture *x = *state;

	x->w->advice = "delete the file";
	client_open(x);
	until_acked(x, send_report(x, NULL, 0));
	assert_string_equal(x->advice, "delete the file");
	assert_false(faultline_is_halted(x->f, "dep-1"));
	x->w->halted[0] = TEXT("dep-1");
	x->w->n_halted = 1;
	x->w->halted_version++;
	until_acked(x, send_report(x, NULL, 0));
	assert_string_equal(x->halted, "dep-1;");
	assert_true(faultline_is_halted(x->f, "dep-1"));
	x->w->n_halted = 0;
	x->w->halted_version++;
	until_acked(x, send_report(x, NULL, 0));
	assert_string_equal(x->halted, "");
	assert_false(faultline_is_halted(x->f, "dep-1"));
}

static void
nobody_there_and_back_off(void **state)
{
	struct fixture *x = *state;

	x->o.server = "127.0.0.1:1";
	client_open(x);
	until(x, &x->disconnects, 1);
	assert_memory_equal(x->why, "cannot connect", 14);
	assert_int_equal(x->connects, 0);
}

static void
addresses_are_checked(void **state)
{
	struct fixture *x = *state;
	static const char *const bad[] = { "", "host", ":80", "host:", NULL };
	char err[256];

	for (size_t i = 0; i < 5; i++) {
		x->o.server = bad[i];
		assert_null(faultline_new(&x->o, err, sizeof(err)));
		assert_non_null(strstr(err, "HOST:PORT"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_report_arrives_whole),
		T(thousands_are_batched),
		T(what_was_not_acknowledged_is_sent_again),
		T(a_nack_is_obeyed),
		T(the_spool_outlives_the_process),
		T(a_full_queue_says_so),
		T(bad_reports_are_refused_here),
		T(a_dump_is_sent_when_asked_for),
		T(heartbeats_goodbyes_receipts),
		T(halts_and_advice_are_told),
		T(nobody_there_and_back_off),
		T(addresses_are_checked),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
