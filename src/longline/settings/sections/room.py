"""Settings of the section `room`."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, KIB, MIB, about


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
    ws_origins: Annotated[
        tuple[str, ...],
        about(
            "Origins whose pages may connect by WebSocket, as browsers name them: `https://app.example.org`. "
            "Empty: any, for a page needs a token like everybody else; name them when `anonymous_app` is "
            "set. Clients that are no browsers tell no origin and are not asked for one."
        ),
    ] = ()
    ws_head_size: Annotated[
        int,
        about(
            "Largest request for a WebSocket, its cookies included. A larger one is answered with 431.",
            unit="bytes",
            low=512,
            high=MIB,
        ),
    ] = 8 * KIB
    ws_frame_size: Annotated[
        int,
        about(
            "Largest WebSocket frame; a larger one ends the connection with 1009. One may hold many packets, "
            "and none of it is held: what bounds memory is `max_packet_size`.",
            unit="bytes",
            low=KIB,
            high=GIB,
        ),
    ] = 16 * MIB
    proxy_from: Annotated[
        tuple[str, ...],
        about(
            "Networks (CIDR) of the proxies in front of the MQTT listeners. Whoever connects from there has "
            "to begin with a header of the PROXY protocol, version 1 or 2, and the address in it is the "
            "client's from then on: for lists, counts, rates and the log. Nobody else's header is believed."
        ),
    ] = ()
    tls_cert: Annotated[
        Path | None,
        about(
            "PEM file with the certificate, followed by those that lead to one that clients trust. It and "
            "the next two are loaded anew when they change."
        ),
    ] = None
    tls_key: Annotated[
        Path | None, about("PEM file with the certificate's private key, without a password.")
    ] = None
    tls_client_ca: Annotated[
        Path | None,
        about(
            "PEM file with the authorities that sign clients' certificates. A client may show one then, "
            "which stands in for the token where its app says so (`client_certificates`)."
        ),
    ] = None
    tls_handshakes: Annotated[
        int,
        about(
            "TLS handshakes at once. One more takes the place of the oldest whose client keeps us waiting, "
            "or is closed where there is none.",
            unit="connections",
            low=1,
            high=1_000_000,
        ),
    ] = 1000
    tls_handshake_timeout: Annotated[
        float,
        about(
            "Time for a TLS handshake, from the connection's first moment; a part of `connect_timeout`.",
            unit="s",
            low=0.1,
            high=300,
        ),
    ] = 10.0
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
            "to them. Unset: `host`; where that is every address (`0.0.0.0`, `::`), the one from which this "
            "host speaks to others, and the log warns that it is a guess."
        ),
    ] = None
    accept_backlog: Annotated[
        int,
        about(
            "Connections the kernel holds until they are accepted; it is capped by `net.core.somaxconn`. "
            "While the node is slow to accept them, it has the kernel hold fewer: those that it accepts "
            "within a second, and no less than 128.",
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
            "publish/subscribe on. They are devices of their own, `anonymous-{client identifier}`. Unset: "
            "nobody gets in without a token."
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
            "Connections from one address, or one /64 of IPv6; many devices share the address of a carrier's "
            "NAT. 0 is without limit.",
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
            "New connections accepted from one address, or one /64 of IPv6. 0 is without limit.",
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
    connect_patience: Annotated[
        float,
        about(
            "How long a client is taken to wait for the answer to its CONNECT. When some have waited for "
            "half of it, the newest are served first; who has waited for all of it is refused as busy.",
            unit="s",
            low=0.1,
            high=300,
        ),
    ] = 5.0
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
        int,
        about(
            "Topic aliases a client may define, for topics of 64 KiB together. 0 is none.",
            unit="aliases",
            low=0,
            high=65535,
        ),
    ] = 16
    max_subscriptions: Annotated[
        int, about("Topic filters of one session.", unit="filters", low=0, high=100_000)
    ] = 100
    max_filter_bytes: Annotated[
        int,
        about("Length of the topic filters of one session, together.", unit="bytes", low=1, high=GIB),
    ] = 64 * KIB
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
    session_queue_bytes: Annotated[
        int,
        about(
            "Bytes of the messages that wait for one slow subscriber as `session_queue` says; one that would "
            "be more is dropped and counted, unless it is the only one.",
            unit="bytes",
            low=4 * KIB,
            high=GIB,
        ),
    ] = MIB
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
            "Devices that a broadcast writes to at most before it lets the loop serve others, so that it "
            "does not hold up heartbeats; fewer while turns of the loop take long.",
            unit="devices",
            low=1,
            high=1_000_000,
            dynamic=True,
        ),
    ] = 500
