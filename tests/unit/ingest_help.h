/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_INGEST_HELP_H
#define TESTS_UNIT_INGEST_HELP_H

#include "collector/gate/ingest_impl.h"
#include "tests/unit/fake_dumps.h"
#include "tests/unit/http_peer.h"

/* A gate's HTTP ingest between a client without a socket and a log that answers when told to. */
struct hand_log {
	struct log log;
	enum log_append answer;
	enum log_outcome outcome;
	enum log_pressure pressure;
	bool hold; /* keep submissions until settle() */
	struct log_submission *held[64];
	size_t n_held;
	uint64_t seq;
	/* the first records since the setup */
	size_t n_records;
	enum record_type type[64];
	uint8_t payload[64][4096];
	uint32_t payload_len[64];
};

extern struct hand_log hand;
extern struct gate_env env;
extern struct gate gate;
extern struct ingest *ingest;
extern struct http_peer *peer;
extern bool want_all, halted_one;

int setup(void **state);
int teardown(void **state);
void settle(void);    /* every held submission has its outcome */
void turn_gate(void); /* as turn(), without a client */
void turn(void);      /* let everything happen that can */

#define JSON "Content-Type: application/json\r\n"

/* One request on the peer's connection, a new one if it was closed; all that came back. */
const char *request(const char *method, const char *path, const char *headers, const void *body, size_t len);
const char *post_json(const char *path, const char *body);
void expect(const char *answer, int status, const char *part);

struct report logged_report(size_t i); /* record i, which must be one */
void check_text(struct text t, const char *want);

#endif
