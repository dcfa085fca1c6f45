/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/deployments: list, show, create or change. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "collector/api/deployment_page.h"
#include "collector/api/page.h"
#include "collector/api/words.h"
#include "proto/pbarena.h"

#define LIST_MAX 1000u

/* ---- list ---- */

/* ?view=page: worst first, or the newest, with how many there are of each chip. */
struct list {
	char status[24], part[64]; /* "": all */
	bool newest;
	uint64_t limit, from;
};

static const char *const statuses[] = { "halt", "halt_uncertified", "halt_recovered", "watch", "would_halt",
					"hold", "proceed" };
#define N_STATUSES (sizeof(statuses) / sizeof(statuses[0]))

static bool
take_list(struct call *c, struct list *q)
{
	char text[32];

	q->limit = 100;
	if (http_query(c->req, "limit", text, sizeof(text)) == 0 && params_count(text, 1, LIST_MAX, &q->limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return false;
	}
	if (http_query(c->req, "cursor", text, sizeof(text)) == 0 && params_count(text, 0, UINT32_MAX, &q->from) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
		return false;
	}
	if (http_query(c->req, "sort", text, sizeof(text)) == 0 && strcmp(text, "gravity") != 0) {
		q->newest = strcmp(text, "newest") == 0;
		if (!q->newest) {
			call_refuse(c, DISCARD_invalid_parameter, "sort", "is gravity or newest");
			return false;
		}
	}
	if (http_query(c->req, "q", q->part, sizeof(q->part)) != 0)
		q->part[0] = '\0';
	if (http_query(c->req, "state", q->status, sizeof(q->status)) != 0)
		q->status[0] = '\0';
	return true;
}

static bool
is_listed(const struct list *q, const struct view_deployment *d, const char *status)
{
	if (q->part[0] != '\0' && strstr(d->id, q->part) == NULL)
		return false;
	if (q->status[0] == '\0')
		return true;
	if (strcmp(q->status, "open") == 0 || strcmp(q->status, "closed") == 0)
		return d->open == (q->status[0] == 'o');
	return d->open && strcmp(q->status, status) == 0;
}

static int
by_creation(const void *a, const void *b)
{
	const struct view_deployment *const *x = a, *const *y = b;

	if ((*x)->created_us != (*y)->created_us)
		return (*x)->created_us > (*y)->created_us ? -1 : 1;
	return strcmp((*x)->id, (*y)->id);
}

static void
facets(struct jsonout *j, const struct api *a, const struct view_deployment *const *rows, uint32_t n)
{
	uint64_t of[N_STATUSES] = { 0 }, open = 0;

	for (uint32_t i = 0; i < n; i++) {
		const char *status = page_status(a, &rows[i]->verdict);

		open += rows[i]->open;
		for (size_t k = 0; rows[i]->open && k < N_STATUSES; k++)
			of[k] += strcmp(statuses[k], status) == 0;
	}
	jsonout_open(j, "facets", '{');
	jsonout_open(j, "status", '{');
	for (size_t k = 0; k < N_STATUSES; k++)
		jsonout_u64(j, statuses[k], of[k]);
	jsonout_close(j, '}');
	jsonout_u64(j, "open", open);
	jsonout_u64(j, "closed", n - open);
	jsonout_close(j, '}');
}

static void
list_page(struct call *c)
{
	struct list q = { .limit = 0 };
	const struct view_deployment **rows;
	const struct fold_view *v;
	struct jsonout *j = &c->out;
	uint64_t total = 0, position;
	uint32_t n;

	if (!take_list(c, &q))
		return;
	v = fold_view_get(c->api->env.fold);
	position = v->position;
	rows = now_ranked(c->api, v, &n);
	if (q.newest && n > 0)
		qsort(rows, n, sizeof(*rows), by_creation);
	jsonout_open(j, NULL, '{');
	page_head(c, v->position, v->now_us);
	facets(j, c->api, rows, n);
	jsonout_open(j, "deployments", '[');
	for (uint32_t i = 0; i < n; i++)
		if (is_listed(&q, rows[i], page_status(c->api, &rows[i]->verdict))) {
			if (total >= q.from && total < q.from + q.limit)
				words_deployment(j, c->api, rows[i]);
			total++;
		}
	jsonout_close(j, ']');
	jsonout_u64(j, "total", total);
	if (total > q.from + q.limit) {
		char next[24];

		snprintf(next, sizeof(next), "%llu", (unsigned long long)(q.from + q.limit));
		jsonout_string(j, "next", next);
	} else {
		jsonout_null(j, "next");
	}
	jsonout_close(j, '}');
	free(rows);
	fold_view_put(c->api->env.fold, v);
	page_send(c, position);
}

/* Is view=page asked for?  Anything else is refused and answered. */
static bool
take_view(struct call *c, bool *page_out)
{
	char view[8];

	*page_out = http_query(c->req, "view", view, sizeof(view)) == 0 && strcmp(view, "page") == 0;
	if (*page_out || strstr(c->req->query, "view=") == NULL)
		return true;
	call_refuse(c, DISCARD_invalid_parameter, "view", "is page");
	return false;
}

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	const struct fold_view *v;
	char cursor[DEPLOYMENT_ID_MAX + 1] = "", limit_text[16];
	uint64_t limit = 100;
	uint32_t i = 0, n = 0;
	bool page;

	if (c == NULL || !take_view(c, &page))
		return;
	if (page) {
		list_page(c);
		return;
	}
	if (http_query(r, "limit", limit_text, sizeof(limit_text)) == 0 &&
	    params_count(limit_text, 1, LIST_MAX, &limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return;
	}
	if (http_query(r, "cursor", cursor, sizeof(cursor)) == 0 && !params_deployment_id(text_of(cursor))) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list");
		return;
	}
	v = fold_view_get(c->api->env.fold);
	while (i < v->n_deployments &&
	       (v->deployments[i].tenant != API_TENANT || strcmp(v->deployments[i].id, cursor) <= 0))
		i++;
	jsonout_open(&c->out, NULL, '{');
	call_freshness(&c->out, c->api->env.fold, v->position, v->now_us);
	jsonout_open(&c->out, "deployments", '[');
	for (; i < v->n_deployments && v->deployments[i].tenant == API_TENANT && n < limit; i++)
		if (v->deployments[i].verdict.state != STATE_DELETED) {
			words_deployment(&c->out, c->api, &v->deployments[i]);
			n++;
		}
	jsonout_close(&c->out, ']');
	jsonout_string(&c->out, "next", n == limit && i < v->n_deployments ? v->deployments[i - 1].id : NULL);
	jsonout_close(&c->out, '}');
	fold_view_put(c->api->env.fold, v);
	call_send(c);
}

const struct http_ops deployments_list_ops = { .begin = list_begin, .end = call_end };

/* ---- show ---- */

struct show {
	uint8_t *packed;
	size_t packed_len;
	bool created;
};

static void
texts(struct jsonout *j, const char *key, char *const *at, size_t n)
{
	jsonout_open(j, key, '[');
	for (size_t i = 0; i < n; i++)
		jsonout_string(j, NULL, at[i]);
	jsonout_close(j, ']');
}

static void
halt_values(struct jsonout *j, const Faultline__Log__Deployment *d)
{
	jsonout_open(j, "halt", '{');
	for (size_t i = 0; i < d->n_halt; i++) {
		const char *name = d->halt[i]->name, *value = d->halt[i]->value;
		char *end;
		double number = strtod(value, &end);

		if (*value != '\0' && *end == '\0')
			jsonout_real(j, name, number);
		else
			jsonout_bool(j, name, strcmp(value, "yes") == 0);
	}
	jsonout_close(j, '}');
}

static void
members(struct jsonout *j, const Faultline__Log__Ring *r)
{
	if (r->n_hosts == 0)
		return;
	jsonout_open(j, "members", '[');
	for (size_t i = 0; i < r->n_hosts; i++)
		jsonout_host(j, NULL, r->hosts[i]);
	jsonout_close(j, ']');
	if (r->hold_back > 0)
		jsonout_double(j, "hold_back", r->hold_back, 6);
}

/* As PUT takes it. */
static void
plan(struct jsonout *j, const Faultline__Log__Deployment *d)
{
	const Faultline__Log__Selector *s = d->eligible;

	jsonout_open(j, "plan", '{');
	jsonout_string(j, "artefact", d->artefact);
	jsonout_string(j, "version", d->version);
	texts(j, "modules", d->modules, d->n_modules);
	jsonout_open(j, "eligible", '{');
	if (s != NULL) {
		texts(j, "products", s->products, s->n_products);
		texts(j, "os_builds", s->os_builds, s->n_os_builds);
		texts(j, "sites", s->sites, s->n_sites);
		texts(j, "hw_classes", s->hw_classes, s->n_hw_classes);
		jsonout_open(j, "hosts", '[');
		for (size_t i = 0; i < s->n_hosts; i++)
			jsonout_host(j, NULL, s->hosts[i]);
		jsonout_close(j, ']');
	}
	jsonout_close(j, '}');
	jsonout_string(j, "assignment", d->assignment);
	jsonout_hex(j, "salt", d->salt);
	jsonout_open(j, "rings", '[');
	for (size_t i = 0; i < d->n_rings; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "name", d->rings[i]->name);
		if (d->rings[i]->size != 0)
			jsonout_u64(j, "hosts", d->rings[i]->size);
		else if (d->rings[i]->percent > 0)
			jsonout_double(j, "percent", d->rings[i]->percent, 6);
		members(j, d->rings[i]);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	if (d->bake_ms != 0)
		jsonout_double(j, "bake", (double)d->bake_ms / 1000, 3);
	if (d->close_ms != 0)
		jsonout_double(j, "close_after", (double)d->close_ms / 1000, 3);
	jsonout_string(j, "mode", d->mode);
	if (d->content_name[0] != '\0') {
		jsonout_open(j, "content", '{');
		jsonout_string(j, "name", d->content_name);
		jsonout_string(j, "version", d->content_version);
		jsonout_close(j, '}');
	}
	if (d->n_halt > 0)
		halt_values(j, d);
	jsonout_string(j, "actor", d->actor);
	jsonout_close(j, '}');
}

static void
ask_show(struct call *c, const struct ledger *l)
{
	struct show *s = c->state;
	struct jsonout *j = &c->out;
	struct deployment_view d;
	struct verdict_view v;
	uint32_t no;

	if (!ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) || !ledger_deployment(l, no, &d) ||
	    !ledger_verdict(l, no, &v) || v.state == STATE_DELETED) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	if ((s->packed = arena_calloc(c->arena, d.packed.len + 1, 1)) == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return;
	}
	if (d.packed.len > 0)
		memcpy(s->packed, d.packed.at, d.packed.len);
	s->packed_len = d.packed.len;
	jsonout_open(j, NULL, '{');
	jsonout_text(j, "id", d.id);
	jsonout_bool(j, "open", d.open);
	jsonout_time(j, "created", d.begin_us);
	jsonout_time(j, "first_served", d.first_receipt_us);
	jsonout_time(j, "last_served", d.last_receipt_us);
	jsonout_double(j, "bake_seconds", (double)d.bake_ms / 1000, 3);
	jsonout_double(j, "close_after_seconds", (double)d.close_ms / 1000, 3);
	jsonout_open(j, "rings", '[');
	for (uint32_t i = 0; i < d.n_rings; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_text(j, "name", d.rings[i].name);
		if (d.rings[i].rest)
			jsonout_null(j, "hosts");
		else
			jsonout_u64(j, "hosts", d.rings[i].size);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
	verdict_json(j, c->api, &v);
}

static void
shown(struct call *c)
{
	struct show *s = c->state;
	ProtobufCAllocator allocator = pbarena(c->arena);
	Faultline__Log__Deployment *d;

	if (c->refusal == DISCARD_none) {
		d = faultline__log__deployment__unpack(&allocator, s->packed_len, s->packed);
		if (d != NULL)
			plan(&c->out, d);
		jsonout_close(&c->out, '}');
		c->status = s->created ? 201 : 200;
	}
	call_send(c);
}

static void
show_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c == NULL || !call_take_id(c) || deployment_page_begin(c))
		return;
	if ((c->state = ARENA_NEW(c->arena, struct show)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else
		call_ask(c, ask_show, shown);
}

const struct http_ops deployment_ops = { .begin = show_begin, .end = call_end };

/* ---- create or change ---- */

struct put {
	struct show show; /* first: the answer is that of GET */
	Faultline__Log__Deployment *message;
	bool has_salt;
	bool exists, same;
	const char *refused;
	uint64_t salt_now;
};

static bool
same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static uint8_t *
pack(struct call *c, const Faultline__Log__Deployment *m, size_t *len_out)
{
	uint8_t *packed = arena_calloc(c->arena, faultline__log__deployment__get_packed_size(m) + 1, 1);

	if (packed == NULL)
		c->refusal = DISCARD_too_many_waiters;
	else
		*len_out = faultline__log__deployment__pack(m, packed);
	return packed;
}

/* The same plan, whoever asks for it? */
static bool
same_plan(struct call *c, const struct put *p, const struct deployment_view *d)
{
	Faultline__Log__Deployment m = *p->message;
	uint8_t *packed;
	size_t len;

	if ((m.actor = arena_calloc(c->arena, d->actor.len + 1, 1)) == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return false;
	}
	if (d->actor.len > 0)
		memcpy(m.actor, d->actor.at, d->actor.len);
	packed = pack(c, &m, &len);
	return packed != NULL && same_bytes(packed, len, d->packed.at, d->packed.len);
}

/* Is the change allowed, is it one at all? */
static void
ask_put(struct call *c, const struct ledger *l)
{
	struct put *p = c->state;
	struct deployment_view d;
	struct verdict_view v;
	uint32_t no;
	size_t len;
	uint8_t *packed;

	p->exists = ledger_deployment_find(l, API_TENANT, text_of(c->id), &no) && ledger_deployment(l, no, &d) &&
		    ledger_verdict(l, no, &v) && v.state != STATE_DELETED;
	if (!p->has_salt)
		p->message->salt = p->exists ? d.salt : random_u64() | 1;
	p->same = p->exists && same_plan(c, p, &d);
	if (p->same) {
		ask_show(c, l);
		return;
	}
	if ((packed = pack(c, p->message, &len)) != NULL)
		p->refused = ledger_refuses_deployment(l, API_TENANT, packed, len);
}

/* After the record was folded: did the ledger take it?  A receipt may have come between. */
static void
ask_written(struct call *c, const struct ledger *l)
{
	struct put *p = c->state;
	size_t len;
	uint8_t *packed = pack(c, p->message, &len);

	if (packed != NULL)
		ask_show(c, l);
	if (c->refusal == DISCARD_none && !same_bytes(packed, len, p->show.packed, p->show.packed_len))
		c->refusal = DISCARD_conflict;
}

static void
put_asked(struct call *c)
{
	struct put *p = c->state;

	if (c->refusal != DISCARD_none || p->same) {
		shown(c);
		return;
	}
	if (p->refused != NULL) {
		call_refuse(c, DISCARD_conflict, "id",
			    strcmp(p->refused, "frozen") == 0   ? NULL
			    : strcmp(p->refused, "closed") == 0 ? "the deployment is closed; use another id"
			    : strcmp(p->refused, "too_many_open") == 0
				    ? "too many deployments are open; delete old ones"
				    : p->refused);
		return;
	}
	p->show.created = !p->exists;
	if (call_log_begin(c) && call_log_add(c, RECORD_DEPLOYMENT, &p->message->base))
		call_log_commit(c, ask_written, shown);
}

static void
put_begin(struct http_request *r)
{
	struct call *c = call_new(r);

	if (c != NULL)
		call_take_id(c);
}

static void
put_complete(struct http_request *r)
{
	struct call *c = r->ctx;
	struct body_hosts hosts = { call_hash_host, c->api };
	struct put *p = ARENA_NEW(c->arena, struct put);
	struct body_error err;

	if (p == NULL || (p->message = ARENA_NEW(c->arena, Faultline__Log__Deployment)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	c->state = p;
	if (body_deployment(c->body, c->body_len, c->id, &hosts, c->arena, p->message, &p->has_salt, &err) != 0)
		call_refuse_body(c, &err);
	else
		call_ask(c, ask_put, put_asked);
}

const struct http_ops deployment_put_ops = {
	.begin = put_begin,
	.body = call_body,
	.complete = put_complete,
	.end = call_end,
};
