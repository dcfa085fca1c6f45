/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/signature.h"
#include "collector/notify/message.h"

#define SENTENCE_MAX 700u /* PagerDuty's summary is at most 1,024 */

/* ---- pieces ---- */

__attribute__((format(printf, 2, 3))) static void
header(struct message *m, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) != -1 && m->n_headers < MESSAGE_HEADERS)
		m->headers[m->n_headers++] = text;
	else
		free(text);
	va_end(ap);
}

static json_t *
time_text(int64_t us)
{
	char buf[CLOCK_RFC3339_SIZE];

	return json_string(clock_rfc3339(us, buf));
}

static const char *
member(const struct notice *n, const char *key)
{
	const char *s = json_string_value(json_object_get(n->data, key));

	return s != NULL ? s : "";
}

static bool
is_alarm(const struct notice *n)
{
	return n->kind == NOTICE_ALARM_RAISED || n->kind == NOTICE_ALARM_OVER;
}

static bool
is_certified(const struct notice *n)
{
	return json_is_true(json_object_get(n->data, "certified"));
}

/* What it is about: "deployments/sensor-1", "alarms/7", "" for a ping. */
static void
subject(const struct notice *n, char *buf, size_t size)
{
	if (n->deployment[0] != '\0')
		snprintf(buf, size, "deployments/%s", n->deployment);
	else if (is_alarm(n))
		snprintf(buf, size, "alarms/%s", member(n, "alarm"));
	else
		*buf = '\0';
}

/* "Halt of sensor-1: csagent.sys+0xe14ed, ..." */
static void
sentence(const struct notice *n, char *buf, size_t size)
{
	static const char *const leads[NOTICE_N] = {
		[NOTICE_HALT_RAISED] = "Halted",
		[NOTICE_HALT_CHANGED] = "Still halted",
		[NOTICE_HALT_LIFTED] = "Halt lifted",
		[NOTICE_VERDICT_CHANGED] = "Verdict",
		[NOTICE_DEPLOYMENT_CREATED] = "New deployment",
		[NOTICE_DEPLOYMENT_CLOSED] = "Closed",
		[NOTICE_DEPLOYMENT_DELETED] = "Deleted",
		[NOTICE_ALARM_RAISED] = "Alarm",
		[NOTICE_ALARM_OVER] = "Alarm over",
	};
	const char *reason = member(n, "reason");

	if (n->kind == NOTICE_PING)
		snprintf(buf, size, "Faultline says hello: this endpoint works.");
	else if (is_alarm(n))
		snprintf(buf, size, "%s%s: %.*s", leads[n->kind], is_certified(n) ? "" : " (heuristic)",
			 (int)SENTENCE_MAX, reason);
	else if (n->kind == NOTICE_VERDICT_CHANGED)
		snprintf(buf, size, "%s: %s. %.*s", n->deployment, member(n, "verdict"), (int)SENTENCE_MAX, reason);
	else
		snprintf(buf, size, "%s: %s%s%.*s", leads[n->kind], n->deployment, *reason != '\0' ? ". " : "",
			 (int)SENTENCE_MAX, reason);
}

/* To a deployment, or to the page. */
static json_t *
link_of(const struct message_context *c, const char *deployment)
{
	char url[WEBHOOK_TEXT_MAX];

	if (c->public_url[0] == '\0')
		return json_null();
	snprintf(url, sizeof(url), "%s/v1/deployments/%s", c->public_url, deployment);
	return json_string(*deployment != '\0' ? url : c->public_url);
}

static int
dump(json_t *j, struct message *m)
{
	m->body = j != NULL ? json_dumps(j, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(j);
	if (m->body == NULL) {
		message_fini(m);
		return -1;
	}
	m->len = strlen(m->body);
	return 0;
}

/* ---- CloudEvents 1.0 ---- */

static json_t *
event_data(const struct message_context *c, const struct notice *n)
{
	json_t *data = json_deep_copy(n->data);

	json_object_set_new(data, "url", link_of(c, n->deployment));
	return data;
}

static int
cloudevent(const struct message_context *c, const struct notice *n, struct message *m)
{
	json_t *j = json_object();
	char about[160];

	subject(n, about, sizeof(about));
	json_object_set_new(j, "specversion", json_string("1.0"));
	json_object_set_new(j, "type", json_sprintf("dev.faultline.%s", notice_kind_name(n->kind)));
	json_object_set_new(j, "source", json_string(c->source));
	json_object_set_new(j, "id", json_string(n->id));
	json_object_set_new(j, "time", time_text(n->at_us));
	if (about[0] != '\0')
		json_object_set_new(j, "subject", json_string(about));
	json_object_set_new(j, "datacontenttype", json_string("application/json"));
	json_object_set_new(j, "data", event_data(c, n));
	header(m, "Content-Type: application/cloudevents+json; charset=UTF-8");
	return dump(j, m);
}

static int
cloudevent_binary(const struct message_context *c, const struct notice *n, struct message *m)
{
	char at[CLOCK_RFC3339_SIZE], about[160];

	subject(n, about, sizeof(about));
	header(m, "Content-Type: application/json");
	header(m, "ce-specversion: 1.0");
	header(m, "ce-type: dev.faultline.%s", notice_kind_name(n->kind));
	header(m, "ce-source: %s", c->source);
	header(m, "ce-id: %s", n->id);
	header(m, "ce-time: %s", clock_rfc3339(n->at_us, at));
	if (about[0] != '\0')
		header(m, "ce-subject: %s", about);
	return dump(event_data(c, n), m);
}

/* ---- Slack ---- */

static void
escape(const char *from, char *to, size_t size)
{
	size_t n = 0;

	for (; *from != '\0' && n + 6 < size; from++) {
		const char *as = *from == '&' ? "&amp;" : *from == '<' ? "&lt;" : *from == '>' ? "&gt;" : NULL;

		if (as != NULL)
			n += (size_t)snprintf(to + n, size - n, "%s", as);
		else
			to[n++] = *from;
	}
	to[n] = '\0';
}

static int
slack(const struct message_context *c, const struct notice *n, struct message *m)
{
	const char *mark = n->kind == NOTICE_ALARM_RAISED                                    ? ":rotating_light: "
			   : n->kind == NOTICE_HALT_RAISED || n->kind == NOTICE_HALT_CHANGED ? ":octagonal_sign: "
			   : n->kind == NOTICE_HALT_LIFTED || n->kind == NOTICE_ALARM_OVER   ? ":large_green_circle: "
											     : "";
	char said[1024], text[2 * sizeof(said)];
	json_t *blocks = json_array();

	sentence(n, said, sizeof(said));
	escape(said, text, sizeof(text));
	json_array_append_new(blocks, json_pack("{s:s, s:{s:s, s:o}}", "type", "section", "text", "type", "mrkdwn",
						"text", json_sprintf("%s%s", mark, text)));
	if (n->deployment[0] != '\0')
		json_array_append_new(
			blocks,
			json_pack("{s:s, s:[{s:s, s:o}]}", "type", "context", "elements", "type", "mrkdwn", "text",
				  json_sprintf("%" JSON_INTEGER_FORMAT " served, %" JSON_INTEGER_FORMAT
					       " harmed, next ring at most %" JSON_INTEGER_FORMAT "%s%s%s",
					       json_integer_value(json_object_get(n->data, "served")),
					       json_integer_value(json_object_get(n->data, "bad")),
					       json_integer_value(json_object_get(n->data, "next_ring_max")),
					       c->public_url[0] != '\0' ? " | <" : "", c->public_url,
					       c->public_url[0] != '\0' ? "|Faultline>" : "")));
	header(m, "Content-Type: application/json");
	return dump(json_pack("{s:o, s:o}", "text", json_sprintf("%s%s", mark, text), "blocks", blocks), m);
}

/* ---- PagerDuty, events API version 2 ---- */

static int
pagerduty(const struct webhook *w, const struct message_context *c, const struct notice *n, struct message *m)
{
	const char *severity = n->kind == NOTICE_PING            ? "info"
			       : is_alarm(n) && !is_certified(n) ? "warning"
								 : "critical";
	const bool over = n->kind == NOTICE_HALT_LIFTED || n->kind == NOTICE_ALARM_OVER;
	char said[1024], about[160];
	json_t *j = json_object(), *payload = json_object();

	subject(n, about, sizeof(about));
	sentence(n, said, sizeof(said));
	json_object_set_new(payload, "summary", json_string(said));
	json_object_set_new(payload, "source", json_string(n->deployment[0] != '\0' ? n->deployment : "faultline"));
	json_object_set_new(payload, "severity", json_string(severity));
	json_object_set_new(payload, "timestamp", time_text(n->at_us));
	json_object_set_new(payload, "component",
			    json_string(*member(n, "signature") != '\0' ? member(n, "signature") : "fleet"));
	json_object_set_new(payload, "class", json_string(is_alarm(n) ? "alarm" : "halt"));
	json_object_set_new(payload, "custom_details", json_deep_copy(n->data));
	json_object_set_new(j, "routing_key", json_string(w->routing_key));
	json_object_set_new(j, "event_action", json_string(over ? "resolve" : "trigger"));
	json_object_set_new(j, "dedup_key", json_sprintf("%s/%s", c->source, about[0] != '\0' ? about : "ping"));
	json_object_set_new(j, "client", json_string("Faultline"));
	if (c->public_url[0] != '\0')
		json_object_set_new(j, "client_url", json_string(c->public_url));
	json_object_set_new(j, "payload", payload);
	header(m, "Content-Type: application/json");
	return dump(j, m);
}

/* ---- Alertmanager, API version 2 ---- */

static json_t *
alert(const struct message_context *c, const struct told *t, int64_t ends_us)
{
	json_t *labels = json_object(), *notes = json_object(), *j = json_object();

	json_object_set_new(labels, "alertname", json_string("FaultlineDeploymentHalted"));
	json_object_set_new(labels, "deployment", json_string(t->deployment));
	json_object_set_new(labels, "severity", json_string("critical"));
	json_object_set_new(notes, "summary", json_sprintf("Deployment %s is halted", t->deployment));
	json_object_set_new(notes, "description", json_string(t->reason != NULL ? t->reason : ""));
	if (t->title != NULL && t->title[0] != '\0')
		json_object_set_new(notes, "signature", json_string(t->title));
	json_object_set_new(notes, "verdict", json_string(t->verdict));
	json_object_set_new(notes, "state", json_string(t->state));
	json_object_set_new(j, "labels", labels);
	json_object_set_new(j, "annotations", notes);
	json_object_set_new(j, "startsAt", time_text(t->halted_us));
	json_object_set_new(j, "endsAt", time_text(ends_us));
	if (c->public_url[0] != '\0')
		json_object_set_new(j, "generatorURL", link_of(c, t->deployment));
	return j;
}

static json_t *
alarm_alert(const struct message_context *c, const struct told_alarm *a, int64_t ends_us)
{
	char signature[SIGNATURE_ID_LEN];
	json_t *labels = json_object(), *notes = json_object(), *j = json_object();

	json_object_set_new(labels, "alertname", json_string("FaultlineAlarm"));
	json_object_set_new(labels, "kind", json_string(a->kind));
	json_object_set_new(labels, "alarm", json_sprintf("%" PRIu64, a->no));
	json_object_set_new(labels, "severity", json_string(a->certified ? "critical" : "warning"));
	if (a->signature != 0)
		json_object_set_new(labels, "signature_id", json_string(signature_id_text(a->signature, signature)));
	json_object_set_new(notes, "summary",
			    json_sprintf("Faultline: %s of %s", a->kind, a->title != NULL ? a->title : "crashes"));
	json_object_set_new(notes, "description", json_string(a->text != NULL ? a->text : ""));
	json_object_set_new(j, "labels", labels);
	json_object_set_new(j, "annotations", notes);
	json_object_set_new(j, "startsAt", time_text(a->raised_us));
	json_object_set_new(j, "endsAt", time_text(ends_us));
	if (c->public_url[0] != '\0')
		json_object_set_new(j, "generatorURL", link_of(c, ""));
	return j;
}

int
message_alerts(const struct webhook *w, const struct message_context *c, const struct changes *told, int64_t now_us,
	       struct message *out, size_t *n_out)
{
	/* Should we fall silent, the alert ends by itself after four sendings that did not come. */
	const int64_t ends = now_us + (int64_t)(w->resend_ms * 4 < 300000 ? 300000 : w->resend_ms * 4) * 1000;
	json_t *list = json_array();

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < told->n; i++) {
		const struct told *t = &told->told[i];

		if (w->deployments[0] != '\0' && fnmatch(w->deployments, t->deployment, 0) != 0)
			continue;
		if (t->halt_pos != 0)
			json_array_append_new(list, alert(c, t, ends));
		else if (t->resolved_us != 0 && now_us - t->resolved_us < CHANGES_KEEP_US)
			json_array_append_new(list, alert(c, t, t->resolved_us));
	}
	for (size_t i = 0; i < told->n_alarms && w->deployments[0] == '\0'; i++) {
		const struct told_alarm *a = &told->alarms[i];

		if (a->resolved_us == 0 || now_us - a->resolved_us < CHANGES_KEEP_US)
			json_array_append_new(list, alarm_alert(c, a, a->resolved_us == 0 ? ends : a->resolved_us));
	}
	*n_out = json_array_size(list);
	header(out, "Content-Type: application/json");
	out->path = "/api/v2/alerts";
	return dump(list, out);
}

/* ---- signing ---- */

/* As webhook receivers' libraries know it: v1 is base64 of HMAC-SHA256 over "id.timestamp.body".
 * A secret that begins with whsec_ is base64 of the key. */
static void
sign(const struct webhook *w, const struct notice *n, int64_t sent_us, struct message *m)
{
	static const char prefix[] = "whsec_";
	const size_t p = sizeof(prefix) - 1, secret_len = strlen(w->secret);
	uint8_t key[WEBHOOK_TEXT_MAX], mac[SHA256_BYTES];
	char text[BASE64_SIZE(SHA256_BYTES)], *whole = NULL;
	ssize_t key_len = -1;
	int len;

	if (strncmp(w->secret, prefix, p) == 0)
		key_len = base64_decode(w->secret + p, secret_len - p, key);
	if (key_len < 0) {
		memcpy(key, w->secret, secret_len);
		key_len = (ssize_t)secret_len;
	}
	len = asprintf(&whole, "%s.%" PRId64 ".%s", n->id, sent_us / 1000000, m->body);
	if (len != -1) {
		hmac_sha256(key, (size_t)key_len, whole, (size_t)len, mac);
		header(m, "webhook-id: %s", n->id);
		header(m, "webhook-timestamp: %" PRId64, sent_us / 1000000);
		header(m, "webhook-signature: v1,%s", base64_encode(mac, sizeof(mac), text));
		free(whole);
	}
	explicit_bzero(key, sizeof(key));
}

int
message_make(const struct webhook *w, const struct message_context *c, const struct notice *n, int64_t sent_us,
	     struct message *out)
{
	int result = -1;

	memset(out, 0, sizeof(*out));
	out->path = "";
	switch (w->format) {
	case WEBHOOK_CLOUDEVENTS:
		result = cloudevent(c, n, out);
		break;
	case WEBHOOK_CLOUDEVENTS_BINARY:
		result = cloudevent_binary(c, n, out);
		break;
	case WEBHOOK_SLACK:
		result = slack(c, n, out);
		break;
	case WEBHOOK_PAGERDUTY:
		result = pagerduty(w, c, n, out);
		break;
	case WEBHOOK_ALERTMANAGER:
	case WEBHOOK_N_FORMATS:
		break;
	}
	if (result == 0 && w->secret[0] != '\0')
		sign(w, n, sent_us, out);
	return result;
}

void
message_fini(struct message *m)
{
	free(m->body);
	for (size_t i = 0; i < m->n_headers; i++)
		free(m->headers[i]);
	memset(m, 0, sizeof(*m));
}
