/* SPDX-License-Identifier: Apache-2.0 */
/* What people say of a signature: advice for its hosts, and that it is the same crash as another. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/call.h"
#include "collector/api/notes.h"
#include "collector/api/page.h"
#include "collector/api/words.h"

#define MERGED_SHOWN 100u

struct note_call {
	uint64_t signature;
	uint64_t position;
	const char *refused; /* static: ledger_refuses_note() */
	Faultline__Log__SignatureNote message;
	struct note_view newest;
	char newest_actor[NOTE_TEXT_MAX + 1];
};

static void
text_or_null(struct jsonout *j, const char *key, struct text t)
{
	if (t.len > 0)
		jsonout_text(j, key, t);
	else
		jsonout_null(j, key);
}

static void
who(struct jsonout *j, const struct note_view *v)
{
	text_or_null(j, "actor", v->actor);
	text_or_null(j, "reason", v->reason);
	jsonout_time(j, "at", v->at_us);
	jsonout_position(j, "position", v->pos);
}

static void
named(struct jsonout *j, const struct ledger *l, uint64_t signature)
{
	struct key_view k;

	words_signature_id(j, "id", signature);
	if (ledger_signature(l, API_TENANT, signature, &k)) {
		jsonout_string(j, "title", k.title);
		jsonout_u64(j, "hosts", k.hosts);
	} else {
		jsonout_null(j, "title");
		jsonout_null(j, "hosts");
	}
}

static void
advice(struct jsonout *j, const struct ledger *l, uint64_t signature)
{
	struct note_view v;
	uint64_t from;

	if (!ledger_advice(l, API_TENANT, signature, &v, &from)) {
		jsonout_null(j, "advice");
		return;
	}
	jsonout_open(j, "advice", '{');
	jsonout_text(j, "text", v.text);
	text_or_null(j, "link", v.link);
	who(j, &v);
	words_signature_id(j, "inherited_from", from != signature ? from : 0);
	jsonout_close(j, '}');
}

static void
merges(struct jsonout *j, const struct ledger *l, uint64_t signature)
{
	uint64_t merged[MERGED_SHOWN];
	struct note_view v;
	size_t n;

	if (ledger_merge(l, API_TENANT, signature, &v)) {
		jsonout_open(j, "merged_into", '{');
		named(j, l, v.into);
		who(j, &v);
		jsonout_close(j, '}');
	} else
		jsonout_null(j, "merged_into");
	n = ledger_merged(l, API_TENANT, signature, merged, MERGED_SHOWN);
	jsonout_open(j, "merged", '[');
	for (size_t i = 0; i < n; i++) {
		jsonout_open(j, NULL, '{');
		named(j, l, merged[i]);
		if (ledger_merge(l, API_TENANT, merged[i], &v))
			who(j, &v);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

void
notes_members(struct jsonout *j, const struct ledger *l, uint64_t signature)
{
	struct note_view all[NOTES_KEPT];
	size_t n = ledger_notes(l, API_TENANT, signature, all);

	advice(j, l, signature);
	merges(j, l, signature);
	jsonout_open(j, "history", '[');
	for (size_t i = 0; i < n; i++) {
		jsonout_open(j, NULL, '{');
		jsonout_string(j, "action", note_action_name(all[i].action));
		text_or_null(j, "text", all[i].text);
		text_or_null(j, "link", all[i].link);
		words_signature_id(j, "into", all[i].into);
		who(j, &all[i]);
		jsonout_close(j, '}');
	}
	jsonout_close(j, ']');
}

/* ---- asking ---- */

static void
ask_notes(struct call *c, const struct ledger *l)
{
	struct note_call *n = c->state;
	struct key_view k;

	if (!ledger_signature(l, API_TENANT, n->signature, &k)) {
		c->refusal = DISCARD_unknown_signature;
		return;
	}
	n->position = ledger_position(l);
	jsonout_open(&c->out, NULL, '{');
	page_head(c, n->position, ledger_now_us(l));
	words_signature_id(&c->out, "signature", n->signature);
	jsonout_string(&c->out, "title", k.title);
	notes_members(&c->out, l, n->signature);
	jsonout_close(&c->out, '}');
}

static void
send_page(struct call *c)
{
	page_send(c, ((struct note_call *)c->state)->position);
}

static struct note_call *
take_signature(struct http_request *r)
{
	struct call *c = call_new(r);
	struct note_call *n;

	if (c == NULL)
		return NULL;
	if ((c->state = n = ARENA_NEW(c->arena, struct note_call)) == NULL)
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
	else if (signature_id_parse(r->segment, strlen(r->segment), &n->signature) == 0)
		return n;
	else
		call_refuse(c, DISCARD_invalid_parameter, "id", "a signature id is s1- and 16 hex digits");
	return NULL;
}

static void
show_begin(struct http_request *r)
{
	if (take_signature(r) != NULL)
		call_ask(r->ctx, ask_notes, send_page);
}

const struct http_ops advice_ops = { .begin = show_begin, .end = call_end };

/* ---- writing ---- */

static void
ask_refused(struct call *c, const struct ledger *l)
{
	struct note_call *n = c->state;
	size_t len = faultline__log__signature_note__get_packed_size(&n->message);
	uint8_t *packed = ARENA_ARRAY(c->arena, uint8_t, len + 1);
	struct note_view all[NOTES_KEPT];

	if (packed == NULL) {
		c->refusal = DISCARD_too_many_waiters;
		return;
	}
	faultline__log__signature_note__pack(&n->message, packed);
	n->refused = ledger_refuses_note(l, API_TENANT, packed, len);
	if (ledger_notes(l, API_TENANT, n->signature, all) > 0) {
		n->newest = all[0];
		snprintf(n->newest_actor, sizeof(n->newest_actor), "%.*s", (int)all[0].actor.len, all[0].actor.at);
	}
}

/* The newest note is ours, unless somebody was between our look and our record. */
static void
ask_written(struct call *c, const struct ledger *l)
{
	struct note_call *n = c->state;
	struct note_view all[NOTES_KEPT];
	size_t found = ledger_notes(l, API_TENANT, n->signature, all);

	for (size_t i = 0; i < found; i++)
		if (all[i].pos == c->wait_pos) {
			ask_notes(c, l);
			return;
		}
	c->refusal = DISCARD_conflict;
}

static void
conflict(struct call *c, const struct note_call *n)
{
	static const char *const did[] = { "said something", "wrote advice", "removed the advice", "merged it",
					   "undid the merge" };
	char text[NOTE_TEXT_MAX + 64];

	if (n->newest.pos == 0)
		snprintf(text, sizeof(text), "nothing is said of it any more or yet");
	else
		snprintf(text, sizeof(text), "%.200s %s in the meantime",
			 n->newest_actor[0] != '\0' ? n->newest_actor : "somebody", did[n->newest.action % 5]);
	call_refuse(c, DISCARD_conflict, "expect_position", text);
}

static void
refused(struct call *c, const struct note_call *n)
{
	static const struct {
		const char *why;
		enum discard code;
		const char *field, *text;
	} table[] = {
		{ "unknown_signature", DISCARD_unknown_signature, NULL, NULL },
		{ "unknown_into", DISCARD_invalid_field, "into", "there is no such signature" },
		{ "self", DISCARD_invalid_field, "into", "a signature cannot be merged into itself" },
		{ "chain", DISCARD_invalid_field, "into",
		  "merges are one deep: one of the two is merged already, or has others merged into it" },
		{ "no_advice", DISCARD_unknown_advice, NULL, NULL },
		{ "not_merged", DISCARD_conflict, NULL, "it is not merged" },
		{ "too_many", DISCARD_too_many_items, NULL, "too many signatures have advice or merges" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(n->refused, table[i].why) == 0) {
			call_refuse(c, table[i].code, table[i].field, table[i].text);
			return;
		}
	conflict(c, n);
}

static void
asked(struct call *c)
{
	struct note_call *n = c->state;

	if (c->refusal != DISCARD_none)
		call_send(c);
	else if (n->refused != NULL)
		refused(c, n);
	else if (call_log_begin(c) && call_log_add(c, RECORD_SIGNATURE_NOTE, &n->message.base))
		call_log_commit(c, ask_written, call_send);
}

static void
write_begin(struct http_request *r)
{
	take_signature(r);
}

static void
write(struct http_request *r, Faultline__Log__NoteAction action)
{
	struct call *c = r->ctx;
	struct note_call *n = c->state;
	struct body_error err;

	if (body_note(c->body, c->body_len, n->signature, action, c->arena, &n->message, &err) != 0)
		call_refuse_body(c, &err);
	else
		call_ask(c, ask_refused, asked);
}

static void
put_complete(struct http_request *r)
{
	write(r, FAULTLINE__LOG__NOTE_ACTION__NOTE_ADVICE);
}

static void
delete_complete(struct http_request *r)
{
	write(r, FAULTLINE__LOG__NOTE_ACTION__NOTE_ADVICE_REMOVED);
}

static void
merge_complete(struct http_request *r)
{
	write(r, FAULTLINE__LOG__NOTE_ACTION__NOTE_MERGE);
}

static void
unmerge_complete(struct http_request *r)
{
	write(r, FAULTLINE__LOG__NOTE_ACTION__NOTE_UNMERGE);
}

const struct http_ops advice_put_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = put_complete,
	.end = call_end,
};
const struct http_ops advice_delete_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = delete_complete,
	.end = call_end,
};
const struct http_ops merge_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = merge_complete,
	.end = call_end,
};
const struct http_ops unmerge_ops = {
	.begin = write_begin,
	.body = call_body,
	.complete = unmerge_complete,
	.end = call_end,
};
