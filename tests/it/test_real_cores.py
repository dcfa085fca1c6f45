# SPDX-License-Identifier: Apache-2.0
"""Cores of programs that really crashed: by the kernel for this machine's processor, by qemu-user for others where a
cross compiler and qemu are there.  Frames are those of the program as it is written, so no other walker is needed."""
import os
import shutil
import subprocess

import pytest

from test_symbols import core_limit, libc, triage

PROGRAM = r"""
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define KEPT __attribute__((noinline, noclone))
static volatile int *volatile bad = (int *)0x40;
static const char *what;
KEPT static void leaf(int n) { *bad = n; }
KEPT static void middle(int n) { volatile char b[200]; memset((char *)b, n, sizeof b); leaf(n + b[3]); b[4] = 1; }
static void handler(int s) { middle(s); (void)*(volatile int *)&s; }
KEPT static int cmp(const void *a, const void *b)
{
	if (*what == 's')
		raise(SIGUSR1);
	else
		middle(3);
	return *(int *)a - *(int *)b;
}
KEPT static void jump(void) { void (*volatile f)(void) = (void (*)(void))0x1230; f(); __asm__ volatile(""); }
KEPT static int over(int n) { volatile char big[4096]; big[n & 4095] = n; return over(n + 1) + big[3]; }
static void *thread(void *p) { middle(5); return p; }
int main(int argc, char **argv)
{
	int a[8] = { 5, 3, 1, 4, 2, 8, 9, 0 };
	pthread_t t;
	what = argc > 1 ? argv[1] : "null";
	signal(SIGUSR1, handler);
	if (*what == 'n') middle(1);
	if (*what == 'q' || *what == 's') qsort(a, 8, sizeof a[0], cmp);
	if (*what == 'a') abort();
	if (*what == 'j') jump();
	if (*what == 'o') return over(0);
	if (*what == 't') { pthread_create(&t, NULL, thread, NULL); pthread_join(t, NULL); }
	return 0;
}
"""
# what has to be in the stack, in that order; the first of it is blamed
STACKS = {
    "null": ["leaf", "middle", "main"],
    "qsort": ["leaf", "middle", "cmp", "main"],
    "signal": ["leaf", "middle", "handler", "cmp", "main"],
    "abort": ["abort", "main"],
    "jump": ["jump", "main"],
    "over": ["over", "over", "over"],
    "thread": ["leaf", "middle", "thread"],
}
NATIVE = {
    "dynamic": ["-O2"], "static": ["-O2", "-static"], "static-pie": ["-O2", "-static-pie"],
    "no-eh-frame-hdr": ["-O1", "-static", "-Wl,--no-eh-frame-hdr"], "frame-pointers": ["-O1", "-fno-omit-frame-pointer"],
}
# qemu leaves pages out that begin with an ELF header and hold code
CROSS = {"aarch64": "aarch64-linux-gnu", "i386": "i686-linux-gnu"}
OTHER = {"mips64el": "mips64el-linux-gnuabi64", "ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu"}


def build(cc, flags, folder):
    (folder / "crash.c").write_text(PROGRAM)
    subprocess.run([cc, "-g", "-pthread", "-Wl,--build-id", *flags, "-o", "crash", "crash.c"], cwd=folder, check=True)
    (folder / "images").mkdir()
    shutil.copy(folder / "crash", folder / "images")


def cores(folder, command):
    """The core of each kind of crash."""
    for kind in STACKS:
        subprocess.run([*command, "./crash", kind], cwd=folder, check=False, preexec_fn=core_limit, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # qemu writes that of the program, the kernel then qemu's own
        written = [p for p in folder.iterdir() if p.name.startswith("qemu_" if command else "core")]
        if not written:
            pytest.skip("REAL CORES NOT CHECKED: none was written")
        yield kind, written[0]
        for p in folder.iterdir():
            if p.name.startswith(("qemu_", "core")):
                p.unlink()


def in_order(wanted, names):
    left = iter(names)
    return all(any(n == w for n in left) for w in wanted)


def check(programs, folder, command, skipped=()):
    for kind, core in cores(folder, command):
        if kind in skipped:
            continue
        got = triage(programs, "--symbols", folder / "images", core)
        names = [f.get("function") for f in got["frames"]]
        # abort() may be in a libc without a name for it here, and gcc may split main
        names = ["main" if n == "main.cold" else n for n in names]
        wanted = [w for w in STACKS[kind] if w != "abort" or "abort" in names]
        assert in_order(wanted, names), (kind, got["frames"])
        plain = triage(programs, core)
        assert plain["signature"] == got["signature"] or plain["signature"]["id"] == got["signature"]["id"]
        if kind == "jump":
            assert got["frames"][1].get("function") == "jump" and got["signature"]["frame"] == 1, got["frames"]
        if kind != "over":
            assert got["stack_end"] == "outermost", (kind, got["stack_end"], got["frames"])


@pytest.mark.parametrize("how", NATIVE)
def test_of_the_kernel(programs, tmp_path, how):
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        pattern = f.read().strip()
    if os.uname().machine != "x86_64" or "/" in pattern or pattern.startswith("|"):
        pytest.skip(f"REAL CORES NOT CHECKED: {os.uname().machine}, cores go to {pattern}")
    build(os.environ.get("CC", "cc").split()[-1], NATIVE[how], tmp_path)
    shutil.copy(libc(), tmp_path / "images")
    check(programs, tmp_path, [])


def cross(arch, triplet, folder):
    cc, qemu = shutil.which(triplet + "-gcc"), shutil.which(f"qemu-{arch}-static")
    if cc is None or qemu is None:
        pytest.skip(f"REAL CORES NOT CHECKED: no {triplet}-gcc or no qemu-{arch}-static")
    build(cc, ["-O2", "-static", "-Wl,-z,separate-code"], folder)
    return [qemu]


@pytest.mark.parametrize("arch", CROSS)
def test_of_qemu(programs, tmp_path, arch):
    # qemu's own trampoline has no unwind data and its pages are not those of a kernel
    check(programs, tmp_path, cross(arch, CROSS[arch], tmp_path), skipped=("signal",))


@pytest.mark.parametrize("arch", OTHER)
def test_other_processors(programs, tmp_path, arch):
    for kind, core in cores(tmp_path, cross(arch, OTHER[arch], tmp_path)):
        got = triage(programs, core)
        name = {"ppc64le": "ppc64", "mips64el": "mips64"}.get(arch, arch)
        assert got["arch"] == name and got["partial_reason"] == got["stack_end"] == f"registers of {name} are not read"
        assert got["reason"].startswith("SIGABRT" if kind == "abort" else "SIGSEGV") and got["frames"] == []
        assert got["thread_count"] == (2 if kind == "thread" else 1)
