/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SCRUB_H
#define CLI_SCRUB_H

int cmd_scrub(int argc, char **argv);

#endif
