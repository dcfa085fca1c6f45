/* SPDX-License-Identifier: Apache-2.0 */
/* A gate with its journal and nothing else, for tests/bench/bench_http.sh.
 *
 *	bench_gate DIR		serves on a free port of 127.0.0.1, which it prints
 *	bench_gate --batch N	writes a protobuf batch of N reports to standard output */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/settings.h"
#include "collector/gate/gate.h"
#include "collector/gate/identity.h"
#include "collector/gate/ingest.h"
#include "collector/gate/intake.h"
#include "collector/gate/roster.h"
#include "collector/log/journal.h"
#include "collector/workers/dumps.h"
#include "proto/report.h"
#include "proto/wire.h"

static struct settings settings;
static struct identity *identity;
static bool stop;

static const struct settings *
get_settings(void *arg)
{
	(void)arg;
	return &settings;
}
static const struct identity *
get_identity(void *arg)
{
	(void)arg;
	return identity;
}
static const struct tokens *
get_tokens(void *arg)
{
	(void)arg;
	return NULL;
}

static bool
want_dump(void *arg, uint16_t tenant, uint64_t signature)
{
	return dumps_want(arg, tenant, signature);
}

static size_t
get_halted(void *arg, const struct text **ids_out, uint64_t *version_out)
{
	(void)arg;
	*ids_out = NULL;
	*version_out = 0;
	return 0;
}

static struct text
get_advice(void *arg, uint16_t tenant, uint64_t signature)
{
	(void)arg;
	(void)tenant;
	(void)signature;
	return (struct text){ NULL, 0 };
}

static bool
find_host(void *arg, uint16_t tenant, uint64_t hash, uint32_t *no_out, uint32_t *fingerprint_out)
{
	(void)arg;
	(void)tenant;
	(void)hash;
	(void)no_out;
	(void)fingerprint_out;
	return false;
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	stop = true;
}

static void
on_outcomes(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	intake_dispatch(arg);
}

static int
write_batch(unsigned n)
{
	static uint8_t buf[1024 * 1024];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	struct report r;
	char host[32], module[64];
	uint8_t one[1024];

	for (unsigned i = 0; i < n; i++) {
		memset(&r, 0, offsetof(struct report, labels));
		snprintf(host, sizeof(host), "host-%08u", i * 7919);
		snprintf(module, sizeof(module), "C:\\Windows\\System32\\drivers\\m%u.sys", i % 5);
		r.host = text_of(host);
		r.epoch = 0x123456789abcdefull + i;
		r.seq = 1;
		r.kind = REPORT_KERNEL;
		r.occurred_us = 1721362140000000ll;
		r.module = text_of(module);
		r.module_id = TEXT("65a1b2c3d4000");
		r.offset = 0xe14ed;
		r.reason = TEXT("PAGE_FAULT_IN_NONPAGED_AREA");
		r.reason_code = 0x50;
		r.product = TEXT("sensor");
		r.version = TEXT("7.11.18110");
		r.os = TEXT("windows");
		r.os_build = TEXT("22631.3880");
		r.boot_id = TEXT("0123456789abcdef");
		wire_put_bytes_always(&o, 1, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	}
	return o.full || fwrite(buf, 1, (size_t)(o.p - buf), stdout) != (size_t)(o.p - buf);
}

static int
fail(const char *what)
{
	fprintf(stderr, "bench_gate: %s\n", what);
	return 99;
}

int
main(int argc, char **argv)
{
	struct journal_options jo = { .segment_bytes = 64 << 20, .keep_bytes = 512 << 20 };
	struct dumps_options d_o = { .keep_bytes = 64 << 20, .per_signature = 5, .keep_days = 1 };
	struct gate_env env = { .settings = get_settings,
				.identity = get_identity,
				.tokens = get_tokens,
				.want_dump = want_dump,
				.halted = get_halted,
				.advice = get_advice };
	struct event *outcomes, *term;
	struct ingest *ingest;
	struct gate gate = { .env = &env };
	char key[4096], err[512];
	uint64_t first, end;

	if (argc == 3 && strcmp(argv[1], "--batch") == 0)
		return write_batch((unsigned)atoi(argv[2]));
	if (argc != 2)
		return fail("usage: bench_gate DIR | --batch N");
	snprintf(key, sizeof(key), "%s/host.key", argv[1]);
	settings_init(&settings);
	identity = identity_new(key, "", LABELS_NEVER, err, sizeof(err));
	env.log = identity != NULL ? journal_open(argv[1], &jo, err, sizeof(err)) : NULL;
	env.dumps = env.log != NULL ? dumps_open(argv[1], &d_o, env.log, err, sizeof(err)) : NULL;
	if (env.dumps == NULL)
		return fail(err);
	env.arg = env.dumps;
	log_bounds(env.log, &first, &end, &env.log_id);
	gate.base = event_base_new();
	gate.intake = intake_new(env.log);
	gate.roster = roster_new(0, find_host, NULL);
	ingest = ingest_new(&gate, "127.0.0.1:0", err, sizeof(err));
	if (ingest == NULL)
		return fail(err);
	outcomes = event_new(gate.base, intake_fd(gate.intake), EV_READ | EV_PERSIST, on_outcomes, gate.intake);
	term = evsignal_new(gate.base, SIGTERM, on_signal, NULL);
	event_add(outcomes, NULL);
	event_add(term, NULL);
	printf("%u\n", ingest_port(ingest));
	fflush(stdout);
	while (!stop) {
		event_base_loop(gate.base, EVLOOP_ONCE);
		intake_flush(gate.intake);
	}
	ingest_drain(ingest);
	while (intake_in_flight(gate.intake) > 0 || !ingest_drained(ingest)) {
		event_base_loop(gate.base, EVLOOP_ONCE);
		intake_flush(gate.intake);
	}
	ingest_free(ingest);
	event_free(outcomes);
	event_free(term);
	intake_free(gate.intake);
	roster_free(gate.roster);
	event_base_free(gate.base);
	dumps_close(env.dumps);
	log_close(env.log);
	identity_free(identity);
	settings_fini(&settings);
	return 0;
}
