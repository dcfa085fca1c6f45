/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/crypto.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

/* The state as chunks: for snapshots, for loading them, and for the digest. */

/* ---- what belongs to no table ---- */

static void
pack_globals(const struct ledger *l, struct pack *k)
{
	const struct ledger_stats *s = &l->stats;
	const uint64_t counters[] = {
		s->records,         s->batches,         s->duplicate_batches, s->stale_batches, s->gaps,
		s->unknown_records, s->bad_records,     s->reports,           s->reports_late,  s->reports_resent,
		s->heartbeats,      s->presence_hosts,  s->presence_unknown,  s->receipts,      s->decisions,
		s->triage_results,  s->refused_changes, l->keys.over_cap
	};

	pack_u32(k, LEDGER_SNAPSHOT_VERSION);
	pack_u64(k, l->position);
	pack_u64(k, (uint64_t)l->now_us);
	pack_u32(k, l->leader_epoch);
	pack_u64(k, l->leader);
	pack_varint(k, l->bake_us);
	pack_varint(k, l->dumps_a_day);
	pack_varint(k, l->max_signatures);
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		pack_varint(k, counters[i]);
	for (int i = 0; i < INTERN_N; i++) {
		pack_varint(k, l->interns[i].rows.n);
		pack_varint(k, l->interns[i].over);
	}
	for (int i = 0; i < RECENT_N; i++) {
		pack_varint(k, l->recent[i].first);
		pack_varint(k, l->recent[i].rows.n);
		pack_varint(k, l->recent[i].dropped_early);
	}
	pack_varint(k, l->reports_first);
	pack_varint(k, l->reports.n);
	pack_varint(k, l->hosts.n);
	pack_varint(k, l->hosts.side.n);
	pack_varint(k, l->keys.rows.n);
	pack_varint(k, l->keys.hand);
	pack_varint(k, l->keys.n_fingerprints);
	pack_varint(k, l->n_deployments);
	pack_varint(k, l->tick_minute);
	blind_pack(&l->silence.blind, k);
	pack_text(k, (struct text){ (const char *)&l->halt, sizeof(l->halt) });
	pack_varint(k, l->n_blind);
	for (uint32_t i = 0; i < l->n_blind; i++) {
		pack_u16(k, l->blind[i].tenant);
		pack_text(k, text_of(l->blind[i].why));
	}
}

static bool
unpack_halt(struct ledger *l, struct reader *r)
{
	struct text t = unpack_text(r, sizeof(l->halt));
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || t.len != sizeof(l->halt) || n > UINT16_MAX)
		return false;
	memcpy(&l->halt, t.at, t.len);
	l->blind = mem_zero(n, sizeof(*l->blind));
	l->n_blind = n;
	for (uint32_t i = 0; i < n; i++) {
		l->blind[i].tenant = reader_u16(r);
		t = unpack_text(r, sizeof(l->blind[i].why) - 1);
		if (t.len > 0)
			memcpy(l->blind[i].why, t.at, t.len);
	}
	return !reader_failed(r);
}

static bool
unpack_globals(struct ledger *l, struct reader *r)
{
	struct ledger_stats *s = &l->stats;
	uint64_t *counters[] = {
		&s->records,         &s->batches,         &s->duplicate_batches, &s->stale_batches, &s->gaps,
		&s->unknown_records, &s->bad_records,     &s->reports,           &s->reports_late,  &s->reports_resent,
		&s->heartbeats,      &s->presence_hosts,  &s->presence_unknown,  &s->receipts,      &s->decisions,
		&s->triage_results,  &s->refused_changes, &l->keys.over_cap
	};

	l->loading.version = reader_u32(r);
	if (l->loading.version < LEDGER_SNAPSHOT_OLDEST || l->loading.version > LEDGER_SNAPSHOT_VERSION)
		return false;
	l->position = reader_u64(r);
	l->now_us = (int64_t)reader_u64(r);
	l->leader_epoch = reader_u32(r);
	l->leader = reader_u64(r);
	l->bake_us = wire_varint(r);
	l->dumps_a_day = unpack_u32(r);
	l->max_signatures = l->keys.max_exact = unpack_u32(r);
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		*counters[i] = wire_varint(r);
	for (int i = 0; i < INTERN_N; i++) {
		l->loading.interns[i] = wire_varint(r);
		l->interns[i].over = wire_varint(r);
	}
	for (int i = 0; i < RECENT_N; i++) {
		l->loading.recent_first[i] = wire_varint(r);
		l->loading.recent[i] = wire_varint(r);
		l->recent[i].dropped_early = wire_varint(r);
	}
	l->reports_first = wire_varint(r);
	l->loading.reports = wire_varint(r);
	l->loading.hosts = unpack_u32(r);
	l->loading.side = wire_varint(r);
	l->loading.keys = wire_varint(r);
	l->keys.hand = unpack_u32(r);
	l->loading.fingerprints = wire_varint(r);
	l->loading.deployments = unpack_u32(r);
	l->tick_minute = unpack_u32(r);
	l->loading.globals = blind_unpack(&l->silence.blind, r) && unpack_halt(l, r) && !reader_failed(r);
	return l->loading.globals;
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct producer *)a)->id, y = ((const struct producer *)b)->id;

	return (x > y) - (x < y);
}

static void
pack_producers(const struct ledger *l, struct pack *k)
{
	struct producer *v = mem_zero(l->n_producers, sizeof(*v));

	memcpy(v, l->producers, l->n_producers * sizeof(*v));
	qsort(v, l->n_producers, sizeof(*v), by_id);
	pack_varint(k, l->n_producers);
	for (uint32_t i = 0; i < l->n_producers; i++) {
		pack_u64(k, v[i].id);
		pack_u64(k, v[i].high);
		pack_u64(k, v[i].last_pos);
		for (unsigned w = 0; w < PRODUCER_WINDOW / 64; w++)
			pack_u64(k, v[i].bits[w]);
	}
	free(v);
}

static bool
unpack_producers(struct ledger *l, struct reader *r)
{
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || n > PRODUCERS_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct producer *p = &l->producers[i];

		p->id = reader_u64(r);
		p->high = reader_u64(r);
		p->last_pos = reader_u64(r);
		for (unsigned w = 0; w < PRODUCER_WINDOW / 64; w++)
			p->bits[w] = reader_u64(r);
	}
	l->n_producers = n;
	l->loading.producers = true;
	return !reader_failed(r);
}

/* ---- report rows ---- */

static void
pack_rungs(const struct rungs *g, struct pack *k)
{
	pack_u32(k, g->key);
	pack_u32(k, g->build);
	pack_u32(k, g->module);
	pack_u32(k, g->stop);
}

static bool
unpack_rungs(const struct ledger *l, struct rungs *g, struct reader *r)
{
	uint32_t *const v[4] = { &g->key, &g->build, &g->module, &g->stop };
	bool ok = true;

	for (int i = 0; i < 4; i++) {
		*v[i] = reader_u32(r);
		ok = ok && (*v[i] == KEY_NONE || *v[i] < l->keys.rows.n);
	}
	return ok;
}

static void
pack_reports(const struct ledger *l, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(&l->reports, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct report_row *row = table_at(&l->reports, from);

		pack_u64(k, row->pos);
		pack_varint(k, row->first);
		pack_varint(k, row->host_no);
		pack_u32(k, row->received_s);
		pack_varint(k, row->crashes);
		pack_varint(k, (uint64_t)row->crash_us);
		pack_rungs(&row->claimed, k);
		pack_rungs(&row->computed, k);
		pack_u16(k, row->tenant);
		pack_u16(k, row->version);
		pack_u8(k, row->kind);
		pack_u8(k, row->flags);
		pack_u8(k, row->stage);
	}
}

static bool
unpack_reports(struct ledger *l, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&l->reports, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct report_row *row = table_at(&l->reports, from + i);
		bool ok;

		row->pos = reader_u64(r);
		row->first = wire_varint(r);
		row->host_no = unpack_u32(r);
		row->received_s = reader_u32(r);
		row->crashes = unpack_u32(r);
		row->crash_us = (int64_t)wire_varint(r);
		ok = unpack_rungs(l, &row->claimed, r) && unpack_rungs(l, &row->computed, r);
		row->tenant = reader_u16(r);
		row->version = reader_u16(r);
		row->kind = reader_u8(r);
		row->flags = reader_u8(r);
		row->stage = reader_u8(r);
		if (reader_failed(r) || !ok || row->host_no >= l->hosts.n || row->kind >= REPORT_N_KINDS)
			return false;
	}
	return true;
}

/* ---- any chunk ---- */

uint32_t *
state_word(void *state, uint64_t id)
{
	struct ledger *l = state;

	switch (chunk_kind(id)) {
	case CHUNK_GLOBALS:
		return &l->word_globals;
	case CHUNK_PRODUCERS:
		return &l->word_producers;
	case CHUNK_INTERN:
		return table_word(&l->interns[chunk_a(id)].rows, id);
	case CHUNK_HOSTS:
	case CHUNK_SEEN:
	case CHUNK_SIDE:
		return hosts_word(&l->hosts, id);
	case CHUNK_RECENT:
		return table_word(&l->recent[chunk_a(id)].rows, id);
	case CHUNK_FINGERPRINTS:
		return fingerprint_word(&l->keys, id);
	case CHUNK_KEYS:
	case CHUNK_KEY_HOSTS:
		return keys_word(&l->keys, id);
	case CHUNK_REPORTS:
		return table_word(&l->reports, id);
	case CHUNK_ALARMS:
	case CHUNK_OUTBREAKS:
		return outbreaks_word(l, id);
	case CHUNK_SILENCE:
		return chunk_b(id) == 0 ? &l->silence.word : &l->boots.word;
	case CHUNK_PULSE:
		return &l->pulse.word;
	case CHUNK_SAFEGUARD:
		return safeguard_word(l, id);
	case CHUNK_NOTES:
		return notes_word(l, id);
	default:
		return deployment_word(l, id);
	}
}

static bool
write_chunk(const struct ledger *l, uint64_t id, struct pack *out)
{
	switch (chunk_kind(id)) {
	case CHUNK_GLOBALS:
		pack_globals(l, out);
		return true;
	case CHUNK_PRODUCERS:
		pack_producers(l, out);
		return true;
	case CHUNK_INTERN:
		intern_pack(&l->interns[chunk_a(id)], id, out);
		return true;
	case CHUNK_HOSTS:
	case CHUNK_SEEN:
	case CHUNK_SIDE:
		return hosts_pack(&l->hosts, id, out);
	case CHUNK_RECENT:
		recent_pack(&l->recent[chunk_a(id)], id, out);
		return true;
	case CHUNK_FINGERPRINTS:
		return fingerprint_pack(&l->keys, id, out);
	case CHUNK_KEYS:
	case CHUNK_KEY_HOSTS:
		return keys_pack(&l->keys, id, out);
	case CHUNK_REPORTS:
		pack_reports(l, id, out);
		return true;
	case CHUNK_ALARMS:
	case CHUNK_OUTBREAKS:
		return outbreaks_pack(l, id, out);
	case CHUNK_SILENCE:
		if (chunk_b(id) == 0)
			silence_pack(l, out);
		else
			boots_pack(&l->boots, out);
		return true;
	case CHUNK_SAFEGUARD:
		return safeguard_pack(l, id, out);
	case CHUNK_PULSE:
		pulse_pack(&l->pulse, out);
		return true;
	case CHUNK_NOTES:
		return notes_pack(l, id, out);
	default:
		return deployment_pack(l, id, out);
	}
}

bool
state_write(void *state, uint64_t id, struct pack *out)
{
	return write_chunk(state, id, out);
}

static bool
load(struct ledger *l, uint64_t id, struct reader *r)
{
	uint32_t a = chunk_a(id);

	switch (chunk_kind(id)) {
	case CHUNK_GLOBALS:
		return !l->loading.globals && unpack_globals(l, r);
	case CHUNK_PRODUCERS:
		return unpack_producers(l, r);
	case CHUNK_INTERN:
		return a < INTERN_N && intern_unpack(&l->interns[a], id, r);
	case CHUNK_SEEN:
		l->loading.seen++;
		return hosts_unpack(&l->hosts, id, r);
	case CHUNK_HOSTS:
	case CHUNK_SIDE:
		return hosts_unpack(&l->hosts, id, r);
	case CHUNK_RECENT:
		return a < RECENT_N && recent_unpack(&l->recent[a], id, r);
	case CHUNK_FINGERPRINTS:
		return fingerprint_unpack(&l->keys, id, r);
	case CHUNK_KEYS:
	case CHUNK_KEY_HOSTS:
		return keys_unpack(&l->keys, id, r);
	case CHUNK_REPORTS:
		return unpack_reports(l, id, r);
	case CHUNK_ALARMS:
	case CHUNK_OUTBREAKS:
		return outbreaks_unpack(l, id, r);
	case CHUNK_SAFEGUARD:
		return safeguard_unpack(l, id, r);
	case CHUNK_NOTES:
		return notes_unpack(l, id, r);
	case CHUNK_DEPLOYMENT:
	case CHUNK_SERVED:
	case CHUNK_RESOLVED:
	case CHUNK_WAITING:
	case CHUNK_TRIALS:
	case CHUNK_TRIAL_HOSTS:
	case CHUNK_VOTES:
	case CHUNK_STRATA:
	case CHUNK_MOVED:
	case CHUNK_MINUTES:
	case CHUNK_DARK:
	case CHUNK_ANNALS:
		return deployment_unpack(l, id, r);
	case CHUNK_PULSE:
		return pulse_unpack(&l->pulse, r);
	case CHUNK_SILENCE:
		return chunk_b(id) == 0 ? silence_unpack(l, r) : boots_unpack(l, r);
	default:
		return false;
	}
}

enum err
ledger_load_chunk(struct ledger *l, uint64_t chunk, const void *bytes, size_t len)
{
	struct reader r;

	reader_init(&r, bytes, len, false);
	if (chunk <= l->loading.last)
		return ERR_MALFORMED; /* out of order, or twice */
	l->loading.last = chunk;
	return load(l, chunk, &r) && !reader_failed(&r) && r.pos == r.size ? ERR_OK : ERR_MALFORMED;
}

/* What version 5 did not have: empty then, and part of the next snapshot. */
static bool
later_loaded(struct ledger *l)
{
	const bool had = l->loading.version > 5;

	if (had != l->pulse.loaded)
		return false;
	for (uint32_t i = 0; i < l->n_deployments; i++) {
		struct deployment *d = l->deployments[i];

		if (had != d->annals_loaded)
			return false;
		if (!had)
			annals_touch(l, d);
	}
	pulse_loaded(l);
	return true;
}

enum err
ledger_load_end(struct ledger *l)
{
	bool ok = l->loading.globals && l->loading.producers &&
		  l->loading.seen == (l->hosts.n + HOST_CHUNK - 1) >> HOST_CHUNK_SHIFT;

	for (int i = 0; ok && i < INTERN_N; i++)
		ok = table_loaded(&l->interns[i].rows, l->loading.interns[i]);
	for (int i = 0; ok && i < RECENT_N; i++)
		ok = recent_loaded(&l->recent[i], l->loading.recent_first[i], l->loading.recent[i]);
	ok = ok && table_loaded(&l->reports, l->loading.reports) && l->reports_first <= l->reports.n &&
	     l->reports_first >= table_first(&l->reports) && table_loaded(&l->hosts.side, l->loading.side) &&
	     table_loaded(&l->keys.rows, l->loading.keys) && l->keys.n_fingerprints == l->loading.fingerprints &&
	     l->hosts.n == l->loading.hosts && l->n_deployments == l->loading.deployments &&
	     (l->keys.hand == 0 || l->keys.hand < l->keys.rows.n);
	if (!ok || !hosts_loaded(&l->hosts) || !later_loaded(l))
		return ERR_MALFORMED;
	return keys_loaded(&l->keys) && deployments_loaded(l) && silence_loaded(l) && outbreaks_loaded(l)
		       ? ERR_OK
		       : ERR_MALFORMED;
}

/* ---- every chunk, in order of ids ---- */

struct each {
	void (*fn)(void *arg, uint64_t id);
	void *arg;
};

static void
each_of_table(const struct table *t, const struct each *e)
{
	for (uint64_t c = t->first_chunk; c << t->shift < t->n; c++)
		e->fn(e->arg, t->id + c);
}

static void
each_of_set(const struct hostset *set, uint64_t base, const struct each *e)
{
	for (uint32_t b = 0; b < set->n_blocks; b++)
		if (hostset_word(set, b) != NULL)
			e->fn(e->arg, base + b);
}

static void
each_of_hosts(const struct ledger *l, enum chunk_kind kind, const struct each *e)
{
	for (uint32_t c = 0; c << HOST_CHUNK_SHIFT < l->hosts.n; c++)
		e->fn(e->arg, chunk_id(kind, 0, c));
}

static void
each_of_trials(const struct deployment *d, const struct each *e)
{
	for (uint32_t i = 0; i < d->trials.n; i++) {
		const struct trial_row *row = trial_at(d, i);

		each_of_set(&row->served, trial_base(d, i, SET_SERVED), e);
		each_of_set(&row->sites1, trial_sites_base(d, i, false), e);
		each_of_set(&row->unserved, trial_base(d, i, SET_UNSERVED), e);
		each_of_set(&row->spent, trial_sites_base(d, i, true), e);
		each_of_set(&row->others, trial_base(d, i, SET_OTHERS), e);
	}
}

static void
each_of_deployment(const struct deployment *d, enum chunk_kind kind, const struct each *e)
{
	switch (kind) {
	case CHUNK_DEPLOYMENT:
		e->fn(e->arg, chunk_id(kind, d->no, 0));
		break;
	case CHUNK_SERVED:
		for (uint32_t b = 0; b < d->n_blocks; b++)
			if (d->blocks[b] != NULL)
				e->fn(e->arg, chunk_id(kind, d->no, b));
		break;
	case CHUNK_RESOLVED:
		each_of_set(&d->resolved, chunk_id(kind, d->no, 0), e);
		each_of_set(&d->sites, chunk_id(kind, d->no, SITES_BLOCKS), e);
		each_of_set(&d->bad, chunk_id(kind, d->no, BAD_BLOCKS), e);
		each_of_set(&d->withdrawn, chunk_id(kind, d->no, WITHDRAWN_BLOCKS), e);
		break;
	case CHUNK_WAITING:
		each_of_table(&d->waiting[0], e);
		each_of_table(&d->waiting[1], e);
		break;
	case CHUNK_TRIALS:
		each_of_table(&d->trials, e);
		break;
	case CHUNK_VOTES:
		each_of_table(&d->votes, e);
		break;
	case CHUNK_STRATA:
		each_of_table(&d->strata.rows, e);
		break;
	case CHUNK_MINUTES:
		each_of_table(&d->minutes, e);
		break;
	case CHUNK_MOVED:
		for (uint32_t b = 0; b < d->strata.n_moved; b++)
			if (d->strata.moved[b] != NULL)
				e->fn(e->arg, chunk_id(kind, d->no, b));
		break;
	default:
		each_of_trials(d, e);
	}
}

void
state_each(const struct ledger *l, void (*fn)(void *arg, uint64_t id), void *arg)
{
	const struct each e = { fn, arg };

	fn(arg, chunk_id(CHUNK_GLOBALS, 0, 0));
	fn(arg, chunk_id(CHUNK_PRODUCERS, 0, 0));
	for (int i = 0; i < INTERN_N; i++)
		each_of_table(&l->interns[i].rows, &e);
	each_of_hosts(l, CHUNK_HOSTS, &e);
	each_of_hosts(l, CHUNK_SEEN, &e);
	each_of_table(&l->hosts.side, &e);
	for (int i = 0; i < RECENT_N; i++)
		each_of_table(&l->recent[i].rows, &e);
	for (uint32_t i = 0; i < FINGERPRINT_SHARDS; i++)
		if (fingerprint_word(&l->keys, chunk_id(CHUNK_FINGERPRINTS, 0, i)) != NULL)
			fn(arg, chunk_id(CHUNK_FINGERPRINTS, 0, i));
	each_of_table(&l->keys.rows, &e);
	for (uint64_t i = 0; i < l->keys.rows.n; i++) {
		const struct key *key = key_at(&l->keys, (uint32_t)i);

		each_of_set(&key->hosts, chunk_id(CHUNK_KEY_HOSTS, (uint32_t)i, 0), &e);
		each_of_set(&key->sites, chunk_id(CHUNK_KEY_HOSTS, (uint32_t)i, KEY_SITES_BLOCK), &e);
	}
	each_of_table(&l->reports, &e);
	for (int kind = CHUNK_DEPLOYMENT; kind < CHUNK_ALARMS; kind++)
		for (uint32_t i = 0; i < l->n_deployments; i++)
			each_of_deployment(l->deployments[i], (enum chunk_kind)kind, &e);
	fn(arg, chunk_id(CHUNK_ALARMS, 0, 0));
	each_of_table(&l->outbreaks.rows, &e);
	fn(arg, chunk_id(CHUNK_SILENCE, 0, 0));
	fn(arg, chunk_id(CHUNK_SILENCE, 0, 1));
	for (uint32_t i = 0; i < l->n_deployments; i++)
		fn(arg, chunk_id(CHUNK_DARK, i, 0));
	for (uint32_t i = 0; i < l->n_safeguards; i++)
		if (l->safeguards[i] != NULL)
			fn(arg, chunk_id(CHUNK_SAFEGUARD, i, 0));
	fn(arg, chunk_id(CHUNK_PULSE, 0, 0));
	for (uint32_t i = 0; i < l->n_deployments; i++)
		fn(arg, chunk_id(CHUNK_ANNALS, i, 0));
	for (uint32_t i = 0; i < l->notes.n; i++)
		fn(arg, chunk_id(CHUNK_NOTES, i, 0));
}

struct digest {
	const struct ledger *l;
	struct sha256 *hash;
	struct pack out;
};

static void
digest_chunk(void *arg, uint64_t id)
{
	struct digest *d = arg;
	uint8_t head[16];

	d->out.n = 0;
	if (!write_chunk(d->l, id, &d->out))
		return;
	for (int i = 0; i < 8; i++) {
		head[i] = (uint8_t)(id >> 8 * i);
		head[8 + i] = (uint8_t)(d->out.n >> 8 * i);
	}
	sha256_update(d->hash, head, sizeof(head));
	sha256_update(d->hash, d->out.p, d->out.n);
}

void
ledger_digest(const struct ledger *l, uint8_t out[32])
{
	struct digest d = { .l = l, .hash = sha256_new() };

	if (d.hash == NULL)
		abort();
	state_each(l, digest_chunk, &d);
	sha256_final(d.hash, out);
	pack_free(&d.out);
}

/* ---- taking one ---- */

static void
include(void *arg, uint64_t id)
{
	struct ledger *l = arg;
	uint32_t *word = state_word(l, id);

	if (word != NULL && chunk_kind(id) > CHUNK_PRODUCERS)
		snap_include(&l->snap, word, id);
}

void
ledger_snapshot_begin(struct ledger *l, bool full, ledger_chunk_fn *fn, void *arg)
{
	l->snap.fn = fn;
	l->snap.arg = arg;
	/* small, and changed by every batch: saved at once */
	snap_begin(&l->snap);
	for (uint32_t kind = CHUNK_GLOBALS; kind <= CHUNK_PRODUCERS; kind++) {
		uint64_t id = chunk_id((enum chunk_kind)kind, 0, 0);

		l->snap.out.n = 0;
		state_write(l, id, &l->snap.out);
		fn(arg, id, l->snap.out.p, l->snap.out.n);
	}
	if (full)
		state_each(l, include, l);
}

bool
ledger_snapshot_step(struct ledger *l, size_t budget)
{
	return snap_step(&l->snap, budget);
}

void
ledger_snapshot_end(struct ledger *l, bool ok)
{
	snap_end(&l->snap, ok);
}
