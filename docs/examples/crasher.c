/* SPDX-License-Identifier: Apache-2.0 */
/* A program with three threads, one of which reads through a bad pointer.
 *
 *	crasher                               die; the kernel writes a core if allowed to
 *	crasher HANDLER DATABASE URL          let Crashpad's handler take a minidump and upload it
 *
 * The second form is what a program with Crashpad's "crash only" client does: on the signal it
 * starts the handler, which reads the dying process and writes the dump. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What Crashpad's handler reads at the address it is given. */
struct __attribute__((packed)) exception_information {
	uint64_t siginfo, context;
	int32_t thread;
};

static const char *handler, *database, *url;
static struct exception_information info;

static void
on_signal(int sig, siginfo_t *si, void *context)
{
	char where[64], db[512], to[512];
	pid_t pid;

	info.siginfo = (uint64_t)(uintptr_t)si;
	info.context = (uint64_t)(uintptr_t)context;
	info.thread = (int32_t)syscall(SYS_gettid);
	snprintf(where, sizeof(where), "--trace-parent-with-exception=%#llx", (unsigned long long)(uintptr_t)&info);
	snprintf(db, sizeof(db), "--database=%s", database);
	snprintf(to, sizeof(to), "--url=%s", url);
	prctl(PR_SET_DUMPABLE, 1);
	pid = fork();
	if (pid == 0) {
		execl(handler, handler, db, to, where, "--no-rate-limit", "--annotation=prod=crasher",
		      "--annotation=ver=1.0", (char *)NULL);
		_exit(127);
	}
	prctl(PR_SET_PTRACER, pid);
	waitpid(pid, NULL, 0);
	signal(sig, SIG_DFL);
	raise(sig);
}

__attribute__((noinline)) static int
read_rule(const int *rules, int field)
{
	return rules[field];
}

__attribute__((noinline)) static int
evaluate(const int *rules)
{
	return read_rule(rules, 20) + 1; /* the twenty-first field */
}

static void *
idle(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void *
work(void *arg)
{
	return (void *)(intptr_t)evaluate(arg);
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	pthread_t thread[3];

	if (argc == 4) {
		handler = argv[1];
		database = argv[2];
		url = argv[3];
		sigaction(SIGSEGV, &sa, NULL);
	}
	pthread_create(&thread[0], NULL, idle, NULL);
	pthread_create(&thread[1], NULL, idle, NULL);
	pthread_create(&thread[2], NULL, work, (void *)(uintptr_t)0x20);
	pthread_join(thread[2], NULL);
	return 0;
}
