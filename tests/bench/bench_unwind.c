/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "cli/dumpfile.h"
#include "cli/symbol_files.h"
#include "triage/triage.h"

/* A dump from its bytes to a named stack and a signature, images warm, and the same without images; CPU time:
 *	bench_unwind DIR[:DIR] FILE... */
#define SECONDS 2

/* CPU time, because others use this machine too. */
static int64_t
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Returns microseconds a dump; *frames_out: of the last. */
static double
measure(const struct dumpfile *f, struct images *images, size_t *frames_out)
{
	const struct triage_options opt = { .images = images };
	int64_t began = 0;
	uint64_t n = 0;

	/* the first two warm up */
	for (int64_t now = 0; n < 3 || now - began < SECONDS * 1000000; now = cpu_us(), n++) {
		struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
		struct triage_result r;
		struct diag diag;

		if (n == 2)
			began = cpu_us();
		if (triage_run(a, f->p, f->size, &opt, &r, &diag) != ERR_OK) {
			fprintf(stderr, "%s\n", diag.what);
			exit(1);
		}
		*frames_out = r.n_frames;
		arena_free(a);
	}
	return (double)(cpu_us() - began) / (double)(n - 2);
}

int
main(int argc, char **argv)
{
	struct symbol_files *symbols;
	const char *why;

	if (argc < 3) {
		fprintf(stderr, "usage: bench_unwind DIR[:DIR] FILE...\n");
		return 2;
	}
	if ((symbols = symbol_files_open(argv[1], &why)) == NULL) {
		fprintf(stderr, "%s: %s\n", argv[1], why);
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		size_t plain_frames, frames;
		struct dumpfile f;
		double plain, with;

		if ((why = dumpfile_open(argv[i], &f)) != NULL) {
			fprintf(stderr, "%s: %s\n", argv[i], why);
			return 1;
		}
		plain = measure(&f, NULL, &plain_frames);
		with = measure(&f, symbol_files_images(symbols), &frames);
		printf("%s: %.1f us without images (%zu frames), %.1f us with (%zu frames): %.2f us a frame\n", argv[i],
		       plain, plain_frames, with, frames, frames > 0 ? (with - plain) / (double)frames : 0);
		dumpfile_close(&f);
	}
	symbol_files_close(symbols);
	return 0;
}
