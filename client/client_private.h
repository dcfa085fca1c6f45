/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_PRIVATE_H
#define CLIENT_PRIVATE_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/faultline-client.h"
#include "client/spool.h"
#include "client/state.h"
#include "proto/frame.h"

/* Inside of the library; nothing here is for embedders. */
#define WINDOW_MAX  64u
#define COOKIE_MAX  1024u
#define BEATS_MAX   (1u << 20)    /* bytes of heartbeats that wait; older ones are dropped with the rest */
#define OUT_MAX     (256u * 1024) /* encoded bytes that wait for the socket */
#define PIECE       (64u * 1024)  /* of a dump */
#define UPLOADS_MAX 16u
#define ANSWER_MS   120000 /* silence of the server while it owes an answer */
#define CONNECT_MS  15000

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_HELLO, LINK_READY };

/* A frame that is sent and not acknowledged. */
struct sent {
	uint64_t number;
	enum client_kind kind;
	uint64_t start, end; /* in the spool: reports and receipts */
	uint32_t upload;     /* id of the upload: dump pieces */
	bool last;
};

/* A dump that was asked for. */
struct upload {
	uint32_t id; /* 0: free slot */
	int fd;
	char report[REPORT_ID_MAX + 1];
	uint64_t at, size;
	bool sent; /* its last piece is on its way */
};

struct buffer {
	uint8_t *p;
	size_t len, cap, at; /* at: bytes already done with */
};

struct faultline {
	struct faultline_options o; /* texts are copies */
	char *host_name, *port;
	int epoll_fd, timer_fd, fd;
	uint32_t watched; /* events asked of epoll for fd */
	enum link_state state;
	struct addrinfo *addrs, *addr; /* of the attempt under way */
	unsigned failures;
	uint64_t random;
	uint32_t retry_after_ms;
	char why[160]; /* the last connection ended so */
	uint32_t max_frame;
	uint64_t number; /* of the last frame sent */
	struct sent sent[WINDOW_MAX];
	unsigned n_sent;
	struct buffer in, out, beats, body;
	struct spool spool;
	uint64_t send_at; /* offset of the next item to send */
	struct state ids;
	struct upload uploads[UPLOADS_MAX];
	uint32_t next_upload;
	char **halted;
	size_t n_halted;
	bool in_events; /* a callback is running */
};

bool buffer_room(struct buffer *b, size_t n); /* n more bytes; false when out of memory */
void buffer_free(struct buffer *b);

/* ---- link.c ---- */
int link_open(struct faultline *f, char *err, size_t err_size); /* descriptors, first attempt scheduled */
void link_close(struct faultline *f);
void link_down(struct faultline *f, const char *why); /* and try again later */
void link_wake(struct faultline *f);                  /* there is something to send */

/* ---- answer.c ---- */
void answer_take(struct faultline *f, struct text frame); /* may take the link down */
void answer_forget(struct faultline *f);                  /* the link is gone: what was sent counts as unsent */

/* ---- upload.c ---- */
void upload_begin(struct faultline *f, struct text report, int fd);
bool upload_fill(struct faultline *f); /* one piece into f->out; false: nothing to send */
void upload_answered(struct faultline *f, uint32_t id, struct text code); /* code empty: stored */
void upload_restart(struct faultline *f);
void upload_close_all(struct faultline *f);
bool upload_pending(const struct faultline *f);

/* ---- send.c: queued things to frames ---- */
void send_fill(struct faultline *f);
bool send_frame(struct faultline *f, enum client_kind kind, const uint8_t *body, size_t len, struct sent sent);

#endif
