/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_HTTP_LISTENER_H
#define COLLECTOR_HTTP_LISTENER_H

#include <stdint.h>

struct event_base;
struct http_server;
struct listener;
struct sockaddr;

/* Listening sockets of a server: a list.  When the process is out of descriptors accepting
 * pauses for a moment instead of spinning. */
int listener_add(struct listener **list, struct http_server *s, struct event_base *base, int fd);
void listeners_free(struct listener *list); /* NULL is fine; closes the sockets */
uint16_t listener_port(const struct listener *l);

/* server.c: a connection was accepted; takes fd over. */
void server_accept(struct http_server *s, int fd, const struct sockaddr *peer);

#endif
