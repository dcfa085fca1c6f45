/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/dump.h"

enum err
elfcore_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag)
{
	(void)a;
	(void)image;
	(void)size;
	(void)out;
	*diag = (struct diag){ ERR_UNSUPPORTED, "ELF cores are not read", 0 };
	return ERR_UNSUPPORTED;
}
