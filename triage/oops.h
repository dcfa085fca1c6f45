/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_OOPS_H
#define TRIAGE_OOPS_H

#include "triage/textscan.h"

/* Parts of the reader of Linux kernel texts, shared by its files alone. */

#define OOPS_KERNEL "vmlinux" /* the module of what is in none */

/* A place as the kernel prints it: "[<ffffffff8159d19a>] ? tcp_ack+0x9d8/0xec0 [mod]". */
struct oops_place {
	struct text function; /* empty: only the address is known */
	struct text module;   /* empty: the kernel itself */
	struct text build_id; /* printed behind the module's name; empty: not */
	bool has_offset;
	uint64_t offset; /* in the function */
	bool has_address;
	uint64_t address;
	unsigned address_digits;
	bool unreliable; /* marked "?": only seen on the stack */
	bool is_user;    /* a register of user space */
};

/* The line without what dmesg, journald, syslog, pstore and netconsole put before it. */
struct text oops_line(struct text line);

/* Is the line a frame of a trace?  loose: inside a trace, where forms without brackets and
 * offset count too.  from: the caller that older arm kernels print in the same line. */
bool oops_frame(struct text line, bool loose, struct oops_place *out, struct oops_place *from, bool *has_from);

/* Is the line the program counter of the registers?  *arch is set when it tells. */
bool oops_pc(struct text line, struct oops_place *out, enum triage_arch *arch);

/* The first place named in t: "in foo+0x12/0x34 [mod]". */
bool oops_place_in(struct text t, struct oops_place *out);

/* What begins an event. */
enum oops_tier {
	OOPS_NONE,
	OOPS_WARNING, /* the kernel goes on: WARNING, lock order, UBSAN */
	OOPS_FATAL,
	OOPS_PANIC, /* fatal, and may only close the event before it */
};

/* Which bytes each marker needs, so that most are ruled out at a glance. */
#define OOPS_MARKERS_MAX 64
struct oops_markers {
	uint64_t need[OOPS_MARKERS_MAX];
};
void oops_markers_init(struct oops_markers *m);

/* The event that begins in this line, and its text from the telling word on. */
enum oops_tier oops_marker(const struct oops_markers *known, struct text line, struct text *what);

/* The reason without what differs from one time to the next; what is a marker's text. */
const char *oops_reason(struct textdump *t, struct text what);

/* Number behind "at", "address" … in a marker's text. */
bool oops_address(struct text what, uint64_t *out);

/* The rule by which a kernel function only carries the news, NULL when it is none. */
const char *oops_messenger(const char *function);

/* Parts of one pstore record in the order they were written, copied to the arena; text itself
 * when it is in order. */
struct text oops_order(struct arena *a, struct text text);

#endif
