"""The tree itself: every setting of Longline with its type, default, unit, bounds and meaning.

This file is the manual. `docs/settings.md`, the names of the environment variables, the flags and the
checks all derive from it, so a setting is added, changed or removed here and nowhere else. A setting without
a reader does not belong here.

Units: seconds are floats, sizes are bytes, rates are a second. Where 0 has a meaning of its own (off, or
without limit), the text says so.
"""

import re
import socket
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

_VISIBLE_ASCII = re.compile(r"[!-~]{1,512}")


class Secret:
    """A setting's value that is never shown: `repr` and `str` hide it, only `reveal` gives it.

    One to 512 visible ASCII characters, because it travels in an HTTP header (RFC 9110, section 5.5).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not _VISIBLE_ASCII.fullmatch(value):
            raise ValueError("expected 1 to 512 visible ASCII characters")
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def about(doc: str, *, unit: str = "", low: float | None = None, high: float | None = None) -> Meta:
    """What a setting means and may be: its doc, its unit, and inclusive bounds."""
    return Meta(description=doc, ge=low, le=high, extra={"unit": unit})


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """This process: its name, its event loop, its log."""

    name: Annotated[
        str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$", description="Name of this node; the host's unless set.")
    ] = field(default_factory=lambda: re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "node")
    loop: Annotated[
        Literal["auto", "uvloop", "asyncio"], about("Event loop. `auto` is uvloop where it is installed.")
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("The least severe events to log.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], about("`auto` is console on a terminal and JSON lines elsewhere.")
    ] = "auto"
    gc_freeze: Annotated[
        bool,
        about(
            "Move what exists after start-up out of the garbage collector's sight, and let the collector's "
            "oldest generation run rarely. Idle connections make no cycles, so its scans over them are "
            "pauses without gain."
        ),
    ] = True
    shutdown_grace: Annotated[
        float,
        about("How long a stopping node waits for requests and writes under way.", unit="s", low=0, high=600),
    ] = 10.0


class RoomSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway that devices connect to: listeners, admission, and the bounds of one connection."""

    # Listeners
    host: Annotated[str, about("Address that all MQTT listeners bind to.")] = "127.0.0.1"
    port: Annotated[int, about("MQTT over TCP. 0 is off.", low=0, high=65535)] = 1883
    tls_port: Annotated[
        int,
        about("MQTT over TLS, opened when `tls_cert` and `tls_key` are set. 0 is off.", low=0, high=65535),
    ] = 8883
    ws_port: Annotated[int, about("MQTT over WebSocket at `/mqtt`. 0 is off.", low=0, high=65535)] = 8083
    wss_port: Annotated[
        int,
        about(
            "MQTT over secure WebSocket at `/mqtt`, opened when `tls_cert` and `tls_key` are set. 0 is off.",
            low=0,
            high=65535,
        ),
    ] = 8084
    tls_cert: Annotated[Path | None, about("PEM file with the certificate chain.")] = None
    tls_key: Annotated[Path | None, about("PEM file with the certificate's private key.")] = None
    accept_backlog: Annotated[
        int,
        about(
            "Connections the kernel holds until they are accepted; it is capped by `net.core.somaxconn`.",
            unit="connections",
            low=1,
            high=65535,
        ),
    ] = 4096

    # Admission: decided before any work is done for a peer
    anonymous_app: Annotated[
        str | None,
        about(
            "Lets clients without credentials into this app, which is created when missing, with plain "
            "publish/subscribe on. Unset: nobody gets in without a token."
        ),
    ] = None
    allow: Annotated[
        tuple[str, ...],
        about("Networks (CIDR) that may connect. Empty: everyone. `deny` is looked at first."),
    ] = ()
    deny: Annotated[tuple[str, ...], about("Networks (CIDR) that may not connect.")] = ()
    max_connections: Annotated[
        int,
        about(
            "Connections of this node; beyond it a new one is closed at once.",
            unit="connections",
            low=1,
            high=50_000_000,
        ),
    ] = 1_000_000
    max_connections_per_address: Annotated[
        int,
        about(
            "Connections from one address; many devices share the address of a carrier's NAT. 0 is without "
            "limit.",
            unit="connections",
            low=0,
            high=50_000_000,
        ),
    ] = 0
    connect_rate: Annotated[
        float,
        about(
            "New connections accepted; those beyond it are closed at once. 0 is without limit.",
            unit="connections/s",
            low=0,
            high=10_000_000,
        ),
    ] = 0.0
    connect_rate_per_address: Annotated[
        float,
        about(
            "New connections accepted from one address. 0 is without limit.",
            unit="connections/s",
            low=0,
            high=10_000_000,
        ),
    ] = 0.0
    connect_queue: Annotated[
        int,
        about(
            "CONNECTs whose token or binding is still being looked up; one beyond it is refused as busy "
            "(return code 3, reason 0x89).",
            unit="connections",
            low=1,
            high=1_000_000,
        ),
    ] = 20_000
    connect_timeout: Annotated[
        float,
        about(
            "Time for a whole CONNECT to arrive; a connection without one is closed.",
            unit="s",
            low=0.1,
            high=300,
        ),
    ] = 10.0
    connect_packet_size: Annotated[
        int,
        about("Largest CONNECT; before it a peer is a stranger.", unit="bytes", low=256, high=MIB),
    ] = 8 * KIB

    # One connection, in the standard's words
    max_keep_alive: Annotated[
        int,
        about(
            "Longest keep alive granted. An MQTT 5 client that asks for more is told this (Server Keep "
            "Alive); an MQTT 3.1.1 client is held to this.",
            unit="s",
            low=1,
            high=65535,
        ),
    ] = 3600
    default_keep_alive: Annotated[
        int,
        about(
            "What a client gets that asks for no keep alive (0). 0 grants it: such a connection is only "
            "found dead when something is sent to it.",
            unit="s",
            low=0,
            high=65535,
        ),
    ] = 3600
    receive_maximum: Annotated[
        int,
        about(
            "QoS 1 and 2 publications that one client may have unacknowledged towards us [MQTT5 3.2.2.3.3].",
            unit="messages",
            low=1,
            high=65535,
        ),
    ] = 64
    max_packet_size: Annotated[
        int,
        about(
            "Largest packet taken from a client that is connected; holds a payload of 256 KiB with its "
            "topic.",
            unit="bytes",
            low=KIB,
            high=268_435_460,  # the largest that the wire can express: four length bytes
        ),
    ] = 300 * KIB
    topic_alias_maximum: Annotated[
        int, about("Topic aliases a client may define. 0 is none.", unit="aliases", low=0, high=65535)
    ] = 0
    max_subscriptions: Annotated[
        int, about("Topic filters of one session.", unit="filters", low=0, high=100_000)
    ] = 100
    max_topic_levels: Annotated[
        int, about("Levels in a topic or a topic filter.", unit="levels", low=1, high=128)
    ] = 16

    # Delivery to one device
    inflight_window: Annotated[
        int,
        about(
            "Pushes sent to one device and not yet acknowledged; the rest wait in its inbox. An MQTT 5 "
            "client's Receive Maximum can lower it.",
            unit="messages",
            low=1,
            high=65535,
        ),
    ] = 16
    outbox_bytes: Annotated[
        int,
        about(
            "Bytes that may wait to be written to one device. Beyond it QoS 0 is dropped and counted, and "
            "QoS 1 waits.",
            unit="bytes",
            low=4 * KIB,
            high=GIB,
        ),
    ] = 64 * KIB
    session_queue: Annotated[
        int,
        about(
            "QoS 1 messages of plain publish/subscribe that wait for one slow subscriber; one beyond it is "
            "dropped and counted.",
            unit="messages",
            low=0,
            high=1_000_000,
        ),
    ] = 1000
    ack_delay: Annotated[
        float,
        about(
            "How long receipts are gathered before they are committed together.", unit="ms", low=0, high=1000
        ),
    ] = 5.0
    fanout_slice: Annotated[
        int,
        about(
            "Subscribers that one fan-out writes to before it lets the loop serve others, so that a "
            "broadcast does not hold up heartbeats.",
            unit="subscribers",
            low=1,
            high=1_000_000,
        ),
    ] = 500


class CenterSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP API for app servers and operators."""

    host: Annotated[str, about("Address the HTTP API binds to.")] = "127.0.0.1"
    port: Annotated[int, about("HTTP API. 0 is off.", low=0, high=65535)] = 8080
    max_body: Annotated[
        int,
        about(
            "Largest request body; a longer one is answered 413. A batch of 1000 messages should fit.",
            unit="bytes",
            low=KIB,
            high=GIB,
        ),
    ] = 32 * MIB
    max_requests: Annotated[
        int,
        about(
            "Requests worked on at once; one beyond it is answered 503 with Retry-After.",
            unit="requests",
            low=1,
            high=1_000_000,
        ),
    ] = 1000
    idempotency_ttl: Annotated[
        int,
        about(
            "How long the answer to an Idempotency-Key is kept and replayed.",
            unit="s",
            low=60,
            high=2_419_200,
        ),
    ] = 86_400
    default_ttl: Annotated[
        int, about("TTL of a message that states none.", unit="s", low=0, high=2_419_200)
    ] = 86_400
    online_grace: Annotated[
        float,
        about(
            "Time within which an online-only message must reach and be acknowledged by who is connected.",
            unit="s",
            low=1,
            high=600,
        ),
    ] = 30.0


class SaverSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The store of messages, inboxes, receipts and ledgers."""

    path: Annotated[Path, about("Database file, relative to `data_dir`.")] = Path("longline.db")
    queue: Annotated[
        int,
        about(
            "Messages, receipts and devices that may wait to be written, and as many to be read; beyond it "
            "requests are refused as overloaded.",
            unit="items",
            low=1,
            high=10_000_000,
        ),
    ] = 100_000
    queue_bytes: Annotated[
        int,
        about("What the payloads among them may add up to.", unit="bytes", low=MIB, high=64 * GIB),
    ] = 256 * MIB
    cache_bytes: Annotated[
        int,
        about(
            "Memory for what is read often: database pages (half of it), the sets of open broadcasts (a "
            "quarter), and their messages.",
            unit="bytes",
            low=MIB,
            high=64 * GIB,
        ),
    ] = 64 * MIB
    ledger_retention: Annotated[
        int,
        about(
            "How long a message's status and ledger can be asked for after its TTL ran out.",
            unit="s",
            low=60,
            high=31_536_000,
        ),
    ] = 604_800


class BusSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The queues of commands between the parts."""

    queue: Annotated[
        int,
        about(
            "Commands that may wait for one node; beyond it their senders wait.",
            unit="commands",
            low=1,
            high=100_000_000,
        ),
    ] = 100_000
    queue_bytes: Annotated[
        int,
        about("What the payloads among them may add up to.", unit="bytes", low=MIB, high=64 * GIB),
    ] = 256 * MIB


class TelemetrySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the node measures about itself."""

    loop_lag_interval: Annotated[
        float, about("How often the event loop's lag is sampled.", unit="s", low=0.01, high=60)
    ] = 0.25
    log_peers: Annotated[
        int,
        about(
            "Bad input is logged once per kind and peer. This many such pairs are remembered; beyond it "
            "peers are counted but not logged.",
            unit="pairs",
            low=16,
            high=10_000_000,
        ),
    ] = 10_000
    log_repeat: Annotated[
        float,
        about(
            "When the pairs of `log_peers` are forgotten, so that each may be logged once more.",
            unit="s",
            low=1,
            high=31_536_000,
        ),
    ] = 86_400.0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a node. Frozen: a change makes a new tree."""

    admin_key: Annotated[
        Secret | None,
        about(
            "The admin key of the HTTP API, 1 to 512 visible ASCII characters. Unset: the first start makes "
            "one and writes it to a file in `data_dir`."
        ),
    ] = None
    data_dir: Annotated[Path, about("Folder for everything the node keeps; made when missing.")] = Path(
        "longline-data"
    )
    node: NodeSettings = NodeSettings()
    room: RoomSettings = RoomSettings()
    center: CenterSettings = CenterSettings()
    saver: SaverSettings = SaverSettings()
    bus: BusSettings = BusSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def database(self) -> Path:
        """Where the saver's file is: `saver.path` below `data_dir`, unless it is absolute."""
        return self.data_dir / self.saver.path
