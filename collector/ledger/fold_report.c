/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/state.h"
#include "proto/log.pb-c.h"
#include "proto/presence.h"

/* Reports, heartbeats, presence, dumps and triage results. */

/* ---- what a host says about itself ---- */

static uint32_t
hash32(struct text t)
{
	uint64_t h = t.len > 0 ? hash64(1, t.at, t.len) : 0;
	uint32_t v = (uint32_t)(h ^ h >> 32);

	return t.len > 0 && v == 0 ? 1 : v;
}

/* Sorted "name=value" lines of pairs, as one interned text. */
static uint16_t
pairs_number(struct ledger *l, int which, const struct report_pair *pairs, uint32_t n)
{
	char buf[REPORT_MAX_PAIRS * (TEXT_NAME_MAX + VALUE_MAX + 2)];
	uint8_t order[REPORT_MAX_PAIRS];
	size_t len = 0;

	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) { /* insertion sort: they are few */
		uint32_t j = i;

		for (; j > 0; j--) {
			struct text a = pairs[order[j - 1]].name, b = pairs[i].name;
			int c = memcmp(a.at != NULL ? a.at : "", b.at != NULL ? b.at : "",
				       a.len < b.len ? a.len : b.len);

			if (c < 0 || (c == 0 && a.len <= b.len))
				break;
			order[j] = order[j - 1];
		}
		order[j] = (uint8_t)i;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct report_pair *p = &pairs[order[i]];

		if (p->name.len > 0)
			memcpy(buf + len, p->name.at, p->name.len);
		len += p->name.len;
		buf[len++] = '=';
		if (p->value.len > 0)
			memcpy(buf + len, p->value.at, p->value.len);
		len += p->value.len;
		buf[len++] = '\n';
	}
	return intern_add(&l->interns[which], &l->snap, (struct text){ buf, len });
}

static void
heard(struct ledger *l, uint32_t no, bool goodbye)
{
	struct host_chunk *c = hosts_edit_seen(&l->hosts, &l->snap, no);
	uint32_t at = HOST_AT(no), now = seconds(l->now_us);

	if (c->last_seen[at] < now)
		c->last_seen[at] = now;
	if (!goodbye && !silence_is_settled(c->flags[at], c->interval[at]))
		silence_heard(l, no);
	else if (goodbye)
		silence_goodbye(l, no);
}

/* Move the host to another site or stratum, 0: as it is. */
static void
move_host(struct ledger *l, uint32_t no, uint16_t site, uint16_t stratum)
{
	struct host_chunk *c = host_chunk(&l->hosts, no);
	uint32_t at = HOST_AT(no);
	struct candidate old = { atomic_load_explicit(&c->hash[at], memory_order_relaxed), c->stratum[at],
				 c->site[at] };

	if ((site == 0 || site == old.site) && (stratum == 0 || stratum == old.stratum))
		return;
	hosts_edit(&l->hosts, &l->snap, no);
	silence_out(l, no);
	if (site != 0)
		c->site[at] = site;
	if (stratum != 0)
		c->stratum[at] = stratum;
	deployments_host_changed(l, no, &old);
	silence_in(l, no);
}

/* "10.1.2.0/24" or a /48: what a gate says of a sender that named no site. */
static bool
is_network(struct text site)
{
	return site.len > 3 &&
	       (memcmp(site.at + site.len - 3, "/24", 3) == 0 || memcmp(site.at + site.len - 3, "/48", 3) == 0);
}

/* The site a message moves its host to, 0: none.  A mere network does not replace a site that
 * a label or the operator's map gave, or one place would count as two. */
static uint16_t
site_of_message(struct ledger *l, uint32_t no, uint16_t tenant, struct text site)
{
	uint16_t old = host_chunk(&l->hosts, no)->site[HOST_AT(no)];

	if (old != 0 && is_network(site) && !is_network(site_name(l, old)))
		return 0;
	return site_number(l, tenant, site);
}

static void
set_boot(struct ledger *l, uint32_t no, struct text boot_id, bool only_first)
{
	struct host_chunk *c = host_chunk(&l->hosts, no);
	uint32_t at = HOST_AT(no), boot = hash32(boot_id);

	if (boot == 0 || boot == c->boot[at] || (only_first && c->boot[at] != 0))
		return;
	hosts_edit(&l->hosts, &l->snap, no);
	c->boot[at] = boot;
	if (c->boots[at] < UINT16_MAX)
		c->boots[at]++;
}

/* ---- heartbeats and presence ---- */

/* It has this content now, and so was served whatever brings it (receipts.c). */
static void
set_content(struct ledger *l, uint32_t no, uint16_t content)
{
	struct host_chunk *c = host_chunk(&l->hosts, no);

	if (c->content[HOST_AT(no)] == content)
		return;
	hosts_edit(&l->hosts, &l->snap, no)->content[HOST_AT(no)] = content;
	for (uint32_t i = 0; i < l->n_open; i++)
		receipts_infer(l, l->open[i], no);
}

/* How often it wants to be heard of, and who passes that on: one byte each. */
static void
set_interval(struct ledger *l, uint32_t no, const struct heartbeat *h)
{
	uint32_t said = h->interval_s > 0 ? h->interval_s : l->halt.randomised.heartbeat_s, at = HOST_AT(no);
	uint8_t interval = hosts_interval_number(&l->hosts, said);
	uint8_t relay = h->relay != 0 ? (uint8_t)(hash_mix(h->relay) % 255 + 1) : 0;
	struct host_chunk *c = hosts_edit(&l->hosts, &l->snap, no);

	c->relay[at] = relay;
	if (c->interval[at] == interval)
		return;
	silence_touch(l);
	silence_out(l, no);
	if (c->interval[at] == 0 && !h->goodbye)
		c->flags[at] |= HOST_ALIVE; /* heartbeats are expected of it from now on */
	c->interval[at] = interval;
	silence_in(l, no);
	silence_due(l, no);
}

void
fold_heartbeat(struct ledger *l, const struct record_view *rec, const struct heartbeat *h)
{
	uint32_t no = host_number(l, rec->tenant, h->host_hash), at = HOST_AT(no), print, before;
	struct host_chunk *c;

	l->stats.heartbeats++;
	if (no == UINT32_MAX)
		return;
	blind_heard(&l->silence.blind, 1);
	move_host(l, no, site_of_message(l, no, rec->tenant, h->site),
		  stratum_number(l, rec->tenant, h->product, h->os_build, h->hw_class));
	heard(l, no, h->goodbye);
	set_interval(l, no, h);
	c = hosts_edit(&l->hosts, &l->snap, no);
	before = c->boot[at];
	set_boot(l, no, h->boot_id, false);
	boots_heard(l, no, hash32(h->boot_id), before, h->uptime_s);
	/* what a heartbeat does not mention is as it was, unless it says that it tells all */
	if (h->n_content > 0 || h->complete)
		set_content(l, no, pairs_number(l, INTERN_CONTENT, h->content, h->n_content));
	if (h->n_labels > 0 || h->complete)
		c->labels[at] = pairs_number(l, INTERN_LABELS, h->labels, h->n_labels);
	print = heartbeat_fingerprint(h, h->site, h->relay);
	atomic_store_explicit(&c->print[at], print != 0 ? print : 1, memory_order_relaxed);
}

void
fold_presence(struct ledger *l, const struct record_view *rec)
{
	uint64_t before = l->stats.presence_hosts;
	struct presence p;
	uint32_t no, when;

	if (presence_open(rec->payload, rec->payload_len, &p) != ERR_OK) {
		l->stats.bad_records++;
		return;
	}
	/* a gate whose clock runs ahead must not keep a dead host alive */
	when = p.second < seconds(l->now_us) ? (uint32_t)p.second : seconds(l->now_us);
	while (presence_next(&p, &no)) {
		struct host_chunk *c;

		if (no >= l->hosts.n) {
			l->stats.presence_unknown++;
			continue;
		}
		l->stats.presence_hosts++;
		c = hosts_edit_seen(&l->hosts, &l->snap, no);
		if (c->last_seen[HOST_AT(no)] < when)
			c->last_seen[HOST_AT(no)] = when;
		if (!silence_is_settled(c->flags[HOST_AT(no)], c->interval[HOST_AT(no)]))
			silence_heard(l, no);
	}
	blind_heard(&l->silence.blind, (uint32_t)(l->stats.presence_hosts - before));
	if (reader_failed(&p.r))
		l->stats.bad_records++;
}

/* ---- is this report new? ---- */

uint64_t
report_content(uint32_t no, const struct report *r, struct claim_hash h)
{
	uint64_t v[5] = { no, r->epoch, r->seq, (uint64_t)r->occurred_us, r->uptime_s };

	return hash64(h.h1, v, sizeof(v));
}

enum sequence { SEQ_NEW, SEQ_SEEN, SEQ_BEHIND };

static enum sequence
window_take(struct host_window *w, uint64_t seq)
{
	uint64_t back;

	if (seq > w->high) {
		uint64_t by = seq - w->high;

		w->bits = by < 64 ? w->bits << by : 0;
		w->bits |= 1;
		w->high = seq;
		return SEQ_NEW;
	}
	back = w->high - seq;
	if (back >= 64)
		return SEQ_BEHIND;
	if (w->bits >> back & 1)
		return SEQ_SEEN;
	w->bits |= 1ull << back;
	return SEQ_NEW;
}

/* The window of this epoch.  Coming back to the epoch before means that two are alive:
 * a cloned image, whose agents share one id. */
static enum sequence
side_take(struct ledger *l, struct host_side *side, const struct report *r)
{
	struct host_window *w = &side->now;

	if (!w->used) {
		*w = (struct host_window){ r->epoch, r->seq, 1, true };
		return SEQ_NEW;
	}
	if (w->epoch != r->epoch) {
		struct host_window other = side->before;

		side->before = *w;
		if (other.used && other.epoch == r->epoch) {
			struct host_chunk *c = hosts_edit(&l->hosts, &l->snap, side->host_no);

			*w = other;
			l->hosts.cloned += (c->flags[HOST_AT(side->host_no)] & HOST_CLONED) == 0;
			c->flags[HOST_AT(side->host_no)] |= HOST_CLONED;
		} else {
			*w = (struct host_window){ r->epoch, r->seq, 1, true };
			return SEQ_NEW;
		}
	}
	return window_take(w, r->seq);
}

struct judged {
	enum report_outcome outcome;
	uint64_t first;
};

/* An Idempotency-Key, or a dump's hash with the client's guid, within 7 days. */
static bool
upload_seen(struct ledger *l, const struct record_view *rec, uint32_t no, const struct report *r, uint64_t *first)
{
	uint64_t keys[2] = { 0, 0 };
	bool seen = false;

	if (r->idempotency != 0) {
		uint64_t v[3] = { rec->tenant, no, r->idempotency };

		keys[0] = hash64(6, v, sizeof(v));
	}
	if (r->dump_sha256.len == 32) {
		uint64_t v[3] = { rec->tenant, r->guid_hash, hash64(7, r->dump_sha256.at, 32) };

		keys[1] = hash64(8, v, sizeof(v));
	}
	for (int i = 0; i < 2 && !seen; i++)
		seen = keys[i] != 0 && recent_find(&l->recent[RECENT_UPLOADS], keys[i], first);
	for (int i = 0; i < 2 && !seen; i++)
		if (keys[i] != 0)
			recent_add(&l->recent[RECENT_UPLOADS], &l->snap, keys[i], rec->pos, seconds(l->now_us));
	return seen;
}

static struct judged
judge_report(struct ledger *l, const struct record_view *rec, uint32_t no, const struct report *r, struct claim_hash h)
{
	struct judged j = { REPORT_COUNTED, 0 };
	uint64_t content = r->seq != 0 ? report_content(no, r, h) : 0;
	enum sequence seq = SEQ_NEW;
	bool cloned;

	if (r->seq != 0)
		seq = side_take(l, hosts_edit_side(&l->hosts, &l->snap, no), r);
	cloned = (host_chunk(&l->hosts, no)->flags[HOST_AT(no)] & HOST_CLONED) != 0;
	/* behind the window, or with windows that clones push about, only the content can tell;
	 * inside it, clones of one image may well share numbers */
	if (seq == SEQ_BEHIND || (cloned && r->seq != 0)) {
		bool same = recent_find(&l->recent[RECENT_REPORTS], content, &j.first);

		j.outcome = same ? REPORT_RESENT : seq == SEQ_BEHIND ? REPORT_LATE : REPORT_COUNTED;
	} else if (seq == SEQ_SEEN) {
		j.outcome = REPORT_RESENT;
		recent_find(&l->recent[RECENT_REPORTS], content, &j.first);
	}
	if (j.outcome != REPORT_RESENT && upload_seen(l, rec, no, r, &j.first))
		j.outcome = REPORT_RESENT;
	if (j.outcome != REPORT_RESENT && r->seq != 0)
		recent_add(&l->recent[RECENT_REPORTS], &l->snap, content, rec->pos, seconds(l->now_us));
	return j;
}

/* ---- report rows ---- */

uint64_t
report_row_find(const struct ledger *l, uint64_t pos)
{
	uint64_t lo = l->reports_first, hi = l->reports.n;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (((struct report_row *)table_at(&l->reports, mid))->pos < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == l->reports.n || ((struct report_row *)table_at(&l->reports, lo))->pos != pos)
		return UINT64_MAX;
	return lo;
}

void
reports_expire(struct ledger *l)
{
	uint32_t now = seconds(l->now_us);

	while (l->reports_first < l->reports.n) {
		const struct report_row *row = table_at(&l->reports, l->reports_first);

		if (row->received_s + REPORTS_AGE_S >= now && l->reports.n - l->reports_first <= REPORTS_CAP)
			break;
		l->reports_first++;
		table_drop(&l->reports, &l->snap, l->reports_first);
	}
}

uint64_t
signature_of(const struct ledger *l, const struct rungs *g)
{
	uint32_t no = g->key != KEY_NONE ? g->key : g->stop;

	return no != KEY_NONE ? key_at(&l->keys, no)->id : 0;
}

/* ---- votes ---- */

static void
vote_key(struct ledger *l, const struct ballot *b, uint32_t no, const struct key_vote *v)
{
	const struct key *key = key_at(&l->keys, no);
	uint32_t sites = key->sites.n;
	struct outbreak_vote o = { .site = v->site, .pos = v->pos };

	o.host_new = keys_vote(&l->keys, &l->snap, no, v);
	o.site_new = key->sites.n > sites;
	/* a late one says nothing of today; a host that nobody had heard of may be made up */
	if (l->now_us - b->crash_us <= l->halt.randomised.late_s * 1000000ll && b->active)
		outbreaks_vote(l, no, &o);
}

static void
vote(struct ledger *l, struct ballot *ballot, const uint32_t *keys, unsigned n, const struct key_vote *v)
{
	for (unsigned i = 0; i < n; i++)
		if (keys[i] != KEY_NONE)
			vote_key(l, ballot, keys[i], v);
	ballot->keys = keys;
	ballot->n_keys = n;
	if (l->n_open > 0)
		deployments_vote(l, ballot);
}

/* A dump of that signature is in store. */
static void
count_dump(struct ledger *l, uint32_t no)
{
	uint32_t day = seconds(l->now_us) / 86400;
	struct key *key;
	bool enough;

	if (no == KEY_NONE)
		return;
	key = key_edit(&l->keys, &l->snap, no);
	if (key->dump_day != day) {
		key->dump_day = day;
		key->dumps_today = 0;
		key->flags &= (uint8_t)~KEY_ENOUGH;
	}
	key->dumps++;
	key->dumps_today++;
	enough = key->dumps_today >= l->dumps_a_day;
	if (enough == ((key->flags & KEY_ENOUGH) != 0))
		return;
	key->flags |= KEY_ENOUGH;
	if (l->sink.dumps_wanted != NULL)
		l->sink.dumps_wanted(l->sink.arg, key->tenant, key->id, false);
}

static void
count_report(struct ledger *l, const struct record_view *rec, const struct report *r, struct claim_hash h,
	     struct report_row *row)
{
	uint32_t at = HOST_AT(row->host_no), keys[6];
	struct host_chunk *c = host_chunk(&l->hosts, row->host_no);
	struct key_vote v = { row->host_no, c->site[at], row->version, row->kind, r->count, rec->pos, l->now_us };
	struct ballot ballot = { .host_no = row->host_no,
				 .tenant = rec->tenant,
				 .site = c->site[at],
				 .pos = rec->pos,
				 .report_pos = rec->pos,
				 .crash_us = row->crash_us,
				 .arrived_us = l->now_us,
				 .kind = row->kind,
				 .active = (row->flags & REPORT_ROW_ACTIVE) != 0 };
	struct host_side *side;

	keys_of_report(&l->keys, &l->snap, r, h, &l->birth, &row->claimed);
	keys[0] = row->claimed.key;
	keys[1] = row->claimed.build;
	keys[2] = row->claimed.module;
	keys[3] = row->claimed.stop;
	keys[4] = r->kind == REPORT_KERNEL ? keys_class(&l->keys, &l->snap, RUNG_KERNEL, &l->birth) : KEY_NONE;
	keys[5] = keys_class(&l->keys, &l->snap, RUNG_ANY, &l->birth);
	vote(l, &ballot, keys, 6, &v);
	side = hosts_edit_side(&l->hosts, &l->snap, row->host_no);
	side->reports++;
	pulse_report(l, r->kind == REPORT_KERNEL || r->kind == REPORT_BOOT_CRITICAL, side->last_report);
	side->last_report = seconds(l->now_us);
	side->last_signature = signature_of(l, &row->claimed);
	if (row->stage == DUMP_STORED)
		count_dump(l, row->claimed.key != KEY_NONE ? row->claimed.key : row->claimed.stop);
}

/* Heard of shortly before it crashed, or since? */
static bool
was_active(const struct ledger *l, uint32_t seen, int64_t crash_us)
{
	return seen != 0 && (uint64_t)seen + l->halt.randomised.active_s >= seconds(crash_us);
}

void
fold_report(struct ledger *l, const struct record_view *rec, const struct report *r, struct claim_hash h)
{
	uint32_t no = host_number(l, rec->tenant, r->host_hash);
	struct report_row *row;
	struct judged j;
	int64_t crash_us;
	uint32_t seen; /* before this */
	uint8_t flags;

	if (no == UINT32_MAX)
		return;
	seen = host_chunk(&l->hosts, no)->last_seen[HOST_AT(no)];
	crash_us = r->occurred_us > 0 && r->occurred_us < l->now_us ? r->occurred_us : l->now_us;
	move_host(l, no, site_of_message(l, no, rec->tenant, r->site),
		  stratum_number(l, rec->tenant, r->product, r->os_build, r->hw_class));
	heard(l, no, false);
	set_boot(l, no, r->boot_id, true);
	j = judge_report(l, rec, no, r, h);
	if (j.outcome != REPORT_RESENT && (r->kind == REPORT_KERNEL || r->kind == REPORT_BOOT_CRITICAL))
		boots_crashed(l, no, r->uptime_s);
	flags = host_chunk(&l->hosts, no)->flags[HOST_AT(no)];
	row = table_add(&l->reports, &l->snap, NULL);
	*row = (struct report_row){
		.pos = rec->pos,
		.first = j.first,
		.host_no = no,
		.received_s = seconds(l->now_us),
		.crashes = r->count,
		.crash_us = crash_us,
		.claimed = { KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE },
		.computed = { KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE },
		.tenant = rec->tenant,
		.kind = (uint8_t)r->kind,
		.stage = r->dump_sha256.len == 32 ? DUMP_STORED : DUMP_NONE,
		.flags = (uint8_t)((j.outcome == REPORT_RESENT ? REPORT_ROW_RESENT : 0) |
				   (j.outcome == REPORT_LATE ? REPORT_ROW_LATE : 0) |
				   ((flags & HOST_CLONED) != 0 ? REPORT_ROW_CLONED : 0) |
				   (was_active(l, seen, crash_us) ? REPORT_ROW_ACTIVE : 0)),
	};
	if (j.outcome == REPORT_RESENT) {
		l->stats.reports_resent++;
	} else {
		l->stats.reports++;
		l->stats.reports_late += j.outcome == REPORT_LATE;
		row->version = intern_add(&l->interns[INTERN_VERSIONS], &l->snap, r->version);
		count_report(l, rec, r, h, row);
	}
	if (l->sink.report != NULL)
		l->sink.report(l->sink.arg, rec->tenant, rec->pos, j.outcome, signature_of(l, &row->claimed), j.first,
			       (flags & HOST_CLONED) != 0);
}

/* ---- dumps ---- */

void
fold_dump_stored(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__DumpStored *m = unpack_record(l, rec, &faultline__log__dump_stored__descriptor);
	uint64_t at = m != NULL ? report_row_find(l, m->report) : UINT64_MAX;
	struct report_row *row;

	if (at == UINT64_MAX)
		return;
	row = table_edit(&l->reports, &l->snap, at);
	if (row->stage != DUMP_NONE)
		return;
	row->stage = DUMP_STORED;
	count_dump(l, row->claimed.key != KEY_NONE ? row->claimed.key : row->claimed.stop);
}

static struct text
to_text(const char *s)
{
	return text_of(s != NULL ? s : "");
}

/* The rungs of what triage found vote, unless the report voted for them already. */
static void
vote_computed(struct ledger *l, const struct record_view *rec, struct report_row *row, const struct rungs *g,
	      bool kernel)
{
	const struct rungs *a = &row->claimed, *b = &row->computed;
	uint32_t at = HOST_AT(row->host_no);
	uint16_t site = host_chunk(&l->hosts, row->host_no)->site[at];
	struct key_vote v = { row->host_no, site, row->version, row->kind, row->crashes, rec->pos, l->now_us };
	struct ballot ballot = { .host_no = row->host_no,
				 .tenant = row->tenant,
				 .site = site,
				 .pos = rec->pos,
				 .report_pos = row->pos,
				 .crash_us = row->crash_us,
				 .arrived_us = (row->received_s + 1ll) * 1000000,
				 .kind = row->kind,
				 .active = (row->flags & REPORT_ROW_ACTIVE) != 0 };
	uint32_t keys[5] = { g->key != a->key && g->key != b->key ? g->key : KEY_NONE,
			     g->build != a->build && g->build != b->build ? g->build : KEY_NONE,
			     g->module != a->module && g->module != b->module ? g->module : KEY_NONE,
			     g->stop != b->stop ? g->stop : KEY_NONE, KEY_NONE };

	/* only the dump told that it was the kernel */
	if (kernel && row->kind != REPORT_KERNEL) {
		v.kind = row->kind = ballot.kind = REPORT_KERNEL;
		keys[4] = keys_class(&l->keys, &l->snap, RUNG_KERNEL, &l->birth);
	}
	vote(l, &ballot, keys, 5, &v);
}

/* The provisional key of a kernel dump that names no module; a claim of any kind says more. */
static void
keys_of_stop(struct ledger *l, const Faultline__Log__TriageResult *m, const struct rungs *claimed, struct rungs *out)
{
	struct report r = { .kind = REPORT_KERNEL,
			    .reason = to_text(m->reason),
			    .reason_code = m->stop_code,
			    .os_build = to_text(m->os_build) };

	*out = (struct rungs){ KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE };
	if (m->stop_code == 0 || m->n_stop_params > REPORT_MAX_PARAMS || r.os_build.len > TEXT_NAME_MAX ||
	    claimed->key != KEY_NONE || claimed->stop != KEY_NONE)
		return;
	if (r.reason.len > REASON_MAX)
		r.reason = to_text(NULL);
	r.n_params = (uint32_t)m->n_stop_params;
	for (uint32_t i = 0; i < r.n_params; i++)
		r.params[i] = m->stop_params[i];
	keys_of_report(&l->keys, &l->snap, &r, keys_hash_claim(&l->keys, l->birth.tenant, &r), &l->birth, out);
}

/* The function that names from images give: counted, not tested, for not every host's dump is read. */
static void
count_function(struct ledger *l, const struct record_view *rec, const struct report_row *row,
	       const Faultline__Log__TriageResult *m)
{
	const struct function_key where = { to_text(m->function_module), TEXT(""), to_text(m->function) };
	uint16_t site = host_chunk(&l->hosts, row->host_no)->site[HOST_AT(row->host_no)];
	const struct key_vote v = { row->host_no, site, row->version, row->kind, row->crashes, rec->pos, l->now_us };
	uint32_t no = keys_of_function(&l->keys, &l->snap, &where, &l->birth);

	if (no != KEY_NONE)
		keys_vote(&l->keys, &l->snap, no, &v);
}

void
fold_triage_result(struct ledger *l, const struct record_view *rec)
{
	Faultline__Log__TriageResult *m = unpack_record(l, rec, &faultline__log__triage_result__descriptor);
	uint64_t at = m != NULL ? report_row_find(l, m->report) : UINT64_MAX;
	struct signature_key place;
	struct report_row *row;
	struct rungs g;
	uint32_t claimed;

	l->stats.triage_results++;
	if (at == UINT64_MAX)
		return;
	row = table_edit(&l->reports, &l->snap, at);
	row->stage = m->outcome == ERR_OK ? DUMP_TRIAGED : DUMP_UNREADABLE;
	place = (struct signature_key){ to_text(m->module), to_text(m->module_id), m->offset,
					m->reason_class < REASON_N_CLASSES ? (enum reason_class)m->reason_class
									   : REASON_OTHER };
	if (m->outcome != ERR_OK || (place.module.len == 0 && !m->kernel) || (row->flags & REPORT_ROW_RESENT) != 0)
		return;
	l->birth.tenant = row->tenant;
	if (place.module.len != 0)
		keys_of_place(&l->keys, &l->snap, &place, &l->birth, &g);
	else
		keys_of_stop(l, m, &row->claimed, &g);
	if (row->computed.key == KEY_NONE && row->computed.stop == KEY_NONE) /* not read before */
		count_function(l, rec, row, m);
	vote_computed(l, rec, row, &g, m->kernel);
	row->computed = g;
	if (g.stop != KEY_NONE)
		count_dump(l, g.stop);
	if (g.key == KEY_NONE)
		return;
	key_edit(&l->keys, &l->snap, g.key)->flags |= KEY_CONFIRMED;
	claimed = row->claimed.key != KEY_NONE ? row->claimed.key : row->claimed.stop;
	if (claimed == g.key)
		return;
	count_dump(l, g.key);
	if (claimed == KEY_NONE)
		return;
	key_edit(&l->keys, &l->snap, claimed)->alias = key_at(&l->keys, g.key)->id;
}
