/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>

#include "triage/reason.h"

#define CODE(value, name) { value, #name },
static const struct reason_code exceptions[] = {
#include "triage/winexception.def"
};
static const struct reason_code winerrors[] = {
#include "triage/winerror.def"
};
static const struct reason_code ntstatus[] = {
#include "triage/ntstatus.def"
};
static const struct reason_code fastfails[] = {
#include "triage/fastfail.def"
};
#undef CODE

#define EXCEPTION_ACCESS_VIOLATION  0xc0000005
#define EXCEPTION_IN_PAGE_ERROR     0xc0000006
#define STATUS_STACK_BUFFER_OVERRUN 0xc0000409
#define OUT_OF_MEMORY               0xe0000008
#define CPP_EXCEPTION               0xe06d7363
#define CRASHPAD_SIMULATED          0x0517a7ed
#define FACILITY_VISUALCPP          109

static const char *
access_name(uint64_t access)
{
	return access == 0 ? "READ" : access == 1 ? "WRITE" : access == 8 ? "EXEC" : NULL;
}

/* The name of value, or the value itself. */
static const char *
name_or_hex(const char *name, uint64_t value, char buf[24])
{
	if (name != NULL)
		return name;
	snprintf(buf, 24, "0x%08llx", (unsigned long long)value);
	return buf;
}

static void
general(uint32_t code, char out[REASON_TEXT_MAX])
{
	const char *name = REASON_CODE_NAME(exceptions, code);

	if (code == OUT_OF_MEMORY)
		name = "Out of Memory";
	else if (code == CPP_EXCEPTION)
		name = "Unhandled C++ Exception";
	else if (code == CRASHPAD_SIMULATED)
		name = "Simulated Exception";
	if (name == NULL)
		name = REASON_CODE_NAME(winerrors, code);
	if (name == NULL)
		name = REASON_CODE_NAME(ntstatus, code);
	if (name != NULL) {
		snprintf(out, REASON_TEXT_MAX, "%s", name);
		return;
	}
	/* HRESULT of a facility that raises exceptions around Win32 errors (delay loading) */
	name = REASON_CODE_NAME(winerrors, code & 0xffff);
	if (code >> 28 != 0 && (code >> 16 & 0xfff) == FACILITY_VISUALCPP && name != NULL)
		snprintf(out, REASON_TEXT_MAX, "FACILITY_VISUALCPP / %s", name);
	else
		snprintf(out, REASON_TEXT_MAX, "unknown 0x%08x", code);
}

void
reason_text_windows(const struct exception_record *e, char out[REASON_TEXT_MAX])
{
	const char *access = e->n_params >= 1 ? access_name(e->params[0]) : NULL;
	uint32_t low;
	char buf[24];

	if (e->code == EXCEPTION_ACCESS_VIOLATION && access != NULL) {
		snprintf(out, REASON_TEXT_MAX, "EXCEPTION_ACCESS_VIOLATION_%s", access);
	} else if (e->code == EXCEPTION_IN_PAGE_ERROR && e->n_params >= 3 && access != NULL) {
		low = (uint32_t)e->params[2];
		snprintf(out, REASON_TEXT_MAX, "EXCEPTION_IN_PAGE_ERROR_%s / %s", access,
			 name_or_hex(REASON_CODE_NAME(ntstatus, low), low, buf));
	} else if (e->code == STATUS_STACK_BUFFER_OVERRUN && e->n_params >= 1) {
		low = (uint32_t)e->params[0];
		snprintf(out, REASON_TEXT_MAX, "EXCEPTION_STACK_BUFFER_OVERRUN / %s",
			 name_or_hex(REASON_CODE_NAME(fastfails, low), low, buf));
	} else {
		general(e->code, out);
	}
}
