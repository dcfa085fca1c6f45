# SPDX-License-Identifier: Apache-2.0
"""Advice for a signature and merges of signatures: written, told to endpoints, kept through a restart and a replay."""
import subprocess

import stream_help


def error(answer):
    e = answer.json["error"]
    return answer.status, e["code"], e.get("field")


def crash(daemon, n, offset=0xe14ed):
    return daemon.report({"host": f"h{n}", "kind": "kernel", "module": "csagent.sys", "module_id": "66990b3e3e000",
                          "offset": hex(offset), "reason": "PAGE_FAULT_IN_NONPAGED_AREA"})


def two_signatures(daemon):
    one, two = crash(daemon, 1)["signature"], crash(daemon, 2, 0x77)["signature"]
    for s in (one, two):
        daemon.until(lambda s=s: daemon.get(f"/v1/signatures/{s}").status == 200, "the signature")
    return one, two


def advise(daemon, signature, **more):
    body = {"text": "Delete C-00000291*.sys.", "link": "https://status.example.com/291", "reason": "vendor note", **more}
    return daemon.put(f"/v1/signatures/{signature}/advice", body)


def test_advice_is_told_to_endpoints(daemon, programs):
    one, two = two_signatures(daemon)
    assert daemon.get(f"/v1/signatures/{one}/advice").json["advice"] is None
    assert "advice" not in crash(daemon, 3)
    answer = advise(daemon, one, actor="anna").json
    assert answer["advice"]["text"] == "Delete C-00000291*.sys." and answer["advice"]["actor"] == "anna"
    assert answer["advice"]["inherited_from"] is None and [h["action"] for h in answer["history"]] == ["advice"]
    told = "Delete C-00000291*.sys.\nhttps://status.example.com/291"
    assert crash(daemon, 4)["advice"] == told  # by the answer of the write it is in force
    assert "advice" not in crash(daemon, 5, 0x77)
    # merged: the other one's hosts hear it too, and counts stay apart
    merged = daemon.post(f"/v1/signatures/{two}/merge", {"into": one, "reason": "same loop", "actor": "ben"})
    assert merged.status == 200 and merged.json["merged_into"]["id"] == one
    assert merged.json["advice"]["inherited_from"] == one
    assert crash(daemon, 6, 0x77)["advice"] == told
    assert [m["id"] for m in daemon.get(f"/v1/signatures/{one}/advice").json["merged"]] == [two]
    before = (daemon.get(f"/v1/signatures/{one}").json["hosts"], daemon.get(f"/v1/signatures/{two}").json["hosts"])
    # a restart from the snapshot, a kill from the log
    for how in (daemon.stop, daemon.kill):
        how()
        daemon.start()
        assert crash(daemon, 6, 0x77)["advice"] == told
        assert daemon.get(f"/v1/signatures/{two}/advice").json["merged_into"]["actor"] == "ben"
        assert (daemon.get(f"/v1/signatures/{one}").json["hosts"], daemon.get(f"/v1/signatures/{two}").json["hosts"]) == before
    undone = daemon.post(f"/v1/signatures/{two}/unmerge", {"reason": "no"}).json
    assert undone["merged_into"] is None and [h["action"] for h in undone["history"]] == ["unmerge", "merge"]
    assert "advice" not in crash(daemon, 6, 0x77)
    gone = daemon.delete(f"/v1/signatures/{one}/advice", body={"reason": "fixed"})
    assert gone.json["advice"] is None and gone.json["history"][0]["reason"] == "fixed"
    assert "advice" not in crash(daemon, 7)
    daemon.stop()
    replay = subprocess.run([programs.faultline, "replay", daemon.data], capture_output=True, text=True, check=False)
    assert replay.returncode == 0, replay.stdout + replay.stderr


def test_advice_in_acks_of_the_stream(daemon):
    s = stream_help.Stream(daemon)
    s.send(stream_help.reports(2, [stream_help.report("s1", 1)]))
    s.ack(2)
    signature = daemon.until(lambda: daemon.get("/v1/signatures").json["signatures"], "the signature")[0]["id"]
    assert advise(daemon, signature, link="").status == 200
    s.send(stream_help.reports(3, [stream_help.report("s1", 2)]))
    told = [dict(stream_help.parse(v)) for k, v in s.ack(3) if k == 5]
    assert told == [{1: signature.encode(), 2: b"Delete C-00000291*.sys."}]


def test_what_is_refused(daemon):
    one, two = two_signatures(daemon)
    path = f"/v1/signatures/{one}/advice"
    assert error(daemon.put("/v1/signatures/s1-0000000000000001/advice", {"text": "x", "reason": "y"}))[:2] == \
        (404, "unknown_signature")
    assert error(daemon.put(path, {"text": "x"})) == (400, "invalid_field", "reason")
    assert error(daemon.put(path, {"text": "", "reason": "y"})) == (400, "invalid_field", "text")
    assert error(daemon.put(path, {"text": "x" * 501, "reason": "y"})) == (400, "invalid_field", "text")
    assert error(daemon.put(path, {"text": "a\u0007", "reason": "y"})) == (400, "invalid_field", "text")
    for link in ("javascript:alert(1)", "https://a b", "https://a\"b", "//x"):
        assert error(daemon.put(path, {"text": "x", "reason": "y", "link": link})) == (400, "invalid_field", "link"), link
    assert error(daemon.delete(path, body={"reason": "y"}))[:2] == (404, "unknown_advice")
    first = advise(daemon, one, actor="anna", expect_position="").json["history"][0]["position"]
    late = advise(daemon, one, expect_position="")
    assert error(late) == (409, "conflict", "expect_position") and "anna wrote advice" in late.json["error"]["message"]
    assert advise(daemon, one, expect_position=first).status == 200
    merge = f"/v1/signatures/{one}/merge"
    assert error(daemon.post(merge, {"into": one, "reason": "y"})) == (400, "invalid_field", "into")
    assert error(daemon.post(merge, {"into": "s1-0000000000000001", "reason": "y"})) == (400, "invalid_field", "into")
    assert daemon.post(f"/v1/signatures/{two}/merge", {"into": one, "reason": "y"}).status == 200
    assert error(daemon.post(merge, {"into": two, "reason": "y"})) == (400, "invalid_field", "into")  # no circles
    assert error(daemon.post(f"/v1/signatures/{one}/unmerge", {"reason": "y"}))[:2] == (409, "conflict")
    # many notes: the advice and the merge that hold stay
    for i in range(40):
        assert advise(daemon, one, text=f"text {i}").status == 200
    document = daemon.get(path).json
    assert len(document["history"]) == 16 and document["advice"]["text"] == "text 39"
    for i in range(20):
        advise(daemon, two, text=f"text {i}")
    assert daemon.get(f"/v1/signatures/{two}/advice").json["merged_into"]["id"] == one
