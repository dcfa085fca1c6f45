/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/runs.h"

#define JOBS_MAX 64u

bool run_quiet;

void
run_progress(const char *fmt, ...)
{
	static int64_t start;
	va_list ap;

	if (start == 0)
		start = clock_boot_us();
	if (run_quiet)
		return;
	fprintf(stderr, "%8.1fs  ", (double)(clock_boot_us() - start) / 1e6);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- one ---- */

static void
tell(const struct run *r, const struct push *p, int64_t end_us, struct outcome *o)
{
	int64_t stop = (int64_t)(p->plan.stop_s * 1e6), full = push_full_us(p);
	bool halted = p->halt_us < INT64_MAX && p->halt_us < full;
	int64_t stopped = halted ? p->halt_us + stop : end_us;

	*o = (struct outcome){ .halted = halted, .watched = p->watch_us < INT64_MAX };
	o->halt_s = halted ? (double)(p->halt_us - p->begin_us) / 1e6 : 0;
	o->harmed = (double)push_harmed_until(p, stopped);
	o->exposed = push_share(p, stopped) * r->world->o.hosts;
	o->reports = (double)p->halt_reports;
	o->watch_harmed = (double)push_harmed_until(p, o->watched ? p->watch_us + stop : stopped);
	for (int i = 0; p->compare != NULL && i < COMPARE_RULES; i++) {
		double at = compare_fired(p->compare, (enum compare_rule)i);
		int64_t us = at < 0 ? end_us : p->begin_us + (int64_t)(at * 1e6) + stop;

		o->fired[i] = at >= 0 && us < full;
		o->fired_harmed[i] =
			o->fired[i] ? (double)push_harmed_until(p, us) : p->plan.hazard * r->world->o.hosts;
	}
}

void
run_push(struct run *r, struct outcome *out)
{
	struct world *w = r->world;
	struct push *p;
	int64_t end;

	w->rng = rng_of(r->seed, 6);
	p = push_new(w, &r->plan, r->seed);
	end = r->max_h > 0 ? p->begin_us + (int64_t)(r->max_h * (double)HOUR_US) : push_full_us(p) + HOUR_US;
	if (r->noise)
		world_make_noise(w, r->seed, 0, (double)end / (double)HOUR_US);
	if (r->compare)
		p->compare = compare_new(w->o.hosts, r->compare_until);
	while (w->now_us < end && !p->stopped) {
		if (r->also != NULL)
			r->also(r, p);
		world_second(w);
		if (p->compare == NULL)
			continue;
		compare_until(p->compare, (double)(w->now_us - p->begin_us) / 1e6, push_share(p, w->now_us));
		if (p->halt_us == INT64_MAX)
			continue;
		w->folding = false; /* it has spoken; the others are still thinking */
		if (compare_all_fired(p->compare) || push_share(p, w->now_us - 1800 * SECOND_US) > r->compare_until)
			break;
	}
	tell(r, p, end, out);
	if (r->finish != NULL)
		r->finish(r, p, out);
}

/* ---- many ---- */

struct child {
	pid_t pid;
	int fd;
};

static int
start(const struct run *r, unsigned no, struct child *c)
{
	int fds[2];

	fflush(NULL);
	if (pipe(fds) != 0)
		return -1;
	c->pid = fork();
	if (c->pid == 0) {
		struct run own = *r;
		struct outcome o;
		bool ok;

		own.seed = hash_mix(r->seed * 1000003 + no);
		run_push(&own, &o);
		ok = write(fds[1], &o, sizeof(o)) == (ssize_t)sizeof(o);
		_exit(ok ? 0 : 1);
	}
	close(fds[1]);
	c->fd = fds[0];
	if (c->pid < 0)
		close(fds[0]);
	return c->pid < 0 ? -1 : 0;
}

static int
finish(struct child *c, struct outcome *out)
{
	ssize_t n;
	int status = 1;

	do
		n = read(c->fd, out, sizeof(*out)); /* smaller than what a pipe takes at once */
	while (n < 0 && errno == EINTR);
	close(c->fd);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof(*out) && status == 0 ? 0 : -1;
}

int
run_many(const struct run *r, unsigned n, unsigned jobs, const char *what, struct outcome *out)
{
	struct child children[JOBS_MAX];
	unsigned started = 0, ended = 0;
	int64_t last = clock_boot_us();
	int bad = 0;

	jobs = jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : jobs;
	while (ended < n) {
		while (bad == 0 && started < n && started - ended < jobs) {
			if (start(r, started, &children[started % jobs]) != 0)
				bad = -1;
			else
				started++;
		}
		if (started == ended)
			break;
		if (finish(&children[ended % jobs], &out[ended]) != 0)
			bad = -1;
		ended++;
		if (clock_boot_us() - last > 10 * SECOND_US) {
			last = clock_boot_us();
			run_progress("%s: %u of %u runs", what, ended, n);
		}
	}
	if (bad != 0)
		fprintf(stderr, "faultline sim: a run of \"%s\" failed: %s\n", what, strerror(errno));
	return bad;
}
