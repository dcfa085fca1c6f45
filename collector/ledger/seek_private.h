/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_SEEK_PRIVATE_H
#define COLLECTOR_LEDGER_SEEK_PRIVATE_H

#include "collector/ledger/seek.h"
#include "collector/ledger/state.h"

/* Between seek.c, seek_facets.c and seek_rank.c. */

#define SEEK_TURN    30000u /* looks at a key or a host in one turn */
#define NUMBERS      65536u /* interned */
#define STATUS_WORDS 5u     /* proceed, hold, watch, halt, none */

/* Distinct texts behind the numbers of strata: OS builds, or products. */
struct seek_column {
	uint16_t *value;   /* of each stratum number: place in texts + 1 */
	uint16_t *stratum; /* of each value: one that has it */
	uint32_t *count;   /* signatures with the value */
	uint32_t *seen;    /* stamp of the last signature counted */
	uint32_t n;
};

struct seek_module {
	uint64_t id;
	uint32_t key_no, count;
};

struct seek_facets {
	uint32_t kinds[8], states[STATUS_WORDS];
	uint32_t *sites;       /* NUMBERS */
	uint32_t *deployments; /* n_deployments */
	uint32_t n_deployments;
	struct seek_column os, product;
	struct seek_module *modules; /* open addressing */
	uint32_t module_slots, n_modules;
	uint32_t stamp;
};

struct seek_work {
	uint32_t n_keys, n_deployments; /* when it began: later ones are not looked at */
	uint32_t next_term, next_deployment, next_trial, next_key;
	uint8_t *bits[SEARCH_TERMS]; /* of numbers (site, os, product, content) or keys (deployment, state) */
	uint8_t *only;               /* keys on hosts that s->deployment served; NULL: all */
	uint32_t *under;             /* of each key: number + 1 of the deployment it falls under */
	struct seek_facets *facets;
	int64_t now_us;
};

static inline bool
bit_get(const uint8_t *bits, uint32_t i)
{
	return (bits[i >> 3] >> (i & 7) & 1) != 0;
}
static inline void
bit_set(uint8_t *bits, uint32_t i)
{
	bits[i >> 3] = (uint8_t)(bits[i >> 3] | 1u << (i & 7));
}

bool seek_facets_begin(struct seek *s, const struct ledger *l, struct arena *a);
/* Count one that was found; returns how many hosts it looked at. */
uint32_t seek_facets_count(struct seek *s, const struct ledger *l, uint32_t no);
unsigned seek_status_no(const struct deployment *d); /* place among the words */
bool seek_in_group(const struct seek *s, const struct key *k);

#endif
