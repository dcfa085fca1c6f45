# SPDX-License-Identifier: Apache-2.0
"""Real texts whose answers their sources' own tests assert: kernel oopses, Apple crash reports,
microdumps.  FAULTLINE_CORPUS names the folder, as for test_corpus.py; without it the tests are skipped."""
import csv
import json
import os
import re
import subprocess

import pytest

SRCDIR = os.path.abspath(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "..", ".."))
BUILDDIR = os.path.abspath(os.environ.get("builddir") or os.path.join(SRCDIR, "build"))
FAULTLINE = os.environ.get("FAULTLINE", os.path.join(BUILDDIR, "cli", "faultline"))
CORPUS = os.environ.get("FAULTLINE_CORPUS", os.path.join(SRCDIR, "..", "shared", "corpus"))
MANIFEST = os.path.join(CORPUS, "MANIFEST.tsv")

pytestmark = pytest.mark.skipif(not os.path.exists(MANIFEST), reason=f"TEXTS OF THE CORPUS NOT CHECKED: no {MANIFEST}; set FAULTLINE_CORPUS")

OOPS = re.compile(r"first frame=(\w+), last frame=(\w+), frame_count=(\d+), taint_count=(\d+), module_count=(\d+)")

# Each line of "(a) from (b)" names two functions; the others count the first alone.  The frame
# that called last is thus one more, and two traces in one event are two more.
PAIRS = {"gitlog-02": 2, "gitlog-12": 1}


def rows(kind):
    if not os.path.exists(MANIFEST):
        return []
    with open(MANIFEST, encoding="utf-8") as f:
        return [r for r in csv.DictReader(f, delimiter="\t") if r["kind"] == kind]


def triage(path):
    p = subprocess.run([FAULTLINE, "triage", "--json", "--modules", path], capture_output=True, timeout=60, check=False)
    return json.loads(p.stdout.splitlines()[0])


@pytest.mark.parametrize("row", rows("linux-oops-text"), ids=lambda r: os.path.basename(r["path"]) if isinstance(r, dict) else "none")
def test_oops(row):
    got = triage(os.path.join(CORPUS, row["path"]))
    assert "error" not in got, got
    assert got["format"] == "linux-oops" and got["os"] == "linux" and got["reason"]
    want = OOPS.search(row["expected"])
    if want is None:
        return
    first, last, count, taints, modules = want.groups()
    trace = [f for f in got["frames"]]
    if trace and trace[0]["trust"] == "context":  # the registers, which the others keep apart
        trace = trace[1:]
    name = os.path.basename(row["path"])
    extra = PAIRS.get(name, 0)
    assert len(trace) == int(count) + extra
    if trace:
        assert first == "NULL" or trace[0]["function"] == first
        assert trace[-1 - (1 if extra else 0)].get("function") == (None if last == "NULL" else last)
    # taints: that the letters are there; satyr counts those that it knows
    assert (int(taints) == 0) or got["annotations"]["tainted"]
    listed = {m["path"] for m in got["modules"]}
    assert len(listed - {"vmlinux"}) >= int(modules)


def test_oops_place():
    wanted = {
        "rhbz-1518943": ("amdgpu!amdgpu_vm_sdma_commit+0x46", "access", "0x8"),
        "rhbz-1140681": ("vmlinux!find_get_entry+0x42", "access", None),
        "rhbz-1040900-s390x-1": ("will_oops!will_oops_init+0x3a", "other", None),
        "rhbz-1040900-s390x-2": ("vmlinux!scsi_alloc_sgtable+0x62", "assert", None),
        "github-113": ("vmlinux!intel_irq_remapping_supported+0x36", "other", None),
        "github-73-modified": ("vmlinux!tcp_fastretrans_alert+0xc79", "other", None),
    }
    for name, (title, klass, address) in wanted.items():
        got = triage(os.path.join(CORPUS, "satyr", "kerneloopses", name))
        assert (got["signature"]["title"], got["signature"]["class"], got["address"]) == (title, klass, address), name


def snapshot_threads(path):
    """Threads of a report as its source's test expects them: (crashed, [(module, symbol, address)])."""
    threads = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("binary_images:"):
                break
            if re.match(r"  - id: ", line):
                threads.append([False, []])
            elif threads and line.startswith("    crashed: "):
                threads[-1][0] = line.split()[-1] == "true"
            elif threads and line.startswith("      - "):
                key, value = line[8:].strip().split(": ", 1)
                threads[-1][1].append({key: value.strip('"')})
            elif threads and threads[-1][1] and line.startswith("        "):
                key, value = line.strip().split(": ", 1)
                threads[-1][1][-1][key] = value.strip().strip('"')
    return threads


@pytest.mark.parametrize("name", ["handcrafted", "bruno", "XCDYouTubeKit-54"])
def test_apple(name):
    folder = os.path.join(CORPUS, "apple-crash-report-parser", "tests")
    got = triage(os.path.join(folder, "fixtures", name + ".txt"))
    want = snapshot_threads(os.path.join(folder, "snapshots", f"test_snapshots__{name}.snap"))
    assert got["format"] == "apple-crash" and got["thread_count"] == len(want)
    crashed = [i for i, t in enumerate(want) if t[0]]
    assert crashed == [got["crashing_thread"]]
    frames = want[crashed[0]][1]
    assert len(frames) == len(got["frames"])
    bases = {m["path"]: int(m["base"], 16) for m in got["modules"]}
    for i, (ours, theirs) in enumerate(zip(got["frames"], frames)):
        address = int(theirs["instruction_addr"], 16) - (1 if i else 0)
        if ours["module"] is None:
            assert theirs.get("module", "???") == "???" and int(ours["address"], 16) == address
            continue
        candidates = [b for p, b in bases.items() if os.path.basename(p) == ours["module"]]
        assert address in [b + int(ours["module_offset"], 16) for b in candidates], (i, ours, theirs)
        assert theirs["module"].split(".")[-1].lower() in ours["module"].lower()
        if "symbol" in theirs:
            assert ours["function"].split(" (")[0].startswith(theirs["symbol"].split(" (")[0][:20])


def test_apple_header_alone():
    got = triage(os.path.join(CORPUS, "apple-crash-report-parser", "tests", "fixtures", "xcode16.txt"))
    assert got["format"] == "apple-crash" and got["os"] == "ios" and got["partial"] and got["signature"] is None


@pytest.mark.parametrize("name, arch, modules, reason, address, top", [
    ("arm", "arm", 6, None, None, "breakpad_unittests"),
    ("arm64", "arm64", 8, None, None, "breakpad_unittests"),
    ("mips32", "mips", 7, None, None, "crash_example"),
    ("mips64", "mips64", 8, None, None, "crash_example"),
    ("multiple", "arm", 156, None, None, None),
    ("withcrashreason", "arm", None, "SIGTRAP", "0x4a7cb000", "libmonochrome.so"),
    ("x86", "x86", 124, None, None, "libc.so"),
])
def test_microdump(name, arch, modules, reason, address, top):
    got = triage(os.path.join(CORPUS, "breakpad", f"microdump-{name}.dmp"))
    assert got["format"] == "microdump" and got["os"] == "android" and got["arch"] == arch
    assert modules is None or got["module_count"] == modules
    assert reason is None or (got["reason"], got["address"]) == (reason, address)
    assert got["frames"][0]["trust"] == "context"
    assert top is None or got["frames"][0]["module"] == top
    if name == "x86":
        assert len(got["frames"]) == 17
