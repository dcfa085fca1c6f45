/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COLLECTOR_GATE_STREAM_CONN_H
#define COLLECTOR_GATE_STREAM_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/counters.h"
#include "base/text.h"
#include "collector/gate/gate.h"
#include "collector/gate/intake.h"
#include "collector/workers/dumps.h"
#include "proto/frame.h"
#include "proto/report.h"

/* Inside of the stream gate, shared by stream*.c only.
 *
 * A connection is in exactly one list, its state; each list is in the order of its
 * deadlines.  A connection that dies stays until its groups have come back from the log.
 * Received bytes stay in the stream's one big buffer: a connection holds memory only for
 * a frame that is not whole, or that must wait for room. */
enum conn_state {
	CONN_HELLO,   /* connected; must say hello */
	CONN_OPEN,    /* between frames */
	CONN_PARTIAL, /* inside a frame */
	CONN_CLOSING, /* reads no more; waits for its groups and for its output to leave */
	CONN_LINGER,  /* said all, waits for the peer to close so that nothing is lost to a reset */
	CONN_DEAD,
	CONN_N_STATES
};

/* Why a connection is not read now; bits. */
enum conn_pause {
	PAUSE_BUSY = 1,   /* the log is behind */
	PAUSE_FLIGHT = 2, /* too many of its frames wait for the log */
	PAUSE_OUTPUT = 4, /* it does not read its acknowledgements */
	PAUSE_END = 8,    /* it will never be read again */
};

/* What came of a frame. */
enum taken {
	TAKEN,      /* go on with the next */
	TAKEN_NOT,  /* cannot be taken now: the connection is paused, keep the frame */
	TAKEN_LAST, /* the connection is closing */
};

#define FLIGHT_MAX    256u         /* frames of one connection that wait for the log */
#define REFUSALS_MANY 1024u        /* refusals in flight after which a connection is not read */
#define OUTPUT_PAUSE  (64u * 1024) /* unsent bytes after which a connection is not read */
#define OUTPUT_CUT    (8u * 1024 * 1024)
#define HELD_MAX      (256ull * 1024 * 1024) /* unfinished frames of all connections */
#define CHUNK         (256u * 1024)          /* read at once */
#define HELLO_MAX     4096u                  /* bytes of the first frame */
#define LINGER_MS     2000
#define RETRY_MS      2000

struct refusal {
	uint32_t index;
	enum discard code;
	const char *what; /* static; NULL: the code's own help */
};
struct wanted {
	uint32_t index;  /* in the frame */
	uint32_t record; /* in the intake group */
	uint64_t signature;
	bool dump, advice;
};

/* One frame on its way through the log. */
struct frame_group {
	struct intake_group intake;
	struct conn *conn;
	struct frame_group *next; /* in the connection, or in the free list */
	uint64_t number;
	bool done;
	enum log_outcome outcome;
	enum discard nack; /* end the connection with this instead of an ack */
	uint32_t reports;  /* in it, to be counted once they are durable */
	uint32_t n_refused, cap_refused, n_wanted, cap_wanted;
	struct refusal *refused;
	struct wanted *wanted;
};

/* A dump that a connection is sending, and its commit; outlives the connection. */
struct dump_upload {
	struct dumps_commit commit;
	struct stream *stream;
	struct dump_writer *writer;
	struct frame_group *group; /* of the last piece, once it came */
	uint64_t report;           /* position */
	char id[REPORT_ID_MAX + 1];
	enum discard refused; /* code that further pieces get */
};

/* Reports whose dump we asked for, so that the dump can be counted under their signature. */
#define ASKED_MAX 32u
struct asked {
	uint64_t report, signature;
};

struct conn {
	TAILQ_ENTRY(conn) entry;   /* of its state's list */
	TAILQ_ENTRY(conn) waiting; /* of stream->paused, if listed */
	TAILQ_ENTRY(conn) turn;    /* of stream->due, if due */
	struct stream *stream;
	struct event read_ev, write_ev;
	int fd;
	enum conn_state state;
	uint8_t pause; /* bits of enum conn_pause */
	bool due, listed, authenticated, eof;
	bool lost; /* a frame was not stored: nothing after it is acknowledged */
	int64_t deadline_us;
	int64_t stuck_us; /* output waits since; 0: it does not */
	uint8_t *held;    /* received and not taken */
	uint32_t held_len, held_cap;
	uint8_t *out; /* encoded and not sent */
	uint32_t out_at, out_len, out_cap;
	uint64_t number, acked; /* last frame taken, last acknowledged */
	uint64_t halted_version;
	struct frame_group *first, *last;
	uint32_t in_flight;
	uint32_t refusals; /* in the groups in flight */
	/* the end */
	enum discard nack;
	const char *nack_what;
	uint32_t retry_ms;
	/* who */
	struct sockaddr_in6 peer; /* or a sockaddr_in in it */
	char *site;               /* of the peer; made when first needed */
	uint64_t beats_of;        /* host of its first heartbeat */
	bool relays;              /* it has brought heartbeats of another one, too */
	uint64_t site_version;
	struct dump_upload *upload;
	struct asked *asked; /* ring of ASKED_MAX */
	uint32_t n_asked;
};
TAILQ_HEAD(conn_list, conn);

/* Answers of the environment for a crash key, so that a storm of one signature does not
 * compute SHA-256 for each report. */
#define KEY_CACHE 4096u
struct key_slot {
	uint64_t hash, signature;
	uint64_t frame; /* the last frame it was met in */
	bool wanted;    /* then: a dump was wanted when last asked */
};

struct stream {
	struct gate *gate;
	const struct gate_env *env;
	int fd;
	uint16_t port;
	struct event *accept_ev, *tick_ev, *dumps_ev;
	bool accept_paused, draining;
	uint32_t max_frame;
	struct conn_list list[CONN_N_STATES];
	size_t count[CONN_N_STATES];
	struct conn_list paused, due;
	uint64_t held; /* bytes in held buffers */
	uint8_t *chunk;
	uint8_t *scratch; /* one encoded server message */
	size_t scratch_size;
	struct frame_group *free_groups;
	uint32_t n_free_groups;
	const struct identity *identity; /* the last one seen, and how many there were */
	uint64_t identity_version, halted_version;
	uint64_t cache_seed;
	struct key_slot keys[KEY_CACHE];
	uint64_t frame;  /* frames handled, ever */
	uint64_t frames; /* not yet added to the counter */
	struct mailbox *dumps_reply;
	uint32_t uploads; /* commits on their way */
	/* too big for the stack of a callback */
	struct report report;
	struct heartbeat heartbeat;
};

/* ---- stream.c: lifetime ---- */
/* Serve a connected, non-blocking socket; it is the stream's from here on. */
void conn_adopt(struct stream *s, int fd, const struct sockaddr_storage *peer, socklen_t peer_len);
void conn_set_state(struct conn *c, enum conn_state next, uint64_t timeout_ms);
void conn_pause(struct conn *c, enum conn_pause why);
void conn_resume(struct conn *c, enum conn_pause why);
void conn_mark_due(struct conn *c); /* look at it in stream_reap() */

/* End the conversation: everything in flight is answered, then a Nack unless code is
 * DISCARD_none; counted.  what: static sentence or NULL. */
void conn_finish(struct conn *c, enum discard code, const char *what, uint32_t retry_ms);
void conn_kill(struct conn *c); /* at once, nothing is said */

/* ---- stream_read.c: bytes to frames ---- */
void conn_readable(evutil_socket_t fd, short what, void *arg);
void conn_take_held(struct conn *c); /* after a pause: frames that waited */
void conn_drop_held(struct conn *c);

/* ---- stream_frame.c: what frames mean ---- */
enum taken conn_frame(struct conn *c, struct text body);

/* ---- stream_dump.c: dumps that were asked for ---- */
void conn_asked(struct conn *c, uint64_t report, uint64_t signature);
enum taken conn_dump_piece(struct conn *c, const struct client_frame *f);
void conn_drop_upload(struct conn *c);

/* ---- stream_ack.c: groups and answers ---- */
struct frame_group *group_new(struct conn *c, uint64_t number);
void group_free(struct stream *s, struct frame_group *g);
void group_queue(struct frame_group *g); /* before intake_commit() */
void group_settle(struct frame_group *g, enum log_outcome outcome);
bool group_refuse(struct frame_group *g, uint32_t index, enum discard code, const char *what);
bool group_want(struct frame_group *g, const struct wanted *w);

void conn_welcome(struct conn *c);
void conn_answer(struct conn *c);      /* acks that are due; ends a closing connection */
void conn_push_halted(struct conn *c); /* if the list changed since it was told */
void conn_writable(evutil_socket_t fd, short what, void *arg);

#endif
