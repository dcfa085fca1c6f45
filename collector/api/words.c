/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/words.h"
#include "proto/report.h"

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
