/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/deploy.h"
#include "cli/drill.h"
#include "cli/prospect.h"

#define SERVE_AT_ONCE 100000u            /* hosts in one request, at most */
#define SERVE_BYTES   (6u * 1024 * 1024) /* and bytes of them: the API takes 8 MB */
#define TIMEOUT_MS    30000

static const char help[] =
	"usage: faultline deploy create ID [--artefact NAME] [--version V] [--module NAME]... [--ring NAME=HOSTS|NAME=P%|NAME]...\n"
	"                        [--product P]... [--os-build B]... [--site S]... [--hw-class C]... [--host H]...\n"
	"                        [--assignment hash|listed|site] [--salt 0xHEX] [--bake TIME] [--close-after TIME] [--shadow]\n"
	"                        [--plan FILE]\n"
	"       faultline deploy served ID (--host H... | --hosts-file FILE | --ring NAME | --percent P) [--withdrawn] [--at TIME]\n"
	"       faultline deploy show ID\n"
	"       faultline deploy list\n"
	"       faultline deploy plan --fleet HOSTS --ring NAME=SIZE[,SERVE[,BAKE]]...   (plan --help)\n"
	"       faultline deploy drill [ID]   a harmless fire drill: does the alarm work?   (drill --help)\n"
	"       faultline deploy halt|resume|pause ID --reason TEXT\n"
	"       faultline deploy mute ID --signature s1-HEX [--for TIME] --reason TEXT\n"
	"       faultline deploy accept ID --signature s1-HEX --reason TEXT\n"
	"       faultline deploy release ID [--signature s1-HEX] --reason TEXT\n"
	"       faultline deploy delete ID [--reason TEXT] [--force]\n\n"
	"Tells the server what is rolled out, to whom, and what people decided about it.\n\n"
	"  --module NAME     a module that the deployment delivers; may be given again, like the selectors\n"
	"  --product, --os-build, --site, --hw-class, --host\n"
	"                    which hosts are eligible; without any, all\n"
	"  --ring NAME=100   rings in order: a number of hosts, a share (5%), or for the last one the rest\n"
	"  --plan FILE       the whole plan as JSON (docs/API.md); - is standard input\n"
	"  --content NAME=VERSION\n"
	"                    hosts whose heartbeats have this content count as served, without receipts\n"
	"  --hosts-file FILE host ids, one a line; - is standard input.  Ids are raw, or h:<16 hex>\n"
	"  --percent P       whoever the plan puts among the first P percent of the eligible hosts\n"
	"  --withdrawn       the payload was taken back from these hosts\n"
	"  --at TIME         when it was served, RFC 3339; without it, now\n"
	"  --signature ID    has no vote in this deployment: until --for is over (mute) or for good (accept);\n"
	"                    release gives it back, without one it lets a paused deployment go on\n"
	"  --for TIME        how long a mute lasts [1d]\n"
	"  --force           delete although it is halted\n"
	"  --actor NAME      who does it, for the record [$USER]\n"
	"  --server URL      address of the API [$FAULTLINE_SERVER, else http://127.0.0.1:8482]\n"
	"  --token-file FILE file with the bearer token [$FAULTLINE_TOKEN_FILE]\n"
	"  --json            print the server's answer\n";

struct deploy {
	struct api_client *client;
	const char *verb, *id, *server, *token_file, *hosts_file, *plan_file, *ring;
	json_t *body;  /* the request, as far as flags say it */
	json_t *hosts; /* --host */
	bool json, force, withdrawn;
};

__attribute__((format(printf, 1, 2))) static int
wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("faultline deploy: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputs("\nfaultline deploy --help says more.\n", stderr);
	va_end(ap);
	return 2;
}

/* ---- flags ---- */

enum {
	OPT_ARTEFACT = 256,
	OPT_VERSION,
	OPT_MODULE,
	OPT_RING,
	OPT_PRODUCT,
	OPT_OS_BUILD,
	OPT_SITE,
	OPT_HW_CLASS,
	OPT_HOST,
	OPT_ASSIGNMENT,
	OPT_SALT,
	OPT_BAKE,
	OPT_CLOSE,
	OPT_SHADOW,
	OPT_PLAN,
	OPT_HOSTS,
	OPT_PERCENT,
	OPT_CONTENT,
	OPT_WITHDRAWN,
	OPT_AT,
	OPT_REASON,
	OPT_SIGNATURE,
	OPT_FOR,
	OPT_FORCE,
	OPT_ACTOR,
	OPT_SERVER,
	OPT_TOKEN,
	OPT_JSON,
	OPT_HELP
};

static const struct option options[] = {
	{ "artefact", required_argument, NULL, OPT_ARTEFACT },
	{ "version", required_argument, NULL, OPT_VERSION },
	{ "module", required_argument, NULL, OPT_MODULE },
	{ "ring", required_argument, NULL, OPT_RING },
	{ "product", required_argument, NULL, OPT_PRODUCT },
	{ "os-build", required_argument, NULL, OPT_OS_BUILD },
	{ "site", required_argument, NULL, OPT_SITE },
	{ "hw-class", required_argument, NULL, OPT_HW_CLASS },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "assignment", required_argument, NULL, OPT_ASSIGNMENT },
	{ "salt", required_argument, NULL, OPT_SALT },
	{ "bake", required_argument, NULL, OPT_BAKE },
	{ "close-after", required_argument, NULL, OPT_CLOSE },
	{ "shadow", no_argument, NULL, OPT_SHADOW },
	{ "plan", required_argument, NULL, OPT_PLAN },
	{ "hosts", required_argument, NULL, OPT_HOSTS },
	{ "hosts-file", required_argument, NULL, OPT_HOSTS },
	{ "percent", required_argument, NULL, OPT_PERCENT },
	{ "content", required_argument, NULL, OPT_CONTENT },
	{ "withdrawn", no_argument, NULL, OPT_WITHDRAWN },
	{ "at", required_argument, NULL, OPT_AT },
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "signature", required_argument, NULL, OPT_SIGNATURE },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "actor", required_argument, NULL, OPT_ACTOR },
	{ "server", required_argument, NULL, OPT_SERVER },
	{ "token-file", required_argument, NULL, OPT_TOKEN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void
append(json_t *object, const char *key, json_t *value)
{
	json_t *array = json_object_get(object, key);

	if (array == NULL) {
		array = json_array();
		json_object_set_new(object, key, array);
	}
	json_array_append_new(array, value);
}

static json_t *
eligible(struct deploy *d)
{
	json_t *e = json_object_get(d->body, "eligible");

	if (e == NULL) {
		e = json_object();
		json_object_set_new(d->body, "eligible", e);
	}
	return e;
}

/* NAME, NAME=100 or NAME=2.5% */
static int
add_ring(struct deploy *d, const char *arg)
{
	const char *equals = strrchr(arg, '=');
	json_t *ring = json_object();
	char *end;

	if (equals == NULL)
		json_object_set_new(ring, "name", json_string(arg));
	else {
		double n = strtod(equals + 1, &end);

		json_object_set_new(ring, "name", json_stringn(arg, (size_t)(equals - arg)));
		if (end == equals + 1 || (strcmp(end, "%") != 0 && *end != '\0') || n < 0 || n > 1e10) {
			json_decref(ring);
			return wrong("--ring wants NAME, NAME=HOSTS or NAME=PERCENT%%, not %s", arg);
		}
		if (*end == '%')
			json_object_set_new(ring, "percent", json_real(n));
		else
			json_object_set_new(ring, "hosts", json_integer((json_int_t)n));
	}
	append(d->body, "rings", ring);
	return 0;
}

static int
add_percent(struct deploy *d, const char *arg)
{
	char *end;
	double p = strtod(arg, &end);

	if (end == arg || (*end != '\0' && strcmp(end, "%") != 0) || !(p > 0 && p <= 100))
		return wrong("--percent wants a number above 0 and at most 100, not %s", arg);
	json_object_set_new(d->body, "percent", json_real(p));
	return 0;
}

static int
add_content(struct deploy *d, const char *arg)
{
	const char *equals = strchr(arg, '=');
	json_t *content;

	if (equals == NULL || equals == arg)
		return wrong("--content wants NAME=VERSION, not %s", arg);
	content = json_object();
	json_object_set_new(content, "name", json_stringn(arg, (size_t)(equals - arg)));
	json_object_set_new(content, "version", json_string(equals + 1));
	json_object_set_new(d->body, "content", content);
	return 0;
}

static int
take_option(struct deploy *d, int o, const char *arg)
{
	const bool create = strcmp(d->verb, "create") == 0;

	switch (o) {
	case OPT_ARTEFACT:
		json_object_set_new(d->body, "artefact", json_string(arg));
		break;
	case OPT_VERSION:
		json_object_set_new(d->body, "version", json_string(arg));
		break;
	case OPT_MODULE:
		append(d->body, "modules", json_string(arg));
		break;
	case OPT_PRODUCT:
		append(eligible(d), "products", json_string(arg));
		break;
	case OPT_OS_BUILD:
		append(eligible(d), "os_builds", json_string(arg));
		break;
	case OPT_SITE:
		append(eligible(d), "sites", json_string(arg));
		break;
	case OPT_HW_CLASS:
		append(eligible(d), "hw_classes", json_string(arg));
		break;
	case OPT_ASSIGNMENT:
		json_object_set_new(d->body, "assignment", json_string(arg));
		break;
	case OPT_SALT:
		json_object_set_new(d->body, "salt", json_string(arg));
		break;
	case OPT_BAKE:
		json_object_set_new(d->body, "bake", json_string(arg));
		break;
	case OPT_CLOSE:
		json_object_set_new(d->body, "close_after", json_string(arg));
		break;
	case OPT_SHADOW:
		json_object_set_new(d->body, "mode", json_string("shadow"));
		break;
	case OPT_AT:
		json_object_set_new(d->body, "at", json_string(arg));
		break;
	case OPT_REASON:
		json_object_set_new(d->body, "reason", json_string(arg));
		break;
	case OPT_SIGNATURE:
		json_object_set_new(d->body, "signature", json_string(arg));
		break;
	case OPT_FOR:
		json_object_set_new(d->body, "for", json_string(arg));
		break;
	case OPT_ACTOR:
		json_object_set_new(d->body, "actor", json_string(arg));
		break;
	case OPT_HOST:
		json_array_append_new(d->hosts, json_string(arg));
		break;
	case OPT_RING:
		if (create)
			return add_ring(d, arg);
		d->ring = arg;
		break;
	case OPT_PLAN:
		d->plan_file = arg;
		break;
	case OPT_HOSTS:
		d->hosts_file = arg;
		break;
	case OPT_PERCENT:
		return add_percent(d, arg);
	case OPT_CONTENT:
		return add_content(d, arg);
	case OPT_WITHDRAWN:
		d->withdrawn = true;
		break;
	case OPT_FORCE:
		d->force = true;
		break;
	case OPT_SERVER:
		d->server = arg;
		break;
	case OPT_TOKEN:
		d->token_file = arg;
		break;
	case OPT_JSON:
		d->json = true;
		break;
	default:
		return 2;
	}
	return 0;
}

/* ---- telling ---- */

static int
refused(const struct api_answer *a)
{
	fputs("faultline deploy: ", stderr);
	print_text(stderr, a->error);
	fputc('\n', stderr);
	return 1;
}

static void
print_json(const json_t *body)
{
	json_dumpf(body, stdout, JSON_COMPACT);
	putchar('\n');
}

static void
print_verdict(const json_t *v)
{
	printf("%s (%s): ", json_member(v, "verdict"), json_member(v, "state"));
	print_text(stdout, json_member(v, "reason"));
	printf("\n  since %s; served %lld, resolved %lld of %lld needed, harmed %lld; %lld eligible hosts not served\n",
	       json_member(v, "since"), json_count(v, "served"), json_count(v, "resolved"), json_count(v, "needed"),
	       json_count(v, "bad"), json_count(v, "unserved"));
}

static void
print_evidence(const json_t *v)
{
	const json_t *e = json_object_get(v, "evidence"), *vote;
	size_t i;

	if (*json_member(e, "signature") == '\0')
		return;
	fputs("  evidence: ", stdout);
	print_text(stdout, json_member(e, "signature"));
	printf(" (%s) on %lld of %lld served hosts at %lld sites, %lld of %lld others\n",
	       json_member(e, "signature_id"), json_count(e, "hosts"), json_count(e, "exposed"), json_count(e, "sites"),
	       json_count(e, "baseline_hosts"), json_count(e, "baseline"));
	json_array_foreach(json_object_get(e, "votes"), i, vote)
		printf("    %s  host %lld, site %lld, %s  report %s\n", json_member(vote, "received"),
		       json_count(vote, "host_number"), json_count(vote, "site_number"),
		       json_is_true(json_object_get(vote, "served")) ? "served    " : "not served",
		       json_member(vote, "report"));
}

static void
print_deployment(const json_t *d)
{
	static const char *const what[] = { "artefact", "version" };
	const json_t *plan = json_object_get(d, "plan"), *ring, *module;
	size_t i;

	printf("%s%s\n", json_member(d, "id"), json_is_true(json_object_get(d, "open")) ? "" : " (closed)");
	fputs("  ", stdout);
	print_verdict(d);
	print_evidence(d);
	printf("  created %s, mode %s, assigned by %s", json_member(d, "created"), json_member(plan, "mode"),
	       json_member(plan, "assignment"));
	for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		if (json_member(plan, what[i])[0] == '\0')
			continue;
		printf("; %s ", what[i]);
		print_text(stdout, json_member(plan, what[i]));
	}
	putchar('\n');
	json_array_foreach(json_object_get(plan, "modules"), i, module)
	{
		fputs(i == 0 ? "  modules " : ", ", stdout);
		print_text(stdout, json_string_value(module));
	}
	if (i > 0)
		putchar('\n');
	json_array_foreach(json_object_get(d, "rings"), i, ring)
	{
		fputs(i == 0 ? "  rings " : ", ", stdout);
		print_text(stdout, json_member(ring, "name"));
		if (json_is_null(json_object_get(ring, "hosts")))
			fputs(" (the rest)", stdout);
		else
			printf(" (%lld hosts)", json_count(ring, "hosts"));
	}
	if (i > 0)
		putchar('\n');
}

/* ---- verbs ---- */

static json_t *
load_plan(const char *path)
{
	json_error_t error;
	json_t *plan = strcmp(path, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
					      : json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (plan == NULL || !json_is_object(plan)) {
		wrong("%s: line %d: %s", path, plan == NULL ? error.line : 1,
		      plan == NULL ? error.text : "not an object");
		json_decref(plan);
		return NULL;
	}
	return plan;
}

static int
verb_create(struct deploy *d)
{
	struct api_answer a;
	int status = 0;

	if (json_array_size(d->hosts) > 0)
		json_object_set(eligible(d), "hosts", d->hosts);
	if (d->plan_file != NULL) {
		json_t *plan = load_plan(d->plan_file);

		if (plan == NULL)
			return 2;
		json_object_update(plan, d->body); /* flags win */
		json_decref(d->body);
		d->body = plan;
	}
	if (!api_request(d->client, "PUT", "/v1/deployments/%s", d->id, d->body, NULL, TIMEOUT_MS, &a))
		status = refused(&a);
	else if (d->json)
		print_json(a.body);
	else {
		fputs(a.status == 201 ? "created " : "kept ", stdout);
		print_deployment(a.body);
	}
	api_answer_fini(&a);
	return status;
}

static int
post_receipt(struct deploy *d, json_t *hosts, bool last)
{
	struct api_answer a;
	int status = 0;

	if (hosts != NULL)
		json_object_set(d->body, "hosts", hosts);
	if (!api_request(d->client, "POST", "/v1/deployments/%s/receipts", d->id, d->body, NULL, TIMEOUT_MS, &a))
		status = refused(&a);
	else if (last && d->json)
		print_json(a.body);
	else if (last)
		print_verdict(a.body);
	api_answer_fini(&a);
	return status;
}

/* Sends full requests on the way; what is left stays in d->hosts. */
static int
read_hosts(struct deploy *d)
{
	FILE *f = strcmp(d->hosts_file, "-") == 0 ? stdin : fopen(d->hosts_file, "re");
	char line[512];
	size_t bytes = 0;
	int status = 0;

	if (f == NULL)
		return wrong("cannot read %s", d->hosts_file);
	while (status == 0 && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0')
			continue;
		bytes += strlen(line) + 3;
		if (json_array_size(d->hosts) >= SERVE_AT_ONCE || bytes >= SERVE_BYTES) {
			status = post_receipt(d, d->hosts, false);
			json_array_clear(d->hosts);
			bytes = strlen(line) + 3;
		}
		if (json_array_append_new(d->hosts, json_string(line)) != 0)
			status = wrong("%s: a host id is not UTF-8", d->hosts_file);
	}
	if (f != stdin)
		fclose(f);
	return status;
}

static int
verb_serve(struct deploy *d)
{
	int status = 0;

	if (d->withdrawn)
		json_object_set_new(d->body, "withdrawn", json_true());
	if (d->ring != NULL) {
		if (json_array_size(d->hosts) > 0 || d->hosts_file != NULL)
			return wrong("served wants hosts or a ring, not both");
		json_object_set_new(d->body, "ring", json_string(d->ring));
		return post_receipt(d, NULL, true);
	}
	if (json_object_get(d->body, "percent") != NULL) {
		if (json_array_size(d->hosts) > 0 || d->hosts_file != NULL)
			return wrong("served wants hosts or a percentage, not both");
		return post_receipt(d, NULL, true);
	}
	if (d->hosts_file != NULL)
		status = read_hosts(d);
	if (status == 0 && json_array_size(d->hosts) == 0)
		return wrong("served wants --host, --hosts-file, --ring or --percent");
	return status != 0 ? status : post_receipt(d, d->hosts, true);
}

static int
verb_show(struct deploy *d)
{
	struct api_answer a;
	int status = 0;

	if (!api_request(d->client, "GET", "/v1/deployments/%s", d->id, NULL, NULL, TIMEOUT_MS, &a))
		status = refused(&a);
	else if (d->json)
		print_json(a.body);
	else
		print_deployment(a.body);
	api_answer_fini(&a);
	return status;
}

static int
verb_list(struct deploy *d)
{
	char next[160] = "";
	int status = 0;

	do {
		const json_t *v;
		struct api_answer a;
		size_t i;

		if (!api_request(d->client, "GET",
				 next[0] != '\0' ? "/v1/deployments?limit=1000&cursor=%s"
						 : "/v1/deployments?limit=1000",
				 next, NULL, NULL, TIMEOUT_MS, &a))
			status = refused(&a);
		json_array_foreach(json_object_get(a.body, "deployments"), i, v)
		{
			if (d->json) {
				print_json(v);
				continue;
			}
			printf("%-8s %-32s %8lld served %6lld harmed  ", json_member(v, "verdict"),
			       json_member(v, "id"), json_count(v, "served"), json_count(v, "bad"));
			print_text(stdout, json_member(v, "reason"));
			putchar('\n');
		}
		snprintf(next, sizeof(next), "%s", json_member(a.body, "next"));
		api_answer_fini(&a);
	} while (status == 0 && next[0] != '\0');
	return status;
}

static int
verb_decide(struct deploy *d)
{
	const bool drop = strcmp(d->verb, "delete") == 0;
	struct api_answer a;
	char path[64];
	int status = 0;

	if (json_object_get(d->body, "reason") == NULL) {
		if (!drop)
			return wrong("%s wants --reason TEXT: it is kept for the record", d->verb);
		json_object_set_new(d->body, "reason", json_string("deleted with faultline deploy"));
	}
	if (drop)
		snprintf(path, sizeof(path), "/v1/deployments/%%s%s", d->force ? "?force=1" : "");
	else
		snprintf(path, sizeof(path), "/v1/deployments/%%s/%s", d->verb);
	if (!api_request(d->client, drop ? "DELETE" : "POST", path, d->id, d->body, NULL, TIMEOUT_MS, &a))
		status = refused(&a);
	else if (d->json)
		print_json(a.body);
	else if (drop)
		printf("deleted %s\n", d->id);
	else
		print_verdict(a.body);
	api_answer_fini(&a);
	return status;
}

static const struct verb {
	const char *name;
	bool wants_id, writes;
	int (*run)(struct deploy *d);
} verbs[] = {
	{ "create", true, true, verb_create }, { "served", true, true, verb_serve },
	{ "serve", true, true, verb_serve },   { "show", true, false, verb_show },
	{ "list", false, false, verb_list },   { "halt", true, true, verb_decide },
	{ "resume", true, true, verb_decide }, { "pause", true, true, verb_decide },
	{ "delete", true, true, verb_decide }, { "mute", true, true, verb_decide },
	{ "accept", true, true, verb_decide }, { "release", true, true, verb_decide },
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int
run_verb(struct deploy *d, const struct verb *v, int argc, char **argv)
{
	char err[256];
	int o, status;

	d->verb = v->name;
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == OPT_HELP || o == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if ((status = take_option(d, o, optarg)) != 0)
			return status;
	}
	if (argc - optind != (v->wants_id ? 1 : 0))
		return wrong("%s wants %s", v->name, v->wants_id ? "one deployment id" : "no id");
	d->id = v->wants_id ? argv[optind] : NULL;
	if (v->writes && json_object_get(d->body, "actor") == NULL && getenv("USER") != NULL && *getenv("USER") != '\0')
		json_object_set_new(d->body, "actor", json_string(getenv("USER")));
	if ((d->client = api_client_new(d->server, d->token_file, err, sizeof(err))) == NULL)
		return wrong("%s", err);
	status = v->run(d);
	api_client_free(d->client);
	return status;
}

int
cmd_deploy(int argc, char **argv)
{
	struct deploy d = { .body = json_object(), .hosts = json_array() };
	int status = -1;

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(help, stdout);
		status = 0;
	}
	if (status == -1 && argc >= 2 && strcmp(argv[1], "plan") == 0)
		status = cmd_prospect(argc - 1, argv + 1);
	if (status == -1 && argc >= 2 && strcmp(argv[1], "drill") == 0)
		status = cmd_drill(argc - 1, argv + 1);
	for (size_t i = 0; status == -1 && argc >= 2 && i < N_VERBS; i++)
		if (strcmp(verbs[i].name, argv[1]) == 0)
			status = run_verb(&d, &verbs[i], argc - 1, argv + 1);
	if (status == -1) {
		fputs(help, stderr);
		status = 2;
	}
	json_decref(d.body);
	json_decref(d.hosts);
	return status;
}
