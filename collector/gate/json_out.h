/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_JSON_OUT_H
#define COLLECTOR_GATE_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Text that grows: answers are put together here, then copied to the connection.  Zeroed to
 * start; reset keeps the memory.  When memory runs out failed is set and the rest is lost. */
struct json_out {
	char *buf;
	size_t len, cap;
	bool failed;
};

void json_out_reset(struct json_out *o);
void json_out_fini(struct json_out *o);
void json_out_raw(struct json_out *o, const char *literal);
void json_out_bytes(struct json_out *o, const void *data, size_t len);
void json_out_string(struct json_out *o, struct text t); /* quoted and escaped */
void json_out_uint(struct json_out *o, uint64_t v);

#endif
