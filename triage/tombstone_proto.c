/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "base/reader.h"
#include "triage/textscan.h"
#include "triage/tombstone.h"

/* Android's tombstones since 12 as protobuf, read off the wire in place: a message is a range
 * of bytes, nothing is unpacked, so nothing grows. */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Numbers of fields, by message. */
enum {
	TS_ARCH = 1,
	TS_FINGERPRINT,
	TS_REVISION,
	TS_TIMESTAMP,
	TS_PID,
	TS_TID,
	TS_UID,
	TS_LABEL,
	TS_COMMAND,
	TS_SIGNAL,
	TS_ABORT = 14,
	TS_CAUSE,
	TS_THREAD,
	TS_MAPPING,
	TS_LAST = 40
};
enum { SIG_NUMBER = 1, SIG_CODE = 3, SIG_HAS_ADDRESS = 8, SIG_ADDRESS = 9 };
enum { MAP_KEY = 1, MAP_VALUE = 2 };
enum { THREAD_ID = 1, THREAD_NAME = 2, THREAD_FRAME = 4 };
enum {
	FRAME_REL_PC = 1,
	FRAME_PC,
	FRAME_SP,
	FRAME_FUNCTION,
	FRAME_FUNCTION_OFFSET,
	FRAME_FILE,
	FRAME_MAP_OFFSET,
	FRAME_BUILD_ID
};
enum { CAUSE_TEXT = 1 };

struct field {
	uint32_t number;
	unsigned wire;
	uint64_t value;
	struct text bytes;
};

static uint64_t
varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10; i++) {
		uint8_t b = reader_u8(r);

		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80))
			return v;
	}
	reader_fail(r, ERR_MALFORMED, "a number that does not end");
	return 0;
}

/* The next field; false at the end or when the message is damaged (r failed). */
static bool
next_field(struct reader *r, struct field *out)
{
	uint64_t tag, n;

	if (reader_failed(r) || r->pos == r->size)
		return false;
	tag = varint(r);
	*out = (struct field){ .number = (uint32_t)(tag >> 3), .wire = tag & 7 };
	if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		reader_fail(r, ERR_MALFORMED, "a field without a number");
	switch (out->wire) {
	case WIRE_VARINT:
		out->value = varint(r);
		break;
	case WIRE_64:
		out->value = reader_u64(r);
		break;
	case WIRE_32:
		out->value = reader_u32(r);
		break;
	case WIRE_BYTES:
		n = varint(r);
		out->bytes.at = (const char *)reader_bytes(r, n);
		out->bytes.len = out->bytes.at != NULL ? (size_t)n : 0;
		break;
	default:
		reader_fail(r, ERR_MALFORMED, "a field of a kind that does not exist");
	}
	return !reader_failed(r);
}

static struct reader
message(struct text bytes)
{
	struct reader r;

	reader_init(&r, bytes.at != NULL ? bytes.at : "", bytes.len, false);
	return r;
}

/* Do its fields come in the order of a tombstone's, and which of those that matter are there? */
static bool
tombstone_fields(const void *image, size_t size, bool *known_out, bool *thread_out)
{
	struct reader r;
	struct field f;
	uint32_t last = 0;
	bool print = false, sig = false, thread = false;

	reader_init(&r, image, size, false);
	for (unsigned i = 0; i < 4096 && next_field(&r, &f); i++) {
		if (f.number < last || f.number > TS_LAST)
			return false; /* written in order, and it has no others */
		last = f.number;
		print |= f.number == TS_FINGERPRINT && f.wire == WIRE_BYTES;
		sig |= f.number == TS_SIGNAL && f.wire == WIRE_BYTES;
		thread |= f.number == TS_THREAD && f.wire == WIRE_BYTES;
		if (f.number == TS_ARCH && (f.wire != WIRE_VARINT || f.value > 16))
			return false;
	}
	*known_out = print || sig;
	*thread_out = thread;
	return true;
}

bool
tombstonepb_is(const void *image, size_t size)
{
	bool known, thread;

	return tombstone_fields(image, size, &known, &thread) && known && thread;
}

bool
tombstonepb_begins(const void *head, size_t size)
{
	bool known, thread;

	return tombstone_fields(head, size, &known, &thread) && known;
}

/* ---- reading ---- */

static void
read_signal(struct textdump *t, struct text bytes)
{
	struct reader r = message(bytes);
	struct field f;
	int32_t number = 0, code = 0;
	bool has_address = false;
	uint64_t address = 0;

	while (next_field(&r, &f)) {
		if (f.number == SIG_NUMBER)
			number = (int32_t)f.value;
		else if (f.number == SIG_CODE)
			code = (int32_t)f.value;
		else if (f.number == SIG_HAS_ADDRESS)
			has_address = f.value != 0;
		else if (f.number == SIG_ADDRESS)
			address = f.value;
	}
	tombstone_reason(t, number, code);
	t->d->has_address = has_address;
	t->d->address = has_address ? address : 0;
}

static void
read_frame(struct textdump *t, struct text bytes)
{
	struct triage_frame *frame = textdump_frame(t);
	struct reader r = message(bytes);
	struct text file = { NULL, 0 }, id = { NULL, 0 };
	struct field f;

	if (frame == NULL)
		return;
	frame->trust = t->d->n_frames == 1 ? TRIAGE_TRUST_CONTEXT : TRIAGE_TRUST_REPORTED;
	while (next_field(&r, &f)) {
		if (f.number == FRAME_REL_PC)
			frame->offset = f.value;
		else if (f.number == FRAME_PC)
			frame->pc = f.value;
		else if (f.number == FRAME_FUNCTION)
			frame->function = textdump_copy(t, f.bytes, TEXT_NAME_MAX);
		else if (f.number == FRAME_FILE)
			file = f.bytes;
		else if (f.number == FRAME_BUILD_ID)
			id = f.bytes;
	}
	if (!tombstone_is_file(file)) {
		frame->offset = 0;
		return;
	}
	frame->module = textdump_module(t, file, 0);
	if (frame->module >= 0 && id.len > 0)
		t->d->modules[frame->module].id = t->d->modules[frame->module].code_id =
			textdump_copy(t, id, MODULE_ID_MAX);
}

/* An entry of the map from thread number to thread; true when it is the one that crashed. */
static bool
read_thread(struct textdump *t, struct text bytes)
{
	struct reader r = message(bytes), in;
	struct text thread = { NULL, 0 };
	struct field f;
	uint64_t key = 0;

	while (next_field(&r, &f)) {
		if (f.number == MAP_KEY)
			key = f.value;
		else if (f.number == MAP_VALUE && f.wire == WIRE_BYTES)
			thread = f.bytes;
	}
	if (key != t->d->crashing_tid)
		return false;
	in = message(thread);
	while (next_field(&in, &f)) {
		if (f.number == THREAD_NAME)
			textdump_note(t, "thread", f.bytes);
		else if (f.number == THREAD_FRAME && f.wire == WIRE_BYTES)
			read_frame(t, f.bytes);
	}
	if (reader_failed(&in))
		dump_partial(t->d, "a thread of the tombstone is damaged");
	return true;
}

static void
read_cause(struct textdump *t, struct text bytes)
{
	struct reader r = message(bytes);
	struct field f;

	while (next_field(&r, &f))
		if (f.number == CAUSE_TEXT)
			textdump_note(t, "cause", f.bytes);
}

static void
read_field(struct textdump *t, const struct field *f)
{
	static const char *const abis[] = { "arm", "arm64", "x86", "x86_64", "riscv64" };

	switch (f->number) {
	case TS_ARCH:
		if (f->value < sizeof(abis) / sizeof(abis[0]))
			tombstone_arch(t, text_of(abis[f->value]));
		else
			t->d->arch = TRIAGE_ARCH_UNKNOWN;
		break;
	case TS_FINGERPRINT:
		tombstone_fingerprint(t, f->bytes);
		break;
	case TS_REVISION:
		textdump_note(t, "hardware_revision", f->bytes);
		break;
	case TS_PID:
		t->d->process_id = (uint32_t)f->value;
		break;
	case TS_TID:
		t->d->crashing_tid = (uint32_t)f->value;
		break;
	case TS_COMMAND:
		textdump_note(t, "command_line", f->bytes);
		break;
	case TS_SIGNAL:
		read_signal(t, f->bytes);
		break;
	case TS_ABORT:
		textdump_note(t, "abort_message", f->bytes);
		break;
	case TS_CAUSE:
		read_cause(t, f->bytes);
		break;
	default:
		break;
	}
}

enum err
tombstonepb_read(struct arena *a, const void *image, size_t size, struct dump *out, struct diag *diag)
{
	struct textdump t = textdump_new(a, out, TRIAGE_FORMAT_TOMBSTONE);
	uint32_t threads = 0, crashed = UINT32_MAX;
	struct reader r;
	struct field f;

	out->os = TRIAGE_OS_ANDROID;
	out->arch = TRIAGE_ARCH_ARM; /* whose number, 0, is not written */
	reader_init(&r, image, size, false);
	while (next_field(&r, &f)) {
		if (f.number != TS_THREAD) {
			read_field(&t, &f);
			continue;
		}
		if (threads < TRIAGE_MAX_THREADS) {
			if (crashed == UINT32_MAX && read_thread(&t, f.bytes))
				crashed = threads;
			threads++;
		}
	}
	if (reader_failed(&r))
		dump_partial(out, "the tombstone is cut short");
	if (!out->has_exception && out->n_frames == 0)
		return textdump_fail(&t, ERR_MALFORMED, "a tombstone without a signal", diag);
	tombstone_thread(&t, crashed, threads > 0 ? threads : 1);
	if (crashed < out->n_threads)
		out->threads[crashed].tid = out->crashing_tid;
	return textdump_end(&t, diag);
}
