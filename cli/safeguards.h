/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SAFEGUARDS_H
#define CLI_SAFEGUARDS_H

/* faultline offer: may this host have it now?  Exit 0 yes, 3 no, 1 refused, 2 wrong usage or no server. */
int cmd_offer(int argc, char **argv);
/* faultline safeguards list|add|remove|check.  Exit 0 done (check: no host is held), 3 some host is held, 1 refused,
 * 2 wrong usage or no server. */
int cmd_safeguards(int argc, char **argv);

#endif
