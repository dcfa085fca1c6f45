/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "collector/gate/json_in.h"
#include "collector/gate/submit_fields.h"

static const struct {
	const char *name;
	size_t at, size;
} known[] = {
#define FIELD(name, field)                                                                              \
	{                                                                                               \
		name, offsetof(struct submit_fields, field), sizeof(((struct submit_fields *)0)->field) \
	}
	FIELD("host", host),
	FIELD("guid", guid),
	FIELD("client_id", guid),
	FIELD("CrashReporterKey", guid),
	FIELD("ClientID", guid),
	FIELD("prod", product),
	FIELD("product", product),
	FIELD("ProductName", product),
	FIELD("_productName", product),
	FIELD("ver", version),
	FIELD("version", version),
	FIELD("Version", version),
	FIELD("_version", version),
	FIELD("platform", os),
	FIELD("plat", os),
	FIELD("os", os),
	FIELD("osname", os),
	FIELD("os_build", os_build),
	FIELD("osver", os_build),
	FIELD("os_version", os_build),
	FIELD("arch", arch),
	FIELD("osarch", arch),
	FIELD("hw_class", hw_class),
	FIELD("channel", channel),
	FIELD("ReleaseChannel", channel),
	FIELD("BuildID", build),
	FIELD("build_id", build),
	FIELD("ptype", process_type),
	FIELD("ProcessType", process_type),
	FIELD("process_type", process_type),
	FIELD("site", site),
	FIELD("ptime", uptime_ms),
	FIELD("UptimeTS", uptime_s),
	FIELD("CrashTime", crash_time_s),
#undef FIELD
};

char *
submit_field(struct submit_fields *f, struct text name, size_t *size_out)
{
	f->any = true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (text_equal(name, text_of(known[i].name))) {
			*size_out = known[i].size;
			return (char *)f + known[i].at;
		}
	return NULL;
}

static void
keep(struct submit_fields *f, struct text name, struct text value)
{
	size_t size;
	char *to = submit_field(f, name, &size);

	if (to == NULL)
		return;
	if (value.len > size - 1)
		value.len = size - 1;
	if (value.len > 0)
		memcpy(to, value.at, value.len);
	to[value.len] = '\0';
}

enum discard
submit_fields_json(struct submit_fields *f, char *text, size_t len)
{
	enum discard why = DISCARD_none;
	struct json_in j;
	struct text key;
	bool first = true;

	json_in_init(&j, text, len);
	if (json_in_kind(&j) != JSON_OBJECT)
		return DISCARD_invalid_json;
	json_in_open(&j, JSON_OBJECT);
	while (json_in_key(&j, &first, &key)) {
		if (json_in_kind(&j) == JSON_STRING) {
			keep(f, key, json_in_string(&j));
		} else {
			why = DISCARD_invalid_json_value;
			json_in_skip(&j);
		}
	}
	return json_in_done(&j) ? why : j.why;
}

/* Cutting at a limit may have split a character: give up its front half. */
static size_t
whole_characters(const char *s)
{
	size_t n = strlen(s), back = 0;

	while (back < 4 && back < n && ((unsigned char)s[n - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back < n && (unsigned char)s[n - 1 - back] >= 0xc0) {
		const unsigned char lead = (unsigned char)s[n - 1 - back];
		const size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;

		if (back < want)
			return n - 1 - back;
	}
	return n;
}

enum discard
submit_fields_check(const struct submit_fields *f)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char *value = (const char *)f + known[i].at;
		const size_t len = strlen(value), n = len == known[i].size - 1 ? whole_characters(value) : len;

		if (!text_is_utf8((struct text){ value, n }))
			return DISCARD_invalid_annotation_value;
	}
	return DISCARD_none;
}

static struct text
value_of(const char *s)
{
	return (struct text){ s, whole_characters(s) };
}

static void
add_label(struct report *r, const char *name, const char *value)
{
	if (*value != '\0')
		r->labels[r->n_labels++] = (struct report_pair){ text_of(name), value_of(value) };
}

void
submit_fields_report(const struct submit_fields *f, struct report *out)
{
	memset(out, 0, offsetof(struct report, labels));
	out->kind = REPORT_USER;
	out->product = value_of(f->product);
	out->version = value_of(f->version);
	out->os = value_of(f->os);
	out->os_build = value_of(f->os_build);
	out->arch = value_of(f->arch);
	out->hw_class = value_of(f->hw_class);
	out->uptime_s =
		*f->uptime_ms != '\0' ? strtoull(f->uptime_ms, NULL, 10) / 1000 : strtoull(f->uptime_s, NULL, 10);
	if (*f->crash_time_s != '\0') {
		const long long s = strtoll(f->crash_time_s, NULL, 10);

		out->occurred_us = s > INT64_MAX / 1000000 || s < INT64_MIN / 1000000 ? INT64_MAX : s * 1000000;
	}
	add_label(out, "channel", f->channel);
	add_label(out, "build", f->build);
	add_label(out, "process_type", f->process_type);
	add_label(out, "site", f->site);
}
