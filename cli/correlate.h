/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CORRELATE_H
#define CLI_CORRELATE_H

/* `faultline correlate`: what the hosts of a signature have in common that the fleet has not. */
int cmd_correlate(int argc, char **argv);

#endif
