/* SPDX-License-Identifier: Apache-2.0 */
/* The dashboard's files, from memory. */
#include "config.h"

#include <string.h>

#include "collector/api/assets.h"
#include "collector/api/call.h"
#include "collector/api/encoding.h"

/* Nothing from elsewhere, nothing inline, no string ever becomes markup. */
#define POLICY                                                                                              \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "     \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; " \
	"trusted-types 'none'"
#define WORKER "/assets/worker-"
#define SHELL  "/index.html"

static const struct asset *
find(const char *path)
{
	for (size_t i = 0; i < n_assets; i++)
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	return NULL;
}

static const char *
policy(void)
{
	for (size_t i = 0; i < n_assets; i++)
		if (strncmp(assets[i].path, WORKER, sizeof(WORKER) - 1) == 0)
			return POLICY "; worker-src 'self'";
	return POLICY;
}

static void
answer(struct http_request *r, const struct asset *a)
{
	const struct asset_body *bodies[ENCODING_N] = { &a->plain, &a->gzip, &a->brotli, &a->zstd };
	enum encoding e = ENCODING_PLAIN;
	unsigned have = 0;

	for (unsigned i = 0; i < ENCODING_N; i++)
		have |= (unsigned)(bodies[i]->at != NULL) << i;
	e = encoding_pick(http_header(r, "accept-encoding"), have);
	http_set_header(r, "Cache-Control", a->immutable ? "public, max-age=31536000, immutable" : "no-cache");
	http_set_header(r, "Content-Security-Policy", policy());
	http_set_header(r, "Cross-Origin-Opener-Policy", "same-origin");
	http_set_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "Referrer-Policy", "no-referrer");
	http_set_header(r, "Vary", "Accept-Encoding");
	if (http_not_modified(r, a->etag))
		return;
	if (e != ENCODING_PLAIN)
		http_set_header(r, "Content-Encoding", encoding_name(e));
	http_answer(r, 200, a->type, bodies[e]->at, bodies[e]->len);
}

static void
asset_begin(struct http_request *r)
{
	const struct asset *a = find(r->path);

	if (a != NULL)
		answer(r, a);
	else
		http_refuse(r, DISCARD_not_found, NULL, "see docs/API.md for the paths");
}

const struct http_ops asset_ops = { .begin = asset_begin };

/* Every page is the same file; what it shows is in the path. */
static void
shell_begin(struct http_request *r)
{
	const struct asset *a = find(SHELL);

	if (a != NULL)
		answer(r, a);
	else
		http_refuse(r, DISCARD_not_found, NULL,
			    "this server was built without the dashboard (--without-web); the API is below /v1");
}

const struct http_ops shell_ops = { .begin = shell_begin };
