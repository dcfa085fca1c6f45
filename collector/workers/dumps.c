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
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/hash.h"
#include "base/incoming.h"
#include "base/logline.h"
#include "collector/log/log.h"
#include "collector/workers/dumps.h"
#include "collector/workers/quota.h"

#define EXPIRE_EVERY_MS 3600000
#define NAME_SIZE       (3 + SHA256_HEX) /* "ab/" and the hash */

struct dumps {
	struct log *log;
	int incoming, kept;     /* folders */
	_Atomic uint64_t bytes; /* kept and being received */
	_Atomic uint64_t max_dump, keep_bytes, per_signature, keep_days;
	_Atomic uint64_t next_temp;
	pthread_mutex_t lock; /* of quota */
	struct quota *quota;
	struct mailbox *box; /* writers to be finished, or &stop */
	struct mail stop;
	pthread_t thread;
};

struct dump_writer {
	struct mail mail;
	struct dumps *d;
	struct incoming file;
	struct dumps_commit *commit; /* once committed */
	uint64_t key;                /* of the quota, 0: none */
};

static uint64_t
quota_key(uint16_t tenant, uint64_t signature)
{
	uint64_t k = hash_mix(signature ^ (uint64_t)tenant << 48) | 1;

	return signature != 0 ? k : 0;
}

static void
dump_name(const uint8_t sha256[SHA256_BYTES], char name[NAME_SIZE])
{
	hex_encode(sha256, 1, name);
	name[2] = '/';
	hex_encode(sha256, SHA256_BYTES, name + 3);
}

/* ---- admission ---- */

static bool
pressed(const struct dumps *d)
{
	return d->log != NULL && log_pressure(d->log) >= LOG_PRESSURE_NO_DUMPS;
}

/* Random early drop: the fuller, the likelier. */
static bool
dropped_early(struct dumps *d)
{
	const uint64_t used = atomic_load(&d->bytes), budget = atomic_load(&d->keep_bytes);

	if (used <= budget / 2)
		return false;
	if (used >= budget)
		return true;
	return (double)(random_u64() >> 11) * 0x1p-53 < ((double)used / (double)budget - 0.5) * 2;
}

bool
dumps_want(struct dumps *d, uint16_t tenant, uint64_t signature)
{
	bool want;

	if (signature == 0 || pressed(d) || atomic_load(&d->bytes) >= atomic_load(&d->keep_bytes))
		return false;
	pthread_mutex_lock(&d->lock);
	want = quota_ask(d->quota, clock_wall_us(), quota_key(tenant, signature), atomic_load(&d->per_signature));
	pthread_mutex_unlock(&d->lock);
	return want;
}

static bool
reserve(struct dumps *d, uint64_t key)
{
	const int64_t now = clock_wall_us();
	bool room;

	if (key == 0)
		return true;
	pthread_mutex_lock(&d->lock);
	room = quota_used(d->quota, now, key) < atomic_load(&d->per_signature);
	if (room)
		quota_reserve(d->quota, now, key);
	pthread_mutex_unlock(&d->lock);
	return room;
}

static void
unreserve(struct dumps *d, uint64_t key)
{
	if (key == 0)
		return;
	pthread_mutex_lock(&d->lock);
	quota_unreserve(d->quota, clock_wall_us(), key);
	pthread_mutex_unlock(&d->lock);
}

/* ---- receiving ---- */

static void
writer_free(struct dump_writer *w)
{
	unreserve(w->d, w->key);
	incoming_close(&w->file);
	free(w);
}

struct dump_writer *
dumps_begin(struct dumps *d, uint16_t tenant, uint64_t signature, enum discard *why_out)
{
	const uint64_t key = quota_key(tenant, signature);
	struct dump_writer *w;

	if (pressed(d) || dropped_early(d)) {
		*why_out = DISCARD_dump_disk_low;
		return NULL;
	}
	if (!reserve(d, key)) {
		*why_out = DISCARD_dump_not_wanted;
		return NULL;
	}
	*why_out = DISCARD_dump_disk_low;
	w = calloc(1, sizeof(*w));
	if (w == NULL) {
		unreserve(d, key);
		return NULL;
	}
	w->d = d;
	w->key = key;
	if (!incoming_open(&w->file, d->incoming, atomic_fetch_add(&d->next_temp, 1)) ||
	    descriptors_low(w->file.fd, DESCRIPTORS_NOT_DUMPS)) {
		dumps_abandon(w);
		return NULL;
	}
	*why_out = DISCARD_none;
	return w;
}

enum discard
dumps_write(struct dump_writer *w, const void *data, size_t len)
{
	struct dumps *d = w->d;
	const uint64_t limit = atomic_load(&d->max_dump), size = w->file.size;

	if (limit != 0 && len > limit - (size < limit ? size : limit))
		return DISCARD_dump_too_large;
	if (pressed(d) || atomic_load(&d->bytes) + len > atomic_load(&d->keep_bytes))
		return DISCARD_dump_disk_low;
	return incoming_write(&w->file, data, len, &d->bytes) ? DISCARD_none : DISCARD_dump_disk_low;
}

uint64_t
dumps_written(const struct dump_writer *w)
{
	return w->file.size;
}

void
dumps_abandon(struct dump_writer *w)
{
	if (w == NULL)
		return;
	if (w->file.fd != -1)
		incoming_discard(&w->file, &w->d->bytes);
	writer_free(w);
}

void
dumps_commit(struct dump_writer *w, struct dumps_commit *c)
{
	sha256_final(w->file.hash, c->sha256);
	w->file.hash = NULL;
	c->size = w->file.size;
	c->writer = w;
	w->commit = c;
	mailbox_post(w->d->box, &w->mail);
}

void
dumps_dispatch(struct mailbox *reply)
{
	struct mail *m, *next;

	for (m = mailbox_take(reply); m != NULL; m = next) {
		struct dumps_commit *c = (struct dumps_commit *)((char *)m - offsetof(struct dumps_commit, mail));

		next = m->next; /* done() may free c */
		c->done(c);
	}
}

/* ---- the store's thread ---- */

/* Under its name, unless it is there already. */
static enum dumps_outcome
file_dump(struct dump_writer *w)
{
	struct dumps *d = w->d;
	char name[NAME_SIZE];
	struct stat st;

	dump_name(w->commit->sha256, name);
	if (fstatat(d->kept, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (uint64_t)st.st_size == w->file.size) {
		utimensat(d->kept, name, NULL, AT_SYMLINK_NOFOLLOW); /* wanted again: kept for longer */
		incoming_discard(&w->file, &d->bytes);
		return DUMPS_DUPLICATE;
	}
	if (!incoming_keep(&w->file, d->kept, name)) {
		log_error("dumps", "a dump of %llu bytes was not stored: %s", (unsigned long long)w->file.size,
			  strerror(errno));
		incoming_discard(&w->file, &d->bytes);
		return DUMPS_FAILED;
	}
	return DUMPS_STORED;
}

static void
account(struct dump_writer *w)
{
	if (w->commit->outcome != DUMPS_STORED)
		return;
	counter_add(COUNTER_dumps, 1);
	counter_add(COUNTER_dump_bytes, w->file.size);
	if (w->key == 0)
		return;
	pthread_mutex_lock(&w->d->lock);
	quota_keep(w->d->quota, clock_wall_us(), w->key, w->commit->sha256);
	pthread_mutex_unlock(&w->d->lock);
}

/* Everything that waits at once, so that a folder is flushed once for many dumps. */
static void
finish(struct dumps *d, struct mail *mail)
{
	bool dirty[256] = { false }, synced[256];
	char name[3];
	struct mail *m, *next;

	for (m = mail; m != NULL; m = m->next) {
		struct dump_writer *w = (struct dump_writer *)m;

		if (m == &d->stop)
			continue;
		w->commit->outcome = file_dump(w);
		dirty[w->commit->sha256[0]] |= w->commit->outcome != DUMPS_FAILED;
	}
	for (unsigned i = 0; i < 256; i++)
		synced[i] = dirty[i] && folder_sync(d->kept, hex_encode(&(uint8_t){ (uint8_t)i }, 1, name));
	for (m = mail; m != NULL; m = next) {
		struct dump_writer *w = (struct dump_writer *)m;
		struct dumps_commit *c;

		next = m->next;
		if (m == &d->stop)
			continue;
		c = w->commit;
		if (c->outcome != DUMPS_FAILED && !synced[c->sha256[0]])
			c->outcome = DUMPS_FAILED;
		account(w);
		writer_free(w);
		c->writer = NULL;
		mailbox_post(c->reply, &c->mail);
	}
}

/* Call visit for every file of the store. */
static void
each_dump(struct dumps *d,
	  void (*visit)(struct dumps *d, int folder, const char *name, const struct stat *st, int64_t arg), int64_t arg)
{
	for (unsigned i = 0; i < 256; i++) {
		const uint8_t first = (uint8_t)i;
		struct dirent *e;
		struct stat st;
		char name[3];
		DIR *dir;
		int fd;

		fd = openat(d->kept, hex_encode(&first, 1, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd == -1 || (dir = fdopendir(fd)) == NULL) {
			if (fd != -1)
				close(fd);
			continue;
		}
		while ((e = readdir(dir)) != NULL)
			if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
				visit(d, fd, e->d_name, &st, arg);
		closedir(dir);
	}
}

static void
count_file(struct dumps *d, int folder, const char *name, const struct stat *st, int64_t arg)
{
	(void)folder;
	(void)name;
	(void)arg;
	atomic_fetch_add(&d->bytes, (uint64_t)st->st_size);
}

static void
expire_file(struct dumps *d, int folder, const char *name, const struct stat *st, int64_t before)
{
	if (st->st_mtime < before && unlinkat(folder, name, 0) == 0)
		atomic_fetch_sub(&d->bytes, (uint64_t)st->st_size);
}

static void
expire(struct dumps *d)
{
	const uint64_t days = atomic_load(&d->keep_days);

	if (days != 0 && days < 100000)
		each_dump(d, expire_file, clock_wall_us() / 1000000 - (int64_t)days * 86400);
}

static void *
run(void *arg)
{
	struct dumps *d = arg;
	int64_t last = clock_boot_us();
	bool stopping = false;

	pthread_setname_np(pthread_self(), "dumps");
	while (!stopping) {
		struct mail *mail;

		mailbox_wait(d->box, EXPIRE_EVERY_MS);
		mail = mailbox_take(d->box);
		for (struct mail *m = mail; m != NULL; m = m->next)
			stopping |= m == &d->stop;
		finish(d, mail);
		counter_set(COUNTER_dump_bytes_kept, atomic_load(&d->bytes));
		if (clock_boot_us() - last >= (int64_t)EXPIRE_EVERY_MS * 1000) {
			expire(d);
			last = clock_boot_us();
		}
	}
	return NULL;
}

/* ---- opening and closing ---- */

static int
make_folders(struct dumps *d, const char *data_dir)
{
	char name[4096];
	int top, fd;

	top = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top == -1)
		return -1;
	d->incoming = folder_open(top, "incoming");
	d->kept = folder_open(top, "dumps");
	for (unsigned i = 0; d->kept != -1 && i < 256; i++) {
		const uint8_t first = (uint8_t)i;

		fd = folder_open(d->kept, hex_encode(&first, 1, name));
		if (fd == -1) {
			close(d->kept);
			d->kept = -1;
			break;
		}
		close(fd);
	}
	if (d->kept != -1 && (fsync(d->kept) == -1 || fsync(top) == -1))
		log_warn("dumps", "%s: flush: %s", data_dir, strerror(errno));
	close(top);
	if (d->incoming == -1 || d->kept == -1)
		return -1;
	snprintf(name, sizeof(name), "%s/dumps/quota", data_dir);
	d->quota = quota_open(name);
	return d->quota != NULL ? 0 : -1;
}

static void
release(struct dumps *d)
{
	if (d->incoming != -1)
		close(d->incoming);
	if (d->kept != -1)
		close(d->kept);
	quota_close(d->quota);
	mailbox_free(d->box);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

struct dumps *
dumps_open(const char *data_dir, const struct dumps_options *o, struct log *log, char *err, size_t err_size)
{
	struct dumps *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	d->log = log;
	d->incoming = d->kept = -1;
	pthread_mutex_init(&d->lock, NULL);
	dumps_configure(d, o);
	d->box = mailbox_new();
	if (d->box == NULL || make_folders(d, data_dir) == -1) {
		snprintf(err, err_size, "the dump store below %s cannot be opened: %s", data_dir, strerror(errno));
		release(d);
		return NULL;
	}
	folder_sweep(d->incoming);
	each_dump(d, count_file, 0);
	expire(d);
	counter_set(COUNTER_dump_bytes_kept, atomic_load(&d->bytes));
	if (pthread_create(&d->thread, NULL, run, d) != 0) {
		snprintf(err, err_size, "the dump store's thread cannot be started");
		release(d);
		return NULL;
	}
	return d;
}

void
dumps_close(struct dumps *d)
{
	if (d == NULL)
		return;
	mailbox_post(d->box, &d->stop);
	pthread_join(d->thread, NULL);
	release(d);
}

void
dumps_configure(struct dumps *d, const struct dumps_options *o)
{
	atomic_store(&d->max_dump, o->max_dump);
	atomic_store(&d->keep_bytes, o->keep_bytes);
	atomic_store(&d->per_signature, o->per_signature);
	atomic_store(&d->keep_days, o->keep_days);
}

/* ---- reading and settling ---- */

int
dumps_open_file(struct dumps *d, const uint8_t sha256[SHA256_BYTES], uint64_t *size_out)
{
	char name[NAME_SIZE];
	struct stat st;
	int fd;

	dump_name(sha256, name);
	fd = openat(d->kept, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -1;
	}
	*size_out = (uint64_t)st.st_size;
	return fd;
}

static void
remove_dump(struct dumps *d, const uint8_t sha256[SHA256_BYTES])
{
	char name[NAME_SIZE];
	struct stat st;

	dump_name(sha256, name);
	if (fstatat(d->kept, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(d->kept, name, 0) == 0)
		atomic_fetch_sub(&d->bytes, (uint64_t)st.st_size);
}

bool
dumps_settle(struct dumps *d, const uint8_t sha256[SHA256_BYTES], uint16_t tenant, uint64_t signature)
{
	const uint64_t key = quota_key(tenant, signature);
	const int64_t now = clock_wall_us();
	uint64_t under;
	bool stays = true;

	if (key == 0)
		return true;
	pthread_mutex_lock(&d->lock);
	under = quota_kept_under(d->quota, now, sha256);
	if (under != key) {
		stays = quota_used(d->quota, now, key) < atomic_load(&d->per_signature);
		if (stays && under == 0)
			quota_keep(d->quota, now, key, sha256);
		else if (stays)
			quota_move(d->quota, now, key, sha256);
	}
	pthread_mutex_unlock(&d->lock);
	if (!stays)
		remove_dump(d, sha256);
	return stays;
}

uint64_t
dumps_bytes(struct dumps *d)
{
	return atomic_load(&d->bytes);
}
