/* SPDX-License-Identifier: Apache-2.0 */
/* Reports, heartbeats and presence records from anyone: what our decoders accept the
 * generated ones must read the same way.  The first byte says which. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/faultline.pb-c.h"
#include "proto/presence.h"
#include "proto/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
need(int ok)
{
	if (!ok)
		abort();
}

static void
same(struct text a, const char *b)
{
	need(a.len == strlen(b) && (a.len == 0 || memcmp(a.at, b, a.len) == 0));
}

/* Encode what was decoded, and read it with both again. */
static void
check_report(const uint8_t *data, size_t size)
{
	static struct report r, back;
	static struct report_frame frames[REPORT_MAX_FRAMES];
	static uint8_t buf[2 * REPORT_MAX_BYTES];
	struct report_stamp stamp = { .host_hash = 1, .site = TEXT("s"), .drop_frames = size % 2 };
	Faultline__Report *m;
	struct diag diag;
	size_t len;

	if (report_decode(data, size, &r, &diag) != DISCARD_none)
		return;
	len = report_record_size(&r, &stamp);
	need(len <= sizeof(buf));
	report_record_write(&r, &stamp, buf);
	need(report_decode(buf, len, &back, &diag) == DISCARD_none);
	need(back.host.len == 0 && back.host_hash == 1 && back.offset == r.offset && text_equal(back.module, r.module));
	need(report_frames(&r, frames) == r.n_frames);
	len = report_encode(&r, frames, buf, sizeof(buf));
	if (len == 0 || len > REPORT_MAX_BYTES)
		return;
	m = faultline__report__unpack(NULL, len, buf);
	need(m != NULL);
	same(r.module, m->module);
	same(r.reason, m->reason);
	need(m->seq == r.seq && m->offset == r.offset && m->n_params == r.n_params && m->n_frames == r.n_frames &&
	     m->n_content == r.n_content && m->n_labels == r.n_labels && m->count == r.count);
	faultline__report__free_unpacked(m, NULL);
}

static void
check_heartbeat(const uint8_t *data, size_t size)
{
	static struct heartbeat h, back;
	static uint8_t buf[2 * REPORT_MAX_BYTES];
	struct report_stamp stamp = { .host_hash = 1, .site = TEXT("s") };
	struct diag diag;

	if (heartbeat_decode(data, size, &h, &diag) != DISCARD_none)
		return;
	need(heartbeat_record_size(&h, &stamp) <= sizeof(buf));
	heartbeat_record_write(&h, &stamp, buf);
	need(heartbeat_decode(buf, heartbeat_record_size(&h, &stamp), &back, &diag) == DISCARD_none);
	need(heartbeat_fingerprint(&h, stamp.site, 0) == heartbeat_fingerprint(&back, back.site, 0));
}

static void
check_presence(const uint8_t *data, size_t size)
{
	struct presence p;
	uint32_t no, last = 0;
	size_t n = 0;

	if (presence_open(data, size, &p) != ERR_OK)
		return;
	for (; presence_next(&p, &no); last = no)
		need(n++ == 0 || no > last);
	need(n <= size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		check_report(data + 1, size - 1);
		break;
	case 1:
		check_heartbeat(data + 1, size - 1);
		break;
	default:
		check_presence(data + 1, size - 1);
	}
	return 0;
}
