/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client/client_private.h"
#include "proto/report.h"

bool
buffer_room(struct buffer *b, size_t n)
{
	size_t cap;
	uint8_t *p;

	if (b->at > 0 && b->len + n > b->cap) {
		memmove(b->p, b->p + b->at, b->len - b->at);
		b->len -= b->at;
		b->at = 0;
	}
	if (b->len + n <= b->cap)
		return true;
	cap = (b->len + n) * 2;
	if ((p = realloc(b->p, cap)) == NULL)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

void
buffer_free(struct buffer *b)
{
	free(b->p);
	*b = (struct buffer){ 0 };
}

/* ---- options ---- */

static char *
copy_text(const char *s, bool *failed)
{
	char *p = s != NULL ? strdup(s) : NULL;

	*failed |= s != NULL && p == NULL;
	return p;
}

static bool
copy_options(struct faultline *f, const struct faultline_options *o)
{
	bool failed = false;
	void *host = NULL;

	memcpy(&f->o, o, o->size < sizeof(f->o) ? o->size : sizeof(f->o));
	f->o.server = copy_text(f->o.server, &failed);
	f->o.bind = copy_text(f->o.bind, &failed);
	f->o.token = copy_text(f->o.token, &failed);
	f->o.agent = copy_text(f->o.agent, &failed);
	f->o.spool = copy_text(f->o.spool, &failed);
	f->o.state = copy_text(f->o.state, &failed);
	if (f->o.host != NULL && (host = malloc(f->o.host_len + 1)) != NULL)
		memcpy(host, f->o.host, f->o.host_len);
	failed |= f->o.host != NULL && host == NULL;
	f->o.host = host;
	if (f->o.queue_bytes == 0)
		f->o.queue_bytes = f->o.spool != NULL ? 64u << 20 : 8u << 20;
	if (f->o.batch == 0 || f->o.batch > FRAME_MAX_ITEMS)
		f->o.batch = 256;
	if (f->o.window == 0 || f->o.window > WINDOW_MAX)
		f->o.window = 8;
	if (f->o.retry_min_ms == 0)
		f->o.retry_min_ms = 500;
	if (f->o.retry_max_ms < f->o.retry_min_ms)
		f->o.retry_max_ms = f->o.retry_min_ms > 60000 ? f->o.retry_min_ms : 60000;
	return !failed;
}

/* "host:port" or "[v6]:port" into two texts. */
static bool
split_server(struct faultline *f)
{
	const char *s = f->o.server, *colon = s != NULL ? strrchr(s, ':') : NULL;
	size_t n;

	if (colon == NULL || colon == s || colon[1] == '\0')
		return false;
	n = (size_t)(colon - s);
	if (s[0] == '[' && colon[-1] == ']') {
		s++;
		n -= 2;
	}
	f->host_name = strndup(s, n);
	f->port = strdup(colon + 1);
	return f->host_name != NULL && f->port != NULL && n > 0;
}

struct faultline *
faultline_new(const struct faultline_options *options, char *err, size_t err_size)
{
	struct faultline *f = calloc(1, sizeof(*f));

	snprintf(err, err_size, "out of memory");
	if (f == NULL)
		return NULL;
	f->fd = f->epoll_fd = f->timer_fd = f->spool.fd = -1;
	f->max_frame = FRAME_DEFAULT_MAX;
	if (!copy_options(f, options))
		goto fail;
	if (getrandom(&f->random, sizeof(f->random), 0) != (ssize_t)sizeof(f->random))
		f->random = (uint64_t)(uintptr_t)f ^ (uint64_t)time(NULL);
	if (f->o.host != NULL && (f->o.host_len == 0 || f->o.host_len > HOST_ID_MAX)) {
		snprintf(err, err_size, "a host id is 1 to %u bytes", HOST_ID_MAX);
		goto fail;
	}
	if (!split_server(f)) {
		snprintf(err, err_size, "server \"%s\" is not HOST:PORT", options->server ? options->server : "");
		goto fail;
	}
	if (spool_open(&f->spool, f->o.spool, f->o.queue_bytes, err, err_size) == -1 ||
	    state_open(&f->ids, f->o.state, err, err_size) == -1 || link_open(f, err, err_size) == -1)
		goto fail;
	f->send_at = f->spool.released;
	return f;
fail:
	faultline_free(f);
	return NULL;
}

void
faultline_free(struct faultline *f)
{
	if (f == NULL)
		return;
	link_close(f);
	upload_close_all(f);
	spool_close(&f->spool);
	state_close(&f->ids);
	buffer_free(&f->in);
	buffer_free(&f->out);
	buffer_free(&f->beats);
	buffer_free(&f->body);
	for (size_t i = 0; i < f->n_halted; i++)
		free(f->halted[i]);
	free(f->halted);
	free((void *)(uintptr_t)f->o.server);
	free((void *)(uintptr_t)f->o.bind);
	free((void *)(uintptr_t)f->o.token);
	free((void *)(uintptr_t)f->o.agent);
	free((void *)(uintptr_t)f->o.spool);
	free((void *)(uintptr_t)f->o.state);
	free((void *)(uintptr_t)f->o.host);
	free(f->host_name);
	free(f->port);
	free(f);
}

/* ---- queueing ---- */

static bool
copy_pairs(const struct faultline_pair *in, unsigned n, struct report_pair *out, uint32_t *n_out)
{
	if (n > REPORT_MAX_PAIRS)
		return false;
	for (unsigned i = 0; i < n; i++)
		out[i] = (struct report_pair){ text_of(in[i].name), text_of(in[i].value) };
	*n_out = n;
	return true;
}

static struct text
host_of(const struct faultline *f, const void *host, size_t len)
{
	if (host == NULL)
		return (struct text){ f->o.host, f->o.host_len };
	return (struct text){ host, len };
}

static bool
copy_report(const struct faultline *f, const struct faultline_report *in, struct report *out,
	    struct report_frame *frames)
{
	out->host = host_of(f, in->host, in->host_len);
	out->epoch = in->epoch;
	out->seq = in->seq;
	out->kind = (enum report_kind)in->kind;
	out->occurred_us = in->occurred_us;
	out->module = text_of(in->module);
	out->module_id = text_of(in->module_id);
	out->module_version = text_of(in->module_version);
	out->offset = in->offset;
	out->reason = text_of(in->reason);
	out->reason_code = in->reason_code;
	out->product = text_of(in->product);
	out->version = text_of(in->version);
	out->os = text_of(in->os);
	out->os_build = text_of(in->os_build);
	out->arch = text_of(in->arch);
	out->hw_class = text_of(in->hw_class);
	out->boot_id = (struct text){ in->boot_id, in->boot_id_len };
	out->uptime_s = in->uptime_s;
	out->count = in->count;
	out->has_dump = in->has_dump != 0;
	if (in->n_params > REPORT_MAX_PARAMS || in->n_frames > REPORT_MAX_FRAMES)
		return false;
	out->n_params = in->n_params;
	if (in->n_params > 0)
		memcpy(out->params, in->params, in->n_params * sizeof(out->params[0]));
	out->n_frames = in->n_frames;
	for (unsigned i = 0; i < in->n_frames; i++)
		frames[i] = (struct report_frame){ .module = text_of(in->frames[i].module),
						   .module_id = text_of(in->frames[i].module_id),
						   .function = text_of(in->frames[i].function),
						   .offset = in->frames[i].offset,
						   .trust = in->frames[i].trust };
	return copy_pairs(in->labels, in->n_labels, out->labels, &out->n_labels) &&
	       copy_pairs(in->content, in->n_content, out->content, &out->n_content);
}

static int
queue(struct faultline *f, enum client_kind kind, const char *cookie, const uint8_t *item, size_t len,
      uint64_t *ticket_out)
{
	switch (spool_append(&f->spool, (uint8_t)kind, cookie, item, len)) {
	case SPOOL_OK:
		break;
	case SPOOL_FULL:
		return FAULTLINE_FULL;
	case SPOOL_MEMORY:
		return FAULTLINE_MEMORY;
	default:
		return FAULTLINE_IO;
	}
	if (ticket_out != NULL)
		*ticket_out = f->spool.end;
	link_wake(f);
	return FAULTLINE_OK;
}

int
faultline_report(struct faultline *f, const struct faultline_report *in, uint64_t *ticket_out)
{
	struct report r = { 0 }, check;
	struct report_frame *frames = NULL;
	uint8_t small[2048], *buf = small;
	size_t size = sizeof(small), len;
	struct diag diag;
	int rc = FAULTLINE_INVALID;

	if (in->cookie != NULL && strlen(in->cookie) > COOKIE_MAX)
		return FAULTLINE_INVALID;
	if (in->n_frames > 0) {
		frames = calloc(REPORT_MAX_FRAMES, sizeof(*frames));
		size = REPORT_MAX_BYTES;
		buf = malloc(size);
		if (frames == NULL || buf == NULL) {
			rc = FAULTLINE_MEMORY;
			goto out;
		}
	}
	if (!copy_report(f, in, &r, frames))
		goto out;
	if (in->epoch == 0 && in->seq == 0) {
		r.epoch = f->ids.epoch;
		if ((r.seq = state_take(&f->ids)) == 0) {
			rc = FAULTLINE_IO;
			goto out;
		}
	}
	/* What the server would refuse is refused here, before it takes room in the spool. */
	len = report_encode(&r, frames, buf, size);
	if (len == 0 || report_decode(buf, len, &check, &diag) != DISCARD_none)
		goto out;
	rc = queue(f, CLIENT_REPORTS, in->cookie, buf, len, ticket_out);
out:
	free(frames);
	if (buf != small)
		free(buf);
	return rc;
}

int
faultline_receipt(struct faultline *f, const char *deployment, const void *host, size_t host_len, int withdrawn,
		  uint64_t *ticket_out)
{
	struct served s = { text_of(deployment), host_of(f, host, host_len), withdrawn != 0 }, check;
	uint8_t buf[DEPLOYMENT_ID_MAX + HOST_ID_MAX + 16];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	struct diag diag;

	served_put(&o, &s);
	if (o.full || served_decode((struct text){ (char *)buf, (size_t)(o.p - buf) }, &check, &diag) != DISCARD_none)
		return FAULTLINE_INVALID;
	return queue(f, CLIENT_RECEIPTS, NULL, buf, (size_t)(o.p - buf), ticket_out);
}

static int
beat(struct faultline *f, const struct faultline_heartbeat *in, bool goodbye)
{
	struct heartbeat h = { 0 }, check;
	uint8_t buf[12 * 1024];
	struct wire_out o;
	struct diag diag;
	size_t len;

	h.host = host_of(f, in->host, in->host_len);
	h.boot_id = (struct text){ in->boot_id, in->boot_id_len };
	h.uptime_s = in->uptime_s;
	h.product = text_of(in->product);
	h.version = text_of(in->version);
	h.os = text_of(in->os);
	h.os_build = text_of(in->os_build);
	h.arch = text_of(in->arch);
	h.hw_class = text_of(in->hw_class);
	h.interval_s = in->interval_s;
	h.goodbye = goodbye;
	if (!copy_pairs(in->content, in->n_content, h.content, &h.n_content) ||
	    !copy_pairs(in->labels, in->n_labels, h.labels, &h.n_labels))
		return FAULTLINE_INVALID;
	len = heartbeat_encode(&h, buf, sizeof(buf));
	if (len == 0 || heartbeat_decode(buf, len, &check, &diag) != DISCARD_none)
		return FAULTLINE_INVALID;
	/* Nobody listens, or not fast enough: the old ones are worth less than this one. */
	if (f->beats.len - f->beats.at > BEATS_MAX)
		f->beats.len = f->beats.at = 0;
	if (!buffer_room(&f->beats, len + 8))
		return FAULTLINE_MEMORY;
	o = (struct wire_out){ f->beats.p + f->beats.len, f->beats.p + f->beats.cap, false };
	item_put(&o, (struct text){ (char *)buf, len });
	f->beats.len = (size_t)(o.p - f->beats.p);
	link_wake(f);
	return FAULTLINE_OK;
}

int
faultline_heartbeat(struct faultline *f, const struct faultline_heartbeat *h)
{
	return beat(f, h, false);
}

int
faultline_goodbye(struct faultline *f, const struct faultline_heartbeat *h)
{
	return beat(f, h, true);
}

/* ---- waiting ---- */

int
faultline_fd(const struct faultline *f)
{
	return f->epoll_fd;
}

void
faultline_wait(struct faultline *f, int timeout_ms)
{
	struct pollfd p = { .fd = f->epoll_fd, .events = POLLIN };

	poll(&p, 1, timeout_ms);
	faultline_process(f);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool
idle(const struct faultline *f)
{
	return f->spool.released == f->spool.end && f->beats.at == f->beats.len && f->n_sent == 0 &&
	       f->out.at == f->out.len && !upload_pending(f);
}

int
faultline_flush(struct faultline *f, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms, left;

	faultline_process(f);
	while (!idle(f)) {
		left = timeout_ms < 0 ? -1 : end - now_ms();
		if (timeout_ms >= 0 && left <= 0)
			return FAULTLINE_TIMEOUT;
		faultline_wait(f, (int)left);
	}
	return FAULTLINE_OK;
}

int
faultline_connected(const struct faultline *f)
{
	return f->state == LINK_READY;
}

uint64_t
faultline_pending(const struct faultline *f)
{
	return f->spool.end - f->spool.released;
}

uint64_t
faultline_epoch(const struct faultline *f)
{
	return f->ids.epoch;
}

int
faultline_is_halted(const struct faultline *f, const char *deployment)
{
	for (size_t i = 0; i < f->n_halted; i++)
		if (strcmp(f->halted[i], deployment) == 0)
			return 1;
	return 0;
}
