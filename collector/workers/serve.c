/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector/workers/serve.h"
#include "collector/workers/wanted.h"

static void
reply(int sock, uint32_t ticket, enum serve_status status, size_t size)
{
	struct serve_reply r = { .ticket = ticket, .status = status, .size = size };

	if (send(sock, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
		_exit(0);
}

/* The next image, or -1 when the pool wants no more. */
static int
receive(int sock, struct serve_request *out)
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

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	c = n == (ssize_t)sizeof(*out) ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c == NULL || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

void
serve(zygote_analyse *analyse, const struct confine_filter *f, const struct confine_limits *l, int sock, int shm,
      int wanted)
{
	struct images *images;
	uint32_t generation = 0;
	struct serve_request q;
	uint8_t *area;
	int fd;

	area = mmap(NULL, SERVE_AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
	close(shm);
	images = wanted_images(wanted);
	if (images == NULL || area == MAP_FAILED || confine_enter(f, l) == -1)
		_exit(1);
	reply(sock, 0, SERVE_READY, 0);
	while ((fd = receive(sock, &q)) != -1) {
		void *image = q.size != 0 ? mmap(NULL, q.size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
		uint8_t *slot = area + q.ticket % SERVE_DEPTH * SERVE_SLOT_BYTES;

		close(fd);
		if (image == MAP_FAILED) {
			reply(sock, q.ticket, SERVE_NOT_MAPPED, 0);
			continue;
		}
		if (q.generation != generation)
			images_forget(images);
		generation = q.generation;
		reply(sock, q.ticket, SERVE_DONE,
		      analyse(image, q.size, generation != 0 ? images : NULL, slot, SERVE_SLOT_BYTES));
		images_trim(images);
		if (image != NULL)
			munmap(image, q.size);
	}
	_exit(0);
}
