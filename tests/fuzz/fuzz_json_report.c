/* SPDX-License-Identifier: Apache-2.0 */
/* JSON reports, heartbeats and annotations.  What was converted must be decodable or be
 * refused with a code; the reader never leaves its text. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/gate/json_report.h"
#include "collector/gate/submit_fields.h"
#include "proto/report.h"

static void
items(char *text, size_t len, bool heartbeats)
{
	static uint8_t out[256 * 1024];
	struct json_in j;
	bool first = true, list;

	json_in_init(&j, text, len);
	list = json_in_kind(&j) == JSON_ARRAY;
	if (list)
		json_in_open(&j, JSON_ARRAY);
	while (list ? json_in_item(&j, &first) : first) {
		const char *field;
		struct heartbeat h;
		struct report r;
		struct diag diag;
		size_t n;
		enum discard why;

		first = false;
		why = (heartbeats ? json_heartbeat : json_report)(&j, out, sizeof(out), &n, &field);
		if (why != DISCARD_none || j.why != DISCARD_none)
			continue;
		if (n == 0)
			abort();
		why = heartbeats ? heartbeat_decode(out, n, &h, &diag) : report_decode(out, n, &r, &diag);
		if (why == DISCARD_invalid_protobuf)
			abort();
	}
	(void)json_in_done(&j);
	if (j.p > j.end)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct submit_fields fields = { .any = false };
	struct report r;
	char *text = malloc(size + !size);

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	items(text, size, false);
	memcpy(text, data, size);
	items(text, size, true);
	memcpy(text, data, size);
	if (submit_fields_json(&fields, text, size) == DISCARD_none && submit_fields_check(&fields) == DISCARD_none)
		submit_fields_report(&fields, &r);
	free(text);
	return 0;
}
