# SPDX-License-Identifier: Apache-2.0
"""The symbol store and unwinding by it: a program built here without frame pointers crashes inside a
signal handler, below qsort(); the stack must be what eu-stack and gdb say, and its signature the one
that it has without any symbols."""
import json
import os
import re
import resource
import shutil
import socket
import subprocess

import pytest

from conftest import request

OCTETS = {"Content-Type": "application/octet-stream"}
CRASHER = r"""
#include <signal.h>
#include <stdlib.h>
#include <string.h>
__attribute__((noinline)) int boom(int n, volatile int *p)
{
	char buf[200];
	memset(buf, n, sizeof buf);
	if (n == 0)
		*(volatile int *)0 = 1;
	return boom(n - 1, p) + buf[n] + *p;
}
static int cmp(const void *a, const void *b)
{
	volatile int x = 3;
	return boom(3, &x) + *(int *)a - *(int *)b;
}
static void handler(int s)
{
	volatile int v[4] = { 4, 3, 2, s };
	qsort((void *)v, 4, sizeof(int), cmp);
}
int main(void)
{
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	return 0;
}
"""


def libc():
    out = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    return re.search(r"(/\S*libc\.so\S*)", out).group(1)


def core_limit():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    """(folder with program and libc, path of the core)"""
    if os.uname().machine != "x86_64":
        pytest.skip("UNWINDING NOT CHECKED: the crasher is made for x86-64")
    folder = tmp_path_factory.mktemp("crash")
    (folder / "crash.c").write_text(CRASHER)
    cc = os.environ.get("CC", "cc").split()[-1]
    subprocess.run([cc, "-O2", "-g", "-fomit-frame-pointer", "-Wl,--build-id", "-o", "crash", "crash.c"], cwd=folder, check=True)
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        pattern = f.read().strip()
    if "/" in pattern or pattern.startswith("|"):
        pytest.skip(f"UNWINDING NOT CHECKED: cores go to {pattern}")
    subprocess.run(["./crash"], cwd=folder, check=False, preexec_fn=core_limit)
    cores = [n for n in os.listdir(folder) if n.startswith("core")]
    if not cores:
        pytest.skip("UNWINDING NOT CHECKED: the kernel wrote no core")
    images = folder / "images"
    images.mkdir()
    shutil.copy(folder / "crash", images)
    shutil.copy(libc(), images)
    return folder, folder / cores[0]


def triage(programs, *args):
    p = subprocess.run([programs.faultline, "triage", "--json", "--modules", *map(str, args)], capture_output=True, text=True,
                       timeout=60, check=True)
    return json.loads(p.stdout)


def addresses(result):
    base = {m["name"]: int(m["base"], 0) for m in result["modules"]}
    return [base[f["module"]] + int(f["module_offset"], 0) if f["module"] else int(f["address"], 0) for f in result["frames"]]


def same_stack(ours, theirs):
    """Ours are the calls, theirs where they return to; interrupted frames are the same."""
    return len(ours) == len(theirs) and ours[0] == theirs[0] and all(t - o in (0, 1) for o, t in zip(ours, theirs))


def test_stack_is_that_of_eu_stack(programs, crash):
    folder, core = crash
    if shutil.which("eu-stack") is None:
        pytest.skip("UNWINDING NOT COMPARED: no eu-stack")
    out = subprocess.run(["eu-stack", "--core", core, "-e", folder / "crash"], capture_output=True, text=True, check=False).stdout
    theirs = re.findall(r"^#\d+\s+(0x[0-9a-f]+)\s*(\S*)", out, re.M)
    assert len(theirs) > 10, out
    got = triage(programs, "--symbols", folder / "images", core)
    assert same_stack(addresses(got), [int(a, 0) for a, _ in theirs]), (got["frames"], out)
    assert got["stack_end"] == "outermost"
    assert [f["trust"] for f in got["frames"]] == ["context"] + ["cfi"] * (len(theirs) - 1)
    names = [f.get("function") for f in got["frames"]]
    assert names[:5] == ["boom", "boom", "boom", "boom", "cmp"] and "handler" in names and names[-1] == "_start"


def test_stack_is_that_of_gdb(programs, crash):
    folder, core = crash
    if shutil.which("gdb") is None:
        pytest.skip("UNWINDING NOT COMPARED: no gdb")
    out = subprocess.run(["gdb", "-batch", "-nx", "-ex", "set backtrace past-main on", "-ex", "python\nf = gdb.newest_frame()\n"
                          "while f:\n if f.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME): print('pc', hex(f.pc()))\n f = f.older()\nend", folder / "crash", core],
                         capture_output=True, text=True, check=False, env={**os.environ, "DEBUGINFOD_URLS": ""}).stdout
    theirs = [int(a, 0) for a in re.findall(r"^pc (0x[0-9a-f]+)", out, re.M)]
    if len(theirs) < 10:
        pytest.skip("UNWINDING NOT COMPARED: this gdb has no python")
    assert same_stack(addresses(triage(programs, "--symbols", folder / "images", core)), theirs), out


CORPUS = os.environ.get("FAULTLINE_CORPUS", os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(
    os.path.abspath(__file__)), "..", ".."), "..", "shared", "corpus"))


@pytest.mark.parametrize("core,frames", [
    ("crashme.core", ["c", "b", "a", "crashme", "main"]),
    ("crashme_pie.core", ["c", "b", "a", "crashme", "main"]),
    ("crashme_static.core", ["c", "b", "a", "crashme", "main", "libc_start_main_stage2", "_start"]),
    ("crashme_static_pie.core", ["c", "b", "a", "crashme", "main", "libc_start_main_stage2", "_start"]),
])
def test_cores_of_the_corpus(programs, core, frames):
    """Cores of another machine, whose executables are there and whose libc is not."""
    folder = os.path.join(CORPUS, "drgn", "resources")
    if not os.path.exists(os.path.join(folder, core)):
        pytest.skip(f"GOLDEN CORPUS NOT CHECKED: no {folder}; set FAULTLINE_CORPUS")
    got = triage(programs, "--symbols", folder, os.path.join(folder, core))["frames"][:len(frames)]
    assert [(f.get("function"), f["trust"]) for f in got] == [
        (name, "cfi" if i else "context") for i, name in enumerate(frames)]


def test_another_build_is_not_used(programs, crash, tmp_path):
    """The same source, another build id: never believed, whatever its name."""
    folder, core = crash
    cc = os.environ.get("CC", "cc").split()[-1]
    subprocess.run([cc, "-O1", "-Wl,--build-id", "-o", tmp_path / "crash", folder / "crash.c"], check=True)
    plain, wrong = triage(programs, core), triage(programs, "--symbols", tmp_path, core)
    assert wrong["frames"] == plain["frames"] and "function" not in wrong["frames"][0]


def test_signature_does_not_change(programs, crash):
    folder, core = crash
    plain, rich = triage(programs, core), triage(programs, "--symbols", folder / "images", core)
    for key in ("id", "module", "module_id", "offset", "class", "title", "rule"):
        assert plain["signature"][key] == rich["signature"][key], key
    assert plain["frames"] != rich["frames"]


def frames_of(daemon, core, host):
    answer = daemon.report({"kind": "user", "has_dump": True, "host": host, "module": host, "module_id": "ab", "offset": 1,
                            "reason": "SIGSEGV"})
    a = daemon.ingest("PUT", answer["put_url"], core, headers=OCTETS)
    assert a.status == 200 and a.json["stored"], a

    def done():
        r = daemon.get(f"/v1/reports/{answer['id']}").json
        return r if r["triage"] not in (None, "waiting") else None
    r = daemon.until(done, "triage")
    assert r["triage"] == "done", r
    return r


def test_debug_frame_in_a_worker(daemon, crash, tmp_path):
    """.debug_frame is read by another library, which must live with the confinement too."""
    folder, _ = crash
    cc = os.environ.get("CC", "cc").split()[-1]
    subprocess.run([cc, "-O2", "-g", "-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
                    "-Wl,--build-id", "-o", "crash", folder / "crash.c"], cwd=tmp_path, check=True)
    subprocess.run(["./crash"], cwd=tmp_path, check=False, preexec_fn=core_limit)
    core = next(p for p in tmp_path.iterdir() if p.name.startswith("core"))
    assert put(daemon, tmp_path / "crash").status == 201
    frames_of(daemon, core.read_bytes(), "a")
    assert daemon.metrics()["triage_killed_total"] == 0 and daemon.metrics()["symbols_asked_total"] > 0


def put(daemon, path, **kw):
    return daemon.put(f"/v1/symbols/{os.path.basename(path)}", path.read_bytes(), headers=OCTETS, **kw)


def test_store_serves_workers(daemon, programs, crash):
    folder, core = crash
    dump = core.read_bytes()
    before = frames_of(daemon, dump, "a")
    for path in (folder / "images").iterdir():
        a = put(daemon, path)
        assert a.status == 201 and a.json["kind"] == "code" and a.json["unwind"], a
        assert put(daemon, path).json["duplicate"] is True
    listed = daemon.get("/v1/symbols").json
    assert listed["files"] == 2 and {s["name"] for s in listed["symbols"]} == {p.name for p in (folder / "images").iterdir()}
    after = frames_of(daemon, dump + b"\0", "b")  # another dump as far as its hash goes
    assert after["signature"] == before["signature"]
    # names bring one more rung, and nothing else
    rungs = daemon.get("/v1/signatures?rungs=1").json["signatures"]
    functions = [s for s in rungs if s["rung"] == "function"]
    assert [(s["title"], s["hosts"]) for s in functions] == [("crash!boom", 1)]
    assert daemon.get(f"/v1/signatures/{functions[0]['id']}").json["title"] == "crash!boom"
    assert daemon.metrics()["symbols_asked_total"] > 0
    assert daemon.metrics()["triage_killed_total"] == 0


def test_store_survives_kill_and_mess(daemon, crash):
    folder, _ = crash
    image = folder / "images" / "crash"
    stored = put(daemon, image).json
    daemon.kill()
    store = os.path.join(daemon.data, "symbols")
    with open(os.path.join(store, "incoming", "77.part"), "wb") as f:
        f.write(b"half")
    os.unlink(os.path.join(store, "by-id", "code", stored["code_id"]))
    os.symlink("../../files/00/gone", os.path.join(store, "by-id", "code", "00ff"))
    daemon.start()
    assert [s["sha256"] for s in daemon.get("/v1/symbols").json["symbols"]] == [stored["sha256"]]
    assert os.listdir(os.path.join(store, "incoming")) == []
    assert not os.path.lexists(os.path.join(store, "by-id", "code", "00ff"))
    with open(os.path.join(store, "by-id", "code", stored["code_id"]), "rb") as f:
        assert f.read() == image.read_bytes()
    assert daemon.delete(f"/v1/symbols/{stored['sha256']}").json == {"removed": True}
    assert daemon.delete(f"/v1/symbols/{stored['sha256']}").status == 404
    assert daemon.get("/v1/symbols").json["files"] == 0 and os.listdir(os.path.join(store, "by-id", "code")) == []


@pytest.mark.parametrize("body,code", [
    (b"just text", "symbols_unknown"),
    (b"", "empty"),
    (b"MZ" + b"\0" * 100, "symbols_unknown"),
    (b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x03\0\x3e\0" + b"\xff" * 44, "symbols_damaged"),
    (b"MODULE Linux x86_64 \n", "symbols_damaged"),
])
def test_garbage_is_refused(daemon, body, code):
    a = daemon.put("/v1/symbols/x", body, headers=OCTETS)
    assert a.status >= 400 and a.json["error"]["code"] == code, a
    assert daemon.get("/v1/symbols").json == {"files": 0, "bytes": 0, "symbols": [], "next": None}


def test_tokens(make_daemon, crash, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-secret-secret\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens))
    image = crash[0] / "images" / "crash"
    good = {"Authorization": "Bearer secret-secret-secret"}

    def upload(headers):
        return d.put("/v1/symbols/crash", image.read_bytes(), headers={**OCTETS, **headers})

    def remove(sha256, headers):
        return request(d.api_port, "DELETE", f"/v1/symbols/{sha256}", headers={"Content-Type": "application/json", **headers})
    assert upload({}).status == 401 and upload({"Authorization": "Bearer secret"}).status == 401
    assert d.get("/v1/symbols").json["files"] == 0
    stored = upload(good)
    assert stored.status == 201
    assert remove(stored.json["sha256"], {}).status == 401
    assert remove(stored.json["sha256"], good).json == {"removed": True}


def test_killed_in_the_middle_of_an_upload(daemon, crash):
    image = (crash[0] / "images" / "crash").read_bytes() + bytes(8 << 20)
    with socket.create_connection(("127.0.0.1", daemon.api_port)) as s:
        s.sendall(b"PUT /v1/symbols/crash HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/octet-stream\r\n"
                  b"Content-Length: %d\r\n\r\n" % (daemon.api_port, len(image)) + image[:len(image) // 2])
        incoming = os.path.join(daemon.data, "symbols", "incoming")
        daemon.until(lambda: os.listdir(incoming), "upload that has begun", seconds=20)
        daemon.kill()
    daemon.start()
    assert os.listdir(incoming) == [] and daemon.get("/v1/symbols").json["files"] == 0
    assert put(daemon, crash[0] / "images" / "crash").status == 201


def test_limits(make_daemon, crash):
    folder, _ = crash
    image = folder / "images" / "crash"
    d = make_daemon(**{"max-symbol-file": "4K"})
    a = put(d, image)
    assert a.status == 413 and a.json["error"]["code"] == "symbols_too_large"
    d = make_daemon(**{"symbol-bytes": "4K"})
    a = put(d, image)
    assert a.status == 503 and a.json["error"]["code"] == "symbols_full"
    assert d.get("/v1/symbols").json["bytes"] == 0


def test_command(daemon, programs, crash):
    folder, core = crash
    server = ["--server", f"http://127.0.0.1:{daemon.api_port}"]

    def run(*args, status=0):
        p = subprocess.run([programs.faultline, "symbols", *map(str, args)], capture_output=True, text=True, timeout=60, check=False)
        assert p.returncode == status, p
        return p
    out = run("add", *server, folder).stdout  # the core and the source are no images
    assert out.splitlines()[-1] == "2 added, 1 there before, 2 other files passed over"
    rows = [json.loads(line) for line in run("list", *server, "--json").stdout.splitlines()]
    assert len(rows) == 2
    assert run("add", *server, folder / "crash.c", status=1).stderr
    got = triage(programs, "--symbols", os.path.join(daemon.data, "symbols"), core)  # the store itself, in place
    assert got["frames"][4]["function"] == "cmp"
    run("rm", *server, rows[0]["code_id"])
    run("rm", *server, rows[1]["sha256"])
    run("rm", *server, "00ff", status=1)
    assert run("list", *server).stdout == ""
