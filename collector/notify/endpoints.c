/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/notify/endpoints.h"

#define FILE_MAX       65536u
#define LINE_MAX_BYTES 4096u

static const char *const formats[WEBHOOK_N_FORMATS] = {
	[WEBHOOK_CLOUDEVENTS] = "cloudevents",
	[WEBHOOK_CLOUDEVENTS_BINARY] = "cloudevents-binary",
	[WEBHOOK_SLACK] = "slack",
	[WEBHOOK_PAGERDUTY] = "pagerduty",
	[WEBHOOK_ALERTMANAGER] = "alertmanager",
};

const char *
webhook_format_name(enum webhook_format f)
{
	return formats[f];
}

/* ---- values ---- */

static bool
copy(char *to, size_t size, const char *value)
{
	size_t len = strlen(value);

	if (len >= size)
		return false;
	memcpy(to, value, len + 1);
	return true;
}

static bool
is_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= WEBHOOK_NAME_MAX &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n && s[0] != '.';
}

/* "500ms", "10s", "5m", "24h" */
static bool
duration(const char *value, uint64_t *ms_out)
{
	char *end;
	unsigned long long n = strtoull(value, &end, 10);
	uint64_t unit = strcmp(end, "ms") == 0  ? 1
			: strcmp(end, "s") == 0 ? 1000
			: strcmp(end, "m") == 0 ? 60000
			: strcmp(end, "h") == 0 ? 3600000
			: strcmp(end, "d") == 0 ? 86400000
						: 0;

	if (!isdigit((unsigned char)value[0]) || unit == 0 || n == 0 || n > 400ull * 86400000 / unit)
		return false;
	*ms_out = n * unit;
	return true;
}

static bool
http_url(const char *value)
{
	const char *host = strncmp(value, "https://", 8) == 0  ? value + 8
			   : strncmp(value, "http://", 7) == 0 ? value + 7
							       : NULL;

	if (host == NULL || *host == '\0' || *host == '/')
		return false;
	for (const char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return false;
	return true;
}

#define N_WORDS 5u

static bool
event_words(const char *value, unsigned *out)
{
	static const struct {
		const char *word;
		unsigned bits;
	} words[] = {
		{ "halt", WEBHOOK_HALT },
		{ "verdict", WEBHOOK_VERDICT },
		{ "deployment", WEBHOOK_DEPLOYMENT },
		{ "alarm", WEBHOOK_ALARM },
		{ "all", WEBHOOK_HALT | WEBHOOK_VERDICT | WEBHOOK_DEPLOYMENT | WEBHOOK_ALARM },
	};

	for (*out = 0; *(value += strspn(value, ", \t")) != '\0';) {
		size_t len = strcspn(value, ", \t"), i = 0;

		while (i < N_WORDS && (strlen(words[i].word) != len || memcmp(words[i].word, value, len) != 0))
			i++;
		if (i == N_WORDS)
			return false;
		*out |= words[i].bits;
		value += len;
	}
	return *out != 0;
}

/* NULL, or what is wrong with the value. */
static const char *
set(struct webhook *w, const char *key, const char *value)
{
	if (strcmp(key, "url") == 0)
		return http_url(value) && copy(w->url, sizeof(w->url), value) ? NULL
									      : "url must be http:// or https://";
	if (strcmp(key, "format") == 0) {
		for (unsigned f = 0; f < WEBHOOK_N_FORMATS; f++)
			if (strcmp(formats[f], value) == 0) {
				w->format = (enum webhook_format)f;
				return NULL;
			}
		return "format must be cloudevents, cloudevents-binary, slack, pagerduty or alertmanager";
	}
	if (strcmp(key, "events") == 0)
		return event_words(value, &w->events) ? NULL : "events are halt, verdict, deployment, alarm or all";
	if (strcmp(key, "secret") == 0)
		return strlen(value) >= 16 && copy(w->secret, sizeof(w->secret), value)
			       ? NULL
			       : "a secret has 16 characters or more";
	if (strcmp(key, "routing-key") == 0)
		return copy(w->routing_key, sizeof(w->routing_key), value) ? NULL : "routing-key is too long";
	if (strcmp(key, "token") == 0)
		return copy(w->token, sizeof(w->token), value) ? NULL : "token is too long";
	if (strcmp(key, "deployments") == 0)
		return copy(w->deployments, sizeof(w->deployments), value) ? NULL : "deployments is too long";
	if (strcmp(key, "ca-file") == 0)
		return copy(w->ca_file, sizeof(w->ca_file), value) ? NULL : "ca-file is too long";
	if (strcmp(key, "proxy") == 0)
		return copy(w->proxy, sizeof(w->proxy), value) ? NULL : "proxy is too long";
	if (strcmp(key, "timeout") == 0)
		return duration(value, &w->timeout_ms) && w->timeout_ms <= 60000 ? NULL : "timeout is a time up to 60s";
	if (strcmp(key, "give-up") == 0)
		return duration(value, &w->give_up_ms) ? NULL : "give-up is a time like 24h";
	if (strcmp(key, "resend") == 0)
		return duration(value, &w->resend_ms) && w->resend_ms <= 3600000 ? NULL : "resend is a time up to 1h";
	return "there is no such key";
}

/* NULL, or what is missing. */
static const char *
check(struct webhook *w)
{
	if (w->url[0] == '\0')
		return "url is required";
	if ((w->format == WEBHOOK_PAGERDUTY) != (w->routing_key[0] != '\0'))
		return "routing-key is required for pagerduty, and for nothing else";
	if (w->format == WEBHOOK_ALERTMANAGER && (w->events != 0 || w->secret[0] != '\0'))
		return "alertmanager takes neither events nor a secret";
	if (w->format == WEBHOOK_PAGERDUTY && (w->events & ~(WEBHOOK_HALT | WEBHOOK_ALARM)) != 0)
		return "pagerduty is told of halts and alarms alone";
	if (w->events == 0)
		w->events = w->format == WEBHOOK_SLACK || w->format == WEBHOOK_PAGERDUTY
				    ? WEBHOOK_HALT | WEBHOOK_ALARM
				    : WEBHOOK_HALT | WEBHOOK_VERDICT | WEBHOOK_DEPLOYMENT | WEBHOOK_ALARM;
	return NULL;
}

/* ---- lines ---- */

static char *
trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	for (end = s + strlen(s); end > s && strchr(" \t\r", end[-1]) != NULL; end--)
		end[-1] = '\0';
	return s;
}

static const char *
section(struct webhooks *out, char *line)
{
	char *end = strchr(line, ']');
	struct webhook *w = &out->list[out->n];

	if (end == NULL || end[1] != '\0')
		return "a section is [name]";
	*end = '\0';
	if (!is_name(line + 1))
		return "a name is 1 to 64 of A-Z a-z 0-9 . _ -";
	for (size_t i = 0; i < out->n; i++)
		if (strcmp(out->list[i].name, line + 1) == 0)
			return "there are two sections of this name";
	if (out->n == WEBHOOKS_MAX)
		return "there are more than 32 sections";
	*w = (struct webhook){ .timeout_ms = 10000, .give_up_ms = 86400000, .resend_ms = 60000 };
	strcpy(w->name, line + 1);
	out->n++;
	return NULL;
}

static const char *
take_line(struct webhooks *out, char *line)
{
	char *eq;

	line = trim(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return NULL;
	if (*line == '[')
		return section(out, line);
	if ((eq = strchr(line, '=')) == NULL)
		return "not a \"key = value\" line";
	if (out->n == 0)
		return "a line before the first [name]";
	*eq = '\0';
	return set(&out->list[out->n - 1], trim(line), trim(eq + 1));
}

struct webhooks *
webhooks_parse(const char *text, size_t len, char *err, size_t err_size)
{
	struct webhooks *out = calloc(1, sizeof(*out));
	char line[LINE_MAX_BYTES];
	const char *why = NULL;
	unsigned no = 0;

	if (out == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	for (size_t at = 0; at < len && why == NULL;) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t n = nl != NULL ? (size_t)(nl - text) - at : len - at;

		no++;
		if (n >= sizeof(line) || memchr(text + at, '\0', n) != NULL) {
			why = "the line is too long or no text";
			break;
		}
		memcpy(line, text + at, n);
		line[n] = '\0';
		why = take_line(out, line);
		at += n + 1;
	}
	if (why != NULL)
		snprintf(err, err_size, "line %u: %s", no, why);
	for (size_t i = 0; i < out->n && why == NULL; i++)
		if ((why = check(&out->list[i])) != NULL)
			snprintf(err, err_size, "[%s]: %s", out->list[i].name, why);
	explicit_bzero(line, sizeof(line));
	if (why == NULL)
		return out;
	webhooks_free(out);
	return NULL;
}

struct webhooks *
webhooks_load(const char *path, char *err, size_t err_size)
{
	struct webhooks *w = NULL;
	char *text = NULL, why[200];
	struct stat st;
	size_t len;
	FILE *f = fopen(path, "re");

	if (f == NULL || fstat(fileno(f), &st) == -1) {
		snprintf(err, err_size, "cannot read webhook file %s", path);
		goto out;
	}
	if ((st.st_mode & 07) != 0) {
		snprintf(err, err_size, "webhook file %s can be used by others: chmod o= it", path);
		goto out;
	}
	if ((text = malloc(FILE_MAX + 1)) == NULL || (len = fread(text, 1, FILE_MAX + 1, f)) > FILE_MAX) {
		snprintf(err, err_size, "webhook file %s is larger than %u bytes", path, FILE_MAX);
		goto out;
	}
	if ((w = webhooks_parse(text, len, why, sizeof(why))) == NULL)
		snprintf(err, err_size, "webhook file %s: %s", path, why);
out:
	if (text != NULL)
		explicit_bzero(text, FILE_MAX + 1);
	free(text);
	if (f != NULL)
		fclose(f);
	return w;
}

void
webhooks_free(struct webhooks *w)
{
	if (w != NULL)
		explicit_bzero(w, sizeof(*w));
	free(w);
}

void
webhook_origin(const struct webhook *w, char *buf, size_t size)
{
	const char *host = strstr(w->url, "://") + 3;
	size_t len = strcspn(host, "/?#");
	const char *at = memchr(host, '@', len);

	if (at != NULL) {
		len -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	snprintf(buf, size, "%.*s%.*s", (int)(strstr(w->url, "://") + 3 - w->url), w->url, (int)len, host);
}
