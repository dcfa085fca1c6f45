/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_NOTIFY_MESSAGE_H
#define COLLECTOR_NOTIFY_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "collector/notify/changes.h"
#include "collector/notify/endpoints.h"

/* Notices as the requests that each kind of receiver understands.  Pure. */

struct notice {
	enum notice_kind kind;
	char id[NOTICE_ID_SIZE];
	char deployment[129]; /* "" for pings and alarms */
	int64_t at_us;
	json_t *data;
};

struct message_context {
	const char *source;     /* "/faultline/<uuid>": who says it */
	const char *public_url; /* of the page, without a slash at its end; "" for no links */
};

#define MESSAGE_HEADERS 12
struct message {
	char *body; /* free() */
	size_t len;
	char *headers[MESSAGE_HEADERS]; /* "Name: value", free() each */
	size_t n_headers;
	const char *path; /* to append to the endpoint's url; static */
};

/* The request for one notice; sent_us is when it is signed.  -1: out of memory. */
int message_make(const struct webhook *w, const struct message_context *c, const struct notice *n, int64_t sent_us,
		 struct message *out);

/* Alerts of everything that is halted or was lifted less than CHANGES_KEEP_US ago.  *n_out of them. */
int message_alerts(const struct webhook *w, const struct message_context *c, const struct changes *told, int64_t now_us,
		   struct message *out, size_t *n_out);

void message_fini(struct message *m);

#endif
