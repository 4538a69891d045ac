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
            "publish/subscribe on. They are clients of their own, `anonymous-{client identifier}`, and none "
            "may have a registered device's identifier. Unset: nobody gets in without a token."
        ),
    ] = None
    anonymous_devices: Annotated[
        bool,
        about(
            "Register the clients of `anonymous_app` as devices when they come, so that pushes reach them. "
            "Off: they only publish and subscribe, and leave nothing behind."
        ),
    ] = False
    auth_url: Annotated[
        str | None,
        about(
            "Decides every CONNECT: it is asked by POST who may come in (see the section `authority`, and "
            "docs/mqtt.md for what it is told and may answer). Unset: tokens and certificates decide."
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
    listener_share: Annotated[
        int,
        about(
            "Of `max_connections`, those that each listener that is open has for itself, and at most a "
            "hundredth: however many connect to one port, some can connect to the others.",
            unit="connections",
            low=0,
            high=1_000_000,
        ),
    ] = 100
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
    max_connections_per_app: Annotated[
        int,
        about(
            "Connections of one app at this node; one beyond it is refused (return code 3, reason 0x97). "
            "0 is without limit: most nodes serve few apps, all of one owner.",
            unit="connections",
            low=0,
            high=50_000_000,
            dynamic=True,
        ),
    ] = 0
    connect_packet_rate: Annotated[
        float,
        about(
            "CONNECTs looked at; one beyond it is refused (return code 3, reason 0x9F). 0 is as many as can "
            "be, the newest first: `connect_queue` and `connect_patience` bound them by what this node does "
            "get done.",
            unit="CONNECTs/s",
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
        about(
            "Largest CONNECT, but for the payload of a will; before it a peer is a stranger.",
            unit="bytes",
            low=256,
            high=MIB,
        ),
    ] = 8 * KIB
    will_packet_size: Annotated[
        int,
        about(
            "Largest CONNECT with a will, whose payload may have 64 KiB. It is no more than "
            "`max_packet_size` in any case, and no less than `connect_packet_size`.",
            unit="bytes",
            low=256,
            high=MIB,
        ),
    ] = 72 * KIB
    will_packets_bytes: Annotated[
        int,
        about(
            "What CONNECTs over `connect_packet_size` may take up together, until their clients are let in "
            "or refused. One more takes the place of the oldest that has not arrived whole; where there is "
            "none, its client is refused as busy.",
            unit="bytes",
            low=0,
            high=GIB,
        ),
    ] = 16 * MIB
    flapping_connects: Annotated[
        int,
        about(
            "How often one client may come within `flapping_window`; one that comes more often is refused as "
            "banned (return code 5, reason 0x8A) for `flapping_ban`, here. 0 bans nobody: two clients "
            "with one name, which take over from each other all the time, are a mistake more often than an "
            "attack, and a ban would be for both.",
            unit="connections",
            low=0,
            high=1_000_000,
            dynamic=True,
        ),
    ] = 0
    flapping_window: Annotated[
        float,
        about(
            "The time in which it is counted how often one client comes.",
            unit="s",
            low=1,
            high=3600,
            dynamic=True,
        ),
    ] = 60.0
    flapping_ban: Annotated[
        float,
        about("How long a client that came too often is banned.", unit="s", low=1, high=86_400, dynamic=True),
    ] = 300.0

    max_attachments: Annotated[
        int,
        about(
            "Apps that may share one connection besides its own (`$link/attach`); one beyond it is refused "
            "(0x97). 0: none may.",
            unit="apps",
            low=0,
            high=1000,
        ),
    ] = 8
    attach_rate: Annotated[
        float,
        about(
            "How often one connection may ask for another app; more is refused for now (0x89). 0 is without "
            "limit: `connect_rate`, `connect_rate_per_address`, `connect_packet_rate` and "
            "`flapping_connects` count it, too, as a connection that comes.",
            unit="requests/s",
            low=0,
            high=10_000,
        ),
    ] = 20.0

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
    max_share_groups: Annotated[
        int,
        about(
            "Groups of shared subscriptions (`$share/{name}/{filter}`) of one app that have members on this "
            "node; SUBACK refuses one more (0x97).",
            unit="groups",
            low=0,
            high=1_000_000,
        ),
    ] = 10_000
    max_share_members: Annotated[
        int,
        about(
            "Members of one group of a shared subscription on this node; SUBACK refuses one more (0x97).",
            unit="sessions",
            low=1,
            high=100_000,
        ),
    ] = 1000
    max_share_matches: Annotated[
        int,
        about(
            "Groups of shared subscriptions that one publication may be for; one for more goes to nobody and "
            "is refused (0x97).",
            unit="groups",
            low=1,
            high=1_000_000,
        ),
    ] = 1000
    max_share_name: Annotated[
        int,
        about("Longest share name; SUBACK refuses a longer one (0x97).", unit="bytes", low=1, high=65535),
    ] = 128
    max_topic_levels: Annotated[
        int, about("Levels in a topic or a topic filter.", unit="levels", low=1, high=128)
    ] = 16
    publish_rate: Annotated[
        float,
        about(
            "Publications taken from one client. One that has sent more in a second is not read from until "
            "the next. 0 is without limit: who publishes much waits for its turn among the others as it is.",
            unit="messages/s",
            low=0,
            high=10_000_000,
        ),
    ] = 0.0

    # The topics of one app
    max_index_levels: Annotated[
        int,
        about(
            "Levels that the topic filters of one app's clients have together at this node, those in common "
            "counted once; each takes about half a kilobyte. A filter that may need more is refused (0x97).",
            unit="levels",
            low=1,
            high=100_000_000,
        ),
    ] = 1_000_000
    match_limit: Annotated[
        int,
        about(
            "What it may cost to find the subscribers of one publication: levels of filters looked at, and "
            "matching filters of one client from its fifth on. One that needs more is refused (0x97) and "
            "reaches nobody. A topic usually costs a few; `+` beside a name at each level doubles it each "
            "time.",
            unit="looks",
            low=100,
            high=1_000_000,
        ),
    ] = 10_000

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
            high=32_767,
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
    outbox_timeout: Annotated[
        float,
        about(
            "How long more than `outbox_bytes` may wait for a client that does not take it; it is closed "
            "then (0x97). Until then it is not read from, and loses QoS 0.",
            unit="s",
            low=1,
            high=86_400,
        ),
    ] = 120.0
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
    upstream_queue: Annotated[
        int,
        about(
            "Messages and receipts from devices for their app servers that may wait for the store; beyond it "
            "who sends them with QoS 1 or 2 is not read from, and those with QoS 0 are dropped.",
            unit="messages",
            low=100,
            high=1_000_000,
        ),
    ] = 20_000
    upstream_queue_bytes: Annotated[
        int,
        about(
            "What they may add up to, with 400 for each; beyond it likewise.", unit="bytes", low=MIB, high=GIB
        ),
    ] = 32 * MIB
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
