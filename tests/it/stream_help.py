# SPDX-License-Identifier: Apache-2.0
"""The native stream spoken by hand, byte by byte: docs/STREAM.md is the source."""
import socket
import struct


def varint(v):
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def framed(message):
    return struct.pack(">I", len(message)) + message


def client_frame(number, kind, body):
    return framed(field(1, number) + field(kind, body))


def hello(token="", number=1):
    return client_frame(number, 2, field(1, 1) + field(2, "test/1") + (field(3, token) if token else b""))


def report(host, seq, module="libtest.so", reason="SIGSEGV", has_dump=False, epoch=7, offset=0x10):
    return (field(1, host) + fixed64(2, epoch) + field(3, seq) + field(4, 2) + field(6, module) + field(7, "abcd")
            + field(9, offset) + field(10, reason) + (field(25, 1) if has_dump else b""))


def reports(number, items):
    return client_frame(number, 3, b"".join(field(1, i) for i in items))


def parse(data):
    """Fields of a message as (number, value)."""
    out, at = [], 0

    def take():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return v

    while at < len(data):
        tag = take()
        if tag & 7 == 0:
            out.append((tag >> 3, take()))
        elif tag & 7 == 2:
            n = take()
            out.append((tag >> 3, data[at:at + n]))
            at += n
        else:
            raise AssertionError(f"wire type {tag & 7}")
    return out


class Stream:
    KINDS = {1: "welcome", 2: "ack", 3: "nack"}

    def __init__(self, daemon, token="", say_hello=True, source=None):
        self.sock = socket.create_connection(("127.0.0.1", daemon.stream), timeout=30,
                                             source_address=(source, 0) if source else None)
        self.buffer = b""
        if say_hello:
            self.send(hello(token))
            assert self.receive()[0] == "welcome"

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        """(kind, fields) of the next server frame; ("closed", []) at the end."""
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack(">I", self.buffer[:4])[0]:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return "closed", []
            self.buffer += data
        n = struct.unpack(">I", self.buffer[:4])[0]
        (kind, body), = parse(self.buffer[4:4 + n])
        self.buffer = self.buffer[4 + n:]
        return self.KINDS[kind], parse(body)

    def ack(self, number):
        """Wait until that frame is acknowledged; all fields that came on the way."""
        out = []
        while True:
            kind, fields = self.receive()
            assert kind == "ack", (kind, fields)
            out += fields
            if max([v for k, v in fields if k == 1], default=0) >= number:
                return out

    def refusals(self, number):
        """code by index, of the answer to that frame"""
        out = {}
        for k, v in self.ack(number):
            if k == 3:
                f = dict(parse(v))
                out[f.get(2, 0)] = f[3].decode()
        return out

    def close(self):
        self.sock.close()
