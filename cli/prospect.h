/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROSPECT_H
#define CLI_PROSPECT_H

/* faultline deploy plan: what the rings of a plan would certify and what a bad payload would
 * cost, before anything is served.  Asks no server.  Exit 0, 2 wrong usage. */
int cmd_prospect(int argc, char **argv);

#endif
