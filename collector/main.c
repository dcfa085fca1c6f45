/* SPDX-License-Identifier: Apache-2.0 */
/* faultlined: reads the settings, starts the daemon, minds the signals. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logline.h"
#include "base/settings.h"
#include "collector/daemon.h"
#include "collector/listen.h"
#include "collector/live.h"
#include "collector/workers/worker.h"
#include "collector/workers/zygote.h"

static void
print_help(void)
{
	size_t n;
	const struct setting_row *rows = settings_rows(&n);
	const char *section = "";

	puts("Usage: faultlined [--config FILE] [--SETTING VALUE]...\n"
	     "Collects crash reports, heartbeats and dumps of a fleet and tells deployments to proceed, hold or halt.\n\n"
	     "  --config FILE              read settings from an ini file (faultlined.conf(5)) first\n"
	     "  --help, --version");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(section, rows[i].section) != 0)
			printf("\n%s:\n", section = rows[i].section);
		printf("  --%-24s %s", rows[i].name, rows[i].help);
		if (rows[i].preset[0] != '\0')
			printf(" [%s]", rows[i].preset);
		putchar('\n');
	}
	puts("\nSIGTERM stops after answering what is in flight; SIGHUP reads the settings again.");
}

/* Thousands of connections need as many descriptors. */
static void
raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int
make_data_dir(const char *dir, char *err, size_t err_size)
{
	/* Others may pass through: the private database runs as another user when we are root. */
	if (mkdir(dir, 0711) == -1 && errno != EEXIST) {
		snprintf(err, err_size, "cannot make data directory %s: %s (choose another with --data DIR)", dir,
			 strerror(errno));
		return -1;
	}
	if (access(dir, W_OK | X_OK) == -1) {
		snprintf(err, err_size, "cannot write to data directory %s: %s", dir, strerror(errno));
		return -1;
	}
	return 0;
}

static void
block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void
write_pid_file(const char *path)
{
	FILE *f;

	if (path[0] == '\0')
		return;
	if ((f = fopen(path, "we")) == NULL) {
		log_warn("main", "cannot write pid file %s: %s", path, strerror(errno));
		return;
	}
	fprintf(f, "%ld\n", (long)getpid());
	fclose(f);
}

/* Until SIGTERM or SIGINT. */
static void
serve(struct daemon *d, struct live *live, const sigset_t *set, int argc, char **argv)
{
	char err[512];
	int sig;

	for (;;) {
		if (sigwait(set, &sig) != 0)
			continue;
		if (sig != SIGHUP)
			break;
		if (live_reload(live, argc, argv, err, sizeof(err)) == -1)
			log_error("reload", "%s; nothing was changed", err);
		else
			daemon_reload(d);
	}
	log_info("main", "stopping on %s", sig == SIGTERM ? "SIGTERM" : "SIGINT");
}

int
main(int argc, char **argv)
{
	struct settings s;
	struct live *live;
	struct daemon *d;
	char err[1024] = "out of memory";
	sigset_t set;
	int action, rest;

	if (zygote_requested(argc, argv))
		return zygote_main(worker_triage);
	if (settings_init(&s) == -1 || (rest = settings_read_args(&s, argc, argv, &action, err, sizeof(err))) == -1)
		goto usage;
	if (action == 'h')
		return print_help(), 0;
	if (action == 'V')
		return puts("faultlined " PACKAGE_VERSION), 0;
	if (rest < argc) {
		snprintf(err, sizeof(err), "unexpected argument \"%s\"", argv[rest]);
		goto usage;
	}
	if (listen_check(&s, err, sizeof(err)) == -1)
		goto usage;
	block_signals(&set);
	raise_descriptor_limit();
	if (make_data_dir(s.data, err, sizeof(err)) == -1 || (live = live_new(&s, err, sizeof(err))) == NULL)
		goto fail;
	if ((d = daemon_start(live, err, sizeof(err))) == NULL) {
		live_free(live);
		goto fail;
	}
	write_pid_file(live_settings(live)->pid_file);
	serve(d, live, &set, argc, argv);
	daemon_stop(d);
	if (live_settings(live)->pid_file[0] != '\0')
		unlink(live_settings(live)->pid_file);
	live_free(live);
	log_info("main", "stopped");
	return 0;
usage:
	fprintf(stderr, "faultlined: %s\nTry 'faultlined --help'.\n", err);
	return 2;
fail:
	fprintf(stderr, "faultlined: %s\n", err);
	return 1;
}
