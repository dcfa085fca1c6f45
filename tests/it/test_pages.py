# SPDX-License-Identifier: Apache-2.0
"""The documents of the dashboard, its actions and its stream, against the real daemon."""
import math
import threading

import fleet

TOKEN = "0123456789abcdef-operator"


def text_of(parts):
    return "".join(p["text"] for p in parts)


def page(daemon, deployment="d1", more="", **k):
    a = daemon.get(f"/v1/deployments/{deployment}?view=page{more}", **k)
    assert a.status == 200, a
    return a.json


def now(daemon):
    return daemon.get("/v1/now").json


def bad_rollout(daemon):
    """Halted, and the engine's decision is in the log."""
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["recorded"], "the engine's decision")


def until_now(daemon, condition, what):
    return daemon.until(lambda: (lambda n: n if condition(n) else None)(now(daemon)), what)


def test_now_says_what_is_wrong_and_what_runs(daemon):
    n = until_now(daemon, lambda n: n["verdict"]["state"] == "clear", "all clear")
    assert n["verdict"]["summary"] == "All clear. No deployment is running."
    assert n["fleet"]["alive"]["usual"] is None and n["fleet"]["alive"]["usual_from"] > n["time"]
    assert len(n["fleet"]["dark"]["spark"]["v"]) == 96 and len(n["rates"]["all"]) == 180
    bad_rollout(daemon)
    n = until_now(daemon, lambda n: n["verdict"]["state"] == "halt" and n["new_signatures"] and
                  n["new_signatures"][0]["hosts"] == fleet.BAD, "the halt")
    v = n["verdict"]
    assert v["headline"] == "HALTED: d1" and v["deployment"] == "d1" and v["status"] == "halt"
    assert v["summary"].startswith(f"It makes csagent.sys crash: {fleet.BAD} of 10 exposed hosts, 0 of 230 others. ")
    assert text_of(v["summary_parts"]) == v["summary"] and v["headline"] in v["copy_text"]
    d = n["deployments"][0]
    assert d["because"] == d["reason"] == text_of(d["because_parts"])
    assert d["log10_odds"] > 6 and d["harmed"] == fleet.BAD and d["rings"][0]["state"] == "halt"
    assert n["fleet"]["crashing_10m"]["value"] == fleet.BAD
    assert sum(x or 0 for x in n["rates"]["kernel"]) == fleet.BAD
    assert [x["kind"] for x in n["rates"]["annotations"]] == ["start", "halt"]
    s = n["new_signatures"][0]
    assert s["deployment"] == "d1" and s["status"] == "halt" and s["hosts"] == fleet.BAD
    # the worst first
    daemon.put("/v1/deployments/a-new-one", fleet.PLAN)
    n = until_now(daemon, lambda n: n["deployments_total"] == 2, "the second")
    assert [d["id"] for d in n["deployments"]] == ["d1", "a-new-one"]
    for old in ("hosts", "reports", "arrivals", "counters", "largest", "newest", "rising", "alarms", "as_of"):
        assert old in n
    assert isinstance(n["as_of"], str) and n["freshness"]["ledger"] == n["as_of"]


def test_not_modified(daemon):
    bad_rollout(daemon)
    for path in ("/v1/now", "/v1/deployments/d1?view=page", "/v1/deployments?view=page"):
        for _ in range(20):  # a tick may come between the two
            a = daemon.get(path)
            assert a.headers["Cache-Control"] == "no-cache"
            b = daemon.get(path, headers={"If-None-Match": a.headers["ETag"]})
            if b.status == 304:
                break
        assert b.status == 304 and b.body == b""
        assert daemon.get(path, headers={"If-None-Match": '"0-0"'}).status == 200
    a = daemon.get("/v1/deployments/d1?view=page")
    b = daemon.get("/v1/deployments/d1?view=page&key=dark")
    assert a.headers["ETag"].split("-")[1] != b.headers["ETag"].split("-")[1]


def test_the_page_of_a_deployment(daemon):
    bad_rollout(daemon)
    p = page(daemon)
    assert p["summary"] == text_of(p["summary_parts"]) == daemon.get("/v1/deployments/d1/verdict").json["reason"]
    assert "harmless" in p["summary"] and "Crossed at" in p["summary"]
    assert p["latched"] and p["certified"] and p["manifest"] == ["csagent.sys"]
    key = p["key"]
    assert key["key"] == "module:csagent.sys" and key["in_manifest"] and key["materiality_met"]
    odds = key["weight"] * math.prod(v["factor"] for v in p["votes"] if v["counted"])
    assert math.isclose(math.log10(odds), key["log10_odds"], abs_tol=1e-4)
    assert p["votes_total"] == len(p["votes"]) == fleet.BAD
    assert [v["reached"] for v in p["votes"]][-1] == "halt" and [v["reached"] for v in p["votes"]].count("watch") == 1
    assert [v["n"] for v in p["votes"]] == list(range(1, fleet.BAD + 1))
    assert p["votes"][0]["host"].startswith("h:") and p["votes"][0]["site"] == fleet.site(0)
    assert p["table"]["exposed"] == {"crashed": fleet.BAD, "at_risk": 10}
    assert p["table"]["control"] == {"crashed": 0, "at_risk": 230}
    assert sum(p["per_minute"]["served"]) == 10 and sum(p["per_minute"]["crashed"]) == fleet.BAD
    assert p["rings"][0]["text"] == "stopped at 10 of 10" and p["rings"][1]["state"] == "not_started"
    b = p["blast"]
    assert b["harmed"] == fleet.BAD and b["projected_if_resumed"] == round(fleet.BAD / 10 * 230)
    assert p["replay_token"].endswith(daemon.get("/v1/deployments/d1").json["halted_at"])
    assert p["decisions"][0]["action"] == "halt" and p["decisions"][0]["automatic"]
    assert p["signatures"][0]["title"] == "csagent.sys+0xe14ed" and p["signatures"][0]["first_seen_ever"]
    # another key; more votes
    other = page(daemon, more="&key=s1-ffffffffffffffff")
    assert other["key"] is None and other["votes"] == []
    for k in p["keys"]:
        assert page(daemon, more="&key=" + k["id"])["key"]["id"] == k["id"]
    rest = daemon.get("/v1/deployments/d1?view=votes&from=4").json
    assert [v["n"] for v in rest["votes"]] == [5, 6] and rest["votes_next"] is None
    assert daemon.get("/v1/deployments/d1?view=votes&limit=2").json["votes_next"] == 2
    for bad in ("view=x", "view=page&key=x", "view=votes&limit=0", "view=votes&from=x"):
        assert daemon.get("/v1/deployments/d1?" + bad).status == 400
    assert daemon.get("/v1/deployments/d9?view=page").status == 404


def test_a_hold_says_what_is_missing(daemon):
    fleet.beat(daemon)
    daemon.put("/v1/deployments/d1", fleet.PLAN)
    p = page(daemon)
    assert p["status"] == "hold" and [x["kind"] for x in p["needed"]] == ["served"] and p["key"] is None
    fleet.deploy(daemon)
    p = page(daemon)
    assert [x["kind"] for x in p["needed"]] == ["hosts", "bake"] and p["summary"].startswith("Wait: 0 of 10 hosts")
    assert p["needed"][0]["have"] == 0 and p["needed"][0]["need"] == 10


def test_list(daemon):
    bad_rollout(daemon)
    for i in range(3):
        daemon.put(f"/v1/deployments/x{i}", fleet.PLAN)
    until_now(daemon, lambda n: n["deployments_total"] == 4, "all")
    a = daemon.get("/v1/deployments?view=page").json
    assert a["deployments"][0]["id"] == "d1" and a["total"] == 4 and a["next"] is None
    assert a["facets"]["status"]["halt"] == 1 and a["facets"]["open"] == 4
    assert [d["id"] for d in daemon.get("/v1/deployments?view=page&state=halt").json["deployments"]] == ["d1"]
    assert daemon.get("/v1/deployments?view=page&q=x&limit=2").json["total"] == 3
    two = daemon.get("/v1/deployments?view=page&limit=2&sort=newest").json
    assert [d["id"] for d in two["deployments"]] == ["x2", "x1"] and two["next"] == "2"
    rest = daemon.get("/v1/deployments?view=page&limit=2&sort=newest&cursor=2").json
    assert [d["id"] for d in rest["deployments"]] == ["x0", "d1"] and rest["next"] is None
    assert daemon.get("/v1/deployments?view=x").status == 400


def test_two_people_act_at_once(daemon):
    bad_rollout(daemon)
    seen = page(daemon)["position"]
    answers = []

    def act(who):
        answers.append(daemon.post("/v1/deployments/d1/resume",
                                   {"reason": f"{who} rolled it back", "actor": who, "expect_position": seen}))

    people = [threading.Thread(target=act, args=(who,)) for who in ("anna", "bert")]
    for t in people:
        t.start()
    for t in people:
        t.join()
    assert sorted(a.status for a in answers)[0] == 200
    first = next(a for a in answers if a.status == 200).json["decision"]
    late = daemon.post("/v1/deployments/d1/pause", {"reason": "x", "expect_position": seen})
    assert late.status == 409, late
    e = late.json
    assert e["error"]["code"] == "conflict" and e["error"]["field"] == "expect_position"
    assert "resumed it at" in e["error"]["message"] and e["verdict"]["verdict"] == "hold"
    assert e["decision"]["action"] == "resume" and first["action"] == "resume"
    assert daemon.post("/v1/deployments/d1/pause", {"reason": "x", "expect_position": e["position"]}).status == 200
    assert daemon.post("/v1/deployments/d1/pause", {"reason": "x", "expect_position": "12"}).status == 400


def test_a_halt_that_came_meanwhile_is_not_resumed_unseen(daemon):
    fleet.beat(daemon)
    daemon.put("/v1/deployments/d1", fleet.PLAN)
    seen = page(daemon)["position"]
    bad_rollout(daemon)
    assert daemon.post("/v1/deployments/d1/resume", {"reason": "x", "expect_position": seen}).status == 409
    assert daemon.post("/v1/deployments/d1/halt", {"reason": "x", "expect_position": seen}).status == 200


def test_acknowledge_and_history_survive(daemon):
    bad_rollout(daemon)
    assert daemon.post("/v1/deployments/d1/ack", {}).status == 400
    a = daemon.post("/v1/deployments/d1/ack", {"reason": "on it", "actor": "anna"}).json
    assert a["verdict"] == "halt" and a["acknowledged"]["actor"] == "anna" and a["decision"]["action"] == "ack"
    before = until_now(daemon, lambda n: n["verdict"]["acknowledged"], "the acknowledgement")
    daemon.restart()
    after = now(daemon)
    assert after["verdict"]["acknowledged"] == before["verdict"]["acknowledged"]
    assert after["fleet"]["crashing_10m"]["value"] == fleet.BAD
    assert sum(x or 0 for x in after["rates"]["all"]) == fleet.BAD
    daemon.kill()
    daemon.start()
    p = page(daemon)
    assert [d["action"] for d in p["decisions"]] == ["halt", "ack"] and p["acknowledged"]["reason"] == "on it"
    daemon.post("/v1/deployments/d1/resume", {"reason": "fixed"})
    p = page(daemon)
    assert p["acknowledged"] is None and [d["action"] for d in p["resumes"]] == ["resume"]
    assert math.isclose(p["thresholds"]["alpha_spent"], 1.5e-6)


def test_the_same_key_acts_once(daemon):
    bad_rollout(daemon)
    body, key = {"reason": "on it"}, {"Idempotency-Key": "once-1"}
    a = daemon.post("/v1/deployments/d1/ack", body, headers=key)
    b = daemon.post("/v1/deployments/d1/ack", body, headers=key)
    assert a.status == b.status == 200 and a.body == b.body
    assert "Idempotent-Replay" not in a.headers and b.headers["Idempotent-Replay"] == "true"
    assert len(page(daemon)["decisions"]) == 2
    assert daemon.post("/v1/deployments/d1/ack", {"reason": "other"}, headers=key).status == 409
    assert daemon.post("/v1/deployments/d1/ack", body, headers={"Idempotency-Key": "a b"}).status == 400
    # what was refused was not done: the key is free again
    assert daemon.post("/v1/deployments/d2/ack", body, headers=key).status == 404
    daemon.put("/v1/deployments/d2", fleet.PLAN)
    assert daemon.post("/v1/deployments/d2/ack", body, headers=key).status == 200


def own_page(daemon, **more):
    return {"Origin": f"http://127.0.0.1:{daemon.api_port}", "X-Faultline": "1", **more}


def test_signed_in_by_cookie(make_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN + "\n")
    tokens.chmod(0o600)
    d = make_daemon(**{"token-file": str(tokens)})
    bearer = {"Authorization": "Bearer " + TOKEN}
    assert d.get("/v1/session").json["role"] == "viewer" and d.get("/v1/now").json["can"] == ["read"]
    assert d.post("/v1/session", {"token": "wrong-wrong-wrong-wrong"}, headers=own_page(d)).status == 401
    a = d.post("/v1/session", {"token": TOKEN}, headers=own_page(d))
    assert a.status == 200 and a.json["role"] == "operator"
    cookie = {"Cookie": a.headers["Set-Cookie"].split(";")[0]}
    assert "ack" in d.get("/v1/now", headers=cookie).json["can"]
    d.put("/v1/deployments/d1", fleet.PLAN, headers=bearer)
    act = lambda headers: d.post("/v1/deployments/d1/halt", {"reason": "x"}, headers=headers).status  # noqa: E731
    assert act(cookie) == 403
    assert act({**cookie, "Origin": "http://evil.example", "X-Faultline": "1"}) == 403
    assert act({**cookie, **own_page(d)}) == 200
    # a resume of a halt asks for the id
    resume = lambda body, headers: d.post("/v1/deployments/d1/resume", body, headers=headers)  # noqa: E731
    a = resume({"reason": "x"}, {**cookie, **own_page(d)})
    assert a.status == 400 and a.json["error"]["field"] == "confirm"
    assert resume({"reason": "x", "confirm": "d2"}, {**cookie, **own_page(d)}).status == 400
    assert resume({"reason": "x", "confirm": "d1"}, {**cookie, **own_page(d)}).status == 200
    assert act(bearer) == 200 and resume({"reason": "x"}, bearer).status == 200  # programs are not asked
    # the token is taken out of the file
    tokens.write_text("another-token-0123456789\n")
    d.send_signal(1)
    d.until(lambda: d.get("/v1/session", headers=cookie).json["signed_in"] is False, "the end of the session")
    assert act({**cookie, **own_page(d)}) == 401


def test_topics(daemon):
    fleet.beat(daemon)
    daemon.put("/v1/deployments/d1", fleet.PLAN)
    daemon.put("/v1/deployments/d2", fleet.PLAN)
    s, other = fleet.Events(daemon, query="?topics=now,deployment:d1"), fleet.Events(daemon, query="?topics=deployment:d2")
    assert s.wait("hello") and "freshness" in s.wait("ping")["data"]
    first = s.wait("now")["data"]
    assert "spark" not in first["fleet"]["alive"] and "counters" not in first and "can" not in first
    bad_rollout(daemon)
    halt = s.wait("verdict", lambda d: d["verdict"] == "halt")
    assert halt["data"]["deployment"] == "d1" and halt["data"]["status"] == "halt"
    told = s.wait("now", lambda d: d["verdict"]["state"] == "halt")
    assert told["data"]["verdict"]["headline"] == "HALTED: d1" and "id" not in told
    s.wait("deployment", lambda d: d["deployment"] == "d1")
    daemon.post("/v1/deployments/d2/pause", {"reason": "lunch"})
    paused = other.wait("verdict", lambda d: d["state"] == "paused")
    assert paused["data"]["deployment"] == "d2" and paused["data"]["status"] == "hold"
    assert s.wait("verdict", lambda d: d["state"] == "paused")  # of everything: it asked for now
    assert not [e for e in other.seen if e["event"] in ("now", "counters", "signature")]
    assert not [e for e in s.seen if e["event"] in ("counters", "signature")]
    n = len([e for e in s.seen if e["event"] == "ping"])
    with s.news:
        assert s.news.wait_for(lambda: len([e for e in s.seen if e["event"] == "ping"]) > n, 30)
    s.close()
    other.close()
    # go on after the halt: the pause of d2 is there, what was before is not
    s = fleet.Events(daemon, query=f"?topics=verdicts&last_event_id={halt['id']}")
    again = s.wait("verdict")
    assert again["data"]["deployment"] == "d2" and int(again["id"]) > int(halt["id"])
    s.close()
    s = fleet.Events(daemon, query="?topics=now&last_event_id=1")
    assert s.wait("reset")
    s.close()
    for bad in ("?topics=", "?topics=x", "?topics=deployment:", "?topics=" + ",".join(["now"] * 9)):
        assert daemon.get("/v1/stream" + bad).status == 400


def test_hostile_texts_are_json_and_nothing_else(daemon):
    fleet.beat(daemon)
    evil = "</script><img src=x onerror=alert(1)>\u202e\u200b'\""
    daemon.report({"host": "h1", "kind": "kernel", "module": "a" * 200 + "<b>.sys", "module_id": "1", "offset": "0x1",
                   "reason": evil})
    a = daemon.put("/v1/deployments/d1", {**fleet.PLAN, "artefact": "<script>", "version": "<i>1</i>"})
    assert a.status == 201, a
    a = daemon.post("/v1/deployments/d1/halt", {"reason": evil, "actor": "<b>anna</b>"})
    assert a.status == 200, a
    n = until_now(daemon, lambda n: n["verdict"]["state"] == "halt", "the halt")
    n = until_now(daemon, lambda n: n["new_signatures"], "the signature")
    assert evil in n["verdict"]["summary"] and text_of(n["verdict"]["summary_parts"]) == n["verdict"]["summary"]
    assert len(n["new_signatures"][0]["title"]) <= 256
    a = daemon.get("/v1/deployments/d1?view=page")
    assert a.headers["Content-Type"] == "application/json" and a.headers["X-Content-Type-Options"] == "nosniff"
    assert a.json["decisions"][0]["reason"] == evil
