/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_LEDGER_HELP_H
#define TESTS_UNIT_LEDGER_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/ledger.h"
#include "proto/log.pb-c.h"
#include "proto/report.h"

/* A log in memory for tests of the ledger: records are folded as they are written, one
 * batch each unless batched, and kept so that they can be folded again. */
struct scribe {
	struct ledger *l; /* NULL: only keep */
	int64_t now_us;
	uint16_t tenant;
	uint64_t producer, number; /* of the next batch */
	uint64_t seq;              /* sequence of the next batch in the log */
	/* every batch so far */
	struct kept {
		uint8_t *bytes;
		uint32_t len;
		uint64_t first;
	} * kept;
	size_t n_kept, cap_kept;
	struct batch_writer *w; /* open batch, or NULL */
	uint64_t last_pos;      /* of the record written last */
	bool failed;
};

void scribe_init(struct scribe *s, struct ledger *l);
void scribe_fini(struct scribe *s);

/* Group what follows into one batch, up to scribe_commit(). */
void scribe_begin(struct scribe *s);
void scribe_commit(struct scribe *s);

uint64_t scribe_record(struct scribe *s, enum record_type type, const void *payload, size_t len);
uint64_t scribe_message(struct scribe *s, enum record_type type, const void *message); /* protobuf-c */

/* Fold kept batch i into l. */
enum err scribe_fold(const struct scribe *s, size_t i, struct ledger *l);

/* A crash; fields left zero get a default.  host is the hash. */
struct crash {
	uint64_t host;
	const char *site;
	const char *module, *module_id;
	uint64_t offset;
	const char *reason;
	enum report_kind kind;
	uint64_t epoch, seq;
	uint32_t code;
	int64_t occurred_us; /* 0: not said */
	uint64_t idempotency, guid;
	const uint8_t *sha256;
	bool has_dump;
};
uint64_t scribe_crash(struct scribe *s, const struct crash *c);

uint64_t scribe_heartbeat(struct scribe *s, uint64_t host, const char *site, const char *product, const char *boot);
/* The same host with other content. */
uint64_t scribe_content(struct scribe *s, uint64_t host, const char *name, const char *version);
uint64_t scribe_goodbye(struct scribe *s, uint64_t host, const char *site);
uint64_t scribe_presence(struct scribe *s, const uint32_t *hosts, size_t n);
uint64_t scribe_tick(struct scribe *s, int64_t forward_us); /* moves now_us, then ticks */
uint64_t scribe_serve(struct scribe *s, const char *deployment, const uint64_t *hosts, size_t n);
uint64_t scribe_serve_at(struct scribe *s, const char *deployment, const uint64_t *hosts, size_t n, int64_t at_us);
uint64_t scribe_decide(struct scribe *s, const char *deployment, Faultline__Log__Action action, bool automatic,
		       const char *reason, uint64_t basis, bool forced);

/* A deployment "armed" with one ring of that size (0: none) and bake time. */
uint64_t scribe_deploy(struct scribe *s, const char *id, uint64_t ring, uint64_t bake_ms, const char *mode);

/* A setting of the log from here on. */
uint64_t scribe_setting(struct scribe *s, const char *name, const char *value);

/* n hosts numbered from `first`, ten to a site, heard once. */
void scribe_fleet(struct scribe *s, uint64_t first, uint32_t n);
const char *scribe_site(uint64_t host, char buf[16]);

/* A random log with everything in it, the same for a seed on every machine. */
void scribe_random(struct scribe *s, uint64_t seed, unsigned records);

#endif
