/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/state.h"

#define BLOCK 1024u

/* One line: "faultline-state 1 EPOCH RESERVED\n" */
static int
save(const struct state *s, uint64_t reserved)
{
	char line[96], *tmp = NULL;
	int n = snprintf(line, sizeof(line), "faultline-state 1 %016" PRIx64 " %" PRIu64 "\n", s->epoch, reserved);
	int fd, bad;

	if (s->path == NULL)
		return 0;
	if (asprintf(&tmp, "%s.new", s->path) == -1)
		return -1;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bad = fd == -1 || write(fd, line, (size_t)n) != n || fsync(fd) == -1;
	if (fd != -1)
		close(fd);
	bad = bad || rename(tmp, s->path) == -1;
	free(tmp);
	return bad ? -1 : 0;
}

int
state_open(struct state *s, const char *path, char *err, size_t err_size)
{
	FILE *f;
	int n;

	*s = (struct state){ .next = 1, .reserved = 1 };
	if (path != NULL && (s->path = strdup(path)) == NULL) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	f = path != NULL ? fopen(path, "re") : NULL;
	if (f != NULL) {
		n = fscanf(f, "faultline-state 1 %16" SCNx64 " %20" SCNu64, &s->epoch, &s->reserved);
		fclose(f);
		if (n != 2 || s->epoch == 0) {
			snprintf(err, err_size, "%s is not a state file: move it away", path);
			state_close(s);
			return -1;
		}
		s->next = s->reserved;
		return 0;
	}
	if (path != NULL && errno != ENOENT) {
		snprintf(err, err_size, "cannot read state file %s: %s", path, strerror(errno));
		state_close(s);
		return -1;
	}
	while (s->epoch == 0)
		if (getrandom(&s->epoch, sizeof(s->epoch), 0) != (ssize_t)sizeof(s->epoch))
			s->epoch = 0;
	if (save(s, s->reserved) == -1) {
		snprintf(err, err_size, "cannot write state file %s: %s", path, strerror(errno));
		state_close(s);
		return -1;
	}
	return 0;
}

void
state_close(struct state *s)
{
	free(s->path);
	s->path = NULL;
}

uint64_t
state_take(struct state *s)
{
	if (s->next == s->reserved) {
		if (save(s, s->reserved + BLOCK) == -1)
			return 0;
		s->reserved += BLOCK;
	}
	return s->next++;
}
