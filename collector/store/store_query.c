/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/logline.h"
#include "collector/store/lookup.h"
#include "collector/store/pg.h"
#include "collector/store/store_query.h"

#define WAITING_MAX 256
#define ARENA_BYTES (32u << 20)
#define ANSWER_MS   5000
#define RETRY_US    1000000ll /* a database that was away is not tried for every question */

struct store_queries {
	char *conninfo;
	struct log_id log;
	struct mailbox *inbox;
	pthread_t thread;
	int stop_fd;
	atomic_bool stop;
	atomic_uint waiting;
	/* the thread's */
	struct pg pg;
	int log_no; /* 0: not known yet */
	int64_t retry_at;
};

static struct store_query *
query_of(struct mail *m)
{
	return (struct store_query *)(void *)((char *)m - offsetof(struct store_query, mail));
}

static void
post(struct store_queries *s, struct store_query *q, enum store_answer answer)
{
	q->answer = answer;
	atomic_fetch_sub(&s->waiting, 1);
	mailbox_post(q->reply, &q->mail);
}

static bool
connected(struct store_queries *s)
{
	if (s->pg.conn == NULL && clock_boot_us() < s->retry_at)
		return false;
	if (s->pg.conn == NULL && !pg_connect(&s->pg, s->conninfo)) {
		s->retry_at = clock_boot_us() + RETRY_US;
		return false;
	}
	if (s->log_no == 0)
		s->log_no = lookup_log(&s->pg, &s->log);
	return s->pg.conn != NULL;
}

/* The connection broke under the question, perhaps long ago: once more with a new one. */
static enum store_answer
ask(struct store_queries *s, struct store_query *q)
{
	enum store_answer a = STORE_DOWN;

	for (int tries = 0; tries < 2 && connected(s); tries++) {
		q->n = 0;
		q->this_log = s->log_no;
		q->more = false;
		if (lookup(&s->pg, s->log_no, q, &a))
			return a;
		if (strcmp(s->pg.state, "57014") == 0)
			return STORE_SLOW;
		if (s->pg.failure == PG_LOST)
			continue;
		log_warn("store", "a question failed: %s", s->pg.text);
		return STORE_DOWN;
	}
	return STORE_DOWN;
}

static void
answer(struct store_queries *s, struct store_query *q)
{
	q->arena = arena_new(ARENA_BYTES);
	post(s, q, q->arena != NULL && !atomic_load(&s->stop) ? ask(s, q) : STORE_DOWN);
}

static void *
queries_main(void *arg)
{
	struct store_queries *s = arg;
	struct pollfd p[2] = { { mailbox_fd(s->inbox), POLLIN, 0 }, { s->stop_fd, POLLIN, 0 } };

	while (!atomic_load(&s->stop)) {
		struct mail *m, *next;

		poll(p, 2, -1);
		for (m = mailbox_take(s->inbox); m != NULL; m = next) {
			next = m->next;
			answer(s, query_of(m));
		}
	}
	pg_close(&s->pg);
	return NULL;
}

struct store_queries *
store_queries_start(const char *conninfo, const struct log_id *log, char *err, size_t err_size)
{
	struct store_queries *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->conninfo = strdup(conninfo)) == NULL) {
		snprintf(err, err_size, "out of memory");
		free(s);
		return NULL;
	}
	s->log = *log;
	s->inbox = mailbox_new();
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->pg = (struct pg){ .stop_fd = s->stop_fd, .timeout_ms = ANSWER_MS };
	if (s->inbox != NULL && s->stop_fd != -1 && pthread_create(&s->thread, NULL, queries_main, s) == 0)
		return s;
	snprintf(err, err_size, "cannot start the thread of database questions: %s", strerror(errno));
	mailbox_free(s->inbox);
	if (s->stop_fd != -1)
		close(s->stop_fd);
	free(s->conninfo);
	free(s);
	return NULL;
}

void
store_queries_stop(struct store_queries *s)
{
	uint64_t one = 1;
	struct mail *m, *next;

	if (s == NULL)
		return;
	atomic_store(&s->stop, true);
	if (write(s->stop_fd, &one, sizeof(one)) == -1)
		log_warn("store", "%s", strerror(errno));
	pthread_join(s->thread, NULL);
	for (m = mailbox_take(s->inbox); m != NULL; m = next) {
		next = m->next;
		post(s, query_of(m), STORE_DOWN);
	}
	mailbox_free(s->inbox);
	close(s->stop_fd);
	free(s->conninfo);
	free(s);
}

bool
store_ask(struct store_queries *s, struct store_query *q)
{
	if (atomic_fetch_add(&s->waiting, 1) >= WAITING_MAX) {
		atomic_fetch_sub(&s->waiting, 1);
		return false;
	}
	q->arena = NULL;
	mailbox_post(s->inbox, &q->mail);
	return true;
}

void
store_dispatch(struct mailbox *reply)
{
	struct mail *m, *next;

	for (m = mailbox_take(reply); m != NULL; m = next) {
		next = m->next;
		query_of(m)->done(query_of(m));
	}
}

void
store_query_fini(struct store_query *q)
{
	arena_free(q->arena);
	q->arena = NULL;
}
