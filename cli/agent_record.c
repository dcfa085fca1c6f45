/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/agent.h"
#include "cli/api_client.h"
#include "triage/triage.h"

#define RECORD_MAX  (256 * 1024) /* bytes of a crash record */
#define FRAMES_SENT 32
#define TRIAGE_MS   20000

/* ---- dumps: read in a child that may crash or hang without costing us more than that ---- */

static void
triage_child(const char *path, int out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct arena *a = arena_new(TRIAGE_ARENA_BYTES);
	uint8_t *wire = malloc(TRIAGE_WIRE_MAX);
	struct triage_result r;
	struct diag diag;
	struct stat st;
	size_t n = 0, sent = 0;
	void *image;

	if (fd == -1 || a == NULL || wire == NULL || fstat(fd, &st) == -1 || st.st_size <= 0)
		_exit(1);
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED || triage_run(a, image, (size_t)st.st_size, NULL, &r, &diag) != ERR_OK)
		_exit(1);
	n = triage_result_encode(&r, wire, TRIAGE_WIRE_MAX);
	while (sent < n) {
		ssize_t w = write(out, wire + sent, n - sent);

		if (w <= 0)
			_exit(1);
		sent += (size_t)w;
	}
	_exit(n > 0 ? 0 : 1);
}

/* Everything from fd until it ends or the time is up. */
static size_t
read_result(int fd, uint8_t *buf, size_t size)
{
	int64_t end = clock_boot_us() + TRIAGE_MS * 1000ll;
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = (end - clock_boot_us()) / 1000;
		ssize_t r;

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return 0;
		r = read(fd, buf + n, size - n);
		if (r <= 0)
			return r == 0 ? n : 0;
		n += (size_t)r;
		if (n == size)
			return n;
	}
}

static bool
triage_file(const char *path, struct arena *a, struct triage_result *out)
{
	uint8_t *wire = malloc(TRIAGE_WIRE_MAX);
	struct diag diag;
	int fds[2], status;
	size_t n = 0;
	pid_t pid;

	if (wire == NULL || pipe2(fds, O_CLOEXEC) == -1) {
		free(wire);
		return false;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		triage_child(path, fds[1]);
	close(fds[1]);
	if (pid != -1) {
		n = read_result(fds[0], wire, TRIAGE_WIRE_MAX);
		if (n == 0)
			kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	close(fds[0]);
	n = n > 0 && triage_result_decode(a, wire, n, out, &diag) == ERR_OK;
	free(wire);
	return n > 0;
}

static unsigned
fill_frames(const struct triage_result *t, struct faultline_frame *out)
{
	static const unsigned trusts[TRIAGE_N_TRUSTS] = {
		[TRIAGE_TRUST_SCAN] = 4,    [TRIAGE_TRUST_FRAME_POINTER] = 3, [TRIAGE_TRUST_CFI] = 2,
		[TRIAGE_TRUST_CONTEXT] = 1, [TRIAGE_TRUST_REPORTED] = 5,
	};
	unsigned n = 0;

	for (size_t i = 0; i < t->n_frames && n < FRAMES_SENT; i++) {
		const struct triage_frame *f = &t->frames[i];

		if (f->module < 0 || f->in_function)
			continue;
		out[n++] = (struct faultline_frame){ .module = t->modules[f->module].path,
						     .module_id = t->modules[f->module].id,
						     .function = f->function,
						     .offset = f->offset,
						     .trust = trusts[f->trust] };
	}
	return n;
}

/* ---- reports ---- */

static bool
queue(struct agent *a, struct faultline_report *r, const char *path)
{
	struct faultline_pair labels[AGENT_PAIRS], content[AGENT_PAIRS];
	int rc;

	for (unsigned i = 0; i < a->n_labels; i++)
		labels[i] = (struct faultline_pair){ a->labels[i].name, a->labels[i].value };
	for (unsigned i = 0; i < a->n_content; i++)
		content[i] = (struct faultline_pair){ a->content[i].name, a->content[i].value };
	r->labels = labels;
	r->n_labels = a->n_labels;
	r->content = content;
	r->n_content = a->n_content;
	r->boot_id = a->boot_id;
	r->boot_id_len = strlen(a->boot_id);
	if (r->product == NULL)
		r->product = a->product;
	if (r->version == NULL)
		r->version = a->version;
	r->os = r->os != NULL ? r->os : "linux";
	if (r->os_build == NULL)
		r->os_build = a->os_build;
	r->hw_class = a->hw_class;
	r->cookie = path;
	rc = faultline_report(a->client, r, NULL);
	if (rc == FAULTLINE_INVALID) {
		agent_say(a, "%s: a field is too long or not UTF-8", path);
		return true; /* it will not get better */
	}
	if (rc != FAULTLINE_OK)
		agent_say(a, "%s: %s; tried again later", path,
			  rc == FAULTLINE_FULL ? "the spool is full" : "the spool cannot be written");
	return rc == FAULTLINE_OK;
}

static bool
report_dump(struct agent *a, const char *path, bool *ours)
{
	struct faultline_frame frames[FRAMES_SENT];
	struct arena *arena = arena_new(TRIAGE_ARENA_BYTES);
	struct faultline_report r = { .kind = FAULTLINE_KIND_SERVICE, .has_dump = 1 };
	struct triage_result t;
	struct stat st;
	bool done = true;

	*ours = arena != NULL && triage_file(path, arena, &t) && t.has_signature;
	if (*ours) {
		r.module = t.module;
		r.module_id = t.module_id;
		r.offset = t.offset;
		r.reason = t.reason;
		r.reason_code = t.code;
		r.os = triage_os_name(t.os);
		r.arch = triage_arch_name(t.arch);
		if (t.os_kernel || t.has_kernel)
			r.kind = FAULTLINE_KIND_KERNEL;
		if (t.has_kernel) {
			r.params = t.kernel.params;
			r.n_params = 4;
			r.os_build = t.os_version;
		}
		r.frames = frames;
		r.n_frames = fill_frames(&t, frames);
		if (stat(path, &st) == 0)
			r.occurred_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
		done = queue(a, &r, path);
	}
	arena_free(arena);
	return done;
}

/* ---- crash records: the JSON form of docs/PROTOCOL.md, without host, epoch and seq ---- */

static const char *
text_member(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static uint64_t
number_member(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (json_is_integer(v))
		return (uint64_t)json_integer_value(v);
	return json_is_string(v) ? strtoull(json_string_value(v), NULL, 0) : 0;
}

static int
kind_of(const char *name)
{
	static const char *const names[] = { "unknown", "user", "service", "boot-critical", "kernel" };

	for (int i = 0; name != NULL && i < 5; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return FAULTLINE_KIND_UNKNOWN;
}

static unsigned
fill_params(const json_t *list, uint64_t *out)
{
	unsigned n = 0;
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) if (n < 4) out[n++] =
		json_is_string(v) ? strtoull(json_string_value(v), NULL, 0) : (uint64_t)json_integer_value(v);
	return n;
}

/* "dump" names a file in the same folder; one with a leading dot is not taken for a crash
 * of its own. */
static bool
dump_path(const json_t *o, const char *folder, char *out, size_t size)
{
	const char *name = text_member(o, "dump");

	return name != NULL && name[0] != '\0' && strchr(name, '/') == NULL &&
	       snprintf(out, size, "%s/%s", folder, name) < (int)size && access(out, R_OK) == 0;
}

static bool
report_json(struct agent *a, const char *folder, const char *path, bool *ours)
{
	json_error_t error;
	json_t *o = NULL;
	struct stat st;
	uint64_t params[4];
	char dump[PATH_MAX];
	struct faultline_report r = { 0 };
	bool done = true;

	if (stat(path, &st) == 0 && st.st_size <= RECORD_MAX)
		o = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	*ours = json_is_object(o) && (text_member(o, "reason") != NULL || text_member(o, "module") != NULL);
	if (*ours) {
		r.kind = kind_of(text_member(o, "kind"));
		r.module = text_member(o, "module");
		r.module_id = text_member(o, "module_id");
		r.module_version = text_member(o, "module_version");
		r.offset = number_member(o, "offset");
		r.reason = text_member(o, "reason");
		r.reason_code = (uint32_t)number_member(o, "reason_code");
		r.params = params;
		r.n_params = fill_params(json_object_get(o, "params"), params);
		r.product = text_member(o, "product");
		r.version = text_member(o, "version");
		r.os = text_member(o, "os");
		r.arch = text_member(o, "arch");
		r.uptime_s = number_member(o, "uptime_s");
		r.count = (uint32_t)number_member(o, "count");
		if (text_member(o, "occurred") == NULL ||
		    clock_parse_rfc3339(text_member(o, "occurred"), &r.occurred_us) == -1)
			r.occurred_us = (int64_t)st.st_mtim.tv_sec * 1000000;
		r.has_dump = dump_path(o, folder, dump, sizeof(dump));
		done = queue(a, &r, r.has_dump ? dump : path);
	}
	json_decref(o);
	return done;
}

bool
agent_record(struct agent *a, const char *folder, const char *name, bool *ours_out)
{
	char path[PATH_MAX];
	const char *dot = strrchr(name, '.');

	*ours_out = false;
	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return true;
	if (dot != NULL && strcmp(dot, ".json") == 0)
		return report_json(a, folder, path, ours_out);
	return report_dump(a, path, ours_out);
}
