/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/keys.h"
#include "collector/ledger/mem.h"
#include "proto/wire.h"

/* Keys as snapshot chunks. */

uint32_t *
keys_word(struct keys *k, uint64_t id)
{
	if (chunk_kind(id) == CHUNK_KEYS)
		return table_word(&k->rows, id);
	if (!table_has(&k->rows, chunk_a(id)))
		return NULL;
	if (chunk_b(id) == KEY_SITES_BLOCK)
		return hostset_word(&key_at(k, chunk_a(id))->sites, 0);
	return hostset_word(&key_at(k, chunk_a(id))->hosts, chunk_b(id));
}

static void
pack_key(const struct key *key, struct pack *out)
{
	size_t texts = 0;

	pack_u64(out, key->id);
	pack_u16(out, key->tenant);
	pack_u8(out, key->rung);
	pack_u8(out, key->reason);
	pack_u8(out, key->kinds);
	pack_u8(out, key->flags);
	pack_varint(out, key->offset);
	pack_varint(out, key->reports);
	pack_varint(out, key->crashes);
	pack_varint(out, key->first_pos);
	pack_varint(out, key->last_pos);
	pack_varint(out, (uint64_t)key->first_us);
	pack_varint(out, (uint64_t)key->last_us);
	pack_u64(out, key->alias);
	pack_u64(out, key->module_id_key);
	pack_varint(out, key->dumps);
	pack_varint(out, key->dumps_today);
	pack_varint(out, key->dump_day);
	pack_u8(out, key->n_versions);
	for (int i = 0; i < key->n_versions; i++)
		pack_u16(out, key->versions[i]);
	for (int i = 0; i < 4; i++) {
		pack_varint(out, key->text_len[i]);
		texts += key->text_len[i];
	}
	pack_text(out, (struct text){ key->text, texts });
	pack_u8(out, key->trend != NULL);
	if (key->trend != NULL) {
		pack_varint(out, key->trend->hour);
		for (int i = 0; i < KEY_HOURS; i++)
			pack_varint(out, key->trend->n[i]);
	}
	hostset_pack(&key->hosts, out);
	hostset_pack(&key->sites, out);
}

static bool
unpack_texts(struct key *key, struct reader *r)
{
	size_t sum = 0;
	struct text t;

	for (int i = 0; i < 4; i++) {
		uint32_t n = unpack_u32(r);

		if (n > UINT16_MAX)
			return false;
		key->text_len[i] = (uint16_t)n;
		sum += n;
	}
	t = unpack_text(r, 4 * UINT16_MAX);
	if (reader_failed(r) || t.len != sum)
		return false;
	key->text = mem_zero(sum, 1);
	if (sum > 0)
		memcpy(key->text, t.at, sum);
	return true;
}

static bool
unpack_key(struct key *key, struct reader *r)
{
	key->id = reader_u64(r);
	key->tenant = reader_u16(r);
	key->rung = reader_u8(r);
	key->reason = reader_u8(r);
	key->kinds = reader_u8(r);
	key->flags = reader_u8(r);
	key->offset = wire_varint(r);
	key->reports = wire_varint(r);
	key->crashes = wire_varint(r);
	key->first_pos = wire_varint(r);
	key->last_pos = wire_varint(r);
	key->first_us = (int64_t)wire_varint(r);
	key->last_us = (int64_t)wire_varint(r);
	key->alias = reader_u64(r);
	key->module_id_key = reader_u64(r);
	key->dumps = unpack_u32(r);
	key->dumps_today = unpack_u32(r);
	key->dump_day = unpack_u32(r);
	key->n_versions = reader_u8(r);
	if (key->n_versions > KEY_VERS) {
		key->n_versions = 0;
		return false;
	}
	for (int i = 0; i < key->n_versions; i++)
		key->versions[i] = reader_u16(r);
	if (!unpack_texts(key, r))
		return false;
	if (reader_u8(r) != 0) {
		key->trend = mem_zero(1, sizeof(*key->trend));
		key->trend->hour = unpack_u32(r);
		for (int i = 0; i < KEY_HOURS; i++)
			key->trend->n[i] = unpack_u32(r);
	}
	return hostset_unpack(&key->hosts, r) && hostset_unpack(&key->sites, r) && !reader_failed(r);
}

bool
keys_pack(const struct keys *k, uint64_t id, struct pack *out)
{
	uint64_t from, to;

	if (chunk_kind(id) == CHUNK_KEY_HOSTS) {
		const struct key *key = key_at(k, chunk_a(id));

		if (chunk_b(id) == KEY_SITES_BLOCK)
			return hostset_pack_block(&key->sites, 0, out);
		return hostset_pack_block(&key->hosts, chunk_b(id), out);
	}
	table_span(&k->rows, id, &from, &to);
	pack_varint(out, to - from);
	for (; from < to; from++)
		pack_key(key_at(k, (uint32_t)from), out);
	return true;
}

bool
keys_unpack(struct keys *k, uint64_t id, struct reader *r)
{
	uint64_t from;
	uint32_t n;

	if (chunk_kind(id) == CHUNK_KEY_HOSTS) {
		if (!table_has(&k->rows, chunk_a(id)))
			return false;
		if (chunk_b(id) == KEY_SITES_BLOCK)
			return hostset_unpack_block(&key_at(k, chunk_a(id))->sites, 0, r);
		return hostset_unpack_block(&key_at(k, chunk_a(id))->hosts, chunk_b(id), r);
	}
	n = unpack_u32(r);
	if (reader_failed(r) || !table_load(&k->rows, id, n, &from))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!unpack_key(key_at(k, (uint32_t)(from + i)), r))
			return false;
	return true;
}
