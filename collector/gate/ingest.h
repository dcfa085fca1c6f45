/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_INGEST_H
#define COLLECTOR_GATE_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gate;

/* The ingest HTTP listener of one gate: reports, heartbeats, dumps and upload forms.
 * docs/PROTOCOL.md is the protocol.  Everything runs on the gate's loop thread; the loop's
 * owner calls intake_flush() each turn and intake_dispatch() as intake.h says. */
struct ingest;

/* Listen on "ADDR:PORT" (numeric; "[v6]:PORT"; port 0: any free one; several gates share a
 * port when gate_threads is above 1).  The gate must outlive the ingest.  NULL with a
 * sentence in err. */
struct ingest *ingest_new(struct gate *gate, const char *listen_addr, char *err, size_t err_size);
uint16_t ingest_port(const struct ingest *in); /* the port that is really bound */

/* Limits and times of the settings as they are now.  submit_paths stay as they were. */
void ingest_reload(struct ingest *in);

/* Stop: no new connections, what is open is finished and answered.  The loop must keep turning. */
void ingest_drain(struct ingest *in);
bool ingest_drained(const struct ingest *in); /* no connection, dump or record is in work */

/* Cuts what is left.  Nothing may be in flight in the intake.  NULL is fine. */
void ingest_free(struct ingest *in);

#endif
