/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>

#include "collector/api/telling.h"
#include "collector/api/words.h"

void
telling_begin(struct telling *t)
{
	prose_begin(&t->p, t->text, sizeof(t->text), t->parts, TELLING_PARTS, &t->n_parts);
}

void
telling_text(struct telling *t, struct text text, size_t most)
{
	size_t n = text.len < most ? text.len : most;

	while (n > 0 && n < text.len && ((unsigned char)text.at[n] & 0xc0) == 0x80)
		n--;
	prose_say(&t->p, "%.*s%s", (int)n, text.at, n < text.len ? "…" : "");
}

void
telling_span(struct telling *t, uint64_t s)
{
	if (s < 60)
		prose_say(&t->p, "%" PRIu64 " s", s);
	else if (s < 3600 && s % 60 == 0)
		prose_say(&t->p, "%" PRIu64 " min", s / 60);
	else if (s < 3600)
		prose_say(&t->p, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		prose_say(&t->p, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		prose_say(&t->p, "%" PRIu64 " d %02" PRIu64 " h", s / 86400, s / 3600 % 24);
}

void
telling_put(struct jsonout *j, const struct telling *t)
{
	words_prose(j, "summary", t->text, t->parts, t->n_parts);
}
