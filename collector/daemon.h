/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_DAEMON_H
#define COLLECTOR_DAEMON_H

#include <stddef.h>

struct live;

/* faultlined's parts, in the order they need each other: log, dumps, the daemon's own
 * records, ledger, triage, database, API, gates.  Started and stopped by main()'s thread. */
struct daemon;

/* Everything is running and listening when this returns (the ledger and the database may
 * still be catching up: /readyz says).  NULL with a sentence in err; what had been started
 * is stopped again. */
struct daemon *daemon_start(struct live *live, char *err, size_t err_size);

/* live_reload() succeeded: tell every part. */
void daemon_reload(struct daemon *d);

/* Drain the gates, answer what is in flight, snapshot, flush, stop.  NULL is fine. */
void daemon_stop(struct daemon *d);

#endif
