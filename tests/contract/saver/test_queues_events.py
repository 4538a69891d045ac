"""What sessions send to their app servers with QoS 2: an event together with its packet identifier."""

import pytest

from longline.model.events import DEVICE, UPSTREAM, Event
from longline.saver.port.queues import Declined, Published, QueuePublication
from tests.contract.saver.kept import Kept, Session
from tests.contract.store_fixture import StoreFixture


@pytest.fixture
def kept(store: StoreFixture) -> Kept:
    return Kept(store)


def sent(kept: Kept, session: Session, packet_id: int, payload: str) -> QueuePublication:
    store = kept.store
    event = Event(store.app, UPSTREAM, session.device, store.now, b"{}", "", 0, payload=payload.encode())
    return QueuePublication(
        store.app,
        kept.publication("", qos=2),
        store.now,
        session.device,
        kept.received(session, packet_id),
        event=event,
    )


async def told(kept: Kept) -> list[str]:
    page = await kept.store.saver.events.read(kept.store.app, "", 1000)
    return [event.payload.decode() for _, event in page.events if event.kind != DEVICE]


async def test_it_is_an_event_and_in_nobodys_queue(kept: Kept) -> None:
    reader, sender = await kept.subscribed("reader", "#"), await kept.open("sender")
    item = sent(kept, sender, 7, "once")
    assert await kept.queues.publish([item]) == [Published(item.publication.id)]
    assert await told(kept) == ["once"]
    assert await kept.texts(reader) == []


async def test_a_packet_identifier_that_comes_again_makes_no_second_event(kept: Kept) -> None:
    sender = await kept.open("sender")
    first = sent(kept, sender, 7, "once")
    again = Published(first.publication.id, again=True)
    assert await kept.queues.publish([first, sent(kept, sender, 7, "once")]) == [
        Published(first.publication.id),
        again,
    ]
    await kept.close(sender)
    await kept.store.reopen()
    sender = await kept.open("sender", node="n2")
    assert sender.opened.received == (7,)
    assert await kept.queues.publish([sent(kept, sender, 7, "once")]) == [again]
    assert await told(kept) == ["once"]
    await kept.complete(sender, 7)
    await kept.queues.publish([sent(kept, sender, 7, "another")])
    assert await told(kept) == ["once", "another"]


async def test_they_are_events_in_their_order_beside_messages_for_queues(kept: Kept) -> None:
    reader, sender = await kept.subscribed("reader", "x"), await kept.open("sender")
    plain = QueuePublication(kept.store.app, kept.publication("x", "plain"), kept.store.now, "sender", None)
    items = [sent(kept, sender, n, str(n)) for n in range(1, 21)]
    await kept.queues.publish([*items[:10], plain, *items[10:]])
    assert await told(kept) == [str(n) for n in range(1, 21)]
    assert await kept.texts(reader) == ["plain"]


async def test_one_of_a_session_that_others_have_is_declined(kept: Kept) -> None:
    old = await kept.open("sender")
    await kept.open("sender", node="n2")
    assert await kept.queues.publish([sent(kept, old, 1, "late")]) == [Declined("fenced")]
    assert await told(kept) == []


async def test_one_of_an_app_that_is_deleted_is_declined(kept: Kept) -> None:
    sender = await kept.open("sender")
    await kept.store.saver.apps.delete(kept.store.app)
    (answer,) = await kept.queues.publish([sent(kept, sender, 1, "late")])
    assert isinstance(answer, Declined)
