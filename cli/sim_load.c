/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cli/sim.h"
#include "proto/frame.h"
#include "proto/report.h"

/* Load: frames are encoded once; only sequence numbers and the frame number are written
 * anew, so that the generator costs next to nothing beside the server. */
#define SEQ_FIRST    (1ull << 28) /* five bytes as a varint, up to 2^35 */
#define NUMBER_FIRST (1ull << 21) /* four bytes, up to 2^28 */
#define WINDOW_MAX   64u
#define KEYS         64u /* distinct signatures */
#define THREADS_MAX  32

struct load_conn {
	int fd;
	uint8_t *frame;
	size_t len, sent; /* of the frame being sent */
	uint32_t *seq_at; /* where the sequence numbers are */
	size_t number_at;
	uint64_t number, acked, seq;
	int64_t since_us[WINDOW_MAX]; /* by number */
	uint8_t in[4096];
	size_t in_len;
	bool waiting; /* for the socket to take more */
};

struct thread_cpu {
	char name[32];
	uint64_t tid, ticks;
};

struct load {
	const struct sim_options *o;
	struct load_conn *conns;
	int epoll;
	uint64_t sent, acked, frames_refused;
	uint64_t allowed; /* to send by now: rate times time */
	struct latencies latencies;
	bool stop;
	char error[160];
};

static void
put_varint(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)((v >> 7 * i & 0x7f) | (i + 1 < n ? 0x80 : 0));
}

/* ---- frames ---- */

static size_t
encode_report(const struct load *l, unsigned conn, unsigned i, uint8_t *buf, size_t size, size_t *seq_at)
{
	unsigned key = (conn * 7 + i) % KEYS;
	char host[32], module[32];
	uint8_t *p;
	size_t n;
	struct report r = {
		.epoch = hash_mix(l->o->seed + ((uint64_t)conn << 32 | i)) | 1,
		.seq = SEQ_FIRST,
		.kind = REPORT_USER,
		.occurred_us = clock_wall_us(),
		.module_id = TEXT("5f0a1b2c21000"),
		.offset = 0x1000 + key * 16,
		.reason = TEXT("EXCEPTION_ACCESS_VIOLATION_READ"),
		.product = TEXT("sensor"),
		.version = TEXT("7.15"),
		.os = TEXT("windows"),
		.os_build = TEXT("22631.3880"),
		.arch = TEXT("x86_64"),
		.uptime_s = 86400,
	};

	snprintf(host, sizeof(host), "load%llu-%04u-%04u", (unsigned long long)l->o->seed, conn, i);
	snprintf(module, sizeof(module), "app%02u.dll", key);
	r.host = text_of(host);
	r.module = text_of(module);
	n = report_encode(&r, NULL, buf, size);
	/* host, epoch (9 bytes with its tag), then the sequence number's tag */
	p = buf + 2 + r.host.len + 9 + 1;
	*seq_at = (size_t)(p - buf);
	return n;
}

static bool
make_frame(struct load *l, unsigned conn)
{
	struct load_conn *c = &l->conns[conn];
	uint8_t one[512], head[FRAME_HEAD_MAX], *body = malloc((size_t)l->o->batch * sizeof(one));
	struct wire_out o = { body, body + (size_t)l->o->batch * sizeof(one), false };
	size_t head_len;

	c->seq_at = calloc(l->o->batch, sizeof(*c->seq_at));
	if (body == NULL || c->seq_at == NULL) {
		free(body);
		return false;
	}
	for (unsigned i = 0; i < l->o->batch; i++) {
		size_t at, n = encode_report(l, conn, i, one, sizeof(one), &at);

		item_put(&o, (struct text){ (char *)one, n });
		c->seq_at[i] = (uint32_t)((size_t)(o.p - body) - n + at);
	}
	head_len = client_frame_head(NUMBER_FIRST, CLIENT_REPORTS, (size_t)(o.p - body), head);
	c->len = head_len + (size_t)(o.p - body);
	if ((c->frame = malloc(c->len)) != NULL) {
		memcpy(c->frame, head, head_len);
		memcpy(c->frame + head_len, body, c->len - head_len);
	}
	for (unsigned i = 0; i < l->o->batch; i++)
		c->seq_at[i] += (uint32_t)head_len;
	free(body);
	c->number_at = FRAME_PREFIX + 1;
	c->number = c->acked = NUMBER_FIRST;
	c->seq = SEQ_FIRST + (uint64_t)(clock_wall_us() / 1000000 % (1 << 24)) * 1024;
	c->sent = c->len;
	return c->frame != NULL;
}

static void
next_frame(struct load *l, struct load_conn *c)
{
	c->number++;
	c->seq++;
	put_varint(c->frame + c->number_at, c->number, 4);
	for (unsigned i = 0; i < l->o->batch; i++)
		put_varint(c->frame + c->seq_at[i], c->seq, 5);
	c->since_us[c->number % WINDOW_MAX] = clock_boot_us();
	c->sent = 0;
	l->sent += l->o->batch;
}

/* ---- connections ---- */

static bool
fail(struct load *l, const char *what, const char *why)
{
	snprintf(l->error, sizeof(l->error), "%s: %s", what, why);
	l->stop = true;
	return false;
}

static bool
connect_one(struct load *l, struct load_conn *c, const struct addrinfo *a)
{
	uint8_t body[1400], head[FRAME_HEAD_MAX];
	struct wire_out o = { body, body + sizeof(body), false };
	struct hello h = { FRAME_VERSION, TEXT("faultline-sim/load"), text_of(l->o->token) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	size_t n;
	int one = 1;

	hello_put(&o, &h);
	n = client_frame_head(1, CLIENT_HELLO, (size_t)(o.p - body), head);
	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 || connect(c->fd, a->ai_addr, a->ai_addrlen) == -1)
		return fail(l, "cannot connect", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (send(c->fd, head, n, MSG_NOSIGNAL | MSG_MORE) == -1 ||
	    send(c->fd, body, (size_t)(o.p - body), MSG_NOSIGNAL) == -1)
		return fail(l, "cannot say hello", strerror(errno));
	epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e);
	return true;
}

static bool
open_all(struct load *l)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *a = NULL;
	const char *colon = strrchr(l->o->stream, ':');
	char host[256];
	bool ok = true;

	if (colon == NULL)
		return fail(l, l->o->stream, "not ADDR:PORT");
	snprintf(host, sizeof(host), "%.*s", (int)(colon - l->o->stream), l->o->stream);
	if (getaddrinfo(host, colon + 1, &hints, &a) != 0)
		return fail(l, l->o->stream, "no such address");
	for (unsigned i = 0; ok && i < l->o->connections; i++)
		ok = (make_frame(l, i) || fail(l, "load", "out of memory")) && connect_one(l, &l->conns[i], a);
	freeaddrinfo(a);
	return ok;
}

static void
push(struct load *l, struct load_conn *c)
{
	bool blocked = false;

	while (!blocked) {
		ssize_t n;

		if (c->sent == c->len) {
			if (l->stop || c->number - c->acked >= l->o->window || l->sent >= l->allowed)
				break;
			next_frame(l, c);
		}
		n = send(c->fd, c->frame + c->sent, c->len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno != EAGAIN)
			fail(l, "connection", strerror(errno));
		blocked = n == -1;
		c->sent += n > 0 ? (size_t)n : 0;
	}
	if (blocked != c->waiting) {
		struct epoll_event e = { .events = EPOLLIN | (blocked ? EPOLLOUT : 0u), .data.ptr = c };

		epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &e);
		c->waiting = blocked;
	}
}

static void
take_ack(struct load *l, struct load_conn *c, struct text body)
{
	struct server_item item;
	struct reader r;
	int64_t now = clock_boot_us();

	reader_init(&r, body.at, body.len, false);
	while (server_next(&r, SERVER_ACK, &item))
		if (item.kind == ITEM_REFUSED)
			l->frames_refused++;
		else if (item.kind == ITEM_NUMBER && item.number > NUMBER_FIRST)
			for (; c->acked < item.number; l->acked += l->o->batch)
				latencies_add(&l->latencies, now - c->since_us[++c->acked % WINDOW_MAX]);
}

static void
take(struct load *l, struct load_conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
	struct text frame, body = { NULL, 0 };
	enum server_kind kind;
	size_t need, at = 0;

	if (n == 0 || (n == -1 && errno != EAGAIN)) {
		if (!l->stop)
			fail(l, "the server closed a connection", n == 0 ? "early" : strerror(errno));
		return;
	}
	c->in_len += n > 0 ? (size_t)n : 0;
	while (frame_split(c->in + at, c->in_len - at, sizeof(c->in), &frame, &need) == FRAME_READY) {
		at += need;
		if (server_frame_decode(frame, &kind, &body) != DISCARD_none || kind == SERVER_NACK)
			fail(l, "the server refused", "see its log");
		else if (kind == SERVER_ACK)
			take_ack(l, c, body);
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

/* ---- whose CPU time ---- */

/* Threads of the server by name, with the clock ticks they used. */
static int
read_threads(int pid, struct thread_cpu *out)
{
	char path[96], line[512];
	unsigned long user, system;
	struct dirent *e;
	int n = 0;
	DIR *d;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	if (pid == 0 || (d = opendir(path)) == NULL)
		return 0;
	while ((e = readdir(d)) != NULL && n < THREADS_MAX) {
		char *name, *end;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.12s/stat", pid, e->d_name);
		if ((f = fopen(path, "re")) == NULL)
			continue;
		if (fgets(line, sizeof(line), f) != NULL && (name = strchr(line, '(')) != NULL &&
		    (end = strrchr(line, ')')) != NULL &&
		    sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2) {
			*end = '\0';
			snprintf(out[n].name, sizeof(out[n].name), "%.31s", name + 1);
			out[n].tid = strtoull(e->d_name, NULL, 10);
			out[n++].ticks = user + system;
		}
		fclose(f);
	}
	closedir(d);
	return n;
}

static double
own_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static json_t *
threads_used(int pid, const struct thread_cpu *before, int n_before)
{
	struct thread_cpu after[THREADS_MAX];
	json_t *threads = json_object();
	int n = read_threads(pid, after);

	for (int i = 0; i < n; i++) {
		uint64_t ticks = after[i].ticks;
		double had = json_real_value(json_object_get(threads, after[i].name));

		for (int k = 0; k < n_before; k++)
			if (before[k].tid == after[i].tid)
				ticks -= before[k].ticks;
		if (ticks > 0)
			json_object_set_new(threads, after[i].name,
					    json_real(had + (double)ticks / (double)sysconf(_SC_CLK_TCK)));
	}
	return threads;
}

/* ---- the run ---- */

static void
run(struct load *l, double seconds)
{
	const int64_t start = clock_boot_us(), end = start + (int64_t)(seconds * 1e6), grace = end + 5000000;
	const int turn = l->o->load_rate > 0 ? 1 : 50;
	struct epoll_event events[256];
	unsigned first = 0;
	int64_t now;

	l->allowed = l->o->load_rate > 0 ? 0 : UINT64_MAX;
	for (unsigned i = 0; i < l->o->connections; i++)
		push(l, &l->conns[i]);
	while ((now = clock_boot_us()) < grace && l->error[0] == '\0') {
		int n = epoll_wait(l->epoll, events, 256, turn);

		l->stop |= now >= end;
		if (l->o->load_rate > 0) {
			l->allowed = (uint64_t)((double)(clock_boot_us() - start) / 1e6 * l->o->load_rate);
			for (unsigned i = 0; i < l->o->connections; i++)
				push(l, &l->conns[(first + i) % l->o->connections]);
			first++; /* each is the first to be allowed something in turn */
		}
		for (int i = 0; i < n; i++) {
			take(l, events[i].data.ptr);
			push(l, events[i].data.ptr);
		}
		if (l->stop && l->acked == l->sent)
			break;
	}
}

static void
print_load(struct load *l, double seconds, double cpu, json_t *threads)
{
	double rate = (double)l->acked / seconds, p50 = latencies_at(&l->latencies, 0.5) / 1e3;
	double p99 = latencies_at(&l->latencies, 0.99) / 1e3, max = latencies_at(&l->latencies, 1) / 1e3, ingest = 0;
	const char *name;
	json_t *value;

	json_object_foreach(threads, name, value) if (strncmp(name, "gate", 4) == 0 || strncmp(name, "log", 3) == 0 ||
						      strncmp(name, "journal", 7) == 0) ingest +=
		json_real_value(value);
	if (l->o->json) {
		json_t *j = json_pack("{s:i, s:i, s:f, s:I, s:I, s:I, s:f, s:{s:f, s:f, s:f}, s:f, s:O, s:f}",
				      "connections", (int)l->o->connections, "batch", (int)l->o->batch, "seconds",
				      seconds, "sent", (json_int_t)l->sent, "acked", (json_int_t)l->acked, "refused",
				      (json_int_t)l->frames_refused, "reports_per_second", rate, "ack_ms", "p50", p50,
				      "p99", p99, "max", max, "own_cpu_seconds", cpu, "server_cpu_seconds", threads,
				      "reports_per_ingest_cpu_second", ingest > 0 ? (double)l->acked / ingest : 0.0);

		json_dumpf(j, stdout, JSON_INDENT(1));
		putchar('\n');
		json_decref(j);
		return;
	}
	printf("%u connections x %u reports, %.2f s: %llu sent, %llu acknowledged (%.0f/s), %llu refused\n",
	       l->o->connections, l->o->batch, seconds, (unsigned long long)l->sent, (unsigned long long)l->acked, rate,
	       (unsigned long long)l->frames_refused);
	printf("ack: p50 %.2f ms, p99 %.2f ms, max %.2f ms; own CPU %.2f s\n", p50, p99, max, cpu);
	json_object_foreach(threads, name, value) printf("server thread %-16s %7.2f s\n", name, json_real_value(value));
	if (ingest > 0)
		printf("durable reports per CPU-second of gate and log: %.0f\n", (double)l->acked / ingest);
}

int
load_run(const struct sim_options *o)
{
	struct load l = { .o = o, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct thread_cpu before[THREADS_MAX];
	int64_t start;
	double cpu, seconds;
	int n_before, status = SIM_DONE;
	json_t *threads;

	l.conns = calloc(o->connections, sizeof(*l.conns));
	for (unsigned i = 0; l.conns != NULL && i < o->connections; i++)
		l.conns[i].fd = -1;
	if (l.conns == NULL || !open_all(&l)) {
		fprintf(stderr, "faultline sim: %s\n", l.conns == NULL ? "out of memory" : l.error);
		status = SIM_FAILED;
		goto out;
	}
	n_before = read_threads(o->server_pid, before);
	cpu = own_cpu();
	start = clock_boot_us();
	run(&l, o->duration_s);
	seconds = (double)(clock_boot_us() - start) / 1e6;
	threads = threads_used(o->server_pid, before, n_before);
	print_load(&l, seconds, own_cpu() - cpu, threads);
	json_decref(threads);
	if (l.error[0] != '\0' || l.acked < l.sent) {
		fprintf(stderr, "faultline sim: %s\n",
			l.error[0] != '\0' ? l.error : "not everything was acknowledged");
		status = SIM_FAILED;
	}
out:
	for (unsigned i = 0; l.conns != NULL && i < o->connections; i++) {
		if (l.conns[i].fd != -1)
			close(l.conns[i].fd);
		free(l.conns[i].frame);
		free(l.conns[i].seq_at);
	}
	free(l.conns);
	latencies_free(&l.latencies);
	close(l.epoll);
	return status;
}
