# SPDX-License-Identifier: Apache-2.0
"""Programs in a terminal: a bare one, whose bytes one sees, and tmux, which shows what a person would see."""
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import tempfile
import termios
import time


class Terminal:
    def __init__(self, command, rows, columns, **environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", **environment})
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


class Tmux:
    """A command in a window of tmux; when it has left, the window says so."""

    def __init__(self, command, columns, rows):
        self.directory = tempfile.mkdtemp(prefix="faultline-tmux-", dir="/tmp")
        self.socket = os.path.join(self.directory, "s")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  f"echo before; {shlex.join(command)}; echo \"left with $?\"; exec cat")

    def tmux(self, *args):
        return subprocess.run(["tmux", "-u", "-S", self.socket, *args], text=True, capture_output=True, check=True, timeout=30,
                              env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout

    def lines(self):
        return self.tmux("capture-pane", "-p").split("\n")

    def until(self, condition, seconds=30):
        """The first screen for which the condition holds, or that has the text, as lines."""
        if isinstance(condition, str):
            text = condition
            condition = lambda lines: any(text in line for line in lines)  # noqa: E731
        end = time.monotonic() + seconds
        while True:
            lines = self.lines()
            if condition(lines):
                return lines
            assert time.monotonic() < end, "\n".join(lines)
            time.sleep(0.02)

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True, timeout=30)
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))
        os.rmdir(self.directory)
