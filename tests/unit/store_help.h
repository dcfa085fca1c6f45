/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_STORE_HELP_H
#define TESTS_UNIT_STORE_HELP_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/store/cluster.h"
#include "collector/store/projector.h"
#include "proto/report.h"
#include "tests/unit/fake_log.h"

/* What tests of the store share: a real PostgreSQL in a directory of its own, and a log in
 * memory.  Failures end the program with a sentence. */
struct rig {
	char *dir; /* data directory */
	struct cluster *cluster;
	struct fake_store *store;
	struct log *log;
	struct mailbox *reply;
	uint64_t producer, number; /* of the last batch */
	int64_t now_us;            /* time of receipt of what is appended */
};

struct rig *rig_new(void);       /* exits with 77 when there is no PostgreSQL */
void rig_free(struct rig *r);    /* projectors are stopped */
void rig_new_log(struct rig *r); /* another log, empty, with another uuid */

/* n reports in batches of `per_batch`; report i is of host 1 + i % hosts, its module is
 * "m<i % modules>.dll".  Returns the position of the last batch. */
struct rig_reports {
	uint32_t n, per_batch, hosts, modules;
	bool rich; /* labels and frames too */
};
uint64_t rig_reports(struct rig *r, const struct rig_reports *what);

/* One batch with one record of any type. */
uint64_t rig_record(struct rig *r, enum record_type type, const void *payload, size_t len);

/* Records of a type that leaves no row, several batches of them. */
void rig_filler(struct rig *r, uint32_t n);

/* The payload of a report record. */
size_t rig_payload(const struct report *rep, const struct report_frame *frames, uint64_t host, uint8_t *buf,
		   size_t size);

/* A projector with usual options over the rig's log. */
struct projector *rig_projector(struct rig *r, const char *conninfo, struct outcomes *outcomes, uint32_t batch_rows);

/* Until everything up to the log's end is in the database. */
void rig_wait(struct rig *r, const struct projector *p);

/* Until cond is true, at most 60 s; the text says what was waited for. */
#define RIG_UNTIL(cond, what)                                 \
	do {                                                  \
		int64_t rig_end = clock_boot_us() + 60000000; \
		while (!(cond))                               \
			rig_tick(rig_end, what);              \
	} while (0)
void rig_tick(int64_t end_us, const char *what);

/* The first column of the first row; "" for null or no row.  A new connection each. */
char *rig_sql(struct rig *r, const char *sql, ...) __attribute__((format(printf, 2, 3)));
int64_t rig_number(struct rig *r, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* Process id in the cluster's postmaster.pid; 0 if there is none. */
int rig_postmaster(struct rig *r);

/* Files that the process writes may not grow beyond; 0: any size. */
void rig_limit_files(int pid, uint64_t bytes);

#endif
