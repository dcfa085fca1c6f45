/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>
#include <string.h>

#include "collector/api/topics.h"

#define DEPLOYMENT "deployment:"

static int
take(const char *p, size_t len, struct topics *out)
{
	const size_t prefix = sizeof(DEPLOYMENT) - 1;
	const struct {
		const char *word;
		bool *flag;
	} words[] = {
		{ "now", &out->now },
		{ "signatures", &out->signatures },
		{ "alarms", &out->alarms },
		{ "verdicts", &out->verdicts },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (len == strlen(words[i].word) && memcmp(p, words[i].word, len) == 0) {
			*words[i].flag = true;
			return 0;
		}
	if (len <= prefix || memcmp(p, DEPLOYMENT, prefix) != 0 || out->n_deployments == TOPICS_MAX ||
	    !params_deployment_id((struct text){ p + prefix, len - prefix }))
		return -1;
	memcpy(out->deployments[out->n_deployments].id, p + prefix, len - prefix);
	out->deployments[out->n_deployments++].id[len - prefix] = '\0';
	return 0;
}

int
topics_parse(const char *text, struct topics *out)
{
	unsigned n = 0;

	memset(out, 0, sizeof(*out));
	for (const char *p = text;; p++) {
		const size_t len = strcspn(p, ",");

		if (++n > TOPICS_MAX || take(p, len, out) != 0)
			return -1;
		p += len;
		if (*p == '\0')
			return 0;
	}
}

int
topics_deployment(const struct topics *t, const char *id)
{
	for (unsigned i = 0; i < t->n_deployments; i++)
		if (strcmp(t->deployments[i].id, id) == 0)
			return (int)i;
	return -1;
}
