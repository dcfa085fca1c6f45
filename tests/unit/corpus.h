/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_CORPUS_H
#define TESTS_UNIT_CORPUS_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The folder of the golden corpus, whose files keep their own licences and are not part of this tree: FAULTLINE_CORPUS,
 * or ../shared/corpus beside the sources.  NULL, and a loud line: it is not here, the test has to be skipped. */
static inline const char *
corpus_dir(void)
{
	static char path[512];
	const char *dir = getenv("FAULTLINE_CORPUS"), *sources = getenv("srcdir");

	if (dir != NULL)
		return dir;
	snprintf(path, sizeof(path), "%s/../shared/corpus", sources != NULL ? sources : ".");
	if (access(path, R_OK) == 0)
		return path;
	fprintf(stderr, "GOLDEN CORPUS NOT CHECKED: no %s; set FAULTLINE_CORPUS\n", path);
	return NULL;
}

#endif
