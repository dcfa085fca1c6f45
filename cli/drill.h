/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DRILL_H
#define CLI_DRILL_H

/* `faultline deploy drill`: does the alarm work, from a crash on a socket to whoever is told? */
int cmd_drill(int argc, char **argv);

#endif
