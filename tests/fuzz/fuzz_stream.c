/* SPDX-License-Identifier: Apache-2.0 */
/* A whole connection to the stream gate.  The first byte says into how many pieces the rest
 * is cut; a hello goes first unless its high bit is set.  Whatever comes, the gate answers or
 * closes, holds no memory afterwards, and its records decode. */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector/gate/stream.h"
#include "collector/gate/stream_conn.h"
#include "proto/report.h"
#include "tests/unit/stream_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_records(struct world *w)
{
	struct report *r = malloc(sizeof(*r));
	struct heartbeat *h = malloc(sizeof(*h));
	struct diag diag;

	assert(r != NULL && h != NULL);
	for (size_t i = 0; i < w->n_records; i++) {
		const struct world_record *k = &w->records[i];

		if (k->type == RECORD_REPORT)
			assert(report_decode(k->payload, k->len, r, &diag) == DISCARD_none && r->host_hash != 0 &&
			       r->host.len == 0 && r->site.len > 0);
		if (k->type == RECORD_HEARTBEAT)
			assert(heartbeat_decode(k->payload, k->len, h, &diag) == DISCARD_none && h->host_hash != 0);
		free(k->payload);
	}
	w->n_records = 0;
	free(r);
	free(h);
}

static void
drain(int fd)
{
	char buf[4096];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world *w;
	uint8_t hello[256];
	size_t pieces, at = 1;
	int fd;

	if (size < 2)
		return 0;
	if (w == NULL)
		w = world_new(NULL);
	w->wants = 2;
	w->advice = "advice";
	fd = world_connect(w);
	if ((data[0] & 0x80) == 0) {
		say(w, fd, hello, frame_hello(hello, sizeof(hello), ""));
		drain(fd);
	}
	pieces = 1 + (data[0] & 0x7f);
	while (at < size) {
		size_t n = (size - 1) / pieces + 1;

		if (n > size - at)
			n = size - at;
		if (!say(w, fd, data + at, n))
			break;
		drain(fd);
		at += n;
	}
	shutdown(fd, SHUT_WR);
	world_turn(w);
	drain(fd);
	close(fd);
	for (int i = 0; i < 4 && stream_connections(w->stream) > 0; i++)
		world_turn(w);
	assert(w->stream->held == 0);
	assert(w->stream->uploads > 0 || stream_connections(w->stream) == 0);
	check_records(w);
	return 0;
}
