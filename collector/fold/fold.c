/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/hash.h"
#include "base/latency.h"
#include "base/logline.h"
#include "collector/fold/fold.h"
#include "collector/fold/proof.h"
#include "collector/fold/snapshot_store.h"
#include "collector/fold/view.h"
#include "collector/store/outcomes.h"

#define EVENTS          1024u
#define QUERIES_MAX     1024u
#define PUBLISH_BUSY_US 100000 /* while batches keep coming */
#define PUBLISH_IDLE_US 20000
#define TOPS_US         1000000
#define SNAPSHOT_TURN   (1u << 19)  /* bytes between two batches: 0.5 to 3 ms */
#define SNAPSHOT_QUEUE  (32u << 20) /* more waiting for the disk than this: no turn */
#define ENOUGH_SLOTS    65536u

struct fold {
	uint64_t counted_gaps;
	struct fold_options o;
	struct fold_outcomes outcomes; /* where o.outcomes points: the caller's need not last */
	struct log_id log_id;
	struct log_reader *reader;
	struct ledger *ledger;
	struct snapshot_store *store;
	pthread_t thread;
	_Atomic bool stop, caught_up;
	_Atomic uint64_t position;
	_Atomic uint64_t folded; /* like position, but not visible yet */
	_Atomic(const char *) failed;
	char failure[256];
	_Atomic uint64_t interval_us, interval_records;
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t wake; /* only once folding is over */
	struct shared_view *view;
	struct mail *questions, **last_question;
	uint32_t n_questions;
	bool closed;
	struct fold_event *events;
	uint64_t first_event, next_event;
	/* the thread's own */
	uint64_t catch_up_to;
	bool replaying; /* decisions of this stretch may be in the log already */
	bool publish_now, at_end;
	bool tops_wanted; /* a new signature is in no published list yet */
	uint64_t turns;
	uint64_t noted;    /* what o.advised has heard of, before who asked for it hears that it is done */
	uint64_t lag_base; /* records appended less folded, when we stood at the end */
	int64_t published_us, tops_us, tops_cost_us, snapshot_us;
	bool snapshotting, committed;
	uint64_t snapshot_at, snapshot_records; /* position; records then */
	uint64_t floor;                         /* position of the newest durable snapshot */
	struct ledger_stats counted;            /* what the counters show */
	uint32_t day;
	struct wanted *wanted;                 /* halts of the batch being folded */
	_Atomic uint64_t enough[ENOUGH_SLOTS]; /* signatures with enough dumps today */
};

/* ---- events ---- */

static struct fold_event *
event_new(struct fold *f, enum fold_event_kind kind, uint16_t tenant, uint64_t pos)
{
	struct fold_event *e = &f->events[f->next_event % EVENTS];

	*e = (struct fold_event){ .id = f->next_event, .kind = kind, .tenant = tenant, .pos = pos };
	f->next_event++;
	if (f->next_event - f->first_event > EVENTS)
		f->first_event = f->next_event - EVENTS;
	return e;
}

static void
on_signature(void *arg, uint16_t tenant, uint64_t signature, const char *title, uint64_t pos)
{
	struct fold *f = arg;
	struct fold_event *e;

	f->tops_wanted = true;
	if (f->replaying)
		return;
	pthread_mutex_lock(&f->lock);
	e = event_new(f, EVENT_SIGNATURE, tenant, pos);
	e->signature = signature;
	snprintf(e->text, sizeof(e->text), "%s", title);
	pthread_mutex_unlock(&f->lock);
}

static void
on_verdict(void *arg, uint16_t tenant, const char *deployment, const struct verdict_view *v)
{
	struct fold *f = arg;
	struct fold_event *e;

	f->publish_now = true;
	if (f->replaying)
		return;
	pthread_mutex_lock(&f->lock);
	e = event_new(f, EVENT_VERDICT, tenant, v->since_pos);
	snprintf(e->deployment, sizeof(e->deployment), "%s", deployment);
	e->verdict = v->verdict;
	e->state = v->state;
	snprintf(e->text, sizeof(e->text), "%s", v->reason);
	pthread_mutex_unlock(&f->lock);
}

static void
on_deployment(void *arg, uint16_t tenant, const char *deployment, uint64_t pos)
{
	struct fold *f = arg;
	struct fold_event *e;

	f->publish_now = true;
	if (f->replaying)
		return;
	pthread_mutex_lock(&f->lock);
	e = event_new(f, EVENT_DEPLOYMENT, tenant, pos);
	snprintf(e->deployment, sizeof(e->deployment), "%s", deployment);
	pthread_mutex_unlock(&f->lock);
}

static void
on_alarm(void *arg, const struct alarm *a)
{
	struct fold *f = arg;
	struct fold_event *e;

	f->publish_now = true;
	if (f->replaying)
		return;
	if (a->cleared_us == 0) {
		counter_add(COUNTER_alarms, 1);
		log_warn("ledger", "alarm %llu, %s%s: %s: %s", (unsigned long long)a->no,
			 alarm_kind_name((enum alarm_kind)a->kind), a->certified ? "" : " (not certified)", a->title,
			 a->text);
	}
	pthread_mutex_lock(&f->lock);
	e = event_new(f, EVENT_ALARM, a->tenant, a->pos);
	e->signature = a->signature;
	e->alarm = *a;
	pthread_mutex_unlock(&f->lock);
}

static void
on_decision(void *arg, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos)
{
	struct fold *f = arg;

	if (!f->replaying && f->o.decide != NULL)
		wanted_add(&f->wanted, tenant, deployment, reason, pos);
}

/* Between batches: the ledger may be asked again. */
static void
tell_decisions(struct fold *f)
{
	struct wanted *w;

	while ((w = wanted_take(&f->wanted)) != NULL) {
		struct fold_decision d = { w->tenant, w->deployment, w->reason, w->pos, NULL, 0 };
		uint8_t *proof = proof_pack(f->ledger, w->tenant, w->deployment, w->pos, &d.proof_len);

		d.proof = proof;
		f->o.decide(f->o.arg, &d);
		free(proof);
		free(w);
	}
}

static void
on_report(void *arg, uint16_t tenant, uint64_t pos, enum report_outcome outcome, uint64_t signature, uint64_t first,
	  bool cloned)
{
	struct fold *f = arg;
	uint32_t bits = (outcome == REPORT_RESENT ? OUTCOME_RESENT : 0) | (outcome == REPORT_LATE ? OUTCOME_LATE : 0) |
			(cloned ? OUTCOME_CLONED : 0);

	(void)tenant, (void)signature, (void)first;
	if (bits != 0 && f->o.outcomes != NULL)
		f->o.outcomes->put(f->o.outcomes->arg, pos, bits);
}

static void
on_duplicate(void *arg, uint64_t first)
{
	struct fold *f = arg;

	if (f->o.outcomes != NULL)
		f->o.outcomes->put(f->o.outcomes->arg, first, OUTCOME_RESENT | OUTCOME_DUPLICATE);
}

static uint64_t
enough_key(uint16_t tenant, uint64_t signature)
{
	return signature ^ hash_mix(tenant + 1ull);
}

static void
on_dumps(void *arg, uint16_t tenant, uint64_t signature, bool wanted)
{
	struct fold *f = arg;
	uint64_t key = enough_key(tenant, signature);

	/* one slot a signature; a collision forgets the other, which costs one dump more */
	atomic_store_explicit(&f->enough[key % ENOUGH_SLOTS], wanted ? 0 : key, memory_order_relaxed);
}

bool
fold_wants_dump(const struct fold *f, uint16_t tenant, uint64_t signature)
{
	uint64_t key = enough_key(tenant, signature);

	return atomic_load_explicit(&f->enough[key % ENOUGH_SLOTS], memory_order_relaxed) != key;
}

static void
on_difference(void *arg, uint16_t tenant, const char *deployment, uint64_t pos, const char *what)
{
	(void)arg;
	log_warn("ledger", "deployment %s (tenant %u), position %llu: %s", deployment, tenant, (unsigned long long)pos,
		 what);
}

static struct ledger_options
ledger_options(struct fold *f)
{
	return (struct ledger_options){ .sink = { .arg = f,
						  .signature_new = on_signature,
						  .verdict_changed = on_verdict,
						  .deployment_changed = on_deployment,
						  .alarm = on_alarm,
						  .decision_wanted = on_decision,
						  .report = on_report,
						  .batch_duplicate = on_duplicate,
						  .dumps_wanted = on_dumps,
						  .difference = on_difference } };
}

/* ---- counters ---- */

static void
count(struct fold *f)
{
	uint64_t appended = counter_get(COUNTER_log_records);
	struct silence_view silence;
	struct ledger_stats s;

	ledger_stats(f->ledger, &s);
	counter_add(COUNTER_fold_records, s.records - f->counted.records);
	counter_add(COUNTER_fold_duplicates,
		    s.duplicate_batches + s.stale_batches - f->counted.duplicate_batches - f->counted.stale_batches);
	counter_add(COUNTER_reports_resent, s.reports_resent - f->counted.reports_resent);
	counter_add(COUNTER_changes_refused, s.refused_changes - f->counted.refused_changes);
	counter_set(COUNTER_hosts, s.hosts);
	counter_set(COUNTER_hosts_seen_recently, s.hosts_recent);
	ledger_silence(f->ledger, &silence);
	counter_set(COUNTER_hosts_alive, silence.alive);
	counter_set(COUNTER_hosts_dark, silence.dark);
	counter_set(COUNTER_hosts_boot_looping, silence.looping);
	counter_set(COUNTER_fleet_unheard, silence.blind_since_us != 0);
	counter_add(COUNTER_listening_gaps, silence.gaps - f->counted_gaps);
	f->counted_gaps = silence.gaps;
	counter_set(COUNTER_signatures, s.signatures);
	counter_set(COUNTER_deployments_open, s.deployments_open);
	counter_set(COUNTER_deployments_halted, s.deployments_halted);
	counter_set(COUNTER_alarms_open, s.alarms_open);
	if (f->at_end)
		f->lag_base = appended - s.records;
	counter_set(COUNTER_ledger_lag_records,
		    (int64_t)(appended - s.records - f->lag_base) > 0 ? appended - s.records - f->lag_base : 0);
	f->counted = s;
}

/* How old the newest record folded is. */
static void
count_lag(const struct record_view *newest)
{
	int64_t age = clock_wall_us() - newest->received_us;

	counter_set(COUNTER_ledger_lag_microseconds, age > 0 ? (uint64_t)age : 0);
}

/* ---- views ---- */

static void
publish(struct fold *f)
{
	int64_t now = clock_boot_us(), tops_every = 20 * f->tops_cost_us;
	struct shared_view *v, *old;
	bool tops;

	if (!f->tops_wanted && tops_every < TOPS_US)
		tops_every = TOPS_US;
	/* a verdict does not wait for them, unless verdicts come without end */
	tops = f->view == NULL || now - f->tops_us >= (f->publish_now ? 4 * tops_every : tops_every);
	v = view_build(f->ledger, f->view, tops);

	if (v == NULL)
		return; /* the old one stays; tried again at the next turn */
	pthread_mutex_lock(&f->lock);
	old = f->view;
	f->view = v;
	pthread_mutex_unlock(&f->lock);
	fold_view_put(f, old != NULL ? &old->v : NULL);
	f->published_us = clock_boot_us();
	if (tops) {
		f->tops_wanted = false;
		f->tops_us = f->published_us;
		f->tops_cost_us = f->published_us - now;
	}
	f->publish_now = false;
	count(f);
	atomic_store(&f->position, ledger_position(f->ledger));
	if (f->o.changed != NULL)
		f->o.changed(f->o.arg);
}

const struct fold_view *
fold_view_get(struct fold *f)
{
	struct shared_view *v;

	pthread_mutex_lock(&f->lock);
	v = f->view;
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&f->lock);
	return &v->v;
}

void
fold_view_put(struct fold *f, const struct fold_view *v)
{
	struct shared_view *s = (struct shared_view *)(uintptr_t)v;

	(void)f;
	if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		view_free(s);
}

/* ---- questions ---- */

bool
fold_ask(struct fold *f, struct fold_query *q)
{
	bool ok;

	pthread_mutex_lock(&f->lock);
	ok = !f->closed && f->n_questions < QUERIES_MAX;
	if (ok) {
		q->mail.next = NULL;
		*f->last_question = &q->mail;
		f->last_question = &q->mail.next;
		f->n_questions++;
		pthread_cond_signal(&f->wake);
	}
	pthread_mutex_unlock(&f->lock);
	if (ok)
		log_reader_wake(f->reader);
	return ok;
}

static void
answer(struct fold *f, bool last)
{
	struct mail *m;

	pthread_mutex_lock(&f->lock);
	m = f->questions;
	f->questions = NULL;
	f->last_question = &f->questions;
	f->n_questions = 0;
	f->closed = f->closed || last;
	pthread_mutex_unlock(&f->lock);
	while (m != NULL) {
		struct fold_query *q = (struct fold_query *)m; /* mail is its first member */

		m = m->next;
		q->ask(q, f->ledger);
		mailbox_post(q->reply, &q->mail);
	}
}

size_t
fold_events_since(struct fold *f, uint64_t after, struct fold_event *out, size_t cap, bool *missed_out,
		  uint64_t *last_out)
{
	uint64_t id;
	size_t n = 0;

	pthread_mutex_lock(&f->lock);
	*last_out = f->next_event - 1;
	*missed_out = after != UINT64_MAX && after + 1 < f->first_event;
	for (id = after + 1 > f->first_event ? after + 1 : f->first_event;
	     after != UINT64_MAX && n < cap && id < f->next_event; id++)
		out[n++] = f->events[id % EVENTS];
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* ---- snapshots ---- */

static void
snapshot_start(struct fold *f)
{
	struct ledger_stats s;

	ledger_stats(f->ledger, &s);
	f->snapshotting = true;
	f->committed = false;
	f->snapshot_at = ledger_position(f->ledger);
	f->snapshot_records = s.records;
	f->snapshot_us = clock_boot_us();
	snapshot_store_begin(f->store, f->snapshot_at);
	/* nothing is unchanged before there is a snapshot */
	ledger_snapshot_begin(f->ledger, false, snapshot_store_put, f->store);
}

#define REPLAY_AGE_US (10ll * 86400 * 1000000) /* 7 days after a deployment closed by itself */

/* What a replay of the deployments still talked about would read. */
static uint64_t
replay_floor(const struct fold *f)
{
	int64_t now = ledger_now_us(f->ledger);
	uint64_t floor = UINT64_MAX;
	struct deployment_view d;

	for (uint32_t i = 0; ledger_deployment(f->ledger, i, &d); i++) {
		bool recent = now - (d.last_receipt_us > 0 ? d.last_receipt_us : d.begin_us) < REPLAY_AGE_US;

		if (!d.deleted && (d.open || recent) && d.begin_pos < floor)
			floor = d.begin_pos;
	}
	return floor;
}

static void
snapshot_finish(struct fold *f, enum snapshot_result r)
{
	f->snapshotting = false;
	ledger_snapshot_end(f->ledger, r == SNAPSHOT_DONE);
	if (r != SNAPSHOT_DONE) {
		log_warn("ledger", "a snapshot could not be stored; the next one holds its changes too");
		return;
	}
	counter_add(COUNTER_snapshots, 1);
	f->floor = f->snapshot_at;
	log_release_below(f->o.log, LOG_FLOOR_LEDGER, f->floor);
	log_release_below(f->o.log, LOG_FLOOR_REPLAY, replay_floor(f));
}

static void
snapshot_commit(struct fold *f)
{
	int fd = -1;

	if (f->o.outcomes != NULL && f->o.outcomes->sync(f->o.outcomes->arg, &fd) != 0) {
		snapshot_store_begin(f->store, 0); /* what was queued so far is dropped with it */
		snapshot_store_commit(f->store, -1);
		snapshot_store_wait(f->store);
		snapshot_finish(f, SNAPSHOT_FAILED);
		return;
	}
	snapshot_store_commit(f->store, fd);
	f->committed = true;
}

static bool
snapshot_due(const struct fold *f)
{
	struct ledger_stats s;

	if (f->store == NULL || f->snapshotting || ledger_position(f->ledger) == f->snapshot_at)
		return false;
	if (clock_boot_us() - f->snapshot_us >= (int64_t)atomic_load(&f->interval_us))
		return true;
	ledger_stats(f->ledger, &s);
	return s.records - f->snapshot_records >= atomic_load(&f->interval_records);
}

/* One turn of whatever a snapshot has to do now. */
static void
snapshot_turn(struct fold *f)
{
	enum snapshot_result r;

	if (snapshot_due(f))
		snapshot_start(f);
	if (!f->snapshotting)
		return;
	if (!f->committed) {
		if (snapshot_store_queued(f->store) < SNAPSHOT_QUEUE && ledger_snapshot_step(f->ledger, SNAPSHOT_TURN))
			snapshot_commit(f);
		return;
	}
	r = snapshot_store_result(f->store);
	if (r != SNAPSHOT_PENDING)
		snapshot_finish(f, r);
}

/* Leave nothing to replay. */
static void
snapshot_last(struct fold *f)
{
	if (f->store == NULL)
		return;
	for (int round = 0; round < 2; round++) {
		while (f->snapshotting && !f->committed)
			if (ledger_snapshot_step(f->ledger, SIZE_MAX))
				snapshot_commit(f);
		if (f->snapshotting)
			snapshot_finish(f, snapshot_store_wait(f->store));
		if (round == 0 && ledger_position(f->ledger) != f->floor)
			snapshot_start(f);
	}
}

/* ---- the thread ---- */

static void give_up(struct fold *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
give_up(struct fold *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->failure, sizeof(f->failure), fmt, ap);
	va_end(ap);
	log_error("ledger", "%s", f->failure);
	atomic_store(&f->failed, f->failure);
	if (f->o.changed != NULL)
		f->o.changed(f->o.arg);
}

/* Everything that was in the log when we started is folded. */
static void
catch_up(struct fold *f)
{
	struct ledger_sink sink = { .arg = f, .decision_wanted = on_decision };

	f->replaying = false;
	ledger_pending_decisions(f->ledger, &sink);
	tell_decisions(f);
	fold_tell_notes(&f->o, f->ledger, &f->noted); /* a snapshot may hold some */
	f->publish_now = true;
	publish(f);
	atomic_store(&f->caught_up, true);
	if (f->o.changed != NULL)
		f->o.changed(f->o.arg);
}

static void
new_day(struct fold *f)
{
	uint32_t day = (uint32_t)(ledger_now_us(f->ledger) / 86400000000ll);

	if (day == f->day)
		return;
	f->day = day;
	for (uint32_t i = 0; i < ENOUGH_SLOTS; i++)
		atomic_store_explicit(&f->enough[i], 0, memory_order_relaxed);
}

static bool
fold_batch(struct fold *f, const struct batch_view *b)
{
	enum err e = ledger_fold(f->ledger, b);

	if (e == ERR_UNSUPPORTED)
		give_up(f, "the log holds a record at %llu that this version does not know and may not skip",
			(unsigned long long)b->first);
	else if (e != ERR_OK)
		give_up(f, "the log is damaged at %llu", (unsigned long long)b->first);
	if (e != ERR_OK)
		return false;
	atomic_store(&f->folded, b->next);
	tell_decisions(f);
	fold_tell_notes(&f->o, f->ledger, &f->noted);
	if (f->o.outcomes != NULL)
		f->o.outcomes->decided(f->o.outcomes->arg, b->next);
	new_day(f);
	return true;
}

/* What happened instead of a batch.  False: folding is over. */
static bool
no_batch(struct fold *f, enum log_read r, const struct batch_view *b)
{
	switch (r) {
	case LOG_WAIT:
		f->at_end = true;
		return true;
	case LOG_TRUNCATED:
		give_up(f, "the log was released up to %llu, beyond what the ledger has folded",
			(unsigned long long)b->first);
		return false;
	case LOG_REWOUND:
		give_up(f, "the log's history changed");
		return false;
	default:
		give_up(f, "the log cannot be read");
		return false;
	}
}

static int
patience(const struct fold *f)
{
	bool stale = f->view->v.position != ledger_position(f->ledger);
	int64_t left = f->published_us + PUBLISH_IDLE_US - clock_boot_us();

	if (f->snapshotting)
		return f->committed ? 5 : snapshot_store_queued(f->store) < SNAPSHOT_QUEUE ? 0 : 2;
	if (stale)
		return left <= 0 ? 0 : (int)(left / 1000) + 1;
	return 1000;
}

static void
maybe_publish(struct fold *f)
{
	int64_t age = clock_boot_us() - f->published_us;

	if (f->replaying)
		return;
	if (f->publish_now || (f->view->v.position != ledger_position(f->ledger) &&
			       age >= (f->at_end ? PUBLISH_IDLE_US : PUBLISH_BUSY_US)))
		publish(f);
}

static void
count_newest(const struct batch_view *b)
{
	struct record_view rec;
	uint32_t cursor = 0;

	if (batch_next(b, &cursor, &rec, NULL))
		count_lag(&rec);
}

/* Nothing to fold any more: only questions, and the stop. */
static void
wait_idle(struct fold *f)
{
	pthread_mutex_lock(&f->lock);
	while (f->questions == NULL && !atomic_load(&f->stop))
		pthread_cond_wait(&f->wake, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void *
fold_thread(void *arg)
{
	struct fold *f = arg;
	struct batch_view b;
	bool going = true;

	pthread_setname_np(pthread_self(), "ledger");
	while (!atomic_load(&f->stop)) {
		if (f->replaying && going && (f->at_end || ledger_position(f->ledger) >= f->catch_up_to))
			catch_up(f);
		if (going) {
			enum log_read r = log_read(f->reader, &b, f->replaying ? 10 : patience(f));
			int64_t began_us = clock_boot_us();

			f->at_end = r != LOG_BATCH;
			going = r == LOG_BATCH ? fold_batch(f, &b) : no_batch(f, r, &b);
			if (going && r == LOG_BATCH && f->turns++ % 16 == 0)
				count_newest(&b);
			maybe_publish(f);
			snapshot_turn(f);
			if (r == LOG_BATCH && !f->replaying)
				latency_add(LATENCY_LEDGER_TURN, clock_boot_us() - began_us);
		} else {
			wait_idle(f);
		}
		answer(f, false);
	}
	answer(f, true);
	if (going)
		snapshot_last(f);
	return NULL;
}

/* ---- life ---- */

static void
destroy(struct fold *f)
{
	snapshot_store_close(f->store);
	if (f->reader != NULL)
		log_reader_free(f->reader);
	if (f->view != NULL)
		fold_view_put(f, &f->view->v);
	ledger_free(f->ledger);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->wake);
	free(f->events);
	free(f);
}

/* Does what is kept begin with the Seed, or was older log released? */
static bool
log_is_whole(struct fold *f)
{
	struct log_reader *r = log_reader_new(f->o.log, 0);
	struct record_view rec;
	struct batch_view b;
	uint32_t cursor = 0;
	enum log_read got;
	bool whole;

	if (r == NULL)
		return false;
	got = log_read(r, &b, 0);
	whole = got == LOG_WAIT || (got == LOG_BATCH && batch_next(&b, &cursor, &rec, NULL) && rec.type == RECORD_SEED);
	log_reader_free(r);
	return whole;
}

static bool
load(struct fold *f, char *err, size_t err_size)
{
	struct ledger_options lo = ledger_options(f);
	enum snapshot_found found = SNAPSHOT_NONE;
	char why[512] = "";

	f->ledger = ledger_new(&lo);
	if (f->o.snapshot_dir != NULL) {
		found = snapshot_store_open(f->o.snapshot_dir, f->log_id.uuid, f->ledger, &f->store, why, sizeof(why));
		if (f->store == NULL) {
			snprintf(err, err_size, "%s", why);
			return false;
		}
	}
	if (found == SNAPSHOT_LOADED)
		return true;
	if (!log_is_whole(f)) {
		snprintf(err, err_size, "%s%sthe log does not reach back to its beginning", why,
			 why[0] != '\0' ? ", and " : "there is no ledger snapshot, and ");
		return false;
	}
	if (found == SNAPSHOT_DAMAGED) {
		log_warn("ledger", "%s; folding the whole log again", why);
		ledger_free(f->ledger);
		f->ledger = ledger_new(&lo);
	}
	return true;
}

/* Signatures that had enough dumps when the snapshot was taken. */
static void
recall_enough(struct fold *f)
{
	struct key_view k;

	f->day = (uint32_t)(ledger_now_us(f->ledger) / 86400000000ll);
	for (uint32_t no = 0; ledger_key_by_number(f->ledger, no, &k); no++)
		if (ledger_has_enough_dumps(f->ledger, k.tenant, k.id))
			on_dumps(f, k.tenant, k.id, false);
}

static bool
prepare(struct fold *f, char *err, size_t err_size)
{
	uint64_t first, from;

	log_bounds(f->o.log, &first, &f->catch_up_to, &f->log_id);
	if (!load(f, err, err_size))
		return false;
	from = ledger_position(f->ledger);
	if (from != 0 && from > f->catch_up_to) {
		snprintf(err, err_size, "the ledger's snapshot is ahead of the log (%llu, %llu): the log lost its end",
			 (unsigned long long)from, (unsigned long long)f->catch_up_to);
		return false;
	}
	f->floor = f->snapshot_at = from;
	f->first_event = f->next_event = f->catch_up_to + 1;
	f->reader = log_reader_new(f->o.log, from);
	f->events = calloc(EVENTS, sizeof(*f->events));
	if (f->reader == NULL || f->events == NULL) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	if (from != 0)
		log_release_below(f->o.log, LOG_FLOOR_LEDGER, from);
	if (f->store == NULL)
		log_release_below(f->o.log, LOG_FLOOR_LEDGER, UINT64_MAX);
	if (f->o.outcomes != NULL)
		f->o.outcomes->rewind(f->o.outcomes->arg, from != 0 ? from : first);
	recall_enough(f);
	ledger_stats(f->ledger, &f->counted);
	f->snapshot_records = f->counted.records;
	f->snapshot_us = clock_boot_us();
	publish(f);
	if (f->view == NULL)
		snprintf(err, err_size, "out of memory");
	return f->view != NULL;
}

struct fold *
fold_start(const struct fold_options *o, char *err, size_t err_size)
{
	struct fold *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	f->o = *o;
	if (o->outcomes != NULL) {
		f->outcomes = *o->outcomes;
		f->o.outcomes = &f->outcomes;
	}
	f->replaying = true;
	f->last_question = &f->questions;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->wake, NULL);
	fold_configure(f, o->snapshot_interval_ms, o->snapshot_records);
	if (!prepare(f, err, err_size)) {
		destroy(f);
		return NULL;
	}
	if (pthread_create(&f->thread, NULL, fold_thread, f) != 0) {
		snprintf(err, err_size, "cannot start the ledger thread");
		destroy(f);
		return NULL;
	}
	return f;
}

void
fold_stop(struct fold *f)
{
	if (f == NULL)
		return;
	pthread_mutex_lock(&f->lock);
	atomic_store(&f->stop, true);
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	log_reader_wake(f->reader);
	pthread_join(f->thread, NULL);
	destroy(f);
}

void
fold_configure(struct fold *f, uint64_t snapshot_interval_ms, uint64_t snapshot_records)
{
	atomic_store(&f->interval_us, snapshot_interval_ms * 1000);
	atomic_store(&f->interval_records, snapshot_records > 0 ? snapshot_records : UINT64_MAX);
}

uint64_t
fold_behind(const struct fold *f)
{
	uint64_t end = counter_get(COUNTER_log_end), folded = atomic_load(&f->folded);

	if (!fold_caught_up(f) || fold_failed(f) != NULL || folded == 0 || folded >= end)
		return 0;
	return (end - folded) >> 16; /* since we are caught up, positions are of this run: dense */
}

uint64_t
fold_position(const struct fold *f)
{
	return atomic_load(&f->position);
}

bool
fold_caught_up(const struct fold *f)
{
	return atomic_load(&f->caught_up);
}

const char *
fold_failed(const struct fold *f)
{
	return atomic_load(&f->failed);
}

struct host_map_reader *
fold_host_map(struct fold *f)
{
	return host_map_reader_new(f->ledger);
}
