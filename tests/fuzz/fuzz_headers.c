/* SPDX-License-Identifier: Apache-2.0 */
/* Cookie, Origin and Accept-Encoding of strangers.  A cookie that is found is a part of the header; an origin that is
 * the host's ends in it; the encoding is one that there is. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collector/api/encoding.h"
#include "collector/api/session.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *header = malloc(size + 1), value[SESSION_ID_SIZE];
	const char *host;

	check(header != NULL);
	memcpy(header, data, size);
	header[size] = '\0';
	if (session_cookie(header, "faultline", value, sizeof(value)))
		check(value[0] != '\0' && strchr(value, ';') == NULL && strstr(header, value) != NULL);
	for (unsigned have = 0; have < 1u << ENCODING_N; have += 2) {
		enum encoding e = encoding_pick(header, have);

		check(e == ENCODING_PLAIN || (have & 1u << e) != 0);
	}
	host = strchr(header, '\n');
	host = host != NULL ? host + 1 : header;
	if (session_same_origin(header, host))
		check(strlen(header) > strlen(host) && strcasecmp(header + strlen(header) - strlen(host), host) == 0);
	free(header);
	return 0;
}
