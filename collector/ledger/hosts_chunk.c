/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/hosts.h"
#include "collector/ledger/mem.h"
#include "proto/wire.h"

/* Hosts as snapshot chunks. */

static uint32_t
in_chunk(const struct hosts *h, uint32_t c)
{
	uint32_t left = h->n - (c << HOST_CHUNK_SHIFT);

	return left < HOST_CHUNK ? left : HOST_CHUNK;
}

uint32_t *
hosts_word(struct hosts *h, uint64_t id)
{
	uint32_t c = chunk_b(id);

	if (chunk_kind(id) == CHUNK_SIDE)
		return table_word(&h->side, id);
	if (c >= h->words_cap || c << HOST_CHUNK_SHIFT >= h->n)
		return NULL;
	return chunk_kind(id) == CHUNK_HOSTS ? &h->words_cold[c] : &h->words_seen[c];
}

static void
pack_cold(const struct host_chunk *c, uint32_t n, struct pack *k)
{
	pack_u32(k, n);
	for (uint32_t i = 0; i < n; i++)
		pack_u64(k, atomic_load_explicit(&c->hash[i], memory_order_relaxed));
	for (uint32_t i = 0; i < n; i++)
		pack_u32(k, c->first_seen[i]);
	for (uint32_t i = 0; i < n; i++)
		pack_u32(k, c->boot[i]);
	for (uint32_t i = 0; i < n; i++)
		pack_u32(k, atomic_load_explicit(&c->print[i], memory_order_relaxed));
	for (uint32_t i = 0; i < n; i++) {
		pack_u16(k, atomic_load_explicit(&c->tenant[i], memory_order_relaxed));
		pack_u16(k, c->boots[i]);
		pack_u16(k, c->site[i]);
		pack_u16(k, c->stratum[i]);
		pack_u16(k, c->content[i]);
		pack_u16(k, c->labels[i]);
		pack_u8(k, c->interval[i]);
		pack_u8(k, c->relay[i]);
		pack_u8(k, c->flags[i]);
	}
}

static bool
unpack_cold(struct host_chunk *c, uint32_t n, struct reader *r)
{
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&c->hash[i], reader_u64(r), memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++)
		c->first_seen[i] = reader_u32(r);
	for (uint32_t i = 0; i < n; i++)
		c->boot[i] = reader_u32(r);
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&c->print[i], reader_u32(r), memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		atomic_store_explicit(&c->tenant[i], reader_u16(r), memory_order_relaxed);
		c->boots[i] = reader_u16(r);
		c->site[i] = reader_u16(r);
		c->stratum[i] = reader_u16(r);
		c->content[i] = reader_u16(r);
		c->labels[i] = reader_u16(r);
		c->interval[i] = reader_u8(r);
		c->relay[i] = reader_u8(r);
		c->flags[i] = reader_u8(r);
	}
	return !reader_failed(r);
}

static void
pack_window(const struct host_window *w, struct pack *k)
{
	pack_u8(k, w->used);
	if (!w->used)
		return;
	pack_u64(k, w->epoch);
	pack_varint(k, w->high);
	pack_u64(k, w->bits);
}

static void
unpack_window(struct host_window *w, struct reader *r)
{
	w->used = reader_u8(r) != 0;
	if (!w->used)
		return;
	w->epoch = reader_u64(r);
	w->high = wire_varint(r);
	w->bits = reader_u64(r);
}

static void
pack_side(const struct hosts *h, uint64_t id, struct pack *k)
{
	uint64_t from, to;

	table_span(&h->side, id, &from, &to);
	pack_varint(k, to - from);
	for (; from < to; from++) {
		const struct host_side *s = table_at(&h->side, from);

		pack_varint(k, s->host_no);
		pack_u32(k, s->last_report);
		pack_varint(k, s->reports);
		pack_u64(k, s->last_signature);
		pack_window(&s->now, k);
		pack_window(&s->before, k);
	}
}

static bool
unpack_side(struct hosts *h, uint64_t id, struct reader *r)
{
	uint32_t n = unpack_u32(r);
	uint64_t from;

	if (reader_failed(r) || !table_load(&h->side, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct host_side *s = table_at(&h->side, from + i);

		s->host_no = unpack_u32(r);
		s->last_report = reader_u32(r);
		s->reports = wire_varint(r);
		s->last_signature = reader_u64(r);
		unpack_window(&s->now, r);
		unpack_window(&s->before, r);
		if (reader_failed(r) || s->host_no >= h->n)
			return false;
	}
	return true;
}

bool
hosts_pack(const struct hosts *h, uint64_t id, struct pack *k)
{
	uint32_t c = chunk_b(id), n = in_chunk(h, c);

	if (chunk_kind(id) == CHUNK_SIDE) {
		pack_side(h, id, k);
	} else if (chunk_kind(id) == CHUNK_HOSTS) {
		pack_cold(h->chunks[c], n, k);
	} else {
		pack_u32(k, n);
		for (uint32_t i = 0; i < n; i++)
			pack_u32(k, h->chunks[c]->last_seen[i]);
	}
	return true;
}

bool
hosts_unpack(struct hosts *h, uint64_t id, struct reader *r)
{
	uint32_t c = chunk_b(id), n;

	if (chunk_kind(id) == CHUNK_SIDE)
		return unpack_side(h, id, r);
	n = reader_u32(r);
	if (reader_failed(r) || n == 0 || n > HOST_CHUNK || c >= HOST_MAX >> HOST_CHUNK_SHIFT)
		return false;
	if (chunk_kind(id) == CHUNK_HOSTS) {
		if (h->n != c << HOST_CHUNK_SHIFT || h->n >= HOST_MAX)
			return false;
		hosts_make_chunk(h, c);
		h->n += n;
		return unpack_cold(h->chunks[c], n, r);
	}
	if (c << HOST_CHUNK_SHIFT >= h->n || n != in_chunk(h, c))
		return false;
	for (uint32_t i = 0; i < n; i++)
		h->chunks[c]->last_seen[i] = reader_u32(r);
	return !reader_failed(r);
}
