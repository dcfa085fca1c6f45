/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_VIRTUAL_H
#define CLI_VIRTUAL_H

#include <stdbool.h>

/* `faultline sim --virtual` and `--july-2024`: fleets in virtual time, folded by the ledger. */
bool virtual_wanted(int argc, char **argv);
int cmd_virtual(int argc, char **argv);

#endif
