/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/dumpfile.h"
#include "triage/triage.h"

#define EXPANDED_MAX ((size_t)1 << 30)
#define INPUT_MAX    ((uint64_t)32 << 30)

void
dumpfile_close(struct dumpfile *im)
{
	if (im->mapped)
		munmap(im->p, im->size);
	else
		free(im->p);
	*im = (struct dumpfile){ 0 };
}

/* The whole of a pipe or other file that cannot be mapped. */
static const char *
slurp(int fd, struct dumpfile *out)
{
	size_t cap = 0, len = 0;
	uint8_t *buf = NULL, *p;

	for (;;) {
		ssize_t n;

		if (len == cap) {
			cap = cap ? cap * 2 : 1 << 20;
			if (cap > EXPANDED_MAX || (p = realloc(buf, cap)) == NULL) {
				free(buf);
				return "too large to read from a pipe";
			}
			buf = p;
		}
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(buf);
			return strerror(errno);
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*out = (struct dumpfile){ buf, len, false };
	return NULL;
}

const char *
dumpfile_open(const char *path, struct dumpfile *out)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	struct stat st;

	*out = (struct dumpfile){ 0 };
	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st) != 0) {
		why = strerror(errno);
	} else if (S_ISDIR(st.st_mode)) {
		why = "is a directory";
	} else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		why = slurp(fd, out);
	} else if ((uint64_t)st.st_size > INPUT_MAX) {
		why = "larger than 32 GiB";
	} else {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

		if (p == MAP_FAILED)
			why = strerror(errno);
		else
			*out = (struct dumpfile){ p, (size_t)st.st_size, true };
	}
	close(fd);
	return why;
}

const char *
dumpfile_expand(struct dumpfile *im, bool *truncated, struct diag *diag)
{
	struct dumpfile plain = { 0 };
	enum err e;

	*truncated = false;
	if (triage_container_of(im->p, im->size) == TRIAGE_CONTAINER_NONE)
		return NULL;
	e = triage_expand(im->p, im->size, EXPANDED_MAX, &plain.p, &plain.size, diag);
	if (e != ERR_OK && e != ERR_TRUNCATED)
		return diag->what;
	*truncated = e == ERR_TRUNCATED;
	dumpfile_close(im);
	*im = plain;
	return NULL;
}
