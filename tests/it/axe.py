# SPDX-License-Identifier: Apache-2.0
"""The rules of axe-core over a page, through the DevTools protocol: the page's own policy refuses what is injected."""
import json
import os

TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "web", "node_modules", "axe-core", "axe.min.js")


def missing():
    """None, or why axe cannot run."""
    return None if os.path.exists(SCRIPT) else "axe-core is not installed (tools/install-web)"


class Axe:
    """For one page: an isolated world that shares the document and nothing else, no policy of the page in force."""

    def __init__(self, page):
        self.page = page
        with open(SCRIPT, encoding="utf-8") as f:
            self.source = f.read()

        self.world = None

    def enter(self):
        """After every load of a page: a load ends the world."""
        frame = self.page.cdp("Page.getFrameTree")["frameTree"]["frame"]["id"]
        self.world = self.page.cdp("Page.createIsolatedWorld", frameId=frame, worldName="axe")["executionContextId"]
        self.page.cdp("Runtime.evaluate", contextId=self.world, expression=self.source)

    def violations(self):
        """One line a violated rule and node."""
        answer = self.page.cdp("Runtime.evaluate", contextId=self.world, awaitPromise=True, returnByValue=True, expression=f"""
            axe.run(document, {{ runOnly: {{ type: 'tag', values: {json.dumps(TAGS)} }}, resultTypes: ['violations'] }})
            .then((r) => r.violations.flatMap((v) => v.nodes.map((n) =>
                v.id + ' (' + v.impact + ') at ' + n.target.join(' ') + ': ' + (n.failureSummary || '').split('\\n').slice(1).join('; '))))""")
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]
