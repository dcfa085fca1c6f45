/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_UTF_H
#define TRIAGE_UTF_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/reader.h"

/* Texts of a dump to valid UTF-8 in the arena: damaged sequences become U+FFFD,
 * the text ends at its first NUL, results are at most max bytes plus a NUL.
 * NULL only when the arena is exhausted. */

const char *utf_from_bytes(struct arena *a, const void *bytes, size_t len, size_t max);

/* n_units 16-bit units in the reader's byte order. */
const char *utf_from_utf16(struct arena *a, const uint8_t *units, size_t n_units, bool big_endian, size_t max);

const char *utf_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
