import base64
import hashlib
import hmac
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.errors import BadToken
from longline.model.access import AppAccess, FormerSecret
from longline.model.apps import App
from longline.room.life import tokens
from longline.room.life.tokens import TokenHolder, by_secret
from tests.unit.room.running import SECRET, a_token, an_app


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(header: bytes, claims: bytes) -> bytes:
    """A token of any content that the app's secret has really signed."""
    text = b64(header) + b"." + b64(claims)
    return text + b"." + b64(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())


def with_time(claim: str, off: int) -> bytes:
    """A token with a time that is so many seconds from now."""
    return signed(HS256, json.dumps({"sub": "phone", claim: int(time.time()) + off}).encode())


def token_device(app: App, token: bytes | None) -> str:
    return by_secret(app, token, int(time.time() * 1000)).device


HS256 = b'{"alg":"HS256","typ":"JWT"}'


def test_a_good_token_names_its_device() -> None:
    assert token_device(an_app(), a_token("phone")) == "phone"
    assert token_device(an_app(), a_token("phone", exp=9_999_999_999)) == "phone"


@pytest.mark.parametrize(("claim", "off"), [("exp", -5), ("nbf", 29)])
def test_clocks_may_differ_by_half_a_minute(claim: str, off: int) -> None:
    assert token_device(an_app(), with_time(claim, off)) == "phone"


@pytest.mark.parametrize(("claim", "off"), [("exp", -31), ("nbf", 600)])
def test_and_by_no_more(claim: str, off: int) -> None:
    with pytest.raises(BadToken):
        token_device(an_app(), with_time(claim, off))


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": 9_999_999_999},
        {"iat": None},
        {"iat": "yesterday"},
        {"aud": "another service"},
        {"aud": ["a", "b"]},
        {"aud": 1},
        {"iss": "our app server"},
        {"iss": 1},
        {"jti": 7},
        {"roles": ["driver"]},
    ],
)
def test_what_an_app_server_puts_in_for_itself_is_not_looked_at(claims: dict[str, object]) -> None:
    token = signed(HS256, json.dumps({"sub": "phone", **claims}).encode())
    assert token_device(an_app(), token) == "phone"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "no token"),
        (b"", "no token"),
        (b"garbage", "not a valid token"),
        (b"\xff\xfe.\x00.\x01", "not a valid token"),
        (a_token("phone", exp=1), "the token has expired"),
        (a_token("phone", "the device secret of another app, long"), "not signed with this app's"),
    ],
)
def test_a_bad_token_is_refused_with_what_is_wrong_with_it(token: bytes | None, message: str) -> None:
    with pytest.raises(BadToken, match=message) as caught:
        token_device(an_app(), token)
    assert "garbage" not in caught.value.message


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": None},
        {"sub": 1},
        {"sub": ["phone"]},
        {"sub": "\ud800"},
        {"sub": "phone", "exp": None},
        {"sub": "phone", "exp": []},
        {"sub": "phone", "exp": "soon"},
        {"sub": "phone", "exp": 1e400},
        {"sub": "phone", "nbf": 9_999_999_999},
        {"sub": "phone", "nbf": {}},
    ],
)
def test_no_claims_that_an_app_server_may_sign_by_mistake_do_more_than_refuse(
    claims: dict[str, object],
) -> None:
    """A mistake of one app must not end the task that admits the devices of all."""
    with pytest.raises(BadToken):
        token_device(an_app(), signed(HS256, json.dumps(claims).encode()))


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none"}',
        b'{"alg":"RS256"}',
        b'{"alg":[]}',
        b'{"alg":"HS256","b64":false}',
        b'{"alg":"HS256","crit":["x"]}',
        b"[]",
        b"[" * 3000,
        b"\xff",
        b"1" * 5000,
    ],
)
def test_no_header_that_a_stranger_may_send_does_more_than_refuse(header: bytes) -> None:
    with pytest.raises(BadToken):
        token_device(an_app(), signed(header, b'{"sub":"phone"}'))


@pytest.mark.parametrize("claims", [b"[" * 3000, b"[]", b"\xff\xfe", b'"phone"', b"1" * 5000])
def test_no_signed_body_does_more_than_refuse(claims: bytes) -> None:
    with pytest.raises(BadToken):
        token_device(an_app(), signed(HS256, claims))


@pytest.mark.parametrize("part", ["header", "claims"])
def test_a_token_that_is_nested_without_end_is_a_bad_token_and_no_error_of_ours(part: str) -> None:
    """PyJWT lets the RecursionError of the JSON decoder through."""
    nested = b'{"sub":"phone","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    header = b'{"alg":"HS256","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    token = signed(header, b'{"sub":"phone"}') if part == "header" else signed(HS256, nested)
    with pytest.raises(BadToken, match="not a valid token"):
        token_device(an_app(), token)


@pytest.mark.parametrize("header", [HS256, b'{"typ":"JWT","alg":"HS256"}', b'{"alg":"HS256"}'])
@pytest.mark.parametrize("claims", [{}, {"exp": 9_999_999_999}, {"nbf": 1, "aud": ["a"], "x": {"y": 1.5}}])
def test_a_token_as_nearly_all_are_is_not_handed_to_pyjwt(
    header: bytes, claims: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_decode", None)
    token = signed(header, json.dumps({"sub": "phone", **claims}).encode())
    assert token_device(an_app(), token) == "phone"


def said_of(token: bytes) -> TokenHolder | str:
    try:
        return by_secret(an_app(), token, int(time.time() * 1000))
    except BadToken as error:
        return error.message


TIMES: st.SearchStrategy[object] = st.sampled_from(
    [-(10**30), -1, 0, 0.5, 1, True, None, "1", "soon", [], 1e300, 10**30]
)
SUBJECTS: st.SearchStrategy[object] = st.sampled_from(["phone", "", "\ud800", 1, None, ["phone"], {}])


@st.composite
def tokens_of_all_kinds(draw: st.DrawFn) -> bytes:
    """Good ones, and such with one or the other thing about them."""
    now = int(time.time())
    claims: dict[str, object] = {"sub": draw(SUBJECTS)} if draw(st.booleans()) else {"sub": "phone"}
    for name in ("exp", "nbf", "iat"):
        if draw(st.booleans()):
            near = st.integers(-60, 60).filter(lambda off: abs(abs(off) - 30) > 5).map(lambda off: now + off)
            claims[name] = draw(near | TIMES)
    text = json.dumps(claims).encode()
    if draw(st.booleans()):
        text = draw(
            st.sampled_from(
                [
                    text + b" ",
                    b"\xef\xbb\xbf" + text,
                    text + b"x",
                    text[:-1],
                    b"[]",
                    b"NaN",
                    b'{"sub":"\xff"}',
                ]
            )
        )
    headers = [HS256, b'{"alg":"HS256"}', b'{"alg": "HS256"}', b'{"alg":"HS384"}', b'{"alg":"HS256","kid":1}']
    token = bytearray(signed(draw(st.sampled_from(headers)), text))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(token)))
        token[place : place + draw(st.integers(0, 1))] = draw(
            st.sampled_from([b"", b"=", b".", b"A", b"-", b"\n"])
        )
    return bytes(token)


@given(tokens_of_all_kinds())
def test_what_pyjwt_would_say_of_a_token_is_said_of_it(token: bytes) -> None:
    quickly = said_of(token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "PLAIN", frozenset())
        assert quickly == said_of(token)


NOW = 1_000_000_000_000
FORMER = "the device secret that the app had before this one"


def rotated(until: int) -> App:
    access = AppAccess(former_device_secret=FormerSecret(FORMER, until))
    return msgspec.structs.replace(an_app(), access=access)


def test_a_former_secret_is_good_until_its_time_is_over_and_the_token_no_longer_than_it() -> None:
    app = rotated(NOW + 5000)
    token = a_token("phone", FORMER)
    assert by_secret(app, token, NOW) == TokenHolder("phone", NOW + 5000)
    assert by_secret(app, a_token("phone", SECRET), NOW) == TokenHolder("phone", 0)
    with pytest.raises(BadToken, match="not signed"):
        by_secret(app, token, NOW + 5000)
    with pytest.raises(BadToken, match="not signed"):
        by_secret(app, a_token("phone", "a secret that it never had, which is long"), NOW)


def test_a_former_secret_is_in_no_representation() -> None:
    assert FORMER not in repr(rotated(NOW))
    assert FORMER not in repr(rotated(NOW).access)


def test_a_token_is_good_until_it_says_and_one_that_only_leeway_saves_until_that_is_over() -> None:
    soon = int(time.time()) + 100
    assert by_secret(an_app(), a_token("phone", exp=soon), 1000 * soon - 1).until == 1000 * soon
    past = int(time.time()) - 5
    assert by_secret(an_app(), a_token("phone", exp=past), 1000 * past + 5000).until == 1000 * (past + 30)
