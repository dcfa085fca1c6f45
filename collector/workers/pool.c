/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/logline.h"
#include "collector/workers/pool.h"
#include "collector/workers/serve.h"
#include "collector/workers/zygote.h"

#define MAX_WORKERS  64u
#define START_US     10000000 /* a worker that is not ready by then has failed */
#define BACKOFF_US   1000000  /* before a failed worker or zygote is started again */
#define WORKER_CPU_S 600u     /* CPU of a worker's life; replaced at half of it */
#define SAY_US       10000000 /* so long, */
#define SAY_MAX      20u      /* so many lines about lost workers */
#define ZYGOTE_TAG   UINT64_MAX
#define WANTED_TAG   (UINT64_C(1) << 32) /* + number of the worker: its socket for images */

enum worker_state { WORKER_DOWN, WORKER_STARTING, WORKER_READY };

struct worker {
	enum worker_state state;
	uint32_t id; /* never used again */
	int sock, wanted;
	const uint8_t *area;                /* the worker writes here */
	struct pool_job *jobs[SERVE_DEPTH]; /* of ticket t at t % SERVE_DEPTH */
	uint32_t head, tail;                /* tickets: oldest without answer, next */
	int64_t since_us;                   /* boot time: began to start, or the head job became the head */
	int64_t retry_us;                   /* DOWN: not before */
	int64_t busy_us;
	uint64_t served;
};

struct pool {
	struct pool_options o;
	struct zygote *zygote; /* NULL: gone, back at retry_us */
	int64_t retry_us;
	int epoll;
	uint32_t next_id;
	uint32_t pending;
	uint32_t said; /* log lines since said_us */
	int64_t said_us;
	struct pool_job *first, **last; /* not given to a worker yet */
	struct worker workers[MAX_WORKERS];
	uint8_t copy[SERVE_SLOT_BYTES];
};

/* ---- the queue ---- */

static void
push_front(struct pool *p, struct pool_job *job)
{
	job->next = p->first;
	p->first = job;
	if (job->next == NULL)
		p->last = &job->next;
}

static struct pool_job *
pop(struct pool *p)
{
	struct pool_job *job = p->first;

	p->first = job->next;
	if (p->first == NULL)
		p->last = &p->first;
	return job;
}

static void
finish(struct pool *p, struct pool_job *job, enum err outcome, size_t result_size)
{
	p->pending--;
	job->outcome = outcome;
	job->result = p->copy;
	job->result_size = result_size;
	job->done(job);
}

/* Hostile dumps by the thousand cost as many workers; the log need not tell of each. */
static bool
may_say(struct pool *p)
{
	const int64_t now = clock_boot_us();

	if (now - p->said_us >= SAY_US) {
		if (p->said > SAY_MAX)
			log_warn("triage", "%u more messages about lost workers were left out", p->said - SAY_MAX);
		p->said_us = now;
		p->said = 0;
	}
	return p->said++ < SAY_MAX;
}

/* ---- workers ---- */

static bool
watch(struct pool *p, int fd, uint64_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void
worker_close(struct worker *w)
{
	if (w->sock != -1)
		close(w->sock);
	if (w->wanted != -1)
		close(w->wanted);
	if (w->area != NULL)
		munmap((void *)(uintptr_t)w->area, SERVE_AREA_BYTES);
	w->sock = w->wanted = -1;
	w->area = NULL;
	w->state = WORKER_DOWN;
}

static int
make_area(const uint8_t **area_out)
{
	void *area;
	int fd;

	fd = memfd_create("triage", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	/* the worker must not be able to pull it away under us */
	if (ftruncate(fd, (off_t)SERVE_AREA_BYTES) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1 ||
	    (area = mmap(NULL, SERVE_AREA_BYTES, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED) {
		close(fd);
		return -1;
	}
	*area_out = area;
	return fd;
}

static void
worker_start(struct pool *p, struct worker *w, int64_t now)
{
	const struct zygote_limits l = { .memory_bytes = p->o.memory_bytes,
					 .image_bytes = p->o.image_bytes,
					 .cpu_seconds = WORKER_CPU_S };
	int sv[2] = { -1, -1 }, ask[2] = { -1, -1 }, shm;
	bool ok;

	*w = (struct worker){ .id = p->next_id++, .sock = -1, .wanted = -1, .state = WORKER_STARTING, .since_us = now };
	shm = make_area(&w->area);
	ok = shm != -1 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0 &&
	     socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ask) == 0;
	if (ok) {
		int flags = fcntl(sv[1], F_GETFL);

		w->sock = sv[0];
		w->wanted = ask[0];
		ok = fcntl(sv[1], F_SETFL, flags & ~O_NONBLOCK) == 0 && watch(p, w->sock, (uint64_t)(w - p->workers)) &&
		     watch(p, w->wanted, WANTED_TAG + (uint64_t)(w - p->workers)) &&
		     zygote_spawn(p->zygote, w->id, &l, sv[1], shm, ask[1]) == 0;
	}
	if (sv[1] != -1)
		close(sv[1]);
	if (ask[1] != -1)
		close(ask[1]);
	if (shm != -1)
		close(shm);
	if (!ok) {
		log_warn("triage", "a worker cannot be started: %s", strerror(errno));
		worker_close(w);
		w->retry_us = now + BACKOFF_US;
	}
}

/* The worker is lost or must go.  What it worked on gets `blame` (ERR_OK: nobody's fault,
 * it is tried again), the rest goes back to the queue. */
static void
worker_end(struct pool *p, struct worker *w, enum err blame, int64_t now)
{
	struct pool_job *guilty = NULL;

	if (p->zygote != NULL)
		zygote_kill(p->zygote, w->id);
	for (; w->tail != w->head; w->tail--) {
		struct pool_job *job = w->jobs[(w->tail - 1) % SERVE_DEPTH];

		if (w->tail - 1 == w->head && blame != ERR_OK && w->state == WORKER_READY)
			guilty = job;
		else
			push_front(p, job);
	}
	if (guilty != NULL && may_say(p))
		log_warn("triage", "worker %u %s an image of %llu bytes", w->id,
			 blame == ERR_TIMEOUT ? "took too long over" : "was lost with",
			 (unsigned long long)guilty->size);
	else if (guilty == NULL && w->state == WORKER_STARTING && may_say(p))
		log_warn("triage", "worker %u did not start", w->id);
	w->retry_us = guilty != NULL || w->served != 0 ? now : now + BACKOFF_US;
	worker_close(w);
	if (guilty != NULL) {
		counter_add(COUNTER_triage_killed, 1);
		finish(p, guilty, blame, 0);
	}
}

/* One answer of the worker.  False if it broke the protocol. */
static bool
worker_answer(struct pool *p, struct worker *w, const struct serve_reply *r, int64_t now)
{
	struct pool_job *job;

	if (r->status == SERVE_READY && w->state == WORKER_STARTING) {
		w->state = WORKER_READY;
		w->since_us = now;
		return true;
	}
	if (w->state != WORKER_READY || w->head == w->tail || r->ticket != w->head || r->size > SERVE_SLOT_BYTES ||
	    (r->status != SERVE_DONE && r->status != SERVE_NOT_MAPPED))
		return false;
	job = w->jobs[w->head % SERVE_DEPTH];
	/* out of shared memory before anyone looks at it */
	memcpy(p->copy, w->area + w->head % SERVE_DEPTH * SERVE_SLOT_BYTES, r->size);
	w->head++;
	w->served++;
	w->busy_us += now - w->since_us;
	w->since_us = now;
	finish(p, job, r->status == SERVE_DONE ? ERR_OK : ERR_LIMIT, r->size);
	return true;
}

/* Images it asks for.  One that lies is lost: what it worked on is to blame, as for any other death. */
static void
worker_wants(struct pool *p, struct worker *w)
{
	if (w->wanted == -1 || wanted_answer(w->wanted, &p->o.images))
		return;
	close(w->wanted); /* out of the epoll set too: its end comes by its other socket */
	w->wanted = -1;
	if (p->zygote != NULL)
		zygote_kill(p->zygote, w->id);
}

/* Everything the worker said; then, if it is lost, its end. */
static void
worker_read(struct pool *p, struct worker *w)
{
	struct serve_reply r;
	ssize_t n;

	while (w->state != WORKER_DOWN) {
		const int64_t now = clock_boot_us();

		n = recv(w->sock, &r, sizeof(r), 0);
		/* A worker that died with requests unread resets the socket: said once, before its last answers. */
		if (n == -1 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n != (ssize_t)sizeof(r) || !worker_answer(p, w, &r, now)) {
			/* Workers die with their zygote: nobody's fault. */
			worker_end(p, w, p->zygote != NULL && zygote_alive(p->zygote) ? ERR_CRASHED : ERR_OK, now);
			return;
		}
	}
}

static bool
worker_send(const struct pool *p, struct worker *w, const struct pool_job *job)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct serve_request q = { .ticket = w->tail, .size = job->size };
	const struct wanted_source *images = &p->o.images;
	struct iovec iov = { &q, sizeof(q) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))
	};

	q.generation = images->open != NULL ? images->generation(images->arg) : 0;
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &job->fd, sizeof(int));
	return sendmsg(w->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(q);
}

static bool
worn_out(const struct pool *p, const struct worker *w)
{
	return (p->o.recycle != 0 && w->served >= p->o.recycle) || w->busy_us >= WORKER_CPU_S * 500000ll;
}

/* Give the worker at most one job; true if it took it. */
static bool
worker_feed(struct pool *p, struct worker *w, uint32_t depth, int64_t now)
{
	const uint32_t waiting = w->tail - w->head;
	const uint64_t left = p->o.recycle != 0 ? p->o.recycle - w->served : UINT64_MAX;

	if (w->state != WORKER_READY || waiting > depth || waiting >= SERVE_DEPTH - 1 || waiting >= left ||
	    worn_out(p, w) || !worker_send(p, w, p->first))
		return false;
	if (waiting == 0)
		w->since_us = now;
	w->jobs[w->tail++ % SERVE_DEPTH] = pop(p);
	return true;
}

/* Shallow queues first, so that few jobs use every worker, also those about to be ready. */
static void
feed(struct pool *p, int64_t now)
{
	uint32_t depths = SERVE_DEPTH;

	for (uint32_t i = 0; i < p->o.workers; i++)
		if (p->workers[i].state == WORKER_STARTING)
			depths = 1;
	for (uint32_t depth = 0; depth < depths; depth++)
		for (uint32_t i = 0; i < p->o.workers && p->first != NULL; i++)
			worker_feed(p, &p->workers[i], depth, now);
}

/* ---- the zygote ---- */

static void
zygote_up(struct pool *p, int64_t now)
{
	p->zygote = zygote_start();
	if (p->zygote != NULL && watch(p, zygote_fd(p->zygote), ZYGOTE_TAG))
		return;
	log_error("triage", "the process that forks workers cannot be started: %s", strerror(errno));
	zygote_free(p->zygote);
	p->zygote = NULL;
	p->retry_us = now + BACKOFF_US;
}

static void
zygote_lost(struct pool *p, int64_t now)
{
	log_error("triage", "the process that forks workers died; starting it again");
	counter_add(COUNTER_triage_zygote_restarts, 1);
	zygote_free(p->zygote);
	p->zygote = NULL;
	p->retry_us = now + BACKOFF_US;
	for (uint32_t i = 0; i < p->o.workers; i++) {
		struct worker *w = &p->workers[i];

		if (w->state != WORKER_DOWN)
			worker_end(p, w, ERR_OK, now);
	}
}

static void
worker_exited(struct pool *p, uint32_t id, int status)
{
	if (status == -1)
		log_warn("triage", "worker %u: fork failed", id);
	else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && may_say(p)) /* that one is mostly ours */
		log_warn("triage", "worker %u was killed by signal %d", id, WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_warn("triage", "worker %u left with status %d", id, WEXITSTATUS(status));
	for (uint32_t i = 0; i < p->o.workers; i++) {
		struct worker *w = &p->workers[i];

		if (w->state == WORKER_DOWN || w->id != id)
			continue;
		worker_read(p, w); /* its last answers come first */
		if (w->state != WORKER_DOWN && w->id == id)
			worker_end(p, w, ERR_CRASHED, clock_boot_us());
	}
}

static void
zygote_news(struct pool *p)
{
	for (;;) {
		struct zygote_event ev = zygote_read(p->zygote);

		switch (ev.type) {
		case ZYGOTE_NOTHING:
			return;
		case ZYGOTE_GONE:
			zygote_lost(p, clock_boot_us());
			return;
		case ZYGOTE_EXITED:
			worker_exited(p, ev.worker, ev.status);
			break;
		}
	}
}

/* ---- time ---- */

/* When this worker needs attention without a message; INT64_MAX: never. */
static int64_t
worker_due(const struct pool *p, const struct worker *w)
{
	if (w->state == WORKER_DOWN)
		return p->zygote != NULL ? w->retry_us : INT64_MAX;
	if (w->state == WORKER_STARTING)
		return w->since_us + START_US;
	if (w->head == w->tail)
		return worn_out(p, w) ? 0 : INT64_MAX;
	return w->since_us + (int64_t)p->o.timeout_ms * 1000;
}

static void
worker_attend(struct pool *p, struct worker *w, int64_t now)
{
	if (w->state != WORKER_DOWN)
		worker_read(p, w); /* it may have answered at the last moment */
	if (worker_due(p, w) > now)
		return;
	if (w->state == WORKER_READY && w->head == w->tail)
		worker_end(p, w, ERR_OK, now);
	else if (w->state != WORKER_DOWN)
		worker_end(p, w, ERR_TIMEOUT, now);
	if (w->state == WORKER_DOWN && w->retry_us <= now && p->zygote != NULL)
		worker_start(p, w, now);
}

int
pool_timeout_ms(const struct pool *p)
{
	const int64_t now = clock_boot_us();
	int64_t due = p->zygote == NULL ? p->retry_us : INT64_MAX;

	for (uint32_t i = 0; i < p->o.workers; i++) {
		int64_t d = worker_due(p, &p->workers[i]);

		due = d < due ? d : due;
	}
	if (due == INT64_MAX)
		return -1;
	return due <= now ? 0 : (int)((due - now + 999) / 1000 < 3600000 ? (due - now + 999) / 1000 : 3600000);
}

void
pool_turn(struct pool *p)
{
	struct epoll_event ev[2 * MAX_WORKERS + 1];
	uint64_t up = 0;
	int64_t now;
	int n;

	n = epoll_wait(p->epoll, ev, (int)(sizeof(ev) / sizeof(ev[0])), 0);
	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 == ZYGOTE_TAG) {
			if (p->zygote != NULL)
				zygote_news(p);
		} else if (ev[i].data.u64 >= WANTED_TAG) {
			worker_wants(p, &p->workers[ev[i].data.u64 - WANTED_TAG]);
		} else {
			worker_read(p, &p->workers[ev[i].data.u64]);
		}
	now = clock_boot_us();
	if (p->zygote == NULL && p->retry_us <= now)
		zygote_up(p, now);
	for (uint32_t i = 0; i < p->o.workers; i++) {
		if (worker_due(p, &p->workers[i]) <= now)
			worker_attend(p, &p->workers[i], now);
		up += p->workers[i].state == WORKER_READY;
	}
	counter_set(COUNTER_triage_workers, up);
	feed(p, now);
}

/* ---- the outside ---- */

struct pool *
pool_new(const struct pool_options *o)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->o = *o;
	if (p->o.workers == 0)
		p->o.workers = 1;
	if (p->o.workers > MAX_WORKERS)
		p->o.workers = MAX_WORKERS;
	p->last = &p->first;
	for (uint32_t i = 0; i < MAX_WORKERS; i++)
		p->workers[i].sock = p->workers[i].wanted = -1;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->zygote = p->epoll != -1 ? zygote_start() : NULL;
	if (p->zygote == NULL || !watch(p, zygote_fd(p->zygote), ZYGOTE_TAG)) {
		pool_free(p);
		return NULL;
	}
	pool_turn(p);
	return p;
}

void
pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	zygote_free(p->zygote);
	for (uint32_t i = 0; i < MAX_WORKERS; i++)
		worker_close(&p->workers[i]);
	if (p->epoll != -1)
		close(p->epoll);
	free(p);
}

void
pool_configure(struct pool *p, const struct pool_options *o)
{
	p->o.timeout_ms = o->timeout_ms;
	p->o.recycle = o->recycle;
}

void
pool_submit(struct pool *p, struct pool_job *job)
{
	job->next = NULL;
	*p->last = job;
	p->last = &job->next;
	p->pending++;
	feed(p, clock_boot_us());
}

uint32_t
pool_pending(const struct pool *p)
{
	return p->pending;
}

bool
pool_full(const struct pool *p)
{
	return p->pending >= 2 * p->o.workers * SERVE_DEPTH;
}

int
pool_fd(const struct pool *p)
{
	return p->epoll;
}
