/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LOOP_H
#define COLLECTOR_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

/* A thread that runs one event loop until it is told to stop and has drained: what gate and
 * API threads have in common. */
struct loop;

struct loop_ops {
	const char *name;        /* of the thread, at most 15 characters */
	int nice;                /* above 0: gives way to the other threads when all want the processor */
	void (*turn)(void *arg); /* after every turn of the loop; NULL: nothing */
	void (*reload)(void *arg);
	void (*drain)(void *arg);   /* begin to stop */
	bool (*drained)(void *arg); /* nothing is left to wait for */
};

/* base must outlive the loop.  loop_new() starts no thread, so that the owner can add its
 * events first.  NULL when out of memory. */
struct loop *loop_new(struct event_base *base, const struct loop_ops *ops, void *arg);
int loop_start(struct loop *l); /* -1: no thread could be started */

void loop_reload(struct loop *l); /* any thread */
/* Drain for at most about timeout_ms, then join.  Nothing happens if it was not started. */
void loop_stop(struct loop *l, uint64_t timeout_ms);
void loop_free(struct loop *l); /* stopped; NULL is fine */

#endif
