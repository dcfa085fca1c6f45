/* SPDX-License-Identifier: Apache-2.0 */
/* Around the parsers: containers, results from a worker that may lie, reasons and
 * names that clients claim. */
#include "config.h"

#include <stdlib.h>

#include "tests/fuzz/triage_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_wire(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(4 << 20);
	struct triage_result r;
	struct diag diag;

	if (triage_result_decode(a, data, size, &r, &diag) == ERR_OK)
		triage_check_result(&r);
	arena_free(a);
}

static void
check_expand(const uint8_t *data, size_t size)
{
	struct diag diag;
	size_t n;
	void *p;
	enum err e = triage_expand(data, size, 1 << 20, &p, &n, &diag);

	if ((e == ERR_OK || e == ERR_TRUNCATED) && n > 1 << 20)
		abort();
	if (e != ERR_OK && e != ERR_TRUNCATED && p != NULL)
		abort();
	free(p);
}

static void
check_signature(const uint8_t *data, size_t size)
{
	size_t half = size / 2;
	struct signature_key k = { .module = { (const char *)data, half },
				   .module_id = { (const char *)data + half, size - half },
				   .offset = size,
				   .reason = reason_class_of((const char *)data, size) };
	char text[SIGNATURE_TEXT_MAX], title[300];
	size_t n = signature_title(&k, title, sizeof(title));

	if (!text_is_utf8((struct text){ title, n }))
		abort();
	for (int r = 0; r < RUNG_STOP; r++)
		if (signature_text(&k, (enum signature_rung)r, text) >= sizeof(text))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_wire(data, size);
	check_expand(data, size);
	check_signature(data, size);
	triage_check(data, size);
	return 0;
}
