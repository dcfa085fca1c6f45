/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "proto/presence.h"
#include "tests/unit/ledger_help.h"

static void
need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "ledger_help: %s\n", what);
	abort();
}

void
scribe_init(struct scribe *s, struct ledger *l)
{
	*s = (struct scribe){ .l = l, .now_us = 1700000000000000, .producer = 7, .number = 1, .seq = 1 };
}

void
scribe_fini(struct scribe *s)
{
	for (size_t i = 0; i < s->n_kept; i++)
		free(s->kept[i].bytes);
	free(s->kept);
}

void
scribe_begin(struct scribe *s)
{
	s->w = malloc(sizeof(*s->w));
	need(s->w != NULL && batch_writer_init(s->w) == 0, "memory");
}

enum err
scribe_fold(const struct scribe *s, size_t i, struct ledger *l)
{
	struct batch_view b;
	enum err e = batch_open(s->kept[i].bytes, s->kept[i].len, &b);

	need(e == ERR_OK, "batch");
	b.first = s->kept[i].first;
	b.next = b.first + 65536;
	return ledger_fold(l, &b);
}

void
scribe_commit(struct scribe *s)
{
	struct kept *k;

	batch_writer_finish(s->w, s->producer, s->number++, 1);
	if (s->n_kept == s->cap_kept) {
		s->cap_kept = s->cap_kept > 0 ? s->cap_kept * 2 : 64;
		s->kept = realloc(s->kept, s->cap_kept * sizeof(*s->kept));
		need(s->kept != NULL, "memory");
	}
	k = &s->kept[s->n_kept++];
	*k = (struct kept){ malloc(s->w->len), s->w->len, s->seq++ << 16 };
	need(k->bytes != NULL, "memory");
	memcpy(k->bytes, s->w->bytes, k->len);
	batch_writer_fini(s->w);
	free(s->w);
	s->w = NULL;
	if (s->l != NULL && scribe_fold(s, s->n_kept - 1, s->l) != ERR_OK)
		s->failed = true;
}

uint64_t
scribe_record(struct scribe *s, enum record_type type, const void *payload, size_t len)
{
	bool alone = s->w == NULL;
	uint64_t pos;
	uint8_t *p;

	if (alone)
		scribe_begin(s);
	pos = s->last_pos = (s->seq << 16) + s->w->n;
	p = batch_writer_add(s->w, type, s->tenant, s->now_us, len);
	need(p != NULL, "record does not fit");
	if (len > 0)
		memcpy(p, payload, len);
	if (alone)
		scribe_commit(s);
	return pos;
}

uint64_t
scribe_message(struct scribe *s, enum record_type type, const void *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *buf = malloc(len + 1);
	uint64_t pos;

	need(buf != NULL, "memory");
	protobuf_c_message_pack(message, buf);
	pos = scribe_record(s, type, buf, len);
	free(buf);
	return pos;
}

static struct text
text_or(const char *s, const char *preset)
{
	return text_of(s != NULL ? s : preset);
}

const char *
scribe_site(uint64_t host, char buf[16])
{
	snprintf(buf, 16, "site%u", (unsigned)(host / 10));
	return buf;
}

uint64_t
scribe_crash(struct scribe *s, const struct crash *c)
{
	static struct report r;
	struct report_stamp stamp = { .host_hash = c->host, .idempotency = c->idempotency, .guid_hash = c->guid };
	uint8_t raw[4096], out[8192];
	struct diag diag;
	char site[16];

	r = (struct report){ .host = TEXT("host"),
			     .epoch = c->epoch,
			     .seq = c->seq,
			     .kind = c->kind != REPORT_UNKNOWN ? c->kind : REPORT_USER,
			     .module = text_of(c->module),
			     .module_id = text_or(c->module_id, ""),
			     .offset = c->offset,
			     .reason = text_or(c->reason, "SIGSEGV"),
			     .reason_code = c->code,
			     .occurred_us = c->occurred_us,
			     .product = TEXT("agent"),
			     .version = TEXT("1.0"),
			     .os_build = TEXT("19045"),
			     .count = 1,
			     .has_dump = c->has_dump };
	r.raw.len = report_encode(&r, NULL, raw, sizeof(raw));
	need(report_decode(raw, r.raw.len, &r, &diag) == DISCARD_none, "report");
	stamp.site = c->site != NULL ? text_of(c->site) : text_of(scribe_site(c->host, site));
	if (c->sha256 != NULL) {
		stamp.dump_sha256 = (struct text){ (const char *)c->sha256, 32 };
		stamp.dump_size = 1000;
	}
	report_record_write(&r, &stamp, out);
	return scribe_record(s, RECORD_REPORT, out, report_record_size(&r, &stamp));
}

static uint64_t
beat(struct scribe *s, uint64_t host, const char *site, const char *product, const char *boot, bool goodbye,
     struct report_pair content)
{
	static struct heartbeat h;
	struct report_stamp stamp = { .host_hash = host };
	uint8_t raw[4096], out[8192];
	struct diag diag;
	size_t len;
	char buf[16];

	h = (struct heartbeat){ .host = TEXT("host"),
				.boot_id = text_or(boot, "boot-1"),
				.product = text_or(product, "agent"),
				.version = TEXT("1.0"),
				.os_build = TEXT("19045"),
				.interval_s = 60,
				.goodbye = goodbye,
				.n_content = 1 };
	h.content[0] = content;
	len = heartbeat_encode(&h, raw, sizeof(raw));
	need(heartbeat_decode(raw, len, &h, &diag) == DISCARD_none, "heartbeat");
	stamp.site = site != NULL ? text_of(site) : text_of(scribe_site(host, buf));
	heartbeat_record_write(&h, &stamp, out);
	return scribe_record(s, RECORD_HEARTBEAT, out, heartbeat_record_size(&h, &stamp));
}

uint64_t
scribe_heartbeat(struct scribe *s, uint64_t host, const char *site, const char *product, const char *boot)
{
	return beat(s, host, site, product, boot, false, (struct report_pair){ TEXT("channel"), TEXT("291") });
}

uint64_t
scribe_content(struct scribe *s, uint64_t host, const char *name, const char *version)
{
	return beat(s, host, NULL, NULL, NULL, false, (struct report_pair){ text_of(name), text_of(version) });
}

uint64_t
scribe_goodbye(struct scribe *s, uint64_t host, const char *site)
{
	return beat(s, host, site, NULL, NULL, true, (struct report_pair){ TEXT("channel"), TEXT("291") });
}

uint64_t
scribe_presence(struct scribe *s, const uint32_t *hosts, size_t n)
{
	size_t size = 32 + n * 5, used, len;
	uint8_t *buf = malloc(size);
	uint64_t pos;

	need(buf != NULL, "memory");
	len = presence_encode(1, (uint64_t)s->now_us / 1000000, hosts, n, buf, size, &used);
	need(used == n, "presence");
	pos = scribe_record(s, RECORD_PRESENCE, buf, len);
	free(buf);
	return pos;
}

uint64_t
scribe_tick(struct scribe *s, int64_t forward_us)
{
	Faultline__Log__Tick m = FAULTLINE__LOG__TICK__INIT;

	s->now_us += forward_us;
	m.wall_us = s->now_us;
	m.boot_us = s->now_us - 1600000000000000;
	return scribe_message(s, RECORD_TICK, &m);
}

uint64_t
scribe_serve_at(struct scribe *s, const char *deployment, const uint64_t *hosts, size_t n, int64_t at_us)
{
	Faultline__Log__Receipt m = FAULTLINE__LOG__RECEIPT__INIT;
	uint64_t *copy = malloc((n + 1) * sizeof(*copy)), pos;
	char *id = strdup(deployment);

	need(copy != NULL && id != NULL, "memory");
	memcpy(copy, hosts, n * sizeof(*copy));
	m.deployment = id;
	m.at_us = at_us;
	m.hosts = copy;
	m.n_hosts = n;
	pos = scribe_message(s, RECORD_RECEIPT, &m);
	free(copy);
	free(id);
	return pos;
}

uint64_t
scribe_serve(struct scribe *s, const char *deployment, const uint64_t *hosts, size_t n)
{
	return scribe_serve_at(s, deployment, hosts, n, 0);
}

uint64_t
scribe_decide(struct scribe *s, const char *deployment, Faultline__Log__Action action, bool automatic,
	      const char *reason, uint64_t basis, bool forced)
{
	Faultline__Log__Decision m = FAULTLINE__LOG__DECISION__INIT;
	char *id = strdup(deployment), *why = strdup(reason);
	uint64_t pos;

	need(id != NULL && why != NULL, "memory");
	m.deployment = id;
	m.action = action;
	m.automatic = automatic;
	m.reason = why;
	m.basis = basis;
	m.forced = forced;
	pos = scribe_message(s, RECORD_DECISION, &m);
	free(id);
	free(why);
	return pos;
}

uint64_t
scribe_deploy(struct scribe *s, const char *id, uint64_t ring, uint64_t bake_ms, const char *mode)
{
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Ring r = FAULTLINE__LOG__RING__INIT, *rings[1] = { &r };
	char *copies[4] = { strdup(id), strdup(mode), strdup("first"), strdup("hash") };
	uint64_t pos;

	need(copies[0] != NULL && copies[1] != NULL && copies[2] != NULL && copies[3] != NULL, "memory");
	m.assignment = copies[3];
	m.id = copies[0];
	m.mode = copies[1];
	m.bake_ms = bake_ms;
	r.name = copies[2];
	r.size = ring;
	if (ring > 0) {
		m.n_rings = 1;
		m.rings = rings;
	}
	pos = scribe_message(s, RECORD_DEPLOYMENT, &m);
	for (int i = 0; i < 4; i++)
		free(copies[i]);
	return pos;
}

uint64_t
scribe_setting(struct scribe *s, const char *name, const char *value)
{
	Faultline__Log__Setting one = FAULTLINE__LOG__SETTING__INIT, *all[1] = { &one };
	Faultline__Log__Settings m = FAULTLINE__LOG__SETTINGS__INIT;
	uint64_t pos;

	one.name = strdup(name);
	one.value = strdup(value);
	need(one.name != NULL && one.value != NULL, "memory");
	m.n_settings = 1;
	m.settings = all;
	pos = scribe_message(s, RECORD_SETTINGS, &m);
	free(one.name);
	free(one.value);
	return pos;
}

void
scribe_fleet(struct scribe *s, uint64_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (i % 500 == 0)
			scribe_begin(s);
		scribe_heartbeat(s, first + i, NULL, NULL, NULL);
		if (i % 500 == 499 || i + 1 == n)
			scribe_commit(s);
	}
}

/* ---- a random log ---- */

static uint64_t
roll(uint64_t *state, uint64_t n)
{
	*state += 0x9e3779b97f4a7c15ull;
	return hash_mix(*state) % n;
}

static void
random_crash(struct scribe *s, uint64_t *rng)
{
	static const char *const modules[] = { "kernel32.dll", "/usr/lib/libc.so.6", "csagent.sys", "a.out", "" };
	static const char *const ids[] = { "6E5E4A3C1000", "0a1b2c3d4e5f", "", "FFEE" };
	uint8_t sha[32] = { (uint8_t)roll(rng, 4) };
	struct crash c = { 0 };

	/* one by one: the order of calls in an initialiser is the compiler's */
	c.host = 1 + roll(rng, 400);
	c.module = modules[roll(rng, 5)];
	c.module_id = ids[roll(rng, 4)];
	c.offset = 0x1000 + roll(rng, 12) * 16;
	c.reason = roll(rng, 3) == 0 ? "SIGABRT" : "SIGSEGV";
	c.kind = (enum report_kind)(1 + roll(rng, 4));
	c.epoch = 1 + roll(rng, 2);
	c.seq = roll(rng, 120);
	c.code = (uint32_t)(roll(rng, 3) * 0x50);
	if (roll(rng, 20) == 0)
		c.idempotency = 1 + roll(rng, 9);
	if (roll(rng, 30) == 0)
		c.sha256 = sha;
	c.guid = roll(rng, 3);
	if (roll(rng, 3) == 0)
		c.occurred_us = s->now_us - (int64_t)roll(rng, 100) * 1000000 * (roll(rng, 8) == 0 ? 3600 : 1);
	c.has_dump = roll(rng, 2) == 0;
	scribe_crash(s, &c);
}

static void
random_triage(struct scribe *s, uint64_t *rng)
{
	static char module[] = "csagent.sys", id[] = "6e5e4a3c1000";
	Faultline__Log__TriageResult t = FAULTLINE__LOG__TRIAGE_RESULT__INIT;
	Faultline__Log__DumpStored d = FAULTLINE__LOG__DUMP_STORED__INIT;
	uint64_t back = 1 + roll(rng, 40);

	t.report = d.report = s->seq > back ? (s->seq - back) << 16 : 1u << 16;
	scribe_message(s, RECORD_DUMP_STORED, &d);
	t.outcome = roll(rng, 5) == 0 ? ERR_TRUNCATED : ERR_OK;
	t.module = module;
	t.module_id = id;
	t.offset = 0xe1000 + roll(rng, 3);
	t.reason_class = (uint32_t)roll(rng, 12);
	scribe_message(s, RECORD_TRIAGE_RESULT, &t);
}

static void
random_mute(struct scribe *s, uint64_t *rng, const char *id)
{
	static char reason[] = "known";
	Faultline__Log__Decision m = FAULTLINE__LOG__DECISION__INIT;
	char *copy = strdup(id);

	need(copy != NULL, "memory");
	m.deployment = copy;
	m.reason = reason;
	m.action = (Faultline__Log__Action)(FAULTLINE__LOG__ACTION__ACTION_MUTE + roll(rng, 3));
	m.signature = roll(rng, 4);
	m.until_us = roll(rng, 2) == 0 ? 0 : s->now_us + 60000000;
	scribe_message(s, RECORD_DECISION, &m);
	free(copy);
}

/* One that is served site by site, with a manifest and a hand-picked ring. */
static void
random_site_rollout(struct scribe *s, uint64_t *rng, uint64_t *hosts, size_t n)
{
	static char id[] = "by-site", assignment[] = "site", module[] = "csagent.sys", name[] = "lab";
	char *modules[1] = { module };
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Ring r = FAULTLINE__LOG__RING__INIT, *rings[1] = { &r };

	for (size_t i = 0; i < n; i++)
		hosts[i] = 1 + roll(rng, 420);
	m.id = id;
	m.assignment = assignment;
	m.modules = modules;
	m.n_modules = 1;
	r.name = name;
	r.hosts = hosts;
	r.n_hosts = n;
	r.hold_back = 30;
	m.rings = rings;
	m.n_rings = 1;
	scribe_message(s, RECORD_DEPLOYMENT, &m);
	scribe_serve_at(s, id, hosts, n / 2, 0);
}

static void
random_deployment(struct scribe *s, uint64_t *rng)
{
	static const char *const ids[] = { "content-291", "agent-7.16", "shadowed" };
	const char *id = ids[roll(rng, 3)];
	uint64_t hosts[16], a = roll(rng, 6), b = roll(rng, 2), c = roll(rng, 2);
	size_t n = 1 + roll(rng, 15);

	switch (roll(rng, 8)) {
	case 0:
		scribe_deploy(s, id, b * 40, c * 5000, strcmp(id, "shadowed") == 0 ? "shadow" : "armed");
		break;
	case 1:
		scribe_decide(s, id, (Faultline__Log__Action)a, b == 0, "because", s->last_pos, c == 0);
		break;
	case 2:
		random_mute(s, rng, id);
		break;
	case 3:
		random_site_rollout(s, rng, hosts, n);
		break;
	default:
		for (size_t i = 0; i < n; i++)
			hosts[i] = 1 + roll(rng, 420);
		scribe_serve_at(s, id, hosts, n, n % 2 != 0 ? s->now_us - 30000000 : 0);
	}
}

void
scribe_random(struct scribe *s, uint64_t seed, unsigned records)
{
	uint64_t rng = seed, host, a, b;
	uint32_t numbers[64];

	scribe_setting(s, "halt-host-age", "0s"); /* its hosts are known for seconds */
	for (unsigned i = 0; i < records; i++)
		switch (roll(&rng, 16)) {
		case 0:
		case 1:
		case 2:
		case 3:
		case 4:
		case 5:
		case 6:
			random_crash(s, &rng);
			break;
		case 7:
		case 8:
		case 9:
			host = 1 + roll(&rng, 400);
			a = roll(&rng, 4);
			b = roll(&rng, 3);
			scribe_heartbeat(s, host, NULL, a == 0 ? "other" : NULL, b == 0 ? "boot-2" : NULL);
			break;
		case 10:
			scribe_goodbye(s, 1 + roll(&rng, 400), NULL);
			break;
		case 11: {
			uint32_t n = 0, no = 0;

			while (n < 64 && (no += 1 + (uint32_t)roll(&rng, 9)) < 200)
				numbers[n++] = no;
			scribe_presence(s, numbers, n);
			break;
		}
		case 12:
			a = roll(&rng, 8) == 0 ? 1200 : 1;
			scribe_tick(s, (int64_t)(a * roll(&rng, 3000000)));
			break;
		case 13:
			random_triage(s, &rng);
			break;
		default:
			random_deployment(s, &rng);
		}
}
