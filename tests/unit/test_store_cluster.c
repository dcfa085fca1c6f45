/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "base/clock.h"
#include "base/counters.h"
#include "tests/unit/log_help.h"
#include "tests/unit/store_help.h"

/* The private cluster: made, found again, started again, never left behind. */

static struct cluster *
start(const char *dir)
{
	char err[512] = "";
	struct cluster *c = cluster_start(dir, "", err, sizeof(err));

	assert_string_equal(err, "");
	return c;
}

static void
wait_up(struct cluster *c)
{
	RIG_UNTIL(cluster_up(c), "the cluster");
}

static char *
ask(struct cluster *c, const char *sql)
{
	static char out[1024];
	PGconn *conn = PQconnectdb(cluster_conninfo(c));
	PGresult *res = PQexec(conn, sql);

	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	snprintf(out, sizeof(out), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
	return out;
}

static int
pid_in(const char *dir)
{
	struct rig r = { .dir = (char *)(uintptr_t)dir };

	return rig_postmaster(&r);
}

static int
setup(void **state)
{
	*state = temp_dir_new();
	return 0;
}

static int
teardown(void **state)
{
	temp_dir_free(*state);
	return 0;
}

static void
test_made_once_and_found_again(void **state)
{
	struct cluster *c = start(*state);
	struct stat st;
	char path[4096];

	wait_up(c);
	assert_string_equal(ask(c, "SHOW listen_addresses"), "");
	assert_string_equal(ask(c, "SHOW fsync"), "on");
	ask(c, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
	snprintf(path, sizeof(path), "/proc/%d", pid_in(*state));
	assert_int_equal(stat(path, &st), 0);
	assert_int_not_equal(st.st_uid, 0); /* never as root */
	snprintf(path, sizeof(path), "%s/pg", (char *)*state);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0); /* and for nobody else */
	cluster_stop(c);
	assert_int_equal(pid_in(*state), 0); /* a clean stop */

	c = start(*state);
	wait_up(c);
	assert_string_equal(ask(c, "SELECT n FROM kept"), "7");
	cluster_stop(c);
}

static void
test_started_again_when_killed(void **state)
{
	struct cluster *c = start(*state);
	uint64_t before = counter_get(COUNTER_store_restarts);
	int pid;

	wait_up(c);
	pid = pid_in(*state);
	assert_int_equal(kill(pid, SIGKILL), 0);
	RIG_UNTIL(counter_get(COUNTER_store_restarts) > before, "a restart");
	wait_up(c);
	assert_int_not_equal(pid_in(*state), pid);
	cluster_stop(c);
}

static void
test_making_it_was_cut_short(void **state)
{
	struct cluster *c = start(*state);
	char path[4096];

	cluster_stop(c); /* most likely in the middle of initdb */
	snprintf(path, sizeof(path), "%s/pg.new/junk", (char *)*state);
	*strrchr(path, '/') = '\0';
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	strcat(path, "/junk");
	mkdir(path, 0700);
	c = start(*state);
	wait_up(c);
	cluster_stop(c);
}

/* A daemon killed with -9 takes its server along; and if the server is still there, the
 * next daemon stops it first. */
static void
test_after_the_daemon_was_killed(void **state)
{
	struct cluster *c;
	int fds[2], old, status;
	char ready;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		c = start(*state);
		wait_up(c);
		ask(c, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (8)");
		if (write(fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(fds[0], &ready, 1), 1);
	old = pid_in(*state);
	assert_true(old > 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	c = start(*state);
	wait_up(c);
	assert_int_not_equal(pid_in(*state), old);
	assert_string_equal(ask(c, "SELECT n FROM kept"), "8");
	cluster_stop(c);
	close(fds[0]);
	close(fds[1]);
}

/* The lock file of a dead server whose process id now is somebody else's. */
static void
test_a_lock_file_with_a_stranger_in_it(void **state)
{
	struct cluster *c = start(*state);
	char path[4096], text[4096];
	size_t n;
	pid_t stranger;
	int status;
	FILE *f;

	wait_up(c);
	snprintf(path, sizeof(path), "%s/pg/postmaster.pid", (char *)*state);
	f = fopen(path, "r");
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	cluster_stop(c);
	stranger = fork();
	if (stranger == 0) {
		struct stat st;

		/* of the same user, as PostgreSQL would see it */
		*strrchr(path, '/') = '\0';
		if (stat(path, &st) == -1 || (geteuid() == 0 && (setgid(st.st_gid) == -1 || setuid(st.st_uid) == -1)))
			_exit(1);
		pause();
		_exit(1);
	}
	f = fopen(path, "w");
	fprintf(f, "%d\n", (int)stranger);
	fwrite(strchr(text, '\n') + 1, 1, n - (size_t)(strchr(text, '\n') + 1 - text), f);
	fclose(f);
	c = start(*state);
	wait_up(c);
	assert_int_equal(kill(stranger, 0), 0); /* and it was left alone */
	cluster_stop(c);
	kill(stranger, SIGKILL);
	waitpid(stranger, &status, 0);
}

static void
test_a_very_long_path(void **state)
{
	struct cluster *c;
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%0100d/%0100d", (char *)*state, 1, 2);
	*strrchr(path, '/') = '\0';
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/%0100d/%0100d", (char *)*state, 1, 2);
	assert_int_equal(mkdir(path, 0755), 0);
	chmod(*state, 0755);
	c = start(path);
	wait_up(c);
	strcat(path, "/pg/PG_VERSION");
	assert_int_equal(stat(path, &st), 0);
	cluster_stop(c);
}

/* A data directory below one that only root may enter, as /root is. */
static void
test_a_path_closed_to_its_user(void **state)
{
	struct cluster *c;
	char dir[4096], path[4096 + 16], away[4096];
	ssize_t n;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(*state, 0700), 0);
	snprintf(dir, sizeof(dir), "%s/var", (char *)*state);
	assert_int_equal(mkdir(dir, 0755), 0);
	for (int i = 0; i < 2; i++) {
		c = start(dir);
		wait_up(c);
		ask(c, i == 0 ? "CREATE TABLE kept ()" : "SELECT FROM kept");
		cluster_stop(c);
	}
	snprintf(path, sizeof(path), "%s/pg", dir);
	n = readlink(path, away, sizeof(away) - 1);
	assert_true(n > 0);
	away[n] = '\0';
	assert_int_equal(strncmp(away, "/var/lib/faultline-pg-", 22), 0);
	temp_dir_free(strdup(away));
}

static void
test_no_postgresql_at_all(void **state)
{
	char err[512] = "";
	struct cluster *c = cluster_start(*state, "/nonexistent", err, sizeof(err));

	assert_non_null(c); /* the daemon runs, and tries again */
	assert_false(cluster_up(c));
	cluster_stop(c);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(made_once_and_found_again),         T(started_again_when_killed),
		T(making_it_was_cut_short),           T(after_the_daemon_was_killed),
		T(a_lock_file_with_a_stranger_in_it), T(a_very_long_path),
		T(a_path_closed_to_its_user),         T(no_postgresql_at_all),
	};

	if (access(PG_BINDIR "/postgres", X_OK) == -1) {
		fprintf(stderr, "skipped: no PostgreSQL in %s\n", PG_BINDIR);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
