/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_API_WORLD_H
#define TESTS_UNIT_API_WORLD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/settings.h"
#include "collector/api/api.h"
#include "tests/unit/fake_fold.h"

/* The API on a real socket, with a real journal and a fold that the test sets by hand, and
 * clients for it.  Everything runs on the test's own thread: pump() turns the loop. */
struct world {
	char dir[64];
	struct event_base *base;
	struct log *log;
	struct fold *fold;
	struct api *api;
	struct identity *identity;
	struct settings settings;
	struct tokens *tokens;
	uint64_t stored;
	uint16_t port;
};
int world_setup(void **state); /* for cmocka_unit_test_setup_teardown() */
int world_teardown(void **state);
void world_start_api(struct world *w, bool open_reads);
void world_path(const struct world *w, const char *name, char *buf, size_t size);
/* The deployment d1 is there, with this verdict. */
void world_deploy(struct world *w, enum verdict v, enum verdict_state s, const char *reason);

struct client {
	int fd;
	char buf[65536];
	size_t len;
	bool closed;
	int status;
	char etag[96];
	json_t *body;
};
void client_open(struct client *c, const struct world *w);
void client_close(struct client *c);
void client_send(struct client *c, const char *method, const char *path, const char *headers, const char *body);
void client_read(struct client *c); /* what is there now */

/* Run the loop until the client has its answer (or for ms at most). */
bool pump(struct world *w, struct client *c, int64_t ms);
/* Send, and wait for the answer. */
void ask(struct world *w, struct client *c, const char *method, const char *path, const char *headers,
	 const char *body);
/* Members of the answer and of its error; "(none)" when absent. */
const char *text(const struct client *c, const char *key);
const char *error(const struct client *c, const char *key);

#define JSON_TYPE "Content-Type: application/json\r\n"
#define assert_refused(c, want_status, want_code, want_field)       \
	do {                                                        \
		assert_int_equal((c)->status, want_status);         \
		assert_string_equal(error(c, "code"), want_code);   \
		assert_string_equal(error(c, "field"), want_field); \
	} while (0)

#endif
