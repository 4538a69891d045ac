"""The header of the PROXY protocol: whom it names, how it may be cut, and what is none."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.room.wire.proxy_header import LONGEST_LINE, MOST, SIGNATURE, ProxyHeader

REST = b"\x10\x0c\x00\x04MQTT"


def binary(command: int, family: int, body: bytes, *, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2) + body


def inet(source: str, target: str = "192.0.2.9", ports: bytes = b"\x12\x34\x07\x5b") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    return socket.inet_pton(family, source) + socket.inet_pton(family, target) + ports


TLVS = b"\x01\x00\x04mqtt" + b"\x20\x00\x05\x01\x00\x00\x00\x00" + b"\x03\x00\x04\xde\xad\xbe\xef"

GOOD = {
    "a line of IPv4": (b"PROXY TCP4 203.0.113.7 192.0.2.9 56324 1883\r\n", "203.0.113.7"),
    "a line of IPv6": (b"PROXY TCP6 2001:DB8:0::1 2001:db8::2 0 65535\r\n", "2001:db8::1"),
    "the longest line": (
        b"PROXY TCP6 " + (b"ffff" + b":ffff" * 7 + b" ") * 2 + b"65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    "a line of nobody known": (b"PROXY UNKNOWN\r\n", None),
    "a line of nobody known with words": (b"PROXY UNKNOWN ffff:: whatever 1 2 3\r\n", None),
    "IPv4": (binary(0x21, 0x11, inet("203.0.113.7")), "203.0.113.7"),
    "IPv4 with TLVs": (binary(0x21, 0x11, inet("203.0.113.7") + TLVS), "203.0.113.7"),
    "IPv6": (binary(0x21, 0x21, inet("2001:db8::1", "2001:db8::2")), "2001:db8::1"),
    "IPv6 with TLVs": (binary(0x21, 0x21, inet("2001:db8::1", "2001:db8::2") + TLVS), "2001:db8::1"),
    "as many TLVs as may be": (
        binary(0x21, 0x11, inet("203.0.113.7") + bytes(MOST - 12)),
        "203.0.113.7",
    ),
    "LOCAL": (binary(0x20, 0x00, b""), None),
    "LOCAL with an address": (binary(0x20, 0x11, inet("203.0.113.7") + TLVS), None),
    "LOCAL of something new": (binary(0x20, 0x99, b"abc"), None),
    "no family": (binary(0x21, 0x00, TLVS), None),
    "a Unix socket": (binary(0x21, 0x31, bytes(216)), None),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("rest", [b"", REST])
def test_whom_it_names_and_what_is_left_however_it_is_cut(name: str, rest: bytes) -> None:
    raw, origin = GOOD[name]
    for cut in range(len(raw) + len(rest) + 1):
        header = ProxyHeader()
        header.feed((raw + rest)[:cut])
        assert header.problem is None
        assert header.done == (cut >= len(raw)), cut
        behind = (raw + rest)[cut:]
        if not header.done:
            header.feed(behind)
            behind = b""
        assert header.done
        assert header.origin == origin
        assert header.rest + behind == rest


@pytest.mark.parametrize("name", GOOD)
def test_byte_by_byte(name: str) -> None:
    raw, origin = GOOD[name]
    header = ProxyHeader()
    for byte in raw:
        assert not header.done
        header.feed(bytes([byte]))
    assert header.done
    assert header.origin == origin
    assert header.rest == b""


LINE = b"PROXY TCP4 203.0.113.7 192.0.2.9 56324 1883\r\n"

BAD = {
    "MQTT": REST,
    "TLS": b"\x16\x03\x01\x02\x00",
    "HTTP": b"GET /mqtt HTTP/1.1\r\n",
    "POST": b"POST / HTTP/1.1\r\n",
    "another case": b"proxy TCP4",
    "no space": b"PROXYTCP4",
    "a line that never ends": b"PROXY UNKNOWN " + b"a" * LONGEST_LINE,
    "a line that is one byte too long": b"PROXY UNKNOWN " + b"a" * (LONGEST_LINE - 15) + b"\r\n",
    "no family": b"PROXY \r\n",
    "another family": LINE.replace(b"TCP4", b"UDP4"),
    "addresses of the other family": LINE.replace(b"TCP4", b"TCP6"),
    "an address of IPv6 for TCP4": LINE.replace(b"203.0.113.7", b"::1"),
    "a target of the other family": LINE.replace(b"192.0.2.9", b"::1"),
    "an address with an interface": b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
    "a name": LINE.replace(b"203.0.113.7", b"localhost"),
    "an address with leading zeros": LINE.replace(b"203.0.113.7", b"203.0.113.007"),
    "an address that is no ASCII": LINE.replace(b"203.0.113.7", b"\xff"),
    "a port too high": LINE.replace(b"56324", b"65536"),
    "a port with a leading zero": LINE.replace(b"56324", b"0563"),
    "a negative port": LINE.replace(b"56324", b"-1"),
    "no port": LINE.replace(b" 1883", b""),
    "a word too many": LINE.replace(b" 1883", b" 1883 1"),
    "two spaces": LINE.replace(b" TCP4 ", b" TCP4  "),
    "a bare LF": LINE.replace(b"\r\n", b"\n") + b"a" * LONGEST_LINE,
    "version 1 in binary": binary(0x11, 0x11, inet("203.0.113.7")),
    "version 3": binary(0x31, 0x11, inet("203.0.113.7")),
    "a command that nobody knows": binary(0x22, 0x11, inet("203.0.113.7")),
    "UDP": binary(0x21, 0x12, inet("203.0.113.7")),
    "a family that nobody knows": binary(0x21, 0x41, bytes(40)),
    "too short for IPv4": binary(0x21, 0x11, inet("203.0.113.7")[:11]),
    "too short for IPv6": binary(0x21, 0x21, inet("2001:db8::1", "2001:db8::2")[:35]),
    "too long": binary(0x21, 0x11, b"", length=MOST + 1),
    "as long as can be": binary(0x21, 0x11, b"", length=65_535),
    "a signature with one byte wrong": SIGNATURE[:11] + b"\r",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_what_is_no_header(name: str, step: int) -> None:
    raw = BAD[name]
    header = ProxyHeader()
    for at in range(0, len(raw), step):
        assert not header.done
        header.feed(raw[at : at + step])
        if header.problem is not None:
            break
    assert header.problem is not None
    assert not header.done
    assert header.origin is None


def test_who_speaks_something_else_is_known_by_the_first_byte() -> None:
    for first in (b"\x10", b"\x16", b"G"):
        header = ProxyHeader()
        header.feed(first)
        assert header.problem is not None


BEGINNINGS = [b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]


@given(st.binary(max_size=200), st.sampled_from(BEGINNINGS))
def test_no_bytes_raise(data: bytes, begin: bytes) -> None:
    header = ProxyHeader()
    header.feed(begin + data)
    assert not (header.done and header.problem)


@given(st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=50))
def test_any_address_in_either_version(address: object, port: int, tlvs: bytes) -> None:
    text = str(address)
    six = ":" in text
    line = f"PROXY TCP{6 if six else 4} {text} {text} {port} {port}\r\n".encode()
    packed = inet(text, text, port.to_bytes(2) * 2) + tlvs
    for raw in (line, binary(0x21, 0x21 if six else 0x11, packed)):
        header = ProxyHeader()
        header.feed(raw + REST)
        assert header.origin == text
        assert header.rest == REST
