/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "tests/unit/log_help.h"
#include "tests/unit/store_help.h"

#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

void
rig_new_log(struct rig *r)
{
	struct fake_options o = { .seed = 1 + r->producer };

	if (r->log != NULL) {
		log_close(r->log);
		fake_store_free(r->store);
	}
	r->store = fake_store_new(&o);
	r->log = fake_log_open(r->store);
	r->producer++;
	r->number = 0;
}

struct rig *
rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	char err[512];

	if (access(PG_BINDIR "/postgres", X_OK) == -1) {
		fprintf(stderr, "skipped: no PostgreSQL in %s\n", PG_BINDIR);
		exit(77);
	}
	r->dir = temp_dir_new();
	r->reply = mailbox_new();
	r->now_us = clock_wall_us();
	rig_new_log(r);
	r->cluster = cluster_start(r->dir, "", err, sizeof(err));
	if (r->cluster == NULL)
		DIE("%s", err);
	RIG_UNTIL(cluster_up(r->cluster), "the cluster");
	return r;
}

void
rig_free(struct rig *r)
{
	cluster_stop(r->cluster);
	log_close(r->log);
	fake_store_free(r->store);
	mailbox_free(r->reply);
	temp_dir_free(r->dir);
	free(r);
}

void
rig_tick(int64_t end_us, const char *what)
{
	if (clock_boot_us() > end_us)
		DIE("waited a minute for %s", what);
	poll(NULL, 0, 5);
}

/* ---- the log ---- */

static void
note_done(struct log_submission *s)
{
	*(bool *)s->arg = true;
}

static uint64_t
append(struct rig *r, struct batch_writer *w)
{
	bool done = false;
	struct log_submission s = { .bytes = w->bytes, .reply = r->reply, .done = note_done, .arg = &done };

	batch_writer_finish(w, r->producer, ++r->number, 0);
	s.len = w->len;
	if (log_append(r->log, &s) != LOG_QUEUED)
		DIE("the fake log does not take a batch");
	while (!done) {
		fake_log_pump(r->store);
		if (mailbox_wait(r->reply, 0))
			log_dispatch(r->reply);
	}
	batch_writer_reset(w);
	return s.first;
}

size_t
rig_payload(const struct report *rep, const struct report_frame *frames, uint64_t host, uint8_t *buf, size_t size)
{
	uint8_t sent[REPORT_MAX_BYTES];
	struct report_stamp stamp = { .host_hash = host, .site = TEXT("berlin") };
	struct report got;
	struct diag diag;
	size_t n = report_encode(rep, frames, sent, sizeof(sent));

	if (n == 0 || report_decode(sent, n, &got, &diag) != DISCARD_none)
		DIE("the test's own report is bad: %s", diag.what);
	if (report_record_size(&got, &stamp) > size)
		DIE("the test's own report is too big");
	report_record_write(&got, &stamp, buf);
	return report_record_size(&got, &stamp);
}

static size_t
nth_report(const struct rig_reports *what, uint32_t i, uint8_t *buf, size_t size)
{
	char module[32];
	struct report rep = { .host = TEXT("host"),
			      .epoch = 7,
			      .seq = i + 1,
			      .kind = REPORT_USER,
			      .module_id = TEXT("5f3e9a2b1c000"),
			      .module_version = TEXT("7.11"),
			      .offset = 0xe14ed,
			      .reason = TEXT("EXCEPTION_ACCESS_VIOLATION_READ"),
			      .product = TEXT("sensor"),
			      .version = TEXT("7.11.18110"),
			      .os = TEXT("windows"),
			      .os_build = TEXT("10.0.19045"),
			      .arch = TEXT("x64"),
			      .uptime_s = 3600,
			      .count = 1,
			      .occurred_us = 1721361600000000 };
	struct report_frame frames[4] = {
		{ TEXT("m.dll"), TEXT("5f3e9a2b1c000"), TEXT("f\"1\\"), 0xe14ed, 1 },
		{ TEXT("ntdll.dll"), TEXT(""), TEXT(""), 0x1234, 2 },
		{ TEXT("kernel32.dll"), TEXT(""), TEXT("BaseThreadInitThunk"), 0x7344, 3 },
		{ TEXT("app.exe"), TEXT(""), TEXT("main"), 0xffffffffffffffff, 4 },
	};

	snprintf(module, sizeof(module), "C:\\Windows\\m%u.dll", i % what->modules);
	rep.module = text_of(module);
	if (what->rich) {
		rep.n_labels = 2;
		rep.labels[0] = (struct report_pair){ TEXT("ring"), TEXT("canary \"1\"\n") };
		rep.labels[1] = (struct report_pair){ TEXT("grüße"), TEXT("日本") };
		rep.n_frames = 4;
		rep.n_params = 2;
		rep.params[0] = UINT64_MAX;
	}
	return rig_payload(&rep, frames, 1 + i % what->hosts, buf, size);
}

uint64_t
rig_reports(struct rig *r, const struct rig_reports *what)
{
	struct batch_writer w;
	uint64_t pos = 0;
	uint8_t buf[8192];

	if (batch_writer_init(&w) == -1)
		DIE("out of memory");
	for (uint32_t i = 0; i < what->n; i++) {
		size_t n = nth_report(what, i, buf, sizeof(buf));
		uint8_t *p;

		if (w.n >= what->per_batch || !batch_writer_fits(&w, n))
			pos = append(r, &w);
		p = batch_writer_add(&w, RECORD_REPORT, 0, r->now_us, n);
		memcpy(p, buf, n);
	}
	if (w.n > 0)
		pos = append(r, &w);
	batch_writer_fini(&w);
	return pos;
}

uint64_t
rig_record(struct rig *r, enum record_type type, const void *payload, size_t len)
{
	struct batch_writer w;
	uint64_t pos;

	if (batch_writer_init(&w) == -1)
		DIE("out of memory");
	memcpy(batch_writer_add(&w, type, 0, r->now_us, len), payload, len);
	pos = append(r, &w);
	batch_writer_fini(&w);
	return pos;
}

void
rig_filler(struct rig *r, uint32_t n)
{
	struct batch_writer w;

	if (batch_writer_init(&w) == -1)
		DIE("out of memory");
	for (uint32_t i = 0; i < n; i++) {
		if (!batch_writer_fits(&w, 1))
			append(r, &w);
		*batch_writer_add(&w, RECORD_TICK, 0, r->now_us, 1) = 0;
	}
	append(r, &w);
	batch_writer_fini(&w);
}

/* ---- the database ---- */

struct projector *
rig_projector(struct rig *r, const char *conninfo, struct outcomes *outcomes, uint32_t batch_rows)
{
	struct projector_options o = { .conninfo = conninfo != NULL ? conninfo : cluster_conninfo(r->cluster),
				       .log = r->log,
				       .outcomes = outcomes,
				       .batch_rows = batch_rows,
				       .report_days = 90 };
	char err[256];
	struct projector *p = projector_start(&o, err, sizeof(err));

	if (p == NULL)
		DIE("%s", err);
	return p;
}

void
rig_wait(struct rig *r, const struct projector *p)
{
	uint64_t first, end;
	struct log_id id;

	log_bounds(r->log, &first, &end, &id);
	RIG_UNTIL(projector_position(p) >= end, "the projector");
}

char *
rig_sql(struct rig *r, const char *fmt, ...)
{
	static char out[4096];
	char sql[2048];
	PGconn *c = PQconnectdb(cluster_conninfo(r->cluster));
	PGresult *res;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	PQclear(PQexec(c, "SET client_min_messages = error; SET search_path = faultline; SET timezone = 'UTC'"));
	res = PQexec(c, sql);
	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
		DIE("%s: %s", sql, PQerrorMessage(c));
	snprintf(out, sizeof(out), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(c);
	return out;
}

int64_t
rig_number(struct rig *r, const char *fmt, ...)
{
	char sql[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	return strtoll(rig_sql(r, "%s", sql), NULL, 10);
}

/* Only the owner of a process may change its limits, or a capability that containers lack. */
void
rig_limit_files(int pid, uint64_t bytes)
{
	struct rlimit now;
	struct stat st;
	char path[64];
	int status;
	pid_t child;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) == -1)
		DIE("no process %d", pid);
	child = fork();
	if (child == 0) {
		if (setgid(st.st_gid) == -1 || setuid(st.st_uid) == -1 || prlimit(pid, RLIMIT_FSIZE, NULL, &now) == -1)
			_exit(1);
		now.rlim_cur = bytes != 0 ? bytes : now.rlim_max;
		_exit(prlimit(pid, RLIMIT_FSIZE, &now, NULL) == -1);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		DIE("cannot limit process %d", pid);
}

int
rig_postmaster(struct rig *r)
{
	char path[4096];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/pg/postmaster.pid", r->dir);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}
