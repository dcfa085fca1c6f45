/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_FAKE_LOG_H
#define TESTS_UNIT_FAKE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/log/log.h"

/* A log in memory with the manners of a bad network and a remote engine, for tests of
 * whatever stands above the seam.  Deterministic for one thread and one seed. */
struct fake_options {
	uint64_t seed;
	bool threaded;    /* answers come by themselves; else only from fake_log_pump() */
	unsigned busy;    /* chances in 256 that an append is answered LOG_BUSY, */
	unsigned unknown; /* has the outcome UNKNOWN (stored before, after or never), */
	unsigned refused; /* REFUSED, */
	unsigned twice;   /* and that a batch is stored twice */
	unsigned sparse;  /* positions leave out up to so many batches */
};

/* What the engine holds.  Several logs may be open on it: two gates, two ledgers. */
struct fake_store;
struct fake_store *fake_store_new(const struct fake_options *o);
void fake_store_free(struct fake_store *st); /* all its logs are closed */
struct log *fake_log_open(struct fake_store *st);

/* One step: a batch is stored, or an answer is given, in random order.  False if there was
 * nothing to do. */
bool fake_log_pump(struct fake_store *st);

/* Drop what is below `first`, or everything from `end` on (history changes: REWOUND). */
void fake_store_truncate(struct fake_store *st, uint64_t first);
void fake_store_rewind(struct fake_store *st, uint64_t end);

/* From now on batches of an earlier epoch are LOG_FENCED. */
void fake_store_fence(struct fake_store *st, uint32_t epoch);

/* The next `times` appends get this answer. */
void fake_store_answer(struct fake_store *st, enum log_append answer, unsigned times);
void fake_store_set_pressure(struct fake_store *st, enum log_pressure p);

/* The floor a holder last gave. */
uint64_t fake_store_floor(struct fake_store *st, enum log_floor holder);

#endif
