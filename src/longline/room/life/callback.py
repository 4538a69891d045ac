"""Asks an HTTP service whether to let a client in: `room.auth_url`.

Each question is a POST with a JSON object; docs/mqtt.md has its fields and what may be answered. An answer is
remembered for a while, for exactly the same question, and questions that are alike and come together are
asked once. Calls at once are bounded, each has a deadline, and after some that failed nobody calls for a
while: then, and whenever there is no answer, a setting says what becomes of the client.

A question holds the client's password. It is kept nowhere: what is remembered goes by a digest, and neither
the log nor an error says anything of a question or of what was answered.
"""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import httpx
import msgspec
import structlog

from longline.errors import LonglineError, Overloaded, Unavailable
from longline.flow.breaker import Breaker
from longline.flow.clients import Clients
from longline.flow.lru import LruCache
from longline.flow.outbound import CallFailed, bounded
from longline.flow.trust import Trust
from longline.mqtt.reasons import ReasonCode
from longline.room.life.authority_counters import AuthorityCounters
from longline.settings import AuthoritySettings

ANSWER: Final = 16_384  # bytes
FIRST_PAUSE: Final = 1.0  # s
LONGEST_PAUSE: Final = 30.0

log = structlog.get_logger("longline.room")


class Decision(NamedTuple):
    """`by_token`: the client's token decides. `device`: who it is, "" for who it says that it is."""

    allowed: bool
    by_token: bool = False
    device: str = ""


class ConnectQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a CONNECT. `password` where it is text, else `password_base64`."""

    app: str
    device: str
    username: str | None
    address: str | None
    transport: str
    protocol: str
    password: str | None = None
    password_base64: bytes | None = None
    certificate: bool = False

    def __repr__(self) -> str:  # the password must not reach a log by way of a repr
        return f"ConnectQuestion({self.app!r}, {self.device!r})"


class ConnectAnswer(msgspec.Struct, frozen=True):
    """What may be answered. What else is in it is not looked at."""

    result: Literal["allow", "deny", "token"]
    device: str = ""


class ConnectDenied(LonglineError):
    """The service that decides who may connect does not want this client."""

    code = "connect_denied"
    status = 403
    reason = ReasonCode.NOT_AUTHORIZED


class AuthorityAway(Unavailable):
    """The service that decides who may connect does not answer."""

    code = "authority_away"


_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(ConnectAnswer)


class ConnectCallback:
    """One for a room that has an `auth_url`. `clock` gives seconds, rising."""

    def __init__(
        self,
        url: str,
        settings: AuthoritySettings,
        counters: AuthorityCounters,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._settings = settings
        self._counters = counters
        self._transport = transport
        self._clock = clock
        self._answers: LruCache[bytes, tuple[Decision, float]] = LruCache(settings.answers)
        self._breaker = Breaker(settings.failures, FIRST_PAUSE, LONGEST_PAUSE, clock)
        self._places = asyncio.Semaphore(settings.concurrency)
        # By the digest of its question. Bounded by who waits: `authority.waiting`.
        self._under_way: dict[bytes, asyncio.Task[Decision]] = {}
        self._trust = Trust()
        self._clients = Clients(self._made)

    def remembered(self, question: ConnectQuestion) -> Decision | None:
        """What was answered to the same question a short while ago."""
        found = self._answers.get(_digest(_encode(question)))
        if found is None or self._clock() >= found[1]:
            return None
        self._counters.calls.add("remembered")
        return found[0]

    async def ask(self, question: ConnectQuestion) -> Decision:
        """The answer. Raises `AuthorityAway` or `Overloaded` where there is none, and none is made up."""
        body = _encode(question)
        key = _digest(body)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._ask(key, body), name="room.callback")
            task.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Nobody wants to know any more."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._clients.close()

    def _over(self, key: bytes, task: asyncio.Task[Decision]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, also when nobody is left who would raise it

    async def _ask(self, key: bytes, body: bytes) -> Decision:
        context = await self._trust.context()
        begun = self._clock()
        asked = False
        try:
            async with asyncio.timeout(self._settings.timeout), self._places:
                if not self._breaker.ask():
                    return self._away("left_alone")
                asked = True
                decision = await self._call(body, context)
        except (TimeoutError, CallFailed, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if not asked:  # every place was taken, by others who wait no less
                self._counters.calls.add("no_place")
                raise Overloaded("too many CONNECTs wait for the service that decides on them") from None
            if self._breaker.failed():
                self._counters.breaker_opened += 1
            log.warning("callback_failed", reason=_in_words(error))
            return self._away("failed")
        except asyncio.CancelledError:
            if asked:
                self._breaker.unknown()
            raise
        self._breaker.answered()
        self._counters.call_seconds.observe(self._clock() - begun)
        self._counters.calls.add("allowed" if decision.allowed else "denied")
        lasts = self._settings.allowed_for if decision.allowed else self._settings.denied_for
        if lasts:
            self._answers.put(key, (decision, self._clock() + lasts))
        return decision

    def _away(self, how: str) -> Decision:
        self._counters.calls.add(how)
        if self._settings.when_away == "token":
            return Decision(True, by_token=True)
        raise AuthorityAway

    async def _call(self, body: bytes, context: ssl.SSLContext) -> Decision:
        async with (
            self._clients.client(context) as client,
            client.stream("POST", self._url, content=body) as response,
        ):
            status = response.status_code
            if status == httpx.codes.NO_CONTENT:
                return Decision(True)
            if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                return Decision(False)
            if status != httpx.codes.OK:
                raise CallFailed(f"it answered {status}")
            text = await bounded(response, ANSWER)
        if not text:
            return Decision(True)
        try:
            answer = _answer.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise CallFailed("it answered something else than docs/mqtt.md says") from None
        return Decision(answer.result != "deny", answer.result == "token", answer.device)

    def _made(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        settings = self._settings
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers["Accept-Encoding"] = "identity"
        if settings.key is not None:
            headers["Authorization"] = f"Bearer {settings.key.reveal()}"
        places = settings.concurrency
        return httpx.AsyncClient(
            verify=context,
            headers=headers,
            trust_env=False,
            transport=self._transport,
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=places, max_keepalive_connections=places),
        )


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=32).digest()


def _in_words(error: Exception) -> str:
    """What an error says of itself, unless it may have the address in it, or a part of what was answered."""
    return error.message if isinstance(error, CallFailed) else type(error).__name__
