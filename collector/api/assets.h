/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_ASSETS_H
#define COLLECTOR_API_ASSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Files of web/, made into arrays at build time by web/embed.sh. */
struct asset_body {
	const uint8_t *at; /* NULL: not there */
	size_t len;
};
struct asset {
	const char *path; /* "/assets/app-1a2b3c4d.js"; "/index.html" is the shell of every page */
	const char *type;
	const char *etag; /* with its quotes, of the plain bytes */
	bool immutable;   /* the name holds a hash of the content */
	struct asset_body plain, gzip, brotli, zstd;
};
extern const struct asset assets[];
extern const size_t n_assets;

#endif
