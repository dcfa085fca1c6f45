/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "collector/store/facts.h"
#include "collector/store/outcomes.h"
#include "collector/store/pg.h"
#include "collector/store/rows.h"
#include "collector/store/stretch.h"
#include "collector/store/tally.h"

struct stretch {
	int log_no;
	struct rows rows;
	struct tally *tally;
	struct facts *facts;
};

struct stretch *
stretch_new(uint64_t seed, int log_no)
{
	struct stretch *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->log_no = log_no;
	s->tally = tally_new(seed);
	s->facts = facts_new();
	if (s->tally != NULL && s->facts != NULL)
		return s;
	stretch_free(s);
	return NULL;
}

void
stretch_free(struct stretch *s)
{
	if (s == NULL)
		return;
	rows_free(&s->rows);
	tally_free(s->tally);
	facts_free(s->facts);
	free(s);
}

void
stretch_clear(struct stretch *s, bool committed)
{
	rows_reset(&s->rows);
	tally_clear(s->tally, committed);
	facts_clear(s->facts);
}

uint32_t
stretch_rows(const struct stretch *s)
{
	return (uint32_t)s->rows.n;
}

size_t
stretch_bytes(const struct stretch *s)
{
	size_t n = facts_bytes(s->facts);

	for (uint32_t i = 0; i < s->rows.n_days; i++)
		n += s->rows.days[i].out.len;
	return n;
}

bool
stretch_fits(const struct stretch *s, const struct record_view *rec)
{
	return rec->type != RECORD_REPORT || rows_fits(&s->rows, rec);
}

static bool
out_of_memory(struct pg *pg)
{
	pg->failure = PG_LATER;
	pg->state[0] = '\0';
	snprintf(pg->text, sizeof(pg->text), "out of memory");
	return false;
}

/* A record that cannot be decoded cannot have been folded either; it is kept aside. */
static bool
keep_aside(struct stretch *s, struct pg *pg, const struct record_view *rec, const char *why)
{
	return facts_add_rejected(s->facts, s->log_no, rec, why) || out_of_memory(pg);
}

bool
stretch_add(struct stretch *s, struct pg *pg, const struct record_view *rec, uint32_t outcome)
{
	struct tally_refs refs;
	struct report r;
	struct diag diag;
	bool taken;

	if (rec->type == RECORD_REPORT) {
		if (report_decode(rec->payload, rec->payload_len, &r, &diag) != DISCARD_none)
			return keep_aside(s, pg, rec, diag.what);
		if (!tally_report(s->tally, rec, &r, (outcome & OUTCOME_RESENT) == 0, &refs))
			return out_of_memory(pg);
		return rows_add(&s->rows, pg, s->log_no, rec, &r, &refs, outcome);
	}
	if (outcome & OUTCOME_DUPLICATE)
		return true;
	return facts_add(s->facts, s->log_no, rec, &taken) || out_of_memory(pg);
}

bool
stretch_store(struct stretch *s, struct pg *pg)
{
	return rows_store(&s->rows, pg, s->log_no) && tally_store(s->tally, pg, s->log_no) &&
	       facts_store(s->facts, pg, s->log_no);
}

bool
stretch_gap(struct stretch *s, struct pg *pg, uint64_t from, uint64_t to, const char *why)
{
	return (facts_add_gap(s->facts, s->log_no, from, to, why) || out_of_memory(pg)) &&
	       facts_store(s->facts, pg, s->log_no);
}

bool
stretch_reject(struct stretch *s, struct pg *pg, const struct record_view *rec, const char *error)
{
	return keep_aside(s, pg, rec, error) && facts_store(s->facts, pg, s->log_no);
}
