/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_DISPATCH_H
#define COLLECTOR_WORKERS_DISPATCH_H

#include <stddef.h>

#include "collector/workers/pool.h"

struct dumps;
struct log;

/* The triage thread: follows the log, gives every dump that a report names to the pool and
 * appends what was found as RECORD_TRIAGE_RESULT.
 *
 * DATA/triage.checkpoint holds the position before which everything is triaged and the
 * dumps that killed a worker, so that after a crash of the daemon every dump is triaged (a
 * second time perhaps: results are the same and the fold takes one), and a dump that killed
 * a worker twice is not tried again, only reported as ERR_CRASHED or ERR_TIMEOUT. */
struct dispatch;

/* Starts the thread.  log and dumps must outlive it.  NULL with a sentence in err. */
struct dispatch *dispatch_start(const char *data_dir, struct log *log, struct dumps *dumps,
				const struct pool_options *o, char *err, size_t err_size);
void dispatch_configure(struct dispatch *d, const struct pool_options *o); /* any thread */

/* Stop and join: results already found are appended, dumps in work are left for the next
 * start.  NULL is fine. */
void dispatch_stop(struct dispatch *d);

#endif
