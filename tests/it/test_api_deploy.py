# SPDX-License-Identifier: Apache-2.0
"""Deployments, receipts, decisions and verdicts against the real daemon."""
import threading
import time

import fleet


def error(answer):
    e = answer.json["error"]
    return answer.status, e["code"], e.get("field")


def verdict(daemon, query="", name="d1", **k):
    return daemon.get(f"/v1/deployments/{name}/verdict{query}", **k)


def wait_verdict(daemon, word):
    return daemon.until(lambda: (v := verdict(daemon).json)["verdict"] == word and v, f"verdict {word}")


def test_put_is_idempotent_and_a_plan_comes_back(daemon):
    plan = {**fleet.PLAN, "eligible": {"products": ["sensor"], "sites": ["site-1"], "hosts": ["h:0123456789abcdef"]},
            "assignment": "site", "salt": "0x1f", "close_after": 3600, "mode": "shadow", "actor": "ci"}
    a = daemon.put("/v1/deployments/d1", plan)
    assert a.status == 201
    got = a.json["plan"]
    assert got["salt"] == "0x1f" and got["bake"] == 1800 and got["mode"] == "shadow"
    assert got["eligible"]["hosts"] == ["h:0123456789abcdef"]
    records = daemon.metrics()["log_records_total"]
    again = daemon.put("/v1/deployments/d1", {**plan, "actor": "someone else"})
    assert again.status == 200 and again.json["plan"] == got
    assert daemon.put("/v1/deployments/d1", got).status == 200  # what GET tells may be PUT
    ticks = daemon.metrics()["log_records_total"] - records
    assert daemon.get("/v1/deployments/d1").json["plan"] == got
    changed = daemon.put("/v1/deployments/d1", {**plan, "version": "291-33"})
    assert changed.status == 200 and changed.json["plan"]["version"] == "291-33"
    assert ticks < 20  # nothing but the daemon's own records


def test_the_salt_is_chosen_once(daemon):
    first = daemon.put("/v1/deployments/d1", fleet.PLAN).json["plan"]["salt"]
    assert first != "0x0"
    assert daemon.put("/v1/deployments/d1", {**fleet.PLAN, "version": "2"}).json["plan"]["salt"] == first
    assert daemon.put("/v1/deployments/d2", fleet.PLAN).json["plan"]["salt"] != first


def test_after_the_first_receipt_the_manifest_is_fixed(daemon):
    fleet.beat(daemon, n=5)
    fleet.deploy(daemon, served=0)
    assert daemon.put("/v1/deployments/d1", {**fleet.PLAN, "modules": ["a.sys"]}).status == 200
    assert daemon.put("/v1/deployments/d1", fleet.PLAN).status == 200
    fleet.deploy(daemon, served=1)
    for change in ({"modules": ["a.sys"]}, {"eligible": {"sites": ["site-1"]}}, {"salt": "0x77"}):
        a = daemon.put("/v1/deployments/d1", {**fleet.PLAN, **change})
        assert error(a) == (409, "conflict", "id"), change
    assert daemon.put("/v1/deployments/d1", {**fleet.PLAN, "version": "291-33"}).status == 200
    assert daemon.get("/v1/deployments/d1").json["plan"]["modules"] == ["csagent.sys"]


def test_bad_bodies_name_the_field(daemon):
    put = lambda body: error(daemon.put("/v1/deployments/d1", body))  # noqa: E731
    assert put({"rings": [{"name": "a", "hosts": -1}]}) == (400, "invalid_field", "rings[0].hosts")
    assert put({"modules": [7]}) == (400, "invalid_json_value", "modules[0]")
    assert put({"versoin": "1"}) == (400, "invalid_field", "versoin")
    assert put(b"{") [:2] == (415, "wrong_content_type")
    json_type = {"Content-Type": "application/json"}
    assert error(daemon.put("/v1/deployments/d1", b"{", headers=json_type))[:2] == (400, "invalid_json")
    assert error(daemon.put("/v1/deployments/a%20b", b"{}", headers=json_type)) == (400, "invalid_parameter", "id")
    assert daemon.get("/v1/deployments/d1").status == 404
    fleet.deploy(daemon, served=0)
    assert error(daemon.post("/v1/deployments/d1/receipts", {"hosts": []})) == (400, "invalid_field", "hosts")
    assert error(daemon.post("/v1/deployments/d1/receipts", {"ring": "x"})) == (400, "invalid_field", "ring")
    assert error(daemon.post("/v1/deployments/d1/halt", {})) == (400, "invalid_field", "reason")
    assert error(daemon.post("/v1/deployments/d2/receipts", {"hosts": ["a"]})) == (404, "unknown_deployment", None)
    assert daemon.discards("invalid_field") >= 4


def test_receipts_by_host_twice_withdrawn_and_by_ring(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)
    serve = lambda body: daemon.post("/v1/deployments/d1/receipts", body).json  # noqa: E731
    assert serve({"hosts": [fleet.host(0), fleet.host(1)]})["served"] == 2
    assert serve({"hosts": [fleet.host(1), fleet.host(2)]})["served"] == 3  # one of them twice
    assert daemon.get(f"/v1/hosts/{fleet.host(1)}").json["served"][0]["deployment"] == "d1"
    assert serve({"hosts": [fleet.host(2)], "withdrawn": True})["withdrawn"] == 1
    v = serve({"ring": "canary"})
    assert 10 <= v["served"] <= 13
    assert v["served"] + v["unserved"] == fleet.HOSTS == v["eligible"]


def test_many_receipts_in_one_request(daemon):
    fleet.deploy(daemon, served=0)
    a = daemon.post("/v1/deployments/d1/receipts", {"hosts": [f"bulk-{i}" for i in range(70000)]})
    assert a.status == 200, a
    assert a.json["served"] == 70000
    a = daemon.post("/v1/deployments/d1/receipts", {"hosts": [f"bulk-{i}" for i in range(100001)]})
    assert error(a) == (400, "too_many_items", "hosts")


def test_a_bad_rollout_is_halted_with_evidence(daemon):
    fleet.bad_rollout(daemon)
    v = wait_verdict(daemon, "halt")
    assert v["state"] == "halted" and "csagent.sys" in v["reason"]
    e = v["evidence"]
    assert (e["hosts"], e["exposed"], e["baseline_hosts"], e["baseline"]) == (fleet.BAD, 10, 0, fleet.HOSTS - 10)
    assert e["signature"] == "csagent.sys+0xe14ed" and e["sites"] == 4
    assert abs(e["share_served"] - 7 / 12) < 1e-5 and abs(e["share_unserved"] - 1 / 232) < 1e-5
    show = daemon.get("/v1/deployments/d1").json
    votes = show["evidence"]["votes"]
    assert len(votes) == fleet.BAD and all(x["served"] for x in votes)
    assert daemon.get(f"/v1/reports/{votes[0]['report']}").json["module"] == "csagent.sys"
    recorded = daemon.until(lambda: (x := verdict(daemon).json)["recorded"] and x, "the decision in the log")
    assert recorded["verdict"] == "halt"
    # the latch outlives the daemon, and a crash of it
    daemon.kill()
    daemon.start()
    assert verdict(daemon).json["verdict"] == "halt"
    # and only a person lifts it
    assert error(daemon.delete("/v1/deployments/d1")) == (409, "deployment_halted", None)
    a = daemon.post("/v1/deployments/d1/resume", {"reason": "was the lab", "actor": "ana"})
    assert a.status == 200 and a.json["verdict"] != "halt"
    assert daemon.post("/v1/deployments/d1/halt", {"reason": "no"}).json["state"] == "halted_by_person"
    a = daemon.delete("/v1/deployments/d1?force=1")
    assert a.status == 200 and a.json["deleted"]
    assert daemon.get("/v1/deployments/d1").status == 404
    assert daemon.get("/v1/deployments").json["deployments"] == []


def test_a_signature_is_accepted_muted_and_released(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    post = lambda verb, body: daemon.post(f"/v1/deployments/d1/{verb}", body)  # noqa: E731
    fleet.folded(daemon, fleet.crash(daemon, 200))
    key = daemon.get("/v1/signatures").json["signatures"][0]["id"]
    assert error(post("mute", {"reason": "known"})) == (400, "invalid_field", "signature")
    assert error(post("accept", {"signature": "csagent", "reason": "known"})) == (400, "invalid_field", "signature")
    assert error(post("accept", {"signature": key, "for": "1h", "reason": "known"}))[0] == 400
    assert error(post("mute", {"signature": key, "for": "0s", "reason": "known"})) == (400, "invalid_field", "for")
    assert error(post("mute", {"signature": key}))[0] == 400  # a person says why
    assert post("mute", {"signature": key, "for": "4h", "reason": "the lab's own"}).status == 200
    for i in range(fleet.BAD):
        fleet.folded(daemon, fleet.crash(daemon, i))
    assert verdict(daemon).json["verdict"] == "hold"
    assert post("release", {"signature": key, "reason": "not the lab's"}).status == 200
    for i in range(10):  # host 200 spoke for the deployment: more than six are needed
        fleet.crash(daemon, i, offset="0xe14ee")
    wait_verdict(daemon, "halt")


def test_people_pause_halt_and_resume(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    assert daemon.post("/v1/deployments/d1/pause", {"reason": "lunch"}).json["state"] == "paused"
    assert verdict(daemon).json["verdict"] == "hold"
    assert daemon.post("/v1/deployments/d1/resume", {"reason": "back"}).json["state"] != "paused"
    v = daemon.post("/v1/deployments/d1/halt", {"reason": "phones ring", "actor": "ana"}).json
    assert v["verdict"] == "halt" and "phones ring" in v["reason"]
    assert daemon.restart() and verdict(daemon).json["state"] == "halted_by_person"


def test_long_poll_semantics(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon, served=0)
    first = verdict(daemon)
    assert first.json["verdict"] == "hold" and first.json["state"] == "nothing_served"
    etag = first.headers["ETag"]

    began = time.monotonic()
    a = verdict(daemon, "?wait=300ms")
    assert time.monotonic() - began >= 0.3 and a.json["verdict"] == "hold"
    began = time.monotonic()
    a = verdict(daemon, "?wait=300ms", headers={"If-None-Match": etag})
    assert time.monotonic() - began >= 0.3 and (a.status, a.body) == (304, b"")
    assert verdict(daemon, headers={"If-None-Match": etag}).status == 304
    assert verdict(daemon, "?wait=30s", headers={"If-None-Match": '"other"'}).status == 200

    def later():
        time.sleep(0.2)
        fleet.deploy(daemon, served=10)
    t = threading.Thread(target=later)
    t.start()
    began = time.monotonic()
    a = verdict(daemon, "?wait=30s", headers={"If-None-Match": etag})  # any change ends it, even hold to hold
    assert 0.1 < time.monotonic() - began < 20
    assert a.json["state"] == "too_few_resolved" and a.headers["ETag"] != etag
    t.join()

    def bad():
        time.sleep(0.2)
        for i in range(fleet.BAD):
            fleet.crash(daemon, i)
    t = threading.Thread(target=bad)
    t.start()
    a = verdict(daemon, "?wait=30s")  # stays while hold
    assert a.json["verdict"] == "halt"
    t.join()
    began = time.monotonic()
    assert verdict(daemon, "?wait=30s").json["verdict"] == "halt"
    assert time.monotonic() - began < 5
    assert error(verdict(daemon, "?wait=1h")) == (400, "invalid_parameter", "wait")


def test_the_deciding_report_wakes_the_deployer(daemon):
    """Not a benchmark, but far above 50 ms something waits for a timer."""
    took = []
    fleet.beat(daemon)
    for n in range(5):
        name = f"d{n}"
        fleet.deploy(daemon, name)
        for i in range(fleet.BAD - 1):
            fleet.folded(daemon, fleet.crash(daemon, i, module=f"bad{n}.sys"))
        answer = []
        t = threading.Thread(target=lambda: answer.append((verdict(daemon, "?wait=30s", name).json, time.monotonic())))
        t.start()
        daemon.until(lambda: daemon.metrics()["connections_api"] >= 1, "the waiter")
        time.sleep(0.1)
        sent = time.monotonic()
        fleet.crash(daemon, fleet.BAD - 1, module=f"bad{n}.sys")
        t.join()
        assert answer[0][0]["verdict"] == "halt"
        took.append(answer[0][1] - sent)
        daemon.delete(f"/v1/deployments/{name}?force=1")
    assert min(took) < 0.5, took


def test_a_halt_is_told_while_catching_up_and_proceed_is_not(daemon):
    """After a restart the first answers come while the log is read, or later; none is a false proceed."""
    fleet.bad_rollout(daemon)
    wait_verdict(daemon, "halt")
    daemon.kill()
    daemon.start(wait=False)
    daemon.wait_listening()
    while daemon.get("/readyz").status != 200:
        a = verdict(daemon)
        assert a.status == 503 or a.json["verdict"] in ("hold", "halt")
    assert verdict(daemon).json["verdict"] == "halt"


def test_list_pages(daemon):
    for i in range(7):
        fleet.deploy(daemon, f"p{i}", served=0)
    page = daemon.get("/v1/deployments?limit=5").json
    assert [d["id"] for d in page["deployments"]] == [f"p{i}" for i in range(5)]
    page = daemon.get(f"/v1/deployments?limit=5&cursor={page['next']}").json
    assert [d["id"] for d in page["deployments"]] == ["p5", "p6"] and page["next"] is None
