/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_IDENTITY_H
#define COLLECTOR_GATE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/text.h"

struct report_pair;

/* Who a sender is: host id -> keyed hash, peer -> site.  Immutable once made; reload
 * makes a new one.  Any thread. */
struct identity;

enum label_trust { LABELS_NEVER, LABELS_AUTHENTICATED, LABELS_ALWAYS };

/* key_path: 16 random bytes, made with mode 0600 when missing; never changed silently.
 * site_map: a file of "CIDR site" lines, or "" for none.  NULL with a sentence in err. */
struct identity *identity_new(const char *key_path, const char *site_map, enum label_trust trust, char *err,
			      size_t err_size);
void identity_free(struct identity *id);

/* Keyed hash of a host id; never 0.  "h:<16 hex>" ids from the API are taken as they are
 * by identity_api_host(). */
uint64_t identity_host(const struct identity *id, uint16_t tenant, struct text host);
uint64_t identity_api_host(const struct identity *id, uint16_t tenant, struct text host);

/* A 64-bit keyed hash of any other client-chosen text (idempotency keys, guids); never 0. */
uint64_t identity_hash(const struct identity *id, const char *what, struct text t);

/* The site of a sender: the operator's map, else a "site" label if labels of this sender
 * count, else the peer's /24 or /48 as text.  Written to buf (at least SITE_MAX bytes). */
#define SITE_MAX 129
struct text identity_site(const struct identity *id, const struct sockaddr *peer, bool authenticated,
			  const struct report_pair *labels, uint32_t n_labels, char *buf);

/* A relay: whoever passes on heartbeats of several hosts, by address.  0 for our own machine (what
 * ends TLS for us, say): what happens to that happens to us. */
uint32_t identity_relay(const struct identity *id, const struct sockaddr *peer);

#endif
