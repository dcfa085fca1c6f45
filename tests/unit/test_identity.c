/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/gate/identity.h"
#include "collector/gate/roster.h"
#include "proto/report.h"

static char dir[64];

static int
make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fl-identity-XXXXXX");
	return mkdtemp(dir) == NULL;
}

static char *
in_dir(const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static struct sockaddr_in
v4(const char *ip)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };

	inet_pton(AF_INET, ip, &sa.sin_addr);
	return sa;
}

static int
site_is(const struct identity *id, const char *ip, bool auth, struct report_pair *labels, uint32_t n, const char *want)
{
	struct sockaddr_in sa = v4(ip);
	char buf[SITE_MAX];
	struct text t = identity_site(id, (struct sockaddr *)&sa, auth, labels, n, buf);

	return text_equal(t, text_of(want));
}

static void
test_host_key_is_made_once_and_kept(void **state)
{
	char err[200];
	struct identity *a = identity_new(in_dir("key"), "", LABELS_AUTHENTICATED, err, sizeof(err));
	struct identity *b = identity_new(in_dir("key"), "", LABELS_AUTHENTICATED, err, sizeof(err));
	struct stat st;

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(stat(in_dir("key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(identity_host(a, 0, TEXT("host-1")) == identity_host(b, 0, TEXT("host-1")));
	assert_true(identity_host(a, 0, TEXT("host-1")) != identity_host(a, 1, TEXT("host-1")));
	identity_free(a);
	identity_free(b);
	assert_int_equal(truncate(in_dir("key"), 3), 0);
	assert_null(identity_new(in_dir("key"), "", LABELS_AUTHENTICATED, err, sizeof(err)));
	assert_non_null(strstr(err, "damaged"));
	unlink(in_dir("key"));
}

static void
test_api_takes_raw_and_hashed_ids(void **state)
{
	char err[200], text[32];
	struct identity *id = identity_new(in_dir("key2"), "", LABELS_NEVER, err, sizeof(err));
	uint64_t h;

	(void)state;
	assert_non_null(id);
	h = identity_host(id, 0, TEXT("host-1"));
	snprintf(text, sizeof(text), "h:%016llx", (unsigned long long)h);
	assert_true(identity_api_host(id, 0, text_of(text)) == h);
	assert_true(identity_api_host(id, 0, TEXT("host-1")) == h);
	assert_true(identity_api_host(id, 0, TEXT("h:nonsense")) == identity_host(id, 0, TEXT("h:nonsense")));
	identity_free(id);
}

static void
test_site_map_then_label_then_network(void **state)
{
	struct report_pair label = { TEXT("site"), TEXT("paris") };
	char err[200];
	struct identity *id;
	FILE *f = fopen(in_dir("sites"), "w");

	(void)state;
	fputs("# offices\n10.1.0.0/16 berlin\n10.1.2.0/24 berlin-lab\n2001:db8::/32 six\n", f);
	fclose(f);
	id = identity_new(in_dir("key3"), in_dir("sites"), LABELS_AUTHENTICATED, err, sizeof(err));
	assert_non_null(id);
	assert_true(site_is(id, "10.1.9.9", false, NULL, 0, "berlin"));
	assert_true(site_is(id, "10.1.2.9", false, NULL, 0, "berlin-lab"));
	assert_true(site_is(id, "10.1.2.9", true, &label, 1, "berlin-lab")); /* the operator's word wins */
	assert_true(site_is(id, "10.2.3.4", true, &label, 1, "paris"));
	assert_true(site_is(id, "10.2.3.4", false, &label, 1, "10.2.3.0/24"));
	identity_free(id);
	f = fopen(in_dir("sites"), "w");
	fputs("10.1.0.0/33 berlin\n", f);
	fclose(f);
	assert_null(identity_new(in_dir("key3"), in_dir("sites"), LABELS_AUTHENTICATED, err, sizeof(err)));
	assert_non_null(strstr(err, "sites:1:"));
}

/* A host map of one host. */
struct one_host {
	uint64_t hash;
	uint32_t number, fingerprint;
};

static bool
find_one(void *arg, uint16_t tenant, uint64_t hash, uint32_t *no, uint32_t *fingerprint)
{
	const struct one_host *h = arg;

	*no = h->number;
	*fingerprint = h->fingerprint;
	return tenant == 0 && hash == h->hash;
}

static void
test_roster_logs_in_full_what_the_ledger_does_not_know(void **state)
{
	struct one_host known = { 0, 5, 100 };
	struct roster *r = roster_new(1, find_one, &known);

	(void)state;
	assert_true(roster_beat(r, 0, 7, 100)); /* unknown */
	known.hash = 7;
	assert_false(roster_beat(r, 0, 7, 100));
	assert_true(roster_beat(r, 0, 7, 101)); /* rebooted or updated */
	assert_true(roster_beat(r, 1, 7, 100)); /* another tenant's */
	roster_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_key_is_made_once_and_kept),
		cmocka_unit_test(test_api_takes_raw_and_hashed_ids),
		cmocka_unit_test(test_site_map_then_label_then_network),
		cmocka_unit_test(test_roster_logs_in_full_what_the_ledger_does_not_know),
	};

	return cmocka_run_group_tests(tests, make_dir, NULL);
}
