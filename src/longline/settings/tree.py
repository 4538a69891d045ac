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


def about(
    doc: str, *, unit: str = "", low: float | None = None, high: float | None = None, dynamic: bool = False
) -> Meta:
    """What a setting means and may be: doc, unit, inclusive bounds, and whether it can change at run time."""
    return Meta(description=doc, ge=low, le=high, extra={"unit": unit, "dynamic": dynamic})


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """This process: its name, its event loop, its log."""

    region: Annotated[str, about("Where this node is, such as a data centre; clients are sent near.")] = ""
    networks: Annotated[
        tuple[str, ...], about("Networks, such as carriers, that this node is well connected to.")
    ] = ()
    weight: Annotated[
        float, about("Share of clients that this node gets, beside others'.", low=0, high=1000, dynamic=True)
    ] = 1.0
    pool: Annotated[
        str,
        about(
            "Pool that this room belongs to; clients of apps on the white list are sent to theirs. Empty: "
            "the common one."
        ),
    ] = ""
    name: Annotated[
        str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$", description="Name of this node; the host's unless set.")
    ] = field(default_factory=lambda: re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "node")
    loop: Annotated[
        Literal["auto", "uvloop", "asyncio"], about("Event loop. `auto` is uvloop where it is installed.")
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("The least severe events to log.", dynamic=True)
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
    status_host: Annotated[str, about("Address that `status_port` binds to.")] = "127.0.0.1"
    status_port: Annotated[
        int,
        about(
            "Probes and figures of this process (`/healthz`, `/readyz`, `/metrics`), also of one whose HTTP "
            "API shares its port with others. 0 is off.",
            low=0,
            high=65535,
        ),
    ] = 0
    drain_grace: Annotated[
        float,
        about(
            "How long a stopping room of a cluster takes to move its clients to other rooms, before it "
            "closes the rest.",
            unit="s",
            low=0,
            high=86_400,
        ),
    ] = 30.0
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
    reuse_port: Annotated[
        bool,
        about(
            "Share the ports with other processes of this host that ask for it too (`SO_REUSEPORT`): the "
            "kernel spreads new connections over them."
        ),
    ] = False
    advertise: Annotated[
        str | None,
        about(
            "Host name or address under which clients reach this room's listeners; the dispatcher tells it "
            "to them. Unset: `host`."
        ),
    ] = None
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
            dynamic=True,
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
            dynamic=True,
        ),
    ] = 0.0
    connect_rate_per_address: Annotated[
        float,
        about(
            "New connections accepted from one address. 0 is without limit.",
            unit="connections/s",
            low=0,
            high=10_000_000,
            dynamic=True,
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

    linger: Annotated[
        float,
        about(
            "How long a device whose connection broke still counts as there, so that one that comes right "
            "back has not been away. 0: it is away at once, as after a DISCONNECT.",
            unit="s",
            low=0,
            high=3600,
            dynamic=True,
        ),
    ] = 10.0

    # Delivery to one device
    inflight_window: Annotated[
        int,
        about(
            "Pushes sent to one device and not yet acknowledged; the rest wait in its inbox. An MQTT 5 "
            "client's Receive Maximum can lower it.",
            unit="messages",
            low=1,
            high=65535,
            dynamic=True,
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
            "How long receipts are gathered before they are committed together.",
            unit="ms",
            low=0,
            high=1000,
            dynamic=True,
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
            dynamic=True,
        ),
    ] = 500


class CenterSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP API for app servers and operators."""

    host: Annotated[str, about("Address the HTTP API binds to.")] = "127.0.0.1"
    port: Annotated[int, about("HTTP API and dispatcher. 0 is off.", low=0, high=65535)] = 8080
    reuse_port: Annotated[
        bool,
        about(
            "Share the port with other processes of this host that ask for it too (`SO_REUSEPORT`).",
        ),
    ] = False
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
            dynamic=True,
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

    event_limit: Annotated[
        int,
        about(
            "Events for its app server that are kept for each app (`GET …/upstream`); beyond it the oldest "
            "go.",
            unit="events",
            low=1000,
            high=100_000_000,
        ),
    ] = 100_000


class StoreSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Redis or Valkey, where a cluster keeps sessions, messages, ledgers and queues."""

    url: Annotated[
        str,
        about(
            "`redis://HOST:PORT`, `rediss://HOST:PORT` (TLS) or `unix:///PATH`. Several, separated by "
            "commas, are first contacts of a Cluster, which is recognised by itself."
        ),
    ] = "redis://127.0.0.1:6379"
    username: Annotated[str | None, about("User name of an ACL user.")] = None
    password: Annotated[Secret | None, about("Password of the user, or of the server.")] = None
    partitions: Annotated[
        int,
        about(
            "Into how many parts devices are divided; they spread over the masters of a Cluster. Fixed when "
            "the store is first used.",
            unit="partitions",
            low=1,
            high=1024,
        ),
    ] = 64
    timeout: Annotated[
        float,
        about(
            "How long a call may take, repetitions after a broken connection or a failover included, before "
            "it fails as unavailable.",
            unit="s",
            low=0.1,
            high=120,
        ),
    ] = 5.0
    queue: Annotated[
        int,
        about(
            "Calls that may wait for one server of the store; beyond it requests are refused as overloaded.",
            unit="calls",
            low=16,
            high=10_000_000,
        ),
    ] = 50_000
    queue_bytes: Annotated[
        int,
        about("What these calls may add up to.", unit="bytes", low=MIB, high=64 * GIB),
    ] = 256 * MIB
    wait_replicas: Annotated[
        int,
        about(
            "Replicas that must have a message before it is answered 202 (`WAIT`). 0: the master alone.",
            unit="replicas",
            low=0,
            high=16,
        ),
    ] = 0
    wait_fsync: Annotated[
        bool,
        about(
            "Whether a message must be on the disk of its master before it is answered 202 (`WAITAOF`, Redis "
            "7.2 or Valkey). Unneeded with `appendfsync always`."
        ),
    ] = False
    wait_timeout: Annotated[
        float,
        about(
            "How long to wait for them; beyond it the request is answered 503, though the message may be "
            "stored.",
            unit="s",
            low=0.01,
            high=60,
        ),
    ] = 1.0


class KeeperSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Membership, leadership and settings that change at run time."""

    engine: Annotated[
        Literal["zookeeper", "redis"],
        about(
            "Who keeps them: a ZooKeeper ensemble, or the store itself, which is enough for the processes of "
            "one host."
        ),
    ] = "zookeeper"
    hosts: Annotated[str, about("The ZooKeeper ensemble: `HOST:PORT`, several separated by commas.")] = (
        "127.0.0.1:2181"
    )
    root: Annotated[
        str,
        Meta(pattern="^(/[A-Za-z0-9._-]+)+$", description="The ZooKeeper node below which everything is."),
    ] = "/longline"
    session_timeout: Annotated[
        float,
        about(
            "How long a node may be out of touch before the others take it for dead.",
            unit="s",
            low=1,
            high=300,
        ),
    ] = 10.0
    report_interval: Annotated[
        float,
        about("How often a node tells the others its load.", unit="s", low=0.1, high=60),
    ] = 2.0


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
    patience: Annotated[
        float,
        about(
            "In a cluster, how long senders wait for a node whose queue is full before its oldest commands "
            "are dropped; the node is told, and reads its devices' inboxes again.",
            unit="s",
            low=0,
            high=60,
        ),
    ] = 1.0


class DispatcherSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who tells clients where to connect."""

    endpoints: Annotated[
        int, about("Rooms named in one answer, best first.", unit="rooms", low=1, high=64, dynamic=True)
    ] = 3
    expires_in: Annotated[
        int, about("How long a client may go by an answer.", unit="s", low=1, high=86_400, dynamic=True)
    ] = 300
    pools: Annotated[
        tuple[str, ...],
        about(
            "White list for gray release, as `APP=POOL`: clients of these apps are sent to the rooms of that "
            "pool, clients of all others to the common one.",
            dynamic=True,
        ),
    ] = ()
    reconnect_rate: Annotated[
        float,
        about(
            "New connections that one room takes in good order; when many clients ask at once, they are told "
            "to spread their attempts over as long as this needs.",
            unit="connections/s",
            low=1,
            high=1_000_000,
            dynamic=True,
        ),
    ] = 1000.0
    heartbeat: Annotated[
        int, about("Keep alive recommended to clients.", unit="s", low=5, high=65535, dynamic=True)
    ] = 240


class CoordinatorSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Work that one process does for all: what is over, who is dead, what was left undone."""

    grace: Annotated[
        float,
        about(
            "How long the devices of a node that died count as there, so that those that come back elsewhere "
            "have not been away.",
            unit="s",
            low=0,
            high=3600,
            dynamic=True,
        ),
    ] = 15.0
    unrouted_after: Annotated[
        float,
        about(
            "Age at which a message that nobody has said to be written to its connected device is routed "
            "again.",
            unit="s",
            low=0.5,
            high=3600,
            dynamic=True,
        ),
    ] = 5.0


class AgentSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which processes an agent keeps running on its host."""

    processes: Annotated[
        tuple[str, ...],
        about(
            "`ROLES=COUNT`, roles joined by `+`: `room=4`, `center+dispatcher=2`, `coordinator=1`. Processes "
            "of a kind share their ports (`room.reuse_port`, `center.reuse_port`)."
        ),
    ] = ("room=1", "center+dispatcher=1", "coordinator=1")
    status_ports: Annotated[
        int,
        about(
            "First of the ports that the processes get, one each, for probes and figures "
            "(`node.status_port`). 0: none.",
            low=0,
            high=65000,
        ),
    ] = 0


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
    store: StoreSettings = StoreSettings()
    keeper: KeeperSettings = KeeperSettings()
    bus: BusSettings = BusSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    coordinator: CoordinatorSettings = CoordinatorSettings()
    agent: AgentSettings = AgentSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def database(self) -> Path:
        """Where the saver's file is: `saver.path` below `data_dir`, unless it is absolute."""
        return self.data_dir / self.saver.path
