/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/page.h"
#include "collector/api/words.h"
#include "collector/ledger/numeric.h"
#include "proto/report.h"

#define LN10 2.302585092994046

static const char *const kinds_by_gravity[REPORT_N_KINDS] = {
	[REPORT_UNKNOWN] = "unknown", [REPORT_USER] = "user",
	[REPORT_SERVICE] = "service", [REPORT_BOOT_CRITICAL] = "boot-critical",
	[REPORT_KERNEL] = "kernel",
};

const char *
words_kind(unsigned kind)
{
	return kinds_by_gravity[kind < REPORT_N_KINDS ? kind : REPORT_UNKNOWN];
}

const char *
words_trust(unsigned trust)
{
	static const char *const names[] = { "unknown", "context", "cfi", "frame_pointer", "scan" };

	return names[trust < sizeof(names) / sizeof(names[0]) ? trust : 0];
}

int
words_kind_parse(const char *name, uint8_t *bit_out)
{
	for (unsigned k = 0; k < REPORT_N_KINDS; k++)
		if (strcmp(kinds_by_gravity[k], name) == 0) {
			*bit_out = (uint8_t)(1u << k);
			return 0;
		}
	return -1;
}

void
words_kinds(struct jsonout *j, uint8_t kinds)
{
	unsigned worst = REPORT_UNKNOWN;

	for (unsigned k = 0; k < REPORT_N_KINDS; k++)
		if (kinds & 1u << k)
			worst = k;
	jsonout_string(j, "kind", words_kind(worst));
	jsonout_open(j, "kinds", '[');
	for (unsigned k = 0; k < REPORT_N_KINDS; k++)
		if (kinds & 1u << k)
			jsonout_string(j, NULL, words_kind(k));
	jsonout_close(j, ']');
}

void
words_signature_id(struct jsonout *j, const char *key, uint64_t id)
{
	char buf[SIGNATURE_ID_LEN];

	jsonout_string(j, key, id != 0 ? signature_id_text(id, buf) : NULL);
}

static void
place(struct jsonout *j, uint64_t id, uint8_t rung, const char *title, uint8_t kinds)
{
	words_signature_id(j, "id", id);
	jsonout_string(j, "title", title);
	jsonout_string(j, "rung", signature_rung_name((enum signature_rung)rung));
	words_kinds(j, kinds);
}

void
words_signature(struct jsonout *j, const struct view_signature *s)
{
	jsonout_open(j, NULL, '{');
	place(j, s->id, s->rung, s->title, s->kinds);
	jsonout_u64(j, "hosts", s->hosts);
	jsonout_u64(j, "sites", s->sites);
	jsonout_u64(j, "crashes", s->crashes);
	jsonout_u64(j, "trend", s->trend);
	jsonout_time(j, "first_seen", s->first_us);
	jsonout_time(j, "last_seen", s->last_us);
	jsonout_close(j, '}');
}

static bool
has_place(uint8_t rung)
{
	return rung == RUNG_KEY;
}

void
words_key(struct jsonout *j, const struct key_view *k)
{
	place(j, k->id, k->rung, k->title, k->kinds);
	jsonout_u64(j, "hosts", k->hosts);
	jsonout_u64(j, "sites", k->sites);
	jsonout_u64(j, "crashes", k->crashes);
	jsonout_u64(j, "reports", k->reports);
	jsonout_u64(j, "trend", k->trend);
	jsonout_time(j, "first_seen", k->first_us);
	jsonout_time(j, "last_seen", k->last_us);
	if (k->module.len > 0)
		jsonout_text(j, "module", k->module);
	else
		jsonout_null(j, "module");
	if (k->module_id.len > 0)
		jsonout_text(j, "module_id", k->module_id);
	else
		jsonout_null(j, "module_id");
	if (has_place(k->rung))
		jsonout_hex(j, "offset", k->offset);
	else
		jsonout_null(j, "offset");
	jsonout_string(j, "reason_class", reason_class_name((enum reason_class)k->reason_class));
	jsonout_text(j, "reason", k->reason);
}

static const char *
part_name(unsigned kind)
{
	static const char *const names[PART_N] = {
		[PART_COUNT] = "count",         [PART_MODULE] = "module",
		[PART_SIGNATURE] = "signature", [PART_DEPLOYMENT] = "deployment",
		[PART_TIME] = "time",           [PART_ODDS] = "odds",
		[PART_RATE] = "rate",           [PART_BREAK] = "break",
	};

	return kind < PART_N ? names[kind] : "text";
}

static void
piece(struct jsonout *j, const char *text, size_t len, const struct part *p)
{
	jsonout_open(j, NULL, '{');
	jsonout_text(j, "text", (struct text){ text, len });
	jsonout_string(j, "kind", p != NULL ? part_name(p->kind) : "text");
	switch (p != NULL ? p->kind : PART_BREAK) {
	case PART_COUNT:
		jsonout_double(j, "value", p->value, 0);
		break;
	case PART_ODDS:
	case PART_RATE:
		jsonout_real(j, "value", p->value);
		break;
	case PART_MODULE:
	case PART_SIGNATURE:
		words_signature_id(j, "id", p->id);
		break;
	case PART_DEPLOYMENT:
		jsonout_text(j, "id", (struct text){ text, len });
		break;
	case PART_TIME:
		jsonout_time(j, "at", p->us);
		break;
	default:
		break;
	}
	jsonout_close(j, '}');
}

void
words_prose(struct jsonout *j, const char *key, const char *text, const struct part *parts, uint32_t n)
{
	const size_t len = strlen(text);
	char name[40];
	size_t at = 0;

	jsonout_string(j, key, text);
	snprintf(name, sizeof(name), "%s_parts", key);
	jsonout_open(j, name, '[');
	for (uint32_t i = 0; i < n && (size_t)parts[i].at + parts[i].len <= len; i++) {
		if (parts[i].at > at)
			piece(j, text + at, parts[i].at - at, NULL);
		piece(j, text + parts[i].at, parts[i].len, &parts[i]);
		at = (size_t)parts[i].at + parts[i].len;
	}
	if (at < len)
		piece(j, text + at, len - at, NULL);
	jsonout_close(j, ']');
}

const char *
words_action(unsigned action)
{
	static const char *const names[] = { "start", "halt", "resume", "pause",   "delete",
					     "close", "mute", "accept", "release", "ack" };

	return names[action < sizeof(names) / sizeof(names[0]) ? action : 0];
}

void
words_decision(struct jsonout *j, const char *key, const struct decision_view *d)
{
	if (d == NULL) {
		jsonout_null(j, key);
		return;
	}
	jsonout_open(j, key, '{');
	jsonout_position(j, "position", d->pos);
	jsonout_time(j, "at", d->at_us);
	jsonout_string(j, "action", words_action(d->action));
	jsonout_bool(j, "automatic", d->automatic);
	if (d->actor.len > 0)
		jsonout_text(j, "actor", d->actor);
	else
		jsonout_null(j, "actor");
	jsonout_text(j, "reason", d->reason);
	words_signature_id(j, "signature", d->signature);
	jsonout_time(j, "until", d->until_us != INT64_MAX ? d->until_us : 0);
	if (d->log_needed > 0)
		jsonout_double(j, "log10_odds", d->log_odds / LN10, 2);
	else
		jsonout_null(j, "log10_odds");
	if (d->automatic && d->log_needed > 0)
		jsonout_real(j, "alpha_spent", num_exp(-d->log_needed));
	else
		jsonout_null(j, "alpha_spent");
	jsonout_close(j, '}');
}

static void
rings(struct jsonout *j, const char *status, const struct view_deployment *d)
{
	jsonout_open(j, "rings", '[');
	for (uint32_t i = 0; i < d->n_rings; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "name", d->rings[i].name);
		if (d->rings[i].rest)
			jsonout_null(j, "size");
		else
			jsonout_u64(j, "size", d->rings[i].size);
		jsonout_u64(j, "served", d->rings[i].served);
		jsonout_string(j, "state", words_ring(d->rings, d->n_rings, i, status));
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

void
words_acknowledged(struct jsonout *j, const struct view_deployment *d)
{
	struct decision_view ack;

	if (d == NULL || d->acknowledged.pos == 0) {
		jsonout_null(j, "acknowledged");
		return;
	}
	ack = (struct decision_view){ .pos = d->acknowledged.pos,
				      .at_us = d->acknowledged.at_us,
				      .action = FAULTLINE__LOG__ACTION__ACTION_ACK,
				      .actor = text_of(d->acknowledged.actor),
				      .reason = text_of(d->acknowledged.reason) };
	words_decision(j, "acknowledged", &ack);
}

/* Of a row: what stands beside what older programs read. */
static void
page_members(struct jsonout *j, const struct api *a, const struct view_deployment *d)
{
	const struct verdict_view *v = &d->verdict;
	const struct standing *s = &v->evidence.standing;
	const char *status = page_status(a, v), *doubt;
	const bool sure = verdict_told(a, v, &doubt) == v->verdict;

	jsonout_string(j, "status", status);
	words_prose(j, "because", sure ? v->reason : doubt, v->parts, sure ? v->n_parts : 0);
	jsonout_bool(j, "certified", words_certified(v));
	jsonout_string(j, "mode", v->shadow ? "shadow" : "armed");
	if (v->evidence.set)
		jsonout_double(j, "log10_odds", (s->log_weight + s->log_e) / LN10, 2);
	else
		jsonout_null(j, "log10_odds");
	jsonout_double(j, "log10_watch", v->assumed.alpha_watch > 0 ? -num_log(v->assumed.alpha_watch) / LN10 : 3, 2);
	jsonout_double(j, "log10_halt", v->assumed.alpha > 0 ? -num_log(v->assumed.alpha) / LN10 : 6, 2);
	jsonout_u64(j, "exposed", v->served);
	jsonout_u64(j, "harmed", v->harmed > v->bad ? v->harmed : v->bad);
	jsonout_u64(j, "silent", v->silent);
	jsonout_u64(j, "next_ring_max", sure && v->verdict == VERDICT_PROCEED ? v->next_ring_max : 0);
	jsonout_time(j, "watch_until", v->watch_until_us);
	jsonout_bool(j, "sticky", v->sticky);
	jsonout_string(j, "receipts", v->receipts);
	jsonout_time(j, "created", d->created_us);
	jsonout_time(j, "last_served", d->last_served_us);
	words_acknowledged(j, d);
	rings(j, status, d);
}

bool
words_certified(const struct verdict_view *v)
{
	return v->state != STATE_UNCERTIFIED && v->state != STATE_HALTED_HEURISTIC && !v->cannot_certify;
}

const char *
words_ring(const struct view_ring *r, uint32_t n, uint32_t i, const char *status)
{
	const bool last = i + 1 == n || r[i + 1].served == 0;

	if (r[i].served == 0)
		return i == 0 && strncmp(status, "halt", 4) == 0 ? status : "not_started";
	return last ? status : "proceed";
}

void
words_deployment(struct jsonout *j, const struct api *a, const struct view_deployment *d)
{
	const char *stale = call_not_fresh(a, d->verdict.fresh_us);
	const bool doubt = stale != NULL && d->verdict.verdict == VERDICT_PROCEED;

	jsonout_open(j, NULL, '{');
	jsonout_string(j, "id", d->id);
	jsonout_bool(j, "open", d->open);
	jsonout_string(j, "verdict", verdict_name(doubt ? VERDICT_HOLD : d->verdict.verdict));
	jsonout_string(j, "state", doubt ? "not_fresh" : verdict_state_name(d->verdict.state));
	jsonout_string(j, "reason", doubt ? stale : d->verdict.reason);
	jsonout_time(j, "since", d->verdict.since_us);
	jsonout_u64(j, "served", d->verdict.served);
	jsonout_u64(j, "withdrawn", d->verdict.withdrawn);
	jsonout_u64(j, "resolved", d->verdict.resolved);
	jsonout_u64(j, "bad", d->verdict.bad);
	jsonout_u64(j, "unserved", d->verdict.unserved);
	jsonout_u64(j, "needed", d->verdict.needed);
	jsonout_bool(j, "shadow", d->verdict.shadow);
	page_members(j, a, d);
	jsonout_close(j, '}');
}

void
words_alarm(struct jsonout *j, const struct alarm *a)
{
	jsonout_open(j, NULL, '{');
	jsonout_u64(j, "id", a->no);
	jsonout_string(j, "kind", alarm_kind_name((enum alarm_kind)a->kind));
	jsonout_string(j, "level", a->certified || a->kind == ALARM_BRAKE ? "alarm" : "watch");
	jsonout_bool(j, "certified", a->certified);
	words_signature_id(j, "signature", a->signature);
	jsonout_string(j, "rung", signature_rung_name((enum signature_rung)a->rung));
	jsonout_string(j, "title", a->title);
	jsonout_string(j, "text", a->text);
	jsonout_time(j, "raised", a->raised_us);
	jsonout_time(j, "cleared", a->cleared_us);
	jsonout_double(j, "log_evidence", a->log_e, 4);
	jsonout_double(j, "log_needed", a->log_needed, 4);
	jsonout_u64(j, "hosts", a->hosts);
	jsonout_u64(j, "sites", a->sites);
	jsonout_u64(j, "active_hosts", a->active);
	jsonout_u64(j, "deployments_halted", a->deployments);
	jsonout_position(j, "position", a->pos);
	jsonout_close(j, '}');
}
