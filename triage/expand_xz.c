/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <bzlib.h>
#include <lzma.h>

#include "triage/expand.h"

/* Memory of the decoder: enough for the dictionary of xz -9 (64 MiB). */
#define XZ_MEMORY ((uint64_t)72 << 20)

static enum err
xz_error(lzma_ret rc, struct diag *diag)
{
	switch (rc) {
	case LZMA_MEMLIMIT_ERROR:
		diag->what = "it needs a dictionary over 64 MiB";
		return ERR_LIMIT;
	case LZMA_MEM_ERROR:
		return ERR_NOMEM;
	case LZMA_OPTIONS_ERROR:
		diag->what = "compressed by a method we do not know";
		return ERR_UNSUPPORTED;
	default:
		return ERR_MALFORMED;
	}
}

enum err
expand_xz(const void *image, size_t size, struct sink *s, struct diag *diag)
{
	lzma_stream z = LZMA_STREAM_INIT;
	enum err e = ERR_OK;
	lzma_ret rc;

	if (lzma_stream_decoder(&z, XZ_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
		return ERR_NOMEM;
	z.next_in = image;
	z.avail_in = size;
	for (;;) {
		if ((e = sink_room(s)) != ERR_OK)
			break;
		z.next_out = s->buf + s->len;
		z.avail_out = s->cap - s->len;
		rc = lzma_code(&z, LZMA_FINISH);
		s->len = s->cap - z.avail_out;
		diag->at = size - z.avail_in;
		if (rc == LZMA_STREAM_END)
			break;
		if (rc == LZMA_BUF_ERROR && z.avail_in == 0 && z.avail_out > 0) {
			e = ERR_TRUNCATED;
			break;
		}
		if (rc == LZMA_FORMAT_ERROR && s->len > 0)
			break; /* what follows the last stream is padding */
		if (rc != LZMA_OK && rc != LZMA_BUF_ERROR) {
			e = xz_error(rc, diag);
			break;
		}
	}
	lzma_end(&z);
	return e;
}

enum err
expand_bzip2(const void *image, size_t size, struct sink *s, struct diag *diag)
{
	bz_stream z = { 0 };
	const char *in = image;
	enum err e = ERR_OK;
	size_t used = 0;
	int rc;

	if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
		return ERR_NOMEM;
	for (;;) {
		unsigned give = size - used > UINT32_MAX / 2 ? UINT32_MAX / 2 : (unsigned)(size - used), room;

		if ((e = sink_room(s)) != ERR_OK)
			break;
		room = s->cap - s->len > UINT32_MAX / 2 ? UINT32_MAX / 2 : (unsigned)(s->cap - s->len);
		z.next_in = (char *)(uintptr_t)(in + used);
		z.avail_in = give;
		z.next_out = (char *)s->buf + s->len;
		z.avail_out = room;
		rc = BZ2_bzDecompress(&z);
		used += give - z.avail_in;
		s->len += room - z.avail_out;
		diag->at = used;
		if (rc == BZ_STREAM_END) {
			/* streams may follow one another; anything else behind is padding */
			if (triage_container_of(in + used, size - used) != TRIAGE_CONTAINER_BZIP2)
				break;
			BZ2_bzDecompressEnd(&z);
			z = (bz_stream){ 0 };
			if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
				return ERR_NOMEM;
		} else if (rc != BZ_OK) {
			e = rc == BZ_MEM_ERROR ? ERR_NOMEM : ERR_MALFORMED;
			break;
		} else if (used == size && z.avail_out > 0) {
			e = ERR_TRUNCATED;
			break;
		}
	}
	BZ2_bzDecompressEnd(&z);
	return e;
}
