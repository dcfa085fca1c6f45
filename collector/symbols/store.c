/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/incoming.h"
#include "base/logline.h"
#include "collector/log/log.h"
#include "collector/symbols/dirs.h"
#include "collector/symbols/store.h"

#define FILE_NAME_MAX (SHA256_HEX + SYMBOL_NAME_MAX)
#define PATH_SIZE     (3 + FILE_NAME_MAX)
#define LINK_SIZE     (IMAGE_ID_MAX + 16)
#define MAX_FILES     1000000u

struct symbols {
	struct log *log;
	struct symbol_dirs *dirs;
	bool more_dirs;
	int incoming, files, by_id; /* folders */
	_Atomic uint64_t keep_bytes, max_file, bytes, next_temp;
	_Atomic uint32_t generation;
	pthread_mutex_t lock;       /* of table */
	struct symbol_file **table; /* by hash */
	size_t n, cap;
	struct mailbox *box; /* writers to be finished, or &stop */
	struct mail stop;
	pthread_t thread;
};

struct symbol_writer {
	struct mail mail;
	struct symbols *s;
	struct incoming file;
	struct symbols_commit *commit;
	char name[SYMBOL_NAME_MAX];
};

/* ---- names ---- */

/* The last part of a path, of letters that need no care anywhere. */
static void
clean_name(const char *path, char out[SYMBOL_NAME_MAX])
{
	const char *base = path;
	size_t n = 0;

	for (const char *p = path; *p != '\0'; p++)
		if (*p == '/' || *p == '\\')
			base = p + 1;
	for (; base[n] != '\0' && n < SYMBOL_NAME_MAX - 1; n++) {
		const char c = base[n];

		out[n] = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
					 strchr("._-+@", c) != NULL
				 ? c
				 : '_';
	}
	out[n] = '\0';
}

/* "ab/<64 hex>-<name>" */
static void
path_of(const struct symbol_file *f, char out[PATH_SIZE])
{
	char hex[SHA256_HEX];

	hex_encode(f->sha256, SHA256_BYTES, hex);
	snprintf(out, PATH_SIZE, "%.2s/%s-%s", hex, hex, f->name);
}

/* ---- the table ---- */

/* Where a hash is, or would be. */
static size_t
position(const struct symbols *s, const uint8_t sha256[SHA256_BYTES])
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (memcmp(s->table[mid]->sha256, sha256, SHA256_BYTES) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct symbol_file *
lookup(const struct symbols *s, const uint8_t sha256[SHA256_BYTES])
{
	size_t i = position(s, sha256);

	return i < s->n && memcmp(s->table[i]->sha256, sha256, SHA256_BYTES) == 0 ? s->table[i] : NULL;
}

static void
gauge(struct symbols *s)
{
	counter_set(COUNTER_symbol_files, s->n);
	counter_set(COUNTER_symbol_bytes_kept, atomic_load(&s->bytes));
}

static bool
insert(struct symbols *s, const struct symbol_file *f)
{
	size_t at = position(s, f->sha256);
	struct symbol_file *copy;

	if (s->n == s->cap) {
		size_t cap = s->cap != 0 ? 2 * s->cap : 64;
		struct symbol_file **p = cap <= MAX_FILES * 2 ? realloc(s->table, cap * sizeof(*p)) : NULL;

		if (p == NULL)
			return false;
		s->table = p;
		s->cap = cap;
	}
	if ((copy = malloc(sizeof(*copy))) == NULL)
		return false;
	*copy = *f;
	memmove(&s->table[at + 1], &s->table[at], (s->n - at) * sizeof(s->table[0]));
	s->table[at] = copy;
	s->n++;
	return true;
}

/* ---- links ---- */

/* The links a file may have: at most two. */
static unsigned
links_of(const struct symbol_file *f, char out[2][LINK_SIZE])
{
	const char *const ids[2] = { f->id.key.code_id, f->id.key.debug_id };
	unsigned n = 0;

	for (int i = 0; i < 2; i++)
		if (ids[i][0] != '\0' && (i == 0 || strcmp(ids[0], ids[1]) != 0))
			snprintf(out[n++], LINK_SIZE, "%s/%s", image_kind_name(f->id.kind), ids[i]);
	return n;
}

/* Let its ids lead to f, unless a larger file is there. */
static void
link_file(struct symbols *s, const struct symbol_file *f)
{
	char links[2][LINK_SIZE], path[PATH_SIZE], target[PATH_SIZE + 16], temp[LINK_SIZE + 8];
	unsigned n = links_of(f, links);
	struct stat st;

	path_of(f, path);
	snprintf(target, sizeof(target), "../../files/%s", path);
	for (unsigned i = 0; i < n; i++) {
		if (fstatat(s->by_id, links[i], &st, 0) == 0 && (uint64_t)st.st_size > f->size)
			continue;
		snprintf(temp, sizeof(temp), "%s.new", links[i]);
		unlinkat(s->by_id, temp, 0);
		if (symlinkat(target, s->by_id, temp) == -1 || renameat(s->by_id, temp, s->by_id, links[i]) == -1)
			log_warn("symbols", "%s: %s", links[i], strerror(errno));
	}
}

/* Links that lead nowhere go; a later link_file() makes them again. */
static void
drop_dead_links(struct symbols *s)
{
	for (int kind = 0; kind < IMAGE_N_KINDS; kind++) {
		int fd = openat(s->by_id, image_kind_name((enum image_kind)kind), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
		struct dirent *e;
		struct stat st;

		while (dir != NULL && (e = readdir(dir)) != NULL)
			if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, 0) == -1)
				unlinkat(fd, e->d_name, 0);
		if (dir != NULL)
			closedir(dir);
		else if (fd != -1)
			close(fd);
	}
}

/* ---- receiving ---- */

static void
writer_free(struct symbol_writer *w)
{
	incoming_close(&w->file);
	free(w);
}

struct symbol_writer *
symbols_begin(struct symbols *s, const char *name, enum discard *why_out)
{
	struct symbol_writer *w = calloc(1, sizeof(*w));

	*why_out = DISCARD_symbols_disk;
	if (w == NULL)
		return NULL;
	w->s = s;
	clean_name(name, w->name);
	if (!incoming_open(&w->file, s->incoming, atomic_fetch_add(&s->next_temp, 1))) {
		symbols_abandon(w);
		return NULL;
	}
	*why_out = DISCARD_none;
	return w;
}

enum discard
symbols_write(struct symbol_writer *w, const void *data, size_t len)
{
	struct symbols *s = w->s;
	const uint64_t limit = atomic_load(&s->max_file), size = w->file.size;

	if (len > limit - (size < limit ? size : limit))
		return DISCARD_symbols_too_large;
	if (atomic_load(&s->bytes) + len > atomic_load(&s->keep_bytes))
		return DISCARD_symbols_full;
	if (s->log != NULL && log_pressure(s->log) >= LOG_PRESSURE_NO_DUMPS)
		return DISCARD_symbols_disk;
	return incoming_write(&w->file, data, len, &s->bytes) ? DISCARD_none : DISCARD_symbols_disk;
}

uint64_t
symbols_written(const struct symbol_writer *w)
{
	return w->file.size;
}

void
symbols_abandon(struct symbol_writer *w)
{
	if (w == NULL)
		return;
	if (w->file.fd != -1)
		incoming_discard(&w->file, &w->s->bytes);
	writer_free(w);
}

void
symbols_commit(struct symbol_writer *w, struct symbols_commit *c)
{
	c->writer = w;
	w->commit = c;
	mailbox_post(w->s->box, &w->mail);
}

void
symbols_dispatch(struct mailbox *reply)
{
	struct mail *m, *next;

	for (m = mailbox_take(reply); m != NULL; m = next) {
		struct symbols_commit *c = (struct symbols_commit *)((char *)m - offsetof(struct symbols_commit, mail));

		next = m->next; /* done() may free c */
		c->done(c);
	}
}

/* ---- the store's thread ---- */

/* What the file behind fd is.  DISCARD_none, or why it is not for us. */
static enum discard
identify(int fd, uint64_t size, struct image_identity *out, const char **what_out)
{
	struct diag diag = { .what = NULL };
	enum err e;
	void *p;

	if (size == 0)
		return DISCARD_empty;
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return DISCARD_symbols_disk;
	e = image_identify(p, (size_t)size, out, &diag);
	munmap(p, (size_t)size);
	*what_out = e != ERR_OK ? diag.what : NULL;
	switch (e) {
	case ERR_OK:
		return DISCARD_none;
	case ERR_UNSUPPORTED:
		return DISCARD_symbols_unknown;
	case ERR_ABSENT:
		return DISCARD_symbols_no_id;
	default:
		return DISCARD_symbols_damaged;
	}
}

static bool
file_it(struct symbol_writer *w, const struct symbol_file *f)
{
	struct symbols *s = w->s;
	char path[PATH_SIZE], folder[3];

	path_of(f, path);
	snprintf(folder, sizeof(folder), "%.2s", path);
	if (mkdirat(s->files, folder, 0700) == -1 && errno != EEXIST)
		return false;
	return incoming_keep(&w->file, s->files, path) && folder_sync(s->files, folder) && folder_sync(s->files, ".");
}

static void
finish(struct symbol_writer *w)
{
	struct symbols_commit *c = w->commit;
	struct symbols *s = w->s;
	struct symbol_file *f = &c->file, *there;

	*f = (struct symbol_file){ .size = w->file.size, .added_us = clock_wall_us() };
	sha256_final(w->file.hash, f->sha256);
	w->file.hash = NULL;
	memcpy(f->name, w->name, sizeof(f->name));
	c->duplicate = false;
	c->what = NULL;
	c->refused = identify(w->file.fd, w->file.size, &f->id, &c->what);
	pthread_mutex_lock(&s->lock);
	if (c->refused == DISCARD_none && (there = lookup(s, f->sha256)) != NULL) {
		*f = *there;
		c->duplicate = true;
	}
	pthread_mutex_unlock(&s->lock);
	/* a flush may take long: nobody waits for it */
	if (c->refused == DISCARD_none && !c->duplicate && !file_it(w, f)) {
		log_error("symbols", "a file of %llu bytes was not stored: %s", (unsigned long long)w->file.size,
			  strerror(errno));
		c->refused = DISCARD_symbols_disk;
	}
	pthread_mutex_lock(&s->lock);
	if (c->refused == DISCARD_none && !c->duplicate) {
		if (insert(s, f)) {
			link_file(s, f);
			atomic_fetch_add(&s->generation, 1);
			counter_add(COUNTER_symbols_added, 1);
		} else {
			c->refused = DISCARD_symbols_disk;
		}
	}
	if (c->refused != DISCARD_none || c->duplicate)
		incoming_discard(&w->file, &s->bytes);
	gauge(s);
	pthread_mutex_unlock(&s->lock);
	writer_free(w);
	c->writer = NULL;
	mailbox_post(c->reply, &c->mail);
}

static void *
run(void *arg)
{
	struct symbols *s = arg;
	bool stopping = false;

	pthread_setname_np(pthread_self(), "symbols");
	while (!stopping) {
		struct mail *m, *next;

		mailbox_wait(s->box, -1);
		for (m = mailbox_take(s->box); m != NULL; m = next) {
			next = m->next;
			if (m == &s->stop)
				stopping = true;
			else
				finish((struct symbol_writer *)m);
		}
	}
	return NULL;
}

/* ---- opening and closing ---- */

/* A file of files/ab/, as its name and its bytes have it. */
static void
take_up(struct symbols *s, int folder, const char *name)
{
	struct symbol_file f = { .size = 0 };
	const char *what;
	struct stat st;
	int fd;

	if (strlen(name) < SHA256_HEX || strlen(name) >= FILE_NAME_MAX || name[SHA256_HEX - 1] != '-' ||
	    hex_decode(name, SHA256_HEX - 1, f.sha256) == -1)
		return;
	snprintf(f.name, sizeof(f.name), "%s", name + SHA256_HEX);
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		if (fd != -1)
			close(fd);
		return;
	}
	f.size = (uint64_t)st.st_size;
	f.added_us = (int64_t)st.st_mtime * 1000000;
	if (identify(fd, f.size, &f.id, &what) != DISCARD_none)
		log_warn("symbols", "%s is no image any more", name);
	else if (insert(s, &f))
		atomic_fetch_add(&s->bytes, f.size);
	close(fd);
}

static void
each_name(int at, const char *path, void (*visit)(struct symbols *s, int folder, const char *name), struct symbols *s)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			visit(s, fd, e->d_name);
	if (dir != NULL)
		closedir(dir);
	else if (fd != -1)
		close(fd);
}

static void
visit_folder(struct symbols *s, int folder, const char *name)
{
	each_name(folder, name, take_up, s);
}

static int
make_folders(struct symbols *s, const char *data_dir, const char *dirs)
{
	size_t size = strlen(data_dir) + strlen(dirs) + sizeof("/symbols:"), missing;
	char *path = malloc(size);
	int top, fd;

	if (path == NULL)
		return -1;
	snprintf(path, size, "%s/symbols", data_dir);
	top = folder_open(AT_FDCWD, path);
	if (top != -1) {
		s->incoming = folder_open(top, "incoming");
		s->files = folder_open(top, "files");
		s->by_id = folder_open(top, "by-id");
		for (int kind = 0; s->by_id != -1 && kind < IMAGE_N_KINDS; kind++)
			if ((fd = folder_open(s->by_id, image_kind_name((enum image_kind)kind))) != -1)
				close(fd);
		close(top);
	}
	snprintf(path, size, "%s/symbols:%s", data_dir, dirs);
	s->dirs = symbol_dirs_new(path, &missing);
	if (s->dirs != NULL && missing > 0)
		log_warn("symbols", "%zu of symbol-dirs cannot be opened", missing);
	free(path);
	return s->incoming == -1 || s->files == -1 || s->by_id == -1 || s->dirs == NULL ? -1 : 0;
}

static void
release(struct symbols *s)
{
	const int fds[] = { s->incoming, s->files, s->by_id };

	for (int i = 0; i < 3; i++)
		if (fds[i] != -1)
			close(fds[i]);
	for (size_t i = 0; i < s->n; i++)
		free(s->table[i]);
	free(s->table);
	symbol_dirs_free(s->dirs);
	mailbox_free(s->box);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct symbols *
symbols_open(const char *data_dir, const char *dirs, const struct symbols_options *o, struct log *log, char *err,
	     size_t err_size)
{
	struct symbols *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	s->log = log;
	s->incoming = s->files = s->by_id = -1;
	pthread_mutex_init(&s->lock, NULL);
	symbols_configure(s, o);
	s->box = mailbox_new();
	if (s->box == NULL || make_folders(s, data_dir, dirs) == -1) {
		snprintf(err, err_size, "the symbol store below %s cannot be opened: %s", data_dir, strerror(errno));
		release(s);
		return NULL;
	}
	folder_sweep(s->incoming);
	each_name(s->files, ".", visit_folder, s);
	drop_dead_links(s);
	for (size_t i = 0; i < s->n; i++)
		link_file(s, s->table[i]);
	s->more_dirs = symbol_dirs_count(s->dirs) > 1;
	atomic_store(&s->generation, s->n > 0 || s->more_dirs);
	gauge(s);
	if (pthread_create(&s->thread, NULL, run, s) != 0) {
		snprintf(err, err_size, "the symbol store's thread cannot be started");
		release(s);
		return NULL;
	}
	return s;
}

void
symbols_close(struct symbols *s)
{
	if (s == NULL)
		return;
	mailbox_post(s->box, &s->stop);
	pthread_join(s->thread, NULL);
	release(s);
}

void
symbols_configure(struct symbols *s, const struct symbols_options *o)
{
	atomic_store(&s->keep_bytes, o->keep_bytes);
	atomic_store(&s->max_file, o->max_file);
}

/* ---- what is there ---- */

size_t
symbols_list(struct symbols *s, const uint8_t from[SHA256_BYTES], struct symbol_file *out, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = position(s, from); i < s->n && n < max; i++)
		out[n++] = *s->table[i];
	pthread_mutex_unlock(&s->lock);
	return n;
}

void
symbols_count(struct symbols *s, uint64_t *files_out, uint64_t *bytes_out)
{
	pthread_mutex_lock(&s->lock);
	*files_out = s->n;
	*bytes_out = atomic_load(&s->bytes);
	pthread_mutex_unlock(&s->lock);
}

static bool
shares_id(const struct symbol_file *a, const struct symbol_file *b)
{
	return a->id.kind == b->id.kind && (strcmp(a->id.key.code_id, b->id.key.code_id) == 0 ||
					    strcmp(a->id.key.debug_id, b->id.key.debug_id) == 0);
}

bool
symbols_remove(struct symbols *s, const uint8_t sha256[SHA256_BYTES])
{
	char links[2][LINK_SIZE], path[PATH_SIZE];
	struct symbol_file *f;
	size_t at;

	pthread_mutex_lock(&s->lock);
	at = position(s, sha256);
	f = lookup(s, sha256);
	if (f != NULL) {
		path_of(f, path);
		unlinkat(s->files, path, 0);
		for (unsigned i = links_of(f, links); i > 0; i--)
			unlinkat(s->by_id, links[i - 1], 0);
		memmove(&s->table[at], &s->table[at + 1], (s->n - at - 1) * sizeof(s->table[0]));
		s->n--;
		for (size_t i = 0; i < s->n; i++) /* another file may have had these ids too */
			if (shares_id(s->table[i], f))
				link_file(s, s->table[i]);
		atomic_fetch_sub(&s->bytes, f->size);
		atomic_fetch_add(&s->generation, 1);
		gauge(s);
	}
	pthread_mutex_unlock(&s->lock);
	free(f);
	return f != NULL;
}

/* ---- for triage ---- */

uint32_t
symbols_generation(struct symbols *s)
{
	return atomic_load(&s->generation);
}

int
symbols_open_image(struct symbols *s, const struct image_key *key, enum image_kind kind, unsigned at, unsigned *at_out,
		   uint64_t *size_out)
{
	return symbol_dirs_open(s->dirs, key, kind, at, at_out, size_out);
}
