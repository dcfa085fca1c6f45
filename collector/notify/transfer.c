/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>
#include <netinet/in.h>

#include "collector/notify/transfer.h"

struct transfer {
	CURL *curl;
	struct curl_slist *headers;
	struct message message;
	transfer_done_fn *done;
	void *arg;
	size_t got;      /* bytes of the answer */
	char start[160]; /* of the answer */
	size_t n_start;
	char reason[CURL_ERROR_SIZE];
	char url[WEBHOOK_TEXT_MAX + 32];
	bool refused; /* the address */
	TAILQ_ENTRY(transfer) entry;
};

struct transfers {
	CURLM *multi;
	TAILQ_HEAD(, transfer) all;
};

struct transfers *
transfers_new(void)
{
	struct transfers *t = calloc(1, sizeof(*t));

	if (t == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (t->multi = curl_multi_init()) == NULL) {
		free(t);
		return NULL;
	}
	TAILQ_INIT(&t->all);
	return t;
}

static void
transfer_free(struct transfers *t, struct transfer *x)
{
	TAILQ_REMOVE(&t->all, x, entry);
	curl_multi_remove_handle(t->multi, x->curl);
	curl_easy_cleanup(x->curl);
	curl_slist_free_all(x->headers);
	message_fini(&x->message);
	explicit_bzero(x->url, sizeof(x->url));
	free(x);
}

void
transfers_free(struct transfers *t)
{
	struct transfer *x;

	if (t == NULL)
		return;
	while ((x = TAILQ_FIRST(&t->all)) != NULL)
		transfer_free(t, x);
	curl_multi_cleanup(t->multi);
	free(t);
}

void
transfer_drop(struct transfers *t, const void *arg)
{
	struct transfer *next;

	for (struct transfer *x = TAILQ_FIRST(&t->all); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->arg == arg)
			transfer_free(t, x);
	}
}

/* ---- callbacks of libcurl ---- */

static size_t
on_data(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *x = arg;
	size_t len = size * n, room = sizeof(x->start) - 1 - x->n_start;

	if (room > len)
		room = len;
	memcpy(x->start + x->n_start, data, room);
	x->n_start += room;
	x->got += len;
	return x->got > TRANSFER_ANSWER_MAX ? 0 : len;
}

static bool
forbidden4(uint32_t a)
{
	return a >> 24 == 0 || a >> 16 == 0xa9fe || a >> 28 == 0xe || a == UINT32_MAX;
}

/* Link-local addresses are where clouds keep the credentials of their machines. */
static bool
forbidden(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return forbidden4(ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
	if (sa->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		uint32_t v4;

		memcpy(&v4, a->s6_addr + 12, 4);
		return IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_UNSPECIFIED(a) ||
		       (IN6_IS_ADDR_V4MAPPED(a) && forbidden4(ntohl(v4)));
	}
	return true;
}

static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct transfer *x = arg;

	(void)purpose;
	if (forbidden(&to->addr)) {
		x->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ---- begin ---- */

static bool
take_headers(struct transfer *x, const struct webhook *w)
{
	/* No Expect: a receiver that does not know it costs a second each time. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");

	x->headers = list;
	for (size_t i = 0; i < x->message.n_headers && list != NULL; i++)
		list = curl_slist_append(x->headers, x->message.headers[i]);
	if (w->token[0] != '\0' && list != NULL) {
		char text[WEBHOOK_TEXT_MAX + 32];

		snprintf(text, sizeof(text), "Authorization: Bearer %s", w->token);
		list = curl_slist_append(x->headers, text);
		explicit_bzero(text, sizeof(text));
	}
	return list != NULL;
}

static bool
configure(struct transfer *x, const struct webhook *w)
{
	CURL *c = x->curl;
	size_t len = strlen(w->url);

	while (x->message.path[0] != '\0' && len > 0 && w->url[len - 1] == '/')
		len--;
	snprintf(x->url, sizeof(x->url), "%.*s%s", (int)len, w->url, x->message.path);
	return curl_easy_setopt(c, CURLOPT_URL, x->url) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROXY, w->proxy) == CURLE_OK && /* "": none, whatever the environment says */
	       curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(w->timeout_ms < 5000 ? w->timeout_ms : 5000)) ==
		       CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)w->timeout_ms) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION) == CURLE_OK &&
	       (w->ca_file[0] == '\0' || curl_easy_setopt(c, CURLOPT_CAINFO, w->ca_file) == CURLE_OK) &&
	       curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->message.len) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_POSTFIELDS, x->message.body) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->reason) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, x) == CURLE_OK &&
	       (w->proxy[0] != '\0' || (curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK &&
					curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x) == CURLE_OK)) &&
	       curl_easy_setopt(c, CURLOPT_PRIVATE, x) == CURLE_OK;
}

int
transfer_begin(struct transfers *t, const struct webhook *w, struct message *m, transfer_done_fn *done, void *arg)
{
	struct transfer *x = calloc(1, sizeof(*x));

	if (x == NULL || (x->curl = curl_easy_init()) == NULL) {
		free(x);
		message_fini(m);
		return -1;
	}
	x->message = *m;
	memset(m, 0, sizeof(*m));
	x->done = done;
	x->arg = arg;
	TAILQ_INSERT_TAIL(&t->all, x, entry);
	if (!take_headers(x, w) || !configure(x, w) || curl_multi_add_handle(t->multi, x->curl) != CURLM_OK) {
		transfer_free(t, x);
		return -1;
	}
	return 0;
}

/* ---- end ---- */

static void
finish(struct transfers *t, struct transfer *x, CURLcode code)
{
	struct transfer_result r = { 0 };
	transfer_done_fn *done = x->done;
	void *arg = x->arg;
	curl_off_t after = 0;

	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &r.status);
	if (curl_easy_getinfo(x->curl, CURLINFO_RETRY_AFTER, &after) == CURLE_OK)
		r.retry_after_s = after;
	if (x->refused)
		snprintf(r.error, sizeof(r.error), "the address is link-local, multicast or unspecified: refused");
	else if (x->got > TRANSFER_ANSWER_MAX)
		snprintf(r.error, sizeof(r.error), "the answer is longer than %u bytes; the rest was not read",
			 TRANSFER_ANSWER_MAX);
	else if (code != CURLE_OK)
		snprintf(r.error, sizeof(r.error), "%.190s",
			 x->reason[0] != '\0' ? x->reason : curl_easy_strerror(code));
	else if (r.status / 100 != 2)
		snprintf(r.error, sizeof(r.error), "%.*s", (int)x->n_start, x->start);
	if (code != CURLE_OK && x->got <= TRANSFER_ANSWER_MAX)
		r.status = 0; /* half an answer is none; a long one is */
	for (char *p = r.error; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = ' ';
	transfer_free(t, x);
	done(arg, &r);
}

bool
transfers_busy(const struct transfers *t)
{
	return !TAILQ_EMPTY(&t->all);
}

void
transfers_run(struct transfers *t, int timeout_ms)
{
	int running, left;
	CURLMsg *m;

	curl_multi_poll(t->multi, NULL, 0, timeout_ms, NULL);
	curl_multi_perform(t->multi, &running);
	while ((m = curl_multi_info_read(t->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE) {
			CURLcode code = m->data.result;
			struct transfer *x;

			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
			finish(t, x, code);
		}
}

void
transfers_wake(struct transfers *t)
{
	curl_multi_wakeup(t->multi);
}
