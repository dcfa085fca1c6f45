# SPDX-License-Identifier: Apache-2.0
"""faultline replay: the log of a stopped daemon gives the same verdicts again."""
import json
import subprocess

import pytest

from conftest import FAULTLINE
from fleet import bad_rollout, deploy


def replay(*arguments):
    return subprocess.run([FAULTLINE, "replay", *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          check=False)


@pytest.fixture(name="halted")
def halted_(make_daemon):
    """A stopped daemon whose log holds a halted deployment, and what its API said about it."""
    daemon = make_daemon()
    bad_rollout(daemon, "d1")
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json.get("recorded", True), "its decision in the log")
    said = daemon.get("/v1/deployments/d1/verdict").json
    deploy(daemon, "d2")
    daemon.stop()
    return daemon, said


def test_same_verdict(halted):
    daemon, said = halted
    got = replay(daemon.data, "--json")
    assert got.returncode == 0, got.stdout + got.stderr
    told = json.loads(got.stdout)
    assert told["whole"] and told["differences"] == []
    verdicts = {d["id"]: d for d in told["deployments"]}
    assert verdicts["d1"]["verdict"] == "halt" and verdicts["d1"]["state"] == "halted"
    assert verdicts["d1"]["recorded"]
    assert verdicts["d1"]["reason"] == said["reason"]
    assert verdicts["d2"]["verdict"] == "hold"
    evidence = verdicts["d1"]["evidence"]
    assert evidence["served_with"] >= 3 and evidence["served_sites"] >= 2
    assert [v["served"] for v in evidence["votes"]].count(True) == evidence["served_with"]
    # the same log, folded again: the same state to the last bit
    assert json.loads(replay(daemon.data + "/log", "--json").stdout)["digest"] == told["digest"]


def test_until(halted):
    daemon, _ = halted
    told = json.loads(replay(daemon.data, "--json").stdout)
    votes = next(d for d in told["deployments"] if d["id"] == "d1")["evidence"]["votes"]
    before = replay(daemon.data, "--json", "--until", int(votes[0]["position"]) - 1)
    assert before.returncode == 0
    early = json.loads(before.stdout)
    assert int(early["position"]) <= int(votes[0]["position"])
    assert next(d for d in early["deployments"] if d["id"] == "d1")["verdict"] == "hold"
    none = json.loads(replay(daemon.data, "--json", "--until", "2001-01-01T00:00:00Z").stdout)
    assert none["records"] == 0 and none["deployments"] == []


def test_text(halted):
    daemon, said = halted
    got = replay(daemon.data)
    assert got.returncode == 0
    assert "d1: halt (halted) since " in got.stdout
    assert said["reason"] in got.stdout
    assert "vote  1 " in got.stdout and "served" in got.stdout
    assert got.stderr == ""  # no progress when nobody watches


def test_refusals(tmp_path):
    assert replay(tmp_path / "missing").returncode == 2
    assert replay(tmp_path, "--until", "yesterday").returncode == 2
    assert replay().returncode == 2
    got = replay("--help")
    assert got.returncode == 0 and "--until" in got.stdout
