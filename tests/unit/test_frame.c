/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"

static void
prefixes(void **state)
{
	static const uint8_t whole[] = { 0, 0, 0, 3, 'a', 'b', 'c', 0 };
	struct text body;
	size_t need;

	(void)state;
	for (size_t n = 0; n < 4; n++) {
		assert_int_equal(frame_split(whole, n, 100, &body, &need), FRAME_PARTIAL);
		assert_int_equal(need, 4);
	}
	for (size_t n = 4; n < 7; n++) {
		assert_int_equal(frame_split(whole, n, 100, &body, &need), FRAME_PARTIAL);
		assert_int_equal(need, 7);
	}
	assert_int_equal(frame_split(whole, 8, 100, &body, &need), FRAME_READY);
	assert_int_equal(body.len, 3);
	assert_memory_equal(body.at, "abc", 3);
	assert_int_equal(frame_split(whole, 8, 3, &body, &need), FRAME_READY);
	assert_int_equal(frame_split(whole, 8, 2, &body, &need), FRAME_OVERSIZED);
	assert_int_equal(frame_split((const uint8_t *)"\0\0\0\0", 4, 100, &body, &need), FRAME_ZERO);
	assert_int_equal(frame_split((const uint8_t *)"\xff\xff\xff\xff", 4, 0x7fffffff, &body, &need),
			 FRAME_OVERSIZED);
}

/* What a client encodes, a server decodes, whatever the sizes do to the varints. */
static void
client_frames_come_back(void **state)
{
	static const uint64_t numbers[] = { 1, 127, 128, 1u << 21, UINT64_MAX };
	static const size_t lens[] = { 0, 1, 127, 128, 20000 };
	static uint8_t buf[FRAME_HEAD_MAX + 20000];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < 5; k++) {
			size_t head = client_frame_head(numbers[i], CLIENT_RECEIPTS, lens[k], buf), need;
			struct client_frame f;
			struct text frame;
			struct diag diag;

			memset(buf + head, 'x', lens[k]);
			assert_int_equal(frame_split(buf, head + lens[k], 1 << 20, &frame, &need), FRAME_READY);
			assert_int_equal(need, head + lens[k]);
			assert_int_equal(client_frame_decode(frame, &f, &diag), DISCARD_none);
			assert_true(f.number == numbers[i]);
			assert_int_equal(f.kind, CLIENT_RECEIPTS);
			assert_int_equal(f.body.len, lens[k]);
		}
}

static void
messages_come_back(void **state)
{
	uint8_t buf[512];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	struct hello h = { 1, TEXT("agent/1"), TEXT("secret") }, h2;
	struct served s = { TEXT("dep"), TEXT("host"), true }, s2;
	struct dump_piece p = { TEXT("id"), 99, TEXT("data"), true }, p2;
	struct diag diag;

	(void)state;
	hello_put(&o, &h);
	assert_int_equal(hello_decode((struct text){ (char *)buf, (size_t)(o.p - buf) }, &h2, &diag), DISCARD_none);
	assert_true(text_equal(h2.agent, h.agent) && text_equal(h2.token, h.token));
	o.p = buf;
	served_put(&o, &s);
	assert_int_equal(served_decode((struct text){ (char *)buf, (size_t)(o.p - buf) }, &s2, &diag), DISCARD_none);
	assert_true(text_equal(s2.deployment, s.deployment) && text_equal(s2.host, s.host) && s2.withdrawn);
	o.p = buf;
	dump_piece_put(&o, &p);
	assert_int_equal(dump_piece_decode((struct text){ (char *)buf, (size_t)(o.p - buf) }, &p2, &diag),
			 DISCARD_none);
	assert_true(text_equal(p2.report, p.report) && text_equal(p2.data, p.data) && p2.offset == 99 && p2.last);
}

static void
hellos_are_checked(void **state)
{
	struct hello h;
	struct diag diag;
	char agent[2 + AGENT_MAX + 1 + 2] = "\x12";

	(void)state;
	assert_int_equal(hello_decode(TEXT(""), &h, &diag), DISCARD_frame_invalid);         /* no version */
	assert_int_equal(hello_decode(TEXT("\x08\x02"), &h, &diag), DISCARD_frame_invalid); /* of tomorrow */
	assert_int_equal(hello_decode(TEXT("\x08\x01\x12\x02\xff\xff"), &h, &diag), DISCARD_frame_invalid);
	assert_int_equal(hello_decode(TEXT("\x08\x01\x12\x05x"), &h, &diag), DISCARD_frame_invalid);
	memcpy(agent, "\x08\x01\x12\x81\x01", 5);
	assert_int_equal(hello_decode((struct text){ agent, 5 + 129 - 4 }, &h, &diag), DISCARD_frame_invalid);
	assert_int_equal(hello_decode(TEXT("\x08\x01\x7a\x03xyz"), &h, &diag), DISCARD_none); /* a newer field */
}

static void
acks_come_back_in_order(void **state)
{
	static const struct text halted[] = { { "a", 1 }, { "bb", 2 } };
	static const enum server_item_kind kinds[] = { ITEM_NUMBER, ITEM_WANT_DUMP, ITEM_REFUSED, ITEM_HALTS,
						       ITEM_HALTED, ITEM_HALTED,    ITEM_ADVICE };
	uint8_t buf[1024];
	struct wire_out o = { buf + FRAME_HEAD_MAX, buf + sizeof(buf), false };
	struct server_item i;
	enum server_kind kind;
	struct text body;
	struct reader r;
	uint8_t head[FRAME_HEAD_MAX];
	size_t n, len;

	(void)state;
	ack_put_number(&o, 7);
	ack_put_want_dump(&o, 6, 3, TEXT("report-id"));
	ack_put_refused(&o, 7, FRAME_ALL, TEXT("empty"), TEXT("nothing in it"));
	ack_put_halted(&o, halted, 2);
	ack_put_advice(&o, TEXT("s1-0"), TEXT("restart"));
	len = (size_t)(o.p - buf - FRAME_HEAD_MAX);
	n = server_frame_head(SERVER_ACK, len, head);
	memcpy(buf + FRAME_HEAD_MAX - n, head, n);
	assert_int_equal(
		server_frame_decode((struct text){ (char *)buf + FRAME_HEAD_MAX - n + 4, n - 4 + len }, &kind, &body),
		DISCARD_none);
	assert_int_equal(kind, SERVER_ACK);
	reader_init(&r, body.at, body.len, false);
	for (size_t k = 0; k < 7; k++) {
		assert_true(server_next(&r, kind, &i));
		assert_int_equal(i.kind, kinds[k]);
		if (k == 1)
			assert_true(i.number == 6 && i.index == 3 && text_equal(i.id, TEXT("report-id")));
		if (k == 2)
			assert_true(i.index == FRAME_ALL && text_equal(i.message, TEXT("nothing in it")));
	}
	assert_false(server_next(&r, kind, &i));
	assert_false(reader_failed(&r));
}

/* Every cut of a valid message is damage, or a shorter valid message; never a read too far. */
static void
every_cut_is_safe(void **state)
{
	uint8_t buf[256];
	struct wire_out o = { buf, buf + sizeof(buf), false };
	struct server_item i;
	struct reader r;

	(void)state;
	ack_put_number(&o, 300);
	ack_put_refused(&o, 300, 70000, TEXT("invalid_utf8"), TEXT("reason"));
	for (size_t n = 0; n < (size_t)(o.p - buf); n++) {
		size_t items = 0;

		reader_init(&r, buf, n, false);
		while (server_next(&r, SERVER_ACK, &i))
			items++;
		assert_true(items <= 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes),
		cmocka_unit_test(client_frames_come_back),
		cmocka_unit_test(messages_come_back),
		cmocka_unit_test(hellos_are_checked),
		cmocka_unit_test(acks_come_back_in_order),
		cmocka_unit_test(every_cut_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
