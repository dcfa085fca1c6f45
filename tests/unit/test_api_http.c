/* SPDX-License-Identifier: Apache-2.0 */
/* The API over real sockets: long polls, writes, lists, tokens, events, reports. */
#include "config.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/token.h"
#include "collector/api/assets.h"
#include "collector/gate/identity.h"
#include "collector/log/report_id.h"
#include "proto/log.pb-c.h"
#include "proto/report.h"
#include "tests/unit/api_world.h"

#define TOKEN "0123456789abcdef-token"

/* ---- verdicts ---- */

static void
without_wait_the_verdict_comes_at_once(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_refused(&c, 404, "unknown_deployment", "(none)");
	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing served");
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_int_equal(c.status, 200);
	assert_string_equal(text(&c, "verdict"), "hold");
	assert_string_equal(text(&c, "state"), "nothing_served");
	assert_string_equal(text(&c, "reason"), "nothing served");
	assert_true(json_is_number(json_object_get(c.body, "stale_seconds")));
	assert_true(json_is_object(json_object_get(c.body, "evidence")));
	client_close(&c);
}

static void
a_long_poll_waits_while_hold(void **state)
{
	struct world *w = *state;
	struct client c;
	int64_t began;

	world_deploy(w, VERDICT_HOLD, STATE_TOO_FEW_RESOLVED, "few");
	client_open(&c, w);
	client_send(&c, "GET", "/v1/deployments/d1/verdict?wait=30s", "", "");
	assert_false(pump(w, &c, 100));
	fake_fold_verdict(w->fold, VERDICT_HOLD, STATE_TOO_FEW_CONTROLS, "still hold");
	api_wake(w->api);
	assert_false(pump(w, &c, 100));
	fake_fold_verdict(w->fold, VERDICT_HALT, STATE_HALTED, "bad");
	began = clock_boot_us();
	api_wake(w->api);
	assert_true(pump(w, &c, 1000));
	assert_true(clock_boot_us() - began < 50000);
	assert_string_equal(text(&c, "verdict"), "halt");

	/* not hold any more: at once */
	began = clock_boot_us();
	ask(w, &c, "GET", "/v1/deployments/d1/verdict?wait=30s", "", "");
	assert_true(clock_boot_us() - began < 1000000);
	client_close(&c);
}

static void
a_long_poll_tells_hold_when_the_time_is_up(void **state)
{
	struct world *w = *state;
	struct client c;
	int64_t began = clock_boot_us();

	world_deploy(w, VERDICT_HOLD, STATE_TOO_FEW_RESOLVED, "few");
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/deployments/d1/verdict?wait=200ms", "", "");
	assert_true(clock_boot_us() - began >= 200000);
	assert_int_equal(c.status, 200);
	assert_string_equal(text(&c, "verdict"), "hold");
	client_close(&c);
}

static void
if_none_match_waits_for_another_etag(void **state)
{
	struct world *w = *state;
	char headers[160], first[96];
	struct client c;
	int64_t began;

	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	strcpy(first, c.etag);
	assert_true(first[0] == '"');
	snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", first);

	/* the same: 304, after the wait, without a body; with no wait at once */
	began = clock_boot_us();
	ask(w, &c, "GET", "/v1/deployments/d1/verdict?wait=200ms", headers, "");
	assert_int_equal(c.status, 304);
	assert_true(clock_boot_us() - began >= 200000);
	assert_string_equal(c.etag, first);
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", headers, "");
	assert_int_equal(c.status, 304);

	/* changed while waiting, even to hold: told */
	client_send(&c, "GET", "/v1/deployments/d1/verdict?wait=30s", headers, "");
	assert_false(pump(w, &c, 50));
	fake_fold_verdict(w->fold, VERDICT_HOLD, STATE_PAUSED, "resumed, paused");
	api_wake(w->api);
	assert_true(pump(w, &c, 1000));
	assert_int_equal(c.status, 200);
	assert_string_equal(text(&c, "state"), "paused");
	assert_string_not_equal(c.etag, first);

	/* an old version: at once, although it is hold */
	began = clock_boot_us();
	ask(w, &c, "GET", "/v1/deployments/d1/verdict?wait=30s", headers, "");
	assert_int_equal(c.status, 200);
	assert_true(clock_boot_us() - began < 1000000);
	client_close(&c);
}

static void
doubt_is_hold_and_halt_stays_halt(void **state)
{
	struct world *w = *state;
	char sure[96];
	struct client c;

	world_deploy(w, VERDICT_PROCEED, STATE_CLEAN, "fine");
	w->fold->verdict.next_ring_max = 100;
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_string_equal(text(&c, "verdict"), "proceed");
	assert_int_equal(json_integer_value(json_object_get(c.body, "next_ring_max")), 100);
	strcpy(sure, c.etag);

	w->fold->caught_up = false;
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_string_equal(text(&c, "verdict"), "hold");
	assert_string_equal(text(&c, "state"), "not_fresh");
	assert_int_equal(json_integer_value(json_object_get(c.body, "next_ring_max")), 0);
	assert_string_not_equal(c.etag, sure);
	w->fold->caught_up = true;

	w->fold->verdict.fresh_us -= 60000000;
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_string_equal(text(&c, "state"), "not_fresh");
	w->fold->verdict.fresh_us += 60000000;

	w->fold->failed = "stopped";
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_string_equal(text(&c, "state"), "not_fresh");
	fake_fold_verdict(w->fold, VERDICT_HALT, STATE_HALTED, "bad");
	ask(w, &c, "GET", "/v1/deployments/d1/verdict", "", "");
	assert_string_equal(text(&c, "verdict"), "halt");
	w->fold->failed = NULL;

	/* what is not there while catching up is no 404 */
	w->fold->caught_up = false;
	ask(w, &c, "GET", "/v1/deployments/d2/verdict", "", "");
	assert_refused(&c, 503, "catching_up", "(none)");
	client_close(&c);
}

static void
deletion_ends_the_wait(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	client_open(&c, w);
	client_send(&c, "GET", "/v1/deployments/d1/verdict?wait=30s", "", "");
	assert_false(pump(w, &c, 50));
	w->fold->id[0] = '\0';
	w->fold->position += 0x10000;
	api_wake(w->api);
	assert_true(pump(w, &c, 1000));
	assert_int_equal(c.status, 404);
	client_close(&c);
}

static void
draining_answers_who_waits(void **state)
{
	struct world *w = *state;
	struct client c, gone;

	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	client_open(&gone, w);
	client_send(&gone, "GET", "/v1/deployments/d1/verdict?wait=30s", "", "");
	client_open(&c, w);
	client_send(&c, "GET", "/v1/deployments/d1/verdict?wait=30s", "", "");
	assert_false(pump(w, &c, 50));
	client_close(&gone);
	assert_false(pump(w, &c, 50));
	api_drain(w->api);
	assert_true(pump(w, &c, 1000));
	assert_string_equal(text(&c, "verdict"), "hold");
	client_close(&c);
	for (int i = 0; i < 1000 && !api_drained(w->api); i++)
		pump(w, NULL, 1);
	assert_true(api_drained(w->api));
}

/* ---- writes ---- */

static unsigned
records(struct world *w, enum record_type type, Faultline__Log__Decision **decision_out)
{
	struct log_reader *r = log_reader_new(w->log, 0);
	struct batch_view batch;
	unsigned n = 0;

	while (log_read(r, &batch, 0) == LOG_BATCH) {
		struct record_view record;
		uint32_t cursor = 0;

		while (batch_next(&batch, &cursor, &record, NULL))
			if (record.type == type) {
				n++;
				if (decision_out != NULL)
					*decision_out = faultline__log__decision__unpack(NULL, record.payload_len,
											 record.payload);
			}
	}
	log_reader_free(r);
	return n;
}

static void
writes_are_json_and_say_what_is_wrong(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	ask(w, &c, "PUT", "/v1/deployments/d1", "", "{}");
	assert_refused(&c, 415, "wrong_content_type", "(none)");
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "PUT", "/v1/deployments/d1", "Content-Type: application/jsonx\r\n", "{}");
	assert_refused(&c, 415, "wrong_content_type", "(none)");
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "PUT", "/v1/deployments/d1", JSON_TYPE, "{\"rings\":[{\"name\":3}]}");
	assert_refused(&c, 400, "invalid_json_value", "rings[0].name");
	ask(w, &c, "PUT", "/v1/deployments/d%2F1", JSON_TYPE, "{}");
	assert_refused(&c, 400, "invalid_parameter", "id");
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "POST", "/v1/deployments/d1/receipts", JSON_TYPE, "{\"hosts\":[\"a\"]}");
	assert_refused(&c, 404, "unknown_deployment", "(none)");
	ask(w, &c, "POST", "/v1/deployments/d1/halt", JSON_TYPE, "{\"reason\":\"x\"}");
	assert_refused(&c, 404, "unknown_deployment", "(none)");
	ask(w, &c, "PATCH", "/v1/deployments/d1", JSON_TYPE, "{}");
	assert_int_equal(c.status, 405);
	assert_int_equal(records(w, RECORD_DEPLOYMENT, NULL), 0);
	client_close(&c);
}

static void
a_write_is_answered_when_it_is_folded(void **state)
{
	struct world *w = *state;
	Faultline__Log__Decision *d = NULL;
	struct client c;

	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	w->fold->position = 1; /* the ledger has folded nothing yet */
	client_open(&c, w);
	client_send(&c, "POST", "/v1/deployments/d1/halt", JSON_TYPE,
		    "{\"reason\":\"canary bleeds\",\"actor\":\"ana\"}");
	assert_false(pump(w, &c, 200));
	assert_int_equal(records(w, RECORD_DECISION, &d), 1); /* durable already */
	assert_string_equal(d->deployment, "d1");
	assert_string_equal(d->reason, "canary bleeds");
	assert_string_equal(d->actor, "ana");
	assert_int_equal(d->action, FAULTLINE__LOG__ACTION__ACTION_HALT);
	assert_false(d->automatic);
	faultline__log__decision__free_unpacked(d, NULL);
	w->fold->position = UINT64_MAX / 2;
	fake_fold_verdict(w->fold, VERDICT_HALT, STATE_HALTED_BY_PERSON, "canary bleeds");
	assert_true(pump(w, &c, 1000));
	assert_int_equal(c.status, 200);
	assert_string_equal(text(&c, "state"), "halted_by_person");
	client_close(&c);
}

static void
a_client_that_leaves_costs_nothing(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	w->fold->position = 1;
	client_open(&c, w);
	client_send(&c, "POST", "/v1/deployments/d1/pause", JSON_TYPE, "{\"reason\":\"x\"}");
	assert_false(pump(w, &c, 20));
	client_close(&c);
	pump(w, NULL, 50);
	assert_int_equal(records(w, RECORD_DECISION, NULL), 1);
}

static void
refusals_of_the_ledger(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	client_open(&c, w);
	w->fold->refuse = "frozen";
	ask(w, &c, "PUT", "/v1/deployments/d1", JSON_TYPE, "{\"modules\":[\"other\"]}");
	assert_refused(&c, 409, "conflict", "id");
	w->fold->refuse = "halted";
	ask(w, &c, "DELETE", "/v1/deployments/d1", JSON_TYPE, "");
	assert_refused(&c, 409, "deployment_halted", "(none)");
	assert_int_equal(records(w, RECORD_DECISION, NULL), 0);
	w->fold->position = UINT64_MAX / 2;
	ask(w, &c, "DELETE", "/v1/deployments/d1?force=1", JSON_TYPE, "");
	assert_int_equal(c.status, 200);
	assert_int_equal(records(w, RECORD_DECISION, NULL), 1);
	w->fold->refuse = NULL;
	ask(w, &c, "POST", "/v1/deployments/d1/receipts", JSON_TYPE, "{\"ring\":\"nosuch\"}");
	assert_refused(&c, 400, "invalid_field", "ring");
	ask(w, &c, "POST", "/v1/deployments/d1/receipts", JSON_TYPE, "{\"ring\":\"canary\"}");
	assert_int_equal(c.status, 200);
	w->fold->queue_full = true;
	ask(w, &c, "GET", "/v1/deployments/d1", "", "");
	assert_int_equal(c.status, 503);
	client_close(&c);
}

/* ---- reading ---- */

static void
lists_have_pages(void **state)
{
	struct world *w = *state;
	char path[128], next[64] = "";
	unsigned n = 0;
	struct client c;

	w->fold->n_keys = 25;
	client_open(&c, w);
	do {
		const json_t *row;
		size_t i;

		snprintf(path, sizeof(path), "/v1/signatures?limit=10%s%s", next[0] != '\0' ? "&cursor=" : "", next);
		ask(w, &c, "GET", path, "", "");
		assert_int_equal(c.status, 200);
		json_array_foreach(json_object_get(c.body, "signatures"), i, row)
		{
			assert_int_equal(json_integer_value(json_object_get(row, "hosts")), 25 - n);
			n++;
		}
		snprintf(next, sizeof(next), "%s",
			 json_is_null(json_object_get(c.body, "next")) ? "" : text(&c, "next"));
	} while (next[0] != '\0');
	assert_int_equal(n, 25);
	client_close(&c);
}

static void
wrong_parameters_are_named(void **state)
{
	static const struct {
		const char *path, *field;
	} cases[] = {
		{ "/v1/signatures?sort=size", "sort" },
		{ "/v1/signatures?limit=0", "limit" },
		{ "/v1/signatures?limit=1001", "limit" },
		{ "/v1/signatures?kind=big", "kind" },
		{ "/v1/signatures?new_since=soon", "new_since" },
		{ "/v1/signatures?cursor=zz", "cursor" },
		{ "/v1/signatures?sort=newest&cursor=0000000000000000010000000000000001", "cursor" },
		{ "/v1/signatures?deployment=a/b", "deployment" },
		{ "/v1/signatures?module=%zz", "module" },
		{ "/v1/signatures/s1-xyz", "id" },
		{ "/v1/deployments?limit=x", "limit" },
		{ "/v1/deployments/d1/verdict?wait=10m", "wait" },
		{ "/v1/deployments/d1/verdict?wait=abc", "wait" },
	};
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(w, &c, "GET", cases[i].path, "", "");
		assert_refused(&c, 400, "invalid_parameter", cases[i].field);
	}
	ask(w, &c, "GET", "/v1/reports/0123", "", "");
	assert_refused(&c, 404, "unknown_report", "id");
	ask(w, &c, "GET", "/v1/signatures/s1-00000000000000ff", "", "");
	assert_refused(&c, 404, "unknown_signature", "(none)");
	ask(w, &c, "GET", "/v1/hosts/nobody", "", "");
	assert_refused(&c, 404, "unknown_host", "(none)");
	ask(w, &c, "GET", "/v1/nothing", "", "");
	assert_refused(&c, 404, "not_found", "(none)");
	client_close(&c);
}

static void
hosts_by_id_and_by_hash(void **state)
{
	struct world *w = *state;
	char path[64];
	struct client c;

	w->fold->has_host = true;
	w->fold->host_hash = identity_host(w->identity, 0, TEXT("laptop 7"));
	strcpy(w->fold->id, "d1");
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/hosts/laptop%207", "", "");
	assert_int_equal(c.status, 200);
	assert_string_equal(text(&c, "site"), "berlin");
	assert_int_equal(json_array_size(json_object_get(c.body, "served")), 1);
	snprintf(path, sizeof(path), "/v1/hosts/%s", text(&c, "id"));
	ask(w, &c, "GET", path, "", "");
	assert_int_equal(c.status, 200);
	client_close(&c);
}

static void
tokens_guard_writes_and_foreign_reads(void **state)
{
	struct world *w = *state;
	char path[128], err[256];
	struct client c;
	FILE *f;

	world_path(w, "tokens", path, sizeof(path));
	f = fopen(path, "w");
	fputs(TOKEN "\n", f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	w->tokens = tokens_load(path, err, sizeof(err));
	assert_non_null(w->tokens);
	world_deploy(w, VERDICT_HOLD, STATE_NOTHING_SERVED, "nothing");
	w->fold->position = UINT64_MAX / 2;

	client_open(&c, w);
	ask(w, &c, "GET", "/v1/now", "", "");
	assert_int_equal(c.status, 200);
	ask(w, &c, "POST", "/v1/deployments/d1/pause", JSON_TYPE, "{\"reason\":\"x\"}");
	assert_int_equal(c.status, 401);
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "POST", "/v1/deployments/d1/pause", JSON_TYPE "Authorization: Bearer wrong-wrong-wrong-wrong\r\n",
	    "{\"reason\":\"x\"}");
	assert_int_equal(c.status, 401);
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "POST", "/v1/deployments/d1/pause", JSON_TYPE "Authorization: Bearer " TOKEN "\r\n",
	    "{\"reason\":\"x\"}");
	assert_int_equal(c.status, 200);
	client_close(&c);

	/* a listener that is not loopback: reads too, but the page and health stay open */
	api_free(w->api);
	world_start_api(w, false);
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/now", "", "");
	assert_int_equal(c.status, 401);
	ask(w, &c, "GET", "/v1/stream", "", "");
	assert_int_equal(c.status, 401);
	ask(w, &c, "GET", "/metrics", "", "");
	assert_int_equal(c.status, 401);
	ask(w, &c, "GET", "/healthz", "", "");
	assert_int_equal(c.status, 200);
	ask(w, &c, "GET", "/", "", "");
	if (n_assets > 0) {
		assert_int_equal(c.status, 200);
		assert_non_null(strstr(c.buf, "Content-Security-Policy: default-src 'none'"));
	} else { /* configured --without-web */
		assert_int_equal(c.status, 404);
	}
	ask(w, &c, "GET", "/v1/now", "Authorization: Bearer " TOKEN "\r\n", "");
	assert_int_equal(c.status, 200);
	client_close(&c);
}

static void
readiness_says_why(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	ask(w, &c, "GET", "/readyz", "", "");
	assert_int_equal(c.status, 200);
	w->fold->caught_up = false;
	ask(w, &c, "GET", "/readyz", "", "");
	assert_int_equal(c.status, 503);
	assert_non_null(strstr(text(&c, "reason"), "reading the log"));
	ask(w, &c, "GET", "/healthz", "", "");
	assert_int_equal(c.status, 200);
	w->fold->failed = "history changed";
	ask(w, &c, "GET", "/healthz", "", "");
	assert_int_equal(c.status, 503);
	client_close(&c);
}

/* ---- events ---- */

/* Wait until the stream holds `what`. */
static bool
stream_has(struct world *w, struct client *c, const char *what, int64_t ms)
{
	int64_t end = clock_boot_us() + ms * 1000;

	do {
		pump(w, NULL, 1);
		client_read(c);
		if (strstr(c->buf, what) != NULL)
			return true;
	} while (clock_boot_us() < end);
	return false;
}

static void
events_come_and_can_be_resumed(void **state)
{
	struct world *w = *state;
	struct client c;

	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	client_open(&c, w);
	client_send(&c, "GET", "/v1/stream", "", "");
	assert_true(stream_has(w, &c, "event: hello", 1000));
	assert_non_null(strstr(c.buf, "Content-Type: text/event-stream"));
	assert_non_null(strstr(c.buf, "id: 999\n"));
	assert_true(stream_has(w, &c, "event: counters", 3000));
	fake_fold_event(w->fold, EVENT_SIGNATURE, "evil\nid: 7\n\n");
	fake_fold_event(w->fold, EVENT_VERDICT, "bad");
	api_wake(w->api);
	assert_true(
		stream_has(w, &c, "id: 1001\nevent: verdict\ndata: {\"deployment\":\"d1\",\"verdict\":\"halt\"", 1000));
	assert_non_null(strstr(c.buf, "id: 1000\nevent: signature\ndata: {\"id\":\"s1-0000000000000abc\","
				      "\"title\":\"evil\\nid: 7\\n\\n\""));
	client_close(&c);

	client_open(&c, w);
	client_send(&c, "GET", "/v1/stream", "Last-Event-ID: 1000\r\n", "");
	assert_true(stream_has(w, &c, "id: 1001\nevent: verdict", 1000));
	assert_null(strstr(c.buf, "id: 1000\n"));
	assert_null(strstr(c.buf, "hello"));
	client_close(&c);

	/* too old, and from the future: start again */
	w->fold->first_event = 1001;
	client_open(&c, w);
	client_send(&c, "GET", "/v1/stream", "Last-Event-ID: 5\r\n", "");
	assert_true(stream_has(w, &c, "id: 1001\nevent: reset", 1000));
	client_close(&c);
	client_open(&c, w);
	client_send(&c, "GET", "/v1/stream", "Last-Event-ID: 5000\r\n", "");
	assert_true(stream_has(w, &c, "event: reset", 1000));
	client_close(&c);
	client_open(&c, w);
	ask(w, &c, "GET", "/v1/stream", "Last-Event-ID: abc\r\n", "");
	assert_refused(&c, 400, "invalid_parameter", "Last-Event-ID");
	ask(w, &c, "HEAD", "/v1/stream", "", "");
	assert_int_equal(c.status, 200);
	client_close(&c);
}

static void
a_reader_that_does_not_read_is_cut(void **state)
{
	struct world *w = *state;
	uint64_t before = discard_get(DISCARD_slow_reader);
	char long_text[480];
	struct client c;

	world_deploy(w, VERDICT_HALT, STATE_HALTED, "bad");
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	client_open(&c, w);
	client_send(&c, "GET", "/v1/stream", "", "");
	assert_true(stream_has(w, &c, "event: hello", 1000));
	for (int i = 0; i < 1000 && discard_get(DISCARD_slow_reader) == before; i++) {
		for (int k = 0; k < 64; k++)
			fake_fold_event(w->fold, EVENT_VERDICT, long_text);
		api_wake(w->api);
		pump(w, NULL, 0);
	}
	assert_int_equal(discard_get(DISCARD_slow_reader), before + 1);
	client_close(&c);
}

/* ---- names ---- */

static void
names_of_strangers_do_not_lead_here(void **state)
{
	static const struct {
		const char *host;
		int status;
	} cases[] = {
		{ "127.0.0.1:8482", 200 },
		{ "localhost", 200 },
		{ "LOCALHOST:1", 200 },
		{ "a.localhost:1", 200 },
		{ "[::1]:8482", 200 },
		{ "evil.example", 400 },
		{ "127.0.0.1.evil.example", 400 },
		{ "localhost.evil.example", 400 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char request[256];
		struct client c;
		int n = snprintf(request, sizeof(request), "GET /v1/now HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);

		client_open(&c, w);
		assert_int_equal(write(c.fd, request, (size_t)n), n);
		assert_true(pump(w, &c, 5000));
		assert_int_equal(c.status, cases[i].status);
		client_close(&c);
	}
}

/* ---- reports ---- */

struct submitted {
	struct log_submission s;
	bool done;
};

static void
submitted_done(struct log_submission *s)
{
	((struct submitted *)s->arg)->done = true;
	assert_int_equal(s->outcome, LOG_DURABLE);
}

static uint64_t
append_report(struct world *w, const struct report *r)
{
	struct submitted sub = { .s.done = submitted_done, .s.arg = &sub };
	struct report_stamp stamp = { .host_hash = 42, .site = TEXT("berlin") };
	struct batch_writer writer;
	struct report decoded;
	uint8_t buf[4096];
	struct diag diag;
	size_t len = report_encode(r, NULL, buf, sizeof(buf));

	assert_int_equal(report_decode(buf, len, &decoded, &diag), DISCARD_none);
	batch_writer_init(&writer);
	report_record_write(
		&decoded, &stamp,
		batch_writer_add(&writer, RECORD_REPORT, 0, 1721361600000000, report_record_size(&decoded, &stamp)));
	batch_writer_finish(&writer, 99, 1, 0);
	sub.s.bytes = writer.bytes;
	sub.s.len = writer.len;
	sub.s.reply = mailbox_new();
	assert_int_equal(log_append(w->log, &sub.s), LOG_QUEUED);
	while (!sub.done) {
		mailbox_wait(sub.s.reply, 1000);
		log_dispatch(sub.s.reply);
	}
	mailbox_free(sub.s.reply);
	batch_writer_fini(&writer);
	return sub.s.first;
}

static void
a_report_is_there_as_soon_as_it_is_durable(void **state)
{
	struct report r = { .host = TEXT("laptop 7"),
			    .kind = REPORT_KERNEL,
			    .module = TEXT("csagent.sys"),
			    .offset = 0xe14ed,
			    .reason = TEXT("PAGE_FAULT_IN_NONPAGED_AREA"),
			    .count = 1 };
	struct world *w = *state;
	char path[128], id[REPORT_ID_SIZE], bp[REPORT_ID_BP_SIZE];
	struct log_id log_id;
	uint64_t pos, first, end;
	struct client c;

	pos = append_report(w, &r);
	log_bounds(w->log, &first, &end, &log_id);
	w->fold->position = pos; /* durable, not folded */
	client_open(&c, w);
	snprintf(path, sizeof(path), "/v1/reports/%s", report_id_format(pos, &log_id, id));
	ask(w, &c, "GET", path, "", "");
	assert_int_equal(c.status, 200);
	assert_string_equal(text(&c, "stage"), "accepted");
	assert_string_equal(text(&c, "id"), id);
	assert_string_equal(text(&c, "host"), "h:000000000000002a");
	assert_string_equal(text(&c, "module"), "csagent.sys");
	assert_string_equal(text(&c, "offset"), "0xe14ed");
	assert_string_equal(text(&c, "received"), "2024-07-19T04:00:00.000Z");
	assert_string_equal(text(&c, "site"), "berlin");
	w->fold->position = pos + 1;
	w->fold->has_report = true;
	w->fold->report = (struct report_view){ .pos = pos, .claimed = 0xabc, .stage = DUMP_STORED };
	snprintf(path, sizeof(path), "/v1/reports/%s", report_id_format_bp(pos, &log_id, 1721361600000000, bp));
	ask(w, &c, "GET", path, "", "");
	assert_string_equal(text(&c, "stage"), "folded");
	assert_string_equal(text(&c, "triage"), "waiting");
	assert_string_equal(text(&c, "signature"), "s1-0000000000000abc");
	w->fold->report.stage = DUMP_TRIAGED;
	w->fold->report.computed = 0xdef;
	ask(w, &c, "GET", path, "", "");
	assert_string_equal(text(&c, "stage"), "triaged");
	assert_string_equal(text(&c, "signature"), "s1-0000000000000def");
	w->stored = pos + 1;
	ask(w, &c, "GET", path, "", "");
	assert_string_equal(text(&c, "stage"), "stored");
	snprintf(path, sizeof(path), "/v1/reports/%s", report_id_format(pos + 1, &log_id, id));
	ask(w, &c, "GET", path, "", "");
	assert_refused(&c, 404, "unknown_report", "id");
	client_close(&c);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(without_wait_the_verdict_comes_at_once),
		T(a_long_poll_waits_while_hold),
		T(a_long_poll_tells_hold_when_the_time_is_up),
		T(if_none_match_waits_for_another_etag),
		T(doubt_is_hold_and_halt_stays_halt),
		T(deletion_ends_the_wait),
		T(draining_answers_who_waits),
		T(writes_are_json_and_say_what_is_wrong),
		T(a_write_is_answered_when_it_is_folded),
		T(a_client_that_leaves_costs_nothing),
		T(refusals_of_the_ledger),
		T(lists_have_pages),
		T(wrong_parameters_are_named),
		T(hosts_by_id_and_by_hash),
		T(tokens_guard_writes_and_foreign_reads),
		T(readiness_says_why),
		T(events_come_and_can_be_resumed),
		T(a_reader_that_does_not_read_is_cut),
		T(names_of_strangers_do_not_lead_here),
		T(a_report_is_there_as_soon_as_it_is_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
