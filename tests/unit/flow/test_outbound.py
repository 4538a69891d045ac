"""Reads from addresses that others have named: only where they may, and only so much."""

from collections.abc import Sequence

import httpx
import pytest

from longline.flow.outbound import AddressRefused, CallFailed, Outbound, public

WORLD = "93.184.216.34"


class Net:
    """Names with their addresses, and what answers there."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)  # to one look-up after the other
        self.looked_up: list[str] = []
        self.requests: list[httpx.Request] = []
        self.response = httpx.Response(200, content=b"{}")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(f"{host}:{port}")
        return self.answers.pop(0).split()

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        said = self.response
        return httpx.Response(said.status_code, headers=said.headers, stream=httpx.ByteStream(said.content))

    def outbound(self, *, plain: bool = False, private: bool = False, most: int = 100) -> Outbound:
        return Outbound(
            plain=plain,
            private=private,
            most=most,
            timeout=5.0,
            resolve=self.resolve,
            transport=httpx.MockTransport(self.handle),
        )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::7f00:1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ],
)
def test_an_address_of_this_host_or_a_private_network_is_not_public(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", [WORLD, "2606:4700:4700::1111", "::ffff:93.184.216.34"])
def test_an_address_of_the_internet_is(address: str) -> None:
    assert public(address)


async def test_the_connection_goes_to_the_address_that_was_checked_under_the_name_that_was_asked_for() -> (
    None
):
    """A name that answers differently a second time is not asked a second time."""
    net = Net(WORLD, "127.0.0.1")
    assert await net.outbound().get("https://id.example.org:8443/keys?a=b") == b"{}"
    (request,) = net.requests
    assert str(request.url) == f"https://{WORLD}:8443/keys?a=b"
    assert request.headers["host"] == "id.example.org:8443"
    assert request.extensions["sni_hostname"] == "id.example.org"
    assert net.looked_up == ["id.example.org:8443"]
    with pytest.raises(AddressRefused):
        await net.outbound().get("https://id.example.org:8443/keys")
    assert len(net.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org/",
        "ftp://id.example.org/",
        "file:///etc/passwd",
        "https://",
        "https://user:password@id.example.org/",
        "id.example.org",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://\x00/",
        "https://xn--zz--/",
        "https://id.example.org:0/",
        "https://id.example.org:65536/",
    ],
)
async def test_an_address_of_the_wrong_form_is_refused_without_a_look(url: str) -> None:
    net = Net(WORLD)
    with pytest.raises(AddressRefused):
        await net.outbound().get(url)
    assert net.looked_up == []


async def test_one_private_address_among_others_is_enough_to_refuse_a_name() -> None:
    net = Net(f"{WORLD} 10.0.0.1")
    with pytest.raises(AddressRefused):
        await net.outbound().get("https://id.example.org/")
    assert net.requests == []


async def test_what_is_private_or_plain_is_read_where_that_is_allowed() -> None:
    net = Net("127.0.0.1")
    assert await net.outbound(plain=True, private=True).get("http://localhost/") == b"{}"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(302, headers={"Location": "https://127.0.0.1/"}),
        httpx.Response(404),
        httpx.Response(500),
        httpx.Response(200, content=b"x" * 101),
        httpx.Response(200, headers={"Content-Encoding": "zstd"}),
    ],
)
async def test_an_answer_that_is_none_fails_and_no_redirect_is_followed(response: httpx.Response) -> None:
    net = Net(WORLD, WORLD)
    net.response = response
    with pytest.raises(CallFailed):
        await net.outbound().get("https://id.example.org/")
    assert len(net.requests) == 1


async def test_a_name_that_has_no_address_fails() -> None:
    with pytest.raises(CallFailed):
        await Net("").outbound().get("https://id.example.org/")
