/* SPDX-License-Identifier: Apache-2.0 */
/* Where one key of a deployment stands, and its votes, as JSON. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/signature.h"
#include "collector/api/evidence.h"
#include "collector/api/standing.h"
#include "collector/api/words.h"
#include "collector/log/report_id.h"

const char *
standing_name(const struct standing *s)
{
	if (s->key_no != UINT32_MAX)
		return "signature";
	return strcmp(s->pool, "dark") == 0 ? "dark" : "boot";
}

static void
ratio(struct jsonout *j, const struct standing *s)
{
	jsonout_open(j, "hazard_ratio", '{');
	jsonout_double(j, "low", s->ratio_low, 3);
	jsonout_double(j, "high", s->ratio_high, 3); /* infinite: null */
	jsonout_double(j, "confidence", 0.95, 2);
	jsonout_close(j, '}');
}

/* crashed and did not, served and not: distinct hosts that vote */
static void
table(struct jsonout *j, const struct standing *s)
{
	jsonout_open(j, "table", '{');
	jsonout_u64(j, "served_with", s->served_with);
	jsonout_u64(j, "served_without", s->served > s->served_with ? s->served - s->served_with : 0);
	jsonout_u64(j, "unserved_with", s->unserved_with);
	jsonout_u64(j, "unserved_without", s->unserved > s->unserved_with ? s->unserved - s->unserved_with : 0);
	jsonout_u64(j, "at_risk_served", s->at_risk1);
	jsonout_u64(j, "at_risk_unserved", s->at_risk0);
	jsonout_close(j, '}');
}

void
standing_members(struct jsonout *j, const struct standing *s)
{
	jsonout_string(j, "key", standing_name(s));
	words_signature_id(j, "signature_id", s->key_no != UINT32_MAX ? s->signature : 0);
	jsonout_string(j, "rung", s->key_no != UINT32_MAX ? signature_rung_name(s->rung) : NULL);
	jsonout_string(j, "title", s->title);
	jsonout_string(j, "module", s->module[0] != '\0' ? s->module : NULL);
	jsonout_string(j, "pool", s->pool);
	jsonout_string(j, "severity", s->severity);
	jsonout_bool(j, "own", s->own);
	jsonout_bool(j, "tested", s->tested);
	jsonout_bool(j, "muted", s->muted);
	jsonout_u64(j, "birth", s->birth);
	jsonout_double(j, "log_weight", s->log_weight, 6);
	jsonout_double(j, "log_e", s->log_e, 6);
	jsonout_double(j, "log_odds", s->log_weight + s->log_e, 6);
	jsonout_double(j, "log_needed", s->log_needed, 6);
	jsonout_double(j, "peak_log_e", s->peak_e, 6);
	jsonout_double(j, "rho", s->rho, 3);
	jsonout_u64(j, "hosts_needed", s->k_min);
	jsonout_u64(j, "sites_needed", s->s_min);
	jsonout_u64(j, "sites", s->served_sites);
	jsonout_double(j, "material", s->material, 6);
	jsonout_double(j, "material_needed", s->material_needed, 6);
	ratio(j, s);
	table(j, s);
	jsonout_u64(j, "others_with", s->others_with);
	jsonout_u64(j, "votes_possible", s->votes_possible);
	if (s->votes_needed != UINT32_MAX)
		jsonout_u64(j, "votes_needed", s->votes_needed);
	else
		jsonout_null(j, "votes_needed");
	jsonout_u64(j, "resumes", s->resumes);
	jsonout_bool(j, "reaches", s->would_cross);
	jsonout_string(j, "why", s->why);
}

void
standing_vote(struct jsonout *j, const struct api *a, const struct vote *v)
{
	char id[REPORT_ID_SIZE];

	jsonout_open(j, NULL, '{');
	jsonout_u64(j, "host_number", v->host_no);
	jsonout_bool(j, "served", v->exposed);
	jsonout_bool(j, "counted", v->counted);
	jsonout_u64(j, "site_number", v->site);
	jsonout_u64(j, "stratum", v->stratum);
	jsonout_string(j, "report", report_id_format(v->pos, &a->env.log_id, id));
	jsonout_time(j, "received", v->at_us);
	jsonout_time(j, "crashed", v->crash_us);
	jsonout_time(j, "served_at", v->served_us);
	if (v->served_us != 0 && v->crash_us >= v->served_us)
		jsonout_u64(j, "seconds_since_served", (uint64_t)((v->crash_us - v->served_us) / 1000000));
	else
		jsonout_null(j, "seconds_since_served");
	jsonout_u64(j, "at_risk_served", v->y1);
	jsonout_u64(j, "at_risk_unserved", v->y0);
	jsonout_double(j, "q", v->q, 9);
	jsonout_double(j, "log_factor", v->log_factor, 9);
	jsonout_double(j, "log_odds", v->log_odds, 9);
	jsonout_close(j, '}');
}
