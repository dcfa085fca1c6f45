/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_DARK_H
#define COLLECTOR_LEDGER_DARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deployment;
struct ledger;
struct pack;
struct reader;

/* The went-dark test of one deployment (docs/HALT.md, "Silence"): who fell silent in each minute,
 * served or not, among how many that could have.
 *
 * A doomed host served at R falls dark between R + (S - H) and R + S.  So at minute t the exposed
 * that could fall are those served in [t - (S - H) - W, t - (S - H)] and alive until now; the
 * controls are those not served by t - (S - H).  In between nobody is asked: a host that lived
 * through W after its receipt is of no interest to this test any more.
 *
 * Hosts are counted in cells of one stratum and one interval.  A cell has the alive hosts not
 * served, and those served by minute, in a ring as long as they matter. */
struct dark_cell {
	uint16_t stratum; /* deployment_stratum() */
	uint8_t interval; /* its number */
	uint32_t unserved;
	uint32_t n_ring;
	uint32_t *ring; /* alive hosts served in minute m: at m % n_ring */
	/* of the bin being closed */
	uint32_t fell1, fell0;
};

/* Fell silent; asked about again at `at`. */
struct dark_fall {
	uint32_t host_no;
	uint32_t last_seen; /* still the same then: it was not heard of since */
	uint32_t at;        /* second */
};

struct dark {
	uint32_t word;
	struct dark_cell *cells;
	uint32_t n_cells;
	uint32_t *slots; /* cell + 1, by stratum and interval; derived */
	uint32_t n_slots;
	uint32_t minute; /* of the deployment: rings are clear up to it */
	struct dark_fall *falls;
	uint32_t n_falls, cap_falls;
	uint32_t *site_voted; /* by site: minute + 1 of its last vote */
	uint32_t n_sites;
	uint32_t relay_voted[256];
	uint32_t silent; /* served hosts that are dark now */
	uint64_t over_cap;
	bool loaded;
};

#define DARK_CELLS_MAX 8192u

/* Called by silence.c for each open deployment: the host is alive and is about to be counted
 * elsewhere (out) or now is (in); it went dark; it came back from the dark. */
void dark_out(struct ledger *l, struct deployment *d, uint32_t no);
void dark_in(struct ledger *l, struct deployment *d, uint32_t no);
void dark_gone(struct ledger *l, struct deployment *d, uint32_t no);
void dark_back(struct ledger *l, struct deployment *d, uint32_t no);
/* The host was just served, between dark_out() and dark_in(). */
void dark_served(struct ledger *l, struct deployment *d, uint32_t no);
/* Count all hosts anew: the deployment began or was changed. */
void dark_recount(struct ledger *l, struct deployment *d);
/* A minute of the log is over. */
void dark_minute(struct ledger *l, struct deployment *d);
void dark_close(struct ledger *l, struct deployment *d);
void dark_fini(struct dark *k);

/* ---- snapshot: CHUNK_DARK ---- */
void dark_pack(const struct ledger *l, const struct deployment *d, struct pack *k);
bool dark_unpack(const struct ledger *l, struct deployment *d, struct reader *r);

#endif
