"""A store with something of everything that an audit looks at."""

from uuid import UUID

import msgspec

from longline.model.audience import Devices, Everyone, InGroup
from longline.model.devices import Profile
from longline.model.events import Event
from longline.model.ledger import State
from longline.model.messages import Envelope, Said
from longline.model.webhooks import REFUSED, DeadEvent, Webhook
from longline.saver.port.queues import Step
from longline.saver.port.retained import Retain
from longline.saver.port.schedules import AddTimers, Timer, TimerKind
from longline.saver.port.shadows import Shadow, ShadowChange
from longline.saver.port.webhooks import WebhookChange
from tests.contract.saver.kept import Kept
from tests.contract.store_fixture import MINUTE, START, StoreFixture

PROFILE = Profile(
    aliases=("ann",),
    tags=("beta", "eu"),
    attributes={"age": 30, "plan": "pro"},
    timezone="Europe/Berlin",
    platform="ios",
)
LARGE = "x" * 2000  # so that its body does not lie in an inbox


async def fill(store: StoreFixture) -> None:
    """Devices with all that can wait for them, or is noted of them."""
    await store.register("a", "b", profile=PROFILE)
    await store.register("c", "d", "gone")
    await store.bind("b")
    await _send(store)
    assert await store.saver.devices.delete(store.app, "gone", store.now)
    await _tell(store)
    await _plan(store)
    await _subscribe(store)
    await _say(store)


async def _send(store: StoreFixture) -> None:
    await store.push("over", ttl=1000)
    await store.pass_time(2000)
    await store.push("one", "a")
    await store.push(LARGE, "a", "b", "c", "gone")
    await store.push(LARGE, "c")
    await store.push("high", "a", priority="high")
    await store.push("newest", "a", collapse="k")
    await store.push("here", "a", "b", online_only=True)
    await store.push("to all", collapse="all", priority="high")
    for push in (await store.page("c")).pushes:
        await store.settle("c", push, State.ACKED, sent_at=store.now)
    await store.push("for c", "c")
    labelled = Envelope(store.message("labelled"), Devices(("b",)), "summer")
    everyone = Envelope(store.message("again"), Everyone())
    await store.submit(
        store.submission(labelled, key="key", digest=b"d"), store.submission(everyone, key="all")
    )
    cancelled = await store.push("cancelled", "a", "b")
    assert await store.saver.messages.cancel(store.app, cancelled, store.now)


async def _tell(store: StoreFixture) -> None:
    def event(n: int, state: str) -> Event:
        data = msgspec.json.encode({"n": n})
        return Event(store.app, "presence" if state else "upstream", "a", store.now, data, "s1", n, state)

    await store.saver.events.append(
        [event(1, "online"), event(2, "moved"), *(event(n, "") for n in range(3, 9))]
    )


async def _plan(store: StoreFixture) -> None:
    def timer(n: int, kind: TimerKind, due: int) -> Timer:
        id = str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | n))
        return Timer(id=id, app=store.app, kind=kind, due=due, body=b"later")

    timers = timer(1, TimerKind.MESSAGE, START + MINUTE), timer(2, TimerKind.SCHEDULE, START + 2 * MINUTE)
    await store.saver.schedules.add([AddTimers(store.app, timers, store.now, None, b"", MINUTE)])
    shadow = Shadow(b'{"on":true}', b"{}", 1, 1)
    ordinal = await store.ordinal("a")
    await store.saver.shadows.change([ShadowChange(store.app, ordinal, 0, shadow)])


async def _subscribe(store: StoreFixture) -> None:
    kept = Kept(store)
    session = await kept.subscribed("d", "home/#", "rooms/+")
    for n in range(3):
        await kept.publish(f"home/{n}", LARGE if n else "x", qos=2)
    await kept.settle(session, 1, Step.RELEASED)
    other = await kept.subscribed("c", "home/#")
    await kept.publish("home/both", 3 * LARGE, ttl=MINUTE)
    assert await kept.close(other)
    ends, stays = kept.publication("home/ends", ttl=MINUTE), kept.publication("home/stays")
    await store.saver.retained.keep([Retain(store.app, each, store.now) for each in (ends, stays)])


async def _say(store: StoreFixture) -> None:
    ordinals = [await store.ordinal(name) for name in ("a", "b", "c")]
    await store.saver.groups.put(store.app, "team", store.now)
    await store.saver.groups.change(store.app, "team", ordinals, (), store.now)
    await store.saver.groups.change(store.app, "team", (), ordinals[:1], store.now)
    said = msgspec.structs.replace(store.message("in the group"), said=Said("team", 0, "b"))
    await store.submit(store.submission(Envelope(said, InGroup("team"))))
    webhook = Webhook(
        app=store.app,
        name="news",
        url="https://example.org/hook",
        secret="whsec_secret",
        former_secret=None,
        events=("upstream",),
        created_at=store.now,
        version=1,
    )
    assert await store.saver.webhooks.change(WebhookChange(webhook, 0))
    dead = tuple(
        DeadEvent(
            cursor=str(n),
            event=Event(store.app, "upstream", "a", store.now, b"{}", "", 0),
            reason=REFUSED,
            error="it answered 400",
            at=store.now,
        )
        for n in (1, 2)
    )
    later = msgspec.structs.replace(webhook, version=2)
    assert await store.saver.webhooks.change(WebhookChange(later, 1, dead))
    assert await store.saver.webhooks.replay(store.app, ["2"]) == 1
