# SPDX-License-Identifier: Apache-2.0
"""faultline sim --demo: what a newcomer sees."""
import re
import signal
import subprocess

import pytest

import browser
import fleet
import web_help


def start(programs, daemon, *more):
    return subprocess.Popen([programs.faultline, "sim", "--demo", "--pace", "0.3", "--stream", f"127.0.0.1:{daemon.stream}", "--server",
                             f"http://127.0.0.1:{daemon.api_port}", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_said(process, words):
    told = []
    for line in process.stdout:
        told.append(line)
        if words in line:
            return told
    raise AssertionError("".join(told) + process.stderr.read())


def pictures(programs, daemon, deployment):
    """What README shows, into the build's tests/it: docs/images are copies of them."""
    b = browser.Browser(1280, 860)
    try:
        b.viewport(1280, 860)
        b.media(prefers_color_scheme="dark")
        web_help.go(b, daemon, "/")
        assert b.wait("return document.querySelector('#banner')?.dataset.level === 'halt'")
        b.screenshot(web_help.artefact(programs, "now.png"))
        b.media(prefers_color_scheme="light")
        web_help.go(b, daemon, f"/deployments/{deployment}")
        assert b.wait("return document.querySelector('#evidence canvas') !== null")
        b.screenshot(web_help.artefact(programs, "deployment.png"))
    finally:
        b.close()


@pytest.fixture(name="stage")
def stage_fixture(make_daemon):
    return make_daemon(bake="5s", halt_silence_grace="10s", halt_loop_window="1m")


def test_the_story(stage, programs):
    p = start(programs, stage)
    try:
        told = until_said(p, "HALT.")
        assert f"http://127.0.0.1:{stage.api_port}/" in told[0]
        now = stage.get("/v1/now").json
        assert now["verdict"]["status"] == "halt" and "channel-file-291-demo-" in now["verdict"]["deployment"]
        states = {d["id"].split("-demo-")[0]: d for d in now["deployments"]}
        assert states["edge-proxy-4.2"]["status"] == states["display-driver-552"]["status"] == "proceed"
        assert states["channel-file-291"]["harmed"] >= 3 and now["hosts"]["known"] == 6000
        told = until_said(p, "laptops are harmed")
        harmed = int(re.search(r"(\d+) of 4200 laptops", told[-1]).group(1))
        assert 3 <= harmed < 400
        # ordinary crashes: several modules, kinds and sites
        facets = stage.get("/v1/signatures?facets=1").json["facets"]
        assert len(facets["module"]) >= 5 and len(facets["kind"]) >= 3 and "amsterdam" in {f["value"] for f in facets["site"]}
        if not browser.missing():
            pictures(programs, stage, now["verdict"]["deployment"])
        until_said(p, "RECOVERED.")
        assert stage.get("/v1/now").json["verdict"]["status"] == "halt_recovered"
        until_said(p, "it is quiet")
    finally:
        p.send_signal(signal.SIGTERM)
        assert p.wait(30) == 0
    assert "goodbye" in p.stdout.read()
    # a second one knows the fleet of the first
    again = start(programs, stage)
    try:
        until_said(again, "say that they live")
    finally:
        again.terminate()
        again.wait(30)


def test_never_among_the_hosts_of_others(daemon, programs):
    fleet.beat(daemon)
    # the fleet is counted once a second
    daemon.until(lambda: daemon.get("/v1/now").json["hosts"]["known"] == fleet.HOSTS, "the count of the fleet")
    p = start(programs, daemon)
    assert p.wait(30) == 1
    assert "240 hosts that are not of a demo" in p.stderr.read()
    assert daemon.get("/v1/now").json["hosts"]["known"] == fleet.HOSTS
    p = start(programs, daemon, "--force", "--duration", "1s")
    try:
        until_said(p, "say that they live")
    finally:
        p.terminate()
        assert p.wait(30) == 0
