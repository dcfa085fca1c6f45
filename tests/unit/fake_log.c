/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "tests/unit/fake_log.h"

struct stored {
	uint64_t pos;
	uint8_t *bytes;
	uint32_t len;
};

enum fate { FATE_DURABLE, FATE_REFUSED, FATE_UNKNOWN_STORED, FATE_UNKNOWN_LATER, FATE_UNKNOWN_LOST };

/* A submission between append and answer; s is NULL once answered. */
struct pending {
	struct log_submission *s;
	uint8_t *bytes;
	uint32_t len;
	enum fate fate;
	unsigned copies; /* still to be stored */
	uint64_t first;
};

struct watch {
	void (*fn)(void *arg);
	void *arg;
};

struct fake_store {
	struct fake_options o;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t random;
	struct log_id id;
	struct stored *stored;
	size_t n_stored, stored_cap;
	struct pending *pending;
	size_t n_pending, pending_cap;
	struct watch watches[16];
	unsigned n_watches;
	uint64_t first, end, history; /* history: times it was rewound */
	uint64_t floors[LOG_N_FLOORS];
	uint32_t epoch;
	enum log_append forced;
	unsigned forced_times;
	enum log_pressure pressure;
	bool busy, stop;
	pthread_t thread;
};

struct fake_log {
	struct log log;
	struct fake_store *st;
};

struct fake_reader {
	struct log_reader reader;
	struct fake_store *st;
	uint64_t pos, history;
	bool woken;
	uint8_t *bytes; /* the view's: an engine's buffer goes away with the next call */
};

static unsigned
chance(struct fake_store *st, unsigned below)
{
	st->random = hash_mix(st->random + 0x9e3779b97f4a7c15ull);
	return below ? (unsigned)(st->random >> 33) % below : 0;
}

static void *
grow(void *array, size_t n, size_t *cap, size_t size)
{
	void *p;

	if (n < *cap)
		return array;
	*cap = *cap ? 2 * *cap : 64;
	if ((p = realloc(array, *cap * size)) == NULL)
		abort();
	return p;
}

static uint8_t *
copy(const uint8_t *bytes, uint32_t len)
{
	uint8_t *p = malloc(len);

	if (p == NULL)
		abort();
	return memcpy(p, bytes, len);
}

static void
store(struct fake_store *st, struct pending *p)
{
	uint64_t pos = st->end + (uint64_t)chance(st, st->o.sparse + 1) * 0x10000;

	st->stored = grow(st->stored, st->n_stored, &st->stored_cap, sizeof(*st->stored));
	st->stored[st->n_stored++] = (struct stored){ pos, copy(p->bytes, p->len), p->len };
	st->end = pos + 0x10000;
	if (p->first == 0)
		p->first = pos;
	p->copies--;
}

static void
answer(struct pending *p, enum log_outcome outcome)
{
	struct log_submission *s = p->s;

	p->s = NULL;
	s->outcome = outcome;
	s->first = outcome == LOG_DURABLE ? p->first : 0;
	mailbox_post(s->reply, &s->mail);
}

/* Under the lock. */
static bool
pump(struct fake_store *st)
{
	struct pending *p;

	if (st->busy && chance(st, 4) == 0) {
		st->busy = false;
		for (unsigned i = 0; i < st->n_watches; i++)
			st->watches[i].fn(st->watches[i].arg);
	}
	if (st->n_pending == 0)
		return st->busy;
	p = &st->pending[chance(st, (unsigned)st->n_pending)];
	if (p->s != NULL && p->fate == FATE_REFUSED)
		answer(p, LOG_REFUSED);
	else if (p->s != NULL && (p->fate == FATE_UNKNOWN_LATER || p->fate == FATE_UNKNOWN_LOST))
		answer(p, LOG_UNKNOWN);
	else if (p->copies > 0)
		store(st, p);
	else if (p->s != NULL)
		answer(p, p->fate == FATE_DURABLE ? LOG_DURABLE : LOG_UNKNOWN);
	if (p->copies == 0 && p->s == NULL) {
		free(p->bytes);
		*p = st->pending[--st->n_pending];
	}
	pthread_cond_broadcast(&st->changed);
	return true;
}

bool
fake_log_pump(struct fake_store *st)
{
	bool did;

	pthread_mutex_lock(&st->lock);
	did = pump(st);
	pthread_mutex_unlock(&st->lock);
	return did;
}

static void
wait_ms(struct fake_store *st, int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += (long)ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&st->changed, &st->lock, &t);
}

static void *
thread_main(void *arg)
{
	struct fake_store *st = arg;

	pthread_mutex_lock(&st->lock);
	while (!st->stop) {
		if (chance(st, 64) == 0)
			wait_ms(st, 1); /* late: others come in meanwhile */
		if (!pump(st))
			wait_ms(st, 1000);
	}
	pthread_mutex_unlock(&st->lock);
	return NULL;
}

/* ---- log_ops ---- */

static struct fake_store *
store_of(const struct log *l)
{
	return ((const struct fake_log *)l)->st;
}

static enum log_append
append(struct log *l, struct log_submission *s)
{
	struct fake_store *st = store_of(l);
	struct pending p = { .s = s, .len = s->len, .copies = 1 };
	enum log_append rc = LOG_QUEUED;
	struct batch_view b;

	if (batch_open(s->bytes, s->len, &b) != ERR_OK)
		abort();
	pthread_mutex_lock(&st->lock);
	if (st->forced_times > 0) {
		st->forced_times--;
		rc = st->forced;
	} else if (b.epoch < st->epoch) {
		rc = LOG_FENCED;
	} else if (chance(st, 256) < st->o.busy) {
		rc = LOG_BUSY;
	}
	st->busy = st->busy || rc == LOG_BUSY;
	if (rc == LOG_QUEUED) {
		if (chance(st, 256) < st->o.refused)
			p.fate = FATE_REFUSED;
		else if (chance(st, 256) < st->o.unknown)
			p.fate = FATE_UNKNOWN_STORED + chance(st, 3);
		if (p.fate == FATE_REFUSED || p.fate == FATE_UNKNOWN_LOST)
			p.copies = 0;
		else
			p.copies += chance(st, 256) < st->o.twice;
		p.bytes = copy(s->bytes, s->len);
		st->pending = grow(st->pending, st->n_pending, &st->pending_cap, sizeof(p));
		st->pending[st->n_pending++] = p;
	}
	pthread_cond_broadcast(&st->changed);
	pthread_mutex_unlock(&st->lock);
	return rc;
}

static void
on_room(struct log *l, void (*fn)(void *arg), void *arg)
{
	struct fake_store *st = store_of(l);
	unsigned i;

	pthread_mutex_lock(&st->lock);
	for (i = 0; i < st->n_watches && st->watches[i].arg != arg; i++)
		;
	if (fn != NULL && i < sizeof(st->watches) / sizeof(st->watches[0])) {
		st->watches[i] = (struct watch){ fn, arg };
		st->n_watches += i == st->n_watches;
	} else if (fn == NULL && i < st->n_watches) {
		st->watches[i] = st->watches[--st->n_watches];
	}
	pthread_mutex_unlock(&st->lock);
}

static struct log_reader *
reader_new(struct log *l, uint64_t from)
{
	struct fake_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	r->reader.ops = l->ops;
	r->st = store_of(l);
	r->pos = batch_of_record(from);
	pthread_mutex_lock(&r->st->lock);
	r->history = r->pos > r->st->end ? UINT64_MAX : r->st->history;
	pthread_mutex_unlock(&r->st->lock);
	return &r->reader;
}

static void
reader_seek(struct log_reader *reader, uint64_t from)
{
	struct fake_reader *r = (struct fake_reader *)reader;

	r->pos = batch_of_record(from);
}

static void
reader_free(struct log_reader *reader)
{
	free(((struct fake_reader *)reader)->bytes);
	free(reader);
}

static enum log_read
show(struct fake_reader *r, const struct stored *b, struct batch_view *out)
{
	r->bytes = copy(b->bytes, b->len);
	if (batch_open(r->bytes, b->len, out) != ERR_OK)
		abort();
	out->first = b->pos;
	out->next = r->pos = b->pos + 0x10000;
	return LOG_BATCH;
}

static enum log_read
read_one(struct log_reader *reader, struct batch_view *out, int timeout_ms)
{
	struct fake_reader *r = (struct fake_reader *)reader;
	struct fake_store *st = r->st;
	enum log_read rc = LOG_WAIT;

	free(r->bytes);
	r->bytes = NULL;
	pthread_mutex_lock(&st->lock);
	if (r->history != st->history) {
		rc = LOG_REWOUND;
	} else if (r->pos != 0 && r->pos < st->first) {
		rc = LOG_TRUNCATED;
		r->pos = st->first;
		*out = (struct batch_view){ .first = st->first, .next = st->first };
	}
	while (rc == LOG_WAIT) {
		size_t lo = 0, hi = st->n_stored;

		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (st->stored[mid].pos < r->pos)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < st->n_stored)
			rc = show(r, &st->stored[lo], out);
		else if (r->woken || timeout_ms == 0) {
			r->woken = false;
			break;
		} else {
			wait_ms(st, timeout_ms < 0 ? 1000 : timeout_ms);
			timeout_ms = timeout_ms < 0 ? timeout_ms : 0;
		}
	}
	pthread_mutex_unlock(&st->lock);
	return rc;
}

static void
reader_wake(struct log_reader *reader)
{
	struct fake_reader *r = (struct fake_reader *)reader;

	pthread_mutex_lock(&r->st->lock);
	r->woken = true;
	pthread_cond_broadcast(&r->st->changed);
	pthread_mutex_unlock(&r->st->lock);
}

static void
bounds(struct log *l, uint64_t *first_out, uint64_t *end_out, struct log_id *id_out)
{
	struct fake_store *st = store_of(l);

	pthread_mutex_lock(&st->lock);
	*first_out = st->first;
	*end_out = st->end;
	*id_out = st->id;
	pthread_mutex_unlock(&st->lock);
}

static void
release_below(struct log *l, enum log_floor holder, uint64_t floor)
{
	struct fake_store *st = store_of(l);

	pthread_mutex_lock(&st->lock);
	st->floors[holder] = floor;
	pthread_mutex_unlock(&st->lock);
}

static enum log_durability
durability(const struct log *l)
{
	(void)l;
	return LOG_MAJORITY_MEMORY;
}

static enum log_pressure
pressure(const struct log *l)
{
	return store_of(l)->pressure;
}

static bool
stopped(const struct log *l)
{
	(void)l;
	return false;
}

static void
close_log(struct log *l)
{
	while (fake_log_pump(store_of(l)))
		;
	free(l);
}

static const struct log_ops fake_ops = {
	.append = append,
	.on_room = on_room,
	.reader_new = reader_new,
	.reader_free = reader_free,
	.reader_seek = reader_seek,
	.read = read_one,
	.reader_wake = reader_wake,
	.bounds = bounds,
	.release_below = release_below,
	.durability = durability,
	.pressure = pressure,
	.stopped = stopped,
	.close = close_log,
};

/* ---- the test's side ---- */

struct fake_store *
fake_store_new(const struct fake_options *o)
{
	struct fake_store *st = calloc(1, sizeof(*st));
	pthread_condattr_t a;

	if (st == NULL)
		abort();
	st->o = *o;
	st->random = o->seed;
	pthread_mutex_init(&st->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&st->changed, &a);
	pthread_condattr_destroy(&a);
	for (size_t i = 0; i < sizeof(st->id.uuid); i++)
		st->id.uuid[i] = (uint8_t)chance(st, 256);
	st->first = st->end = 0x10000ull * (1 + chance(st, 1000));
	if (o->threaded && pthread_create(&st->thread, NULL, thread_main, st) != 0)
		abort();
	return st;
}

void
fake_store_free(struct fake_store *st)
{
	if (st->o.threaded) {
		pthread_mutex_lock(&st->lock);
		st->stop = true;
		pthread_cond_broadcast(&st->changed);
		pthread_mutex_unlock(&st->lock);
		pthread_join(st->thread, NULL);
	}
	for (size_t i = 0; i < st->n_stored; i++)
		free(st->stored[i].bytes);
	for (size_t i = 0; i < st->n_pending; i++)
		free(st->pending[i].bytes);
	free(st->stored);
	free(st->pending);
	pthread_cond_destroy(&st->changed);
	pthread_mutex_destroy(&st->lock);
	free(st);
}

struct log *
fake_log_open(struct fake_store *st)
{
	struct fake_log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->log.ops = &fake_ops;
	l->st = st;
	return &l->log;
}

void
fake_store_truncate(struct fake_store *st, uint64_t first)
{
	size_t n = 0;

	pthread_mutex_lock(&st->lock);
	while (n < st->n_stored && st->stored[n].pos < first)
		free(st->stored[n++].bytes);
	st->n_stored -= n;
	memmove(st->stored, st->stored + n, st->n_stored * sizeof(*st->stored));
	if (first > st->first)
		st->first = first < st->end ? first : st->end;
	pthread_mutex_unlock(&st->lock);
}

void
fake_store_rewind(struct fake_store *st, uint64_t end)
{
	pthread_mutex_lock(&st->lock);
	while (st->n_stored > 0 && st->stored[st->n_stored - 1].pos >= end)
		free(st->stored[--st->n_stored].bytes);
	st->end = end;
	st->history++;
	pthread_cond_broadcast(&st->changed);
	pthread_mutex_unlock(&st->lock);
}

void
fake_store_fence(struct fake_store *st, uint32_t epoch)
{
	pthread_mutex_lock(&st->lock);
	st->epoch = epoch;
	pthread_mutex_unlock(&st->lock);
}

void
fake_store_answer(struct fake_store *st, enum log_append forced, unsigned times)
{
	pthread_mutex_lock(&st->lock);
	st->forced = forced;
	st->forced_times = times;
	pthread_mutex_unlock(&st->lock);
}

void
fake_store_set_pressure(struct fake_store *st, enum log_pressure p)
{
	pthread_mutex_lock(&st->lock);
	st->pressure = p;
	pthread_mutex_unlock(&st->lock);
}

uint64_t
fake_store_floor(struct fake_store *st, enum log_floor holder)
{
	uint64_t floor;

	pthread_mutex_lock(&st->lock);
	floor = st->floors[holder];
	pthread_mutex_unlock(&st->lock);
	return floor;
}
