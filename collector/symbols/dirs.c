/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/symbols/dirs.h"

#define MAX_DIRS   64
#define MAX_PLACES 24
#define PLACE_MAX  (3 * IMAGE_NAME_MAX)

struct symbol_dirs {
	int fds[MAX_DIRS];
	size_t n;
};

/* ---- places ---- */

struct places {
	char list[MAX_PLACES][PLACE_MAX];
	unsigned n;
};

static void __attribute__((format(printf, 2, 3))) place(struct places *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (p->n == MAX_PLACES)
		return;
	va_start(ap, fmt);
	n = vsnprintf(p->list[p->n], PLACE_MAX, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < PLACE_MAX)
		p->n++;
}

static void
to_upper(const char *s, char out[IMAGE_ID_MAX])
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		out[i] = (char)(s[i] >= 'a' && s[i] <= 'z' ? s[i] - 'a' + 'A' : s[i]);
	out[i] = '\0';
}

/* The name without its last suffix. */
static void
stem_of(const char *name, char out[IMAGE_NAME_MAX])
{
	const char *dot = strrchr(name, '.');

	snprintf(out, IMAGE_NAME_MAX, "%.*s", dot != NULL && dot != name ? (int)(dot - name) : (int)strlen(name), name);
}

static void
elf_places(struct places *p, const char *id, const char *name, bool debug)
{
	if (strlen(id) > 4) {
		place(p, ".build-id/%.2s/%s%s", id, id + 2, debug ? ".debug" : "");
		place(p, "%s/%s", id, debug ? "debuginfo" : "executable");
		place(p, "buildid/%s/%s", id, debug ? "debuginfo" : "executable");
		place(p, "%.2s/%s/%s", id, id + 2, debug ? "debuginfo" : "executable");
	}
	if (name[0] == '\0')
		return;
	if (debug)
		place(p, "%s.debug", name);
	if (id[0] != '\0')
		place(p, "%s/%s/%s%s", name, id, name, debug ? ".debug" : "");
	place(p, "%s", name);
}

static void
pe_places(struct places *p, const char *id, const char *name)
{
	char upper[IMAGE_ID_MAX], mixed[IMAGE_ID_MAX], lower[IMAGE_NAME_MAX];
	size_t i;

	to_upper(id, upper);
	snprintf(mixed, sizeof(mixed), "%.8s%s", upper, strlen(id) > 8 ? id + 8 : "");
	for (i = 0; name[i] != '\0'; i++)
		lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	lower[i] = '\0';
	for (int same = 0; same < 2; same++) {
		const char *n = same == 0 ? name : lower;

		if (same == 1 && strcmp(name, lower) == 0)
			break;
		place(p, "%s/%s/%s", n, mixed, n);
		place(p, "%s/%s/%s", n, upper, n);
		place(p, "%s/%s/%s", n, id, n);
		place(p, "%s", n);
	}
}

static void
sym_places(struct places *p, const struct image_key *key)
{
	char stem[IMAGE_NAME_MAX], upper[IMAGE_ID_MAX];

	stem_of(key->name, stem);
	to_upper(key->debug_id, upper);
	for (int i = 0; i < 2 && key->debug_id[0] != '\0' && key->name[0] != '\0'; i++) {
		const char *id = i == 0 ? upper : key->debug_id;

		place(p, "%s/%s/%s.sym", key->name, id, key->name);
		place(p, "%s.pdb/%s/%s.sym", stem, id, stem);
		place(p, "%s/%s/%s.sym", key->name, id, stem);
		place(p, "%s/%s/%s.sym", stem, id, stem);
	}
	if (key->name[0] != '\0') {
		place(p, "%s.sym", key->name);
		place(p, "%s.sym", stem);
	}
}

static void
places_of(const struct image_key *key, enum image_kind kind, struct places *p)
{
	p->n = 0;
	if (key->code_id[0] != '\0')
		place(p, "by-id/%s/%s", image_kind_name(kind), key->code_id);
	if (key->debug_id[0] != '\0')
		place(p, "by-id/%s/%s", image_kind_name(kind), key->debug_id);
	if (kind == IMAGE_SYM)
		sym_places(p, key);
	else if (!key->pe)
		elf_places(p, key->code_id, key->name, kind == IMAGE_DEBUG);
	else if (kind == IMAGE_CODE)
		pe_places(p, key->code_id, key->name);
}

/* ---- the outside ---- */

struct symbol_dirs *
symbol_dirs_new(const char *paths, size_t *missing_out)
{
	struct symbol_dirs *d = calloc(1, sizeof(*d));
	char path[4096];

	if (missing_out != NULL)
		*missing_out = 0;
	while (d != NULL && *paths != '\0' && d->n < MAX_DIRS) {
		size_t n = strcspn(paths, ":");
		int fd = -1;

		if (n > 0 && n < sizeof(path)) {
			memcpy(path, paths, n);
			path[n] = '\0';
			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (fd == -1 && missing_out != NULL)
				++*missing_out;
		}
		if (fd != -1)
			d->fds[d->n++] = fd;
		paths += n + (paths[n] == ':');
	}
	return d;
}

void
symbol_dirs_free(struct symbol_dirs *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++)
		close(d->fds[i]);
	free(d);
}

size_t
symbol_dirs_count(const struct symbol_dirs *d)
{
	return d->n;
}

int
symbol_dirs_open(const struct symbol_dirs *d, const struct image_key *key, enum image_kind kind, unsigned at,
		 unsigned *at_out, uint64_t *size_out)
{
	struct places p;
	struct stat st;

	places_of(key, kind, &p);
	for (unsigned i = at; p.n > 0 && i < d->n * p.n; i++) {
		/* not waiting: what is there may be a pipe */
		int fd = openat(d->fds[i / p.n], p.list[i % p.n], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

		if (fd == -1)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
			*at_out = i;
			*size_out = (uint64_t)st.st_size;
			return fd;
		}
		close(fd);
	}
	return -1;
}
