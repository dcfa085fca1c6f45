/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/triage_check.h"

#define MUST(cond)               \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static void
check_text(const char *s)
{
	MUST(s != NULL && text_is_utf8(text_of(s)));
}

void
triage_check_result(const struct triage_result *r)
{
	const char *const texts[] = { r->os_version, r->reason,    r->blame_rule, r->function_rule,
				      r->module,     r->module_id, r->title,      r->partial_what };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_text(texts[i]);
	MUST(r->n_frames <= TRIAGE_MAX_FRAMES && r->n_modules <= TRIAGE_MAX_MODULES);
	MUST(r->crashing_thread >= -1 && (r->crashing_thread < 0 || (uint32_t)r->crashing_thread < r->thread_count));
	MUST(r->blamed >= -1 && (r->blamed < 0 || (size_t)r->blamed < r->n_frames));
	MUST(r->function_frame >= -1 && (r->function_frame < 0 || (size_t)r->function_frame < r->n_frames));
	for (size_t i = 0; i < r->n_modules; i++) {
		check_text(r->modules[i].path);
		check_text(r->modules[i].id);
		check_text(r->modules[i].code_id);
		check_text(r->modules[i].debug_id);
		check_text(r->modules[i].version);
	}
	for (size_t i = 0; i < r->n_frames; i++) {
		check_text(r->frames[i].function);
		MUST(r->frames[i].module >= -1 && r->frames[i].module < (int32_t)r->n_modules);
	}
	for (size_t i = 0; i < r->n_annotations; i++) {
		check_text(r->annotations[i].key);
		check_text(r->annotations[i].value);
	}
}

static void
check_wire(const struct triage_result *r)
{
	uint8_t *buf = malloc(TRIAGE_WIRE_MAX);
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	struct triage_result back;
	struct diag diag;
	size_t n;

	MUST(buf != NULL && a != NULL);
	n = triage_result_encode(r, buf, TRIAGE_WIRE_MAX);
	MUST(n > 0);
	MUST(triage_result_decode(a, buf, n, &back, &diag) == ERR_OK);
	triage_check_result(&back);
	MUST(strcmp(r->reason, back.reason) == 0 && r->has_signature == back.has_signature);
	MUST(!r->has_signature || (r->signature == back.signature && strcmp(r->title, back.title) == 0));
	arena_free(a);
	free(buf);
}

void
triage_check(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	struct triage_result r;
	struct diag diag = { ERR_OK, NULL, 0 };

	MUST(a != NULL);
	if (triage_run(a, data, size, NULL, &r, &diag) == ERR_OK) {
		triage_check_result(&r);
		check_wire(&r);
	} else {
		MUST(diag.code != ERR_OK && diag.what != NULL);
	}
	arena_free(a);
}
