# Made by tools/blocking.py of longline/sdk/calls/http.py: change that one, and run it.
"""One request of the HTTP API: a pooled connection, typed answer or typed error, and retries with a budget.

Only a request that may be repeated without harm is repeated (`safe=True`): one that reads, one that
replaces, or one that carries an Idempotency-Key. Anything else is tried once, because after a broken
connection nobody can say whether the server has done it.
"""

import random as random_module
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from time import sleep as sleep_a_while
from typing import Protocol, TypeVar

import httpx
import msgspec

from longline import errors
from longline.model.devices import JsonObject
from longline.sdk.backoff import Backoff, Random, RetryBudget
from longline.sdk.http import (
    Answer,
    checked_key,
    checked_url,
    decoded,
    error_in,
    is_loopback,
    reason_of,
    trusted_by,
)

Sleep = Callable[[float], None]

LONGEST_WAIT = 30.0  # seconds: a server that asks for more is reported to the caller instead


class _ListPage(Protocol):
    """A part of a list, and from where it goes on: None at its end."""

    next_cursor: str | None


AnyPage = TypeVar("AnyPage", bound=_ListPage)


class SyncHttp:
    """A bounded pool of connections to one server; `timeout` in seconds is for each try.

    `trusted` verifies a server of https; None: by the system's authorities.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float,
        retries: int,
        max_connections: int,
        random: Random = random_module.random,
        sleep: Sleep = sleep_a_while,
        transport: httpx.BaseTransport | None = None,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self._retries = retries
        self.random = random
        self.sleep = sleep
        self._budget = RetryBudget()
        self._encode = msgspec.json.Encoder().encode
        self._client = httpx.Client(
            base_url=checked_url(url),
            headers={"Authorization": f"Bearer {checked_key(key)}", "Accept": "application/json"},
            timeout=timeout,
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            # A proxy set in the environment is for the world outside, never for this host.
            trust_env=not is_loopback(url),
            transport=transport,
            verify=trusted_by(url, trusted),
        )

    def close(self) -> None:
        self._client.close()

    def pages(
        self, path: str, page: type[AnyPage], params: Mapping[str, str | int] | None = None
    ) -> Iterator[AnyPage]:
        """A list, page by page to its end; raises as `call` does."""
        asked = dict(params or {})
        while True:
            found = self.call("GET", path, page, params=asked, safe=True)
            yield found
            if found.next_cursor is None:
                return
            asked["cursor"] = found.next_cursor

    def call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: object = msgspec.UNSET,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool,
        within: float | None = None,
        until: float | None = None,
    ) -> Answer:
        """Makes the request and decodes its answer.

        Raises the class of `longline.errors` that the server named, or `Unavailable` when it could not
        be reached or did not answer in time: within so many seconds, where that is not what all calls have.
        Nothing is tried again when it is not `until` any more, by the monotonic clock.
        """
        response = self._response(
            method, path, body=body, params=params, headers=headers, safe=safe, within=within, until=until
        )
        return decoded(response, answer)

    def keyed(self, path: str, answer: type[Answer], body: JsonObject, key: str | None) -> Answer:
        """A POST with an Idempotency-Key, its own unless one is given: so it may be repeated."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.call("POST", path, answer, body=body, headers=headers, safe=True)

    def text(self, path: str) -> str:
        """What is no JSON."""
        return (self._response("GET", path, headers={"Accept": "text/plain"}, safe=True)).text

    def file(self, path: str, params: Mapping[str, str | int]) -> bytes:
        """What is to be kept as it is."""
        headers = {"Accept": "*/*"}
        return (self._response("GET", path, params=params, headers=headers, safe=True)).content

    def _response(
        self,
        method: str,
        path: str,
        *,
        body: object = msgspec.UNSET,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool,
        within: float | None = None,
        until: float | None = None,
    ) -> httpx.Response:
        content = None if body is msgspec.UNSET else self._encode(body)
        sent_headers = dict(headers or {})
        if content is not None:
            sent_headers["Content-Type"] = "application/json"
        timeout = self._client.timeout if within is None else httpx.Timeout(within)
        request = self._client.build_request(
            method, path, content=content, params=params, headers=sent_headers, timeout=timeout
        )
        backoff = Backoff(base=0.1, cap=5.0, random=self.random)
        while True:
            try:
                response = self._once(request)
            except errors.LonglineError as error:
                asked = error.retry_after or 0.0
                again = safe and error.retryable and backoff.attempt < self._retries and asked <= LONGEST_WAIT
                late = until is not None and monotonic() >= until
                if not again or late or not self._budget.take():
                    raise
                # The server's word is the least wait; jitter on top keeps a crowd from obeying in step.
                self.sleep(asked + backoff.next())
            else:
                self._budget.succeeded()
                return response

    def _once(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._client.send(request)
        except httpx.TimeoutException as error:
            raise errors.Unavailable(f"{request.url} did not answer in time") from error
        except httpx.RequestError as error:
            raise errors.Unavailable(f"{request.url} cannot be reached: {reason_of(error)}") from error
        if response.is_success:
            return response
        raise error_in(response, response.content)
