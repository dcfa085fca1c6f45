/* SPDX-License-Identifier: Apache-2.0 */
/* Every decoder of proto/frame.h over the same bytes: nothing may be read outside them, and
 * what is handed out lies inside them. */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
inside(struct text t, const uint8_t *data, size_t size)
{
	assert(t.len == 0 || ((const uint8_t *)t.at >= data && (const uint8_t *)t.at + t.len <= data + size));
}

static void
decode_client(struct text frame, const uint8_t *data, size_t size)
{
	struct client_frame f;
	struct dump_piece piece;
	struct served served;
	struct hello hello;
	struct text item;
	struct diag diag;
	struct reader r;

	if (client_frame_decode(frame, &f, &diag) != DISCARD_none)
		return;
	inside(f.body, data, size);
	if (hello_decode(f.body, &hello, &diag) == DISCARD_none)
		inside(hello.token, data, size);
	if (dump_piece_decode(f.body, &piece, &diag) == DISCARD_none)
		inside(piece.data, data, size);
	reader_init(&r, f.body.at, f.body.len, false);
	while (frame_item(&r, &item)) {
		inside(item, data, size);
		if (served_decode(item, &served, &diag) == DISCARD_none)
			inside(served.host, data, size);
	}
}

static void
decode_server(struct text frame, const uint8_t *data, size_t size)
{
	enum server_kind kind;
	struct server_item item;
	struct text body = { NULL, 0 };
	struct reader r;

	if (server_frame_decode(frame, &kind, &body) != DISCARD_none)
		return;
	inside(body, data, size);
	for (kind = SERVER_WELCOME; kind <= SERVER_NACK; kind++) {
		reader_init(&r, body.at, body.len, false);
		while (server_next(&r, kind, &item)) {
			inside(item.id, data, size);
			inside(item.message, data, size);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text body;
	size_t need, at = 0;

	while (frame_split(data + at, size - at, 1u << 20, &body, &need) == FRAME_READY) {
		inside(body, data, size);
		decode_client(body, data, size);
		decode_server(body, data, size);
		at += need;
	}
	return 0;
}
