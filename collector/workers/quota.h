/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_QUOTA_H
#define COLLECTOR_WORKERS_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"

/* How many dumps of which signature were kept this UTC day.  Survives a restart through a
 * small file of fixed entries (advisory: never flushed, a damaged tail is cut off).
 * Not thread-safe: the dump store holds its lock. */
struct quota;

struct quota *quota_open(const char *path); /* NULL with errno */
void quota_close(struct quota *q);          /* NULL is fine */

/* Dumps of this key that are kept or being received today. */
uint64_t quota_used(struct quota *q, int64_t now_us, uint64_t key);

/* Ask a sender for one if used and recent requests leave room below limit. */
bool quota_ask(struct quota *q, int64_t now_us, uint64_t key, uint64_t limit);

void quota_reserve(struct quota *q, int64_t now_us, uint64_t key); /* a dump is being received */
void quota_unreserve(struct quota *q, int64_t now_us, uint64_t key);

/* A dump is kept under this key.  False if it already was under this key or another. */
bool quota_keep(struct quota *q, int64_t now_us, uint64_t key, const uint8_t sha256[SHA256_BYTES]);

/* The key a dump kept today was counted under, 0 if it was not. */
uint64_t quota_kept_under(struct quota *q, int64_t now_us, const uint8_t sha256[SHA256_BYTES]);

/* Count a dump kept today under another key. */
void quota_move(struct quota *q, int64_t now_us, uint64_t key, const uint8_t sha256[SHA256_BYTES]);

#endif
