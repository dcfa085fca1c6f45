/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_STATE_H
#define COLLECTOR_LEDGER_STATE_H

#include "collector/ledger/boots.h"
#include "collector/ledger/dark.h"
#include "collector/ledger/deployments.h"
#include "collector/ledger/halt_params.h"
#include "collector/ledger/hosts.h"
#include "collector/ledger/judge.h"
#include "collector/ledger/intern.h"
#include "collector/ledger/keys.h"
#include "collector/ledger/learned.h"
#include "collector/ledger/ledger.h"
#include "collector/ledger/notes.h"
#include "collector/ledger/numeric.h"
#include "collector/ledger/outbreak.h"
#include "collector/ledger/pulse.h"
#include "collector/ledger/recent.h"
#include "collector/ledger/safeguards.h"
#include "collector/ledger/riskset.h"
#include "collector/ledger/silence.h"
#include "collector/ledger/snap.h"
#include "collector/ledger/trials.h"

/* The whole state, for the files of this folder. */

#define PRODUCER_WINDOW 1024u
#define PRODUCERS_MAX   1024u
struct producer {
	uint64_t id, high, last_pos;
	uint64_t bits[PRODUCER_WINDOW / 64]; /* bit number % PRODUCER_WINDOW: seen */
};

/* Every report of the last week: what its dump may still add to. */
#define REPORT_ROW_RESENT 1u
#define REPORT_ROW_LATE   2u
#define REPORT_ROW_CLONED 4u
#define REPORT_ROW_ACTIVE 8u /* the host was heard of shortly before it crashed */
#define REPORTS_AGE_S     (7u * 86400)
#define REPORTS_CAP       (2u << 20)
struct report_row {
	uint64_t pos;
	uint64_t first; /* resent: position of the original */
	uint32_t host_no;
	uint32_t received_s;
	uint32_t crashes;
	int64_t crash_us;
	struct rungs claimed, computed;
	uint16_t tenant, version;
	uint8_t kind, flags;
	uint8_t stage; /* enum dump_stage */
};

struct blind_tenant {
	uint16_t tenant;
	char why[128];
};

enum { INTERN_SITES, INTERN_STRATA, INTERN_CONTENT, INTERN_LABELS, INTERN_VERSIONS, INTERN_N };
enum { RECENT_REPORTS, RECENT_UPLOADS, RECENT_N };

struct ledger {
	struct ledger_sink sink;
	struct snap snap;
	struct ledger_stats stats; /* counters; levels are filled in when asked */
	uint64_t position;
	int64_t now_us;
	uint32_t leader_epoch;
	uint64_t leader;
	/* settings, from the Settings record */
	uint64_t bake_us;
	struct halt_globals halt;
	uint32_t dumps_a_day, max_signatures;
	struct producer *producers;
	uint32_t n_producers;
	struct intern interns[INTERN_N];
	struct hosts hosts;
	struct silence silence;
	struct boots boots;
	struct pulse pulse;
	struct recent recent[RECENT_N];
	struct keys keys;
	struct table reports;          /* struct report_row, by position */
	struct safeguard **safeguards; /* slots; NULL where none is */
	uint32_t n_safeguards;
	struct notes notes;
	uint64_t reports_first;
	struct deployment **deployments;
	uint32_t n_deployments;
	struct deployment **open; /* those not closed when the last record began */
	uint32_t n_open;
	uint32_t n_halted; /* of them, by the engine; derived */
	struct blind_tenant *blind;
	uint32_t n_blind;
	struct outbreaks outbreaks;
	struct learned learned;
	uint32_t tick_minute;
	uint32_t word_globals, word_producers;
	bool judge;             /* some deployment moved */
	struct arena *arena;    /* of one record's protobuf */
	struct key_birth birth; /* of the record being folded */
	struct {                /* sizes to find while a snapshot is loaded */
		bool globals, producers;
		uint32_t version;
		uint32_t seen; /* chunks */
		uint64_t last;
		uint64_t interns[INTERN_N], recent_first[RECENT_N], recent[RECENT_N];
		uint64_t reports, side, keys, fingerprints;
		uint32_t hosts, deployments;
	} loading;
};

static inline uint32_t
seconds(int64_t us)
{
	return us > 0 ? (uint32_t)(us / 1000000) : 0;
}

uint16_t site_number(struct ledger *l, uint16_t tenant, struct text site);
const char *ledger_blind_why(const struct ledger *l, uint16_t tenant); /* "" when it is not */
struct text site_name(const struct ledger *l, uint16_t no);
uint16_t stratum_number(struct ledger *l, uint16_t tenant, struct text product, struct text os_build,
			struct text hw_class);
/* product, OS build, hardware class of a stratum; false for 0 and INTERN_OTHER. */
bool stratum_names(const struct ledger *l, uint16_t no, struct text out[3]);

/* Number of a host, given one if it has none; UINT32_MAX when the table is full. */
uint32_t host_number(struct ledger *l, uint16_t tenant, uint64_t hash);

void fold_report(struct ledger *l, const struct record_view *rec, const struct report *r, struct claim_hash h);
/* What makes two reports of a host the same crash, whatever the gate stamped on them. */
uint64_t report_content(uint32_t host_no, const struct report *r, struct claim_hash h);
void fold_heartbeat(struct ledger *l, const struct record_view *rec, const struct heartbeat *h);
void fold_presence(struct ledger *l, const struct record_view *rec);
void fold_dump_stored(struct ledger *l, const struct record_view *rec);
void fold_triage_result(struct ledger *l, const struct record_view *rec);
uint64_t report_row_find(const struct ledger *l, uint64_t pos); /* UINT64_MAX: not there */
void reports_expire(struct ledger *l);
uint64_t signature_of(const struct ledger *l, const struct rungs *g);

/* Unpack a protobuf payload into l->arena, which is emptied first. */
void *unpack_record(struct ledger *l, const struct record_view *rec, const ProtobufCMessageDescriptor *type);

/* ---- snapshot ---- */
bool state_write(void *state, uint64_t id, struct pack *out);
uint32_t *state_word(void *state, uint64_t id);
void state_each(const struct ledger *l, void (*fn)(void *arg, uint64_t id), void *arg);

#endif
