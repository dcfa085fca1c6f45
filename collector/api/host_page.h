/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_HOST_PAGE_H
#define COLLECTOR_API_HOST_PAGE_H

#include "collector/api/call.h"

void host_page(struct call *c, uint64_t hash); /* answer with the page document */

/* hosts.c: the members of the short document, without its head. */
void host_members(struct jsonout *j, const struct ledger *l, const struct host_view *h);

#endif
