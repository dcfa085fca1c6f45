/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest useful client: one crash report, acknowledged, and its dump if it is wanted.
 *
 *	cc report.c $(pkg-config --cflags --libs faultline-client) -o report
 *	./report 127.0.0.1:8481 /path/to/dump
 */
#include <fcntl.h>
#include <faultline-client.h>
#include <stdio.h>

static int
want_dump(void *arg, const char *cookie, const char *report_id)
{
	(void)arg;
	printf("the server would like the dump of %s\n", report_id);
	return open(cookie, O_RDONLY);
}

static void
refused(void *arg, uint64_t ticket, const char *cookie, const char *code, const char *message)
{
	(void)arg;
	(void)ticket;
	(void)cookie;
	printf("refused: %s: %s\n", code, message);
}

static void
halted(void *arg, const char *const *ids, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		printf("stop updating: %s is halted\n", ids[i]);
}

int
main(int argc, char **argv)
{
	char err[256];
	struct faultline_options options = {
		.size = sizeof(options),
		.server = argc > 1 ? argv[1] : "127.0.0.1:8481",
		.agent = "example/1.0",
		.host = "lab-17",
		.host_len = 6,
		.on = { .want_dump = want_dump, .refused = refused, .halted = halted },
	};
	struct faultline_report report = {
		.kind = FAULTLINE_KIND_SERVICE,
		.module = "libexample.so",
		.module_id = "8f14e45fceea167a",
		.offset = 0x1234,
		.reason = "SIGSEGV /SEGV_MAPERR",
		.product = "example",
		.version = "1.0",
		.has_dump = argc > 2,
		.cookie = argc > 2 ? argv[2] : NULL,
	};
	struct faultline *f = faultline_new(&options, err, sizeof(err));
	int rc;

	if (f == NULL) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	rc = faultline_report(f, &report, NULL);
	if (rc == FAULTLINE_OK)
		rc = faultline_flush(f, 10000);
	printf("%s\n", rc == FAULTLINE_OK ? "acknowledged" : "not acknowledged");
	faultline_free(f);
	return rc != FAULTLINE_OK;
}
