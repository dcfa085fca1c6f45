/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_PBARENA_H
#define PROTO_PBARENA_H

#include <protobuf-c/protobuf-c.h>

struct arena;

/* An allocator for protobuf-c over an arena: unpack only through it, because a small
 * frame of empty submessages grows 56-fold.  Nothing is freed alone: never call
 * *__free_unpacked() on what came from here.  Lives as long as the arena. */
ProtobufCAllocator pbarena(struct arena *a);

#endif
