/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/token.h"
#include "collector/gate/identity.h"
#include "collector/gate/intake.h"
#include "collector/gate/roster.h"
#include "collector/gate/stream.h"
#include "collector/gate/stream_conn.h"
#include "collector/workers/dumps.h"
#include "proto/frame.h"
#include "tests/unit/log_help.h"
#include "tests/unit/stream_help.h"

static const struct identity *the_identity;
static const struct tokens *the_tokens;

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fixture: %s: %s\n", what, strerror(errno));
	exit(99);
}

/* ---- the log ---- */

static void
keep_records(struct world *w, const struct log_submission *s)
{
	struct batch_view b;
	struct record_view r;
	uint32_t cursor = 0;

	must(batch_open(s->bytes, s->len, &b) == ERR_OK, "a batch of the gate is damaged");
	while (batch_next(&b, &cursor, &r, NULL) && w->n_records < WORLD_RECORDS) {
		struct world_record *k = &w->records[w->n_records++];

		*k = (struct world_record){ r.type, batch_record_pos(s->first, r.index), malloc(r.payload_len + 1),
					    r.payload_len };
		must(k->payload != NULL, "memory");
		memcpy(k->payload, r.payload, r.payload_len);
	}
}

static void
answer(struct world *w, struct log_submission *s, enum log_outcome outcome)
{
	s->outcome = outcome;
	s->first = ++w->seq << 16;
	if (outcome == LOG_DURABLE)
		keep_records(w, s);
	mailbox_post(s->reply, &s->mail);
}

static enum log_append
on_append(struct log *l, struct log_submission *s)
{
	struct world *w = (struct world *)l;

	if (w->answer != LOG_QUEUED)
		return w->answer;
	if (w->hold)
		w->held[w->n_held++] = s;
	else
		answer(w, s, LOG_DURABLE);
	return LOG_QUEUED;
}

static enum log_pressure
on_pressure(const struct log *l)
{
	return ((const struct world *)l)->pressure;
}

static const struct log_ops ops = { .append = on_append, .pressure = on_pressure };

/* ---- the environment ---- */

static const struct settings *
get_settings(void *arg)
{
	return &((struct world *)arg)->settings;
}

static const struct identity *
get_identity(void *arg)
{
	(void)arg;
	return the_identity;
}

static const struct tokens *
get_tokens(void *arg)
{
	(void)arg;
	return the_tokens;
}

static bool
want_dump(void *arg, uint16_t tenant, uint64_t signature)
{
	struct world *w = arg;

	(void)tenant;
	(void)signature;
	if (w->wants == 0)
		return false;
	w->wants--;
	return true;
}

static size_t
get_halted(void *arg, const struct text **ids_out, uint64_t *version_out)
{
	struct world *w = arg;

	*ids_out = w->halted;
	*version_out = w->halted_version;
	return w->n_halted;
}

static struct text
get_advice(void *arg, uint16_t tenant, uint64_t signature)
{
	(void)tenant;
	(void)signature;
	return text_of(((struct world *)arg)->advice);
}

static bool
find_host(void *arg, uint16_t tenant, uint64_t host_hash, uint32_t *host_no_out, uint32_t *fingerprint_out)
{
	(void)arg;
	(void)tenant;
	(void)host_hash;
	(void)host_no_out;
	(void)fingerprint_out;
	return false;
}

static void
on_intake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	intake_dispatch(arg);
}

/* ---- the world ---- */

/* One for the whole program: opening a store makes hundreds of folders. */
static char *dumps_dir;
static struct dumps *the_dumps;

static void
close_dumps(void)
{
	dumps_close(the_dumps);
	temp_dir_free(dumps_dir);
}

static struct dumps *
open_dumps(void)
{
	struct dumps_options o = { .max_dump = 1 << 20, .keep_bytes = 1 << 30, .per_signature = 100, .keep_days = 1 };
	char err[256] = "";

	if (the_dumps != NULL)
		return the_dumps;
	dumps_dir = temp_dir_new();
	the_dumps = dumps_open(dumps_dir, &o, NULL, err, sizeof(err));
	must(the_dumps != NULL, err);
	atexit(close_dumps);
	return the_dumps;
}

struct world *
world_new(const char *tokens)
{
	struct world *w = calloc(1, sizeof(*w));
	char err[256] = "", path[4200];

	must(w != NULL, "memory");
	w->log.ops = &ops;
	w->answer = LOG_QUEUED;
	w->dir = temp_dir_new();
	snprintf(path, sizeof(path), "%s/key", w->dir);
	must(settings_init(&w->settings) == 0, "settings");
	the_identity = identity_new(path, "", LABELS_ALWAYS, err, sizeof(err));
	must(the_identity != NULL, err);
	the_tokens = tokens != NULL ? tokens_load(tokens, err, sizeof(err)) : NULL;
	must(tokens == NULL || the_tokens != NULL, err);
	w->env = (struct gate_env){
		.log = &w->log,
		.log_id = { "stream test log" },
		.arg = w,
		.settings = get_settings,
		.identity = get_identity,
		.tokens = get_tokens,
		.want_dump = want_dump,
		.halted = get_halted,
		.advice = get_advice,
		.dumps = open_dumps(),
	};
	w->gate = (struct gate){ .env = &w->env,
				 .base = event_base_new(),
				 .intake = intake_new(&w->log),
				 .roster = roster_new(0, find_host, NULL) };
	must(w->gate.base != NULL && w->gate.intake != NULL && w->gate.roster != NULL, "gate");
	w->intake_ev =
		event_new(w->gate.base, intake_fd(w->gate.intake), EV_READ | EV_PERSIST, on_intake, w->gate.intake);
	must(w->intake_ev != NULL && event_add(w->intake_ev, NULL) == 0, "event");
	w->stream = stream_new(&w->gate, "127.0.0.1:0", err, sizeof(err));
	must(w->stream != NULL, err);
	return w;
}

void
world_free(struct world *w)
{
	must(w->n_held == 0, "submissions are held");
	world_turn(w);
	stream_free(w->stream);
	intake_free(w->gate.intake);
	roster_free(w->gate.roster);
	event_free(w->intake_ev);
	event_base_free(w->gate.base);
	identity_free((struct identity *)(uintptr_t)the_identity);
	tokens_free((struct tokens *)(uintptr_t)the_tokens);
	settings_fini(&w->settings);
	for (size_t i = 0; i < w->n_records; i++)
		free(w->records[i].payload);
	temp_dir_free(w->dir);
	free(w);
}

void
world_turn(struct world *w)
{
	for (int i = 0; i < 4; i++) {
		event_base_loop(w->gate.base, EVLOOP_NONBLOCK);
		intake_flush(w->gate.intake);
		stream_reap(w->stream);
	}
}

void
world_settle(struct world *w, enum log_outcome outcome)
{
	intake_flush(w->gate.intake);
	for (size_t i = 0; i < w->n_held; i++)
		answer(w, w->held[i], outcome);
	w->n_held = 0;
	world_turn(w);
}

void
world_settle_first(struct world *w, enum log_outcome outcome)
{
	struct log_submission *s = w->held[0];

	must(w->n_held > 0, "nothing is held");
	w->n_held--;
	memmove(w->held, w->held + 1, w->n_held * sizeof(w->held[0]));
	answer(w, s, outcome);
	world_turn(w);
}

void
world_tick(struct world *w)
{
	struct timeval wait = { 0, 300000 };

	event_base_loopexit(w->gate.base, &wait);
	event_base_loop(w->gate.base, 0);
	world_turn(w);
}

size_t
world_count(const struct world *w, enum record_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_records; i++)
		n += w->records[i].type == type;
	return n;
}

int
world_connect(struct world *w)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr = { htonl(0x7f010203) } };
	struct sockaddr_storage ss = { 0 };
	int fds[2], size = 16384;

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
	must(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0, "fcntl");
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memcpy(&ss, &peer, sizeof(peer));
	conn_adopt(w->stream, fds[1], &ss, sizeof(peer));
	return fds[0];
}

/* ---- what a client says ---- */

size_t
frame_of(uint8_t *buf, size_t size, uint64_t number, int kind, const void *body, size_t len)
{
	uint8_t head[FRAME_HEAD_MAX];
	size_t head_len = client_frame_head(number, (enum client_kind)kind, len, head);

	must(head_len + len <= size, "frame buffer");
	memcpy(buf, head, head_len);
	if (len > 0)
		memcpy(buf + head_len, body, len);
	return head_len + len;
}

size_t
frame_hello(uint8_t *buf, size_t size, const char *token)
{
	uint8_t body[512];
	struct wire_out o = { body, body + sizeof(body), false };
	struct hello h = { 1, TEXT("test/1"), text_of(token) };

	hello_put(&o, &h);
	return frame_of(buf, size, 1, CLIENT_HELLO, body, (size_t)(o.p - body));
}

struct report
sample_report(const char *host, uint64_t seq)
{
	struct report r = { 0 };

	r.host = text_of(host);
	r.epoch = 0x1122334455667788;
	r.seq = seq;
	r.kind = REPORT_SERVICE;
	r.occurred_us = 1721361600000000;
	r.module = TEXT("csagent.sys");
	r.module_id = TEXT("66881a0d8d000");
	r.offset = 0xe14ed;
	r.reason = TEXT("EXCEPTION_ACCESS_VIOLATION_READ");
	return r;
}

size_t
frame_reports(uint8_t *buf, size_t size, uint64_t number, const char *host, unsigned n, uint64_t first_seq)
{
	size_t room = (size_t)n * 256 + 16, len;
	uint8_t *body = malloc(room);
	struct wire_out o = { body, body + room, false };

	must(body != NULL, "memory");
	for (unsigned i = 0; i < n; i++) {
		struct report r = sample_report(host, first_seq + i);
		uint8_t one[256];

		item_put(&o, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	}
	must(!o.full, "reports buffer");
	len = frame_of(buf, size, number, CLIENT_REPORTS, body, (size_t)(o.p - body));
	free(body);
	return len;
}

bool
say(struct world *w, int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == -1 && errno != EAGAIN)
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		world_turn(w);
	}
	return true;
}

void
say_hello(struct world *w, int fd)
{
	uint8_t buf[256];

	say(w, fd, buf, frame_hello(buf, sizeof(buf), ""));
	must(strncmp(heard(w, fd), "welcome", 7) == 0, "no welcome");
}

/* ---- what came back ---- */

static char heard_text[1 << 16];

static void
put(const char *fmt, ...)
{
	size_t n = strlen(heard_text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(heard_text + n, sizeof(heard_text) - n, fmt, ap);
	va_end(ap);
}

static void
describe(const struct server_item *i)
{
	int id = (int)i->id.len, msg = (int)i->message.len;

	switch (i->kind) {
	case ITEM_NUMBER:
		put(" %" PRIu64, i->number);
		break;
	case ITEM_WANT_DUMP:
		put(" want %" PRIu64 "/%" PRIu32 " %.*s", i->number, i->index, id, i->id.at);
		break;
	case ITEM_REFUSED:
		put(" refused %" PRIu64 "/%" PRId32 " %.*s", i->number, (int32_t)i->index, id, i->id.at);
		break;
	case ITEM_HALTS:
		put(" halts");
		break;
	case ITEM_HALTED:
		put(" halted[%.*s]", id, i->id.at);
		break;
	case ITEM_ADVICE:
		put(" advice %.*s=%.*s", id, i->id.at, msg, i->message.at);
		break;
	case ITEM_CODE:
		put(" %.*s", id, i->id.at);
		break;
	case ITEM_RETRY_AFTER:
		put(" retry");
		break;
	case ITEM_MAX_FRAME:
	case ITEM_MESSAGE:
		break;
	}
}

const char *
heard(struct world *w, int fd)
{
	static const char *const names[] = { "none", "welcome", "ack", "nack" };
	uint8_t buf[1 << 17];
	struct server_item item;
	enum server_kind kind;
	struct text body;
	struct reader r;
	size_t need;
	ssize_t n;

	world_turn(w);
	heard_text[0] = '\0';
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK);
	if (n == 0)
		return "closed";
	if (n < 0)
		return errno == EAGAIN ? "" : "closed";
	if (frame_split(buf, (size_t)n, sizeof(buf), &body, &need) != FRAME_READY)
		return "a torn frame";
	must(recv(fd, buf, need, 0) == (ssize_t)need, "recv");
	must(server_frame_decode((struct text){ (char *)buf + FRAME_PREFIX, need - FRAME_PREFIX }, &kind, &body) ==
		     DISCARD_none,
	     "server frame");
	put("%s", names[kind]);
	reader_init(&r, body.at, body.len, false);
	while (server_next(&r, kind, &item))
		describe(&item);
	must(!reader_failed(&r), "server message");
	return heard_text;
}
