/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/hash.h"
#include "base/logline.h"
#include "collector/store/cluster.h"
#include "collector/store/spawn.h"

#define PATH_SIZE      4096
#define SOCKET_DIR_MAX 90 /* a socket's path holds 107 bytes, ".s.PGSQL.5432" and a slash included */
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 10000
#define STABLE_US      60000000ll /* a server that ran so long starts with a fresh back-off */
#define FAST_STOP_MS   20000
#define BUSY_STOP_MS   4000 /* a server in recovery may not hear of a fast shutdown; it loses nothing by a hard one */
#define HARD_STOP_MS   5000
#define LOG_MAX_BYTES  (8u << 20)

struct cluster {
	char data[PATH_SIZE]; /* of the daemon, absolute */
	char bindir[PATH_SIZE];
	char pgdata[PATH_SIZE + 8];
	char socket_dir[PATH_SIZE + 16];
	char conninfo[2 * PATH_SIZE];
	struct spawn_user user;
	pthread_t thread;
	int wake_fd;
	atomic_bool stop, up;
	char problem[512]; /* last one told, so that a repeated one is told once */
};

static void __attribute__((format(printf, 2, 3))) complain(struct cluster *c, const char *fmt, ...)
{
	char line[sizeof(c->problem)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (strcmp(line, c->problem) == 0)
		return;
	memcpy(c->problem, line, sizeof(line));
	log_error("store", "%s", line);
}

/* ---- files ---- */

/* Below dir; false (and empty) if it does not fit. */
static bool
path_below(char *out, size_t size, const char *dir, const char *name)
{
	int n = snprintf(out, size, "%s/%s", dir, name);

	if (n >= 0 && (size_t)n < size)
		return true;
	out[0] = '\0';
	return false;
}

static int
own(const struct cluster *c, const char *path)
{
	return c->user.change ? lchown(path, c->user.uid, c->user.gid) : 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* Data below a directory that PostgreSQL's user may not enter is of no use to it. */
static bool
reachable(struct cluster *c)
{
	struct stat st;

	if (!c->user.change || spawn_can_enter(&c->user, c->data))
		return true;
	/* The data directory is ours: let others pass through it, not look into it. */
	if (stat(c->data, &st) == 0 && (st.st_mode & 0011) != 0011)
		chmod(c->data, (st.st_mode & 07777) | 0011);
	return spawn_can_enter(&c->user, c->data);
}

/* Where a new cluster goes: beside its final name, or in /var/lib when its user could not
 * get there (a data directory below /root).  Makes the directory. */
static bool
place_new(struct cluster *c, const char *final, char *out, size_t size)
{
	char away[] = "/var/lib/faultline-pg-XXXXXX";

	if (reachable(c)) {
		if (!path_below(out, size, c->data, "pg.new"))
			return false;
		nftw(out, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* left by a start that was cut short */
		return mkdir(out, 0700) == 0 && own(c, out) == 0;
	}
	if (mkdtemp(away) == NULL || own(c, away) == -1)
		return false;
	log_warn("store", "user %s may not enter %s: the database is in %s, and %s points there", c->user.name, c->data,
		 away, final);
	snprintf(out, size, "%s", away);
	return true;
}

static int
server_log(const struct cluster *c)
{
	char path[PATH_SIZE + 8];
	struct stat st;
	int fd;

	if (!path_below(path, sizeof(path), c->data, "pg.log"))
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd != -1 && fstat(fd, &st) == 0 && st.st_size > (off_t)LOG_MAX_BYTES && ftruncate(fd, 0) == -1)
		log_warn("store", "%s: %s", path, strerror(errno));
	return fd;
}

/* ---- making a cluster ---- */

static bool
run_initdb(struct cluster *c, char *dir)
{
	char tool[PATH_SIZE + 16], name[] = "--username=faultline", auth[] = "--auth=trust", loc[] = "--locale=C",
				   enc[] = "--encoding=UTF8", flag[] = "-D", seg[] = "--wal-segsize=16";
	char *argv[] = { tool, flag, dir, name, auth, loc, enc, seg, NULL };
	struct spawn_options o = { .cwd = "/", .user = &c->user, .output = server_log(c), .death_signal = SIGTERM };
	int status = -1, done = 0;
	pid_t pid;

	path_below(tool, sizeof(tool), c->bindir, "initdb");
	if (access(tool, X_OK) == -1) {
		complain(c, "cannot run %s: %s; install postgresql or set pg-bindir", tool, strerror(errno));
		close(o.output);
		return false;
	}
	log_info("store", "creating the database in %s (once; a few seconds)", c->pgdata);
	pid = spawn(argv, &o);
	close(o.output);
	while (pid > 0 && (done = spawn_wait(pid, -1, c->wake_fd, &status)) == 0)
		if (atomic_load(&c->stop))
			kill(pid, SIGTERM);
	if (done == 1 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!atomic_load(&c->stop))
		complain(c, "initdb failed; see %s/pg.log", c->data);
	return false;
}

/* What an operator may change later stands in the file, not on the command line. */
static bool
write_tuning(const char *dir)
{
	static const char tuning[] = "\n# faultline: history that the log can fill again, one writer, few readers\n"
				     "shared_buffers = 128MB\nmax_connections = 32\nwal_level = minimal\n"
				     "max_wal_senders = 0\nmax_wal_size = 1GB\njit = off\n"
				     "log_min_messages = warning\nlog_line_prefix = '%m [%p] '\n";
	char path[PATH_SIZE + 32];
	int fd;
	bool ok;

	path_below(path, sizeof(path), dir, "postgresql.conf");
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd == -1)
		return false;
	ok = write(fd, tuning, sizeof(tuning) - 1) == (ssize_t)(sizeof(tuning) - 1) && fsync(fd) == 0;
	close(fd);
	return ok;
}

static bool
create(struct cluster *c)
{
	char dir[PATH_SIZE + 32];

	if (!place_new(c, c->pgdata, dir, sizeof(dir))) {
		complain(c, "cannot make a directory for the database below %s: %s", c->data, strerror(errno));
		return false;
	}
	if (!run_initdb(c, dir) || !write_tuning(dir))
		return false;
	if ((strcmp(strrchr(dir, '/'), "/pg.new") == 0 ? rename(dir, c->pgdata) : symlink(dir, c->pgdata)) == -1) {
		complain(c, "cannot put the new database at %s: %s", c->pgdata, strerror(errno));
		return false;
	}
	log_info("store", "created the database");
	return true;
}

/* ---- what an earlier run left ---- */

/* Is that process the server of our data directory? */
static bool
is_our_server(const struct cluster *c, pid_t pid)
{
	char link[64], at[PATH_SIZE], real[PATH_SIZE];
	ssize_t n;
	FILE *f;
	bool found = false;

	if (realpath(c->pgdata, real) == NULL)
		return false;
	snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
	n = readlink(link, at, sizeof(at) - 1);
	if (n > 0) {
		at[n] = '\0';
		return strcmp(at, real) == 0;
	}
	/* Not ours to look at, in a container without ptrace: its arguments are public. */
	snprintf(link, sizeof(link), "/proc/%d/cmdline", (int)pid);
	f = fopen(link, "re");
	if (f == NULL)
		return false;
	n = (ssize_t)fread(at, 1, sizeof(at) - 1, f);
	fclose(f);
	at[n] = '\0';
	for (char *p = at; p < at + n; p += strlen(p) + 1)
		found |= strcmp(p, c->pgdata) == 0 || strcmp(p, real) == 0;
	return found;
}

static bool
gone(const struct cluster *c, pid_t pid, int timeout_ms)
{
	int64_t end = clock_boot_us() + (int64_t)timeout_ms * 1000;

	while (kill(pid, 0) == 0 && is_our_server(c, pid)) { /* a zombie is nobody's server */
		if (clock_boot_us() > end)
			return false;
		poll(NULL, 0, 20);
	}
	return true;
}

/* A lock file whose process id now belongs to somebody else would keep PostgreSQL from
 * starting.  Our own id in its place means "my parent" to it, and so stale, while its
 * check of the old server's shared memory stays in force. */
static void
disown_lock(const char *path, const char *rest, size_t rest_len)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		return;
	fprintf(f, "%d\n", (int)getpid());
	fwrite(rest, 1, rest_len, f);
	fclose(f);
}

static bool
stop_orphan(struct cluster *c)
{
	char path[PATH_SIZE + 32], text[1024], *eol;
	bool answers;
	size_t n;
	pid_t pid;
	FILE *f;

	path_below(path, sizeof(path), c->pgdata, "postmaster.pid");
	f = fopen(path, "re");
	if (f == NULL)
		return true;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	pid = (pid_t)atoi(text);
	eol = strchr(text, '\n');
	if (pid <= 1 || pid == getpid() || (kill(pid, 0) == -1 && errno == ESRCH))
		return true;
	if (!is_our_server(c, pid)) {
		if (eol != NULL)
			disown_lock(path, eol + 1, n - (size_t)(eol + 1 - text));
		return true;
	}
	log_info("store", "stopping the database server %d of an earlier run", (int)pid);
	answers = PQping(c->conninfo) == PQPING_OK;
	kill(pid, SIGINT);
	if (gone(c, pid, answers ? FAST_STOP_MS : BUSY_STOP_MS))
		return true;
	kill(pid, SIGQUIT);
	if (gone(c, pid, HARD_STOP_MS))
		return true;
	kill(pid, SIGKILL);
	return gone(c, pid, HARD_STOP_MS);
}

/* ---- running it ---- */

/* "postgres (PostgreSQL) 15.18 …" into out; empty if it cannot be run. */
static void
ask_version(struct cluster *c, char *tool, char *out, size_t size)
{
	char flag[] = "-V", *argv[] = { tool, flag, NULL };
	struct spawn_options o = { .cwd = "/", .user = &c->user };
	int fds[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	out[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) == -1)
		return;
	o.output = fds[1];
	pid = spawn(argv, &o);
	close(fds[1]);
	while (pid > 0 && n < size - 1 && (got = read(fds[0], out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	close(fds[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
}

/* PostgreSQL reads only the files of its own major version. */
static bool
version_fits(struct cluster *c)
{
	char path[PATH_SIZE + 32], ours[16] = "", out[64], tool[PATH_SIZE + 16];
	const char *v;
	FILE *f;
	int n = 0;

	path_below(path, sizeof(path), c->pgdata, "PG_VERSION");
	f = fopen(path, "re");
	if (f != NULL) {
		n = fscanf(f, "%15[0-9.]", ours);
		fclose(f);
	}
	if (n != 1) {
		complain(c, "%s is no database: it has no PG_VERSION; move it away", c->pgdata);
		return false;
	}
	path_below(tool, sizeof(tool), c->bindir, "postgres");
	ask_version(c, tool, out, sizeof(out));
	v = strpbrk(out, "0123456789");
	if (v == NULL) {
		complain(c, "cannot run %s; install postgresql or set pg-bindir", tool);
		return false;
	}
	if (strncmp(v, ours, strlen(ours)) == 0 && strchr("0123456789", v[strlen(ours)]) == NULL)
		return true;
	complain(c,
		 "%s was made by PostgreSQL %s, but %s is version %.10s: set pg-bindir to the old version, or see "
		 "DATABASE.md on changing versions",
		 c->pgdata, ours, tool, v);
	return false;
}

static bool
make_socket_dir(struct cluster *c)
{
	struct stat st;
	uid_t owner = c->user.change ? c->user.uid : geteuid();

	if (mkdir(c->socket_dir, 0700) == 0)
		return own(c, c->socket_dir) == 0;
	/* A name in a public directory: only if it is truly ours. */
	if (errno == EEXIST && lstat(c->socket_dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	    (st.st_uid == owner || st.st_uid == geteuid()))
		return own(c, c->socket_dir) == 0 && chmod(c->socket_dir, 0700) == 0;
	complain(c, "cannot make %s for the database's socket: %s", c->socket_dir, strerror(errno));
	return false;
}

static pid_t
start_server(struct cluster *c)
{
	char tool[PATH_SIZE + 16], dirs[2 * PATH_SIZE + 64], real[PATH_SIZE],
		flag[] = "-D", set[] = "-c", listen[] = "listen_addresses=", perms[] = "unix_socket_permissions=0700",
		port[] = "port=5432", *p;
	char *argv[] = { tool, flag, real, set, listen, set, dirs, set, perms, set, port, NULL };
	struct spawn_options o = { .cwd = "/", .user = &c->user, .output = server_log(c), .death_signal = SIGINT };
	pid_t pid;

	if (realpath(c->pgdata, real) == NULL)
		return -1;
	path_below(tool, sizeof(tool), c->bindir, "postgres");
	p = stpcpy(dirs, "unix_socket_directories=\"");
	for (const char *s = c->socket_dir; *s != '\0'; s++) {
		if (*s == '"')
			*p++ = '"';
		*p++ = *s;
	}
	strcpy(p, "\"");
	pid = spawn(argv, &o);
	close(o.output);
	return pid;
}

static void
stop_server(pid_t pid, bool answers)
{
	const struct {
		int signal, wait_ms;
	} steps[] = { { SIGINT, answers ? FAST_STOP_MS : BUSY_STOP_MS }, { SIGQUIT, HARD_STOP_MS }, { SIGKILL, -1 } };
	int status;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int64_t end = clock_boot_us() + (int64_t)steps[i].wait_ms * 1000;

		kill(pid, steps[i].signal);
		do
			if (spawn_wait(pid, steps[i].wait_ms, -1, &status) != 0)
				return;
		while (steps[i].wait_ms == -1 || clock_boot_us() < end);
	}
}

/* Until it ends or we are told to stop (then it is stopped). */
static void
watch_server(struct cluster *c, pid_t pid)
{
	int status = 0, done;

	while ((done = spawn_wait(pid, atomic_load(&c->up) ? 1000 : 50, c->wake_fd, &status)) == 0) {
		if (atomic_load(&c->stop)) {
			atomic_store(&c->up, false);
			stop_server(pid, PQping(c->conninfo) == PQPING_OK);
			return;
		}
		if (!atomic_load(&c->up) && PQping(c->conninfo) == PQPING_OK) {
			atomic_store(&c->up, true);
			c->problem[0] = '\0';
			log_info("store", "the database server is up");
		}
	}
	atomic_store(&c->up, false);
	if (done == 1 && !atomic_load(&c->stop))
		complain(c, "the database server ended (%s %d); starting it again; see %s/pg.log",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), c->data);
}

static bool
prepare(struct cluster *c)
{
	struct stat st;

	if (lstat(c->pgdata, &st) == -1 && !create(c))
		return false;
	return version_fits(c) && stop_orphan(c) && make_socket_dir(c);
}

static void
idle(struct cluster *c, int ms)
{
	struct pollfd p = { c->wake_fd, POLLIN, 0 };

	poll(&p, 1, ms);
}

static void *
cluster_main(void *arg)
{
	struct cluster *c = arg;
	int backoff_ms = BACKOFF_MIN_MS;
	bool again = false;

	while (!atomic_load(&c->stop)) {
		int64_t begin = clock_boot_us();
		pid_t pid = prepare(c) && !atomic_load(&c->stop) ? start_server(c) : -1;

		if (pid > 0) {
			if (again)
				counter_add(COUNTER_store_restarts, 1);
			again = true;
			watch_server(c, pid);
		}
		if (clock_boot_us() - begin > STABLE_US)
			backoff_ms = BACKOFF_MIN_MS;
		if (!atomic_load(&c->stop))
			idle(c, backoff_ms);
		backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
	}
	return NULL;
}

/* ---- lifetime ---- */

/* DATA/pg/s if its path is short and open enough, else a name in /run or /tmp that is the same at
 * each start, so that kill -9 leaves no pile of them. */
static void
choose_socket_dir(struct cluster *c)
{
	const char *base = access("/run", W_OK) == 0 ? "/run" : "/tmp";

	snprintf(c->socket_dir, sizeof(c->socket_dir), "%s/s", c->pgdata);
	if (strlen(c->socket_dir) > SOCKET_DIR_MAX || !reachable(c))
		snprintf(c->socket_dir, sizeof(c->socket_dir), "%s/faultline-%u-%016llx", base, (unsigned)geteuid(),
			 (unsigned long long)hash64(0, c->data, strlen(c->data)));
}

static void
make_conninfo(struct cluster *c)
{
	char *p = stpcpy(c->conninfo, "host='");

	for (const char *s = c->socket_dir; *s != '\0'; s++) {
		if (*s == '\'' || *s == '\\')
			*p++ = '\\';
		*p++ = *s;
	}
	strcpy(p, "' port=5432 user=faultline dbname=postgres connect_timeout=3");
}

struct cluster *
cluster_start(const char *data_dir, const char *bindir, char *err, size_t err_size)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (c == NULL || realpath(data_dir, c->data) == NULL) {
		snprintf(err, err_size, "%s: %s", data_dir, strerror(errno));
		free(c);
		return NULL;
	}
	snprintf(c->bindir, sizeof(c->bindir), "%s", bindir[0] != '\0' ? bindir : PG_BINDIR);
	if (spawn_user_for_postgres(&c->user, err, err_size) == -1 ||
	    !path_below(c->pgdata, sizeof(c->pgdata), c->data, "pg")) {
		free(c);
		return NULL;
	}
	choose_socket_dir(c);
	make_conninfo(c);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd == -1 || pthread_create(&c->thread, NULL, cluster_main, c) != 0) {
		snprintf(err, err_size, "cannot start the database's thread: %s", strerror(errno));
		if (c->wake_fd != -1)
			close(c->wake_fd);
		free(c);
		return NULL;
	}
	return c;
}

const char *
cluster_conninfo(const struct cluster *c)
{
	return c->conninfo;
}

bool
cluster_up(const struct cluster *c)
{
	return atomic_load(&c->up);
}

void
cluster_stop(struct cluster *c)
{
	uint64_t one = 1;

	if (c == NULL)
		return;
	atomic_store(&c->stop, true);
	if (write(c->wake_fd, &one, sizeof(one)) == -1)
		log_warn("store", "%s", strerror(errno));
	pthread_join(c->thread, NULL);
	rmdir(c->socket_dir); /* empty by now; a failure leaves an empty directory */
	close(c->wake_fd);
	free(c);
}
