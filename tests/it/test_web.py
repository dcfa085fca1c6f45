# SPDX-License-Identifier: Apache-2.0
"""The dashboard in a real headless Chromium: the shell, Now, sign-in, lost servers, hostile text."""
import gzip
import os
import re

import pytest

import browser
import fleet
import web_help

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)
page = web_help.page_fixture


def test_files_are_closed_to_everything_else(daemon):
    a = daemon.get("/")
    policy = a.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy and "trusted-types 'none'" in policy
    assert a.headers["X-Content-Type-Options"] == "nosniff"
    for path in web_help.assets(daemon):
        assert daemon.get(path).headers["Cache-Control"] == "public, max-age=31536000, immutable"
        packed = daemon.get(path, headers={"Accept-Encoding": "gzip"})
        plain = daemon.get(path)
        assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
        assert daemon.get(path, headers={"Accept-Encoding": "br"}).headers["Content-Encoding"] == "br"
        assert daemon.get(path, headers={"If-None-Match": plain.headers["ETag"]}).status == 304
    assert daemon.get("/../etc/passwd").status == 404
    for name in ("preact", "@preact/signals", "uplot"):
        assert name in daemon.get("/assets/licences.txt").text


def test_bundle_holds_what_it_may(daemon):
    """Sizes, no other host, and nothing that turns text into code or markup but what Preact has for callers of it."""
    size = {"js": 0, "css": 0}
    for path in web_help.assets(daemon):
        size[path.rsplit(".", 1)[1]] += len(daemon.get(path, headers={"Accept-Encoding": "gzip"}).body)
        text = daemon.get(path).text
        hosts = set(re.findall(r"https?://[\w.-]+", text))
        assert hosts <= {"http://www.w3.org", "https://www.w3.org"}, hosts  # names of SVG and MathML, never fetched
        assert "new Function" not in text and not re.search(r"\beval\(", text)
        assert "outerHTML" not in text and "insertAdjacentHTML" not in text and "document.write" not in text
    assert 0 < size["js"] <= 90_000 and 0 < size["css"] <= 10_000, size
    source = os.path.join(os.path.dirname(__file__), "../../web/src")
    for folder, _, files in os.walk(source):
        for name in files:
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
            assert "innerHTML" not in text and "dangerously" not in text.lower() and "javascript:" not in text, name
            if name.endswith(".tsx"):
                # an address is a constant, a path of ours, or went through href()
                for value in re.findall(r"href=\{([^}]+)\}", text):
                    assert re.match(r"(paths\.|href\(|at$|to$|exported\(|['`]/v1/)", value), f"{name}: {value}"


def test_now_lives(daemon, page, programs):
    web_help.go(page, daemon, "/")
    assert page.wait("return document.querySelector('#banner').dataset.level === 'clear'"), page.text("#banner")
    assert "No deployment registered." in page.text("#running")
    assert page.run("return document.querySelector('link[rel=icon]').href").endswith("/favicon-clear.svg")
    page.run("window.same = true")

    # a rollout goes bad while we look: nobody reloads
    fleet.bad_rollout(daemon)
    assert page.wait("return document.querySelector('#banner').dataset.level === 'halt'")
    assert "d1" in page.text("#banner h1") and "csagent.sys" in page.text("#banner")
    assert page.wait("return document.querySelector('#running .chip')?.dataset.status === 'halt'")
    assert page.run("return document.title").startswith("HALTED · d1")
    assert page.run("return document.querySelector('link[rel=icon]').href").endswith("/favicon-halt.svg")
    assert "d1" in page.text("#alarm")  # told to a screen reader, once
    assert page.wait("return document.querySelector('#new tbody tr a')?.textContent === 'csagent.sys+0xe14ed'")
    assert page.run("return window.same") is True
    web_help.numbers_are_the_apis(page, daemon)
    page.screenshot(web_help.artefact(programs, "page.png"))
    assert os.path.getsize(web_help.artefact(programs, "page.png")) > 10000
    assert web_help.complaints(page) == []


def test_hostile_names_stay_text(daemon, page):
    evil = "<img src=x onerror=document.title='pwned'>.so"  # the part before a / is a folder
    web_help.go(page, daemon, "/")
    fleet.crash(daemon, 1, module=evil, offset="0x1", kind="user", reason="<script>\u202e='pwned'</script>")
    daemon.put("/v1/deployments/d1", {**fleet.PLAN})
    daemon.post("/v1/deployments/d1/pause", {"reason": "</td><script>document.title='pwned'</script>"})
    assert page.wait("return document.querySelector('#new tbody tr a')")
    assert page.text("#new tbody tr a") == evil + "+0x1"
    assert page.text("#new .mark") == "U+202E"
    assert page.wait("return document.querySelector('#running .because')?.textContent.includes('<script>')")
    assert page.run("return document.querySelectorAll('main script, main img, main [onerror]').length") == 0
    assert "pwned" not in page.run("return document.title")
    assert web_help.complaints(page) == []


def test_a_lost_server_is_never_an_all_clear(daemon, page):
    daemon.settings["api-listen"] = f"127.0.0.1:{daemon.api_port}"
    web_help.go(page, daemon, "/")
    daemon.kill()
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'late'", 20)
    assert page.wait("return document.querySelector('#banner').dataset.level === 'unknown'", 40)
    assert page.text("#banner h1").startswith("UNKNOWN: no contact for 3") and "Last verdict" in page.text("#banner")
    assert page.run("return document.title").startswith("UNKNOWN")
    daemon.start()
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'live'", 30)
    assert page.wait("return document.querySelector('#banner').dataset.level === 'clear'", 30)
    fleet.crash(daemon, 1)
    assert page.wait("return document.querySelector('#new tbody tr a')")  # the stream is back too


def test_a_token_is_asked_for(make_daemon, page, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-secret-secret\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens), api_listen="0.0.0.0:0")
    page.go(f"http://127.0.0.1:{d.api_port}/deployments?state=open")
    assert page.wait("return document.querySelector('#sign-in')")

    def sign_in(token):
        page.run("document.querySelector('#token').value = arguments[0];"
                 "document.querySelector('#sign-in .primary').click()", token)
    sign_in("wrong-wrong-wrong-wrong")
    assert page.wait("return document.querySelector('#sign-in-error').textContent.includes('does not know')")
    sign_in("secret-secret-secret")
    # back where one was, and live
    assert page.wait("return document.querySelector('h1')?.textContent === 'Deployments'")
    assert page.run("return location.pathname + location.search") == "/deployments?state=open"
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'live'")
    assert page.run("return Object.keys(sessionStorage).length + Object.keys(localStorage).length") == 0
    assert page.run("return document.cookie") == ""  # no script can read it
    page.click("#sign-out")
    assert page.wait("return document.querySelector('#sign-in')")
