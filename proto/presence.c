/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "proto/presence.h"
#include "proto/wire.h"

size_t
presence_encode(uint32_t gate, uint64_t second, const uint32_t *hosts, size_t n, uint8_t *buf, size_t size,
		size_t *used_out)
{
	struct wire_out o = { buf, buf + size, false };
	uint32_t last = 0;
	size_t bytes = 25, fit = 0; /* head room for the three leading varints */

	while (fit < n && bytes + 5 <= size) {
		bytes += wire_varint_size(hosts[fit] - last);
		last = hosts[fit++];
	}
	wire_put_raw_varint(&o, gate);
	wire_put_raw_varint(&o, second);
	wire_put_raw_varint(&o, fit);
	last = 0;
	for (size_t i = 0; i < fit; i++) {
		wire_put_raw_varint(&o, hosts[i] - last);
		last = hosts[i];
	}
	*used_out = fit;
	return (size_t)(o.p - buf);
}

enum err
presence_open(const void *bytes, size_t len, struct presence *out)
{
	uint64_t gate, n;

	*out = (struct presence){ 0 };
	reader_init(&out->r, bytes, len, false);
	gate = wire_varint(&out->r);
	out->second = wire_varint(&out->r);
	n = wire_varint(&out->r);
	if (!reader_failed(&out->r) && (gate > UINT32_MAX || n > len))
		reader_fail(&out->r, ERR_MALFORMED, "presence counts");
	out->gate = (uint32_t)gate;
	out->n = (uint32_t)n;
	return out->r.err.code;
}

bool
presence_next(struct presence *p, uint32_t *host_out)
{
	uint64_t step;

	if (reader_failed(&p->r) || p->r.pos >= p->r.size)
		return false;
	step = wire_varint(&p->r);
	if (reader_failed(&p->r))
		return false;
	if ((p->started && step == 0) || step > UINT32_MAX - (uint64_t)p->last) {
		reader_fail(&p->r, ERR_MALFORMED, "presence numbers must rise");
		return false;
	}
	p->last += (uint32_t)step;
	p->started = true;
	*host_out = p->last;
	return true;
}
