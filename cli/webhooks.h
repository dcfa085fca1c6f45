/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WEBHOOKS_H
#define CLI_WEBHOOKS_H

/* faultline webhooks list|show|ping|redeliver.  Exit 0 done, 1 refused or not found, 2 wrong usage or no server,
 * 3 a notice is dead or an endpoint fails. */
int cmd_webhooks(int argc, char **argv);

#endif
