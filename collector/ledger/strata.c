/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/strata.h"

/* ---- which ---- */

void
strata_init(struct strata *s, uint32_t deployment)
{
	table_init(&s->rows, sizeof(struct stratum_row), 4, chunk_id(CHUNK_STRATA, deployment, 0), false);
}

void
strata_fini(struct strata *s)
{
	table_fini(&s->rows);
	free(s->slots);
	free(s->size_class);
	for (uint32_t i = 0; i < s->n_moved; i++)
		free(s->moved[i]);
	free(s->moved);
}

static void
place(struct strata *s, uint32_t no)
{
	const struct stratum_row *row = table_at(&s->rows, no);
	uint32_t i = (uint32_t)hash_mix(row->key) & (s->n_slots - 1);

	while (s->slots[i] != 0)
		i = (i + 1) & (s->n_slots - 1);
	s->slots[i] = no + 1;
}

void
strata_index(struct strata *s)
{
	free(s->slots);
	s->n_slots = s->n_slots > 0 ? s->n_slots : 64;
	while ((s->rows.n + 1) * 2 > s->n_slots)
		s->n_slots *= 2;
	s->slots = mem_zero(s->n_slots, sizeof(*s->slots));
	for (uint32_t i = 1; i < s->rows.n; i++) /* `other` has no key */
		place(s, i);
}

uint16_t
strata_find(const struct strata *s, uint32_t key)
{
	if (s->n_slots == 0)
		return STRATUM_OTHER;
	for (uint32_t i = (uint32_t)hash_mix(key) & (s->n_slots - 1); s->slots[i] != 0; i = (i + 1) & (s->n_slots - 1))
		if (((struct stratum_row *)table_at(&s->rows, s->slots[i] - 1))->key == key)
			return (uint16_t)(s->slots[i] - 1);
	return STRATUM_OTHER;
}

uint16_t
strata_obtain(struct strata *s, struct snap *snap, uint32_t key)
{
	uint16_t at = strata_find(s, key);
	struct stratum_row *row;
	uint64_t no;

	if (at != STRATUM_OTHER)
		return at;
	if (s->rows.n == 0)
		table_add(&s->rows, snap, NULL);
	if (s->rows.n > STRATA_MAX)
		return STRATUM_OTHER;
	row = table_add(&s->rows, snap, &no);
	row->key = key;
	if ((s->rows.n + 1) * 2 > s->n_slots)
		strata_index(s);
	else
		place(s, (uint32_t)no);
	return (uint16_t)no;
}

/* ---- how many ---- */

bool
share_exceeds(struct share a, struct share b)
{
	return (uint64_t)a.y1 * b.y0 > (uint64_t)b.y1 * a.y0 || (a.y1 > 0 && b.y1 == 0);
}

static void
note(struct stratum_row *row)
{
	for (unsigned i = 0; i < SHARE_LEVELS && share_exceeds(row->now, row->running[i]); i++)
		row->running[i] = row->now;
}

/* Begin the blocks that the minute is in. */
static void
roll(struct stratum_row *row, uint32_t minute)
{
	note(row);
	for (unsigned i = 0; i < SHARE_LEVELS; i++) {
		uint32_t old = row->minute >> i, new = minute >> i;

		if (old == new)
			break;
		row->before[i] = new == old + 1 ? row->running[i] : row->now;
		row->running[i] = row->now;
	}
	row->minute = minute;
}

static struct stratum_row *
edit(struct strata *s, struct snap *snap, uint16_t stratum, uint32_t minute)
{
	struct stratum_row *row = table_edit(&s->rows, snap, stratum);

	if (minute > row->minute)
		roll(row, minute);
	return row;
}

void
strata_shift(struct strata *s, struct snap *snap, uint16_t stratum, uint64_t pos, uint32_t minute, int served,
	     int unserved)
{
	struct stratum_row *row = edit(s, snap, stratum, minute);

	if (row->pos != pos)
		note(row);
	row->pos = pos;
	row->now.y1 += (uint32_t)served;
	row->now.y0 += (uint32_t)unserved;
	s->at_risk1 += (uint32_t)served;
	s->at_risk0 += (uint32_t)unserved;
}

struct share
strata_greatest(struct strata *s, struct snap *snap, uint16_t stratum, uint32_t from, uint32_t now)
{
	struct stratum_row *row = edit(s, snap, stratum, now);
	uint32_t age = now > from ? now - from : 0;
	unsigned i = 0;

	note(row);
	while (i + 1 < SHARE_LEVELS && 1u << i < age)
		i++;
	return share_exceeds(row->before[i], row->running[i]) ? row->before[i] : row->running[i];
}

void
strata_close(struct strata *s, struct snap *snap, uint32_t deployment)
{
	for (uint32_t b = 0; b < s->n_moved; b++)
		if (s->moved[b] != NULL) {
			snap_touch(snap, &s->moved[b]->word, chunk_id(CHUNK_MOVED, deployment, b));
			snap_dropped(snap, chunk_id(CHUNK_MOVED, deployment, b));
			free(s->moved[b]);
			s->moved[b] = NULL;
		}
	s->moved_hosts = 0;
}
