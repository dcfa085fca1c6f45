/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/symbol_files.h"
#include "collector/symbols/dirs.h"
#include "triage/images.h"

struct symbol_files {
	struct symbol_dirs *dirs;
	struct images *images;
};

static bool
open_file(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	const struct symbol_files *s = arg;
	unsigned at = 0;
	uint64_t size;
	int fd;

	for (; (fd = symbol_dirs_open(s->dirs, key, kind, at, &at, &size)) != -1; at++) {
		void *p = size <= SIZE_MAX ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;

		close(fd);
		if (p == MAP_FAILED)
			continue;
		if (image_matches(p, (size_t)size, key, kind)) {
			*out = (struct image_file){ p, (size_t)size, NULL };
			return true;
		}
		munmap(p, (size_t)size);
	}
	return false;
}

static void
close_file(void *arg, struct image_file *f)
{
	(void)arg;
	munmap((void *)(uintptr_t)f->bytes, f->size);
}

struct symbol_files *
symbol_files_open(const char *dirs, const char **why_out)
{
	struct symbol_files *s = calloc(1, sizeof(*s));
	size_t missing = 0;

	*why_out = "out of memory";
	if (s == NULL)
		return NULL;
	s->dirs = symbol_dirs_new(dirs, &missing);
	s->images = images_new(&(struct image_opener){ .open = open_file, .close = close_file, .arg = s }, NULL);
	if (s->dirs != NULL && missing > 0)
		*why_out = "a directory of --symbols cannot be opened";
	if (s->dirs == NULL || s->images == NULL || missing > 0) {
		symbol_files_close(s);
		return NULL;
	}
	return s;
}

void
symbol_files_close(struct symbol_files *s)
{
	if (s == NULL)
		return;
	images_free(s->images);
	symbol_dirs_free(s->dirs);
	free(s);
}

struct images *
symbol_files_images(struct symbol_files *s)
{
	return s != NULL ? s->images : NULL;
}
