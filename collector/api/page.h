/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_PAGE_H
#define COLLECTOR_API_PAGE_H

#include "collector/api/call.h"

/* What the documents of the dashboard have in common (docs/API.md, "Pages"). */

/* "freshness": what of the answer is how old. */
void page_freshness(struct jsonout *j, const struct api *a, uint64_t position, int64_t ledger_us);

/* How old the newest record is that is not in the database; 0: nothing is missing, or there is no database. */
double page_database_lag_s(const struct api *a);

/* call_freshness(), "freshness", "role" and "can": the head of every page document. */
void page_head(struct call *c, uint64_t position, int64_t ledger_us);

/* The chip: one of docs/API.md's words for a verdict and its state. */
const char *page_status(const struct api *a, const struct verdict_view *v);

/* A text of a list: at most 256 bytes, and then "<key>_len". */
void page_text(struct jsonout *j, const char *key, struct text t);

#define PAGE_ETAG_SIZE 48
void page_second(struct api *a); /* once a second */

/* Of a document as of a position, for this path, query and role. */
char *page_etag(struct http_request *r, uint64_t position, char out[PAGE_ETAG_SIZE]);

/* Does the client have it?  Then it is answered 304 and c is gone; else the headers of a page document are set. */
bool page_same(struct call *c, uint64_t position);

/* Answer: the last use of c.  304 when the client has it, else as call_send() but to be revalidated. */
void page_send(struct call *c, uint64_t position);

#endif
