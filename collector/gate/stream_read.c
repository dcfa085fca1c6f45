/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/settings.h"
#include "collector/gate/stream_conn.h"

/* ---- bytes that must wait ---- */

void
conn_drop_held(struct conn *c)
{
	c->stream->held -= c->held_cap;
	free(c->held);
	c->held = NULL;
	c->held_len = c->held_cap = 0;
}

/* Room for `cap` bytes in all.  When unfinished frames hold too much memory, the one that
 * began first has had its chance. */
static bool
hold_room(struct conn *c, size_t cap)
{
	struct stream *s = c->stream;
	uint8_t *p;

	if (cap <= c->held_cap)
		return true;
	while (s->held + cap - c->held_cap > HELD_MAX && !TAILQ_EMPTY(&s->list[CONN_PARTIAL])) {
		struct conn *oldest = TAILQ_FIRST(&s->list[CONN_PARTIAL]);

		conn_finish(oldest, DISCARD_frame_memory, NULL, RETRY_MS);
		if (oldest == c)
			return false;
	}
	p = realloc(c->held, cap);
	if (p == NULL) {
		conn_finish(c, DISCARD_frame_memory, NULL, RETRY_MS);
		return false;
	}
	s->held += cap - c->held_cap;
	c->held = p;
	c->held_cap = (uint32_t)cap;
	return true;
}

static bool
hold(struct conn *c, const uint8_t *p, size_t n)
{
	size_t want = c->held_len + n, grown = (size_t)c->held_cap * 2;

	if (want > c->held_cap && !hold_room(c, want > grown ? want : grown))
		return false;
	if (n > 0)
		memcpy(c->held + c->held_len, p, n);
	c->held_len += (uint32_t)n;
	return true;
}

/* ---- frames ---- */

/* Take whole frames out of [p, p + len); *used_out bytes are done with, the rest waits.
 * False if the connection is ending. */
static bool
take_frames(struct conn *c, const uint8_t *p, size_t len, size_t *used_out, size_t *need_out)
{
	struct text body;
	enum taken t = TAKEN;

	*used_out = 0;
	*need_out = FRAME_PREFIX;
	while (t == TAKEN && len - *used_out > 0) {
		uint32_t max = c->state == CONN_HELLO ? HELLO_MAX : c->stream->max_frame;

		switch (frame_split(p + *used_out, len - *used_out, max, &body, need_out)) {
		case FRAME_READY:
			t = conn_frame(c, body);
			if (t == TAKEN)
				*used_out += FRAME_PREFIX + body.len;
			break;
		case FRAME_PARTIAL:
			return true;
		case FRAME_ZERO:
			conn_finish(c, DISCARD_frame_zero, NULL, 0);
			return false;
		case FRAME_OVERSIZED:
			conn_finish(c, DISCARD_frame_too_large, NULL, 0);
			return false;
		}
	}
	return t != TAKEN_LAST;
}

/* Where the connection is now that all it sent so far was looked at. */
static void
rest(struct conn *c, bool progress)
{
	const struct settings *set = c->stream->env->settings(c->stream->env->arg);

	if (c->state == CONN_HELLO || c->state >= CONN_CLOSING)
		return;
	if (c->held_len == 0 || (c->pause & (PAUSE_BUSY | PAUSE_FLIGHT)) != 0)
		conn_set_state(c, CONN_OPEN, set->idle_timeout);
	else if (c->state != CONN_PARTIAL || progress) /* the clock runs from the frame's first byte */
		conn_set_state(c, CONN_PARTIAL, set->request_timeout);
}

/* Take what is whole of the held bytes; *need_out: bytes that would make the next frame
 * whole.  False if the connection is ending. */
static bool
take_held(struct conn *c, size_t *need_out)
{
	size_t used;

	if (!take_frames(c, c->held, c->held_len, &used, need_out))
		return false;
	if (used == c->held_len) {
		conn_drop_held(c);
	} else if (used > 0) {
		memmove(c->held, c->held + used, c->held_len - used);
		c->held_len -= (uint32_t)used;
	}
	return true;
}

/* Complete held frames with bytes of the chunk; returns how many it took. */
static size_t
complete_held(struct conn *c, const uint8_t *p, size_t len)
{
	size_t took = 0, need;

	while (c->held_len > 0 && c->pause == 0 && take_held(c, &need) && c->held_len > 0 && c->pause == 0) {
		size_t n = need - c->held_len < len - took ? need - c->held_len : len - took;

		if (n == 0 || !hold(c, p + took, n))
			break;
		took += n;
	}
	return took;
}

void
conn_take_held(struct conn *c)
{
	uint64_t before = c->number;
	size_t need;

	if (c->held_len > 0 && take_held(c, &need))
		rest(c, c->number != before);
}

static void
end_of_stream(struct conn *c)
{
	c->eof = true;
	conn_finish(c, c->held_len > 0 ? DISCARD_frame_torn : DISCARD_none, NULL, 0);
}

static void
discard_input(struct conn *c)
{
	ssize_t n = read(c->fd, c->stream->chunk, CHUNK);

	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		conn_kill(c);
}

void
conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct stream *s = c->stream;
	uint64_t before = c->number;
	size_t took, used, need;
	ssize_t n;

	(void)what;
	if (c->state == CONN_LINGER)
		discard_input(c);
	if (c->state >= CONN_CLOSING)
		return;
	if (!intake_ready(s->gate->intake)) {
		conn_pause(c, PAUSE_BUSY);
		return;
	}
	n = read(fd, s->chunk, CHUNK);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			conn_kill(c);
		return;
	}
	if (n == 0) {
		end_of_stream(c);
		return;
	}
	took = complete_held(c, s->chunk, (size_t)n);
	if (c->state < CONN_CLOSING && took < (size_t)n) {
		/* In place, and the tail is held; behind a frame that could not be taken all of it waits. */
		used = 0;
		if (c->held_len > 0 || take_frames(c, s->chunk + took, (size_t)n - took, &used, &need))
			hold(c, s->chunk + took + used, (size_t)n - took - used);
	}
	rest(c, c->number != before);
}
