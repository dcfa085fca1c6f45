/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_THREAD_H
#define COLLECTOR_GATE_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include "collector/gate/gate.h"
#include "collector/gate/roster.h"

/* A gate on a thread of its own: the ingest HTTP and native stream listeners, their intake
 * and the presence set.  Several share the ports. */
struct gate_thread;

/* Ports of 0 in the settings are chosen by the first gate; give them to the others.
 * find/arg: the host map for this gate's roster.  NULL with a sentence in err. */
struct gate_thread *gate_thread_start(const struct gate_env *env, uint32_t number, roster_find *find, void *arg,
				      const char *http_addr, const char *stream_addr, char *err, size_t err_size);
uint16_t gate_thread_http_port(const struct gate_thread *t);
uint16_t gate_thread_stream_port(const struct gate_thread *t);

/* Settings or tokens changed.  Any thread. */
void gate_thread_reload(struct gate_thread *t);

/* Take nothing new, answer what is in flight, stop and free; at most about timeout_ms.
 * NULL is fine. */
void gate_thread_stop(struct gate_thread *t, uint64_t timeout_ms);

#endif
