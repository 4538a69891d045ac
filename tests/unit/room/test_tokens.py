import base64
import hashlib
import hmac
import json
import time

import msgspec
import pytest

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


@pytest.mark.parametrize("expires", ["1e306", "9" * 400, "1e30"])
def test_who_expires_after_all_time_never_does(expires: str) -> None:
    token = signed(HS256, b'{"sub":"phone","exp":%b}' % expires.encode())
    assert by_secret(an_app(), token, int(time.time() * 1000)) == TokenHolder("phone", 0)


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
        (b"garbage", "it is no JSON Web Token"),
        (b"\xff\xfe.\x00.\x01", "it is no JSON Web Token"),
        (with_time("nbf", 3600), "is a clock wrong"),
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


def told(token: bytes) -> object:
    """Whom it is for, or what is wrong with it."""
    try:
        return by_secret(an_app(), token, int(time.time() * 1000))
    except BadToken as error:
        return error.message


def by_pyjwt(monkeypatch: pytest.MonkeyPatch, token: bytes) -> object:
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "_verified", lambda token, secret, now: None)
        return told(token)


@pytest.mark.parametrize("header", [HS256, b'{"typ":"JWT","alg":"HS256"}', b'{"alg":"HS256"}'])
@pytest.mark.parametrize(
    "claims", [b'{"sub":"phone"}', b'{"sub":"ph\\u00f6ne", "exp":9999999999, "nbf":1, "x":[]}']
)
def test_a_token_as_libraries_make_it_does_not_cost_what_pyjwt_takes(
    monkeypatch: pytest.MonkeyPatch, header: bytes, claims: bytes
) -> None:
    token = signed(header, claims)
    found = by_pyjwt(monkeypatch, token)
    assert isinstance(found, TokenHolder)

    def asked(*given: object, **named: object) -> object:
        raise AssertionError(given, named)

    monkeypatch.setattr(tokens, "_decode", asked)
    assert told(token) == found


def changed(token: bytes) -> list[bytes]:
    """The token, cut and altered everywhere."""
    cut = [token[:at] for at in range(len(token))]
    altered = [
        token[:at] + other + token[at + 1 :]
        for at in range(len(token))
        for other in (b"A", b"B", b".", b"-", b"+", b"=", b"\n", b"\xff", b"")
    ]
    return [token, *cut, *altered, token + b"=", token + b".", b"." + token, token + b"\n"]


def test_no_token_is_good_that_pyjwt_would_refuse_nor_for_anybody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a stranger changes, and whatever an app server has signed."""
    now = int(time.time())
    claims = [
        *(
            b'{"sub":"a","sub":"b"}',
            b'{"sub":1}',
            b'{"sub":"\\ud800"}',
            b'{"sub":"\xed\xa0\x80"}',
            b'{"sub":"a"}x',
        ),
        *(b'["sub"]', b'"sub"', b"", b"{}", b"\xef\xbb\xbf{}", b'{"sub":"a\n"}', b'{"sub":"a","x":"\xff"}'),
        *(
            b'{"sub":"a","x":NaN}',
            b'{"sub":"a","exp":1e400}',
            b'{"sub":"a","exp":true}',
            b'{"sub":"a","exp":null}',
        ),
        *(
            b'{"sub":"a","exp":"9999999999"}',
            b'{"sub":"a","exp":9999999999.5}',
            b'{"sub":"a","exp":1%s}' % (b"0" * 99),
        ),
        *(
            b'{"sub":"a","%s":%d}' % (claim, now + off)
            for claim in (b"exp", b"nbf")
            for off in (-90, -10, 10, 90)
        ),
        b'{"sub":"%s"}' % (b"a" * 2000),
    ]
    texts = [
        b64(HS256) + b"." + body for one in claims for body in (b64(one), b64(one) + b"=", b64(one) + b"A")
    ]
    signature = [hmac.new(SECRET.encode(), text, hashlib.sha256).digest() for text in texts]
    made = [text + b"." + b64(digest) for text, digest in zip(texts, signature, strict=True)]
    for token in [*made, *changed(signed(HS256, b'{"sub":"phone??>>"}'))]:
        assert told(token) == by_pyjwt(monkeypatch, token), token
