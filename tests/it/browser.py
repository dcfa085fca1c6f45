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

    def cdp(self, command, **params):
        """A command of the DevTools protocol."""
        return self._session("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def viewport(self, width, height=900, mobile=None):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                 mobile=width < 700 if mobile is None else mobile)

    def media(self, **features):
        """What the page is told of its surroundings: prefers_color_scheme="dark", forced_colors="active"."""
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": k.replace("_", "-"), "value": v} for k, v in features.items()])

    KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c", "End": "\ue010", "Home": "\ue011",
            "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
            "Shift": "\ue008", "Backspace": "\ue003"}

    def press(self, *keys, shift=False):
        """Keys as a person presses them: names of KEYS, or characters."""
        actions = []
        for key in keys:
            value = self.KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        if shift:
            actions = [{"type": "keyDown", "value": self.KEYS["Shift"]}, *actions, {"type": "keyUp", "value": self.KEYS["Shift"]}]
        self._session("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def type(self, text):
        self.press(*text)

    def click(self, selector):
        """A real click in the middle of the first such element."""
        at = self.run("""const n = document.querySelector(arguments[0]);
            if (!n) return null;
            n.scrollIntoView({ block: 'center' });
            const r = n.getBoundingClientRect();
            return [Math.round(r.x + r.width / 2), Math.round(r.y + r.height / 2)]""", selector)
        assert at, f"no {selector} on the page"
        self._session("POST", "/actions", {"actions": [{
            "type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [
                {"type": "pointerMove", "duration": 0, "x": at[0], "y": at[1]},
                {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]}]})

    def point(self, x, y):
        self._session("POST", "/actions", {"actions": [{
            "type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
            "actions": [{"type": "pointerMove", "duration": 0, "x": x, "y": y}]}]})

    def new_tab(self):
        """Another tab, which has the commands from now on; its handle."""
        handle = self._session("POST", "/window/new", {"type": "tab"})["handle"]
        self.tab(handle)
        return handle

    def here(self):
        return self._session("GET", "/window")

    def tab(self, handle):
        self._session("POST", "/window", {"handle": handle})

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
