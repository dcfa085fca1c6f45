/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OPTION_H
#define CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of command line options; false, and *out untouched, when the text is no such value. */
bool option_unsigned(const char *text, unsigned min, unsigned max, unsigned *out);
bool option_u64(const char *text, uint64_t *out);
bool option_double(const char *text, double min, double max, double *out);

/* The first token of a file (NULL: $FAULTLINE_TOKEN_FILE, else none: ""); -1 with a
 * sentence in err. */
int option_token(const char *path, char *out, size_t size, char *err, size_t err_size);

#endif
