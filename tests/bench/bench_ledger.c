/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger alone, in one thread: CPU a folded record, bytes a host, the dark scan, a
 * snapshot's longest turn, and loading it again.
 *
 *	bench_ledger [hosts, 10000000] [reports, 2000000] */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "collector/ledger/correlate.h"
#include "collector/ledger/ledger.h"
#include "proto/log.pb-c.h"
#include "proto/presence.h"
#include "proto/report.h"

static struct batch_writer w;
static uint64_t number = 1;
static int64_t now_us = 1700000000000000;
static int64_t fold_cpu; /* microseconds */

static void
fail(const char *what)
{
	fprintf(stderr, "bench_ledger: %s\n", what);
	exit(99);
}

static void
fold(struct ledger *l)
{
	struct batch_view b;
	int64_t t;

	batch_writer_finish(&w, 1, number, 1);
	if (batch_open(w.bytes, w.len, &b) != ERR_OK)
		fail("batch");
	b.first = number++ << 16;
	b.next = number << 16;
	t = clock_cpu_us();
	if (ledger_fold(l, &b) != ERR_OK)
		fail("fold");
	fold_cpu += clock_cpu_us() - t;
	batch_writer_reset(&w);
}

static void
add(struct ledger *l, enum record_type type, const uint8_t *payload, size_t len)
{
	uint8_t *p = batch_writer_add(&w, type, 0, now_us, len);

	if (p == NULL) {
		fold(l);
		p = batch_writer_add(&w, type, 0, now_us, len);
	}
	memcpy(p, payload, len);
}

#define DEPLOYMENTS   8u
#define KEYS_A_REPORT 4u /* signature, module, any kernel crash, any crash */

static uint64_t
host_hash(uint64_t i)
{
	return hash_mix(i + 12345);
}

static void
enrol(struct ledger *l, uint64_t hosts)
{
	static struct heartbeat h;
	struct diag diag;
	uint8_t raw[1024], rec[2048];

	h = (struct heartbeat){ .host = TEXT("h"),
				.boot_id = TEXT("0123456789abcdef"),
				.product = TEXT("sensor"),
				.version = TEXT("7.16"),
				.os = TEXT("Windows"),
				.os_build = TEXT("19045"),
				.interval_s = 60,
				.n_content = 1 };
	h.content[0] = (struct report_pair){ TEXT("channel"), TEXT("291") };
	if (heartbeat_decode(raw, heartbeat_encode(&h, raw, sizeof(raw)), &h, &diag) != DISCARD_none)
		fail("heartbeat");
	fold_cpu = 0;
	for (uint64_t i = 0; i < hosts; i++) {
		char site[16];
		struct report_stamp stamp = { .host_hash = host_hash(i) };

		stamp.site =
			(struct text){ site, (size_t)snprintf(site, sizeof(site), "s%u", (unsigned)(i / 500 % 20000)) };
		heartbeat_record_write(&h, &stamp, rec);
		add(l, RECORD_HEARTBEAT, rec, heartbeat_record_size(&h, &stamp));
	}
	fold(l);
	printf("heartbeat of a new host       %6.0f ns\n", (double)fold_cpu * 1000 / (double)hosts);
}

/* Nanoseconds a report. */
static double
crash(struct ledger *l, uint64_t hosts, uint64_t reports, uint64_t signatures, const char *what)
{
	static struct report r, proto;
	uint8_t raw[2048], rec[4096];
	struct diag diag;

	proto = (struct report){ .host = TEXT("h"),
				 .epoch = 77,
				 .kind = REPORT_KERNEL,
				 .module_version = TEXT("7.16.1"),
				 .reason = TEXT("PAGE_FAULT_IN_NONPAGED_AREA"),
				 .reason_code = 0x50,
				 .product = TEXT("sensor"),
				 .version = TEXT("7.16"),
				 .os = TEXT("Windows"),
				 .os_build = TEXT("19045"),
				 .count = 1 };
	fold_cpu = 0;
	for (uint64_t i = 0; i < reports; i++) {
		uint64_t x = hash_mix(i + number * 1000), host = x % hosts, sig = hash_mix(x) % signatures;
		char module[32], site[16];
		struct report_stamp stamp = { .host_hash = host_hash(host) };

		sig = sig * sig / signatures; /* few are common */
		proto.module = (struct text){ module, (size_t)snprintf(module, sizeof(module), "module%u.sys",
								       (unsigned)sig % 300) };
		proto.module_id = TEXT("6e5e4a3c1000");
		proto.offset = 0x1000 + sig * 16;
		proto.seq = i + 1;
		if (report_decode(raw, report_encode(&proto, NULL, raw, sizeof(raw)), &r, &diag) != DISCARD_none)
			fail("report");
		stamp.site = (struct text){ site, (size_t)snprintf(site, sizeof(site), "s%u",
								   (unsigned)(host / 500 % 20000)) };
		report_record_write(&r, &stamp, rec);
		add(l, RECORD_REPORT, rec, report_record_size(&r, &stamp));
	}
	fold(l);
	printf("%-29s %6.0f ns\n", what, (double)fold_cpu * 1000 / (double)reports);
	return (double)fold_cpu * 1000 / (double)reports;
}

static void
deploy(struct ledger *l, uint64_t hosts, unsigned no)
{
	static char id[16], mode[] = "armed", assignment[] = "hash";
	Faultline__Log__Deployment d;
	Faultline__Log__Receipt r;
	static uint8_t buf[RECORD_MAX_BYTES];
	uint64_t *v = calloc(20000, sizeof(*v));

	if (v == NULL)
		fail("memory");
	faultline__log__deployment__init(&d);
	snprintf(id, sizeof(id), "bench%u", no);
	d.id = id;
	d.mode = mode;
	d.assignment = assignment;
	fold_cpu = 0;
	add(l, RECORD_DEPLOYMENT, buf, faultline__log__deployment__pack(&d, buf));
	fold(l);
	if (no == 0)
		printf("a deployment begins           %6.1f ms\n", (double)fold_cpu / 1000);
	faultline__log__receipt__init(&r);
	r.deployment = id;
	r.hosts = v;
	fold_cpu = 0;
	for (uint64_t done = 0; done < hosts / 100; done += r.n_hosts) {
		r.n_hosts = hosts / 100 - done < 20000 ? hosts / 100 - done : 20000;
		for (uint64_t i = 0; i < r.n_hosts; i++)
			v[i] = host_hash((done + i) * 7 + no);
		add(l, RECORD_RECEIPT, buf, faultline__log__receipt__pack(&r, buf));
	}
	fold(l);
	if (no == 0)
		printf("a host served                 %6.0f ns\n", (double)fold_cpu * 1000 / ((double)hosts / 100));
	free(v);
}

/* A minute of presence: every host once, in 60 seconds' records. */
static void
presence(struct ledger *l, uint64_t hosts)
{
	static uint8_t buf[RECORD_MAX_BYTES - RECORD_HEADER];
	uint32_t *v = calloc(hosts / 60 + 1, sizeof(*v));

	if (v == NULL)
		fail("memory");
	fold_cpu = 0;
	for (unsigned s = 0; s < 60; s++) {
		size_t n = 0, used;

		now_us += 1000000;
		for (uint64_t i = s; i < hosts; i += 60)
			v[n++] = (uint32_t)i;
		for (size_t at = 0; at < n; at += used)
			add(l, RECORD_PRESENCE, buf,
			    presence_encode(1, (uint64_t)now_us / 1000000, v + at, n - at, buf, sizeof(buf), &used));
		fold(l);
	}
	printf("presence of a host            %6.1f ns\n", (double)fold_cpu * 1000 / (double)hosts);
	free(v);
}

static void
tick(struct ledger *l)
{
	static uint8_t buf[64];
	Faultline__Log__Tick t;

	faultline__log__tick__init(&t);
	now_us += 1000000;
	t.wall_us = now_us;
	t.boot_us = now_us;
	add(l, RECORD_TICK, buf, faultline__log__tick__pack(&t, buf));
	fold_cpu = 0;
	fold(l);
}

/* Ten minutes of ticks, in the last of which a hundredth of the fleet falls silent.  The presence
 * scan is a part of each tick. */
static void
dark(struct ledger *l, uint64_t hosts, unsigned which, const char *what)
{
	static uint8_t buf[RECORD_MAX_BYTES - RECORD_HEADER];
	uint32_t *v = calloc(hosts / 60 + 1, sizeof(*v));
	struct silence_view s;
	int64_t longest = 0, total = 0;
	unsigned ticks = 600;

	if (v == NULL)
		fail("memory");
	for (unsigned i = 0; i < ticks; i++) {
		size_t n = 0, used;

		for (uint64_t h = i % 60; h < hosts; h += 60)
			if (i < 240 || host_hash(h) % 100 != which)
				v[n++] = (uint32_t)h;
		for (size_t at = 0; at < n; at += used)
			add(l, RECORD_PRESENCE, buf,
			    presence_encode(1, (uint64_t)now_us / 1000000, v + at, n - at, buf, sizeof(buf), &used));
		fold(l);
		tick(l);
		longest = fold_cpu > longest ? fold_cpu : longest;
		total += fold_cpu;
	}
	ledger_silence(l, &s);
	printf("%-29s %6.3f ms, longest %.2f ms (%llu of %llu dark)\n", what, (double)total / 1000 / ticks,
	       (double)longest / 1000, (unsigned long long)s.dark, (unsigned long long)(s.dark + s.alive));
	free(v);
}

/* ---- snapshots, to memory ---- */

struct chunk {
	uint64_t id;
	size_t len;
	uint8_t *bytes;
};
static struct chunk *chunks;
static size_t n_chunks, cap_chunks;

static void
keep(void *arg, uint64_t id, const void *bytes, size_t len)
{
	size_t *total = arg;

	*total += len;
	if (n_chunks == cap_chunks) {
		cap_chunks = cap_chunks > 0 ? cap_chunks * 2 : 4096;
		chunks = realloc(chunks, cap_chunks * sizeof(*chunks));
		if (chunks == NULL)
			fail("memory");
	}
	chunks[n_chunks] = (struct chunk){ id, len, malloc(len + 1) };
	if (chunks[n_chunks].bytes == NULL)
		fail("memory");
	memcpy(chunks[n_chunks++].bytes, bytes, len);
}

static void
count_only(void *arg, uint64_t id, const void *bytes, size_t len)
{
	(void)id, (void)bytes;
	*(size_t *)arg += len;
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct chunk *)a)->id, y = ((const struct chunk *)b)->id;

	return (x > y) - (x < y);
}

static void
take(struct ledger *l, bool full, ledger_chunk_fn *fn, const char *what)
{
	int64_t longest = 0, all = clock_cpu_us(), first = 0;
	size_t total = 0;
	bool done = false;

	for (bool begun = false; !done; begun = true) {
		int64_t t = clock_cpu_us();

		if (!begun)
			ledger_snapshot_begin(l, full, fn, &total);
		else
			done = ledger_snapshot_step(l, 1 << 19);
		t = clock_cpu_us() - t;
		if (!begun)
			first = t;
		else
			longest = t > longest ? t : longest;
	}
	ledger_snapshot_end(l, true);
	printf("%-29s %6.0f ms, %.1f MB, first turn %.2f ms, longest of the others %.2f\n", what,
	       (double)(clock_cpu_us() - all) / 1000, (double)total / 1e6, (double)first / 1000,
	       (double)longest / 1000);
}

static void
load(void)
{
	int64_t t;
	struct ledger *l = ledger_new(NULL);

	qsort(chunks, n_chunks, sizeof(*chunks), by_id);
	t = clock_cpu_us();
	for (size_t i = 0; i < n_chunks; i++)
		if (ledger_load_chunk(l, chunks[i].id, chunks[i].bytes, chunks[i].len) != ERR_OK)
			fail("load");
	if (ledger_load_end(l) != ERR_OK)
		fail("load end");
	printf("load                          %6.0f ms\n", (double)(clock_cpu_us() - t) / 1000);
	ledger_free(l);
}

/* What the hosts of the most common signature have in common: CPU, and the longest turn. */
static void
correlate(struct ledger *l)
{
	struct correlate_fleet *fleet = correlate_fleet_new();
	struct key_query q = { .sort = KEYS_BY_HOSTS };
	struct correlation c = { 0 };
	struct arena *a = arena_new((size_t)16 << 20);
	enum correlate_state state = CORRELATE_MORE;
	int64_t all = 0, longest = 0;
	unsigned turns = 0;

	if (fleet == NULL || a == NULL || ledger_keys(l, &q, &c.key_no, NULL, 1) != 1)
		fail("correlate");
	for (; state == CORRELATE_MORE; turns++) {
		int64_t t = clock_cpu_us();

		state = correlation_step(&c, fleet, l, a);
		t = clock_cpu_us() - t;
		all += t;
		longest = t > longest ? t : longest;
	}
	correlation_rank(&c);
	printf("correlation of %8u hosts %6.0f ms in %u turns, longest %.1f ms\n", c.hosts, (double)all / 1e3, turns,
	       (double)longest / 1e3);
	arena_free(a);
	correlate_fleet_free(fleet);
}

int
main(int argc, char **argv)
{
	uint64_t hosts = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	uint64_t reports = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
	struct ledger *l = ledger_new(NULL);
	struct ledger_stats s;
	double alone, crowd;

	if (hosts < 1000 || reports < 1 || batch_writer_init(&w) != 0)
		fail("usage: bench_ledger [hosts >= 1000] [reports]");
	printf("%llu hosts, %llu reports of 10,000 signatures\n", (unsigned long long)hosts,
	       (unsigned long long)reports);
	enrol(l, hosts);
	ledger_stats(l, &s);
	printf("memory of a host              %6.1f B\n", (double)s.bytes_hosts / (double)hosts);
	presence(l, hosts);
	dark(l, hosts, 0, "presence scan, a tick");
	crash(l, hosts, reports, 10000, "report");
	crash(l, hosts, reports / 2, 1, "report, one signature");
	now_us += 3700 * 1000000ll; /* hosts vote that are known for an hour, and there */
	presence(l, hosts);
	correlate(l);
	alone = crash(l, hosts, reports / 4, 10000, "report, no deployment open");
	for (unsigned i = 0; i < DEPLOYMENTS; i++)
		deploy(l, hosts, i);
	crowd = crash(l, hosts, reports / 4, 10000, "report, 8 deployments open");
	printf("a vote in a deployment's key  %6.0f ns\n", (crowd - alone) / (DEPLOYMENTS * KEYS_A_REPORT));
	correlate(l);
	dark(l, hosts, 1, "scan, 8 deployments open");
	ledger_stats(l, &s);
	printf("keys                          %6.1f MB (%llu keys)\n", (double)ledger_key_bytes(l) / 1e6,
	       (unsigned long long)s.keys);
	take(l, false, count_only, "the first snapshot");
	take(l, true, keep, "the same, kept in memory");
	presence(l, hosts);
	take(l, false, count_only, "snapshot, a minute later");
	load();
	ledger_free(l);
	batch_writer_fini(&w);
	return 0;
}
