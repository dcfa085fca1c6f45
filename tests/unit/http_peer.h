/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_HTTP_PEER_H
#define TESTS_UNIT_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct http_server;

/* A client of a struct http_server through a bufferevent pair: no sockets, no waiting. */
struct http_peer;
struct http_peer *http_peer_new(struct event_base *base, struct http_server *s);
void http_peer_free(struct http_peer *p);
void http_peer_send(struct http_peer *p, const void *data, size_t len); /* and let the loop run */
void http_peer_run(struct http_peer *p);
const char *http_peer_text(struct http_peer *p); /* all that came, NUL-terminated */
void http_peer_forget(struct http_peer *p);      /* start collecting anew */
void http_peer_stop_reading(struct http_peer *p);
void http_peer_finish(struct http_peer *p); /* send end of file */
bool http_peer_closed(const struct http_peer *p);

#endif
