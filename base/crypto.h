/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The only user of libcrypto outside TLS.  Any thread. */

#define SHA256_BYTES 32
#define SHA256_HEX   65 /* with the final NUL */

struct sha256;
struct sha256 *sha256_new(void); /* NULL when out of memory */
void sha256_update(struct sha256 *h, const void *data, size_t len);
void sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES]); /* and frees h */
void sha256_drop(struct sha256 *h);                             /* free without a result; NULL is fine */
void sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[SHA256_BYTES]);

/* Keyed 64-bit hash for host ids: SipHash-2-4, so that ids cannot be guessed back
 * or made to collide without the key. */
uint64_t siphash64(const uint8_t key[16], const void *data, size_t len);

/* Random bytes from the kernel; aborts if there are none. */
void random_bytes(void *out, size_t len);
uint64_t random_u64(void);

/* Equal in time that depends only on len. */
bool equal_secret(const void *a, const void *b, size_t len);

char *hex_encode(const void *data, size_t len, char *out);  /* 2*len+1 bytes */
int hex_decode(const char *hex, size_t hex_len, void *out); /* hex_len/2 bytes; -1 if not hex */

#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1) /* with the final NUL */
char *base64_encode(const void *data, size_t len, char *out);
/* At most len/4*3 bytes into out, which may be the text itself; how many, or -1 if it is not padded base64. */
ssize_t base64_decode(const char *text, size_t len, void *out);

#endif
