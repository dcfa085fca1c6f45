/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/clock.h"
#include "cli/api_client.h"
#include "cli/option.h"
#include "cli/send.h"

enum { SEND_OK = 0, SEND_FAILED = 1, SEND_USAGE = 2, SEND_UNTRIAGED = 3 };

#define ANSWER_MAX 4096
#define FIELDS_MAX 64
#define POLL_MS    200
#define WAIT_MS    60000

static const char help[] =
	"usage: faultline send [--product P] [--version V] [--host H] [--annotation K=V]... DUMP...\n\n"
	"Uploads minidumps or cores through the crash form and prints the id of each report.\n\n"
	"  --server URL      the ingest listener [$FAULTLINE_INGEST, else http://127.0.0.1:8480]\n"
	"  --path PATH       the upload form there [/submit]\n"
	"  --product P, --version V, --host H\n"
	"                    whose crash it is; without --host, this machine's name\n"
	"  --annotation K=V  any other field; may be given again\n"
	"  --wait[=TIME]     wait until the server has read the dump (60s) and print the signature\n"
	"  --api URL         with --wait: the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print an object for each dump\n"
	"  --quiet           no progress\n\n"
	"Exit: 0 every dump was accepted (and read, with --wait), 1 one was not, 2 usage, 3 one is not read yet\n";

struct field {
	const char *name, *value;
};

struct send {
	const char *server, *path, *api, *token_file;
	struct field fields[FIELDS_MAX];
	unsigned n_fields;
	char token[1100];
	int64_t wait_ms; /* 0: do not */
	bool json, progress;
	struct api_client *client;
	/* the dump under way */
	const char *file;
	char answer[ANSWER_MAX], dump_note[128];
	size_t answer_len;
};

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct send *s = arg;
	size_t room = sizeof(s->answer) - 1 - s->answer_len, len = n * size;

	if (len > room)
		len = room;
	memcpy(s->answer + s->answer_len, data, len);
	s->answer_len += len;
	s->answer[s->answer_len] = '\0';
	return n * size;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	static const char name[] = "x-faultline-dump:";
	struct send *s = arg;
	size_t len = n * size;

	if (len > sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
		data += sizeof(name) - 1 + strspn(data + sizeof(name) - 1, " ");
		snprintf(s->dump_note, sizeof(s->dump_note), "%.*s", (int)strcspn(data, "\r\n"), data);
	}
	return len;
}

static int
on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct send *s = arg;

	(void)down_total;
	(void)down;
	if (s->progress && up_total > 0)
		fprintf(stderr, "\r%s: %3d %% of %.1f MB ", s->file, (int)(up * 100 / up_total),
			(double)up_total / 1e6);
	return 0;
}

static curl_mime *
make_form(CURL *curl, const struct send *s)
{
	curl_mime *form = curl_mime_init(curl);
	curl_mimepart *part;

	for (unsigned i = 0; form != NULL && i < s->n_fields; i++) {
		part = curl_mime_addpart(form);
		curl_mime_name(part, s->fields[i].name);
		curl_mime_data(part, s->fields[i].value, CURL_ZERO_TERMINATED);
	}
	part = form != NULL ? curl_mime_addpart(form) : NULL;
	if (part == NULL || curl_mime_name(part, "upload_file_minidump") != CURLE_OK ||
	    curl_mime_filedata(part, s->file) != CURLE_OK) {
		curl_mime_free(form);
		return NULL;
	}
	return form;
}

/* One upload; true with the id in s->answer, else false with a sentence there. */
static bool
upload(struct send *s)
{
	char url[1024], header[1200], why[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	CURL *curl = curl_easy_init();
	curl_mime *form = curl != NULL ? make_form(curl, s) : NULL;
	CURLcode rc = CURLE_READ_ERROR;
	long status = 0;
	char *id;

	s->answer_len = 0;
	s->answer[0] = s->dump_note[0] = '\0';
	snprintf(url, sizeof(url), "%s%s", s->server, s->path);
	snprintf(header, sizeof(header), "Authorization: Bearer %s", s->token);
	if (s->token[0] != '\0')
		headers = curl_slist_append(headers, header);
	if (form != NULL) {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_MIMEPOST, form);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(curl, CURLOPT_USERAGENT, "faultline-send/" PACKAGE_VERSION);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, s);
		curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
		curl_easy_setopt(curl, CURLOPT_HEADERDATA, s);
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, s);
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, s->progress ? 0L : 1L);
		rc = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	}
	if (s->progress)
		fputs("\r\033[K", stderr);
	s->answer[strcspn(s->answer, "\r\n")] = '\0';
	if (rc != CURLE_OK)
		snprintf(s->answer, sizeof(s->answer), "%s", why[0] != '\0' ? why : curl_easy_strerror(rc));
	else if ((id = strstr(s->answer, "CrashID=")) != NULL)
		memmove(s->answer, id + 8, strlen(id + 8) + 1);
	curl_mime_free(form);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc == CURLE_OK && status == 200 && strncmp(s->answer, "Discarded=", 10) != 0;
}

/* ---- waiting for triage ---- */

static bool
triaged(const json_t *report)
{
	const char *triage = json_member(report, "triage");

	return json_is_null(json_object_get(report, "triage")) || strcmp(triage, "done") == 0 ||
	       strcmp(triage, "unreadable") == 0;
}

/* The report once its dump was read, or as it is when the time is up; NULL with a sentence.
 * Of a dump that was sent before, the first one is asked for. */
static json_t *
wait_for_triage(struct send *s, char *why, size_t why_size)
{
	char id[64];
	int64_t end = clock_boot_us() + s->wait_ms * 1000;
	const struct timespec pause = { 0, POLL_MS * 1000000 };
	struct api_answer a;
	json_t *report;

	snprintf(id, sizeof(id), "%.63s", s->answer);
	for (;;) {
		bool ok = api_request(s->client, "GET", "/v1/reports/%s", id, NULL, NULL, 10000, &a);
		bool folded = ok && strcmp(json_member(a.body, "stage"), "accepted") != 0;
		bool again = ok && strcmp(json_member(a.body, "outcome"), "resent") == 0 &&
			     *json_member(a.body, "first") != '\0' && strcmp(json_member(a.body, "first"), id) != 0;

		snprintf(why, why_size, "%s", a.error);
		if (again)
			snprintf(id, sizeof(id), "%.63s", json_member(a.body, "first"));
		report = ok ? json_incref(a.body) : NULL;
		api_answer_fini(&a);
		if ((folded && !again && triaged(report)) || clock_boot_us() >= end)
			return report;
		json_decref(report);
		nanosleep(&pause, NULL);
	}
}

static void
add_title(struct send *s, json_t *report)
{
	const char *id = json_member(report, "signature");
	struct api_answer a;

	if (*id == '\0')
		return;
	if (api_request(s->client, "GET", "/v1/signatures/%s", id, NULL, NULL, 10000, &a))
		json_object_set_new(report, "title", json_string(json_member(a.body, "title")));
	api_answer_fini(&a);
}

/* ---- telling ---- */

static int
tell(const struct send *s, bool sent, json_t *report)
{
	const char *triage = json_member(report, "triage"), *title = json_member(report, "title");
	bool waiting = report != NULL && !triaged(report);

	if (s->json) {
		json_t *o = json_pack("{s:s}", "file", s->file);

		json_object_set_new(o, sent ? "report" : "error", json_string(s->answer));
		if (s->dump_note[0] != '\0')
			json_object_set_new(o, "dump", json_string(s->dump_note));
		if (report != NULL) {
			json_object_set(o, "triage", json_object_get(report, "triage"));
			json_object_set(o, "signature", json_object_get(report, "signature"));
			json_object_set_new(o, "title", *title != '\0' ? json_string(title) : json_null());
			json_object_set(o, "reason", json_object_get(report, "reason"));
		}
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else if (!sent) {
		fprintf(stderr, "faultline send: %s: ", s->file);
		print_text(stderr, s->answer);
		fputc('\n', stderr);
	} else {
		print_text(stdout, s->answer);
		if (report != NULL && *title != '\0') {
			putchar(' ');
			print_text(stdout, title);
			printf(" [%s]", json_member(report, "signature"));
		}
		if (report != NULL && strcmp(triage, "done") != 0)
			printf(" (dump: %s)", *triage != '\0' ? triage : "not kept");
		if (s->dump_note[0] != '\0') {
			printf(" (dump not kept: ");
			print_text(stdout, s->dump_note);
			putchar(')');
		}
		putchar('\n');
	}
	fflush(stdout);
	return !sent || strcmp(triage, "unreadable") == 0 ? SEND_FAILED : waiting ? SEND_UNTRIAGED : SEND_OK;
}

static int
send_one(struct send *s, const char *file)
{
	json_t *report = NULL;
	char why[512];
	bool sent = false;
	int rc;

	s->file = file;
	if (access(file, R_OK) == 0)
		sent = upload(s);
	else
		snprintf(s->answer, sizeof(s->answer), "cannot be read: %s", strerror(errno));
	if (sent && s->wait_ms > 0) {
		report = wait_for_triage(s, why, sizeof(why));
		if (report == NULL)
			fprintf(stderr, "faultline send: %s: sent, but cannot be asked for: %s\n", file, why);
		else
			add_title(s, report);
	}
	rc = tell(s, sent, report);
	if (rc == SEND_OK && s->wait_ms > 0 && report == NULL)
		rc = SEND_UNTRIAGED;
	json_decref(report);
	return rc;
}

/* ---- options ---- */

static bool
add_field(struct send *s, const char *name, const char *value)
{
	if (s->n_fields == FIELDS_MAX) {
		fprintf(stderr, "faultline send: more than %d fields\n", FIELDS_MAX);
		return false;
	}
	s->fields[s->n_fields++] = (struct field){ name, value };
	return true;
}

static bool
add_annotation(struct send *s, char *text)
{
	char *eq = strchr(text, '=');

	if (eq == NULL || eq == text) {
		fprintf(stderr, "faultline send: --annotation wants KEY=VALUE\n");
		return false;
	}
	*eq = '\0';
	return add_field(s, text, eq + 1);
}

static const struct option long_options[] = {
	{ "server", required_argument, NULL, 's' },
	{ "path", required_argument, NULL, 'f' },
	{ "product", required_argument, NULL, 'p' },
	{ "version", required_argument, NULL, 'v' },
	{ "host", required_argument, NULL, 'H' },
	{ "annotation", required_argument, NULL, 'a' },
	{ "wait", optional_argument, NULL, 'w' },
	{ "api", required_argument, NULL, 'A' },
	{ "token-file", required_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool
set_option(struct send *s, int opt, bool *host_given)
{
	switch (opt) {
	case 's':
		s->server = optarg;
		return true;
	case 'f':
		s->path = optarg;
		return true;
	case 'A':
		s->api = optarg;
		return true;
	case 't':
		s->token_file = optarg;
		return true;
	case 'j':
		s->json = true;
		return true;
	case 'q':
		s->progress = false;
		return true;
	case 'p':
		return add_field(s, "prod", optarg);
	case 'v':
		return add_field(s, "ver", optarg);
	case 'a':
		return add_annotation(s, optarg);
	case 'H':
		*host_given = true;
		return add_field(s, "host", optarg);
	case 'w':
		s->wait_ms = WAIT_MS;
		if (optarg == NULL || (parse_wait(optarg, &s->wait_ms) == 0 && s->wait_ms > 0))
			return true;
		fprintf(stderr, "faultline send: --wait wants a time like 60s\n");
		return false;
	case 'h':
		fputs(help, stdout);
		exit(0);
	default:
		return false;
	}
}

int
cmd_send(int argc, char **argv)
{
	struct send s = { .server = getenv("FAULTLINE_INGEST"),
			  .path = "/submit",
			  .progress = isatty(STDERR_FILENO) == 1 };
	char host[65] = "", err[512];
	bool host_given = false;
	int opt, rc = SEND_OK;

	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		if (!set_option(&s, opt, &host_given))
			return SEND_USAGE;
	if (optind == argc) {
		fputs(help, stderr);
		return SEND_USAGE;
	}
	if (s.server == NULL || s.server[0] == '\0')
		s.server = "http://127.0.0.1:8480";
	if (!host_given && gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0' && !add_field(&s, "host", host))
		return SEND_USAGE;
	if (option_token(s.token_file, s.token, sizeof(s.token), err, sizeof(err)) == -1 ||
	    curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
	    (s.wait_ms > 0 && (s.client = api_client_new(s.api, s.token_file, err, sizeof(err))) == NULL)) {
		fprintf(stderr, "faultline send: %s\n", err);
		return SEND_FAILED;
	}
	for (int i = optind; i < argc; i++) {
		int one = send_one(&s, argv[i]);

		if (one != SEND_OK && rc != SEND_FAILED)
			rc = one;
	}
	api_client_free(s.client);
	return rc;
}
