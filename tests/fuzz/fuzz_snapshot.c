/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of a snapshot from a damaged disk: refused or loaded, never a crash; and a state
 * that loads can be folded into and saved.  Input: u64 id, u16 length, bytes; repeated. */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "base/reader.h"
#include "collector/ledger/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ledger *l = ledger_new(NULL);
	struct ledger_stats s;
	uint8_t digest[32];
	enum err e = ERR_OK;
	struct reader r;

	reader_init(&r, data, size, false);
	while (e == ERR_OK && r.pos < r.size) {
		uint64_t id = reader_u64(&r);
		uint16_t len = reader_u16(&r);
		const uint8_t *bytes = reader_bytes(&r, len);

		if (reader_failed(&r))
			break;
		e = ledger_load_chunk(l, id, bytes, len);
	}
	if (e == ERR_OK && ledger_load_end(l) == ERR_OK) {
		ledger_digest(l, digest);
		ledger_stats(l, &s);
	}
	ledger_free(l);
	return 0;
}
