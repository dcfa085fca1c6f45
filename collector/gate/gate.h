/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_GATE_H
#define COLLECTOR_GATE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "collector/log/log.h"

struct dumps;
struct event_base;
struct identity;
struct intake;
struct report;
struct roster;
struct settings;
struct tokens;

/* What every gate of the process shares.  Filled by main() before the first gate starts;
 * what may change on reload is behind a function and stays valid for the loop turn. */
struct gate_env {
	struct log *log;
	struct log_id log_id;
	struct dumps *dumps; /* collector/workers/dumps.h */
	void *arg;           /* passed to the functions below; all callable from any thread */
	const struct settings *(*settings)(void *arg);
	const struct identity *(*identity)(void *arg);
	const struct tokens *(*tokens)(void *arg); /* NULL: no token file */

	/* Would we like a dump of this crash?  `signature` is its exact rung (base/signature.h). */
	bool (*want_dump)(void *arg, uint16_t tenant, uint64_t signature);

	/* Batches in the log that the ledger has not folded: gates stop reading while these are
	 * many, so that a flood delays no verdict. */
	uint64_t (*behind)(void *arg);

	/* Ids of halted deployments, for acks: n texts, valid for the loop turn.  *version_out
	 * changes whenever the list does. */
	size_t (*halted)(void *arg, const struct text **ids_out, uint64_t *version_out);

	/* Known-fix text for a signature, or an empty text: valid until this thread asks again. */
	struct text (*advice)(void *arg, uint16_t tenant, uint64_t signature);
};

/* A gate: one thread, one event loop, its intake and roster, and the listeners on it. */
struct gate {
	const struct gate_env *env;
	struct event_base *base;
	struct intake *intake;
	struct roster *roster;
	uint32_t number;
};

#endif
