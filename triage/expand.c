/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "triage/triage.h"

#define WINDOW_LOG_MAX 23 /* 8 MiB: what any sender's default level stays within */

struct sink {
	uint8_t *buf;
	size_t len, cap, limit;
};

enum triage_container
triage_container_of(const void *image, size_t size)
{
	static const uint8_t zstd[4] = { 0x28, 0xb5, 0x2f, 0xfd }, gzip[3] = { 0x1f, 0x8b, 8 };

	if (size >= 4 && memcmp(image, zstd, 4) == 0)
		return TRIAGE_CONTAINER_ZSTD;
	if (size >= 3 && memcmp(image, gzip, 3) == 0)
		return TRIAGE_CONTAINER_GZIP;
	return TRIAGE_CONTAINER_NONE;
}

/* Room for at least one more byte; grows by doubling, never beyond one byte over the
 * limit, which tells a full output from one that would go on. */
static enum err
sink_room(struct sink *s)
{
	size_t cap;
	uint8_t *p;

	if (s->len < s->cap)
		return ERR_OK;
	if (s->len > s->limit)
		return ERR_LIMIT;
	cap = s->cap < 65536 ? 65536 : s->cap * 2;
	if (cap > s->limit + 1)
		cap = s->limit + 1;
	if ((p = realloc(s->buf, cap)) == NULL)
		return ERR_NOMEM;
	s->buf = p;
	s->cap = cap;
	return ERR_OK;
}

static enum err
expand_zstd(const void *image, size_t size, struct sink *s, struct diag *diag)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	ZSTD_inBuffer in = { image, size, 0 };
	size_t left = 1;
	enum err e = ERR_OK;

	if (ctx == NULL)
		return ERR_NOMEM;
	ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	for (;;) {
		ZSTD_outBuffer out;

		if ((e = sink_room(s)) != ERR_OK)
			break;
		out = (ZSTD_outBuffer){ s->buf, s->cap, s->len };
		left = ZSTD_decompressStream(ctx, &out, &in);
		s->len = out.pos;
		diag->at = in.pos;
		if (ZSTD_isError(left)) {
			diag->what = ZSTD_getErrorName(left);
			e = ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge ? ERR_LIMIT
												: ERR_MALFORMED;
			break;
		}
		if (in.pos == in.size && out.pos < out.size) {
			e = left == 0 ? ERR_OK : ERR_TRUNCATED;
			break;
		}
	}
	ZSTD_freeDCtx(ctx);
	return e;
}

static enum err
expand_gzip(const void *image, size_t size, struct sink *s, struct diag *diag)
{
	z_stream z = { 0 };
	const uint8_t *in = image;
	enum err e = ERR_OK;
	int rc = Z_OK;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return ERR_NOMEM;
	for (size_t used = 0;;) {
		uInt give = size - used > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)(size - used), room;

		if ((e = sink_room(s)) != ERR_OK)
			break;
		room = s->cap - s->len > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)(s->cap - s->len);
		z.next_in = (Bytef *)(uintptr_t)(in + used);
		z.avail_in = give;
		z.next_out = s->buf + s->len;
		z.avail_out = room;
		rc = inflate(&z, Z_NO_FLUSH);
		used += give - z.avail_in;
		s->len += room - z.avail_out;
		diag->at = used;
		if (rc == Z_STREAM_END) {
			/* members may follow one another; anything else behind is padding */
			if (triage_container_of(in + used, size - used) != TRIAGE_CONTAINER_GZIP)
				break;
			inflateReset(&z);
		} else if (rc == Z_BUF_ERROR && used == size) {
			e = ERR_TRUNCATED;
			break;
		} else if (rc != Z_OK && rc != Z_BUF_ERROR) {
			e = rc == Z_MEM_ERROR ? ERR_NOMEM : ERR_MALFORMED;
			break;
		}
	}
	inflateEnd(&z);
	return e;
}

enum err
triage_expand(const void *image, size_t size, size_t limit, void **out, size_t *out_size, struct diag *diag)
{
	struct sink s = { .limit = limit < SIZE_MAX ? limit : SIZE_MAX - 1 };
	enum triage_container kind = triage_container_of(image, size);
	enum err e;

	*out = NULL;
	*out_size = 0;
	*diag = (struct diag){ ERR_OK, "the compressed data is damaged", 0 };
	if (kind == TRIAGE_CONTAINER_NONE) {
		*diag = (struct diag){ ERR_UNSUPPORTED, "neither gzip nor zstd", 0 };
		return ERR_UNSUPPORTED;
	}
	e = kind == TRIAGE_CONTAINER_ZSTD ? expand_zstd(image, size, &s, diag) : expand_gzip(image, size, &s, diag);
	if (e == ERR_OK && s.len > limit)
		e = ERR_LIMIT;
	diag->code = e;
	if (e == ERR_LIMIT)
		diag->what = s.len > limit ? "it expands beyond the limit" : "it needs a window over 8 MiB";
	else if (e == ERR_TRUNCATED)
		diag->what = "the compressed data ends early";
	else if (e == ERR_NOMEM)
		diag->what = "out of memory";
	if (e != ERR_OK && e != ERR_TRUNCATED) {
		free(s.buf);
		return e;
	}
	*out = s.buf;
	*out_size = s.len;
	return e;
}
