/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "collector/http/decode.h"

#define WINDOW_LOG_MAX 23 /* 8 MiB; see docs/PROTOCOL.md */
#define POOL_MAX       8
#define GZIP_MAGIC     0x1f

struct http_decoder {
	struct http_decoder *next;
	enum http_encoding encoding;
	bool between; /* a member or frame ended; another may follow */
	bool started;
	z_stream z;
	ZSTD_DStream *zstd;
};

static bool
decoder_reset(struct http_decoder *d)
{
	d->between = d->started = false;
	if (d->encoding == HTTP_ENCODING_GZIP)
		return inflateReset(&d->z) == Z_OK;
	return !ZSTD_isError(ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only));
}

static void
decoder_destroy(struct http_decoder *d)
{
	if (d->encoding == HTTP_ENCODING_GZIP)
		inflateEnd(&d->z);
	ZSTD_freeDStream(d->zstd);
	free(d);
}

struct http_decoder *
http_decoder_new(struct http_decoder_pool *p, enum http_encoding e)
{
	struct http_decoder *d = p->idle[e];
	bool ok;

	if (d != NULL) {
		p->idle[e] = d->next;
		p->n_idle--;
		return d;
	}
	if ((d = calloc(1, sizeof(*d))) == NULL)
		return NULL;
	d->encoding = e;
	if (e == HTTP_ENCODING_GZIP)
		ok = inflateInit2(&d->z, 15 + 16) == Z_OK;
	else
		ok = (d->zstd = ZSTD_createDStream()) != NULL &&
		     !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX));
	if (!ok) {
		decoder_destroy(d);
		return NULL;
	}
	return d;
}

void
http_decoder_free(struct http_decoder_pool *p, struct http_decoder *d)
{
	if (d == NULL)
		return;
	if (p->n_idle >= POOL_MAX || !decoder_reset(d)) {
		decoder_destroy(d);
		return;
	}
	d->next = p->idle[d->encoding];
	p->idle[d->encoding] = d;
	p->n_idle++;
}

void
http_decoder_pool_fini(struct http_decoder_pool *p)
{
	for (int e = 0; e < HTTP_ENCODING_N; e++)
		for (struct http_decoder *d = p->idle[e], *next; d != NULL; d = next) {
			next = d->next;
			decoder_destroy(d);
		}
	*p = (struct http_decoder_pool){ 0 };
}

static enum decode_result
run_gzip(struct http_decoder *d, const void *in, size_t len, size_t *used_out, void *out, size_t cap, size_t *made_out)
{
	int rc = Z_OK;

	/* zlib's pointer is not const before 1.3, though it only reads */
	memcpy(&d->z.next_in, &in, sizeof(in));
	d->z.avail_in = (uInt)len;
	d->z.next_out = out;
	d->z.avail_out = (uInt)cap;
	while (d->z.avail_out > 0) {
		if (d->between) {
			if (d->z.avail_in == 0)
				break;
			if (d->z.next_in[0] != GZIP_MAGIC || inflateReset(&d->z) != Z_OK)
				return DECODE_BAD;
			d->between = false;
		}
		rc = inflate(&d->z, Z_NO_FLUSH);
		if (rc == Z_STREAM_END)
			d->between = true;
		else if (rc == Z_BUF_ERROR)
			break; /* needs more input */
		else if (rc != Z_OK)
			return DECODE_BAD;
	}
	*used_out = len - d->z.avail_in;
	*made_out = cap - d->z.avail_out;
	return DECODE_OK;
}

static enum decode_result
run_zstd(struct http_decoder *d, const void *in, size_t len, size_t *used_out, void *out, size_t cap, size_t *made_out)
{
	ZSTD_inBuffer src = { in, len, 0 };
	ZSTD_outBuffer dst = { out, cap, 0 };

	while (dst.pos < dst.size) {
		const size_t before_in = src.pos, before_out = dst.pos;
		size_t rc;

		if (d->between && src.pos == src.size)
			break;
		rc = ZSTD_decompressStream(d->zstd, &dst, &src);
		if (ZSTD_isError(rc))
			return DECODE_BAD;
		d->between = rc == 0;
		if (src.pos == before_in && dst.pos == before_out)
			break;
	}
	*used_out = src.pos;
	*made_out = dst.pos;
	return DECODE_OK;
}

enum decode_result
http_decoder_run(struct http_decoder *d, const void *in, size_t len, size_t *used_out, void *out, size_t cap,
		 size_t *made_out)
{
	if (len > 0)
		d->started = true;
	return d->encoding == HTTP_ENCODING_GZIP ? run_gzip(d, in, len, used_out, out, cap, made_out)
						 : run_zstd(d, in, len, used_out, out, cap, made_out);
}

bool
http_decoder_finished(const struct http_decoder *d)
{
	return d->started && d->between;
}

enum http_encoding
http_decoder_encoding(const struct http_decoder *d)
{
	return d->encoding;
}
