/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "collector/gate/json_report.h"
#include "proto/report.h"

/* The item being read: its first refusal counts, the rest is read over. */
struct item {
	struct json_in *j;
	enum discard why;
	const char *field;
};

static void
refuse(struct item *it, enum discard why, const char *field)
{
	if (it->why == DISCARD_none) {
		it->why = why;
		it->field = field;
	}
}

/* The value is of another kind than it should be; null stands for "not given". */
static void
wrong_kind(struct item *it, const char *field)
{
	if (json_in_kind(it->j) != JSON_NULL)
		refuse(it, DISCARD_invalid_json_value, field);
	json_in_skip(it->j);
}

static struct text
take_text(struct item *it, const char *field)
{
	if (json_in_kind(it->j) == JSON_STRING)
		return json_in_string(it->j);
	wrong_kind(it, field);
	return (struct text){ NULL, 0 };
}

/* Decimal digits, or 0x and hex digits. */
static bool
parse_uint(struct text t, uint64_t *out)
{
	uint64_t v = 0;

	if (t.len > 2 && t.at[0] == '0' && (t.at[1] | 32) == 'x') {
		if (t.len > 18)
			return false;
		for (size_t i = 2; i < t.len; i++) {
			const char c = t.at[i], low = (char)(c | 32);

			if (c >= '0' && c <= '9')
				v = v << 4 | (uint64_t)(c - '0');
			else if (low >= 'a' && low <= 'f')
				v = v << 4 | (uint64_t)(low - 'a' + 10);
			else
				return false;
		}
		*out = v;
		return true;
	}
	for (size_t i = 0; i < t.len; i++) {
		const unsigned d = (unsigned)(t.at[i] - '0');

		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*out = v;
	return t.len > 0;
}

/* An integer, or a string that spells one: JavaScript cannot hold 64 bits in a number. */
static uint64_t
take_uint(struct item *it, uint64_t max, const char *field)
{
	const enum json_kind kind = json_in_kind(it->j);
	struct text t;
	uint64_t v;

	if (kind != JSON_NUMBER && kind != JSON_STRING) {
		wrong_kind(it, field);
		return 0;
	}
	t = kind == JSON_NUMBER ? json_in_number(it->j) : json_in_string(it->j);
	if (it->j->why != DISCARD_none)
		return 0;
	if (!parse_uint(t, &v) || v > max) {
		refuse(it, DISCARD_invalid_json_value, field);
		return 0;
	}
	return v;
}

static bool
take_bool(struct item *it, const char *field)
{
	if (json_in_kind(it->j) == JSON_BOOL)
		return json_in_bool(it->j);
	wrong_kind(it, field);
	return false;
}

/* RFC 3339, or an integer of `scale` microseconds; may lie before 1970.  What cannot be a
 * 64-bit time becomes one that is surely absurd: the gate decides about those. */
static int64_t
take_time(struct item *it, int64_t scale, const char *field)
{
	const enum json_kind kind = json_in_kind(it->j);
	char buf[64];
	struct text t;
	uint64_t v;
	int64_t us;
	bool minus;

	if (kind != JSON_NUMBER && kind != JSON_STRING) {
		wrong_kind(it, field);
		return 0;
	}
	t = kind == JSON_NUMBER ? json_in_number(it->j) : json_in_string(it->j);
	if (it->j->why != DISCARD_none)
		return 0;
	if (kind == JSON_STRING) {
		if (t.len < sizeof(buf)) {
			memcpy(buf, t.at, t.len);
			buf[t.len] = '\0';
			if (strlen(buf) == t.len && clock_parse_rfc3339(buf, &us) == 0)
				return us;
		}
		refuse(it, DISCARD_invalid_time, field);
		return 0;
	}
	minus = t.at[0] == '-';
	if (!parse_uint((struct text){ t.at + minus, t.len - minus }, &v)) {
		refuse(it, DISCARD_invalid_time, field);
		return 0;
	}
	us = v > (uint64_t)(INT64_MAX / scale) ? INT64_MAX : (int64_t)v * scale;
	return minus ? -us : us;
}

/* {"name":"value",...} or [{"name":...,"value":...},...]; "version" says the same: plans of deployments call it so. */
static uint32_t
take_pairs(struct item *it, struct report_pair *pairs, const char *field)
{
	const enum json_kind kind = json_in_kind(it->j);
	bool first = true;
	uint32_t n = 0;
	struct text key;

	if ((kind != JSON_OBJECT && kind != JSON_ARRAY) || !json_in_open(it->j, kind)) {
		if (it->j->why == DISCARD_none)
			wrong_kind(it, field);
		return 0;
	}
	while (kind == JSON_OBJECT ? json_in_key(it->j, &first, &key) : json_in_item(it->j, &first)) {
		struct report_pair p = { { NULL, 0 }, { NULL, 0 } };

		if (kind == JSON_OBJECT) {
			p.name = key;
			p.value = take_text(it, field);
		} else if (json_in_kind(it->j) == JSON_OBJECT && json_in_open(it->j, JSON_OBJECT)) {
			bool inner = true;

			while (json_in_key(it->j, &inner, &key)) {
				if (text_equal(key, TEXT("name")))
					p.name = take_text(it, field);
				else if (text_equal(key, TEXT("value")) || text_equal(key, TEXT("version")))
					p.value = take_text(it, field);
				else
					json_in_skip(it->j);
			}
		} else {
			wrong_kind(it, field);
		}
		if (n == REPORT_MAX_PAIRS)
			refuse(it, DISCARD_too_many_items, field);
		else
			pairs[n++] = p;
	}
	return n;
}

/* ---- words for enums ---- */

struct word {
	const char *name;
	unsigned value;
};
static const struct word kinds[] = {
	{ "unknown", REPORT_UNKNOWN },
	{ "user", REPORT_USER },
	{ "service", REPORT_SERVICE },
	{ "boot-critical", REPORT_BOOT_CRITICAL },
	{ "boot_critical", REPORT_BOOT_CRITICAL },
	{ "kernel", REPORT_KERNEL },
	{ "KIND_UNKNOWN", REPORT_UNKNOWN },
	{ "KIND_USER", REPORT_USER },
	{ "KIND_SERVICE", REPORT_SERVICE },
	{ "KIND_BOOT_CRITICAL", REPORT_BOOT_CRITICAL },
	{ "KIND_KERNEL", REPORT_KERNEL },
	{ NULL, 0 },
};
static const struct word trusts[] = {
	{ "unknown", 0 },
	{ "context", 1 },
	{ "cfi", 2 },
	{ "frame_pointer", 3 },
	{ "scan", 4 },
	{ "TRUST_UNKNOWN", 0 },
	{ "TRUST_CONTEXT", 1 },
	{ "TRUST_CFI", 2 },
	{ "TRUST_FRAME_POINTER", 3 },
	{ "TRUST_SCAN", 4 },
	{ "reported", 5 },
	{ "TRUST_REPORTED", 5 },
	{ NULL, 0 },
};

static unsigned
take_word(struct item *it, const struct word *words, unsigned max, const char *field)
{
	struct text t;

	if (json_in_kind(it->j) == JSON_NUMBER)
		return (unsigned)take_uint(it, max, field);
	t = take_text(it, field);
	if (t.at == NULL)
		return 0;
	for (; words->name != NULL; words++)
		if (text_equal(t, text_of(words->name)))
			return words->value;
	refuse(it, DISCARD_invalid_json_value, field);
	return 0;
}

/* ---- reports ---- */

static void
take_frame(struct item *it, struct report_frame *f)
{
	struct text key;
	bool first = true;

	*f = (struct report_frame){ .trust = 0 };
	if (json_in_kind(it->j) != JSON_OBJECT || !json_in_open(it->j, JSON_OBJECT)) {
		if (it->j->why == DISCARD_none)
			wrong_kind(it, "frames");
		return;
	}
	while (json_in_key(it->j, &first, &key)) {
		if (text_equal(key, TEXT("module")))
			f->module = take_text(it, "frames.module");
		else if (text_equal(key, TEXT("module_id")))
			f->module_id = take_text(it, "frames.module_id");
		else if (text_equal(key, TEXT("offset")))
			f->offset = take_uint(it, UINT64_MAX, "frames.offset");
		else if (text_equal(key, TEXT("trust")))
			f->trust = take_word(it, trusts, 5, "frames.trust");
		else if (text_equal(key, TEXT("function")))
			f->function = take_text(it, "frames.function");
		else
			json_in_skip(it->j);
	}
}

static void
take_frames(struct item *it, struct report *r, struct report_frame *frames)
{
	struct report_frame spare;
	bool first = true;

	r->n_frames = 0;
	if (json_in_kind(it->j) != JSON_ARRAY || !json_in_open(it->j, JSON_ARRAY)) {
		if (it->j->why == DISCARD_none)
			wrong_kind(it, "frames");
		return;
	}
	while (json_in_item(it->j, &first)) {
		const bool fits = r->n_frames < REPORT_MAX_FRAMES;

		take_frame(it, fits ? &frames[r->n_frames] : &spare);
		if (fits)
			r->n_frames++;
		else
			refuse(it, DISCARD_too_many_items, "frames");
	}
}

static void
take_params(struct item *it, struct report *r)
{
	bool first = true;

	r->n_params = 0;
	if (json_in_kind(it->j) != JSON_ARRAY || !json_in_open(it->j, JSON_ARRAY)) {
		if (it->j->why == DISCARD_none)
			wrong_kind(it, "params");
		return;
	}
	while (json_in_item(it->j, &first)) {
		const uint64_t v = take_uint(it, UINT64_MAX, "params");

		if (r->n_params < REPORT_MAX_PARAMS)
			r->params[r->n_params++] = v;
		else
			refuse(it, DISCARD_too_many_items, "params");
	}
}

/* Text fields of a report by name; the rest is in take_report_field(). */
#define REPORT_TEXTS(X) \
	X(host)         \
	X(module)       \
	X(module_id) X(module_version) X(reason) X(product) X(version) X(os) X(os_build) X(arch) X(boot_id) X(hw_class)

static bool
take_report_text(struct item *it, struct text key, struct report *r)
{
#define X(name)                                 \
	if (text_equal(key, TEXT(#name))) {     \
		r->name = take_text(it, #name); \
		return true;                    \
	}
	REPORT_TEXTS(X)
#undef X
	return false;
}

static void
take_report_field(struct item *it, struct text key, struct report *r, struct report_frame *frames)
{
	if (take_report_text(it, key, r))
		return;
	if (text_equal(key, TEXT("epoch")))
		r->epoch = take_uint(it, UINT64_MAX, "epoch");
	else if (text_equal(key, TEXT("seq")))
		r->seq = take_uint(it, UINT64_MAX, "seq");
	else if (text_equal(key, TEXT("kind")))
		r->kind = (enum report_kind)take_word(it, kinds, REPORT_N_KINDS - 1, "kind");
	else if (text_equal(key, TEXT("occurred")))
		r->occurred_us = take_time(it, 1000, "occurred");
	else if (text_equal(key, TEXT("occurred_us")))
		r->occurred_us = take_time(it, 1, "occurred_us");
	else if (text_equal(key, TEXT("offset")))
		r->offset = take_uint(it, UINT64_MAX, "offset");
	else if (text_equal(key, TEXT("reason_code")))
		r->reason_code = (uint32_t)take_uint(it, UINT32_MAX, "reason_code");
	else if (text_equal(key, TEXT("params")))
		take_params(it, r);
	else if (text_equal(key, TEXT("uptime_s")))
		r->uptime_s = take_uint(it, UINT64_MAX, "uptime_s");
	else if (text_equal(key, TEXT("count")))
		r->count = (uint32_t)take_uint(it, UINT32_MAX, "count");
	else if (text_equal(key, TEXT("labels")))
		r->n_labels = take_pairs(it, r->labels, "labels");
	else if (text_equal(key, TEXT("content")))
		r->n_content = take_pairs(it, r->content, "content");
	else if (text_equal(key, TEXT("frames")))
		take_frames(it, r, frames);
	else if (text_equal(key, TEXT("has_dump")))
		r->has_dump = take_bool(it, "has_dump");
	else
		json_in_skip(it->j); /* a newer sender's field */
}

enum discard
json_report(struct json_in *j, uint8_t *out, size_t size, size_t *len_out, const char **field_out)
{
	struct report_frame frames[REPORT_MAX_FRAMES];
	struct item it = { j, DISCARD_none, NULL };
	struct text key;
	struct report r;
	bool first = true;

	*len_out = 0;
	memset(&r, 0, offsetof(struct report, labels));
	if (json_in_kind(j) != JSON_OBJECT) {
		refuse(&it, DISCARD_invalid_json_value, NULL);
		json_in_skip(j);
	} else if (json_in_open(j, JSON_OBJECT)) {
		while (json_in_key(j, &first, &key))
			take_report_field(&it, key, &r, frames);
	}
	if (it.why == DISCARD_none && j->why == DISCARD_none) {
		if (r.host.len == 0)
			refuse(&it, DISCARD_invalid_host_id, "host");
		else if ((*len_out = report_encode(&r, frames, out, size)) == 0)
			refuse(&it, DISCARD_invalid_field, NULL);
	}
	*field_out = it.field;
	return it.why;
}

/* ---- heartbeats ---- */

#define HEARTBEAT_TEXTS(X) X(host) X(boot_id) X(product) X(version) X(os) X(os_build) X(arch) X(hw_class)

static bool
take_heartbeat_text(struct item *it, struct text key, struct heartbeat *h)
{
#define X(name)                                 \
	if (text_equal(key, TEXT(#name))) {     \
		h->name = take_text(it, #name); \
		return true;                    \
	}
	HEARTBEAT_TEXTS(X)
#undef X
	return false;
}

enum discard
json_heartbeat(struct json_in *j, uint8_t *out, size_t size, size_t *len_out, const char **field_out)
{
	struct item it = { j, DISCARD_none, NULL };
	struct heartbeat h = { 0 };
	struct text key;
	bool first = true;

	*len_out = 0;
	if (json_in_kind(j) != JSON_OBJECT) {
		refuse(&it, DISCARD_invalid_json_value, NULL);
		json_in_skip(j);
	} else if (json_in_open(j, JSON_OBJECT)) {
		while (json_in_key(j, &first, &key)) {
			if (take_heartbeat_text(&it, key, &h))
				continue;
			if (text_equal(key, TEXT("uptime_s")))
				h.uptime_s = take_uint(&it, UINT64_MAX, "uptime_s");
			else if (text_equal(key, TEXT("interval_s")))
				h.interval_s = (uint32_t)take_uint(&it, UINT32_MAX, "interval_s");
			else if (text_equal(key, TEXT("goodbye")))
				h.goodbye = take_bool(&it, "goodbye");
			else if (text_equal(key, TEXT("complete")))
				h.complete = take_bool(&it, "complete");
			else if (text_equal(key, TEXT("content")))
				h.n_content = take_pairs(&it, h.content, "content");
			else if (text_equal(key, TEXT("labels")))
				h.n_labels = take_pairs(&it, h.labels, "labels");
			else
				json_in_skip(j);
		}
	}
	if (it.why == DISCARD_none && j->why == DISCARD_none) {
		if (h.host.len == 0)
			refuse(&it, DISCARD_invalid_host_id, "host");
		else if ((*len_out = heartbeat_encode(&h, out, size)) == 0)
			refuse(&it, DISCARD_invalid_field, NULL);
	}
	*field_out = it.field;
	return it.why;
}
