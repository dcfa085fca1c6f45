/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/logline.h"
#include "collector/log/journal_private.h"

/* A reader copies the file in chunks.  After each copy it looks whether the segment is
 * still the log's: the keeper takes a segment out of the table before it touches the
 * bytes, so a chunk that passes was whole. */
#define CHUNK_BYTES (2u * FRAME_MAX_BYTES)

struct reader_state {
	struct log_reader reader;
	struct journal *j;
	uint64_t pos;       /* wanted: a batch, or where the next one will begin */
	bool placed;        /* the fields below say where pos is */
	struct segment seg; /* as last seen */
	bool sealed;        /* and it will not grow */
	int fd;
	uint32_t seed;
	uint64_t at;        /* offset of the next frame */
	uint64_t prev_next; /* position behind the frame before it */
	uint8_t *chunk;
	uint64_t chunk_at, chunk_len;
	bool woken; /* under the journal's lock */
};

static struct reader_state *
state_of(struct log_reader *r)
{
	return (struct reader_state *)r;
}

static void
leave_segment(struct reader_state *r)
{
	if (r->fd != -1)
		close(r->fd);
	r->fd = -1;
	r->placed = false;
	r->chunk_len = 0;
}

struct log_reader *
journal_reader_new(struct log *l, uint64_t from)
{
	struct reader_state *r = calloc(1, sizeof(*r));

	if (r == NULL || (r->chunk = malloc(CHUNK_BYTES)) == NULL) {
		free(r);
		return NULL;
	}
	r->reader.ops = l->ops;
	r->j = (struct journal *)l;
	r->fd = -1;
	r->pos = batch_of_record(from);
	return &r->reader;
}

void
journal_reader_free(struct log_reader *reader)
{
	struct reader_state *r = state_of(reader);

	leave_segment(r);
	free(r->chunk);
	free(r);
}

void
journal_reader_seek(struct log_reader *reader, uint64_t from)
{
	struct reader_state *r = state_of(reader);

	leave_segment(r);
	r->pos = batch_of_record(from);
}

void
journal_reader_wake(struct log_reader *reader)
{
	struct reader_state *r = state_of(reader);

	pthread_mutex_lock(&r->j->lock);
	r->woken = true;
	pthread_cond_broadcast(&r->j->appended);
	pthread_mutex_unlock(&r->j->lock);
}

/* Under the lock: the last segment that begins at or before pos; NULL if all begin later. */
static const struct segment *
segment_of(const struct journal *j, uint64_t pos)
{
	size_t lo = 0, hi = j->n_segments;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (j->segments[mid].begin <= pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? &j->segments[lo - 1] : NULL;
}

/* Refresh seg from the table.  False if it is no longer there. */
static bool
still_kept(struct reader_state *r)
{
	const struct journal *j = r->j;
	const struct segment *s;
	bool kept;

	pthread_mutex_lock(&r->j->lock);
	s = segment_of(j, r->seg.first);
	kept = s != NULL && s->first == r->seg.first;
	if (kept) {
		r->seg = *s;
		r->sealed = s != &j->segments[j->n_segments - 1];
	}
	pthread_mutex_unlock(&r->j->lock);
	return kept;
}

/* LOG_BATCH stands for "go on" between these functions. */

static enum log_read
truncated(struct reader_state *r, struct batch_view *out)
{
	leave_segment(r);
	pthread_mutex_lock(&r->j->lock);
	r->pos = r->j->segments[0].begin;
	pthread_mutex_unlock(&r->j->lock);
	*out = (struct batch_view){ .first = r->pos, .next = r->pos };
	return LOG_TRUNCATED;
}

static enum log_read
damaged(struct reader_state *r)
{
	log_error("log",
		  "segment %s/%016" PRIx64 ".seg is damaged at byte %" PRIu64 " (position %" PRIu64 "): restore it "
		  "from a copy",
		  r->j->dir, r->seg.first, r->at, r->prev_next);
	leave_segment(r);
	return LOG_BROKEN_READ;
}

/* Have [at, at + need) in the chunk; what lies behind `used` is not read.  LOG_WAIT: it
 * is not there. */
static enum log_read
fill(struct reader_state *r, uint64_t at, uint64_t need, const uint8_t **bytes_out)
{
	uint64_t want;

	if (at + need > r->seg.used)
		return LOG_WAIT;
	if (at < r->chunk_at || at + need > r->chunk_at + r->chunk_len) {
		want = r->seg.used - at < CHUNK_BYTES ? r->seg.used - at : CHUNK_BYTES;
		r->chunk_at = at;
		r->chunk_len = 0;
		while (r->chunk_len < want) {
			ssize_t n =
				pread(r->fd, r->chunk + r->chunk_len, want - r->chunk_len, (off_t)(at + r->chunk_len));

			if (n == -1 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			r->chunk_len += (uint64_t)n;
		}
		if (!still_kept(r))
			return LOG_TRUNCATED;
		if (r->chunk_len < need)
			return LOG_BROKEN_READ;
	}
	*bytes_out = r->chunk + (at - r->chunk_at);
	return LOG_BATCH;
}

/* The offset of some frame at or before the one of pos and not far from it, by bisection:
 * frames can be recognised anywhere. */
static enum log_read
bisect(struct reader_state *r)
{
	uint64_t lo = JOURNAL_HEADER_BYTES, hi = r->seg.used;

	while (hi - lo > CHUNK_BYTES) {
		uint64_t mid = (lo + (hi - lo) / 2) & ~(uint64_t)7;
		uint64_t len = hi - mid < FRAME_MAX_BYTES + FRAME_HEADER_BYTES ? hi - mid
									       : FRAME_MAX_BYTES + FRAME_HEADER_BYTES;
		uint64_t found;
		const uint8_t *bytes;
		enum log_read rc;
		struct frame f;

		if ((rc = fill(r, mid, len, &bytes)) != LOG_BATCH)
			return rc;
		found = frame_find(r->seed, bytes, len, 0, &f);
		if (found < len && f.pos < r->pos)
			lo = mid + found;
		else
			hi = mid;
	}
	r->at = lo;
	return LOG_BATCH;
}

/* The frame at `at`: LOG_BATCH with its bytes, LOG_WAIT at the end, or an error. */
static enum log_read
frame_at(struct reader_state *r, struct frame *f, const uint8_t **batch_out)
{
	const uint8_t *bytes;
	enum log_read rc;

	if (r->at == r->seg.used)
		return LOG_WAIT;
	rc = fill(r, r->at, FRAME_HEADER_BYTES, &bytes);
	if (rc == LOG_BATCH && (!frame_decode(r->seed, bytes, f) || f->pos < r->prev_next))
		rc = LOG_BROKEN_READ;
	if (rc == LOG_BATCH)
		rc = fill(r, r->at, frame_size(f->batch_len), &bytes);
	if (rc != LOG_BATCH)
		return rc == LOG_TRUNCATED ? rc : LOG_BROKEN_READ;
	*batch_out = bytes + FRAME_HEADER_BYTES;
	return LOG_BATCH;
}

static enum log_read
enter_segment(struct reader_state *r, const struct segment *s, bool sealed)
{
	char path[JOURNAL_PATH_MAX];

	leave_segment(r);
	r->seg = *s;
	r->sealed = sealed;
	journal_segment_path(r->j, s->first, path);
	if ((r->fd = open(path, O_RDONLY | O_CLOEXEC)) == -1) {
		if (!still_kept(r))
			return LOG_TRUNCATED;
		log_error("log", "cannot open %s: %s", path, strerror(errno));
		return LOG_BROKEN_READ;
	}
	r->seed = frame_seed(&r->j->id, s->first);
	r->at = JOURNAL_HEADER_BYTES;
	r->prev_next = s->begin;
	return LOG_BATCH;
}

/* Find pos.  It must be a batch or the end of one, else it is from another history. */
static enum log_read
place(struct reader_state *r, struct batch_view *out)
{
	struct journal *j = r->j;
	const struct segment *s;
	struct segment seg = { 0 };
	const uint8_t *batch;
	enum log_read rc;
	struct frame f;
	uint64_t end;
	bool sealed;

	pthread_mutex_lock(&j->lock);
	if (r->pos == 0)
		r->pos = j->segments[0].begin;
	end = j->segments[j->n_segments - 1].end;
	if ((s = segment_of(j, r->pos)) != NULL)
		seg = *s;
	sealed = s != &j->segments[j->n_segments - 1];
	pthread_mutex_unlock(&j->lock);
	if (r->pos > end)
		return LOG_REWOUND;
	if (s == NULL)
		return truncated(r, out);
	if ((rc = enter_segment(r, &seg, sealed)) == LOG_BATCH && r->pos > seg.begin && (rc = bisect(r)) == LOG_BATCH) {
		if (r->at > JOURNAL_HEADER_BYTES)
			r->prev_next = 0; /* not known, and before pos */
		while ((rc = frame_at(r, &f, &batch)) == LOG_BATCH && f.pos < r->pos) {
			r->at += frame_size(f.batch_len);
			r->prev_next = f.pos + LOG_POS_STEP;
		}
		if ((rc == LOG_WAIT || (rc == LOG_BATCH && f.pos != r->pos)) && r->prev_next != r->pos) {
			leave_segment(r);
			return LOG_REWOUND;
		}
	}
	if (rc == LOG_TRUNCATED)
		return truncated(r, out);
	if (rc == LOG_BROKEN_READ)
		return damaged(r);
	r->placed = true;
	return LOG_BATCH;
}

/* At the end of a sealed segment: the next one. */
static enum log_read
follow(struct reader_state *r, struct batch_view *out)
{
	struct journal *j = r->j;
	struct segment seg = { 0 };
	bool found = false, sealed = false;
	enum log_read rc;

	pthread_mutex_lock(&j->lock);
	for (size_t i = 0; i < j->n_segments && !found; i++) {
		found = j->segments[i].first > r->seg.first;
		if (found) {
			seg = j->segments[i];
			sealed = i + 1 < j->n_segments;
		}
	}
	pthread_mutex_unlock(&j->lock);
	if (!found || seg.begin != r->prev_next)
		return found && seg.begin > r->prev_next ? truncated(r, out) : damaged(r);
	if ((rc = enter_segment(r, &seg, sealed)) == LOG_TRUNCATED)
		return truncated(r, out);
	r->placed = rc == LOG_BATCH;
	return rc;
}

static enum log_read
wait_for_more(struct reader_state *r, int timeout_ms)
{
	struct journal *j = r->j;
	const struct segment *last;
	struct timespec t;
	enum log_read rc = LOG_BATCH;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ms / 1000;
	t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&j->lock);
	for (;;) {
		last = &j->segments[j->n_segments - 1];
		if (last->first != r->seg.first || last->used > r->at)
			break;
		if (r->woken || timeout_ms == 0 ||
		    (timeout_ms > 0 ? pthread_cond_timedwait(&j->appended, &j->lock, &t)
				    : pthread_cond_wait(&j->appended, &j->lock)) != 0) {
			rc = LOG_WAIT;
			r->woken = false;
			break;
		}
	}
	pthread_mutex_unlock(&j->lock);
	return rc;
}

enum log_read
journal_read(struct log_reader *reader, struct batch_view *out, int timeout_ms)
{
	struct reader_state *r = state_of(reader);
	const uint8_t *batch = NULL;
	struct frame f;
	enum log_read rc;

	for (;;) {
		if (!r->placed && (rc = place(r, out)) != LOG_BATCH)
			return rc;
		if (r->at == r->seg.used && !still_kept(r))
			r->sealed = true; /* retired with us at its end, or before: follow() tells */
		rc = frame_at(r, &f, &batch);
		if (rc == LOG_WAIT)
			rc = r->sealed ? follow(r, out) : wait_for_more(r, timeout_ms);
		else if (rc == LOG_TRUNCATED)
			return truncated(r, out);
		else
			break;
		if (rc != LOG_BATCH)
			return rc;
	}
	if (rc != LOG_BATCH || !frame_batch(&f, batch, out))
		return damaged(r);
	r->at += frame_size(f.batch_len);
	r->prev_next = r->pos = f.pos + LOG_POS_STEP;
	return LOG_BATCH;
}
