# SPDX-License-Identifier: Apache-2.0
"""Where a deployment must not be offered, and whether this host may have it now."""
import pytest

import fleet


def error(a):
    e = a.json["error"]
    return a.status, e["code"], e.get("field")


def offer(daemon, host, name="d1", **more):
    query = "".join(f"&{k}={v}" for k, v in more.items())
    return daemon.get(f"/v1/deployments/{name}/offer?host={host}{query}")


def why(daemon, host, **more):
    a = offer(daemon, host, **more).json
    assert a["offer"] == (a["why"] in ("ring_open", "served")) and a["reason"]
    return a["why"]


def guards(daemon, name="d1", query=""):
    return daemon.get(f"/v1/deployments/{name}/safeguard{query}").json


def guard(daemon, name="d1", **body):
    return daemon.post(f"/v1/deployments/{name}/safeguard", {"reason": "known to be bad there", **body})


def check(daemon, hosts, name="d1"):
    a = daemon.post(f"/v1/deployments/{name}/safeguard/check", {"hosts": hosts})
    assert a.status == 200, a
    return a.json


# ---- offers

def test_rings_open_by_rank(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)  # a canary of ten, then the rest
    first = [h for h in (fleet.host(i) for i in range(fleet.HOSTS)) if why(daemon, h) == "ring_open"]
    assert 2 <= len(first) <= 25  # ten, as ranks fall
    assert {offer(daemon, h).json["ring"] for h in first} == {"canary"}
    other = next(h for h in (fleet.host(i) for i in range(fleet.HOSTS)) if h not in first)
    a = offer(daemon, other).json
    assert (a["offer"], a["why"], a["ring"], a["known"]) == (False, "ring_closed", "rest", True)
    assert why(daemon, first[0], up_to="canary") == "ring_open"
    assert error(offer(daemon, first[0], up_to="nightly")) == (400, "invalid_field", "up_to")
    # the place of a host does not change
    assert [h for h in first if why(daemon, h) == "ring_open"] == first


def test_an_offer_that_is_taken_is_a_receipt(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)
    taken = 0
    for i in range(fleet.HOSTS):
        a = daemon.post("/v1/deployments/d1/offer", {"host": fleet.host(i), "actor": "cdn"})
        assert a.status == 200 and a.json["recorded"] == (a.json["why"] == "ring_open")
        if a.json["recorded"]:
            taken += 1
            assert why(daemon, fleet.host(i)) == "served"  # at once: it was durable before the answer
            assert daemon.get(f"/v1/hosts/{fleet.host(i)}").json["served"][0]["deployment"] == "d1"
    assert daemon.get("/v1/deployments/d1/verdict").json["served"] == taken > 0
    records = daemon.metrics()["log_records_total"]
    for i in range(fleet.HOSTS):  # nothing is recorded twice
        assert not daemon.post("/v1/deployments/d1/offer", {"host": fleet.host(i)}).json["recorded"]
    assert daemon.metrics()["log_records_total"] - records < fleet.HOSTS / 2


def test_what_forbids_an_offer(daemon):
    fleet.beat(daemon, n=4)
    fleet.deploy(daemon, served=0, rings=[], eligible={"sites": ["site-0", "site-1"]})
    assert why(daemon, fleet.host(0)) == "ring_open"
    assert offer(daemon, fleet.host(0)).json["ring"] is None
    assert why(daemon, fleet.host(2)) == "not_eligible"
    assert why(daemon, "never-heard-of") == "not_eligible"
    daemon.post("/v1/deployments/d1/receipts", {"hosts": [fleet.host(0)]})
    assert why(daemon, fleet.host(0)) == "served"
    daemon.post("/v1/deployments/d1/receipts", {"hosts": [fleet.host(0)], "withdrawn": True})
    assert why(daemon, fleet.host(0)) == "withdrawn"
    daemon.post("/v1/deployments/d1/pause", {"reason": "lunch"})
    assert why(daemon, fleet.host(1)) == "held"
    assert "lunch" in offer(daemon, fleet.host(1)).json["reason"]
    daemon.post("/v1/deployments/d1/resume", {"reason": "fed"})
    daemon.post("/v1/deployments/d1/halt", {"reason": "smoke"})
    a = daemon.post("/v1/deployments/d1/offer", {"host": fleet.host(1)}).json
    assert (a["offer"], a["why"], a["recorded"], a["verdict"]) == (False, "halted", False, "halt")


def test_offers_of_lists_and_nonsense(daemon):
    fleet.beat(daemon, n=2)
    fleet.deploy(daemon, served=0, assignment="listed")
    assert why(daemon, fleet.host(0)) == "listed"
    daemon.post("/v1/deployments/d1/receipts", {"hosts": [fleet.host(0)]})
    assert why(daemon, fleet.host(0)) == "served"
    assert error(daemon.get("/v1/deployments/d1/offer")) == (400, "invalid_parameter", "host")
    assert error(offer(daemon, "x" * 65)) == (400, "invalid_parameter", "host")
    assert error(offer(daemon, "x", name="nothing"))[:2] == (404, "unknown_deployment")
    assert error(daemon.post("/v1/deployments/d1/offer", {})) == (400, "invalid_field", "host")
    assert error(daemon.post("/v1/deployments/d1/offer", {"host": "a", "ring": "b"})) == (400, "invalid_field", "ring")


# ---- safeguards by a person

def test_strata_and_hosts_by_hand(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0, rings=[])
    assert guards(daemon)["safeguards"] == []
    a = guard(daemon, add={"os_build": "22631"}, actor="ann")
    assert a.status == 201 and a.json["added"].startswith("sg-")
    row, = guards(daemon)["safeguards"]
    assert (row["id"], row["kind"], row["product"], row["os_build"], row["automatic"]) == (a.json["added"], "stratum", "", "22631", False)
    assert (row["reason"], row["actor"]) == ("known to be bad there", "ann")
    refused = offer(daemon, fleet.host(0)).json
    assert refused["why"] == "safeguard" and refused["safeguard"]["id"] == a.json["added"]
    b = daemon.post("/v1/deployments/d1/safeguard", {"remove": a.json["added"], "reason": "fixed"})
    assert (b.status, b.json["removed"]) == (200, a.json["added"])
    assert why(daemon, fleet.host(0)) == "ring_open"
    assert error(daemon.post("/v1/deployments/d1/safeguard", {"remove": a.json["added"], "reason": "again"})) == (404, "unknown_safeguard", "remove")

    c = guard(daemon, add={"hosts": [fleet.host(0), fleet.host(1), "never-heard-of"]}).json["added"]
    told = check(daemon, [fleet.host(i) for i in range(5)] + ["never-heard-of"])
    assert [(h["index"], h["by"]) for h in told["held"]] == [(0, c), (1, c), (5, c)]
    assert (told["held_total"], told["allowed_total"], told["verdict"]) == (3, 3, "hold")
    assert {r["kind"] for r in guards(daemon)["safeguards"]} == {"host"}
    assert why(daemon, fleet.host(0)) == "safeguard" and why(daemon, fleet.host(2)) == "ring_open"


def test_safeguards_outlive_kill_and_snapshot(make_daemon):
    d = make_daemon(snapshot_interval="1s")
    fleet.beat(d, n=4)
    fleet.deploy(d, served=0, rings=[])
    fleet.deploy(d, "d2", served=0)
    first = guard(d, add={"product": "sensor"}).json["added"]
    guard(d, add={"hosts": [fleet.host(3)]})
    before = guards(d)["safeguards"]
    d.until(lambda: d.metrics()["snapshots_total"] >= 1, "a snapshot")
    for _ in range(2):
        d.kill()
        d.start()
        assert guards(d)["safeguards"] == before
        assert guards(d, "d2")["safeguards"] == []
        assert why(d, fleet.host(0)) == "safeguard"
    d.post("/v1/deployments/d1/safeguard", {"remove": first, "reason": "fixed"})
    done = d.metrics()["snapshots_total"]
    d.until(lambda: d.metrics()["snapshots_total"] > done + 1, "another snapshot")
    d.restart()
    assert len(guards(d)["safeguards"]) == 1 and why(d, fleet.host(0)) == "ring_open"


def test_pages(daemon):
    fleet.deploy(daemon, served=0)
    guard(daemon, add={"product": "sensor"})
    guard(daemon, add={"hosts": [f"h{i}" for i in range(25)]})
    guard(daemon, add={"hw_class": "laptop"})
    seen, cursor = [], ""
    for _ in range(20):
        page = guards(daemon, query=f"?limit=7{cursor}")
        assert len(page["safeguards"]) <= 7
        seen += page["safeguards"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [r["kind"] for r in seen] == ["stratum"] + ["host"] * 25 + ["stratum"]
    assert len({r["host"] for r in seen if r["kind"] == "host"}) == 25
    assert error(daemon.get("/v1/deployments/d1/safeguard?cursor=x")) == (400, "invalid_parameter", "cursor")


def test_bulk_of_a_hundred_thousand(daemon):
    fleet.deploy(daemon, served=0)
    held = [f"bulk-{i}" for i in range(0, 20000)]
    guard(daemon, add={"hosts": held})
    told = check(daemon, [f"bulk-{i}" for i in range(100000)])
    assert (told["held_total"], told["allowed_total"], len(told["held"])) == (20000, 80000, 20000)
    assert error(daemon.post("/v1/deployments/d1/safeguard/check", {"hosts": ["x"] * 100001})) == (400, "too_many_items", "hosts")
    assert error(daemon.post("/v1/deployments/d1/safeguard/check", {"hosts": []})) == (400, "invalid_field", "hosts")


@pytest.mark.parametrize("body, field", [
    ({"reason": "x"}, "add"), ({"add": {}, "reason": "x"}, "add.hosts"), ({"add": {"product": "a"}}, "reason"),
    ({"add": {"product": "a", "hosts": ["b"]}, "reason": "x"}, "add.hosts"), ({"remove": "7", "reason": "x"}, "remove"),
    ({"add": {"ring": "a"}, "reason": "x"}, "add.ring"), ({"add": {"product": "a"}, "remove": "sg-1", "reason": "x"}, "add")])
def test_bad_bodies(daemon, body, field):
    fleet.deploy(daemon, served=0)
    assert error(daemon.post("/v1/deployments/d1/safeguard", body)) == (400, "invalid_field", field)


# ---- safeguards by a halt

def test_strata_of_a_halt_and_after_it(daemon):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    row, = guards(daemon)["safeguards"]
    assert (row["id"], row["kind"], row["automatic"], row["product"], row["os_build"]) == ("halt", "stratum", True, "sensor", "22631")
    assert row["signature_id"].startswith("s1-")
    told = check(daemon, [fleet.host(1), "never-heard-of"])
    assert [(h["index"], h["by"]) for h in told["held"]] == [(0, "halt")] and told["verdict"] == "halt"
    assert daemon.post("/v1/deployments/d1/resume", {"reason": "only where it crashed is it bad"}).json["verdict"] != "halt"
    kept, = guards(daemon)["safeguards"]
    assert kept["id"].startswith("sg-") and kept["automatic"] and kept["signature_id"] == row["signature_id"]
    assert why(daemon, fleet.host(200)) == "safeguard"
    daemon.kill()
    daemon.start()
    assert guards(daemon)["safeguards"] == [kept]
    # muted: what halted it is not held against any stratum
    a = daemon.post("/v1/deployments/d1/mute", {"reason": "a false alarm", "signature": row["signature_id"], "for": "1h"})
    assert a.status == 200, a
    assert guards(daemon)["safeguards"] == [] and check(daemon, [fleet.host(1)])["held"] == []


def test_deleting_a_deployment_takes_its_safeguards_along(daemon):
    fleet.deploy(daemon, served=0)
    guard(daemon, add={"product": "sensor"})
    daemon.delete("/v1/deployments/d1?force=1")
    assert daemon.get("/v1/deployments/d1/safeguard").status == 404
    fleet.deploy(daemon, served=0)
    assert guards(daemon)["safeguards"] == []
