/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_FOLLOW_H
#define COLLECTOR_WORKERS_FOLLOW_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/mailbox.h"

struct log;

/* A dump that the log says is there. */
struct find {
	struct mail mail;
	uint64_t pos;    /* of the record that says so */
	uint64_t report; /* of the report it belongs to */
	uint16_t tenant;
	uint8_t sha256[SHA256_BYTES];
};

/* Reads the log on a thread of its own and posts a struct find, malloc'd and the receiver's,
 * for every dump, in log order.  Stops reading while `limit` of them are not done with. */
struct follow;
struct follow *follow_start(struct log *log, uint64_t from, struct mailbox *to, uint32_t limit);
void follow_stop(struct follow *f); /* joins; what was posted stays posted */

void follow_done(struct follow *f); /* one more is done with; any thread */

/* Everything before this position was read, and what it held was posted. */
uint64_t follow_position(const struct follow *f);

#endif
