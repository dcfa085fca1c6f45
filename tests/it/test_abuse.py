# SPDX-License-Identifier: Apache-2.0
"""Bad input and abuse of the halt: each has a defined result (docs/HALT.md, "Who votes"; docs/API.md)."""
import time

import pytest

import fleet
from stream_help import Stream, client_frame, field


def verdict(daemon, name="d1"):
    return daemon.get(f"/v1/deployments/{name}/verdict").json


def crash_all(daemon, hosts, **more):
    last = None
    for i in hosts:
        last = fleet.crash(daemon, i, **more)
    fleet.folded(daemon, last)


JSON = {"Content-Type": "application/json"}
LONG = "z" * 65536


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "a%2Fb", "..%2F", "%00", "%3Cscript%3E", "x" * 129, "a'b", "a%0Ab"])
def test_ids_of_deployments(daemon, name):
    a = daemon.put(f"/v1/deployments/{name}", {})
    assert a.status in (400, 404), a
    assert daemon.get("/v1/deployments").json["deployments"] == []


def test_parameters_out_of_range_and_long_texts(daemon):
    for halt in (b'{"alpha":0}', b'{"alpha":-1}', b'{"alpha":1}', b'{"alpha":NaN}', b'{"alpha":1e999}', b'{"alpha":null}',
                 b'{"rho":0.5}', b'{"delta":2}', b'{"min_resolved":0}', b'{"harm_budget":0}', b'{"heartbeat":"0s"}',
                 b'{"beta":0}', b'{"shadow":true}'):
        a = daemon.put("/v1/deployments/d1", b'{"halt":' + halt + b"}", headers=JSON)
        assert a.status == 400, halt
    for plan in ({"version": LONG}, {"artefact": LONG}, {"modules": [LONG]}, {"actor": LONG}, {"content": {"name": LONG, "version": "1"}},
                 {"rings": [{"name": LONG}]}, {"eligible": {"sites": [LONG]}}, {"modules": ["m"] * 65}):
        a = daemon.put("/v1/deployments/d1", plan)
        assert a.status == 400 and a.json["error"]["field"], plan.keys()
    assert daemon.get("/v1/deployments/d1").status == 404
    fleet.deploy(daemon, served=0)
    assert daemon.post("/v1/deployments/d1/halt", {"reason": LONG}).status == 400
    assert daemon.post("/v1/deployments/d1/receipts", {"hosts": [LONG]}).json["error"]["code"] == "invalid_host_id"
    assert verdict(daemon)["state"] == "nothing_served"


def test_receipts_for_nobody(daemon):
    """Unknown hosts exist from then on and do not vote; unknown deployments are refused, also on the stream."""
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)
    a = daemon.post("/v1/deployments/d1/receipts", {"hosts": [f"nobody-{i}" for i in range(100000)]})
    assert a.status == 200 and a.json["served"] == 100000 and a.json["verdict"] == "hold"
    assert daemon.post("/v1/deployments/none/receipts", {"hosts": ["h"]}).status == 404
    s = Stream(daemon)
    s.send(client_frame(2, 5, field(1, field(1, "none") + field(2, "h"))))
    s.ack(2)  # it is in the log; the ledger refuses and counts it
    daemon.until(lambda: daemon.metrics()["changes_refused_total"] == 1, "the refused receipt")
    assert daemon.get("/v1/deployments/none").status == 404


def test_forged_crashes_from_one_site(daemon):
    """Whatever one site sends, it halts nothing alone; a ring that is all at that site is not told to proceed either."""
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)
    ring = range(0, 4 * 10, 4)
    daemon.post("/v1/deployments/d1/receipts", {"hosts": [fleet.host(i) for i in ring]})
    for _ in range(3):
        crash_all(daemon, ring)
    v = verdict(daemon)
    assert (v["verdict"], v["state"], v["bad"]) == ("hold", "too_few_resolved", 10)
    assert "excludes no hazard" in v["reason"]
    standing = daemon.get("/v1/deployments/d1/evidence").json["standings"][0]
    assert standing["sites"] == 1 and standing["sites_needed"] == 2 and "too few" in standing["why"]


def test_a_thousand_clones_behind_one_address(daemon):
    """One identity on many machines is one host and one vote."""
    fleet.beat(daemon)
    fleet.deploy(daemon)
    reports = [{"host": fleet.host(0), "boot_id": f"clone-{i}", "kind": "kernel", "module": "csagent.sys", "module_id": "1",
                "offset": "0x1", "reason": "X", "labels": {"site": f"site-{i}"}} for i in range(1000)]
    daemon.report(reports)
    fleet.folded(daemon, daemon.report(reports[0])["id"])
    v = verdict(daemon)
    assert v["verdict"] == "hold" and v["bad"] == 1


def test_made_up_hosts(make_daemon):
    """A new host id at each boot votes neither against a deployment nor, as a control, for it."""
    daemon = make_daemon(halt_host_age="1h")
    fleet.deploy(daemon, served=0)
    fleet.beat(daemon)
    daemon.post("/v1/deployments/d1/receipts", {"hosts": [fleet.host(i) for i in range(20)]})
    crash_all(daemon, range(12))
    crash_all(daemon, range(100, 160))
    e = daemon.get("/v1/deployments/d1/evidence").json
    assert e["verdict"] == "hold" and e["assumptions"]["host_age_seconds"] == 3600
    votes = daemon.get("/v1/deployments/d1/votes").json
    assert not any(v["counted"] for v in votes["votes"])


def test_receipts_after_the_crash(daemon):
    """They do not make it a vote against the deployment, unless they say that it was served before."""
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)
    began = time.time()
    crash_all(daemon, range(12))
    hosts = [fleet.host(i) for i in range(12)]
    v = daemon.post("/v1/deployments/d1/receipts", {"hosts": hosts}).json
    assert (v["verdict"], v["bad"]) == ("hold", 0)
    fleet.deploy(daemon, "d2", served=0)
    crash_all(daemon, range(20, 32))
    v = daemon.post("/v1/deployments/d2/receipts", {
        "hosts": [fleet.host(i) for i in range(20, 32)],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 60))}).json
    assert v["bad"] == 12 and v["verdict"] == "halt"


def test_clocks_hours_off(daemon):
    """Behind: no vote against it; ahead: the time of arrival."""
    fleet.beat(daemon)
    fleet.deploy(daemon, served=24)
    stamp = lambda hours: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + hours * 3600))  # noqa: E731
    crash_all(daemon, range(12), occurred=stamp(-5))
    assert verdict(daemon)["bad"] == 0
    crash_all(daemon, range(12, 24), occurred=stamp(5))
    assert verdict(daemon)["bad"] == 12


def test_nobody_to_compare_with(daemon):
    """One host, or everybody: said, and no halt and no false proof."""
    fleet.beat(daemon)
    fleet.deploy(daemon, "one", served=1)
    fleet.deploy(daemon, "all", served=fleet.HOSTS)
    for name in ("one", "all"):
        v = verdict(daemon, name)
        assert v["cannot_certify"] and v["verdict"] == "hold", name
    crash_all(daemon, range(40))
    assert verdict(daemon, "all")["verdict"] == "hold"
    assert verdict(daemon, "one")["verdict"] == "hold"


def test_two_in_one_ring(make_daemon):
    """The other one of a pair that cannot be told apart goes on when a person says so, never by itself."""
    daemon = make_daemon(halt_watch_pause="1s", bake="1s")
    fleet.beat(daemon)
    fleet.deploy(daemon, "a")
    fleet.deploy(daemon, "b")
    crash_all(daemon, range(8))
    assert sorted(verdict(daemon, n)["state"] for n in "ab") == ["co_suspect", "halted"]
    bad, other = ("a", "b") if verdict(daemon, "a")["state"] == "halted" else ("b", "a")
    assert daemon.delete(f"/v1/deployments/{bad}").status == 409
    assert daemon.delete(f"/v1/deployments/{bad}?force=1").status == 200
    fleet.beat(daemon)
    ticks = daemon.metrics()["log_records_total"] + 4
    daemon.until(lambda: daemon.metrics()["log_records_total"] > ticks, "ticks after the pause of a watch")
    assert verdict(daemon, other)["state"] == "co_suspect"
    a = daemon.post(f"/v1/deployments/{other}/release", {"reason": "it was the other one"})
    assert a.status == 200 and a.json["state"] != "co_suspect"
