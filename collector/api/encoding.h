/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_API_ENCODING_H
#define COLLECTOR_API_ENCODING_H

/* What a client takes, out of Accept-Encoding (RFC 9110, 12.5.3).  Pure. */
enum encoding { ENCODING_PLAIN, ENCODING_GZIP, ENCODING_BROTLI, ENCODING_ZSTD, ENCODING_N };

/* The name in Content-Encoding; NULL for ENCODING_PLAIN. */
const char *encoding_name(enum encoding e);

/* Of what there is (bits 1 << enum encoding; plain is always there) the one that the client wants most, by its
 * weights; among equals brotli, then zstd, then gzip.  accept may be NULL.  A client that takes none of it gets
 * the plain one: better than an error. */
enum encoding encoding_pick(const char *accept, unsigned have);

#endif
