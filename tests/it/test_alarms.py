# SPDX-License-Identifier: Apache-2.0
"""Alarms without a deployment, of the real daemon."""
import fleet

HOSTS = 24


def site(i):
    return {"labels": {"site": f"town-{i % 12}"}}


def beat(daemon):
    a = daemon.ingest("POST", "/v1/heartbeats", [
        {"host": fleet.host(i), "boot_id": f"boot-{i}", "product": "sensor", "os": "windows", "os_build": "22631", **site(i)}
        for i in range(HOSTS)])
    assert a.status == 200, a
    daemon.until(lambda: daemon.get("/v1/now").json["hosts"]["recent"] >= HOSTS, "the fleet")


def test_the_brake_is_heard(daemon):
    assert daemon.get("/v1/alarms").json["alarms"] == []
    events = fleet.Events(daemon)
    beat(daemon)
    for i in range(12):
        last = fleet.crash(daemon, i, **site(i))
    fleet.folded(daemon, last)
    alarm = events.wait("alarm", lambda d: d["kind"] == "brake")["data"]
    assert alarm["title"] == "csagent.sys+0xe14ed" and alarm["sites"] >= 10 and alarm["cleared"] is None
    assert alarm["level"] == "alarm" and not alarm["certified"] and "heuristic" in alarm["text"]
    listed = daemon.get("/v1/alarms").json
    assert alarm in listed["alarms"] and listed["server"] == "live"
    assert alarm in daemon.get("/v1/now").json["alarms"]
    metrics = daemon.get("/metrics").text
    assert f"faultline_alarms_open {len(listed['alarms'])}\n" in metrics
    assert f"faultline_alarms_total {len(listed['alarms'])}\n" in metrics
    # the stream of one deployment does not carry it, and a restart keeps it
    events.close()
    daemon.restart()
    again = daemon.get("/v1/alarms").json["alarms"]
    assert [a["id"] for a in again] == [a["id"] for a in listed["alarms"]]


def test_one_town_is_no_alarm(daemon):
    beat(daemon)
    for i in range(HOSTS):
        last = fleet.crash(daemon, i, labels={"site": "town-1"})
    fleet.folded(daemon, last)
    assert daemon.get("/v1/alarms").json["alarms"] == []


def test_what_is_learned(daemon):
    learned = daemon.get("/v1/learned").json
    assert learned["known_signatures"]["kappa"] == 4 and not learned["new_kernel_signatures"]["learned"]
    benign = learned["new_kernel_signatures"]["benign"]
    assert abs(sum(b["share"] for b in benign) - 1) < 1e-9 and benign[-1]["hosts_per_million_host_hours"] == 1e6
    assert learned["rings"] == [] and learned["deployments"]["harmless"] == 0
    assert daemon.get("/v1/learned?x=1").status == 400
