# SPDX-License-Identifier: Apache-2.0
"""faultline top: once, as JSON, and live in a terminal of its own."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import fleet


def run(programs, daemon, *args):
    done = subprocess.run([programs.faultline, "top", "--server", f"127.0.0.1:{daemon.api_port}", *args], text=True,
                          capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_once_and_json(daemon, programs):
    fleet.bad_rollout(daemon)
    fleet.crash(daemon, 5, module="\x1b[31m\u009bevil.so", offset="0x1", kind="user")
    daemon.until(lambda: daemon.get("/v1/now").json["signatures"] == 2 and
                 daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    daemon.until(lambda: daemon.get("/v1/now").json["deployments"][0]["verdict"] == "halt", "the view")
    status, out, _ = run(programs, daemon, "--once")
    assert status == 0 and "halt     d1" in out and "csagent.sys+0xe14ed" in out and f"{fleet.HOSTS} known" in out
    assert "\x1b" not in out and "\u009b" not in out
    status, out, _ = run(programs, daemon, "--once", "--json")
    assert status == 0 and json.loads(out)["deployments"][0]["verdict"] == "halt"
    status, _, err = run(programs, daemon, "--sort", "size")
    assert status == 2 and "--sort" in err
    assert run(programs, daemon, "--server", "127.0.0.1:1", "--once")[0] == 1


class Terminal:
    def __init__(self, command, rows, columns):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(command[0], command)
        self.resize(rows, columns)
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, what, seconds=20):
        end = time.monotonic() + seconds
        while what not in self.text:
            left = end - time.monotonic()
            assert left > 0, f"no {what!r} in {self.text[-2000:]!r}"
            if select.select([self.fd], [], [], left)[0]:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
        text, self.text = self.text, ""
        return text

    def frame(self):
        """One whole screen, as lines."""
        self.until("\x1b[H")
        return self.until("\x1b[J").split("\r\n")

    def key(self, k):
        os.write(self.fd, k.encode())

    def leave(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                try:  # its last words
                    while select.select([self.fd], [], [], 0)[0]:
                        self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("top does not leave")


def test_live(daemon, programs):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    t = Terminal([programs.faultline, "top", "--server", f"127.0.0.1:{daemon.api_port}", "--interval", "200ms"], 24, 100)
    t.until("hold")
    for i in range(fleet.BAD):
        fleet.crash(daemon, i)
    t.until("halt")
    t.until("csagent.sys+0xe14ed")
    assert len(t.frame()) <= 24
    t.key("n")
    t.until("SIGNATURES BY newest")
    t.resize(8, 60)
    os.kill(t.pid, signal.SIGWINCH)
    t.frame()
    lines = t.frame()
    assert len(lines) <= 8
    t.key("q")
    assert t.leave() == 0
    assert "\x1b[?1049l" in t.text and "\x1b[?25h" in t.text  # the terminal is as it was
