/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DEPLOY_H
#define CLI_DEPLOY_H

/* faultline deploy create|serve|show|list|plan|halt|resume|pause|delete.  Exit 0 done, 1 refused or
 * not reached, 2 wrong usage. */
int cmd_deploy(int argc, char **argv);

#endif
