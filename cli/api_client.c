/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "cli/api_client.h"
#include "cli/glyph.h"

#define ANSWER_MAX ((size_t)64 * 1024 * 1024)

struct api_client {
	CURL *curl;
	char *server;        /* without a slash at the end */
	char *authorization; /* header line or NULL */
	bool (*go_on)(void *arg);
	void *arg;
};

struct answer_buffer {
	char *at;
	size_t len;
	char *etag;
	size_t etag_size;
	CURL *curl; /* with to: */
	FILE *to;   /* a good answer goes here as it comes; NULL: into at */
};

static int
read_token(struct api_client *c, const char *path, char *err, size_t err_size)
{
	char line[1024], *s = NULL;
	FILE *f = fopen(path, "re");
	size_t len = 0;

	while (f != NULL && len == 0 && fgets(line, sizeof(line), f) != NULL) {
		s = line + strspn(line, " \t");
		len = strcspn(s, "#\r\n");
		while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
			len--;
	}
	if (f != NULL)
		fclose(f);
	if (len == 0) {
		snprintf(err, err_size, f == NULL ? "cannot read token file %s" : "token file %s holds no token", path);
		return -1;
	}
	s[len] = '\0';
	if (asprintf(&c->authorization, "Authorization: Bearer %s", s) == -1) {
		c->authorization = NULL;
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	return 0;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct answer_buffer *b = arg;
	long status = 0;
	char *at;

	n *= size;
	if (b->to != NULL && curl_easy_getinfo(b->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200 &&
	    status <= 299)
		return fwrite(data, 1, n, b->to);
	if (n > ANSWER_MAX - b->len || (at = realloc(b->at, b->len + n + 1)) == NULL)
		return 0;
	memcpy(at + b->len, data, n);
	b->at = at;
	b->len += n;
	return n;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	struct answer_buffer *b = arg;
	size_t from = 5, len = n * size;

	if (len > from && strncasecmp(data, "etag:", from) == 0) {
		while (from < len && data[from] == ' ')
			from++;
		while (len > from && (data[len - 1] == '\r' || data[len - 1] == '\n' || data[len - 1] == ' '))
			len--;
		snprintf(b->etag, b->etag_size, "%.*s", (int)(len - from), data + from);
	}
	return n * size;
}

struct api_client *
api_client_new(const char *server, const char *token_file, char *err, size_t err_size)
{
	struct api_client *c = calloc(1, sizeof(*c));
	size_t len;

	if (server == NULL && ((server = getenv("FAULTLINE_SERVER")) == NULL || *server == '\0'))
		server = "http://127.0.0.1:8482";
	if (token_file == NULL && (token_file = getenv("FAULTLINE_TOKEN_FILE")) != NULL && *token_file == '\0')
		token_file = NULL;
	if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (c->curl = curl_easy_init()) == NULL ||
	    asprintf(&c->server, "%s%s", strstr(server, "://") != NULL ? "" : "http://", server) == -1) {
		snprintf(err, err_size, "out of memory");
		goto fail;
	}
	for (len = strlen(c->server); len > 0 && c->server[len - 1] == '/'; len--)
		c->server[len - 1] = '\0';
	if (token_file != NULL && read_token(c, token_file, err, err_size) != 0)
		goto fail;
	return c;
fail:
	api_client_free(c);
	return NULL;
}

void
api_client_free(struct api_client *c)
{
	if (c == NULL)
		return;
	if (c->curl != NULL)
		curl_easy_cleanup(c->curl);
	free(c->server);
	free(c->authorization);
	free(c);
}

void
api_client_while(struct api_client *c, bool (*go_on)(void *arg), void *arg)
{
	c->go_on = go_on;
	c->arg = arg;
}

const char *
api_client_server(const struct api_client *c)
{
	return c->server;
}

/* A sentence for whoever reads the terminal, from {"error":{...}}. */
static void
error_sentence(struct api_answer *out)
{
	const json_t *e = json_object_get(out->body, "error");
	const char *field = json_member(e, "field");

	if (e == NULL)
		snprintf(out->error, sizeof(out->error), "the server answered %ld", out->status);
	else
		snprintf(out->error, sizeof(out->error), "%s%s%s (%s)", field, *field != '\0' ? ": " : "",
			 json_member(e, "message"), json_member(e, "code"));
}

static struct curl_slist *
request_headers(const struct api_client *c, const char *type, const char *if_none_match)
{
	struct curl_slist *list = curl_slist_append(NULL, type);
	char line[128];

	list = curl_slist_append(list, "Expect:");
	if (c->authorization != NULL)
		list = curl_slist_append(list, c->authorization);
	if (if_none_match != NULL) {
		snprintf(line, sizeof(line), "If-None-Match: %s", if_none_match);
		list = curl_slist_append(list, line);
	}
	return list;
}

static char *
request_url(const struct api_client *c, const char *path_fmt, const char *id)
{
	const char *hole = strstr(path_fmt, "%s");
	char *escaped = NULL, *url = NULL;
	int n;

	if (hole == NULL)
		n = asprintf(&url, "%s%s", c->server, path_fmt);
	else {
		escaped = curl_easy_escape(c->curl, id, 0);
		n = escaped == NULL ? -1
				    : asprintf(&url, "%s%.*s%s%s", c->server, (int)(hole - path_fmt), path_fmt, escaped,
					       hole + 2);
		curl_free(escaped);
	}
	return n == -1 ? NULL : url;
}

static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	const struct api_client *c = arg;

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return c->go_on(c->arg) ? 0 : 1;
}

/* What every request has. */
static void
prepare(struct api_client *c, const char *url, struct curl_slist *headers, struct answer_buffer *buffer)
{
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, buffer);
	curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, buffer);
	if (c->go_on != NULL) {
		curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
	}
}

static bool
conclude(struct api_client *c, CURLcode rc, struct answer_buffer *buffer, struct api_answer *out)
{
	if (rc == CURLE_OK)
		curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &out->status);
	if (buffer->len > 0)
		out->body = json_loadb(buffer->at, buffer->len, 0, NULL);
	out->interrupted = rc == CURLE_ABORTED_BY_CALLBACK;
	if (rc == CURLE_WRITE_ERROR)
		snprintf(out->error, sizeof(out->error), "the answer of %s cannot be written or is too large",
			 c->server);
	else if (rc != CURLE_OK)
		snprintf(out->error, sizeof(out->error), "cannot reach %s: %s", c->server, curl_easy_strerror(rc));
	else if (out->status != 304 && (out->status < 200 || out->status > 299))
		error_sentence(out);
	free(buffer->at);
	return out->error[0] == '\0';
}

bool
api_request(struct api_client *c, const char *method, const char *path_fmt, const char *id, json_t *body,
	    const char *if_none_match, long timeout_ms, struct api_answer *out)
{
	struct answer_buffer buffer = { .etag = out->etag, .etag_size = sizeof(out->etag) };
	struct curl_slist *headers = request_headers(c, "Content-Type: application/json", if_none_match);
	char *url = request_url(c, path_fmt, id), *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	bool good;

	memset(out, 0, sizeof(*out));
	curl_easy_reset(c->curl);
	if (url != NULL && (body == NULL || text != NULL)) {
		prepare(c, url, headers, &buffer);
		curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
		curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
		if (text != NULL)
			curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text);
		rc = curl_easy_perform(c->curl);
	}
	good = conclude(c, rc, &buffer, out);
	free(url);
	free(text);
	curl_slist_free_all(headers);
	return good;
}

bool
api_put_file(struct api_client *c, const char *path_fmt, const char *id, FILE *file, uint64_t size,
	     struct api_answer *out)
{
	struct answer_buffer buffer = { .etag = out->etag, .etag_size = sizeof(out->etag) };
	struct curl_slist *headers = request_headers(c, "Content-Type: application/octet-stream", NULL);
	char *url = request_url(c, path_fmt, id);
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	bool good;

	memset(out, 0, sizeof(*out));
	curl_easy_reset(c->curl);
	if (url != NULL) {
		prepare(c, url, headers, &buffer);
		curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c->curl, CURLOPT_READDATA, file);
		curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
		curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, 60L);
		rc = curl_easy_perform(c->curl);
	}
	good = conclude(c, rc, &buffer, out);
	free(url);
	curl_slist_free_all(headers);
	return good;
}

bool
api_download(struct api_client *c, const char *path_fmt, const char *id, FILE *to, struct api_answer *out)
{
	struct answer_buffer buffer = { .etag = out->etag, .etag_size = sizeof(out->etag), .curl = c->curl, .to = to };
	struct curl_slist *headers = request_headers(c, "Accept: */*", NULL);
	char *url = request_url(c, path_fmt, id);
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	bool good;

	memset(out, 0, sizeof(*out));
	curl_easy_reset(c->curl);
	if (url != NULL) {
		prepare(c, url, headers, &buffer);
		curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, 60L);
		rc = curl_easy_perform(c->curl);
	}
	good = conclude(c, rc, &buffer, out);
	free(url);
	curl_slist_free_all(headers);
	return good;
}

void
api_answer_fini(struct api_answer *a)
{
	json_decref(a->body);
	a->body = NULL;
}

/* ---- what the commands share ---- */

static bool
fits(const char *s, int width)
{
	struct glyph g;

	for (; *s != '\0' && width >= 0; s += g.taken) {
		glyph_next(s, &g);
		width -= g.columns;
	}
	return width >= 0;
}

int
print_column(FILE *f, const char *s, int width, bool pad)
{
	const bool whole = fits(s, width);
	const int room = whole ? width : width - 1; /* for the sign that there is more */
	struct glyph g;
	int used = 0;

	for (; *s != '\0'; s += g.taken) {
		glyph_next(s, &g);
		if (used + g.columns > room)
			break;
		fwrite(g.text, 1, g.len, f);
		used += g.columns;
	}
	if (!whole && width > 0) {
		for (; used < room; used++) /* a box or a wide character does not go in halves */
			fputc(' ', f);
		fputs("…", f);
		used++;
	}
	for (; pad && used < width; used++)
		fputc(' ', f);
	return used;
}

void
print_text(FILE *f, const char *s)
{
	print_column(f, s, 1 << 20, false);
}

void
print_failure(const char *path, const char *why)
{
	fputs("faultline: ", stderr);
	print_text(stderr, path);
	fprintf(stderr, ": %s\n", why);
}

const char *
json_member(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "";
}

long long
json_count(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

int
parse_wait(const char *text, int64_t *ms_out)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};
	size_t digits = strspn(text, "0123456789.");
	char *end;
	double value;

	if (digits == 0 || digits > 9)
		return -1;
	value = strtod(text, &end);
	for (size_t i = 0; end == text + digits && i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].name) == 0) {
			*ms_out = (int64_t)(value * units[i].ms);
			return 0;
		}
	return -1;
}
