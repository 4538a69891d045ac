"""Whom to load, as whom, and the packets for it."""

import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import jwt
import msgspec

from longline.bench.hot.pump import GAP, STAMP
from longline.errors import LonglineError
from longline.model.addresses import joined
from longline.mqtt.codec import Decoder, encode
from longline.mqtt.packets import Connack, Connect, Publish, Subscribe, Subscription
from longline.mqtt.properties import PropertyId, get_int
from longline.mqtt.reasons import ReasonCode

ADDRESS_SPAN: Final = 25_000
"""Connections per source address: what Linux offers as ephemeral ports by default, with some to spare."""

PACKET_BYTES: Final = 1 << 20


class BenchFailed(LonglineError):
    """The measurement could not be made, and no figure of it should be believed."""

    code = "bench_failed"


@dataclass(frozen=True, kw_only=True)
class LoadTarget:
    """A Longline and one of its apps. Each client gets a token of its own: a JWT signed with the app's device
    secret, whose subject is the client identifier.
    """

    host: str = "127.0.0.1"
    """Host of the MQTT listener."""
    port: int = 1883
    """Port of the MQTT listener."""
    protocol: int = 4
    """4 for MQTT 3.1.1, 5 for MQTT 5.0."""
    tls: bool = False
    """Speak TLS with the MQTT listener."""
    ca: Path | None = None
    """PEM file with the authorities that sign its certificate; without one it is not verified."""
    app: str
    """App to connect to; every client makes its own token."""
    secret: str
    """The app's device secret, which signs the tokens."""

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        if self.protocol not in (4, 5):
            raise ValueError("--protocol is 4 or 5")
        if bool(self.app) != bool(self.secret):
            raise ValueError("--app and --secret go together")
        if self.ca is not None and not self.tls:
            raise ValueError("--ca is for --tls")

    def context(self) -> ssl.SSLContext | None:
        """How TLS is spoken, where it is; raises BenchFailed for a file that cannot be used."""
        if not self.tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            raise BenchFailed(f"{self.ca}: {error.strerror or error}") from None
        return context

    def credentials(self, client: str) -> tuple[str, str]:
        """User name and password of a client; both empty: none."""
        return self.app, jwt.encode({"sub": client}, self.secret, algorithm="HS256")

    def connect(self, client: str, keep_alive: int) -> bytes:
        """The CONNECT of `client`, with a clean start; `keep_alive` in seconds."""
        username, password = self.credentials(client)
        return encode(
            Connect(
                self.protocol,
                client,
                keep_alive=keep_alive,
                username=username or None,
                password=password.encode() if username else None,
            ),
            self.protocol,
        )

    def subscribe(self, topic: str, qos: int) -> bytes:
        """A SUBSCRIBE to one filter."""
        return encode(Subscribe(1, [Subscription(topic, qos)]), self.protocol)

    def publish(self, topic: str, qos: int, size: int) -> tuple[bytes, bytes]:
        """A PUBLISH of `size` payload bytes without its middle: what comes before the packet identifier,
        and what follows the stamp. Raises BenchFailed when the stamp does not fit into `size`.
        """
        if size < STAMP.size:
            raise BenchFailed(f"a payload needs {STAMP.size} bytes for its time and sequence number")
        whole = encode(Publish(topic, bytes(size), qos, packet_id=1 if qos else 0), self.protocol)
        middle = (2 if qos else 0) + len(GAP[self.protocol])
        return whole[: len(whole) - size - middle], bytes(size - STAMP.size)


@dataclass(frozen=True, kw_only=True)
class AnyTarget(LoadTarget):
    """A Longline and one of its apps, or any other MQTT broker: without an app, all clients share a user name
    and a password, or have none.
    """

    app: str = ""
    """App to connect to; every client makes its own token."""
    secret: str = ""
    """The app's device secret, which signs the tokens."""
    username: str = ""
    """User name, for brokers with passwords."""
    password: str = ""
    """Its password."""

    def check(self) -> None:
        super().check()
        if self.app and self.username:
            raise ValueError("--app makes the credentials; --username is for other brokers")

    def credentials(self, client: str) -> tuple[str, str]:
        return super().credentials(client) if self.app else (self.username, self.password)


class BrokerLimits(msgspec.Struct, frozen=True):
    """What a broker said in a CONNACK about itself (MQTT 5, section 3.2.2.3); 3.1.1 cannot say it."""

    keep_alive: int | None
    receive_maximum: int


def probe(target: LoadTarget, client: str, keep_alive: int, timeout: float = 10.0) -> BrokerLimits:
    """Connects once, so that a wrong address or secret is one clear error and not ten thousand.

    Raises BenchFailed with the reason; `timeout` is in seconds.
    """
    where = joined(target.host, target.port)
    decoder = Decoder(PACKET_BYTES, version=target.protocol, from_client=False)
    deadline = time.monotonic() + timeout
    try:
        with ExitStack() as opened:
            sock = opened.enter_context(socket.create_connection((target.host, target.port), timeout=timeout))
            context = target.context()
            if context is not None:
                sock = opened.enter_context(context.wrap_socket(sock, server_hostname=target.host))
            sock.sendall(target.connect(client, keep_alive))
            while time.monotonic() < deadline:
                chunk = sock.recv(65536)
                if not chunk:
                    raise BenchFailed(f"{where} closed the connection without an answer to CONNECT")
                for packet in decoder.feed(chunk):
                    if isinstance(packet, Connack):
                        return limits_of(packet, where)
                if decoder.fault is not None:
                    raise BenchFailed(f"{where} does not speak MQTT: {decoder.fault.message}")
    except TimeoutError:
        pass
    except OSError as error:
        raise BenchFailed(f"cannot connect to {where}: {error.strerror or error}") from error
    raise BenchFailed(f"{where} did not answer CONNECT within {timeout:g} s")


def limits_of(connack: Connack, where: str) -> BrokerLimits:
    """The limits in an accepting CONNACK; raises BenchFailed for one that refuses."""
    if connack.reason:
        name = ReasonCode(connack.reason).name.lower().replace("_", " ")
        raise BenchFailed(f"{where} refuses the credentials or the client: {name} (0x{connack.reason:02x})")
    return BrokerLimits(
        get_int(connack.properties, PropertyId.SERVER_KEEP_ALIVE),
        get_int(connack.properties, PropertyId.RECEIVE_MAXIMUM) or 65535,
    )


def resolve(host: str, port: int) -> tuple[str, int]:
    """The numeric address of a host, looked up once; raises BenchFailed when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BenchFailed(f"cannot resolve {host}: {error}") from error
    return str(found[0][4][0]), port


def source_of(number: int, total: int, host: str) -> str:
    """The local address for the `number`-th of `total` connections to `host`; empty: the kernel's choice.

    One address has about 28,000 ports for one destination. Below 127.0.0.0/8 every address is ours, so more
    connections than that are spread over 127.0.0.1, 127.0.0.2 and so on.
    """
    address = ip_address(host)
    if total <= ADDRESS_SPAN or address.version != 4 or not address.is_loopback:
        return ""
    high, low = divmod(number // ADDRESS_SPAN, 250)
    return f"127.0.{high}.{low + 1}"
