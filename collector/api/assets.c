/* SPDX-License-Identifier: Apache-2.0 */
/* The dashboard's files, from memory. */
#include "config.h"

#include <string.h>

#include "collector/api/assets.h"
#include "collector/api/call.h"

/* Nothing from elsewhere, nothing inline, no string ever becomes markup. */
static const char policy[] = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
			     "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

static bool
takes_gzip(const struct http_request *r)
{
	const char *accept = http_header(r, "accept-encoding");

	return accept != NULL && strstr(accept, "gzip") != NULL && strstr(accept, "gzip;q=0") == NULL;
}

static void
asset_begin(struct http_request *r)
{
	const char *path = strcmp(r->path, "/") == 0 ? "/index.html" : r->path;
	const struct asset *a = NULL;

	for (size_t i = 0; i < n_assets; i++)
		if (strcmp(assets[i].path, path) == 0)
			a = &assets[i];
	if (a == NULL) {
		http_refuse(r, DISCARD_not_found, NULL, "see docs/API.md for the paths");
		return;
	}
	http_set_header(r, "Cache-Control", "no-cache");
	http_set_header(r, "Content-Security-Policy", policy);
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "Referrer-Policy", "no-referrer");
	http_set_header(r, "Vary", "Accept-Encoding");
	if (http_not_modified(r, a->etag))
		return;
	if (takes_gzip(r)) {
		http_set_header(r, "Content-Encoding", "gzip");
		http_answer(r, 200, a->type, a->gzip, a->gzip_len);
	} else
		http_answer(r, 200, a->type, a->plain, a->plain_len);
}

const struct http_ops asset_ops = { .begin = asset_begin };
