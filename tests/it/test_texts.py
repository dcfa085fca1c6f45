# SPDX-License-Identifier: Apache-2.0
"""Texts and containers: by the command, and through the daemon's confined workers."""
import bz2
import gzip
import json
import lzma
import os
import subprocess

import pytest

from containers import cab, form
from test_server_triage import send, triaged


def seed(programs, name):
    with open(os.path.join(programs.srcdir, "tests", "fuzz", "corpus", name), "rb") as f:
        return f.read()


def minidump(programs):
    folder = os.path.join(programs.srcdir, "tests", "fuzz", "corpus", "minidump")
    return seed(programs, "minidump/" + next(n for n in sorted(os.listdir(folder)) if n.startswith("linux-x64")))


def triage(programs, data, tmp_path, want=0):
    path = tmp_path / "input"
    path.write_bytes(data)
    p = subprocess.run([programs.faultline, "triage", "--json", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert p.returncode == want, (p.stdout, p.stderr)
    return json.loads(p.stdout.splitlines()[0])


def same(a, b):
    return all(a.get(k) == b.get(k) for k in ("format", "reason", "frames", "signature", "partial"))


@pytest.mark.parametrize("what", ["minidump", "text"])
@pytest.mark.parametrize("how", ["gzip", "xz", "bzip2", "cab", "cab-stored", "form", "cab-of-xz", "form-of-gzip", "xz-of-bzip2-of-gzip"])
def test_container(programs, tmp_path, what, how):
    plain = minidump(programs) if what == "minidump" else seed(programs, "oops/x64-6.1")
    note = b"<?xml version=\"1.0\"?><WERReportMetadata/>"
    pack = {
        "gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress,
        "cab": lambda d: cab([("a.xml", note), ("memory.hdmp", d), ("z.txt", b"short")]),
        "cab-stored": lambda d: cab([("memory.hdmp", d)], compress=False),
        "form": lambda d: form({"prod": b"Electron", "upload_file_minidump": ("x.dmp", d), "ver": b"1.0"}),
    }
    packed = plain
    for step in reversed(how.split("-of-")):
        packed = pack[step](packed)
    assert same(triage(programs, packed, tmp_path), triage(programs, plain, tmp_path))


def test_container_cut_short(programs, tmp_path):
    dump = minidump(programs)
    for packed in (lzma.compress(dump)[:-40], bz2.compress(dump + bytes(2 << 20))[:-20], form({"upload_file_minidump": ("x", dump)})[:-60]):
        path = tmp_path / "cut"
        path.write_bytes(packed)
        p = subprocess.run([programs.faultline, "triage", "--json", str(path)], capture_output=True, text=True, timeout=60, check=False)
        got = json.loads(p.stdout)
        assert got.get("error") or got["partial"] is True, got


def test_container_limits(programs, tmp_path):
    dump = minidump(programs)
    for _ in range(4):
        dump = gzip.compress(dump)
    assert "error" not in triage(programs, dump, tmp_path)
    assert triage(programs, gzip.compress(dump), tmp_path, want=1)["error"] == "containers in containers, too many"
    zeros = bytes(1 << 20)
    bomb = lzma.LZMACompressor()
    data = b"".join(bomb.compress(zeros) for _ in range(100)) + bomb.flush()
    assert triage(programs, data, tmp_path, want=1)["error"] == "not a dump format we know"
    huge = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20}]
    assert triage(programs, lzma.compress(b"x", filters=huge), tmp_path, want=1)["error"] == "it needs a dictionary over 64 MiB"


@pytest.mark.parametrize("name", ["oops/x64-6.1", "tombstone/android14", "tombstone/proto-arm64", "apple/ips-arm64",
                                  "apple/panic-x64", "microdump/arm64", "winevent/app-en"])
@pytest.mark.parametrize("pack", [None, lzma.compress, lambda d: cab([("dump", d)])], ids=["plain", "xz", "cab"])
def test_server(daemon, programs, tmp_path, name, pack):
    plain = seed(programs, name)
    want = triage(programs, plain, tmp_path)
    got = triaged(daemon, send(daemon, pack(plain) if pack else plain,
                               {"host": "a", "module": "claimed.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV"}))
    assert got["triage"] == "done", got
    assert got["signature"] == want["signature"]["id"], (got, want)


def test_server_kernel_text_counts_as_kernel_crash(daemon, programs, tmp_path):
    report = send(daemon, seed(programs, "oops/soft-lockup"),
                  {"host": "k", "module": "claimed.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV"})
    got = triaged(daemon, report)
    assert got["triage"] == "done", got
    sig = daemon.get(f"/v1/signatures/{got['signature']}").json
    assert sig["title"] == "spindrv!spin_take+0x14", sig
    assert "spindrv" in json.dumps(sig), sig


def test_upload_form_of_a_text(daemon, programs, tmp_path):
    """A crash reporter's form with a tombstone where a minidump would be, compressed."""
    text = seed(programs, "tombstone/abort-logcat")
    want = triage(programs, text, tmp_path)
    body = form({"prod": b"App", "ver": b"1.0", "guid": b"1111", "upload_file_minidump": ("tombstone", lzma.compress(text))})
    a = daemon.ingest("POST", "/submit", body, headers={"Content-Type": "multipart/form-data; boundary=----WebKitFormBoundaryAbC123"})
    assert a.status == 200, a
    daemon.until(lambda: daemon.get(f"/v1/signatures/{want['signature']['id']}").status == 200, "signature of the tombstone")


def test_event_and_kernel_dump_are_one_stop(programs, tmp_path):
    """The bugcheck event of a stop that names no module has the signature of its dump."""
    folder = os.path.join(programs.srcdir, "tests", "fuzz", "corpus", "kdump")
    compared = 0
    for name in sorted(os.listdir(folder)):
        dump = triage_any(programs, seed(programs, f"kdump/{name}"), tmp_path)
        if dump.get("error") or not dump.get("signature") or dump["signature"]["module"] is not None or not dump["os_version"]:
            continue
        code = int(dump["bugcheck"]["code"], 16)
        params = ", ".join(f"0x{int(p['value'], 16):016x}" for p in dump["bugcheck"]["params"])
        major, minor, build = dump["os_version"].split(".")[:3]
        text = f"Microsoft (R) Windows (R) {major}.0{minor}. {build}  Multiprocessor Free.\r\n" \
               f"The computer has rebooted from a bugcheck.  The bugcheck was: 0x{code:08x} ({params}). A dump was saved in: C:\\x.dmp.\r\n"
        event = triage(programs, text.encode("utf-16"), tmp_path)
        assert event["signature"]["id"] == dump["signature"]["id"], (name, event, dump)
        compared += 1
    assert compared > 0


def triage_any(programs, data, tmp_path):
    path = tmp_path / "any"
    path.write_bytes(data)
    p = subprocess.run([programs.faultline, "triage", "--json", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return json.loads(p.stdout.splitlines()[0])
