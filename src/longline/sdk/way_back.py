"""Where a device connects next, and when: what dispatchers and rooms say, what it has learnt of its networks,
and what became of its connections.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from longline import errors
from longline.model.addresses import joined
from longline.sdk.backoff import Backoff
from longline.sdk.clock import Clock
from longline.sdk.endpoints import Endpoint, Endpoints
from longline.sdk.mqtt_client import Ended, MqttClient
from longline.sdk.refusals import Verdict
from longline.sdk.state import DeviceMemory, FoundEndpoints
from longline.sdk.tokens import Tokens
from longline.sdk.unforeseen import let_end, unforeseen

if TYPE_CHECKING:
    from longline.sdk.dispatch import Dispatch, Dispatchers

PROBED: Final = 3  # endpoints that are tried at the same time
STABLE_AFTER: Final = 10.0  # seconds a connection must live before the next failure counts as the first
# Seconds in which a room that was paused or cut off may still carry out a CONNECT that we gave up.
HAUNTED: Final = 60.0
LONGEST_AFTER: Final = 3600.0  # seconds that anybody may keep a device waiting
LONGEST_KNOWN: Final = (
    3600.0  # seconds that what was remembered is gone by, whatever the clock on the wall says
)
CACHED: Final = 8  # endpoints of a network that are remembered

_log = logging.getLogger("longline.sdk")

Converse = Callable[[str, Sequence[Endpoint]], Awaitable[Ended]]


class WayBack:
    """See above. `recommended`: whether the keep alive is the one that a dispatcher recommends."""

    __slots__ = (
        "_backoff",
        "_client",
        "_clock",
        "_dispatchers",
        "_endpoints",
        "_known_until",
        "_memory",
        "_moved",
        "_network",
        "_on_network",
        "_recommended",
        "_tokens",
        "_unanswered",
    )

    def __init__(
        self,
        endpoints: Endpoints,
        dispatchers: "Dispatchers | None",
        tokens: Tokens,
        backoff: Backoff,
        client: MqttClient,
        memory: DeviceMemory,
        clock: Clock,
        *,
        network: str | Callable[[], str],
        recommended: bool,
    ) -> None:
        self._endpoints = endpoints
        self._dispatchers = dispatchers
        self._tokens = tokens
        self._backoff = backoff
        self._client = client
        self._memory = memory
        self._clock = clock
        self._network = network
        self._on_network: str | None = None
        self._recommended = recommended
        self._known_until = float("-inf")  # by the clock: until when to go by what a dispatcher said
        self._moved = False  # sent elsewhere by the server, and no connection has lasted since
        self._unanswered = float("-inf")  # when the last CONNECT was sent of which nothing was heard

    async def go(self, converse: Converse) -> errors.LonglineError | None:
        """One connection, from where to connect to the wait after it; why it was the last, where it was.

        What nobody has foreseen is a failure that passes: what has gone wrong once may go well the next time,
        and a device that ends by itself is away for good.
        """
        try:
            await self._find()
            return await self._connect_once(converse)
        except (Exception, asyncio.CancelledError) as error:
            let_end(error)
            self._failed(unforeseen(error, self._client.identity.device))
        await self._clock.sleep(self._backoff.next())
        return None

    async def _find(self) -> None:
        """Asks the dispatchers where to connect, if there are any and it is time to."""
        dispatchers, now = self._dispatchers, self._clock.now()
        self._look_where_we_are(now)
        if dispatchers is None or self._endpoints.sent:
            return
        if now < self._known_until and not self._endpoints.used_up:
            return
        answer: Dispatch | None = None
        while answer is None:
            try:
                answer = await dispatchers.look_up()
            except errors.Unavailable as error:
                _log.info("%s: %s", self._client.identity.device, error)
                self._client.statistics.last_error = error
                if self._endpoints.known:
                    return
                self._failed(error)
                asked = min(error.retry_after or 0.0, LONGEST_AFTER)
                await self._clock.sleep(max(self._backoff.next(), asked))
        self._known_until = now + answer.expires_in
        listed = [(place.host, place.port) for place in answer.endpoints]
        self._endpoints.feed(listed)
        found = FoundEndpoints(tuple(listed[:CACHED]), time.time() + answer.expires_in)
        self._memory.learn_endpoints(self._on_network or "", found)
        hints = answer.backoff
        if 0 < hints.initial_ms <= hints.max_ms:
            least, most = (min(hint / 1000, LONGEST_AFTER) for hint in (hints.initial_ms, hints.max_ms))
            self._backoff.bound(least, most)
        if self._recommended and answer.heartbeat.keep_alive:
            self._client.identity = replace(self._client.identity, keep_alive=answer.heartbeat.keep_alive)
        await self._clock.sleep(min(hints.after_ms / 1000, LONGEST_AFTER))

    def _look_where_we_are(self, now: float) -> None:
        """On another network, goes by what was learnt there."""
        network = self._named()
        if network == self._on_network:
            return
        former, self._on_network = self._on_network, network
        self._client.heartbeat.interval = self._memory.idle.get(network)
        found = self._memory.found.get(network)
        if self._dispatchers is None or self._endpoints.sent:
            return
        if found is not None and found.endpoints:
            self._endpoints.feed(found.endpoints)
            # That clock may have been set back since: a device without a battery wakes up in 1970.
            self._known_until = now + min(found.until - time.time(), LONGEST_KNOWN)
        elif former is not None:
            self._known_until = float("-inf")

    def _named(self) -> str:
        """The network's name. Where the application's function has none, it is the one that it was."""
        name: object = self._network
        if callable(self._network):
            try:
                name = self._network()
                if not isinstance(name, str):
                    raise TypeError(f"`network` gave {type(name).__name__}, not a text")
            except Exception as error:
                unforeseen(error, "the name of the network")
                return self._on_network or ""
        # What a radio calls a network need not be text, and is to be written into a file.
        return str(name).encode("utf-8", "replace").decode("utf-8")

    async def _connect_once(self, converse: Converse) -> errors.LonglineError | None:
        """One connection from its token to its end, and the wait after it; why it was the last, if it was."""
        began = self._clock.now()
        connects = self._client.statistics.connects
        interval = self._client.heartbeat.interval
        unanswered = self._unanswered
        token: str | None = None
        try:
            token = await self._tokens.current()
            ended = await self._connection(converse, token)
        except errors.LonglineError as error:  # from the token's source: whatever it is, it may pass
            ended = Ended(error, Verdict.RETRY)
        heartbeat = self._client.heartbeat
        if heartbeat.interval not in (None, interval):
            self._memory.learn_idle(self._on_network or "", heartbeat.interval or 0.0)
        self._client.statistics.last_error = ended.error
        _log.info("%s is not connected: %s", self._client.identity.device, ended.error)
        # A server that lets us in and throws us out at once is not a success: only a connection that lasted
        # makes the next wait short again.
        let_in = self._client.statistics.connects > connects
        if let_in:
            self._unanswered = unanswered
            self._endpoints.worked()
            self._tokens.taken()
        if let_in and self._clock.now() - began >= STABLE_AFTER:
            self._backoff.reset()
            self._moved = False
        if ended.verdict is Verdict.MOVE:
            await self._move(ended)
            return None
        self._failed(ended.error)
        if ended.verdict is Verdict.STOP and not self._was_us(ended.error):
            return ended.error
        if ended.verdict is Verdict.REFRESH:
            if not self._tokens.refused():
                return ended.error
            if not let_in:  # else it is thrown out together with others, such as all devices of its app
                return None
        if token is not None and not let_in:
            self._endpoints.failed()
        asked = min(ended.error.retry_after or 0.0, LONGEST_AFTER)  # by whoever was to give a token
        await self._clock.sleep(max(self._backoff.next(), asked))
        return None

    async def _connection(self, converse: Converse, token: str) -> Ended:
        """One connection, to whichever of the next endpoints answers first; why it ended, or never began."""
        places = self._endpoints.first(PROBED)
        try:
            return await converse(token, places)
        except TimeoutError:
            return Ended(errors.Unavailable("the server did not let us in in time"), Verdict.RETRY)
        except OSError as error:
            for _ in places[1:]:  # none of them can be reached
                self._endpoints.failed()
            tried = ", ".join(joined(host, port) for host, port in places)
            return Ended(errors.Unavailable(f"{tried}: {error}"), Verdict.RETRY)
        except (Exception, asyncio.CancelledError) as error:
            let_end(error)
            return Ended(unforeseen(error, self._client.identity.device), Verdict.RETRY)

    def _failed(self, error: errors.LonglineError) -> None:
        self._client.statistics.failures += 1
        self._client.statistics.last_error = error

    def asked(self) -> None:
        """A CONNECT is sent, of which nothing is heard yet."""
        self._unanswered = self._clock.now()

    def _was_us(self, error: errors.LonglineError) -> bool:
        """Whether who took over may be a CONNECT of ours that we had given up. Each excuses one takeover."""
        if not isinstance(error, errors.TakenOver) or self._clock.now() - self._unanswered > HAUNTED:
            return False
        self._unanswered = float("-inf")
        return True

    async def _move(self, ended: Ended) -> None:
        """Goes where the server wants this device, at the time it wants it there."""
        self._client.statistics.moves += 1
        self._endpoints.send_to(ended.endpoints)
        if not ended.endpoints:
            self._known_until = float("-inf")  # it came from there; where to, a dispatcher knows
        wait = ended.after
        if self._moved:  # servers that send it to and fro are not worth a hurry
            wait = max(wait, self._backoff.next())
        self._moved = True
        await self._clock.sleep(wait)
