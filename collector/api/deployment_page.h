/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_DEPLOYMENT_PAGE_H
#define COLLECTOR_API_DEPLOYMENT_PAGE_H

#include <stdbool.h>

struct call;

/* A request for a deployment with view=: answered from here on.  false: there is no view=. */
bool deployment_page_begin(struct call *c);

#endif
