/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/crypto.h"
#include "base/mailbox.h"
#include "collector/gate/intake.h"

/* Batches that may be in flight at once.  8 MiB: enough for a flush of 5 ms at 1.5 GB/s;
 * more would only let a slow disk hide behind memory. */
#define BATCHES 16

struct batch {
	struct log_submission submission;
	struct batch_writer writer;
	struct intake *intake;
	struct batch *next;        /* in the free list */
	struct intake_part *parts; /* of the groups in it, newest first */
	enum log_class class;
};

struct intake {
	struct log *log;
	struct mailbox *reply;
	uint64_t producer, number;
	struct batch batches[BATCHES];
	struct batch *free, *open;
	struct batch *stalled, **stalled_tail; /* the log was busy: tried again each turn */
	struct intake_group *group;            /* between begin and commit */
	enum log_class class;
	uint32_t in_flight;
	bool broken, full, waiting, held;
	void (*on_room)(void *arg);
	void *on_room_arg;
	/* to take a group back */
	uint32_t mark_len, mark_n;
	struct batch *mark;
};

struct intake *
intake_new(struct log *log)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (in == NULL || (in->reply = mailbox_new()) == NULL)
		goto fail;
	in->log = log;
	in->producer = random_u64();
	in->stalled_tail = &in->stalled;
	for (int i = 0; i < BATCHES; i++) {
		struct batch *b = &in->batches[i];

		if (batch_writer_init(&b->writer) == -1)
			goto fail;
		b->intake = in;
		b->next = in->free;
		in->free = b;
	}
	return in;
fail:
	intake_free(in);
	return NULL;
}

void
intake_free(struct intake *in)
{
	if (in == NULL)
		return;
	assert(in->in_flight == 0);
	for (int i = 0; i < BATCHES; i++)
		batch_writer_fini(&in->batches[i].writer);
	mailbox_free(in->reply);
	free(in);
}

/* ---- outcome ---- */

static void
finish_part(struct intake_part *p, enum log_outcome outcome, uint64_t first)
{
	struct intake_group *g = p->group;

	p->first = first;
	if (outcome > g->outcome) /* DURABLE < REFUSED < UNKNOWN: the worst one counts */
		g->outcome = outcome;
	if (--g->pending == 0)
		g->done(g, g->outcome);
}

static void
recycle(struct batch *b)
{
	b->parts = NULL;
	batch_writer_reset(&b->writer);
	b->next = b->intake->free;
	b->intake->free = b;
}

static void
finish_batch(struct batch *b, enum log_outcome outcome, uint64_t first)
{
	struct intake_part *p = b->parts, *next;

	recycle(b);
	for (; p != NULL; p = next) {
		next = p->next; /* done() may free the group */
		finish_part(p, outcome, first);
	}
}

static void
tell_room(struct intake *in)
{
	if (!in->waiting || !intake_ready(in))
		return;
	in->waiting = false;
	if (in->on_room != NULL)
		in->on_room(in->on_room_arg);
}

static void
on_outcome(struct log_submission *s)
{
	struct batch *b = s->arg;
	struct intake *in = b->intake;

	in->in_flight--;
	if (s->outcome == LOG_UNKNOWN)
		in->broken = true;
	finish_batch(b, s->outcome, s->first);
	tell_room(in);
}

/* ---- submission ---- */

/* Batch numbers rise by one for every batch that was queued, so a gap means a loss.
 * False when the log is busy and b is still ours. */
static bool
try_submit(struct intake *in, struct batch *b)
{
	enum log_append r;

	batch_writer_finish(&b->writer, in->producer, in->number + 1, 0);
	b->submission = (struct log_submission){
		.bytes = b->writer.bytes,
		.len = b->writer.len,
		.class = b->class,
		.reply = in->reply,
		.done = on_outcome,
		.arg = b,
	};
	r = log_append(in->log, &b->submission);
	if (r == LOG_BUSY)
		return false;
	in->full = r == LOG_FULL;
	if (r == LOG_QUEUED) {
		in->number++;
		in->in_flight++;
		return true;
	}
	if (r == LOG_BROKEN || r == LOG_FENCED)
		in->broken = true;
	finish_batch(b, LOG_REFUSED, 0);
	return true;
}

static void
submit(struct intake *in, struct batch *b)
{
	if (in->stalled == NULL && try_submit(in, b))
		return;
	b->next = NULL;
	*in->stalled_tail = b;
	in->stalled_tail = &b->next;
}

static void
retry_stalled(struct intake *in)
{
	while (in->stalled != NULL) {
		struct batch *b = in->stalled, *next = b->next;

		if (!try_submit(in, b))
			return;
		in->stalled = next;
		if (next == NULL)
			in->stalled_tail = &in->stalled;
	}
}

void
intake_flush(struct intake *in)
{
	struct batch *b = in->open;

	retry_stalled(in);
	if (b == NULL || b->writer.n == 0 || in->group != NULL)
		return;
	in->open = NULL;
	submit(in, b);
}

/* A batch that the group may write to, opening one if needed. */
static struct batch *
open_batch(struct intake *in)
{
	struct batch *b = in->open;

	if (b != NULL) {
		/* A batch is as vital as its most vital group. */
		if (in->class == LOG_CLASS_VITAL)
			b->class = LOG_CLASS_VITAL;
		return b;
	}
	b = in->free;
	if (b == NULL)
		return NULL;
	in->free = b->next;
	b->class = in->class;
	return in->open = b;
}

/* ---- groups ---- */

void
intake_begin(struct intake *in, struct intake_group *g, enum log_class class)
{
	assert(in->group == NULL);
	g->n = 0;
	g->n_parts = 0;
	g->pending = 0;
	g->outcome = LOG_DURABLE;
	in->group = g;
	in->class = class;
	in->mark = in->open;
	in->mark_len = in->open != NULL ? in->open->writer.len : 0;
	in->mark_n = in->open != NULL ? in->open->writer.n : 0;
}

/* The full batch stays with the group until commit decides; a new one is opened. */
static enum intake_result
next_batch(struct intake *in)
{
	if (in->group->n_parts >= INTAKE_PARTS)
		return INTAKE_TOO_BIG;
	in->open = NULL;
	return open_batch(in) != NULL ? INTAKE_OK : INTAKE_BUSY;
}

static void
start_part(struct intake_group *g, struct batch *b)
{
	struct intake_part *p = &g->parts[g->n_parts++];

	*p = (struct intake_part){ .index = b->writer.n, .from = g->n, .batch = b, .group = g };
}

uint8_t *
intake_add(struct intake *in, enum record_type type, uint16_t tenant, int64_t received_us, size_t payload_len,
	   enum intake_result *why_out)
{
	struct intake_group *g = in->group;
	struct batch *b = open_batch(in);
	uint8_t *p;

	*why_out = in->broken ? INTAKE_BROKEN : b == NULL ? INTAKE_BUSY : INTAKE_OK;
	if (*why_out != INTAKE_OK)
		return NULL;
	if (!batch_writer_fits(&b->writer, payload_len)) {
		if (payload_len > RECORD_MAX_BYTES - RECORD_HEADER) {
			*why_out = INTAKE_TOO_BIG;
			return NULL;
		}
		/* A batch that holds only other groups' records can go at once. */
		if (g->n_parts == 0 || g->parts[g->n_parts - 1].batch != b) {
			in->open = NULL;
			in->mark = NULL;
			submit(in, b);
			*why_out = open_batch(in) != NULL ? INTAKE_OK : INTAKE_BUSY;
		} else
			*why_out = next_batch(in);
		if (*why_out != INTAKE_OK)
			return NULL;
		b = in->open;
	}
	if (g->n_parts == 0 || g->parts[g->n_parts - 1].batch != b) {
		if (g->n_parts >= INTAKE_PARTS) {
			*why_out = INTAKE_TOO_BIG;
			return NULL;
		}
		start_part(g, b);
	}
	p = batch_writer_add(&b->writer, type, tenant, received_us, payload_len);
	g->n++;
	return p;
}

void
intake_commit(struct intake *in)
{
	struct intake_group *g = in->group;

	in->group = NULL;
	if (g->n_parts == 0) {
		g->done(g, LOG_DURABLE);
		return;
	}
	g->pending = g->n_parts;
	for (uint32_t i = 0; i < g->n_parts; i++) {
		struct batch *b = g->parts[i].batch;

		g->parts[i].next = b->parts;
		b->parts = &g->parts[i];
	}
	/* All but the last batch are full.  A refusal may run done(), which may free g:
	 * done() cannot run before the last part, which submit() below does not touch. */
	for (uint32_t i = 0, n = g->n_parts; i + 1 < n; i++)
		submit(in, g->parts[i].batch);
}

void
intake_abandon(struct intake *in)
{
	struct intake_group *g = in->group;

	in->group = NULL;
	for (uint32_t i = 0; i < g->n_parts; i++) {
		struct batch *b = g->parts[i].batch;

		if (b == in->mark) {
			/* Shared with earlier groups: cut ours off. */
			b->writer.len = in->mark_len;
			b->writer.n = in->mark_n;
			if (b != in->open) {
				if (in->open != NULL)
					recycle(in->open);
				in->open = b;
			}
		} else if (b != in->open)
			recycle(b);
		else
			batch_writer_reset(&b->writer);
	}
}

uint64_t
intake_position(const struct intake_group *g, uint32_t i)
{
	uint32_t k = g->n_parts;

	assert(i < g->n);
	while (k > 1 && g->parts[k - 1].from > i)
		k--;
	return batch_record_pos(g->parts[k - 1].first, g->parts[k - 1].index + (i - g->parts[k - 1].from));
}

/* ---- back-pressure and the loop ---- */

bool
intake_ready(const struct intake *in)
{
	uint32_t spare = 0;

	if (in->broken)
		return true; /* let the gate answer, not hang */
	if (in->held)
		return false;
	for (const struct batch *b = in->free; b != NULL && spare < 4; b = b->next)
		spare++;
	return spare >= 4; /* room for a large frame */
}

void
intake_hold(struct intake *in, bool hold)
{
	in->held = hold;
	if (!hold)
		tell_room(in);
}

void
intake_on_room(struct intake *in, void (*fn)(void *arg), void *arg)
{
	in->on_room = fn;
	in->on_room_arg = arg;
	in->waiting = true;
}

bool
intake_full(const struct intake *in)
{
	return in->full;
}

bool
intake_broken(const struct intake *in)
{
	return in->broken;
}

int
intake_fd(const struct intake *in)
{
	return mailbox_fd(in->reply);
}

void
intake_dispatch(struct intake *in)
{
	log_dispatch(in->reply);
}

uint32_t
intake_in_flight(const struct intake *in)
{
	return in->in_flight + (in->stalled != NULL) + (in->open != NULL && in->open->writer.n > 0);
}
