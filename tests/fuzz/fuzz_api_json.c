/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of API writes, and the texts of its URLs.  The first byte chooses.  What was taken
 * can be packed and unpacked again and fits a log record; what was refused names a code; a
 * cursor or text that was read comes back the same. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/arena.h"
#include "collector/api/body.h"
#include "collector/api/jsonout.h"
#include "collector/api/params.h"

static uint64_t
hash(void *arg, struct text host)
{
	(void)arg;
	return host.len != 0 ? (uint64_t)(unsigned char)host.at[0] + 1 : 1;
}

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
refused(const struct body_error *e)
{
	check(e->code != DISCARD_none && e->message[0] != '\0');
	check(memchr(e->field, '\0', sizeof(e->field)) != NULL);
}

static void
bodies(const uint8_t *data, size_t size)
{
	static const struct body_hosts hosts = { hash, NULL };
	struct arena *a = arena_new(4 * 1024 * 1024);
	Faultline__Log__Deployment deployment, *back;
	Faultline__Log__Receipt receipt;
	Faultline__Log__Decision decision;
	struct body_wish wish;
	struct body_error err = { 0 };
	bool has_salt;

	if (body_deployment(data, size, "d1", &hosts, a, &deployment, &has_salt, &err) == 0) {
		size_t len = faultline__log__deployment__get_packed_size(&deployment);
		uint8_t *packed = malloc(len + 1);

		check(faultline__log__deployment__pack(&deployment, packed) == len);
		back = faultline__log__deployment__unpack(NULL, len, packed);
		check(back != NULL && strcmp(back->id, "d1") == 0 && back->n_rings == deployment.n_rings);
		faultline__log__deployment__free_unpacked(back, NULL);
		free(packed);
	} else
		refused(&err);
	if (body_receipt(data, size, "d1", 1721361600000000, &hosts, a, &receipt, &err) == 0)
		check(receipt.n_hosts > 0 || receipt.ring[0] != '\0');
	else
		refused(&err);
	if (body_decision(data, size, "d1", FAULTLINE__LOG__ACTION__ACTION_MUTE, 1, a, &decision, &wish, &err) == 0)
		check(decision.reason[0] != '\0');
	else
		refused(&err);
	arena_free(a);
}

static void
texts(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), cursor_text[PARAMS_CURSOR_SIZE];
	struct params_cursor cursor, back;
	uint64_t u;
	int64_t i;

	memcpy(text, data, size);
	text[size] = '\0';
	params_duration(text, &u);
	params_since(text, 1721361600000000, &i);
	if (params_count(text, 1, 1000, &u) == 0)
		check(u >= 1 && u <= 1000);
	params_deployment_id((struct text){ text, size });
	params_host_hash((struct text){ text, size }, &u);
	params_etag_listed(text, "\"1-2\"");
	if (params_cursor_parse(text, &cursor) == 0) {
		check(params_cursor_parse(params_cursor_format(&cursor, cursor_text), &back) == 0);
		check(back.key == cursor.key && back.id == cursor.id && back.order == cursor.order);
	}
	free(text);
}

/* Any bytes as a text are valid JSON for a strict parser. */
static void
written(const uint8_t *data, size_t size)
{
	struct jsonout j;
	json_t *v;

	jsonout_init(&j);
	jsonout_open(&j, NULL, '[');
	jsonout_text(&j, NULL, (struct text){ (const char *)data, size });
	jsonout_close(&j, ']');
	v = json_loadb(j.at, j.len, JSON_ALLOW_NUL, NULL);
	check(v != NULL && json_array_size(v) == 1);
	json_decref(v);
	jsonout_fini(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		bodies(data + 1, size - 1);
		break;
	case 1:
		texts(data + 1, size - 1);
		break;
	default:
		written(data + 1, size - 1);
		break;
	}
	return 0;
}
