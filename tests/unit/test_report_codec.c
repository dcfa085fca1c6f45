/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-written decoders against the generated ones, and what the gate writes. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "proto/faultline.pb-c.h"
#include "proto/presence.h"
#include "proto/report.h"
#include "proto/wire.h"

static uint64_t rng = 1;

static uint64_t
roll(uint64_t n)
{
	rng += 0x9e3779b97f4a7c15ull;
	return hash_mix(rng) % n;
}

static struct text
random_text(char *buf, size_t max)
{
	size_t len = roll(4) == 0 ? 0 : 1 + roll(max);

	for (size_t i = 0; i < len; i++)
		buf[i] = (char)(32 + roll(95));
	return (struct text){ buf, len };
}

struct sample {
	struct report r;
	struct report_frame frames[8];
	char texts[80][64];
};

static void
random_report(struct sample *s)
{
	struct report *r = &s->r;
	unsigned t = 0;
	struct text *const fields[] = { &r->module,  &r->module_id, &r->module_version, &r->reason, &r->product,
					&r->version, &r->os,        &r->os_build,       &r->arch,   &r->hw_class,
					&r->boot_id };

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		*fields[i] = random_text(s->texts[t++], 60);
	r->host = (struct text){ "a host", 1 + roll(6) };
	r->epoch = roll(3) ? hash_mix(rng) : 0;
	r->seq = roll(1000);
	r->kind = (enum report_kind)roll(REPORT_N_KINDS);
	r->occurred_us = (int64_t)roll(3) * 1700000000000000 - 5;
	r->offset = hash_mix(rng) >> roll(64);
	r->reason_code = (uint32_t)(hash_mix(rng) >> roll(64));
	r->n_params = (uint32_t)roll(5);
	for (uint32_t i = 0; i < r->n_params; i++)
		r->params[i] = roll(3) ? hash_mix(rng + i) : 0;
	r->uptime_s = roll(100000);
	r->count = 1 + (uint32_t)roll(5);
	r->has_dump = roll(2);
	r->n_labels = (uint32_t)roll(4);
	r->n_content = (uint32_t)roll(4);
	for (uint32_t i = 0; i < r->n_labels; i++) {
		r->labels[i].name = random_text(s->texts[t], 60);
		r->labels[i].value = random_text(s->texts[t + 1], 60);
		t += 2;
	}
	for (uint32_t i = 0; i < r->n_content; i++) {
		r->content[i].name = random_text(s->texts[t], 60);
		r->content[i].value = random_text(s->texts[t + 1], 60);
		t += 2;
	}
	r->n_frames = (uint32_t)roll(9);
	for (uint32_t i = 0; i < r->n_frames; i++, t += 3) {
		struct report_frame *f = &s->frames[i];

		f->module = random_text(s->texts[t], 60);
		f->module_id = random_text(s->texts[t + 1], 60);
		f->function = random_text(s->texts[t + 2], 60);
		f->offset = hash_mix(rng + i);
		f->trust = (uint32_t)roll(5);
	}
}

static void
same_text(struct text a, const char *b)
{
	assert_int_equal(a.len, strlen(b));
	if (a.len > 0)
		assert_memory_equal(a.at, b, a.len);
}

static void
same_bytes(struct text a, ProtobufCBinaryData b)
{
	assert_int_equal(a.len, b.len);
	if (a.len > 0)
		assert_memory_equal(a.at, b.data, a.len);
}

static void
same_pairs(const struct report_pair *a, uint32_t n, Faultline__Pair **b, size_t m)
{
	assert_int_equal(n, m);
	for (uint32_t i = 0; i < n; i++) {
		same_text(a[i].name, b[i]->name);
		same_text(a[i].value, b[i]->value);
	}
}

static void
same_report(const struct report *r, const Faultline__Report *m)
{
	struct report_frame frames[REPORT_MAX_FRAMES];

	same_bytes(r->host, m->host);
	same_bytes(r->boot_id, m->boot_id);
	same_text(r->module, m->module);
	same_text(r->module_id, m->module_id);
	same_text(r->module_version, m->module_version);
	same_text(r->reason, m->reason);
	same_text(r->product, m->product);
	same_text(r->version, m->version);
	same_text(r->os, m->os);
	same_text(r->os_build, m->os_build);
	same_text(r->arch, m->arch);
	same_text(r->hw_class, m->hw_class);
	same_text(r->site, m->site);
	assert_int_equal(r->epoch, m->epoch);
	assert_int_equal(r->seq, m->seq);
	assert_int_equal(r->kind, m->kind);
	assert_int_equal(r->occurred_us, m->occurred_us);
	assert_int_equal(r->offset, m->offset);
	assert_int_equal(r->reason_code, m->reason_code);
	assert_int_equal(r->uptime_s, m->uptime_s);
	assert_int_equal(r->count, m->count != 0 ? m->count : 1);
	assert_int_equal(r->has_dump, m->has_dump);
	assert_int_equal(r->n_params, m->n_params);
	for (uint32_t i = 0; i < r->n_params; i++)
		assert_int_equal(r->params[i], m->params[i]);
	same_pairs(r->labels, r->n_labels, m->labels, m->n_labels);
	same_pairs(r->content, r->n_content, m->content, m->n_content);
	assert_int_equal(report_frames(r, frames), m->n_frames);
	for (uint32_t i = 0; i < r->n_frames; i++) {
		same_text(frames[i].module, m->frames[i]->module);
		same_text(frames[i].module_id, m->frames[i]->module_id);
		same_text(frames[i].function, m->frames[i]->function);
		assert_int_equal(frames[i].offset, m->frames[i]->offset);
		assert_int_equal(frames[i].trust, m->frames[i]->trust);
	}
	assert_int_equal(r->host_hash, m->host_hash);
	assert_int_equal(r->flags, m->flags);
	assert_int_equal(r->idempotency, m->idempotency);
	same_bytes(r->dump_sha256, m->dump_sha256);
	assert_int_equal(r->dump_size, m->dump_size);
	assert_int_equal(r->guid_hash, m->guid_hash);
}

/* What one side encodes the other decodes, both ways. */
static void
test_reports(void **state)
{
	static struct sample s;
	static struct report back;
	static uint8_t buf[REPORT_MAX_BYTES], again[REPORT_MAX_BYTES];
	struct diag diag;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		Faultline__Report *m;
		size_t len, n;

		random_report(&s);
		len = report_encode(&s.r, s.frames, buf, sizeof(buf));
		assert_true(len > 0);
		m = faultline__report__unpack(NULL, len, buf);
		assert_non_null(m);
		assert_int_equal(report_decode(buf, len, &back, &diag), DISCARD_none);
		same_report(&back, m);
		n = faultline__report__pack(m, again);
		assert_int_equal(report_decode(again, n, &back, &diag), DISCARD_none);
		same_report(&back, m);
		faultline__report__free_unpacked(m, NULL);
		/* cut anywhere it is never read as something else than the generated code reads */
		n = roll(len);
		m = faultline__report__unpack(NULL, n, buf);
		if (report_decode(buf, n, &back, &diag) == DISCARD_none) {
			assert_non_null(m);
			same_report(&back, m);
		}
		if (m != NULL)
			faultline__report__free_unpacked(m, NULL);
	}
}

/* A record is the client's bytes without the host, and the gate's word is the last one,
 * whatever the client put into the gate's fields. */
static void
test_records(void **state)
{
	static struct sample s;
	static struct report r, back;
	static uint8_t buf[REPORT_MAX_BYTES], rec[REPORT_MAX_BYTES + 512];
	uint8_t sha[32] = { 1, 2, 3 };
	struct diag diag;

	(void)state;
	for (int i = 0; i < 500; i++) {
		struct report_stamp stamp = { .host_hash = 99,
					      .site = TEXT("berlin"),
					      .flags = REPORT_FLAG_AUTHENTICATED,
					      .idempotency = 5,
					      .dump_sha256 = { (char *)sha, roll(2) ? 32 : 0 },
					      .dump_size = 7,
					      .guid_hash = 8,
					      .clear_occurred = roll(2),
					      .drop_frames = roll(2) };
		struct wire_out o;
		size_t len, n;

		random_report(&s);
		len = report_encode(&s.r, s.frames, buf, sizeof(buf));
		o = (struct wire_out){ buf + len, buf + sizeof(buf), false };
		wire_put_fixed64(&o, 40, 12345); /* a forged host hash and site */
		wire_put_bytes(&o, 41, TEXT("forged"));
		wire_put_varint(&o, 42, 255);
		len = (size_t)(o.p - buf);
		assert_int_equal(report_decode(buf, len, &r, &diag), DISCARD_none);
		n = report_record_size(&r, &stamp);
		memset(rec, 0xee, sizeof(rec));
		report_record_write(&r, &stamp, rec);
		assert_int_equal(rec[n], 0xee);
		assert_int_equal(report_decode(rec, n, &back, &diag), DISCARD_none);
		assert_int_equal(back.host.len, 0);
		assert_int_equal(back.host_hash, 99);
		assert_true(text_equal(back.site, TEXT("berlin")));
		assert_int_equal(back.flags, REPORT_FLAG_AUTHENTICATED);
		assert_int_equal(back.dump_sha256.len, stamp.dump_sha256.len);
		assert_int_equal(back.occurred_us, stamp.clear_occurred ? 0 : r.occurred_us);
		assert_int_equal(back.n_frames, stamp.drop_frames ? 0 : r.n_frames);
		assert_true(text_equal(back.module, r.module));
		assert_int_equal(back.n_content, r.n_content);
	}
}

static enum discard
decode_field(uint32_t field, struct text value, struct report *out)
{
	static uint8_t buf[REPORT_MAX_BYTES];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	struct diag diag;

	wire_put_bytes(&o, 1, TEXT("host"));
	wire_put_bytes_always(&o, field, value);
	return report_decode(buf, (size_t)(o.p - buf), out, &diag);
}

static void
test_limits(void **state)
{
	static struct report r;
	static uint8_t buf[REPORT_MAX_BYTES + 16];
	static char longest[MODULE_MAX + 1];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	struct diag diag;

	(void)state;
	memset(longest, 'm', sizeof(longest));
	assert_int_equal(decode_field(6, (struct text){ longest, MODULE_MAX }, &r), DISCARD_none);
	assert_int_equal(decode_field(6, (struct text){ longest, MODULE_MAX + 1 }, &r), DISCARD_invalid_field);
	assert_int_equal(decode_field(6, TEXT("\xff"), &r), DISCARD_invalid_utf8);
	assert_int_equal(decode_field(1, TEXT("again"), &r), DISCARD_invalid_host_id);
	assert_int_equal(decode_field(12, TEXT("\1\2\3\4\5"), &r), DISCARD_too_many_items);
	assert_int_equal(decode_field(12, TEXT("\1\2\3\4"), &r), DISCARD_none);
	assert_int_equal(r.n_params, 4);
	assert_int_equal(decode_field(999, TEXT("of a newer sender"), &r), DISCARD_none);
	for (int i = 0; i < 17; i++)
		wire_put_bytes_always(&o, 21, TEXT(""));
	assert_int_equal(report_decode(buf, (size_t)(o.p - buf), &r, &diag), DISCARD_too_many_items);
	assert_int_equal(report_decode("", 0, &r, &diag), DISCARD_invalid_host_id);
	memset(buf, 0xff, sizeof(buf));
	assert_int_not_equal(report_decode(buf, sizeof(buf), &r, &diag), DISCARD_none);
	assert_true(report_time_ok(0, 1));
	assert_false(report_time_ok(-11644473600000000ll, 1700000000000000)); /* 1601 */
	assert_false(report_time_ok(4102444800000000ll, 1700000000000000));   /* 2100 */
	assert_true(report_time_ok(1700000000000000, 1700000000000000));
}

static void
test_heartbeats(void **state)
{
	static struct heartbeat h, back;
	uint8_t buf[4096], rec[8192];
	struct report_stamp stamp = { .host_hash = 7, .site = TEXT("site") };
	Faultline__Heartbeat *m;
	struct diag diag;
	size_t len, n;
	uint32_t print;

	(void)state;
	h = (struct heartbeat){ .host = TEXT("h"),
				.boot_id = TEXT("boot"),
				.product = TEXT("p"),
				.version = TEXT("1"),
				.os = TEXT("linux"),
				.os_build = TEXT("6.1"),
				.arch = TEXT("x86_64"),
				.hw_class = TEXT("vm"),
				.uptime_s = 5,
				.interval_s = 30,
				.n_content = 1,
				.n_labels = 1,
				.goodbye = true };
	h.content[0] = (struct report_pair){ TEXT("c"), TEXT("291") };
	h.labels[0] = (struct report_pair){ TEXT("l"), TEXT("x") };
	len = heartbeat_encode(&h, buf, sizeof(buf));
	m = faultline__heartbeat__unpack(NULL, len, buf);
	assert_non_null(m);
	assert_int_equal(heartbeat_decode(buf, len, &back, &diag), DISCARD_none);
	same_bytes(back.host, m->host);
	same_text(back.os_build, m->os_build);
	same_pairs(back.content, back.n_content, m->content, m->n_content);
	same_pairs(back.labels, back.n_labels, m->labels, m->n_labels);
	assert_int_equal(m->interval_s, back.interval_s);
	assert_int_equal(m->goodbye, back.goodbye);
	faultline__heartbeat__free_unpacked(m, NULL);
	n = heartbeat_record_size(&back, &stamp);
	heartbeat_record_write(&back, &stamp, rec);
	print = heartbeat_fingerprint(&back, stamp.site, 0);
	assert_int_equal(heartbeat_decode(rec, n, &h, &diag), DISCARD_none);
	assert_int_equal(h.host_hash, 7);
	/* the ledger, from the record, must find the fingerprint that the gate found */
	assert_int_equal(heartbeat_fingerprint(&h, h.site, 0), print);
	h.uptime_s++;
	assert_int_equal(heartbeat_fingerprint(&h, h.site, 0), print);
	h.content[0].value = TEXT("292");
	assert_int_not_equal(heartbeat_fingerprint(&h, h.site, 0), print);
}

static void
test_presence(void **state)
{
	static uint32_t hosts[5000];
	static uint8_t buf[32000];
	struct presence p;

	(void)state;
	for (int round = 0; round < 200; round++) {
		size_t n = roll(5000), used, len, got = 0;
		uint32_t no = 0, last = 0;

		for (size_t i = 0; i < n; i++)
			hosts[i] = last += (i > 0) + (uint32_t)roll(round % 2 ? 3 : 400000);
		len = presence_encode((uint32_t)roll(9), 1700000000 + roll(99), hosts, n, buf,
				      roll(4) ? sizeof(buf) : 200 + roll(3000), &used);
		assert_true(used <= n);
		assert_int_equal(presence_open(buf, len, &p), ERR_OK);
		assert_int_equal(p.n, used);
		while (presence_next(&p, &no))
			assert_int_equal(no, hosts[got++]);
		assert_int_equal(got, used);
		assert_false(reader_failed(&p.r));
		/* cut short: fewer hosts or damage, never others */
		if (len > 12) {
			presence_open(buf, len - 1 - roll(8), &p);
			for (got = 0; presence_next(&p, &no); got++)
				assert_int_equal(no, hosts[got]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reports),    cmocka_unit_test(test_records),  cmocka_unit_test(test_limits),
		cmocka_unit_test(test_heartbeats), cmocka_unit_test(test_presence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
