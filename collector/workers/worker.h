/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_WORKER_H
#define COLLECTOR_WORKERS_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"

struct images;
struct triage_result;

/* What a triage worker does with an image: expand it if it is compressed, analyse it, write
 * down the result or why there is none.  A zygote_analyse (zygote.h). */
size_t worker_triage(const void *image, size_t size, struct images *images, void *out, size_t cap);

/* The other side: read what worker_triage() wrote, trusting nothing.  Returns the outcome of
 * the analysis; unless ERR_OK, what_out (of size WORKER_WHAT_MAX) says why in printable ASCII.
 * Bytes that are no result at all are ERR_CRASHED. */
#define WORKER_WHAT_MAX 96
enum err worker_result(struct arena *a, const void *bytes, size_t size, struct triage_result *out,
		       char what_out[WORKER_WHAT_MAX]);

#endif
