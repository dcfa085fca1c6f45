# SPDX-License-Identifier: Apache-2.0
"""Upload forms as real clients send them."""
import os
import re
import subprocess

import pytest

from gate_help import CAPTURES, FORM_TYPE, Daemon, form

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def daemon():
    d = Daemon(submit_paths="/submit,/breakpad", max_dump="1M")
    yield d
    d.stop()


def replay(daemon, name, path):
    """A captured request, sent as it was but for its path and host."""
    file = os.path.join(CAPTURES, name)
    if not os.path.exists(file):
        pytest.skip(f"CAPTURED CLIENTS NOT CHECKED: no {file}; set FAULTLINE_CAPTURES")
    with open(file, "rb") as f:
        data = f.read()
    head, body = data.split(b"\r\n\r\n", 1)
    head = re.sub(rb"^POST \S+", b"POST " + path, head)
    head = re.sub(rb"(?im)^Host: .*?\r", b"Host: 127.0.0.1:%d\r" % daemon.port, head)
    return daemon.raw(head + b"\r\nConnection: close\r\n\r\n" + body)


@pytest.mark.parametrize("name", ["socorro-form.http", "socorro-gzip.http"])
def test_captured_socorro_client(daemon, name):
    got = replay(daemon, name, b"/submit")
    assert got.startswith(b"HTTP/1.1 200 ")
    assert re.search(rb"\r\n\r\nCrashID=bp-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{6}\d{6}\n$", got)


def test_captured_breakpad_client(daemon):
    got = replay(daemon, "breakpad-upload.http", b"/breakpad")
    assert got.startswith(b"HTTP/1.1 200 ")
    assert re.search(rb"\r\n\r\n[0-9a-v]{20}$", got)


def test_crash_id_tells_the_day_and_is_found(daemon):
    _, _, text = daemon.request("POST", "/submit", form([("ProductName", "App"), ("Version", "9")]), FORM_TYPE)
    crash_id = text.strip().removeprefix("CrashID=")
    status, headers, _ = daemon.request("GET", "/healthz")
    day = subprocess.run(["date", "-u", "-d", headers["Date"], "+%y%m%d"], capture_output=True, text=True, check=True).stdout.strip()
    assert crash_id.endswith(day)
    status, _, text = daemon.request("GET", f"/v1/reports/{crash_id}", port=daemon.api_port)
    assert status == 200, text


def test_extra_json_part(daemon):
    body = (b'--BoUnDaRy\r\nContent-Disposition: form-data; name="extra"; filename="extra.json"\r\n'
            b'Content-Type: application/json\r\n\r\n{"ProductName":"Fox","Version":"1","ReleaseChannel":"esr"}\r\n')
    status, _, text = daemon.request("POST", "/submit", body + form([]), FORM_TYPE)
    assert status == 200 and text.startswith("CrashID=bp-")
    status, _, text = daemon.request("POST", "/submit", body + form([("a", "b")]), FORM_TYPE)
    assert (status, text) == (400, "Discarded=malformed_has_json_and_kv\n")


def test_dump_beyond_the_limit_is_dropped_and_its_report_counts(daemon):
    before = daemon.metrics()["faultline_reports_total"]
    status, headers, text = daemon.request("POST", "/submit", form([("prod", "x")], dump=b"MDMP" + bytes(1500000)), FORM_TYPE)
    assert status == 200 and text.startswith("CrashID=bp-")
    assert headers["X-Faultline-Dump"] == "dump_too_large"
    assert daemon.metrics()["faultline_reports_total"] == before + 1


def test_no_upload_is_left_behind(daemon):
    daemon.raw(b"POST /submit HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=BoUnDaRy\r\n"
               b"Content-Length: 9999\r\n\r\n" + form([])[:-30], half_close=True)
    assert os.listdir(os.path.join(daemon.data, "incoming")) == []
