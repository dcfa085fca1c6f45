/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logline.h"
#include "base/settings.h"
#include "base/token.h"
#include "collector/gate/identity.h"
#include "collector/listen.h"
#include "collector/live.h"

struct generation {
	struct generation *older;
	struct settings settings;
	struct identity *identity;
	struct tokens *tokens;
};

struct live {
	_Atomic(struct generation *) now;
};

static enum label_trust
label_trust(const struct settings *s, bool tokens, char *err, size_t err_size, bool *ok)
{
	*ok = true;
	if (strcmp(s->trust_labels, "always") == 0)
		return LABELS_ALWAYS;
	if (strcmp(s->trust_labels, "never") == 0)
		return LABELS_NEVER;
	if (strcmp(s->trust_labels, "auto") != 0) {
		snprintf(err, err_size, "trust-labels: \"%s\" is not auto, always or never", s->trust_labels);
		*ok = false;
	}
	/* Without tokens and off the network, whoever can connect is the operator. */
	if (!tokens && listen_all_loopback(s))
		return LABELS_ALWAYS;
	return LABELS_AUTHENTICATED;
}

/* The hosts of a log are known by the key they were hashed with: another one is never made for it. */
static bool
key_is_lost(const char *data, const char *key)
{
	const struct dirent *e = NULL;
	char path[4096];
	DIR *log;

	if (access(key, F_OK) == 0)
		return false;
	snprintf(path, sizeof(path), "%s/log", data);
	if ((log = opendir(path)) == NULL)
		return false;
	while ((e = readdir(log)) != NULL &&
	       (strlen(e->d_name) < 4 || strcmp(e->d_name + strlen(e->d_name) - 4, ".seg") != 0))
		;
	closedir(log);
	return e != NULL;
}

static int
generation_fill(struct generation *g, char *err, size_t err_size)
{
	const struct settings *s = &g->settings;
	char key[4096];
	int level = logline_level_by_name(s->log_level);
	enum label_trust trust;
	bool ok;

	if (level == -1) {
		snprintf(err, err_size, "log-level: \"%s\" is not error, warn, info or debug", s->log_level);
		return -1;
	}
	if (settings_check(s, err, err_size) == -1)
		return -1;
	if (s->token_file[0] != '\0' && (g->tokens = tokens_load(s->token_file, err, err_size)) == NULL)
		return -1;
	trust = label_trust(s, g->tokens != NULL, err, err_size, &ok);
	if (!ok)
		return -1;
	snprintf(key, sizeof(key), "%s/host.key", s->data);
	if (key_is_lost(s->data, key)) {
		snprintf(
			err, err_size,
			"host key %s is missing and the log has hosts of it: restore it from a backup; a new key makes every "
			"host a stranger",
			key);
		return -1;
	}
	g->identity = identity_new(key, s->site_map, trust, err, err_size);
	if (g->identity == NULL)
		return -1;
	logline_set_level((enum log_level)level);
	return 0;
}

static void
generation_free(struct generation *g)
{
	identity_free(g->identity);
	tokens_free(g->tokens);
	settings_fini(&g->settings);
	free(g);
}

struct live *
live_new(struct settings *s, char *err, size_t err_size)
{
	struct live *l = calloc(1, sizeof(*l));
	struct generation *g = calloc(1, sizeof(*g));

	if (l == NULL || g == NULL) {
		snprintf(err, err_size, "out of memory");
		free(l);
		free(g);
		return NULL;
	}
	g->settings = *s;
	memset(s, 0, sizeof(*s));
	if (generation_fill(g, err, err_size) == -1) {
		generation_free(g);
		free(l);
		return NULL;
	}
	atomic_store(&l->now, g);
	return l;
}

void
live_free(struct live *l)
{
	struct generation *older;

	if (l == NULL)
		return;
	for (struct generation *g = atomic_load(&l->now); g != NULL; g = older) {
		older = g->older;
		generation_free(g);
	}
	free(l);
}

const struct settings *
live_settings(const struct live *l)
{
	return &atomic_load(&l->now)->settings;
}
const struct identity *
live_identity(const struct live *l)
{
	return atomic_load(&l->now)->identity;
}
const struct tokens *
live_tokens(const struct live *l)
{
	return atomic_load(&l->now)->tokens;
}

/* Settings that cannot change while we run keep their value; say which were asked to. */
static void
keep_fixed(struct settings *fresh, const struct settings *old)
{
	size_t n;
	const struct setting_row *rows = settings_rows(&n);
	char was[4096], is[4096], err[256];

	for (size_t i = 0; i < n; i++) {
		settings_get(old, rows[i].name, was, sizeof(was));
		settings_get(fresh, rows[i].name, is, sizeof(is));
		if (strcmp(was, is) == 0)
			continue;
		if (rows[i].reload)
			log_info("reload", "%s: %s -> %s", rows[i].name, was, is);
		else {
			log_warn("reload", "%s: a change from \"%s\" to \"%s\" needs a restart", rows[i].name, was, is);
			settings_set(fresh, rows[i].name, was, err, sizeof(err));
		}
	}
}

int
live_reload(struct live *l, int argc, char **argv, char *err, size_t err_size)
{
	struct generation *old = atomic_load(&l->now), *g = calloc(1, sizeof(*g));
	int action;

	if (g == NULL || settings_init(&g->settings) == -1) {
		snprintf(err, err_size, "out of memory");
		goto fail;
	}
	if (settings_read_args(&g->settings, argc, argv, &action, err, err_size) == -1)
		goto fail;
	keep_fixed(&g->settings, &old->settings);
	if (generation_fill(g, err, err_size) == -1)
		goto fail;
	g->older = old;
	atomic_store(&l->now, g);
	return 0;
fail:
	if (g != NULL)
		generation_free(g);
	return -1;
}
