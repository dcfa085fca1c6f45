/* SPDX-License-Identifier: Apache-2.0 */
/* Silence in virtual time: a fleet that sends heartbeats, and what befalls it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "tests/unit/ledger_help.h"

#define INTERVAL 60u
#define S        1000000ll

/* Hosts 1 to n (number i - 1), ten to a site; each sends a heartbeat a minute while it is up. */
struct world {
	struct scribe s;
	uint32_t n, second, every; /* seconds between heartbeats of a host */
	bool *down;
	uint32_t *dies; /* second at which it falls silent for ever; 0: not */
	uint32_t *beats;
};

static void
world_beats(struct world *w)
{
	uint32_t n = 0;

	for (uint32_t i = w->second % w->every; i < w->n; i += w->every) {
		if (w->dies[i] != 0 && w->second >= w->dies[i])
			w->down[i] = true;
		if (!w->down[i])
			w->beats[n++] = i;
	}
	if (n > 0)
		scribe_presence(&w->s, w->beats, n);
}

static void
world_run(struct world *w, uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++) {
		world_beats(w);
		scribe_tick(&w->s, S);
		w->second++;
	}
}

/* A fleet that has been known for an hour and is listened to again. */
static void
world_init_with(struct world *w, uint32_t n, uint32_t every)
{
	char interval[16];
	struct ledger *l = ledger_new(NULL);

	assert_non_null(l);
	*w = (struct world){ .n = n, .every = every };
	w->down = calloc(n, sizeof(*w->down));
	w->dies = calloc(n, sizeof(*w->dies));
	w->beats = calloc(n, sizeof(*w->beats));
	assert_true(w->down != NULL && w->dies != NULL && w->beats != NULL);
	scribe_init(&w->s, l);
	scribe_tick(&w->s, 0);
	snprintf(interval, sizeof(interval), "%us", every);
	scribe_setting(&w->s, "halt-heartbeat", interval);
	scribe_fleet(&w->s, 1, n);
	scribe_tick(&w->s, 3700 * S);
	world_run(w, 300);
}

static void
world_init(struct world *w, uint32_t n)
{
	world_init_with(w, n, INTERVAL);
}

static void
world_fini(struct world *w)
{
	assert_false(w->s.failed);
	ledger_free(w->s.l);
	scribe_fini(&w->s);
	free(w->down);
	free(w->dies);
	free(w->beats);
}

static struct silence_view
silence(const struct world *w)
{
	struct silence_view v;

	ledger_silence(w->s.l, &v);
	return v;
}

static struct verdict_view
verdict(const struct world *w)
{
	static struct verdict_view v;

	assert_true(ledger_verdict(w->s.l, 0, &v));
	return v;
}

static struct standing
standing(const struct world *w, unsigned which)
{
	struct standing v;

	assert_true(ledger_standing_special(w->s.l, 0, which, &v));
	return v;
}

static void
deploy(struct world *w, const char *assignment)
{
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	char *id = strdup("d"), *mode = strdup("armed"), *a = strdup(assignment);

	m.id = id;
	m.mode = mode;
	m.assignment = a;
	m.salt = 12345;
	scribe_message(&w->s, RECORD_DEPLOYMENT, &m);
	free(id);
	free(mode);
	free(a);
}

/* Is the host among the first `share` thousandths of the plan?  Spreads over all sites. */
static bool
is_picked(uint64_t host, uint32_t share)
{
	return hash_mix(host ^ 77) % 1000 < share;
}

static bool
is_bricked(uint64_t host, uint32_t hazard)
{
	return hash_mix(host ^ 1234567) % 10000 < hazard;
}

/* Serve a share (of thousand) of the fleet over so many minutes, `hazard` of ten thousand die of it after
 * twenty seconds.  Runs on until the deployment halts or as many minutes again are over. */
static uint32_t
roll_out(struct world *w, uint32_t share, uint32_t minutes, uint32_t hazard, uint32_t wait)
{
	uint64_t *hosts = calloc(w->n, sizeof(*hosts));
	uint32_t harmed = 0;

	assert_non_null(hosts);
	for (uint32_t m = 0; m < minutes + wait; m++) {
		size_t n = 0;

		if (verdict(w).verdict == VERDICT_HALT)
			break;
		for (uint64_t h = 1; m < minutes && h <= w->n; h++) {
			if (!is_picked(h, share) || hash_mix(h + 5) % minutes != m)
				continue;
			hosts[n++] = h;
			if (is_bricked(h, hazard)) {
				w->dies[h - 1] = w->second + 20;
				harmed++;
			}
		}
		if (n > 0)
			scribe_serve(&w->s, "d", hosts, n);
		world_run(w, 60);
	}
	free(hosts);
	return harmed;
}

/* ---- presence ---- */

static void
test_deadline(void **state)
{
	struct world w;
	struct host_view h;
	int64_t seen;

	(void)state;
	world_init(&w, 100);
	assert_int_equal(silence(&w).alive, 100);
	assert_true(ledger_host_by_number(w.s.l, 7, &h));
	assert_int_equal(h.state, HOST_IS_ALIVE);
	w.down[7] = true;
	seen = h.last_seen_us;
	assert_int_equal(h.limit_s, 2 * INTERVAL + 120);
	assert_int_equal(h.deadline_us, seen + h.limit_s * S);
	while (w.s.now_us <= h.deadline_us) {
		assert_int_equal(silence(&w).dark, 0);
		world_run(&w, 1);
	}
	world_run(&w, 1);
	assert_int_equal(silence(&w).dark, 1);
	assert_true(ledger_host_by_number(w.s.l, 7, &h));
	assert_int_equal(h.state, HOST_IS_DARK);
	w.down[7] = false;
	world_run(&w, 60);
	assert_int_equal(silence(&w).dark, 0);
	assert_int_equal(silence(&w).went_dark, 1);
	assert_int_equal(silence(&w).came_back, 1);
	world_fini(&w);
}

/* Short times in which nobody listened shift the deadline, by as much as they last. */
static void
test_short_gaps(void **state)
{
	struct world w;
	struct host_view h;

	(void)state;
	world_init(&w, 100);
	w.down[7] = true;
	world_run(&w, 120);
	scribe_tick(&w.s, 40 * S); /* stopped */
	assert_true(ledger_host_by_number(w.s.l, 7, &h));
	assert_int_equal(h.unlistened_s, 40);
	while (w.s.now_us <= h.deadline_us) {
		assert_int_equal(silence(&w).dark, 0);
		world_run(&w, 1);
	}
	world_run(&w, 2);
	assert_int_equal(silence(&w).dark, 1);
	assert_int_equal(silence(&w).gaps, 2); /* the hour at the beginning, and this */
	world_fini(&w);
}

/* The daemon is stopped for twenty minutes under heartbeats: nobody is dark, whether a Gap record says it
 * or only the ticks do, and whether or not hosts need a few minutes to come back. */
static void
test_own_outage(void **state)
{
	struct world w;

	(void)state;
	for (int told = 0; told < 2; told++) {
		Faultline__Log__Gap gap = FAULTLINE__LOG__GAP__INIT;
		char why[] = "stopped";

		world_init(&w, 600);
		deploy(&w, "hash");
		roll_out(&w, 100, 3, 0, 0);
		gap.from_us = w.s.now_us;
		if (told) {
			w.s.now_us += 1200 * S;
			gap.to_us = w.s.now_us;
			gap.why = why;
			scribe_message(&w.s, RECORD_GAP, &gap);
			scribe_tick(&w.s, 0);
		} else {
			scribe_tick(&w.s, 1200 * S);
		}
		for (uint32_t i = 0; i < 180; i++) /* agents come back bit by bit */
			scribe_tick(&w.s, S);
		world_run(&w, 1800);
		assert_int_equal(silence(&w).went_dark, 0);
		assert_int_equal(silence(&w).alive, 600);
		assert_int_equal(standing(&w, 0).served_with, 0);
		assert_int_equal(standing(&w, 0).unserved_with, 0);
		world_fini(&w);
	}
}

/* Most heartbeats stop at once while ticks go on: that is us, or our network. */
static void
test_blind(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 600);
	deploy(&w, "hash");
	roll_out(&w, 100, 3, 0, 0);
	for (uint32_t i = 0; i < 600; i++)
		w.down[i] = i % 3 != 0;
	world_run(&w, 180);
	assert_true(silence(&w).blind_since_us != 0);
	assert_int_equal(verdict(&w).state, STATE_BLIND);
	assert_int_equal(verdict(&w).verdict, VERDICT_HOLD);
	world_run(&w, 1200);
	assert_int_equal(silence(&w).went_dark, 0);
	memset(w.down, 0, 600);
	world_run(&w, 900);
	assert_true(silence(&w).blind_since_us == 0);
	assert_true(verdict(&w).state != STATE_BLIND);
	assert_int_equal(silence(&w).went_dark, 0);
	assert_true(silence(&w).blind_minutes >= 20);
	world_fini(&w);
}

static void
test_goodbye(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 600);
	deploy(&w, "hash");
	roll_out(&w, 100, 2, 0, 0);
	for (uint64_t h = 1; h <= 600; h++)
		if (is_picked(h, 100)) {
			w.down[h - 1] = true;
			scribe_goodbye(&w.s, h, NULL);
		}
	world_run(&w, 1200);
	assert_int_equal(silence(&w).went_dark, 0);
	assert_int_equal(standing(&w, 0).served_with, 0);
	assert_int_equal(verdict(&w).silent, 0);
	assert_true(verdict(&w).verdict != VERDICT_HALT);
	world_fini(&w);
}

/* ---- the test ---- */

static void
brick(uint32_t fleet, uint32_t share, uint32_t minutes, uint32_t hazard, uint32_t most)
{
	struct world w;
	uint32_t harmed;

	world_init(&w, fleet);
	deploy(&w, "hash");
	harmed = roll_out(&w, share, minutes, hazard, 15);
	print_message("hazard %u/10000: %u harmed, %u silent, log odds %.1f\n", hazard, harmed, verdict(&w).silent,
		      standing(&w, 0).log_weight + standing(&w, 0).log_e);
	assert_int_equal(verdict(&w).state, STATE_HALTED);
	assert_string_equal(verdict(&w).evidence.standing.pool, "dark");
	assert_true(harmed <= most);
	world_fini(&w);
}

static void
test_bricked(void **state)
{
	(void)state;
	brick(6000, 100, 30, 10000, 200);
	brick(6000, 100, 30, 1000, 60);
	brick(20000, 100, 30, 100, 20);
}

/* Heartbeats every few seconds: the deadline is no whole number of minutes, and hosts that were killed by what they
 * were served fall in the arm of the served. */
static void
test_heartbeats_of_seconds(void **state)
{
	(void)state;
	for (uint32_t offset = 0; offset < 60; offset += 10) { /* of the deployment's minutes to those of the clock */
		struct world w;
		uint32_t harmed;

		world_init_with(&w, 3000, 5);
		scribe_setting(&w.s, "halt-silence-grace", "20s"); /* dark after half a minute */
		world_run(&w, offset);
		deploy(&w, "hash");
		harmed = roll_out(&w, 100, 10, 10000, 5);
		assert_int_equal(verdict(&w).state, STATE_HALTED);
		assert_string_equal(verdict(&w).evidence.standing.pool, "dark");
		assert_int_equal(standing(&w, 0).unserved_with, 0);
		assert_true(harmed <= 130);
		world_fini(&w);
	}
}

/* Everybody was served, so nobody is left to compare with: whoever lived does not speak for those that fell silent. */
static void
test_silent_are_no_clean_hosts(void **state)
{
	struct verdict_view v;
	struct world w;

	(void)state;
	world_init(&w, 1000);
	deploy(&w, "hash");
	roll_out(&w, 1000, 1, 4000, 45);
	v = verdict(&w);
	print_message("%s\n", v.reason);
	assert_in_range(v.lost, 350, 450);
	assert_true(v.hazard > .35 && v.next_ring_max < 250);
	scribe_decide(&w.s, "d", FAULTLINE__LOG__ACTION__ACTION_RESUME, false, "being scrapped", 0, false);
	v = verdict(&w);
	assert_int_equal(v.lost, 0);
	assert_true(v.hazard < .05);
	world_fini(&w);
	/* a few of many */
	world_init(&w, 1000);
	deploy(&w, "hash");
	roll_out(&w, 1000, 1, 200, 45);
	v = verdict(&w);
	print_message("%s\n", v.reason);
	assert_int_equal(v.verdict, VERDICT_PROCEED);
	assert_in_range(v.lost, 10, 35);
	assert_true(v.hazard > .02 && v.hazard < .06);
	world_fini(&w);
}

static void
test_harmless(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 6000);
	deploy(&w, "hash");
	for (uint32_t i = 0; i < 6000; i++) /* an evening: a third of the fleet is closed without a word */
		if (hash_mix(i) % 3 == 0)
			w.dies[i] = w.second + (uint32_t)(hash_mix(i + 99) % 2700);
	roll_out(&w, 200, 40, 0, 15);
	print_message("evening: %u of %u served silent, log odds %.1f\n", verdict(&w).silent, verdict(&w).served,
		      standing(&w, 0).log_weight + standing(&w, 0).log_e);
	assert_true(silence(&w).went_dark > 1500);
	assert_true(standing(&w, 0).served_with > 20 && standing(&w, 0).unserved_with > 100);
	assert_true(verdict(&w).verdict != VERDICT_HALT && verdict(&w).state != STATE_WATCH);
	world_fini(&w);
}

/* Votes that moved the evidence. */
static uint32_t
counted(const struct world *w)
{
	struct vote v[64];
	size_t n = ledger_votes(w->s.l, 0, UINT32_MAX - 1, 0, v, 64, NULL, NULL);
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i].counted;
	return sum;
}

/* A site that goes dark has one vote, where hosts are not served at random. */
static void
test_site_outage(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1000);
	deploy(&w, "site");
	roll_out(&w, 300, 5, 0, 0);
	for (uint32_t i = 199; i < 209; i++) /* hosts 200 to 209: one site */
		w.down[i] = true;
	world_run(&w, 420);
	assert_int_equal(silence(&w).dark, 10);
	assert_int_equal(counted(&w), 1);
	world_fini(&w);
}

static void
relayed(struct world *w, uint64_t host, uint32_t relay)
{
	static struct heartbeat h;
	struct report_stamp stamp = { .host_hash = host, .relay = relay };
	uint8_t raw[1024], out[2048];
	struct diag diag;
	char site[16];

	h = (struct heartbeat){ .host = TEXT("host"),
				.boot_id = TEXT("boot-1"),
				.product = TEXT("agent"),
				.version = TEXT("1.0"),
				.os_build = TEXT("19045"),
				.interval_s = INTERVAL };
	assert_true(heartbeat_decode(raw, heartbeat_encode(&h, raw, sizeof(raw)), &h, &diag) == DISCARD_none);
	stamp.site = text_of(scribe_site(host, site));
	heartbeat_record_write(&h, &stamp, out);
	scribe_record(&w->s, RECORD_HEARTBEAT, out, heartbeat_record_size(&h, &stamp));
}

/* So has a relay, with hosts of many sites behind it, also where every host votes for itself. */
static void
test_relay_outage(void **state)
{
	struct world w;
	struct host_view h;

	(void)state;
	world_init(&w, 1000);
	for (uint64_t i = 1; i <= 200; i++)
		relayed(&w, i, 4711);
	assert_true(ledger_host_by_number(w.s.l, 3, &h) && h.relayed);
	assert_true(text_equal(h.content, TEXT("channel=291\n"))); /* it was not mentioned: it is as it was */
	deploy(&w, "hash");
	roll_out(&w, 300, 5, 0, 0);
	memset(w.down, 1, 200);
	world_run(&w, 360);
	assert_int_equal(silence(&w).dark, 200);
	assert_int_equal(counted(&w), 1);
	assert_true(verdict(&w).verdict != VERDICT_HALT);
	world_fini(&w);
}

/* A deployment that reboots hosts says how long that takes. */
static void
test_reboot_grace(void **state)
{
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Setting grace = FAULTLINE__LOG__SETTING__INIT, *own[] = { &grace };
	char id[] = "d", mode[] = "armed", assignment[] = "hash", name[] = "silence_grace", value[] = "20m";
	struct world w;

	(void)state;
	world_init(&w, 2000);
	m.id = id;
	m.mode = mode;
	m.assignment = assignment;
	grace.name = name;
	grace.value = value;
	m.halt = own;
	m.n_halt = 1;
	scribe_message(&w.s, RECORD_DEPLOYMENT, &m);
	roll_out(&w, 100, 5, 0, 0);
	for (uint64_t h = 1; h <= 2000; h++)
		w.down[h - 1] = is_picked(h, 100);
	world_run(&w, 900); /* a quarter of an hour: an update that takes its time */
	assert_true(silence(&w).dark > 100);
	assert_int_equal(standing(&w, 0).served_with, 0);
	memset(w.down, 0, 2000);
	world_run(&w, 1200);
	assert_int_equal(standing(&w, 0).served_with, 0);
	assert_true(verdict(&w).verdict != VERDICT_HALT);
	world_fini(&w);
}

/* ---- boot loops and coming back ---- */

static void
test_boot_loop(void **state)
{
	struct world w;
	uint64_t hosts[20];
	struct host_view h;
	uint32_t back;

	(void)state;
	world_init(&w, 2000);
	deploy(&w, "hash");
	for (uint64_t i = 0; i < 20; i++)
		hosts[i] = 1 + i * 100;
	scribe_serve(&w.s, "d", hosts, 20);
	for (unsigned boot = 2; boot <= 4; boot++) {
		char id[16];

		snprintf(id, sizeof(id), "boot-%u", boot);
		for (unsigned i = 0; i < 8; i++)
			scribe_heartbeat(&w.s, hosts[i], NULL, NULL, id);
		assert_int_equal(silence(&w).looping, boot == 4 ? 8 : 0);
		world_run(&w, 120);
	}
	assert_true(ledger_host(w.s.l, 0, hosts[0], &h));
	assert_int_equal(h.state, HOST_IS_LOOPING);
	assert_int_equal(verdict(&w).state, STATE_HALTED);
	assert_string_equal(verdict(&w).evidence.standing.pool, "boot");
	assert_int_equal(verdict(&w).harmed, 8);
	assert_int_equal(verdict(&w).harmed_back, 0);
	world_run(&w, 1200); /* the fix is out: nothing boots any more */
	assert_int_equal(silence(&w).looping, 0);
	back = verdict(&w).harmed_back;
	assert_int_equal(back, 8);
	world_fini(&w);
}

/* What a heartbeat does not mention is as it was; a relay is known by its hosts. */
static void
test_relay(void **state)
{
	struct world w;
	struct host_view h;

	(void)state;
	world_init(&w, 10);
	relayed(&w, 4, 4711);
	assert_true(ledger_host_by_number(w.s.l, 3, &h) && h.relayed);
	assert_true(text_equal(h.content, TEXT("channel=291\n")));
	world_fini(&w);
}

/* Two machines with one identity are not a machine that boots all the time. */
static void
test_clones_do_not_loop(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 100);
	for (unsigned i = 0; i < 8; i++) {
		scribe_heartbeat(&w.s, 5, NULL, NULL, i % 2 == 0 ? "one" : "other");
		world_run(&w, 30);
	}
	assert_int_equal(silence(&w).looping, 0);
	world_fini(&w);
}

static void
test_recovered(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 3000);
	deploy(&w, "hash");
	roll_out(&w, 100, 20, 10000, 15);
	assert_int_equal(verdict(&w).state, STATE_HALTED);
	world_run(&w, 600);
	assert_true(verdict(&w).harmed >= 3 && verdict(&w).silent >= verdict(&w).harmed);
	memset(w.dies, 0, 3000 * sizeof(*w.dies));
	memset(w.down, 0, 3000);
	world_run(&w, 2400);
	assert_int_equal(verdict(&w).silent, 0);
	assert_int_equal(verdict(&w).harmed_back, verdict(&w).harmed);
	assert_int_equal(verdict(&w).verdict, VERDICT_HALT); /* a person resumes it */
	world_fini(&w);
}

/* ---- what is learned, and who was served ---- */

static void
test_churn(void **state)
{
	struct world w;
	struct churn_view c = { 0 };
	double rate;

	(void)state;
	world_init(&w, 3000);
	for (uint32_t i = 0; i < 3000; i++) /* five in a hundred an hour */
		if (hash_mix(i) % 100 < 5)
			w.dies[i] = w.second + (uint32_t)(hash_mix(i + 99) % 3600);
	world_run(&w, 3900);
	for (uint32_t no = 0; c.alive == 0; no++)
		assert_true(ledger_churn(w.s.l, no, &c));
	rate = c.silences / c.host_hours;
	print_message("churn: %.1f silences in %.0f host-hours\n", c.silences, c.host_hours);
	assert_true(rate > 0.03 && rate < 0.07);
	assert_true(text_equal(c.product, TEXT("agent")));
	world_fini(&w);
}

static void
test_receipts(void **state)
{
	Faultline__Log__Deployment m = FAULTLINE__LOG__DEPLOYMENT__INIT;
	Faultline__Log__Receipt r = FAULTLINE__LOG__RECEIPT__INIT;
	char id[] = "d", mode[] = "armed", assignment[] = "hash", channel[] = "channel", version[] = "292";
	struct world w;

	(void)state;
	world_init(&w, 1000);
	m.id = id;
	m.mode = mode;
	m.assignment = assignment;
	m.content_name = channel;
	m.content_version = version;
	scribe_message(&w.s, RECORD_DEPLOYMENT, &m);
	assert_string_equal(verdict(&w).receipts, "none");
	/* a heartbeat with the content is as good as a receipt */
	scribe_content(&w.s, 10, "channel", "292");
	scribe_content(&w.s, 11, "channel", "2920");
	assert_int_equal(verdict(&w).served, 1);
	assert_string_equal(verdict(&w).receipts, "inferred");
	assert_int_equal(ledger_served_minute(w.s.l, 0, 9), 0);
	/* ring open, and nothing else known */
	r.deployment = id;
	r.percent = 5;
	scribe_message(&w.s, RECORD_RECEIPT, &r);
	assert_in_range(verdict(&w).served, 50, 51);
	assert_string_equal(verdict(&w).receipts, "plan");
	for (uint64_t h = 1; h <= 200; h++)
		scribe_serve(&w.s, "d", &h, 1);
	assert_string_equal(verdict(&w).receipts, "served");
	world_fini(&w);
}

/* ---- the same after a restart ---- */

struct shelf {
	struct chunk {
		uint64_t id;
		size_t len;
		uint8_t *bytes;
	} at[4096];
	size_t n;
};

static void
put(void *arg, uint64_t id, const void *bytes, size_t len)
{
	struct shelf *sh = arg;

	sh->at[sh->n] = (struct chunk){ id, len, malloc(len + 1) };
	assert_non_null(sh->at[sh->n].bytes);
	memcpy(sh->at[sh->n++].bytes, bytes, len);
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct chunk *)a)->id, y = ((const struct chunk *)b)->id;

	return (x > y) - (x < y);
}

/* In the middle of hosts falling silent, boots and bins: a ledger that was loaded goes on as the other. */
static void
test_restart(void **state)
{
	static struct shelf sh;
	struct ledger *back = ledger_new(NULL), *first;
	uint8_t a[32], b[32];
	struct world w;

	(void)state;
	world_init(&w, 3000);
	deploy(&w, "hash");
	roll_out(&w, 100, 4, 3000, 0);
	scribe_heartbeat(&w.s, 1, NULL, NULL, "boot-2");
	scribe_heartbeat(&w.s, 1, NULL, NULL, "boot-3");
	world_run(&w, 100);
	ledger_snapshot_begin(w.s.l, true, put, &sh);
	while (!ledger_snapshot_step(w.s.l, 100000))
		;
	ledger_snapshot_end(w.s.l, true);
	qsort(sh.at, sh.n, sizeof(*sh.at), by_id);
	for (size_t i = 0; i < sh.n; i++)
		assert_int_equal(ledger_load_chunk(back, sh.at[i].id, sh.at[i].bytes, sh.at[i].len), ERR_OK);
	assert_int_equal(ledger_load_end(back), ERR_OK);
	for (unsigned i = 0; i < 700; i++) {
		first = w.s.l;
		world_run(&w, 1);
		for (size_t k = w.s.n_kept - 2; k < w.s.n_kept; k++)
			assert_int_equal(scribe_fold(&w.s, k, back), ERR_OK);
		if (i % 50 != 0)
			continue;
		ledger_digest(first, a);
		ledger_digest(back, b);
		assert_memory_equal(a, b, 32);
	}
	assert_true(silence(&w).dark > 20);
	for (size_t i = 0; i < sh.n; i++)
		free(sh.at[i].bytes);
	ledger_free(back);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_short_gaps),
		cmocka_unit_test(test_own_outage),
		cmocka_unit_test(test_blind),
		cmocka_unit_test(test_goodbye),
		cmocka_unit_test(test_relay),
		cmocka_unit_test(test_bricked),
		cmocka_unit_test(test_heartbeats_of_seconds),
		cmocka_unit_test(test_silent_are_no_clean_hosts),
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_site_outage),
		cmocka_unit_test(test_relay_outage),
		cmocka_unit_test(test_reboot_grace),
		cmocka_unit_test(test_boot_loop),
		cmocka_unit_test(test_clones_do_not_loop),
		cmocka_unit_test(test_recovered),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_receipts),
		cmocka_unit_test(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
