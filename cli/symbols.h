/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SYMBOLS_H
#define CLI_SYMBOLS_H

/* faultline symbols: docs/man/faultline-symbols.1.  Returns the exit status. */
int cmd_symbols(int argc, char **argv);

#endif
