# SPDX-License-Identifier: Apache-2.0
"""faultline scrub: what people may not want to keep is gone, what triage needs is not."""
import csv
import json
import os
import struct
import subprocess

import pytest

SRCDIR = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
BUILDDIR = os.path.abspath(os.environ.get("builddir", os.path.join(SRCDIR, "build")))
FAULTLINE = os.environ.get("FAULTLINE", os.path.join(BUILDDIR, "cli", "faultline"))
CORPUS = os.environ.get("FAULTLINE_CORPUS", os.path.join(SRCDIR, "..", "shared", "corpus"))
SEEDS = os.path.join(SRCDIR, "tests", "fuzz", "corpus")


def faultline(*args):
    return subprocess.run([FAULTLINE, *args], capture_output=True, timeout=60, check=False)


def triage(path):
    p = faultline("triage", "--json", "--modules", str(path))
    assert p.returncode == 0, p.stderr
    out = json.loads(p.stdout)
    for changes in ("file", "process"):  # the command line is what was scrubbed
        out.pop(changes, None)
    return out


def place(chunks, data):
    """Append data to the file and say where it begins."""
    at = sum(len(c) for c in chunks)
    chunks.append(data + bytes(-len(data) % 8))
    return at


STACK, HEAP, CODE = 0x7ffc00000000, 0x600000000000, 0x400000
ARGV = [b"/usr/bin/agent", b"--token=hunter2-token", b"--password", b"correct horse", b"--url",
        b"https://bob:swordfish@db.example/x", b"--verbose", b"plain-value"]
ENV = [b"HOME=/home/bob", b"AWS_SECRET_ACCESS_KEY=abcdefgh", b"LANG=C"]
AUXV = struct.pack("<10Q", 3, CODE + 64, 5, 11, 9, CODE + 0x1000, 31, STACK + 0xf00, 0, 0)


def process_stack():
    """What the kernel leaves at the top of a stack, with a return address and a local secret below."""
    stack = bytearray(0x1000)
    struct.pack_into("<4Q", stack, 0x100, STACK + 0x120, CODE + 0x500, 0x7365637265742121, 7)
    struct.pack_into("<2Q", stack, 0x120, 0, CODE + 0x600)
    where, pointers = 0x800, []
    for text in ARGV + ENV:
        stack[where:where + len(text)] = text
        pointers.append(STACK + where)
        where += len(text) + 1
    words = [len(ARGV), *pointers[:len(ARGV)], 0, *pointers[len(ARGV):], 0]
    struct.pack_into(f"<{len(words)}Q", stack, 0x400, *words)
    at = 0x400 + 8 * len(words)
    stack[at:at + len(AUXV)] = AUXV
    return bytes(stack)


def minidump():
    """A Linux minidump of x64 with heap, stack, environment and arguments."""
    chunks = [bytes(32), bytes(12 * 8)]
    context = bytearray(1232)
    struct.pack_into("<I", context, 48, 0x10000b)
    struct.pack_into("<Q", context, 152, STACK + 0x100)  # rsp
    struct.pack_into("<Q", context, 160, STACK + 0x100)  # rbp
    struct.pack_into("<Q", context, 248, CODE + 0x1234)  # rip
    context_at = place(chunks, bytes(context))
    stack_at = place(chunks, process_stack())
    heap_at = place(chunks, b"credit card 4111 1111 1111 1111\0" * 64)
    name = "/usr/bin/agent".encode("utf-16-le")
    name_at = place(chunks, struct.pack("<I", len(name)) + name + b"\0\0")
    module = struct.pack("<QIIII", CODE, 0x10000, 0, 0, name_at) + bytes(52) + bytes(8) + bytes(8) + bytes(16)
    streams = {
        3: struct.pack("<I", 1) + struct.pack("<IIIIQQIIII", 17, 0, 0, 0, 0, STACK, 0x1000, stack_at, 1232, context_at),
        4: struct.pack("<I", 1) + module,
        5: struct.pack("<I", 2) + struct.pack("<QII", STACK, 0x1000, stack_at) + struct.pack("<QII", HEAP, 2048, heap_at),
        6: struct.pack("<II", 17, 0) + struct.pack("<IIQQII", 11, 1, 0, 0x45, 0, 0) + bytes(120) +
           struct.pack("<II", 1232, context_at),
        7: struct.pack("<HHHBBIIIIIHHQQ", 9, 0, 0, 1, 1, 5, 10, 0, 0x8201, 0, 0, 0, 0, 0),
        0x47670006: b"\0".join(ARGV) + b"\0",
        0x47670007: b"\0".join(ENV) + b"\0",
        0x47670008: AUXV,
    }
    dirs = b"".join(struct.pack("<III", kind, len(data), place(chunks, data)) for kind, data in streams.items())
    chunks[1] = dirs
    chunks[0] = struct.pack("<IIIIIIQ", 0x504d444d, 0xa793, len(streams), 32, 0, 1700000000, 0)
    return b"".join(chunks)


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "agent.dmp"
    path.write_bytes(minidump())
    return path


def test_what_goes_and_what_stays(dump, tmp_path):
    out = tmp_path / "out.dmp"
    p = faultline("scrub", "--json", "-o", str(out), str(dump))
    assert p.returncode == 0, p.stderr
    said = json.loads(p.stdout)
    assert said["overwritten"]["heap"] > 1900 and said["overwritten"]["environment"] > 0
    assert said["overwritten"]["arguments"] > 0 and said["overwritten"]["stacks"] == 0
    data = out.read_bytes()
    assert len(data) == len(dump.read_bytes())
    for secret in (b"4111", b"abcdefgh", b"AWS_SECRET", b"/home/bob", b"hunter2", b"correct horse", b"swordfish"):
        assert secret not in data, secret
    for kept in (b"/usr/bin/agent", b"--verbose", b"plain-value", b"bob:xxxxxxxxx@db.example"):
        assert kept in data, kept
    assert triage(out) == triage(dump)
    assert triage(out)["frames"][1]["module_offset"] == "0x4ff"
    assert os.stat(out).st_mode & 0o777 == 0o600


def test_stack_words(dump, tmp_path):
    out = tmp_path / "out.dmp"
    assert b"!!terces" in dump.read_bytes()
    assert faultline("scrub", "-o", str(out), str(dump)).returncode == 0
    assert b"!!terces" in out.read_bytes()
    assert faultline("scrub", "--stacks", "-o", str(out), str(dump)).returncode == 0
    assert b"!!terces" not in out.read_bytes()
    assert triage(out) == triage(dump)


def test_choices(dump, tmp_path):
    out = tmp_path / "out.dmp"
    assert faultline("scrub", "--keep-heap", "--keep-environment", "--arguments", "keep", "-o", str(out),
                     str(dump)).returncode == 0
    assert out.read_bytes() == dump.read_bytes()
    assert faultline("scrub", "--arguments", "all", "-o", str(out), str(dump)).returncode == 0
    data = out.read_bytes()
    assert b"plain-value" not in data and b"/usr/bin/agent\0" in data


def test_again_changes_nothing(dump, tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert faultline("scrub", "--stacks", "-o", str(once), str(dump)).returncode == 0
    assert faultline("scrub", "--stacks", "-o", str(twice), str(once)).returncode == 0
    assert once.read_bytes() == twice.read_bytes()


def test_refusals(dump, tmp_path):
    text = tmp_path / "text"
    text.write_text("no dump")
    for args in (["-o", str(tmp_path / "x"), str(text)], ["-o", str(tmp_path / "no" / "dir"), str(dump)],
                 ["-o", str(tmp_path / "x"), os.path.join(SEEDS, "kdump", "july-triage")]):
        p = faultline("scrub", *args)
        assert p.returncode == 1 and p.stderr.startswith(b"faultline: ") and p.stdout == b""
    assert sorted(os.listdir(tmp_path)) == ["agent.dmp", "text"]
    for args in ([], [str(dump)], ["-o", "x", "--dry-run", str(dump)], ["-o", "x", str(dump), str(dump)],
                 ["--arguments", "some", "--dry-run", str(dump)]):
        assert faultline("scrub", *args).returncode == 2


def corpus_dumps():
    try:
        with open(os.path.join(CORPUS, "MANIFEST.tsv"), encoding="utf-8") as f:
            rows = csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
            return [r["path"] for r in rows if r["kind"].startswith(("mdmp-", "elf-core-"))]
    except OSError:
        return []


def test_corpus(tmp_path):
    """Signature, stack, reason and modules of every dump are the same after scrubbing; stacks are too, where
    nothing of the stack was found by scanning words that mean nothing."""
    dumps = corpus_dumps()
    if not dumps:
        pytest.skip("no corpus of real dumps here")
    refused = []
    for path in dumps:
        source, out = os.path.join(CORPUS, path), tmp_path / "out"
        if faultline("triage", source).returncode != 0:
            continue
        p = faultline("scrub", "-o", str(out), source)
        assert p.returncode == 0, (path, p.stderr)
        before, after = triage(source), triage(out)
        for volatile in ("annotations", "partial", "partial_reason"):
            before.pop(volatile, None)
            after.pop(volatile, None)
        assert before == after, path
        if faultline("scrub", "--stacks", "--dry-run", source).returncode != 0:
            refused.append(os.path.basename(path))
    assert refused == [] or refused == ["linux_inline.dmp"]  # its walk is all scanned
