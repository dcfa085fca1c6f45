/* SPDX-License-Identifier: Apache-2.0 */
/* The local journal: durable records a second, and a CPU-second of its threads (writer and
 * keeper); time from append to acknowledgement beside the device's own flush, measured in
 * the same run; then reading it all back.
 *
 *	bench_log [seconds a row] [directory] */
#include "config.h"

#include <pthread.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "collector/log/journal_private.h"
#include "tests/unit/log_help.h"

#define RECORD_BYTES 160u
#define MAX_SAMPLES  (1u << 20)

struct sender {
	struct log *log;
	unsigned flight, records;
	int64_t until_us;
	uint64_t acked;
	uint32_t *samples; /* us from append to acknowledgement */
	size_t n_samples;
};

struct slot {
	struct log_submission s;
	struct sender *sender;
	int64_t since_us;
	bool idle;
};

static int64_t
thread_cpu_us(pthread_t t)
{
	struct timespec ts;
	clockid_t c;

	if (pthread_getcpuclockid(t, &c) != 0 || clock_gettime(c, &ts) != 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint32_t
percentile(uint32_t *v, size_t n, unsigned per_mille)
{
	return n > 0 ? v[(n - 1) * per_mille / 1000] : 0;
}

static void
acked(struct log_submission *s)
{
	struct slot *slot = s->arg;

	if (s->outcome != LOG_DURABLE)
		abort();
	slot->idle = true;
	slot->sender->acked++;
	if (slot->sender->n_samples < MAX_SAMPLES)
		slot->sender->samples[slot->sender->n_samples++] = (uint32_t)(clock_boot_us() - slot->since_us);
}

static void *
send_until(void *arg)
{
	struct sender *s = arg;
	struct mailbox *reply = mailbox_new();
	struct test_batch *t = test_batch_new(1, 1, s->records, RECORD_BYTES - RECORD_HEADER, LOG_CLASS_NORMAL, reply);
	struct slot *slots = calloc(s->flight, sizeof(*slots));
	unsigned open = 0;

	for (unsigned i = 0; i < s->flight; i++)
		slots[i] = (struct slot){ .s = { .bytes = t->s.bytes,
						 .len = t->s.len,
						 .class = LOG_CLASS_NORMAL,
						 .reply = reply,
						 .done = acked },
					  .sender = s,
					  .idle = true };
	for (;;) {
		const bool more = clock_boot_us() < s->until_us;

		open = 0;
		for (unsigned i = 0; i < s->flight; i++) {
			slots[i].s.arg = &slots[i];
			if (slots[i].idle && more) {
				slots[i].since_us = clock_boot_us();
				slots[i].idle = log_append(s->log, &slots[i].s) != LOG_QUEUED;
			}
			open += !slots[i].idle;
		}
		if (open == 0 && !more)
			break;
		mailbox_wait(reply, 1);
		log_dispatch(reply);
	}
	free(slots);
	test_batch_free(t);
	mailbox_free(reply);
	return NULL;
}

/* What the device itself takes to flush 4 KiB written into a zero-filled file. */
static void
calibrate(const char *dir)
{
	enum { N = 500 };
	static uint8_t zero[1 << 20];
	static uint32_t us[N];
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/calibrate", dir);
	if ((fd = open(path, O_RDWR | O_CREAT, 0600)) == -1)
		abort();
	for (int i = 0; i < 4; i++)
		if (pwrite(fd, zero, sizeof(zero), i * (off_t)sizeof(zero)) == -1)
			abort();
	fdatasync(fd);
	for (int i = 0; i < N; i++) {
		int64_t since = clock_boot_us();

		if (pwrite(fd, path, 4096, i * 4096 % (4 << 20)) == -1 || fdatasync(fd) == -1)
			abort();
		us[i] = (uint32_t)(clock_boot_us() - since);
	}
	close(fd);
	unlink(path);
	qsort(us, N, sizeof(us[0]), by_value);
	printf("device: write 4 KiB + fdatasync: p50 %u us, p99 %u us, worst %u us\n", percentile(us, N, 500),
	       percentile(us, N, 990), us[N - 1]);
}

static void
row(struct log *l, unsigned threads, unsigned flight, unsigned records, double seconds)
{
	struct journal *j = (struct journal *)l;
	struct sender s[16];
	pthread_t thread[16];
	const uint64_t syncs = counter_get(COUNTER_log_syncs);
	const int64_t cpu = thread_cpu_us(j->writer) + thread_cpu_us(j->keeper), since = clock_boot_us();
	uint32_t *all = malloc(sizeof(*all) * MAX_SAMPLES * threads);
	double wall, cpu_s, total;
	uint64_t batches = 0;
	size_t n = 0;

	for (unsigned i = 0; i < threads; i++) {
		s[i] = (struct sender){
			.log = l, .flight = flight, .records = records, .until_us = since + (int64_t)(seconds * 1e6)
		};
		s[i].samples = malloc(sizeof(*s[i].samples) * MAX_SAMPLES);
		if (pthread_create(&thread[i], NULL, send_until, &s[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(thread[i], NULL);
		batches += s[i].acked;
		memcpy(all + n, s[i].samples, s[i].n_samples * sizeof(*all));
		n += s[i].n_samples;
		free(s[i].samples);
	}
	wall = (double)(clock_boot_us() - since) / 1e6;
	cpu_s = (double)(thread_cpu_us(j->writer) + thread_cpu_us(j->keeper) - cpu) / 1e6;
	total = (double)batches * records;
	qsort(all, n, sizeof(*all), by_value);
	printf("%7u %7u %6u  %9.0f %11.0f %13.0f %8.0f  %7u %7u  %6.1f\n", threads, flight, records,
	       (double)batches / wall, total / wall, total / cpu_s,
	       (double)(counter_get(COUNTER_log_syncs) - syncs) / wall, percentile(all, n, 500),
	       percentile(all, n, 990), 100 * cpu_s / wall);
	fflush(stdout);
	free(all);
}

static void
read_back(struct log *l)
{
	struct log_reader *r = log_reader_new(l, 0);
	struct batch_view b;
	uint64_t bytes = 0, records = 0;
	const int64_t since = clock_boot_us(), cpu = clock_cpu_us();
	double wall, cpu_s;
	enum log_read rc;

	while ((rc = log_read(r, &b, 0)) == LOG_BATCH || rc == LOG_TRUNCATED)
		if (rc == LOG_BATCH) {
			bytes += b.len;
			records += b.n;
		}
	wall = (double)(clock_boot_us() - since) / 1e6;
	cpu_s = (double)(clock_cpu_us() - cpu) / 1e6;
	printf("read back: %.2f GB in %.2f s: %.2f GB/s (%.2f GB a CPU-second), %.1f M records/s\n",
	       (double)bytes / 1e9, wall, (double)bytes / 1e9 / wall, (double)bytes / 1e9 / cpu_s,
	       (double)records / 1e6 / wall);
	log_reader_free(r);
}

int
main(int argc, char **argv)
{
	static const struct {
		unsigned threads, flight, records;
	} rows[] = { { 1, 1, 1 },   { 1, 1, 256 },  { 2, 32, 1 },    { 2, 32, 16 },
		     { 2, 32, 64 }, { 2, 32, 256 }, { 2, 32, 1000 }, { 2, 8, 3000 } };
	const struct journal_options o = { .segment_bytes = 64 << 20, .keep_bytes = 2ull << 30 };
	const double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
	char err[512] = "", *dir;
	struct log *l;

	if (argc > 2)
		setenv("TMPDIR", argv[2], 1);
	dir = temp_dir_new();
	calibrate(dir);
	if ((l = journal_open(dir, &o, err, sizeof(err))) == NULL) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	log_release_below(l, LOG_FLOOR_LEDGER, UINT64_MAX);
	printf("records of %u bytes; the acknowledgement is seen by another thread; cpu %% is of one core\n",
	       RECORD_BYTES);
	printf("senders  flight  batch  batches/s   records/s records/CPU-s  syncs/s   p50 us  p99 us    cpu%%\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		row(l, rows[i].threads, rows[i].flight, rows[i].records, seconds);
	calibrate(dir);
	read_back(l);
	log_close(l);
	temp_dir_free(dir);
	return 0;
}
