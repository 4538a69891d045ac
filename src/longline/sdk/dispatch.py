"""Asks dispatchers where to connect: `GET /v1/dispatch`, described in docs/api.md.

Loaded only by devices that are given dispatchers: others need no HTTP client.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Annotated, Final

import httpx
import msgspec

from longline import errors
from longline.sdk.backoff import Random
from longline.sdk.http import checked_url, error_in, is_loopback, trusted_by
from longline.sdk.unforeseen import unforeseen

PATH: Final = "/v1/dispatch"
PATIENCE: Final = 3.0  # seconds for one dispatcher to answer
LONGEST: Final = 64 * 1024  # bytes of an answer

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Place(msgspec.Struct, frozen=True):
    """A room's address, for clients that come by `transport`; `weight`: what the room could stand then."""

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    transport: str = "tcp"
    weight: float = 1.0


class Heartbeat(msgspec.Struct, frozen=True):
    """`keep_alive` recommended for CONNECT, in seconds; 0: none is."""

    keep_alive: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0


class Hints(msgspec.Struct, frozen=True):
    """When to connect, in milliseconds: `after_ms` from now; the bounds of the waits after failures."""

    after_ms: _Count = 0
    initial_ms: _Count = 0
    max_ms: _Count = 0


class Dispatch(msgspec.Struct, frozen=True):
    """Where to connect, best first, for the next `expires_in` seconds. Unknown fields are passed over."""

    endpoints: Annotated[list[Place], msgspec.Meta(min_length=1)]
    expires_in: _Count = 0
    heartbeat: Heartbeat = Heartbeat()
    backoff: Hints = Hints()


class Dispatchers:
    """Base URLs of dispatchers, each of which may carry a query: `?region=north&network=red`.

    Which of them is asked first is drawn, so that a crowd does not begin with the same one; later it is the
    one that answered last. `transport` is what they are asked for. `trusted` verifies those of https; None:
    by the system's authorities. ValueError for what is no URL of HTTP.
    """

    def __init__(
        self,
        urls: Sequence[str],
        app: str,
        device: str,
        *,
        transport: str,
        trusted: ssl.SSLContext | None,
        random: Random,
    ) -> None:
        self._trusted = trusted
        first = int(random() * len(urls))
        asked = {"app": app, "device": device, "transport": transport}
        self._urls = [_look_up_url(url, asked) for url in (*urls[first:], *urls[:first])]

    async def look_up(self) -> Dispatch:
        """The first answer; every dispatcher is asked once, one after the other.

        Raises `Unavailable` when none gives one, with the last one's `retry_after`.
        """
        problem: errors.LonglineError | None = None
        for _ in self._urls:
            try:
                return await _ask(self._urls[0], self._trusted)
            except errors.LonglineError as error:
                problem = error
            except Exception as error:  # what came as an answer has found a mistake in whatever reads it
                problem = unforeseen(error, str(self._urls[0]))
            self._urls.append(self._urls.pop(0))
        assert problem is not None
        raise errors.Unavailable(f"no dispatcher answers: {problem.message}", retry_after=problem.retry_after)


def _look_up_url(base: str, asked: dict[str, str]) -> httpx.URL:
    url = checked_url(base)
    return url.copy_with(path=url.path.rstrip("/") + PATH).copy_merge_params(asked)


async def _ask(url: httpx.URL, trusted: ssl.SSLContext | None) -> Dispatch:
    """One try at one dispatcher; raises what it refused with, or `Unavailable`."""
    try:
        # A connection of its own: the next look-up is minutes away, if all goes well.
        verify = trusted_by(str(url), trusted)
        async with asyncio.timeout(PATIENCE):
            async with (
                httpx.AsyncClient(
                    timeout=PATIENCE, trust_env=not is_loopback(str(url)), verify=verify
                ) as client,
                client.stream("GET", url, headers={"Accept": "application/json"}) as response,
            ):
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > LONGEST:
                        raise errors.Unavailable(f"{url} answers without end")
        if response.status_code != httpx.codes.OK:
            raise error_in(response, body)
        return msgspec.json.decode(body, type=Dispatch)
    except TimeoutError:
        raise errors.Unavailable(f"{url} did not answer in time") from None
    except (httpx.HTTPError, OSError) as error:  # OSError: certificates that cannot be read
        raise errors.Unavailable(f"{url} cannot be asked: {error}") from None
    except msgspec.MsgspecError as error:
        raise errors.Unavailable(f"the answer of {url} is none: {error}") from None
