/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counters.h"
#include "collector/workers/wanted.h"

/* ---- the worker's side: one in a process ---- */

static struct {
	int sock;
	uint64_t mapped;
} here = { .sock = -1 };

/* The descriptor of the next candidate, -1 none. */
static int
ask(const struct wanted_request *q, struct wanted_reply *out)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { out, sizeof(*out) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c;
	ssize_t n;
	int fd;

	if (send(here.sock, q, sizeof(*q), MSG_NOSIGNAL) != (ssize_t)sizeof(*q))
		_exit(0);
	do
		n = recvmsg(here.sock, &msg, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(*out))
		_exit(0); /* the pool is gone */
	c = CMSG_FIRSTHDR(&msg);
	if (!out->found || c == NULL || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static bool
open_image(void *arg, const struct image_key *key, enum image_kind kind, struct image_file *out)
{
	struct wanted_request q = { .key = *key, .kind = kind };
	struct wanted_reply r;
	int fd;

	(void)arg;
	for (; (fd = ask(&q, &r)) != -1; q.at = r.at + 1) {
		void *p = MAP_FAILED;

		if (r.size <= WANTED_MAPPED_MAX - here.mapped)
			p = mmap(NULL, (size_t)r.size, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
		if (p == MAP_FAILED)
			return false;
		if (image_matches(p, (size_t)r.size, key, kind)) {
			here.mapped += r.size;
			*out = (struct image_file){ p, (size_t)r.size, NULL };
			return true;
		}
		munmap(p, (size_t)r.size);
	}
	return false;
}

static void
close_image(void *arg, struct image_file *f)
{
	(void)arg;
	here.mapped -= f->size;
	munmap((void *)(uintptr_t)f->bytes, f->size);
}

struct images *
wanted_images(int sock)
{
	here.sock = sock;
	return images_new(&(struct image_opener){ .open = open_image, .close = close_image }, NULL);
}

/* ---- the pool's side ---- */

static bool
is_text(const char *s, size_t size, bool hex)
{
	size_t n = strnlen(s, size);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || s[i] == '/' || s[i] == '\\' ||
		    (hex && strchr("0123456789abcdef", s[i]) == NULL))
			return false;
	return n < size;
}

/* Could the library have asked this?  Names become paths. */
static bool
is_sane(const struct wanted_request *q)
{
	return q->kind < IMAGE_N_KINDS && is_text(q->key.code_id, sizeof(q->key.code_id), true) &&
	       is_text(q->key.debug_id, sizeof(q->key.debug_id), true) &&
	       is_text(q->key.name, sizeof(q->key.name), false) && q->key.name[0] != '.';
}

static bool
reply(int sock, const struct wanted_reply *r, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct wanted_reply copy = *r;
	struct iovec iov = { &copy, sizeof(copy) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd != -1) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(copy);
}

bool
wanted_answer(int sock, const struct wanted_source *source)
{
	struct wanted_request q;
	ssize_t n;

	while ((n = recv(sock, &q, sizeof(q), MSG_DONTWAIT)) == (ssize_t)sizeof(q)) {
		struct wanted_reply r = { .found = 0 };
		bool sent;
		int fd = -1;

		if (!is_sane(&q))
			return false;
		counter_add(COUNTER_symbols_asked, 1);
		if (source->open != NULL)
			fd = source->open(source->arg, &q.key, (enum image_kind)q.kind, q.at, &r.at, &r.size);
		r.found = fd != -1;
		sent = reply(sock, &r, fd);
		if (fd != -1)
			close(fd);
		if (!sent)
			return false;
	}
	return n == -1 && (errno == EAGAIN || errno == EINTR);
}
