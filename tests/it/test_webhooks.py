# SPDX-License-Identifier: Apache-2.0
"""Outgoing notices against a real HTTP receiver and the real Alertmanager."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

import fleet

SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four byt").decode()


class Receiver:
    """Takes POSTs; answers what the test says (a status, or a function of how many came before)."""

    def __init__(self, status=200, headers=None, body=b"ok"):
        self.status, self.headers, self.body = status, headers or {}, body
        self.got, self.news = [], threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.news:
                    n = len(outer.got)
                    outer.got.append((dict(self.headers), body, self.path))
                    outer.news.notify_all()
                status = outer.status(n) if callable(outer.status) else outer.status
                self.send_response(status)
                for k, v in outer.headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, n=1, seconds=30):
        with self.news:
            assert self.news.wait_for(lambda: len(self.got) >= n, seconds), f"{len(self.got)} of {n} requests"
            return self.got

    def events(self):
        return [json.loads(b) for _, b, _ in self.got]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = []

    def make(**k):
        made.append(Receiver(**k))
        return made[-1]
    yield make
    for r in made:
        r.close()


@pytest.fixture
def hooked(make_daemon):
    """A daemon with a webhook file of these sections."""
    def make(text, start=True, **settings):
        d = make_daemon(start=False, **settings)
        d.hooks = os.path.join(d.directory, "webhooks")
        write_hooks(d, text)
        d.settings["webhook-file"] = d.hooks
        d.settings["public-url"] = "https://faultline.example.com/"
        if start:
            d.start()
            # the first look of a new server tells of no creation, and is kept
            d.until(lambda: os.path.exists(os.path.join(d.data, "notify", "state.json")), "the first look")
        return d
    return make


def write_hooks(d, text, mode=0o600):
    with open(d.hooks, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(d.hooks, mode)


def section(port, name="desk", **keys):
    return f"[{name}]\nurl = http://127.0.0.1:{port}/hook/very-secret-path?key=hidden\n" + \
        "".join(f"{k.replace('_', '-')} = {v}\n" for k, v in keys.items())


def halt(d, name="d1", reason="seen on the desk"):
    fleet.deploy(d, name, served=0)
    assert d.post(f"/v1/deployments/{name}/halt", {"reason": reason}).status == 200


def resume(d, name="d1"):
    assert d.post(f"/v1/deployments/{name}/resume", {"reason": "a false alarm"}).status == 200


def hook_state(d, name="desk"):
    return d.get(f"/v1/webhooks/{name}").json


def verify(headers, body, secret=SECRET):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    want = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    return f"v1,{want}" in headers["webhook-signature"].split(" ")


# ---- forms

def test_cloudevents_structured_and_signed(hooked, receiver):
    r, other = receiver(), receiver()
    d = hooked(section(r.port, secret=SECRET, token="bearer-of-the-desk", events="halt") + section(other.port, "other"))
    fleet.deploy(d, served=0)
    other.wait()  # what is created and halted in one breath was nothing before
    halt(d)
    headers, body, path = r.wait()[0]
    assert path == "/hook/very-secret-path?key=hidden"
    assert headers["Content-Type"] == "application/cloudevents+json; charset=UTF-8"
    assert headers["Authorization"] == "Bearer bearer-of-the-desk"
    assert verify(headers, body) and not verify(headers, body + b" ")
    e = json.loads(body)
    log = d.get("/version").json["log"]
    assert (e["specversion"], e["type"], e["source"]) == ("1.0", "dev.faultline.halt.raised", f"/faultline/{log}")
    assert e["subject"] == "deployments/d1" and e["id"] == headers["webhook-id"] and e["datacontenttype"] == "application/json"
    data = e["data"]
    assert (data["verdict"], data["before"], data["state"]) == ("halt", "hold", "halted_by_person")
    assert data["reason"] == "Halted by a person: seen on the desk"
    assert data["url"] == "https://faultline.example.com/v1/deployments/d1"
    resume(d)
    lifted = json.loads(r.wait(2)[1][1])
    assert lifted["type"] == "dev.faultline.halt.lifted" and lifted["data"]["before"] == "halt" and lifted["id"] != e["id"]
    halt(d)
    assert json.loads(r.wait(3)[2][1])["type"] == "dev.faultline.halt.raised"
    assert len({x["id"] for x in r.events()}) == 3


def test_cloudevents_binary_and_every_event(hooked, receiver):
    r = receiver(status=204, body=b"")
    d = hooked(section(r.port, format="cloudevents-binary"))
    halt(d)
    d.until(lambda: any("halt" in h["ce-type"] for h, _, _ in r.got), "the halt")
    d.delete("/v1/deployments/d1?force=1")
    d.until(lambda: any("deleted" in h["ce-type"] for h, _, _ in r.got), "the deletion")
    kinds = [h["ce-type"].removeprefix("dev.faultline.") for h, _, _ in r.got]
    assert kinds[0] == "deployment.created" and kinds[-1] == "deployment.deleted"
    assert kinds.index("halt.raised") < kinds.index("halt.lifted")
    headers, body, _ = r.got[0]
    assert headers["ce-specversion"] == "1.0" and headers["ce-id"] and headers["Content-Type"] == "application/json"
    assert json.loads(body)["deployment"] == "d1" and "specversion" not in json.loads(body)


def test_slack_and_pagerduty(hooked, receiver):
    slack, duty = receiver(), receiver(status=202)
    d = hooked(section(slack.port, "chat", format="slack") +
               section(duty.port, "duty", format="pagerduty", routing_key="0123456789abcdef0123456789abcdef"))
    halt(d, reason="<b> & more")
    text = json.loads(slack.wait()[0][1])
    assert text["text"] == ":octagonal_sign: Halted: d1. Halted by a person: &lt;b&gt; &amp; more"
    assert text["blocks"][0]["text"]["type"] == "mrkdwn" and text["blocks"][1]["type"] == "context"
    alarm = json.loads(duty.wait()[0][1])
    assert (alarm["event_action"], alarm["routing_key"]) == ("trigger", "0123456789abcdef0123456789abcdef")
    assert alarm["payload"]["severity"] == "critical" and alarm["payload"]["source"] == "d1"
    assert alarm["payload"]["summary"].startswith("Halted: d1. Halted by a person")
    resume(d)
    done = json.loads(duty.wait(2)[1][1])
    assert done["event_action"] == "resolve" and done["dedup_key"] == alarm["dedup_key"]
    slack.wait(2)
    assert len(slack.got) == len(duty.got) == 2  # of halts alone


def test_filters(hooked, receiver):
    r = receiver()
    d = hooked(section(r.port, deployments="sensor-*", events="halt"))
    halt(d, "other")
    halt(d, "sensor-1")
    assert json.loads(r.wait()[0][1])["data"]["deployment"] == "sensor-1"
    assert len(r.got) == 1


# ---- when it does not work

def test_retries_until_it_is_taken_in_order(hooked, receiver):
    r = receiver(status=lambda n: 200 if n >= 2 else 500, body=b"not today")
    d = hooked(section(r.port, events="halt"))
    halt(d)
    r.wait(1)
    resume(d)
    r.wait(4)
    d.until(lambda: hook_state(d)["pending"] == 0, "the deliveries")
    kinds = [e["type"].rsplit(".", 1)[1] for e in r.events()]
    assert kinds == ["raised", "raised", "raised", "lifted"]  # the lifting waits for the raising
    assert len({e["id"] for e in r.events()[:3]}) == 1
    told = hook_state(d)
    assert told["state"] == "ok" and told["delivered"] == 2
    newest, first = told["deliveries"]
    assert (first["state"], first["attempts"], first["last_status"]) == ("delivered", 3, 200)
    assert (newest["type"], newest["attempts"]) == ("halt.lifted", 1)
    m = d.metrics()
    assert (m["webhooks_delivered_total"], m["webhooks_retried_total"], m["webhooks_dead_total"], m["webhooks_pending"]) == (2, 2, 0, 0)


def test_retry_after_is_obeyed(hooked, receiver):
    r = receiver(status=lambda n: 200 if n else 429, headers={"Retry-After": "3"})
    d = hooked(section(r.port, events="halt"))
    halt(d)
    r.wait(1)
    began = time.monotonic()
    r.wait(2)
    assert time.monotonic() - began > 2.5


@pytest.mark.parametrize("status, state", [(400, "failing"), (302, "failing"), (410, "gone")])
def test_dead_letters_and_another_try(hooked, receiver, status, state):
    r = receiver(status=status, headers={"Location": "http://127.0.0.1:1/elsewhere"}, body=b"no such thing")
    d = hooked(section(r.port, events="halt"))
    halt(d)
    told = d.until(lambda: (t := hook_state(d))["dead"] == 1 and t, "the dead letter")
    assert (told["state"], told["deliveries"][0]["attempts"], told["deliveries"][0]["last_error"]) == (state, 1, "no such thing")
    assert len(r.got) == 1  # no redirect was followed, nothing was tried again
    if state == "gone":
        resume(d)
        d.until(lambda: hook_state(d)["dead"] == 2, "the second one")
        assert len(r.got) == 1
    r.status = 200
    a = d.post("/v1/webhooks/desk/redeliver", {"id": told["deliveries"][0]["id"]})
    assert (a.status, a.json) == (202, {"queued": 1})
    d.until(lambda: hook_state(d)["delivered"] == 1, "the delivery")
    assert r.events()[0] == r.events()[1]
    if state == "gone":
        assert d.post("/v1/webhooks/desk/redeliver", {}).json == {"queued": 1}
        r.wait(3)


def test_given_up_after_a_time(hooked):
    with socket.socket() as s:  # a port where nobody listens
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        d = hooked(section(port, events="halt", give_up="1ms"))
        halt(d)
        told = d.until(lambda: (t := hook_state(d))["dead"] == 1 and t, "the dead letter")
        assert told["deliveries"][0]["last_status"] is None and "connect" in told["deliveries"][0]["last_error"].lower()
        assert d.metrics()["webhooks_dead_total"] == 1


def test_a_flood_of_an_answer_and_a_metadata_address(hooked, receiver):
    r = receiver(body=b"x" * 300000)
    d = hooked(section(r.port, events="halt") + "[cloud]\nurl = http://169.254.169.254/latest\nevents = halt\ngive-up = 1ms\n")
    halt(d)
    d.until(lambda: hook_state(d)["delivered"] == 1, "the delivery")
    told = d.until(lambda: (t := hook_state(d, "cloud"))["dead"] == 1 and t, "the refusal")
    assert "link-local" in told["deliveries"][0]["last_error"]


def test_a_receiver_that_hangs_costs_nothing_else(hooked, receiver):
    r = receiver()
    with socket.socket() as s:  # takes connections and says nothing
        s.bind(("127.0.0.1", 0))
        s.listen(16)
        d = hooked(section(s.getsockname()[1], "tarpit", events="all", timeout="30s") + section(r.port, events="halt"))
        for i in range(20):
            halt(d, f"d{i}")
        began = time.monotonic()
        r.wait(20)
        assert time.monotonic() - began < 10
        assert d.get("/v1/webhooks/tarpit").json["pending"] >= 20
        assert d.get("/v1/deployments/d1/verdict").json["verdict"] == "halt"
        began = time.monotonic()
        assert d.stop() == 0
        assert time.monotonic() - began < 20


# ---- what survives

def test_kill_between_halt_and_delivery(hooked, receiver):
    r = receiver(status=503)
    d = hooked(section(r.port, events="halt"))
    halt(d)
    r.wait(1)
    d.until(lambda: hook_state(d)["pending"] == 1, "the retry")
    d.kill(signal.SIGKILL)
    r.status = 200
    n = len(r.got)
    d.start()
    r.wait(n + 1)
    d.until(lambda: hook_state(d)["delivered"] == 1, "the delivery")
    assert len({e["id"] for e in r.events()}) == 1
    # and, once that is noted, it is not told once more
    def noted():
        with open(os.path.join(d.data, "notify", "state.json"), encoding="utf-8") as f:
            return json.load(f)["endpoints"][0]["deliveries"][0]["state"] == 1
    d.until(noted, "the note")
    n = len(r.got)
    d.kill(signal.SIGKILL)
    d.start()
    halt(d, "d2")
    d.until(lambda: any(e["data"]["deployment"] == "d2" for e in r.events()), "the next one")
    assert len([e for e in r.events()[n:] if e["data"]["deployment"] == "d1"]) == 0


def test_a_halt_that_nobody_was_there_to_tell(hooked, receiver):
    """Killed before the notice reached its file: it is found again, with the same id."""
    r = receiver()
    d = hooked(section(r.port, events="halt"))
    halt(d)
    first = json.loads(r.wait(1)[0][1])
    d.until(lambda: hook_state(d)["delivered"] == 1, "the delivery")
    d.kill(signal.SIGKILL)
    os.unlink(os.path.join(d.data, "notify", "state.json"))
    d.start()
    assert json.loads(r.wait(2)[1][1])["id"] == first["id"]


def test_a_damaged_file_is_set_aside(hooked, receiver):
    r = receiver()
    d = hooked(section(r.port, events="halt"))
    halt(d)
    r.wait(1)
    d.stop()
    path = os.path.join(d.data, "notify", "state.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\"version\":1,")
    d.start()
    r.wait(2)
    assert os.path.exists(path + ".bad")


# ---- who may see what

def test_no_secret_is_shown(hooked, receiver):
    r = receiver()
    d = hooked(section(r.port, secret=SECRET, token="bearer-of-the-desk") +
               "[duty]\nurl = https://user:password@events.example.com/v2/enqueue\nformat = pagerduty\nrouting-key = 0123456789abcdef\n")
    shown = d.get("/v1/webhooks").text + d.get("/v1/webhooks/desk").text + d.get("/v1/webhooks/duty").text + d.log(500)
    for secret in (SECRET, "very-secret-path", "hidden", "bearer-of-the-desk", "0123456789abcdef", "password"):
        assert secret not in shown
    one = d.get("/v1/webhooks").json["webhooks"]
    assert [w["name"] for w in one] == ["desk", "duty"] and one[1]["origin"] == "https://events.example.com"
    assert one[0]["signed"] and not one[1]["signed"] and one[1]["events"] == ["halt", "alarm"]


def test_the_api_of_webhooks(hooked, receiver):
    r = receiver()
    d = hooked(section(r.port))
    assert d.get("/v1/webhooks/nobody").json["error"]["code"] == "unknown_webhook"
    assert d.post("/v1/webhooks/nobody/ping", {}).json["error"]["code"] == "unknown_webhook"
    assert d.post("/v1/webhooks/desk/redeliver", {"id": "evt-0"}).json["error"]["field"] == "id"
    assert d.post("/v1/webhooks/desk/redeliver", {"ids": "x"}).json["error"]["field"] == "ids"
    assert d.get("/v1/webhooks?x=1").json["error"]["field"] == "x"
    a = d.post("/v1/webhooks/desk/ping", {})
    assert a.status == 202
    e = json.loads(r.wait(1)[0][1])
    assert e["type"] == "dev.faultline.ping" and e["id"] == a.json["id"] and "subject" not in e
    d.until(lambda: hook_state(d)["deliveries"][0]["state"] == "delivered", "the ping")


def test_bad_files_and_reload(hooked, receiver):
    r = receiver()
    d = hooked(section(r.port, events="halt"))
    for text, says in ((section(r.port, colour="red"), "no such key"), ("[a]\nurl = ftp://x\n", "http:// or https://"),
                       ("[a]\nformat = slack\n", "url is required"), ("url = http://x\n", "before the first"),
                       (section(r.port) + section(r.port), "two sections")):
        write_hooks(d, text)
        d.send_signal(signal.SIGHUP)
        d.until(lambda says=says: any(says in line for line in d.lines), says)
    write_hooks(d, section(r.port), mode=0o644)
    d.send_signal(signal.SIGHUP)
    d.until(lambda: any("chmod o=" in line for line in d.lines), "the mode")
    assert len(d.get("/v1/webhooks").json["webhooks"]) == 1  # those of before stay
    second = receiver()
    write_hooks(d, section(second.port, "second", events="halt"))
    d.send_signal(signal.SIGHUP)
    d.until(lambda: d.get("/v1/webhooks").json["webhooks"][0]["name"] == "second", "the reload")
    halt(d)
    second.wait(1)
    assert not r.got
    d.stop()
    write_hooks(d, "[a]\n")
    d.start(wait=False)
    assert d.wait_exit() != 0 and any("url is required" in line for line in d.lines)


# ---- Alertmanager

@pytest.fixture
def alertmanager(tmp_path):
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is not installed")
    told = Receiver()
    config = tmp_path / "alertmanager.yml"
    config.write_text(f"""
route: {{receiver: desk, group_by: [deployment], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: desk, webhook_configs: [{{url: "http://127.0.0.1:{told.port}/"}}]}}]
""")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = None

    def start():
        nonlocal process
        process = subprocess.Popen([program, f"--config.file={config}", f"--storage.path={tmp_path}/data",
                                    f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def alerts():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/alerts", timeout=5) as a:
                return json.loads(a.read())
        except OSError:
            return None

    def stop():
        process.kill()
        process.wait()
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
    start()
    yield type("Alertmanager", (), {"port": port, "alerts": staticmethod(alerts), "start": staticmethod(start),
                                    "stop": staticmethod(stop), "told": told})
    stop()
    told.close()


def test_alertmanager_fires_and_resolves(hooked, alertmanager):
    d = hooked(f"[am]\nurl = http://127.0.0.1:{alertmanager.port}\nformat = alertmanager\nresend = 500ms\n")
    d.until(lambda: alertmanager.alerts() is not None, "Alertmanager")
    halt(d)
    firing = d.until(lambda: alertmanager.alerts(), "the alert")
    assert len(firing) == 1
    alert = firing[0]
    assert alert["labels"] == {"alertname": "FaultlineDeploymentHalted", "deployment": "d1", "severity": "critical"}
    assert alert["annotations"]["description"] == "Halted by a person: seen on the desk"
    assert alert["annotations"]["verdict"] == "halt"
    assert alert["generatorURL"] == "https://faultline.example.com/v1/deployments/d1"
    since = d.get("/v1/deployments/d1/verdict").json["since"]
    assert alert["startsAt"] == since
    # sent again and again: its end moves on
    d.until(lambda: alertmanager.alerts()[0]["endsAt"] > alert["endsAt"], "another sending")
    # an Alertmanager that lost everything hears of it again
    alertmanager.stop()
    alertmanager.start()
    d.until(lambda: alertmanager.alerts(), "the alert after a restart")
    d.restart()
    assert alertmanager.alerts()
    resume(d)
    d.until(lambda: alertmanager.alerts() == [], "the end of the alert")
    alertmanager.told.wait(1)
    d.until(lambda: any(b["status"] == "resolved" for b in map(json.loads, (g[1] for g in alertmanager.told.got))), "the resolution")
    assert d.get("/v1/webhooks/am").json["state"] == "ok"


def test_alertmanager_ping_and_outage(hooked, alertmanager):
    d = hooked(f"[am]\nurl = http://127.0.0.1:{alertmanager.port}/\nformat = alertmanager\nresend = 500ms\n")
    d.until(lambda: alertmanager.alerts() is not None, "Alertmanager")
    assert d.get("/v1/webhooks/am").json["state"] == "idle"
    assert d.post("/v1/webhooks/am/ping", {}).status == 202
    d.until(lambda: d.get("/v1/webhooks/am").json["state"] == "ok", "the ping")
    alertmanager.stop()
    halt(d)
    d.until(lambda: d.get("/v1/webhooks/am").json["state"] == "failing", "the outage")
    alertmanager.start()
    d.until(lambda: alertmanager.alerts(), "the alert")


def test_alarms_without_a_deployment(hooked, receiver, alertmanager):
    cloud, duty, narrow = receiver(), receiver(status=202), receiver()
    d = hooked(section(cloud.port, "cloud", events="alarm") +
               section(duty.port, "duty", format="pagerduty", routing_key="0123456789abcdef") +
               section(narrow.port, "narrow", deployments="sensor-*") +
               f"[am]\nurl = http://127.0.0.1:{alertmanager.port}\nformat = alertmanager\nresend = 500ms\n")
    town = lambda i: {"labels": {"site": f"town-{i % 12}"}}  # noqa: E731
    d.ingest("POST", "/v1/heartbeats", [{"host": fleet.host(i), "boot_id": f"b{i}", "product": "sensor", "os": "windows",
                                         "os_build": "22631", **town(i)} for i in range(24)])
    d.until(lambda: d.get("/v1/now").json["hosts"]["recent"] >= 24, "the fleet")
    for i in range(12):
        fleet.crash(d, i, **town(i))
    brake = d.until(lambda: next((a for a in d.get("/v1/alarms").json["alarms"] if a["kind"] == "brake"), None), "the alarm")
    d.until(lambda: any(e["data"]["kind"] == "brake" for e in cloud.events()), "the notice")
    e = next(e for e in cloud.events() if e["data"]["kind"] == "brake")
    assert (e["type"], e["subject"]) == ("dev.faultline.alarm.raised", f"alarms/{brake['id']}")
    assert e["data"]["signature"] == "csagent.sys+0xe14ed" and e["data"]["reason"] == brake["text"] and not e["data"]["certified"]
    d.until(lambda: any(b["payload"]["component"] == "csagent.sys+0xe14ed" for b in duty.events()), "the page")
    page = next(b for b in duty.events() if b["dedup_key"].endswith(e["subject"]))
    assert page["event_action"] == "trigger" and page["payload"]["severity"] == "warning" and page["payload"]["class"] == "alarm"
    d.until(lambda: any(a["labels"].get("kind") == "brake" for a in alertmanager.alerts() or []), "the alert")
    alert = next(a for a in alertmanager.alerts() if a["labels"].get("kind") == "brake")
    assert alert["labels"]["alertname"] == "FaultlineAlarm" and alert["labels"]["signature_id"] == brake["signature"]
    assert alert["annotations"]["description"] == brake["text"]
    assert not narrow.got
    # told once, whatever happens to the daemon
    d.until(lambda: len(cloud.events()) == 2 and hook_state(d, "cloud")["pending"] == 0, "the outbreak's notice too")
    told = {e["id"] for e in cloud.events()}
    d.restart()
    d.post("/v1/webhooks/cloud/ping", {})
    d.until(lambda: any(e["type"] == "dev.faultline.ping" for e in cloud.events()), "the ping")
    assert {e["id"] for e in cloud.events() if "alarm" in e["type"]} == told
