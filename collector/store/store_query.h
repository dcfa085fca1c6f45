/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_STORE_QUERY_H
#define COLLECTOR_STORE_STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "collector/log/log.h"

struct arena;

/* History out of the database, for an event loop: a thread with a connection of its own
 * answers one question after the other and posts the answers.  No question takes longer
 * than a few seconds; what is not found by then is left to the next page. */
struct store_queries;

enum store_question {
	STORE_REPORT,               /* the report at position `key` of this log */
	STORE_REPORTS_OF_SIGNATURE, /* newest first; also those that triage filed there */
	STORE_REPORTS_OF_HOST,      /* newest first; key: the host's hash */
	STORE_DAYS_OF_SIGNATURE,    /* newest first */
	/* The rest answers with `json`, and STORE_FOUND or STORE_ABSENT. */
	STORE_SIGNATURE_PAGE,  /* {"best", "dumps", "claimed"}: what triage filed there */
	STORE_SIGNATURE_HOURS, /* [[hour since 1970, reports, crashes, hosts, sites], ...] of the last 24 */
	STORE_DECISIONS, /* rows, newest first, below from.pos of log from.log (0: all); `text`: of a deployment */
	STORE_DECISION,  /* the one at position `key` of this log, with its proof */
};

enum store_answer {
	STORE_FOUND,  /* perhaps an empty page */
	STORE_ABSENT, /* no such report in the database */
	STORE_DOWN,   /* the database does not answer */
	STORE_SLOW,   /* it did not answer in time */
};

/* Where a list goes on: zeroed, from the newest. */
struct store_cursor {
	int32_t log, day;
	uint64_t pos;
};

/* Texts are NUL-terminated, never NULL. */
struct store_report {
	int32_t log;
	uint64_t pos;
	uint16_t tenant;
	uint64_t host, signature;         /* signature: the claimed one */
	int64_t received_us, occurred_us; /* occurred 0: unknown */
	uint64_t uptime_s, crashes;
	uint32_t flags, kind, outcome; /* REPORT_FLAG_*, enum report_kind, OUTCOME_* */
	uint64_t reason_code;
	const char *title, *site;
	const char *module, *module_version, *module_id, *reason;
	const char *product, *version, *os, *os_build, *arch, *hw_class;
	uint64_t offset;
	const char *dump;    /* SHA-256 in hex; "" */
	const char *details; /* JSON object with labels, content, frames, params; "{}" */
	const char *triage;  /* STORE_REPORT only: JSON object of the triage result; "" if none */
};

struct store_day {
	int32_t day; /* since 1970 */
	uint64_t reports, crashes;
	int64_t hosts; /* distinct; -1 until the day is closed */
};

/* One question.  The caller owns it and leaves it alone from store_ask() until done() has
 * run, exactly once, on the thread that dispatches `reply`; then store_query_fini(). */
struct store_query {
	enum store_question what;
	uint16_t tenant;
	uint64_t key;
	struct store_cursor from;
	uint32_t limit;   /* 1 to STORE_PAGE_MAX */
	const char *text; /* of a question; NULL: any.  The asker's */
	struct mailbox *reply;
	void (*done)(struct store_query *q);
	void *arg;
	/* the answer: */
	enum store_answer answer;
	uint32_t n;
	struct store_report *reports;
	struct store_day *days;
	const char *json;
	int32_t this_log; /* number of this log, as in struct store_report */
	bool more;        /* next says where */
	struct store_cursor next;
	/* private */
	struct arena *arena;
	struct mail mail;
};
#define STORE_PAGE_MAX 1000u

/* Starts the thread; the database need not be there.  NULL with a sentence in err. */
struct store_queries *store_queries_start(const char *conninfo, const struct log_id *log, char *err, size_t err_size);
void store_queries_stop(struct store_queries *s); /* questions left are answered STORE_DOWN */

/* False when too many are waiting: answer "busy".  Never blocks. */
bool store_ask(struct store_queries *s, struct store_query *q);

/* Run done() for every answer in `reply`; call when its descriptor is readable.  The
 * mailbox holds nothing but store queries. */
void store_dispatch(struct mailbox *reply);

void store_query_fini(struct store_query *q); /* frees what the answer points to */

#endif
