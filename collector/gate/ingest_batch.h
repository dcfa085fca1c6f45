/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_INGEST_BATCH_H
#define COLLECTOR_GATE_INGEST_BATCH_H

#include "collector/gate/ingest_impl.h"

/* One POST of reports or heartbeats, from its first byte to its answer. */
struct batch_item {
	uint32_t at, len;   /* its protobuf bytes, in from */
	uint32_t record;    /* in the group; reports only */
	enum discard why;   /* DISCARD_none: accepted */
	bool converted_bad; /* refused as JSON already */
	bool odd_time, has_dump;
	uint64_t signature; /* of the claim; 0: none, or not needed */
	const char *field;
};

struct batch_call {
	struct waiter waiter;
	struct batch_call *next_free;
	struct ingest *in;
	struct http_request *r; /* NULL once the client is gone */
	bool heartbeats, json, json_answer, single, tried;
	bool busy; /* the intake has the group: the call must stay */
	uint8_t *body, *wire;
	size_t body_cap, wire_cap, len;
	const uint8_t *from; /* body or wire */
	struct batch_item *items;
	size_t items_cap;
	uint32_t n_items, n_accepted, n_records;
	size_t held; /* bytes counted by ingest_hold() */
	int64_t received_us;
	uint64_t idempotency;
	struct intake_group group;
};

/* ---- ingest_answer.c; each answers, so c may be gone afterwards ---- */
void batch_answer(struct batch_call *c);     /* the group is durable */
void batch_refuse_all(struct batch_call *c); /* no item was good */

#endif
