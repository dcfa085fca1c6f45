# SPDX-License-Identifier: Apache-2.0
"""Dumps that reach the server: signatures are computed there, by confined workers, and are
those of `faultline triage`."""
import gzip
import hashlib
import json
import os
import subprocess

import pytest

OCTETS = {"Content-Type": "application/octet-stream"}


def corpus(programs, kind):
    folder = os.path.join(programs.srcdir, "tests", "fuzz", "corpus", kind)
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}


def by_hand(programs, path):
    p = subprocess.run([programs.faultline, "triage", "--json", path], capture_output=True, text=True, timeout=60, check=False)
    return json.loads(p.stdout.splitlines()[0])


def send(daemon, dump, claim):
    answer = daemon.report({"kind": "user", "has_dump": True, **claim})
    assert answer["want_dump"], answer
    a = daemon.ingest("PUT", answer["put_url"], dump, headers=OCTETS)
    assert a.status == 200 and a.json["stored"], a
    return answer["id"]


def triaged(daemon, report):
    def done():
        r = daemon.get(f"/v1/reports/{report}").json
        return r if r["triage"] not in (None, "waiting") else None
    return daemon.until(done, f"triage of {report}")


@pytest.mark.parametrize("kind", ["minidump", "elfcore", "kdump"])
def test_server_finds_what_the_command_finds(daemon, programs, tmp_path, kind):
    sent = {}
    for n, (name, dump) in enumerate(corpus(programs, kind).items()):
        path = tmp_path / name
        path.write_bytes(dump)
        expected = by_hand(programs, str(path))
        claim = {"host": f"h{n}", "module": f"claimed{n}.so", "module_id": "ab", "offset": n, "reason": "SIGSEGV"}
        sent[send(daemon, dump, claim)] = (name, expected)
    assert len(sent) >= 3
    for report, (name, expected) in sent.items():
        got = triaged(daemon, report)
        assert got["dump"]["kept"] is True  # also when it came after its report
        if expected.get("signature") is None or expected.get("error"):
            continue
        if expected["signature"]["module"] is None:
            assert got["triage"] == "done" and got["signature"] == got["claimed"]["signature"]  # a claim says more than a stop code
            continue
        assert got["triage"] == "done", (name, got)
        assert got["signature"] == expected["signature"]["id"], (name, got, expected)
        assert got["claimed"] != got["signature"], name  # what the client said is kept beside it
    assert daemon.metrics()["triage_killed_total"] == 0


def test_kernel_dump_is_filed_under_its_driver(daemon, programs):
    """A stop code is counted at once; the dump files it under the driver that a client with better eyes named."""
    july = corpus(programs, "kdump")["july-triage"]
    stop = {"kind": "kernel", "reason": "PAGE_FAULT_IN_NONPAGED_AREA", "reason_code": "0x50", "os_build": "10.0.19041.4651",
            "params": ["0xffff840500000074", "0x0", "0xfffff80620cc14ed", "0x2"]}
    blind = daemon.report({"host": "a", "has_dump": True, **stop})
    named = daemon.report({"host": "b", "kind": "kernel", "module": "C:\\Windows\\System32\\drivers\\CSagent.sys",
                           "module_id": "668D9A8F2AB000", "offset": "0xe14ed", "reason": "PAGE_FAULT_IN_NONPAGED_AREA"})
    assert named["signature"] == "s1-fb4b63ca582e8b69" and blind["signature"] != named["signature"]
    a = daemon.ingest("PUT", blind["put_url"], july, headers=OCTETS)
    assert a.status == 200, a
    assert triaged(daemon, blind["id"])["signature"] == named["signature"]
    rows = {r["id"]: r for r in daemon.get("/v1/signatures?sort=hosts").json["signatures"]}
    assert rows[named["signature"]]["hosts"] == 2


def test_kernel_dump_without_a_driver(daemon, programs, tmp_path):
    """A dump that comes as a user's and names nobody: its stop code is counted, as a kernel crash."""
    dump = corpus(programs, "kdump")["process-died"]
    (tmp_path / "dump").write_bytes(dump)
    expected = by_hand(programs, str(tmp_path / "dump"))["signature"]
    assert expected["module"] is None and expected["rule"] == "stop-code"
    report = daemon.report({"host": "a", "kind": "user", "has_dump": True})["id"]
    assert put(daemon, report, dump)["stored"]
    assert triaged(daemon, report)["signature"] == expected["id"]
    rows = {r["id"]: r for r in daemon.get("/v1/signatures?sort=hosts").json["signatures"]}
    assert rows[expected["id"]]["hosts"] == 1


def test_compressed_dumps_are_the_dumps_in_them(daemon, programs):
    dump = corpus(programs, "minidump")["linux-x64"]
    claim = {"module": "claimed.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV"}
    plain = triaged(daemon, send(daemon, dump, {"host": "a", **claim}))
    packed = triaged(daemon, send(daemon, gzip.compress(dump), {"host": "b", **claim}))
    cut = triaged(daemon, send(daemon, gzip.compress(dump)[:-8], {"host": "c", **claim}))
    assert plain["triage"] == packed["triage"] == cut["triage"] == "done"
    assert plain["signature"] == packed["signature"] == cut["signature"]


def test_bomb_costs_nothing_else(daemon, programs):
    """1 GiB of zeros in a megabyte: refused by the limits of a worker, and the next dump is read."""
    bomb = gzip.compress(bytes(64 << 20), 9)
    bomb = bomb * 20  # members of one file
    claim = {"module": "claimed.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV"}
    bad = send(daemon, bomb, {"host": "a", **claim})
    good = send(daemon, corpus(programs, "minidump")["linux-x64"], {"host": "b", **claim})
    assert triaged(daemon, bad)["triage"] == "unreadable"
    assert triaged(daemon, good)["triage"] == "done"
    assert daemon.metrics()["triage_killed_total"] == 0


def kept(daemon, sha256):
    return os.path.exists(os.path.join(daemon.data, "dumps", sha256[:2], sha256))


def test_dump_is_kept_as_it_came(daemon, programs):
    dump = corpus(programs, "minidump")["linux-x64"]
    report = send(daemon, dump, {"host": "a", "module": "x.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV"})
    triaged(daemon, report)
    sha = hashlib.sha256(dump).hexdigest()
    path = os.path.join(daemon.data, "dumps", sha[:2], sha)
    assert os.stat(path).st_mode & 0o777 == 0o400
    with open(path, "rb") as f:
        assert f.read() == dump


def put(daemon, report, dump):
    a = daemon.ingest("PUT", f"/v1/dumps/{report}", dump, headers=OCTETS)
    assert a.status == 200, a
    return a.json


def test_enough_dumps_of_a_signature_are_enough(make_daemon, programs, tmp_path):
    daemon = make_daemon(dumps_per_signature=2)
    dump = corpus(programs, "minidump")["linux-x64"]
    (tmp_path / "dump").write_bytes(dump)
    found = by_hand(programs, str(tmp_path / "dump"))
    claim = {"kind": "user", "has_dump": True, "reason": found["reason"],
             **{k: found["signature"][k] for k in ("module", "module_id", "offset")}}
    # no more are asked for
    answers = [daemon.report({"host": f"h{n}", **claim}) for n in range(5)]
    assert [a["want_dump"] for a in answers] == [True, True, False, False, False]
    assert answers[0]["signature"] == found["signature"]["id"]
    # and no more are kept once they are known
    hashes = []
    for n, a in enumerate(answers[:3]):
        hashes.append(put(daemon, a["id"], dump + bytes([n])).get("sha256"))
        if hashes[-1]:
            triaged(daemon, a["id"])
    daemon.until(lambda: sum(h is not None and kept(daemon, h) for h in hashes) == 2, "two dumps to be left")
    rows = daemon.get("/v1/signatures?sort=hosts").json["signatures"]
    assert [r["crashes"] for r in rows if r["id"] == found["signature"]["id"]] == [5]  # counted all the same


def test_false_claims_do_not_widen_the_quota(make_daemon, programs):
    daemon = make_daemon(dumps_per_signature=2)
    dump = corpus(programs, "minidump")["linux-x64"]
    hashes = []
    for n in range(4):  # each claims something else, all are the same crash
        claim = {"host": f"h{n}", "kind": "user", "module": f"lie{n}.so", "module_id": "ab", "offset": n, "reason": "SIGSEGV"}
        report = daemon.report({"has_dump": True, **claim})["id"]
        hashes.append(put(daemon, report, dump + bytes([n]))["sha256"])
        assert triaged(daemon, report)["triage"] == "done"
    daemon.until(lambda: sum(kept(daemon, h) for h in hashes) == 2, "two dumps to be left")
    assert kept(daemon, hashes[0]) and kept(daemon, hashes[1])


def test_corpus(daemon, programs):
    """Every real dump and text through the confined workers, with every real image in the store: what the command says
    without any, and no worker lost."""
    folder = os.environ.get("FAULTLINE_CORPUS", os.path.join(programs.srcdir, "..", "shared", "corpus"))
    manifest = os.path.join(folder, "MANIFEST.tsv")
    if not os.path.exists(manifest):
        pytest.skip(f"GOLDEN CORPUS NOT CHECKED: no {manifest}; set FAULTLINE_CORPUS")
    with open(manifest, encoding="utf-8") as f:
        rows = [line.split("\t") for line in f.read().splitlines()[1:]]
    stored = 0
    for path, _, _, kind, *_ in rows:
        if kind.startswith(("breakpad-sym", "pe-", "elf-exec", "elf-dyn")):
            with open(os.path.join(folder, path), "rb") as f:
                stored += daemon.put(f"/v1/symbols/i{stored}", f.read(), headers=OCTETS).status == 201
    assert stored > 20
    compared = 0
    for n, (path, _, _, kind, size, *_) in enumerate(rows):
        if not any(word in kind for word in ("mdmp", "core", "kernel", "oops", "tombstone", "apple", "microdump")) or int(size) > 20 << 20:
            continue
        path = os.path.join(folder, path)
        with open(path, "rb") as f:
            got = triaged(daemon, send(daemon, f.read(), {"host": f"h{n}", "module": f"claimed{n}.so", "module_id": "ab", "offset": n,
                                                          "reason": "SIGSEGV"}))
        expected = by_hand(programs, path)
        assert got["triage"] == ("unreadable" if "error" in expected else "done"), (path, got)
        if (expected.get("signature") or {}).get("module"):
            assert got["signature"] == expected["signature"]["id"], (path, got)
            compared += 1
    assert compared > 90
    assert daemon.metrics()["triage_killed_total"] == 0 and daemon.metrics()["symbols_asked_total"] > 0
