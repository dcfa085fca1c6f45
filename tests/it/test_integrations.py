# SPDX-License-Identifier: Apache-2.0
"""Contracts of deployment systems: the request each of them sends, the answer to the byte."""
import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest

import fleet

JSON = {"Content-Type": "application/json"}
TOKEN = "a-token-of-more-than-16-characters"


def settle(daemon, how, name="d1"):
    """A deployment d1 whose verdict is hold, halt or (in shadow mode) proceed."""
    fleet.deploy(daemon, name, served=0, mode="shadow" if how == "proceed" else "armed")
    if how == "halt":
        assert daemon.post(f"/v1/deployments/{name}/halt", {"reason": "seen on the desk"}).status == 200
    assert daemon.get(f"/v1/deployments/{name}/verdict").json["verdict"] == how
    daemon.until(lambda: [d for d in daemon.get("/v1/deployments").json["deployments"]
                          if d["id"] == name and d["verdict"] == how], "the view")


# ---- Prometheus' query, as Flagger and Argo Rollouts ask it

def query(daemon, expression, **more):
    return daemon.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression, **more}))


def flagger_reads(answer):
    """What Flagger's Prometheus provider makes of an answer: the last value, or an error."""
    if answer.status >= 400:
        return f"error response: {answer.status}"
    value = None
    for row in answer.json["data"]["result"]:
        assert "values" not in row
        if isinstance(row["value"][1], str):
            value = float(row["value"][1])
    return "no values found" if value is None or value != value else value


def test_query_exact_answers(daemon):
    settle(daemon, "halt")
    settle(daemon, "hold", "d2")
    a = query(daemon, "vector(1)")
    assert (a.status, a.headers["Content-Type"]) == (200, "application/json")
    assert re.fullmatch(r'\{"status":"success","data":\{"resultType":"vector","result":\[\{"metric":\{\},'
                        r'"value":\[\d{10}\.\d{1,3},"1"\]\}\]\}\}\n', a.text), a.text
    a = query(daemon, 'faultline_deployment_halted{deployment="d1"}')
    assert re.fullmatch(r'\{"status":"success","data":\{"resultType":"vector","result":\[\{"metric":'
                        r'\{"__name__":"faultline_deployment_halted","deployment":"d1"\},"value":\[[\d.]+,"1"\]\}\]\}\}\n', a.text), a.text
    assert flagger_reads(query(daemon, "vector(1)")) == 1.0
    assert flagger_reads(query(daemon, 'faultline_deployment_halted{deployment="d2"}')) == 0.0
    assert flagger_reads(query(daemon, 'faultline_deployment_halted{deployment="other"}')) == "no values found"
    assert flagger_reads(query(daemon, 'sum( faultline_deployment_halted )')) == 1.0
    assert flagger_reads(query(daemon, 'count(faultline_deployment_halted)')) == 2.0
    assert flagger_reads(query(daemon, "faultline_hosts_dark")) == 0.0
    assert query(daemon, 'faultline_deployment_verdict{deployment="d2",verdict="hold"}').json["data"]["result"][0]["value"][1] == "1"
    assert len(query(daemon, 'faultline_deployment_verdict{verdict!="halt"}').json["data"]["result"]) == 4
    assert query(daemon, "1.5").json["data"]["resultType"] == "scalar"
    assert flagger_reads(query(daemon, 'faultline_deployment_halted{deployment="x"} or vector(2)')) == 2.0


def test_query_as_argo_posts_it(daemon):
    settle(daemon, "hold")
    form = urllib.parse.urlencode({"query": 'faultline_deployment_verdict{deployment="d1",verdict="proceed"}',
                                   "time": f"{time.time():.3f}", "timeout": "30s"})
    a = daemon.post("/api/v1/query", form.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert a.status == 200
    assert [r["value"][1] for r in a.json["data"]["result"]] == ["0"]  # result[0] == 1 is false: no success
    a = query(daemon, "vector(1)", time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    assert a.status == 200


@pytest.mark.parametrize("expression, says", [
    ("", "the query is empty"), ("rate(x[5m])", "functions are"), ("faultline_hosts[5m]", "ranges are not supported"),
    ("faultline_nothing", "there is no metric"), ("up", "there is no metric"), ("faultline_hosts{ring=\"a\"}", "has no label ring"),
    ("faultline_deployment_halted{deployment=~\"d.*\"}", "regular expressions"), ("faultline_hosts > 1", "no operators"),
    ("faultline_deployment_halted{deployment=\"d1}", "not closed"), ("vector(x)", "expected a number"), ("{a=\"b\"}", "in front of the braces"),
])
def test_query_says_what_it_does_not_understand(daemon, expression, says):
    a = query(daemon, expression)
    assert a.status == 400 and a.json["status"] == "error" and a.json["errorType"] == "bad_data"
    assert says in a.json["error"]


def test_query_knows_only_the_present(daemon):
    a = query(daemon, "vector(1)", time=str(time.time() - 3600))
    assert a.status == 400 and "only the present" in a.json["error"]


def test_metrics_and_query_tell_the_same(daemon):
    settle(daemon, "proceed")
    told = daemon.metrics()
    assert told["fresh"] == 1
    for name in ('deployment_halted{deployment="d1"}', 'deployment_verdict{deployment="d1",verdict="proceed"}',
                 'deployment_hosts{deployment="d1",state="served"}', 'deployment_next_ring_hosts{deployment="d1"}', "hosts"):
        assert flagger_reads(query(daemon, "faultline_" + name)) == told[name], name


# ---- Flagger's webhooks

def payload(**more):
    """As Flagger posts it: unknown members are its business."""
    return {"name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b", "buildId": "1", **more}


def hook(daemon, which, body=None, **k):
    return daemon.post(f"/v1/flagger/{which}", body or payload(), **k)


LEARNED = "flagger:test:podinfo:85d557f47b"


def event(daemon, **more):
    message = more.pop("message", "Advance podinfo.test canary weight 10")
    return hook(daemon, "event", payload(metadata={"eventMessage": message, "eventType": "Normal",
                                                   "timestamp": "1578607635167", **more.pop("metadata", {})}, **more))


@pytest.mark.parametrize("verdict, confirm, check, rollback", [
    ("proceed", 200, 200, 403), ("hold", 403, 200, 403), ("halt", 403, 403, 200)])
def test_flagger_three_urls(daemon, verdict, confirm, check, rollback):
    settle(daemon, verdict, LEARNED)
    for which, status in (("confirm", confirm), ("check", check), ("rollback", rollback)):
        a = hook(daemon, which)
        assert (a.status, a.headers["Content-Type"]) == (status, "text/plain; charset=utf-8"), (which, a)
        assert a.text.startswith(verdict + ": ") and a.text.endswith("\n")
    if verdict == "halt":
        assert hook(daemon, "rollback").text == "halt: Halted by a person: seen on the desk\n"


def test_flagger_with_a_deployment_of_its_own_name(daemon):
    settle(daemon, "halt", "sensor-1")
    body = payload(metadata={"deployment": "sensor-1"})
    assert [hook(daemon, w, body).status for w in ("confirm", "check", "rollback")] == [403, 403, 200]


def test_flagger_unknown_is_hold(daemon):
    assert [hook(daemon, w).status for w in ("confirm", "check", "rollback")] == [403, 200, 403]
    assert hook(daemon, "confirm").text.startswith("hold: no deployment of this name is known")


def test_flagger_events_bring_deployments(daemon):
    for phase in ("Initializing", "Initialized", "Waiting", "Succeeded", "Failed"):
        assert event(daemon, phase=phase).text == f"noted: {phase}\n"
    # the first event of a revision carries the checksum of the one before
    assert event(daemon, message="New revision detected! Scaling up podinfo.test", checksum="old").text == "noted: Progressing\n"
    assert daemon.get("/v1/deployments").json["deployments"] == []
    a = event(daemon, metadata={"modules": "podinfo, libpod.so", "products": "podinfo"})
    assert (a.status, a.text) == (200, f"learned: {LEARNED}\n")
    assert event(daemon).text == f"known: {LEARNED}\n"
    plan = daemon.get(f"/v1/deployments/{LEARNED}").json["plan"]
    assert (plan["artefact"], plan["version"], plan["actor"]) == ("test/podinfo", "85d557f47b", "flagger")
    assert plan["modules"] == ["podinfo", "libpod.so"] and plan["eligible"]["products"] == ["podinfo"]
    assert event(daemon, checksum="next").text == "learned: flagger:test:podinfo:next\n"
    assert hook(daemon, "confirm").text.startswith("hold: ")


def test_flagger_bad_payloads(daemon):
    def error(body, which="check"):
        a = hook(daemon, which, body, headers=JSON)
        return a.status, a.json["error"]["code"], a.json["error"].get("field")
    assert error(b"[]") == (400, "invalid_json", None)
    assert error(b"{") == (400, "invalid_json", None)
    assert error(b'{"name":"a","namespace":"b"}') == (400, "invalid_field", "checksum")
    assert error(json.dumps(payload(metadata={"deployment": "no id!"})).encode()) == (400, "invalid_field", "metadata.deployment")
    assert error(json.dumps(payload(name="x" * 200)).encode()) == (400, "invalid_field", "metadata.deployment")


# ---- Argo Rollouts' web provider

def argo(result, success, failure):
    """Both conditions given: neither true is inconclusive, and a rollout pauses."""
    return "Failed" if failure(result) else "Successful" if success(result) else "Inconclusive"


@pytest.mark.parametrize("verdict, phase", [("proceed", "Successful"), ("hold", "Inconclusive"), ("halt", "Failed")])
def test_argo_web_provider(daemon, verdict, phase):
    settle(daemon, verdict)
    a = daemon.get("/v1/deployments/d1/verdict", headers={"Authorization": "Bearer whatever"})
    assert (a.status, a.headers["Content-Type"]) == (200, "application/json")
    assert argo(a.json, lambda r: r["verdict"] == "proceed", lambda r: r["verdict"] == "halt") == phase
    for member in ("state", "reason", "since", "stale_seconds", "evidence"):
        assert member in a.json


# ---- who may ask, and a server that does not know yet

def test_tokens_also_as_a_password(make_daemon):
    d = make_daemon(start=False)
    os.makedirs(d.data)
    path = os.path.join(d.directory, "tokens")
    with open(path, "w", encoding="utf-8") as f:
        f.write(TOKEN + "\n")
    os.chmod(path, 0o600)
    d.settings["token-file"] = path
    d.start()

    def basic(text):
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode(), **JSON}
    body = json.dumps(payload(metadata={"eventMessage": "Advance"})).encode()
    assert hook(d, "event", body, headers=basic("flagger:" + TOKEN)).status == 200
    assert hook(d, "event", body, headers={"Authorization": "Bearer " + TOKEN, **JSON}).status == 200
    for bad in (basic("flagger:" + TOKEN + "x"), basic(TOKEN), {"Authorization": "Basic !!", **JSON}, JSON):
        assert hook(d, "event", body, headers=bad).status == 401


def test_a_restarting_server_never_lets_anything_proceed(daemon):
    """While the log is read again: halts stay, everything else holds."""
    settle(daemon, "proceed")
    settle(daemon, "halt", "bad")
    # Enough of a log to be caught reading it; the newest snapshot goes, so that it begins at the start.
    for i in range(40):
        daemon.report([{"host": f"h{i}-{k}", "module": f"m{k}.so", "offset": hex(i)} for k in range(500)])
    daemon.kill()
    for name in os.listdir(os.path.join(daemon.data, "snapshots")):
        path = os.path.join(daemon.data, "snapshots", name)
        if os.path.isfile(path):
            os.unlink(path)
    daemon.start(wait=False)
    daemon.wait_listening()
    seen = 0
    while daemon.get("/readyz").status != 200:
        fresh = daemon.metrics().get("fresh")
        told = [daemon.get("/v1/deployments/d1/verdict"), hook(daemon, "confirm", payload(metadata={"deployment": "d1"})),
                query(daemon, 'faultline_deployment_halted{deployment="d1"}')]
        if daemon.get("/readyz").status == 200:
            break
        seen += 1
        assert fresh == 0
        assert told[0].status == 503 or told[0].json["verdict"] == "hold"
        assert told[1].status == 403
        assert told[2].status == 503 and told[2].json["errorType"] == "unavailable"
    daemon.wait_ready()
    assert daemon.get("/v1/deployments/bad/verdict").json["verdict"] == "halt"
    assert daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "proceed"


# ---- parameters that do not exist

@pytest.mark.parametrize("path", [
    "/v1/now?x=1", "/v1/stream?ring=a", "/v1/signatures?srot=hosts", "/v1/deployments?limits=3", "/v1/deployments/d1/verdict?wiat=30s",
    "/v1/deployments/d1?verbose=1", "/v1/hosts/h?x=1", "/v1/reports/r?x=1", "/v1/signatures/s1-0/reports?after=1"])
def test_unknown_parameters_are_errors(daemon, path):
    a = daemon.get(path)
    field = path.split("?")[1].split("=")[0]
    assert (a.status, a.json["error"]["code"], a.json["error"]["field"]) == (400, "invalid_field", field)


def test_unknown_parameters_of_writes(daemon):
    fleet.deploy(daemon, served=0)
    assert daemon.post("/v1/deployments/d1/halt?reason=x", {"reason": "y"}).json["error"]["field"] == "reason"
    assert daemon.delete("/v1/deployments/d1?froce=1").json["error"]["field"] == "froce"
    assert daemon.ingest("POST", "/v1/reports?x=1", [{"host": "a"}]).json["error"]["code"] == "invalid_field"
    assert daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "hold"


# ---- events of one deployment

def test_stream_of_one_deployment(daemon):
    events = fleet.Events(daemon, deployment="d1")
    events.wait("hello")
    settle(daemon, "halt", "other")
    fleet.crash(daemon, 1)
    settle(daemon, "halt")
    halt = events.wait("verdict", lambda d: d["verdict"] == "halt")
    assert {e["data"]["deployment"] for e in events.seen if e["event"] in ("verdict", "deployment")} == {"d1"}
    assert not [e for e in events.seen if e["event"] == "signature"]
    events.close()
    first = next(e for e in events.seen if e["event"] == "deployment")
    again = fleet.Events(daemon, last_id=first["id"], deployment="d1")
    assert again.wait("verdict", lambda d: d["verdict"] == "halt")["id"] == halt["id"]
    assert {e["data"]["deployment"] for e in again.seen if e["event"] in ("verdict", "deployment")} == {"d1"}
    again.close()
    assert daemon.get("/v1/stream?deployment=a%20b").json["error"]["field"] == "deployment"


# ---- the manifests

def manifest(programs, name):
    return os.path.join(programs.srcdir, "docs", "integrations", name)


def load(programs, name):
    yaml = pytest.importorskip("yaml")
    with open(manifest(programs, name), encoding="utf-8") as f:
        return list(yaml.safe_load_all(f)) if name.endswith((".yaml", ".yml")) else json.load(f)


def test_every_manifest_is_well_formed(programs):
    names = os.listdir(os.path.join(programs.srcdir, "docs", "integrations"))
    assert len(names) >= 10
    for name in names:
        if name.endswith(".ini"):
            continue
        assert load(programs, name), name


def test_the_webhook_file_is_taken(programs, make_daemon):
    d = make_daemon(start=False)
    os.makedirs(d.directory, exist_ok=True)
    shutil.copy(manifest(programs, "webhooks.ini"), d.directory)
    path = os.path.join(d.directory, "webhooks.ini")
    os.chmod(path, 0o600)
    d.settings["webhook-file"] = path
    d.start()
    told = d.get("/v1/webhooks").json["webhooks"]
    assert [(w["name"], w["format"]) for w in told] == [("alertmanager", "alertmanager"), ("release-bot", "cloudevents"),
                                                       ("chat", "slack"), ("on-call", "pagerduty")]


def argo_assess(metric, phases):
    """How Argo Rollouts judges a metric from its measurements, one after the other (1.8 and newer)."""
    count = failed = inconclusive = errors = success = 0
    for phase in phases:
        count += phase != "Error"
        failed += phase == "Failed"
        inconclusive += phase == "Inconclusive"
        errors = errors + 1 if phase == "Error" else 0
        success = success + 1 if phase == "Successful" else 0
        if failed > metric.get("failureLimit", 0):
            return "Failed"
        if inconclusive > metric.get("inconclusiveLimit", 0):
            return "Inconclusive"
        if errors > metric.get("consecutiveErrorLimit", 4):
            return "Error"
        if metric.get("consecutiveSuccessLimit") and success >= metric["consecutiveSuccessLimit"]:
            return "Successful"
        if count >= metric["count"]:
            return "Inconclusive" if metric.get("consecutiveSuccessLimit") else "Successful"
    return "Running"


@pytest.mark.parametrize("name", ["argo-rollouts-web.yaml", "argo-rollouts-prometheus.yaml"])
def test_argo_manifests_never_take_hold_for_success(programs, daemon, name):
    metric = load(programs, name)[0]["spec"]["metrics"][0]
    assert argo_assess(metric, ["Inconclusive"] * 5 + ["Successful"]) == "Successful"
    assert argo_assess(metric, ["Inconclusive"] * 5 + ["Failed"]) == "Failed"
    assert argo_assess(metric, ["Inconclusive"] * 500) == "Inconclusive"
    assert argo_assess(metric, ["Error"] * 10 + ["Inconclusive"]) == "Running"
    # its conditions on what the server really answers
    for verdict, phase in (("proceed", "Successful"), ("hold", "Inconclusive"), ("halt", "Failed")):
        settle(daemon, verdict, verdict)
        if "web" in metric["provider"]:
            path = metric["provider"]["web"]["url"].split(":8482")[1].replace("{{args.deployment-id}}", verdict)
            value = daemon.get(path).json["verdict"]
            told = {condition: metric[condition].split('"')[1] == value for condition in ("successCondition", "failureCondition")}
        else:
            expression = metric["provider"]["prometheus"]["query"].replace("{{args.deployment-id}}", verdict)
            value = flagger_reads(query(daemon, expression))
            told = {condition: float(metric[condition].split("==")[1]) == value for condition in ("successCondition", "failureCondition")}
        assert ("Failed" if told["failureCondition"] else "Successful" if told["successCondition"] else "Inconclusive") == phase


def test_flagger_manifests_name_what_there_is(programs, daemon):
    hooks = load(programs, "flagger-canary.yaml")[0]["spec"]["analysis"]["webhooks"]
    kinds = {"event": "event", "confirm-traffic-increase": "confirm", "confirm-promotion": "confirm", "rollout": "check", "rollback": "rollback"}
    assert {h["type"] for h in hooks} == set(kinds)
    for h in hooks:
        path = h["url"].split(":8482")[1]
        assert path == "/v1/flagger/" + kinds[h["type"]]
        assert daemon.post(path, payload(metadata={"eventMessage": "Advance"})).status in (200, 403)
    expression = load(programs, "flagger-metrictemplate.yaml")[0]["spec"]["query"].replace("{{ variables.deployment }}", "d1")
    settle(daemon, "hold")
    assert flagger_reads(query(daemon, re.sub(r"\s+", " ", expression))) == 0.0


def test_spinnaker_stage_reads_the_verdict(programs, daemon):
    stage = load(programs, "spinnaker-webhook-stage.json")
    path = stage["url"].split(":8482")[1].replace("${parameters.deployment}", "d1")
    for verdict, status in (("hold", "RUNNING"), ("halt", "TERMINAL")):
        settle(daemon, verdict)
        told = daemon.get(path).json[stage["statusJsonPath"].removeprefix("$.")]
        got = "SUCCEEDED" if told in stage["successStatuses"].split(",") else "TERMINAL" if told in stage["terminalStatuses"].split(",") else "RUNNING"
        assert got == status


def test_promtool_accepts_metrics_rules_and_configuration(programs, daemon, tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    settle(daemon, "halt")
    done = subprocess.run([promtool, "check", "metrics"], input=daemon.get("/metrics").body, capture_output=True, check=False)
    assert done.returncode in (0, 3) and b"error while linting" not in done.stderr, done.stderr  # 3: matters of taste
    assert subprocess.run([promtool, "check", "rules", manifest(programs, "prometheus-rules.yaml")], check=False).returncode == 0
    token = tmp_path / "token"
    token.write_text("x")
    shutil.copy(manifest(programs, "prometheus-rules.yaml"), tmp_path)
    with open(manifest(programs, "prometheus.yaml"), encoding="utf-8") as f:
        (tmp_path / "prometheus.yaml").write_text(f.read().replace("/etc/prometheus/faultline.token", str(token)))
    assert subprocess.run([promtool, "check", "config", str(tmp_path / "prometheus.yaml")], check=False).returncode == 0


# ---- the brake at the fleet's side

def test_answers_to_the_fleet_name_what_is_halted(daemon):
    beat = [{"host": "h1", "boot_id": "b1"}]
    assert "halted" not in daemon.ingest("POST", "/v1/heartbeats", beat).json
    settle(daemon, "halt", "bad")
    settle(daemon, "hold", "fine")
    def named(ids, path, body):
        daemon.until(lambda: daemon.ingest("POST", path, body).json.get("halted", []) == ids, f"{ids} in answers of {path}")
    named(["bad"], "/v1/heartbeats", beat)
    named(["bad"], "/v1/reports", [{"host": "h1", "module": "a.so", "offset": "0x1"}])
    daemon.kill()
    daemon.start()
    named(["bad"], "/v1/heartbeats", beat)  # also after a crash
    settle(daemon, "halt", "worse")
    named(["bad", "worse"], "/v1/heartbeats", beat)
    assert daemon.post("/v1/deployments/bad/resume", {"reason": "a false alarm"}).status == 200
    assert daemon.delete("/v1/deployments/worse?force=1").status == 200
    named([], "/v1/heartbeats", beat)
