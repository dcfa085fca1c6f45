/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_API_CLIENT_H
#define CLI_API_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* Talks to the API of faultlined: one connection, kept.  Single-threaded. */
struct api_client;

struct api_answer {
	long status;  /* 0: no answer; error says why */
	json_t *body; /* NULL if there is none or it is no JSON; owned */
	char etag[96];
	bool interrupted; /* api_client_while said so */
	char error[512];  /* "" for 2xx and 304, else a sentence */
};

/* server: NULL: $FAULTLINE_SERVER, else http://127.0.0.1:8482.  token_file: NULL:
 * $FAULTLINE_TOKEN_FILE, else none.  NULL with a sentence in err. */
struct api_client *api_client_new(const char *server, const char *token_file, char *err, size_t err_size);
void api_client_free(struct api_client *c); /* NULL is fine */
/* Asked about once a second while a request waits; false ends the request. */
void api_client_while(struct api_client *c, bool (*go_on)(void *arg), void *arg);
const char *api_client_server(const struct api_client *c);

/* One request; true when 2xx or 304 came.  path_fmt has one %s for `id`, which is escaped;
 * id may be NULL when there is no %s.  body is borrowed; NULL: none. */
bool api_request(struct api_client *c, const char *method, const char *path_fmt, const char *id, json_t *body,
		 const char *if_none_match, long timeout_ms, struct api_answer *out);
/* PUT the bytes of a file, which may be large; no limit on time as long as something moves. */
bool api_put_file(struct api_client *c, const char *path_fmt, const char *id, FILE *file, uint64_t size,
		  struct api_answer *out);
/* GET what may be large: the body of a 2xx answer goes to `to` as it comes; another answer is in out. */
bool api_download(struct api_client *c, const char *path_fmt, const char *id, FILE *to, struct api_answer *out);
void api_answer_fini(struct api_answer *a);

/* ---- what the commands share ---- */

/* Print text that a server or fleet chose: what would steer the terminal or hide is
 * made visible (cli/glyph.h). */
void print_text(FILE *f, const char *s);
/* "faultline: PATH: WHY" on standard error. */
void print_failure(const char *path, const char *why);
/* As many columns as fit; pads when pad.  Returns columns used. */
int print_column(FILE *f, const char *s, int width, bool pad);

/* String member or "". */
const char *json_member(const json_t *object, const char *key);
long long json_count(const json_t *object, const char *key);

/* "30m", "5s", "90"; -1: not a time. */
int parse_wait(const char *text, int64_t *ms_out);

#endif
