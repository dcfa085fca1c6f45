# SPDX-License-Identifier: Apache-2.0
"""Silence over the API: states of hosts, why they count as dark, receipts without receipts."""


def beat(daemon, hosts, **more):
    a = daemon.ingest("POST", "/v1/heartbeats", {"heartbeats": [
        {"host": h, "boot_id": "b", "interval_s": 60, **more} for h in hosts]})
    assert a.status == 200, a


def test_states_and_deadlines(daemon):
    beat(daemon, [f"h{i}" for i in range(5)])
    beat(daemon, ["gone"])
    beat(daemon, ["gone"], goodbye=True)
    daemon.until(lambda: len(daemon.get("/v1/hosts?state=goodbye").json["hosts"]) == 1, "the goodbye")
    page = daemon.get("/v1/hosts?state=active&limit=3").json
    assert len(page["hosts"]) == 3 and page["next"] is not None
    rest = daemon.get(f"/v1/hosts?state=active&limit=9&cursor={page['next']}").json
    assert len(rest["hosts"]) == 2 and rest["next"] is None
    assert daemon.get("/v1/hosts?state=dark").json["hosts"] == []
    assert daemon.get("/v1/hosts?state=asleep").status == 400
    assert daemon.get("/v1/hosts").status == 400
    host = daemon.get("/v1/hosts/h1").json
    assert host["state"] == "active"
    assert host["silence"]["limit_seconds"] == 240 and host["silence"]["deadline"] is not None
    assert daemon.get("/v1/hosts/gone").json["silence"]["deadline"] is None
    fleet = daemon.get("/v1/silence").json
    assert (fleet["alive"], fleet["dark"], fleet["blind_since"]) == (5, 0, None)


def test_content_and_plan_as_receipts(daemon):
    beat(daemon, [f"h{i}" for i in range(20)], content=[{"name": "channel", "version": "290"}])
    plan = {"content": {"name": "channel", "version": "291"}, "assignment": "hash"}
    assert daemon.put("/v1/deployments/dep", plan).status == 201
    assert daemon.get("/v1/deployments/dep").json["plan"]["content"] == plan["content"]
    assert daemon.get("/v1/deployments/dep/verdict").json["receipts"] == "none"
    assert daemon.post("/v1/deployments/dep/receipts", {"percent": 10}).json["receipts"] == "plan"
    verdict = daemon.get("/v1/deployments/dep").json
    assert verdict["served"] == 2 and verdict["silent"] == 0
    assert daemon.post("/v1/deployments/dep/receipts", {"percent": 0}).status == 400
