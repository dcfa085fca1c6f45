/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_FOLD_SNAPSHOT_FILES_H
#define COLLECTOR_FOLD_SNAPSHOT_FILES_H

#include "collector/fold/snapshot_store.h"

/* The files of a snapshot store; one thread at a time.  What a call that fails has done is
 * logged, and undone by snapshot_files_abandon(). */
struct snapshot_files;

enum snapshot_found snapshot_files_open(const char *dir, const uint8_t uuid[16], struct ledger *l,
					struct snapshot_files **out, char *err, size_t err_size);
void snapshot_files_close(struct snapshot_files *f);

bool snapshot_files_begin(struct snapshot_files *f, uint64_t position);
bool snapshot_files_put(struct snapshot_files *f, uint64_t chunk, const void *bytes, size_t len);
bool snapshot_files_commit(struct snapshot_files *f);
void snapshot_files_abandon(struct snapshot_files *f);

/* Rewrite what counts into one segment when most of the bytes on disk do not. */
void snapshot_files_collect(struct snapshot_files *f);

#endif
