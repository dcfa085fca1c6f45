/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_HTTP_DECODE_H
#define COLLECTOR_HTTP_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Content-Encoding gzip and zstd, streaming: input and output of any size, fixed memory
 * (zstd windows above 8 MiB are refused).  The caller bounds the output. */
enum http_encoding { HTTP_ENCODING_GZIP, HTTP_ENCODING_ZSTD, HTTP_ENCODING_N };

enum decode_result {
	DECODE_OK,  /* out is full or the input is used up */
	DECODE_BAD, /* damaged */
};

struct http_decoder;

/* Idle decoders are kept here for the next request.  Zero-initialised. */
struct http_decoder_pool {
	struct http_decoder *idle[HTTP_ENCODING_N];
	unsigned n_idle;
};

struct http_decoder *http_decoder_new(struct http_decoder_pool *p, enum http_encoding e); /* NULL: out of memory */
void http_decoder_free(struct http_decoder_pool *p, struct http_decoder *d);              /* NULL is fine */
void http_decoder_pool_fini(struct http_decoder_pool *p);

/* Decode from in to out; *used_out and *made_out are set.  If made == cap there may be more
 * output: call again, also with len 0. */
enum decode_result http_decoder_run(struct http_decoder *d, const void *in, size_t len, size_t *used_out, void *out,
				    size_t cap, size_t *made_out);

/* Did the input so far end where a stream may end? */
bool http_decoder_finished(const struct http_decoder *d);
enum http_encoding http_decoder_encoding(const struct http_decoder *d);

#endif
