/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/workers/checkpoint.h"

#define HEADER "faultline triage checkpoint 1"

static void
read_note(struct checkpoint *c, const char *line)
{
	struct checkpoint_note n = { 0 };
	char hex[SHA256_HEX];
	unsigned kills, how;

	if (sscanf(line, "killed %64[0-9a-f] %u %u", hex, &kills, &how) != 3 || strlen(hex) != 2 * SHA256_BYTES ||
	    (how != ERR_TIMEOUT && how != ERR_CRASHED) || c->n_notes == CHECKPOINT_NOTES)
		return;
	hex_decode(hex, strlen(hex), n.sha256);
	n.kills = kills;
	n.last = (enum err)how;
	c->notes[c->n_notes++] = n;
}

static void
read_file(struct checkpoint *c, FILE *fp)
{
	char line[256], uuid[33] = "", own[33];
	uint64_t position = 0;
	bool whole = false;

	if (fgets(line, sizeof(line), fp) == NULL || strcmp(line, HEADER "\n") != 0)
		return;
	while (fgets(line, sizeof(line), fp) != NULL) {
		if (sscanf(line, "log %32[0-9a-f] %" SCNu64, uuid, &position) == 2)
			continue;
		read_note(c, line);
		whole = strcmp(line, "end\n") == 0;
	}
	if (whole && strcmp(uuid, hex_encode(c->log_uuid, sizeof(c->log_uuid), own)) == 0)
		c->position = position;
}

int
checkpoint_load(struct checkpoint *c, const char *data_dir, const uint8_t log_uuid[16])
{
	FILE *fp;
	int n;

	memset(c, 0, sizeof(*c));
	memcpy(c->log_uuid, log_uuid, sizeof(c->log_uuid));
	n = snprintf(c->path, sizeof(c->path), "%s/triage.checkpoint", data_dir);
	if (n < 0 || (size_t)n + sizeof(".new") > sizeof(c->path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fp = fopen(c->path, "re");
	if (fp == NULL)
		return 0;
	read_file(c, fp);
	fclose(fp);
	return 0;
}

static int
sync_parent(const char *path)
{
	char dir[4096];
	int fd, rc;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	fd = open(dir[0] != '\0' ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

int
checkpoint_save(const struct checkpoint *c)
{
	char fresh[4096 + 8], uuid[33], sha[SHA256_HEX];
	bool ok;
	FILE *fp;
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.new", c->path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	fp = fdopen(fd, "w");
	if (fp == NULL) {
		close(fd);
		return -1;
	}
	fprintf(fp, HEADER "\nlog %s %" PRIu64 "\n", hex_encode(c->log_uuid, sizeof(c->log_uuid), uuid), c->position);
	for (size_t i = 0; i < c->n_notes; i++)
		fprintf(fp, "killed %s %u %u\n", hex_encode(c->notes[i].sha256, SHA256_BYTES, sha), c->notes[i].kills,
			(unsigned)c->notes[i].last);
	fputs("end\n", fp);
	ok = fflush(fp) == 0 && fdatasync(fd) == 0;
	ok = fclose(fp) == 0 && ok;
	return ok && rename(fresh, c->path) == 0 ? sync_parent(c->path) : -1;
}

const struct checkpoint_note *
checkpoint_find(const struct checkpoint *c, const uint8_t sha256[SHA256_BYTES])
{
	for (size_t i = 0; i < c->n_notes; i++)
		if (memcmp(c->notes[i].sha256, sha256, SHA256_BYTES) == 0)
			return &c->notes[i];
	return NULL;
}

uint32_t
checkpoint_kill(struct checkpoint *c, const uint8_t sha256[SHA256_BYTES], enum err how)
{
	const struct checkpoint_note *old = checkpoint_find(c, sha256);
	struct checkpoint_note *n = old != NULL ? &c->notes[old - c->notes] : NULL;

	if (n == NULL) {
		if (c->n_notes == CHECKPOINT_NOTES)
			memmove(c->notes, c->notes + 1, --c->n_notes * sizeof(c->notes[0]));
		n = &c->notes[c->n_notes++];
		memset(n, 0, sizeof(*n));
		memcpy(n->sha256, sha256, SHA256_BYTES);
	}
	n->last = how;
	return ++n->kills;
}
