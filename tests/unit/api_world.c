/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/token.h"
#include "collector/gate/identity.h"
#include "collector/http/http.h"
#include "collector/log/journal.h"
#include "tests/unit/api_world.h"

static const struct settings *
world_settings(void *arg)
{
	return &((struct world *)arg)->settings;
}
static const struct identity *
world_identity(void *arg)
{
	return ((struct world *)arg)->identity;
}
static const struct tokens *
world_tokens(void *arg)
{
	return ((struct world *)arg)->tokens;
}
static uint64_t
world_stored(void *arg)
{
	return ((struct world *)arg)->stored;
}

void
world_path(const struct world *w, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s", w->dir, name);
}

void
world_start_api(struct world *w, bool open_reads)
{
	struct api_env env = { .log = w->log,
			       .fold = w->fold,
			       .open_reads = open_reads,
			       .arg = w,
			       .settings = world_settings,
			       .identity = world_identity,
			       .tokens = world_tokens,
			       .stored = world_stored };
	uint64_t first, end;
	char err[256] = "";

	log_bounds(w->log, &first, &end, &env.log_id);
	w->api = api_new(w->base, &env, err, sizeof(err));
	assert_non_null(w->api);
	assert_int_equal(api_listen(w->api, http_bind("127.0.0.1:0", false, err, sizeof(err))), 0);
	w->port = api_port(w->api);
}

int
world_setup(void **state)
{
	struct journal_options o = { .segment_bytes = JOURNAL_SEGMENT_MIN };
	struct world *w = calloc(1, sizeof(*w));
	char path[128], err[256] = "";

	strcpy(w->dir, "/tmp/fl-api-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(settings_init(&w->settings), 0);
	w->base = event_base_new();
	w->log = journal_open(w->dir, &o, err, sizeof(err));
	assert_non_null(w->log);
	world_path(w, "host.key", path, sizeof(path));
	w->identity = identity_new(path, "", LABELS_ALWAYS, err, sizeof(err));
	assert_non_null(w->identity);
	w->fold = fake_fold_new();
	world_start_api(w, true);
	*state = w;
	return 0;
}

int
world_teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	api_free(w->api);
	assert_int_equal(w->fold->views, 0);
	fake_fold_free(w->fold);
	log_close(w->log);
	identity_free(w->identity);
	tokens_free(w->tokens);
	settings_fini(&w->settings);
	event_base_free(w->base);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* ---- a client ---- */

void
client_open(struct client *c, const struct world *w)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(w->port) };

	memset(c, 0, sizeof(*c));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

void
client_close(struct client *c)
{
	json_decref(c->body);
	c->body = NULL;
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

void
client_send(struct client *c, const char *method, const char *path, const char *headers, const char *body)
{
	char request[8192];
	int n = snprintf(request, sizeof(request),
			 "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", method, path, headers,
			 strlen(body), body);

	c->len = 0;
	c->status = 0;
	json_decref(c->body);
	c->body = NULL;
	assert_int_equal(write(c->fd, request, (size_t)n), n);
}

void
client_read(struct client *c)
{
	ssize_t n = read(c->fd, c->buf + c->len, sizeof(c->buf) - 1 - c->len);

	if (n > 0)
		c->len += (size_t)n;
	c->closed = c->closed || n == 0;
	c->buf[c->len] = '\0';
}

/* Is a whole answer there?  Then it is parsed. */
static bool
client_answered(struct client *c)
{
	const char *end, *at;
	size_t length = 0;

	client_read(c);
	if ((end = strstr(c->buf, "\r\n\r\n")) == NULL || c->len == 0)
		return false;
	if ((at = strstr(c->buf, "Content-Length: ")) != NULL && at < end)
		length = strtoul(at + 16, NULL, 10);
	if ((size_t)(end + 4 - c->buf) + length > c->len)
		return false;
	c->status = atoi(c->buf + 9);
	c->etag[0] = '\0';
	if ((at = strstr(c->buf, "ETag: ")) != NULL && at < end)
		snprintf(c->etag, sizeof(c->etag), "%.*s", (int)strcspn(at + 6, "\r"), at + 6);
	c->body = json_loadb(end + 4, length, 0, NULL);
	return true;
}

/* Run the loop until the client has its answer (or for ms at most). */
bool
pump(struct world *w, struct client *c, int64_t ms)
{
	int64_t end = clock_boot_us() + ms * 1000;
	struct timeval tick = { 0, 1000 };

	do {
		event_base_loopexit(w->base, &tick);
		event_base_loop(w->base, 0);
		if (c != NULL && client_answered(c))
			return true;
	} while (clock_boot_us() < end);
	return false;
}

void
ask(struct world *w, struct client *c, const char *method, const char *path, const char *headers, const char *body)
{
	client_send(c, method, path, headers, body);
	assert_true(pump(w, c, 5000));
}

const char *
text(const struct client *c, const char *key)
{
	const char *s = json_string_value(json_object_get(c->body, key));

	return s != NULL ? s : "(none)";
}

const char *
error(const struct client *c, const char *key)
{
	const char *s = json_string_value(json_object_get(json_object_get(c->body, "error"), key));

	return s != NULL ? s : "(none)";
}

void
world_deploy(struct world *w, enum verdict v, enum verdict_state s, const char *reason)
{
	strcpy(w->fold->id, "d1");
	w->fold->open = true;
	fake_fold_verdict(w->fold, v, s, reason);
}
