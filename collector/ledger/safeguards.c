/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/arena.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "collector/ledger/trials.h"
#include "proto/pbarena.h"

#define SAFEGUARD_BYTES ((size_t)RECORD_MAX_BYTES)
#define ARENA_LIMIT     ((size_t)1024 * 1024)
#define HALT_REASON     "hosts of this stratum were harmed before the halt that a person resumed"

static void
safeguard_free(struct safeguard *g)
{
	if (g == NULL)
		return;
	arena_free(g->arena);
	free(g->packed);
	free(g);
}

void
safeguards_fini(struct ledger *l)
{
	for (uint32_t i = 0; i < l->n_safeguards; i++)
		safeguard_free(l->safeguards[i]);
	free(l->safeguards);
}

static int
by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Parse its bytes; false: they are none. */
static bool
read_message(struct safeguard *g)
{
	ProtobufCAllocator allocator;

	if ((g->arena = arena_new(ARENA_LIMIT)) == NULL)
		abort();
	allocator = pbarena(g->arena);
	g->msg = faultline__log__safeguard__unpack(&allocator, g->packed_len, g->packed);
	if (g->msg == NULL || g->msg->n_hosts > SAFEGUARD_HOSTS)
		return false;
	if (g->msg->n_hosts > 0)
		qsort(g->msg->hosts, g->msg->n_hosts, sizeof(uint64_t), by_value);
	return true;
}

static uint32_t
free_slot(struct ledger *l)
{
	uint32_t slot = 0;

	while (slot < l->n_safeguards && l->safeguards[slot] != NULL)
		slot++;
	if (slot == l->n_safeguards) {
		l->safeguards = mem_grow(l->safeguards, slot, slot + 1, sizeof(*l->safeguards));
		l->n_safeguards++;
	}
	return slot;
}

static uint32_t
living(const struct ledger *l)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->n_safeguards; i++)
		n += l->safeguards[i] != NULL;
	return n;
}

/* Takes its bytes over. */
static struct safeguard *
add(struct ledger *l, const struct safeguard *like, uint8_t *packed, size_t len)
{
	struct safeguard *g = mem_zero(1, sizeof(*g));

	*g = *like;
	g->packed = packed;
	g->packed_len = len;
	if (living(l) >= SAFEGUARDS_MAX || !read_message(g)) {
		l->stats.refused_changes++;
		safeguard_free(g);
		return NULL;
	}
	g->slot = free_slot(l);
	l->safeguards[g->slot] = g;
	snap_touch(&l->snap, &g->word, chunk_id(CHUNK_SAFEGUARD, g->slot, 0));
	return g;
}

static void
drop(struct ledger *l, struct safeguard *g)
{
	const uint64_t id = chunk_id(CHUNK_SAFEGUARD, g->slot, 0);

	snap_touch(&l->snap, &g->word, id);
	snap_dropped(&l->snap, id);
	l->safeguards[g->slot] = NULL;
	safeguard_free(g);
}

static struct safeguard *
find(const struct ledger *l, uint32_t deployment, uint64_t pos, uint32_t index)
{
	for (uint32_t i = 0; i < l->n_safeguards; i++) {
		struct safeguard *g = l->safeguards[i];

		if (g != NULL && g->deployment == deployment && g->pos == pos && g->index == index)
			return g;
	}
	return NULL;
}

/* ---- by a person ---- */

static const char *
refuses(const struct ledger *l, uint16_t tenant, const Faultline__Log__Safeguard *m, uint32_t *no_out)
{
	if (!ledger_deployment_find(l, tenant, text_of(m->deployment), no_out) ||
	    l->deployments[*no_out]->life == DEPLOYMENT_DELETED)
		return "not_found";
	if (m->remove_pos != 0)
		return find(l, *no_out, m->remove_pos, m->remove_index) != NULL ? NULL : "unknown";
	return m->n_hosts > SAFEGUARD_HOSTS || living(l) >= SAFEGUARDS_MAX ? "too_many" : NULL;
}

const char *
ledger_refuses_safeguard(const struct ledger *l, uint16_t tenant, const void *packed, size_t len)
{
	struct arena *a = arena_new(ARENA_LIMIT);
	const char *why = "not_found";
	Faultline__Log__Safeguard *m;
	uint32_t no;

	if (a != NULL) {
		ProtobufCAllocator allocator = pbarena(a);

		if ((m = faultline__log__safeguard__unpack(&allocator, len, packed)) != NULL)
			why = refuses(l, tenant, m, &no);
	}
	arena_free(a);
	return why;
}

void
fold_safeguard(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__Safeguard *m = unpack_record(l, rec, &faultline__log__safeguard__descriptor);
	struct safeguard like = { .pos = rec->pos, .at_us = l->now_us };
	uint8_t *packed;

	if (m == NULL)
		return;
	if (refuses(l, rec->tenant, m, &like.deployment) != NULL) {
		l->stats.refused_changes++;
		return;
	}
	if (m->remove_pos != 0) {
		drop(l, find(l, like.deployment, m->remove_pos, m->remove_index));
		return;
	}
	packed = mem_zero(rec->payload_len, 1);
	if (rec->payload_len > 0)
		memcpy(packed, rec->payload, rec->payload_len);
	add(l, &like, packed, rec->payload_len);
}

/* ---- by a halt ---- */

/* Strata of hosts that the key harmed which halted it: numbers, each once.  0 without such a key. */
static size_t
harmed_strata(const struct ledger *l, const struct deployment *d, uint16_t *out, uint64_t *signature_out)
{
	const struct trial_row *row;
	size_t n = 0;

	if (!d->halted || d->by_person || d->halt_trial >= d->trials.n)
		return 0;
	row = table_at(&d->trials, d->halt_trial);
	*signature_out = row->key_id;
	if (deployment_mutes(d, row->key_id, l->now_us))
		return 0;
	for (uint32_t host = 0; n < SAFEGUARD_FROM_HALT && hostset_next(&row->served, &host); host++) {
		const uint16_t stratum = host_candidate(l, host).stratum;
		struct text names[3];
		size_t i = 0;

		while (i < n && out[i] != stratum)
			i++;
		if (i == n && stratum_names(l, stratum, names))
			out[n++] = stratum;
	}
	return n;
}

static char *
copy_text(struct arena *a, struct text t)
{
	char *s = arena_calloc(a, t.len + 1, 1);

	if (s == NULL)
		abort();
	if (t.len > 0)
		memcpy(s, t.at, t.len);
	return s;
}

static bool
same_stratum(const struct safeguard *g, const struct text names[3])
{
	return g->msg->n_hosts == 0 && text_equal(text_of(g->msg->product), names[0]) &&
	       text_equal(text_of(g->msg->os_build), names[1]) && text_equal(text_of(g->msg->hw_class), names[2]);
}

static bool
is_guarded(const struct ledger *l, uint32_t deployment, const struct text names[3])
{
	for (uint32_t i = 0; i < l->n_safeguards; i++)
		if (l->safeguards[i] != NULL && l->safeguards[i]->deployment == deployment &&
		    same_stratum(l->safeguards[i], names))
			return true;
	return false;
}

void
safeguards_keep(struct ledger *l, const struct deployment *d, uint64_t pos)
{
	struct safeguard like = { .deployment = d->no, .pos = pos, .automatic = true, .at_us = l->now_us };
	uint16_t strata[SAFEGUARD_FROM_HALT];
	static char reason[] = HALT_REASON;
	size_t n = harmed_strata(l, d, strata, &like.signature);

	for (size_t i = 0; i < n; i++) {
		Faultline__Log__Safeguard m = FAULTLINE__LOG__SAFEGUARD__INIT;
		struct arena *a = arena_new(ARENA_LIMIT);
		struct text names[3];
		uint8_t *packed;

		if (a == NULL)
			abort();
		if (stratum_names(l, strata[i], names) && !is_guarded(l, d->no, names)) {
			m.deployment = d->msg->id;
			m.product = copy_text(a, names[0]);
			m.os_build = copy_text(a, names[1]);
			m.hw_class = copy_text(a, names[2]);
			m.reason = reason;
			packed = mem_zero(faultline__log__safeguard__get_packed_size(&m), 1);
			add(l, &like, packed, faultline__log__safeguard__pack(&m, packed));
			like.index++;
		}
		arena_free(a);
	}
}

/* ---- questions ---- */

static void
view(const struct safeguard *g, struct safeguard_view *out)
{
	const Faultline__Log__Safeguard *m = g->msg;

	*out = (struct safeguard_view){ .pos = g->pos,
					.index = g->index,
					.slot = g->slot,
					.automatic = g->automatic,
					.signature = g->signature,
					.product = text_of(m->product),
					.os_build = text_of(m->os_build),
					.hw_class = text_of(m->hw_class),
					.hosts = m->hosts,
					.n_hosts = m->n_hosts,
					.reason = text_of(m->reason),
					.actor = text_of(m->actor),
					.at_us = g->at_us };
}

static void
view_halted(const struct deployment *d, uint64_t signature, const struct text names[3], struct safeguard_view *out)
{
	*out = (struct safeguard_view){ .automatic = true,
					.halted = true,
					.signature = signature,
					.product = names[0],
					.os_build = names[1],
					.hw_class = names[2],
					.reason =
						TEXT("hosts of this stratum were harmed, and the deployment is halted"),
					.at_us = d->halt_us };
}

/* Does it hold?  One that a halt left behind gives way to a mute of its signature. */
static bool
holds(const struct ledger *l, const struct safeguard *g, const struct deployment *d)
{
	return g != NULL && g->deployment == d->no && !(g->automatic && deployment_mutes(d, g->signature, l->now_us));
}

size_t
ledger_safeguards(const struct ledger *l, uint32_t deployment, uint32_t from, struct safeguard_view *out, size_t cap)
{
	const struct deployment *d = deployment < l->n_deployments ? l->deployments[deployment] : NULL;
	uint16_t strata[SAFEGUARD_FROM_HALT];
	uint64_t signature = 0;
	struct text names[3];
	size_t n = 0, n_strata;

	if (d == NULL)
		return 0;
	n_strata = from == 0 ? harmed_strata(l, d, strata, &signature) : 0;
	for (size_t i = 0; i < n_strata && n < cap; i++)
		if (stratum_names(l, strata[i], names))
			view_halted(d, signature, names, &out[n++]);
	for (uint32_t i = from; i < l->n_safeguards && n < cap; i++)
		if (holds(l, l->safeguards[i], d))
			view(l->safeguards[i], &out[n++]);
	return n;
}

static bool
matches(const char *pattern, struct text is)
{
	return pattern[0] == '\0' || text_equal(text_of(pattern), is);
}

static bool
covers(const struct safeguard *g, uint64_t hash, bool named, const struct text names[3])
{
	const Faultline__Log__Safeguard *m = g->msg;

	if (m->n_hosts > 0)
		return bsearch(&hash, m->hosts, m->n_hosts, sizeof(hash), by_value) != NULL;
	return named && matches(m->product, names[0]) && matches(m->os_build, names[1]) &&
	       matches(m->hw_class, names[2]);
}

void
ledger_safeguard_lookup(const struct ledger *l, uint32_t deployment, struct safeguard_lookup *out)
{
	memset(out, 0, sizeof(*out));
	out->deployment = deployment;
	if (deployment < l->n_deployments)
		out->n = harmed_strata(l, l->deployments[deployment], out->strata, &out->signature);
}

bool
ledger_safeguarded(const struct ledger *l, const struct safeguard_lookup *look, uint64_t hash,
		   struct safeguard_view *out)
{
	const struct deployment *d = look->deployment < l->n_deployments ? l->deployments[look->deployment] : NULL;
	uint32_t host = d != NULL ? hosts_find(&l->hosts, d->tenant, hash) : UINT32_MAX;
	struct safeguard_view unused;
	struct text names[3];
	bool named = false;

	if (d == NULL)
		return false;
	out = out != NULL ? out : &unused;
	if (host != UINT32_MAX) {
		const uint16_t stratum = host_candidate(l, host).stratum;

		named = stratum_names(l, stratum, names);
		for (size_t i = 0; i < look->n; i++)
			if (look->strata[i] == stratum) {
				view_halted(d, look->signature, names, out);
				return true;
			}
	}
	for (uint32_t i = 0; i < l->n_safeguards; i++)
		if (holds(l, l->safeguards[i], d) && covers(l->safeguards[i], hash, named, names)) {
			view(l->safeguards[i], out);
			return true;
		}
	return false;
}

void
safeguards_drop(struct ledger *l, const struct deployment *d)
{
	for (uint32_t i = 0; i < l->n_safeguards; i++)
		if (l->safeguards[i] != NULL && l->safeguards[i]->deployment == d->no)
			drop(l, l->safeguards[i]);
}

/* ---- snapshot ---- */

uint32_t *
safeguard_word(struct ledger *l, uint64_t id)
{
	const uint32_t slot = chunk_a(id);

	return slot < l->n_safeguards && l->safeguards[slot] != NULL ? &l->safeguards[slot]->word : NULL;
}

bool
safeguard_pack(const struct ledger *l, uint64_t id, struct pack *k)
{
	const uint32_t slot = chunk_a(id);
	const struct safeguard *g = slot < l->n_safeguards ? l->safeguards[slot] : NULL;

	if (g == NULL)
		return false;
	pack_varint(k, g->deployment);
	pack_u64(k, g->pos);
	pack_u64(k, g->signature);
	pack_varint(k, g->index);
	pack_u8(k, g->automatic);
	pack_u64(k, (uint64_t)g->at_us);
	pack_text(k, (struct text){ (const char *)g->packed, g->packed_len });
	return true;
}

bool
safeguard_unpack(struct ledger *l, uint64_t id, struct reader *r)
{
	const uint32_t slot = chunk_a(id);
	struct safeguard *g;
	struct text packed;

	if (slot >= SAFEGUARDS_MAX || slot < l->n_safeguards)
		return false; /* chunks come in rising order */
	g = mem_zero(1, sizeof(*g));
	g->slot = slot;
	g->deployment = unpack_u32(r);
	g->pos = reader_u64(r);
	g->signature = reader_u64(r);
	g->index = unpack_u32(r);
	g->automatic = reader_u8(r) != 0;
	g->at_us = (int64_t)reader_u64(r);
	packed = unpack_text(r, SAFEGUARD_BYTES);
	if (!reader_failed(r)) {
		g->packed = mem_zero(packed.len, 1);
		memcpy(g->packed, packed.at, packed.len);
		g->packed_len = packed.len;
	}
	if (reader_failed(r) || g->deployment >= l->n_deployments || !read_message(g)) {
		safeguard_free(g);
		return false;
	}
	l->safeguards = mem_grow(l->safeguards, l->n_safeguards, slot + 1, sizeof(*l->safeguards));
	l->n_safeguards = slot + 1;
	l->safeguards[slot] = g;
	return true;
}
