/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

/* faultline top: the fleet in a terminal, live; --once and --json for programs.  Exit 0, 1
 * when the server cannot be reached, 2 wrong usage. */
int cmd_top(int argc, char **argv);

#endif
