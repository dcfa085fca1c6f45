#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""includes.py [TOP]: who may include whom.

Each source file obeys the .may_include of its folder or, without one, of the nearest
folder above.  Lines of that file:
    base/*.h                   a glob over headers of this project (.def files go with .h)
    <event2/*>                 a library header
    <libpq-fe.h> store/pg.c    a library header, for that file alone
    !<sys/socket.h>            a system header that this folder must do without
Headers of the C library and POSIX are allowed unless forbidden so; any other library
header must be listed.
"""
import fnmatch
import os
import re
import sys

FOLDERS = ("base", "proto", "triage", "collector", "client", "cli", "web")
SYSTEM = """
assert.h ctype.h dirent.h ftw.h endian.h errno.h fcntl.h fenv.h float.h fnmatch.h getopt.h glob.h grp.h ifaddrs.h
inttypes.h langinfo.h libgen.h limits.h locale.h malloc.h math.h netdb.h poll.h pthread.h pwd.h sched.h search.h
semaphore.h setjmp.h signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
stdnoreturn.h string.h strings.h syslog.h termios.h threads.h time.h uchar.h ucontext.h unistd.h utime.h wchar.h
wctype.h elf.h link.h dlfcn.h immintrin.h cpuid.h arm_acle.h nmmintrin.h
arpa/* linux/* net/* netinet/* sys/*
""".split()
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def matches(path, pattern):
    """A * stays within its folder."""
    a, b = path.split("/"), pattern.split("/")
    return len(a) == len(b) and all(map(fnmatch.fnmatchcase, a, b))


class Rules:
    def __init__(self, path):
        self.path = path
        self.own, self.library, self.forbidden = [], [], []
        with open(path, encoding="utf-8") as f:
            for line in f:
                words = line.split("#", 1)[0].split()
                if not words:
                    continue
                if words[0].startswith("!<"):
                    self.forbidden.append(words[0][2:-1])
                elif words[0].startswith("<"):
                    self.library.append((words[0][1:-1], words[1] if len(words) > 1 else None))
                else:
                    self.own.append(words[0])

    def allows_own(self, header):
        if header.endswith(".def"):
            header = header[:-4] + ".h"
        return any(matches(header, p) for p in self.own)

    def allows_library(self, header, source):
        if any(matches(header, p) for p in self.forbidden):
            return False
        if any(matches(header, p) for p in SYSTEM):
            return True
        return any(matches(header, p) and only in (None, source) for p, only in self.library)


def rules_for(top, folder, known):
    """Of the nearest folder at or above; None if there is none."""
    if folder not in known:
        path = os.path.join(top, folder, ".may_include")
        if os.path.exists(path):
            known[folder] = Rules(path)
        else:
            above = os.path.dirname(folder)
            known[folder] = rules_for(top, above, known) if above else None
    return known[folder]


def check(top):
    bad, known, seen = [], {}, 0
    for root in FOLDERS:
        for folder, _, files in os.walk(os.path.join(top, root)):
            for name in sorted(files):
                if not name.endswith((".c", ".h")) or name.endswith((".pb-c.c", ".pb-c.h")):
                    continue
                source = os.path.relpath(os.path.join(folder, name), top)
                rules = rules_for(top, os.path.dirname(source), known)
                seen += 1
                if rules is None:
                    bad.append(f"{source}: no .may_include governs it")
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    text = f.read()
                for kind, header in INCLUDE.findall(text):
                    if kind == '"':
                        ok = header == "config.h" or rules.allows_own(header)
                    else:
                        ok = rules.allows_library(header, source)
                    if not ok:
                        shown = f'"{header}"' if kind == '"' else f"<{header}>"
                        bad.append(f"{source}: may not include {shown} (see {os.path.relpath(rules.path, top)})")
    if seen == 0:
        bad.append(f"{top}: no source file found")
    return bad


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("srcdir", ".")
    bad = check(top)
    print("\n".join(bad) if bad else "includes: fine")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
