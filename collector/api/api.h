/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_API_H
#define COLLECTOR_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/log/log.h"

struct event_base;
struct fold;
struct identity;
struct settings;
struct store_queries;
struct symbols;
struct tokens;

/* The API and dashboard: its own event loop and thread, an intake of its own for writes,
 * everything it knows from the fold, the log and the counters (docs/API.md). */
struct api;

struct api_env {
	struct log *log;
	struct log_id log_id;
	struct fold *fold;
	struct store_queries *store; /* NULL: no database, no history */
	struct symbols *symbols;     /* NULL: no store of images and symbols, no /v1/symbols */
	bool open_reads;             /* reads need no token even when tokens are set: a loopback listener */
	void *arg;                   /* passed to the functions below; all callable from the API's thread */
	const struct settings *(*settings)(void *arg);
	const struct identity *(*identity)(void *arg);
	const struct tokens *(*tokens)(void *arg); /* NULL: no token file */
	/* Everything before this position is in the database; 0: nothing known.  NULL: no database. */
	uint64_t (*stored)(void *arg);
	/* collector/notify/notify.h, all three; NULL: nobody is told of anything. */
	char *(*webhooks)(void *arg, const char *endpoint);
	int (*webhook_redeliver)(void *arg, const char *endpoint, const char *id);
	int (*webhook_ping)(void *arg, const char *endpoint, char id_out[64]);
	/* A read-only descriptor of a kept dump, the caller's to close; -1: it is not kept.  NULL: none are. */
	int (*dump_open)(void *arg, const uint8_t sha256[32], uint64_t *size_out);
	/* NULL, or a sentence: what else /readyz should wait for (listeners, database migration). */
	const char *(*not_ready)(void *arg);
};

/* Copies env.  Everything it points to must outlive the API.  NULL with a sentence in err. */
struct api *api_new(struct event_base *base, const struct api_env *env, char *err, size_t err_size);

/* Serve a bound socket (http_bind()); takes fd over.  -1: out of memory. */
int api_listen(struct api *a, int fd);
uint16_t api_port(const struct api *a);

/* Call from fold_options.changed: a verdict changed or events came.  Any thread, cheap. */
void api_wake(struct api *a);

/* Settings or tokens were reloaded.  API thread. */
void api_reload(struct api *a);

/* Stop accepting and answer what waits; api_drained() turns true, then free.  API thread. */
void api_drain(struct api *a);
bool api_drained(const struct api *a);
void api_free(struct api *a); /* the fold must still be there; NULL is fine */

#endif
