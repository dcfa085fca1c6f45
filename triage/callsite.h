/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_CALLSITE_H
#define TRIAGE_CALLSITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "triage/triage.h"

/* Whether a call instruction can end where a return address points. */

#define CALLSITE_BYTES 8 /* bytes before the return address that decide; fewer decide less */

/* code: the len bytes that end at the return address.  True also when they cannot tell (too few of them, a
 * processor whose calls are not known here): a walker only drops what is surely no return address.
 *
 * x86 and x64: call rel32; ff /2 and ff /3 in every form, prefixes included; arm64: bl, blr and its
 * authenticating forms; arm: bl, blx in both instruction sets (thumb: bit 0 of the return address). */
bool call_before(enum triage_arch arch, bool thumb, const uint8_t *code, size_t len);

#endif
