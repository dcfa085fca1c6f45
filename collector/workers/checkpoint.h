/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_CHECKPOINT_H
#define COLLECTOR_WORKERS_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/diag.h"

/* What the triage thread must remember: how far everything is done, and which dumps killed
 * a worker.  A small text file, replaced as a whole and flushed. */
#define CHECKPOINT_NOTES 256 /* dumps remembered; the oldest goes first */

struct checkpoint_note {
	uint8_t sha256[SHA256_BYTES];
	uint32_t kills;
	enum err last; /* how: ERR_TIMEOUT or ERR_CRASHED */
};

struct checkpoint {
	char path[4096];
	uint8_t log_uuid[16];
	uint64_t position; /* everything before is triaged */
	size_t n_notes;
	struct checkpoint_note notes[CHECKPOINT_NOTES];
};

/* Read DATA/triage.checkpoint.  A missing or damaged file or one of another log starts at 0
 * (notes of dumps stay: a dump is what it is). -1 if the path is too long. */
int checkpoint_load(struct checkpoint *c, const char *data_dir, const uint8_t log_uuid[16]);

int checkpoint_save(const struct checkpoint *c); /* durable when 0; -1 with errno */

/* The note of a dump, or NULL. */
const struct checkpoint_note *checkpoint_find(const struct checkpoint *c, const uint8_t sha256[SHA256_BYTES]);

/* A dump cost a worker once more; returns how often it did. */
uint32_t checkpoint_kill(struct checkpoint *c, const uint8_t sha256[SHA256_BYTES], enum err how);

#endif
