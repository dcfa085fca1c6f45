# SPDX-License-Identifier: Apache-2.0
"""The golden corpus: real dumps whose answers two other stack walkers agree on.

The dumps keep their own licences and are not part of this tree: FAULTLINE_CORPUS names
the folder (default: ../shared/corpus beside the source tree).  Without it the tests
are skipped.  Every case in which Faultline decides otherwise is listed in DIFFERENT,
with the reason, and explained in docs/FORMATS.md.
"""
import json
import os
import subprocess

import pytest

SRCDIR = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
BUILDDIR = os.path.abspath(os.environ.get("builddir", os.path.join(SRCDIR, "build")))
FAULTLINE = os.environ.get("FAULTLINE", os.path.join(BUILDDIR, "cli", "faultline"))
CORPUS = os.environ.get("FAULTLINE_CORPUS", os.path.join(SRCDIR, "..", "shared", "corpus"))
EXPECTED = os.path.join(CORPUS, "minidump-expected.json")

pytestmark = pytest.mark.skipif(
    not os.path.exists(EXPECTED), reason=f"GOLDEN CORPUS NOT CHECKED: no {EXPECTED}; set FAULTLINE_CORPUS")

OS = {"Windows NT": "windows", "Linux": "linux", "Mac OS X": "macos", "iOS": "ios", "Android": "android"}
CPU = {"amd64": "x64", "x86": "x86", "arm64": "arm64", "arm": "arm"}
RETURN_SIZE = {"x64": 1, "x86": 1, "arm64": 4, "arm": 2}

# dump -> (field, reason for deciding otherwise)
DIFFERENT = {
    "symbolicator/macos.dmp": ("scanned", "the word they take is where a function begins: the dump has the code before it"),
}


def cases():
    if not os.path.exists(EXPECTED):
        return []
    with open(EXPECTED, encoding="utf-8") as f:
        return json.load(f)


def run(*paths):
    p = subprocess.run([FAULTLINE, "triage", "--json", "--modules", *paths], capture_output=True, timeout=120, check=False)
    return p, [json.loads(line) for line in p.stdout.splitlines()]


def number(text):
    return None if text in (None, "") else int(text, 0)


def name(module):
    return module.lower() if module else None


def agreed_frames(case, arch):
    """Frames up to and including the first scanned one, as far as both walkers agree."""
    ours = []
    for mine, theirs in zip(case.get("frames") or [], case.get("breakpad_frames") or []):
        offset, other = number(mine.get("module_offset")), number(theirs.get("offset"))
        if ours and other is not None and theirs.get("module"):
            other -= RETURN_SIZE[arch]
        if name(mine.get("module")) != name(theirs.get("module")) or (mine.get("module") and offset != other):
            break
        ours.append((name(mine.get("module")), offset if mine.get("module") else None, mine["trust"]))
        if mine["trust"] == "scan":
            break
    return ours


@pytest.mark.parametrize("case", cases(), ids=lambda c: c["dump"] if isinstance(c, dict) else "none")
def test_minidump(case):
    path = os.path.join(CORPUS, case["dump"])
    process, (got,) = run(path)
    if case.get("rust_minidump") == "refused":
        assert process.returncode == 1 and got["error"]
        return
    assert process.returncode == 0, got
    arch = CPU[case["cpu"]]
    want = {
        "os": OS[case["os"]],
        "arch": arch,
        "reason": case["reason"],
        "address": number(case["address"]),
        "crashing_thread": case["crashing_thread"],
        "thread_count": case["threads"],
        "module_count": case["modules"],
    }
    if case["crashing_thread"] is None or case["reason"] is None:
        want["crashing_thread"] = case["crashing_thread"]
    got["address"] = number(got["address"])
    for field, value in want.items():
        if case["dump"] in DIFFERENT and DIFFERENT[case["dump"]][0] == field:
            continue
        assert got[field] == value, field
    frames = agreed_frames(case, arch)
    if DIFFERENT.get(case["dump"], ("",))[0] == "scanned":
        assert frames.pop()[2] == "scan"
    have = [(name(f["module"]), number(f["module_offset"]), f["trust"]) for f in got["frames"]]
    assert have[:len(frames)] == frames
    if case.get("module_debug_id"):
        module = got["faulting_module"]
        nothing = set(case["module_debug_id"]) == {"0"}
        assert (module["debug_id"] or "") == ("" if nothing else case["module_debug_id"])
        assert (module["code_id"] or "").lower() == (case["module_code_id"] or "").lower()
        assert module["version"] == case["module_version"]
        if got["signature"]["frame"] == 0:
            assert got["signature"]["title"] == f"{got['signature']['module']}+{got['frames'][0]['module_offset']}"


# core -> reason, address, threads, top frame, next frames by name (as the sources' own tests and gdb have them)
CORES = {
    "drgn/resources/crashme.core": ("SIGSEGV / SEGV_MAPERR", 0xabc, 1, [("crashme.so", 0x10fc), ("crashme.so", 0x110d),
                                    ("crashme.so", 0x1117), ("crashme.so", 0x1144), ("crashme", 0x1057)]),
    "drgn/resources/crashme_pie.core": ("SIGSEGV / SEGV_MAPERR", 0xabc, 1, [("crashme.so", 0x10fc)]),
    "drgn/resources/crashme_pie_no_headers.core": ("SIGSEGV / SEGV_MAPERR", 0xabc, 1, [("crashme.so", 0x10fc)]),
    "drgn/resources/crashme_static.core": ("SIGSEGV / SEGV_MAPERR", 0xabc, 1, [("crashme_static", 0x11ae)]),
    "drgn/resources/crashme_static_pie.core": ("SIGSEGV / SEGV_MAPERR", 0xabc, 1, [("crashme_static_pie", 0x1462)]),
    "drgn/resources/multithreaded.core.zst": ("SIGQUIT / SI_TKILL", None, 13, [("libpthread-2.28.so", 0x12abf)]),
    "lldb/postmortem/elf-core/linux-i386.core": ("SIGSEGV / SEGV_MAPERR", 0, 1, [("a.out", 0xc5)]),
    "lldb/postmortem/elf-core/linux-x86_64.core": ("SIGSEGV / SEGV_MAPERR", 0, 1, [("a.out", 0x11c)]),
    "lldb/postmortem/elf-core/thread_crash/linux-i386.core": ("SIGILL / SI_TKILL", None, 3, [("linux-gate.so.1", 0xc99)]),
    "lldb/postmortem/elf-core/thread_crash/linux-x86_64.core": ("SIGILL / SI_TKILL", None, 3, [("libpthread-2.24.so", 0x1153f)]),
    "lldb/postmortem/netbsd-core/1lwp_SIGSEGV.amd64.core": ("SIGSEGV", None, 1, [("1lwp_SIGSEGV.amd", 0xad0)]),
    "lldb/postmortem/netbsd-core/2lwp_t2_SIGSEGV.aarch64.core": ("SIGSEGV", None, 2, [("2lwp_t2_SIGSEGV.", 0x9b0)]),
    "satyr/programs/null_dereference.core.x86_64": ("SIGSEGV", None, 1, [("a.out", 0x4b3), ("libc.so.6", 0x21734)]),
}


@pytest.mark.parametrize("core", sorted(CORES))
def test_core(core):
    reason, address, threads, frames = CORES[core]
    process, (got,) = run(os.path.join(CORPUS, core))
    assert process.returncode == 0, got
    assert got["format"] == "elf-core"
    assert got["reason"] == reason
    assert got["thread_count"] == threads
    assert got["crashing_thread"] == 0
    if address is not None:
        assert number(got["address"]) == address
    assert [(f["module"], number(f["module_offset"])) for f in got["frames"][:len(frames)]] == frames
    assert got["signature"]["title"] == "%s+0x%x" % frames[0]


def test_core_build_ids():
    """Build ids come from the first pages in the core; a core without those pages has none."""
    _, (whole, without) = run(os.path.join(CORPUS, "drgn/resources/crashme.core"),
                              os.path.join(CORPUS, "drgn/resources/crashme_pie_no_headers.core"))
    assert whole["signature"]["module_id"] == "7bd58f10e741c3c8fbcf2031aa65f830f933d616"
    assert without["signature"]["module_id"] is None


def test_snapshot_is_no_crash():
    _, (got,) = run(os.path.join(CORPUS, "lldb/postmortem/elf-core/gcore/linux-x86_64.core"))
    assert got["signature"] is None
    assert got["thread_count"] == 3


def test_kernel_dump():
    """A small dump of Windows on x64: what its own records and two debuggers say."""
    _, (got,) = run("--modules", os.path.join(CORPUS, "rizin-testbins/dmp/triage_x64.dmp"))
    assert got["format"] == "windows-kernel-dump" and got["partial"] is False
    assert (got["os_version"], got["arch"], got["module_count"]) == ("10.0.19041", "x64", 151)
    stop = got["bugcheck"]
    assert (stop["code"], stop["name"]) == ("0x1000007e", "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M")
    assert [p["value"] for p in stop["params"]] == [
        "0xffffffffc0000005", "0xfffff8048b58334c", "0xffff850429891ee8", "0xffff850429891720"]
    assert got["kernel"]["registers_from"] == "context record of parameter 4"
    assert got["kernel"]["processors"] == 16
    assert got["kernel"]["build"] == "19041.1.amd64fre.vb_release.191206-1406"
    assert [u["name"] for u in got["kernel"]["unloaded_modules"]] == ["dam.sys", "WdBoot.sys", "hwpolicy.sys", "mcupdate.dll"]
    assert got["frames"][0] == {"module": "amdppm.sys", "module_offset": "0x334c", "trust": "context"}
    # the real stack goes on through amdppm, Wdf01000 and the kernel; scanned frames say that they are
    assert {f["trust"] for f in got["frames"][1:]} == {"scan"}
    order = list(dict.fromkeys(f["module"] for f in got["frames"]))
    assert order == ["amdppm.sys", "Wdf01000.sys", "ntoskrnl.exe"]
    sign = got["signature"]
    assert (sign["title"], sign["module_id"], sign["class"]) == ("amdppm.sys+0x334c", "c9c030003b000", "access")
    kernel = next(m for m in got["modules"] if m["name"] == "ntoskrnl.exe")
    assert (kernel["base"], kernel["size"]) == ("0xfffff8047ba00000", "0x1046000")


def test_kernel_dump_header():
    """The first pages of a full dump: what the header says, and that the rest is missing."""
    _, (got,) = run(os.path.join(CORPUS, "imhex/tests/patterns/test_data/dmp64.hexpat.bin"))
    assert got["format"] == "windows-kernel-dump" and got["partial"] is True
    assert got["kernel"]["kind"] == "full" and got["module_count"] == 0
    assert got["signature"] is None     # read out by a tool, not stopped


def test_frames_compared():
    """The comparison above must not be empty: most dumps agree beyond the top frame."""
    lengths = [len(agreed_frames(c, CPU[c["cpu"]])) for c in cases() if c.get("cpu")]
    assert sum(n >= 1 for n in lengths) >= 50
    assert sum(n >= 2 for n in lengths) >= 25


def test_every_dump_is_harmless():
    """Each minidump and ELF file of the corpus is answered: a result or an error."""
    paths = []
    for folder, _, files in os.walk(CORPUS):
        for file in files:
            path = os.path.join(folder, file)
            with open(path, "rb") as f:
                if f.read(4) in (b"MDMP", b"PMDM", b"PAGE", b"\x7fELF"):
                    paths.append(path)
    assert len(paths) > 50
    process, results = run(*sorted(paths))
    assert process.returncode in (0, 1)
    assert [r["file"] for r in results] == sorted(paths)
    for r in results:
        assert ("error" in r) != ("frames" in r)
