/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/dumps/{sha256}: the bytes of a dump, for somebody who may have them.  A dump is another machine's memory:
 * it goes out as a file to keep, never as something that a browser would show. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "collector/api/call.h"

#define PIECE      ((size_t)256 * 1024) /* less than a stream may lag by: API_MAX_OUTPUT */
#define AGAIN_MS   10
#define DUMP_LIMIT 8u /* downloads at a time */

struct download {
	int fd;
	uint64_t left;
	uint8_t *buffer;
};

static unsigned downloads; /* of the API's thread */

static void
download_end(struct http_request *r, enum http_end how)
{
	struct call *c = r->ctx;
	struct download *d = c->state;

	if (d != NULL && d->fd != -1) {
		close(d->fd);
		downloads--;
	}
	call_end(r, how);
}

static void
send_piece(struct call *c)
{
	struct download *d = c->state;
	ssize_t n;

	if (http_stream_queued(c->req) > PIECE) { /* it reads at its own pace */
		call_after(c, AGAIN_MS, send_piece);
		return;
	}
	if (d->left == 0) {
		http_stream_end(c->req);
		return;
	}
	do
		n = read(d->fd, d->buffer, d->left < PIECE ? d->left : PIECE);
	while (n == -1 && errno == EINTR);
	if (n <= 0) { /* it was shortened under us: cannot be, and the client sees that the end is missing */
		http_stream_end(c->req);
		return;
	}
	d->left -= (uint64_t)n;
	if (http_stream_send(c->req, d->buffer, (size_t)n) == 0)
		call_after(c, AGAIN_MS, send_piece);
}

static void
begin(struct http_request *r)
{
	struct call *c = call_new(r);
	uint8_t sha256[SHA256_BYTES];
	char name[128];
	struct download *d;

	if (c == NULL)
		return;
	if (c->role < ROLE_OPERATOR) {
		call_refuse(c, DISCARD_not_permitted, NULL, "downloading a dump needs the right dump");
		return;
	}
	if (strlen(r->segment) != 2 * SHA256_BYTES || hex_decode(r->segment, 2 * SHA256_BYTES, sha256) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "sha256", "is 64 hex digits");
		return;
	}
	d = ARENA_NEW(c->arena, struct download);
	if (d == NULL || (d->buffer = ARENA_ARRAY(c->arena, uint8_t, PIECE)) == NULL || downloads >= DUMP_LIMIT) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	d->fd = c->api->env.dump_open != NULL ? c->api->env.dump_open(c->api->env.arg, sha256, &d->left) : -1;
	if (d->fd == -1) {
		call_refuse(c, DISCARD_dump_not_kept, NULL, NULL);
		return;
	}
	c->state = d;
	downloads++;
	snprintf(name, sizeof(name), "attachment; filename=\"%.64s.dmp\"", r->segment);
	http_set_header(r, "Content-Disposition", name);
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "Cache-Control", "no-store");
	http_stream_begin(r, "application/octet-stream");
	send_piece(c);
}

const struct http_ops dump_ops = { .begin = begin, .end = download_end };
