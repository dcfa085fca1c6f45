/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_NOTIFY_ENDPOINTS_H
#define COLLECTOR_NOTIFY_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who is to be told: the file of --webhook-file, docs/INTEGRATIONS.md.  Immutable once read. */

enum webhook_format {
	WEBHOOK_CLOUDEVENTS,        /* structured */
	WEBHOOK_CLOUDEVENTS_BINARY, /* attributes as headers */
	WEBHOOK_SLACK,
	WEBHOOK_PAGERDUTY,
	WEBHOOK_ALERTMANAGER, /* no events: what fires is sent again and again */
	WEBHOOK_N_FORMATS
};
const char *webhook_format_name(enum webhook_format f);

/* What an endpoint wants to hear of; bits. */
#define WEBHOOK_HALT       1u /* raised, changed, lifted */
#define WEBHOOK_VERDICT    2u /* every other change of a verdict */
#define WEBHOOK_DEPLOYMENT 4u /* created, closed, deleted */
#define WEBHOOK_ALARM      8u /* raised, over: without a deployment */

#define WEBHOOKS_MAX     32u
#define WEBHOOK_NAME_MAX 64u
#define WEBHOOK_TEXT_MAX 2048u

struct webhook {
	char name[WEBHOOK_NAME_MAX + 1]; /* A-Z a-z 0-9 . _ - */
	enum webhook_format format;
	unsigned events;
	char url[WEBHOOK_TEXT_MAX];             /* a secret: services put their keys into paths */
	char secret[WEBHOOK_TEXT_MAX];          /* signs; "" for none */
	char routing_key[WEBHOOK_NAME_MAX + 1]; /* PagerDuty's */
	char token[WEBHOOK_TEXT_MAX];           /* bearer; "" for none */
	char deployments[256];                  /* glob over ids; "" for all */
	char ca_file[1024], proxy[WEBHOOK_TEXT_MAX];
	uint64_t timeout_ms, give_up_ms, resend_ms;
};

struct webhooks {
	size_t n;
	struct webhook list[WEBHOOKS_MAX];
};

/* NULL with a sentence that names file and line; also when others may read the file. */
struct webhooks *webhooks_load(const char *path, char *err, size_t err_size);
/* The same from text.  Pure. */
struct webhooks *webhooks_parse(const char *text, size_t len, char *err, size_t err_size);
void webhooks_free(struct webhooks *w); /* NULL is fine; wipes the secrets */

/* Scheme, host and port: what may be shown of a url. */
void webhook_origin(const struct webhook *w, char *buf, size_t size);

#endif
