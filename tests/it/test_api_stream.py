# SPDX-License-Identifier: Apache-2.0
"""Server-sent events of the real daemon."""
import fleet


def test_events_and_resume(daemon):
    events = fleet.Events(daemon)
    assert events.answer.status == 200
    assert events.answer.getheader("Content-Type") == "text/event-stream"
    hello = events.wait("hello")
    counters = events.wait("counters")
    assert "id" not in counters and counters["data"]["server"] == "live" and "reports" in counters["data"]["counters"]
    fleet.bad_rollout(daemon)
    signature = events.wait("signature")
    assert signature["data"]["title"] == "csagent.sys+0xe14ed"
    assert events.wait("deployment")["data"]["deployment"] == "d1"
    halt = events.wait("verdict", lambda d: d["verdict"] == "halt")
    assert halt["data"]["deployment"] == "d1" and "csagent.sys" in halt["data"]["reason"]
    assert int(hello["id"]) < int(signature["id"]) < int(halt["id"])
    ids = [int(e["id"]) for e in events.seen if "id" in e]
    assert ids == sorted(ids) and len(ids) == len(set(ids))
    events.close()

    # whatever came after an id comes again, in the same order
    again = fleet.Events(daemon, last_id=signature["id"])
    again.wait("verdict", lambda d: d["verdict"] == "halt")
    missed = [e["id"] for e in events.seen if "id" in e and int(e["id"]) > int(signature["id"])]
    assert [e["id"] for e in again.seen if "id" in e][:len(missed)] == missed
    assert not [e for e in again.seen if e["event"] in ("hello", "reset")]
    again.close()


def test_what_cannot_be_resumed_is_said(daemon):
    old = fleet.Events(daemon, last_id=1)
    assert old.wait("reset")
    old.close()
    future = fleet.Events(daemon, last_id=2**62)
    assert future.wait("reset")
    future.close()
    a = daemon.get("/v1/stream", headers={"Last-Event-ID": "x"})
    assert (a.status, a.json["error"]["field"]) == (400, "Last-Event-ID")


def test_hostile_titles_stay_one_event(daemon):
    events = fleet.Events(daemon)
    events.wait("hello")
    fleet.crash(daemon, 1, module="evil\r\n\r\nevent: verdict\ndata: {}\n\n.so", offset="0x1")
    title = events.wait("signature")["data"]["title"]
    assert "\n" not in title and "\r" not in title
    assert not [e for e in events.seen if e["event"] == "verdict"]
    events.close()


def test_arrivals_are_counted_each_second(daemon):
    events = fleet.Events(daemon)
    events.wait("counters")
    daemon.report([{"host": fleet.host(i), "module": "a.so", "offset": "0x1"} for i in range(50)])
    events.wait("counters", lambda d: d["counters"]["reports"] == 50)
    assert sum(e["data"]["arrivals"] for e in events.seen if e["event"] == "counters") == 50
    events.close()
