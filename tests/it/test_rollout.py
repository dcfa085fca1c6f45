# SPDX-License-Identifier: Apache-2.0
"""A real rollout loop: docs/examples/rollout.sh promotes rings by `faultline gate`, hosts live on real sockets."""
import http.server
import os
import subprocess
import threading
import time

import pytest

HOSTS, SITES = 800, 16
RINGS = (60, 200, 540)


class Fleet:
    """Hosts that beat twice a second, and an update server that installs on them what it is told to."""

    def __init__(self, daemon, harmed):
        self.daemon, self.harms = daemon, harmed  # harmed(i): does the payload kill host i?
        self.installed, self.dead = [], set()
        self.stop, self.failed = threading.Event(), None
        outer = self

        class Install(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.install([int(line.removeprefix("pc-")) for line in body.split()])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Install)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.beats()
        daemon.until(lambda: daemon.get(f"/v1/hosts/pc-{HOSTS - 1}").status == 200, "the hosts")
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def host(self, i):
        return {"host": f"pc-{i}", "boot_id": f"boot-{i}", "product": "sensor", "os": "windows", "os_build": "22631",
                "labels": {"site": f"site-{i % SITES}"}}

    def beats(self):
        alive = [i for i in range(HOSTS) if i not in self.dead]
        for first in range(0, len(alive), 400):
            a = self.daemon.ingest("POST", "/v1/heartbeats", [self.host(i) for i in alive[first:first + 400]])
            assert a.status == 200, a

    def live(self):
        try:
            while not self.stop.wait(0.5):
                self.beats()
        except Exception as e:  # pylint: disable=broad-except
            self.failed = e

    def install(self, hosts):
        self.installed += hosts
        for i in filter(self.harms, hosts):
            time.sleep(0.02)  # as if they took a moment
            self.dead.add(i)
            self.daemon.report({**self.host(i), "kind": "kernel", "module": "csagent.sys", "module_id": "66907e3b56000",
                                "offset": "0xe14ed", "reason": "PAGE_FAULT_IN_NONPAGED_AREA", "reason_code": "0x50"})

    def close(self):
        self.stop.set()
        self.thread.join()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def rollout(daemon, programs, tmp_path):
    fleets = []

    def run(harmed, wait):
        f = Fleet(daemon, harmed)
        fleets.append(f)
        order = sorted(range(HOSTS), key=lambda i: hash((i * 2654435761) % 2**32))  # drawn at random, once
        rings, first = [], 0
        for n, size in enumerate(RINGS):
            rings.append(tmp_path / f"ring-{n}")
            rings[-1].write_text("".join(f"pc-{i}\n" for i in order[first:first + size]))
            first += size
        a = daemon.put("/v1/deployments/d1", {"artefact": "sensor-content", "version": "291-32", "bake": "2s",
                                              "modules": ["csagent.sys"], "assignment": "hash"})
        assert a.status == 201, a
        env = {**os.environ, "PATH": os.path.dirname(programs.faultline) + ":" + os.environ["PATH"], "WAIT": wait,
               "BATCH": "10", "FAULTLINE_SERVER": f"http://127.0.0.1:{daemon.api_port}"}
        p = subprocess.run([os.path.join(programs.srcdir, "docs", "examples", "rollout.sh"), "d1",
                            f"curl -sSf --data-binary @- http://127.0.0.1:{f.server.server_address[1]}/install",
                            *map(str, rings)], env=env, capture_output=True, text=True, timeout=240, check=False)
        assert f.failed is None, f.failed
        return p, f

    yield run
    for f in fleets:
        f.close()


def test_a_good_payload_goes_through_all_rings(daemon, rollout):
    p, fleet = rollout(lambda i: False, "120s")
    assert p.returncode == 0, p
    assert sorted(fleet.installed) == list(range(HOSTS)) and not fleet.dead
    v = daemon.get("/v1/deployments/d1/verdict").json
    assert (v["verdict"], v["served"], v["bad"]) == ("proceed", HOSTS, 0)


def test_a_bad_payload_ends_in_the_first_ring(daemon, rollout):
    p, fleet = rollout(lambda i: True, "60s")
    assert p.returncode == 11 and "HALTED" in p.stderr and "csagent.sys" in p.stdout, p
    # seven crashes decide; the batch of ten that is under way is what it costs
    assert 3 <= len(fleet.dead) <= 20 and len(fleet.installed) <= 20, (len(fleet.dead), len(fleet.installed))
    v = daemon.get("/v1/deployments/d1/verdict").json
    assert v["verdict"] == "halt" and v["served"] == len(fleet.installed)


def test_a_payload_that_harms_one_in_eight(daemon, rollout):
    p, fleet = rollout(lambda i: i % 8 == 3, "8s")
    assert p.returncode in (10, 11), p
    # the first ring (60 hosts, about eight harmed) is not certified, or the second halts soon
    assert len(fleet.installed) <= RINGS[0] + RINGS[1] and len(fleet.dead) <= 30, (len(fleet.dead), len(fleet.installed))
    assert daemon.get("/v1/deployments/d1/verdict").json["verdict"] != "proceed"
