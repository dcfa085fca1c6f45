# SPDX-License-Identifier: Apache-2.0
"""faultline triage, as a person or a script runs it, on the seeds of the fuzzers."""
import gzip
import json
import os
import subprocess

import pytest

SRCDIR = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
BUILDDIR = os.path.abspath(os.environ.get("builddir", os.path.join(SRCDIR, "build")))
FAULTLINE = os.environ.get("FAULTLINE", os.path.join(BUILDDIR, "cli", "faultline"))
MINIDUMP = os.path.join(SRCDIR, "tests", "fuzz", "corpus", "minidump", "windows-x86")
CORE = os.path.join(SRCDIR, "tests", "fuzz", "corpus", "elfcore", "linux-x64")
JULY = os.path.join(SRCDIR, "tests", "fuzz", "corpus", "kdump", "july-triage")

KEYS = {"file", "format", "os", "arch", "reason", "address", "crashing_thread", "thread_count", "module_count", "frames",
        "signature", "partial"}


def faultline(*args, **kw):
    return subprocess.run([FAULTLINE, *args], capture_output=True, timeout=60, check=False, **kw)


def test_line_per_file():
    p = faultline("triage", MINIDUMP, CORE)
    assert p.returncode == 0
    one, two = p.stdout.decode().splitlines()
    assert one.startswith(MINIDUMP + ": EXCEPTION_ACCESS_VIOLATION_WRITE: write to 0x45 at program.exe+0x1234 [s1-")
    assert one.endswith("] (minidump, windows x86)")
    assert two.startswith(CORE + ": SIGSEGV / SEGV_MAPERR: access to 0x45 at program+0x1234 [s1-")
    assert p.stderr == b""


def test_json():
    p = faultline("triage", "--json", MINIDUMP, CORE)
    one, two = [json.loads(line) for line in p.stdout.splitlines()]
    assert KEYS <= one.keys() and KEYS <= two.keys()
    assert one["frames"][0] == {"module": "Program.exe", "module_offset": "0x1234", "trust": "context"}
    assert one["signature"]["module"] == "program.exe"
    assert one["signature"]["module_id"] == "5c0ae38510000"
    assert one["signature"]["offset"] == "0x1234"
    assert one["signature"]["title"] == "program.exe+0x1234"
    assert one["signature"]["id"].startswith("s1-") and len(one["signature"]["id"]) == 19
    assert one["partial"] is False and "error" not in one
    assert two["crashing_thread"] == 0 and two["thread_count"] == 2 and two["module_count"] == 2


def test_kernel_dump():
    summary = "0x50 PAGE_FAULT_IN_NONPAGED_AREA: read of ffff8405'00000074 at csagent.sys+0xe14ed"
    p = faultline("triage", "--brief", JULY)
    assert p.stdout.decode().startswith(f"{JULY}: {summary} [s1-fb4b63ca582e8b69]")
    p = faultline("triage", "--json", JULY)
    got = json.loads(p.stdout)
    assert KEYS <= got.keys() and got["summary"] == summary
    assert got["bugcheck"]["code"] == "0x50" and got["bugcheck"]["name"] == "PAGE_FAULT_IN_NONPAGED_AREA"
    assert got["bugcheck"]["params"][0] == {"value": "0xffff840500000074", "meaning": "address referenced"}
    assert got["bugcheck"]["params"][1]["value_meaning"] == "read"
    assert got["signature"]["id"] == "s1-fb4b63ca582e8b69" and got["signature"]["class"] == "access"
    assert got["kernel"]["process"] == "csfalcon.exe" and got["kernel"]["processor"] == 2


def test_readable_stack():
    """One file: the summary, the facts and every frame, the blamed one marked."""
    p = faultline("triage", JULY)
    lines = p.stdout.decode().splitlines()
    assert lines[0].endswith("read of ffff8405'00000074 at csagent.sys+0xe14ed")
    assert "  parameters 0xffff840500000074  address referenced" in lines
    assert "  >   0  context        csagent.sys+0xe14ed" in lines
    assert len(faultline("triage", "--modules", JULY).stdout.splitlines()) > len(lines) + 2
    several = faultline("triage", "--stack", JULY, CORE).stdout.decode().splitlines()
    assert [line for line in several if line.startswith("  >   0")] != []


@pytest.mark.parametrize("path", [MINIDUMP, CORE])
def test_all_threads(path):
    """Every thread has a stack; the crashing one's is that of the crash."""
    got = json.loads(faultline("triage", "--json", "--all-threads", path).stdout)
    assert len(got["threads"]) == got["thread_count"] == 2
    assert got["threads"][got["crashing_thread"]]["frames"] == got["frames"]
    assert all(t["frames"] and t["frames"][0]["trust"] == "context" for t in got["threads"])
    text = faultline("triage", "--all-threads", path).stdout.decode()
    assert text.count("  thread ") == 2 and text.count(", crashed") == 1
    assert "frames" not in json.loads(faultline("triage", "--json", path).stdout)["threads"][0]


def test_diff(tmp_path):
    """The same crash is the same whatever the process; another build or place is not, and it is said why."""
    other = os.path.join(os.path.dirname(JULY), "july-full")
    p = faultline("triage", "--diff", JULY, other)
    assert p.returncode == 0 and b"the same crash" in p.stdout
    p = faultline("triage", "--diff", "--json", JULY, MINIDUMP)
    got = json.loads(p.stdout)
    assert p.returncode == 1 and got["verdict"] == "different"
    assert "module: csagent.sys, program.exe" in got["differences"]
    moved = tmp_path / "moved"
    with open(MINIDUMP, "rb") as f:
        data = f.read()
    code = (0x400000 + 0x1234).to_bytes(4, "little")
    assert faultline("triage", "--diff", MINIDUMP, str(tmp_path / "none")).returncode == 2
    assert faultline("triage", "--diff", MINIDUMP).returncode == 2
    if data.count(code):
        moved.write_bytes(data.replace(code, (0x400000 + 0x1240).to_bytes(4, "little")))
        got = json.loads(faultline("triage", "--diff", "--json", MINIDUMP, str(moved)).stdout)
        assert got["verdict"] == "same_module" and "offset in program.exe: 0x1234, 0x1240" in got["differences"]


def test_unreadable_files_do_not_stop_the_others(tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x00\x01\x02 not a dump at all")
    p = faultline("triage", str(tmp_path / "missing"), MINIDUMP, str(junk), str(tmp_path))
    assert p.returncode == 1
    assert len(p.stdout.splitlines()) == 1
    lines = p.stderr.decode().splitlines()
    assert "No such file" in lines[0]
    assert "not a dump format we know" in lines[1]
    assert "directory" in lines[2]
    p = faultline("triage", "--json", str(junk), MINIDUMP)
    assert p.returncode == 1
    bad, good = [json.loads(line) for line in p.stdout.splitlines()]
    assert bad["error"] == "not a dump format we know" and "frames" not in bad
    assert "error" not in good


def test_empty_and_truncated(tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    p = faultline("triage", "--json", str(empty))
    assert p.returncode == 1 and json.loads(p.stdout)["error"] == "the file is empty"
    cut = tmp_path / "cut"
    with open(CORE, "rb") as f:
        cut.write_bytes(f.read()[:6000])
    p = faultline("triage", "--json", str(cut))
    got = json.loads(p.stdout)
    assert p.returncode == 0 and got["partial"] is True and got["partial_reason"]
    assert got["reason"] == "SIGSEGV / SEGV_MAPERR"


def test_compressed_and_standard_input(tmp_path):
    packed = tmp_path / "dump.gz"
    with open(MINIDUMP, "rb") as f:
        data = f.read()
    packed.write_bytes(gzip.compress(data))
    want = json.loads(faultline("triage", "--json", MINIDUMP).stdout)
    for got in (faultline("triage", "--json", str(packed)), faultline("triage", "--json", "-", input=data)):
        assert got.returncode == 0
        answer = json.loads(got.stdout)
        assert answer["signature"] == want["signature"] and answer["frames"] == want["frames"]


def test_names_that_are_not_utf8(tmp_path):
    path = os.fsencode(str(tmp_path)) + b"/caf\xe9\x1b[31m"
    with open(MINIDUMP, "rb") as f, open(path, "wb") as out:
        out.write(f.read())
    p = subprocess.run([os.fsencode(FAULTLINE), b"triage", b"--json", path], capture_output=True, timeout=60, check=False)
    assert json.loads(p.stdout)["file"].endswith("caf\ufffd\x1b[31m")
    p = subprocess.run([os.fsencode(FAULTLINE), b"triage", path], capture_output=True, timeout=60, check=False)
    assert b"\x1b" not in p.stdout


@pytest.mark.parametrize("args", [[], ["--no-such-option", "x"]])
def test_wrong_usage(args):
    p = faultline("triage", *args)
    assert p.returncode == 2 and b"usage: faultline triage" in p.stderr


def test_help():
    p = faultline("triage", "--help")
    assert p.returncode == 0 and b"--json" in p.stdout
