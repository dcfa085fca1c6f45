# SPDX-License-Identifier: Apache-2.0
"""Containers a dump may come in, written byte by byte where Python has no writer."""
import struct
import zlib

BLOCK = 32768


def cab(files, compress=True):
    """A cabinet of one folder: MSZIP, or stored."""
    data = b"".join(content for _, content in files)
    blocks = []
    for at in range(0, len(data), BLOCK):
        plain = data[at:at + BLOCK]
        if compress:
            z = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=data[at - BLOCK:at]) if at else zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = b"CK" + z.compress(plain) + z.flush()
        else:
            packed = plain
        blocks.append(struct.pack("<IHH", 0, len(packed), len(plain)) + packed)
    entries, offset = b"", 0
    for name, content in files:
        entries += struct.pack("<IIHHHH", len(content), offset, 0, 0x5700, 0, 0x20) + name.encode() + b"\0"
        offset += len(content)
    files_at = 36 + 8
    data_at = files_at + len(entries)
    body = b"".join(blocks)
    header = b"MSCF" + struct.pack("<IIIIIBBHHHHH", 0, data_at + len(body), 0, files_at, 0, 3, 1, 1, len(files), 0, 1234, 0)
    return header + struct.pack("<IHH", data_at, len(blocks), 1 if compress else 0) + entries + body


def form(fields, boundary="----WebKitFormBoundaryAbC123"):
    """multipart/form-data; a field's value is bytes, or (filename, bytes)."""
    out = b""
    for name, value in fields.items():
        head = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, tuple):
            head += f'; filename="{value[0]}"\r\nContent-Type: application/octet-stream'
            value = value[1]
        out += f"--{boundary}\r\n{head}\r\n\r\n".encode() + value + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()
