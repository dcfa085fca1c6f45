/* SPDX-License-Identifier: Apache-2.0 */
/* Prints ledger_digest() of a generated log: ledger_digest [seed [records]]. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "tests/unit/ledger_help.h"

int
main(int argc, char **argv)
{
	struct ledger *l = ledger_new(NULL);
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX];
	struct scribe s;

	scribe_init(&s, l);
	scribe_random(&s, argc > 1 ? strtoull(argv[1], NULL, 10) : 1,
		      argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5000);
	ledger_digest(l, digest);
	puts(hex_encode(digest, sizeof(digest), hex));
	ledger_free(l);
	scribe_fini(&s);
	return s.failed;
}
