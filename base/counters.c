/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdatomic.h>

#include "base/counters.h"

static const struct {
	const char *name, *help;
	bool gauge;
} table[COUNTER_N] = {
#define COUNTER(name, help) { #name, help, false },
#define GAUGE(name, help)   { #name, help, true },
#include "base/counters.def"
#undef COUNTER
#undef GAUGE
};

static const struct {
	const char *code, *help;
	int status;
} discards[DISCARD_N] = {
	{ "none", "", 200 },
#define DISCARD(code, status, help) { #code, help, status },
#include "base/discards.def"
#undef DISCARD
};

static _Atomic uint64_t values[COUNTER_N];
static _Atomic uint64_t discarded[DISCARD_N];

void
counter_add(enum counter c, uint64_t n)
{
	atomic_fetch_add_explicit(&values[c], n, memory_order_relaxed);
}
void
counter_sub(enum counter c, uint64_t n)
{
	atomic_fetch_sub_explicit(&values[c], n, memory_order_relaxed);
}
void
counter_set(enum counter c, uint64_t v)
{
	atomic_store_explicit(&values[c], v, memory_order_relaxed);
}
uint64_t
counter_get(enum counter c)
{
	return atomic_load_explicit(&values[c], memory_order_relaxed);
}
bool
counter_is_gauge(enum counter c)
{
	return table[c].gauge;
}
const char *
counter_name(enum counter c)
{
	return table[c].name;
}
const char *
counter_help(enum counter c)
{
	return table[c].help;
}

void
discard_count(enum discard d)
{
	atomic_fetch_add_explicit(&discarded[d], 1, memory_order_relaxed);
}
uint64_t
discard_get(enum discard d)
{
	return atomic_load_explicit(&discarded[d], memory_order_relaxed);
}
const char *
discard_code(enum discard d)
{
	return discards[d].code;
}
const char *
discard_help(enum discard d)
{
	return discards[d].help;
}
int
discard_status(enum discard d)
{
	return discards[d].status;
}
