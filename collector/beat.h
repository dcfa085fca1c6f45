/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_BEAT_H
#define COLLECTOR_BEAT_H

#include <stddef.h>
#include <stdint.h>

struct log;
struct settings;

/* The daemon's own hand in the log: Seed, Settings, LedgerVersion and Leader at the start, a
 * Tick each interval, a Gap when time jumped or we were stopped, and the decisions that the
 * ledger takes.  One thread, so that these singletons have one writer. */
struct beat;
struct fold_decision;

/* Appends the opening records and starts the thread.  NULL with a sentence in err. */
struct beat *beat_start(struct log *log, const struct settings *s, char *err, size_t err_size);

/* Append the full set again, after a reload.  Any thread; s is read before it returns. */
void beat_settings(struct beat *b, const struct settings *s);

/* Append the ledger's halt of a deployment as an automatic Decision on the basis of the log
 * up to d->pos, with its proof.  All is copied.  Any thread; never blocks.  Tried again until the log takes it. */
void beat_halt(struct beat *b, const struct fold_decision *d);

void beat_stop(struct beat *b); /* append what is queued, stop, join; NULL is fine */

#endif
