/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_FOLD_SNAPSHOT_STORE_H
#define COLLECTOR_FOLD_SNAPSHOT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/ledger/ledger.h"

/* Snapshots in files: each one appends the chunks that changed to a segment file of its
 * own; MANIFEST, replaced atomically, names the segments that together hold the newest
 * whole state.  A writer thread does all writing and syncing; what no longer counts is
 * collected there too.
 *
 *	DIR/MANIFEST		magic, version, log uuid, position, segments, CRC
 *	DIR/NNNNNNNNNNNNNNNN.chunks	magic, version, log uuid, number; then per chunk id, length, CRC, bytes
 */
struct snapshot_store;

enum snapshot_found {
	SNAPSHOT_NONE, /* nothing there */
	SNAPSHOT_LOADED,
	SNAPSHOT_DAMAGED, /* or of another log: err says so; the ledger may only be freed */
	SNAPSHOT_NEWER,   /* written by a newer version: do not touch it */
};

/* Open dir and load the newest snapshot of that log into a fresh ledger.  After anything
 * but LOADED the store is empty: what is on disk is replaced by the next snapshot (never
 * after NEWER, when *store_out is NULL, as when out of memory or threads). */
enum snapshot_found snapshot_store_open(const char *dir, const uint8_t uuid[16], struct ledger *l,
					struct snapshot_store **store_out, char *err, size_t err_size);
void snapshot_store_close(struct snapshot_store *s); /* finishes what was committed; NULL is fine */

/* ---- one snapshot at a time; one thread ---- */

void snapshot_store_begin(struct snapshot_store *s, uint64_t position);
/* A ledger_chunk_fn: copies and queues. */
void snapshot_store_put(void *store, uint64_t chunk, const void *bytes, size_t len);
/* Bytes waiting to be written: hold back when they are many. */
size_t snapshot_store_queued(struct snapshot_store *s);
/* Make it the newest; the result comes later.  First fd, which is the store's from now on, is synced; -1: none. */
void snapshot_store_commit(struct snapshot_store *s, int fd);
enum snapshot_result { SNAPSHOT_PENDING, SNAPSHOT_DONE, SNAPSHOT_FAILED };
/* After commit.  DONE: durable and the newest; FAILED: as if it had not begun. */
enum snapshot_result snapshot_store_result(struct snapshot_store *s);
/* Wait for it. */
enum snapshot_result snapshot_store_wait(struct snapshot_store *s);

#endif
