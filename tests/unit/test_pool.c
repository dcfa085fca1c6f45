/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/counters.h"
#include "collector/workers/pool.h"
#include "collector/workers/serve.h"
#include "collector/workers/zygote.h"

#define WORKER_SOCKET 3 /* as zygote.c gives it */

/* ---- what the workers of this test do: the image's first byte says ---- */

static volatile unsigned sink;

__attribute__((noinline)) static int
recurse(int n)
{
	volatile char frame[4096];

	frame[0] = (char)n;
	return n == 0 ? 0 : recurse(n + 1) + frame[0];
}

static void
eat_memory(char *out)
{
	size_t n = 0;
	void *p;

	while ((p = malloc(1 << 20)) != NULL && n < 4096) {
		memset(p, 1, 1 << 20);
		n++;
	}
	snprintf(out, 64, "%zu", n);
}

static size_t
act(const void *image, size_t size, struct images *images, void *out, size_t cap)
{
	const char *text = image;

	(void)images;
	if (size == 0)
		return 0;
	switch (text[0]) {
	case 'e':
		memcpy(out, image, size < cap ? size : cap);
		return size < cap ? size : cap;
	case 'h':
		for (;;)
			sink++;
	case 'c':
		raise(SIGSEGV); /* a system call that is not allowed, so it ends here too */
		break;
	case 'n':
		*(volatile int *)(uintptr_t)sink = 1;
		break;
	case 'r':
		sink = (unsigned)recurse(1);
		break;
	case 'm':
		eat_memory(out);
		return 64;
	case 'o':
		sink = (unsigned)open("/etc/passwd", O_RDONLY);
		break;
	case 's':
		sink = (unsigned)socket(AF_INET, SOCK_STREAM, 0);
		break;
	case 'f':
		sink = (unsigned)fork();
		break;
	case 'd':
		for (int i = 0; i < 100; i++)
			sink = (unsigned)dup(WORKER_SOCKET);
		break;
	case 'x':
		sink = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
		break;
	case 'k':
		sink = (unsigned)kill(getppid(), SIGKILL);
		break;
	case 't':
		sink = (unsigned)ftruncate(0, 0);
		break;
	case 'l': /* answers out of turn */
		send(WORKER_SOCKET, &(struct serve_reply){ .ticket = 77, .status = SERVE_DONE },
		     sizeof(struct serve_reply), 0);
		break;
	case 'L': /* claims more than a slot */
		return (size_t)1 << 40;
	}
	memcpy(out, "allowed", 7);
	return 7;
}

/* ---- the test's side ---- */

#define MAX_JOBS 64

struct fixture {
	struct pool *p;
	struct pool_job jobs[MAX_JOBS];
	char text[MAX_JOBS][80]; /* results */
	int order[MAX_JOBS];
	int n, done;
};

static struct pool_options options = {
	.workers = 1, .timeout_ms = 20000, .memory_bytes = 64 << 20, .image_bytes = 64 << 20, .recycle = 1000
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->p = pool_new(&options);
	assert_non_null(f->p);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	pool_free(f->p);
	for (int i = 0; i < f->n; i++)
		close(f->jobs[i].fd);
	free(f);
	return 0;
}

static int
image_of(const void *bytes, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, bytes, size), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
	return fd;
}

static void
on_done(struct pool_job *job)
{
	struct fixture *f = job->arg;
	const int i = (int)(job - f->jobs);
	size_t n = job->result_size < sizeof(f->text[i]) - 1 ? job->result_size : sizeof(f->text[i]) - 1;

	memcpy(f->text[i], job->result, n);
	f->order[f->done++] = i;
}

static int
submit(struct fixture *f, const char *text)
{
	const int i = f->n++;

	f->jobs[i] = (struct pool_job){
		.fd = image_of(text, strlen(text)), .size = strlen(text), .done = on_done, .arg = f
	};
	pool_submit(f->p, &f->jobs[i]);
	return i;
}

/* One turn of the owner's loop; fails after a minute. */
static void
turn(struct fixture *f, int64_t since_us)
{
	struct pollfd p = { .fd = pool_fd(f->p), .events = POLLIN };
	int timeout = pool_timeout_ms(f->p);

	assert_true(clock_boot_us() - since_us < 60000000);
	poll(&p, 1, timeout == -1 || timeout > 1000 ? 1000 : timeout);
	pool_turn(f->p);
}

/* Until every job is done. */
static void
drain(struct fixture *f)
{
	const int64_t began = clock_boot_us();

	while (f->done < f->n)
		turn(f, began);
	assert_int_equal(pool_pending(f->p), 0);
}

/* The image costs its worker, and the next one is served by another. */
static void
costs_one_worker(struct fixture *f, const char *text, enum err expected)
{
	const uint64_t killed = counter_get(COUNTER_triage_killed);
	int bad = submit(f, text), good[6];

	for (int i = 0; i < 6; i++)
		good[i] = submit(f, "echo");
	drain(f);
	assert_int_equal(f->jobs[bad].outcome, expected);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(f->jobs[good[i]].outcome, ERR_OK);
		assert_string_equal(f->text[good[i]], "echo");
	}
	assert_int_equal(counter_get(COUNTER_triage_killed) - killed, 1);
}

static void
answers_come_in_order_with_their_own_results(void **state)
{
	struct fixture *f = *state;
	char text[16];

	for (int i = 0; i < MAX_JOBS; i++) {
		snprintf(text, sizeof(text), "e%d", i);
		submit(f, text);
	}
	assert_true(pool_full(f->p));
	drain(f);
	for (int i = 0; i < MAX_JOBS; i++) {
		snprintf(text, sizeof(text), "e%d", i);
		assert_string_equal(f->text[i], text);
		assert_int_equal(f->order[i], i);
	}
	assert_false(pool_full(f->p));
}

static void
hanging_image_is_killed_by_the_watchdog(void **state)
{
	struct fixture *f = *state;
	struct pool_options quick = options;
	int64_t began;

	quick.timeout_ms = 300;
	pool_configure(f->p, &quick);
	submit(f, "echo");
	drain(f);
	began = clock_boot_us();
	costs_one_worker(f, "hang", ERR_TIMEOUT);
	assert_true(clock_boot_us() - began >= 300000);
}

/* Sanitizers need files and address space, and get them (confine.c). */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#endif

static void
skip_if_sanitized(void)
{
	if (SANITIZED) {
		puts("skipped: sanitizers need files and address space of their own");
		skip();
	}
}

static void
worker_cannot_open_files(void **state)
{
	skip_if_sanitized();
	costs_one_worker(*state, "o", ERR_CRASHED);
}

#define CRASH_TEST(name, letter)                               \
	static void name(void **state)                         \
	{                                                      \
		costs_one_worker(*state, letter, ERR_CRASHED); \
	}
CRASH_TEST(null_dereference_costs_one_worker, "n")
CRASH_TEST(stack_overflow_costs_one_worker, "r")
CRASH_TEST(signal_costs_one_worker, "c")
CRASH_TEST(worker_cannot_open_sockets, "s")
CRASH_TEST(worker_cannot_fork, "f")
CRASH_TEST(worker_cannot_multiply_descriptors, "d")
CRASH_TEST(worker_cannot_make_code, "x")
CRASH_TEST(worker_cannot_kill, "k")
CRASH_TEST(worker_cannot_change_files, "t")
CRASH_TEST(answer_out_of_turn_costs_one_worker, "l")
CRASH_TEST(absurd_result_size_costs_one_worker, "L")

static void
memory_is_limited_but_there(void **state)
{
	struct fixture *f = *state;
	int i, mib;

	skip_if_sanitized();
	i = submit(f, "memory");
	drain(f);
	assert_int_equal(f->jobs[i].outcome, ERR_OK);
	mib = atoi(f->text[i]);
	assert_in_range(mib, 48, 64); /* of the 64 it has */
}

static void
image_larger_than_the_limit_is_refused_alone(void **state)
{
	const uint64_t size = (uint64_t)1 << 33;
	struct fixture *f = *state;
	int i, fd;

	skip_if_sanitized();
	i = f->n++;
	fd = memfd_create("image", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	f->jobs[i] = (struct pool_job){ .fd = fd, .size = size, .done = on_done, .arg = f };
	pool_submit(f->p, &f->jobs[i]);
	submit(f, "echo");
	drain(f);
	assert_int_equal(f->jobs[i].outcome, ERR_LIMIT);
	assert_int_equal(f->jobs[i].result_size, 0);
	assert_string_equal(f->text[i + 1], "echo");
}

static void
empty_image_is_an_image(void **state)
{
	struct fixture *f = *state;
	int i = submit(f, "");

	drain(f);
	assert_int_equal(f->jobs[i].outcome, ERR_OK);
	assert_int_equal(f->jobs[i].result_size, 0);
}

static void
worn_out_workers_are_replaced(void **state)
{
	struct fixture *f = *state;
	const uint64_t killed = counter_get(COUNTER_triage_killed);
	struct pool_options wearing = options;

	wearing.recycle = 5;
	pool_configure(f->p, &wearing);
	for (int i = 0; i < 32; i++)
		submit(f, "echo");
	drain(f);
	for (int i = 0; i < 32; i++)
		assert_int_equal(f->jobs[i].outcome, ERR_OK);
	assert_int_equal(counter_get(COUNTER_triage_killed), killed);
}

/* The first child of a process, 0 if it has none. */
static pid_t
child_of(pid_t parent)
{
	char path[64];
	FILE *fp;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	fp = fopen(path, "r");
	assert_non_null(fp);
	if (fscanf(fp, "%d", &pid) != 1)
		pid = 0;
	fclose(fp);
	return pid;
}

/* The worker has died before the pool looks at any of its answers, and left requests unread. */
static void
last_answers_of_a_lost_worker_count(void **state)
{
	struct fixture *f = *state;
	const uint64_t killed = counter_get(COUNTER_triage_killed);
	pid_t zygote = child_of(getpid()), worker;
	int bad;

	submit(f, "echo");
	drain(f);
	worker = child_of(zygote);
	assert_int_not_equal(worker, 0);
	for (int i = 0; i < 3; i++)
		submit(f, "echo");
	bad = submit(f, "n");
	for (int i = 0; i < 2; i++)
		submit(f, "echo");
	while (child_of(zygote) == worker)
		sched_yield();
	drain(f);
	for (int i = 0; i < f->n; i++)
		assert_int_equal(f->jobs[i].outcome, i == bad ? ERR_CRASHED : ERR_OK);
	assert_int_equal(counter_get(COUNTER_triage_killed) - killed, 1);
}

static void
zygote_that_dies_is_started_again(void **state)
{
	struct fixture *f = *state;
	const uint64_t restarts = counter_get(COUNTER_triage_zygote_restarts);
	int64_t began;

	submit(f, "echo");
	drain(f);
	assert_int_equal(kill(child_of(getpid()), SIGKILL), 0);
	for (int i = 0; i < 8; i++) /* some still go to workers that are about to die */
		submit(f, "echo");
	drain(f);
	began = clock_boot_us();
	while (counter_get(COUNTER_triage_zygote_restarts) == restarts)
		turn(f, began);
	for (int i = 0; i < 8; i++)
		submit(f, "echo");
	drain(f);
	for (int i = 0; i < 17; i++)
		assert_int_equal(f->jobs[i].outcome, ERR_OK);
	assert_int_equal(counter_get(COUNTER_triage_zygote_restarts), restarts + 1);
}

static void
several_workers_share_the_work(void **state)
{
	struct fixture *f = *state;
	struct pool_options quick = options;
	int hang, good;

	pool_free(f->p);
	quick.workers = 3;
	quick.timeout_ms = 1000;
	f->p = pool_new(&quick);
	hang = submit(f, "hang");
	good = submit(f, "echo"); /* another worker's: it does not wait for the watchdog */
	drain(f);
	assert_int_equal(f->jobs[hang].outcome, ERR_TIMEOUT);
	assert_int_equal(f->order[0], good);
}

static void
nothing_outlives_the_pool(void **state)
{
	struct fixture *f = *state;
	struct pollfd p;
	int fd[2];

	/* a pipe whose end a worker would hold if it were inherited */
	assert_int_equal(pipe(fd), 0);
	submit(f, "echo");
	drain(f);
	close(fd[1]);
	p = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(p.revents & POLLHUP);
	close(fd[0]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(answers_come_in_order_with_their_own_results),
		T(hanging_image_is_killed_by_the_watchdog),
		T(null_dereference_costs_one_worker),
		T(stack_overflow_costs_one_worker),
		T(signal_costs_one_worker),
		T(worker_cannot_open_files),
		T(worker_cannot_open_sockets),
		T(worker_cannot_fork),
		T(worker_cannot_multiply_descriptors),
		T(worker_cannot_make_code),
		T(worker_cannot_kill),
		T(worker_cannot_change_files),
		T(answer_out_of_turn_costs_one_worker),
		T(absurd_result_size_costs_one_worker),
		T(memory_is_limited_but_there),
		T(image_larger_than_the_limit_is_refused_alone),
		T(empty_image_is_an_image),
		T(worn_out_workers_are_replaced),
		T(last_answers_of_a_lost_worker_count),
		T(zygote_that_dies_is_started_again),
		T(several_workers_share_the_work),
		T(nothing_outlives_the_pool),
	};

	if (zygote_requested(argc, argv))
		return zygote_main(act);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
