/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

/* faultline replay DIR: fold a stopped daemon's log again and print the verdicts with their
 * evidence.  Exit 0 done, 1 the fold differs from what the log records, 2 cannot tell. */
int cmd_replay(int argc, char **argv);

#endif
