# SPDX-License-Identifier: Apache-2.0
"""faultline offer, safeguards and webhooks against the real daemon."""
import json
import os
import subprocess

import pytest

import fleet
from test_webhooks import halt, hooked, receiver, section  # noqa: F401  pylint: disable=unused-import


@pytest.fixture
def cli(programs):
    def run(daemon, *args, status=0, stdin=None):
        done = subprocess.run([programs.faultline, *args], input=stdin, text=True, capture_output=True, check=False,
                              env={**os.environ, "FAULTLINE_SERVER": f"http://127.0.0.1:{daemon.api_port}"})
        assert done.returncode == status, (args, done.stdout, done.stderr)
        return done.stdout if status in (0, 3) else done.stderr
    return run


def test_offers(daemon, cli):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0, rings=[])
    assert cli(daemon, "offer", "d1", fleet.host(0)) == "yes: the ring of this host is open\n"
    assert daemon.get("/v1/deployments/d1/verdict").json["evidence"]["exposed"] == 0
    assert "(recorded)" in cli(daemon, "offer", "d1", fleet.host(0), "--take", "--actor", "cdn")
    assert daemon.get("/v1/deployments/d1/verdict").json["evidence"]["exposed"] == 1
    told = json.loads(cli(daemon, "offer", "d1", "a host & others", "--json"))
    assert told["known"] is False and told["offer"] is True
    assert daemon.post("/v1/deployments/d1/halt", {"reason": "no"}).status == 200
    assert cli(daemon, "offer", "d1", fleet.host(1), status=3).startswith("no: ")
    cli(daemon, "offer", "nothing", "h", status=1)
    assert "usage:" in cli(daemon, "offer", "d1", status=2)


def test_safeguards(daemon, cli):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0, rings=[])
    assert cli(daemon, "safeguards", "list", "d1") == "no safeguards\n"
    one = cli(daemon, "safeguards", "add", "d1", "--os-build", "22631", "--reason", "bad there", "--actor", "ann").split()
    assert one[0] == "added" and one[1].startswith("sg-")
    assert cli(daemon, "safeguards", "list", "d1").split() == [one[1], "stratum", "any", "22631", "any:", "bad", "there"]
    assert cli(daemon, "offer", "d1", fleet.host(0), status=3).startswith("no: ")
    assert cli(daemon, "safeguards", "remove", "d1", one[1], "--reason", "fixed") == f"removed {one[1]}\n"
    two = cli(daemon, "safeguards", "add", "d1", "--host", fleet.host(0), "--host", "elsewhere", "--reason", "lab").split()[1]
    out = cli(daemon, "safeguards", "check", "d1", fleet.host(1), "-", stdin=f"{fleet.host(0)}\nelsewhere\n", status=3)
    assert out == f"{fleet.host(0)} is held by {two}\nelsewhere is held by {two}\n2 held, 1 allowed\n"
    assert cli(daemon, "safeguards", "check", "d1", fleet.host(1)) == "0 held, 1 allowed\n"
    assert "reason" in cli(daemon, "safeguards", "add", "d1", "--os-build", "1", status=1)
    assert "usage:" in cli(daemon, "safeguards", "forget", "d1", status=2)


def test_webhooks(hooked, receiver, cli):  # noqa: F811  pylint: disable=redefined-outer-name
    desk, gone = receiver(), receiver(status=422)
    d = hooked(section(desk.port) + section(gone.port, name="gone", events="halt"))
    assert cli(d, "webhooks", "ping", "desk").startswith("1 queued as evt-")
    desk.wait(1)
    halt(d)
    gone.wait(1)
    d.until(lambda: d.get("/v1/webhooks/gone").json["dead"] == 1, "the dead letter")
    out = cli(d, "webhooks", "list", status=3)
    assert "desk" in out and "very-secret-path" not in out and "gone" in out
    out = cli(d, "webhooks", "show", "gone", status=3)
    assert "halt.raised" in out and "dead" in out
    gone.status = 200
    assert cli(d, "webhooks", "redeliver", "gone") == "1 queued\n"
    gone.wait(2)
    d.until(lambda: d.get("/v1/webhooks/gone").json["dead"] == 0, "the delivery")
    assert "no" in cli(d, "webhooks", "show", "nobody", status=1)
    assert "usage:" in cli(d, "webhooks", "forget", "desk", status=2)
