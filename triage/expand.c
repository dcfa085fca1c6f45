/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "triage/expand.h"
#include "triage/textscan.h"

#define LEVELS_MAX     4  /* containers in containers */
#define WINDOW_LOG_MAX 23 /* 8 MiB: what any sender's default level stays within */

enum triage_container
triage_container_of(const void *image, size_t size)
{
	static const uint8_t zstd[4] = { 0x28, 0xb5, 0x2f, 0xfd }, gzip[3] = { 0x1f, 0x8b, 8 };
	static const uint8_t xz[6] = { 0xfd, '7', 'z', 'X', 'Z', 0 }, cab[8] = { 'M', 'S', 'C', 'F', 0, 0, 0, 0 };
	static const uint8_t block[6] = { 0x31, 0x41, 0x59, 0x26, 0x53, 0x59 },
			     end[6] = { 0x17, 0x72, 0x45, 0x38, 0x50, 0x90 };
	const uint8_t *p = image;

	if (size >= 4 && memcmp(image, zstd, 4) == 0)
		return TRIAGE_CONTAINER_ZSTD;
	if (size >= 3 && memcmp(image, gzip, 3) == 0)
		return TRIAGE_CONTAINER_GZIP;
	if (size >= 6 && memcmp(image, xz, 6) == 0)
		return TRIAGE_CONTAINER_XZ;
	if (size >= 10 && memcmp(image, "BZh", 3) == 0 && p[3] >= '1' && p[3] <= '9' &&
	    (memcmp(p + 4, block, 6) == 0 || memcmp(p + 4, end, 6) == 0))
		return TRIAGE_CONTAINER_BZIP2;
	if (size >= 36 && memcmp(image, cab, 8) == 0)
		return TRIAGE_CONTAINER_CAB;
	if (size >= 64 && expand_is_form(image, size))
		return TRIAGE_CONTAINER_FORM;
	return TRIAGE_CONTAINER_NONE;
}

bool
expand_is_dump(const void *image, size_t size)
{
	static const char magics[][5] = { "MDMP", "PMDM", "PAGE", "\177ELF" };

	for (size_t i = 0; size >= 4 && i < sizeof(magics) / sizeof(magics[0]); i++)
		if (memcmp(image, magics[i], 4) == 0)
			return true;
	return triage_container_of(image, size) != TRIAGE_CONTAINER_NONE;
}

enum expand_content
expand_content_of(const void *head, size_t size)
{
	if (expand_is_dump(head, size))
		return triage_container_of(head, size) != TRIAGE_CONTAINER_NONE ? EXPAND_CONTAINER : EXPAND_DUMP;
	return text_begins(head, size) ? EXPAND_TEXT : EXPAND_UNKNOWN;
}

/* The head is there: is the rest wanted, and how much of it? */
static enum err
look(struct sink *s)
{
	s->looked = true;
	s->content = expand_content_of(s->buf, s->len);
	if (s->content == EXPAND_UNKNOWN)
		return ERR_UNSUPPORTED;
	if (s->content == EXPAND_TEXT && s->limit > TEXT_SIZE_MAX)
		s->limit = TEXT_SIZE_MAX;
	return ERR_OK;
}

enum err
sink_room(struct sink *s)
{
	size_t cap;
	uint8_t *p;
	enum err e;

	if (!s->looked && s->len >= EXPAND_HEAD && (e = look(s)) != ERR_OK)
		return e;
	if (s->len < s->cap)
		return ERR_OK;
	if (s->len > s->limit)
		return ERR_LIMIT;
	cap = s->cap < EXPAND_HEAD ? EXPAND_HEAD : s->cap * 2;
	if (cap > s->limit + 1)
		cap = s->limit + 1;
	if ((p = realloc(s->buf, cap)) == NULL)
		return ERR_NOMEM;
	s->buf = p;
	s->cap = cap;
	return ERR_OK;
}

enum err
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
			e = ERR_MALFORMED;
			if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge) {
				diag->what = "it needs a window over 8 MiB";
				e = ERR_LIMIT;
			}
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

enum err
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

static enum err
expand_one(enum triage_container kind, const void *image, size_t size, struct sink *s, struct diag *diag)
{
	switch (kind) {
	case TRIAGE_CONTAINER_ZSTD:
		return expand_zstd(image, size, s, diag);
	case TRIAGE_CONTAINER_GZIP:
		return expand_gzip(image, size, s, diag);
	case TRIAGE_CONTAINER_XZ:
		return expand_xz(image, size, s, diag);
	case TRIAGE_CONTAINER_BZIP2:
		return expand_bzip2(image, size, s, diag);
	case TRIAGE_CONTAINER_CAB:
		return expand_cab(image, size, s, diag);
	case TRIAGE_CONTAINER_FORM:
		return expand_form(image, size, s, diag);
	case TRIAGE_CONTAINER_NONE:
		break;
	}
	diag->what = "no container we know";
	return ERR_UNSUPPORTED;
}

/* Work of one byte that comes out: measured, a decoder's slowest beside the fastest.  Forms are copied. */
static unsigned
cost_of(enum triage_container kind)
{
	switch (kind) {
	case TRIAGE_CONTAINER_BZIP2:
		return 4;
	case TRIAGE_CONTAINER_XZ:
	case TRIAGE_CONTAINER_CAB:
		return 2;
	case TRIAGE_CONTAINER_FORM:
		return 0;
	default:
		return 1;
	}
}

/* One level into *s; the reason of a failure is in *diag. */
static enum err
expand_level(const void *image, size_t size, size_t limit, size_t *work_left, struct sink *s, struct diag *diag)
{
	enum triage_container kind = triage_container_of(image, size);
	const unsigned cost = cost_of(kind);
	const size_t afford = cost > 0 ? *work_left / cost : SIZE_MAX, most = limit < afford ? limit : afford;
	enum err e;

	*s = (struct sink){ .limit = most };
	*diag = (struct diag){ ERR_OK, "the compressed data is damaged", 0 };
	e = expand_one(kind, image, size, s, diag);
	*work_left -= s->len < afford ? s->len * cost : *work_left;
	if (e == ERR_LIMIT && s->len > s->limit && s->content == EXPAND_TEXT && s->limit == TEXT_SIZE_MAX) {
		e = ERR_OK; /* who reads it says so */
	} else if (e == ERR_LIMIT && s->len > most && most < limit && s->content == EXPAND_DUMP) {
		e = ERR_TRUNCATED;
		diag->what = "it expands to more than its size can stand for";
	} else if (e == ERR_OK && s->len > most) {
		e = ERR_LIMIT;
	}
	diag->code = e;
	if (e == ERR_LIMIT && (s->len > most || kind == TRIAGE_CONTAINER_FORM))
		diag->what = "it expands beyond the limit";
	else if (e == ERR_TRUNCATED && s->len <= most)
		diag->what = "the compressed data ends early";
	else if (e == ERR_NOMEM)
		diag->what = "out of memory";
	else if (e == ERR_UNSUPPORTED && s->looked)
		diag->what = "not a dump format we know";
	if (e != ERR_OK && e != ERR_TRUNCATED) {
		free(s->buf);
		*s = (struct sink){ 0 };
	}
	return e;
}

enum err
expand_counted(const void *image, size_t size, size_t limit, void **out, size_t *out_size, size_t *work_out,
	       struct diag *diag)
{
	const size_t most = limit < SIZE_MAX / 2 ? limit + limit / 2 : SIZE_MAX - 1;
	const size_t bought = size < (SIZE_MAX - EXPAND_WORK_FREE) / EXPAND_WORK_PER_BYTE
				      ? EXPAND_WORK_FREE + size * EXPAND_WORK_PER_BYTE
				      : SIZE_MAX;
	const size_t work = bought < most ? bought : most;
	size_t left = work;
	struct sink s = { 0 }, inner;
	const char *cut = NULL;
	enum err e;

	*out = NULL;
	*out_size = 0;
	e = expand_level(image, size, limit, &left, &s, diag);
	cut = e == ERR_TRUNCATED ? diag->what : NULL;
	for (int level = 1;
	     (e == ERR_OK || e == ERR_TRUNCATED) && triage_container_of(s.buf, s.len) != TRIAGE_CONTAINER_NONE;
	     level++) {
		if (level == LEVELS_MAX) {
			free(s.buf);
			s = (struct sink){ 0 };
			*diag = (struct diag){ ERR_LIMIT, "containers in containers, too many", 0 };
			e = ERR_LIMIT;
			break;
		}
		e = expand_level(s.buf, s.len, limit, &left, &inner, diag);
		free(s.buf);
		s = inner;
		if (e == ERR_TRUNCATED && cut == NULL)
			cut = diag->what;
	}
	*work_out = work - left;
	if (e != ERR_OK && e != ERR_TRUNCATED)
		return e;
	if (cut != NULL)
		*diag = (struct diag){ ERR_TRUNCATED, cut, diag->at };
	*out = s.buf;
	*out_size = s.len;
	return cut != NULL ? ERR_TRUNCATED : ERR_OK;
}

enum err
triage_expand(const void *image, size_t size, size_t limit, void **out, size_t *out_size, struct diag *diag)
{
	size_t work;

	return expand_counted(image, size, limit, out, out_size, &work, diag);
}
