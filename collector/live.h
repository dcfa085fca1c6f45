/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_LIVE_H
#define COLLECTOR_LIVE_H

#include <stddef.h>

struct identity;
struct settings;
struct tokens;

/* Settings, identity and tokens as they are now: replaced whole on reload, read by any
 * thread.  What was read stays valid for the life of the process: a reload keeps the old
 * ones (a few KiB each), because no reader says when it is done. */
struct live;

/* Takes over s (initialised, read).  NULL with a sentence in err. */
struct live *live_new(struct settings *s, char *err, size_t err_size);
void live_free(struct live *l);

const struct settings *live_settings(const struct live *l);
const struct identity *live_identity(const struct live *l);
const struct tokens *live_tokens(const struct live *l); /* NULL: none configured */

/* Read the configuration file and flags again and replace what may change; settings that
 * need a restart keep their old value and are named in a log line.  -1 with a sentence in
 * err and nothing changed. */
int live_reload(struct live *l, int argc, char **argv, char *err, size_t err_size);

#endif
