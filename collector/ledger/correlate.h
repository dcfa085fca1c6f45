/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_CORRELATE_H
#define COLLECTOR_LEDGER_CORRELATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"
#include "collector/ledger/ledger.h"

/* What the hosts of a signature have in common that the fleet has not: the bad content file, when
 * nobody registered a deployment.
 *
 * A fact is a content version, a label, a product, an OS build, a hardware class, a site, or that a
 * deployment (or one ring of it) was served.  Of N hosts of the fleet A have it, of the n among them
 * with the signature a do; lift is (a/n) / (A/N).  Were the n drawn without regard to the fact, a/n
 * would stray from A/N as far as p only with probability exp(-n KL(a/n || p)) at most (Hoeffding 1963,
 * theorem 1, and section 6 for draws without replacement).  Solving that for p on either side gives an
 * interval for a/n without any approximation, and divided by A/N one for the lift.  Its error is split
 * over both sides of every fact of the fleet (Bonferroni), so that CORRELATE_ERROR bounds the chance
 * that a signature without any cause among the facts is given one.
 *
 * The fleet is every host heard of within a week, with the facts it has now.  Nothing of this is state of the
 * ledger or shapes a verdict.  Work is cut into turns of a few milliseconds of the ledger's thread. */
#define CORRELATE_WEEK_S  (7u * 86400)
#define CORRELATE_FRESH_S 60u   /* counts of the fleet are taken again after so long */
#define CORRELATE_ERROR   0.01  /* both sides, all facts */
#define CORRELATE_HOSTS   3u    /* with the fact, before anything is claimed of it */
#define CORRELATE_FACTS   4096u /* of a signature's hosts; then fact_over counts */
#define CORRELATE_DEPLOYS 8u    /* newest open ones that served somebody */

enum fact_kind {
	FACT_CONTENT,
	FACT_LABEL,
	FACT_PRODUCT,
	FACT_OS_BUILD,
	FACT_HW_CLASS,
	FACT_SITE,
	FACT_DEPLOYMENT,
	FACT_RING,
	FACT_KINDS
};
const char *fact_kind_name(enum fact_kind k); /* "content", "label", ... */

struct fact {
	uint8_t kind;
	struct text name;       /* "channel=291", "site-7"; lives in the arena */
	uint32_t hosts, fleet;  /* a, A */
	double lift, low, high; /* high: at most N/A */
	bool over;              /* low is above 1, on enough hosts */
	uint32_t same;          /* place of an earlier fact of the same hosts that it cannot be told from; UINT32_MAX */
	uint64_t print;         /* of the set of hosts with it and the signature; private */
};

/* ---- the fleet: counted in turns, then used by every question for a minute ---- */

struct correlate_fleet;
struct correlate_fleet *correlate_fleet_new(void); /* NULL: no memory */
void correlate_fleet_free(struct correlate_fleet *f);
/* Go on counting tenant's hosts, at most about `look` of them; true when the counts are complete and fresh. */
bool correlate_fleet_step(struct correlate_fleet *f, const struct ledger *l, uint16_t tenant, uint32_t look);

/* ---- one signature ---- */

enum correlate_state { CORRELATE_MORE, CORRELATE_DONE, CORRELATE_NO_MEMORY };
struct correlation {
	uint32_t key_no;
	uint32_t key_hosts;    /* that reported it, ever */
	uint32_t hosts, fleet; /* n, N */
	int64_t fleet_us;      /* the fleet was counted then */
	uint32_t compared;     /* facts of the fleet that not all hosts share */
	uint64_t fact_over;    /* times that a fact found no room */
	struct fact *facts;    /* after correlation_rank(): best first, those that all share left out */
	size_t n_facts;
	struct correlate_work *work; /* private */
};
/* One turn on the ledger's thread; c starts zeroed but for key_no, its memory comes from a. */
enum correlate_state correlation_step(struct correlation *c, struct correlate_fleet *f, const struct ledger *l,
				      struct arena *a);
/* After CORRELATE_DONE, any thread: intervals, order, groups.  Order is low * a/n. */
void correlation_rank(struct correlation *c);

/* The interval itself: the p below (above) k/n at which n KL(k/n || p) = log_odds. */
double correlate_bound(uint32_t k, uint32_t n, double log_odds, bool upper);

#endif
