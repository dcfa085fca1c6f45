/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_FUNCTIONS_H
#define TRIAGE_FUNCTIONS_H

#include "triage/unwind.h"

/* Names of functions for people, and for blame. */

#define FUNCTION_NAME_MAX 1024 /* of a name with its NUL */

/* Give the frames of a walk the names that the images know. */
void functions_name(struct unwind *u, struct triage_frame *frames, size_t n);

/* A symbol as people read it: C++ (Itanium) and Rust names demangled without parameters and hashes, other ones as they
 * are; valid UTF-8.  In the arena; NULL only when that is exhausted. */
const char *function_demangle(struct arena *a, const char *symbol);

#endif
