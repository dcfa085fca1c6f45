/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/workers/confine.h"
#include "collector/workers/wanted.h"

/* A sanitizer needs terabytes of address space and system calls of its own to report. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED \
	(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
#endif

#define NOBODY  65534
#define MAX_FDS 16 /* socket, standard ones, the image in hand */

struct confine_filter {
	struct sock_fprog prog;
};

static const int allowed[] = {
	SCMP_SYS(recvmsg),        SCMP_SYS(sendto),       SCMP_SYS(close),       SCMP_SYS(munmap),
	SCMP_SYS(mremap),         SCMP_SYS(madvise),      SCMP_SYS(brk),         SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),  SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),        SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigprocmask), /* libunwind, around its lists */
#if SANITIZED
	SCMP_SYS(write),          SCMP_SYS(read),         SCMP_SYS(openat),      SCMP_SYS(readlink),
	SCMP_SYS(newfstatat),     SCMP_SYS(futex),        SCMP_SYS(gettid),      SCMP_SYS(getpid),
	SCMP_SYS(sigaltstack),    SCMP_SYS(rt_sigaction), SCMP_SYS(sched_yield), SCMP_SYS(tgkill),
#endif
};

static int
add_rules(scmp_filter_ctx ctx)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && rc == 0; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
#if !SANITIZED
	/* libdw wants to know what its file is called; it is told nothing, and goes on */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(readlink), 0);
#endif
	/* memory, but none that can be executed */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return rc;
}

/* The compiled program comes through a file: libseccomp 2.5 has no other way. */
static int
read_program(scmp_filter_ctx ctx, struct sock_fprog *out)
{
	struct stat st;
	int fd, rc = -1;

	fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd == -1)
		return -1;
	if (seccomp_export_bpf(ctx, fd) == 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
		out->filter = malloc((size_t)st.st_size);
		out->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
		if (out->filter != NULL && pread(fd, out->filter, (size_t)st.st_size, 0) == st.st_size)
			rc = 0;
	}
	close(fd);
	return rc;
}

struct confine_filter *
confine_compile(void)
{
	struct confine_filter *f = calloc(1, sizeof(*f));
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = -1;

	if (f != NULL && ctx != NULL) {
		rc = add_rules(ctx);
		if (rc == 0)
			rc = read_program(ctx, &f->prog);
		else
			errno = -rc;
	}
	if (ctx != NULL)
		seccomp_release(ctx);
	if (rc != 0) {
		confine_filter_free(f);
		return NULL;
	}
	return f;
}

void
confine_filter_free(struct confine_filter *f)
{
	if (f == NULL)
		return;
	free(f->prog.filter);
	free(f);
}

static int
limit(__rlimit_resource_t what, uint64_t value)
{
	struct rlimit r = { .rlim_cur = value, .rlim_max = value };

	return setrlimit(what, &r);
}

/* A limit on address space below what the process already has makes its first allocation
 * fail, so limits start from there. */
static int
limit_memory(const struct confine_limits *l)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long total, data;
	FILE *fp;
	int n;

	if (SANITIZED)
		return 0;
	fp = fopen("/proc/self/statm", "re");
	if (fp == NULL)
		return -1;
	n = fscanf(fp, "%llu %*u %*u %*u %*u %llu", &total, &data);
	fclose(fp);
	if (n != 2) {
		errno = EINVAL;
		return -1;
	}
	if (limit(RLIMIT_DATA, data * page + l->memory_bytes) == -1)
		return -1;
	return limit(RLIMIT_AS, total * page + l->memory_bytes + l->image_bytes + WANTED_MAPPED_MAX);
}

static void
drop_root(void)
{
	if (geteuid() != 0)
		return;
	/* Where user ids are not mapped this fails, and the filter alone has to do. */
	if (setgroups(0, NULL) == -1 || setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
	    setresuid(NOBODY, NOBODY, NOBODY) == -1)
		errno = 0;
}

int
confine_enter(const struct confine_filter *f, const struct confine_limits *l)
{
	if (limit_memory(l) == -1 || limit(RLIMIT_CPU, l->cpu_seconds) == -1 || limit(RLIMIT_CORE, 0) == -1 ||
	    limit(RLIMIT_FSIZE, 0) == -1 || limit(RLIMIT_NOFILE, MAX_FDS) == -1)
		return -1;
	drop_root();
	if (prctl(PR_SET_PDEATHSIG, 9) == -1) /* after the ids: a change of them clears it */
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0) == -1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f->prog);
}
