/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_TRIAGE_CHECK_H
#define TESTS_FUZZ_TRIAGE_CHECK_H

#include "triage/triage.h"

/* Triage data; abort if the result breaks a promise of triage/triage.h or does not
 * survive the way through a worker's memory. */
void triage_check(const uint8_t *data, size_t size);

/* The promises alone. */
void triage_check_result(const struct triage_result *r);

#endif
