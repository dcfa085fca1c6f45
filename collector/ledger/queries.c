/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"

/* What the ledger answers between batches. */

/* ---- hosts ---- */

static void
view_side(const struct ledger *l, struct host_view *out)
{
	const struct host_side *s = hosts_side(&l->hosts, out->host_no);

	if (s == NULL)
		return;
	out->reports = s->reports;
	out->last_report_us = (int64_t)s->last_report * 1000000;
	out->last_signature = s->last_signature;
}

const char *
host_state_name(enum host_state s)
{
	static const char *const names[HOST_STATES] = {
		"active", "dark", "boot-looping", "goodbye", "quiet", "unheard"
	};

	return s < HOST_STATES ? names[s] : "unheard";
}

static enum host_state
state_of(uint8_t flags, uint8_t interval)
{
	if ((flags & HOST_HEARD) == 0)
		return HOST_IS_UNHEARD;
	if (flags_are_dark(flags, interval))
		return HOST_IS_DARK;
	if ((flags & HOST_GOODBYE) != 0)
		return HOST_IS_GONE;
	if ((flags & HOST_LOOPING) != 0)
		return HOST_IS_LOOPING;
	return (flags & (HOST_ACTIVE | HOST_ALIVE)) != 0 ? HOST_IS_ALIVE : HOST_IS_QUIET;
}

enum host_state
ledger_host_state(const struct ledger *l, uint32_t no)
{
	const struct host_chunk *c = no < l->hosts.n ? host_chunk(&l->hosts, no) : NULL;

	return c != NULL ? state_of(c->flags[HOST_AT(no)], c->interval[HOST_AT(no)]) : HOST_IS_UNHEARD;
}

size_t
ledger_hosts_in(const struct ledger *l, uint16_t tenant, enum host_state state, uint32_t deployment, uint32_t from,
		uint32_t look, uint32_t *out, size_t cap, uint32_t *next_out)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;
	size_t n = 0;

	for (; from < l->hosts.n && n < cap && look > 0; from++, look--)
		if (ledger_host_state(l, from) == state && host_tenant(l, from) == tenant &&
		    (d == NULL || deployment_served(d, from)))
			out[n++] = from;
	*next_out = from < l->hosts.n ? from : UINT32_MAX;
	return n;
}

/* Why it counts as dark, or when it will. */
static void
view_silence(const struct ledger *l, struct host_view *out)
{
	const struct halt_params *p = &l->halt.randomised;
	uint32_t seen = (uint32_t)(out->last_seen_us / 1000000), now = seconds(l->now_us), heard;

	out->state = ledger_host_state(l, out->host_no);
	if (out->interval_s == 0 || seen == 0)
		return;
	out->missed = p->silence_beats;
	out->grace_s = p->silence_grace_s;
	out->limit_s = silence_limit(p, out->interval_s);
	heard = blind_age(&l->silence.blind, now, seen);
	out->unlistened_s = now > seen + heard ? now - seen - heard : 0;
	if (!out->goodbye)
		out->deadline_us = ((int64_t)seen + out->unlistened_s + out->limit_s) * 1000000;
}

bool
ledger_host_by_number(const struct ledger *l, uint32_t no, struct host_view *out)
{
	const struct host_chunk *c;
	struct text stratum[3];
	uint32_t at = HOST_AT(no);

	if (no >= l->hosts.n)
		return false;
	c = host_chunk(&l->hosts, no);
	stratum_names(l, c->stratum[at], stratum);
	*out = (struct host_view){
		.host_no = no,
		.tenant = atomic_load_explicit(&c->tenant[at], memory_order_relaxed),
		.hash = atomic_load_explicit(&c->hash[at], memory_order_relaxed),
		.first_seen_us = (int64_t)c->first_seen[at] * 1000000,
		.last_seen_us = (int64_t)c->last_seen[at] * 1000000,
		.boots = c->boots[at],
		.interval_s = hosts_interval(&l->hosts, no),
		.goodbye = (c->flags[at] & HOST_GOODBYE) != 0,
		.cloned = (c->flags[at] & HOST_CLONED) != 0,
		.site = site_name(l, c->site[at]),
		.product = stratum[0],
		.os_build = stratum[1],
		.hw_class = stratum[2],
		.content = intern_text(&l->interns[INTERN_CONTENT], c->content[at]),
		.labels = intern_text(&l->interns[INTERN_LABELS], c->labels[at]),
	};
	out->relayed = c->relay[at] != 0;
	view_side(l, out);
	view_silence(l, out);
	return true;
}

bool
ledger_host(const struct ledger *l, uint16_t tenant, uint64_t hash, struct host_view *out)
{
	uint32_t no = hosts_find(&l->hosts, tenant, hash);

	return no != UINT32_MAX && ledger_host_by_number(l, no, out);
}

/* ---- keys ---- */

static uint64_t
trend_of(const struct key *key, int64_t now_us)
{
	return (uint64_t)key_hour(key, now_us, 0) + key_hour(key, now_us, 1);
}

bool
ledger_key_by_number(const struct ledger *l, uint32_t no, struct key_view *out)
{
	const struct key *key;

	if (no >= l->keys.rows.n)
		return false;
	key = key_at(&l->keys, no);
	*out = (struct key_view){
		.key_no = no,
		.id = key->id,
		.tenant = key->tenant,
		.rung = key->rung,
		.reason_class = key->reason,
		.kinds = key->kinds,
		.offset = key->offset,
		.reports = key->reports,
		.crashes = key->crashes,
		.hosts = key->hosts.n,
		.sites = key->sites.n,
		.dumps = key->dumps,
		.first_pos = key->first_pos,
		.last_pos = key->last_pos,
		.first_us = key->first_us,
		.last_us = key->last_us,
		.trend = trend_of(key, l->now_us),
		.confirmed = (key->flags & KEY_CONFIRMED) != 0,
		.alias = key->alias,
		.module_key = key->module_id_key,
		.module = key_module(key),
		.module_id = key_module_id(key),
		.reason = key_reason(key),
		.n_versions = key->n_versions,
	};
	for (unsigned i = 0; i < KEY_TREND; i++)
		out->hours[i] = key_hour(key, l->now_us, i);
	for (unsigned i = 0; i < key->n_versions; i++)
		out->versions[i] = intern_text(&l->interns[INTERN_VERSIONS], key->versions[i]);
	key_title(key, out->title, sizeof(out->title));
	return true;
}

bool
ledger_key(const struct ledger *l, uint16_t tenant, uint8_t rung, uint64_t id, struct key_view *out)
{
	uint32_t no = keys_find(&l->keys, tenant, rung, id);

	return no != KEY_NONE && ledger_key_by_number(l, no, out);
}

bool
ledger_signature(const struct ledger *l, uint16_t tenant, uint64_t id, struct key_view *out)
{
	static const uint8_t order[] = { RUNG_KEY,      RUNG_STOP,   RUNG_BUILD, RUNG_MODULE,
					 RUNG_FUNCTION, RUNG_KERNEL, RUNG_ANY };

	for (size_t i = 0; i < sizeof(order); i++)
		if (ledger_key(l, tenant, order[i], id, out))
			return true;
	return false;
}

struct found {
	uint64_t value;
	uint32_t no;
};

/* In the order of the answer: larger value first, then smaller number. */
static bool
before(struct found a, struct found b)
{
	return a.value != b.value ? a.value > b.value : a.no < b.no;
}

static uint64_t
sort_value(const struct ledger *l, const struct key *key, enum key_sort sort)
{
	switch (sort) {
	case KEYS_NEWEST:
		return (uint64_t)key->first_us;
	case KEYS_BY_TREND:
		return trend_of(key, l->now_us);
	case KEYS_BY_HOSTS:
		break;
	}
	return key->hosts.n;
}

static bool
matches(const struct key *key, const struct key_query *q)
{
	bool exact = key->rung == RUNG_KEY || key->rung == RUNG_STOP;

	return key->tenant == q->tenant && (exact || q->rungs) && key->reports > 0 &&
	       (q->kinds == 0 || (key->kinds & q->kinds) != 0) && key->first_us >= q->new_since_us &&
	       (q->module.len == 0 || text_equal(key_module(key), q->module));
}

/* Keep the best cap of what was offered: a heap whose root is the worst kept. */
struct best {
	struct found *at;
	size_t n, cap;
};

static void
sift_down(struct best *b, size_t i)
{
	for (;;) {
		size_t c = 2 * i + 1;
		struct found t;

		if (c >= b->n)
			return;
		if (c + 1 < b->n && before(b->at[c], b->at[c + 1]))
			c++;
		if (!before(b->at[i], b->at[c]))
			return;
		t = b->at[i];
		b->at[i] = b->at[c];
		b->at[c] = t;
		i = c;
	}
}

static void
offer(struct best *b, struct found f)
{
	size_t i;

	if (b->n == b->cap) {
		if (!before(f, b->at[0]))
			return;
		b->at[0] = f;
		sift_down(b, 0);
		return;
	}
	for (i = b->n++; i > 0 && before(b->at[(i - 1) / 2], f); i = (i - 1) / 2)
		b->at[i] = b->at[(i - 1) / 2];
	b->at[i] = f;
}

static int
in_order(const void *a, const void *b)
{
	return before(*(const struct found *)a, *(const struct found *)b) ? -1 : 1;
}

static void
offer_key(const struct ledger *l, const struct key_query *q, uint32_t no, struct best *b)
{
	const struct key *key = key_at(&l->keys, no);
	struct found f;

	if (!matches(key, q))
		return;
	f = (struct found){ sort_value(l, key, q->sort), no };
	if (!q->after || before((struct found){ q->after_value, q->after_key_no }, f))
		offer(b, f);
}

size_t
ledger_keys(const struct ledger *l, const struct key_query *q, uint32_t *out, uint64_t *values_out, size_t cap)
{
	struct best b = { mem_zero(cap, sizeof(struct found)), 0, cap };
	uint32_t dep;

	if (cap == 0) {
		/* nothing wanted */
	} else if (q->deployment.len == 0) {
		for (uint32_t i = 0; i < l->keys.rows.n; i++)
			offer_key(l, q, i, &b);
	} else if (ledger_deployment_find(l, q->tenant, q->deployment, &dep)) {
		const struct table *trials = &l->deployments[dep]->trials;

		for (uint64_t i = 0; i < trials->n; i++) {
			const struct trial_row *row = table_at(trials, i);

			if (row->served.n > 0 && trial_key(l, row) != NULL)
				offer_key(l, q, row->key_no, &b);
		}
	}
	if (b.n > 1)
		qsort(b.at, b.n, sizeof(*b.at), in_order);
	for (size_t i = 0; i < b.n; i++) {
		out[i] = b.at[i].no;
		if (values_out != NULL)
			values_out[i] = b.at[i].value;
	}
	free(b.at);
	return b.n;
}

bool
ledger_has_enough_dumps(const struct ledger *l, uint16_t tenant, uint64_t signature)
{
	uint32_t no = keys_find(&l->keys, tenant, RUNG_KEY, signature);
	const struct key *key;

	if (no == KEY_NONE)
		no = keys_find(&l->keys, tenant, RUNG_STOP, signature);
	if (no == KEY_NONE)
		return false;
	key = key_at(&l->keys, no);
	return (key->flags & KEY_ENOUGH) != 0 && key->dump_day == seconds(l->now_us) / 86400;
}

/* ---- reports ---- */

bool
ledger_report(const struct ledger *l, uint64_t pos, struct report_view *out)
{
	uint64_t at = report_row_find(l, pos);
	const struct report_row *row;

	if (at == UINT64_MAX)
		return false;
	row = table_at(&l->reports, at);
	*out = (struct report_view){
		.pos = pos,
		.outcome = (row->flags & REPORT_ROW_RESENT) != 0 ? REPORT_RESENT
			   : (row->flags & REPORT_ROW_LATE) != 0 ? REPORT_LATE
								 : REPORT_COUNTED,
		.first = row->first,
		.host_no = row->host_no,
		.claimed = signature_of(l, &row->claimed),
		.computed = signature_of(l, &row->computed),
		.stage = (enum dump_stage)row->stage,
	};
	return true;
}

/* ---- deployments ---- */

uint32_t
ledger_deployments(const struct ledger *l)
{
	return l->n_deployments;
}

bool
ledger_deployment(const struct ledger *l, uint32_t no, struct deployment_view *out)
{
	const struct deployment *d = no < l->n_deployments ? l->deployments[no] : NULL;

	if (d == NULL)
		return false;
	*out = (struct deployment_view){
		.tenant = d->tenant,
		.id = text_of(d->msg->id),
		.artefact = text_of(d->msg->artefact),
		.version = text_of(d->msg->version),
		.assignment = text_of(d->msg->assignment),
		.actor = text_of(d->msg->actor),
		.n_modules = (uint32_t)d->msg->n_modules,
		.n_rings = (uint32_t)d->msg->n_rings,
		.salt = d->msg->salt,
		.bake_ms = (uint64_t)deployment_bake_us(l, d) / 1000,
		.close_ms = d->msg->close_ms > 0 ? d->msg->close_ms : 72ull * 3600 * 1000,
		.shadow = strcmp(d->msg->mode, "shadow") == 0,
		.begin_pos = d->begin_pos,
		.begin_us = d->begin_us,
		.first_receipt_us = d->first_receipt_us,
		.last_receipt_us = d->last_receipt_us,
		.open = d->life == DEPLOYMENT_OPEN,
		.deleted = d->life == DEPLOYMENT_DELETED,
		.packed = { (const char *)d->packed, d->packed_len },
	};
	for (uint32_t i = 0; i < out->n_modules; i++)
		out->modules[i] = text_of(d->msg->modules[i]);
	for (uint32_t i = 0; i < out->n_rings; i++) {
		uint64_t size = deployment_ring_size(d, i);

		out->rings[i].name = text_of(d->msg->rings[i]->name);
		out->rings[i].rest = size == UINT64_MAX;
		out->rings[i].size = size != UINT64_MAX ? size : 0;
	}
	return true;
}

/* ---- levels ---- */

void
ledger_stats(const struct ledger *l, struct ledger_stats *out)
{
	*out = l->stats;
	out->hosts = l->hosts.n;
	out->hosts_cloned = l->hosts.cloned;
	out->hosts_recent = l->silence.n_active;
	out->sites = intern_count(&l->interns[INTERN_SITES]);
	out->strata = intern_count(&l->interns[INTERN_STRATA]);
	out->signatures = l->keys.n_signatures;
	out->keys = l->keys.rows.n;
	out->fingerprints = l->keys.n_fingerprints;
	out->signatures_over_cap = l->keys.over_cap;
	out->deployments = l->n_deployments;
	for (uint32_t i = 0; i < l->n_open; i++) {
		out->deployments_open += l->open[i]->life == DEPLOYMENT_OPEN;
		out->deployments_halted += l->open[i]->verdict == VERDICT_HALT;
	}
	for (uint32_t i = 0; i < l->outbreaks.n_alarms; i++)
		out->alarms_open += l->outbreaks.alarms[i].cleared_us == 0;
	out->bytes_hosts = hosts_bytes(&l->hosts);
}

size_t
ledger_key_bytes(const struct ledger *l)
{
	return keys_bytes(&l->keys);
}

struct host_map_reader *
host_map_reader_new(struct ledger *l)
{
	return hosts_reader_new(&l->hosts);
}
