/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_EXPAND_H
#define TRIAGE_EXPAND_H

#include "triage/triage.h"

/* Parts of the containers' reader, shared by its files alone. */

/* What comes out of a container, told by its first bytes. */
enum expand_content {
	EXPAND_UNKNOWN = 0, /* nothing we know: not worth the rest */
	EXPAND_DUMP,
	EXPAND_CONTAINER,
	EXPAND_TEXT, /* read up to TEXT_SIZE_MAX */
};

enum expand_content expand_content_of(const void *head, size_t size);

#define EXPAND_HEAD ((size_t)65536) /* bytes by which it is told */

/* Output of one container: grows by doubling, to at most one byte over its limit, which tells a full output from one
 * that would go on.  After EXPAND_HEAD bytes it is decided whether more is wanted. */
struct sink {
	uint8_t *buf; /* malloc */
	size_t len, cap, limit;
	bool looked; /* content is set */
	enum expand_content content;
};

/* Room for at least one more byte: ERR_OK, ERR_LIMIT, ERR_NOMEM, or ERR_UNSUPPORTED if what came out is nothing we
 * know. */
enum err sink_room(struct sink *s);

/* What all levels together may cost: bytes that come out, each as dear as its decoder is slow.  A container buys them
 * with its own bytes. */
#define EXPAND_WORK_FREE     ((size_t)128 << 20)
#define EXPAND_WORK_PER_BYTE 128

/* triage_expand(), and the work it took. */
enum err expand_counted(const void *image, size_t size, size_t limit, void **out, size_t *out_size, size_t *work_out,
			struct diag *diag);

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
