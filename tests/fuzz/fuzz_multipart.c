/* SPDX-License-Identifier: Apache-2.0 */
/* A multipart body in one piece and in pieces whose size the first byte says: both must tell
 * the same parts, bytes and outcome. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "collector/gate/multipart.h"

struct seen {
	uint32_t crc;
	size_t parts, ends, bytes;
};

static enum discard
part_begin(void *arg, const struct multipart_part *p)
{
	struct seen *s = arg;

	s->parts++;
	s->crc = crc32c(s->crc, p->name.at, p->name.len);
	s->crc = crc32c(s->crc, p->content_type.at, p->content_type.len);
	return p->name.len == 5 && memcmp(p->name.at, "stops", 5) == 0 ? DISCARD_two_dumps : DISCARD_none;
}

static enum discard
part_data(void *arg, const char *data, size_t len)
{
	struct seen *s = arg;

	s->crc = crc32c(s->crc, data, len);
	s->bytes += len;
	return DISCARD_none;
}

static enum discard
part_end(void *arg)
{
	((struct seen *)arg)->ends++;
	return DISCARD_none;
}

static const struct multipart_ops ops = { part_begin, part_data, part_end };

static enum discard
read_all(const uint8_t *data, size_t size, size_t step, struct seen *s, bool *finished_out)
{
	struct multipart m;
	enum discard why = DISCARD_none;

	multipart_init(&m, TEXT("b"), &ops, s);
	for (size_t at = 0; at < size && why == DISCARD_none; at += step)
		why = multipart_feed(&m, (const char *)data + at, size - at < step ? size - at : step);
	*finished_out = multipart_finished(&m);
	return why;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = { 0 }, pieces = { 0 };
	char type[128];
	struct text boundary;
	bool a, b;

	if (size < 1)
		return 0;
	if (read_all(data + 1, size - 1, size, &whole, &a) !=
		    read_all(data + 1, size - 1, (size_t)data[0] + 1, &pieces, &b) ||
	    a != b || memcmp(&whole, &pieces, sizeof(whole)) != 0 || whole.ends > whole.parts || whole.bytes > size)
		abort();
	memcpy(type, data, size < sizeof(type) - 1 ? size : sizeof(type) - 1);
	type[size < sizeof(type) - 1 ? size : sizeof(type) - 1] = '\0';
	if (multipart_boundary(type, &boundary) == DISCARD_none &&
	    (boundary.len == 0 || boundary.len > MULTIPART_BOUNDARY_MAX))
		abort();
	return 0;
}
