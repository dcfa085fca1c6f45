/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "collector/fold/fold.h"
#include "collector/halts.h"

struct list {
	struct list *older;
	uint64_t version;
	size_t n;
	struct text ids[]; /* the texts follow */
};

struct halts {
	_Atomic(struct list *) now;
};

struct halts *
halts_new(void)
{
	struct halts *h = calloc(1, sizeof(*h));
	struct list *l = calloc(1, sizeof(*l));

	if (h == NULL || l == NULL) {
		free(h);
		free(l);
		return NULL;
	}
	atomic_store(&h->now, l);
	return h;
}

void
halts_free(struct halts *h)
{
	struct list *older;

	if (h == NULL)
		return;
	for (struct list *l = atomic_load(&h->now); l != NULL; l = older) {
		older = l->older;
		free(l);
	}
	free(h);
}

static bool
is_halted(const struct view_deployment *d)
{
	return d->open && d->verdict.verdict == VERDICT_HALT;
}

static bool
same(const struct list *l, const struct fold_view *v)
{
	size_t n = 0;

	for (uint32_t i = 0; i < v->n_deployments; i++)
		if (is_halted(&v->deployments[i])) {
			if (n >= l->n || !text_equal(l->ids[n], text_of(v->deployments[i].id)))
				return false;
			n++;
		}
	return n == l->n;
}

void
halts_update(struct halts *h, const struct fold_view *v)
{
	struct list *old = atomic_load(&h->now), *l;
	size_t n = 0, bytes = 0;
	char *at;

	if (same(old, v))
		return;
	for (uint32_t i = 0; i < v->n_deployments; i++)
		if (is_halted(&v->deployments[i])) {
			n++;
			bytes += strlen(v->deployments[i].id);
		}
	l = malloc(sizeof(*l) + n * sizeof(l->ids[0]) + bytes);
	if (l == NULL)
		return; /* the next update tries again */
	*l = (struct list){ .older = old, .version = old->version + 1 };
	at = (char *)&l->ids[n];
	for (uint32_t i = 0; i < v->n_deployments; i++)
		if (is_halted(&v->deployments[i])) {
			size_t len = strlen(v->deployments[i].id);

			memcpy(at, v->deployments[i].id, len);
			l->ids[l->n++] = (struct text){ at, len };
			at += len;
		}
	atomic_store(&h->now, l);
}

size_t
halts_list(const struct halts *h, const struct text **ids_out, uint64_t *version_out)
{
	const struct list *l = atomic_load(&h->now);

	*ids_out = l->ids;
	*version_out = l->version;
	return l->n;
}
