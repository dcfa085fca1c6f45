/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_THREAD_H
#define COLLECTOR_API_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include "collector/api/api.h"

/* The API and dashboard on a thread of its own. */
struct api_thread;

/* NULL with a sentence in err. */
struct api_thread *api_thread_start(const struct api_env *env, const char *addr, char *err, size_t err_size);
uint16_t api_thread_port(const struct api_thread *t);

void api_thread_wake(struct api_thread *t);   /* the fold has news.  Any thread */
void api_thread_reload(struct api_thread *t); /* settings or tokens changed.  Any thread */

/* Answer what waits, stop and free; at most about timeout_ms.  NULL is fine. */
void api_thread_stop(struct api_thread *t, uint64_t timeout_ms);

#endif
