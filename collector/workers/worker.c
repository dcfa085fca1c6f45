/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/workers/worker.h"
#include "triage/triage.h"

#define EXPAND_MAX    ((size_t)1 << 30) /* the memory limit of the worker is usually below */
#define FINDING_MAGIC 0x544c4646u

/* What stands before the encoded result.  Written by the worker, so nothing in it is true. */
struct finding {
	uint32_t magic;
	uint32_t outcome; /* enum err */
	uint32_t cut;     /* the container was truncated */
	char what[WORKER_WHAT_MAX];
};

static enum err
analyse(const void *image, size_t size, const char *cut, struct images *images, struct finding *f, uint8_t *out,
	size_t cap, size_t *len_out)
{
	const struct triage_options opt = { .images = images };
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	struct triage_result res;
	struct diag diag = { .code = ERR_NOMEM, .what = "out of memory" };
	enum err e = ERR_NOMEM;

	if (a != NULL)
		e = triage_run(a, image, size, &opt, &res, &diag);
	if (e == ERR_OK) {
		if (f->cut && !res.partial) {
			res.partial = true;
			res.partial_what = cut;
		}
		*len_out = triage_result_encode(&res, out, cap < TRIAGE_WIRE_MAX ? cap : TRIAGE_WIRE_MAX);
		if (*len_out == 0) {
			e = ERR_LIMIT;
			diag.what = "the result is too large";
		}
	}
	if (e != ERR_OK)
		snprintf(f->what, sizeof(f->what), "%s at %llu", diag.what, (unsigned long long)diag.at);
	arena_free(a);
	return e;
}

size_t
worker_triage(const void *image, size_t size, struct images *images, void *out, size_t cap)
{
	struct finding f = { .magic = FINDING_MAGIC };
	struct diag diag = { .what = "" };
	size_t len = 0, expanded_size = 0;
	void *expanded = NULL;
	const char *cut = "";
	enum err e = ERR_OK;

	if (cap < sizeof(f))
		return 0;
	if (triage_container_of(image, size) != TRIAGE_CONTAINER_NONE) {
		e = triage_expand(image, size, EXPAND_MAX, &expanded, &expanded_size, &diag);
		f.cut = e == ERR_TRUNCATED;
		cut = diag.what;
		if (f.cut && expanded != NULL)
			e = ERR_OK;
		image = expanded;
		size = expanded_size;
	}
	if (e == ERR_OK)
		e = analyse(image, size, cut, images, &f, (uint8_t *)out + sizeof(f), cap - sizeof(f), &len);
	else
		snprintf(f.what, sizeof(f.what), "%s", diag.what);
	free(expanded);
	f.outcome = e;
	memcpy(out, &f, sizeof(f));
	return sizeof(f) + len;
}

enum err
worker_result(struct arena *a, const void *bytes, size_t size, struct triage_result *out,
	      char what_out[WORKER_WHAT_MAX])
{
	struct finding f;
	struct diag diag;

	snprintf(what_out, WORKER_WHAT_MAX, "the worker gave no valid result");
	if (size < sizeof(f))
		return ERR_CRASHED;
	memcpy(&f, bytes, sizeof(f));
	if (f.magic != FINDING_MAGIC || f.outcome > ERR_NOMEM)
		return ERR_CRASHED;
	if (f.outcome == ERR_OK) {
		if (triage_result_decode(a, (const uint8_t *)bytes + sizeof(f), size - sizeof(f), out, &diag) != ERR_OK)
			return ERR_CRASHED;
		what_out[0] = '\0';
		return ERR_OK;
	}
	f.what[WORKER_WHAT_MAX - 1] = '\0';
	for (char *c = f.what; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	memcpy(what_out, f.what, WORKER_WHAT_MAX);
	return (enum err)f.outcome;
}
