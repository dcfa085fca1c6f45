/* SPDX-License-Identifier: Apache-2.0 */
/* Without a fuzzing engine a fuzz target is a regression test over its corpus:
 * fuzz_NAME replays $srcdir/tests/fuzz/corpus/NAME/, or the files it is given.
 * Each input is a heap block of its exact size, so that a sanitizer sees a read
 * one byte too far.  Exit: 0 replayed, 99 the harness is broken. */
#include "config.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay_file(const char *path)
{
	struct stat st;
	uint8_t *buf;
	size_t len;
	FILE *f = fopen(path, "rb");

	if (f == NULL || fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
		fprintf(stderr, "%s: not a readable file\n", path);
		if (f != NULL)
			fclose(f);
		return -1;
	}
	len = (size_t)st.st_size;
	buf = malloc(len ? len : 1);
	if (buf == NULL || fread(buf, 1, len, f) != len) {
		fprintf(stderr, "%s: cannot be read\n", path);
		free(buf);
		fclose(f);
		return -1;
	}
	fclose(f);
	LLVMFuzzerTestOneInput(buf, len);
	free(buf);
	return 0;
}

static int
replay_dir(const char *name)
{
	const char *src = getenv("srcdir");
	struct dirent **list;
	char path[4096];
	int n, done = 0, bad = 0;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", src ? src : ".", name);
	if ((n = scandir(path, &list, NULL, alphasort)) < 0) {
		perror(path);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s/%s", src ? src : ".", name,
				 list[i]->d_name);
			bad |= replay_file(path);
			done++;
		}
		free(list[i]);
	}
	free(list);
	printf("%s: %d inputs replayed\n", name, done);
	return done > 0 ? bad : -1;
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	int bad = 0;

	name = name ? name + 1 : argv[0];
	if (strncmp(name, "lt-", 3) == 0)
		name += 3;
	if (argc > 1)
		for (int i = 1; i < argc; i++)
			bad |= replay_file(argv[i]);
	else
		bad = strncmp(name, "fuzz_", 5) == 0 ? replay_dir(name + 5) : -1;
	return bad ? 99 : 0;
}
