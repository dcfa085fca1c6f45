/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULTLINE_CLIENT_H
#define FAULTLINE_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libfaultline-client: crash reports and heartbeats to a Faultline collector.
 *
 * Made to be embedded: it starts no thread, installs no signal handler, keeps no globals
 * and needs nothing but the C library (Linux).  A handle is for one thread at a time.
 *
 * The handle is non-blocking: put faultline_fd(), which never changes, into your event
 * loop and call faultline_process() when it is readable.  Or use faultline_wait() and
 * faultline_flush(), which block.  Host names are looked up with getaddrinfo(), which
 * blocks; numeric addresses never do.
 *
 * What a report goes through: queued (faultline_report() returns) -> sent -> acknowledged,
 * which means that it is on the server's disk.  With a spool it is on our disk before
 * faultline_report() returns, and is sent again after a crash of this program until it is
 * acknowledged; the server recognises it by (epoch, seq) and counts it once.
 * Heartbeats are never spooled: a late one is worth nothing. */
struct faultline;

#if defined(__GNUC__)
#define FAULTLINE_API __attribute__((visibility("default")))
#else
#define FAULTLINE_API
#endif

/* Functions return 0 or one of these. */
enum {
	FAULTLINE_OK = 0,
	FAULTLINE_FULL = -1,    /* queue or spool is at its limit; nothing was queued */
	FAULTLINE_INVALID = -2, /* a field is missing or too long */
	FAULTLINE_IO = -3,      /* the spool or state file cannot be written; errno tells */
	FAULTLINE_TIMEOUT = -4,
	FAULTLINE_MEMORY = -5,
};

/* Where a crash came from. */
enum {
	FAULTLINE_KIND_UNKNOWN = 0,
	FAULTLINE_KIND_USER,
	FAULTLINE_KIND_SERVICE,
	FAULTLINE_KIND_BOOT_CRITICAL,
	FAULTLINE_KIND_KERNEL,
};

struct faultline_pair {
	const char *name, *value;
};

struct faultline_frame {
	const char *module, *module_id, *function; /* NULL when unknown */
	uint64_t offset;                           /* in the module: return address - 1 for callers */
	unsigned trust;                            /* 1 context, 2 CFI, 3 frame pointer, 4 scan, 5 reported */
};

/* One crash.  Zero the struct first; NULL and 0 mean unknown.  Texts are UTF-8.  Nothing
 * is kept after the call returns. */
struct faultline_report {
	const void *host; /* NULL: the host of the options */
	size_t host_len;
	uint64_t epoch, seq; /* 0: from the state file; a relay passes on its hosts' own */
	int kind;
	int64_t occurred_us; /* since 1970 UTC */
	const char *module, *module_id, *module_version;
	uint64_t offset;
	const char *reason; /* "SIGSEGV /SEGV_MAPERR" */
	uint32_t reason_code;
	const uint64_t *params; /* at most 4 */
	unsigned n_params;
	const char *product, *version, *os, *os_build, *arch, *hw_class;
	const void *boot_id;
	size_t boot_id_len;
	uint64_t uptime_s;
	uint32_t count;                                /* crashes since the last report; 0 means 1 */
	const struct faultline_pair *labels, *content; /* at most 16 each */
	unsigned n_labels, n_content;
	const struct faultline_frame *frames; /* at most 64 */
	unsigned n_frames;
	int has_dump;       /* a dump could be sent if it is asked for */
	const char *cookie; /* yours, at most 1024 bytes; comes back in the events, also
					 * after a restart: the path of the dump, say */
};

struct faultline_heartbeat {
	const void *host; /* NULL: the host of the options */
	size_t host_len;
	const void *boot_id;
	size_t boot_id_len;
	uint64_t uptime_s;
	const char *product, *version, *os, *os_build, *arch, *hw_class;
	const struct faultline_pair *content, *labels;
	unsigned n_content, n_labels;
	unsigned interval_s; /* when to expect the next one; 0: 60 */
};

/* What happens, told from inside faultline_process(), _wait() and _flush().  Any entry may
 * be NULL.  The texts are borrowed for the call.  Do not free the handle from here. */
struct faultline_events {
	/* Everything up to this ticket is durable on the server or was refused. */
	void (*acked)(void *arg, uint64_t ticket);

	/* A report or receipt was refused for good; code is one of the server's (docs/STREAM.md). */
	void (*refused)(void *arg, uint64_t ticket, const char *cookie, const char *code, const char *message);

	/* The server would like the dump of this crash: return a descriptor to read it from, which
	 * the library closes, or -1. */
	int (*want_dump)(void *arg, const char *cookie, const char *report_id);

	/* A dump was stored (code NULL) or refused. */
	void (*dump_done)(void *arg, const char *report_id, const char *code);

	/* The whole list of halted deployments, whenever it changed: stop updating these. */
	void (*halted)(void *arg, const char *const *ids, size_t n);

	/* What to do about a signature that was just reported. */
	void (*advice)(void *arg, const char *signature, const char *text);

	/* Connected (why is NULL), or not any more, and why. */
	void (*connection)(void *arg, int connected, const char *why);
};

struct faultline_options {
	size_t size;        /* sizeof(struct faultline_options) */
	const char *server; /* "host:port" or "[v6]:port" */
	const char *bind;   /* source address, numeric; NULL: any */
	const char *token;  /* NULL: none */
	const char *agent;  /* "updater/3.1"; NULL: this library */
	const void *host;   /* host id, 1 to 64 bytes; may be NULL if each call gives one */
	size_t host_len;
	const char *spool;                   /* file; NULL: reports are queued in memory only */
	const char *state;                   /* file that keeps epoch and seq; NULL: a new epoch each time */
	uint64_t queue_bytes;                /* limit of queue or spool; 0: 8 MiB, with a spool 64 MiB */
	unsigned batch;                      /* items in one frame; 0: 256 */
	unsigned window;                     /* frames sent and not acknowledged; 0: 8 */
	unsigned retry_min_ms, retry_max_ms; /* back-off between connections; 0: 500 and 60,000 */
	struct faultline_events on;
	void *arg; /* passed to the events */
};

/* NULL with a sentence in err.  Connecting begins with the first faultline_process(). */
FAULTLINE_API struct faultline *faultline_new(const struct faultline_options *options, char *err, size_t err_size);

/* What is not acknowledged stays in the spool, or is lost without one.  NULL is fine. */
FAULTLINE_API void faultline_free(struct faultline *f);

/* Queue one report.  Its ticket rises with each item; ticket_out may be NULL. */
FAULTLINE_API int faultline_report(struct faultline *f, const struct faultline_report *r, uint64_t *ticket_out);

/* This host (NULL: the host of the options) was served a deployment's payload, or had it
 * withdrawn.  Say so when it is served, not when it worked. */
FAULTLINE_API int faultline_receipt(struct faultline *f, const char *deployment, const void *host, size_t host_len,
				    int withdrawn, uint64_t *ticket_out);

FAULTLINE_API int faultline_heartbeat(struct faultline *f, const struct faultline_heartbeat *h);

/* The host goes away on purpose: silence from now on means nothing.  Flush afterwards. */
FAULTLINE_API int faultline_goodbye(struct faultline *f, const struct faultline_heartbeat *h);

/* Readable when faultline_process() has something to do. */
FAULTLINE_API int faultline_fd(const struct faultline *f);
FAULTLINE_API void faultline_process(struct faultline *f);

/* Wait for something to happen, at most timeout_ms (-1: for ever), and process it. */
FAULTLINE_API void faultline_wait(struct faultline *f, int timeout_ms);

/* Until everything queued is acknowledged, dumps included: 0, or FAULTLINE_TIMEOUT. */
FAULTLINE_API int faultline_flush(struct faultline *f, int timeout_ms);

FAULTLINE_API int faultline_connected(const struct faultline *f);
FAULTLINE_API uint64_t faultline_pending(const struct faultline *f); /* bytes queued and not acknowledged */
FAULTLINE_API uint64_t faultline_epoch(const struct faultline *f);

/* Is this deployment halted, as far as the server has told?  Survives disconnection. */
FAULTLINE_API int faultline_is_halted(const struct faultline *f, const char *deployment);

#ifdef __cplusplus
}
#endif
#endif
