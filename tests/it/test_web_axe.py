# SPDX-License-Identifier: Apache-2.0
"""Every page in light and dark, from a small phone to a wall: no rule of axe is violated, no page is wider than its
window; screenshots stay below the build's tests/it."""
import re
import warnings

import pytest

import axe
import browser
import fleet
from web_help import artefact, go

WHY = browser.missing() or axe.missing()
if WHY:
    warnings.warn(f"the dashboard is NOT tested for accessibility: {WHY}")
    pytest.skip(WHY, allow_module_level=True)

WIDTHS = [320, 390, 768, 1440, 2560]


@pytest.fixture(name="seen", scope="module")
def seen_fixture():
    b = browser.Browser(1440, 1000)
    yield b
    b.close()


def paths(daemon):
    """Each page, with something on it."""
    signature = daemon.get("/v1/signatures").json["signatures"][0]["id"]
    host = daemon.get(f"/v1/hosts/{fleet.host(0)}").json["id"]
    found = ["/", "/deployments", "/deployments/d1", "/signatures", "/signatures?q=module:csagent.sys%20foo:1",
             f"/signatures/{signature}", "/hosts?state=active", f"/hosts/{host}", "/halts", "/health", "/signin", "/about", "/deployments/nowhere"]
    decisions = daemon.get("/v1/decisions")
    if decisions.status == 200:
        found.append("/halts/" + decisions.json["decisions"][0]["n"])
    return found


# Overflow: who is wider than the window, and in nothing that scrolls by itself.
WIDE = """const w = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= w) return [];
return [...document.querySelectorAll('body *')].filter((n) => n.getBoundingClientRect().right > w + 1)
    .map((n) => n.tagName + '.' + n.className).slice(0, 8)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_at_every_width(daemon, programs, seen, scheme):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    rules, bad = axe.Axe(seen), []
    seen.media(prefers_color_scheme=scheme)
    for path in paths(daemon):
        seen.viewport(1440)
        go(seen, daemon, path)
        seen.wait("return document.querySelector('main [aria-busy=true]') === null")
        rules.enter()
        for width in WIDTHS:
            seen.viewport(width, 900)
            seen.wait(f"return document.documentElement.clientWidth === {width}")
            name = re.sub(r"\W+", "-", path.split("?")[0].split("/s1-")[0].split("/h:")[0]).strip("-") or "now"
            where = f"{path} {scheme} {width}"
            bad += [f"{where}: {v}" for v in rules.violations()]
            wide = seen.run(WIDE)
            if wide:
                bad.append(f"{where}: wider than the window: {wide}")
            if width in (390, 1440):
                seen.screenshot(artefact(programs, f"page-{name}-{scheme}-{width}.png"))
    assert not bad, f"{len(bad)} violations\n" + "\n".join(bad[:60])
