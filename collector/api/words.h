/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_WORDS_H
#define COLLECTOR_API_WORDS_H

#include <stdint.h>

#include "base/text.h"
#include "collector/api/jsonout.h"
#include "collector/fold/fold.h"

struct api;

/* Pieces of JSON that several answers share. */

const char *words_kind(unsigned kind);                    /* enum report_kind: "boot-critical" */
const char *words_trust(unsigned trust);                  /* faultline.Trust: "frame_pointer" */
int words_kind_parse(const char *name, uint8_t *bit_out); /* its bit in kinds; -1: no kind */
void words_kinds(struct jsonout *j, uint8_t kinds);       /* "kinds": [...] and "kind": the gravest */

void words_signature_id(struct jsonout *j, const char *key, uint64_t id); /* 0: null */

/* One row of a list of signatures: from a view, and from the ledger with module and place. */
void words_signature(struct jsonout *j, const struct view_signature *s);
void words_key(struct jsonout *j, const struct key_view *k); /* members only: inside an object */

/* An alarm without a deployment. */
void words_alarm(struct jsonout *j, const struct alarm *a);

/* A sentence as "<key>" and "<key>_parts": the parts together are the sentence. */
void words_prose(struct jsonout *j, const char *key, const char *text, const struct part *parts, uint32_t n);

/* Is what it says bounded by a proof? */
bool words_certified(const struct verdict_view *v);
/* What became of ring i: that of the deployment for the ring that is being served, "proceed" before, "not_started". */
const char *words_ring(const struct view_ring *r, uint32_t n, uint32_t i, const char *status);
const char *words_action(unsigned action); /* log.Action: "halt", "ack" */
/* Somebody's decision as an object, or null. */
void words_decision(struct jsonout *j, const char *key, const struct decision_view *d);

/* "acknowledged": who looks after it, or null; d may be NULL. */
void words_acknowledged(struct jsonout *j, const struct view_deployment *d);

/* One row of a list of deployments. */
void words_deployment(struct jsonout *j, const struct api *a, const struct view_deployment *d);

#endif
