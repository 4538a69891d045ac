"""The SDK over TLS: a server is verified, by the authorities that the caller names or by the system's."""

import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from longline import Center, Device, errors
from longline.sdk.trust import parsed
from longline.testing.clock import VirtualClock, settle
from longline.tls.certificates import server_context
from tests.certificates import Authority
from tests.unit.sdk.dispatching import ScriptedDispatcher
from tests.unit.sdk.scripted import ScriptedRoom
from tests.unit.sdk.virtual import in_virtual_time
from tests.waiting import WITHIN, until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    return server_context("room.tls", *authority.server(), None)


@pytest.mark.parametrize("way", ["url", "parameters"])
async def test_a_device_speaks_tls_with_a_server_that_it_can_verify(
    way: str, authority: Authority, tls: ssl.SSLContext
) -> None:
    async with ScriptedRoom(tls=tls) as room:
        if way == "url":
            device = in_virtual_time()(
                f"mqtts://localhost:{room.port}", app="news", device="d1", token="t", ca=authority.ca
            )
        else:
            device = in_virtual_time()(
                "127.0.0.1", room.port, app="news", device="d1", token="t", transport="tls", ca=authority.ca
            )
        async with device:
            peer = await room.accept()
            await peer.let_in()
            await device.wait_connected()
            await peer.push("m1")
            message = await device.receive()
            assert message.text == "hello"


async def test_a_server_that_cannot_be_verified_hears_no_token(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    clock = VirtualClock()
    async with ScriptedRoom("0.0.0.0", tls=tls) as room:
        for ca, host in ((None, "localhost"), (authority.ca, "127.0.0.2")):
            device = in_virtual_time(clock)(
                f"mqtts://{host}:{room.port}", app="news", device="d1", token="t", ca=ca
            )
            async with device:
                await until(partial(failed, device), WITHIN)
            assert isinstance(device.statistics.last_error, errors.Unavailable)
            assert "certificate verify failed" in str(device.statistics.last_error).lower()
        assert room.connections == 0


def failed(device: Device) -> bool:
    return device.statistics.failures > 0


async def test_a_device_may_show_a_certificate_in_the_place_of_a_token(
    tmp_path: Path, authority: Authority
) -> None:
    tls = server_context("room.tls", *authority.server(), authority.ca)
    tls.verify_mode = ssl.CERT_REQUIRED
    shown = authority.client("d1", "news")
    async with ScriptedRoom(tls=tls) as room:
        device = in_virtual_time()(
            f"mqtts://localhost:{room.port}",
            app="news",
            device="d1",
            ca=authority.ca,
            certificate=shown.certificate,
            key=shown.key,
        )
        async with device:
            connect = await (await room.accept()).let_in()
            assert (connect.client_id, connect.username, connect.password) == ("d1", "news", None)


async def test_a_dispatcher_of_https_is_verified_and_asked_for_rooms_with_tls(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    async with ScriptedDispatcher(tls) as dispatcher, ScriptedRoom(tls=tls) as room:
        dispatcher.say([room.port])
        device = in_virtual_time()(
            app="news",
            device="d1",
            token="t",
            dispatchers=[dispatcher.url],
            transport="tls",
            ca=authority.ca,
        )
        async with device:
            await (await room.accept()).let_in()
        assert dispatcher.asked == [{"app": "news", "device": "d1", "transport": "tls"}]
        stranger = in_virtual_time()(
            app="news", device="d1", token="t", dispatchers=[dispatcher.url], transport="tls"
        )
        async with stranger:
            await until(partial(failed, stranger), WITHIN)
        assert len(dispatcher.asked) == 1
        await settle()


async def test_a_center_of_https_is_verified(authority: Authority, tls: ssl.SSLContext) -> None:
    async with ScriptedDispatcher(tls) as server:
        server.body = b'{"app": "news"}'
        async with Center(server.url, "key", ca=authority.ca) as center:
            assert (await center.app("news")).app == "news"
        async with Center(server.url, "key", retries=0) as center:
            with pytest.raises(errors.Unavailable, match="certificate verify failed"):
                await center.app("news")


def test_what_cannot_be_used_is_said_when_the_device_is_made(tmp_path: Path, authority: Authority) -> None:
    kind = in_virtual_time()
    text = tmp_path / "text"
    text.write_text("not PEM")
    pair = authority.client("d1", "news")
    wrong: list[dict[str, Any]] = [
        {"ca": tmp_path / "missing"},
        {"ca": text},
        {"certificate": text},
        {"certificate": pair.certificate},  # its key stands elsewhere
        {"key": pair.key},
    ]
    for files in wrong:
        with pytest.raises(ValueError, match=r"PEM|cannot be used|give that too"):
            kind("mqtts://localhost", app="news", device="d1", token="t", **files)
    with pytest.raises(ValueError, match="a token or a certificate"):
        kind("mqtts://localhost", app="news", device="d1")
    with pytest.raises(ValueError, match="PEM"):
        Center("https://localhost", "key", ca=text)


def test_a_url_says_transport_host_and_port() -> None:
    assert parsed("push.example.org") == (None, "push.example.org", None, None)
    assert parsed("::1") == (None, "::1", None, None)
    assert parsed("mqtt://push.example.org") == ("tcp", "push.example.org", None, None)
    assert parsed("mqtts://[::1]:8884/") == ("tls", "::1", 8884, None)
    for wrong in ("https://push.example.org", "mqtts://", "mqtts://u:p@host", "mqtts://host/path", "ftp://x"):
        with pytest.raises(ValueError, match="mqtts://HOST:PORT"):
            parsed(wrong)
