/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/api_client.h"
#include "cli/top.h"
#include "cli/top_draw.h"

#define TIMEOUT_MS  5000
#define ROUSE_US    500000   /* a key ends a look that takes longer */
#define LOST_US     30000000 /* without contact: what was known is not known any more */
#define FILTER_MAX  1024
#define FOUND_LIMIT "100"

static const char help[] =
	"usage: faultline top [--once] [--json] [--sort new|hosts|newest|trend] [--filter QUERY] [--interval TIME]\n"
	"                     [--server URL] [--token-file FILE]\n\n"
	"Shows whether the fleet is fine, the deployments worst first with their evidence, crash arrivals and\n"
	"signatures, as they change: what the page \"Now\" shows.\n\n"
	"  --once            print once and leave (also when standard output is no terminal)\n"
	"  --json            print GET /v1/now as it comes, an object a line\n"
	"  --sort WORD       signatures: new in the last hour, or all by hosts, newest or trend [new]\n"
	"  --filter QUERY    signatures that match, as in faultline signatures\n"
	"  --interval TIME   time between two looks [1s]\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n\n"
	"Keys: w new, h hosts, n newest, t trend, / filter, j k move, ? help, q quit.  NO_COLOR is honoured.\n";

static const struct order {
	char key;
	const char *name, *list; /* member of /v1/now */
	const char *search;      /* order of /v1/signatures */
} orders[] = {
	{ 'w', "new", "new_signatures", "newest" },
	{ 'h', "hosts", "largest", "hosts" },
	{ 'n', "newest", "newest", "newest" },
	{ 't', "trend", "rising", "trend" },
};
#define N_ORDERS (sizeof(orders) / sizeof(orders[0]))

struct top {
	struct api_client *client;
	const char *server, *token_file;
	int64_t interval_ms;
	size_t order;
	bool once, json, live, colours; /* live: a terminal in raw mode */
	bool help, typing;
	int skip;
	char filter[FILTER_MAX + 1], edit[FILTER_MAX + 1];
	/* what is known */
	struct api_answer now, found;
	char error[512]; /* of the last look; "": it was answered */
	char mistake[512];
	int mistake_at;
	int64_t answered_us, began_us; /* clock_boot_us() */
	int64_t server_us;             /* the server's clock, then */
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

/* ---- the terminal ---- */

static struct termios before;

static void
restore_terminal(void)
{
	static const char leave[] = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
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
	fputs("\x1b[?1049h\x1b[?25l\x1b[?7l",
	      stdout); /* no wrapping: a character of unexpected width spoils one line */
	return true;
}

static struct screen
measure(const struct top *t)
{
	struct screen s = { .width = 120, .rows = 1000, .live = t->live, .colours = t->colours };
	struct winsize w;

	if (t->live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) {
		s.width = w.ws_col;
		s.rows = w.ws_row;
	}
	return s;
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
show(struct top *t)
{
	const int64_t boot_us = clock_boot_us(),
		      silent_us = boot_us - (t->answered_us != 0 ? t->answered_us : t->began_us);
	const int64_t lost_us = t->interval_ms * 30000 < LOST_US ? t->interval_ms * 30000 : LOST_US;
	struct screen s = measure(t);
	struct picture p = {
		.server = api_client_server(t->client),
		.now = t->now.body,
		.found = t->found.body,
		.filter = t->filter,
		.sort = orders[t->order].name,
		.list = orders[t->order].list,
		.edit = t->typing ? t->edit : NULL,
		.error = t->error[0] != '\0' ? t->error : NULL,
		.mistake = t->mistake[0] != '\0' ? t->mistake : NULL,
		.mistake_at = t->mistake_at,
		.lost = t->error[0] != '\0' && (t->now.body == NULL || silent_us >= lost_us),
		.help = t->help,
		.silent_us = silent_us,
		.now_us = t->server_us + (t->answered_us != 0 ? silent_us : 0),
		.skip = t->skip,
	};
	char *text = NULL;
	size_t len = 0;

	if ((s.out = open_memstream(&text, &len)) == NULL)
		return;
	top_draw(&s, &p);
	fclose(s.out);
	if (t->live) {
		fputs("\x1b[H", stdout);
		fwrite(text, 1, screenful(text, len, s.rows), stdout);
		fputs("\x1b[J", stdout);
	} else
		fwrite(text, 1, len, stdout);
	fflush(stdout);
	free(text);
}

/* ---- keys ---- */

/* A character or an edit of the filter's prompt; true: it is to be used. */
static bool
type(struct top *t, const char *keys, size_t n)
{
	size_t len = strlen(t->edit);

	if (keys[0] == '\r' || keys[0] == '\n') {
		t->typing = false;
		memcpy(t->filter, t->edit, len + 1);
		return true;
	}
	if (keys[0] == '\x1b')
		t->typing = false;
	else if (keys[0] == '\x7f' || keys[0] == '\b') {
		while (len > 0 && ((unsigned char)t->edit[--len] & 0xc0) == 0x80)
			;
		t->edit[len] = '\0';
	} else if (keys[0] == '\x15') /* Ctrl-U */
		t->edit[0] = '\0';
	else if ((unsigned char)keys[0] >= ' ' && len + n < sizeof(t->edit)) {
		memcpy(t->edit + len, keys, n);
		t->edit[len + n] = '\0';
	}
	return false;
}

enum reaction { KEY_IGNORED, KEY_REDRAW, KEY_LOOK, KEY_QUIT };

static enum reaction
command(struct top *t, char key, const char *keys, size_t n)
{
	bool down = key == 'j' || (n == 3 && keys[0] == '\x1b' && keys[2] == 'B');
	bool up = key == 'k' || (n == 3 && keys[0] == '\x1b' && keys[2] == 'A');

	if (key == 'q' || key == 'Q' || key == 3)
		return KEY_QUIT;
	if (t->help || key == '?') {
		t->help = !t->help;
		return KEY_REDRAW;
	}
	for (size_t i = 0; i < N_ORDERS; i++)
		if (orders[i].key == key) {
			t->order = i;
			t->skip = 0;
			return t->filter[0] != '\0' ? KEY_LOOK : KEY_REDRAW;
		}
	if (key == '/') {
		t->typing = true;
		memcpy(t->edit, t->filter, sizeof(t->edit));
		return KEY_REDRAW;
	}
	if (down && t->skip < 1000)
		t->skip++;
	else if (up && t->skip > 0)
		t->skip--;
	else
		return KEY_IGNORED;
	return KEY_REDRAW;
}

/* Bytes of the next key: an escape sequence, a character of UTF-8, or one. */
static size_t
key_length(const char *keys, size_t n)
{
	size_t i = 2;

	if (keys[0] != '\x1b') {
		i = text_utf8_sequence(keys, n);
		return i > 0 ? i : 1;
	}
	if (n < 2 || (keys[1] != '[' && keys[1] != 'O'))
		return 1;
	while (i < n && (keys[i] < '@' || keys[i] > '~'))
		i++;
	return i < n ? i + 1 : n;
}

static enum reaction
read_keys(struct top *t)
{
	enum reaction most = KEY_IGNORED, r;
	char keys[256];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0)
		return n == 0 ? KEY_QUIT : KEY_IGNORED; /* readable, and nothing to read: the terminal is gone */
	for (size_t at = 0, len; at < (size_t)n; at += len) {
		len = key_length(keys + at, (size_t)n - at);
		if (!t->typing)
			r = command(t, keys[at], keys + at, len);
		else if (type(t, keys + at, len)) {
			t->skip = 0;
			api_answer_fini(&t->found);
			r = KEY_LOOK;
		} else
			r = KEY_REDRAW;
		most = r > most ? r : most;
	}
	return most;
}

/* Wait for a key, a new size or the time. */
static enum reaction
wait_key(struct top *t, int64_t until_us)
{
	struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
	int64_t left = (until_us - clock_boot_us() + 999) / 1000;

	if (stopped)
		return KEY_QUIT;
	if (poll(&p, t->live ? 1 : 0, left > 0 ? (int)left : 0) == -1 && errno != EINTR)
		return KEY_QUIT;
	if (stopped)
		return KEY_QUIT;
	if (resized) {
		resized = 0;
		return KEY_REDRAW;
	}
	return t->live && (p.revents & (POLLIN | POLLHUP)) != 0 ? read_keys(t) : KEY_IGNORED;
}

/* ---- looking ---- */

/* While a look waits for a server that hangs: somebody wants something. */
static bool
nobody_calls(void *arg)
{
	const struct top *t = arg;
	struct pollfd p = { STDIN_FILENO, POLLIN, 0 };

	if (stopped)
		return false;
	return !t->live || clock_boot_us() - t->began_us < ROUSE_US || poll(&p, 1, 0) <= 0;
}

/* What the query of the filter says; its mistakes are shown, and not a reason to leave. */
static bool
search(struct top *t)
{
	struct api_answer fresh;
	char path[128];

	t->mistake[0] = '\0';
	t->mistake_at = -1;
	if (t->filter[0] == '\0')
		return true;
	snprintf(path, sizeof(path), "/v1/signatures?sort=%s&limit=" FOUND_LIMIT "&q=%%s", orders[t->order].search);
	if (!api_request(t->client, "GET", path, t->filter, NULL, NULL, TIMEOUT_MS, &fresh) && fresh.status == 400) {
		const json_t *error = json_object_get(fresh.body, "error"), *at = json_object_get(error, "at");

		snprintf(t->mistake, sizeof(t->mistake), "%s",
			 *json_member(error, "message") != '\0' ? json_member(error, "message") : fresh.error);
		if (json_is_integer(at))
			t->mistake_at = (int)json_integer_value(at);
	}
	if (fresh.status == 200 &&
	    json_object_get(fresh.body, "parsed") == NULL) /* then these are not what was asked for */
		snprintf(t->mistake, sizeof(t->mistake), "this server does not search");
	if (fresh.status == 200) {
		api_answer_fini(&t->found);
		t->found = fresh;
		return true;
	}
	api_answer_fini(&fresh);
	return fresh.status == 400;
}

/* One look; false: the server is there and refuses. */
static bool
look(struct top *t)
{
	const char *time;
	struct api_answer fresh;
	bool good;

	t->began_us = clock_boot_us();
	good = api_request(t->client, "GET", "/v1/now", NULL, NULL,
			   t->now.body != NULL && t->now.etag[0] != '\0' && !t->json ? t->now.etag : NULL, TIMEOUT_MS,
			   &fresh);
	if (fresh.interrupted)
		return true;
	if (!good) {
		snprintf(t->error, sizeof(t->error), "%s", fresh.error);
		api_answer_fini(&fresh);
		return t->live && (fresh.status == 0 || fresh.status >= 500);
	}
	t->error[0] = '\0';
	if (fresh.status == 200) {
		api_answer_fini(&t->now);
		t->now = fresh;
		time = json_member(json_object_get(t->now.body, "freshness"), "time");
		if (clock_parse_rfc3339(*time != '\0' ? time : json_member(t->now.body, "time"), &t->server_us) != 0)
			t->server_us = clock_wall_us();
	} else { /* unchanged: its clock went on */
		t->server_us += clock_boot_us() - t->answered_us;
		api_answer_fini(&fresh);
	}
	t->answered_us = clock_boot_us();
	if (!t->json && !search(t) && !t->live)
		snprintf(t->error, sizeof(t->error), "the search was not answered");
	return t->live || t->error[0] == '\0';
}

static int
run(struct top *t)
{
	enum reaction r = KEY_IGNORED;
	int64_t next;

	while (r != KEY_QUIT) {
		next = clock_boot_us() + t->interval_ms * 1000;
		if (!look(t)) {
			fprintf(stderr, "faultline top: ");
			print_text(stderr, t->error);
			fputc('\n', stderr);
			return 1;
		}
		if (t->json) {
			json_dumpf(t->now.body, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
			putchar('\n');
			fflush(stdout);
		} else
			show(t);
		if (t->once)
			return t->mistake[0] != '\0' ? 2 : 0;
		do {
			r = wait_key(t, next);
			if (r == KEY_REDRAW && !t->json)
				show(t);
		} while (r < KEY_LOOK && clock_boot_us() < next);
	}
	return 0;
}

/* "" turns colours off too: what counts is that NO_COLOR is there and not empty. */
static bool
wants_colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || *no == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
}

static int
parse(struct top *t, int argc, char **argv)
{
	static const struct option options[] = {
		{ "once", no_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "sort", required_argument, NULL, 'S' },
		{ "interval", required_argument, NULL, 'i' },
		{ "server", required_argument, NULL, 's' },
		{ "token-file", required_argument, NULL, 't' },
		{ "filter", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
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
				fprintf(stderr, "faultline top: --sort wants new, hosts, newest or trend\n");
				return -1;
			}
			break;
		case 'f':
			if (strlen(optarg) > FILTER_MAX) {
				fprintf(stderr, "faultline top: --filter is too long\n");
				return -1;
			}
			snprintf(t->filter, sizeof(t->filter), "%s", optarg);
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
	struct top t = { .interval_ms = 1000, .colours = wants_colours() };
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
	api_client_while(t.client, nobody_calls, &t);
	status = run(&t);
	api_answer_fini(&t.now);
	api_answer_fini(&t.found);
	api_client_free(t.client);
	return status;
}
