/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_EXPAND_H
#define TRIAGE_EXPAND_H

#include "triage/triage.h"

/* Parts of the containers' reader, shared by its files alone. */

/* Output of one container: grows by doubling, to at most one byte over its limit, which tells a
 * full output from one that would go on. */
struct sink {
	uint8_t *buf; /* malloc */
	size_t len, cap, limit;
};

/* Room for at least one more byte: ERR_OK, ERR_LIMIT or ERR_NOMEM. */
enum err sink_room(struct sink *s);

/* One level of each.  ERR_OK, ERR_TRUNCATED (what was there is in the sink) or why not, then
 * diag->what and at may be set.  Input is borrowed. */
enum err expand_zstd(const void *image, size_t size, struct sink *s, struct diag *diag);
enum err expand_gzip(const void *image, size_t size, struct sink *s, struct diag *diag);
enum err expand_xz(const void *image, size_t size, struct sink *s, struct diag *diag);
enum err expand_bzip2(const void *image, size_t size, struct sink *s, struct diag *diag);

/* The file of a cabinet that is a dump: the first that begins like one, else the largest. */
enum err expand_cab(const void *image, size_t size, struct sink *s, struct diag *diag);

/* The dump in a form upload that was itself uploaded as a dump. */
enum err expand_form(const void *image, size_t size, struct sink *s, struct diag *diag);
bool expand_is_form(const void *image, size_t size);

/* Begins like a dump or a container of one. */
bool expand_is_dump(const void *image, size_t size);

#endif
