/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRIAGE_BLAME_H
#define TRIAGE_BLAME_H

#include "triage/triage.h"

/* Which frame a crash is counted under: the innermost one that is not a messenger
 * (abort, exception dispatch, …), by the rules of triage/messengers.def.  A guess
 * never moves the blame: frames found by scanning are passed over only to get out of
 * an address that is in no module.  Sets blamed and blame_rule. */
void blame_choose(struct triage_result *res);

/* Which function it is counted under at the function rung: the innermost named one that is
 * not a messenger.  Called again when images have brought names; the signature never
 * follows them.  Sets function_frame and function_rule. */
void blame_function(struct triage_result *res);

/* Fields of the function rung (function_signature, function, function_title) from function_frame.
 * ERR_OK or ERR_LIMIT (arena). */
enum err blame_sign_function(struct arena *a, struct triage_result *res);

/* Signature fields of res (class, module, module_id, offset, signature, title) from
 * reason, blamed, frames and modules.  ERR_OK or ERR_LIMIT (arena). */
enum err blame_sign(struct arena *a, struct triage_result *res);

#endif
