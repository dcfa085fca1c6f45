/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/logline.h"
#include "base/mailbox.h"
#include "base/settings.h"
#include "collector/beat.h"
#include "collector/fold/fold.h"
#include "collector/gate/intake.h"
#include "collector/ledger/ledger.h"
#include "collector/log/log.h"
#include "proto/log.pb-c.h"

/* Time jumped, or we were stopped, when a tick comes this much late or wall and boot time
 * differ by this much since the last one (HALT amendment A7). */
#define GAP_LATE_US   5000000
#define GAP_DIFFER_US 2000000

/* A record on its way in; freed when it is durable. */
struct note {
	struct mail mail;
	struct note *next;
	struct intake_group group;
	struct beat *beat;
	enum record_type type;
	uint16_t tenant;
	size_t len;
	uint8_t payload[];
};

struct beat {
	struct log *log;
	struct intake *intake;
	struct mailbox *mail;
	struct note *again; /* refused by the log; tried each tick */
	int64_t tick_us;
	int64_t last_wall_us, last_boot_us;
	int64_t told_us; /* by the last tick */
	atomic_bool stop;
	pthread_t thread;
};

/* ---- one record ---- */

static struct note *
note_new(struct beat *b, enum record_type type, uint16_t tenant, size_t len)
{
	struct note *n = calloc(1, sizeof(*n) + len);

	if (n == NULL)
		return NULL;
	n->beat = b;
	n->type = type;
	n->tenant = tenant;
	n->len = len;
	return n;
}

static struct note *
note_of(struct beat *b, enum record_type type, const ProtobufCMessage *m)
{
	struct note *n = note_new(b, type, 0, protobuf_c_message_get_packed_size(m));

	if (n != NULL)
		protobuf_c_message_pack(m, n->payload);
	return n;
}

static void
on_logged(struct intake_group *g, enum log_outcome outcome)
{
	struct note *n = g->arg;

	/* An UNKNOWN outcome means the log has stopped: nothing to try again with. */
	if (outcome == LOG_REFUSED && n->type != RECORD_TICK) {
		n->next = n->beat->again;
		n->beat->again = n;
	} else
		free(n);
}

static void
append(struct beat *b, struct note *n)
{
	enum intake_result why;
	uint8_t *p;

	if (n == NULL)
		return;
	n->group = (struct intake_group){ .done = on_logged, .arg = n };
	intake_begin(b->intake, &n->group, LOG_CLASS_VITAL);
	p = intake_add(b->intake, n->type, n->tenant, clock_wall_us(), n->len, &why);
	if (p == NULL) {
		intake_abandon(b->intake);
		on_logged(&n->group, LOG_REFUSED);
		return;
	}
	memcpy(p, n->payload, n->len);
	intake_commit(b->intake);
}

/* ---- what is said ---- */

static struct note *
settings_note(struct beat *b, const struct settings *s)
{
	size_t n;
	const struct setting_row *rows = settings_rows(&n);
	Faultline__Log__Settings m = FAULTLINE__LOG__SETTINGS__INIT;
	Faultline__Log__Setting *list = calloc(n, sizeof(*list)), **refs = calloc(n, sizeof(*refs));
	char(*text)[1024] = calloc(n, sizeof(*text)), **names = calloc(n, sizeof(*names));
	struct note *note = NULL;

	if (list == NULL || refs == NULL || text == NULL || names == NULL)
		goto out;
	for (size_t i = 0; i < n; i++) {
		faultline__log__setting__init(&list[i]);
		/* Paths and URLs shape no verdict and may hold secrets. */
		if (strcmp(rows[i].section, "daemon") != 0)
			settings_get(s, rows[i].name, text[i], sizeof(text[i]));
		names[i] = strdup(rows[i].name);
		list[i].name = names[i];
		list[i].value = text[i];
		refs[i] = &list[i];
	}
	m.n_settings = n;
	m.settings = refs;
	note = note_of(b, RECORD_SETTINGS, &m.base);
out:
	for (size_t i = 0; names != NULL && i < n; i++)
		free(names[i]);
	free(names);
	free(text);
	free(refs);
	free(list);
	return note;
}

static void
open_log(struct beat *b, const struct settings *s)
{
	Faultline__Log__Seed seed = FAULTLINE__LOG__SEED__INIT;
	Faultline__Log__LedgerVersion version = FAULTLINE__LOG__LEDGER_VERSION__INIT;
	char text[] = PACKAGE_VERSION;
	uint64_t first, end;
	struct log_id id;

	log_bounds(b->log, &first, &end, &id);
	if (first == end) {
		seed.uuid = (ProtobufCBinaryData){ sizeof(id.uuid), id.uuid };
		seed.created_us = clock_wall_us();
		seed.version = text;
		append(b, note_of(b, RECORD_SEED, &seed.base));
	}
	version.version = LEDGER_SNAPSHOT_VERSION;
	version.binary = text;
	append(b, note_of(b, RECORD_LEDGER_VERSION, &version.base));
	append(b, settings_note(b, s));
	intake_flush(b->intake); /* now: a log whose first record is no seed counts as cut off */
}

static void
say_gap(struct beat *b, int64_t from_us, int64_t to_us, const char *why)
{
	Faultline__Log__Gap m = FAULTLINE__LOG__GAP__INIT;
	char text[32];

	snprintf(text, sizeof(text), "%s", why);
	m.from_us = from_us;
	m.to_us = to_us;
	m.why = text;
	append(b, note_of(b, RECORD_GAP, &m.base));
}

static void
tick(struct beat *b)
{
	Faultline__Log__Tick m = FAULTLINE__LOG__TICK__INIT;
	int64_t wall = clock_wall_us(), boot = clock_boot_us();
	int64_t dw = wall - b->last_wall_us, db = boot - b->last_boot_us;

	if (b->last_boot_us != 0 && db > b->tick_us + GAP_LATE_US)
		say_gap(b, b->last_wall_us, wall, "stopped");
	else if (b->last_boot_us != 0 && (dw - db > GAP_DIFFER_US || db - dw > GAP_DIFFER_US))
		say_gap(b, b->last_wall_us, wall, "clock");
	b->last_wall_us = wall;
	b->last_boot_us = boot;
	b->told_us = wall > b->told_us ? wall : b->told_us; /* time in the log never goes back */
	m.wall_us = b->told_us;
	m.boot_us = boot;
	append(b, note_of(b, RECORD_TICK, &m.base));
}

/* ---- the thread ---- */

static void
take_mail(struct beat *b)
{
	struct note *again = b->again, *next;
	struct mail *m = mailbox_take(b->mail), *after;

	b->again = NULL;
	for (; again != NULL; again = next) {
		next = again->next;
		append(b, again);
	}
	for (; m != NULL; m = after) {
		after = m->next;
		append(b, (struct note *)(void *)((char *)m - offsetof(struct note, mail)));
	}
}

static void *
run(void *arg)
{
	struct beat *b = arg;
	struct pollfd p[2] = { { .fd = mailbox_fd(b->mail), .events = POLLIN },
			       { .fd = intake_fd(b->intake), .events = POLLIN } };
	int64_t next = clock_boot_us();

	for (;;) {
		bool stopping = atomic_load(&b->stop);
		int64_t now = clock_boot_us(), wait;

		if (now >= next && !stopping) {
			tick(b);
			next += b->tick_us;
			if (next < now)
				next = now + b->tick_us;
		}
		take_mail(b);
		intake_flush(b->intake);
		if (stopping && (intake_in_flight(b->intake) == 0 || intake_broken(b->intake)))
			break;
		wait = (next - now) / 1000 + 1;
		if ((stopping || intake_in_flight(b->intake) > 0) && wait > 50)
			wait = 50; /* a busy log is tried again */
		poll(p, 2, (int)wait);
		intake_dispatch(b->intake);
	}
	return NULL;
}

struct beat *
beat_start(struct log *log, const struct settings *s, char *err, size_t err_size)
{
	struct beat *b = calloc(1, sizeof(*b));

	if (b == NULL || (b->intake = intake_new(log)) == NULL || (b->mail = mailbox_new()) == NULL) {
		snprintf(err, err_size, "out of memory");
		goto fail;
	}
	b->log = log;
	b->tick_us = (int64_t)(s->tick > 0 ? s->tick : 1000) * 1000;
	open_log(b, s);
	if (pthread_create(&b->thread, NULL, run, b) != 0) {
		snprintf(err, err_size, "cannot start a thread");
		goto fail;
	}
	return b;
fail:
	if (b != NULL) {
		mailbox_free(b->mail);
		free(b);
	}
	return NULL;
}

void
beat_settings(struct beat *b, const struct settings *s)
{
	struct note *n = settings_note(b, s);

	if (n != NULL)
		mailbox_post(b->mail, &n->mail);
}

void
beat_halt(struct beat *b, const struct fold_decision *d)
{
	Faultline__Log__Decision m = FAULTLINE__LOG__DECISION__INIT;
	char id[129], why[1024], actor[] = "ledger";
	struct note *n;

	snprintf(id, sizeof(id), "%s", d->deployment);
	snprintf(why, sizeof(why), "%s", d->reason);
	m.deployment = id;
	m.action = FAULTLINE__LOG__ACTION__ACTION_HALT;
	m.automatic = true;
	m.actor = actor;
	m.reason = why;
	m.basis = d->pos;
	m.proof = (ProtobufCBinaryData){ d->proof_len, (uint8_t *)(uintptr_t)d->proof };
	n = note_of(b, RECORD_DECISION, &m.base);
	if (n == NULL) {
		/* The halt itself is derived; folding again finds it without the record. */
		log_error("beat", "out of memory: the halt of %s was not recorded", id);
		return;
	}
	n->tenant = d->tenant;
	mailbox_post(b->mail, &n->mail);
}

void
beat_stop(struct beat *b)
{
	struct note *next;

	if (b == NULL)
		return;
	atomic_store(&b->stop, true); /* seen within a tick, or at once with mail */
	pthread_join(b->thread, NULL);
	for (struct note *n = b->again; n != NULL; n = next) {
		next = n->next;
		free(n);
	}
	if (intake_in_flight(b->intake) == 0)
		intake_free(b->intake);
	mailbox_free(b->mail);
	free(b);
}
