"""A store that answers with errors: ports raise those of our own tree, which say whether to try again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from longline.bus.port import Bus
from longline.bus.redis import RedisBus
from longline.errors import LonglineError, Unavailable
from longline.keeper.port import Keeper
from longline.keeper.redis import RedisKeeper
from longline.model.audience import Devices, Everyone
from longline.model.commands import AppChanged
from longline.model.devices import Device, Profile
from longline.model.events import Event
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.model.pubsub import Filter, Publication, StoredWill
from longline.register.port import Bind, Rebind, Register, Transition, Unbind
from longline.register.redis import RedisRegister
from longline.saver.bundle import Saver
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive, Cursor, Fetch, Receipt
from longline.saver.port.messages import Submission
from longline.saver.port.queues import Complete, QueuePublication, Read, Received, Settle, Step
from longline.saver.port.retained import FindRetained, Retain
from longline.saver.port.sessions import (
    AddFilter,
    CloseSession,
    DueWill,
    KeepSession,
    OpenSession,
    RemoveFilter,
)
from longline.settings import StoreSettings
from longline.store.redis import Store
from longline.telemetry.faults import Faults
from tests.contract.store_fixture import START, an_app
from tests.unit.store.scripted import ScriptedServer, Words
from tests.waiting import until

# An error reply, and whether what was asked may work later without any change.
REFUSALS = {
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n": False,
    b"-ERR user_script:12: data string too short script: 0f3\r\n": False,
    b"-NOPERM User default has no permissions to run the 'evalsha' command\r\n": True,
    b"-NOAUTH Authentication required.\r\n": True,
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n": True,
    b"-MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.\r\n": True,
    b"-CLUSTERDOWN The cluster is down\r\n": True,
}
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
MESSAGE = Message(
    id=ID, app="news", payload=b"x", content_type="a/b", created_at=START, expires_at=START + 1000
)

A_DEVICE = Device(app="news", device="a", ordinal=0, profile=Profile(), created_at=START)


def a_submission(*names: str, key: str | None = None) -> Submission:
    return Submission(1, (Envelope(MESSAGE, Devices(names) if names else Everyone()),), START, key)


def a_publication(topic: str) -> Publication:
    return Publication(ID, topic, b"x", 1, True)


async def known(saver: Saver) -> Saver:
    """With an app that it has heard of, so that what is asked of its devices is asked of the store."""
    assert isinstance(saver, RedisSaver)
    saver.apps._names.put(1, "news")
    return saver


OF_SAVER: dict[str, Callable[[Saver], Awaitable[object]]] = {
    "apps.create": lambda saver: saver.apps.create(an_app("news")),
    "apps.find": lambda saver: saver.apps.find("news"),
    "apps.list": lambda saver: saver.apps.list("", 10),
    "apps.update": lambda saver: saver.apps.update(an_app("news"), an_app("news")),
    "apps.delete": lambda saver: saver.apps.delete(1),
    "devices.put": lambda saver: saver.devices.put(1, [Registration("a", Profile())], START),
    "devices.update": lambda saver: saver.devices.update(1, A_DEVICE, Profile()),
    "devices.find": lambda saver: saver.devices.find(1, ["a", "b", "c"]),
    "devices.list": lambda saver: saver.devices.list(1, tag=None, alias=None, after=-1, limit=10),
    "devices.count": lambda saver: saver.devices.count(1),
    "devices.delete": lambda saver: saver.devices.delete(1, "a", START),
    "devices.ban": lambda saver: saver.devices.ban(1, "a", START),
    "messages.enqueue one": lambda saver: saver.messages.enqueue([a_submission("a")]),
    "messages.enqueue several": lambda saver: saver.messages.enqueue(
        [a_submission("a"), a_submission("b", "c"), a_submission(), a_submission("a", key="k")]
    ),
    "messages.cancel": lambda saver: saver.messages.cancel(1, ID, START),
    "inboxes.arrive": lambda saver: saver.inboxes.arrive([Arrive(1, name, START) for name in "abc"]),
    "inboxes.fetch": lambda saver: saver.inboxes.fetch([Fetch(1, n, 0, 0, 10, START) for n in range(3)]),
    "inboxes.count": lambda saver: saver.inboxes.count(1, range(3), START),
    "inboxes.settle": lambda saver: saver.inboxes.settle(
        [Receipt(1, n, 5, False, State.ACKED, START) for n in range(3)]
    ),
    "inboxes.advance": lambda saver: saver.inboxes.advance([Cursor(1, n, 5) for n in range(3)]),
    "ledgers.status": lambda saver: saver.ledgers.status(1, ID),
    "ledgers.deliveries": lambda saver: saver.ledgers.deliveries(1, ID, -1, 10),
    "routing.assign": lambda saver: saver.routing.assign(1, ID, ["n"]),
    "routing.finish": lambda saver: saver.routing.finish(1, ID, "n", START),
    "routing.unfinished": lambda saver: saver.routing.unfinished("n", 10),
    "routing.unrouted": lambda saver: saver.routing.unrouted(START, 10),
    "routing.complete": lambda saver: saver.routing.complete(START, 10),
    "events.append": lambda saver: saver.events.append([Event(1, "presence", "a", START, b"{}", "s", 1)]),
    "events.read": lambda saver: saver.events.read(1, "", 10),
    "retained.keep one": lambda saver: saver.retained.keep([Retain(1, a_publication("a"), START)]),
    "retained.keep several": lambda saver: saver.retained.keep(
        [Retain(1, a_publication(topic), START) for topic in "abc"]
    ),
    "retained.find": lambda saver: saver.retained.find(
        [FindRetained(1, filter, START) for filter in ("a", "+", "#")]
    ),
    "retained.count": lambda saver: saver.retained.count(1),
    "sessions.open": lambda saver: saver.sessions.open(
        [OpenSession(1, name, n, "n", 5, START, False, 60) for n, name in enumerate("abc")]
    ),
    "sessions.keep": lambda saver: saver.sessions.keep([KeepSession(1, n, 5, 5, 6, "n") for n in range(3)]),
    "sessions.close": lambda saver: saver.sessions.close(
        [CloseSession(1, n, 5, START, True) for n in range(3)]
    ),
    "sessions.abandon": lambda saver: saver.sessions.abandon("n", START, 0, 10),
    "sessions.subscribe": lambda saver: saver.sessions.subscribe(
        [AddFilter(1, "a", n, 5, 5, Filter("#", 1)) for n in range(3)]
    ),
    "sessions.unsubscribe": lambda saver: saver.sessions.unsubscribe(
        [RemoveFilter(1, n, 5, 5, "#") for n in range(3)]
    ),
    "sessions.wanted": lambda saver: saver.sessions.wanted([1, 2, 3]),
    "sessions.sweep": lambda saver: saver.sessions.sweep(START, 10),
    "sessions.due_wills": lambda saver: saver.sessions.due_wills(START, 10, 1000),
    "sessions.published": lambda saver: saver.sessions.published(
        [DueWill(1, "a", n, ID, StoredWill("a", b"", 1)) for n in range(3)]
    ),
    "queues.publish": lambda saver: saver.queues.publish(
        [
            QueuePublication(1, a_publication(topic), START, received=received)
            for topic in "abc"
            for received in (None, Received(0, 5, 5, 1))
        ]
    ),
    "queues.read": lambda saver: saver.queues.read([Read(1, n, 5, 0, 10, START) for n in range(3)]),
    "queues.settle": lambda saver: saver.queues.settle([Settle(1, n, 5, 1, Step.SETTLED) for n in range(3)]),
    "queues.untold": lambda saver: saver.queues.untold(START, 10),
    "queues.complete": lambda saver: saver.queues.complete([Complete(1, n, 5, 1) for n in range(3)]),
    "expiry.next_due": lambda saver: saver.expiry.next_due(),
    "expiry.end": lambda saver: saver.expiry.end(START, 10),
}
OF_REGISTER: dict[str, Callable[[Register], Awaitable[object]]] = {
    "bind": lambda register: register.bind([Bind(1, name, "n", START) for name in "abc"]),
    "rebind": lambda register: register.rebind([Rebind(1, name, "n", 5, START) for name in "abc"]),
    "unbind": lambda register: register.unbind([Unbind(1, name, 5, START) for name in "abc"]),
    "locate": lambda register: register.locate(1, ["a", "b"]),
    "count": lambda register: register.count(1),
    "end_lingering": lambda register: register.end_lingering(START, 10),
    "declare_dead": lambda register: register.declare_dead("n"),
    "release": lambda register: register.release("n", START, 0, 10),
    "transitions": lambda register: register.transitions(10),
    "forget": lambda register: register.forget([Transition(1, "a", "online", 1, "n", START, "p1", 5)]),
}
OF_BUS: dict[str, Callable[[Bus], Awaitable[object]]] = {
    "send": lambda bus: bus.send("n", [AppChanged(1, "news")]),
    "open": lambda bus: bus.open("n"),
    "shut": lambda bus: bus.shut("n"),
    "nodes": lambda bus: bus.nodes(),
}


@asynccontextmanager
async def a_store(answer: Callable[[Words], bytes | None]) -> AsyncIterator[Store]:
    async with ScriptedServer(answer) as server:

        async def opened() -> Store | None:
            with suppress(Unavailable):  # on a busy machine it is a short time
                return await Store.open(StoreSettings(url=server.url, timeout=0.2))
            return None

        store = await until(opened)
        assert store is not None
        yield store
        await store.close()


async def refused(work: Awaitable[object], retryable: bool) -> None:
    with pytest.raises(LonglineError) as caught:
        await work
    assert caught.value.retryable is retryable
    assert "script" not in caught.value.message, "what is for our logs is not for others"


@pytest.fixture(params=REFUSALS, ids=lambda reply: reply.split()[0].decode()[1:])
def reply(request: pytest.FixtureRequest) -> bytes:
    assert isinstance(request.param, bytes)
    return request.param


async def test_every_method_of_a_saver_says_in_our_words_what_the_store_refused(reply: bytes) -> None:
    async with a_store(lambda words: reply) as store:
        saver = await known(await RedisSaver.open(store))
        await asyncio.gather(*(refused(ask(saver), REFUSALS[reply]) for ask in OF_SAVER.values()))


async def test_every_method_of_a_register_says_in_our_words_what_the_store_refused(reply: bytes) -> None:
    async with a_store(lambda words: reply) as store:
        register = RedisRegister(store, give_up=0.2)
        await asyncio.gather(*(refused(ask(register), REFUSALS[reply]) for ask in OF_REGISTER.values()))
        await register.close()


async def test_every_method_of_a_bus_says_in_our_words_what_the_store_refused(reply: bytes) -> None:
    async with a_store(lambda words: reply) as store:
        bus = RedisBus(store, limit=10, limit_bytes=1000, patience=0.1)
        for ask in OF_BUS.values():
            await refused(ask(bus), REFUSALS[reply])
        await bus.close()


async def test_a_receiver_waits_for_a_store_that_refuses_and_knows_what_it_may_have_missed(
    reply: bytes,
) -> None:
    """A room whose queue cannot be read for a while goes on when it can."""
    asked: list[Words] = []
    went_on = asyncio.Event()

    def answer(words: Words) -> bytes | None:
        asked.append(words)
        if len(asked) == 5:
            went_on.set()
        return b"*3\r\n:1\r\n:1\r\n:1\r\n" if len(asked) == 1 else b":1\r\n" if len(asked) == 2 else reply

    async with a_store(answer) as store:
        bus = RedisBus(store, limit=10, limit_bytes=1000, patience=0.1)
        await bus.open("n")
        receiving = asyncio.create_task(bus.receive("n"))
        await went_on.wait()
        assert not receiving.done()
        await bus.close()
        with pytest.raises(LonglineError):
            await receiving


async def test_a_keeper_says_in_our_words_what_the_store_refused(reply: bytes) -> None:
    async def ask(store: Store) -> Keeper:
        return await RedisKeeper.open(store, session_timeout=1.0, faults=Faults())

    async with a_store(lambda words: reply) as store:
        with pytest.raises(LonglineError):
            await ask(store)
