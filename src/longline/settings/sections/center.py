"""Settings of the section `center`."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, KIB, MIB, about


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
    tls_cert: Annotated[
        Path | None,
        about(
            "PEM file with a certificate, followed by those that lead to one that clients trust: the port "
            "then speaks HTTPS and nothing else. It and the key are loaded anew when they change."
        ),
    ] = None
    tls_key: Annotated[
        Path | None, about("PEM file with the certificate's private key, without a password.")
    ] = None
    max_body: Annotated[
        int,
        about(
            "Largest request body; a longer one is answered 413. A batch of 1000 messages should fit.",
            unit="bytes",
            low=KIB,
            high=GIB,
        ),
    ] = 32 * MIB
    max_connections: Annotated[
        int,
        about(
            "HTTP connections at once, and never more than a quarter of the files that the process may have "
            "open. One beyond it takes the place of an idle one of the address that has most, or is closed.",
            unit="connections",
            low=8,
            high=1_000_000,
        ),
    ] = 4096
    bodies_bytes: Annotated[
        int,
        about(
            "What the bodies of all requests under way may add up to; never less than `max_body`. An app "
            "that has more than its share is answered 429, others 503 when nothing is left.",
            unit="bytes",
            low=MIB,
            high=64 * GIB,
            dynamic=True,
        ),
    ] = 256 * MIB
    max_requests: Annotated[
        int,
        about(
            "Requests worked on at once; one beyond it is answered 503 with Retry-After, and one of an app "
            "that has more than its share 429.",
            unit="requests",
            low=1,
            high=1_000_000,
            dynamic=True,
        ),
    ] = 1000
    event_streams: Annotated[
        int,
        about(
            "Streams of server-sent events that each app may have at one process; one more is answered 429.",
            unit="streams",
            low=1,
            high=10_000,
            dynamic=True,
        ),
    ] = 16
    named_keys: Annotated[
        int,
        about(
            "Named keys that each app may have, and as many that reach all apps; one more is answered 429.",
            unit="keys",
            low=1,
            high=10_000,
        ),
    ] = 100
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
    acl_rules: Annotated[
        int,
        about(
            "Rules that an app may have for plain topics; `PUT …/acl` with more is answered 422.",
            unit="rules",
            low=0,
            high=10_000,
        ),
    ] = 256
    acl_bytes: Annotated[
        int,
        about(
            "Length of their filters together: rooms remember the rules of all apps of their clients.",
            unit="bytes",
            low=0,
            high=MIB,
        ),
    ] = 16 * KIB
    online_grace: Annotated[
        float,
        about(
            "Time within which an online-only message must reach and be acknowledged by who is connected.",
            unit="s",
            low=1,
            high=600,
        ),
    ] = 30.0
    max_tags: Annotated[int, about("Tags of a device.", unit="tags", low=1, high=1000)] = 100
    max_aliases: Annotated[int, about("Aliases of a device.", unit="aliases", low=1, high=1000)] = 100
    max_attributes: Annotated[int, about("Attributes of a device.", unit="attributes", low=1, high=1000)] = 64
    max_attributes_bytes: Annotated[
        int, about("Attributes of a device, as JSON.", unit="bytes", low=64, high=64 * KIB)
    ] = 4096
    max_alias_devices: Annotated[
        int,
        about(
            "Devices that an alias may have for messages to it; to one that has more they are refused as "
            "`audience_too_large`.",
            unit="devices",
            low=1,
            high=5000,
        ),
    ] = 100
    max_audience_tests: Annotated[
        int,
        about(
            "What an audience may ask of a device: one for each tag, platform, word and name of an "
            "attribute, eight for a comparison with a number. Beyond it, it is refused as "
            "`audience_too_complex`.",
            unit="tests",
            low=1,
            high=4096,
        ),
    ] = 256
    max_audience_depth: Annotated[
        int,
        about(
            "How deep an audience may be nested, by `any`, `every` and `not`, and by what says as much: "
            "`tag_and`, `tag_not`, several fields in one object.",
            unit="levels",
            low=1,
            high=64,
        ),
    ] = 16
