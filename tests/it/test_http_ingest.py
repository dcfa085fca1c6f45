# SPDX-License-Identifier: Apache-2.0
"""The ingest listener of the real daemon: what it takes, and what bad input costs."""
import gzip
import http.client
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time
import zlib

import pytest

from gate_help import FORM_TYPE, HOST, Daemon, form, read_all, read_answer


@pytest.fixture(scope="module")
def daemon():
    d = Daemon(submit_paths="/submit,/crashpad", max_connections="12000")
    yield d
    d.stop()


REPORT = {"host": "it-1", "kind": "user", "module": "app.so", "module_id": "aa11", "offset": "0x10", "reason": "SIGSEGV"}


def chunked(data, size=1000):
    out = b""
    for i in range(0, len(data), size):
        piece = data[i:i + size]
        out += b"%x\r\n%s\r\n" % (len(piece), piece)
    return out + b"0\r\n\r\n"


def varint(v):
    out = b""
    while v >= 128:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def protobuf_report(host, offset):
    r = b"\x0a" + varint(len(host)) + host + b"\x32\x05lib.a" + b"\x48" + varint(offset)
    return b"\x0a" + varint(len(r)) + r


# ---- good input ----

def test_report_is_found_at_once(daemon):
    status, answer = daemon.post_json("/v1/reports", REPORT)
    assert status == 200
    assert re.fullmatch(r"[0-9a-v]{20}", answer["id"])
    assert re.fullmatch(r"s1-[0-9a-f]{16}", answer["signature"])
    assert answer["want_dump"] is False
    status, _, text = daemon.request("GET", f"/v1/reports/{answer['id']}", port=daemon.api_port)
    assert status == 200, text


def test_many_reports_in_json_and_protobuf(daemon):
    before = daemon.metrics()["faultline_reports_total"]
    status, answer = daemon.post_json("/v1/reports", [dict(REPORT, host=f"h{i}") for i in range(300)])
    assert status == 200
    assert len({r["id"] for r in answer["reports"]}) == 300
    body = b"".join(protobuf_report(b"p%d" % i, i) for i in range(2000))
    status, headers, _ = daemon.request("POST", "/v1/reports", body, {"Content-Type": "application/x-protobuf"})
    assert (status, headers["Content-Type"]) == (200, "application/x-protobuf")
    assert daemon.metrics()["faultline_reports_total"] - before == 2300


def test_dump_of_a_report(daemon):
    _, answer = daemon.post_json("/v1/reports", dict(REPORT, offset="0x77", has_dump=True))
    assert answer["want_dump"] is True
    dump = os.urandom(300000)
    status, _, text = daemon.request("PUT", answer["put_url"], dump)
    assert status == 200 and '"stored":true' in text and '"size":300000' in text
    status, _, text = daemon.request("PUT", "/v1/dumps/" + "0" * 20, dump)
    assert status == 404 and "unknown_report" in text


def test_compressed_and_chunked_bodies(daemon):
    body = (b"[" + b",".join(b'{"host":"z%d","module":"m"}' % i for i in range(500)) + b"]")
    for encoding, data in (("gzip", gzip.compress(body)), ("zstd", zstd(body))):
        head = b"POST /v1/reports HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nConnection: close\r\n"
        got = daemon.raw(head + b"Content-Encoding: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % encoding.encode() + chunked(data))
        assert got.startswith(b"HTTP/1.1 200 "), got[:300]
        assert got.count(b'"id":') == 500


def zstd(data):
    if shutil.which("zstd") is None:
        pytest.skip("no zstd command")
    return subprocess.run(["zstd", "-c", "-q"], input=data, stdout=subprocess.PIPE, check=True).stdout


def test_pipelined_answers_keep_their_order(daemon):
    with daemon.connect() as s:
        bodies = [b'{"host":"pipe","seq":%d,"module":"m%d"}' % (i, i) for i in range(40)]
        s.sendall(b"".join(b"POST /v1/reports HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(b), b) for b in bodies))
        s.shutdown(socket.SHUT_WR)	# half-closed: the answers still come
        got = read_all(s)
    ids = re.findall(rb'"id":"(\w+)"', got)
    assert len(ids) == 40 and ids == sorted(ids)


def test_curl_uploads_unmodified(daemon, tmp_path):
    dump = tmp_path / "crash.dmp"
    dump.write_bytes(b"MDMP" + os.urandom(200000))
    url = f"http://127.0.0.1:{daemon.port}"
    out = subprocess.run(["curl", "-sS", "-F", "prod=App", "-F", "ver=1.2", "-F", f"upload_file_minidump=@{dump}", url + "/submit"],
                         capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.fullmatch(r"CrashID=bp-[0-9a-f-]{29}\d{7}\n", out)
    out = subprocess.run(["curl", "-sS", "-H", "Transfer-Encoding: chunked", "-F", f"upload_file_minidump=@{dump}", url + "/crashpad"],
                         capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.fullmatch(r"[0-9a-v]{20}", out)


# ---- bad input: which answer, which counter ----

def head(method=b"POST", path=b"/v1/reports", more=b"", host=HOST):
    return method + b" " + path + b" HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n" + more


BAD_REQUESTS = {
    "no-host": (head(host=b"") + b"\r\n", 400, "no_host"),
    "two-hosts": (head(more=HOST) + b"\r\n", 400, "bad_host"),
    "bad-host": (head(host=b"Host: a/b\r\n") + b"\r\n", 400, "bad_host"),
    "length-and-chunked": (head(more=b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + b"\r\n0\r\n\r\n", 400, "malformed_http"),
    "two-lengths": (head(more=b"Content-Length: 4\r\nContent-Length: 5\r\n") + b"\r\nabcd", 400, "malformed_http"),
    "signed-length": (head(more=b"Content-Length: +4\r\n") + b"\r\nabcd", 400, "malformed_http"),
    "odd-coding": (head(more=b"Transfer-Encoding: xchunked\r\n") + b"\r\n0\r\n\r\n", 400, "malformed_http"),
    "folded-header": (head(more=b"X: a\r\n b\r\n") + b"\r\n", 400, "malformed_http"),
    "space-before-colon": (head(more=b"X : a\r\n") + b"\r\n", 400, "malformed_http"),
    "nul": (head(more=b"X: a\0b\r\n") + b"\r\n", 400, "malformed_http"),
    "bad-chunk": (head(more=b"Transfer-Encoding: chunked\r\n") + b"\r\nzz\r\n", 400, "malformed_http"),
    "tls-hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_http"),
    "long-line": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431, "header_too_large"),
    "long-header": (head(more=b"X: " + b"a" * 20000 + b"\r\n") + b"\r\n", 431, "header_too_large"),
    "many-headers": (head(more=b"X: a\r\n" * 200) + b"\r\n", 431, "header_too_large"),
    "no-such-path": (head(path=b"/v2/reports", more=b"Content-Length: 0\r\nConnection: close\r\n") + b"\r\n", 404, "not_found"),
    "wrong-method": (head(b"DELETE", more=b"Connection: close\r\n") + b"\r\n", 405, "method_not_allowed"),
    "huge-body": (head(more=b"Content-Length: 99999999999\r\n") + b"\r\n", 413, "body_too_large"),
    "odd-encoding": (head(more=b"Content-Length: 1\r\nContent-Encoding: br\r\n") + b"\r\nx", 415, "unsupported_encoding"),
    "not-gzip": (head(more=b"Content-Length: 4\r\nContent-Encoding: gzip\r\n") + b"\r\nabcd", 400, "bad_gzip"),
    "not-zstd": (head(more=b"Content-Length: 4\r\nContent-Encoding: zstd\r\n") + b"\r\nabcd", 400, "bad_zstd"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_answered_and_counted(daemon, name):
    data, status, code = BAD_REQUESTS[name]
    before = daemon.discarded(code)
    got = daemon.raw(data)
    assert got.startswith(b"HTTP/1.1 %d " % status), got[:200]
    assert b'{"error":{"code":"%s"' % code.encode() in got
    assert got.count(b"Server: faultline") == 1	# nothing smuggled behind it was answered
    assert daemon.discarded(code) == before + 1


BAD_BODIES = {
    "not-json": (b"nonsense", "invalid_json", None),
    "empty": (b"", "empty", None),
    "bad-utf8": (b'{"host":"a","module":"\xff\xfe"}', "invalid_utf8", None),
    "no-host-id": (b'{"module":"m"}', "invalid_host_id", "host"),
    "long-host-id": (b'{"host":"' + b"x" * 65 + b'"}', "invalid_host_id", "host"),
    "absurd-params": (b'{"host":"a","params":[' + b",".join([b"1"] * 1000) + b"]}", "too_many_items", "params"),
    "absurd-frames": (b'{"host":"a","frames":[' + b",".join([b"{}"] * 5000) + b"]}", "too_many_items", "frames"),
    "absurd-count": (b'{"host":"a","count":99999999999}', "invalid_json_value", "count"),
    "too-many-reports": (b"[" + b",".join([b'{"host":"a"}'] * 65536) + b"]", "too_many_items", None),
    "deep": (b'{"host":"a","x":' + b"[" * 1000 + b"]" * 1000 + b"}", "invalid_json", None),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body_is_answered_and_counted(daemon, name):
    body, code, field = BAD_BODIES[name]
    before = daemon.metrics()
    status, _, text = daemon.request("POST", "/v1/reports", body, {"Content-Type": "application/json"})
    assert status == 400 and f'"code":"{code}"' in text, text[:300]
    assert field is None or f'"field":"{field}"' in text
    after = daemon.metrics()
    assert after[f'faultline_discards_total{{code="{code}"}}'] == before.get(f'faultline_discards_total{{code="{code}"}}', 0) + 1
    assert after["faultline_reports_total"] == before["faultline_reports_total"]


@pytest.mark.parametrize("when", ["1601-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])
def test_absurd_time_is_ignored_and_counted(daemon, when):
    before = daemon.discarded("invalid_time")
    status, answer = daemon.post_json("/v1/reports", dict(REPORT, occurred=when))
    assert status == 200 and answer["ignored"] == ["occurred"]
    assert daemon.discarded("invalid_time") == before + 1


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_bomb_costs_nothing(daemon, encoding):
    plain = bytes(200 * 1000 * 1000)
    bomb = gzip.compress(plain, 9) if encoding == "gzip" else zstd(plain)
    rss, before = daemon.rss_kib(), daemon.discarded("bomb")
    status, _, text = daemon.request("POST", "/v1/reports", bomb,
                                     {"Content-Type": "application/json", "Content-Encoding": encoding})
    assert status == 413 and '"bomb"' in text
    assert daemon.discarded("bomb") == before + 1
    assert daemon.rss_kib() - rss < 24 * 1024	# the body's limit and a zstd window


BAD_FORMS = {
    "no-boundary": (b"x", {"Content-Type": "multipart/form-data"}, "no_boundary", "no_boundary"),
    "not-a-form": (b"x", {"Content-Type": "text/plain"}, "wrong_content_type", "wrong_content_type"),
    "torn": (form([("a", "b")])[:-20], FORM_TYPE, "invalid_payload_structure", "bad_multipart"),
    "two-dumps": (form([])[:-14] + form([]), FORM_TYPE, "two_dumps", "two_dumps"),
    "no-dump": (form([("a", "b")], dump=None), FORM_TYPE, "no_dump", "no_dump"),
    "nothing": (form([], dump=None), FORM_TYPE, "no_annotations", "no_annotations"),
    "nested-twice": (form([], dump=form([], dump=form([], boundary=b"c"), boundary=b"b")), FORM_TYPE,
                     "invalid_payload_structure", "bad_multipart"),
    "bad-gzip": (b"abcd", dict(FORM_TYPE, **{"Content-Encoding": "gzip"}), "bad_gzip", "bad_gzip"),
    "bad-utf8": (form([("prod", "x")]).replace(b"\r\nx\r\n", b"\r\n\xff\r\n"), FORM_TYPE, "invalid_annotation_value",
                 "invalid_annotation_value"),
}


@pytest.mark.parametrize("name", BAD_FORMS)
def test_bad_form_is_answered_and_counted(daemon, name):
    body, headers, word, code = BAD_FORMS[name]
    before = daemon.discarded(code)
    status, _, text = daemon.request("POST", "/submit", body, headers)
    assert (status, text) == (400, f"Discarded=malformed_{word}\n")
    assert daemon.discarded(code) == before + 1


def test_nested_form_is_unwrapped(daemon):
    body = form([("prod", "Electron")], dump=form([("ver", "3")], dump=b"MDMPinner", boundary=b"inner"))
    status, _, text = daemon.request("POST", "/submit", body, FORM_TYPE)
    assert status == 200 and text.startswith("CrashID=bp-")


# ---- slow, torn and many ----

def test_slow_writers_are_cut_off():
    d = Daemon(header_timeout="1s", request_timeout="2s", idle_timeout="3s")
    slow = [(b"POST /v1/rep", b"o", "header_timeout"),
            (head(more=b"Content-Length: 1000\r\n") + b"\r\n{", b" ", "request_timeout")]
    try:
        idle = d.connect()
        for start, drip, code in slow:
            with d.connect() as s:
                s.sendall(start)
                s.settimeout(0.1)
                got, began = b"", time.monotonic()
                while time.monotonic() - began < 15:	# each byte comes in time, the whole does not
                    try:
                        got = s.recv(1000)
                        break
                    except socket.timeout:
                        s.sendall(drip)
                assert got.startswith(b"HTTP/1.1 408 ") and code.encode() in got
            assert d.discarded(code) == 1
        assert idle.recv(1) == b""
        idle.close()
        assert d.discarded("idle_timeout") >= 1
    finally:
        d.stop()


def test_torn_bodies_are_counted(daemon):
    before = daemon.discarded("body_truncated")
    got = daemon.raw(head(more=b"Content-Length: 100\r\n") + b"\r\n{", half_close=True)
    assert got.startswith(b"HTTP/1.1 400 ") and b"body_truncated" in got
    assert daemon.discarded("body_truncated") == before + 1


def test_ten_thousand_idle_connections(daemon):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 10500:
        pytest.skip(f"only {hard} descriptors are allowed here: raise ulimit -Hn")
    socks, rss = [], daemon.rss_kib()
    try:
        for _ in range(10000):
            socks.append(daemon.connect())
        began = time.monotonic()
        status, _ = daemon.post_json("/v1/reports", REPORT)
        assert status == 200 and time.monotonic() - began < 5
        assert daemon.metrics()["faultline_connections_ingest"] >= 10000
        assert daemon.rss_kib() - rss < 10000 * 3	# 3 KiB each
        s = socks[5000]
        s.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert read_answer(s)[0] == 200
    finally:
        for s in socks:
            s.close()


def test_large_dump_needs_one_buffer(daemon):
    size = 90 * 1024 * 1024
    block = os.urandom(1024 * 1024)
    rss, crc = daemon.rss_kib(), 0
    start = form([("prod", "big")], dump=b"")
    at = start.rindex(b"\r\n--BoUnDaRy--")
    with daemon.connect(timeout=120) as s:
        s.sendall(b"POST /submit HTTP/1.1\r\n" + HOST + b"Content-Type: multipart/form-data; boundary=BoUnDaRy\r\n"
                  b"Content-Length: %d\r\n\r\n" % (len(start) + size))
        s.sendall(start[:at])
        peak = rss
        for _ in range(size // len(block)):
            s.sendall(block)
            crc = zlib.crc32(block, crc)
            peak = max(peak, daemon.rss_kib())
        s.sendall(start[at:])
        status, _, body = read_answer(s)
    assert status == 200 and body.startswith(b"CrashID=bp-"), body
    assert peak - rss < 8 * 1024


def test_connections_beyond_the_limit_are_closed(daemon):
    d = Daemon(max_connections="8")
    socks = []
    try:
        for _ in range(8):
            socks.append(d.connect())
        with d.connect() as extra:
            assert extra.recv(10) == b""
        assert d.discarded("too_many_connections") >= 1
        socks[0].sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert read_answer(socks[0])[0] == 200
    finally:
        for s in socks:
            s.close()
        d.stop()


def test_several_gates_share_the_port():
    d = Daemon(gate_threads="3")
    try:
        ids = {d.post_json("/v1/reports", dict(REPORT, host=f"g{i}"))[1]["id"] for i in range(60)}
        assert len(ids) == 60
        assert d.metrics()["faultline_reports_total"] == 60
    finally:
        d.stop()


def test_descriptors_run_out_and_come_back():
    d = Daemon(max_descriptors=120)
    socks = []
    try:
        for _ in range(150):	# the kernel takes them, the daemon cannot
            socks.append(d.connect())
        d.until(lambda: "cannot accept" in d.log_text())
        for s in socks:
            s.close()
        d.until(lambda: d.request("GET", "/healthz")[0] == 200)
        assert d.post_json("/v1/reports", REPORT)[0] == 200
    finally:
        for s in socks:
            s.close()
        d.stop()


def test_a_crowd_of_connections_leaves_the_log_its_descriptors():
    """Idle connections to every listener, more than the process may have; whoever is connected still
    fills segment after segment and its dumps are kept."""
    d = Daemon(max_descriptors=200, segment_bytes="1M", snapshot_interval="100ms")
    socks = []
    talker = http.client.HTTPConnection("127.0.0.1", d.port, timeout=30)

    def talk(method, path, body, **headers):
        talker.request(method, path, body, headers)
        r = talker.getresponse()
        return r.status, json.loads(r.read())

    try:
        talker.connect()
        with open(os.path.join(d.data, "run", "ports.json"), encoding="utf-8") as f:
            ports = json.load(f)
        for i in range(300):
            socks.append(socket.create_connection(("127.0.0.1", ports[("listen", "stream", "api")[i % 3]]), timeout=20))
        d.until(lambda: "cannot accept" in d.log_text())
        frames = [{"module": "x" * 60, "offset": 1}] * 30
        for i in range(8):	# most of a segment each
            reports = [dict(REPORT, host=f"h{i}-{k}", frames=frames) for k in range(300)]
            status, answer = talk("POST", "/v1/reports", json.dumps(reports), **{"Content-Type": "application/json"})
            assert status == 200 and all("id" in a for a in answer["reports"]), d.log_text()
        status, answer = talk("POST", "/v1/reports", json.dumps(dict(REPORT, host="last", has_dump=True)),
                              **{"Content-Type": "application/json"})
        assert status == 200 and answer["want_dump"]
        status, answer = talk("PUT", answer["put_url"], b"MDMP" + bytes(60))
        assert status == 200 and answer["stored"], answer
        for s in socks:
            s.close()
        d.until(lambda: d.request("GET", "/readyz", port=d.api_port)[0] == 200)
        assert d.metrics()["faultline_reports_total"] == 8 * 300 + 1
        assert "Too many open files" not in d.log_text()
    finally:
        talker.close()
        for s in socks:
            s.close()
        d.stop()


def test_token_is_asked_for(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-of-this-test-0001\n")
    tokens.chmod(0o600)
    d = Daemon(token_file=str(tokens))
    auth = {"Authorization": "Bearer secret-of-this-test-0001"}
    try:
        status, headers, text = d.request("POST", "/v1/reports", b'{"host":"a"}', {"Content-Type": "application/json"})
        assert status == 401 and '"unauthorized"' in text and headers["WWW-Authenticate"] == "Bearer"
        status, _ = d.post_json("/v1/reports", {"host": "a"}, **auth)
        assert status == 200
        assert d.request("POST", "/submit", form([]), FORM_TYPE)[::2] == (401, "Discarded=unauthorized\n")
        assert d.request("POST", "/submit?token=secret-of-this-test-0001", form([]), FORM_TYPE)[0] == 200
        assert d.request("POST", "/submit", form([]), dict(FORM_TYPE, **auth))[0] == 200
    finally:
        d.stop()


def test_stop_answers_what_is_under_way(daemon):
    d = Daemon()
    with d.connect() as s:
        body = b'{"host":"late"}'
        s.sendall(head(more=b"Content-Length: %d\r\n" % len(body)) + b"\r\n" + body[:5])
        assert d.request("GET", "/healthz")[0] == 200	# it has read that far
        d.process.terminate()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:		# it stops listening first
            try:
                d.connect().close()
                time.sleep(0.02)
            except OSError:
                break
        s.sendall(body[5:])
        status, answer_head, _ = read_answer(s)
        assert status == 200 and b"Connection: close" in answer_head
    assert d.process.wait(30) == 0
    d.stop()
