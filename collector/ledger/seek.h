/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_SEEK_H
#define COLLECTOR_LEDGER_SEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/search.h"
#include "collector/ledger/ledger.h"

/* Finding signatures by a query of base/search.h, with facets and ranks: in turns of about a millisecond of
 * the ledger's thread, so that folding goes on.  Nothing of this is state or shapes a verdict.
 *
 * Sites are those of a signature's hosts when they crashed.  OS builds, products and contents are those its
 * hosts have now, of the SEEK_HOSTS that reported it first. */
#define SEEK_HOSTS 4096u
#define SEEK_FACET 20u /* values a facet tells, most signatures first */
#define SEEK_PAGE  1000u

enum seek_sort {
	SEEK_BY_HOSTS,
	SEEK_BY_SITES,
	SEEK_BY_REPORTS,
	SEEK_BY_CRASHES,
	SEEK_NEWEST,
	SEEK_LAST,
	SEEK_BY_TREND, /* crashes of the running and the last hour */
	SEEK_SORTS
};
enum seek_group { SEEK_SIGNATURES, SEEK_BUILDS, SEEK_MODULES, SEEK_ALL }; /* ALL: every rung, classes too */

/* One that was found. */
struct seek_row {
	uint64_t value; /* sorted by: larger first, then smaller key_no */
	uint64_t id;
	uint32_t key_no;
};

enum seek_state { SEEK_MORE, SEEK_DONE, SEEK_NO_MEMORY };
struct seek {
	/* asked for; texts must outlive it */
	uint16_t tenant;
	enum seek_sort sort;
	enum seek_group group;
	const struct search *query;
	struct text module;     /* normalised; empty: any */
	uint8_t kinds;          /* 0: any */
	int64_t new_since_us;   /* 0: any */
	struct text deployment; /* only those on a host it served; empty: any */
	bool facets;
	/* found, in no order yet */
	struct seek_row *rows;
	size_t n;
	uint32_t without[SEARCH_TERMS]; /* found too if this term were not there */
	struct seek_work *work;         /* private, in the arena */
};
/* One turn; memory comes from a. */
enum seek_state seek_step(struct seek *s, const struct ledger *l, struct arena *a);

/* Number + 1 of the gravest deployment that a found key falls under: it served a host that reported it; 0: none. */
uint32_t seek_under(const struct seek *s, uint32_t key_no);

/* Any thread: put rows [from, from + n) in order where they belong; returns how many there are. */
size_t seek_page(struct seek *s, size_t from, size_t n);

/* What a page says of a row beyond struct key_view. */
struct seek_mark {
	uint32_t rank;        /* by crashes of the last 12 hours; 1: most */
	uint32_t rank_before; /* by those of the 12 hours before; 0: none then */
	uint32_t builds;      /* of its module that crashed; 0: no module */
	uint32_t deployment;  /* number + 1 of the one it falls under, the gravest; 0: none */
};
struct seek_ranks {
	const struct seek_row *rows; /* n of them, at most SEEK_PAGE */
	size_t n;
	struct seek_mark *marks;   /* likewise; the caller's */
	struct seek_ranking *work; /* private, in the arena */
};
enum seek_state seek_ranks_step(struct seek_ranks *r, const struct seek *s, const struct ledger *l, struct arena *a);

/* ---- facets, once seek_step() is done; on the ledger's thread ---- */

enum seek_facet {
	FACET_OF_KIND,
	FACET_OF_MODULE,
	FACET_OF_SITE,
	FACET_OF_OS,
	FACET_OF_PRODUCT,
	FACET_OF_DEPLOYMENT,
	FACET_OF_STATE,
	SEEK_FACETS
};
const char *seek_facet_name(enum seek_facet f); /* "kind": also the field of a query */
struct seek_count {
	struct text value; /* borrowed until the next fold */
	uint32_t signatures;
};
size_t seek_facet(const struct seek *s, const struct ledger *l, enum seek_facet f, struct seek_count out[SEEK_FACET]);

/* "halt", "watch", "hold", "proceed": the word of `state:` for a deployment. */
const char *seek_status(uint8_t verdict, uint8_t state);

#endif
