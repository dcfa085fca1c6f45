# SPDX-License-Identifier: Apache-2.0
"""faultline triage on inputs made to hurt it: an answer, within bounds.  The limits on the process are far above
what any of them takes, so that only an input without a bound reaches them."""
import bz2
import gzip
import json
import lzma
import os
import resource
import struct
import subprocess
import zlib

import pytest

from containers import cab, form

CPU_SECONDS = 20  # the slowest input takes a twentieth of it
MEMORY = 4 << 30
MIB = bytes(1 << 20)


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    if "asan" not in os.environ.get("LD_PRELOAD", "") and os.environ.get("ASAN_OPTIONS") is None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(programs, *args, data=None):
    p = subprocess.run([programs.faultline, "triage", *map(str, args)], input=data, capture_output=True, preexec_fn=limits, check=False)
    assert p.returncode in (0, 1), (p.returncode, p.stderr[-2000:])
    return p


def triage(programs, path, *args):
    return json.loads(run(programs, "--json", *args, path).stdout)


def minidump(streams):
    """Streams of (type, bytes)."""
    at, directory, body = 32 + 12 * len(streams), b"", b""
    for kind, data in streams:
        directory += struct.pack("<III", kind, len(data), at + len(body))
        body += data
    return struct.pack("<IIIIIIQ", 0x504d444d, 0xa793, len(streams), 32, 0, 0x60000000, 0) + directory + body


def core_with_headers(claimed, real):
    head = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8) + struct.pack(
        "<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 64 + 56 * real, 0, 64, 56, 0xffff, 64, 1, 0)
    segments = b"".join(struct.pack("<IIQQQQQQ", 4 - 3 * (i % 2), 5, 64, i << 12, 0, 4096, 4096, 4096) for i in range(real))
    return head + segments + struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, claimed, 0, 0)


def zeros_through(compressor, mib):
    return b"".join(compressor.compress(MIB) for _ in range(mib)) + compressor.flush()


def padded(inner, mib):
    """A gzip whose content begins with inner and goes on with zeros."""
    z = zlib.compressobj(9, zlib.DEFLATED, 31)
    return z.compress(inner) + b"".join(z.compress(MIB) for _ in range(mib)) + z.flush()


def cab_there_and_back(blocks):
    """64 tiny files, by turns at the end and at the begin of one large folder."""
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b"CK" + z.compress(bytes(32768)) + z.flush()
    body = (struct.pack("<IHH", 0, len(block), 32768) + block) * blocks
    entries = b"".join(struct.pack("<IIHHHH", 5, (blocks - 1) * 32768 if i % 2 == 0 else 0, 0, 0x5700, 0, 0x20) + b"%02d\0" % i
                       for i in range(64))
    at = 44 + len(entries)
    return (b"MSCF" + struct.pack("<IIIIIBBHHHHH", 0, at + len(body), 0, 44, 0, 3, 1, 1, 64, 0, 1, 0) +
            struct.pack("<IHH", at, blocks, 1) + entries + body)


def form_without_end_of_headers():
    part = b"--abcdef\r\nContent-Disposition: form-data; name=\"x\"; filename=\"q\"\n\nzz\n"
    return part * 255 + b"--abcde-" * (12 << 20)


def nested_forms(levels):
    data = b"x" * 1000
    for i in range(levels):
        data = form({"upload_file_minidump": ("x.dmp", data)}, boundary=f"------{i}")
    return data


LISTS = (3, 4, 5, 6, 7, 9, 12, 13, 14, 16, 17, 24)
UNKNOWN = "not a dump format we know"
NO_CRASH = "a minidump without threads and without an exception"
READ = ""  # no error
NO_TEXT = "a text without a crash that we know"

HOSTILE = {
    "zeros": (lambda: bytes(100 << 20), UNKNOWN),
    "empty": (lambda: b"", "the file is empty"),
    "counts": (lambda: minidump([(t, struct.pack("<Q", 1 << 40) + b"\xff" * 64) for t in LISTS]), NO_CRASH),
    "directory-count": (lambda: struct.pack("<IIIIIIQ", 0x504d444d, 0xa793, 0xffffffff, 32, 0, 0, 0) + bytes(100000), NO_CRASH),
    "headers-66000": (lambda: core_with_headers(66000, 66000), "a core without threads"),
    "headers-4g": (lambda: core_with_headers(0xfffffff0, 66000), "a core without threads"),
    "bomb-in-4": (lambda: gzip.compress(lzma.compress(bz2.compress(zeros_through(bz2.BZ2Compressor(), 100)))), UNKNOWN),
    "bomb-beyond": (lambda: zeros_through(zlib.compressobj(1, zlib.DEFLATED, 31), 1025), UNKNOWN),
    "bomb-with-a-head": (lambda: padded(dump_with_name("C:\\a.exe"), 1025), READ),
    "bomb-of-text": (lambda: gzip.compress(b"a b\n" * (64 << 20)), NO_TEXT),
    "bomb-at-each-level": (lambda: padded(padded(zeros_through(zlib.compressobj(9, zlib.DEFLATED, 31), 300), 200), 200),
                           "it expands beyond the limit"),
    "cab-65535-files": (lambda: cab([(str(i), b"x") for i in range(65535)]), NO_TEXT),
    "cab-there-and-back": (lambda: cab_there_and_back(32000), UNKNOWN),
    "cab-after-zeros": (lambda: cab([("zeros", bytes(30 << 20)), ("dump", dump_with_name("C:\\a.exe"))]), READ),
    "form-in-itself": (lambda: nested_forms(10), "containers in containers, too many"),
    "form-of-heads": (lambda: b"--abcdef\r\nContent-Disposition: form-data; name=\"x\"; filename=\"q\"\r\n\r\n" * 400000, None),
    "form-without-ends": (form_without_end_of_headers, NO_TEXT),
    "json-deep": (lambda: b'{"bug_type":"309"}\n{"usedImages":' + b"[" * (8 << 20), None),
    "json-of-one-member": (lambda: b'{"bug_type":"309"}\n{' + b",".join([b'"usedImages":[]'] * (1 << 20)) + b"}", None),
    "pstore-parts": (lambda: b"".join(b"Oops#1 Part%d\n" % i for i in range(1000000)), None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bounded(programs, tmp_path, name):
    make, error = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(make())
    got = triage(programs, path)
    assert error is None or got.get("error", "") == error


def test_directory_of_itself(programs, tmp_path):
    """Every stream is the directory: nonsense, but no harm."""
    n = 2000
    kinds = [3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 21, 22, 24]
    directory = b"".join(struct.pack("<III", kinds[i % len(kinds)], 0x7fffffff, 32) for i in range(n))
    path = tmp_path / "self.dmp"
    path.write_bytes(struct.pack("<IIIIIIQ", 0x504d444d, 0xa793, n, 32, 0, 0, 0) + directory)
    got = triage(programs, path, "--all-threads", "--modules")
    assert got["partial"] is True


@pytest.mark.parametrize("seed", ["oops/x64-6.1", "oops/pstore-parts", "tombstone/android14", "tombstone/proto-arm64", "microdump/arm64",
                                  "apple/crash-x64", "apple/panic-x64", "winevent/app-en"])
def test_long_texts(programs, tmp_path, seed):
    """A report a hundred thousand times, and each of its lines as often."""
    with open(os.path.join(programs.srcdir, "tests", "fuzz", "corpus", seed), "rb") as f:
        data = f.read()
    times = (16 << 20) // len(data)
    for name, long in (("whole", data * times), ("lines", b"\n".join(b"\n".join([line] * times) for line in data.split(b"\n")))):
        path = tmp_path / name
        path.write_bytes(long)
        assert "file" in triage(programs, path)


# ---- names ----

HARM = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp.exe\u2066\u2028"


def dump_with_name(name):
    text = name.encode("utf-16-le")
    module = struct.pack("<QIIII", 0x400000, 0x10000, 0, 0x5c0ae385, 32 + 12 * 3 + 4 + 108) + bytes(52) + bytes(16 + 16)
    assert len(module) == 108
    modules = struct.pack("<I", 1) + module + struct.pack("<I", len(text)) + text
    exception = struct.pack("<IIIIQQII", 7, 0, 0xc0000005, 0, 0, 0x401234, 2, 0) + struct.pack("<QQ", 0, 0x45) + bytes(13 * 8) + bytes(8)
    system = struct.pack("<HHHBBIIIIIHH", 9, 6, 0, 1, 1, 10, 0, 19045, 2, 0, 0, 0) + bytes(24)
    return minidump([(4, modules), (6, exception), (7, system)])


@pytest.mark.parametrize("name", ["C:\\" + HARM, "C:\\" + "\u202eabc" * 8000, "C:\\" + "x" * 32000])
def test_names_reach_no_terminal(programs, tmp_path, name):
    path = tmp_path / ("dump" + HARM.replace("\u2028", "") + ".dmp")
    path.write_bytes(dump_with_name(name))
    other = tmp_path / "other.dmp"
    other.write_bytes(dump_with_name(name + "2"))
    out = b""
    for args in ([path], ["--brief", path], ["--modules", "--all-threads", path], ["--diff", path, other], [str(path) + "-missing"]):
        if args[0] == "--diff":
            p = subprocess.run([programs.faultline, "triage", *map(str, args)], capture_output=True, check=False)
        else:
            p = run(programs, *args)
        out += p.stdout + p.stderr
    assert b"0x4" in out and name[3:6].strip("\x1b\u202e").encode() in out
    bad = [c for c in out.decode() if (c < " " and c != "\n") or "\x7f" <= c < "\xa0" or c in "\u061c\u200e\u200f\u2028\u2029"
           or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"]
    assert not bad, sorted(set(bad))
    got = triage(programs, path)
    assert got["file"].startswith(str(tmp_path)) and len(got["summary"]) < 1024
