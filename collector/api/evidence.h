/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_EVIDENCE_H
#define COLLECTOR_API_EVIDENCE_H

#include "collector/api/call.h"

/* Pieces of JSON about why a deployment halted, or did not (docs/API.md, Evidence). */

/* Member `evidence` of a verdict: the key that decided or stands highest, with the votes v holds. */
void evidence_verdict(struct jsonout *j, const struct api *a, const struct verdict_view *v);

/* Members about what a verdict rests on and what could still come: of the verdict's object. */
void evidence_outlook(struct jsonout *j, const struct verdict_view *v);

/* Texts "log uuid-position of the halt": names a halt for ever. */
#define HALT_TOKEN_SIZE 64
const char *evidence_token(const struct api *a, uint64_t halt_pos, char out[HALT_TOKEN_SIZE]);

extern const struct http_ops evidence_ops, votes_ops; /* evidence.c */

#endif
