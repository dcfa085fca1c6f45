/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/signatures, and the same as a file: /v1/signatures.csv and .json.
 *
 * The ledger looks for what matches in short turns; this thread picks the page; the ledger then says what
 * its rows are. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/signature.h"
#include "collector/api/csv.h"
#include "collector/api/page.h"
#include "collector/api/words.h"
#include "collector/ledger/seek.h"

#define LIST_DEFAULT 100u
#define OFFSET_MAX   10000000u
#define ROWS_A_TURN  200u /* written on the ledger's thread at once */
#define EXPORT_BYTES ((size_t)256 * 1024 * 1024)

enum form { FORM_PAGE, FORM_JSON, FORM_CSV };

struct list {
	struct seek seek;
	struct search query;
	char text[SEARCH_MAX + 1];
	char module[MODULE_NAME_MAX + 1];
	char deployment[DEPLOYMENT_ID_MAX + 1];
	enum form form;
	uint64_t limit, offset;
	bool from_end, after;
	struct seek_row cursor;
	/* the page: rows [from, from + n) of seek, of which `written` are written */
	size_t from, n, written;
	struct seek_ranks ranks;
	struct seek_mark *marks;
	enum seek_state state;
	uint64_t position;
};

static const char *const sort_names[SEEK_SORTS] = {
	[SEEK_BY_HOSTS] = "hosts",     [SEEK_BY_SITES] = "sites", [SEEK_BY_REPORTS] = "reports",
	[SEEK_BY_CRASHES] = "crashes", [SEEK_NEWEST] = "newest",  [SEEK_LAST] = "last",
	[SEEK_BY_TREND] = "trend",
};
static const char *const group_names[] = { "signature", "build", "module", "all" };

/* ---- what is asked ---- */

/* 1: there and in buf, 0: absent, -1: too long or damaged (refused). */
static int
param(struct call *c, const char *name, char *buf, size_t size)
{
	const char *q = c->req->query;
	const size_t n = strlen(name);

	if (http_query(c->req, name, buf, size) == 0)
		return 1;
	for (; *q != '\0'; q += strcspn(q, "&"), q += *q == '&')
		if (strncmp(q, name, n) == 0 && q[n] == '=') {
			call_refuse(c, DISCARD_invalid_parameter, name, "is too long or not properly encoded");
			return -1;
		}
	return 0;
}

/* Place of a parameter's value among words; 0 when it is absent, -1: refused. */
static int
word(struct call *c, const char *name, const char *const *words, size_t n, const char *message)
{
	char buf[32];
	int there = param(c, name, buf, sizeof(buf));

	if (there <= 0)
		return there;
	for (size_t i = 0; i < n; i++)
		if (strcmp(buf, words[i]) == 0)
			return (int)i;
	call_refuse(c, DISCARD_invalid_parameter, name, message);
	return -1;
}

/* 0 or 1; absent: 0. */
static int
flag(struct call *c, const char *name)
{
	static const char *const words[] = { "0", "1" };

	return word(c, name, words, 2, "must be 0 or 1");
}

static bool
parse_order(struct call *c, struct list *l)
{
	int sort = word(c, "sort", sort_names, SEEK_SORTS,
			"must be hosts, sites, reports, crashes, newest, last or trend");
	int group = sort < 0 ? -1 : word(c, "group", group_names, 3, "must be signature, build or module");
	int rungs = group < 0 ? -1 : flag(c, "rungs");
	int facets = rungs < 0 ? -1 : flag(c, "facets");

	if (facets < 0)
		return false;
	l->seek.sort = (enum seek_sort)sort;
	l->seek.group = rungs == 1 ? SEEK_ALL : (enum seek_group)group;
	l->seek.facets = facets == 1;
	return true;
}

static bool
parse_page(struct call *c, struct list *l)
{
	struct params_cursor cursor;
	char buf[64];
	int there;

	l->limit = LIST_DEFAULT;
	if ((there = param(c, "limit", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && params_count(buf, 1, SEEK_PAGE, &l->limit) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", "must be 1 to 1000");
		return false;
	}
	if ((there = param(c, "offset", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && params_count(buf, 0, OFFSET_MAX, &l->offset) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "offset", "must be 0 to 10000000");
		return false;
	}
	if ((there = flag(c, "from_end")) < 0)
		return false;
	l->from_end = there == 1;
	if ((there = param(c, "cursor", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 &&
	    (params_cursor_parse(buf, &cursor) != 0 || cursor.order != l->seek.sort || cursor.id > UINT32_MAX)) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", "is not a cursor of this list and order");
		return false;
	}
	if (there == 1) {
		l->after = true;
		l->cursor = (struct seek_row){ .value = cursor.key, .key_no = (uint32_t)cursor.id };
	}
	return true;
}

static bool
parse_filters(struct call *c, struct list *l)
{
	char buf[1024];
	int there;

	if ((there = param(c, "module", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1)
		l->seek.module = (struct text){ l->module, module_name_normalise(text_of(buf), TEXT(""), l->module,
										 sizeof(l->module)) };
	if ((there = param(c, "kind", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && words_kind_parse(buf, &l->seek.kinds) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "kind",
			    "must be kernel, boot-critical, service, user or unknown");
		return false;
	}
	if ((there = param(c, "new_since", buf, sizeof(buf))) < 0)
		return false;
	if (there == 1 && params_since(buf, clock_wall_us(), &l->seek.new_since_us) != 0) {
		call_refuse(c, DISCARD_invalid_parameter, "new_since", "must be an age like 1h or an RFC 3339 time");
		return false;
	}
	if ((there = param(c, "deployment", l->deployment, sizeof(l->deployment))) < 0)
		return false;
	if (there == 1 && !params_deployment_id(text_of(l->deployment))) {
		call_refuse(c, DISCARD_invalid_parameter, "deployment", "is not a deployment id");
		return false;
	}
	l->seek.deployment = text_of(l->deployment);
	return true;
}

/* A query that is wrong is answered with the character at which it is. */
static bool
parse_query(struct call *c, struct list *l)
{
	struct search_error err;
	struct text q;
	int there = param(c, "q", l->text, sizeof(l->text));

	if (there < 0)
		return false;
	q = text_of(l->text);
	l->seek.query = &l->query;
	if (search_parse(q, &l->query, &err) == 0)
		return true;
	jsonout_reset(&c->out);
	jsonout_open(&c->out, NULL, '{');
	jsonout_open(&c->out, "error", '{');
	jsonout_string(&c->out, "code", discard_code(DISCARD_invalid_parameter));
	jsonout_string(&c->out, "message", err.message);
	jsonout_string(&c->out, "field", "q");
	jsonout_u64(&c->out, "at", search_column(q, err.at));
	jsonout_close(&c->out, '}');
	jsonout_close(&c->out, '}');
	discard_count(DISCARD_invalid_parameter);
	c->status = 400;
	call_send(c);
	return false;
}

/* ---- rows ---- */

static void
write_marks(struct jsonout *j, const struct api *a, const struct ledger *l, const struct seek_mark *m)
{
	struct deployment_view d;
	struct verdict_view v;

	jsonout_u64(j, "rank", m->rank);
	if (m->rank_before != 0)
		jsonout_u64(j, "rank_before", m->rank_before);
	else
		jsonout_null(j, "rank_before");
	if (m->builds != 0)
		jsonout_u64(j, "builds", m->builds);
	else
		jsonout_null(j, "builds");
	if (m->deployment == 0 || !ledger_deployment(l, m->deployment - 1, &d) ||
	    !ledger_verdict(l, m->deployment - 1, &v)) {
		jsonout_null(j, "deployment");
		return;
	}
	jsonout_open(j, "deployment", '{');
	jsonout_text(j, "id", d.id);
	jsonout_string(j, "status", page_status(a, &v));
	jsonout_close(j, '}');
}

static void
write_json(struct call *c, const struct ledger *l, const struct key_view *k, const struct seek_mark *m)
{
	struct jsonout *j = &c->out;

	jsonout_open(j, NULL, '{');
	words_key(j, k);
	jsonout_open(j, "hours", '['); /* oldest first: as a chart reads */
	for (uint32_t i = KEY_TREND; i-- > 0;)
		jsonout_u64(j, NULL, k->hours[i]);
	jsonout_close(j, ']');
	write_marks(j, c->api, l, m);
	jsonout_close(j, '}');
}

static void
write_csv(struct call *c, const struct ledger *l, const struct key_view *k, const struct seek_mark *m)
{
	static const char *const kinds[] = { "unknown", "user", "service", "boot-critical", "kernel" };
	struct jsonout *j = &c->out;
	char id[SIGNATURE_ID_LEN], offset[24] = "";
	struct deployment_view d = { .id = TEXT("") };
	struct verdict_view v;
	const char *status = "";
	unsigned worst = 0;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((k->kinds >> i & 1) != 0)
			worst = i;
	if (k->rung == RUNG_KEY)
		snprintf(offset, sizeof(offset), "0x%llx", (unsigned long long)k->offset);
	if (m->deployment != 0 && ledger_deployment(l, m->deployment - 1, &d) &&
	    ledger_verdict(l, m->deployment - 1, &v))
		status = page_status(c->api, &v);
	csv_text(j, text_of(signature_id_text(k->id, id)));
	csv_text(j, text_of(k->title));
	csv_text(j, text_of(kinds[worst]));
	csv_u64(j, k->hosts);
	csv_u64(j, k->sites);
	csv_u64(j, k->crashes);
	csv_u64(j, k->reports);
	csv_time(j, k->first_us);
	csv_time(j, k->last_us);
	csv_text(j, k->module);
	csv_text(j, k->module_id);
	csv_text(j, text_of(offset));
	csv_text(j, k->reason);
	csv_text(j, d.id);
	csv_text(j, text_of(status));
	csv_end(j);
}

static const char csv_head[] = "id,title,kind,hosts,sites,crashes,reports,first_seen,last_seen,module,module_id,offset,"
			       "reason,deployment,status\r\n";

/* The terms as they were understood; what each costs is told when nothing was found. */
static void
write_parsed(struct jsonout *j, const struct list *l)
{
	static const char *const ops[] = { "is", "<", "<=", ">", ">=" };
	const struct text q = text_of(l->text);

	jsonout_open(j, "parsed", '[');
	for (unsigned i = 0; i < l->query.n; i++) {
		const struct search_term *t = &l->query.terms[i];

		jsonout_open(j, NULL, '{');
		jsonout_string(j, "field", search_field_name(t->field));
		jsonout_string(j, "op", ops[t->op]);
		jsonout_text(j, "value", t->value);
		jsonout_bool(j, "negated", t->negated);
		jsonout_u64(j, "at", search_column(q, t->at));
		jsonout_u64(j, "length", search_column((struct text){ q.at + t->at, t->length }, t->length));
		if (l->seek.n == 0)
			jsonout_u64(j, "without", l->seek.without[i]);
		else
			jsonout_null(j, "without");
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

static void
write_head(struct call *c, struct list *l, const struct ledger *ledger)
{
	struct jsonout *j = &c->out;

	l->position = ledger_position(ledger);
	if (l->form == FORM_CSV) {
		jsonout_raw(j, csv_head, sizeof(csv_head) - 1);
		return;
	}
	jsonout_open(j, NULL, '{');
	page_head(c, l->position, ledger_now_us(ledger));
	jsonout_string(j, "q", l->text);
	jsonout_string(j, "sort", sort_names[l->seek.sort]);
	jsonout_string(j, "group", group_names[l->seek.group]);
	write_parsed(j, l);
	jsonout_u64(j, "total", l->seek.n);
	jsonout_u64(j, "offset", l->from);
	jsonout_open(j, "signatures", '[');
}

static void
write_facets(struct jsonout *j, const struct list *l, const struct ledger *ledger)
{
	struct seek_count counts[SEEK_FACET];

	jsonout_open(j, "facets", '{');
	for (unsigned f = 0; f < SEEK_FACETS; f++) {
		size_t n = seek_facet(&l->seek, ledger, (enum seek_facet)f, counts);

		jsonout_open(j, seek_facet_name((enum seek_facet)f), '[');
		for (size_t i = 0; i < n; i++) {
			jsonout_open(j, NULL, '{');
			page_text(j, "value", counts[i].value);
			jsonout_u64(j, "signatures", counts[i].signatures);
			jsonout_close(j, '}');
		}
		jsonout_close(j, ']');
	}
	jsonout_close(j, '}');
}

static void
write_end(struct call *c, const struct list *l, const struct ledger *ledger)
{
	struct jsonout *j = &c->out;

	if (l->form == FORM_CSV)
		return;
	jsonout_close(j, ']');
	if (l->from + l->n < l->seek.n) {
		const struct seek_row *last = &l->seek.rows[l->from + l->n - 1];
		struct params_cursor cursor = { l->seek.sort, last->value, last->key_no };
		char buf[PARAMS_CURSOR_SIZE];

		jsonout_string(j, "next", params_cursor_format(&cursor, buf));
	} else
		jsonout_null(j, "next");
	if (l->seek.facets)
		write_facets(j, l, ledger);
	jsonout_close(j, '}');
}

/* ---- in turns ---- */

static void
ask_rows(struct call *c, const struct ledger *ledger)
{
	struct list *l = c->state;
	size_t end = l->written + ROWS_A_TURN < l->n ? l->written + ROWS_A_TURN : l->n;
	struct key_view k;

	if (l->position == 0)
		write_head(c, l, ledger);
	for (; l->written < end; l->written++) {
		const struct seek_row *row = &l->seek.rows[l->from + l->written];
		struct seek_mark m = { .deployment = seek_under(&l->seek, row->key_no) };

		if (!ledger_key_by_number(ledger, row->key_no, &k) || k.id != row->id)
			continue; /* gave way to another in the meantime */
		if (l->form == FORM_CSV)
			write_csv(c, ledger, &k, &m);
		else
			write_json(c, ledger, &k, l->marks != NULL ? &l->marks[l->written] : &m);
	}
	if (l->written == l->n)
		write_end(c, l, ledger);
}

static void
then_rows(struct call *c)
{
	struct list *l = c->state;

	if (c->out.failed) {
		call_send(c);
		return;
	}
	if (l->written < l->n) {
		call_ask(c, ask_rows, then_rows);
		return;
	}
	if (l->form == FORM_CSV) {
		http_set_header(c->req, "Content-Disposition", "attachment; filename=\"signatures.csv\"");
		http_set_header(c->req, "Cache-Control", "no-store");
		http_set_header(c->req, "X-Content-Type-Options", "nosniff");
		http_answer(c->req, 200, "text/csv; charset=utf-8; header=present", c->out.at, c->out.len);
		return;
	}
	if (l->form == FORM_JSON)
		http_set_header(c->req, "Content-Disposition", "attachment; filename=\"signatures.json\"");
	page_send(c, l->position);
}

static void
ask_ranks(struct call *c, const struct ledger *ledger)
{
	struct list *l = c->state;

	l->state = seek_ranks_step(&l->ranks, &l->seek, ledger, c->arena);
}

static void
then_ranks(struct call *c)
{
	struct list *l = c->state;

	if (l->state == SEEK_MORE)
		call_ask(c, ask_ranks, then_ranks);
	else if (l->state == SEEK_NO_MEMORY)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else
		call_ask(c, ask_rows, then_rows);
}

static void
ask_seek(struct call *c, const struct ledger *ledger)
{
	struct list *l = c->state;
	uint32_t no;

	if (l->deployment[0] != '\0' && !ledger_deployment_find(ledger, API_TENANT, text_of(l->deployment), &no)) {
		c->refusal = DISCARD_unknown_deployment;
		return;
	}
	l->state = seek_step(&l->seek, ledger, c->arena);
}

/* Rows that the cursor's page ended before. */
static size_t
up_to(const struct list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->seek.n; i++) {
		const struct seek_row *r = &l->seek.rows[i];

		n += r->value != l->cursor.value ? r->value > l->cursor.value : r->key_no <= l->cursor.key_no;
	}
	return n;
}

static void
pick_page(struct list *l)
{
	if (l->form != FORM_PAGE) {
		l->limit = l->seek.n;
	} else if (l->from_end) {
		l->from = l->seek.n > l->limit ? l->seek.n - l->limit : 0;
	} else
		l->from = l->after ? up_to(l) : l->offset;
	l->n = seek_page(&l->seek, l->from, l->limit);
}

static void
then_seek(struct call *c)
{
	struct list *l = c->state;

	if (c->refusal != DISCARD_none) {
		call_send(c);
		return;
	}
	if (l->state == SEEK_MORE) {
		call_ask(c, ask_seek, then_seek);
		return;
	}
	if (l->state == SEEK_DONE)
		pick_page(l);
	if (l->state == SEEK_DONE && l->form == FORM_PAGE)
		l->marks = arena_calloc(c->arena, l->n + 1, sizeof(*l->marks));
	if (l->state == SEEK_NO_MEMORY || (l->form == FORM_PAGE && l->marks == NULL)) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	l->ranks = (struct seek_ranks){ .rows = l->seek.rows + l->from, .n = l->n, .marks = l->marks };
	if (l->form == FORM_PAGE)
		call_ask(c, ask_ranks, then_ranks);
	else
		call_ask(c, ask_rows, then_rows);
}

static void
begin(struct http_request *r, enum form form)
{
	struct call *c = call_new(r);
	struct list *l;

	if (c == NULL)
		return;
	if ((c->state = l = ARENA_NEW(c->arena, struct list)) == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	l->form = form;
	l->seek.tenant = API_TENANT;
	if (form != FORM_PAGE)
		c->out.limit = EXPORT_BYTES;
	if (parse_query(c, l) && parse_order(c, l) && (form != FORM_PAGE || parse_page(c, l)) && parse_filters(c, l))
		call_ask(c, ask_seek, then_seek);
}

static void
page_begin(struct http_request *r)
{
	begin(r, FORM_PAGE);
}

static void
json_begin(struct http_request *r)
{
	begin(r, FORM_JSON);
}

static void
csv_begin(struct http_request *r)
{
	begin(r, FORM_CSV);
}

const struct http_ops signatures_list_ops = { .begin = page_begin, .end = call_end };
const struct http_ops signatures_json_ops = { .begin = json_begin, .end = call_end };
const struct http_ops signatures_csv_ops = { .begin = csv_begin, .end = call_end };
