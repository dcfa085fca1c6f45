#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""spdx.py [TOP]: every source file says its licence in its first five lines, and C files
include "config.h" before anything else (but for those that only compile a library's source)."""
import os
import re
import sys

FOLDERS = ("base", "proto", "triage", "collector", "client", "cli", "web", "tests", "tools", ".ci")
SUFFIXES = (".c", ".h", ".def", ".proto", ".py", ".sh", ".js", ".mjs", ".ts", ".tsx", ".css", ".sql")
LICENCE = "SPDX-License-Identifier: Apache-2.0"
FIRST_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"][^>"]+[>"])', re.M)


def sources(top):
    for name in ("check", "quickstart"):
        if os.path.exists(os.path.join(top, name)):
            yield name
    for root in FOLDERS:
        for folder, below, files in os.walk(os.path.join(top, root)):
            below[:] = [b for b in below if b not in ("node_modules", "bundle")]
            for name in sorted(files):
                path = os.path.join(folder, name)
                script = "." not in name and os.access(path, os.X_OK) and open(path, "rb").read(2) == b"#!"
                if (name.endswith(SUFFIXES) or script) and ".pb-c." not in name:
                    yield os.path.relpath(path, top)


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("srcdir", ".")
    bad = []
    for path in sources(top):
        with open(os.path.join(top, path), encoding="utf-8") as f:
            text = f.read()
        if LICENCE not in "\n".join(text.split("\n")[:5]):
            bad.append(f"{path}: no line {LICENCE}")
        first = FIRST_INCLUDE.search(text) if path.endswith(".c") else None
        if first and first.group(1) != '"config.h"' and not first.group(1).endswith(".c>"):
            bad.append(f'{path}: the first include is {first.group(1)}, not "config.h"')
    print("\n".join(bad) if bad else "licences: fine")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
