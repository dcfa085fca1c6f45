/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/bugcheck.h"
#include "triage/reason.h"

static const struct bugcheck rows[] = {
#define BUGCHECK(code, blame, ip, context, record, trap, status, address, access, p1, p2, p3, p4) \
	{ code, BUGCHECK_BLAME_##blame, ip, context, record, trap, status, address, access, { p1, p2, p3, p4 } },
#include "triage/bugcheck.def"
#undef BUGCHECK
};

static const struct value {
	uint32_t code;
	uint8_t param;
	uint32_t value;
	const char *what;
} values[] = {
#define VALUE(code, param, value, what) { code, param, value, what },
#include "triage/bugcheckvalue.def"
#undef VALUE
};

static const struct reason_code fastfails[] = {
#define CODE(value, name) { value, #name },
#include "triage/fastfail.def"
#undef CODE
};

static const struct bugcheck unlisted = { .meaning = { "", "", "", "" } };

const struct bugcheck *
bugcheck_find(uint32_t code)
{
	size_t lo = 0, hi = sizeof(rows) / sizeof(rows[0]);

	code &= ~BUGCHECK_SMALL_DUMP_BIT;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (rows[mid].code < code)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < sizeof(rows) / sizeof(rows[0]) && rows[lo].code == code ? &rows[lo] : &unlisted;
}

const char *
bugcheck_value(uint32_t code, unsigned n, uint64_t value)
{
	code &= ~BUGCHECK_SMALL_DUMP_BIT;
	if (code == 0x139 && n == 0)
		return REASON_CODE_NAME(fastfails, value);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (values[i].code == code && values[i].param == n + 1 && values[i].value == value)
			return values[i].what;
	return NULL;
}

/* 0x50 tells writes and execution by the bits of the page fault's error code (x64) or as
 * 1 and 8; the codes about IRQL count read, write, execute. */
enum bugcheck_access
bugcheck_access(const struct bugcheck *b, const uint64_t params[4])
{
	uint64_t v;

	if (b->code == 0xbe || b->code == 0x11c)
		return BUGCHECK_WRITE;
	if (b->code == 0xfc)
		return BUGCHECK_EXECUTE;
	if (b->access == 0)
		return BUGCHECK_ACCESS_UNKNOWN;
	v = params[b->access - 1];
	switch (v) {
	case 0:
		return BUGCHECK_READ;
	case 1:
		return BUGCHECK_WRITE;
	case 2:
		return b->code == 0x50 ? BUGCHECK_WRITE : BUGCHECK_EXECUTE;
	case 8:
		return BUGCHECK_EXECUTE;
	case 0x10:
		return b->code == 0x50 ? BUGCHECK_EXECUTE : BUGCHECK_ACCESS_UNKNOWN;
	default:
		return BUGCHECK_ACCESS_UNKNOWN;
	}
}

const char *
bugcheck_access_name(enum bugcheck_access a)
{
	return a == BUGCHECK_READ      ? "read"
	       : a == BUGCHECK_WRITE   ? "write"
	       : a == BUGCHECK_EXECUTE ? "execution"
				       : "access";
}
