/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_JSON_REPORT_H
#define COLLECTOR_GATE_JSON_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "collector/gate/json_in.h"

/* One JSON report or heartbeat as the bytes of faultline.Report or faultline.Heartbeat, so
 * that one decoder checks both.  Names are those of proto/faultline.proto; docs/PROTOCOL.md
 * says which forms of a value are taken.
 *
 * Returns a refusal that concerns this item only, with the field in *field_out (static
 * text); the reader is then past the item.  Damage of the text is in j->why. */
enum discard json_report(struct json_in *j, uint8_t *out, size_t size, size_t *len_out, const char **field_out);
enum discard json_heartbeat(struct json_in *j, uint8_t *out, size_t size, size_t *len_out, const char **field_out);

#endif
