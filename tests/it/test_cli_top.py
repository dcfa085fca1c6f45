# SPDX-License-Identifier: Apache-2.0
"""faultline top: once, as JSON, live in a terminal of its own, and in tmux as a person sees it."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import fake_api
import fleet
from terminals import Terminal, Tmux

EVIL = "\x1b[31m\u202egnp.\u200bexe\u009b\n\t"


def run(programs, port, *args):
    done = subprocess.run([programs.faultline, "top", "--server", f"127.0.0.1:{port}", *args], text=True,
                          capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def count(n):
    return f"{n:,}"


# ---- the real daemon


def halted(daemon):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/now").json["deployments"][0]["verdict"] == "halt", "the halt")


def test_once_and_json(daemon, programs):
    halted(daemon)
    fleet.crash(daemon, 5, module="\x1b[31m\u009bevil.so", offset="0x1", kind="user")
    daemon.until(lambda: daemon.get("/v1/now").json["signatures"] == 2, "the second signature")
    status, out, _ = run(programs, daemon.api_port, "--once")
    assert status == 0 and re.search(r"✖ HALT +d1 ", out) and "csagent.sys+0xe14ed" in out
    assert "\x1b" not in out and "\u009b" not in out
    status, out, _ = run(programs, daemon.api_port, "--once", "--json")
    assert status == 0 and json.loads(out)["deployments"][0]["verdict"] == "halt"
    status, _, err = run(programs, daemon.api_port, "--sort", "size")
    assert status == 2 and "--sort" in err
    assert run(programs, 1, "--once")[0] == 1


def test_the_numbers_of_one_etag(daemon, programs):
    """What it shows is what GET /v1/now says, read at the same position."""
    halted(daemon)

    def same():
        before = daemon.get("/v1/now")
        status, out, err = run(programs, daemon.api_port, "--once")
        assert status == 0, err
        after = daemon.get("/v1/now")
        return before.headers.get("ETag") == after.headers.get("ETag") and (after.json, out)
    now, out = daemon.until(same, "a quiet moment")
    lines = out.split("\n")
    assert lines[1].split() == ["✖", *now["verdict"]["headline"].split()]
    assert now["verdict"]["summary"].split() == " ".join(lines[2:7]).split()[:len(now["verdict"]["summary"].split())]
    tiles = next(line for line in lines if "ALIVE" in line)
    for key, name in (("alive", "ALIVE"), ("dark", "DARK"), ("boot_loop", "BOOT-LOOPING"), ("crashing_10m", "CRASHING, 10 MIN")):
        assert f"{count(now['fleet'][key]['value'])} {name}" in tiles
    d = now["deployments"][0]
    row = next(line for line in lines if re.match(r"✖ HALT +d1 ", line)).split()
    assert row[-3:] == [count(d["exposed"]), count(d["harmed"]), count(d["next_ring_max"])]
    assert row[-4] == f"{d['log10_odds']:.1f}"
    s = now["new_signatures"][0]
    row = next(line for line in lines if line.startswith(s["title"])).split()
    assert row[1:4] == [s["kind"], count(s["hosts"]), count(s["sites"])]
    for key, unit in (("heartbeats_per_s", "heartbeats/s"), ("reports_per_s", "reports/s"), ("refused_1h", "refused in 1 h")):
        n = now["ingest"][key]
        shown = count(round(n)) if n >= 100 else f"{n:.0f}" if n == int(n) else f"{n:.1f}"
        assert f"{shown} {unit}" in " ".join(out.split())


def test_live(daemon, programs):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    t = Terminal([programs.faultline, "top", "--server", f"127.0.0.1:{daemon.api_port}", "--interval", "200ms"], 24, 100)
    t.until("HOLD")
    for i in range(fleet.BAD):
        fleet.crash(daemon, i)
    t.until("HALTED: d1")
    t.until("csagent.sys+0xe14ed")
    assert len(t.frame()) <= 24
    t.key("n")
    t.until("SIGNATURES BY newest")
    t.resize(8, 60)
    os.kill(t.pid, signal.SIGWINCH)
    t.frame()
    lines = t.frame()
    assert len(lines) <= 8
    t.key("q")
    assert t.leave() == 0
    assert "\x1b[?1049l" in t.text and "\x1b[?25h" in t.text and "\x1b[?7h" in t.text  # the terminal is as it was


# ---- a server that says what the test wants


def deployment(name, status, **more):
    verdict = {"halt": "halt", "proceed": "proceed"}.get(status, "hold")
    return {"id": name, "verdict": verdict, "status": status, "reason": f"The reason of {name}.", "exposed": 1042, "harmed": 52,
            "next_ring_max": 0, "log10_odds": 18.3, "log10_watch": 3, "log10_halt": 6, "unserved": 990198,
            "rings": [{"name": "a", "size": 20, "served": 20, "state": "proceed"},
                      {"name": "b", "size": 2000, "served": 822, "state": "halt"},
                      {"name": "rest", "size": None, "served": 0, "state": "not_started"}], **more}


def now(**more):
    def tile(value, **rest):
        return {"value": value, "usual": value - 3, "usual_from": None, "spark": {"v": [None, 1, 2, value]}, **rest}
    return {
        "version": "9.9", "time": "2026-12-01T03:17:22.012Z", "stale_seconds": 0.4, "server": "live",
        "freshness": {"state": "live", "time": "2026-12-01T03:17:22.012Z"},
        "verdict": {"state": "halt", "status": "halt", "headline": "HALTED: sensor-291", "summary": "It makes csagent.sys crash.",
                    "acknowledged": {"at": "2026-12-01T03:09:22.000Z", "actor": "anna", "reason": "on it"},
                    "others": [{"deployment": "gfx", "status": "watch", "headline": "WATCH: gfx"}]},
        "fleet": {"alive": tile(1987412), "dark": tile(2310), "boot_loop": tile(0, usual=None, usual_from="2026-12-08T04:00:00Z"),
                  "crashing_10m": tile(57, usual=57)},
        "deployments": [deployment("sensor-291", "halt"), deployment("gfx", "watch", log10_odds=None, harmed=0),
                        deployment("ring-of-fire", "would_halt"), deployment("agent", "proceed", next_ring_max=89000)],
        "deployments_total": 4,
        "rates": {"t0": "2026-12-01T02:17:40.000Z", "step_s": 20, "all": [1] * 179 + [9], "kernel": [0] * 180,
                  "annotations": [{"t": "2026-12-01T03:06:20.000Z", "kind": "halt", "deployment": "sensor-291"}]},
        "new_signatures": [{"id": "s1-1", "title": "csagent.sys+0xe14ed", "kind": "kernel", "hosts": 52, "sites": 8,
                            "first_seen": "2026-12-01T03:03:50.000Z", "deployment": "sensor-291", "status": "halt"}],
        "largest": [{"title": f"by-hosts-{i}", "kind": "user", "hosts": 99 - i, "sites": 2, "first_seen": "2026-11-01T03:03:50.000Z",
                     "last_seen": "2026-12-01T03:17:00.000Z"} for i in range(10)],
        "newest": [], "rising": [],
        "ingest": {"heartbeats_per_s": 16520.0, "reports_per_s": 2.4, "journal_p99_ms": 3.1, "verdict_lag_s": 0.4,
                   "database_lag_s": 1.3, "database": "up", "refused_1h": 0, "workers": {"up": 4, "of": 4}, "receiving": True},
        **more}


def search(parameters):
    if parameters["q"] == "foo:bar":
        return 400, {"error": {"code": "invalid_parameter", "message": '"foo" is no field; fields are module', "field": "q", "at": 0}}
    if parameters["q"] == "new:<1h":
        return 200, {"total": 0, "signatures": [], "parsed": [{"field": "new", "at": 0, "length": 7, "without": 214}]}
    return 200, {"total": 1214, "parsed": [{"field": "kind"}], "signatures": [
        {"id": "s1-2", "title": "found.sys+0x1", "kind": "boot-critical", "hosts": 7, "sites": 1,
         "first_seen": "2026-11-01T03:03:50.000Z", "last_seen": "2026-12-01T03:17:00.000Z",
         "deployment": {"id": "gfx", "status": "watch"}}]}


@pytest.fixture
def api():
    made = fake_api.FakeApi({"/v1/now": (200, now()), "/v1/signatures": search})
    yield made
    made.go_on.set()
    made.close()


@pytest.fixture
def tmux(programs):
    if shutil.which("tmux") is None:
        pytest.skip("SKIPPED: tmux is not installed (packages/test)")
    made = []

    def start(port, columns, rows, *args):
        made.append(Tmux([programs.faultline, "top", "--server", f"127.0.0.1:{port}", "--interval", "100ms", *args], columns, rows))
        return made[-1]
    yield start
    for t in made:
        t.close()


def test_the_picture_in_80_by_24(api, tmux):
    t = tmux(api.port, 80, 24)
    lines = t.until("✖ HALTED: sensor-291")
    text = "\n".join(lines)
    assert lines[0].startswith("faultline 9.9  2026-12-01 03:17:2") and "live, ledger 0.4 s behind" in lines[0]
    assert lines[1].strip() == "✖ HALTED: sensor-291" and lines[2].strip() == "It makes csagent.sys crash."
    assert "and ◆ WATCH: gfx" in lines[3] and "acknowledged by anna, 8 min ago: on it" in lines[4]
    assert re.search(r"2\.0 M ALIVE +2,310 DARK +0 BOOT-LOOPING +57 CRASHING, 10 MIN", text)
    assert re.search(r"3 above usual +3 above usual +usual from 2026-12… +as usual", text)
    assert re.search(r"✖ HALT +sensor-291 +██│▚░│░░ +━━━┆━┃━▲ +18\.3 +1,042 +52 +0$", text, re.M), text
    assert re.search(r"◆ WATCH +gfx .* – +1,042 +0 +0$", text, re.M) and re.search(r"▶ PROCEED +agent .* 89,000$", text, re.M)
    assert "◇ WOULD HALT" in text and "most 9 in 20 s" in text
    assert re.search(r"csagent.sys\+0xe14ed +kernel +52 +8 +13 min +✖ sensor-291", text)
    assert "receiving, 16,520 heartbeats/s, 2.4 reports/s" in text and "workers 4 of 4" in text
    assert len(lines) <= 25 and lines[24:] in ([], [""])


@pytest.mark.parametrize("columns, rows", [(40, 5), (50, 10), (80, 24), (100, 30), (160, 45), (240, 70)])
def test_sizes(api, tmux, columns, rows):
    many = [deployment(f"deployment-{i:02d}-with-a-long-name", "hold") for i in range(40)]
    api.answers["/v1/now"] = 200, now(deployments=many, deployments_total=140)
    t = tmux(api.port, 200, 50)
    t.until("HALTED: sensor-291")
    t.resize(columns, rows)
    lines = t.until(lambda lines: len(lines) - 1 == rows and "HALTED: sensor-291" in lines[1] and
                    (rows < 10 or any("SIGNATURES" in line for line in lines)) and
                    (rows < 10 or any(line.startswith("receiving") for line in lines)))
    assert lines[0].startswith("faultline 9.9")  # nothing scrolled
    if rows > 5:
        shown = sum("‖ HOLD" in line for line in lines)
        assert 0 < shown <= 40 and (columns < 100 or f"({shown} of 140)" in "\n".join(lines))
        assert any("csagent.sys" in line for line in lines[6:])


def test_keys(api, tmux):
    t = tmux(api.port, 120, 40)
    t.until("NEW SIGNATURES of the last hour")
    t.keys("h")
    lines = t.until("by-hosts-0")
    assert any("SIGNATURES BY hosts" in line for line in lines)
    t.keys("?")
    t.until("odds against chance")
    t.keys("x")
    t.until("by-hosts-0")
    t.resize(120, 24)  # ten do not fit
    t.until(lambda lines: not any("by-hosts-9" in line for line in lines))
    for _ in range(10):
        t.keys("Down")
    t.until("by-hosts-9")
    t.keys("k", "k", "k", "k", "k", "k", "k", "k", "k", "k")
    t.until("by-hosts-0")
    t.keys("n")
    t.until("No crash reported.")
    t.keys("q")
    lines = t.until("left with 0")
    assert "before" in lines[0] and not any("HALTED" in line for line in lines)  # the screen is as it was


def test_filter(api, tmux):
    t = tmux(api.port, 120, 40)
    t.until("NEW SIGNATURES")
    t.keys("/")
    t.type("foo:bar")
    t.until("/foo:bar▏")
    t.keys("Enter")
    lines = t.until('"foo" is no field; fields are module')
    at = next(i for i, line in enumerate(lines) if line.strip() == "^")
    assert lines[at - 1].index("foo:bar") == lines[at].index("^")
    t.keys("/", "C-u")
    t.type("kind:kernel q€")  # q is a letter here
    t.keys("BSpace", "BSpace", "BSpace", "Enter")
    lines = t.until("found.sys+0x1")
    assert any("SIGNATURES kind:kernel BY newest: 1,214" in line for line in lines)
    assert any(re.search(r"found.sys\+0x1 +boot-critical +7 +1 +30 d +22 s +◆ gfx", line) for line in lines), "\n".join(lines)
    assert [a[1] for a in api.asked if a[0] == "/v1/signatures"][-1] == {"q": "kind:kernel", "sort": "newest", "limit": "100"}
    t.keys("h")
    t.until("SIGNATURES kind:kernel BY hosts")
    t.keys("/", "C-u")
    t.type("new:<1h")
    t.keys("Enter")
    t.until("No signature matches.  Widest part of the query: new:<1h (removing it gives 214)")
    t.keys("/")
    t.type("xyz")
    t.keys("Escape")
    t.until(lambda lines: not any("▏" in line for line in lines))
    t.keys("/", "C-u", "Enter")
    t.until("by-hosts-0")
    t.keys("C-c")
    t.until("left with 0")


def test_server_lost_and_back(api, tmux):
    t = tmux(api.port, 100, 30)
    t.until("HALTED: sensor-291")
    api.close()
    t.until("last news")
    lines = t.until("? UNKNOWN: no contact for")  # thirty looks
    assert "Last verdict: HALTED: sensor-291" in lines[1] and not any("It makes" in line for line in lines)
    api.open()
    lines = t.until(lambda lines: "✖ HALTED: sensor-291" in lines[1])
    assert "live" in lines[0]


def test_no_server_from_the_start(api, tmux):
    api.close()
    t = tmux(api.port, 80, 24)
    lines = t.until(f"? UNKNOWN: no contact with http://127.0.0.1:{api.port}")
    assert "no contact yet" in lines[0]
    api.open()
    t.until("HALTED: sensor-291")


def test_leaves_while_the_server_hangs(api, programs):
    t = Terminal([programs.faultline, "top", "--server", f"127.0.0.1:{api.port}", "--interval", "100ms"], 24, 80)
    t.until("HALTED: sensor-291")
    api.go_on.clear()
    asked = len(api.asked)
    while len(api.asked) == asked:  # until the look that hangs
        time.sleep(0.01)
    t.key("q")
    assert t.leave(4) == 0  # a look may take 5 s


def test_unchanged_answers_are_not_sent_again(api, tmux):
    api.etag = '"1-2"'
    t = tmux(api.port, 80, 24)
    t.until("03:17:24")  # its clock goes on
    assert api.asked[0][2].get("If-None-Match") is None
    assert api.asked[-1][2].get("If-None-Match") == '"1-2"'


def test_hostile_strings(api, tmux, programs):
    api.answers["/v1/now"] = 200, now(
        verdict={"state": "halt", "status": "halt", "headline": f"HALTED: {EVIL}", "summary": EVIL + "界" * 300, "others": []},
        deployments=[deployment(EVIL, "halt", reason=EVIL * 50), deployment("界" * 60, "x" * 300, rings=[{"served": 1}] * 64)],
        new_signatures=[{"title": EVIL, "kind": EVIL, "hosts": "x", "sites": None, "first_seen": EVIL, "deployment": EVIL}],
        rates={"t0": "x", "step_s": -1, "all": ["x", None, -5, 1e300], "kernel": 7, "annotations": [7, {"t": 1}]})
    t = tmux(api.port, 120, 30)
    lines = t.until("HALTED: <U+001B>[31m<U+202E>gnp.<U+200B>exe<U+009B><U+000A><U+0009>")
    text = "\n".join(lines)
    assert "faultline 9.9" in lines[0] and "? UNKNOWN 界" in text and "receiving" in text
    for bare in ("\u202e", "\u200b", "\u009b"):
        assert bare not in text
    _, out, _ = run(programs, api.port, "--once")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", out)


def test_a_server_of_before(api, tmux):
    """Without the page's members: what there is."""
    api.answers["/v1/now"] = 200, {
        "version": "0.0", "time": "2026-12-01T03:17:22.012Z", "server": "live", "stale_seconds": 0, "signatures": 3,
        "hosts": {"known": 240, "recent": 239, "sites": 4}, "arrivals": {"reports": [0, 1]},
        "deployments": [{"id": "d1", "verdict": "halt", "reason": "bad", "served": 10, "bad": 6}],
        "newest": [{"title": "a.sys+0x1", "kind": "kernel", "hosts": 6, "sites": 4, "first_seen": "2026-12-01T03:17:00Z"}]}
    t = tmux(api.port, 80, 24)
    text = "\n".join(t.until("a.sys+0x1"))
    api.answers["/v1/signatures"] = 200, {"signatures": [{"title": "all.sys+0x1"}]}
    t.keys("/", "x", "Enter")
    assert not any("all.sys" in line for line in t.until("this server does not search"))
    assert "240 hosts known, 239 heard of" in text and re.search(r"✖ HALT +d1 .* 10 +6 +–", text)


@pytest.mark.parametrize("environment, colours", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours(api, programs, environment, colours):
    t = Terminal([programs.faultline, "top", "--server", f"127.0.0.1:{api.port}", "--interval", "100ms"], 24, 100, **environment)
    frame = "".join(t.frame())
    while "HALTED" not in frame:
        frame = "".join(t.frame())
    codes = {c for s in re.findall("\x1b\\[([0-9;]*)m", frame) for c in s.split(";")}
    assert any(len(c) == 2 for c in codes) == colours and "1" in codes and "7" in codes
    os.kill(t.pid, signal.SIGTERM)
    assert t.leave() == 0
    assert "\x1b[?1049l" in t.text
