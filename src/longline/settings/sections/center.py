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
