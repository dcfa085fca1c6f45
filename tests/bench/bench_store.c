/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "tests/unit/store_help.h"

/* CPU seconds of a process so far. */
static double
cpu_of(int pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		user = system = 0;
	fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Catching up: how fast the projector writes a log that is already there into a private
 * cluster, over one connection, everything durable.
 * usage: bench_store [REPORTS [SIGNATURES [ROWS-A-TRANSACTION]]] */
static void
run(const char *name, const struct rig_reports *what, uint32_t rows)
{
	struct rig *r = rig_new();
	struct projector *p;
	uint64_t before = counter_get(COUNTER_store_transactions), n;
	int64_t begin;
	double s, ours, theirs;

	rig_reports(r, what);
	rig_sql(r, "CHECKPOINT");
	ours = cpu_of(getpid());
	begin = clock_boot_us();
	p = rig_projector(r, NULL, NULL, rows);
	rig_wait(r, p);
	s = (double)(clock_boot_us() - begin) / 1e6;
	ours = cpu_of(getpid()) - ours;
	theirs = cpu_of((int)rig_number(r, "SELECT pid FROM pg_stat_activity WHERE application_name = 'faultlined'"));
	n = counter_get(COUNTER_store_transactions) - before;
	printf("%-27s %8u reports %6u signatures: %7.0f reports/s, %5.1f ms a transaction of %" PRIu64
	       "; CPU a report %.2f us ours, %.2f us PostgreSQL's\n",
	       name, what->n, what->modules, what->n / s, s * 1e3 / (double)n, (uint64_t)what->n / n,
	       ours * 1e6 / what->n, theirs * 1e6 / what->n);
	if (rig_number(r, "SELECT sum(reports) FROM signatures") != what->n ||
	    rig_number(r, "SELECT count(*) FROM reports") != what->n)
		printf("THE DATABASE DOES NOT HOLD ALL OF THEM\n");
	projector_stop(p);
	rig_free(r);
}

int
main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 2000000,
		 signatures = argc > 2 ? (uint32_t)atoi(argv[2]) : 200,
		 rows = argc > 3 ? (uint32_t)atoi(argv[3]) : 20000;
	struct rig_reports plain = { n, 256, 100000, signatures, false }, many = { n / 4, 256, 100000, 10000, false },
			   rich = { n / 4, 256, 100000, signatures, true };

	setvbuf(stdout, NULL, _IOLBF, 0);
	run("reports", &plain, rows);
	run("many signatures", &many, rows);
	run("labels, frames, parameters", &rich, rows);
	return 0;
}
