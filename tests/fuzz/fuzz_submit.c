/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an upload form (boundary "b"), nested ones included, in pieces whose size the
 * first byte says, through the whole of the ingest.  No dump may stay open. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "tests/unit/ingest_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	char head[256];
	size_t step;
	int n;

	if (!ready) {
		setup(NULL);
		http_peer_free(peer);
		ready = true;
	}
	if (size < 1)
		return 0;
	hand.n_records = 0;
	fake_dumps.outcome = data[0] & 1 ? DUMPS_FAILED : DUMPS_STORED;
	fake_dumps.refuse_begin = data[0] & 2 ? DISCARD_dump_disk_low : DISCARD_none;
	step = (size_t)(data[0] >> 2) + 1;
	peer = http_peer_new(gate.base, ingest->http);
	n = snprintf(head, sizeof(head),
		     "POST /submit HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
		     "Content-Length: %zu\r\n\r\n",
		     size - 1);
	http_peer_send(peer, head, (size_t)n);
	for (size_t at = 1; at < size; at += step)
		http_peer_send(peer, data + at, size - at < step ? size - at : step);
	turn();
	http_peer_free(peer);
	turn_gate();
	if (fake_dumps.open != 0 || ingest->commits != 0 || ingest->in_work != 0 || ingest->body_bytes != 0 ||
	    http_server_connections(ingest->http) != 0)
		abort();
	return 0;
}
