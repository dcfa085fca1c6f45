# SPDX-License-Identifier: Apache-2.0
"""faultline gate against the real daemon: its exit status is a contract."""
import json
import os
import subprocess
import threading
import time

import pytest

import fleet

PROCEED, UNSURE, HOLD, HALT = 0, 2, 10, 11


@pytest.fixture
def gate(daemon, programs):
    def run(*args, status):
        done = subprocess.run([programs.faultline, "gate", *args], text=True, capture_output=True, check=False, timeout=60,
                              env={**os.environ, "FAULTLINE_SERVER": f"http://127.0.0.1:{daemon.api_port}"})
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done
    return run


def clean_rollout(daemon):
    """Sixty of 240 hosts served long enough ago, and alive since: proceed."""
    fleet.beat(daemon, n=240)
    fleet.deploy(daemon, served=0, bake="1s", rings=[{"name": "canary", "hosts": 60}, {"name": "rest"}])
    daemon.post("/v1/deployments/d1/receipts", {"hosts": [fleet.host(i) for i in range(60)]})
    served = time.monotonic()

    def resolved():
        if time.monotonic() - served > 1.2:
            fleet.beat(daemon, n=60)
        return daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "proceed"
    daemon.until(resolved, "a proceed")


def test_hold_then_halt(daemon, gate):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    assert gate("d1", status=HOLD).stdout.startswith("hold: ")
    began = time.monotonic()
    gate("d1", "--wait", "700ms", status=HOLD)
    assert time.monotonic() - began >= 0.7

    def bad():
        time.sleep(0.3)
        for i in range(fleet.BAD):
            fleet.crash(daemon, i)
    t = threading.Thread(target=bad)
    t.start()
    out = gate("d1", "--wait", "30s", status=HALT)  # leaves on the first halt
    t.join()
    assert out.stdout.startswith("halt: ") and "csagent.sys" in out.stdout
    assert "hold: " in out.stderr  # what it waited for was said
    assert json.loads(gate("d1", "--json", status=HALT).stdout)["verdict"] == "halt"
    assert gate("d1", "--quiet", status=HALT).stdout == ""


def test_proceed_and_the_size_of_the_next_ring(daemon, gate):
    clean_rollout(daemon)
    assert gate("d1", "--wait", "30s", status=PROCEED).stdout.startswith("proceed: ")
    allowed = daemon.get("/v1/deployments/d1/verdict").json["next_ring_max"]
    assert allowed > 0
    gate("d1", "--next", str(allowed), status=PROCEED)
    out = gate("d1", "--next", str(allowed + 1), status=HOLD)
    assert str(allowed) in out.stdout
    began = time.monotonic()
    gate("d1", "--next", str(allowed * 100), "--wait", "1s", status=HOLD)
    assert 0.9 < time.monotonic() - began < 10


def test_cannot_tell(daemon, gate):
    assert "no such deployment" in gate("nosuch", status=UNSURE).stderr
    gate("nosuch", "--unknown", "proceed", status=UNSURE)  # a wrong name is never a proceed
    away = ("d1", "--server", "http://127.0.0.1:1")
    assert "cannot reach" in gate(*away, status=UNSURE).stderr
    gate(*away, "--unknown", "hold", status=HOLD)
    gate(*away, "--unknown=proceed", status=PROCEED)
    began = time.monotonic()
    gate(*away, "--wait", "1s", status=UNSURE)
    assert time.monotonic() - began >= 0.9
    gate("d1", "--wait", "soon", status=UNSURE)
    gate(status=UNSURE)


def test_the_server_comes_back_while_we_wait(daemon, programs):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    daemon.settings["api-listen"] = f"127.0.0.1:{daemon.api_port}"
    p = subprocess.Popen([programs.faultline, "gate", "d1", "--wait", "60s", "--server", f"127.0.0.1:{daemon.api_port}"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    daemon.until(lambda: daemon.metrics()["connections_api"] >= 1, "the waiter")
    daemon.kill()
    daemon.start()
    daemon.post("/v1/deployments/d1/halt", {"reason": "phones ring"})
    out, _ = p.communicate(timeout=60)
    assert p.returncode == HALT and "phones ring" in out
