/* SPDX-License-Identifier: Apache-2.0 */
/* /healthz, /readyz, /version and /metrics. */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "collector/api/call.h"
#include "collector/api/counts.h"

static void
healthz_begin(struct http_request *r)
{
	struct api *a = r->arg;
	const char *failed = fold_failed(a->env.fold);

	http_set_header(r, "Cache-Control", "no-store");
	if (failed == NULL)
		http_answer(r, 200, "text/plain; charset=utf-8", "ok\n", 3);
	else
		http_answer(r, 503, "text/plain; charset=utf-8", failed, strlen(failed));
}

const struct http_ops healthz_ops = { .begin = healthz_begin };

static const char *
not_ready(const struct api *a)
{
	const char *why = fold_failed(a->env.fold);

	if (why == NULL && a->draining)
		why = "the server is stopping";
	if (why == NULL && !fold_caught_up(a->env.fold))
		why = "the ledger is still reading the log";
	if (why == NULL && a->env.not_ready != NULL)
		why = a->env.not_ready(a->env.arg);
	return why;
}

static void
readyz_begin(struct http_request *r)
{
	struct api *a = r->arg;
	const char *why = not_ready(a);
	struct jsonout j;

	jsonout_init(&j);
	jsonout_open(&j, NULL, '{');
	jsonout_bool(&j, "ready", why == NULL);
	jsonout_string(&j, "reason", why);
	jsonout_position(&j, "position", fold_position(a->env.fold));
	jsonout_close(&j, '}');
	jsonout_raw(&j, "\n", 1);
	http_set_header(r, "Cache-Control", "no-store");
	http_answer(r, why == NULL ? 200 : 503, "application/json", j.at, j.failed ? 0 : j.len);
	jsonout_fini(&j);
}

const struct http_ops readyz_ops = { .begin = readyz_begin };

static void
version_begin(struct http_request *r)
{
	struct api *a = r->arg;
	char log[33];
	struct jsonout j;

	jsonout_init(&j);
	jsonout_open(&j, NULL, '{');
	jsonout_string(&j, "name", PACKAGE_NAME);
	jsonout_string(&j, "version", PACKAGE_VERSION);
	jsonout_string(&j, "log", hex_encode(a->env.log_id.uuid, sizeof(a->env.log_id.uuid), log));
	jsonout_close(&j, '}');
	jsonout_raw(&j, "\n", 1);
	http_set_header(r, "Cache-Control", "no-store");
	http_answer(r, 200, "application/json", j.at, j.failed ? 0 : j.len);
	jsonout_fini(&j);
}

const struct http_ops version_ops = { .begin = version_begin };

static void
metrics_begin(struct http_request *r)
{
	struct api *a = r->arg;
	const struct fold_view *v = fold_view_get(a->env.fold);
	struct jsonout out;

	jsonout_init(&out);
	counts_metrics(&out, v, call_not_fresh(a, v->now_us), clock_wall_us() - (clock_boot_us() - a->started_us));
	fold_view_put(a->env.fold, v);
	if (out.failed)
		http_refuse(r, DISCARD_catching_up, NULL, "the answer does not fit into memory");
	else
		http_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.at, out.len);
	jsonout_fini(&out);
}

const struct http_ops metrics_ops = { .begin = metrics_begin };
