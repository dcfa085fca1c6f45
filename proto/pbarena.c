/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/arena.h"
#include "proto/pbarena.h"

static void *
take(void *arg, size_t size)
{
	return arena_calloc(arg, 1, size);
}

static void
drop(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

ProtobufCAllocator
pbarena(struct arena *a)
{
	return (ProtobufCAllocator){ take, drop, a };
}
