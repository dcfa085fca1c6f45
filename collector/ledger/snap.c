/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "collector/ledger/mem.h"
#include "collector/ledger/snap.h"

void
id_list_add(struct id_list *v, uint64_t id)
{
	if (v->n == v->cap) {
		size_t cap = v->cap > 0 ? v->cap * 2 : 256;

		v->at = mem_grow(v->at, v->cap, cap, sizeof(*v->at));
		v->cap = cap;
	}
	v->at[v->n++] = id;
}

void
snap_init(struct snap *s)
{
	*s = (struct snap){ .gen = 1 };
}

void
snap_fini(struct snap *s)
{
	free(s->dirty.at);
	free(s->saving.at);
	free(s->gone.at);
	pack_free(&s->out);
}

static size_t
save(struct snap *s, uint64_t id)
{
	s->out.n = 0;
	if (!s->write(s->state, id, &s->out))
		s->out.n = 0;
	s->fn(s->arg, id, s->out.p, s->out.n);
	return s->out.n;
}

void
snap_touch_slow(struct snap *s, uint32_t *word, uint64_t id)
{
	if (s->running && *word == s->gen - 1)
		save(s, id);
	*word = s->gen;
	id_list_add(&s->dirty, id);
}

void
snap_dropped(struct snap *s, uint64_t id)
{
	if (s->running)
		id_list_add(&s->gone, id);
}

void
snap_begin(struct snap *s)
{
	struct id_list spare = s->saving;

	s->saving = s->dirty;
	s->dirty = spare;
	s->dirty.n = 0;
	s->gone.n = 0;
	s->saved = 0;
	s->gen++;
	s->running = true;
}

void
snap_include(struct snap *s, uint32_t *word, uint64_t id)
{
	if (*word == s->gen - 1)
		return; /* on the list already */
	*word = s->gen - 1;
	id_list_add(&s->saving, id);
}

static bool
is_gone(const struct snap *s, uint64_t id)
{
	for (size_t i = 0; i < s->gone.n; i++)
		if (s->gone.at[i] == id)
			return true;
	return false;
}

bool
snap_step(struct snap *s, size_t budget)
{
	size_t done = 0;

	while (s->saved < s->saving.n && done < budget) {
		uint64_t id = s->saving.at[s->saved++];
		uint32_t *word = s->word(s->state, id);

		if (word == NULL) {
			if (!is_gone(s, id))
				s->fn(s->arg, id, NULL, 0);
		} else if (*word == s->gen - 1) {
			done += save(s, id);
			*word = 0;
		}
		done += 64;
	}
	return s->saved == s->saving.n;
}

void
snap_end(struct snap *s, bool ok)
{
	for (size_t i = 0; !ok && i < s->saving.n; i++) {
		uint32_t *word = s->word(s->state, s->saving.at[i]);

		if (word != NULL && *word == s->gen)
			continue;
		if (word != NULL)
			*word = s->gen;
		id_list_add(&s->dirty, s->saving.at[i]);
	}
	s->running = false;
	s->saving.n = 0;
	s->gone.n = 0;
}
