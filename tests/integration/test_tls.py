"""TLS, from outside: foreign clients, our SDK, `openssl`, and peers that do harm."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device, errors
from longline.mqtt.codec import encode
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect
from longline.tls import certificates
from tests.certificates import Authority, Pair
from tests.integration.clients.real import KINDS, OVER_WEBSOCKET, RealClient, Refused, Transport, missing
from tests.integration.live_node import LiveNode, RawClient, metrics
from tests.integration.shapes import Server
from tests.integration.test_bad_input import Witness, a_witness
from tests.servers.ports import free_ports
from tests.waiting import WITHIN, until

# --- clients, in every shape ---------------------------------------------------------------------

WAYS: list[tuple[str, Transport]] = [
    *((kind, "tls") for kind in KINDS),
    *((kind, "wss") for kind in OVER_WEBSOCKET),
]
EACH_WAY = pytest.mark.parametrize(("kind", "transport"), WAYS)


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


def authority_of(server: Server) -> Authority:
    assert server.authority is not None
    return server.authority


def client(kind: str, transport: Transport, server: Server, token: str) -> RealClient:
    lacking = missing(kind)
    if lacking is not None:
        pytest.skip(lacking)
    port = server.tls_port if transport == "tls" else server.wss_port
    return RealClient(
        kind,
        port,
        app="news",
        device="d1",
        token=token,
        transport=transport,
        ca=authority_of(server).ca,
    )


@EACH_WAY
async def test_a_push_arrives_once_online_and_once_on_return(
    kind: str, transport: Transport, server: Server, center: Center
) -> None:
    token = (await center.token("news", "d1")).password
    large = "x" * 200_000
    async with client(kind, transport, server, token) as device:
        await device.ready()
        sent = [await center.send("news", text, devices=["d1"]) for text in ("online", large)]
        messages = await device.receive(2)
        assert [message.payload.decode() for message in messages] == ["online", large]
        for receipt in sent:
            await center.wait("news", receipt.message_id, within=WITHIN)
    away = await center.send("news", "while you were away", devices=["d1"])
    async with client(kind, transport, server, token) as device:
        await device.ready()
        [message] = await device.receive(1)
        assert message.payload == b"while you were away"
        assert (await center.wait("news", away.message_id, within=WITHIN)).ledger.acked == 1


@EACH_WAY
async def test_a_forged_token_is_refused(
    kind: str, transport: Transport, server: Server, center: Center
) -> None:
    forged = jwt.encode({"sub": "d1"}, "not the secret of that app at all", algorithm="HS256")
    async with client(kind, transport, server, forged) as device:
        with pytest.raises(Refused):
            await device.ready()


async def test_the_sdk_speaks_tls_in_both_directions(server: Server, center: Center) -> None:
    token = (await center.token("news", "phone")).password
    authority = authority_of(server)
    async with Device(
        f"mqtts://localhost:{server.tls_port}", app="news", device="phone", token=token, ca=authority.ca
    ) as device:
        async with asyncio.timeout(WITHIN):
            await device.wait_connected()
            await device.subscribe("room/#")
            await device.publish("room/1", b"y" * 100_000)
            message = await device.receive()
            assert message.payload == b"y" * 100_000
            await message.ack()


async def test_a_client_certificate_stands_in_for_the_token_where_the_app_says_so(
    server: Server, center: Center
) -> None:
    authority = authority_of(server)

    async def outcome(shown: Pair, device: str = "phone") -> int:
        """The reason in the CONNACK to a client that shows this certificate."""
        context = ssl.create_default_context(cafile=authority.ca)
        context.load_cert_chain(*shown)
        reader, writer = await asyncio.open_connection("localhost", server.tls_port, ssl=context)
        async with RawClient(reader, writer, MQTT_5_0) as raw:
            raw.send(Connect(MQTT_5_0, device, username="news"))
            connack = await raw.receive()
            assert isinstance(connack, Connack)
            return connack.reason

    good = authority.client("phone", "news")
    assert await outcome(good) == 0x86, "the app has not said so"
    await center.update_app("news", client_certificates=True)
    await until(lambda: is_(outcome(good), 0), WITHIN)
    assert await outcome(authority.client("tablet", "news")) == 0x86
    assert await outcome(authority.client("phone", "weather", name="other-app")) == 0x86
    async with Device(
        f"mqtts://localhost:{server.tls_port}",
        app="news",
        device="phone",
        ca=authority.ca,
        certificate=good.certificate,
        key=good.key,
    ) as device:
        receipt = await center.send("news", "hello", devices=["phone"])
        async with asyncio.timeout(WITHIN):
            message = await device.receive()
            assert message.text == "hello"
            await message.ack()
        assert (await center.wait("news", receipt.message_id, within=WITHIN)).ledger.acked == 1
    # Without a certificate, and without a token
    with pytest.raises(errors.BadToken):
        async with Device(
            f"mqtts://localhost:{server.tls_port}", app="news", device="phone", token="", ca=authority.ca
        ) as device:
            await device.wait_connected()


async def is_(call: object, wanted: object) -> bool:
    assert asyncio.iscoroutine(call)
    return bool(await call == wanted)


# --- one node, in this process -------------------------------------------------------------------


class Secured:
    """A node that speaks TLS too."""

    def __init__(self, node: LiveNode, authority: Authority, pair: Pair, tls_port: int, secret: str) -> None:
        self.node = node
        self.authority = authority
        self.pair = pair
        self.tls_port = tls_port
        self.secret = secret

    def context(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.ca)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the TLS port over which nothing was said."""
        return await asyncio.open_connection("127.0.0.1", self.tls_port)

    async def enter(
        self, version: int = MQTT_5_0, context: ssl.SSLContext | None = None, device: str = "d1"
    ) -> RawClient:
        reader, writer = await asyncio.open_connection(
            "localhost", self.tls_port, ssl=context or self.context()
        )
        client = RawClient(reader, writer, version)
        token = jwt.encode({"sub": device}, self.secret, algorithm="HS256")
        assert (await client.enter(device, "news", token)).reason == 0
        return client

    async def metrics(self) -> dict[str, float]:
        return await metrics(self.node.url)

    async def failed(self) -> dict[str, int]:
        """Handshakes that failed, by kind."""
        prefix = 'longline_room_tls_failed_total{kind="'
        return {
            name.removeprefix(prefix).removesuffix('"}'): int(value)
            for name, value in (await self.metrics()).items()
            if name.startswith(prefix)
        }


@pytest_asyncio.fixture
async def secured(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Secured]:
    authority = Authority(tmp_path / "certificates")
    pair = authority.server()
    (tls_port,) = free_ports(1)
    settings: dict[str, object] = {
        "room.tls_port": tls_port,
        "room.wss_port": 0,
        "room.tls_cert": pair.certificate,
        "room.tls_key": pair.key,
        **getattr(request, "param", {}),
    }
    async with LiveNode(tmp_path / "data", settings) as node, node.center() as center:
        secret = (await center.create_app("news", pubsub=True)).device_secret
        yield Secured(node, authority, pair, tls_port, secret)


@pytest_asyncio.fixture
async def witness(secured: Secured) -> AsyncIterator[Witness]:
    async with (
        secured.node.center() as center,
        a_witness(center, secured.node.mqtt_port, secured.secret) as witness,
    ):
        yield witness


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_each_protocol_go_together(
    secured: Secured, version: int, tls: ssl.TLSVersion
) -> None:
    async with await secured.enter(version, secured.context(tls)):
        assert (await secured.metrics())["longline_room_tls_handshakes_total"] == 1
        assert (await secured.metrics())["longline_room_tls_handshaking"] == 0


async def test_tls_1_1_and_what_is_no_tls_is_refused_counted_and_harms_nobody(
    secured: Secured, witness: Witness
) -> None:
    plain = encode(Connect(MQTT_5_0, "d1"), MQTT_5_0)
    for first, kind, answer in (
        (client_hello(0x0302), "version", b"\x15\x03\x02\x00\x02\x02\x46"),  # an alert: protocol_version
        (client_hello(0x0300), "version", None),
        (plain, "not_tls", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_tls", b""),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "malformed", None),
        (bytes(range(256)) * 10, "not_tls", b""),
    ):
        before = (await secured.failed()).get(kind, 0)
        reader, writer = await secured.raw()
        writer.write(first)
        said = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(WITHIN):
                said = await reader.read()
        if answer is not None:
            assert said == answer
        writer.close()
        assert (await secured.failed())[kind] == before + 1
        await witness.is_served()
    assert (await secured.node.metrics())["longline_room_tls_handshaking"] == 0
    await witness.never_reconnected()


@pytest.mark.parametrize("secured", [{"room.tls_handshake_timeout": 0.5}], indirect=True)
async def test_a_handshake_that_is_never_over_ends_with_its_deadline(
    secured: Secured, witness: Witness
) -> None:
    hello = client_hello(0x0303)
    waiting = []
    for said in (b"", hello[:3], hello[:50]):
        reader, writer = await secured.raw()
        writer.write(said)
        waiting.append((reader, writer))
    for reader, writer in waiting:
        async with asyncio.timeout(WITHIN):
            assert await reader.read() == b""
        writer.close()
    assert (await secured.failed())["timeout"] == 3
    await witness.is_served()


async def test_an_end_at_any_moment_is_an_end_and_nothing_else(secured: Secured, witness: Witness) -> None:
    """Nothing said, half a handshake, a whole connection: closed, or reset, and never a close_notify."""
    hello = client_hello(0x0303)
    for said in (b"", hello[:1], hello[:20], hello):
        for end in (close, reset):
            _, writer = await secured.raw()
            writer.write(said)
            await writer.drain()
            end(writer)
    for _ in range(3):
        client = await secured.enter()
        client.abort()
    await until(lambda: none_left(secured), WITHIN)
    await witness.is_served()
    await witness.never_reconnected()
    assert not await faults(secured)


async def none_left(secured: Secured) -> bool:
    found = await secured.metrics()
    return found["longline_room_tls_handshaking"] == 0 and found["longline_room_connections"] == 1


async def faults(secured: Secured) -> dict[str, float]:
    return {name: value for name, value in (await secured.metrics()).items() if "longline_faults" in name}


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_session_that_is_taken_over_hears_so_over_tls(secured: Secured) -> None:
    """What is said last arrives before the end: DISCONNECT, and then close_notify."""
    first = await secured.enter()
    second = await secured.enter()
    rest = await first.rest()
    assert [packet.reason for packet in rest if hasattr(packet, "reason")] == [0x8E]
    await first.close()
    await second.close()


# --- the certificate, while the node runs --------------------------------------------------------


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at all the time."""
    monkeypatch.setattr(certificates, "LOOK_EVERY", 0.01)


@pytest.mark.usefixtures("_impatient")
async def test_a_changed_certificate_is_shown_without_a_restart_and_nobody_is_cut_off(
    secured: Secured,
) -> None:
    old = await secured.enter(device="old")
    before, epoch = await shown(secured), await epoch_of(secured, "old")
    fresh = secured.authority.server("fresh", key="rsa", days=9)
    wanted = ssl.PEM_cert_to_DER_cert(fresh.certificate.read_text())
    assert wanted != before
    fresh.certificate.rename(secured.pair.certificate)
    fresh.key.rename(secured.pair.key)
    await until(lambda: is_(shown(secured), wanted), WITHIN)
    found = await secured.metrics()
    assert found["longline_room_tls_reloads_total"] == 1
    assert 8 * 86_400 < found["longline_room_tls_certificate_seconds"] < 9 * 86_400
    async with await secured.enter(device="new"):
        pass
    # A broken one is told of, and the one at hand stays.
    secured.pair.certificate.write_text("broken")
    await until(lambda: is_(figure(secured, "longline_room_tls_reload_failures_total"), 1.0), WITHIN)
    assert await shown(secured) == wanted
    async with await secured.enter(device="newer"):
        pass
    async with old:
        assert await epoch_of(secured, "old") == epoch


async def epoch_of(secured: Secured, device: str) -> int | None:
    """Of a device's connection, while it is online."""
    async with secured.node.center() as center:
        found = await center.device("news", device)
        return found.epoch if found.online else None


async def figure(secured: Secured, name: str) -> float:
    return (await secured.metrics())[name]


async def shown(secured: Secured) -> bytes:
    """The certificate that a new client is shown."""
    _, writer = await asyncio.open_connection("localhost", secured.tls_port, ssl=secured.context())
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    assert isinstance(der, bytes)
    return der


# --- openssl as a client -------------------------------------------------------------------------


@asynccontextmanager
async def s_client(port: int, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`openssl s_client`, connected for as long as the test wants it."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN):
            yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process, wanted: bytes) -> bytes:
    """What it prints up to and with a line that contains something."""
    assert process.stdout is not None
    output = b""
    while wanted not in output:
        line = await process.stdout.readline()
        assert line, f"it ended without {wanted!r}: {output.decode(errors='replace')}"
        output += line
    return output


async def test_nobody_renegotiates(secured: Secured) -> None:
    async with s_client(secured.tls_port, "-tls1_2") as process:
        await said(process, b"Verify return code")
        assert process.stdin is not None
        process.stdin.write(b"R\n")  # to s_client: renegotiate
        await said(process, b"RENEGOTIATING")
        await said(process, b"no renegotiation")


@pytest.mark.shape("workers")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_ticket_is_good_at_all_processes_behind_a_port(
    server: Server, tmp_path: Path, version: str
) -> None:
    """The kernel spreads connections: 16 that are all gone on with have not all come to the first process."""
    await assert_resumed(server.tls_port, tmp_path, version, times=16)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_ticket_is_good_at_a_node_that_was_started_again(tmp_path: Path, version: str) -> None:
    authority = Authority(tmp_path / "certificates")
    pair = authority.server()
    settings: dict[str, object] = {"room.tls_cert": pair.certificate, "room.tls_key": pair.key}
    for _ in range(2):
        (port,) = free_ports(1)
        flags = {**settings, "room.tls_port": port, "room.wss_port": 0}
        async with LiveNode(tmp_path / "data", flags):
            await assert_resumed(port, tmp_path, version, times=2)


async def assert_resumed(port: int, folder: Path, version: str, times: int) -> None:
    session = folder / f"session{version}.pem"
    if not session.exists():
        async with s_client(port, version, "-sess_out", str(session)) as process:
            assert b"New, TLSv1" in await said(process, b"Cipher is")
            await until(session.exists, WITHIN)
    for _ in range(times):
        async with s_client(port, version, "-sess_in", str(session)) as process:
            assert b"Reused, TLSv1" in await said(process, b"Cipher is")


# --- HTTPS ---------------------------------------------------------------------------------------


class SecuredApi:
    """A node whose API speaks HTTPS."""

    def __init__(self, node: LiveNode, authority: Authority, pair: Pair) -> None:
        self.node = node
        self.authority = authority
        self.pair = pair
        self.url = f"https://localhost:{node.http_port}"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[SecuredApi]:
    authority = Authority(tmp_path / "certificates")
    pair = authority.server()
    settings: dict[str, object] = {"center.tls_cert": pair.certificate, "center.tls_key": pair.key}
    async with LiveNode(tmp_path / "data", settings) as node:
        yield SecuredApi(node, authority, pair)


async def test_the_api_speaks_https_and_nothing_else_then(api: SecuredApi) -> None:
    async with Center(api.url, api.node.admin_key, ca=api.authority.ca) as center:
        await center.create_app("news")
        large = [{"device": f"d{number}", "attributes": {"x": "y" * 500}} for number in range(1000)]
        assert await center.register_batch("news", large) == [None] * 1000
        found = [device async for device in center.devices("news", page_size=1000)]
        assert len(found) == 1000
    trusting = ssl.create_default_context(cafile=api.authority.ca)
    async with httpx.AsyncClient(verify=trusting) as client:
        assert (await client.get(f"{api.url}/readyz")).status_code == 200
        told = (await client.get(f"{api.url}/metrics")).text
        assert "longline_http_tls_handshakes_total 2.0" in told
        asked = await client.get(f"{api.url}/v1/dispatch?app=news&device=d1&transport=tcp")
        assert asked.status_code == 200
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(api.url.replace("https", "http"))
    async with Center(api.url, api.node.admin_key, retries=0) as stranger:
        with pytest.raises(errors.Unavailable, match="certificate verify failed"):
            await stranger.app("news")


async def test_a_device_finds_its_room_by_a_dispatcher_of_https(api: SecuredApi) -> None:
    async with Center(api.url, api.node.admin_key, ca=api.authority.ca) as center:
        await center.create_app("news")
        token = (await center.token("news", "phone")).password
        async with Device(
            dispatchers=[api.url], app="news", device="phone", token=token, ca=api.authority.ca
        ) as device:
            async with asyncio.timeout(WITHIN):
                await device.wait_connected()


@pytest.mark.usefixtures("_impatient")
async def test_the_certificate_of_the_api_is_loaded_anew(api: SecuredApi) -> None:
    fresh = api.authority.server("fresh")
    wanted = ssl.PEM_cert_to_DER_cert(fresh.certificate.read_text())
    fresh.certificate.rename(api.pair.certificate)
    fresh.key.rename(api.pair.key)

    async def shown() -> bytes | None:
        context = ssl.create_default_context(cafile=api.authority.ca)
        _, writer = await asyncio.open_connection("localhost", api.node.http_port, ssl=context)
        der: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return der

    await until(lambda: is_(shown(), wanted), WITHIN)


def client_hello(version: int) -> bytes:
    """A ClientHello that knows no version but this and earlier ones."""
    body = struct.pack("!H", version) + bytes(32) + b"\0" + b"\x00\x04\xc0\x13\xc0\x09" + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message
