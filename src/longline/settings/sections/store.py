"""Settings of the section `store`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, MIB, about
from longline.settings.secret import Secret


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
    event_lanes: Annotated[
        int,
        about(
            "Into how many lanes the events of each app are divided, by devices; they spread over the "
            "masters of a Cluster. Fixed when the store is first used: 0 stands for what it was then, and at "
            "first for 8 in a Cluster, else for 1. Never more than partitions.",
            unit="lanes",
            low=0,
            high=64,
        ),
    ] = 0
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
