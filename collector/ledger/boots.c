/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "collector/ledger/judge.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/wire.h"

void
boots_fini(struct boots *b)
{
	free(b->rows);
	free(b->slots);
}

void
boots_touch(struct ledger *l)
{
	snap_touch(&l->snap, &l->boots.word, chunk_id(CHUNK_SILENCE, 0, 1));
}

/* ---- rows by host ---- */

static uint32_t
home(const struct boots *b, uint32_t no)
{
	return (uint32_t)hash_mix(no) & (b->n_slots - 1);
}

static void
place(struct boots *b, uint32_t row)
{
	uint32_t i = home(b, b->rows[row].host_no);

	while (b->slots[i] != 0)
		i = (i + 1) & (b->n_slots - 1);
	b->slots[i] = row + 1;
}

static void
reindex(struct boots *b)
{
	while ((b->n_rows + 1) * 2 > b->n_slots)
		b->n_slots = b->n_slots > 0 ? b->n_slots * 2 : 64;
	free(b->slots);
	b->slots = mem_zero(b->n_slots, sizeof(*b->slots));
	for (uint32_t i = 0; i < b->n_rows; i++)
		place(b, i);
}

static uint32_t
slot_of(const struct boots *b, uint32_t no)
{
	if (b->n_slots == 0)
		return UINT32_MAX;
	for (uint32_t i = home(b, no); b->slots[i] != 0; i = (i + 1) & (b->n_slots - 1))
		if (b->rows[b->slots[i] - 1].host_no == no)
			return i;
	return UINT32_MAX;
}

static struct boot_row *
obtain(struct ledger *l, uint32_t no)
{
	struct boots *b = &l->boots;
	uint32_t slot = slot_of(b, no);

	boots_touch(l);
	if (slot != UINT32_MAX)
		return &b->rows[b->slots[slot] - 1];
	if (b->n_rows == BOOT_ROWS_MAX) {
		b->over_cap++;
		return NULL;
	}
	if (b->n_rows == b->cap_rows) {
		b->rows = mem_grow(b->rows, b->cap_rows, b->cap_rows * 2 + 64, sizeof(*b->rows));
		b->cap_rows = b->cap_rows * 2 + 64;
	}
	b->rows[b->n_rows++] = (struct boot_row){ .host_no = no };
	if ((b->n_rows + 1) * 2 > b->n_slots)
		reindex(b);
	else
		place(b, b->n_rows - 1);
	return &b->rows[b->n_rows - 1];
}

/* Empty a slot, moving up what had to make way for it. */
static void
clear_slot(struct boots *b, uint32_t i)
{
	uint32_t mask = b->n_slots - 1;

	for (uint32_t j = (i + 1) & mask; b->slots[j] != 0; j = (j + 1) & mask) {
		uint32_t h = home(b, b->rows[b->slots[j] - 1].host_no);

		if (((j - h) & mask) < ((j - i) & mask))
			continue;
		b->slots[i] = b->slots[j];
		i = j;
	}
	b->slots[i] = 0;
}

static void
drop(struct boots *b, uint32_t row)
{
	uint32_t last = b->n_rows - 1;

	clear_slot(b, slot_of(b, b->rows[row].host_no));
	if (row != last) {
		uint32_t moved = slot_of(b, b->rows[last].host_no);

		b->slots[moved] = row + 1;
		b->rows[row] = b->rows[last];
	}
	b->n_rows--;
}

/* ---- loops ---- */

/* Since when it loops; 0: it does not. */
static uint32_t
loops_since(const struct ledger *l, const struct boot_row *row)
{
	const struct halt_params *p = &l->halt.randomised;
	uint32_t want = p->loop_boots < BOOTS_KEPT ? p->loop_boots : BOOTS_KEPT;

	if (want > 0 && row->n >= want && row->at[0] - row->at[want - 1] <= p->loop_window_s)
		return row->at[want - 1];
	if (row->crashed[EARLY_CRASHES - 1] != 0 && row->crashed[0] - row->crashed[EARLY_CRASHES - 1] <= EARLY_WITHIN_S)
		return row->crashed[EARLY_CRASHES - 1];
	return 0;
}

static void
judge(struct ledger *l, const struct boot_row *row)
{
	uint32_t since = loops_since(l, row), no = row->host_no;
	struct host_chunk *c = host_chunk(&l->hosts, no);

	if (since == 0)
		return;
	if ((c->flags[HOST_AT(no)] & HOST_LOOPING) == 0) {
		hosts_edit(&l->hosts, &l->snap, no)->flags[HOST_AT(no)] |= HOST_LOOPING;
		l->boots.looping++;
		l->boots.loops++;
	}
	deployments_boot_vote(l, no, (int64_t)since * 1000000, l->birth.pos);
}

/* Two machines with one identity take turns: that is no reboot. */
static bool
is_known_id(const struct boot_row *row, uint32_t boot)
{
	for (uint32_t i = 0; i < BOOT_IDS; i++)
		if (boot != 0 && row->ids[i] == boot)
			return true;
	return false;
}

void
boots_heard(struct ledger *l, uint32_t no, uint32_t boot, uint32_t before, uint64_t uptime_s)
{
	uint32_t now = seconds(l->now_us), window = l->halt.randomised.loop_window_s;
	bool is_new = boot != 0 && before != 0 && boot != before, is_early = uptime_s > 0 && uptime_s < window;
	uint32_t at = is_early && uptime_s < now ? now - (uint32_t)uptime_s : now;
	struct boot_row *row;

	if (!(is_new && uptime_s < window) && !(is_early && (boot == 0 || before == 0)))
		return;
	row = obtain(l, no);
	if (row == NULL || is_known_id(row, boot))
		return;
	if (row->n > 0 && (at < row->at[0] || (!is_new && at - row->at[0] <= SAME_BOOT_S)))
		return;
	if (boot != 0) {
		memmove(row->ids + 1, row->ids, sizeof(row->ids) - sizeof(row->ids[0]));
		row->ids[0] = boot;
		if (row->ids[1] == 0)
			row->ids[1] = before;
	}
	memmove(row->at + 1, row->at, sizeof(row->at) - sizeof(row->at[0]));
	row->at[0] = at;
	row->n = (uint8_t)(row->n + (row->n < BOOTS_KEPT));
	row->last = at > row->last ? at : row->last;
	judge(l, row);
}

void
boots_crashed(struct ledger *l, uint32_t no, uint64_t uptime_s)
{
	struct boot_row *row;

	if (uptime_s == 0 || uptime_s >= EARLY_UPTIME_S || (row = obtain(l, no)) == NULL)
		return;
	memmove(row->crashed + 1, row->crashed, sizeof(row->crashed) - sizeof(row->crashed[0]));
	row->crashed[0] = row->last = seconds(l->now_us);
	judge(l, row);
}

/* ---- forgetting ---- */

/* Nothing new for as long as a loop is looked at, and the host is there again if it was in one. */
static bool
is_over(const struct ledger *l, const struct boot_row *row)
{
	uint32_t now = seconds(l->now_us);
	uint32_t window = row->crashed[0] != 0 && l->halt.randomised.loop_window_s < EARLY_WITHIN_S
				  ? EARLY_WITHIN_S
				  : l->halt.randomised.loop_window_s;
	bool looping = (host_chunk(&l->hosts, row->host_no)->flags[HOST_AT(row->host_no)] & HOST_LOOPING) != 0;

	if (looping)
		window = l->halt.randomised.loop_window_s;
	return now > row->last && now - row->last > window && !(looping && host_is_dark(&l->hosts, row->host_no));
}

void
boots_tick(struct ledger *l)
{
	struct boots *b = &l->boots;

	if (b->n_rows > 0)
		boots_touch(l);
	for (uint32_t i = 0; i < BOOT_ROWS_A_TICK && b->n_rows > 0; i++) {
		const struct boot_row *row;

		if (b->hand >= b->n_rows) {
			b->hand = 0;
			if (i > 0)
				break;
		}
		row = &b->rows[b->hand];
		if (!is_over(l, row)) {
			b->hand++;
			continue;
		}
		boots_touch(l);
		if ((host_chunk(&l->hosts, row->host_no)->flags[HOST_AT(row->host_no)] & HOST_LOOPING) != 0) {
			hosts_edit(&l->hosts, &l->snap, row->host_no)->flags[HOST_AT(row->host_no)] &=
				(uint8_t)~HOST_LOOPING;
			b->looping--;
		}
		drop(b, b->hand);
	}
}

/* ---- snapshot ---- */

void
boots_pack(const struct boots *b, struct pack *k)
{
	pack_varint(k, b->n_rows);
	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct boot_row *row = &b->rows[i];

		pack_varint(k, row->host_no);
		for (uint32_t j = 0; j < BOOT_IDS; j++)
			pack_u32(k, row->ids[j]);
		pack_u8(k, row->n);
		for (uint32_t j = 0; j < row->n; j++)
			pack_u32(k, row->at[j]);
		for (uint32_t j = 0; j < EARLY_CRASHES; j++)
			pack_u32(k, row->crashed[j]);
		pack_u32(k, row->last);
	}
	pack_varint(k, b->hand);
	pack_varint(k, b->over_cap);
	pack_varint(k, b->loops);
}

bool
boots_unpack(struct ledger *l, struct reader *r)
{
	struct boots *b = &l->boots;
	uint32_t n = unpack_u32(r);

	if (reader_failed(r) || n > BOOT_ROWS_MAX || b->rows != NULL)
		return false;
	l->silence.chunks_loaded++;
	b->rows = mem_zero(n, sizeof(*b->rows));
	b->n_rows = b->cap_rows = n;
	for (uint32_t i = 0; i < n; i++) {
		struct boot_row *row = &b->rows[i];

		row->host_no = unpack_u32(r);
		for (uint32_t j = 0; j < BOOT_IDS; j++)
			row->ids[j] = reader_u32(r);
		row->n = reader_u8(r);
		if (reader_failed(r) || row->n > BOOTS_KEPT || row->host_no >= l->hosts.n)
			return false;
		for (uint32_t j = 0; j < row->n; j++)
			row->at[j] = reader_u32(r);
		for (uint32_t j = 0; j < EARLY_CRASHES; j++)
			row->crashed[j] = reader_u32(r);
		row->last = reader_u32(r);
	}
	b->hand = unpack_u32(r);
	b->over_cap = wire_varint(r);
	b->loops = wire_varint(r);
	return !reader_failed(r);
}

bool
boots_loaded(struct ledger *l)
{
	for (uint32_t no = 0; no < l->hosts.n; no++)
		l->boots.looping += (host_chunk(&l->hosts, no)->flags[HOST_AT(no)] & HOST_LOOPING) != 0;
	reindex(&l->boots);
	return true;
}
