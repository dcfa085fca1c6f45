/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_INTAKE_H
#define COLLECTOR_GATE_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/log/log.h"
#include "proto/batch.h"

/* From gates to the log: collects the records of one event-loop turn into batches.
 *
 * One intake a loop, used on that loop's thread only.  The loop's owner (gate_thread.c)
 * calls intake_flush() once a turn and intake_dispatch() when intake_fd() is readable.
 * A group is what is acknowledged together: a frame or a request. */
struct intake;

enum intake_result {
	INTAKE_OK,
	INTAKE_BUSY,    /* too much in flight: stop reading; on_room() comes */
	INTAKE_BROKEN,  /* the log has stopped: refuse with DISCARD_log_unknown */
	INTAKE_TOO_BIG, /* the group does not fit INTAKE_PARTS batches: refuse with DISCARD_too_many_items */
};

#define INTAKE_PARTS 16

/* Owned by the caller and left alone from commit until done() has run, exactly once. */
struct intake_group {
	void (*done)(struct intake_group *g, enum log_outcome outcome);
	void *arg;
	uint32_t n; /* records */
	/* private from here */
	uint32_t n_parts, pending;
	enum log_outcome outcome;
	struct intake_part {
		uint64_t first;       /* position of the batch */
		uint32_t index, from; /* record `from` of the group is `index` in the batch */
		void *batch;
		struct intake_group *group;
		struct intake_part *next;
	} parts[INTAKE_PARTS];
};

struct intake *intake_new(struct log *log);
void intake_free(struct intake *in); /* nothing may be in flight */

/* Start a group.  Between begin and commit/abandon only intake_add() may be called.
 * Vital groups (signatures without bodies, decisions, receipts) may use the log's reserve. */
void intake_begin(struct intake *in, struct intake_group *g, enum log_class class);

/* Room for one record's payload, or NULL: then intake_abandon() and refuse with *why_out.
 * The payload must be written before the next call. */
uint8_t *intake_add(struct intake *in, enum record_type type, uint16_t tenant, int64_t received_us, size_t payload_len,
		    enum intake_result *why_out);

/* Hand the group over.  done() may run inside: an empty group is done at once, DURABLE. */
void intake_commit(struct intake *in);
void intake_abandon(struct intake *in); /* nothing of the group is logged; done() is not called */

/* After DURABLE: the position of record i of the group. */
uint64_t intake_position(const struct intake_group *g, uint32_t i);

/* Hold back (or no longer): intake_ready() is false whatever room there is. */
void intake_hold(struct intake *in, bool hold);

/* May a group be started now?  When not, on_room(arg) is called later on this loop. */
bool intake_ready(const struct intake *in);
void intake_on_room(struct intake *in, void (*fn)(void *arg), void *arg);

/* Why a group ended REFUSED: the disk is full (DISCARD_disk_full, try again later), or the
 * log has stopped (DISCARD_log_unknown). */
bool intake_full(const struct intake *in);
bool intake_broken(const struct intake *in);

void intake_flush(struct intake *in); /* submit what was collected; every turn, at least each 50 ms */
int intake_fd(const struct intake *in);
void intake_dispatch(struct intake *in);            /* run done() of everything decided */
uint32_t intake_in_flight(const struct intake *in); /* batches; 0 means drained */

#endif
