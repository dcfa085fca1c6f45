/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/verdict.h"

/* The first engine: floors on hosts and sites, and shares compared as exact integers. */

__extension__ typedef unsigned __int128 wide;

/* Is a/b's share more than, or at least, ten times c/d's?  A share is (n + 1) / (N + 2). */
static int
ten_times(uint32_t n1, uint32_t N1, uint32_t n0, uint32_t N0)
{
	wide a = ((wide)n1 + 1) * ((wide)N0 + 2), b = (wide)10 * ((wide)n0 + 1) * ((wide)N1 + 2);

	return a > b ? 1 : a == b ? 0 : -1;
}

/* After a resume the hosts are counted anew, the sites are not: a fleet of two sites must be
 * able to halt on the same key again. */
static bool
crosses(const void *state, const struct trial *t)
{
	(void)state;
	return t->born_since && t->n1 - t->forgiven_n1 >= FLOOR_HOSTS && t->sites1 >= FLOOR_SITES &&
	       ten_times(t->n1, t->N1, t->n0, t->N0) >= 0 && ten_times(t->m1, t->N1, t->m0, t->N0) > 0;
}

const struct verdict_engine floor_rule = { "floor", 0, crosses };
