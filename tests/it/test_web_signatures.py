# SPDX-License-Identifier: Apache-2.0
"""Signatures in a real Chromium: search, facets, export, views in the address, very many rows, hostile names."""
import csv
import io
import re

import pytest

import browser
import fleet
import web_help

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)
page = web_help.page_fixture

ROWS = "return [...document.querySelectorAll('#list tbody tr[data-i] a.id')].map((a) => a.textContent)"


def some_crashes(daemon, n=12):
    """n signatures, the first on most hosts."""
    fleet.beat(daemon)
    last = None
    for i in range(n):
        for host in range(max(1, 6 - i)):
            last = fleet.crash(daemon, host, module=["csagent.sys", "web.so", "app.dll"][i % 3], offset=hex(0x1000 + i),
                               kind=["kernel", "service", "user"][i % 3])
    fleet.folded(daemon, last)
    daemon.until(lambda: daemon.get("/v1/signatures").json["total"] >= n, "the signatures")


def type_query(page, text):
    page.run("const q = document.querySelector('#q'); q.focus(); q.select()")
    page.press("Backspace")
    page.type(text)


def test_search_by_keyboard_and_back_again(daemon, page):
    some_crashes(daemon)
    web_help.go(page, daemon, "/signatures")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 12")
    web_help.numbers_are_the_apis(page, daemon, 40)
    # a field is offered, then its values with their counts
    type_query(page, "mod")
    assert page.wait("return document.querySelector('#offers li code')?.textContent === 'module:'")
    page.press("ArrowDown", "Enter")
    assert page.wait("return [...document.querySelectorAll('#offers li')].some((n) => n.textContent.includes('csagent.sys') && n.textContent.includes('4 signatures'))")
    page.type("csa")
    page.press("ArrowDown", "Enter")
    assert page.run("return document.querySelector('#q').value") == "module:csagent.sys "
    page.press("Enter")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 4")
    assert page.run("return new URLSearchParams(location.search).get('q')") == "module:csagent.sys"
    # a facet joins the query, again takes it out
    page.click(".facet-column button[aria-pressed=false]")
    assert page.wait("return new URLSearchParams(location.search).get('q').split(' ').length === 2")
    with_facet = page.run("return location.search")
    page.click(".facet-column button[aria-pressed=true]")
    assert page.wait(f"return location.search !== {with_facet!r}")
    page.run("history.back()")
    assert page.wait(f"return location.search === {with_facet!r}")
    page.run("history.back()")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 4")
    page.run("history.back()")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 12")
    assert page.run("return document.querySelector('#q').value") == ""
    page.run("history.forward()")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 4")
    assert page.run("return document.querySelector('#q').value") == "module:csagent.sys"


def test_a_query_that_is_wrong_and_one_that_finds_nothing(daemon, page):
    some_crashes(daemon)
    web_help.go(page, daemon, "/signatures?q=kind:kernel+foo:1")
    assert page.wait("return document.querySelector('#query-error mark')?.textContent === 'f'")
    error = daemon.get("/v1/signatures?q=kind:kernel+foo:1").json["error"]
    assert error["message"] in page.text("#query-error") and f"character {error['at'] + 1}" in page.text("#query-error")
    assert page.run("return document.querySelector('#q').getAttribute('aria-invalid')") == "true"
    # the widest part, and how much without it
    web_help.go(page, daemon, "/signatures?q=kind:kernel+hosts:%3E1000")
    assert page.wait("return document.querySelector('#list .empty code')?.textContent === 'hosts:>1000'")
    assert "removing it gives 4" in page.text("#list .empty")
    page.click("#list .empty button")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 4")
    assert page.run("return new URLSearchParams(location.search).get('q')") == "kind:kernel"


def test_order_groups_and_export(daemon, page):
    some_crashes(daemon)
    fleet.folded(daemon, fleet.crash(daemon, 9, module="=cmd()|' /C calc'!A0", offset="0x9"))
    web_help.go(page, daemon, "/signatures?q=-kind:user")
    total = daemon.get("/v1/signatures?q=-kind:user").json["total"]
    assert page.wait(f"return document.querySelectorAll('#list tbody tr[data-i]').length === {total}")
    for kind in ("csv", "json"):
        to = page.run("return [...document.querySelectorAll('.exports a')].find((a) => a.href.includes('.' + arguments[0] + '?')).getAttribute('href')", kind)
        answer = daemon.get(to)
        if kind == "csv":
            rows = list(csv.DictReader(io.StringIO(answer.text)))
            assert len(rows) == total
            assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for row in rows for cell in row.values())
        else:
            assert len(answer.json["signatures"]) == total == answer.json["total"]
    # worst first by the first click, the other way by the second
    page.run("[...document.querySelectorAll('th .sort')].find((b) => b.textContent.startsWith('Sites')).click()")
    assert page.wait("return location.search.includes('sort=-sites')")
    assert page.wait("return document.querySelector('th[aria-sort=descending]')?.textContent.startsWith('Sites')")
    page.run("[...document.querySelectorAll('.segments button')].find((b) => b.textContent === 'Module').click()")
    assert page.wait("return location.search.includes('group=module')")
    modules = daemon.get("/v1/signatures?q=-kind:user&group=module").json
    assert page.wait(f"return document.querySelectorAll('#list tbody tr[data-i]').length === {modules['total']}")


def test_a_new_crash_comes_by_itself(daemon, page):
    some_crashes(daemon)
    web_help.go(page, daemon, "/signatures")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length === 12")
    page.run("window.stays = true")
    fleet.folded(daemon, fleet.crash(daemon, 1, module="fresh.sys", offset="0x77"))
    assert page.wait("return [...document.querySelectorAll('#list a.id')].some((a) => a.textContent === 'fresh.sys+0x77')", 20)
    assert page.run("return window.stays") is True


HOSTILE = ["<script>document.title='pwned'</script>.sys", "<img src=x onerror=document.title=1>.dll", "\u202egnp.exe", "zero\u200bwidth.so",
           "javascript:alert(1)", "a" * 300]


def test_hostile_names(daemon, page):
    fleet.beat(daemon)
    last = None
    for i, name in enumerate(HOSTILE):
        last = fleet.crash(daemon, i, module=name, offset="0x1", reason="</td><script>document.title='pwned'</script>")
    fleet.folded(daemon, last)
    web_help.go(page, daemon, "/signatures")
    assert page.wait("return document.querySelectorAll('#list tbody tr[data-i]').length >= 5")
    shown = " ".join(page.run(ROWS))
    assert "gnp.exe" in shown and "\u202e" not in shown and "zeroU+200Bwidth.so" in shown and "onerror" in shown
    for width in (390, 1440):
        page.viewport(width)
        assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.run("return document.querySelectorAll('main script, main img, main iframe').length") == 0
    assert page.run("return [...document.querySelectorAll('main a')].every((a) => /^https?:/.test(a.href))")
    assert "pwned" not in page.run("return document.title")
    assert not [m for m in page.console() if "Content Security Policy" in m or "TrustedHTML" in m]


MANY = 3000


def test_very_many_rows(daemon, page):
    fleet.beat(daemon)
    for first in range(0, MANY, 500):
        a = daemon.ingest("POST", "/v1/reports", [
            {"host": fleet.host(i % fleet.HOSTS), "kind": "user", "module": f"m{i:05d}.so", "offset": "0x10"} for i in range(first, first + 500)])
        assert a.status in (200, 202, 207), a
    daemon.until(lambda: daemon.get("/v1/signatures").json["total"] >= MANY, "the signatures")
    web_help.go(page, daemon, "/signatures?sort=newest")
    total = daemon.get("/v1/signatures").json["total"]
    assert page.wait("return document.querySelector('#list table[aria-rowcount]') !== null")
    assert page.run("return document.querySelector('#list table').getAttribute('aria-rowcount')") == str(total + 1)
    assert page.run("return document.querySelectorAll('#list tbody tr').length") < 80
    # End: the last row, not all of them
    page.run("document.querySelector('#list tr[data-i] [data-open]').focus()")
    asked = page.run("performance.clearResourceTimings(); return 0")
    page.press("End")
    assert page.wait(f"return document.activeElement?.closest('tr')?.dataset.i === '{total - 1}'")
    asked = page.run("return performance.getEntriesByType('resource').filter((r) => r.name.includes('offset=')).length")
    assert 1 <= asked <= 2
    assert page.run("return document.querySelectorAll('#list tbody tr').length") < 80
    last = daemon.get(f"/v1/signatures?sort=newest&limit=1&offset={total - 1}").json["signatures"][0]["title"]
    assert page.run("return document.activeElement.textContent") == last
    # the focus stays where it was while rows are recycled under it
    for _ in range(60):
        page.press("ArrowUp")
    assert page.wait(f"return document.activeElement?.closest('tr')?.dataset.i === '{total - 61}'")
    page.press("Home")
    assert page.wait("return document.activeElement?.closest('tr')?.dataset.i === '0'")
    # every row's place says what the API says there
    for place in (0, 777, 1500):
        page.run(f"document.querySelector('#list .virtual').scrollTop = {place} * 32")
        assert page.wait(f"return document.querySelector('#list tr[data-i=\"{place}\"] a.id')")
        want = daemon.get(f"/v1/signatures?sort=newest&limit=1&offset={place}").json["signatures"][0]["title"]
        assert page.text(f'#list tr[data-i="{place}"] a.id') == want
    # frames while it scrolls
    times = page.run("""return new Promise((done) => {
        const box = document.querySelector('#list .virtual'), all = [];
        let last = performance.now(), n = 0;
        (function frame() { const t = performance.now(); all.push(t - last); last = t; box.scrollTop += 320; if (++n < 60) requestAnimationFrame(frame); else done(all.slice(1).sort((a, b) => a - b)); })();
    })""")
    assert times[len(times) // 2] < 100, times
    assert re.fullmatch(r"[\d,]+ signatures", page.text("#list h2"))
