"""The opening handshake, both ends: what is let in, what each refusal says, and what a request may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.websocket.asking import UpgradeAnswer, request
from longline.websocket.head import MOST_FIELDS
from longline.websocket.upgrade import Upgrade, UpgradeRules

LIMIT = 8192
RULES = UpgradeRules((), LIMIT)

# The example of section 1.2 of RFC 6455.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = {
    "Host": "example.org:8083",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
}


def asked(line: str = "GET /mqtt HTTP/1.1", /, more: str = "", **changed: str | None) -> bytes:
    """A good request, but for some fields (`_` for `-`; None leaves one out)."""
    fields: dict[str, str | None] = dict(GOOD)
    for name, value in changed.items():
        fields[next((each for each in GOOD if each.lower() == name.replace("_", "-").lower()), name)] = value
    said = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{line}\r\n{said}{more}\r\n".encode("latin-1")


def upgraded(raw: bytes, rules: UpgradeRules = RULES) -> Upgrade:
    upgrade = Upgrade(rules)
    upgrade.feed(raw)
    return upgrade


def status(raw: bytes, rules: UpgradeRules = RULES) -> int:
    """What the answer begins with."""
    upgrade = upgraded(raw, rules)
    said = upgrade.answer if upgrade.refused is None else upgrade.refused.answer
    assert said is not None, "neither answered nor refused"
    return int(said.split(b" ", 2)[1])


def test_the_example_of_the_standard_is_let_in() -> None:
    upgrade = upgraded(asked())
    assert upgrade.answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
    assert upgrade.rest == b""


@pytest.mark.parametrize("behind", [b"", b"\x82\x80abcd"])
def test_slicing_never_changes_the_answer(behind: bytes) -> None:
    raw = asked()
    whole = upgraded(raw).answer
    for cut in range(len(raw) + len(behind)):
        upgrade = Upgrade(RULES)
        upgrade.feed((raw + behind)[:cut])
        if cut < len(raw):
            assert upgrade.answer is None
        if upgrade.answer is None:
            upgrade.feed((raw + behind)[cut:])
            assert upgrade.rest == behind
        assert upgrade.refused is None
        assert upgrade.answer == whole
    upgrade = Upgrade(RULES)
    for byte in raw:
        upgrade.feed(bytes([byte]))
    assert upgrade.answer == whole


LET_IN = {
    "words in another case": asked(Upgrade="WebSocket", Connection="keep-alive, UPGRADE"),
    "a list of upgrades": asked(Upgrade="h2c, websocket"),
    "a query": asked("GET /mqtt?token=no HTTP/1.1"),
    "the absolute form": asked("GET http://example.org:8083/mqtt HTTP/1.1"),
    "an extension that is not taken": asked(more="Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    "no subprotocol": asked(sec_websocket_protocol=None),
    "an empty body": asked(more="Content-Length: 0\r\n"),
    "an origin": asked(more="Origin: https://anywhere.example\r\n"),
    "bytes that are no ASCII": asked(more="Cookie: \xe4\xff\r\n"),
    "no space behind the colon": asked(more="Cookie:a\r\n"),
    "as many fields as may be": asked(more="A: b\r\n" * (MOST_FIELDS - len(GOOD))),
}


@pytest.mark.parametrize("name", LET_IN)
def test_what_is_let_in(name: str) -> None:
    assert status(LET_IN[name]) == 101


REFUSED = {
    "another path": (asked("GET / HTTP/1.1"), 404),
    "a path below": (asked("GET /mqtt/ HTTP/1.1"), 404),
    "a path in another case": (asked("GET /MQTT HTTP/1.1"), 404),
    "the absolute form of another path": (asked("GET http://example.org HTTP/1.1"), 404),
    "a browser": (b"GET /mqtt HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 426),
    "no upgrade": (asked(Upgrade=None), 426),
    "an upgrade to something else": (asked(Upgrade="h2c"), 426),
    "no connection": (asked(Connection="close"), 426),
    "no version": (asked(sec_websocket_version=None), 426),
    "an old version": (asked(sec_websocket_version="8"), 426),
    "a new version": (asked(sec_websocket_version="14"), 426),
    "two versions": (asked(more="Sec-WebSocket-Version: 8\r\n"), 400),
    "no host": (asked(Host=None), 400),
    "two hosts": (asked(more="Host: b\r\n"), 400),
    "no key": (asked(sec_websocket_key=None), 400),
    "a short key": (asked(sec_websocket_key="YWJj"), 400),
    "a key that is no Base64": (asked(sec_websocket_key="!" * 24), 400),
    "a key that is no ASCII": (asked(sec_websocket_key="\xe4" * 24), 400),
    "two keys": (asked(more=f"Sec-WebSocket-Key: {KEY}\r\n"), 400),
    "other subprotocols": (asked(sec_websocket_protocol="chat, superchat"), 400),
    "a subprotocol in another case": (asked(sec_websocket_protocol="MQTT"), 400),
    "a body": (asked(more="Content-Length: 5\r\n"), 400),
    "a body in chunks": (asked(more="Transfer-Encoding: chunked\r\n"), 400),
    "HTTP/1.0": (asked("GET /mqtt HTTP/1.0"), 505),
    "HTTP/2": (asked("GET /mqtt HTTP/2.0"), 505),
    "no HTTP": (asked("GET /mqtt"), 400),
    "two spaces": (asked("GET  /mqtt HTTP/1.1"), 400),
    "another method": (asked("POST /mqtt HTTP/1.1"), 400),
    "a method in another case": (asked("get /mqtt HTTP/1.1"), 400),
    "MQTT": (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a line that is folded": (asked(more="A: b\r\n c\r\n"), 400),
    "a name with a space": (asked(more="A : b\r\n"), 400),
    "a field without a colon": (asked(more="Cookie\r\n"), 400),
    "a field without a name": (asked(more=": b\r\n"), 400),
    "a lone LF": (asked(more="A: b\nHost: c\r\n"), 400),
    "a lone CR": (asked(more="A: b\rHost: c\r\n"), 400),
    "a NUL": (asked(more="A: b\0\r\n"), 400),
    "one field too many": (asked(more="A: b\r\n" * (MOST_FIELDS - len(GOOD) + 1)), 431),
    "a head that is too long": (asked(more="A: " + "b" * LIMIT + "\r\n"), 431),
    "a line without an end": (b"GET /" + b"a" * LIMIT, 431),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("cut", [False, True])
def test_what_is_refused_and_with_what(name: str, cut: bool) -> None:
    raw, code = REFUSED[name]
    if not cut:
        assert status(raw) == code
        return
    upgrade = Upgrade(RULES)
    for byte in raw:
        upgrade.feed(bytes([byte]))
        if upgrade.refused is not None:
            break
    assert upgrade.refused is not None
    assert upgrade.refused.answer.startswith(f"HTTP/1.1 {code} ".encode())


def test_who_speaks_something_else_is_known_by_the_first_byte() -> None:
    assert status(b"\x10") == 400
    assert status(b"\x16") == 400


def test_a_head_of_exactly_the_limit_is_read() -> None:
    raw = asked()
    assert status(raw, UpgradeRules((), len(raw))) == 101
    assert status(raw, UpgradeRules((), len(raw) - 1)) == 431


def test_a_person_with_a_browser_is_told_what_this_is() -> None:
    refused = upgraded(REFUSED["a browser"][0]).refused
    assert refused is not None
    head, _, body = refused.answer.partition(b"\r\n\r\n")
    assert b"Upgrade: websocket" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"MQTT" in body
    lost = upgraded(asked("GET /index.html HTTP/1.1")).refused
    assert lost is not None
    assert b"is at /mqtt" in lost.answer


def test_an_old_client_is_told_the_version() -> None:
    """Section 4.4 of RFC 6455."""
    refused = upgraded(asked(sec_websocket_version="8")).refused
    assert refused is not None
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in refused.answer


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqtt"),
        ("chat,mqtt", "mqtt"),
        ("", None),
    ],
)
def test_the_subprotocol_is_mqtt(offered: str, chosen: str | None) -> None:
    """[MQTT-6.0.0-4]"""
    answer = upgraded(asked(sec_websocket_protocol=offered)).answer
    assert answer is not None
    line = None if chosen is None else f"Sec-WebSocket-Protocol: {chosen}".encode()
    assert [each for each in answer.split(b"\r\n") if b"-Protocol" in each] == ([line] if line else [])


def test_two_fields_of_subprotocols_are_one_list() -> None:
    answer = upgraded(asked(sec_websocket_protocol="chat", more="Sec-WebSocket-Protocol: mqtt\r\n")).answer
    assert answer is not None
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in answer


ORIGINS = UpgradeRules(("https://App.example.org", "http://localhost:3000"), LIMIT)


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        (None, 101),  # no browser
        ("https://app.example.org", 101),
        ("https://APP.example.org", 101),
        ("http://localhost:3000", 101),
        ("http://app.example.org", 403),
        ("https://app.example.org:8443", 403),
        ("https://app.example.org.evil.example", 403),
        ("https://evil.example/https://app.example.org", 403),
        ("http://localhost", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_only_pages_of_the_origins_named_may_connect(origin: str | None, code: int) -> None:
    raw = asked(more="" if origin is None else f"Origin: {origin}\r\n")
    assert status(raw, ORIGINS) == code
    assert status(raw) == 101


def test_two_origins_are_none() -> None:
    raw = asked(more="Origin: https://app.example.org\r\nOrigin: https://evil.example\r\n")
    assert status(raw, ORIGINS) == 400
    assert status(raw) == 400


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: asked()[:60] + data + b"\r\n\r\n"))
def test_no_bytes_raise(data: bytes) -> None:
    upgraded(data)
    upgraded(b"GET " + data)


@given(st.integers(0, len(asked()) - 1), st.integers(0, 255))
def test_a_good_request_with_one_byte_changed_is_judged(at: int, byte: int) -> None:
    raw = bytearray(asked())
    raw[at] = byte
    upgrade = upgraded(bytes(raw))
    assert upgrade.refused is None or upgrade.answer is None


def test_a_refusal_never_repeats_what_the_peer_said() -> None:
    refused = upgraded(asked("GET /<script>alert(1)</script> HTTP/1.1")).refused
    assert refused is not None
    assert b"script" not in refused.answer
    assert "script" not in refused.message


# --- the client's end -------------------------------------------------------------------------------------

NONCE = b"the sample nonce"


def answered(raw: bytes) -> UpgradeAnswer:
    answer = UpgradeAnswer(NONCE)
    answer.feed(raw)
    return answer


TAKEN = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def test_our_own_ends_understand_each_other() -> None:
    said = upgraded(request("example.org", 8083, NONCE)).answer
    assert said is not None
    answer = answered(said + b"\x82\x00")
    assert answer.taken
    assert answer.rest == b"\x82\x00"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert b"\r\nHost: [::1]:8083\r\n" in request("::1", 8083, NONCE)


def test_a_name_outside_ascii_is_written_as_dns_has_it() -> None:
    assert b"\r\nHost: xn--bcher-kva.example:80\r\n" in request("bücher.example", 80, NONCE)


@pytest.mark.parametrize("host", ["a\r\nX: y", "a b", "a/b"])
def test_a_host_that_is_none_is_not_asked(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        request(host, 80, NONCE)


def test_slicing_never_changes_what_an_answer_says() -> None:
    answer = UpgradeAnswer(NONCE)
    for byte in TAKEN:
        assert not answer.taken
        answer.feed(bytes([byte]))
    assert answer.taken


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"101", b"200"),
        (b"101 Switching Protocols", b"404 Not Found"),
        (b"101 Switching Protocols", b"banana"),
        (b"101 Switching Protocols", b""),
        (b"WebSocket\r\n", b"h2c\r\n"),
        (b"Connection: upgrade", b"Connection: close"),
        (ACCEPT.encode(), b"x" + ACCEPT.encode()[1:]),
        (b"Sec-WebSocket-Accept", b"X"),
        (b": mqtt\r\n", b": mqttv3.1\r\n"),
        (b"Sec-WebSocket-Protocol: mqtt\r\n", b""),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * 200 + b"\r\n"),
        (b"\r\n\r\n", b"\r\nA: " + b"b" * 20_000),
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_problem(old: bytes, new: bytes) -> None:
    answer = answered(TAKEN.replace(old, new))
    assert not answer.taken
    assert answer.problem


@given(st.binary(max_size=300))
def test_no_answer_raises(data: bytes) -> None:
    answered(data)
    answered(b"HTTP/1.1 " + data + b"\r\n\r\n")
