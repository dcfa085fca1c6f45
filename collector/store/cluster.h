/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_STORE_CLUSTER_H
#define COLLECTOR_STORE_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>

/* The private PostgreSQL cluster: DATA/pg, made when missing, reachable through a unix
 * socket only, run as our child, started again when it dies.
 *
 * Everything slow (initdb, recovery, waiting) happens on the cluster's own thread; the
 * daemon takes reports meanwhile.  PostgreSQL refuses root, so as root it runs as
 * "postgres", else "nobody".  It does not outlive us: when the thread ends, whatever the
 * reason, the kernel asks it for a fast shutdown; what is still there at the next start is
 * stopped first.  The caller holds the lock of the data directory. */
struct cluster;

/* data_dir must exist.  bindir: where initdb and postgres are; "" where configure found
 * them.  Returns at once; NULL with a sentence in err for what no retry can mend. */
struct cluster *cluster_start(const char *data_dir, const char *bindir, char *err, size_t err_size);

/* For libpq; fixed from the start, also while the server is not up.  Any thread. */
const char *cluster_conninfo(const struct cluster *c);

/* It answers.  Any thread. */
bool cluster_up(const struct cluster *c);

/* Fast shutdown, then harder; joins the thread.  NULL is fine. */
void cluster_stop(struct cluster *c);

#endif
