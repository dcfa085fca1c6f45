/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_ASSETS_H
#define COLLECTOR_API_ASSETS_H

#include <stddef.h>
#include <stdint.h>

/* Files of web/, made into arrays at build time by web/embed.sh. */
struct asset {
	const char *path; /* "/app.js" */
	const char *type;
	const char *etag; /* with its quotes */
	const uint8_t *plain, *gzip;
	size_t plain_len, gzip_len;
};
extern const struct asset assets[];
extern const size_t n_assets;

#endif
