/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/logline.h"
#include "collector/log/log.h"
#include "collector/workers/follow.h"
#include "proto/report.h"
#include "proto/wire.h"

#define WAIT_MS 60000

struct follow {
	struct log *log;
	struct log_reader *reader;
	struct mailbox *to;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* of the two below */
	uint32_t open;          /* posted and not done with */
	bool stop;
	uint32_t limit;
	_Atomic uint64_t position;
};

/* False when the follower is to stop. */
static bool
wait_for_room(struct follow *f)
{
	bool go_on;

	pthread_mutex_lock(&f->lock);
	while (!f->stop && f->open >= f->limit)
		pthread_cond_wait(&f->changed, &f->lock);
	go_on = !f->stop;
	pthread_mutex_unlock(&f->lock);
	return go_on;
}

static bool
post(struct follow *f, const struct record_view *r, uint64_t report, struct text sha256)
{
	struct find *n = calloc(1, sizeof(*n));

	if (n == NULL) {
		log_error("triage", "out of memory: a dump is not triaged before the next start");
		return false;
	}
	n->pos = r->pos;
	n->report = report;
	n->tenant = r->tenant;
	memcpy(n->sha256, sha256.at, SHA256_BYTES);
	pthread_mutex_lock(&f->lock);
	f->open++;
	pthread_mutex_unlock(&f->lock);
	mailbox_post(f->to, &n->mail);
	return true;
}

/* A log.DumpStored: which report, which dump. */
static bool
read_stored(const struct record_view *r, uint64_t *report_out, struct text *sha256_out)
{
	struct wire_field w;
	struct reader rd;

	*report_out = 0;
	*sha256_out = (struct text){ 0 };
	reader_init(&rd, r->payload, r->payload_len, false);
	while (wire_next(&rd, &w)) {
		if (w.number == 1 && w.type == WIRE_VARINT)
			*report_out = w.value;
		else if (w.number == 2 && w.type == WIRE_BYTES)
			*sha256_out = w.bytes;
	}
	return !reader_failed(&rd) && sha256_out->len == SHA256_BYTES;
}

static void
read_batch(struct follow *f, const struct batch_view *b)
{
	struct record_view r;
	uint32_t cursor = 0;
	struct text sha256;
	uint64_t report;

	while (batch_next(b, &cursor, &r, NULL)) {
		if (r.type == RECORD_REPORT && report_record_dump(r.payload, r.payload_len, &sha256))
			post(f, &r, r.pos, sha256);
		else if (r.type == RECORD_DUMP_STORED && read_stored(&r, &report, &sha256))
			post(f, &r, report, sha256);
	}
}

static void *
run(void *arg)
{
	struct follow *f = arg;
	struct batch_view b;

	pthread_setname_np(pthread_self(), "triage-follow");
	while (wait_for_room(f)) {
		enum log_read got = log_read(f->reader, &b, WAIT_MS);

		switch (got) {
		case LOG_BATCH:
			read_batch(f, &b);
			atomic_store(&f->position, b.next);
			break;
		case LOG_WAIT:
			break;
		case LOG_TRUNCATED:
			log_warn("triage", "the log was cut before its dumps were triaged");
			atomic_store(&f->position, b.first);
			break;
		case LOG_REWOUND:
		case LOG_BROKEN_READ:
			log_error("triage", "the log cannot be read any further: no dump is triaged from here");
			return NULL;
		}
	}
	return NULL;
}

struct follow *
follow_start(struct log *log, uint64_t from, struct mailbox *to, uint32_t limit)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	*f = (struct follow){ .log = log, .to = to, .limit = limit, .position = from };
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	f->reader = log_reader_new(log, from);
	if (f->reader == NULL || pthread_create(&f->thread, NULL, run, f) != 0) {
		log_reader_free(f->reader);
		free(f);
		return NULL;
	}
	return f;
}

void
follow_stop(struct follow *f)
{
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	log_reader_wake(f->reader);
	pthread_join(f->thread, NULL);
	log_reader_free(f->reader);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void
follow_done(struct follow *f)
{
	pthread_mutex_lock(&f->lock);
	f->open--;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

uint64_t
follow_position(const struct follow *f)
{
	return atomic_load(&f->position);
}
