/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_MULTIPART_H
#define COLLECTOR_GATE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/counters.h"
#include "base/text.h"

/* Streaming multipart reader (RFC 2046, RFC 7578): bytes in pieces of any size, part data
 * out in pieces that point into them.  Holds the headers of one part and no data.  Pure:
 * safe on hostile input. */
#define MULTIPART_BOUNDARY_MAX 70
#define MULTIPART_HEADERS_MAX  4096
#define MULTIPART_PARTS_MAX    512

struct multipart_part {
	struct text name, filename, content_type; /* borrowed during part_begin(); empty if not given */
};

/* Each returns DISCARD_none to go on, else the reading stops with that. */
struct multipart_ops {
	enum discard (*part_begin)(void *arg, const struct multipart_part *part);
	enum discard (*part_data)(void *arg, const char *data, size_t len);
	enum discard (*part_end)(void *arg);
};

enum multipart_state { MULTIPART_PREAMBLE, MULTIPART_DELIMITED, MULTIPART_HEADERS, MULTIPART_DATA, MULTIPART_EPILOGUE };

struct multipart {
	const struct multipart_ops *ops;
	void *arg;
	enum multipart_state state;
	enum discard why;                           /* sticky */
	char delimiter[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF - - boundary */
	size_t delimiter_len;
	size_t matched; /* of the delimiter, held back */
	size_t preamble;
	unsigned n_parts;
	char tail[2]; /* what follows a delimiter */
	size_t n_tail;
	char headers[MULTIPART_HEADERS_MAX];
	size_t n_headers;
};

/* boundary: 1 to MULTIPART_BOUNDARY_MAX bytes.  ops and arg are borrowed. */
void multipart_init(struct multipart *m, struct text boundary, const struct multipart_ops *ops, void *arg);

/* DISCARD_none, bad_multipart, too_many_parts, or what an op returned; sticky. */
enum discard multipart_feed(struct multipart *m, const char *data, size_t len);

/* The closing delimiter was read: nothing after it counts. */
bool multipart_finished(const struct multipart *m);

/* The boundary of a Content-Type value, pointing into it.  DISCARD_no_content_type,
 * wrong_content_type (not multipart) or no_boundary. */
enum discard multipart_boundary(const char *content_type, struct text *boundary_out);

#endif
