/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/logline.h"
#include "collector/advice.h"
#include "collector/ledger/ledger.h"

#define TEXT_MAX (2 * NOTE_TEXT_MAX + 1)

struct item {
	uint64_t signature;
	uint16_t tenant, len;
	char text[TEXT_MAX];
};

struct advice {
	_Atomic size_t n; /* also without the lock: most fleets have none */
	pthread_rwlock_t lock;
	struct item *items; /* sorted */
};

struct advice *
advice_new(void)
{
	struct advice *a = calloc(1, sizeof(*a));

	if (a != NULL)
		pthread_rwlock_init(&a->lock, NULL);
	return a;
}

void
advice_free(struct advice *a)
{
	if (a == NULL)
		return;
	pthread_rwlock_destroy(&a->lock);
	free(a->items);
	free(a);
}

static int
by_signature(const void *x, const void *y)
{
	const struct item *a = x, *b = y;

	if (a->signature != b->signature)
		return a->signature < b->signature ? -1 : 1;
	return (a->tenant > b->tenant) - (a->tenant < b->tenant);
}

static void
put(struct item *to, struct text t)
{
	memcpy(to->text + to->len, t.at, t.len);
	to->len = (uint16_t)(to->len + t.len);
}

/* Of one signature, if there is any. */
static bool
take(struct item *to, const struct ledger *l, uint16_t tenant, uint64_t signature)
{
	struct note_view v;
	uint64_t from;

	if (!ledger_advice(l, tenant, signature, &v, &from))
		return false;
	to->signature = signature;
	to->tenant = tenant;
	to->len = 0;
	put(to, v.text);
	if (v.link.len > 0) {
		put(to, TEXT("\n"));
		put(to, v.link);
	}
	return true;
}

void
advice_update(struct advice *a, const struct ledger *l)
{
	struct item *items, *old;
	uint64_t signature;
	uint16_t tenant;
	uint32_t all = 0;
	size_t n = 0;

	while (ledger_noted(l, all, &tenant, &signature))
		all++;
	if ((items = calloc(all + 1, sizeof(*items))) == NULL) {
		log_error("main", "out of memory: advice stays as it was");
		return;
	}
	for (uint32_t i = 0; i < all && ledger_noted(l, i, &tenant, &signature); i++)
		n += take(&items[n], l, tenant, signature);
	qsort(items, n, sizeof(*items), by_signature);
	pthread_rwlock_wrlock(&a->lock);
	old = a->items;
	a->items = items;
	atomic_store(&a->n, n);
	pthread_rwlock_unlock(&a->lock);
	free(old);
}

struct text
advice_find(struct advice *a, uint16_t tenant, uint64_t signature)
{
	static _Thread_local char copy[TEXT_MAX];
	const struct item key = { .signature = signature, .tenant = tenant }, *found;
	struct text t = { copy, 0 };

	if (atomic_load_explicit(&a->n, memory_order_relaxed) == 0)
		return t;
	pthread_rwlock_rdlock(&a->lock);
	found = bsearch(&key, a->items, a->n, sizeof(key), by_signature);
	if (found != NULL) {
		memcpy(copy, found->text, found->len);
		t.len = found->len;
	}
	pthread_rwlock_unlock(&a->lock);
	return t;
}
