/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_ALARM_H
#define COLLECTOR_LEDGER_ALARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the ledger says about the fleet as a whole, whether or not anything is being deployed.
 * docs/HALT.md, "Without a deployment". */

/* Stored; append only. */
enum alarm_kind {
	ALARM_OUTBREAK, /* a new kernel signature spreads as benign ones do not */
	ALARM_SURGE,    /* a known signature, module or class is far above its own past */
	ALARM_BRAKE,    /* the emergency brake: many hosts at many sites at once; no bound on false alarms */
	ALARM_N
};
const char *alarm_kind_name(enum alarm_kind k); /* "outbreak", "surge", "brake" */

#define ALARM_TITLE_MAX 320
#define ALARM_TEXT_MAX  320

struct alarm {
	uint64_t no; /* from 1, rising */
	uint16_t tenant;
	uint8_t kind;                  /* enum alarm_kind */
	uint8_t rung;                  /* of the key: enum signature_rung */
	bool certified;                /* false: heuristic, or what is normal is not learned yet (WATCH) */
	uint64_t signature;            /* id of the key */
	uint64_t pos;                  /* record that raised it */
	int64_t raised_us, cleared_us; /* cleared: 0 while it goes on */
	double log_e, log_needed;      /* evidence and what it had to reach, natural logs; brake: 0 */
	uint32_t hosts, sites;         /* with the key then: ever for an outbreak, in the window for the others */
	uint32_t active;               /* hosts of the fleet heard of lately */
	uint32_t deployments;          /* open ones that it halted */
	char title[ALARM_TITLE_MAX];   /* of the key */
	char text[ALARM_TEXT_MAX];     /* a sentence for people */
};

/* The last ALARMS_KEPT are kept, open ones longest. */
#define ALARMS_KEPT 128u

/* What the tests have learned (HALT 6.3, 4.4). */
#define LEARNED_SHOWN 64u
struct fleet_learned {
	double kappa;                                     /* frailty of known signatures */
	uint32_t kappa_keys;                              /* from so many; below FRAILTY_KEYS_MIN it is the setting */
	uint64_t births;                                  /* new kernel signatures watched for a day */
	bool births_learned;                              /* enough of them */
	double birth_rates[8];                            /* votes per million host hours ... */
	double birth_shares[8];                           /* ... and the share of benign births of each */
	double evidence_most;                             /* what an outbreak's log E can reach at most */
	uint32_t deployments;                             /* harmless ones, closed */
	double births_kernel, births_user, births_totals; /* keys born in one, on the average */
	uint32_t n_rings;
	struct learned_ring {
		char name[80]; /* assignment and first ring: "listed/canary" */
		uint32_t n;    /* deployments with enough crashes to compare */
		double last;   /* hazard ratio of the last one */
		double rho;    /* learned from them; 0: too few */
	} rings[LEARNED_SHOWN];
	uint32_t active;  /* hosts heard of lately */
	uint32_t watched; /* keys with a history */
	uint64_t over;    /* votes of keys that had no room for one */
};

#endif
