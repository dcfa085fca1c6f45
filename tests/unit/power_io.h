/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_POWER_IO_H
#define TESTS_UNIT_POWER_IO_H

#include "collector/log/journal.h"
#include "tests/tools/power_disk.h"

/* The journal's calls on a power_disk, which is set first. */
extern const struct journal_io journal_io_power;
void power_io_use(struct power_disk *d);

/* What journal_io_power's free_bytes says; UINT64_MAX at first. */
void power_io_set_free(uint64_t bytes);

#endif
