/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TRIAGE_H
#define CLI_TRIAGE_H

/* faultline triage [--json] FILE…: a line about each dump, with --json an object a line.  Exit 0 if all could be read, 1 if one could not, 2 for wrong usage. */
int cmd_triage(int argc, char **argv);

#endif
