/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LISTEN_H
#define COLLECTOR_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct settings;

/* "ADDR:PORT", "[v6]:PORT" or "*:PORT" (all addresses) to a socket address.  Numeric only: a
 * listener must not wait for a name server.  -1 with a sentence naming `what` in err. */
int listen_parse(const char *what, const char *text, struct sockaddr_storage *out, socklen_t *len_out, char *err,
		 size_t err_size);

bool listen_is_loopback(const struct sockaddr_storage *sa);
bool listen_all_loopback(const struct settings *s); /* false also when one cannot be parsed */

/* Refuse listeners that would let strangers in: one that is not loopback needs a token file
 * or allow-unauthenticated.  -1 with a sentence in err that says what to do. */
int listen_check(const struct settings *s, char *err, size_t err_size);

#endif
