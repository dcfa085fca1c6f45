/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_STREAM_HELP_H
#define TESTS_UNIT_STREAM_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "base/text.h"
#include "collector/gate/gate.h"
#include "collector/log/log.h"
#include "proto/report.h"

/* A stream gate in a test's hand: real intake, roster, identity and dump store over a log
 * that answers when told to.  Failures of the fixture itself end the program. */
#define WORLD_RECORDS 4096

struct event;

struct world_record {
	enum record_type type;
	uint64_t pos;
	uint8_t *payload;
	size_t len;
};

struct world {
	struct log log; /* first: the log is this struct */
	struct log_submission *held[64];
	size_t n_held;
	uint64_t seq;
	bool hold; /* answers only in world_settle() */
	enum log_append answer;
	enum log_pressure pressure;
	struct gate_env env;
	struct gate gate;
	struct stream *stream;
	struct settings settings;
	char *dir;
	struct event *intake_ev;
	struct text halted[4];
	size_t n_halted;
	uint64_t halted_version;
	unsigned wants; /* dumps still wanted */
	const char *advice;
	struct world_record records[WORLD_RECORDS]; /* durable ones, in order */
	size_t n_records;
};

/* tokens: path of a token file, or NULL. */
struct world *world_new(const char *tokens);
void world_free(struct world *w); /* nothing may be held */

/* Turn the loop until nothing more happens by itself. */
void world_turn(struct world *w);
void world_settle(struct world *w, enum log_outcome outcome); /* everything held, then a turn */
/* Only the oldest one held, then a turn. */
void world_settle_first(struct world *w, enum log_outcome outcome);
void world_tick(struct world *w); /* wait for the gate's next timer tick */
size_t world_count(const struct world *w, enum record_type type);

/* A new connection (one end of a socket pair, non-blocking at the gate's end). */
int world_connect(struct world *w);

/* ---- what a client says ---- */
size_t frame_hello(uint8_t *buf, size_t size, const char *token);
/* n reports of one host with seq from first_seq; returns the frame's length. */
size_t frame_reports(uint8_t *buf, size_t size, uint64_t number, const char *host, unsigned n, uint64_t first_seq);
size_t frame_of(uint8_t *buf, size_t size, uint64_t number, int kind, const void *body, size_t len);
struct report sample_report(const char *host, uint64_t seq);

/* Send, turn the loop.  False when the socket is closed. */
bool say(struct world *w, int fd, const void *bytes, size_t len);
void say_hello(struct world *w, int fd); /* and takes the Welcome */

/* What came back, without waiting: the next server frame's body, as text in buf for
 * strstr()-style checks: "ack 3 refused 3/1 invalid_utf8 want 3/0 halts[a b]",
 * "welcome halted[a]", "nack 2 frame_zero retry 0", "" when there is nothing, "closed". */
const char *heard(struct world *w, int fd);

#endif
