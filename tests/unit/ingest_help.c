/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/settings.h"
#include "collector/gate/identity.h"
#include "collector/gate/roster.h"
#include "collector/log/report_id.h"
#include "proto/claim.h"
#include "proto/wire.h"
#include "tests/unit/ingest_help.h"

/* ---- a log that keeps the last records ---- */

struct hand_log hand;

void
settle(void)
{
	for (size_t i = 0; i < hand.n_held; i++)
		mailbox_post(hand.held[i]->reply, &hand.held[i]->mail);
	hand.n_held = 0;
}

static enum log_append
hand_append(struct log *l, struct log_submission *s)
{
	struct batch_view b;
	struct record_view v;
	uint32_t cursor = 0;

	(void)l;
	if (hand.answer != LOG_QUEUED)
		return hand.answer;
	s->outcome = hand.outcome;
	s->first = ++hand.seq << 16;
	assert_int_equal(batch_open(s->bytes, s->len, &b), ERR_OK);
	while (batch_next(&b, &cursor, &v, NULL) && hand.n_records < 64) {
		hand.type[hand.n_records] = v.type;
		hand.payload_len[hand.n_records] = v.payload_len;
		if (v.payload_len <= sizeof(hand.payload[0]))
			memcpy(hand.payload[hand.n_records], v.payload, v.payload_len);
		hand.n_records++;
	}
	hand.held[hand.n_held++] = s;
	if (!hand.hold)
		settle();
	return LOG_QUEUED;
}

static enum log_pressure
hand_pressure(const struct log *l)
{
	(void)l;
	return hand.pressure;
}

static const struct log_ops hand_ops = { .append = hand_append, .pressure = hand_pressure };

/* ---- the gate around it ---- */

static struct settings settings;
static struct identity *identity;
bool want_all, halted_one;
static char key_path[64];

static const struct settings *
get_settings(void *arg)
{
	(void)arg;
	return &settings;
}
static const struct identity *
get_identity(void *arg)
{
	(void)arg;
	return identity;
}
static const struct tokens *
get_tokens(void *arg)
{
	(void)arg;
	return NULL;
}

static bool
want_dump(void *arg, uint16_t tenant, uint64_t signature)
{
	(void)arg;
	(void)tenant;
	return want_all && signature != 0;
}

static size_t
get_halted(void *arg, const struct text **ids_out, uint64_t *version_out)
{
	static const struct text ids[] = { { "rollout-\"7\"", 11 } };

	(void)arg;
	*ids_out = ids;
	*version_out = 1;
	return halted_one;
}

static struct text
get_advice(void *arg, uint16_t tenant, uint64_t signature)
{
	(void)arg;
	(void)tenant;
	(void)signature;
	return (struct text){ NULL, 0 };
}

static bool
find_host(void *arg, uint16_t tenant, uint64_t hash, uint32_t *no_out, uint32_t *fingerprint_out)
{
	(void)arg;
	(void)tenant;
	(void)hash;
	(void)no_out;
	(void)fingerprint_out;
	return false;
}

struct gate_env env = {
	.settings = get_settings,
	.identity = get_identity,
	.tokens = get_tokens,
	.want_dump = want_dump,
	.halted = get_halted,
	.advice = get_advice,
};
struct gate gate;
struct ingest *ingest;
struct http_peer *peer;

int
setup(void **state)
{
	char err[256];

	(void)state;
	hand = (struct hand_log){ .log = { &hand_ops }, .answer = LOG_QUEUED, .outcome = LOG_DURABLE };
	memset(&fake_dumps, 0, sizeof(fake_dumps));
	want_all = halted_one = false;
	settings_init(&settings);
	settings_set(&settings, "submit-paths", "/submit,/upload", err, sizeof(err));
	settings_set(&settings, "max-dump", "200K", err, sizeof(err));
	snprintf(key_path, sizeof(key_path), "/tmp/test_ingest.%ld.key", (long)getpid());
	identity = identity_new(key_path, "", LABELS_NEVER, err, sizeof(err));
	env.log = &hand.log;
	memset(env.log_id.uuid, 7, sizeof(env.log_id.uuid));
	gate = (struct gate){ .env = &env, .base = event_base_new() };
	gate.intake = intake_new(&hand.log);
	gate.roster = roster_new(0, find_host, NULL);
	ingest = ingest_new(&gate, "127.0.0.1:0", err, sizeof(err));
	if (ingest == NULL)
		fail_msg("%s", err);
	peer = http_peer_new(gate.base, ingest->http);
	return 0;
}

void
turn_gate(void)
{
	for (int i = 0; i < 16; i++) {
		event_base_loop(gate.base, EVLOOP_NONBLOCK);
		intake_flush(gate.intake);
		intake_dispatch(gate.intake);
	}
}

void
turn(void)
{
	turn_gate();
	http_peer_run(peer);
}

int
teardown(void **state)
{
	(void)state;
	turn();
	http_peer_free(peer);
	ingest_free(ingest);
	intake_free(gate.intake);
	roster_free(gate.roster);
	identity_free(identity);
	settings_fini(&settings);
	event_base_free(gate.base);
	unlink(key_path);
	assert_int_equal(fake_dumps.open, 0);
	return 0;
}

/* ---- requests ---- */

const char *
request(const char *method, const char *path, const char *headers, const void *body, size_t len)
{
	char head[1024];
	int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n", method, path,
			 headers, len);

	if (http_peer_closed(peer)) {
		http_peer_free(peer);
		peer = http_peer_new(gate.base, ingest->http);
	}
	http_peer_forget(peer);
	http_peer_send(peer, head, (size_t)n);
	if (len > 0)
		http_peer_send(peer, body, len);
	turn();
	return http_peer_text(peer);
}

const char *
post_json(const char *path, const char *body)
{
	return request("POST", path, JSON, body, strlen(body));
}

void
expect(const char *answer, int status, const char *part)
{
	char want[32];

	snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (strncmp(answer, want, strlen(want)) != 0 || strstr(answer, part) == NULL)
		fail_msg("wanted %d and %s, got: %s", status, part, answer);
}

struct report
logged_report(size_t i)
{
	struct report r;
	struct diag diag;

	assert_true(i < hand.n_records);
	assert_int_equal(hand.type[i], RECORD_REPORT);
	assert_int_equal(report_decode(hand.payload[i], hand.payload_len[i], &r, &diag), DISCARD_none);
	assert_int_equal(r.host.len, 0);
	return r;
}

void
check_text(struct text t, const char *want)
{
	if (!text_equal(t, text_of(want)))
		fail_msg("%.*s is not %s", (int)t.len, t.at, want);
}
