/* SPDX-License-Identifier: Apache-2.0 */
/* llhttp is distributed as C source.  This unit and llhttp_api.c compile it where the system
 * keeps it, in strict mode, as a library of its own: our warning flags are not its. */
#include <llhttp/llhttp.c>
