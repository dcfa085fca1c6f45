/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "collector/api/series.h"

struct tell {
	const char *doubt;
	series_fn *fn;
	void *arg;
	struct series s;
};

static void
say(struct tell *t, const char *word, double value)
{
	t->s.word = word;
	t->s.value = value;
	t->fn(t->arg, &t->s);
}

static void
halted(struct tell *t, const struct verdict_view *v)
{
	if (t->doubt == NULL || v->verdict == VERDICT_HALT)
		say(t, NULL, v->verdict == VERDICT_HALT);
}

static void
gate(struct tell *t, const struct verdict_view *v)
{
	say(t, NULL, v->verdict == VERDICT_HALT ? -1 : v->verdict == VERDICT_PROCEED && t->doubt == NULL);
}

static void
verdict(struct tell *t, const struct verdict_view *v)
{
	static const enum verdict all[] = { VERDICT_PROCEED, VERDICT_HOLD, VERDICT_HALT };
	const enum verdict is = t->doubt != NULL && v->verdict == VERDICT_PROCEED ? VERDICT_HOLD : v->verdict;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		say(t, verdict_name(all[i]), all[i] == is);
}

static void
hosts(struct tell *t, const struct verdict_view *v)
{
	say(t, "served", v->served);
	say(t, "withdrawn", v->withdrawn);
	say(t, "resolved", v->resolved);
	say(t, "bad", v->bad);
	say(t, "unserved", v->unserved);
	say(t, "silent", v->silent);
}

static void
next_ring(struct tell *t, const struct verdict_view *v)
{
	say(t, NULL, t->doubt == NULL && v->verdict == VERDICT_PROCEED ? (double)v->next_ring_max : 0);
}

static const struct {
	const char *name, *label, *help;
	void (*tell)(struct tell *t, const struct verdict_view *v);
} families[] = {
	{ "deployment_halted", NULL,
	  "1 if the deployment is halted; no sample while the server is not sure that it is not", halted },
	{ "deployment_gate", NULL, "1 proceed, 0 hold (also while the server is not up to date), -1 halt", gate },
	{ "deployment_verdict", "verdict",
	  "1 at the verdict of the deployment; hold while the server is not up to date", verdict },
	{ "deployment_hosts", "state", "Hosts of the deployment by what became of them", hosts },
	{ "deployment_next_ring_hosts", NULL, "Hosts that the next ring may hold; 0 unless the verdict is proceed",
	  next_ring },
};
#define N_FAMILIES (sizeof(families) / sizeof(families[0]))

void
series_each(const struct fold_view *v, const char *doubt, uint32_t most, bool closed, series_fn *fn, void *arg)
{
	struct tell t = { .doubt = doubt, .fn = fn, .arg = arg };

	for (size_t f = 0; f < N_FAMILIES; f++) {
		uint32_t told = 0;

		t.s.family = families[f].name;
		t.s.help = families[f].help;
		t.s.label = families[f].label;
		for (uint32_t i = 0; i < v->n_deployments && told < most; i++) {
			const struct view_deployment *d = &v->deployments[i];

			if (d->tenant != 0 || d->verdict.state == STATE_DELETED || (!d->open && !closed))
				continue;
			told++;
			t.s.deployment = d->id;
			families[f].tell(&t, &d->verdict);
		}
	}
}

bool
series_family(const char *family, const char **label_out)
{
	for (size_t f = 0; f < N_FAMILIES; f++)
		if (strcmp(families[f].name, family) == 0) {
			*label_out = families[f].label;
			return true;
		}
	return false;
}
