# SPDX-License-Identifier: Apache-2.0
"""The live page in a real headless Chromium."""
import gzip
import os
import zlib

import pytest

import browser
import fleet

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)


@pytest.fixture
def page():
    b = browser.Browser()
    yield b
    b.close()


def artefact(programs, name):
    folder = os.path.join(programs.builddir, "tests", "it")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


def test_files_are_closed_to_everything_else(daemon):
    a = daemon.get("/")
    policy = a.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert a.headers["X-Content-Type-Options"] == "nosniff"
    assert b"http://" not in a.body and b"https://" not in a.body  # nothing from elsewhere
    packed = daemon.get("/app.js", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = daemon.get("/app.js")
    assert gzip.decompress(packed.body) == plain.body and zlib.crc32(plain.body)
    assert daemon.get("/app.js", headers={"If-None-Match": plain.headers["ETag"]}).status == 304
    assert daemon.get("/../etc/passwd").status == 404


def test_the_page_lives(daemon, page, programs):
    page.go(f"http://127.0.0.1:{daemon.api_port}/")
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'live'")
    assert page.text("#banner-title") == "No deployment is running"
    assert page.run("return document.querySelector('#newest').offsetParent === null")
    assert page.run("return getComputedStyle(document.querySelector('#deployments-empty')).display") == "block"

    # a rollout goes bad while we look: nobody reloads
    fleet.bad_rollout(daemon)
    assert page.wait("return document.querySelector('#banner').dataset.level === 'halt'")
    assert page.text("#banner-title") == "HALTED: d1"
    assert "csagent.sys" in page.text("#banner-text")
    assert page.wait("return document.querySelector('#deployments .chip').dataset.verdict === 'halt'")
    assert page.run("return document.title") == "HALTED · d1"
    for table in ("newest", "largest"):
        assert page.wait(f"const c = document.querySelector('#{table} tbody tr'); return c && c.cells[2].textContent === '{fleet.BAD}'")
        assert page.text(f"#{table} tbody tr .title span") == "csagent.sys+0xe14ed"
    now = daemon.get("/v1/now").json
    assert page.wait(f"return document.querySelector('#arrivals-minute').textContent === '{now['reports']['counted']}'")
    assert page.text("#signatures") == "1" and page.text("#deployments-open") == "1"
    assert page.wait("""const c = document.querySelector('#chart');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 === 3 && v > 200)""")
    page.screenshot(artefact(programs, "page.png"))
    assert os.path.getsize(artefact(programs, "page.png")) > 10000
    assert page.console() == []


def test_hostile_names_stay_text(daemon, page):
    evil = "<img src=x onerror=document.title='pwned'>.so"  # the part before a / is a folder
    page.go(f"http://127.0.0.1:{daemon.api_port}/")
    page.wait("return document.querySelector('#fresh').dataset.state === 'live'")
    fleet.crash(daemon, 1, module=evil, offset="0x1", kind="user")
    daemon.put("/v1/deployments/d1", {**fleet.PLAN})
    daemon.post("/v1/deployments/d1/pause", {"reason": "</td><script>document.title='pwned'</script>"})
    assert page.wait("return document.querySelector('#newest tbody tr .title span')")
    assert page.text("#newest tbody tr .title span") == evil + "+0x1"
    assert page.wait("const r = document.querySelector('#deployments tbody tr .because');"
                     "return r && r.textContent.includes('<script>')")
    assert page.run("return document.querySelectorAll('main script, main img').length") == 0
    assert "pwned" not in page.run("return document.title")
    assert page.console() == []


def test_a_lost_server_is_never_an_all_clear(daemon, page):
    daemon.settings["api-listen"] = f"127.0.0.1:{daemon.api_port}"
    page.go(f"http://127.0.0.1:{daemon.api_port}/")
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'live'")
    daemon.kill()
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'late'", 20)
    daemon.start()
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'live'", 30)
    fleet.crash(daemon, 1)
    assert page.wait("return document.querySelector('#newest tbody tr .title span')")  # the stream is back too


def test_a_token_is_asked_for(make_daemon, page, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-secret-secret\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens), api_listen="0.0.0.0:0")
    page.go(f"http://127.0.0.1:{d.api_port}/")
    assert page.wait("return !document.querySelector('#sign-in').hidden")

    def sign_in(token):
        page.run("document.querySelector('#token').value = arguments[0];"
                 "document.querySelector('#sign-in button').click()", token)
    sign_in("wrong-wrong-wrong-wrong")
    assert page.wait("return document.querySelector('#sign-in-error').textContent.includes('does not know')")
    sign_in("secret-secret-secret")
    assert page.wait("return document.querySelector('#sign-in').hidden")
    assert page.wait("return document.querySelector('#fresh').dataset.state === 'live'")
    assert page.run("return sessionStorage.getItem('token')") == "secret-secret-secret"
    assert page.run("return localStorage.getItem('token')") is None
