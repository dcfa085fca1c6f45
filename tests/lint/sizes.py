#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sizes.py [TOP]: functions of at most 100 lines, files of at most 900.

What is larger has a line in tests/lint/sizes.exceptions ("FILE LINES" or
"FILE:FUNCTION LINES"), and that number may only shrink: it has to be exact, and the line
has to go when it is no longer needed.
"""
import os
import re
import sys

FUNCTION_MAX, FILE_MAX = 100, 900
FOLDERS = ("base", "proto", "triage", "collector", "client", "cli", "web", "tests", "tools", "docs")
SUFFIXES = (".c", ".h", ".py", ".js", ".mjs", ".ts", ".tsx", ".css", ".sql", ".sh")
# The style puts a function's braces, and nothing else's, alone in the first column.
NAME = re.compile(r"^(\w+)\(", re.M)
PY_DEF = re.compile(r"^(\s*)(?:async )?def (\w+)")


def c_functions(lines):
    start = None
    for i, line in enumerate(lines):
        if line == "{" and start is None:
            start = i
        elif line == "}" and start is not None:
            head = start - 1
            while head > 0 and not NAME.match(lines[head]):
                head -= 1
            yield NAME.match(lines[head]).group(1) if NAME.match(lines[head]) else f"line-{start + 1}", i - head + 1
            start = None


def py_functions(lines):
    for i, line in enumerate(lines):
        found = PY_DEF.match(line)
        if not found:
            continue
        end = i + 1
        for j in range(i + 1, len(lines)):
            if lines[j].strip() and len(lines[j]) - len(lines[j].lstrip()) <= len(found.group(1)):
                break
            if lines[j].strip():
                end = j + 1
        yield found.group(2), end - i


def measure(top):
    """What is too large: name -> lines."""
    large = {}
    for root in FOLDERS:
        for folder, below, files in os.walk(os.path.join(top, root)):
            below[:] = [b for b in below if b not in ("node_modules", "bundle")]
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), top)
                if not name.endswith(SUFFIXES) or ".pb-c." in name:
                    continue
                with open(os.path.join(top, path), encoding="utf-8") as f:
                    lines = f.read().split("\n")
                if len(lines) - 1 > FILE_MAX:
                    large[path] = len(lines) - 1
                functions = c_functions if name.endswith((".c", ".h")) else py_functions if name.endswith(".py") else None
                for function, n in functions(lines) if functions else ():
                    if n > FUNCTION_MAX:
                        large[f"{path}:{function}"] = n
    return large


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("srcdir", ".")
    allowed, bad = {}, []
    with open(os.path.join(top, "tests/lint/sizes.exceptions"), encoding="utf-8") as f:
        for line in f:
            words = line.split("#", 1)[0].split()
            if words:
                allowed[words[0]] = int(words[1])
    large = measure(top)
    for name, n in sorted(large.items()):
        if name not in allowed:
            bad.append(f"{name}: {n} lines (functions have at most {FUNCTION_MAX}, files {FILE_MAX})")
        elif n != allowed[name]:
            verdict = "it may only shrink" if n > allowed[name] else "lower the exception"
            bad.append(f"{name}: {n} lines, the exception says {allowed[name]}: {verdict}")
    bad += [f"{name}: needs no exception any more" for name in allowed if name not in large]
    print("\n".join(bad) if bad else "sizes: fine")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
