/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/flagger/confirm, /check, /rollback and /event: Flagger's webhooks.
 *
 * To Flagger a status up to 202 is a yes and the body of a no goes into its event log, so
 * the status is the verdict and the body its reason.  The hooks share one payload, which
 * does not say what hook it comes from: therefore a URL each.
 *
 *              proceed   hold   halt
 *   confirm      200     403    403    waits, counts nothing
 *   check        200     200    403    counts a failed check
 *   rollback     403     403    200    yes means: roll back now
 *
 * A deployment that is not known, and a server that is not up to date, hold. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/crypto.h"
#include "collector/api/call.h"

#define LIST_MAX 64u

struct hook {
	const char *name, *namespace, *phase, *checksum, *message;
	bool found;
	struct verdict_view view;
	Faultline__Log__Deployment deployment;
	Faultline__Log__Selector eligible;
};

/* ---- the payload ---- */

static const char *
keep(struct call *c, const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));
	char *copy;

	if (s == NULL || (copy = arena_calloc(c->arena, strlen(s) + 1, 1)) == NULL)
		return "";
	return strcpy(copy, s);
}

/* metadata.deployment, else what names this revision of this canary. */
static bool
take_id(struct call *c, const struct hook *h, const char *given)
{
	int n = *given != '\0' ? snprintf(c->id, sizeof(c->id), "%s", given)
			       : snprintf(c->id, sizeof(c->id), "flagger:%s:%s:%s", h->namespace, h->name, h->checksum);

	if (*given == '\0' && (h->name[0] == '\0' || h->namespace[0] == '\0' || h->checksum[0] == '\0')) {
		call_refuse(c, DISCARD_invalid_field, "checksum",
			    "name, namespace and checksum are texts that are not empty");
		return false;
	}
	if (n < 0 || (size_t)n >= sizeof(c->id) || !params_deployment_id(text_of(c->id))) {
		call_refuse(c, DISCARD_invalid_field, "metadata.deployment",
			    "a deployment id is 1 to 128 of A-Z a-z 0-9 . _ : -; set one when the names are longer");
		return false;
	}
	return true;
}

/* "a.so, b.so" into texts of the arena. */
static size_t
split(struct call *c, const char *list, char ***out)
{
	char **items = ARENA_ARRAY(c->arena, char *, LIST_MAX);
	size_t n = 0;

	while (items != NULL && n < LIST_MAX && *(list += strspn(list, ", ")) != '\0') {
		size_t len = strcspn(list, ", ");

		if (len > 255 || (items[n] = arena_calloc(c->arena, len + 1, 1)) == NULL)
			break;
		memcpy(items[n++], list, len);
		list += len;
	}
	*out = items;
	return n;
}

static char *
join(struct call *c, const char *a, const char *b)
{
	const size_t size = strlen(a) + strlen(b) + 2;
	char *out = arena_calloc(c->arena, size, 1);

	if (out != NULL)
		snprintf(out, size, "%s/%s", a, b);
	return out;
}

/* What an event tells of a deployment that it is the first to name. */
static void
plan(struct call *c, struct hook *h, const json_t *metadata)
{
	static char hash[] = "hash", armed[] = "armed", shadow[] = "shadow", actor[] = "flagger";
	Faultline__Log__Deployment *d = &h->deployment;

	faultline__log__deployment__init(d);
	faultline__log__selector__init(&h->eligible);
	d->id = c->id;
	d->artefact = join(c, h->namespace, h->name);
	d->version = (char *)(uintptr_t)h->checksum;
	d->n_modules = split(c, keep(c, metadata, "modules"), &d->modules);
	h->eligible.n_products = split(c, keep(c, metadata, "products"), &h->eligible.products);
	d->eligible = &h->eligible;
	d->assignment = hash;
	d->salt = random_u64() | 1;
	d->mode = strcmp(keep(c, metadata, "mode"), "shadow") == 0 ? shadow : armed;
	d->actor = actor;
}

/* false: refused and answered. */
static bool
read_hook(struct call *c)
{
	struct hook *h = ARENA_NEW(c->arena, struct hook);
	const json_t *metadata;
	json_error_t error;
	json_t *body;
	bool ok;

	if ((c->state = h) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return false;
	}
	body = json_loadb(c->body != NULL ? c->body : "", c->body_len, 0, &error);
	if (!json_is_object(body)) {
		json_decref(body);
		call_refuse(c, DISCARD_invalid_json, NULL, "the body must be the JSON object that Flagger sends");
		return false;
	}
	metadata = json_object_get(body, "metadata");
	h->name = keep(c, body, "name");
	h->namespace = keep(c, body, "namespace");
	h->phase = keep(c, body, "phase");
	h->checksum = keep(c, body, "checksum");
	h->message = keep(c, metadata, "eventMessage");
	ok = take_id(c, h, keep(c, metadata, "deployment"));
	if (ok)
		plan(c, h, metadata);
	json_decref(body);
	return ok;
}

/* ---- questions ---- */

static void
ask_verdict(struct call *c, const struct ledger *l)
{
	struct hook *h = c->state;
	uint32_t no;

	h->found = ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) && ledger_verdict(l, no, &h->view) &&
		   h->view.state != STATE_DELETED;
}

static void
say(struct call *c, int status, const char *word, const char *why)
{
	char text[VERDICT_REASON_MAX + 64];
	int n = snprintf(text, sizeof(text), "%s: %s\n", word, why);

	http_set_header(c->req, "Cache-Control", "no-store");
	http_set_header(c->req, "X-Content-Type-Options", "nosniff");
	http_answer(c->req, status, "text/plain; charset=utf-8", text,
		    n < 0                      ? 0
		    : (size_t)n < sizeof(text) ? (size_t)n
					       : sizeof(text) - 1);
}

/* The status for each verdict: the table above. */
static void
tell(struct call *c, int proceed, int hold, int halt)
{
	const struct hook *h = c->state;
	const char *doubt = NULL;
	enum verdict v = h->found ? verdict_told(c->api, &h->view, &doubt) : VERDICT_HOLD;
	const char *why =
		!h->found ? "no deployment of this name is known; the event webhook brings them" : h->view.reason;

	if (doubt != NULL)
		why = doubt;
	say(c, v == VERDICT_PROCEED ? proceed : v == VERDICT_HALT ? halt : hold, verdict_name(v), why);
}

static void
confirm(struct call *c)
{
	tell(c, 200, 403, 403);
}

static void
check(struct call *c)
{
	tell(c, 200, 200, 403);
}

static void
rollback(struct call *c)
{
	tell(c, 403, 403, 200);
}

static void
hook_begin(struct http_request *r)
{
	call_new(r);
}

static void
confirm_complete(struct http_request *r)
{
	if (read_hook(r->ctx))
		call_ask(r->ctx, ask_verdict, confirm);
}

static void
check_complete(struct http_request *r)
{
	if (read_hook(r->ctx))
		call_ask(r->ctx, ask_verdict, check);
}

static void
rollback_complete(struct http_request *r)
{
	if (read_hook(r->ctx))
		call_ask(r->ctx, ask_verdict, rollback);
}

/* ---- events ---- */

/* The rollout runs, and the checksum is that of what is rolled out: the first event of a
 * revision still carries the checksum of the one before. */
static bool
names_a_rollout(const struct hook *h)
{
	static const char *const running[] = { "Progressing", "WaitingPromotion", "Promoting", "Finalising" };

	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		if (strcmp(h->phase, running[i]) == 0)
			return strncmp(h->message, "New revision detected", 21) != 0;
	return false;
}

static void
learned(struct call *c)
{
	const struct hook *h = c->state;

	if (!h->found)
		say(c, 200, "refused", "the deployment is not known; too many may be open");
	else
		say(c, 200, "learned", c->id);
}

static void
ask_known(struct call *c, const struct ledger *l)
{
	struct hook *h = c->state;
	uint32_t no;

	h->found = ledger_deployment_find(l, API_TENANT, text_of(c->id), &no);
}

static void
event_asked(struct call *c)
{
	struct hook *h = c->state;

	if (h->found)
		say(c, 200, "known", c->id);
	else if (!fold_caught_up(c->api->env.fold))
		say(c, 200, "later", "the server is still reading its log; the next event will do");
	else if (h->deployment.artefact == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (call_log_begin(c) && call_log_add(c, RECORD_DEPLOYMENT, &h->deployment.base))
		call_log_commit(c, ask_known, learned);
}

static void
event_complete(struct http_request *r)
{
	struct call *c = r->ctx;

	if (!read_hook(c))
		return;
	if (names_a_rollout(c->state))
		call_ask(c, ask_known, event_asked);
	else
		say(c, 200, "noted", ((const struct hook *)c->state)->phase);
}

const struct http_ops flagger_confirm_ops = {
	.begin = hook_begin,
	.body = call_body,
	.complete = confirm_complete,
	.end = call_end,
};
const struct http_ops flagger_check_ops = {
	.begin = hook_begin,
	.body = call_body,
	.complete = check_complete,
	.end = call_end,
};
const struct http_ops flagger_rollback_ops = {
	.begin = hook_begin,
	.body = call_body,
	.complete = rollback_complete,
	.end = call_end,
};
const struct http_ops flagger_event_ops = {
	.begin = hook_begin,
	.body = call_body,
	.complete = event_complete,
	.end = call_end,
};
