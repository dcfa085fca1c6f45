/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_WANTED_H
#define COLLECTOR_WORKERS_WANTED_H

#include <stdint.h>

#include "triage/images.h"

/* How a confined worker gets at images: it opens nothing, but asks by identity on a socket of its own,
 * and the pool answers with a read-only descriptor or with "none".  The worker keeps what it mapped, and
 * remembers what was absent until the store's generation changes. */

struct wanted_request { /* one packet, from the worker: nothing in it is believed */
	struct image_key key;
	uint32_t kind;
	uint32_t at; /* candidate to begin with: see collector/symbols/dirs.h */
};

struct wanted_reply { /* with a descriptor if found */
	uint32_t found;
	uint32_t at; /* of this one */
	uint64_t size;
};

/* ---- the worker's side ---- */

#define WANTED_MAPPED_MAX (UINT64_C(4) << 30) /* address space for images at any time */

/* Images that come over sock; NULL: out of memory. */
struct images *wanted_images(int sock);

/* ---- the pool's side ---- */

struct wanted_source {
	int (*open)(void *arg, const struct image_key *key, enum image_kind kind, unsigned at, unsigned *at_out,
		    uint64_t *size_out);   /* -1: none */
	uint32_t (*generation)(void *arg); /* rises when there are other images; 0: there are none at all */
	void *arg;
};

/* Answer every request that waits; false: the worker broke the protocol or is gone. */
bool wanted_answer(int sock, const struct wanted_source *source);

#endif
