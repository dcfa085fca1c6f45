/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/signature.h"
#include "cli/replay.h"
#include "collector/ledger/ledger.h"
#include "collector/log/journal.h"

static const char help[] =
	"usage: faultline replay DIR [--until POSITION|TIME] [--json]\n\n"
	"Folds the log of a stopped daemon again, from its beginning, and prints every verdict with\n"
	"its evidence.  DIR is the data directory, or the log directory in it; nothing is changed.\n\n"
	"  --until WHEN  stop before the first batch after that position or RFC 3339 time\n"
	"  --json        one JSON object instead of text\n\n"
	"Exit 0; 1 when the log records a decision that this fold does not come to, or the other\n"
	"way round; 2 when the log cannot be read.\n";

#define DIFFERENCES_MAX 1000
#define PROGRESS_US     200000

struct difference {
	uint64_t pos;
	uint16_t tenant;
	char deployment[129], what[160];
};

struct replay {
	bool json, progress;
	uint64_t until_pos;
	int64_t until_us;
	struct ledger *ledger;
	struct difference *differences;
	size_t n_differences;
	uint64_t first; /* of the log */
	bool whole;     /* it begins with its Seed */
	bool stopped_early;
};

static void
add_difference(struct replay *r, uint16_t tenant, const char *deployment, uint64_t pos, const char *what)
{
	struct difference *d;

	if (r->n_differences == DIFFERENCES_MAX)
		return;
	d = realloc(r->differences, (r->n_differences + 1) * sizeof(*d));
	if (d == NULL)
		return;
	r->differences = d;
	d += r->n_differences++;
	d->pos = pos;
	d->tenant = tenant;
	snprintf(d->deployment, sizeof(d->deployment), "%s", deployment);
	snprintf(d->what, sizeof(d->what), "%s", what);
}

static void
on_difference(void *arg, uint16_t tenant, const char *deployment, uint64_t pos, const char *what)
{
	add_difference(arg, tenant, deployment, pos, what);
}

/* A halt of this fold that no Decision of the log confirms. */
static void
on_unrecorded(void *arg, uint16_t tenant, const char *deployment, const char *reason, uint64_t pos)
{
	(void)reason;
	add_difference(arg, tenant, deployment, pos, "this fold halts here, and the log records no such decision");
}

/* ---- folding ---- */

static bool
past_the_end(const struct replay *r, const struct batch_view *b)
{
	struct record_view rec;
	uint32_t cursor = 0;

	if (b->first > r->until_pos)
		return true;
	return r->until_us != INT64_MAX && batch_next(b, &cursor, &rec, NULL) && rec.received_us > r->until_us;
}

static void
show_progress(const struct replay *r, uint64_t pos, uint64_t end, int64_t *shown_us)
{
	int64_t now = clock_boot_us();
	double part = end > r->first ? (double)(pos - r->first) / (double)(end - r->first) : 1;
	struct ledger_stats s;

	if (!r->progress || now - *shown_us < PROGRESS_US)
		return;
	*shown_us = now;
	ledger_stats(r->ledger, &s);
	fprintf(stderr, "\r%3.0f %%  %" PRIu64 " records, %" PRIu64 " hosts, %" PRIu64 " signatures ", part * 100,
		s.records, s.hosts, s.signatures);
}

static int
fold_log(struct replay *r, struct log *log)
{
	struct log_reader *reader = log_reader_new(log, 0);
	int64_t shown = clock_boot_us();
	enum log_read got = LOG_WAIT;
	struct batch_view b;
	enum err e = ERR_OK;
	uint64_t end;
	struct log_id id;

	if (reader == NULL)
		return -1;
	log_bounds(log, &r->first, &end, &id);
	while (e == ERR_OK && (got = log_read(reader, &b, 0)) == LOG_BATCH) {
		struct record_view rec;
		uint32_t cursor = 0;

		if (past_the_end(r, &b)) {
			r->stopped_early = true;
			break;
		}
		if (ledger_position(r->ledger) == 0)
			r->whole = batch_next(&b, &cursor, &rec, NULL) && rec.type == RECORD_SEED;
		e = ledger_fold(r->ledger, &b);
		show_progress(r, b.next, end, &shown);
	}
	if (r->progress)
		fputs("\r\033[K", stderr);
	log_reader_free(reader);
	if (e == ERR_UNSUPPORTED)
		fprintf(stderr,
			"faultline replay: a record at %" PRIu64 " is of a newer version and may not be skipped\n",
			b.first);
	else if (e != ERR_OK || (got != LOG_BATCH && got != LOG_WAIT))
		fprintf(stderr, "faultline replay: the log is damaged after %" PRIu64 "\n", ledger_position(r->ledger));
	return e == ERR_OK && (got == LOG_BATCH || got == LOG_WAIT) ? 0 : -1;
}

/* ---- telling ---- */

static const char *
time_text(int64_t us, char buf[CLOCK_RFC3339_SIZE])
{
	return us != 0 ? clock_rfc3339(us, buf) : "never";
}

static void
print_votes(const struct replay *r, const struct evidence *e)
{
	for (uint32_t i = 0; i < e->n_votes; i++) {
		const struct vote *v = &e->votes[i];
		struct host_view h = { 0 };
		char buf[CLOCK_RFC3339_SIZE];

		ledger_host_by_number(r->ledger, v->host_no, &h);
		printf("    vote %2u  %s  host h:%016" PRIx64 "  site %.*s  %s  position %" PRIu64 "\n", i + 1,
		       time_text(v->at_us, buf), h.hash, (int)h.site.len, h.site.len > 0 ? h.site.at : "",
		       v->exposed ? "served" : "not served", v->pos);
	}
}

static void
print_deployment(const struct replay *r, uint32_t no)
{
	struct deployment_view d;
	struct verdict_view v;
	char id[SIGNATURE_ID_LEN], buf[CLOCK_RFC3339_SIZE];
	const struct evidence *e = &v.evidence;

	ledger_deployment(r->ledger, no, &d);
	ledger_verdict(r->ledger, no, &v);
	printf("%.*s: %s (%s) since %s, position %" PRIu64 "\n", (int)d.id.len, d.id.at, verdict_name(v.verdict),
	       verdict_state_name(v.state), time_text(v.since_us, buf), v.since_pos);
	printf("    %s\n", v.reason);
	printf("    served %u, resolved %u (crashed %u), withdrawn %u; eligible %u, not served %u\n", v.served,
	       v.resolved, v.bad, v.withdrawn, v.eligible, v.unserved);
	if (!e->set)
		return;
	printf("    signature %s %s: served %u/%u at %u sites, not served %u/%u; module %s: %u and %u\n",
	       signature_id_text(e->signature, id), e->title, e->served_with, e->served, e->served_sites,
	       e->unserved_with, e->unserved, e->module[0] != '\0' ? e->module : "-", e->module_served_with,
	       e->module_unserved_with);
	print_votes(r, e);
}

static void
print_text(const struct replay *r, const struct ledger_stats *s, const char *digest)
{
	char buf[CLOCK_RFC3339_SIZE];

	printf("folded %" PRIu64 " records up to position %" PRIu64 ", %s\n", s->records, ledger_position(r->ledger),
	       time_text(ledger_now_us(r->ledger), buf));
	printf("%" PRIu64 " hosts, %" PRIu64 " reports (%" PRIu64 " resent, %" PRIu64 " late), %" PRIu64
	       " signatures\n",
	       s->hosts, s->reports, s->reports_resent, s->reports_late, s->signatures);
	printf("digest %s\n", digest);
	if (!r->whole)
		printf("note: older log was released; what it held is not in these verdicts\n");
	for (uint32_t i = 0; i < ledger_deployments(r->ledger); i++)
		print_deployment(r, i);
	for (size_t i = 0; i < r->n_differences; i++)
		printf("difference: %s, position %" PRIu64 ": %s\n", r->differences[i].deployment,
		       r->differences[i].pos, r->differences[i].what);
}

static json_t *
json_text(struct text t)
{
	return json_stringn(t.len > 0 ? t.at : "", t.len);
}

static json_t *
json_time(int64_t us)
{
	char buf[CLOCK_RFC3339_SIZE];

	return us != 0 ? json_string(clock_rfc3339(us, buf)) : json_null();
}

static json_t *
json_position(uint64_t pos)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, pos); /* beyond what a double holds */
	return json_string(buf);
}

static json_t *
json_evidence(const struct replay *r, const struct evidence *e)
{
	json_t *votes = json_array();
	char id[SIGNATURE_ID_LEN], host[24];

	if (!e->set) {
		json_decref(votes);
		return json_null();
	}
	for (uint32_t i = 0; i < e->n_votes; i++) {
		const struct vote *v = &e->votes[i];
		struct host_view h = { 0 };

		ledger_host_by_number(r->ledger, v->host_no, &h);
		snprintf(host, sizeof(host), "h:%016" PRIx64, h.hash);
		json_array_append_new(votes, json_pack("{s:s, s:o, s:b, s:o, s:o}", "host", host, "site",
						       json_text(h.site), "served", v->exposed, "position",
						       json_position(v->pos), "at", json_time(v->at_us)));
	}
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:o}", "signature",
			 signature_id_text(e->signature, id), "title", e->title, "module", e->module, "served_with",
			 (int)e->served_with, "served", (int)e->served, "served_sites", (int)e->served_sites,
			 "unserved_with", (int)e->unserved_with, "unserved", (int)e->unserved, "module_served_with",
			 (int)e->module_served_with, "module_unserved_with", (int)e->module_unserved_with, "first",
			 json_time(e->first_us), "last", json_time(e->last_us), "votes", votes);
}

static json_t *
json_deployment(const struct replay *r, uint32_t no)
{
	struct deployment_view d;
	struct verdict_view v;

	ledger_deployment(r->ledger, no, &d);
	ledger_verdict(r->ledger, no, &v);
	return json_pack("{s:i, s:o, s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:o}",
			 "tenant", (int)d.tenant, "id", json_text(d.id), "verdict", verdict_name(v.verdict), "state",
			 verdict_state_name(v.state), "reason", v.reason, "shadow", v.shadow, "recorded", v.recorded,
			 "since", json_time(v.since_us), "position", json_position(v.since_pos), "served",
			 (int)v.served, "resolved", (int)v.resolved, "crashed", (int)v.bad, "withdrawn",
			 (int)v.withdrawn, "eligible", (int)v.eligible, "unserved", (int)v.unserved, "next_ring_max",
			 (json_int_t)v.next_ring_max, "evidence", json_evidence(r, &v.evidence));
}

static void
print_json(const struct replay *r, const struct ledger_stats *s, const char *digest)
{
	json_t *deployments = json_array(), *differences = json_array(), *all;

	for (uint32_t i = 0; i < ledger_deployments(r->ledger); i++)
		json_array_append_new(deployments, json_deployment(r, i));
	for (size_t i = 0; i < r->n_differences; i++)
		json_array_append_new(differences,
				      json_pack("{s:s, s:o, s:s}", "deployment", r->differences[i].deployment,
						"position", json_position(r->differences[i].pos), "what",
						r->differences[i].what));
	all = json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:o, s:o}", "position",
			json_position(ledger_position(r->ledger)), "time", json_time(ledger_now_us(r->ledger)),
			"records", (json_int_t)s->records, "hosts", (json_int_t)s->hosts, "reports",
			(json_int_t)s->reports, "reports_resent", (json_int_t)s->reports_resent, "reports_late",
			(json_int_t)s->reports_late, "signatures", (json_int_t)s->signatures, "digest", digest, "whole",
			r->whole, "deployments", deployments, "differences", differences);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

/* ---- the command ---- */

static struct log *
open_log(const char *dir, char *err, size_t err_size)
{
	struct journal_options o = { .read_only = true };
	char below[4096];
	struct stat st;

	snprintf(below, sizeof(below), "%s/log", dir);
	if (stat(dir, &st) != 0) {
		snprintf(err, err_size, "%s: %s", dir, strerror(errno));
		return NULL;
	}
	return journal_open(stat(below, &st) == 0 && S_ISDIR(st.st_mode) ? below : dir, &o, err, err_size);
}

static int
run(struct replay *r, const char *dir)
{
	struct ledger_options o = { .sink = { .arg = r, .difference = on_difference } };
	struct ledger_sink unrecorded = { .arg = r, .decision_wanted = on_unrecorded };
	char err[512] = "", hex[SHA256_HEX];
	uint8_t digest[SHA256_BYTES];
	struct ledger_stats s;
	struct log *log = open_log(dir, err, sizeof(err));
	int bad;

	if (log == NULL) {
		fprintf(stderr, "faultline replay: %s\n", err);
		return 2;
	}
	r->ledger = ledger_new(&o);
	bad = fold_log(r, log);
	if (bad == 0) {
		if (!r->stopped_early) /* what comes after may still record it */
			ledger_pending_decisions(r->ledger, &unrecorded);
		ledger_digest(r->ledger, digest);
		ledger_stats(r->ledger, &s);
		(r->json ? print_json : print_text)(r, &s, hex_encode(digest, sizeof(digest), hex));
	}
	ledger_free(r->ledger);
	log_close(log);
	return bad != 0 ? 2 : r->n_differences > 0 ? 1 : 0;
}

static bool
parse_until(struct replay *r, const char *text)
{
	char *end;

	errno = 0;
	r->until_pos = strtoull(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && text[0] != '-')
		return true;
	r->until_pos = UINT64_MAX;
	return clock_parse_rfc3339(text, &r->until_us) == 0;
}

int
cmd_replay(int argc, char **argv)
{
	static const struct option options[] = {
		{ "until", required_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct replay r = { .until_pos = UINT64_MAX, .until_us = INT64_MAX, .progress = isatty(STDERR_FILENO) };
	int c, status;

	while ((c = getopt_long(argc, argv, "hju:", options, NULL)) != -1)
		switch (c) {
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'j':
			r.json = true;
			break;
		case 'u':
			if (parse_until(&r, optarg))
				break;
			fprintf(stderr, "faultline replay: --until wants a position or an RFC 3339 time, not %s\n",
				optarg);
			return 2;
		default:
			fputs("faultline replay --help says more.\n", stderr);
			return 2;
		}
	if (optind + 1 != argc) {
		fputs(help, stderr);
		return 2;
	}
	status = run(&r, argv[optind]);
	free(r.differences);
	return status;
}
