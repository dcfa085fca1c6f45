/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_GATE_H
#define CLI_GATE_H

/* faultline gate DEPLOYMENT: ask whether the deployment may go on, and wait for the answer.
 * Exit 0 proceed, 10 hold, 11 halt, 2 cannot tell. */
int cmd_gate(int argc, char **argv);

#endif
