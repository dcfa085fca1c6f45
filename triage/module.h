/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_MODULE_H
#define TRIAGE_MODULE_H

#include "triage/triage.h"

/* Modules of a dump in the dump's order, and an index by address. */

struct module_index {
	const struct triage_module *modules; /* borrowed, in the dump's order */
	size_t n;
	uint32_t *order; /* by base, none overlapping; in the arena */
	size_t n_order;
};

/* ERR_OK or ERR_LIMIT (arena). */
enum err module_index_build(struct arena *a, const struct triage_module *modules, size_t n, struct module_index *out);

/* Index of the module that covers addr, -1 if none does. */
int32_t module_index_find(const struct module_index *mi, uint64_t addr);

/* End of the highest module, 0 without modules. */
uint64_t module_index_top(const struct module_index *mi);

#endif
