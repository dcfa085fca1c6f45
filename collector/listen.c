/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings.h"
#include "collector/listen.h"

static bool
parse_port(const char *text, uint16_t *out)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v > 65535)
		return false;
	*out = htons((uint16_t)v);
	return true;
}

int
listen_parse(const char *what, const char *text, struct sockaddr_storage *out, socklen_t *len_out, char *err,
	     size_t err_size)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	char host[INET6_ADDRSTRLEN + 2];
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	uint16_t port;

	if (colon == NULL || len >= sizeof(host) || !parse_port(colon + 1, &port))
		goto bad;
	memcpy(host, text, len);
	host[len] = '\0';
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6.sin6_addr) != 1)
			goto bad;
	} else if (len > 0 && strcmp(host, "*") != 0) {
		if (inet_pton(AF_INET, host, &v4.sin_addr) != 1)
			goto bad;
		v4.sin_port = port;
		memcpy(out, &v4, sizeof(v4));
		*len_out = sizeof(v4);
		return 0;
	}
	v6.sin6_port = port;
	memcpy(out, &v6, sizeof(v6));
	*len_out = sizeof(v6);
	return 0;
bad:
	snprintf(err, err_size,
		 "%s: \"%s\" is not ADDR:PORT with a numeric address, such as 127.0.0.1:8480 or [::1]:8480", what,
		 text);
	return -1;
}

bool
listen_is_loopback(const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, sa, sizeof(v4));
		return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
	}
	if (sa->ss_family == AF_INET6) {
		struct sockaddr_in6 v6;

		memcpy(&v6, sa, sizeof(v6));
		return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
	}
	return false;
}

static const char *
setting_of(const struct settings *s, int i, const char **name_out)
{
	static const char *const names[] = { "listen", "stream-listen", "api-listen" };
	const char *const values[] = { s->listen, s->stream_listen, s->api_listen };

	*name_out = names[i];
	return values[i];
}

bool
listen_all_loopback(const struct settings *s)
{
	struct sockaddr_storage sa;
	const char *name;
	socklen_t len;
	char err[256];

	for (int i = 0; i < 3; i++)
		if (listen_parse("", setting_of(s, i, &name), &sa, &len, err, sizeof(err)) == -1 ||
		    !listen_is_loopback(&sa))
			return false;
	return true;
}

int
listen_check(const struct settings *s, char *err, size_t err_size)
{
	struct sockaddr_storage sa;
	const char *name, *value;
	socklen_t len;

	for (int i = 0; i < 3; i++) {
		value = setting_of(s, i, &name);
		if (listen_parse(name, value, &sa, &len, err, err_size) == -1)
			return -1;
		if (!listen_is_loopback(&sa) && s->token_file[0] == '\0' && !s->allow_unauthenticated) {
			snprintf(
				err, err_size,
				"%s %s is reachable from other machines: give --token-file FILE, or --allow-unauthenticated if everyone who can connect may report and halt",
				name, value);
			return -1;
		}
	}
	return 0;
}
