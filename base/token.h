/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bearer tokens from a file, one a line, '#' starts a comment.  Immutable once loaded. */
struct tokens;

/* NULL with a sentence in err when the file cannot be read, is readable by others
 * than its owner and group, or holds no token of at least 16 characters. */
struct tokens *tokens_load(const char *path, char *err, size_t err_size);
void tokens_free(struct tokens *t); /* NULL is fine */
size_t tokens_count(const struct tokens *t);

/* Is the presented token one of ours?  Time does not depend on where it differs. */
bool tokens_match(const struct tokens *t, const char *token, size_t len);

/* Is the SHA-256 of a token that was presented before still that of one of ours? */
bool tokens_have_digest(const struct tokens *t, const uint8_t digest[32]);

/* The same as tokens_match() for an Authorization header value: "Bearer TOKEN", or "Basic" with any user name and the
 * token as its password. */
bool tokens_match_header(const struct tokens *t, const char *value, size_t len);

#endif
