/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "collector/workers/pool.h"
#include "collector/workers/serve.h"
#include "collector/workers/worker.h"
#include "collector/workers/zygote.h"
#include "triage/triage.h"

/* Dump to signature in one warm, confined worker, against the same call in this process, and against
 * other walkers of minidumps that are on the PATH:
 *	bench_triage FILE... */
#define SECONDS 3
#define WINDOW  64

struct file {
	int fd;
	uint64_t size;
	void *bytes;
};

static struct file *files;
static int n_files, next_file;
static uint64_t done, failed;
static int64_t end_us;

static void
submit(struct pool *p, struct pool_job *job)
{
	const struct file *f = &files[next_file++ % n_files];

	job->fd = f->fd;
	job->size = f->size;
	pool_submit(p, job);
}

static void
on_done(struct pool_job *job)
{
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	struct triage_result r;
	char what[WORKER_WHAT_MAX];

	done++;
	failed += job->outcome != ERR_OK || worker_result(a, job->result, job->result_size, &r, what) != ERR_OK;
	arena_free(a);
	if (clock_boot_us() < end_us)
		submit(job->arg, job);
}

static void
pooled(void)
{
	const struct pool_options o = {
		.workers = 1, .timeout_ms = 20000, .memory_bytes = 512 << 20, .image_bytes = 1 << 30, .recycle = 1000
	};
	static struct pool_job jobs[WINDOW];
	struct pool *p = pool_new(&o);
	struct rusage before, after;
	int64_t began;

	if (p == NULL) {
		perror("pool");
		exit(1);
	}
	getrusage(RUSAGE_SELF, &before);
	began = clock_boot_us();
	end_us = began + SECONDS * 1000000;
	for (int i = 0; i < WINDOW; i++) {
		jobs[i] = (struct pool_job){ .done = on_done, .arg = p };
		submit(p, &jobs[i]);
	}
	while (pool_pending(p) > 0) {
		struct pollfd fd = { .fd = pool_fd(p), .events = POLLIN };

		poll(&fd, 1, pool_timeout_ms(p));
		pool_turn(p);
	}
	getrusage(RUSAGE_SELF, &after);
	printf("worker: %.0f dumps/s (%llu dumps, %llu not read), parent %.1f us CPU a dump\n",
	       (double)done * 1e6 / (double)(clock_boot_us() - began), (unsigned long long)done,
	       (unsigned long long)failed,
	       ((double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1e6 + (double)after.ru_utime.tv_usec -
		(double)before.ru_utime.tv_usec + (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e6 +
		(double)after.ru_stime.tv_usec - (double)before.ru_stime.tv_usec) /
		       (double)done);
	pool_free(p);
}

/* Frames of all threads that crashed, by one run over each file. */
static size_t
count_frames(void)
{
	size_t frames = 0;

	for (int i = 0; i < n_files; i++) {
		struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
		struct triage_result r;
		struct diag diag;

		if (triage_run(a, files[i].bytes, files[i].size, NULL, &r, &diag) == ERR_OK)
			frames += r.n_frames;
		arena_free(a);
	}
	return frames;
}

static void
in_process(void)
{
	static uint8_t out[SERVE_SLOT_BYTES];
	const double frames = (double)count_frames() / n_files;
	const clock_t began = clock();
	double cpu, n = 0;

	while (clock() - began < SECONDS * CLOCKS_PER_SEC) {
		const struct file *f = &files[(uint64_t)n % (uint64_t)n_files];

		worker_triage(f->bytes, f->size, NULL, out, sizeof(out));
		n++;
	}
	cpu = (double)(clock() - began) / CLOCKS_PER_SEC;
	printf("same call in process: %.0f dumps/s of CPU, %.1f us a dump, all of it over its frames %.2f us a frame\n",
	       n / cpu, cpu * 1e6 / n, frames > 0 ? cpu * 1e6 / n / frames : 0.0);
}

static double
children_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Another walker, a process for each minidump; nothing is said when it is not there. */
static void
peer(const char *program, char **paths)
{
	const double began = children_us();
	int n = 0;

	for (int i = 0; i < n_files; i++) {
		int status = 0, null;
		pid_t pid;

		if (files[i].size < 4 || memcmp(files[i].bytes, "MDMP", 4) != 0)
			continue;
		fflush(stdout);
		if ((pid = fork()) == 0) {
			null = open("/dev/null", O_WRONLY);
			dup2(null, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
			execlp(program, program, paths[i], (char *)NULL);
			_exit(127);
		}
		if (pid == -1 || waitpid(pid, &status, 0) == -1 || (WIFEXITED(status) && WEXITSTATUS(status) == 127))
			return;
		n++;
	}
	if (n > 0)
		printf("%s: %.0f us CPU a dump, process and all (%d minidumps)\n", program, (children_us() - began) / n,
		       n);
}

int
main(int argc, char **argv)
{
	if (zygote_requested(argc, argv))
		return zygote_main(worker_triage);
	if (argc < 2) {
		fprintf(stderr, "usage: bench_triage FILE...\n");
		return 2;
	}
	files = calloc((size_t)argc, sizeof(*files));
	for (int i = 1; i < argc; i++) {
		struct file *f = &files[n_files];
		struct stat st;

		f->fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		if (f->fd == -1 || fstat(f->fd, &st) == -1 || st.st_size == 0) {
			perror(argv[i]);
			return 1;
		}
		f->size = (uint64_t)st.st_size;
		f->bytes = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, f->fd, 0);
		n_files++;
	}
	pooled();
	in_process();
	peer("minidump_stackwalk", argv + 1);
	peer("minidump-stackwalk", argv + 1);
	return 0;
}
