/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "collector/api/banner.h"
#include "collector/api/page.h"

static const char *
word(const char *status)
{
	static const struct {
		const char *status, *word;
	} words[] = {
		{ "halt", "HALTED" },
		{ "halt_uncertified", "HALTED (UNCERTIFIED)" },
		{ "halt_recovered", "HALTED (RECOVERED)" },
		{ "would_halt", "WOULD HALT" },
		{ "watch", "WATCH" },
		{ "proceed", "PROCEED" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].status, status) == 0)
			return words[i].word;
	return "HOLD";
}

void
banner_headline(const char *status, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s: %s", word(status), name);
}

/* ---- halts ---- */

/* "It makes csagent.sys crash: 52 of 1,042 exposed hosts, 1 of 990,198 others." */
static void
say_harm(struct prose *p, const struct verdict_view *v)
{
	const struct standing *s = &v->evidence.standing;
	const bool dark = s->key_no == UINT32_MAX && strcmp(s->pool, "dark") == 0;

	if (s->key_no == UINT32_MAX) {
		prose_say(p, dark ? "Hosts that get it go dark: " : "It puts hosts into a boot loop: ");
	} else {
		const bool module = s->module[0] != '\0';

		prose_say(p, "It makes ");
		prose_name(p, PART_MODULE,
			   module                ? s->module
			   : s->title[0] != '\0' ? s->title
						 : "something",
			   v->evidence.signature);
		prose_say(p, module ? " crash: " : " appear: ");
	}
	prose_count(p, s->served_with);
	prose_say(p, " of ");
	prose_count(p, s->served);
	prose_say(p, " exposed hosts, ");
	prose_count(p, s->unserved_with);
	prose_say(p, " of ");
	prose_count(p, s->unserved);
	prose_say(p, " others.");
}

/* "Halted at 03:06:20 UTC. Last host served 28 s later; none since. 990,198 hosts never got it." */
static void
say_stop(struct prose *p, const struct fold_view *view, const struct view_deployment *d)
{
	const struct verdict_view *v = &d->verdict;
	const int64_t after_s = (d->last_served_us - v->halt_us) / 1000000;

	prose_break(p);
	prose_say(p, "Halted at ");
	prose_time(p, v->halt_us != 0 ? v->halt_us : v->since_us, view->now_us);
	prose_say(p, ". ");
	if (d->last_served_us == 0)
		prose_say(p, "No host was ever served.");
	else if (v->halt_us != 0 && after_s > 0) {
		prose_say(p, "Last host served ");
		prose_count(p, (uint64_t)after_s);
		prose_say(p, " s later, at ");
		prose_time(p, d->last_served_us, view->now_us);
		prose_say(p, "; none since.");
	} else {
		prose_say(p, "No host was served since.");
	}
	prose_say(p, " ");
	prose_count(p, v->unserved);
	prose_say(p, " %s never got it.", v->unserved == 1 ? "host" : "hosts");
}

static void
say_deployment(struct prose *p, const struct fold_view *view, const struct view_deployment *d)
{
	const struct verdict_view *v = &d->verdict;

	if (v->verdict != VERDICT_HALT || v->state == STATE_HALTED_HEURISTIC || v->state == STATE_HALTED_BY_PERSON ||
	    v->state == STATE_CLOSED || !v->evidence.standing.set) {
		prose_append(p, v->reason, v->parts, v->n_parts);
	} else {
		if (v->state == STATE_RECOVERED) {
			prose_count(p, v->harmed_back);
			prose_say(p, " of ");
			prose_count(p, v->harmed);
			prose_say(p, " harmed hosts are back. Still halted; a person releases it. ");
		}
		say_harm(p, v);
	}
	if (v->verdict == VERDICT_HALT)
		say_stop(p, view, d);
}

/* ---- nothing is wrong ---- */

static void
say_clear(struct prose *p, const struct fold_view *view, uint32_t running)
{
	const struct view_deployment *next = NULL;
	int64_t at_us = INT64_MAX;

	for (uint32_t i = 0; i < view->n_deployments; i++) {
		const struct view_deployment *d = &view->deployments[i];
		const int64_t end = d->last_served_us + d->bake_us;

		if (d->tenant == API_TENANT && d->open && d->verdict.state == STATE_TOO_FEW_RESOLVED &&
		    end > view->now_us && end < at_us) {
			next = d;
			at_us = end;
		}
	}
	prose_say(p, "All clear. ");
	if (running == 0) {
		prose_say(p, "No deployment is running.");
		return;
	}
	prose_count(p, running);
	prose_say(p, " %s running", running == 1 ? "deployment" : "deployments");
	if (next != NULL) {
		prose_say(p, "; next decision: ");
		prose_name(p, PART_DEPLOYMENT, next->id, 0);
		prose_say(p, " at about ");
		prose_time(p, at_us, view->now_us);
	}
	prose_say(p, ".");
}

/* ---- which of it ---- */

/* Shadow deployments halt nobody. */
static bool
is_halted(const struct view_deployment *d)
{
	return d->open && d->verdict.verdict == VERDICT_HALT;
}

static int64_t
when(const struct view_deployment *d)
{
	return d->verdict.halt_us != 0 ? d->verdict.halt_us : d->verdict.since_us;
}

static void
choose(const struct api *a, const struct fold_view *v, struct banner *out, const struct view_deployment **watched)
{
	for (uint32_t i = 0; i < v->n_deployments; i++) {
		const struct view_deployment *d = &v->deployments[i];

		if (d->tenant != API_TENANT || !d->open || d->verdict.state == STATE_DELETED)
			continue;
		out->running++;
		if (is_halted(d)) {
			out->halted++;
			if (out->deployment == NULL || when(d) > when(out->deployment))
				out->deployment = d;
		} else if (strcmp(page_status(a, &d->verdict), "watch") == 0) {
			out->watched++;
			if (*watched == NULL || when(d) > when(*watched))
				*watched = d;
		}
	}
	for (uint32_t i = 0; out->alarm == NULL && i < v->n_alarms; i++)
		if (v->alarms[i].certified || v->alarms[i].kind == ALARM_BRAKE)
			out->alarm = &v->alarms[i];
}

static void
tell(struct banner *out, const char *state, const char *status, const char *headline, int64_t since_us)
{
	out->state = state;
	out->status = status;
	out->since_us = since_us;
	snprintf(out->headline, sizeof(out->headline), "%s", headline);
}

void
banner_make(const struct api *a, const struct fold_view *v, struct banner *out)
{
	const char *doubt = call_not_fresh(a, v->now_us);
	const struct view_deployment *watched = NULL;
	struct prose p;

	memset(out, 0, sizeof(*out));
	prose_begin(&p, out->text, sizeof(out->text), out->parts, BANNER_PARTS, &out->n_parts);
	choose(a, v, out, &watched);
	if (out->deployment != NULL) {
		tell(out, "halt", page_status(a, &out->deployment->verdict), "", when(out->deployment));
		banner_headline(out->status, out->deployment->id, out->headline, sizeof(out->headline));
		say_deployment(&p, v, out->deployment);
		out->alarm = NULL;
	} else if (out->alarm != NULL) {
		tell(out, "alarm", "halt", "", out->alarm->raised_us);
		snprintf(out->headline, sizeof(out->headline), "ALARM: %s", out->alarm->title);
		prose_say(&p, "%s", out->alarm->text);
		prose_break(&p);
		prose_say(&p, out->alarm->deployments > 0 ? "Open deployments were halted for it."
							  : "No deployment is known to be the cause.");
	} else if (doubt != NULL) {
		tell(out, "unknown", "hold", "UNKNOWN", v->now_us);
		prose_say(&p, "What is told here may be out of date: %s.", doubt);
	} else if (watched != NULL) {
		out->deployment = watched;
		tell(out, "watch", "watch", "", when(watched));
		banner_headline("watch", watched->id, out->headline, sizeof(out->headline));
		say_deployment(&p, v, watched);
	} else if (counter_get(COUNTER_fleet_unheard) != 0) {
		tell(out, "hold", "hold", "HOLDING: the fleet is not heard", 0);
		prose_say(&p, "Under half the expected heartbeats arrive; silence is not being judged.");
	} else {
		tell(out, "clear", "proceed", "All clear", 0);
		say_clear(&p, v, out->running);
	}
}
