"""Messages as devices get them, and what became of them."""

from longline.model.ledger import Ledger
from longline.saver.port.inboxes import PendingPush
from tests.contract.store_fixture import StoreFixture


async def both(store: StoreFixture) -> list[tuple[str, PendingPush]]:
    """A unicast and a broadcast, as device "a" gets them, with their ids; "b" gets them, too."""
    await store.register("a", "b")
    ids = [await store.push("one", "a", "b"), await store.push("all")]
    pushes = (await store.page("a")).pushes
    return list(zip(ids, pushes, strict=True))


async def pending_for(store: StoreFixture, name: str, message_id: str) -> PendingPush:
    """A message as a device gets it: its position is the device's own."""
    return next(push for push in (await store.page(name)).pushes if push.message.id == message_id)


def outcome_of(ledger: Ledger) -> tuple[int, int, int, int, dict[str, int]]:
    return ledger.pending, ledger.acked, ledger.expired, ledger.collapsed, dict(ledger.dropped)
