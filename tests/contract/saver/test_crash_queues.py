"""What was published is in queues after `kill -9`: with QoS 1 at least once, with QoS 2 once."""

import random
from collections import defaultdict
from pathlib import Path

from longline.saver.port.queues import Complete, Published, QueuePublication, Received
from tests.contract.engines import SAVERS, SaverEngine
from tests.contract.saver.kept import Kept, Session
from tests.contract.saver.queue_crasher import IDENTIFIERS, READERS, SENDERS, a_publication, open_all
from tests.contract.saver.test_crash import run_and_kill
from tests.contract.store_fixture import START, StoreFixture

ROUNDS = 5
CRASHER = "tests.contract.saver.queue_crasher"


async def test_what_was_published_is_in_the_queues_after_a_kill(
    saver_engine: SaverEngine, tmp_path: Path
) -> None:
    name = next(key for key, engine in SAVERS.items() if engine is saver_engine)
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    with saver_engine.place(tmp_path) as place:
        store = StoreFixture(saver_engine, place)
        await store.open()
        await store.begin()
        kept = Kept(store)
        await store.register(*READERS, *SENDERS)
        await prepare(kept)
        places: dict[tuple[str, str], set[int]] = defaultdict(set)  # of each text in each reader's queue
        for round_number in range(ROUNDS):
            await store.close()
            lines = run_and_kill(name, place, round_number, chance.randrange(1, 200), CRASHER)
            await store.open()
            taken = {line[1] for line in lines if line[0] == "taken"}
            asked = [line[1:] for line in lines if line[0] == "asked"]
            for _, reader, at, text in (line for line in lines if line[0] == "read"):
                places[reader, text].add(int(at))
            await send_again(kept, [line for line in asked if line[2] not in taken], 10 + round_number)
            await drain(kept, 10 + round_number, places)
            for _, packet_id, text in asked:
                for reader in READERS:
                    count = len(places[reader, text])
                    if int(packet_id):
                        assert count == 1, f"{text} came to {reader} {count} times (seed {seed})"
                    elif text in taken:
                        assert count >= 1, f"{text} did not come to {reader} (seed {seed})"
        await store.close()


async def prepare(kept: Kept) -> None:
    app = kept.store.app
    for reader, (ordinal, number) in (await open_all(kept.store.saver, app, READERS, 1)).items():
        (opened,) = await kept.sessions.open([kept.asks(reader, ordinal, 1)])
        assert opened is not None
        assert opened.number == number
        session = Session(reader, ordinal, 1, "node", opened)
        assert await kept.subscribe(session, "x") is False


async def send_again(kept: Kept, unanswered: list[list[str]], epoch: int) -> None:
    """Clients send what they have no answer to, with the same packet identifier, and complete all."""
    app = kept.store.app
    senders = await open_all(kept.store.saver, app, SENDERS, epoch)
    for number, (name, packet_id, text) in enumerate(unanswered):
        if int(packet_id):
            ordinal, session = senders[name]
            received = Received(ordinal, session, epoch, int(packet_id))
            publication = a_publication(text, 2, 1_000_000 + number)
            (answer,) = await kept.queues.publish([QueuePublication(app, publication, START, name, received)])
            assert isinstance(answer, Published)
    await kept.queues.complete(
        [
            Complete(app, ordinal, session, packet_id)
            for ordinal, session in senders.values()
            for packet_id in range(1, IDENTIFIERS + 1)
        ]
    )


async def drain(kept: Kept, epoch: int, places: dict[tuple[str, str], set[int]]) -> None:
    readers = await open_all(kept.store.saver, kept.store.app, READERS, epoch)
    for reader, (ordinal, _) in readers.items():
        (opened,) = await kept.sessions.open([kept.asks(reader, ordinal, epoch)])
        assert opened is not None
        session = Session(reader, ordinal, epoch, "node", opened)
        for entry in await kept.entries(session):
            places[reader, entry.publication.payload.decode()].add(entry.place)
            await kept.settle(session, entry.place)
