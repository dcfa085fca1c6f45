/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/arena.h"
#include "collector/ledger/mem.h"
#include "collector/ledger/state.h"
#include "proto/pbarena.h"

#define ARENA_LIMIT ((size_t)1024 * 1024)
#define TEXTS       4u

static struct text *
text_at(struct note_view *v, unsigned i)
{
	struct text *const all[TEXTS] = { &v->text, &v->link, &v->actor, &v->reason };

	return all[i];
}

/* Copies of its texts; what is too long is cut: the API lets none pass. */
static void
own_texts(struct note *n)
{
	size_t len = 0;
	char *p;

	for (unsigned i = 0; i < TEXTS; i++) {
		struct text *t = text_at(&n->view, i);

		t->len = t->len < NOTE_TEXT_MAX ? t->len : NOTE_TEXT_MAX;
		len += t->len;
	}
	p = n->texts = mem_zero(len, 1);
	for (unsigned i = 0; i < TEXTS; i++) {
		struct text *t = text_at(&n->view, i);

		if (t->len > 0)
			memcpy(p, t->at, t->len);
		t->at = p;
		p += t->len;
	}
}

void
notes_fini(struct notes *n)
{
	for (uint32_t i = 0; i < n->n; i++) {
		for (uint32_t k = 0; k < n->slots[i]->n; k++)
			free(n->slots[i]->notes[k].texts);
		free(n->slots[i]);
	}
	free(n->slots);
}

static struct signature_notes *
find(const struct ledger *l, uint16_t tenant, uint64_t signature)
{
	for (uint32_t i = 0; i < l->notes.n; i++)
		if (l->notes.slots[i]->signature == signature && l->notes.slots[i]->tenant == tenant)
			return l->notes.slots[i];
	return NULL;
}

/* The newest of these two kinds, if it is the first of them; NULL: nothing of that kind holds. */
static const struct note_view *
holding(const struct signature_notes *s, enum note_action set, enum note_action unset)
{
	for (uint32_t i = s != NULL ? s->n : 0; i-- > 0;) {
		if (s->notes[i].view.action == set)
			return &s->notes[i].view;
		if (s->notes[i].view.action == unset)
			return NULL;
	}
	return NULL;
}

static const struct note_view *
advice_of(const struct signature_notes *s)
{
	return holding(s, NOTE_IS_ADVICE, NOTE_IS_ADVICE_REMOVED);
}

static const struct note_view *
merge_of(const struct signature_notes *s)
{
	return holding(s, NOTE_IS_MERGE, NOTE_IS_UNMERGE);
}

static bool
has_merged(const struct ledger *l, uint16_t tenant, uint64_t signature)
{
	uint64_t one;

	return ledger_merged(l, tenant, signature, &one, 1) > 0;
}

/* ---- changing ---- */

static const char *
refuses_merge(const struct ledger *l, uint16_t tenant, const Faultline__Log__SignatureNote *m)
{
	struct key_view k;

	if (m->into == m->signature)
		return "self";
	if (!ledger_signature(l, tenant, m->into, &k))
		return "unknown_into";
	if (merge_of(find(l, tenant, m->into)) != NULL || has_merged(l, tenant, m->signature))
		return "chain";
	return NULL;
}

static const char *
refuses(const struct ledger *l, uint16_t tenant, const Faultline__Log__SignatureNote *m)
{
	const struct signature_notes *s = find(l, tenant, m->signature);
	const uint64_t newest = s != NULL ? s->notes[s->n - 1].view.pos : 0;
	struct key_view k;

	if (!ledger_signature(l, tenant, m->signature, &k))
		return "unknown_signature";
	if (m->expects && m->expected != newest)
		return "conflict";
	if (s == NULL && l->notes.n >= NOTES_SIGNATURES)
		return "too_many";
	switch (m->action) {
	case FAULTLINE__LOG__NOTE_ACTION__NOTE_ADVICE:
		return m->text[0] != '\0' ? NULL : "no_text";
	case FAULTLINE__LOG__NOTE_ACTION__NOTE_ADVICE_REMOVED:
		return advice_of(s) != NULL ? NULL : "no_advice";
	case FAULTLINE__LOG__NOTE_ACTION__NOTE_MERGE:
		return refuses_merge(l, tenant, m);
	case FAULTLINE__LOG__NOTE_ACTION__NOTE_UNMERGE:
		return merge_of(s) != NULL ? NULL : "not_merged";
	default:
		return "unknown_action";
	}
}

const char *
ledger_refuses_note(const struct ledger *l, uint16_t tenant, const void *packed, size_t len)
{
	struct arena *a = arena_new(ARENA_LIMIT);
	const char *why = "unknown_signature";
	Faultline__Log__SignatureNote *m;

	if (a != NULL) {
		ProtobufCAllocator allocator = pbarena(a);

		if ((m = faultline__log__signature_note__unpack(&allocator, len, packed)) != NULL)
			why = refuses(l, tenant, m);
	}
	arena_free(a);
	return why;
}

static struct signature_notes *
make(struct ledger *l, uint16_t tenant, uint64_t signature)
{
	struct signature_notes *s = mem_zero(1, sizeof(*s));

	s->slot = l->notes.n;
	s->tenant = tenant;
	s->signature = signature;
	l->notes.slots = mem_grow(l->notes.slots, l->notes.n, l->notes.n + 1, sizeof(*l->notes.slots));
	l->notes.slots[l->notes.n++] = s;
	return s;
}

/* Room for one more: the oldest goes that says nothing of today. */
static void
forget_one(struct signature_notes *s)
{
	const struct note_view *advice = advice_of(s), *merge = merge_of(s);
	uint32_t i = 0;

	if (s->n < NOTES_KEPT)
		return;
	while (&s->notes[i].view == advice || &s->notes[i].view == merge)
		i++; /* at most two of sixteen */
	free(s->notes[i].texts);
	memmove(&s->notes[i], &s->notes[i + 1], (s->n - i - 1) * sizeof(s->notes[0]));
	s->n--;
}

void
fold_note(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__SignatureNote *m = unpack_record(l, rec, &faultline__log__signature_note__descriptor);
	struct signature_notes *s;
	struct note *n;

	if (m == NULL)
		return;
	if (refuses(l, rec->tenant, m) != NULL) {
		l->stats.refused_changes++;
		return;
	}
	if ((s = find(l, rec->tenant, m->signature)) == NULL)
		s = make(l, rec->tenant, m->signature);
	snap_touch(&l->snap, &s->word, chunk_id(CHUNK_NOTES, s->slot, 0));
	forget_one(s);
	n = &s->notes[s->n++];
	*n = (struct note){ .view = { .pos = rec->pos,
				      .at_us = rec->received_us,
				      .action = (enum note_action)m->action,
				      .into = m->into,
				      .text = text_of(m->text),
				      .link = text_of(m->link),
				      .actor = text_of(m->actor),
				      .reason = text_of(m->reason) } };
	own_texts(n);
	l->notes.version = rec->pos;
}

/* ---- questions ---- */

uint64_t
ledger_notes_version(const struct ledger *l)
{
	return l->notes.version;
}

size_t
ledger_notes(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view out[NOTES_KEPT])
{
	const struct signature_notes *s = find(l, tenant, signature);
	size_t n = 0;

	for (uint32_t i = s != NULL ? s->n : 0; i-- > 0;)
		out[n++] = s->notes[i].view;
	return n;
}

bool
ledger_merge(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view *out)
{
	const struct note_view *v = merge_of(find(l, tenant, signature));

	if (v != NULL)
		*out = *v;
	return v != NULL;
}

size_t
ledger_merged(const struct ledger *l, uint16_t tenant, uint64_t into, uint64_t *out, size_t cap)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->notes.n && n < cap; i++) {
		const struct note_view *v = l->notes.slots[i]->tenant == tenant ? merge_of(l->notes.slots[i]) : NULL;

		if (v != NULL && v->into == into)
			out[n++] = l->notes.slots[i]->signature;
	}
	return n;
}

bool
ledger_advice(const struct ledger *l, uint16_t tenant, uint64_t signature, struct note_view *out, uint64_t *from_out)
{
	const struct signature_notes *s = find(l, tenant, signature);
	const struct note_view *merge = merge_of(s), *v = advice_of(s);

	*from_out = signature;
	if (v == NULL && merge != NULL) {
		v = advice_of(find(l, tenant, merge->into));
		*from_out = merge->into;
	}
	if (v != NULL)
		*out = *v;
	return v != NULL;
}

bool
ledger_noted(const struct ledger *l, uint32_t no, uint16_t *tenant_out, uint64_t *signature_out)
{
	if (no >= l->notes.n)
		return false;
	*tenant_out = l->notes.slots[no]->tenant;
	*signature_out = l->notes.slots[no]->signature;
	return true;
}

const char *
note_action_name(enum note_action a)
{
	static const char *const names[] = { "none", "advice", "advice_removed", "merge", "unmerge" };

	return (size_t)a < sizeof(names) / sizeof(names[0]) ? names[a] : "none";
}

/* ---- snapshot ---- */

uint32_t *
notes_word(struct ledger *l, uint64_t id)
{
	return chunk_a(id) < l->notes.n ? &l->notes.slots[chunk_a(id)]->word : NULL;
}

bool
notes_pack(const struct ledger *l, uint64_t id, struct pack *k)
{
	const struct signature_notes *s = chunk_a(id) < l->notes.n ? l->notes.slots[chunk_a(id)] : NULL;

	if (s == NULL)
		return false;
	pack_u16(k, s->tenant);
	pack_u64(k, s->signature);
	pack_u8(k, (uint8_t)s->n);
	for (uint32_t i = 0; i < s->n; i++) {
		struct note_view v = s->notes[i].view;

		pack_u64(k, v.pos);
		pack_u64(k, (uint64_t)v.at_us);
		pack_u8(k, (uint8_t)v.action);
		pack_u64(k, v.into);
		for (unsigned t = 0; t < TEXTS; t++)
			pack_text(k, *text_at(&v, t));
	}
	return true;
}

bool
notes_unpack(struct ledger *l, uint64_t id, struct reader *r)
{
	struct signature_notes *s;
	uint16_t tenant = reader_u16(r);
	uint64_t signature = reader_u64(r);
	uint32_t n = reader_u8(r);

	if (reader_failed(r) || n == 0 || n > NOTES_KEPT || chunk_a(id) != l->notes.n || l->notes.n >= NOTES_SIGNATURES)
		return false; /* chunks come in rising order, and none is ever gone */
	s = make(l, tenant, signature);
	for (; s->n < n; s->n++) {
		struct note *x = &s->notes[s->n];

		x->view.pos = reader_u64(r);
		x->view.at_us = (int64_t)reader_u64(r);
		x->view.action = (enum note_action)reader_u8(r);
		x->view.into = reader_u64(r);
		for (unsigned t = 0; t < TEXTS; t++)
			*text_at(&x->view, t) = unpack_text(r, NOTE_TEXT_MAX);
		if (reader_failed(r))
			return false;
		own_texts(x);
		l->notes.version = x->view.pos > l->notes.version ? x->view.pos : l->notes.version;
	}
	return true;
}
