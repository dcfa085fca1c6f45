# SPDX-License-Identifier: Apache-2.0
"""Chromium's own Crashpad handler uploads to us, unmodified."""
import os
import re
import shutil
import socket
import struct
import subprocess
import time
import uuid

import pytest

from gate_help import Daemon

HANDLER = os.environ.get("CRASHPAD_HANDLER", "/usr/lib/chromium/chrome_crashpad_handler")

pytestmark = pytest.mark.skipif(not os.path.exists(HANDLER), reason=f"CRASHPAD NOT CHECKED: no {HANDLER} (package chromium)")


@pytest.fixture(scope="module")
def daemon():
    d = Daemon(submit_paths="/submit,/crashpad")
    yield d
    d.stop()


def minidump():
    """A minidump of one system information stream: small, and whole."""
    system = struct.pack("<HHHBBIIIIIHH24s", 9, 6, 0, 1, 3, 5, 10, 0, 0, 0, 0, 0, bytes(24))
    header = struct.pack("<IIIIIIQ", 0x504D444D, 0xA793, 1, 32, 0, int(time.time()), 0)
    return header + struct.pack("<III", 7, len(system), 44) + system


def database(path, dump):
    """A Crashpad database in which one dump waits; returns the waiting dump's name."""
    for folder in ("new", "pending", "completed", "attachments"):
        os.makedirs(os.path.join(path, folder))
    with open(os.path.join(path, "settings.dat"), "wb") as f:
        f.write(struct.pack("<IIIIq", 0x43506473, 1, 1, 0, 0) + uuid.uuid4().bytes)
    name = str(uuid.uuid4())
    with open(os.path.join(path, "pending", name + ".dmp"), "wb") as f:
        f.write(dump)
    with open(os.path.join(path, "pending", name + ".meta"), "wb") as f:
        f.write(struct.pack("<iiqqB7x", 1, 0, 0, int(time.time()), 0))
    return name


def upload(daemon, db, name, path, *flags):
    """Run the handler until the dump is completed; returns the id it stored."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handler = subprocess.Popen([HANDLER, f"--database={db}", f"--url=http://127.0.0.1:{daemon.port}{path}",
                                f"--initial-client-fd={theirs.fileno()}", "--no-rate-limit", *flags],
                               pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
    theirs.close()
    meta = os.path.join(db, "completed", name + ".meta")
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not os.path.exists(meta) and handler.poll() is None:
            time.sleep(0.05)
        if not os.path.exists(meta):
            handler.kill()
            pytest.fail("not uploaded: " + handler.communicate()[1].decode(errors="replace"))
        with open(meta, "rb") as f:
            return f.read()[32:].rstrip(b"\0").decode()
    finally:
        ours.close()
        handler.terminate()
        handler.wait(20)
        handler.stderr.close()
        shutil.rmtree(db, ignore_errors=True)


@pytest.mark.parametrize("path", ["/submit", "/crashpad"])
@pytest.mark.parametrize("flags", [(), ("--no-upload-gzip",)], ids=["gzip", "plain"])
def test_handler_stores_our_id(daemon, tmp_path, path, flags):
    before = daemon.metrics()
    db = str(tmp_path / "db")
    name = database(db, minidump())
    report = upload(daemon, db, name, path, *flags)
    assert re.fullmatch(r"[0-9a-v]{20}", report), report
    after = daemon.metrics()
    assert after["faultline_reports_total"] == before["faultline_reports_total"] + 1
    status, _, text = daemon.request("GET", f"/v1/reports/{report}", port=daemon.api_port)
    assert status == 200, text


def test_dump_that_crashpad_cannot_read(daemon, tmp_path):
    db = str(tmp_path / "db")
    report = upload(daemon, db, database(db, b"MDMP" + os.urandom(5000)), "/crashpad")
    assert re.fullmatch(r"[0-9a-v]{20}", report), report
