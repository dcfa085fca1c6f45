/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/top.h"

#define TIMEOUT_MS 5000

static const char help[] = "usage: faultline top [--once] [--json] [--sort hosts|newest|trend] [--interval TIME]\n"
			   "                     [--server URL] [--token-file FILE]\n\n"
			   "Shows deployments with their verdicts, and signatures, as they change.\n\n"
			   "  --once            print once and leave (also when standard output is no terminal)\n"
			   "  --json            print GET /v1/now as it comes, an object a line\n"
			   "  --sort WORD       order of the signatures: hosts, newest or trend\n"
			   "  --interval TIME   time between two looks [1s]\n"
			   "  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
			   "  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n\n"
			   "Keys: h hosts, n newest, t trend, q quit.\n";

static const struct order {
	char key;
	const char *name, *list; /* member of /v1/now */
} orders[] = {
	{ 'h', "hosts", "largest" },
	{ 'n', "newest", "newest" },
	{ 't', "trend", "rising" },
};
#define N_ORDERS (sizeof(orders) / sizeof(orders[0]))

struct top {
	struct api_client *client;
	const char *server, *token_file;
	int64_t interval_ms;
	size_t order;
	bool once, json, live; /* live: a terminal in raw mode */
	int width, lines_left;
	FILE *out;
};

static volatile sig_atomic_t resized, stopped;

static void
on_resize(int sig)
{
	(void)sig;
	resized = 1;
}
static void
on_stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* ---- drawing: line by line, never more than fit ---- */

static void
end_line(struct top *t)
{
	fputs(t->live ? "\x1b[K\r\n" : "\n", t->out);
	t->lines_left--;
}

static void
colour(const struct top *t, const char *code)
{
	if (t->live)
		fprintf(t->out, "\x1b[%sm", code);
}

static const char *
verdict_colour(const char *verdict)
{
	return strcmp(verdict, "halt") == 0 ? "1;37;41" : strcmp(verdict, "proceed") == 0 ? "1;34" : "1;33";
}

/* "12 s", "5 min", "3 h" since an RFC 3339 time of the server. */
static void
age(const char *time, const char *now, char *buf, size_t size)
{
	int64_t then_us, now_us, s;

	buf[0] = '\0';
	if (clock_parse_rfc3339(time, &then_us) != 0 || clock_parse_rfc3339(now, &now_us) != 0)
		return;
	s = now_us > then_us ? (now_us - then_us) / 1000000 : 0;
	if (s < 60)
		snprintf(buf, size, "%lld s", (long long)s);
	else if (s < 3600)
		snprintf(buf, size, "%lld min", (long long)s / 60);
	else if (s < 86400)
		snprintf(buf, size, "%lld h", (long long)s / 3600);
	else
		snprintf(buf, size, "%lld d", (long long)s / 86400);
}

static void
draw_head(struct top *t, const json_t *now)
{
	const json_t *hosts = json_object_get(now, "hosts"), *arrivals = json_object_get(now, "arrivals");
	char line[512];

	snprintf(line, sizeof(line), "faultline %s  %s  %s  ledger %.1f s behind", json_member(now, "version"),
		 json_member(now, "time"), json_member(now, "server"),
		 json_number_value(json_object_get(now, "stale_seconds")));
	colour(t, "1");
	print_column(t->out, line, t->width, false);
	colour(t, "0");
	end_line(t);
	snprintf(
		line, sizeof(line),
		"hosts %lld known, %lld heard of in 5 min, %lld sites   crashes %lld counted, %lld in the last minute   "
		"signatures %lld",
		json_count(hosts, "known"), json_count(hosts, "recent"), json_count(hosts, "sites"),
		json_count(json_object_get(now, "reports"), "counted"), json_count(arrivals, "last_minute"),
		json_count(now, "signatures"));
	print_column(t->out, line, t->width, false);
	end_line(t);
}

static void
draw_arrivals(struct top *t, const json_t *now)
{
	static const char *const bars[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	const json_t *reports = json_object_get(json_object_get(now, "arrivals"), "reports");
	size_t n = json_array_size(reports), columns = t->width > 12 ? (size_t)t->width - 10 : 0;
	long long most = 1;

	if (columns > 120)
		columns = 120;
	if (n < columns)
		columns = n;
	for (size_t i = n - columns; i < n; i++)
		if (json_integer_value(json_array_get(reports, i)) > most)
			most = json_integer_value(json_array_get(reports, i));
	fputs("per s   ", t->out);
	for (size_t i = n - columns; i < n; i++) {
		long long v = json_integer_value(json_array_get(reports, i));

		fputs(bars[v == 0 ? 0 : 1 + v * 7 / most], t->out);
	}
	end_line(t);
}

static void
draw_deployment(struct top *t, const json_t *d, const char *now)
{
	const char *verdict = json_member(d, "verdict");
	char since[32], counts[96];
	int left = t->width;

	colour(t, verdict_colour(verdict));
	left -= print_column(t->out, verdict, left < 8 ? left : 8, true);
	colour(t, "0");
	fputc(' ', t->out);
	left -= 1 + print_column(t->out, json_member(d, "id"), left < 26 ? left : 26, true);
	age(json_member(d, "since"), now, since, sizeof(since));
	snprintf(counts, sizeof(counts), " %8lld %8lld %7lld %7s  ", json_count(d, "served"), json_count(d, "resolved"),
		 json_count(d, "bad"), since);
	left -= print_column(t->out, counts, left < 0 ? 0 : left, false);
	if (left > 0)
		print_column(t->out, json_member(d, "reason"), left, false);
	end_line(t);
}

static void
draw_signature(struct top *t, const json_t *s, const char *now)
{
	char first[32], last[32], counts[128];
	int title = t->width - 62;

	if (title < 16)
		title = 16;
	print_column(t->out, json_member(s, "title"), title, true);
	age(json_member(s, "first_seen"), now, first, sizeof(first));
	age(json_member(s, "last_seen"), now, last, sizeof(last));
	snprintf(counts, sizeof(counts), " %-13s %8lld %6lld %9lld %8s %8s", json_member(s, "kind"),
		 json_count(s, "hosts"), json_count(s, "sites"), json_count(s, "crashes"), first, last);
	print_column(t->out, counts, t->width > title ? t->width - title : 0, false);
	end_line(t);
}

static void
heading(struct top *t, const char *text)
{
	end_line(t);
	colour(t, "7");
	print_column(t->out, text, t->width, true);
	colour(t, "0");
	end_line(t);
}

static void
draw(struct top *t, const json_t *now)
{
	const char *time = json_member(now, "time");
	const json_t *item, *deployments = json_object_get(now, "deployments");
	int room, title = t->width - 62 > 16 ? t->width - 62 : 16;
	char line[512];
	size_t i;

	draw_head(t, now);
	draw_arrivals(t, now);
	heading(t, "VERDICT  DEPLOYMENT                    SERVED RESOLVED  HARMED   SINCE  REASON");
	room = t->lines_left / 2 - 1;
	json_array_foreach(deployments, i, item) if (room-- > 0) draw_deployment(t, item, time);
	if (i == 0) {
		fputs("none registered", t->out);
		end_line(t);
	}
	snprintf(line, sizeof(line), "SIGNATURES BY %-*s KIND             HOSTS  SITES   CRASHES    FIRST     LAST",
		 title - 14, orders[t->order].name);
	heading(t, line);
	json_array_foreach(json_object_get(now, orders[t->order].list), i, item) if (t->lines_left > 1)
		draw_signature(t, item, time);
	if (i == 0) {
		fputs("no crash reported", t->out);
		end_line(t);
	}
}

/* ---- the terminal ---- */

static struct termios before;

static void
restore_terminal(void)
{
	static const char leave[] = "\x1b[?25h\x1b[?1049l";
	ssize_t n = write(STDOUT_FILENO, leave, sizeof(leave) - 1);

	(void)n;
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static bool
enter_terminal(void)
{
	struct sigaction resize = { .sa_handler = on_resize }, stop = { .sa_handler = on_stop };
	struct termios raw;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
		return false;
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	atexit(restore_terminal);
	sigaction(SIGWINCH, &resize, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	fputs("\x1b[?1049h\x1b[?25l", stdout);
	return true;
}

static void
measure(struct top *t)
{
	struct winsize w;

	t->width = 120;
	t->lines_left = 1000;
	if (t->live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) {
		t->width = w.ws_col;
		t->lines_left = w.ws_row;
	}
}

/* Length of the first `rows` lines, without the last line end: that would scroll. */
static size_t
screenful(const char *text, size_t len, int rows)
{
	const char *at = text, *end;

	while ((end = memmem(at, len - (size_t)(at - text), "\r\n", 2)) != NULL) {
		if (--rows <= 0)
			return (size_t)(end - text);
		at = end + 2;
	}
	return len;
}

/* Composed in memory and written at once: no flicker. */
static void
show(struct top *t, const json_t *now, const char *error)
{
	char *text = NULL;
	size_t len = 0;
	int rows;

	measure(t);
	rows = t->lines_left;
	if ((t->out = open_memstream(&text, &len)) == NULL)
		return;
	if (error != NULL) {
		colour(t, "1;31");
		print_column(t->out, error, t->width, false);
		colour(t, "0");
		end_line(t);
	}
	if (now != NULL)
		draw(t, now);
	fclose(t->out);
	if (t->live) {
		fputs("\x1b[H", stdout);
		fwrite(text, 1, screenful(text, len, rows), stdout);
		fputs("\x1b[J", stdout);
	} else
		fwrite(text, 1, len, stdout);
	fflush(stdout);
	free(text);
}

/* Wait for a key, a new size or the next look; false: leave. */
static bool
wait_key(struct top *t, int64_t until_us, bool *redraw)
{
	struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
	int64_t left = (until_us - clock_boot_us()) / 1000;
	char key;

	*redraw = false;
	if (poll(&p, t->live ? 1 : 0, left > 0 ? (int)left : 0) == -1 && errno != EINTR)
		return false;
	if (stopped)
		return false;
	if (resized) {
		resized = 0;
		*redraw = true;
	}
	if (!t->live || !(p.revents & (POLLIN | POLLHUP)))
		return true;
	if (read(STDIN_FILENO, &key, 1) != 1)
		return !(p.revents & POLLHUP);
	for (size_t i = 0; i < N_ORDERS; i++)
		if (orders[i].key == key) {
			t->order = i;
			*redraw = true;
		}
	return key != 'q' && key != 'Q' && key != 3;
}

static int
run(struct top *t)
{
	struct api_answer a = { 0 };
	bool go_on = true, redraw;
	int64_t next;

	while (go_on) {
		struct api_answer fresh;

		next = clock_boot_us() + t->interval_ms * 1000;
		if (api_request(t->client, "GET", "/v1/now", NULL, NULL, NULL, TIMEOUT_MS, &fresh)) {
			api_answer_fini(&a);
			a = fresh;
			if (t->json) {
				json_dumpf(a.body, stdout, JSON_COMPACT);
				putchar('\n');
				fflush(stdout);
			} else
				show(t, a.body, NULL);
		} else if (t->live && (fresh.status == 0 || fresh.status >= 500)) {
			show(t, a.body, fresh.error);
			api_answer_fini(&fresh);
		} else {
			fprintf(stderr, "faultline top: %s\n", fresh.error);
			api_answer_fini(&fresh);
			api_answer_fini(&a);
			return 1;
		}
		if (t->once)
			break;
		while ((go_on = wait_key(t, next, &redraw)) && clock_boot_us() < next)
			if (redraw && !t->json)
				show(t, a.body, NULL);
	}
	api_answer_fini(&a);
	return 0;
}

static int
parse(struct top *t, int argc, char **argv)
{
	static const struct option options[] = {
		{ "once", no_argument, NULL, 'o' },         { "json", no_argument, NULL, 'j' },
		{ "sort", required_argument, NULL, 'S' },   { "interval", required_argument, NULL, 'i' },
		{ "server", required_argument, NULL, 's' }, { "token-file", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (o) {
		case 'o':
			t->once = true;
			break;
		case 'j':
			t->json = true;
			break;
		case 'S':
			for (t->order = 0; t->order < N_ORDERS && strcmp(orders[t->order].name, optarg) != 0;)
				t->order++;
			if (t->order == N_ORDERS) {
				fprintf(stderr, "faultline top: --sort wants hosts, newest or trend\n");
				return -1;
			}
			break;
		case 'i':
			if (parse_wait(optarg, &t->interval_ms) != 0 || t->interval_ms < 100) {
				fprintf(stderr, "faultline top: --interval wants a time of at least 100ms\n");
				return -1;
			}
			break;
		case 's':
			t->server = optarg;
			break;
		case 't':
			t->token_file = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			return -1;
		}
	if (optind != argc) {
		fputs(help, stderr);
		return -1;
	}
	return 0;
}

int
cmd_top(int argc, char **argv)
{
	struct top t = { .interval_ms = 1000 };
	char err[256];
	int status;

	if (parse(&t, argc, argv) != 0)
		return 2;
	if ((t.client = api_client_new(t.server, t.token_file, err, sizeof(err))) == NULL) {
		fprintf(stderr, "faultline top: %s\n", err);
		return 2;
	}
	if (!t.once && !t.json)
		t.live = enter_terminal();
	if (!t.live && !t.json)
		t.once = true;
	status = run(&t);
	api_client_free(t.client);
	return status;
}
