/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_AGENT_H
#define CLI_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/faultline-client.h"

/* `faultline agent`: a small endpoint for Linux. */
int cmd_agent(int argc, char **argv);

#define AGENT_PAIRS   16
#define AGENT_WATCHES 8

struct agent_text {
	char name[129], value[257];
};

struct agent {
	char *server, *token_file, *host, *product, *version, *os_build, *hw_class;
	char *state_dir, *content_dir, *halted_file, *watch[AGENT_WATCHES];
	struct agent_text content[AGENT_PAIRS], labels[AGENT_PAIRS];
	unsigned n_content, n_labels, n_watch;
	int64_t interval_ms;
	bool once, quiet;
	char token[1100], boot_id[40];
	struct faultline *client;
	int inotify_fd, watch_fd[AGENT_WATCHES];
	/* what was handled: hashes of path, time and size; kept in STATE_DIR/seen */
	uint64_t *seen;
	size_t n_seen, cap_seen;
	int seen_fd;
};

void agent_say(const struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- agent_watch.c: folders where crashes appear ---- */
int agent_watch_open(struct agent *a, char *err, size_t err_size);
void agent_watch_close(struct agent *a);
void agent_watch_scan(struct agent *a);  /* everything that is there and was not handled */
void agent_watch_ready(struct agent *a); /* inotify_fd is readable */

/* ---- agent_record.c: a file to a report ---- */

/* A crash record in JSON, or a dump or core.  Queues the report.  False: not queued, try
 * again later; *ours_out tells whether it was a crash at all. */
bool agent_record(struct agent *a, const char *folder, const char *name, bool *ours_out);

#endif
