/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_SERVE_H
#define COLLECTOR_WORKERS_SERVE_H

#include <stddef.h>
#include <stdint.h>

#include "collector/workers/confine.h"
#include "collector/workers/zygote.h"

/* Between pool and worker: one packet a message, native byte order.  Requests are answered
 * in order; the result of request t is in slot t % SERVE_DEPTH of the shared area, where it
 * stays until request t + SERVE_DEPTH. */
#define SERVE_DEPTH      8u
#define SERVE_SLOT_BYTES ((size_t)80 << 10)
#define SERVE_AREA_BYTES (SERVE_DEPTH * SERVE_SLOT_BYTES)

struct serve_request { /* with the image as a file descriptor */
	uint32_t ticket;
	uint32_t generation; /* of the images there are; 0: none */
	uint64_t size;
};

enum serve_status { SERVE_READY, SERVE_DONE, SERVE_NOT_MAPPED };
struct serve_reply {
	uint32_t ticket;
	uint32_t status; /* READY: confined and waiting, said once */
	uint64_t size;   /* bytes of the result */
};

/* The life of a worker: until the other end of sock is closed.  wanted: the socket on which it may ask for images. */
_Noreturn void serve(zygote_analyse *analyse, const struct confine_filter *f, const struct confine_limits *l, int sock,
		     int shm, int wanted);

#endif
