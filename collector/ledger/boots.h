/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LEDGER_BOOTS_H
#define COLLECTOR_LEDGER_BOOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;
struct pack;
struct reader;

/* Boot loops (HALT 4.2): hosts that booted a moment ago, and those that keep doing it.
 *
 * A boot is a boot id that is new, or an uptime that began again where there is no boot id.  Three
 * within a quarter of an hour are a loop, and so are two crashes of the kernel or of a boot-critical
 * program, each within two minutes of a boot. */
#define BOOTS_KEPT       8u
#define BOOT_IDS         4u
#define BOOT_ROWS_MAX    (1u << 20)
#define EARLY_UPTIME_S   120u
#define EARLY_CRASHES    2u
#define EARLY_WITHIN_S   3600u
#define SAME_BOOT_S      30u /* uptimes are rounded, and clocks drift */
#define BOOT_ROWS_A_TICK 16384u

struct boot_row {
	uint32_t host_no;
	uint32_t ids[BOOT_IDS];  /* hashes of boot ids, newest first; 0: none */
	uint32_t at[BOOTS_KEPT]; /* when it booted, unix seconds, newest first */
	uint32_t crashed[EARLY_CRASHES];
	uint32_t last; /* newest of all that is here */
	uint8_t n;     /* of at */
};

struct boots {
	struct boot_row *rows;
	uint32_t n_rows, cap_rows;
	uint32_t *slots; /* row + 1, by host; derived */
	uint32_t n_slots;
	uint32_t hand;
	uint32_t looping; /* hosts; derived */
	uint64_t over_cap, loops;
	uint32_t word;
};

void boots_fini(struct boots *b);

/* A heartbeat said so: boot is the hash of its boot id (0: none), before that of the one it said last,
 * uptime_s 0 if unknown. */
void boots_heard(struct ledger *l, uint32_t no, uint32_t boot, uint32_t before, uint64_t uptime_s);
/* A crash of the kernel or of something boot-critical was reported. */
void boots_crashed(struct ledger *l, uint32_t no, uint64_t uptime_s);
void boots_tick(struct ledger *l);
void boots_touch(struct ledger *l); /* about to change */

/* ---- snapshot: CHUNK_SILENCE, b 1 ---- */
void boots_pack(const struct boots *b, struct pack *k);
bool boots_unpack(struct ledger *l, struct reader *r);
bool boots_loaded(struct ledger *l);

#endif
