/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "proto/claim.h"

void
claim_of(const struct report *r, struct claim *out)
{
	char name[MODULE_NAME_MAX + 1];

	memset(out, 0, sizeof(*out));
	out->key.module = r->module;
	out->key.module_id = r->module_id;
	out->key.offset = r->offset;
	out->key.reason = reason_class_of(r->reason.at, r->reason.len);
	if (out->key.reason == REASON_OTHER && r->reason_code != 0)
		out->key.reason = reason_class_of_code(r->reason_code);
	if (r->module.len != 0 && module_name_normalise(r->module, r->module_id, name, sizeof(name)) != 0) {
		out->rung = RUNG_KEY;
		return;
	}
	out->rung = RUNG_ANY;
	if (r->kind != REPORT_KERNEL || r->reason_code == 0)
		return;
	out->rung = RUNG_STOP;
	out->stop.code = r->reason_code;
	out->stop.n_params = r->n_params;
	memcpy(out->stop.params, r->params, sizeof(r->params));
	out->stop.os_build = r->os_build;
}

uint64_t
claim_hash(const struct claim *c)
{
	return c->rung == RUNG_KEY    ? signature_hash(&c->key, RUNG_KEY)
	       : c->rung == RUNG_STOP ? signature_stop_hash(&c->stop)
				      : 0;
}

size_t
claim_title(const struct claim *c, char *out, size_t cap)
{
	return c->rung == RUNG_STOP ? signature_stop_title(&c->stop, out, cap) : signature_title(&c->key, out, cap);
}
