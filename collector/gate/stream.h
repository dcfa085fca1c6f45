/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_STREAM_H
#define COLLECTOR_GATE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gate;

/* The native stream listener of one gate: frames in, records into the gate's intake,
 * acknowledgements out after their records are durable.  docs/STREAM.md is the protocol.
 *
 * Everything runs on the gate's loop thread.  Limits (max_frame, max_connections and the
 * time-outs) come from the settings; those that may change on reload are read again. */
struct stream;

/* Listen on "ADDR:PORT" ("[v6]:PORT"; port 0: any free one).  The gate must outlive the
 * stream.  NULL with a sentence in err. */
struct stream *stream_new(struct gate *gate, const char *listen_addr, char *err, size_t err_size);

uint16_t stream_port(const struct stream *s); /* the port that is really bound */

/* Call once per loop turn, after intake_flush(): sends the acknowledgements that became
 * due, resumes what waited for room and frees what died. */
void stream_reap(struct stream *s);

/* Stop: no new connections, nothing more is read, what is in flight is acknowledged, then
 * every peer gets a Nack with retry_after.  The loop must keep turning. */
void stream_drain(struct stream *s);
bool stream_drained(const struct stream *s); /* no connection is left */

size_t stream_connections(const struct stream *s);

/* Cuts what is left.  Nothing may be in flight in the intake.  NULL is fine. */
void stream_free(struct stream *s);

#endif
