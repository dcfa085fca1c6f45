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


def test_content_is_a_receipt(daemon):
    """Served since it was first heard with what the plan brings: in both forms of content."""
    beat(daemon, [f"h{i}" for i in range(20)], content={"channel": "290"})
    assert daemon.put("/v1/deployments/dep", {"content": {"name": "channel", "version": "291"}}).status == 201
    beat(daemon, ["h1", "h2"], content={"channel": "291"})
    beat(daemon, ["h3"], content=[{"name": "channel", "version": "291"}])
    beat(daemon, ["h4"], content=[{"name": "channel", "value": "292"}])
    daemon.until(lambda: daemon.get("/v1/deployments/dep").json["served"] == 3, "three inferred receipts")
    assert daemon.get("/v1/deployments/dep/verdict").json["receipts"] == "inferred"
    assert [s["deployment"] for s in daemon.get("/v1/hosts/h3").json["served"]] == ["dep"]


def fleet_of(daemon, hosts, **more):
    """Hosts at forty sites, each site its own relay, beating every two seconds."""
    for site in range(40):
        at_site = [{"host": f"q{i}", "boot_id": f"b{i}", "interval_s": 2, "product": "p", "labels": {"site": f"s{site}"}, **more}
                   for i in hosts if i % 40 == site]
        if at_site:
            assert daemon.ingest("POST", "/v1/heartbeats", at_site).status == 200


def test_silence_and_boot_loops_halt(make_daemon):
    """Hosts that fall silent, and hosts that boot again and again, after they were served; nobody reports a crash."""
    daemon = make_daemon(halt_silence_grace="1s", halt_dark_window="1m", bake="3s")
    fleet_of(daemon, range(400))
    daemon.until(lambda: daemon.get("/v1/silence").json["alive"] == 400, "the fleet")
    for name, first in (("loop", 100), ("dark", 0)):
        assert daemon.put(f"/v1/deployments/{name}", {"assignment": "hash"}).status == 201
        daemon.post(f"/v1/deployments/{name}/receipts", {"hosts": [f"q{i}" for i in range(first, first + 40)]})
    for boot in range(4):
        for i in range(100, 140):
            daemon.ingest("POST", "/v1/heartbeats", {"host": f"q{i}", "boot_id": f"again-{boot}-{i}", "interval_s": 2,
                                                     "product": "p", "uptime_s": 5, "labels": {"site": f"s{i % 40}"}})

    def halted():
        fleet_of(daemon, range(40, 400))
        return {n: v for n in ("loop", "dark") for v in [daemon.get(f"/v1/deployments/{n}/verdict").json] if v["verdict"] == "halt"}

    daemon.until(lambda: "loop" in halted(), "the boot loops")
    v = daemon.until(lambda: halted().get("dark"), "the silence", 120)  # judged at the end of a minute
    assert v["silent"] == v["lost"] == 40 and "went dark" in v["reason"]
    for name, key in (("loop", "boot"), ("dark", "dark")):
        s = daemon.get(f"/v1/deployments/{name}/evidence?key={key}").json["standing"]
        assert s["table"]["served_with"] >= 3 and s["table"]["unserved_with"] == 0
        assert s["why"] == "It halted the deployment."
    assert len(daemon.get("/v1/hosts?state=dark&deployment=dark&limit=100").json["hosts"]) == 40
