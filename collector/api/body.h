/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_BODY_H
#define COLLECTOR_API_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/text.h"
#include "proto/log.pb-c.h"

struct arena;

/* Bodies of API writes: JSON into log messages.  Strict: a wrong type, a value out of
 * range or a field that does not exist is refused, and the error names it.  Pure. */

#define BODY_MAX_HOSTS   100000u /* a receipt request */
#define BODY_MAX_LISTED  20000u  /* hosts of a selector */
#define BODY_MAX_MODULES 64u
#define BODY_MAX_CHOICES 256u /* products, os_builds, sites, hw_classes, each */
#define BODY_MAX_RINGS   32u
#define BODY_REASON_MAX  500u
#define BODY_LINK_MAX    300u

struct body_error {
	enum discard code;
	char field[96]; /* "rings[2].percent"; "" for the whole body */
	char message[160];
};

/* Host id -> hash (identity_api_host()). */
struct body_hosts {
	uint64_t (*hash)(void *arg, struct text host);
	void *arg;
};

/* All fill *out with texts and arrays of the arena and return 0, or -1 with *err. */

/* `has_salt_out`: the body names a salt; else out->salt is 0 and the caller's to choose. */
int body_deployment(const void *data, size_t len, const char *id, const struct body_hosts *hosts, struct arena *a,
		    Faultline__Log__Deployment *out, bool *has_salt_out, struct body_error *err);

/* "hosts" or "ring", never both; "count" goes with "ring" alone. */
int body_receipt(const void *data, size_t len, const char *id, int64_t now_us, const struct body_hosts *hosts,
		 struct arena *a, Faultline__Log__Receipt *out, struct body_error *err);

/* What a decision asks of us beside what is logged. */
struct body_wish {
	uint64_t expect_position; /* nobody may have acted since; 0: not asked */
	char *confirm;            /* "" when absent */
};
/* {"reason", "actor"?, "expect_position"?, "confirm"?} for halt, resume, pause and delete; "signature" and "for" of a mute, an
 * acceptance or a release. */
int body_decision(const void *data, size_t len, const char *id, Faultline__Log__Action action, int64_t now_us,
		  struct arena *a, Faultline__Log__Decision *out, struct body_wish *wish, struct body_error *err);

/* {"add": {"product"?, "os_build"?, "hw_class"?} or {"hosts"}} or {"remove": "sg-..."}, and "reason", "actor"?. */
int body_safeguard(const void *data, size_t len, const char *id, const struct body_hosts *hosts, struct arena *a,
		   Faultline__Log__Safeguard *out, struct body_error *err);
/* {"hosts": [...]} with 1 to BODY_MAX_HOSTS of them. */
int body_hosts_list(const void *data, size_t len, const struct body_hosts *hosts, struct arena *a, size_t *n_out,
		    uint64_t **out, struct body_error *err);
/* {"host", "up_to"?, "actor"?} of an offer; *up_to_out may come out NULL. */
int body_offer(const void *data, size_t len, const struct body_hosts *hosts, struct arena *a, uint64_t *host_out,
	       char **up_to_out, char **actor_out, struct body_error *err);

/* {"text", "link"?} of advice, {"into"} of a merge; all with "reason", "actor"? and "expect_position"?. */
int body_note(const void *data, size_t len, uint64_t signature, Faultline__Log__NoteAction action, struct arena *a,
	      Faultline__Log__SignatureNote *out, struct body_error *err);

#endif
