/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/arena.h"
#include "base/settings.h"
#include "collector/ledger/ahead.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/pbarena.h"
#include "proto/presence.h"

#define ARENA_LIMIT   (64u << 20) /* one record's protobuf, blown up */
#define UPLOADS_AGE_S (7u * 86400)
#define UPLOADS_CAP   (8u << 20)
#define RECENT_AGE_S  86400u
#define RECENT_CAP    (16u << 20)
#define RUN           16 /* records decoded ahead, so that look-ups overlap */

/* ---- life ---- */

static void
set_defaults(struct ledger *l)
{
	l->bake_us = 30ull * 60 * 1000000;
	halt_params_default(&l->halt.randomised, true);
	halt_params_default(&l->halt.unrandomised, false);
	l->dumps_a_day = 5;
	l->max_signatures = 1000000;
}

static void
key_born(void *arg, uint32_t key_no, bool seen_before)
{
	struct ledger *l = arg;
	const struct key *key = key_at(&l->keys, key_no);
	char title[KEY_TITLE_MAX];

	if (seen_before || (key->rung != RUNG_KEY && key->rung != RUNG_STOP))
		return;
	if (l->sink.signature_new == NULL)
		return;
	key_title(key, title, sizeof(title));
	l->sink.signature_new(l->sink.arg, key->tenant, key->id, title, l->birth.pos);
}

struct ledger *
ledger_new(const struct ledger_options *o)
{
	struct ledger *l = mem_zero(1, sizeof(*l));

	if (o != NULL)
		l->sink = o->sink;
	set_defaults(l);
	l->producers = mem_zero(PRODUCERS_MAX, sizeof(*l->producers));
	snap_init(&l->snap);
	l->snap.write = state_write;
	l->snap.word = state_word;
	l->snap.state = l;
	for (uint32_t i = 0; i < INTERN_N; i++)
		intern_init(&l->interns[i], chunk_id(CHUNK_INTERN, i, 0));
	hosts_init(&l->hosts);
	recent_init(&l->recent[RECENT_REPORTS], chunk_id(CHUNK_RECENT, RECENT_REPORTS, 0), RECENT_AGE_S, RECENT_CAP);
	recent_init(&l->recent[RECENT_UPLOADS], chunk_id(CHUNK_RECENT, RECENT_UPLOADS, 0), UPLOADS_AGE_S, UPLOADS_CAP);
	keys_init(&l->keys);
	outbreaks_init(&l->outbreaks);
	table_init(&l->reports, sizeof(struct report_row), 10, chunk_id(CHUNK_REPORTS, 0, 0), true);
	l->birth = (struct key_birth){ .born = key_born, .arg = l };
	l->arena = arena_new(ARENA_LIMIT);
	if (l->arena == NULL)
		abort();
	silence_touch(l); /* these chunks are there from the beginning */
	boots_touch(l);
	pulse_touch(l);
	return l;
}

void
ledger_free(struct ledger *l)
{
	if (l == NULL)
		return;
	for (uint32_t i = 0; i < l->n_deployments; i++)
		deployment_free(l->deployments[i]);
	free(l->deployments);
	free(l->open);
	free(l->blind);
	safeguards_fini(l);
	notes_fini(&l->notes);
	table_fini(&l->reports);
	outbreaks_fini(&l->outbreaks);
	learned_fini(&l->learned);
	keys_fini(&l->keys);
	for (int i = 0; i < RECENT_N; i++)
		recent_fini(&l->recent[i]);
	boots_fini(&l->boots);
	silence_fini(&l->silence);
	hosts_fini(&l->hosts);
	for (int i = 0; i < INTERN_N; i++)
		intern_fini(&l->interns[i]);
	free(l->producers);
	snap_fini(&l->snap);
	arena_free(l->arena);
	free(l);
}

uint64_t
ledger_position(const struct ledger *l)
{
	return l->position;
}

int64_t
ledger_now_us(const struct ledger *l)
{
	return l->now_us;
}

void *
unpack_record(struct ledger *l, const struct record_view *rec, const ProtobufCMessageDescriptor *type)
{
	ProtobufCAllocator alloc;
	void *msg;

	if (arena_used(l->arena) > 0) {
		arena_free(l->arena);
		l->arena = arena_new(ARENA_LIMIT);
		if (l->arena == NULL)
			abort();
	}
	alloc = pbarena(l->arena);
	msg = protobuf_c_message_unpack(type, &alloc, rec->payload_len, rec->payload);
	if (msg == NULL)
		l->stats.bad_records++;
	return msg;
}

/* ---- duplicates ---- */

static struct producer *
producer_of(struct ledger *l, uint64_t id, uint64_t number)
{
	struct producer *p, *oldest = l->producers;

	for (p = l->producers; p < l->producers + l->n_producers; p++) {
		if (p->id == id)
			return p;
		if (p->last_pos < oldest->last_pos)
			oldest = p;
	}
	p = l->n_producers < PRODUCERS_MAX ? &l->producers[l->n_producers++] : oldest;
	*p = (struct producer){ .id = id, .high = number > 0 ? number - 1 : 0 };
	if (number == 0)
		p->high = UINT64_MAX; /* one before the first */
	return p;
}

/* Record (producer, number); false if it was folded before. */
static bool
first_time(struct ledger *l, const struct batch_view *b)
{
	struct producer *p = producer_of(l, b->producer, b->number);
	uint64_t ahead = b->number - p->high, bit = b->number % PRODUCER_WINDOW;

	if ((int64_t)ahead > 0) {
		uint64_t clear = ahead < PRODUCER_WINDOW ? ahead : PRODUCER_WINDOW;

		for (uint64_t i = 0; i < clear; i++) {
			uint64_t at = (b->number - i) % PRODUCER_WINDOW;

			p->bits[at / 64] &= ~(1ull << at % 64);
		}
		l->stats.gaps += ahead - 1;
		p->high = b->number;
	} else if (p->high - b->number >= PRODUCER_WINDOW) {
		l->stats.stale_batches++;
		return false;
	} else if (p->bits[bit / 64] >> bit % 64 & 1) {
		return false;
	} else if (l->stats.gaps > 0) {
		l->stats.gaps--; /* it was only late */
	}
	p->bits[bit / 64] |= 1ull << bit % 64;
	p->last_pos = b->first;
	return true;
}

/* ---- hosts by their texts ---- */

static struct text
tenant_text(uint16_t tenant, struct text t, char *buf)
{
	buf[0] = (char)(tenant >> 8);
	buf[1] = (char)(tenant & 0xff);
	memcpy(buf + 2, t.at, t.len);
	return (struct text){ buf, t.len + 2 };
}

uint16_t
site_number(struct ledger *l, uint16_t tenant, struct text site)
{
	char buf[TEXT_NAME_MAX + 2];

	if (site.len == 0 || site.len > TEXT_NAME_MAX)
		return 0;
	return intern_add(&l->interns[INTERN_SITES], &l->snap, tenant_text(tenant, site, buf));
}

struct text
site_name(const struct ledger *l, uint16_t no)
{
	struct text t = intern_text(&l->interns[INTERN_SITES], no);

	return no == 0 || no == INTERN_OTHER ? t : (struct text){ t.at + 2, t.len - 2 };
}

uint16_t
stratum_number(struct ledger *l, uint16_t tenant, struct text product, struct text os_build, struct text hw_class)
{
	const struct text t[3] = { product, os_build, hw_class };
	char buf[3 * (TEXT_NAME_MAX + 1) + 2];
	size_t n = 2;

	if (product.len + os_build.len + hw_class.len == 0)
		return 0;
	buf[0] = (char)(tenant >> 8);
	buf[1] = (char)(tenant & 0xff);
	for (int i = 0; i < 3; i++) {
		size_t len = t[i].len < TEXT_NAME_MAX ? t[i].len : TEXT_NAME_MAX;

		buf[n++] = (char)len;
		if (len > 0)
			memcpy(buf + n, t[i].at, len);
		n += len;
	}
	return intern_add(&l->interns[INTERN_STRATA], &l->snap, (struct text){ buf, n });
}

bool
stratum_names(const struct ledger *l, uint16_t no, struct text out[3])
{
	struct text t = intern_text(&l->interns[INTERN_STRATA], no);
	size_t at = 2;

	for (int i = 0; i < 3; i++)
		out[i] = TEXT("");
	if (no == 0 || no == INTERN_OTHER || t.len == 0)
		return false;
	for (int i = 0; i < 3; i++) {
		out[i].len = (unsigned char)t.at[at++];
		out[i].at = t.at + at;
		at += out[i].len;
	}
	return true;
}

uint32_t
host_number(struct ledger *l, uint16_t tenant, uint64_t hash)
{
	uint32_t no = hosts_find(&l->hosts, tenant, hash);

	if (no != UINT32_MAX)
		return no;
	no = hosts_add(&l->hosts, &l->snap, tenant, hash);
	if (no == UINT32_MAX)
		return no;
	host_chunk(&l->hosts, no)->first_seen[HOST_AT(no)] = seconds(l->now_us);
	if (HOST_AT(no) == 0)
		silence_touch(l);
	deployments_host_changed(l, no, NULL);
	return no;
}

/* ---- one record ---- */

static void
fold_settings(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Settings *m = unpack_record(l, rec, &faultline__log__settings__descriptor);
	struct settings s;
	char err[256];

	if (m == NULL || settings_init(&s) != 0)
		return;
	for (size_t i = 0; i < m->n_settings; i++) /* names of another version are not ours to judge */
		settings_set(&s, m->settings[i]->name, m->settings[i]->value, err, sizeof(err));
	l->bake_us = s.bake * 1000;
	l->dumps_a_day = (uint32_t)s.dumps_per_signature;
	l->max_signatures = s.max_signatures < UINT32_MAX ? (uint32_t)s.max_signatures : UINT32_MAX;
	l->keys.max_exact = l->max_signatures;
	halt_params_global(&l->halt.randomised, &s, true);
	halt_params_global(&l->halt.unrandomised, &s, false);
	silence_redo(l);
	settings_fini(&s);
	l->judge = true;
}

static void
fold_tick(struct ledger *l, const struct record_view *rec, uint32_t epoch)
{
	Faultline__Log__Tick *m = unpack_record(l, rec, &faultline__log__tick__descriptor);
	bool minute;

	if (m == NULL || epoch < l->leader_epoch)
		return;
	if (m->wall_us > l->now_us)
		l->now_us = m->wall_us;
	blind_tick(l, m->wall_us);
	boots_tick(l);
	silence_tick(l);
	for (int i = 0; i < RECENT_N; i++)
		recent_expire(&l->recent[i], &l->snap, seconds(l->now_us));
	reports_expire(l);
	pulse_tick(l);
	minute = seconds(l->now_us) / 60 != l->tick_minute;
	l->tick_minute = seconds(l->now_us) / 60;
	deployments_tick(l, minute);
	outbreaks_tick(l, rec->pos);
}

static void
fold_leader(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Leader *m = unpack_record(l, rec, &faultline__log__leader__descriptor);

	if (m == NULL || m->epoch <= l->leader_epoch)
		return; /* the first record of an epoch wins */
	l->leader_epoch = m->epoch;
	l->leader = m->writer;
}

static bool
is_known(enum record_type t)
{
	return (t >= RECORD_SEED && t <= RECORD_LEADER) || (t >= RECORD_REPORT && t <= RECORD_TRIAGE_RESULT) ||
	       (t >= RECORD_DEPLOYMENT && t <= RECORD_SIGNATURE_NOTE);
}

static void
fold_record(struct ledger *l, const struct record_view *rec, uint32_t epoch)
{
	switch (rec->type) {
	case RECORD_SETTINGS:
		fold_settings(l, rec);
		break;
	case RECORD_TICK:
		fold_tick(l, rec, epoch);
		break;
	case RECORD_LEADER:
		fold_leader(l, rec);
		break;
	case RECORD_PRESENCE:
		fold_presence(l, rec);
		break;
	case RECORD_DUMP_STORED:
		fold_dump_stored(l, rec);
		break;
	case RECORD_TRIAGE_RESULT:
		fold_triage_result(l, rec);
		break;
	case RECORD_DEPLOYMENT:
		fold_deployment(l, rec);
		break;
	case RECORD_RECEIPT:
		fold_receipt(l, rec);
		break;
	case RECORD_DECISION:
		fold_decision(l, rec);
		break;
	case RECORD_SAFEGUARD:
		fold_safeguard(l, rec);
		break;
	case RECORD_SIGNATURE_NOTE:
		fold_note(l, rec);
		break;
	case RECORD_GAP:
		fold_gap(l, rec);
		break;
	case RECORD_SEED:
	case RECORD_LEDGER_VERSION:
		break; /* facts for readers of the log; nothing here depends on them */
	case RECORD_REPORT:
	case RECORD_HEARTBEAT:
		break; /* decoded ahead: fold_one() */
	default:
		l->stats.unknown_records++;
	}
}

/* ---- one batch ---- */

static void
fold_one(struct ledger *l, const struct ahead *d, uint32_t epoch)
{
	const struct record_view *rec = &d->rec;

	if (rec->received_us > l->now_us)
		l->now_us = rec->received_us;
	l->birth.tenant = rec->tenant;
	l->birth.pos = rec->pos;
	l->birth.now_us = l->now_us;
	l->stats.records++;
	if (d->what == AHEAD_REPORT)
		fold_report(l, rec, &d->u.report, d->claim);
	else if (d->what == AHEAD_HEARTBEAT)
		fold_heartbeat(l, rec, &d->u.heartbeat);
	else if (d->what == AHEAD_BAD)
		l->stats.bad_records++;
	else
		fold_record(l, rec, epoch);
	if (l->judge)
		deployments_settle(l, rec->pos);
}

static void
fold_run(struct ledger *l, struct ahead *run, unsigned n, uint32_t epoch)
{
	const unsigned lead = l->n_open > 0 ? AHEAD_STEPS : 0; /* records between the first step and the fold */

	look_ahead(l, run, n);
	for (unsigned t = 0; t < n + lead; t++) {
		for (unsigned step = 0; step < lead; step++)
			if (t >= step && t - step < n)
				look_ahead_votes(l, &run[t - step], step);
		if (t >= lead)
			fold_one(l, &run[t - lead], epoch);
	}
}

/* Damaged, or a record that must not be skipped and is not known? */
static enum err
check(const struct batch_view *b)
{
	struct record_view rec;
	struct diag diag;
	uint32_t cursor = 0;

	while (batch_next(b, &cursor, &rec, &diag))
		if (!is_known(rec.type) && (rec.flags & RECORD_FLAG_REFUSE) != 0)
			return ERR_UNSUPPORTED;
	return diag.code;
}

enum err
ledger_fold(struct ledger *l, const struct batch_view *b)
{
	struct ahead run[RUN];
	uint32_t cursor = 0;
	unsigned n = 0;
	enum err e = check(b);

	if (e != ERR_OK)
		return e;
	if (!first_time(l, b)) {
		l->stats.duplicate_batches++;
		l->position = b->next;
		if (l->sink.batch_duplicate != NULL)
			l->sink.batch_duplicate(l->sink.arg, b->first);
		return ERR_OK;
	}
	l->stats.batches++;
	while (batch_next(b, &cursor, &run[n].rec, NULL)) {
		if (n + 1 < RUN) {
			run[n + 1].rec.index = run[n].rec.index; /* batch_next() counts on from it */
			n++;
			continue;
		}
		fold_run(l, run, RUN, b->epoch);
		run[0].rec.index = run[RUN - 1].rec.index;
		n = 0;
	}
	fold_run(l, run, n, b->epoch);
	l->position = b->next;
	return ERR_OK;
}
