/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TABLES_H
#define CLI_TABLES_H

#include "cli/runs.h"

/* The tables of docs/HALT.md, from the product's own ledger. */

struct study {
	uint64_t seed;
	unsigned runs, jobs; /* runs 0: what each table takes */
	uint32_t hosts;      /* 0: what each table takes */
	bool compare;
	json_t *sheets; /* filled */
	bool text;      /* print each as it is ready */
};

struct table_of {
	const char *name, *what;
	int (*make)(struct study *s); /* 0, or -1 and it has said why */
};
extern const struct table_of tables[];
extern const unsigned n_tables;

/* ---- what they are made of ---- */

/* A world whose history has been lived. */
struct world *study_world(const struct study *s, const struct world_options *o);

/* Harmless deployments, each a day long, about a hundred at a time. */
struct nulls {
	const char *label;
	struct world_options world;
	struct push_plan plan;
	unsigned n;
	bool compare;
};
json_t *study_nulls(const struct study *s, const struct nulls *n); /* a row */

/* The runs of one row; NULL when one failed. */
struct outcome *study_runs(const struct study *s, struct run *r, const char *label, unsigned n);
json_t *study_row(const struct study *s, const char *label, const struct run *r, const struct outcome *o, unsigned n,
		  const char *expected);
void study_take(struct study *s, struct sheet *sheet);

/* 0.1, 1, 10, 50 and 100 % of the fleet at 0, 2, 6, 12 and 18 h, each within half an hour. */
void plan_day(struct push_plan *p);

int july_2024(struct study *s);

#endif
