/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logline.h"
#include "base/settings.h"
#include "collector/advice.h"
#include "collector/api_thread.h"
#include "collector/beat.h"
#include "collector/daemon.h"
#include "collector/fold/fold.h"
#include "collector/gate_thread.h"
#include "collector/halts.h"
#include "collector/http/http.h"
#include "collector/listen.h"
#include "collector/live.h"
#include "collector/log/journal.h"
#include "collector/notify/notify.h"
#include "collector/store/cluster.h"
#include "collector/store/outcomes.h"
#include "collector/store/projector.h"
#include "collector/store/store_query.h"
#include "collector/symbols/store.h"
#include "collector/workers/dispatch.h"
#include "collector/workers/dumps.h"

#define MAX_GATES 64
#define DRAIN_MS  10000

struct daemon {
	struct live *live;
	struct log *log;
	struct dumps *dumps;
	struct symbols *symbols;
	struct beat *beat;
	struct fold *fold;   /* under lock where the ledger thread may look */
	struct halts *halts; /* updated under lock */
	struct advice *advice;
	struct dispatch *dispatch;
	struct cluster *cluster; /* NULL: a server of the operator's, or no database */
	struct outcomes *outcomes;
	struct projector *projector;
	struct store_queries *queries;
	struct notify *notify;  /* likewise */
	struct api_thread *api; /* likewise */
	pthread_mutex_t lock;
	struct gate_env env;
	struct gate_thread *gates[MAX_GATES];
	struct host_map_reader *maps[MAX_GATES];
	size_t n_gates;
	atomic_bool listening;
};

/* ---- options of the parts, from the settings ---- */

static struct journal_options
journal_options(const struct settings *s)
{
	return (struct journal_options){ .segment_bytes = s->segment_bytes,
					 .keep_bytes = s->log_bytes,
					 .keep_age_ms = s->log_age,
					 .reserve_bytes = s->disk_reserve };
}

static struct dumps_options
dumps_options(const struct settings *s)
{
	return (struct dumps_options){ .max_dump = s->max_dump_expanded,
				       .keep_bytes = s->dump_bytes,
				       .per_signature = s->dumps_per_signature,
				       .keep_days = s->dump_days };
}

static struct symbols_options
symbols_options(const struct settings *s)
{
	return (struct symbols_options){ .keep_bytes = s->symbol_bytes, .max_file = s->max_symbol_file };
}

static int
open_image(void *arg, const struct image_key *key, enum image_kind kind, unsigned at, unsigned *at_out,
	   uint64_t *size_out)
{
	return symbols_open_image(arg, key, kind, at, at_out, size_out);
}

static uint32_t
images_generation(void *arg)
{
	return symbols_generation(arg);
}

static struct pool_options
pool_options(const struct settings *s, struct symbols *symbols)
{
	return (struct pool_options){ .workers = (uint32_t)s->workers,
				      .timeout_ms = s->worker_timeout,
				      .memory_bytes = s->worker_memory,
				      .image_bytes = s->max_dump_expanded,
				      .recycle = s->worker_recycle,
				      .images = { open_image, images_generation, symbols } };
}

static const char *
in_data(const struct daemon *d, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s", live_settings(d->live)->data, name);
	return buf;
}

static int
make_dirs(const struct daemon *d, char *err, size_t err_size)
{
	static const char *const names[] = { "log", "snapshots", "outcomes", "run", "notify" };
	char path[4096];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mkdir(in_data(d, names[i], path, sizeof(path)), 0700) == -1 && access(path, W_OK) == -1) {
			snprintf(err, err_size, "cannot make directory %s", path);
			return -1;
		}
	return 0;
}

static bool
wants_database(const struct settings *s)
{
	return strcmp(s->database, "none") != 0;
}

/* ---- what the gates ask; any thread ---- */

static const struct settings *
env_settings(void *arg)
{
	return live_settings(((struct daemon *)arg)->live);
}
static const struct identity *
env_identity(void *arg)
{
	return live_identity(((struct daemon *)arg)->live);
}
static const struct tokens *
env_tokens(void *arg)
{
	return live_tokens(((struct daemon *)arg)->live);
}

static bool
env_want_dump(void *arg, uint16_t tenant, uint64_t signature)
{
	struct daemon *d = arg;

	return fold_wants_dump(d->fold, tenant, signature) && dumps_want(d->dumps, tenant, signature);
}

static const char *
env_not_ready(void *arg)
{
	struct daemon *d = arg;

	if (log_stopped(d->log))
		return "the log has stopped: nothing is accepted until a restart; see what was logged";
	return atomic_load(&d->listening) ? NULL : "the listeners are not open yet";
}

static uint64_t
env_stored(void *arg)
{
	return projector_position(((struct daemon *)arg)->projector);
}

static uint64_t
env_behind(void *arg)
{
	return fold_behind(((struct daemon *)arg)->fold);
}

static size_t
env_halted(void *arg, const struct text **ids_out, uint64_t *version_out)
{
	return halts_list(((struct daemon *)arg)->halts, ids_out, version_out);
}

static char *
env_webhooks(void *arg, const char *endpoint)
{
	return notify_describe(((struct daemon *)arg)->notify, endpoint);
}

static int
env_webhook_redeliver(void *arg, const char *endpoint, const char *id)
{
	return notify_redeliver(((struct daemon *)arg)->notify, endpoint, id);
}

static int
env_webhook_ping(void *arg, const char *endpoint, char id_out[64])
{
	return notify_ping(((struct daemon *)arg)->notify, endpoint, id_out);
}

static struct text
env_advice(void *arg, uint16_t tenant, uint64_t signature)
{
	return advice_find(((struct daemon *)arg)->advice, tenant, signature);
}

static int
env_dump_open(void *arg, const uint8_t sha256[32], uint64_t *size_out)
{
	return dumps_open_file(((struct daemon *)arg)->dumps, sha256, size_out);
}

static bool
find_host(void *arg, uint16_t tenant, uint64_t hash, uint32_t *no, uint32_t *fingerprint)
{
	return host_map_find(arg, tenant, hash, no, fingerprint);
}

/* ---- what the ledger says; ledger thread ---- */

static void
on_decide(void *arg, const struct fold_decision *decision)
{
	struct daemon *d = arg;

	log_warn("halt", "deployment %s: %s", decision->deployment, decision->reason);
	beat_halt(d->beat, decision);
}

static void
on_changed(void *arg)
{
	struct daemon *d = arg;

	pthread_mutex_lock(&d->lock);
	if (d->fold != NULL) {
		const struct fold_view *v = fold_view_get(d->fold);

		halts_update(d->halts, v);
		fold_view_put(d->fold, v);
	}
	if (d->notify != NULL)
		notify_wake(d->notify);
	if (d->api != NULL)
		api_thread_wake(d->api);
	pthread_mutex_unlock(&d->lock);
}

static void
on_advised(void *arg, const struct ledger *l)
{
	advice_update(((struct daemon *)arg)->advice, l);
}

/* The projector counts what the ledger counted: collector/store/outcomes.h. */
static void
put_outcome(void *arg, uint64_t pos, uint32_t bits)
{
	outcomes_put(arg, pos, bits);
}
static void
rewind_outcomes(void *arg, uint64_t from)
{
	outcomes_rewind(arg, from);
}
static void
decided_outcomes(void *arg, uint64_t next)
{
	outcomes_decided(arg, next);
}
static int
sync_outcomes(void *arg, int *fd_out)
{
	return outcomes_mark(arg, fd_out);
}

/* For the lag of the database, in records. */
static uint64_t
records_folded(void *arg)
{
	struct daemon *d = arg;
	const struct fold_view *v = fold_view_get(d->fold);
	uint64_t n = v->stats.records;

	fold_view_put(d->fold, v);
	return n;
}

/* ---- start and stop ---- */

static int
start_core(struct daemon *d, char *err, size_t err_size)
{
	const struct settings *s = live_settings(d->live);
	const struct journal_options jo = journal_options(s);
	const struct dumps_options dumps = dumps_options(s);
	const struct symbols_options symbols = symbols_options(s);
	struct pool_options po;
	struct fold_options fo = { .snapshot_interval_ms = s->snapshot_interval,
				   .snapshot_records = s->snapshot_records,
				   .decide = on_decide,
				   .changed = on_changed,
				   .advised = on_advised,
				   .arg = d };
	struct fold_outcomes oc = {
		.rewind = rewind_outcomes, .put = put_outcome, .decided = decided_outcomes, .sync = sync_outcomes
	};
	struct fold *fold;
	char path[4096];
	uint64_t first, end;

	if (make_dirs(d, err, err_size) == -1)
		return -1;
	if ((d->halts = halts_new()) == NULL || (d->advice = advice_new()) == NULL) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	if ((d->log = journal_open(in_data(d, "log", path, sizeof(path)), &jo, err, err_size)) == NULL)
		return -1;
	log_bounds(d->log, &first, &end, &d->env.log_id);
	if ((d->dumps = dumps_open(s->data, &dumps, d->log, err, err_size)) == NULL ||
	    (d->symbols = symbols_open(s->data, s->symbol_dirs, &symbols, d->log, err, err_size)) == NULL ||
	    (d->beat = beat_start(d->log, s, err, err_size)) == NULL)
		return -1;
	if (wants_database(s)) {
		oc.arg = d->outcomes = outcomes_open(in_data(d, "outcomes", path, sizeof(path)), err, err_size);
		if (d->outcomes == NULL)
			return -1;
		fo.outcomes = &oc;
	}
	fo.log = d->log;
	fo.snapshot_dir = in_data(d, "snapshots", path, sizeof(path));
	if ((fold = fold_start(&fo, err, err_size)) == NULL)
		return -1;
	pthread_mutex_lock(&d->lock);
	d->fold = fold;
	pthread_mutex_unlock(&d->lock);
	on_changed(d);
	po = pool_options(s, d->symbols);
	d->dispatch = dispatch_start(s->data, d->log, d->dumps, &po, err, err_size);
	return d->dispatch != NULL ? 0 : -1;
}

/* A taken address is found before a database is created for nothing. */
static int
probe_addresses(const struct settings *s, char *err, size_t err_size)
{
	const char *const addrs[] = { s->listen, s->stream_listen, s->api_listen };

	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		int fd = http_bind(addrs[i], false, err, err_size);

		if (fd == -1)
			return -1;
		close(fd);
	}
	return 0;
}

/* The database may take its time: reports are taken meanwhile. */
static int
start_store(struct daemon *d, char *err, size_t err_size)
{
	const struct settings *s = live_settings(d->live);
	struct projector_options po = { .log = d->log,
					.outcomes = d->outcomes,
					.batch_rows = (uint32_t)s->batch_rows,
					.report_days = (uint32_t)s->report_days,
					.conninfo = s->database,
					.log_records = records_folded,
					.arg = d };

	if (!wants_database(s)) {
		log_release_below(d->log, LOG_FLOOR_STORE, UINT64_MAX);
		return 0;
	}
	if (s->database[0] == '\0') {
		if ((d->cluster = cluster_start(s->data, s->pg_bindir, err, err_size)) == NULL)
			return -1;
		po.conninfo = cluster_conninfo(d->cluster);
		po.patience_ms = 30000;
	}
	if ((d->projector = projector_start(&po, err, err_size)) == NULL)
		return -1;
	d->queries = store_queries_start(po.conninfo, &d->env.log_id, err, err_size);
	return d->queries != NULL ? 0 : -1;
}

static int
start_notify(struct daemon *d, char *err, size_t err_size)
{
	const struct settings *s = live_settings(d->live);
	char dir[4096];
	struct notify_options o = { .fold = d->fold,
				    .dir = in_data(d, "notify", dir, sizeof(dir)),
				    .file = s->webhook_file,
				    .public_url = s->public_url };
	struct notify *n;

	memcpy(o.log, d->env.log_id.uuid, sizeof(o.log));
	n = notify_start(&o, err, err_size);
	pthread_mutex_lock(&d->lock);
	d->notify = n;
	pthread_mutex_unlock(&d->lock);
	return n != NULL ? 0 : -1;
}

static void
stop_notify(struct daemon *d)
{
	struct notify *n;

	pthread_mutex_lock(&d->lock);
	n = d->notify;
	d->notify = NULL;
	pthread_mutex_unlock(&d->lock);
	notify_stop(n);
}

static struct api_thread *
set_api(struct daemon *d, struct api_thread *api)
{
	struct api_thread *old;

	pthread_mutex_lock(&d->lock);
	old = d->api;
	d->api = api;
	pthread_mutex_unlock(&d->lock);
	return old;
}

static int
start_api(struct daemon *d, char *err, size_t err_size)
{
	const struct settings *s = live_settings(d->live);
	struct api_env env = { .log = d->log,
			       .log_id = d->env.log_id,
			       .fold = d->fold,
			       .arg = d,
			       .settings = env_settings,
			       .identity = env_identity,
			       .tokens = env_tokens,
			       .not_ready = env_not_ready,
			       .stored = d->projector != NULL ? env_stored : NULL,
			       .store = d->queries,
			       .dump_open = env_dump_open,
			       .symbols = d->symbols,
			       .webhooks = env_webhooks,
			       .webhook_redeliver = env_webhook_redeliver,
			       .webhook_ping = env_webhook_ping };
	struct sockaddr_storage sa;
	struct api_thread *t;
	socklen_t len;

	if (listen_parse("api-listen", s->api_listen, &sa, &len, err, err_size) == -1)
		return -1;
	env.open_reads = listen_is_loopback(&sa);
	t = api_thread_start(&env, s->api_listen, err, err_size);
	set_api(d, t);
	return t != NULL ? 0 : -1;
}

/* With port 0 the first gate's choice is everybody's. */
static const char *
with_port(const char *addr, uint16_t port, char *buf, size_t size)
{
	const char *colon = strrchr(addr, ':');

	snprintf(buf, size, "%.*s:%u", (int)(colon - addr), addr, port);
	return buf;
}

static int
start_gates(struct daemon *d, char *err, size_t err_size)
{
	const struct settings *s = live_settings(d->live);
	size_t n = s->gate_threads < 1 ? 1 : s->gate_threads > MAX_GATES ? MAX_GATES : s->gate_threads;
	char http[128], stream[128];

	d->env.log = d->log;
	d->env.dumps = d->dumps;
	d->env.arg = d;
	d->env.settings = env_settings;
	d->env.identity = env_identity;
	d->env.tokens = env_tokens;
	d->env.want_dump = env_want_dump;
	d->env.behind = env_behind;
	d->env.halted = env_halted;
	d->env.advice = env_advice;
	snprintf(http, sizeof(http), "%s", s->listen);
	snprintf(stream, sizeof(stream), "%s", s->stream_listen);
	while (d->n_gates < n) {
		size_t i = d->n_gates;

		if ((d->maps[i] = fold_host_map(d->fold)) == NULL) {
			snprintf(err, err_size, "out of memory");
			return -1;
		}
		d->gates[i] =
			gate_thread_start(&d->env, (uint32_t)i, find_host, d->maps[i], http, stream, err, err_size);
		if (d->gates[i] == NULL)
			return -1;
		d->n_gates++;
		with_port(s->listen, gate_thread_http_port(d->gates[0]), http, sizeof(http));
		with_port(s->stream_listen, gate_thread_stream_port(d->gates[0]), stream, sizeof(stream));
	}
	return 0;
}

/* run/ports.json: where we really listen, for scripts that asked for port 0. */
static int
write_ports(struct daemon *d, char *err, size_t err_size)
{
	char path[4096], temp[4100];
	uint16_t listen = gate_thread_http_port(d->gates[0]), stream = gate_thread_stream_port(d->gates[0]);
	uint16_t api = api_thread_port(d->api);
	FILE *f;

	in_data(d, "run/ports.json", path, sizeof(path));
	snprintf(temp, sizeof(temp), "%s.new", path);
	if ((f = fopen(temp, "we")) == NULL) {
		snprintf(err, err_size, "cannot write %s", temp);
		return -1;
	}
	fprintf(f, "{\"listen\":%u,\"stream\":%u,\"api\":%u,\"pid\":%ld}\n", listen, stream, api, (long)getpid());
	if (fclose(f) != 0 || rename(temp, path) == -1) {
		snprintf(err, err_size, "cannot write %s", path);
		return -1;
	}
	atomic_store(&d->listening, true);
	log_info("main", "ready: ingest port %u, stream port %u, API port %u", listen, stream, api);
	return 0;
}

struct daemon *
daemon_start(struct live *live, char *err, size_t err_size)
{
	struct daemon *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	d->live = live;
	pthread_mutex_init(&d->lock, NULL);
	if (start_core(d, err, err_size) == -1 || probe_addresses(live_settings(live), err, err_size) == -1 ||
	    start_store(d, err, err_size) == -1 || start_notify(d, err, err_size) == -1 ||
	    start_api(d, err, err_size) == -1 || start_gates(d, err, err_size) == -1 ||
	    write_ports(d, err, err_size) == -1) {
		daemon_stop(d);
		return NULL;
	}
	return d;
}

void
daemon_reload(struct daemon *d)
{
	const struct settings *s = live_settings(d->live);
	const struct journal_options jo = journal_options(s);
	const struct dumps_options dumps = dumps_options(s);
	const struct symbols_options symbols = symbols_options(s);
	const struct pool_options po = pool_options(s, d->symbols);
	char err[512];

	journal_configure(d->log, &jo);
	dumps_configure(d->dumps, &dumps);
	symbols_configure(d->symbols, &symbols);
	dispatch_configure(d->dispatch, &po);
	fold_configure(d->fold, s->snapshot_interval, s->snapshot_records);
	for (size_t i = 0; i < d->n_gates; i++)
		gate_thread_reload(d->gates[i]);
	if (notify_reload(d->notify, s->webhook_file, s->public_url, err, sizeof(err)) == -1)
		log_error("reload", "%s; the endpoints of before stay", err);
	api_thread_reload(d->api);
	if (d->projector != NULL)
		projector_configure(d->projector, (uint32_t)s->batch_rows, (uint32_t)s->report_days);
	beat_settings(d->beat, s);
	log_info("reload", "settings read again");
}

/* Gates first, so that nothing new comes; the log last, so that everything said is kept. */
void
daemon_stop(struct daemon *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n_gates; i++)
		gate_thread_stop(d->gates[i], DRAIN_MS);
	api_thread_stop(set_api(d, NULL), DRAIN_MS);
	stop_notify(d);
	for (size_t i = 0; i < MAX_GATES && d->maps[i] != NULL; i++)
		host_map_reader_free(d->maps[i]);
	dispatch_stop(d->dispatch);
	store_queries_stop(d->queries);
	projector_stop(d->projector);
	cluster_stop(d->cluster);
	if (d->fold != NULL)
		fold_stop(d->fold);
	outcomes_close(d->outcomes);
	beat_stop(d->beat);
	dumps_close(d->dumps);
	symbols_close(d->symbols);
	if (d->log != NULL)
		log_close(d->log);
	halts_free(d->halts);
	advice_free(d->advice);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
