/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/diag.h"
#include "base/reader.h"
#include "base/text.h"
#include "proto/wire.h"

/* Frames of the native stream, both directions: u32 big-endian length, then a
 * faultline.ClientFrame or ServerFrame.  Everything decoded borrows the bytes it was
 * decoded from; nothing is allocated.  docs/STREAM.md is the contract with peers. */
#define FRAME_VERSION     1u
#define FRAME_PREFIX      4u
#define FRAME_HEAD_MAX    32u           /* prefix, number, tag and length of the body */
#define FRAME_DEFAULT_MAX (512u * 1024) /* until a Welcome says otherwise */
#define FRAME_MAX_ITEMS   65535u        /* reports, heartbeats or receipts in one frame */
#define FRAME_ALL         UINT32_MAX    /* index of a refusal that means the whole frame */

#define AGENT_MAX         128u
#define TOKEN_MAX         1024u
#define DEPLOYMENT_ID_MAX 128u
#define REPORT_ID_MAX     64u

/* ---- the length prefix ---- */

enum frame_found {
	FRAME_READY,     /* *body_out is the message; it ends at FRAME_PREFIX + body_out->len */
	FRAME_PARTIAL,   /* *need_out bytes make it whole, or at least tell how many do */
	FRAME_ZERO,      /* a frame of no bytes */
	FRAME_OVERSIZED, /* larger than max */
};
enum frame_found frame_split(const uint8_t *bytes, size_t len, uint32_t max, struct text *body_out, size_t *need_out);

/* ---- client to server ---- */

enum client_kind {
	CLIENT_NONE = 0,
	CLIENT_HELLO = 2, /* field numbers of faultline.ClientFrame */
	CLIENT_REPORTS,
	CLIENT_HEARTBEATS,
	CLIENT_RECEIPTS,
	CLIENT_DUMP,
};
struct client_frame {
	uint64_t number;
	enum client_kind kind;
	struct text body;
};
/* DISCARD_none, frame_invalid (damaged, or two kinds in one frame) or frame_unknown (no
 * kind that we know).  The number is set whenever it could be read. */
enum discard client_frame_decode(struct text frame, struct client_frame *out, struct diag *diag);

/* The next item of a batch body, false at the end or at damage (then reader_failed(r)).
 * Fields of newer senders are skipped. */
bool frame_item(struct reader *r, struct text *item_out);

struct hello {
	uint32_t version;
	struct text agent, token;
};
enum discard hello_decode(struct text body, struct hello *out, struct diag *diag);

struct served {
	struct text deployment, host;
	bool withdrawn;
};
enum discard served_decode(struct text item, struct served *out, struct diag *diag);

struct dump_piece {
	struct text report; /* id from the WantDump */
	uint64_t offset;
	struct text data;
	bool last;
};
enum discard dump_piece_decode(struct text body, struct dump_piece *out, struct diag *diag);

/* Everything of a client frame before its body; returns its length. */
size_t client_frame_head(uint64_t number, enum client_kind kind, size_t body_len, uint8_t out[FRAME_HEAD_MAX]);

void item_put(struct wire_out *o, struct text item); /* one item of a batch body */
void hello_put(struct wire_out *o, const struct hello *h);
void served_put(struct wire_out *o, const struct served *s);
void dump_piece_put(struct wire_out *o, const struct dump_piece *p);

/* ---- server to client ---- */

enum server_kind { SERVER_NONE = 0, SERVER_WELCOME = 1, SERVER_ACK, SERVER_NACK };

enum discard server_frame_decode(struct text frame, enum server_kind *kind_out, struct text *body_out);

/* One field of a Welcome, Ack or Nack. */
enum server_item_kind {
	ITEM_NUMBER,      /* number: Ack, Nack */
	ITEM_MAX_FRAME,   /* number: Welcome */
	ITEM_WANT_DUMP,   /* number, index, id: Ack */
	ITEM_REFUSED,     /* number, index, id (the code), message: Ack */
	ITEM_HALTS,       /* the halted list that was known is void; ITEM_HALTED follow: Ack, Welcome */
	ITEM_HALTED,      /* id */
	ITEM_ADVICE,      /* id (the signature), message */
	ITEM_CODE,        /* id: Nack */
	ITEM_MESSAGE,     /* message: Nack */
	ITEM_RETRY_AFTER, /* number, milliseconds: Nack */
};
struct server_item {
	enum server_item_kind kind;
	uint64_t number;
	uint32_t index;
	struct text id, message;
};
/* The next field; false at the end or at damage (reader_failed(r)). */
bool server_next(struct reader *r, enum server_kind kind, struct server_item *out);

size_t server_frame_head(enum server_kind kind, size_t body_len, uint8_t out[FRAME_HEAD_MAX]);

struct nack {
	uint64_t number;
	struct text code, message;
	uint32_t retry_after_ms;
};
void welcome_put(struct wire_out *o, struct text server, uint32_t max_frame, const struct text *halted, size_t n);
void nack_put(struct wire_out *o, const struct nack *n);
/* Fields of an Ack, the number first. */
void ack_put_number(struct wire_out *o, uint64_t number);
void ack_put_want_dump(struct wire_out *o, uint64_t number, uint32_t index, struct text report);
void ack_put_refused(struct wire_out *o, uint64_t number, uint32_t index, struct text code, struct text message);
void ack_put_halted(struct wire_out *o, const struct text *halted, size_t n);
void ack_put_advice(struct wire_out *o, struct text signature, struct text advice);

#endif
