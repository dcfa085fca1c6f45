# SPDX-License-Identifier: Apache-2.0
"""faultline sim and send against the real daemon."""
import json
import os
import subprocess

import pytest


def sim(programs, daemon, *arguments):
    p = subprocess.run([programs.faultline, "sim", "--stream", f"127.0.0.1:{daemon.stream}", "--server",
                        f"http://127.0.0.1:{daemon.api_port}", "--json", *arguments],
                       capture_output=True, text=True, timeout=240, check=False)
    return p.returncode, json.loads(p.stdout) if p.stdout else p.stderr


FLEET = ["--hosts", "1500", "--sites", "6", "--connections", "12", "--bake", "1s", "--interval", "500ms"]


def test_a_bad_payload_is_halted_in_its_ring(daemon, programs):
    code, r = sim(programs, daemon, *FLEET, "--rings", "60,400,rest", "--bad-ring", "2", "--serve-rate", "100")
    assert code == 11, r
    assert r["outcome"] == "halted" and r["verdict"] == "halt" and r["ring"] == 2
    assert r["signature"].startswith("csagent.sys+0xe14ed")
    assert 60 < r["served"] < 460 and 3 <= r["harmed"] < 100
    assert 0 < r["acked"] <= r["sent"]
    assert r["refused"] == 0 and r["disconnects"] == 0
    v = daemon.get(f"/v1/deployments/{r['deployment']}/verdict").json
    assert v["verdict"] == "halt" and v["served"] == r["served"]


def test_a_good_payload_is_served_to_the_end(daemon, programs):
    code, r = sim(programs, daemon, *FLEET, "--rings", "60,400,rest", "--bad-ring", "0", "--serve-rate", "5000",
                  "--ring-wait", "40s")
    assert code == 0, r
    assert r["outcome"] == "completed" and r["served"] == 1500 and r["harmed"] == 0


def test_load_is_acknowledged(daemon, programs):
    code, r = sim(programs, daemon, "--load", "--connections", "4", "--batch", "32", "--duration", "1s")
    assert code == 0, r
    assert r["sent"] == r["acked"] > 1000 and r["refused"] == 0
    daemon.until(lambda: daemon.get("/v1/now").json["reports"]["counted"] == r["acked"], "every report counted once")


def test_nobody_there(programs):
    p = subprocess.run([programs.faultline, "sim", "--load", "--stream", "127.0.0.1:1", "--duration", "1s"],
                       capture_output=True, text=True, timeout=60, check=False)
    assert p.returncode == 1 and "cannot connect" in p.stderr
    for bad in (["--hosts", "0"], ["--rings", "many"], ["--hazard", "2"], ["extra"]):
        assert subprocess.run([programs.faultline, "sim", *bad], capture_output=True, timeout=60, check=False).returncode == 2


def send(programs, daemon, *arguments):
    return subprocess.run([programs.faultline, "send", "--server", f"http://127.0.0.1:{daemon.listen}", "--api",
                           f"http://127.0.0.1:{daemon.api_port}", *arguments],
                          capture_output=True, text=True, timeout=120, check=False)


def test_send_prints_an_id_that_can_be_asked_for(daemon, programs, tmp_path):
    dump = tmp_path / "not-a-dump"
    dump.write_bytes(b"MDMP" + bytes(5000))
    p = send(programs, daemon, "--product", "demo", "--version", "1.0", "--host", "lab-1", str(dump))
    assert p.returncode == 0 and p.stderr == ""
    report = daemon.get(f"/v1/reports/{p.stdout.strip()}")
    assert report.status == 200 and report.json["product"] == "demo"
    p = send(programs, daemon, "--json", "--wait=30s", str(dump), str(tmp_path / "missing"))
    assert p.returncode == 1
    first, second = (json.loads(line) for line in p.stdout.splitlines())
    assert first["triage"] == "unreadable" and "error" in second
    assert send(programs, daemon).returncode == 2


def test_send_waits_for_the_signature(daemon, programs):
    corpus = os.environ.get("FAULTLINE_CORPUS", os.path.join(programs.srcdir, "..", "shared", "corpus"))
    sample = os.path.join(corpus, "breakpad", "ascii_read_av.dmp")
    if not os.path.exists(sample):
        pytest.skip("no corpus of real dumps here")
    p = send(programs, daemon, "--wait", sample)
    assert p.returncode == 0 and "crashme.exe+0xa6cd [s1-" in p.stdout, p
