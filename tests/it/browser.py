# SPDX-License-Identifier: Apache-2.0
"""A real headless Chromium through WebDriver, with nothing but the standard library."""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request


def missing():
    """None, or which program of Debian's chromium packages is not there."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not installed (packages chromium, chromium-driver)"
    return None


class Browser:
    def __init__(self, width=1280, height=1000, dark=False):
        self.profile = tempfile.mkdtemp(prefix="fl-browser-")
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0", "--allowed-ips=127.0.0.1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.driver.stdout:
            port = re.search(r"started successfully on port (\d+)", line)
            if port:
                break
        else:
            raise RuntimeError("chromedriver does not start")
        self.url = f"http://127.0.0.1:{port.group(1)}"
        args = ["--headless=new", f"--window-size={width},{height}", "--disable-gpu", "--disable-dev-shm-usage",
                f"--user-data-dir={self.profile}", "--no-first-run", "--disable-background-networking"]
        if os.geteuid() == 0:
            args.append("--no-sandbox")
        if dark:
            args.append("--force-dark-mode")
        self.session = None
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = answer["sessionId"]

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def _session(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    def go(self, url):
        self._session("POST", "/url", {"url": url})

    def run(self, script, *args):
        return self._session("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, script, seconds=15):
        """Until the script returns something true; its value."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.run(script)
            if value or time.monotonic() > deadline:
                return value
            time.sleep(0.05)

    def text(self, selector):
        return self.run("const n = document.querySelector(arguments[0]); return n ? n.textContent : null", selector)

    def console(self):
        """Messages of the page since the last call: errors, and violations of its policy."""
        return [m["message"] for m in self._session("POST", "/se/log", {"type": "browser"})
                if m["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self._session("GET", "/screenshot")))

    def close(self):
        try:
            if getattr(self, "session", None):
                self._session("DELETE", "")
        except (OSError, RuntimeError):
            pass
        self.driver.terminate()
        self.driver.stdout.close()
        self.driver.wait()
        shutil.rmtree(self.profile, ignore_errors=True)
