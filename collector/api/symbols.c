/* SPDX-License-Identifier: Apache-2.0 */
/* PUT /v1/symbols/{name}, GET /v1/symbols, DELETE /v1/symbols/{sha256}: the store of images and symbols. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings.h"
#include "collector/api/call.h"
#include "collector/symbols/store.h"

#define LIST_DEFAULT 100
#define LIST_MAX     1000

static void
file_json(struct jsonout *j, const struct symbol_file *f)
{
	char hex[SHA256_HEX];

	jsonout_string(j, "sha256", hex_encode(f->sha256, SHA256_BYTES, hex));
	jsonout_string(j, "name", f->name);
	jsonout_string(j, "kind", image_kind_name(f->id.kind));
	jsonout_string(j, "format", f->id.kind == IMAGE_SYM ? "breakpad" : f->id.key.pe ? "pe" : "elf");
	jsonout_string(j, "arch", triage_arch_name(f->id.arch));
	jsonout_string(j, "code_id", f->id.key.code_id[0] != '\0' ? f->id.key.code_id : NULL);
	jsonout_string(j, "debug_id", f->id.key.debug_id[0] != '\0' ? f->id.key.debug_id : NULL);
	jsonout_bool(j, "unwind", f->id.has_unwind);
	jsonout_bool(j, "functions", f->id.has_functions);
	jsonout_u64(j, "bytes", f->size);
	jsonout_time(j, "added", f->added_us);
}

/* ---- adding ---- */

struct upload {
	struct api *api;
	struct http_request *r;       /* NULL once the client is gone */
	struct symbol_writer *writer; /* NULL: dropped or committed */
	bool busy;                    /* the store has it */
	struct symbols_commit commit;
};

static void
upload_free(struct upload *u)
{
	symbols_abandon(u->writer);
	u->api->n_uploads--;
	free(u);
}

static void
put_begin(struct http_request *r)
{
	struct api *a = r->arg;
	const struct settings *s = a->env.settings(a->env.arg);
	enum discard why = DISCARD_draining;
	struct upload *u;

	counter_add(COUNTER_api_queries, 1);
	if (!call_admit(r))
		return;
	if (r->content_length != UINT64_MAX && r->content_length > s->max_symbol_file) {
		http_refuse(r, DISCARD_symbols_too_large, NULL, NULL);
		return;
	}
	if ((u = calloc(1, sizeof(*u))) == NULL) {
		http_refuse(r, DISCARD_symbols_disk, NULL, NULL);
		return;
	}
	u->api = a;
	u->r = r;
	a->n_uploads++;
	r->ctx = u;
	http_limit_body(r, UINT64_MAX, UINT64_MAX); /* the store is stricter, and knows the right code */
	u->writer = symbols_begin(a->env.symbols, r->segment, &why);
	if (u->writer == NULL)
		http_refuse(r, why, NULL, NULL);
}

static void
put_body(struct http_request *r, const void *data, size_t len)
{
	struct upload *u = r->ctx;
	enum discard why = symbols_write(u->writer, data, len);

	if (why == DISCARD_none)
		return;
	symbols_abandon(u->writer);
	u->writer = NULL;
	http_refuse(r, why, NULL, NULL);
}

static void
on_stored(struct symbols_commit *c)
{
	struct upload *u = c->arg;
	struct jsonout j;

	u->busy = false;
	if (u->r == NULL) {
		upload_free(u);
		return;
	}
	if (c->refused != DISCARD_none) {
		http_refuse(u->r, c->refused, NULL, c->what);
		return;
	}
	jsonout_init(&j);
	jsonout_open(&j, NULL, '{');
	jsonout_bool(&j, "stored", true);
	jsonout_bool(&j, "duplicate", c->duplicate);
	file_json(&j, &c->file);
	jsonout_close(&j, '}');
	if (j.failed)
		http_refuse(u->r, DISCARD_symbols_disk, NULL, NULL);
	else
		http_answer(u->r, c->duplicate ? 200 : 201, "application/json", j.at, j.len);
	jsonout_fini(&j);
}

static void
put_complete(struct http_request *r)
{
	struct upload *u = r->ctx;
	struct symbol_writer *w = u->writer;

	u->writer = NULL;
	u->busy = true;
	u->commit = (struct symbols_commit){ .reply = u->api->symbols_done, .done = on_stored, .arg = u };
	symbols_commit(w, &u->commit);
}

static void
put_end(struct http_request *r, enum http_end how)
{
	struct upload *u = r->ctx;

	(void)how;
	if (u == NULL)
		return;
	u->r = NULL;
	if (!u->busy)
		upload_free(u);
}

const struct http_ops symbols_put_ops = {
	.begin = put_begin, .body = put_body, .complete = put_complete, .end = put_end
};

/* ---- listing and removing ---- */

static void
list_begin(struct http_request *r)
{
	struct call *c = call_new(r);
	uint8_t from[SHA256_BYTES] = { 0 };
	char text[SHA256_HEX + 1];
	struct symbol_file *files;
	uint64_t limit = LIST_DEFAULT, n_files, bytes;
	struct symbols *s;
	size_t n;

	if (c == NULL)
		return;
	s = c->api->env.symbols;
	if (http_query(r, "limit", text, sizeof(text)) >= 0 && params_count(text, 1, LIST_MAX, &limit) == -1) {
		call_refuse(c, DISCARD_invalid_parameter, "limit", NULL);
		return;
	}
	if (http_query(r, "cursor", text, sizeof(text)) >= 0 &&
	    (strlen(text) != SHA256_HEX - 1 || hex_decode(text, SHA256_HEX - 1, from) == -1)) {
		call_refuse(c, DISCARD_invalid_parameter, "cursor", NULL);
		return;
	}
	files = ARENA_ARRAY(c->arena, struct symbol_file, limit + 1);
	if (files == NULL) {
		call_refuse(c, DISCARD_too_many_waiters, NULL, NULL);
		return;
	}
	n = symbols_list(s, from, files, limit + 1);
	symbols_count(s, &n_files, &bytes);
	jsonout_open(&c->out, NULL, '{');
	jsonout_u64(&c->out, "files", n_files);
	jsonout_u64(&c->out, "bytes", bytes);
	jsonout_open(&c->out, "symbols", '[');
	for (size_t i = 0; i < n && i < limit; i++) {
		jsonout_open(&c->out, NULL, '{');
		file_json(&c->out, &files[i]);
		jsonout_close(&c->out, '}');
	}
	jsonout_close(&c->out, ']');
	jsonout_string(&c->out, "next", n > limit ? hex_encode(files[limit].sha256, SHA256_BYTES, text) : NULL);
	jsonout_close(&c->out, '}');
	call_send(c);
}

static void
delete_begin(struct http_request *r)
{
	struct api *a = r->arg;
	uint8_t sha256[SHA256_BYTES];

	counter_add(COUNTER_api_queries, 1);
	if (!call_admit(r))
		return;
	if (strlen(r->segment) != SHA256_HEX - 1 || hex_decode(r->segment, SHA256_HEX - 1, sha256) == -1)
		http_refuse(r, DISCARD_invalid_parameter, "sha256", "name the file by its 64 hex digits");
	else if (!symbols_remove(a->env.symbols, sha256))
		http_refuse(r, DISCARD_unknown_symbols, NULL, NULL);
	else
		http_answer(r, 200, "application/json", "{\"removed\":true}", 16);
}

const struct http_ops symbols_list_ops = { .begin = list_begin, .end = call_end };
const struct http_ops symbols_delete_ops = { .begin = delete_begin };
