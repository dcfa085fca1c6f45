/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_MESSENGER_H
#define TRIAGE_MESSENGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/signature.h"

/* Messengers: modules and functions that only carry the news of a crash, by the
 * rules of triage/messengers.def.  Pure. */

/* `pattern` with * for anything against the whole of `name`. */
bool messenger_matches(const char *pattern, const char *name);

/* The rule by which a normalised module is a messenger for crashes of that class,
 * as it stands in the output ("messenger: libc.so.6"); NULL when it is none. */
const char *messenger_module(enum reason_class class, const char *module);

/* The rule by which a function is one ("messenger: raise (abort)"); NULL when it is
 * none.  module is normalised and may be "", function as the dump or an image names
 * it; kernel: the stack is a kernel's. */
const char *messenger_function(const char *module, const char *function, bool kernel);

/* The rule by which an offset of a known build is one ("messenger: abort (abort, known offset)",
 * triage/messengeroffsets.def); NULL when it is none or the build is not known.  id is normalised. */
const char *messenger_offset(const char *id, uint64_t offset);

#define FUNCTION_PLAIN_MAX 255 /* bytes of a plain name, without a NUL */

/* A function's name as people group it, whatever the compiler added: without parameters,
 * "module!" in front and "+0x1a/0x30" behind, clones (".constprop.0", ".cold", ".llvm.1"), symbol
 * versions ("@@GLIBC_2.2.5"), stdcall sizes ("@12"), Rust's hash ("::h0123456789abcdef"); MSVC's "?f@C@@…"
 * becomes "C::f".  Returns the length; at most FUNCTION_PLAIN_MAX bytes, not cutting a UTF-8 sequence. */
size_t function_plain(const char *function, char out[FUNCTION_PLAIN_MAX + 1]);

#endif
