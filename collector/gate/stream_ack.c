/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/signature.h"
#include "collector/gate/stream_conn.h"
#include "collector/log/report_id.h"

#define FREE_GROUPS_MAX 4096u
#define KEEP_ITEMS      1024u /* item arrays larger than this are not kept for the next frame */
#define EXPLAINED       16u   /* refusals of a frame that carry a sentence */
#define ADVICE_MAX      1024u /* longer texts are cut */

/* ---- groups ---- */

static void
on_done(struct intake_group *ig, enum log_outcome outcome)
{
	group_settle(ig->arg, outcome);
}

struct frame_group *
group_new(struct conn *c, uint64_t number)
{
	struct stream *s = c->stream;
	struct frame_group *g = s->free_groups;

	if (g != NULL) {
		s->free_groups = g->next;
		s->n_free_groups--;
	} else if ((g = calloc(1, sizeof(*g))) == NULL) {
		return NULL;
	}
	g->intake.done = on_done;
	g->intake.arg = g;
	g->intake.n = 0;
	g->conn = c;
	g->next = NULL;
	g->number = number;
	g->done = false;
	g->nack = DISCARD_none;
	g->reports = 0;
	g->n_refused = g->n_wanted = 0;
	return g;
}

void
group_free(struct stream *s, struct frame_group *g)
{
	if (g->cap_refused > KEEP_ITEMS || g->cap_wanted > KEEP_ITEMS || s->n_free_groups >= FREE_GROUPS_MAX) {
		free(g->refused);
		free(g->wanted);
		if (s->n_free_groups >= FREE_GROUPS_MAX) {
			free(g);
			return;
		}
		g->refused = NULL;
		g->wanted = NULL;
		g->cap_refused = g->cap_wanted = 0;
	}
	g->next = s->free_groups;
	s->free_groups = g;
	s->n_free_groups++;
}

void
group_queue(struct frame_group *g)
{
	struct conn *c = g->conn;

	if (c->last != NULL)
		c->last->next = g;
	else
		c->first = g;
	c->last = g;
	c->in_flight++;
	c->refusals += g->n_refused;
	if (c->in_flight >= FLIGHT_MAX || c->refusals > REFUSALS_MANY)
		conn_pause(c, PAUSE_FLIGHT);
}

void
group_settle(struct frame_group *g, enum log_outcome outcome)
{
	g->done = true;
	g->outcome = outcome;
	conn_mark_due(g->conn);
}

static bool
grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
	void **p = array;
	uint32_t want = *cap == 0 ? 16 : *cap * 2;
	void *q;

	if (n < *cap)
		return true;
	if ((q = realloc(*p, want * size)) == NULL)
		return false;
	*p = q;
	*cap = want;
	return true;
}

bool
group_refuse(struct frame_group *g, uint32_t index, enum discard code, const char *what)
{
	if (!grow(&g->refused, g->n_refused, &g->cap_refused, sizeof(*g->refused)))
		return false;
	g->refused[g->n_refused++] = (struct refusal){ index, code, what };
	return true;
}

bool
group_want(struct frame_group *g, const struct wanted *w)
{
	if (!grow(&g->wanted, g->n_wanted, &g->cap_wanted, sizeof(*g->wanted)))
		return false;
	g->wanted[g->n_wanted++] = *w;
	return true;
}

/* ---- output ---- */

/* True when all of [p, p + n) went out or is kept. */
static bool
output(struct conn *c, const uint8_t *p, size_t n)
{
	ssize_t sent = 0;

	if (c->out_len == 0) {
		sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent == -1 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent == -1)
			sent = 0;
		if ((size_t)sent == n)
			return true;
		c->stuck_us = clock_boot_us();
		event_add(&c->write_ev, NULL);
	}
	p += sent;
	n -= (size_t)sent;
	if (c->out_len + n > c->out_cap) {
		size_t cap = c->out_len + n < 1024 ? 1024 : (c->out_len + n) * 2;
		uint8_t *q = cap <= OUTPUT_CUT ? realloc(c->out, cap) : NULL;

		if (q == NULL) {
			discard_count(DISCARD_slow_reader);
			return false;
		}
		c->out = q;
		c->out_cap = (uint32_t)cap;
	}
	memcpy(c->out + c->out_len, p, n);
	c->out_len += (uint32_t)n;
	if (c->out_len - c->out_at > OUTPUT_PAUSE)
		conn_pause(c, PAUSE_OUTPUT);
	return true;
}

void
conn_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	ssize_t n = send(fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)what;
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			conn_kill(c);
		return;
	}
	c->out_at += (uint32_t)n;
	c->stuck_us = clock_boot_us();
	if (c->out_at < c->out_len)
		return;
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_len = c->out_cap = 0;
	c->stuck_us = 0;
	event_del(&c->write_ev);
	conn_resume(c, PAUSE_OUTPUT);
	if (c->state == CONN_CLOSING)
		conn_mark_due(c);
}

/* The message in scratch as a frame. */
static void
send_message(struct conn *c, enum server_kind kind, const struct wire_out *o)
{
	struct stream *s = c->stream;
	uint8_t head[FRAME_HEAD_MAX];
	size_t body_len = (size_t)(o->p - (s->scratch + FRAME_HEAD_MAX));
	size_t head_len = server_frame_head(kind, body_len, head);
	uint8_t *start = s->scratch + FRAME_HEAD_MAX - head_len;

	memcpy(start, head, head_len);
	if (o->full || !output(c, start, head_len + body_len))
		conn_kill(c);
}

/* Scratch for a message of at most n bytes; the head goes in front. */
static bool
scratch(struct stream *s, size_t n, struct wire_out *o)
{
	if (n + FRAME_HEAD_MAX > s->scratch_size) {
		uint8_t *p = realloc(s->scratch, n + FRAME_HEAD_MAX);

		if (p == NULL)
			return false;
		s->scratch = p;
		s->scratch_size = n + FRAME_HEAD_MAX;
	}
	*o = (struct wire_out){ s->scratch + FRAME_HEAD_MAX, s->scratch + s->scratch_size, false };
	return true;
}

/* The halted list and the bytes it takes, if this connection has not been told. */
static size_t
halted_news(struct conn *c, const struct text **ids_out, size_t *n_out)
{
	const struct gate_env *env = c->stream->env;
	uint64_t version = 0;
	size_t bytes = 0;

	*n_out = env->halted(env->arg, ids_out, &version);
	if (version == c->halted_version)
		return 0;
	c->halted_version = version;
	for (size_t i = 0; i < *n_out; i++)
		bytes += (*ids_out)[i].len + 12;
	return bytes + 2;
}

void
conn_welcome(struct conn *c)
{
	struct stream *s = c->stream;
	const struct text *ids;
	struct wire_out o;
	size_t n, bytes = halted_news(c, &ids, &n);

	if (!scratch(s, bytes + 128, &o)) {
		conn_kill(c);
		return;
	}
	welcome_put(&o, TEXT("faultline/" PACKAGE_VERSION), s->max_frame, ids, n);
	send_message(c, SERVER_WELCOME, &o);
}

void
conn_push_halted(struct conn *c)
{
	const struct text *ids;
	struct wire_out o;
	size_t n, bytes = halted_news(c, &ids, &n);

	if (bytes == 0)
		return;
	if (!scratch(c->stream, bytes + 32, &o)) {
		conn_kill(c);
		return;
	}
	ack_put_number(&o, c->acked);
	ack_put_halted(&o, ids, n);
	send_message(c, SERVER_ACK, &o);
}

/* ---- acknowledging ---- */

static struct text
advice_for(const struct stream *s, uint64_t signature)
{
	struct text t = { NULL, 0 };

	if (s->env->advice != NULL)
		t = s->env->advice(s->env->arg, 0, signature);
	if (t.len > ADVICE_MAX)
		t.len = ADVICE_MAX;
	return t;
}

static void
put_wanted(struct wire_out *o, struct frame_group *g)
{
	const struct stream *s = g->conn->stream;
	char id[REPORT_ID_SIZE], signature[SIGNATURE_ID_LEN];

	for (uint32_t i = 0; i < g->n_wanted; i++) {
		const struct wanted *w = &g->wanted[i];
		struct text advice = w->advice ? advice_for(s, w->signature) : (struct text){ NULL, 0 };

		if (w->dump) {
			uint64_t pos = intake_position(&g->intake, w->record);

			report_id_format(pos, &s->env->log_id, id);
			ack_put_want_dump(o, g->number, w->index, text_of(id));
			conn_asked(g->conn, pos, w->signature);
		}
		if (advice.len > 0)
			ack_put_advice(o, text_of(signature_id_text(w->signature, signature)), advice);
	}
}

static void
put_group(struct wire_out *o, struct frame_group *g)
{
	for (uint32_t i = 0; i < g->n_refused; i++) {
		const struct refusal *r = &g->refused[i];
		const char *what = r->what != NULL ? r->what : discard_help(r->code);

		ack_put_refused(o, g->number, r->index, text_of(discard_code(r->code)),
				text_of(i < EXPLAINED ? what : NULL));
	}
	put_wanted(o, g);
	if (g->reports > 0)
		counter_add(COUNTER_reports, g->reports);
}

/* Upper bound of what put_group() writes. */
static size_t
group_bytes(const struct frame_group *g)
{
	return (size_t)g->n_refused * 64 + (size_t)(g->n_refused < EXPLAINED ? g->n_refused : EXPLAINED) * 256 +
	       (size_t)g->n_wanted * (64 + SIGNATURE_ID_LEN + 16 + ADVICE_MAX);
}

static enum discard
group_verdict(const struct conn *c, const struct frame_group *g)
{
	if (g->nack != DISCARD_none)
		return g->nack;
	if (g->outcome == LOG_DURABLE)
		return DISCARD_none;
	if (g->outcome == LOG_REFUSED && !intake_broken(c->stream->gate->intake))
		return DISCARD_disk_full;
	return DISCARD_log_unknown;
}

static void
pop_group(struct conn *c)
{
	struct frame_group *g = c->first;

	c->first = g->next;
	if (c->first == NULL)
		c->last = NULL;
	c->in_flight--;
	c->refusals -= g->n_refused;
	group_free(c->stream, g);
}

/* One Ack for all groups at the head of the queue that are done. */
static void
acknowledge(struct conn *c)
{
	const struct text *ids;
	size_t n_ids, halted, bytes = 64, n = 0;
	struct frame_group *g;
	uint64_t acked = c->acked;
	struct wire_out o;

	if (c->lost) /* acks are cumulative: a later one would cover the loss */
		return;
	for (g = c->first; g != NULL && g->done && group_verdict(c, g) == DISCARD_none; g = g->next) {
		bytes += group_bytes(g);
		acked = g->number;
		n++;
	}
	if (n == 0)
		return;
	halted = halted_news(c, &ids, &n_ids);
	if (!scratch(c->stream, bytes + halted, &o)) {
		conn_kill(c);
		return;
	}
	ack_put_number(&o, acked);
	if (halted > 0)
		ack_put_halted(&o, ids, n_ids);
	for (; n > 0; n--) {
		put_group(&o, c->first);
		pop_group(c);
	}
	c->acked = acked;
	counter_add(COUNTER_acks, 1);
	send_message(c, SERVER_ACK, &o);
}

static void
say_goodbye(struct conn *c)
{
	struct wire_out o;
	struct nack n = {
		.number = c->acked,
		.code = text_of(discard_code(c->nack)),
		.message = text_of(c->nack_what != NULL ? c->nack_what : discard_help(c->nack)),
		.retry_after_ms = c->retry_ms,
	};

	if (c->nack == DISCARD_none || !scratch(c->stream, 512, &o))
		return;
	c->nack = DISCARD_none; /* once */
	nack_put(&o, &n);
	send_message(c, SERVER_NACK, &o);
}

/* In state CLOSING with nothing in flight. */
static void
end(struct conn *c)
{
	say_goodbye(c);
	if (c->state == CONN_DEAD || c->out_len > 0)
		return;
	if (c->eof) {
		conn_kill(c);
		return;
	}
	/* Closing with unread input would reset the connection and could take our last words with it. */
	shutdown(c->fd, SHUT_WR);
	conn_set_state(c, CONN_LINGER, LINGER_MS);
	event_add(&c->read_ev, NULL);
}

void
conn_answer(struct conn *c)
{
	struct frame_group *g;

	if (c->state != CONN_DEAD)
		acknowledge(c);
	if (c->state != CONN_DEAD && (g = c->first) != NULL && g->done && group_verdict(c, g) != DISCARD_none) {
		c->lost = true;
		conn_finish(c, group_verdict(c, g), NULL, RETRY_MS);
	}
	if (c->state >= CONN_CLOSING)
		while (c->first != NULL && c->first->done)
			pop_group(c);
	if (c->in_flight < FLIGHT_MAX && c->refusals <= REFUSALS_MANY)
		conn_resume(c, PAUSE_FLIGHT);
	if (c->state == CONN_CLOSING && c->in_flight == 0)
		end(c);
}
