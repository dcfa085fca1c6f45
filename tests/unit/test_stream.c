/* SPDX-License-Identifier: Apache-2.0 */
/* The native stream gate: every frame gets its answer, and costs nobody else anything. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"
#include "collector/gate/stream.h"
#include "collector/gate/stream_conn.h"
#include "collector/log/report_id.h"
#include "collector/workers/dumps.h"
#include "proto/frame.h"
#include "tests/unit/stream_help.h"

static uint8_t buf[1 << 20];

static int
setup(void **state)
{
	*state = world_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	world_free(*state);
	return 0;
}

static void
hello_is_welcomed_and_told_what_is_halted(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	w->halted[0] = TEXT("rollout-7");
	w->n_halted = 1;
	say(w, fd, buf, frame_hello(buf, sizeof(buf), ""));
	assert_string_equal(heard(w, fd), "welcome halted[rollout-7]");
	assert_string_equal(heard(w, fd), "");
	close(fd);
}

/* The same conversation, cut in two at every byte. */
static void
frames_may_be_split_anywhere(void **state)
{
	struct world *w = *state;
	size_t len = frame_hello(buf, sizeof(buf), "");

	len += frame_reports(buf + len, sizeof(buf) - len, 2, "host-a", 2, 1);
	len += frame_reports(buf + len, sizeof(buf) - len, 3, "host-b", 1, 1);
	for (size_t cut = 1; cut < len; cut++) {
		int fd = world_connect(w);
		size_t before = world_count(w, RECORD_REPORT);
		char all[256] = "";
		const char *h;

		say(w, fd, buf, cut);
		say(w, fd, buf + cut, len - cut);
		while (*(h = heard(w, fd)) != '\0')
			strcat(strcat(all, h), ";");
		assert_non_null(strstr(all, "welcome;"));
		assert_non_null(strstr(all, "ack 3;"));
		assert_int_equal(world_count(w, RECORD_REPORT) - before, 3);
		close(fd);
		world_turn(w);
	}
	assert_int_equal(stream_connections(w->stream), 0);
}

static void
one_byte_at_a_time(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);
	size_t len;

	say_hello(w, fd);
	len = frame_reports(buf, sizeof(buf), 2, "host-a", 3, 1);
	for (size_t i = 0; i < len; i++)
		say(w, fd, buf + i, 1);
	assert_string_equal(heard(w, fd), "ack 2");
	assert_int_equal(w->stream->held, 0);
	close(fd);
}

static void
acks_wait_for_the_disk_and_are_cumulative(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say_hello(w, fd);
	w->hold = true;
	for (uint64_t n = 2; n <= 6; n++)
		say(w, fd, buf, frame_reports(buf, sizeof(buf), n, "host-a", 1, n));
	assert_string_equal(heard(w, fd), "");
	world_settle(w, LOG_DURABLE);
	assert_string_equal(heard(w, fd), "ack 6");
	assert_string_equal(heard(w, fd), "");
	close(fd);
}

static void
a_bad_report_costs_nothing_else(void **state)
{
	struct world *w = *state;
	uint8_t body[4096], one[512];
	struct wire_out o = { body, body + sizeof(body), false };
	struct report r = sample_report("host-a", 1);
	uint64_t utf8 = discard_get(DISCARD_invalid_utf8), host = discard_get(DISCARD_invalid_host_id);
	int fd = world_connect(w);

	say_hello(w, fd);
	item_put(&o, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	r.seq = 2;
	r.reason = TEXT("\xff\xfe");
	item_put(&o, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	item_put(&o, TEXT(""));
	item_put(&o, TEXT("\x0a\x7f")); /* host that ends early */
	r = sample_report("host-a", 3);
	item_put(&o, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, body, (size_t)(o.p - body)));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/1 invalid_utf8 refused 2/2 invalid_host_id "
					  "refused 2/3 invalid_protobuf");
	assert_int_equal(world_count(w, RECORD_REPORT), 2);
	assert_int_equal(discard_get(DISCARD_invalid_utf8), utf8 + 1);
	assert_int_equal(discard_get(DISCARD_invalid_host_id), host + 1);
	close(fd);
}

/* The hash in place of the host is the gate's to write. */
static void
a_forged_host_hash_is_refused(void **state)
{
	struct world *w = *state;
	uint8_t one[64], body[128];
	struct wire_out o = { one, one + sizeof(one), false }, b = { body, body + sizeof(body), false };
	int fd = world_connect(w);

	say_hello(w, fd);
	wire_put_fixed64(&o, 40, 0xdead);
	item_put(&b, (struct text){ (char *)one, (size_t)(o.p - one) });
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, body, (size_t)(b.p - body)));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/0 invalid_host_id");
	close(fd);
}

static void
absurd_times_are_cleared_counted_and_accepted(void **state)
{
	struct world *w = *state;
	static const int64_t absurd[] = { -11644473600000000, 4102444800000000000, 1 };
	uint64_t before = discard_get(DISCARD_invalid_time);
	uint8_t body[1024], one[256];
	struct wire_out o = { body, body + sizeof(body), false };
	struct report r;
	struct diag diag;
	int fd = world_connect(w);

	say_hello(w, fd);
	for (size_t i = 0; i < 3; i++) {
		r = sample_report("host-a", i);
		r.occurred_us = absurd[i];
		item_put(&o, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	}
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, body, (size_t)(o.p - body)));
	assert_string_equal(heard(w, fd), "ack 2");
	assert_int_equal(discard_get(DISCARD_invalid_time), before + 3);
	for (size_t i = 0; i < w->n_records; i++) {
		assert_int_equal(report_decode(w->records[i].payload, w->records[i].len, &r, &diag), DISCARD_none);
		assert_int_equal(r.occurred_us, 0);
		assert_int_equal(r.flags & REPORT_FLAG_CLOCK, REPORT_FLAG_CLOCK);
		assert_memory_equal(r.site.at, "127.1.2.0/24", r.site.len);
		assert_int_equal(r.host.len, 0);
		assert_true(r.host_hash != 0);
	}
	close(fd);
}

/* Each: what is sent after the hello, and how the peer is told. */
static void
nacked(struct world *w, const void *bytes, size_t len, enum discard code)
{
	uint64_t before = discard_get(code);
	int fd = world_connect(w);
	char want[128];

	say_hello(w, fd);
	say(w, fd, bytes, len);
	snprintf(want, sizeof(want), "nack 1 %s", discard_code(code));
	assert_string_equal(heard(w, fd), want);
	assert_string_equal(heard(w, fd), "closed");
	assert_int_equal(discard_get(code), before + 1);
	close(fd);
	world_turn(w);
	assert_int_equal(stream_connections(w->stream), 0);
	assert_int_equal(w->stream->held, 0);
}

static void
damaged_frames_end_the_connection_with_a_reason(void **state)
{
	struct world *w = *state;
	uint8_t nested[256], f[512];
	size_t n;

	nacked(w, "\0\0\0\0", 4, DISCARD_frame_zero);
	nacked(w, "\x00\x08\x00\x01", 4, DISCARD_frame_too_large); /* max_frame + 1 */
	nacked(w, "\xff\xff\xff\xff", 4, DISCARD_frame_too_large);
	nacked(w, "\0\0\0\2\x08\x02", 6, DISCARD_frame_unknown);                             /* a number alone */
	nacked(w, "\0\0\0\4\x08\x02\x7a\x00", 8, DISCARD_frame_unknown);                     /* field 15 */
	nacked(w, "\0\0\0\3\x08\x02\x1b", 7, DISCARD_frame_invalid);                         /* a group */
	nacked(w, "\0\0\0\4\x08\x02\x1a\x05", 8, DISCARD_frame_invalid);                     /* body ends early */
	nacked(w, "\0\0\0\6\x08\x02\x1a\x00\x22\x00", 10, DISCARD_frame_invalid);            /* two kinds */
	nacked(w, f, frame_reports(f, sizeof(f), 1, "host-a", 1, 1), DISCARD_frame_invalid); /* number again */
	nacked(w, f, frame_of(f, sizeof(f), 2, CLIENT_HELLO, "\x08\x01", 2), DISCARD_frame_invalid);
	/* a batch whose last item runs over its end: nothing of it is taken */
	n = frame_reports(nested, sizeof(nested), 2, "host-a", 1, 1) - 12;
	nacked(w, f, frame_of(f, sizeof(f), 2, CLIENT_REPORTS, nested + 12, n - 3), DISCARD_frame_invalid);
	assert_int_equal(w->n_records, 0);
}

/* A whole frame where a report should be is a bad report. */
static void
a_nested_frame_is_a_bad_item(void **state)
{
	struct world *w = *state;
	uint8_t inner[512], body[1024];
	struct wire_out o = { body, body + sizeof(body), false };
	size_t n = frame_reports(inner, sizeof(inner), 2, "host-a", 1, 1);
	int fd = world_connect(w);

	say_hello(w, fd);
	item_put(&o, (struct text){ (char *)inner, n });
	item_put(&o, (struct text){ (char *)inner + FRAME_PREFIX, n - FRAME_PREFIX });
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, body, (size_t)(o.p - body)));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/0 invalid_protobuf refused 2/1 invalid_protobuf");
	assert_int_equal(w->n_records, 0);
	close(fd);
}

static void
a_torn_frame_is_counted_and_what_came_before_is_acknowledged(void **state)
{
	struct world *w = *state;
	uint64_t before = discard_get(DISCARD_frame_torn);
	int fd = world_connect(w);
	size_t n;

	say_hello(w, fd);
	w->hold = true;
	n = frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1);
	n += frame_reports(buf + n, sizeof(buf) - n, 3, "host-a", 1, 2);
	say(w, fd, buf, n - 1);
	shutdown(fd, SHUT_WR);
	assert_string_equal(heard(w, fd), "");
	world_settle(w, LOG_DURABLE);
	assert_string_equal(heard(w, fd), "ack 2");
	assert_string_equal(heard(w, fd), "nack 2 frame_torn");
	assert_string_equal(heard(w, fd), "closed");
	assert_int_equal(discard_get(DISCARD_frame_torn), before + 1);
	assert_int_equal(world_count(w, RECORD_REPORT), 1);
	close(fd);
}

static void
a_half_closed_socket_still_gets_its_acks(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say_hello(w, fd);
	w->hold = true;
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	shutdown(fd, SHUT_WR);
	world_settle(w, LOG_DURABLE);
	assert_string_equal(heard(w, fd), "ack 2");
	assert_string_equal(heard(w, fd), "closed");
	close(fd);
}

static void
frames_before_the_hello_are_refused(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say(w, fd, buf, frame_reports(buf, sizeof(buf), 1, "host-a", 1, 1));
	assert_string_equal(heard(w, fd), "nack hello_missing");
	close(fd);
	fd = world_connect(w);
	say(w, fd, "\0\0\x10\x01", 4); /* a hello of 4097 bytes */
	assert_string_equal(heard(w, fd), "nack frame_too_large");
	close(fd);
	assert_int_equal(w->n_records, 0);
}

static void
an_empty_batch_is_refused_alone(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say_hello(w, fd);
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, "", 0));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/-1 empty");
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 3, "host-a", 1, 1));
	assert_string_equal(heard(w, fd), "ack 3");
	close(fd);
}

static void
too_many_items_are_refused_alone(void **state)
{
	struct world *w = *state;
	size_t n = 2 * (FRAME_MAX_ITEMS + 1);
	uint8_t *body = malloc(n);
	int fd = world_connect(w);

	for (size_t i = 0; i < n; i += 2)
		memcpy(body + i, "\x0a", 2); /* an empty report */
	say_hello(w, fd);
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, body, n));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/-1 too_many_items");
	free(body);
	close(fd);
}

static void
a_lost_log_answers_nack_and_never_ack(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say_hello(w, fd);
	w->hold = true;
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	world_settle(w, LOG_UNKNOWN);
	assert_string_equal(heard(w, fd), "nack 1 log_unknown retry");
	assert_string_equal(heard(w, fd), "closed");
	close(fd);
}

/* Acks are cumulative: after a loss there must not be another one. */
static void
nothing_after_a_loss_is_acknowledged(void **state)
{
	static const enum log_outcome losses[] = { LOG_REFUSED, LOG_UNKNOWN };
	struct world *w = *state;

	for (int i = 0; i < 2; i++) {
		int fd = world_connect(w);

		say_hello(w, fd);
		w->hold = true;
		for (uint64_t n = 2; n <= 4; n++)
			say(w, fd, buf, frame_reports(buf, sizeof(buf), n, "host-a", 1, n));
		assert_int_equal(w->n_held, 3);
		world_settle_first(w, LOG_DURABLE);
		assert_string_equal(heard(w, fd), "ack 2");
		world_settle_first(w, losses[i]);
		world_settle_first(w, LOG_DURABLE);
		assert_memory_equal(heard(w, fd), "nack 2 ", 7);
		assert_string_equal(heard(w, fd), "closed");
		close(fd);
		world_turn(w);
	}
}

static void
a_full_disk_answers_nack_with_a_time(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say_hello(w, fd);
	w->answer = LOG_FULL;
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	assert_string_equal(heard(w, fd), "nack 1 disk_full retry");
	close(fd);
}

static void
pressure_reduces_bodies(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);
	struct report r;
	struct diag diag;

	say_hello(w, fd);
	w->pressure = LOG_PRESSURE_REDUCE_BODIES;
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	assert_string_equal(heard(w, fd), "ack 2");
	assert_int_equal(report_decode(w->records[0].payload, w->records[0].len, &r, &diag), DISCARD_none);
	assert_int_equal(r.flags & REPORT_FLAG_REDUCED, REPORT_FLAG_REDUCED);
	close(fd);
}

/* The log is behind: nothing is read, nothing is lost, and it goes on by itself. */
static void
back_pressure_stops_reading_and_ends(void **state)
{
	struct world *w = *state;
	int fds[3];
	uint64_t number = 2, acked[3] = { 0 };
	size_t len = 0, sent = 0, held_most = 0;
	uint64_t seq = 1;

	for (int i = 0; i < 3; i++) {
		fds[i] = world_connect(w);
		say_hello(w, fds[i]);
	}
	w->hold = true;
	while (intake_ready(w->gate.intake) && number < 4000) {
		len = frame_reports(buf, sizeof(buf), number++, "host-a", 200, seq);
		seq += 200;
		sent += 600;
		for (int i = 0; i < 3; i++)
			say(w, fds[i], buf, len);
	}
	assert_true(number < 4000);
	/* more than the sockets hold: the rest stays with the peer */
	len = frame_reports(buf, sizeof(buf), number, "host-a", 2000, seq);
	for (int i = 0; i < 3; i++) {
		size_t at = 0;
		ssize_t n;

		while ((n = send(fds[i], buf + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
			at += (size_t)n;
			world_turn(w);
			if (w->stream->held > held_most)
				held_most = w->stream->held;
		}
	}
	assert_true(held_most <= 3 * (FRAME_DEFAULT_MAX + FRAME_PREFIX));
	for (int i = 0; i < 40; i++)
		world_settle(w, LOG_DURABLE);
	for (int i = 0; i < 3; i++) {
		const char *h;

		while (*(h = heard(w, fds[i])) != '\0')
			acked[i] = strtoull(h + 4, NULL, 10);
		assert_true(acked[i] >= number - 1);
		close(fds[i]);
	}
	assert_true(w->stream->held <= 3 * (FRAME_DEFAULT_MAX + FRAME_PREFIX));
	w->hold = false;
	world_turn(w);
}

static void
many_frames_in_flight_pause_only_their_sender(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w), other = world_connect(w);
	size_t len = 0;

	say_hello(w, fd);
	say_hello(w, other);
	w->hold = true;
	for (uint64_t n = 2; n < 2 + 300; n++)
		len += frame_reports(buf + len, sizeof(buf) - len, n, "host-a", 1, n);
	say(w, fd, buf, len);
	assert_int_equal(world_count(w, RECORD_REPORT), 0);
	say(w, other, buf, frame_reports(buf, sizeof(buf), 2, "host-b", 1, 1));
	world_settle(w, LOG_DURABLE);
	assert_string_equal(heard(w, other), "ack 2");
	assert_string_equal(heard(w, fd), "ack 257");
	world_settle(w, LOG_DURABLE);
	assert_string_equal(heard(w, fd), "ack 301");
	close(fd);
	close(other);
	w->hold = false;
}

static void
heartbeats_and_goodbyes(void **state)
{
	struct world *w = *state;
	uint8_t body[512], one[256];
	struct wire_out o = { body, body + sizeof(body), false };
	struct heartbeat h = { .host = TEXT("host-a"), .boot_id = TEXT("boot-1"), .version = TEXT("1.0") };
	int fd = world_connect(w);

	say_hello(w, fd);
	item_put(&o, (struct text){ (char *)one, heartbeat_encode(&h, one, sizeof(one)) });
	h.goodbye = true;
	item_put(&o, (struct text){ (char *)one, heartbeat_encode(&h, one, sizeof(one)) });
	h.host = TEXT("");
	item_put(&o, (struct text){ (char *)one, heartbeat_encode(&h, one, sizeof(one)) });
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_HEARTBEATS, body, (size_t)(o.p - body)));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/2 invalid_host_id");
	assert_int_equal(world_count(w, RECORD_HEARTBEAT), 2);
	close(fd);
}

static void
receipts_of_one_deployment_become_one_record(void **state)
{
	struct world *w = *state;
	static const struct served all[] = {
		{ TEXT("dep-1"), TEXT("host-a"), false }, { TEXT("dep-1"), TEXT("host-b"), false },
		{ TEXT("dep-1"), TEXT("host-a"), true },  { TEXT(""), TEXT("host-a"), false },
		{ TEXT("dep-2"), TEXT(""), false },       { TEXT("dep-2"), TEXT("host-c"), false },
	};
	uint8_t body[512];
	struct wire_out o = { body, body + sizeof(body), false };
	int fd = world_connect(w);

	say_hello(w, fd);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint8_t one[128];
		struct wire_out in = { one, one + sizeof(one), false };

		served_put(&in, &all[i]);
		item_put(&o, (struct text){ (char *)one, (size_t)(in.p - one) });
	}
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_RECEIPTS, body, (size_t)(o.p - body)));
	assert_string_equal(heard(w, fd), "ack 2 refused 2/3 invalid_field refused 2/4 invalid_host_id");
	assert_int_equal(world_count(w, RECORD_RECEIPT), 3);
	close(fd);
}

static void
halts_are_pushed_when_they_change(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);

	say_hello(w, fd);
	w->halted[0] = TEXT("dep-1");
	w->halted[1] = TEXT("dep-2");
	w->n_halted = 2;
	w->halted_version++;
	world_tick(w);
	assert_string_equal(heard(w, fd), "ack 1 halts halted[dep-1] halted[dep-2]");
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	assert_string_equal(heard(w, fd), "ack 2");
	w->n_halted = 0;
	w->halted_version++;
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 3, "host-a", 1, 2));
	assert_string_equal(heard(w, fd), "ack 3 halts");
	close(fd);
}

static void
advice_comes_once_a_frame(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);
	const char *h;

	say_hello(w, fd);
	w->advice = "delete the file";
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 50, 1));
	h = heard(w, fd);
	assert_memory_equal(h, "ack 2 advice s1-", 16);
	assert_string_equal(strchr(h, '='), "=delete the file");
	assert_null(strstr(strchr(h, '='), "advice"));
	close(fd);
}

static size_t
frame_dump(uint64_t number, const char *report, uint64_t offset, const char *data, size_t n, bool last)
{
	static uint8_t body[1 << 19];
	struct wire_out o = { body, body + sizeof(body), false };
	struct dump_piece p = { text_of(report), offset, { data, n }, last };

	dump_piece_put(&o, &p);
	return frame_of(buf, sizeof(buf), number, CLIENT_DUMP, body, (size_t)(o.p - body));
}

/* Ask for the dump of one report; its id into id. */
static void
get_wanted(struct world *w, int fd, char id[REPORT_ID_SIZE])
{
	uint8_t body[512], one[256];
	struct wire_out o = { body, body + sizeof(body), false };
	struct report r = sample_report("host-a", 1);
	const char *h;

	w->wants = 1;
	for (int i = 0; i < 2; i++) { /* the second one says it has no dump */
		r.has_dump = i == 0;
		item_put(&o, (struct text){ (char *)one, report_encode(&r, NULL, one, sizeof(one)) });
	}
	say(w, fd, buf, frame_of(buf, sizeof(buf), 2, CLIENT_REPORTS, body, (size_t)(o.p - body)));
	h = heard(w, fd);
	assert_memory_equal(h, "ack 2 want 2/0 ", 15);
	assert_int_equal(strlen(h), 15 + REPORT_ID_SIZE - 1);
	memcpy(id, h + 15, REPORT_ID_SIZE);
}

/* The outcome of a dump comes from the store's thread. */
static const char *
heard_later(struct world *w, int fd)
{
	const char *h = "";

	for (int i = 0; i < 50 && *h == '\0'; i++) {
		h = heard(w, fd);
		if (*h == '\0')
			world_tick(w);
	}
	return h;
}

static void
a_wanted_dump_is_stored_before_its_ack(void **state)
{
	struct world *w = *state;
	char id[REPORT_ID_SIZE], big[70000];
	uint64_t before = dumps_bytes(w->env.dumps);
	int fd = world_connect(w);

	memset(big, 'x', sizeof(big));
	say_hello(w, fd);
	get_wanted(w, fd, id);
	say(w, fd, buf, frame_dump(3, id, 0, big, sizeof(big), false));
	assert_string_equal(heard(w, fd), "ack 3");
	say(w, fd, buf, frame_dump(4, id, sizeof(big), "end", 3, true));
	assert_string_equal(heard_later(w, fd), "ack 4");
	assert_int_equal(world_count(w, RECORD_DUMP_STORED), 1);
	assert_int_equal(dumps_bytes(w->env.dumps) - before, sizeof(big) + 3);
	assert_int_equal(w->stream->uploads, 0);
	close(fd);
}

static void
dump_pieces_out_of_place_are_refused(void **state)
{
	struct world *w = *state;
	uint64_t before = dumps_bytes(w->env.dumps);
	char id[REPORT_ID_SIZE];
	int fd = world_connect(w);

	say_hello(w, fd);
	get_wanted(w, fd, id);
	say(w, fd, buf, frame_dump(3, "no-such-report", 0, "x", 1, true));
	assert_string_equal(heard(w, fd), "ack 3 refused 3/-1 unknown_report");
	say(w, fd, buf, frame_dump(4, id, 7, "x", 1, true));
	assert_string_equal(heard(w, fd), "ack 4 refused 4/-1 unknown_report");
	say(w, fd, buf, frame_dump(5, id, 0, "abc", 3, false));
	assert_string_equal(heard(w, fd), "ack 5");
	say(w, fd, buf, frame_dump(6, id, 4, "x", 1, true));
	assert_string_equal(heard(w, fd), "ack 6 refused 6/-1 invalid_field");
	assert_int_equal(world_count(w, RECORD_DUMP_STORED), 0);
	close(fd); /* in the middle of a dump */
	world_turn(w);
	assert_int_equal(dumps_bytes(w->env.dumps), before);
}

static void
a_dump_too_large_is_refused_and_the_connection_lives(void **state)
{
	struct world *w = *state;
	static char big[400000];
	char id[REPORT_ID_SIZE];
	int fd = world_connect(w);

	say_hello(w, fd);
	get_wanted(w, fd, id);
	for (uint64_t i = 0; i < 2; i++) {
		say(w, fd, buf, frame_dump(3 + i, id, i * sizeof(big), big, sizeof(big), false));
		heard(w, fd);
	}
	say(w, fd, buf, frame_dump(5, id, 2 * sizeof(big), big, sizeof(big), false));
	assert_string_equal(heard(w, fd), "ack 5 refused 5/-1 dump_too_large");
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 6, "host-a", 1, 9));
	assert_string_equal(heard(w, fd), "ack 6");
	close(fd);
}

static void
slow_and_silent_peers_are_cut(void **state)
{
	struct world *w = *state;
	int hello, idle, partial;

	w->settings.header_timeout = w->settings.idle_timeout = w->settings.request_timeout = 50;
	hello = world_connect(w);
	idle = world_connect(w);
	partial = world_connect(w);
	say_hello(w, idle);
	say_hello(w, partial);
	say(w, partial, "\0\0\1\0abc", 7);
	world_tick(w);
	assert_string_equal(heard(w, hello), "nack header_timeout");
	assert_string_equal(heard(w, idle), "nack 1 idle_timeout");
	assert_string_equal(heard(w, partial), "nack 1 request_timeout");
	assert_string_equal(heard(w, hello), "closed");
	close(hello);
	close(idle);
	close(partial);
}

/* A peer that sends and never reads: not read from, then cut. */
static void
a_slow_reader_is_cut(void **state)
{
	struct world *w = *state;
	uint64_t before = discard_get(DISCARD_slow_reader), number = 2;
	uint8_t *body = malloc(60000);
	int fd = world_connect(w);

	for (size_t i = 0; i < 60000; i += 2)
		memcpy(body + i, "\x0a", 2);
	w->settings.request_timeout = 50;
	say_hello(w, fd);
	for (; number < 60; number++) {
		size_t len = frame_of(buf, sizeof(buf), number, CLIENT_REPORTS, body, 60000);

		if (send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
			break;
		world_turn(w);
	}
	assert_true(number < 60);
	world_tick(w);
	world_tick(w);
	assert_int_equal(stream_connections(w->stream), 0);
	assert_int_equal(discard_get(DISCARD_slow_reader), before + 1);
	free(body);
	close(fd);
}

static void
draining_answers_everything_in_flight_first(void **state)
{
	struct world *w = *state;
	int busy = world_connect(w), idle = world_connect(w), fresh = world_connect(w);

	say_hello(w, busy);
	say_hello(w, idle);
	w->hold = true;
	say(w, busy, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	stream_drain(w->stream);
	assert_string_equal(heard(w, idle), "nack 1 draining retry");
	assert_string_equal(heard(w, fresh), "nack draining retry");
	assert_string_equal(heard(w, busy), "");
	assert_false(stream_drained(w->stream));
	world_settle(w, LOG_DURABLE);
	assert_string_equal(heard(w, busy), "ack 2");
	assert_string_equal(heard(w, busy), "nack 2 draining retry");
	close(busy);
	close(idle);
	close(fresh);
	world_turn(w);
	assert_true(stream_drained(w->stream));
}

/* The peer goes away while its frames are on their way to the disk. */
static void
a_peer_that_leaves_early_is_forgotten_after_its_records(void **state)
{
	struct world *w = *state;
	int fd = world_connect(w);
	struct linger hard = { 1, 0 };

	say_hello(w, fd);
	w->hold = true;
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	world_turn(w);
	world_settle(w, LOG_DURABLE);
	assert_int_equal(stream_connections(w->stream), 0);
	assert_int_equal(w->stream->count[CONN_DEAD], 0);
	assert_int_equal(world_count(w, RECORD_REPORT), 1);
}

static void
tokens_are_asked_for(void **state)
{
	char path[] = "/tmp/faultline-token-XXXXXX";
	int tmp = mkstemp(path), fd;
	struct world *w;
	struct report r;
	struct diag diag;

	(void)state;
	assert_int_equal(write(tmp, "correct-horse-battery\n", 22), 22);
	fchmod(tmp, 0600);
	close(tmp);
	w = world_new(path);
	fd = world_connect(w);
	say(w, fd, buf, frame_hello(buf, sizeof(buf), "wrong-horse-battery"));
	assert_string_equal(heard(w, fd), "nack unauthorized");
	close(fd);
	fd = world_connect(w);
	say(w, fd, buf, frame_hello(buf, sizeof(buf), "correct-horse-battery"));
	assert_string_equal(heard(w, fd), "welcome");
	say(w, fd, buf, frame_reports(buf, sizeof(buf), 2, "host-a", 1, 1));
	assert_string_equal(heard(w, fd), "ack 2");
	assert_int_equal(report_decode(w->records[0].payload, w->records[0].len, &r, &diag), DISCARD_none);
	assert_int_equal(r.flags, REPORT_FLAG_AUTHENTICATED);
	close(fd);
	world_free(w);
	unlink(path);
}

static void
connections_over_the_limit_are_closed(void **state)
{
	struct world *w = *state;
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(stream_port(w->stream)),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	uint64_t before = discard_get(DISCARD_too_many_connections);
	int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0);
	char c;

	w->settings.max_connections = 1;
	assert_int_equal(connect(a, (struct sockaddr *)&to, sizeof(to)), 0);
	world_turn(w);
	assert_int_equal(connect(b, (struct sockaddr *)&to, sizeof(to)), 0);
	world_turn(w);
	assert_int_equal(recv(b, &c, 1, 0), 0);
	assert_int_equal(discard_get(DISCARD_too_many_connections), before + 1);
	assert_int_equal(stream_connections(w->stream), 1);
	close(a);
	close(b);
}

/* 10,000 of them must be cheap. */
static void
an_idle_connection_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct conn) <= 1024);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(hello_is_welcomed_and_told_what_is_halted),
		T(frames_may_be_split_anywhere),
		T(one_byte_at_a_time),
		T(acks_wait_for_the_disk_and_are_cumulative),
		T(a_bad_report_costs_nothing_else),
		T(a_forged_host_hash_is_refused),
		T(absurd_times_are_cleared_counted_and_accepted),
		T(damaged_frames_end_the_connection_with_a_reason),
		T(a_nested_frame_is_a_bad_item),
		T(a_torn_frame_is_counted_and_what_came_before_is_acknowledged),
		T(a_half_closed_socket_still_gets_its_acks),
		T(frames_before_the_hello_are_refused),
		T(an_empty_batch_is_refused_alone),
		T(too_many_items_are_refused_alone),
		T(a_lost_log_answers_nack_and_never_ack),
		T(nothing_after_a_loss_is_acknowledged),
		T(a_full_disk_answers_nack_with_a_time),
		T(pressure_reduces_bodies),
		T(back_pressure_stops_reading_and_ends),
		T(many_frames_in_flight_pause_only_their_sender),
		T(heartbeats_and_goodbyes),
		T(receipts_of_one_deployment_become_one_record),
		T(halts_are_pushed_when_they_change),
		T(advice_comes_once_a_frame),
		T(a_wanted_dump_is_stored_before_its_ack),
		T(dump_pieces_out_of_place_are_refused),
		T(a_dump_too_large_is_refused_and_the_connection_lives),
		T(slow_and_silent_peers_are_cut),
		T(a_slow_reader_is_cut),
		T(draining_answers_everything_in_flight_first),
		T(a_peer_that_leaves_early_is_forgotten_after_its_records),
		T(connections_over_the_limit_are_closed),
		cmocka_unit_test(tokens_are_asked_for),
		cmocka_unit_test(an_idle_connection_is_small),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
