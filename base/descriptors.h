/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

#include <stdbool.h>

/* Descriptors that are kept back when strangers ask for them, so that a crowd of connections
 * leaves the log, snapshots and the database theirs; an eighth and a sixteenth of the
 * process's limit if that is less. */
#define DESCRIPTORS_NOT_SOCKETS 64
#define DESCRIPTORS_NOT_DUMPS   32 /* nor uploads */

/* fd, just opened, is among the last `keep` that the process may have: close it and do
 * without. */
bool descriptors_low(int fd, unsigned keep);

#endif
