/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts.  Senders append to a journal on a simulated disk whose power goes in the
 * middle of a random call; after each cut the journal is opened again (where the power may
 * go as well) and everything acknowledged since the first round must be there, at its
 * place, once.  Then the same with a disk that ignores syncs: there the test must find
 * losses, or it would prove nothing.
 *
 * FAULTLINE_POWER_CUTS: how many (30).  FAULTLINE_POWER_SEED: which (1).
 *
 * "test_power victim DIR ROUND" appends on the system's own disk until it is killed and
 * writes a line for each acknowledged batch; "test_power verify DIR" reads such lines and
 * checks the log.  test_powercut.sh uses them to try powercut.so. */
#include "config.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/logline.h"
#include "tests/unit/log_help.h"
#include "tests/unit/power_io.h"

#define SENDERS 4
#define FLIGHT  8

struct acked {
	uint64_t producer, number, pos;
	uint32_t records;
	size_t len;
};

struct world {
	char *dir, *grave;
	uint64_t random;
	uint64_t round;
	struct acked *acked; /* over all rounds */
	size_t n, cap;
	pthread_mutex_t lock; /* of acked */
	uint64_t floor;       /* given to log_release_below() */
	uint64_t problems;
	bool loud, print;
};

struct sender {
	struct world *w;
	struct log *log;
	uint64_t producer;
	uint64_t random;
};

static uint64_t
rnd(uint64_t *state)
{
	return hash_mix(*state += 0x9e3779b97f4a7c15ull);
}

static void
problem(struct world *w, const char *what, uint64_t a, uint64_t b)
{
	if (w->loud && w->problems < 10)
		fprintf(stderr, "round %llu: %s (%llx, %llx)\n", (unsigned long long)w->round, what,
			(unsigned long long)a, (unsigned long long)b);
	w->problems++;
}

static void
remember(struct world *w, const struct test_batch *t, uint32_t records, size_t len)
{
	pthread_mutex_lock(&w->lock);
	if (w->n == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 1024;
		if ((w->acked = realloc(w->acked, w->cap * sizeof(*w->acked))) == NULL)
			abort();
	}
	w->acked[w->n++] = (struct acked){ t->producer, t->number, t->s.first, records, len };
	if (w->print) {
		dprintf(STDOUT_FILENO, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " %zu\n", t->producer, t->number,
			t->s.first, records, len);
	}
	pthread_mutex_unlock(&w->lock);
}

/* Keep FLIGHT batches on their way until the engine stops. */
static void *
send_until_broken(void *arg)
{
	struct sender *s = arg;
	struct mailbox *reply = mailbox_new();
	struct {
		struct test_batch *t;
		uint32_t records;
		size_t len;
	} flight[FLIGHT] = { 0 };
	uint64_t number = 0, open = 0;
	bool broken = false;

	while (!broken || open > 0) {
		for (unsigned i = 0; i < FLIGHT && !broken; i++) {
			if (flight[i].t != NULL)
				continue;
			flight[i].records = 1 + (uint32_t)(rnd(&s->random) % 4);
			flight[i].len = rnd(&s->random) % (rnd(&s->random) % 8 == 0 ? 60000 : 400);
			flight[i].t = test_batch_new(s->producer, number++, flight[i].records, flight[i].len,
						     LOG_CLASS_NORMAL, reply);
			if (log_append(s->log, &flight[i].t->s) != LOG_QUEUED) {
				broken = true;
				test_batch_free(flight[i].t);
				flight[i].t = NULL;
			} else {
				open++;
			}
		}
		if (open > 0 && !mailbox_wait(reply, 20000))
			abort();
		log_dispatch(reply);
		for (unsigned i = 0; i < FLIGHT; i++)
			if (flight[i].t != NULL && flight[i].t->answered) {
				if (flight[i].t->s.outcome == LOG_DURABLE)
					remember(s->w, flight[i].t, flight[i].records, flight[i].len);
				else
					broken = true;
				test_batch_free(flight[i].t);
				flight[i].t = NULL;
				open--;
			}
	}
	mailbox_free(reply);
	return NULL;
}

static int
by_pos(const void *a, const void *b)
{
	const struct acked *x = a, *y = b;

	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

struct seen {
	uint64_t producer, number;
};

static int
by_number(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct seen));
}

/* Everything acknowledged and not released is there, at its place; nothing is twice. */
static void
verify(struct world *w, struct log *l)
{
	struct log_reader *r = log_reader_new(l, 0);
	struct seen *seen = NULL;
	size_t n_seen = 0, cap = 0, i = 0;
	struct batch_view b;
	enum log_read rc;
	uint64_t first, end;
	struct log_id id;

	log_bounds(l, &first, &end, &id);
	if (w->n > 0)
		qsort(w->acked, w->n, sizeof(*w->acked), by_pos);
	while (i < w->n && w->acked[i].pos < first) {
		if (w->acked[i].pos >= w->floor)
			problem(w, "acknowledged batch dropped above the floor", w->acked[i].pos, w->floor);
		i++;
	}
	while ((rc = log_read(r, &b, 0)) == LOG_BATCH) {
		if (n_seen == cap) {
			cap = cap ? 2 * cap : 1024;
			if ((seen = realloc(seen, cap * sizeof(*seen))) == NULL)
				abort();
		}
		seen[n_seen++] = (struct seen){ b.producer, b.number };
		for (; i < w->n && w->acked[i].pos < b.first; i++)
			problem(w, "acknowledged batch lost", w->acked[i].producer, w->acked[i].number);
		if (i < w->n && w->acked[i].pos == b.first) {
			if (w->acked[i].producer != b.producer || w->acked[i].number != b.number ||
			    !test_batch_is(&b, w->acked[i].records, w->acked[i].len))
				problem(w, "another batch at an acknowledged position", b.producer, b.number);
			i++;
		}
	}
	if (rc != LOG_WAIT)
		problem(w, "the log cannot be read to its end", (uint64_t)rc, 0);
	for (; i < w->n; i++)
		problem(w, "acknowledged batch lost at the end", w->acked[i].producer, w->acked[i].number);
	if (n_seen > 0)
		qsort(seen, n_seen, sizeof(*seen), by_number);
	for (size_t k = 1; k < n_seen; k++)
		if (memcmp(&seen[k - 1], &seen[k], sizeof(*seen)) == 0)
			problem(w, "batch stored twice", seen[k].producer, seen[k].number);
	free(seen);
	log_reader_free(r);
}

static void
send_from_all(struct world *w, struct log *l)
{
	struct sender s[SENDERS];
	pthread_t thread[SENDERS];

	for (unsigned i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ w, l, w->round * SENDERS + i, rnd(&w->random) };
		if (pthread_create(&thread[i], NULL, send_until_broken, &s[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(thread[i], NULL);
}

/* From power on to power cut. */
static void
one_round(struct world *w, bool lie)
{
	const struct journal_options o = { .segment_bytes = JOURNAL_SEGMENT_MIN,
					   .keep_bytes = 8 * JOURNAL_SEGMENT_MIN,
					   .io = &journal_io_power };
	struct power_disk *disk = power_disk_new(w->grave, rnd(&w->random));
	char err[512] = "";
	struct log *l;

	if (lie)
		power_disk_lie(disk);
	power_io_use(disk);
	/* Some die in recovery, most under load. */
	power_disk_cut_after(disk, 1 + rnd(&w->random) % (rnd(&w->random) % 4 == 0 ? 12 : 400));
	if ((l = journal_open(w->dir, &o, err, sizeof(err))) == NULL) {
		if (!power_disk_is_off(disk)) {
			problem(w, "the log does not open", 0, 0);
			if (w->loud)
				fprintf(stderr, "%s\n", err);
		}
		power_disk_cut(disk);
		power_disk_free(disk);
		return;
	}
	if (!power_disk_is_off(disk)) {
		/* Nothing is appended yet, and reading does not need the power. */
		verify(w, l);
		if (w->n > 0 && rnd(&w->random) % 2) {
			uint64_t floor = w->acked[w->n - 1 - rnd(&w->random) % (w->n / 4 + 1)].pos;

			w->floor = floor > w->floor ? floor : w->floor;
			log_release_below(l, LOG_FLOOR_LEDGER, w->floor);
		}
	}
	send_from_all(w, l);
	log_close(l);
	power_disk_cut(disk);
	power_disk_free(disk);
}

static void
world_init(struct world *w, uint64_t seed)
{
	char path[4200];

	*w = (struct world){ .dir = temp_dir_new(), .random = seed };
	pthread_mutex_init(&w->lock, NULL);
	snprintf(path, sizeof(path), "%s/grave", w->dir);
	mkdir(path, 0700);
	w->grave = strdup(path);
}

static void
world_fini(struct world *w)
{
	pthread_mutex_destroy(&w->lock);
	temp_dir_free(w->dir);
	free(w->grave);
	free(w->acked);
}

static uint64_t
number_from(const char *name, uint64_t preset)
{
	const char *v = getenv(name);

	return v != NULL && *v != '\0' ? strtoull(v, NULL, 10) : preset;
}

/* ---- for test_powercut.sh ---- */

static struct log *
open_system(const char *dir, bool read_only)
{
	const struct journal_options o = { .segment_bytes = JOURNAL_SEGMENT_MIN, .read_only = read_only };
	char err[512] = "";
	struct log *l = journal_open(dir, &o, err, sizeof(err));

	if (l == NULL)
		fprintf(stderr, "%s\n", err);
	return l;
}

static int
victim(char *dir, uint64_t round)
{
	struct world w = { .dir = dir, .random = round, .round = round, .print = true };
	struct log *l = open_system(dir, false);

	if (l == NULL)
		return 1;
	pthread_mutex_init(&w.lock, NULL);
	send_from_all(&w, l);
	return 1; /* the log has stopped, not the power */
}

static int
verify_lines(char *dir)
{
	struct world w = { .dir = dir, .loud = true };
	struct log *l = open_system(dir, true);
	struct acked a;

	if (l == NULL)
		return 1;
	while (scanf("%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu32 " %zu", &a.producer, &a.number, &a.pos, &a.records,
		     &a.len) == 5) {
		if ((w.acked = realloc(w.acked, (w.n + 1) * sizeof(a))) == NULL)
			abort();
		w.acked[w.n++] = a;
	}
	verify(&w, l);
	log_close(l);
	printf("%zu acknowledged, %llu problems\n", w.n, (unsigned long long)w.problems);
	free(w.acked);
	return w.problems != 0;
}

static int
in_memory(void)
{
	const uint64_t cuts = number_from("FAULTLINE_POWER_CUTS", 30), seed = number_from("FAULTLINE_POWER_SEED", 1);
	struct world w;
	bool ok;

	logline_set_level(LOGLINE_ERROR - 1); /* each cut is an error to the journal */
	world_init(&w, seed);
	w.loud = true;
	for (w.round = 1; w.round <= cuts; w.round++)
		one_round(&w, false);
	printf("%llu cuts, %zu batches acknowledged, %llu problems\n", (unsigned long long)cuts, w.n,
	       (unsigned long long)w.problems);
	ok = w.problems == 0 && w.n > cuts;
	world_fini(&w);

	world_init(&w, seed);
	for (w.round = 1; w.round <= 50 && w.problems == 0; w.round++)
		one_round(&w, true);
	printf("without syncs: loss found after %llu cuts\n", (unsigned long long)w.round - 1);
	if (w.problems == 0) {
		fprintf(stderr, "a disk that ignores syncs lost nothing: this test proves nothing\n");
		ok = false;
	}
	world_fini(&w);
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "victim") == 0)
		return victim(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "verify") == 0)
		return verify_lines(argv[2]);
	return in_memory();
}
