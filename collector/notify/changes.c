/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/signature.h"
#include "collector/fold/fold.h"
#include "collector/notify/changes.h"
#include "collector/notify/endpoints.h"

static const struct {
	const char *name;
	unsigned bits;
} kinds[NOTICE_N] = {
	[NOTICE_HALT_RAISED] = { "halt.raised", WEBHOOK_HALT },
	[NOTICE_HALT_CHANGED] = { "halt.changed", WEBHOOK_HALT },
	[NOTICE_HALT_LIFTED] = { "halt.lifted", WEBHOOK_HALT },
	[NOTICE_VERDICT_CHANGED] = { "verdict.changed", WEBHOOK_VERDICT },
	[NOTICE_DEPLOYMENT_CREATED] = { "deployment.created", WEBHOOK_DEPLOYMENT },
	[NOTICE_DEPLOYMENT_CLOSED] = { "deployment.closed", WEBHOOK_DEPLOYMENT },
	[NOTICE_DEPLOYMENT_DELETED] = { "deployment.deleted", WEBHOOK_DEPLOYMENT },
	[NOTICE_ALARM_RAISED] = { "alarm.raised", WEBHOOK_ALARM },
	[NOTICE_ALARM_OVER] = { "alarm.over", WEBHOOK_ALARM },
	[NOTICE_PING] = { "ping", ~0u },
};

const char *
notice_kind_name(enum notice_kind k)
{
	return kinds[k].name;
}

int
notice_kind_parse(const char *name)
{
	for (int k = 0; k < NOTICE_N; k++)
		if (strcmp(kinds[k].name, name) == 0)
			return k;
	return -1;
}

unsigned
notice_kind_bits(enum notice_kind k)
{
	return kinds[k].bits;
}

void
changes_init(struct changes *c, const uint8_t log[16])
{
	memset(c, 0, sizeof(*c));
	memcpy(c->log, log, 16);
	c->first = true;
}

static void
told_fini(struct told *t)
{
	free(t->reason);
	free(t->title);
}

static void
alarm_fini(struct told_alarm *a)
{
	free(a->title);
	free(a->text);
}

void
changes_fini(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		told_fini(&c->told[i]);
	free(c->told);
	for (size_t i = 0; i < c->n_alarms; i++)
		alarm_fini(&c->alarms[i]);
	free(c->alarms);
	memset(c, 0, sizeof(*c));
}

static int
by_deployment(const void *a, const void *b)
{
	return strcmp(((const struct told *)a)->deployment, ((const struct told *)b)->deployment);
}

static struct told *
find(const struct changes *c, const char *deployment)
{
	struct told key;

	snprintf(key.deployment, sizeof(key.deployment), "%s", deployment);
	return c->sorted > 0 ? bsearch(&key, c->told, c->sorted, sizeof(key), by_deployment) : NULL;
}

static void
sort(struct changes *c)
{
	if (c->n > 0)
		qsort(c->told, c->n, sizeof(*c->told), by_deployment);
	c->sorted = c->n;
}

static struct told *
add(struct changes *c, const char *deployment)
{
	struct told *t;

	if (c->n == c->cap) {
		size_t cap = c->cap != 0 ? c->cap * 2 : 64;

		if ((t = realloc(c->told, cap * sizeof(*t))) == NULL)
			return NULL;
		c->told = t;
		c->cap = cap;
	}
	t = &c->told[c->n++];
	memset(t, 0, sizeof(*t));
	snprintf(t->deployment, sizeof(t->deployment), "%s", deployment);
	return t;
}

/* ---- a notice ---- */

static void
set_time(json_t *j, const char *key, int64_t us)
{
	char buf[CLOCK_RFC3339_SIZE];

	json_object_set_new(j, key, us > 0 ? json_string(clock_rfc3339(us, buf)) : json_null());
}

static json_t *
data_of(const struct view_deployment *d, const char *before)
{
	const struct verdict_view *v = &d->verdict;
	json_t *j = json_object();
	char id[SIGNATURE_ID_LEN];

	json_object_set_new(j, "deployment", json_string(d->id));
	json_object_set_new(j, "verdict", json_string(verdict_name(v->verdict)));
	json_object_set_new(j, "before", before != NULL ? json_string(before) : json_null());
	json_object_set_new(j, "state", json_string(verdict_state_name(v->state)));
	json_object_set_new(j, "reason", json_string(v->reason));
	set_time(j, "since", v->since_us);
	set_time(j, "as_of", v->fresh_us);
	json_object_set_new(j, "open", json_boolean(d->open));
	json_object_set_new(j, "shadow", json_boolean(v->shadow));
	json_object_set_new(j, "served", json_integer(v->served));
	json_object_set_new(j, "resolved", json_integer(v->resolved));
	json_object_set_new(j, "bad", json_integer(v->bad));
	json_object_set_new(j, "unserved", json_integer(v->unserved));
	json_object_set_new(j, "eligible", json_integer(v->eligible));
	json_object_set_new(j, "next_ring_max", json_integer((json_int_t)v->next_ring_max));
	json_object_set_new(j, "signature", v->evidence.set ? json_string(v->evidence.title) : json_null());
	json_object_set_new(j, "signature_id",
			    v->evidence.set && v->evidence.signature != 0
				    ? json_string(signature_id_text(v->evidence.signature, id))
				    : json_null());
	return j;
}

/* The same for the same change of the same log, whoever finds it. */
static void
notice_id(const struct changes *c, enum notice_kind kind, const char *of, uint64_t pos, char out[NOTICE_ID_SIZE])
{
	uint8_t digest[SHA256_BYTES];
	char text[320], log[33];
	int n = snprintf(text, sizeof(text), "%s %s %s %" PRIu64, hex_encode(c->log, 16, log), kinds[kind].name, of,
			 pos);

	sha256(text, (size_t)n, digest);
	memcpy(out, "evt-", 4);
	hex_encode(digest, 16, out + 4);
}

struct teller {
	struct changes *c;
	const struct view_deployment *d;
	const char *before;
	notice_fn *fn;
	void *arg;
};

static void
tell(const struct teller *t, enum notice_kind kind, uint64_t pos, int64_t at_us)
{
	char id[NOTICE_ID_SIZE];

	notice_id(t->c, kind, t->d->id, pos, id);
	t->fn(t->arg, kind, id, t->d->id, at_us, data_of(t->d, t->before));
}

/* ---- comparing ---- */

static void
keep_text(char **to, const char *text)
{
	free(*to);
	*to = strdup(text); /* NULL: an alert without its sentence */
}

static void
note(struct told *t, const struct view_deployment *d, int64_t now_us)
{
	const struct verdict_view *v = &d->verdict;
	const bool was = t->halt_pos != 0, is = v->verdict == VERDICT_HALT;

	snprintf(t->verdict, sizeof(t->verdict), "%s", verdict_name(v->verdict));
	snprintf(t->state, sizeof(t->state), "%s", verdict_state_name(v->state));
	t->closed = !d->open;
	t->deleted = v->state == STATE_DELETED;
	t->since_pos = v->since_pos;
	if (is) {
		if (t->halt_pos != v->halt_pos || t->resolved_us != 0 || !was)
			t->halted_us = v->since_us;
		t->resolved_us = 0;
		t->halt_pos = v->halt_pos != 0 ? v->halt_pos : v->since_pos + 1;
		keep_text(&t->reason, v->reason);
		keep_text(&t->title, v->evidence.set ? v->evidence.title : "");
	} else if (was) {
		t->resolved_us = now_us;
		t->halt_pos = 0;
		keep_text(&t->reason, v->reason);
	}
}

/* What a deployment that was known before has become. */
static bool
compare(const struct teller *w, const struct told *t)
{
	const struct verdict_view *v = &w->d->verdict;
	const bool was = t->halt_pos != 0, is = v->verdict == VERDICT_HALT;
	const uint64_t halt_pos = v->halt_pos != 0 ? v->halt_pos : v->since_pos + 1;
	const bool again = was && is && t->halt_pos != halt_pos;
	const bool other = strcmp(t->verdict, verdict_name(v->verdict)) != 0 ||
			   strcmp(t->state, verdict_state_name(v->state)) != 0;
	const bool closed = !w->d->open && !t->closed;

	if (was && (!is || again))
		tell(w, NOTICE_HALT_LIFTED, v->since_pos, v->since_us);
	if (is && (!was || again))
		tell(w, NOTICE_HALT_RAISED, halt_pos, v->since_us);
	else if (is && other)
		tell(w, NOTICE_HALT_CHANGED, v->since_pos, v->since_us);
	else if (!is && !was && other && !closed)
		tell(w, NOTICE_VERDICT_CHANGED, v->since_pos, v->since_us);
	if (closed)
		tell(w, NOTICE_DEPLOYMENT_CLOSED, v->since_pos, v->since_us);
	return was != is || again || other || closed;
}

static bool
look_at(struct changes *c, const struct view_deployment *d, int64_t now_us, notice_fn *fn, void *arg)
{
	struct teller w = { .c = c, .d = d, .fn = fn, .arg = arg };
	const struct verdict_view *v = &d->verdict;
	struct told *t = find(c, d->id);
	char before[16];

	if (t == NULL || t->deleted) {
		if (t == NULL && (t = add(c, d->id)) == NULL)
			return false; /* the next look finds it new again */
		if (!c->first)
			tell(&w, NOTICE_DEPLOYMENT_CREATED, v->since_pos, v->since_us);
		if (v->verdict == VERDICT_HALT)
			tell(&w, NOTICE_HALT_RAISED, v->halt_pos != 0 ? v->halt_pos : v->since_pos + 1, v->since_us);
	} else {
		snprintf(before, sizeof(before), "%s", t->verdict);
		w.before = before;
		if (!compare(&w, t)) {
			t->seen = c->round;
			return false;
		}
	}
	note(t, d, now_us);
	t->seen = c->round;
	return true;
}

/* It is in no view any more: somebody deleted it. */
static void
vanish(struct changes *c, struct told *t, int64_t now_us, notice_fn *fn, void *arg)
{
	struct view_deployment *d = calloc(1, sizeof(*d));
	struct teller w = { .c = c, .d = d, .before = t->verdict, .fn = fn, .arg = arg };

	if (d == NULL)
		return; /* the next look finds it gone again */
	snprintf(d->id, sizeof(d->id), "%s", t->deployment);
	d->verdict.verdict = VERDICT_HOLD;
	d->verdict.state = STATE_DELETED;
	d->verdict.since_pos = t->since_pos;
	d->verdict.since_us = d->verdict.fresh_us = now_us;
	snprintf(d->verdict.reason, sizeof(d->verdict.reason), "The deployment was deleted.");
	if (t->halt_pos != 0)
		tell(&w, NOTICE_HALT_LIFTED, t->since_pos, now_us);
	tell(&w, NOTICE_DEPLOYMENT_DELETED, t->since_pos, now_us);
	note(t, d, now_us);
	free(d);
}

/* ---- alarms without a deployment ---- */

static void
tell_alarm(const struct changes *c, enum notice_kind kind, const struct told_alarm *a, int64_t at_us, notice_fn *fn,
	   void *arg)
{
	char id[NOTICE_ID_SIZE], signature[SIGNATURE_ID_LEN];
	json_t *j = json_object();

	json_object_set_new(j, "alarm", json_sprintf("%" PRIu64, a->no));
	json_object_set_new(j, "kind", json_string(a->kind));
	json_object_set_new(j, "certified", json_boolean(a->certified));
	json_object_set_new(j, "signature", json_string(a->title != NULL ? a->title : ""));
	json_object_set_new(j, "signature_id",
			    a->signature != 0 ? json_string(signature_id_text(a->signature, signature)) : json_null());
	json_object_set_new(j, "reason", json_string(a->text != NULL ? a->text : ""));
	set_time(j, "since", a->raised_us);
	notice_id(c, kind, "alarm", a->no, id);
	fn(arg, kind, id, "", at_us, j);
}

static struct told_alarm *
add_alarm(struct changes *c, uint64_t no)
{
	struct told_alarm *a = realloc(c->alarms, (c->n_alarms + 1) * sizeof(*a));

	if (a == NULL)
		return NULL;
	c->alarms = a;
	a = &c->alarms[c->n_alarms++];
	*a = (struct told_alarm){ .no = no };
	return a;
}

static bool
raise_alarm(struct changes *c, const struct alarm *is, notice_fn *fn, void *arg)
{
	struct told_alarm *a;

	for (size_t i = 0; i < c->n_alarms; i++)
		if (c->alarms[i].no == is->no) {
			c->alarms[i].seen = c->round;
			return false;
		}
	if ((a = add_alarm(c, is->no)) == NULL)
		return false; /* the next look finds it new again */
	snprintf(a->kind, sizeof(a->kind), "%s", alarm_kind_name((enum alarm_kind)is->kind));
	a->signature = is->signature;
	a->certified = is->certified;
	a->raised_us = is->raised_us;
	a->title = strdup(is->title);
	a->text = strdup(is->text);
	a->seen = c->round;
	tell_alarm(c, NOTICE_ALARM_RAISED, a, a->raised_us, fn, arg);
	return true;
}

static bool
look_at_alarms(struct changes *c, const struct fold_view *v, int64_t now_us, notice_fn *fn, void *arg)
{
	const bool all = v->n_alarms < VIEW_ALARMS; /* else older ones may go on unseen */
	bool any = false;
	size_t kept = 0;

	for (uint32_t i = 0; i < v->n_alarms; i++)
		any |= raise_alarm(c, &v->alarms[i], fn, arg);
	for (size_t i = 0; i < c->n_alarms; i++) {
		struct told_alarm *a = &c->alarms[i];

		if (all && a->seen != c->round && a->resolved_us == 0) {
			a->resolved_us = now_us;
			tell_alarm(c, NOTICE_ALARM_OVER, a, now_us, fn, arg);
			any = true;
		}
		if (a->resolved_us == 0 || now_us - a->resolved_us < CHANGES_KEEP_US)
			c->alarms[kept++] = *a;
		else {
			alarm_fini(a);
			any = true;
		}
	}
	c->n_alarms = kept;
	return any;
}

bool
changes_look(struct changes *c, const struct fold_view *v, int64_t now_us, notice_fn *fn, void *arg)
{
	bool any = c->first;
	size_t kept = 0;

	c->round++;
	for (uint32_t i = 0; i < v->n_deployments; i++)
		if (v->deployments[i].tenant == 0)
			any |= look_at(c, &v->deployments[i], now_us, fn, arg);
	for (size_t i = 0; i < c->n; i++) {
		struct told *t = &c->told[i];

		if (t->seen != c->round && !t->deleted) {
			vanish(c, t, now_us, fn, arg);
			any = true;
		}
		/* what is deleted is kept while its alert has to be said to have ended */
		if (t->seen == c->round || !t->deleted ||
		    (t->resolved_us != 0 && now_us - t->resolved_us < CHANGES_KEEP_US))
			c->told[kept++] = *t;
		else {
			told_fini(t);
			any = true;
		}
	}
	c->n = kept;
	any |= look_at_alarms(c, v, now_us, fn, arg);
	c->first = false;
	sort(c);
	return any;
}

/* ---- keeping ---- */

static json_t *
pack_alarms(const struct changes *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_alarms; i++) {
		const struct told_alarm *a = &c->alarms[i];

		json_array_append_new(list,
				      json_pack("{s:I, s:I, s:s, s:b, s:I, s:I, s:s*, s:s*}", "no", (json_int_t)a->no,
						"signature", (json_int_t)a->signature, "kind", a->kind, "certified",
						a->certified, "raised", (json_int_t)a->raised_us, "resolved",
						(json_int_t)a->resolved_us, "title", a->title, "text", a->text));
	}
	return list;
}

static void
unpack_alarm(struct changes *c, json_t *j)
{
	const char *kind, *title = NULL, *text = NULL;
	json_int_t no, signature, raised, resolved;
	struct told_alarm *a;
	int certified;

	if (json_unpack(j, "{s:I, s:I, s:s, s:b, s:I, s:I, s?s, s?s}", "no", &no, "signature", &signature, "kind",
			&kind, "certified", &certified, "raised", &raised, "resolved", &resolved, "title", &title,
			"text", &text) != 0 ||
	    (a = add_alarm(c, (uint64_t)no)) == NULL)
		return; /* told again */
	snprintf(a->kind, sizeof(a->kind), "%s", kind);
	a->signature = (uint64_t)signature;
	a->certified = certified;
	a->raised_us = raised;
	a->resolved_us = resolved;
	a->title = title != NULL ? strdup(title) : NULL;
	a->text = text != NULL ? strdup(text) : NULL;
}

json_t *
changes_pack(const struct changes *c)
{
	json_t *list = json_array();
	char log[33];

	for (size_t i = 0; i < c->n; i++) {
		const struct told *t = &c->told[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:I, s:I, s:s*, s:s*}", "deployment",
					t->deployment, "verdict", t->verdict, "state", t->state, "halt",
					(json_int_t)t->halt_pos, "since", (json_int_t)t->since_pos, "closed", t->closed,
					"deleted", t->deleted, "halted", (json_int_t)t->halted_us, "resolved",
					(json_int_t)t->resolved_us, "reason", t->reason, "title", t->title));
	}
	return json_pack("{s:s, s:b, s:o, s:o}", "log", hex_encode(c->log, 16, log), "first", c->first, "told", list,
			 "alarms", pack_alarms(c));
}

static bool
unpack_one(struct changes *c, json_t *j)
{
	const char *deployment, *verdict, *state, *reason = NULL, *title = NULL;
	json_int_t halt, since, halted, resolved;
	int closed, deleted;
	struct told *t;

	if (json_unpack(j, "{s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:I, s:I, s?s, s?s}", "deployment", &deployment,
			"verdict", &verdict, "state", &state, "halt", &halt, "since", &since, "closed", &closed,
			"deleted", &deleted, "halted", &halted, "resolved", &resolved, "reason", &reason, "title",
			&title) != 0 ||
	    (t = add(c, deployment)) == NULL)
		return false;
	snprintf(t->verdict, sizeof(t->verdict), "%s", verdict);
	snprintf(t->state, sizeof(t->state), "%s", state);
	t->halt_pos = (uint64_t)halt;
	t->since_pos = (uint64_t)since;
	t->closed = closed;
	t->deleted = deleted;
	t->halted_us = halted;
	t->resolved_us = resolved;
	t->reason = reason != NULL ? strdup(reason) : NULL;
	t->title = title != NULL ? strdup(title) : NULL;
	return true;
}

bool
changes_unpack(struct changes *c, const json_t *j)
{
	char log[33];
	const char *of = json_string_value(json_object_get(j, "log"));
	json_t *list = json_object_get(j, "told"), *one;
	uint8_t uuid[16];
	size_t i;

	memcpy(uuid, c->log, 16);
	if (of == NULL || strcmp(of, hex_encode(c->log, 16, log)) != 0 || !json_is_array(list))
		return false;
	json_array_foreach(list, i, one)
	{
		if (!unpack_one(c, one)) {
			changes_fini(c);
			changes_init(c, uuid);
			return false;
		}
	}
	json_array_foreach(json_object_get(j, "alarms"), i, one)
	{
		unpack_alarm(c, one);
	}
	sort(c);
	c->first = json_is_true(json_object_get(j, "first"));
	return true;
}
