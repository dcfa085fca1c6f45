/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_WORKERS_ZYGOTE_H
#define COLLECTOR_WORKERS_ZYGOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The process that forks triage workers: this program executed again, so it is tiny, has
 * no thread and no heap of ours, and can be started anew when it dies.
 *
 * main() begins with
 *	if (zygote_requested(argc, argv))
 *		return zygote_main(worker_triage);
 * and does nothing before it. */

struct images; /* triage/images.h */

/* Analyse an image and write the result into out; returns the bytes written (0: nothing).
 * Runs confined: no file, no socket, no clock worth mentioning.  images: what may be asked for, NULL nothing. */
typedef size_t zygote_analyse(const void *image, size_t size, struct images *images, void *out, size_t cap);

bool zygote_requested(int argc, char **argv);
int zygote_main(zygote_analyse *analyse); /* returns when the parent is gone */

/* The parent's handle; one thread. */
struct zygote;

/* Execute /proc/self/exe as a zygote.  NULL with errno. */
struct zygote *zygote_start(void);
void zygote_free(struct zygote *z); /* kills it and its workers; NULL is fine */

/* False once it has died, even while events of before are still to be read. */
bool zygote_alive(const struct zygote *z);

int zygote_fd(const struct zygote *z); /* readable when zygote_read() has something */

struct zygote_limits {
	uint64_t memory_bytes; /* private memory of a worker */
	uint64_t image_bytes;  /* largest image mapped, on top of it */
	uint64_t cpu_seconds;  /* CPU time in its whole life */
};

/* Fork a worker that serves `sock`, writes results to `shm` and asks for images on `wanted`; all stay the caller's.
 * -1 when the zygote is gone. */
int zygote_spawn(struct zygote *z, uint32_t worker, const struct zygote_limits *l, int sock, int shm, int wanted);
int zygote_kill(struct zygote *z, uint32_t worker);

enum zygote_event_type { ZYGOTE_NOTHING, ZYGOTE_EXITED, ZYGOTE_GONE };
struct zygote_event {
	enum zygote_event_type type;
	uint32_t worker; /* as given to zygote_spawn() */
	int status;      /* of waitpid(); -1: it could not be forked */
};
struct zygote_event zygote_read(struct zygote *z); /* never blocks */

#endif
