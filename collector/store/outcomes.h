/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_OUTCOMES_H
#define COLLECTOR_STORE_OUTCOMES_H

#include <stddef.h>
#include <stdint.h>

/* What the fold decided about reports, handed to the projector, so that the database
 * counts exactly what the ledger counts.
 *
 * Only exceptions are written (a report that is simply counted costs nothing): 16-byte
 * entries in files of DATA/outcomes, named by their first position.  The fold is
 * deterministic, so whatever a crash takes away is written again; only what lies below
 * the ledger's snapshot must be on disk, and for that outcomes_mark() is called and its descriptor synced before
 * a snapshot becomes valid.
 *
 * One fold thread calls the first group, one projector thread the second. */
struct outcomes;

/* Bits; 0: counted.  Stored in the database: append only. */
#define OUTCOME_RESENT    1u  /* known already: acknowledged, not counted */
#define OUTCOME_LATE      2u  /* counted, behind the host's sequence window */
#define OUTCOME_CLONED    4u  /* counted, two live epochs on one host */
#define OUTCOME_DUPLICATE 8u  /* the whole batch was folded before; only with OUTCOME_RESENT */
#define OUTCOME_UNKNOWN   16u /* the decision was lost; counted */

/* Open or create dir.  NULL with a sentence in err. */
struct outcomes *outcomes_open(const char *dir, char *err, size_t err_size);
void outcomes_close(struct outcomes *o); /* syncs; both threads are done.  NULL is fine */

/* ---- the fold ---- */

/* Once, before the first batch is folded: folding starts at `from` (the snapshot's next
 * position, or the log's first).  Drops what was decided at or above it. */
void outcomes_rewind(struct outcomes *o, uint64_t from);

/* Report at `pos`, or with OUTCOME_DUPLICATE the whole batch that begins there.
 * Positions rise.  Never blocks on the disk for longer than a write to the page cache. */
void outcomes_put(struct outcomes *o, uint64_t pos, uint32_t bits);

/* Everything below `next` is decided; call once a batch.  Wakes the projector. */
void outcomes_decided(struct outcomes *o, uint64_t next);

/* All entries below the last outcomes_decided() are on disk once *fd_out, which is the caller's, is
 * synced, on whatever thread (-1: they are); -1: the disk refused, and the snapshot must not become
 * valid. */
int outcomes_mark(struct outcomes *o, int *fd_out);
/* Both in one, waiting for the disk. */
int outcomes_sync(struct outcomes *o);

/* ---- the projector ---- */

/* Is everything below `next` decided?  Waits up to timeout_ms; 1 yes, 0 not yet. */
int outcomes_wait(struct outcomes *o, uint64_t next, int timeout_ms);

/* Start reading at pos: before the first outcomes_get() and whenever going back. */
void outcomes_seek(struct outcomes *o, uint64_t pos);

/* Bits for the record at pos of the batch that begins at batch_pos (0: simply counted).
 * Positions rise between seeks and must have been waited for. */
uint32_t outcomes_get(struct outcomes *o, uint64_t batch_pos, uint64_t pos);

/* Nothing below floor is asked for again. */
void outcomes_release(struct outcomes *o, uint64_t floor);

#endif
