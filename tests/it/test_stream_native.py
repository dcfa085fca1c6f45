# SPDX-License-Identifier: Apache-2.0
"""The native stream of the real daemon: durable acks, bad frames, idle connections, a clean stop."""
import os
import resource
import socket
import struct
import time

import pytest

from stream_help import Stream, client_frame, field, framed, hello, parse, report, reports


def signature_rows(daemon):
    return {r["title"]: r for r in daemon.get("/v1/signatures?limit=1000").json["signatures"]}


def test_reports_are_counted_by_host_and_site(daemon):
    for site in range(3):
        s = Stream(daemon, source=f"127.7.{site}.1")
        s.send(reports(2, [report(f"host-{site}-{i}", 1) for i in range(10)]))
        s.ack(2)
        s.close()
    row = daemon.until(lambda: signature_rows(daemon).get("libtest.so+0x10"), "the signature")
    daemon.until(lambda: signature_rows(daemon)["libtest.so+0x10"]["hosts"] == 30, "thirty hosts")
    assert row["module"] == "libtest.so"
    assert signature_rows(daemon)["libtest.so+0x10"]["sites"] == 3


def test_acknowledged_reports_survive_kill_and_resends_count_once(daemon):
    s = Stream(daemon)
    items = [report("host-a", n) for n in range(1, 51)]
    s.send(reports(2, items))
    s.ack(2)
    daemon.kill()
    daemon.start()
    s = Stream(daemon)
    s.send(reports(2, items))   # the ack might have been lost
    s.ack(2)
    daemon.until(lambda: daemon.get("/v1/now").json["reports"]["resent"] == 50, "fifty resends recognised")
    assert signature_rows(daemon)["libtest.so+0x10"]["crashes"] == 50


def test_bad_items_cost_nothing_else(daemon):
    s = Stream(daemon)
    good = report("host-a", 1)
    bad_utf8 = field(1, "host-a") + field(10, b"\xff\xfe")
    no_host = field(10, "SIGSEGV")
    long_host = field(1, "h" * 65)
    forged = b"\xc1\x02" + b"\1" * 8    # field 40: the gate's hash of the host
    many_frames = field(1, "host-a") + field(22, b"") * 65
    s.send(reports(2, [good, bad_utf8, no_host, long_host, forged, many_frames, b"\x0a\x7f", report("host-b", 1)]))
    assert s.refusals(2) == {1: "invalid_utf8", 2: "invalid_host_id", 3: "invalid_host_id", 4: "invalid_host_id",
                             5: "too_many_items", 6: "invalid_protobuf"}
    daemon.until(lambda: daemon.get("/v1/now").json["reports"]["counted"] == 2, "two reports")
    assert daemon.discards("invalid_host_id") == 3


@pytest.mark.parametrize("data,code", [
    (b"\0\0\0\0", "frame_zero"),
    (b"\xff\xff\xff\xff", "frame_too_large"),
    (b"\0\x08\0\x01", "frame_too_large"),
    (framed(field(1, 2)), "frame_unknown"),
    (framed(field(1, 2) + field(9, b"")), "frame_unknown"),
    (framed(b"\x08\x02\x1a\x05"), "frame_invalid"),
    (framed(field(1, 2) + field(3, b"") + field(4, b"")), "frame_invalid"),
    (hello(number=2), "frame_invalid"),
    (client_frame(1, 3, field(1, report("h", 1))), "frame_invalid"),
])
def test_bad_frames_are_answered_and_counted(daemon, data, code):
    s = Stream(daemon)
    s.send(data)
    kind, fields = s.receive()
    assert kind == "nack" and dict(fields)[2].decode() == code
    assert s.receive()[0] == "closed"
    assert daemon.discards(code) == 1
    Stream(daemon).close()      # and nobody else noticed


def test_a_frame_in_a_frame_is_a_bad_item(daemon):
    s = Stream(daemon)
    inner = reports(2, [report("host-a", 1)])
    s.send(reports(2, [inner, inner[4:]]))
    assert s.refusals(2) == {0: "invalid_protobuf", 1: "invalid_protobuf"}


def test_torn_frame_and_half_closed_socket(daemon):
    s = Stream(daemon)
    s.send(reports(2, [report("host-a", 1)]) + reports(3, [report("host-a", 2)])[:-1])
    s.sock.shutdown(socket.SHUT_WR)
    s.ack(2)
    kind, fields = s.receive()
    assert kind == "nack" and dict(fields)[2] == b"frame_torn" and dict(fields)[1] == 2
    assert daemon.discards("frame_torn") == 1


def test_tokens(make_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("abcdefghijklmnopqrstuvwxyz\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens))
    for token in ("", "abcdefghijklmnopqrstuvwxy", "x" * 1025):
        s = Stream(d, say_hello=False)
        s.send(hello(token))
        assert s.receive()[0] == "nack"
    Stream(d, token="abcdefghijklmnopqrstuvwxyz").close()
    s = Stream(d, say_hello=False)
    s.send(reports(1, [report("host-a", 1)]))
    kind, fields = s.receive()
    assert kind == "nack" and dict(fields)[2] == b"hello_missing"


def test_slow_peers_are_told(make_daemon):
    d = make_daemon(header_timeout="300ms", idle_timeout="300ms", request_timeout="300ms")
    silent, idle, slow = Stream(d, say_hello=False), Stream(d), Stream(d)
    slow.send(struct.pack(">I", 1000) + b"abc")
    for s, code in ((silent, b"header_timeout"), (idle, b"idle_timeout"), (slow, b"request_timeout")):
        kind, fields = s.receive()
        assert kind == "nack" and dict(fields)[2] == code


def test_a_wanted_dump_reaches_triage(daemon, programs):
    s = Stream(daemon)
    s.send(reports(2, [report("host-a", 1, has_dump=True), report("host-b", 1)]))
    wanted = [dict(parse(v)) for k, v in s.ack(2) if k == 2]
    assert len(wanted) == 1 and wanted[0].get(2, 0) == 0
    rid = wanted[0][3]
    assert daemon.get(f"/v1/reports/{rid.decode()}").status == 200
    dump = b"MDMP" + os.urandom(100000)
    for number, at in ((3, 0), (4, 65536)):
        piece = dump[at:at + 65536]
        s.send(client_frame(number, 6, field(1, rid) + (field(2, at) if at else b"") + field(3, piece)
                            + (field(4, 1) if at + len(piece) == len(dump) else b"")))
    assert s.refusals(4) == {}
    r = daemon.until(lambda: next((j for j in [daemon.get(f"/v1/reports/{rid.decode()}").json]
                                   if j["triage"] not in (None, "waiting")), None), "triage")
    assert r["triage"] == "unreadable"
    m = daemon.metrics()
    assert m["dumps_total"] == 1 and m["dump_bytes_total"] == len(dump)


def test_receipts_and_halts_travel_on_the_stream(daemon):
    """Endpoints say what they were served; a halt is pushed to whoever is connected.  One host in ten is served:
    eight crashes in a row decide (docs/HALT.md, reports that decide), ten are sent."""
    watcher = Stream(daemon)
    s = Stream(daemon)
    for i in range(200):
        s.send(client_frame(2 + i, 4, field(1, field(1, f"h{i}") + field(2, "boot") + field(12, 60))))
    s.ack(201)
    assert daemon.put("/v1/deployments/dep-1", {"modules": ["bad.sys"], "assignment": "hash"}).status == 201
    s.send(client_frame(300, 5, b"".join(field(1, field(1, "dep-1") + field(2, f"h{i}")) for i in range(20))
                        + field(1, field(1, "dep-1"))))
    s.sock.settimeout(30)
    got = s.ack(300)
    assert [dict(parse(v)).get(3) for k, v in got if k == 3] == [b"invalid_host_id"]
    daemon.until(lambda: daemon.get("/v1/deployments/dep-1/verdict").json["served"] == 20, "twenty receipts")
    for i in range(10):
        c = Stream(daemon, source=f"127.8.{i}.1")
        c.send(reports(2, [report(f"h{i}", 1, module="bad.sys", offset=0xE14ED)]))
        c.ack(2)
        c.close()
    kind, fields = watcher.receive()
    assert kind == "ack" and (6, 1) in fields and (4, b"dep-1") in fields
    late = Stream(daemon, say_hello=False)
    late.send(hello())
    assert (4, b"dep-1") in late.receive()[1]


def test_clean_stop_acknowledges_first(daemon):
    streams = [Stream(daemon) for _ in range(8)]
    for i, s in enumerate(streams):
        s.send(reports(2, [report(f"host-{i}-{n}", 1) for n in range(200)]))
    for s in streams:
        s.ack(2)
    daemon.send_signal(15)
    for s in streams:
        kind, fields = s.receive()
        assert kind == "nack" and dict(fields)[2] == b"draining" and dict(fields)[4] >= 1000
        s.close()
    assert daemon.wait_exit() == 0


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def test_ten_thousand_idle_connections_are_cheap(make_daemon):
    n = 10000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n + 500:
        pytest.skip(f"needs {n + 500} descriptors, {hard} are allowed")
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n + 500, hard))
    socks = []
    try:
        d = make_daemon()
        before = resident(d.process.pid)
        say = hello()
        for i in range(n):
            s = socket.create_connection(("127.0.0.1", d.stream), source_address=(f"127.9.{i // 250}.1", 0))
            s.sendall(say)
            socks.append(s)
        for s in socks:
            s.settimeout(30)
            assert s.recv(4096)
        assert d.metrics()["connections_stream"] == n
        each = (resident(d.process.pid) - before) / n
        assert each < 1536, f"{each:.0f} bytes a connection"
        # and they are in nobody's way
        start = time.monotonic()
        s = Stream(d, source="127.10.0.1")
        s.send(reports(2, [report("host-a", 1)]))
        s.ack(2)
        assert time.monotonic() - start < 5
    finally:
        for s in socks:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
