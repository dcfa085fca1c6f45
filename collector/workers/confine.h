/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_CONFINE_H
#define COLLECTOR_WORKERS_CONFINE_H

#include <stddef.h>
#include <stdint.h>

/* What a triage worker may do: compute, get memory up to a limit, receive images on the
 * socket it has and answer there.  Any other system call kills it. */
struct confine_filter; /* seccomp program, compiled once and inherited */

struct confine_filter *confine_compile(void); /* NULL with errno */
void confine_filter_free(struct confine_filter *f);

struct confine_limits {
	uint64_t memory_bytes; /* private memory beyond what the process has now */
	uint64_t image_bytes;  /* address space for one image on top of it */
	uint64_t cpu_seconds;
};

/* For the calling process, for good: no privileges, no core, resource limits, the filter.
 * -1 with errno: the process must leave. */
int confine_enter(const struct confine_filter *f, const struct confine_limits *l);

#endif
