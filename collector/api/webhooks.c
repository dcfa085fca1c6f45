/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/webhooks: who is told, what became of it, try again. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "collector/api/call.h"

static void
answer(struct call *c, const char *endpoint)
{
	const struct api_env *env = &c->api->env;
	char *text = env->webhooks != NULL ? env->webhooks(env->arg, endpoint) : NULL;

	if (text == NULL && endpoint != NULL) {
		call_refuse(c, DISCARD_unknown_webhook, "name", NULL);
		return;
	}
	if (text != NULL)
		jsonout_raw(&c->out, text, strlen(text));
	else
		jsonout_raw(&c->out, "{\"webhooks\":[]}", 15);
	free(text);
	call_send(c);
}

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		answer(c, NULL);
}

static void
one_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		answer(c, r->segment);
}

static void
write_begin(struct http_request *r)
{
	call_new(r);
}

/* {} or {"id":"..."}: the id into the arena, NULL if there is none.  false: refused. */
static bool
read_id(struct call *c, const char **id_out)
{
	json_error_t error;
	json_t *body = json_loadb(c->body != NULL ? c->body : "", c->body_len, JSON_REJECT_DUPLICATES, &error), *id;
	bool ok = false;
	char *copy;

	*id_out = NULL;
	if (!json_is_object(body)) {
		call_refuse(c, DISCARD_invalid_json, NULL, "the body must be a JSON object: {} or {\"id\":\"...\"}");
	} else if ((id = json_object_get(body, "id")) == NULL) {
		ok = json_object_size(body) == 0;
		if (!ok)
			call_refuse(c, DISCARD_invalid_field, json_object_iter_key(json_object_iter(body)),
				    "there is no such field here");
	} else if (!json_is_string(id) || json_object_size(body) != 1) {
		call_refuse(c, DISCARD_invalid_json_value, "id", "must be a string, and the only member");
	} else if ((copy = arena_calloc(c->arena, json_string_length(id) + 1, 1)) == NULL) {
		call_refuse(c, DISCARD_body_too_large, NULL, NULL);
	} else {
		*id_out = strcpy(copy, json_string_value(id));
		ok = true;
	}
	json_decref(body);
	return ok;
}

static void
redeliver_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	const struct api_env *env = &c->api->env;
	const char *id;
	int again;

	if (!read_id(c, &id))
		return;
	again = env->webhook_redeliver != NULL ? env->webhook_redeliver(env->arg, r->segment, id) : -1;
	if (again < 0 || (again == 0 && id != NULL)) {
		call_refuse(c, DISCARD_unknown_webhook, again < 0 ? "name" : "id", NULL);
		return;
	}
	jsonout_open(&c->out, NULL, '{');
	jsonout_u64(&c->out, "queued", (uint64_t)again);
	jsonout_close(&c->out, '}');
	c->status = 202;
	call_send(c);
}

static void
ping_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	const struct api_env *env = &c->api->env;
	char id[64];
	const char *given;

	if (!read_id(c, &given))
		return;
	if (given != NULL) {
		call_refuse(c, DISCARD_invalid_field, "id", "there is no such field here");
		return;
	}
	if (env->webhook_ping == NULL || env->webhook_ping(env->arg, r->segment, id) != 0) {
		call_refuse(c, DISCARD_unknown_webhook, "name", NULL);
		return;
	}
	jsonout_open(&c->out, NULL, '{');
	jsonout_u64(&c->out, "queued", 1);
	jsonout_string(&c->out, "id", id);
	jsonout_close(&c->out, '}');
	c->status = 202;
	call_send(c);
}

const struct http_ops webhooks_list_ops = { .begin = list_begin, .end = call_end };
const struct http_ops webhook_ops = { .begin = one_begin, .end = call_end };
const struct http_ops webhook_redeliver_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = redeliver_complete,
	.end = call_end,
};
const struct http_ops webhook_ping_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = ping_complete,
	.end = call_end,
};
