/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sys/resource.h>

#include "base/descriptors.h"

bool
descriptors_low(int fd, unsigned keep)
{
	struct rlimit r;

	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_cur == RLIM_INFINITY)
		return false;
	/* the kernel gives the lowest number that is free */
	if (keep > r.rlim_cur * keep / (8 * DESCRIPTORS_NOT_SOCKETS))
		keep = (unsigned)(r.rlim_cur * keep / (8 * DESCRIPTORS_NOT_SOCKETS));
	return (rlim_t)fd + keep >= r.rlim_cur;
}
