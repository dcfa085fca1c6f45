/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SEND_H
#define CLI_SEND_H

int cmd_send(int argc, char **argv);

#endif
