/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SIGNATURES_H
#define CLI_SIGNATURES_H

/* faultline signatures: search in what crashes; returns the exit status. */
int cmd_signatures(int argc, char **argv);

#endif
