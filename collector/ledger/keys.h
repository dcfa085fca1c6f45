/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_KEYS_H
#define COLLECTOR_LEDGER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/signature.h"
#include "collector/ledger/hostset.h"
#include "collector/ledger/table.h"
#include "proto/claim.h"

/* What crashes are counted under: exact signatures and the rungs above them. */
#define KEY_NONE        UINT32_MAX
#define KEY_HOURS       24
#define KEY_VERS        4
#define KEY_TITLE_MAX   320
/* Sites are numbers of 16 bits: their only block.  Host numbers end before that one. */
#define KEY_SITES_BLOCK 0xffffu

#define KEY_OLD       1u /* was known, dropped for room and came back: never new again */
#define KEY_CONFIRMED 2u /* triage computed it from a dump */
#define KEY_ENOUGH    4u /* enough dumps today */

/* Crashes per hour; made with the second report. */
struct key_trend {
	uint32_t hour;         /* hours since 1970 of n[0] */
	uint32_t n[KEY_HOURS]; /* n[i]: i hours before */
};

struct key {
	uint64_t id;
	uint64_t offset;
	uint64_t reports, crashes;
	uint64_t first_pos, last_pos;
	int64_t first_us, last_us;
	uint64_t alias;
	uint64_t module_id_key; /* id of the module's key */
	struct hostset hosts, sites;
	struct key_trend *trend;
	char *text; /* module, module id, reason; then the title of a stop code or function */
	uint16_t text_len[4];
	uint16_t versions[KEY_VERS]; /* interned */
	uint16_t tenant;
	uint8_t rung, reason, kinds, flags, n_versions;
	uint32_t dumps, dumps_today;
	uint32_t dump_day;
	uint32_t outbreak; /* row of outbreaks that watches it, + 1; derived */
	uint32_t pins;     /* open deployments that test it; derived */
	uint32_t life;     /* rises when the row is reused; derived */
};

/* Key numbers that a report votes for. */
struct rungs {
	uint32_t key, build, module, stop; /* KEY_NONE where there is none */
};

struct keys {
	struct table rows;
	uint32_t *slots; /* row + 1 */
	uint32_t n_slots;
	uint32_t n_exact;      /* rows of rungs key, build, stop and function */
	uint32_t n_signatures; /* of rungs key and stop */
	uint32_t max_exact;    /* then older ones give way */
	uint32_t hand;         /* where to look next for one that may */
	uint64_t over_cap;     /* votes not counted for the cap */
	/* ids of keys that gave way: "never seen" stays exact */
	struct fingerprint_shard *fingerprints;
	uint64_t n_fingerprints;
	/* raw claim -> rungs, so that the common report is not normalised and hashed again;
	 * derived, dropped whenever it pleases */
	struct claim_row *claims;
	uint32_t n_claims, claim_slots;
	uint64_t seed;
	uint64_t class_ids[RUNG_N]; /* of RUNG_KERNEL and RUNG_ANY: constants */
};

void keys_init(struct keys *k);
void keys_fini(struct keys *k);

static inline struct key *
key_at(const struct keys *k, uint32_t no)
{
	return table_at(&k->rows, no);
}
static inline struct key *
key_edit(struct keys *k, struct snap *s, uint32_t no)
{
	return table_edit(&k->rows, s, no);
}

/* Told of each key that was not there before (seen_before: long ago). */
struct key_birth {
	uint16_t tenant;
	uint64_t pos;
	int64_t now_us;
	void (*born)(void *arg, uint32_t key_no, bool seen_before);
	void *arg;
};

/* 128 bits of everything in a report that decides its rungs. */
struct claim_hash {
	uint64_t h1, h2;
};
struct claim_hash keys_hash_claim(const struct keys *k, uint16_t tenant, const struct report *r);
void keys_prefetch_claim(const struct keys *k, struct claim_hash h);
/* The rungs of a claim seen lately: only a hint for prefetching. */
bool keys_guess(const struct keys *k, struct claim_hash h, struct rungs *out);

/* Keys of a report whose claim hashes to h, made when missing. */
void keys_of_report(struct keys *k, struct snap *s, const struct report *r, struct claim_hash h,
		    const struct key_birth *b, struct rungs *out);
void keys_of_place(struct keys *k, struct snap *s, const struct signature_key *place, const struct key_birth *b,
		   struct rungs *out);
/* RUNG_FUNCTION; KEY_NONE when there is no room. */
uint32_t keys_of_function(struct keys *k, struct snap *s, const struct function_key *where, const struct key_birth *b);
/* RUNG_KERNEL or RUNG_ANY of the tenant. */
uint32_t keys_class(struct keys *k, struct snap *s, enum signature_rung rung, const struct key_birth *b);

uint32_t keys_find(const struct keys *k, uint16_t tenant, uint8_t rung, uint64_t id);

/* Count a vote; true if it is the host's first for this key. */
struct key_vote {
	uint32_t host_no;
	uint16_t site, version;
	uint8_t kind;
	uint32_t crashes;
	uint64_t pos;
	int64_t now_us;
};
bool keys_vote(struct keys *k, struct snap *s, uint32_t no, const struct key_vote *v);

struct text key_module(const struct key *key);
struct text key_module_id(const struct key *key);
struct text key_reason(const struct key *key);
size_t key_title(const struct key *key, char *out, size_t cap);
/* Crashes i hours before the hour of now. */
uint32_t key_hour(const struct key *key, int64_t now_us, unsigned i);

size_t keys_bytes(const struct keys *k);

/* ---- snapshot ---- */
uint32_t *keys_word(struct keys *k, uint64_t id);
bool keys_pack(const struct keys *k, uint64_t id, struct pack *out);
bool keys_unpack(struct keys *k, uint64_t id, struct reader *r);
bool keys_loaded(struct keys *k); /* false: a chunk is missing */

/* ---- fingerprints ---- */
#define FINGERPRINT_SHARDS 256u
#define FINGERPRINT_MAX    (64u << 20)
void fingerprints_init(struct keys *k);
void fingerprints_fini(struct keys *k);
bool fingerprint_has(const struct keys *k, uint64_t print);
bool fingerprint_add(struct keys *k, struct snap *s, uint64_t print); /* false: full */
uint32_t *fingerprint_word(const struct keys *k, uint64_t id);
bool fingerprint_pack(const struct keys *k, uint64_t id, struct pack *out);
bool fingerprint_unpack(struct keys *k, uint64_t id, struct reader *r);
uint64_t key_print(uint16_t tenant, uint8_t rung, uint64_t id);

#endif
