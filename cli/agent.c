/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/agent.h"
#include "cli/api_client.h"
#include "cli/option.h"

enum { AGENT_OK = 0, AGENT_FAILED = 1, AGENT_USAGE = 2 };

#define FLUSH_MS   5000 /* for the goodbye */
#define CONFIG_MAX 1024 /* bytes of a line */

static const char help[] =
	"usage: faultline agent [--config FILE] [--server HOST:PORT] [--watch DIR]... [--content NAME=VERSION]...\n\n"
	"A small endpoint: heartbeats with what is installed, crash records and dumps from folders, a goodbye on\n"
	"SIGTERM, and the list of halted deployments for an updater to look at.  Reports wait in a spool until the\n"
	"server has them on disk, also over kills and reboots.\n\n"
	"  --config FILE       lines NAME = VALUE with the names below, without the dashes\n"
	"  --server HOST:PORT  the native stream listener [127.0.0.1:8481]\n"
	"  --token-file FILE   file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --host ID           this host, 1 to 64 bytes [/etc/machine-id, else the host name]\n"
	"  --state-dir DIR     spool, sequence numbers and what was handled [/var/lib/faultline-agent]\n"
	"  --watch DIR         folder where cores, minidumps and crash records (*.json) appear; may be given again\n"
	"  --content NAME=VERSION\n"
	"                      what is installed; may be given again\n"
	"  --content-dir DIR   the same from files: each is named after a content and holds its version\n"
	"  --halted FILE       keep the ids of halted deployments there, one a line; -: print them\n"
	"  --interval TIME     between heartbeats [60s]\n"
	"  --product P, --version V, --os-build B, --hw-class C, --label NAME=VALUE\n"
	"                      what the host is\n"
	"  --once              one heartbeat, what is in the folders, then leave (0: all acknowledged)\n"
	"  --quiet             say nothing on standard error\n\n"
	"Exit: 0 stopped cleanly, 1 cannot start or not everything was acknowledged (--once), 2 usage.\n";

void
agent_say(const struct agent *a, const char *fmt, ...)
{
	va_list ap;

	if (a->quiet)
		return;
	fputs("faultline agent: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- options ---- */

static bool
set_pair(struct agent_text *pairs, unsigned *n, const char *text)
{
	const char *eq = strchr(text, '=');

	if (eq == NULL || eq == text || *n == AGENT_PAIRS || (size_t)(eq - text) >= sizeof(pairs->name) ||
	    strlen(eq + 1) >= sizeof(pairs->value))
		return false;
	snprintf(pairs[*n].name, sizeof(pairs->name), "%.*s", (int)(eq - text), text);
	snprintf(pairs[*n].value, sizeof(pairs->value), "%s", eq + 1);
	(*n)++;
	return true;
}

static bool
set_string(char **field, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return false;
	free(*field);
	*field = copy;
	return true;
}

static bool
set_option(struct agent *a, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **field;
	} strings[] = {
		{ "server", &a->server },       { "token-file", &a->token_file },   { "host", &a->host },
		{ "state-dir", &a->state_dir }, { "content-dir", &a->content_dir }, { "halted", &a->halted_file },
		{ "product", &a->product },     { "version", &a->version },         { "os-build", &a->os_build },
		{ "hw-class", &a->hw_class },
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strcmp(name, strings[i].name) == 0)
			return set_string(strings[i].field, value);
	if (strcmp(name, "watch") == 0)
		return a->n_watch < AGENT_WATCHES && set_string(&a->watch[a->n_watch++], value);
	if (strcmp(name, "content") == 0)
		return set_pair(a->content, &a->n_content, value);
	if (strcmp(name, "label") == 0)
		return set_pair(a->labels, &a->n_labels, value);
	if (strcmp(name, "interval") == 0)
		return parse_wait(value, &a->interval_ms) == 0 && a->interval_ms >= 1000 && a->interval_ms <= 86400000;
	return false;
}

/* Without white space at both ends; changes s. */
static char *
trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	for (n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL; n--)
		s[n - 1] = '\0';
	return s;
}

static int
read_config(struct agent *a, const char *path)
{
	char line[CONFIG_MAX], *eq, *name;
	FILE *f = fopen(path, "re");
	int n = 0;

	if (f == NULL) {
		fprintf(stderr, "faultline agent: cannot read %s: %s\n", path, strerror(errno));
		return -1;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		n++;
		name = trim(line);
		if (*name == '\0' || strchr("#;[", *name) != NULL)
			continue;
		if ((eq = strchr(name, '=')) != NULL)
			*eq = '\0';
		if (eq == NULL || !set_option(a, trim(name), trim(eq + 1))) {
			fprintf(stderr, "faultline agent: %s:%d: not a setting, or not a value for it: %s\n", path, n,
				name);
			fclose(f);
			return -1;
		}
	}
	fclose(f);
	return 0;
}

enum { OPT_CONFIG = 256, OPT_ONCE, OPT_QUIET, OPT_VALUE };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, 'h' },
	{ "server", required_argument, NULL, OPT_VALUE },
	{ "token-file", required_argument, NULL, OPT_VALUE },
	{ "host", required_argument, NULL, OPT_VALUE },
	{ "state-dir", required_argument, NULL, OPT_VALUE },
	{ "watch", required_argument, NULL, OPT_VALUE },
	{ "content", required_argument, NULL, OPT_VALUE },
	{ "content-dir", required_argument, NULL, OPT_VALUE },
	{ "halted", required_argument, NULL, OPT_VALUE },
	{ "interval", required_argument, NULL, OPT_VALUE },
	{ "product", required_argument, NULL, OPT_VALUE },
	{ "version", required_argument, NULL, OPT_VALUE },
	{ "os-build", required_argument, NULL, OPT_VALUE },
	{ "hw-class", required_argument, NULL, OPT_VALUE },
	{ "label", required_argument, NULL, OPT_VALUE },
	{ NULL, 0, NULL, 0 },
};

static int
parse(struct agent *a, int argc, char **argv)
{
	int opt, which = 0;

	while ((opt = getopt_long(argc, argv, "h", long_options, &which)) != -1)
		switch (opt) {
		case OPT_CONFIG:
			if (read_config(a, optarg) == -1)
				return -1;
			break;
		case OPT_ONCE:
			a->once = true;
			break;
		case OPT_QUIET:
			a->quiet = true;
			break;
		case OPT_VALUE:
			if (set_option(a, long_options[which].name, optarg))
				break;
			fprintf(stderr, "faultline agent: --%s: \"%s\" is no value for it\n", long_options[which].name,
				optarg);
			return -1;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			return -1;
		}
	if (optind == argc)
		return 0;
	fputs(help, stderr);
	return -1;
}

/* ---- who we are ---- */

/* First line of a file, without its end; "" if there is none. */
static void
first_line(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");

	out[0] = '\0';
	if (f == NULL)
		return;
	if (fgets(out, (int)size, f) == NULL)
		out[0] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	fclose(f);
}

static bool
find_identity(struct agent *a)
{
	struct utsname u;
	char host[65];

	first_line("/proc/sys/kernel/random/boot_id", a->boot_id, sizeof(a->boot_id));
	if (a->host == NULL) {
		first_line("/etc/machine-id", host, sizeof(host));
		if (host[0] == '\0' && gethostname(host, sizeof(host) - 1) != 0)
			host[0] = '\0';
		if (!set_string(&a->host, host))
			return false;
	}
	if (a->os_build == NULL && uname(&u) == 0 && !set_string(&a->os_build, u.release))
		return false;
	if (a->host[0] == '\0' || strlen(a->host) > 64) {
		fprintf(stderr, "faultline agent: a host id is 1 to 64 bytes: give --host\n");
		return false;
	}
	return true;
}

/* ---- heartbeats ---- */

static unsigned
fill_pairs(const struct agent_text *in, unsigned n, struct faultline_pair *out)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = (struct faultline_pair){ in[i].name, in[i].value };
	return n;
}

/* What the folder says is installed, after what the options say. */
static unsigned
read_content_dir(const struct agent *a, struct agent_text *out, unsigned n)
{
	DIR *d = a->content_dir != NULL ? opendir(a->content_dir) : NULL;
	struct dirent *e;
	char path[4096];

	while (d != NULL && n < AGENT_PAIRS && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(out->name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", a->content_dir, e->d_name);
		first_line(path, out[n].value, sizeof(out->value));
		memcpy(out[n].name, e->d_name, strlen(e->d_name) + 1);
		if (out[n].value[0] != '\0')
			n++;
	}
	if (d != NULL)
		closedir(d);
	return n;
}

static void
beat(struct agent *a, bool goodbye)
{
	struct agent_text installed[AGENT_PAIRS];
	struct faultline_pair content[AGENT_PAIRS], labels[AGENT_PAIRS];
	struct utsname u = { 0 };
	struct faultline_heartbeat h = {
		.boot_id = a->boot_id,
		.boot_id_len = strlen(a->boot_id),
		.product = a->product,
		.version = a->version,
		.os = "linux",
		.os_build = a->os_build,
		.hw_class = a->hw_class,
		.content = content,
		.labels = labels,
		.uptime_s = (uint64_t)(clock_boot_us() / 1000000),
		.interval_s = (unsigned)((a->interval_ms + 999) / 1000),
	};
	int rc;

	uname(&u);
	h.arch = u.machine;
	memcpy(installed, a->content, sizeof(installed));
	h.n_content = fill_pairs(installed, read_content_dir(a, installed, a->n_content), content);
	h.n_labels = fill_pairs(a->labels, a->n_labels, labels);
	rc = goodbye ? faultline_goodbye(a->client, &h) : faultline_heartbeat(a->client, &h);
	if (rc != FAULTLINE_OK)
		agent_say(a, "a heartbeat cannot be sent: a text is too long or not UTF-8");
}

/* ---- what the server says ---- */

static void
on_connection(void *arg, int connected, const char *why)
{
	if (connected)
		agent_say(arg, "connected to %s", ((struct agent *)arg)->server);
	else
		agent_say(arg, "not connected: %s", why);
}

static void
on_refused(void *arg, uint64_t ticket, const char *cookie, const char *code, const char *message)
{
	(void)ticket;
	agent_say(arg, "%s was refused: %s: %s", cookie, code, message);
}

static int
on_want_dump(void *arg, const char *cookie, const char *report_id)
{
	int fd = open(cookie, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))) {
		close(fd);
		fd = -1;
	}
	agent_say(arg, fd == -1 ? "the dump of %s is wanted, but %s is gone" : "sending the dump of %s: %s", report_id,
		  cookie);
	return fd;
}

static void
on_dump_done(void *arg, const char *report_id, const char *code)
{
	if (code == NULL)
		agent_say(arg, "the dump of %s is stored", report_id);
	else
		agent_say(arg, "the dump of %s was not stored: %s", report_id, code);
}

static void
on_advice(void *arg, const char *signature, const char *text)
{
	agent_say(arg, "%s: %s", signature, text);
}

/* The whole list, in place of the old one at once. */
static void
on_halted(void *arg, const char *const *ids, size_t n)
{
	struct agent *a = arg;
	char *tmp = NULL;
	FILE *f;

	if (a->halted_file == NULL)
		return;
	if (strcmp(a->halted_file, "-") == 0) {
		printf("halted:");
		for (size_t i = 0; i < n; i++)
			printf(" %s", ids[i]);
		putchar('\n');
		fflush(stdout);
		return;
	}
	if (asprintf(&tmp, "%s.new", a->halted_file) == -1)
		return;
	f = fopen(tmp, "we");
	for (size_t i = 0; f != NULL && i < n; i++)
		fprintf(f, "%s\n", ids[i]);
	if (f == NULL || fclose(f) != 0 || rename(tmp, a->halted_file) == -1)
		agent_say(a, "cannot write %s: %s", a->halted_file, strerror(errno));
	free(tmp);
}

/* ---- life ---- */

static bool
open_client(struct agent *a, char *err, size_t err_size)
{
	char *spool = NULL, *state = NULL;
	struct faultline_options o = {
		.size = sizeof(o),
		.server = a->server,
		.agent = "faultline-agent/" PACKAGE_VERSION,
		.host = a->host,
		.host_len = strlen(a->host),
		.token = a->token[0] != '\0' ? a->token : NULL,
		.arg = a,
		.on = { .refused = on_refused,
			.want_dump = on_want_dump,
			.dump_done = on_dump_done,
			.halted = on_halted,
			.advice = on_advice,
			.connection = on_connection },
	};

	if (mkdir(a->state_dir, 0700) == -1 && errno != EEXIST) {
		snprintf(err, err_size, "cannot make %s: %s", a->state_dir, strerror(errno));
		return false;
	}
	if (asprintf(&spool, "%s/spool", a->state_dir) == -1 || asprintf(&state, "%s/state", a->state_dir) == -1) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	o.spool = spool;
	o.state = state;
	a->client = faultline_new(&o, err, err_size);
	free(spool);
	free(state);
	return a->client != NULL;
}

static int
catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
live(struct agent *a, int signal_fd)
{
	struct pollfd p[3] = { { faultline_fd(a->client), POLLIN, 0 },
			       { a->inotify_fd, POLLIN, 0 },
			       { signal_fd, POLLIN, 0 } };
	int64_t next = clock_boot_us(), left;

	while ((p[2].revents & POLLIN) == 0) {
		left = next - clock_boot_us();
		if (left <= 0) {
			beat(a, false);
			agent_watch_scan(a); /* what could not be queued before gets another chance */
			next = clock_boot_us() + a->interval_ms * 1000;
			left = a->interval_ms * 1000;
		}
		if (poll(p, 3, (int)(left / 1000) + 1) <= 0)
			continue;
		if (p[0].revents != 0)
			faultline_process(a->client);
		if (p[1].revents != 0)
			agent_watch_ready(a);
	}
	beat(a, true);
	if (faultline_flush(a->client, FLUSH_MS) != FAULTLINE_OK)
		agent_say(a, "%llu bytes wait in the spool for the next start",
			  (unsigned long long)faultline_pending(a->client));
}

static int
run(struct agent *a)
{
	int signal_fd = catch_signals(), rc = AGENT_FAILED;
	char err[512];

	if (option_token(a->token_file, a->token, sizeof(a->token), err, sizeof(err)) == -1 ||
	    !open_client(a, err, sizeof(err)) || agent_watch_open(a, err, sizeof(err)) == -1) {
		fprintf(stderr, "faultline agent: %s\n", err);
	} else if (a->once) {
		beat(a, false);
		agent_watch_scan(a);
		rc = faultline_flush(a->client, 30000) == FAULTLINE_OK ? AGENT_OK : AGENT_FAILED;
	} else {
		live(a, signal_fd);
		rc = AGENT_OK;
	}
	agent_watch_close(a);
	faultline_free(a->client);
	close(signal_fd);
	return rc;
}

int
cmd_agent(int argc, char **argv)
{
	static struct agent a = { .interval_ms = 60000, .inotify_fd = -1, .seen_fd = -1 };

	if (!set_string(&a.server, "127.0.0.1:8481") || !set_string(&a.state_dir, "/var/lib/faultline-agent") ||
	    parse(&a, argc, argv) == -1)
		return AGENT_USAGE;
	return find_identity(&a) ? run(&a) : AGENT_FAILED;
}
