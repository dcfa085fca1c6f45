/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/settings.h"
#include "base/signature.h"
#include "collector/api/body.h"
#include "collector/api/params.h"
#include "collector/ledger/halt_params.h"
#include "proto/report.h"

/* One decode: where things go and the first thing that was wrong. */
struct decode {
	struct arena *arena;
	const struct body_hosts *hosts;
	struct body_error *err;
	char path[48]; /* "eligible." while inside it */
};

__attribute__((format(printf, 4, 5))) static int
refuse(struct decode *d, enum discard code, const char *field, const char *fmt, ...)
{
	va_list ap;

	d->err->code = code;
	snprintf(d->err->field, sizeof(d->err->field), "%s%s", d->path, field);
	for (char *p = d->err->field; *p != '\0'; p++) /* names of unknown fields are the client's */
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	va_start(ap, fmt);
	vsnprintf(d->err->message, sizeof(d->err->message), fmt, ap);
	va_end(ap);
	return -1;
}

static int
out_of_memory(struct decode *d)
{
	return refuse(d, DISCARD_body_too_large, "", "the body is too large");
}

static json_t *
parse(struct decode *d, const void *data, size_t len)
{
	json_error_t error;
	json_t *root;

	if (len == 0) {
		refuse(d, DISCARD_empty, "", "the body is empty: send a JSON object");
		return NULL;
	}
	root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &error);
	if (root == NULL)
		refuse(d, DISCARD_invalid_json, "", "line %d, column %d: %.100s", error.line, error.column, error.text);
	else if (!json_is_object(root)) {
		refuse(d, DISCARD_invalid_json_value, "", "the body must be a JSON object");
		json_decref(root);
		root = NULL;
	}
	return root;
}

/* Refuse every field that is not in the NULL-terminated list. */
static int
only(struct decode *d, json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const char *const *k = known;

		while (*k != NULL && strcmp(*k, key) != 0)
			k++;
		if (*k == NULL)
			return refuse(d, DISCARD_invalid_field, key, "there is no such field here");
	}
	return 0;
}

/* A text value of min to max bytes without control characters, copied into the arena. */
static int
text_value(struct decode *d, const char *field, json_t *v, size_t min, size_t max, char **out)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);
	char *copy;

	if (s == NULL)
		return refuse(d, DISCARD_invalid_json_value, field, "must be a string");
	if (len < min || len > max)
		return refuse(d, DISCARD_invalid_field, field, "must be %zu to %zu bytes long", min, max);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return refuse(d, DISCARD_invalid_field, field, "must hold no control character");
	if ((copy = arena_calloc(d->arena, len + 1, 1)) == NULL)
		return out_of_memory(d);
	memcpy(copy, s, len);
	*out = copy;
	return 0;
}

/* The same for a member of an object; left alone when absent and min is 0. */
static int
text_member(struct decode *d, json_t *object, const char *field, size_t min, size_t max, char **out)
{
	json_t *v = json_object_get(object, field);

	if (v == NULL)
		return min == 0 ? 0 : refuse(d, DISCARD_invalid_field, field, "is required");
	return text_value(d, field, v, min, max, out);
}

/* One of the NULL-terminated words; the first is the default. */
static int
choice_member(struct decode *d, json_t *object, const char *field, const char *const *words, char **out)
{
	json_t *v = json_object_get(object, field);
	const char *s = words[0];
	char list[64] = "";

	if (v != NULL && (s = json_string_value(v)) == NULL)
		return refuse(d, DISCARD_invalid_json_value, field, "must be a string");
	for (size_t i = 0; words[i] != NULL; i++) {
		size_t used = strlen(list);

		if (strcmp(words[i], s) == 0) {
			if ((*out = arena_calloc(d->arena, strlen(s) + 1, 1)) == NULL)
				return out_of_memory(d);
			strcpy(*out, s);
			return 0;
		}
		snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ", words[i]);
	}
	return refuse(d, DISCARD_invalid_field, field, "must be one of %s", list);
}

/* Milliseconds: a number of seconds or "30m". */
static int
duration_member(struct decode *d, json_t *object, const char *field, uint64_t max_ms, uint64_t *out)
{
	json_t *v = json_object_get(object, field);

	if (v == NULL)
		return 0;
	if (json_is_string(v)) {
		if (params_duration(json_string_value(v), out) != 0)
			return refuse(d, DISCARD_invalid_field, field, "must be a time like \"30m\"");
	} else if (json_is_number(v)) {
		double s = json_number_value(v);

		if (!(s >= 0 && s <= 1e9))
			return refuse(d, DISCARD_invalid_field, field, "is out of range");
		*out = (uint64_t)(s * 1000 + 0.5);
	} else
		return refuse(d, DISCARD_invalid_json_value, field, "must be seconds or a time like \"30m\"");
	if (*out == 0 || *out > max_ms)
		return refuse(d, DISCARD_invalid_field, field, "must be more than 0 and at most %" PRIu64 " s",
			      max_ms / 1000);
	return 0;
}

static int
array_member(struct decode *d, json_t *object, const char *field, size_t max, json_t **out)
{
	json_t *v = json_object_get(object, field);

	*out = v;
	if (v == NULL)
		return 0;
	if (!json_is_array(v))
		return refuse(d, DISCARD_invalid_json_value, field, "must be an array");
	if (json_array_size(v) > max)
		return refuse(d, DISCARD_too_many_items, field, "holds more than %zu items", max);
	return 0;
}

static int
texts_member(struct decode *d, json_t *object, const char *field, size_t max, size_t max_len, size_t *n_out,
	     char ***out)
{
	json_t *array, *v;
	char name[64];
	size_t i;

	if (array_member(d, object, field, max, &array) != 0)
		return -1;
	if (array == NULL || json_array_size(array) == 0)
		return 0;
	if ((*out = ARENA_ARRAY(d->arena, char *, json_array_size(array))) == NULL)
		return out_of_memory(d);
	json_array_foreach(array, i, v)
	{
		snprintf(name, sizeof(name), "%s[%zu]", field, i);
		if (text_value(d, name, v, 1, max_len, &(*out)[i]) != 0)
			return -1;
	}
	*n_out = json_array_size(array);
	return 0;
}

static int
hosts_member(struct decode *d, json_t *object, const char *field, size_t max, size_t *n_out, uint64_t **out)
{
	json_t *array, *v;
	char name[32];
	size_t i;

	if (array_member(d, object, field, max, &array) != 0)
		return -1;
	if (array == NULL || json_array_size(array) == 0)
		return 0;
	if ((*out = ARENA_ARRAY(d->arena, uint64_t, json_array_size(array))) == NULL)
		return out_of_memory(d);
	json_array_foreach(array, i, v)
	{
		struct text host = { json_string_value(v), json_string_length(v) };

		snprintf(name, sizeof(name), "%s[%zu]", field, i);
		if (host.at == NULL)
			return refuse(d, DISCARD_invalid_json_value, name, "must be a string: a host id or h:<16 hex>");
		if (host.len == 0 || host.len > HOST_ID_MAX)
			return refuse(d, DISCARD_invalid_host_id, name, "a host id is 1 to %u bytes", HOST_ID_MAX);
		(*out)[i] = d->hosts->hash(d->hosts->arg, host);
	}
	*n_out = json_array_size(array);
	return 0;
}

static int
eligible_member(struct decode *d, json_t *root, Faultline__Log__Deployment *out)
{
	static const char *const known[] = { "products", "os_builds", "sites", "hw_classes", "hosts", NULL };
	json_t *v = json_object_get(root, "eligible");
	Faultline__Log__Selector *s;
	int bad;

	if (v == NULL)
		return 0;
	if (!json_is_object(v))
		return refuse(d, DISCARD_invalid_json_value, "eligible", "must be an object");
	if ((s = ARENA_NEW(d->arena, Faultline__Log__Selector)) == NULL)
		return out_of_memory(d);
	faultline__log__selector__init(s);
	strcpy(d->path, "eligible.");
	bad = only(d, v, known) != 0 ||
	      texts_member(d, v, "products", BODY_MAX_CHOICES, TEXT_NAME_MAX, &s->n_products, &s->products) != 0 ||
	      texts_member(d, v, "os_builds", BODY_MAX_CHOICES, TEXT_NAME_MAX, &s->n_os_builds, &s->os_builds) != 0 ||
	      texts_member(d, v, "sites", BODY_MAX_CHOICES, TEXT_NAME_MAX, &s->n_sites, &s->sites) != 0 ||
	      texts_member(d, v, "hw_classes", BODY_MAX_CHOICES, TEXT_NAME_MAX, &s->n_hw_classes, &s->hw_classes) !=
		      0 ||
	      hosts_member(d, v, "hosts", BODY_MAX_LISTED, &s->n_hosts, &s->hosts) != 0;
	d->path[0] = '\0';
	out->eligible = s;
	return bad ? -1 : 0;
}

/* A hand-picked ring: who is in it, and what share of them is not served. */
static int
ring_members(struct decode *d, json_t *v, Faultline__Log__Ring *ring)
{
	json_t *back = json_object_get(v, "hold_back");

	if (hosts_member(d, v, "members", BODY_MAX_LISTED, &ring->n_hosts, &ring->hosts) != 0)
		return -1;
	if (back == NULL)
		return 0;
	if (!json_is_number(back))
		return refuse(d, DISCARD_invalid_json_value, "hold_back", "must be a number");
	ring->hold_back = json_number_value(back);
	if (!(ring->hold_back > 0 && ring->hold_back < 100) || ring->n_hosts == 0)
		return refuse(d, DISCARD_invalid_field, "hold_back",
			      "must be a percentage, more than 0 and less than 100, of members");
	return 0;
}

static int
ring_value(struct decode *d, json_t *v, Faultline__Log__Ring *ring)
{
	static const char *const known[] = { "name", "hosts", "percent", "members", "hold_back", NULL };
	json_t *hosts, *percent;

	if (only(d, v, known) != 0 || text_member(d, v, "name", 1, TEXT_NAME_MAX, &ring->name) != 0)
		return -1;
	hosts = json_object_get(v, "hosts");
	percent = json_object_get(v, "percent");
	if (hosts != NULL && percent != NULL)
		return refuse(d, DISCARD_invalid_field, "percent", "give hosts or percent, not both");
	if (hosts != NULL) {
		if (!json_is_integer(hosts))
			return refuse(d, DISCARD_invalid_json_value, "hosts", "must be an integer");
		if (json_integer_value(hosts) < 1 || json_integer_value(hosts) > UINT32_MAX)
			return refuse(d, DISCARD_invalid_field, "hosts", "must be 1 to %u", UINT32_MAX);
		ring->size = (uint64_t)json_integer_value(hosts);
	}
	if (percent != NULL) {
		ring->percent = json_number_value(percent);
		if (!json_is_number(percent))
			return refuse(d, DISCARD_invalid_json_value, "percent", "must be a number");
		if (!(ring->percent > 0 && ring->percent <= 100))
			return refuse(d, DISCARD_invalid_field, "percent", "must be more than 0 and at most 100");
	}
	return ring_members(d, v, ring);
}

static int
rings_member(struct decode *d, json_t *root, Faultline__Log__Deployment *out)
{
	json_t *array, *v;
	size_t i;

	if (array_member(d, root, "rings", BODY_MAX_RINGS, &array) != 0)
		return -1;
	if (array == NULL || json_array_size(array) == 0)
		return 0;
	if ((out->rings = ARENA_ARRAY(d->arena, Faultline__Log__Ring *, json_array_size(array))) == NULL)
		return out_of_memory(d);
	json_array_foreach(array, i, v)
	{
		Faultline__Log__Ring *ring = ARENA_NEW(d->arena, Faultline__Log__Ring);

		if (ring == NULL)
			return out_of_memory(d);
		faultline__log__ring__init(ring);
		out->rings[i] = ring;
		snprintf(d->path, sizeof(d->path), "rings[%zu]", i);
		if (!json_is_object(v))
			return refuse(d, DISCARD_invalid_json_value, "", "must be an object");
		strcat(d->path, ".");
		if (ring_value(d, v, ring) != 0)
			return -1;
		for (size_t k = 0; k < i; k++)
			if (strcmp(out->rings[k]->name, ring->name) == 0)
				return refuse(d, DISCARD_invalid_field, "name", "two rings have this name");
		if (i + 1 < json_array_size(array) && ring->size == 0 && ring->percent <= 0)
			return refuse(d, DISCARD_invalid_field, "hosts", "only the last ring may take the rest");
	}
	d->path[0] = '\0';
	out->n_rings = json_array_size(array);
	return 0;
}

/* "0x…": 64 bits do not fit a JSON number everywhere. */
static int
salt_member(struct decode *d, json_t *root, uint64_t *out, bool *has_out)
{
	json_t *v = json_object_get(root, "salt");
	const char *s = json_string_value(v);
	char *end;

	*has_out = v != NULL;
	if (v == NULL)
		return 0;
	if (s == NULL)
		return refuse(d, DISCARD_invalid_json_value, "salt", "must be a string like \"0x1f\"");
	if (strncmp(s, "0x", 2) != 0 || strlen(s) < 3 || strlen(s) > 18 ||
	    strspn(s + 2, "0123456789abcdefABCDEF") != strlen(s + 2))
		return refuse(d, DISCARD_invalid_field, "salt", "must be 0x and 1 to 16 hex digits");
	*out = strtoull(s + 2, &end, 16);
	if (*out == 0)
		return refuse(d, DISCARD_invalid_field, "salt", "must not be 0");
	return 0;
}

/* A text that needs no check. */
static int
copy_text(struct decode *d, const char *s, char **out)
{
	if ((*out = arena_calloc(d->arena, strlen(s) + 1, 1)) == NULL)
		return out_of_memory(d);
	strcpy(*out, s);
	return 0;
}

/* {"alpha": 1e-6, "host_age": "1h", "auto_resume": false}, in canonical order and text: the
 * same values are the same plan. */
static int
halt_value(struct decode *d, size_t row, json_t *v, Faultline__Log__Setting **out)
{
	const struct halt_param *p = halt_params_row(row);
	char text[64] = "", why[96];
	struct halt_params scratch;

	if (p->is_flag ? !json_is_boolean(v) : !json_is_number(v) && !json_is_string(v))
		return refuse(d, DISCARD_invalid_json_value, p->name, "must be %s",
			      p->is_flag   ? "true or false"
			      : p->is_time ? "seconds or a time like \"1h\""
					   : "a number");
	if (json_is_boolean(v))
		snprintf(text, sizeof(text), "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_number(v))
		settings_real_text(json_number_value(v), text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", json_string_value(v));
	halt_params_default(&scratch, true);
	if (halt_params_set(&scratch, p->name, text, why, sizeof(why)) != 0)
		return refuse(d, DISCARD_invalid_field, p->name, "%s", why);
	halt_params_get(&scratch, row, text, sizeof(text));
	if ((*out = ARENA_NEW(d->arena, Faultline__Log__Setting)) == NULL)
		return out_of_memory(d);
	faultline__log__setting__init(*out);
	return copy_text(d, p->name, &(*out)->name) != 0 || copy_text(d, text, &(*out)->value) != 0 ? -1 : 0;
}

static int
halt_member(struct decode *d, json_t *root, Faultline__Log__Deployment *out)
{
	json_t *object = json_object_get(root, "halt"), *v;
	const char *known[HALT_PARAMS_MAX + 1] = { NULL };
	const struct halt_param *p;

	if (object == NULL)
		return 0;
	if (!json_is_object(object))
		return refuse(d, DISCARD_invalid_json_value, "halt", "must be an object");
	for (size_t i = 0; i < HALT_PARAMS_MAX && (p = halt_params_row(i)) != NULL; i++)
		known[i] = p->name;
	snprintf(d->path, sizeof(d->path), "halt.");
	if (only(d, object, known) != 0)
		return -1;
	if ((out->halt = ARENA_ARRAY(d->arena, Faultline__Log__Setting *, HALT_PARAMS_MAX)) == NULL)
		return out_of_memory(d);
	for (size_t i = 0; known[i] != NULL; i++)
		if ((v = json_object_get(object, known[i])) != NULL &&
		    halt_value(d, i, v, &out->halt[out->n_halt++]) != 0)
			return -1;
	d->path[0] = '\0';
	return 0;
}

static int
id_member(struct decode *d, json_t *root, const char *id)
{
	json_t *v = json_object_get(root, "id");

	if (v == NULL)
		return 0;
	if (!json_is_string(v))
		return refuse(d, DISCARD_invalid_json_value, "id", "must be a string");
	if (strcmp(json_string_value(v), id) != 0)
		return refuse(d, DISCARD_invalid_field, "id", "differs from the id in the path");
	return 0;
}

/* "content": {"name", "version"}: a host whose heartbeat has it was served. */
static int
content_member(struct decode *d, json_t *root, Faultline__Log__Deployment *out)
{
	static const char *const known[] = { "name", "version", NULL };
	json_t *v = json_object_get(root, "content");

	if (v == NULL)
		return 0;
	if (!json_is_object(v))
		return refuse(d, DISCARD_invalid_json_value, "content", "must be an object");
	snprintf(d->path, sizeof(d->path), "content.");
	if (only(d, v, known) != 0 || text_member(d, v, "name", 1, TEXT_NAME_MAX, &out->content_name) != 0 ||
	    text_member(d, v, "version", 0, VALUE_MAX, &out->content_version) != 0)
		return -1;
	d->path[0] = '\0';
	return out->content_name[0] != '\0' ? 0 : refuse(d, DISCARD_invalid_field, "content.name", "is required");
}

static int
deployment_object(struct decode *d, json_t *root, const char *id, Faultline__Log__Deployment *out, bool *has_salt_out)
{
	static const char *const known[] = { "id",         "artefact", "version", "modules", "eligible",
					     "assignment", "salt",     "rings",   "bake",    "close_after",
					     "mode",       "actor",    "halt",    "content", NULL };
	static const char *const assignments[] = { "hash", "listed", "site", NULL };
	static const char *const modes[] = { "armed", "shadow", NULL };
	const uint64_t day = 86400000;

	return only(d, root, known) != 0 || id_member(d, root, id) != 0 ||
			       text_member(d, root, "artefact", 0, VALUE_MAX, &out->artefact) != 0 ||
			       text_member(d, root, "version", 0, VERSION_MAX, &out->version) != 0 ||
			       texts_member(d, root, "modules", BODY_MAX_MODULES, 255, &out->n_modules,
					    &out->modules) != 0 ||
			       eligible_member(d, root, out) != 0 ||
			       choice_member(d, root, "assignment", assignments, &out->assignment) != 0 ||
			       salt_member(d, root, &out->salt, has_salt_out) != 0 || rings_member(d, root, out) != 0 ||
			       duration_member(d, root, "bake", 30 * day, &out->bake_ms) != 0 ||
			       duration_member(d, root, "close_after", 365 * day, &out->close_ms) != 0 ||
			       choice_member(d, root, "mode", modes, &out->mode) != 0 ||
			       halt_member(d, root, out) != 0 || content_member(d, root, out) != 0 ||
			       text_member(d, root, "actor", 0, TEXT_NAME_MAX, &out->actor) != 0
		       ? -1
		       : 0;
}

int
body_deployment(const void *data, size_t len, const char *id, const struct body_hosts *hosts, struct arena *a,
		Faultline__Log__Deployment *out, bool *has_salt_out, struct body_error *err)
{
	struct decode d = { .arena = a, .hosts = hosts, .err = err };
	json_t *root = parse(&d, data, len);
	int result;

	if (root == NULL)
		return -1;
	faultline__log__deployment__init(out);
	result = copy_text(&d, id, &out->id) != 0 ? -1 : deployment_object(&d, root, id, out, has_salt_out);
	json_decref(root);
	return result;
}

static int
at_member(struct decode *d, json_t *root, int64_t now_us, int64_t *out)
{
	json_t *v = json_object_get(root, "at");
	int64_t at;

	if (v == NULL)
		return 0;
	if (!json_is_string(v))
		return refuse(d, DISCARD_invalid_json_value, "at", "must be an RFC 3339 time");
	if (clock_parse_rfc3339(json_string_value(v), &at) != 0)
		return refuse(d, DISCARD_invalid_time, "at", "must be an RFC 3339 time");
	if (at <= 0 || !report_time_ok(at, now_us))
		return refuse(d, DISCARD_invalid_time, "at", "must be between 2000 and one day ahead");
	*out = at;
	return 0;
}

/* "percent": above 0, at most 100. */
static int
share_member(struct decode *d, json_t *root, double *out)
{
	json_t *v = json_object_get(root, "percent");

	if (!json_is_number(v))
		return refuse(d, DISCARD_invalid_json_value, "percent", "must be a number");
	*out = json_number_value(v);
	return *out > 0 && *out <= 100 ? 0
				       : refuse(d, DISCARD_invalid_field, "percent", "must be above 0 and at most 100");
}

static int
receipt_object(struct decode *d, json_t *root, int64_t now_us, Faultline__Log__Receipt *out)
{
	static const char *const known[] = { "hosts", "ring", "percent", "withdrawn", "at", "actor", NULL };
	json_t *withdrawn = json_object_get(root, "withdrawn");

	if (only(d, root, known) != 0 ||
	    hosts_member(d, root, "hosts", BODY_MAX_HOSTS, &out->n_hosts, &out->hosts) != 0)
		return -1;
	if (json_object_get(root, "ring") != NULL) {
		if (json_object_get(root, "hosts") != NULL)
			return refuse(d, DISCARD_invalid_field, "ring", "give hosts or ring, not both");
		if (text_member(d, root, "ring", 1, TEXT_NAME_MAX, &out->ring) != 0)
			return -1;
	} else if (json_object_get(root, "percent") != NULL) {
		if (json_object_get(root, "hosts") != NULL)
			return refuse(d, DISCARD_invalid_field, "percent", "give hosts or a percentage, not both");
		if (share_member(d, root, &out->percent) != 0)
			return -1;
	} else if (out->n_hosts == 0)
		return refuse(d, DISCARD_invalid_field, "hosts", "name at least one host, or a ring");
	if (withdrawn != NULL && !json_is_boolean(withdrawn))
		return refuse(d, DISCARD_invalid_json_value, "withdrawn", "must be true or false");
	out->withdrawn = json_is_true(withdrawn);
	return at_member(d, root, now_us, &out->at_us) != 0 ||
			       text_member(d, root, "actor", 0, TEXT_NAME_MAX, &out->actor) != 0
		       ? -1
		       : 0;
}

int
body_receipt(const void *data, size_t len, const char *id, int64_t now_us, const struct body_hosts *hosts,
	     struct arena *a, Faultline__Log__Receipt *out, struct body_error *err)
{
	struct decode d = { .arena = a, .hosts = hosts, .err = err };
	json_t *root = parse(&d, data, len);
	int result;

	if (root == NULL)
		return -1;
	faultline__log__receipt__init(out);
	result = copy_text(&d, id, &out->deployment) != 0 ? -1 : receipt_object(&d, root, now_us, out);
	json_decref(root);
	return result;
}

/* Which signature, and of a mute for how long. */
static int
mute_members(struct decode *d, json_t *root, int64_t now_us, Faultline__Log__Decision *out)
{
	const char *id = json_string_value(json_object_get(root, "signature"));
	const uint64_t year = 365ull * 86400000;
	uint64_t ms = 0;

	if (json_object_get(root, "signature") == NULL) {
		if (out->action != FAULTLINE__LOG__ACTION__ACTION_RELEASE)
			return refuse(d, DISCARD_invalid_field, "signature", "is required");
		return 0;
	}
	if (id == NULL || signature_id_parse(id, strlen(id), &out->signature) != 0)
		return refuse(d, DISCARD_invalid_field, "signature", "must be the id of a signature, s1-...");
	if (duration_member(d, root, "for", year, &ms) != 0)
		return -1;
	if (ms > 0)
		out->until_us = now_us + (int64_t)ms * 1000;
	return 0;
}

static int
wish_members(struct decode *d, json_t *root, struct body_wish *out)
{
	static char none[] = "";
	char *position = none;

	out->confirm = none;
	if (text_member(d, root, "confirm", 0, 128, &out->confirm) != 0 ||
	    text_member(d, root, "expect_position", 0, 16, &position) != 0)
		return -1;
	out->expect_position = 0;
	if (position[0] != '\0' && (strlen(position) != 16 || strspn(position, "0123456789abcdef") != 16))
		return refuse(d, DISCARD_invalid_field, "expect_position", "must be a position: 16 hex digits");
	if (position[0] != '\0')
		out->expect_position = strtoull(position, NULL, 16);
	return 0;
}

int
body_decision(const void *data, size_t len, const char *id, Faultline__Log__Action action, int64_t now_us,
	      struct arena *a, Faultline__Log__Decision *out, struct body_wish *wish, struct body_error *err)
{
	static const char *const known[] = { "reason", "actor", "expect_position", "confirm", NULL };
	static const char *const known_mute[] = { "reason", "actor", "expect_position", "confirm", "signature",
						  "for",    NULL };
	static const char *const known_accept[] = {
		"reason", "actor", "expect_position", "confirm", "signature", NULL
	};
	bool mutes = action >= FAULTLINE__LOG__ACTION__ACTION_MUTE && action <= FAULTLINE__LOG__ACTION__ACTION_RELEASE;
	struct decode d = { .arena = a, .err = err };
	json_t *root = parse(&d, data, len);
	int result;

	if (root == NULL)
		return -1;
	faultline__log__decision__init(out);
	out->action = action;
	result = copy_text(&d, id, &out->deployment) != 0 ||
				 only(&d, root,
				      !mutes                                          ? known
				      : action == FAULTLINE__LOG__ACTION__ACTION_MUTE ? known_mute
										      : known_accept) != 0 ||
				 text_member(&d, root, "reason", 1, BODY_REASON_MAX, &out->reason) != 0 ||
				 text_member(&d, root, "actor", 0, TEXT_NAME_MAX, &out->actor) != 0 ||
				 wish_members(&d, root, wish) != 0 ||
				 (mutes && mute_members(&d, root, now_us, out) != 0)
			 ? -1
			 : 0;
	json_decref(root);
	return result;
}

/* ---- safeguards and offers ---- */

static int
remove_member(struct decode *d, json_t *root, Faultline__Log__Safeguard *out)
{
	const char *s = json_string_value(json_object_get(root, "remove"));
	int end = 0;

	if (s == NULL)
		return refuse(d, DISCARD_invalid_json_value, "remove", "must be the id of a safeguard");
	if (sscanf(s, "sg-%16" SCNx64 ".%4" SCNu32 "%n", &out->remove_pos, &out->remove_index, &end) != 2 ||
	    s[end] != '\0' || out->remove_pos == 0)
		return refuse(d, DISCARD_invalid_field, "remove",
			      "is not the id of a safeguard: sg-... as GET tells it");
	return 0;
}

static int
add_member(struct decode *d, json_t *add, Faultline__Log__Safeguard *out)
{
	static const char *const known[] = { "hosts", "product", "os_build", "hw_class", NULL };

	if (!json_is_object(add))
		return refuse(d, DISCARD_invalid_json_value, "add", "must be an object");
	strcpy(d->path, "add.");
	if (only(d, add, known) != 0 ||
	    hosts_member(d, add, "hosts", BODY_MAX_LISTED, &out->n_hosts, &out->hosts) != 0 ||
	    text_member(d, add, "product", 0, TEXT_NAME_MAX, &out->product) != 0 ||
	    text_member(d, add, "os_build", 0, TEXT_NAME_MAX, &out->os_build) != 0 ||
	    text_member(d, add, "hw_class", 0, TEXT_NAME_MAX, &out->hw_class) != 0)
		return -1;
	if ((out->n_hosts > 0) == (out->product[0] != '\0' || out->os_build[0] != '\0' || out->hw_class[0] != '\0'))
		return refuse(d, DISCARD_invalid_field, "hosts",
			      "name hosts, or at least one of product, os_build and hw_class, not both");
	d->path[0] = '\0';
	return 0;
}

static int
safeguard_object(struct decode *d, json_t *root, Faultline__Log__Safeguard *out)
{
	static const char *const known[] = { "add", "remove", "reason", "actor", NULL };
	json_t *added = json_object_get(root, "add");

	if (only(d, root, known) != 0)
		return -1;
	if ((added != NULL) == (json_object_get(root, "remove") != NULL))
		return refuse(d, DISCARD_invalid_field, "add", "give add or remove, one of them");
	return (added != NULL ? add_member(d, added, out) : remove_member(d, root, out)) != 0 ||
			       text_member(d, root, "reason", 1, BODY_REASON_MAX, &out->reason) != 0 ||
			       text_member(d, root, "actor", 0, TEXT_NAME_MAX, &out->actor) != 0
		       ? -1
		       : 0;
}

int
body_safeguard(const void *data, size_t len, const char *id, const struct body_hosts *hosts, struct arena *a,
	       Faultline__Log__Safeguard *out, struct body_error *err)
{
	struct decode d = { .arena = a, .hosts = hosts, .err = err };
	json_t *root = parse(&d, data, len);
	int result;

	if (root == NULL)
		return -1;
	faultline__log__safeguard__init(out);
	result = copy_text(&d, id, &out->deployment) != 0 ? -1 : safeguard_object(&d, root, out);
	json_decref(root);
	return result;
}

int
body_hosts_list(const void *data, size_t len, const struct body_hosts *hosts, struct arena *a, size_t *n_out,
		uint64_t **out, struct body_error *err)
{
	static const char *const known[] = { "hosts", NULL };
	struct decode d = { .arena = a, .hosts = hosts, .err = err };
	json_t *root = parse(&d, data, len);
	int result;

	if (root == NULL)
		return -1;
	*n_out = 0;
	result = only(&d, root, known) != 0 ? -1 : hosts_member(&d, root, "hosts", BODY_MAX_HOSTS, n_out, out);
	if (result == 0 && *n_out == 0)
		result = refuse(&d, DISCARD_invalid_field, "hosts", "name at least one host");
	json_decref(root);
	return result;
}

int
body_offer(const void *data, size_t len, const struct body_hosts *hosts, struct arena *a, uint64_t *host_out,
	   char **up_to_out, char **actor_out, struct body_error *err)
{
	static const char *const known[] = { "host", "up_to", "actor", NULL };
	struct decode d = { .arena = a, .hosts = hosts, .err = err };
	json_t *root = parse(&d, data, len);
	char *host = NULL;
	int result;

	if (root == NULL)
		return -1;
	*up_to_out = *actor_out = NULL;
	result = only(&d, root, known) != 0 || text_member(&d, root, "host", 1, HOST_ID_MAX, &host) != 0 ||
				 text_member(&d, root, "up_to", 0, TEXT_NAME_MAX, up_to_out) != 0 ||
				 text_member(&d, root, "actor", 0, TEXT_NAME_MAX, actor_out) != 0
			 ? -1
			 : 0;
	if (result == 0)
		*host_out = hosts->hash(hosts->arg, text_of(host));
	json_decref(root);
	return result;
}

/* ---- what people say of signatures ---- */

/* A link that a page may offer: nothing but the web, and nothing that ends a line. */
static bool
is_link(const char *s)
{
	if (strncmp(s, "https://", 8) != 0 && strncmp(s, "http://", 7) != 0)
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || *s == '"' || *s == '<' || *s == '>' || *s == '\\')
			return false;
	return true;
}

static bool
has_controls(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\n') || *s == 0x7f)
			return true;
	return false;
}

static int
note_expects(struct decode *d, json_t *root, Faultline__Log__SignatureNote *out)
{
	json_t *v = json_object_get(root, "expect_position");
	const char *s = json_string_value(v);
	int end = 0;

	if (v == NULL)
		return 0;
	out->expects = true;
	if (json_is_null(v) || (s != NULL && s[0] == '\0'))
		return 0;
	if (s == NULL || sscanf(s, "%16" SCNx64 "%n", &out->expected, &end) != 1 || s[end] != '\0')
		return refuse(d, DISCARD_invalid_field, "expect_position",
			      "must be the position of the newest note, or \"\"");
	return 0;
}

static int
note_members(struct decode *d, json_t *root, Faultline__Log__SignatureNote *out)
{
	const char *into = json_string_value(json_object_get(root, "into"));

	if (out->action == FAULTLINE__LOG__NOTE_ACTION__NOTE_MERGE) {
		if (into == NULL || signature_id_parse(into, strlen(into), &out->into) != 0)
			return refuse(d, DISCARD_invalid_field, "into", "must be the id of a signature, s1-...");
	} else if (out->action == FAULTLINE__LOG__NOTE_ACTION__NOTE_ADVICE) {
		if (text_member(d, root, "text", 1, BODY_REASON_MAX, &out->text) != 0 ||
		    text_member(d, root, "link", 0, BODY_LINK_MAX, &out->link) != 0)
			return -1;
		if (has_controls(out->text))
			return refuse(d, DISCARD_invalid_field, "text", "holds a control character");
		if (out->link[0] != '\0' && !is_link(out->link))
			return refuse(d, DISCARD_invalid_field, "link", "must begin with https:// or http://");
	}
	return 0;
}

int
body_note(const void *data, size_t len, uint64_t signature, Faultline__Log__NoteAction action, struct arena *a,
	  Faultline__Log__SignatureNote *out, struct body_error *err)
{
	static const char *const known_advice[] = { "text", "link", "reason", "actor", "expect_position", NULL };
	static const char *const known_merge[] = { "into", "reason", "actor", "expect_position", NULL };
	static const char *const known[] = { "reason", "actor", "expect_position", NULL };
	struct decode d = { .arena = a, .err = err };
	json_t *root = parse(&d, data, len);
	int result;

	if (root == NULL)
		return -1;
	faultline__log__signature_note__init(out);
	out->signature = signature;
	out->action = action;
	result = only(&d, root,
		      action == FAULTLINE__LOG__NOTE_ACTION__NOTE_ADVICE  ? known_advice
		      : action == FAULTLINE__LOG__NOTE_ACTION__NOTE_MERGE ? known_merge
									  : known) != 0 ||
				 text_member(&d, root, "reason", 1, BODY_REASON_MAX, &out->reason) != 0 ||
				 text_member(&d, root, "actor", 0, TEXT_NAME_MAX, &out->actor) != 0 ||
				 note_members(&d, root, out) != 0 || note_expects(&d, root, out) != 0
			 ? -1
			 : 0;
	json_decref(root);
	return result;
}
