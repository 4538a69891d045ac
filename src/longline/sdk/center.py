"""`Center`: what an app server does through the HTTP API, one method a call.

async with Center("http://127.0.0.1:8080", server_key) as center:
    accepted = await center.send("news", {"title": "Goal!"}, devices=["d1"], ttl=3600)
    status = await center.wait("news", accepted.message_id, within=30)
    print(status.ledger.acked)

Durations are timedeltas, or numbers of seconds; times are datetimes.
"""

import random as random_module
from asyncio import sleep
from types import TracebackType
from typing import Self

import httpx

from longline.sdk.backoff import Random
from longline.sdk.calls.agents import AgentCalls
from longline.sdk.calls.apps import AppCalls
from longline.sdk.calls.devices import DeviceCalls
from longline.sdk.calls.events import EventCalls
from longline.sdk.calls.figures import FigureCalls
from longline.sdk.calls.groups import GroupCalls
from longline.sdk.calls.http import Http, Sleep
from longline.sdk.calls.messages import MessageCalls
from longline.sdk.calls.nodes import NodeCalls
from longline.sdk.calls.profiles import ProfileCalls
from longline.sdk.times import Duration, seconds
from longline.sdk.trust import File, trust


class Center(
    AgentCalls,
    AppCalls,
    DeviceCalls,
    EventCalls,
    FigureCalls,
    GroupCalls,
    MessageCalls,
    NodeCalls,
    ProfileCalls,
):
    """A client of one Longline server's HTTP API; safe to share by all tasks of a loop.

    `key` is the admin key, an app's server key, which reaches only that app, or a named key, which may do
    what its scopes say; white space around it, such as the newline at the end of a file, is no part of it.
    `timeout` is for each try. Calls that can be repeated without harm are, up to `retries` times, with
    back-off, full jitter and a budget shared by all calls. At most `max_connections` requests are on the wire
    at once; further ones wait their turn. A server of https is verified by the authorities in the PEM file
    `ca` alone; without one, by the system's.

    Every method raises the class of `longline.errors` whose code the server answered: `NoTarget`,
    `Unauthorized`, `RateLimited` with `retry_after` in seconds, and so on; `Unavailable` when the server
    cannot be reached. ValueError for a URL that is none, for what cannot be a key, which is not repeated, and
    for a file that cannot be read.
    """

    # What a test puts in their place, in a subclass.
    _random: Random = random_module.random
    _sleep: Sleep = staticmethod(sleep)
    _transport: httpx.AsyncBaseTransport | None = None

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: Duration = 10.0,
        retries: int = 3,
        max_connections: int = 20,
        ca: File | None = None,
    ) -> None:
        self._http = Http(
            url,
            key,
            timeout=seconds(timeout),
            retries=retries,
            max_connections=max_connections,
            random=self._random,
            sleep=self._sleep,
            transport=self._transport,
            trusted=None if ca is None else trust(ca),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._http.close()
