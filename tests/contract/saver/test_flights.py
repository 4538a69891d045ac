"""Packet identifiers of pushes with QoS 2: kept for their session, and for no other."""

from longline.saver.port.flights import BeginFlights, Flight, FlightStep
from tests.contract.saver.kept import Kept, Session

ONE = Flight(1, 70_000_000_001, False, "01890000-0000-7000-8000-000000000001")
TWO = Flight(32_767, 70_000_000_002, True, "01890000-0000-7000-8000-000000000002")
RELEASED = Flight(ONE.packet_id, ONE.position, ONE.broadcast, ONE.message_id, True)


async def begin(kept: Kept, session: Session, *flights: Flight, epoch: int = 0) -> bool:
    asked = BeginFlights(
        kept.store.app, session.ordinal, session.number, epoch or session.epoch, tuple(flights)
    )
    (begun,) = await kept.store.saver.flights.begin([asked])
    return begun


async def step(kept: Kept, session: Session, flight: Flight, *, released: bool) -> None:
    name = (kept.store.app, session.ordinal, session.number)
    taken = FlightStep(*name, flight.packet_id, flight.position, released)
    await kept.store.saver.flights.step([taken])


async def test_the_next_connection_is_told_what_was_begun_by_position(kept: Kept) -> None:
    first = await kept.open("a")
    assert await begin(kept, first, TWO, ONE)
    await kept.close(first)
    assert (await kept.open("a", node="n2")).opened.flights == (ONE, TWO)


async def test_it_is_told_after_a_restart_of_the_store(kept: Kept) -> None:
    first = await kept.open("a")
    await begin(kept, first, ONE)
    await step(kept, first, ONE, released=True)
    await begin(kept, first, TWO)
    await kept.store.reopen()
    assert (await kept.open("a")).opened.flights == (RELEASED, TWO)


async def test_an_identifier_is_released_and_then_forgotten(kept: Kept) -> None:
    session = await kept.open("a")
    await begin(kept, session, ONE, TWO)
    await step(kept, session, ONE, released=True)
    assert (await kept.again(session)).flights == (RELEASED, TWO)
    await step(kept, session, ONE, released=False)
    assert (await kept.again(session)).flights == (TWO,)


async def test_steps_that_come_again_or_too_late_change_nothing(kept: Kept) -> None:
    session = await kept.open("a")
    await begin(kept, session, ONE, TWO)
    for released in (True, True, False, False, True):
        await step(kept, session, ONE, released=released)
    assert (await kept.again(session)).flights == (TWO,)


async def test_steps_of_one_batch_are_taken_in_order(kept: Kept) -> None:
    session = await kept.open("a")
    await begin(kept, session, ONE, TWO)
    name = (kept.store.app, session.ordinal, session.number)
    await kept.store.saver.flights.step(
        [
            FlightStep(*name, ONE.packet_id, ONE.position, True),
            FlightStep(*name, TWO.packet_id, TWO.position, True),
            FlightStep(*name, ONE.packet_id, ONE.position, False),
        ]
    )
    assert [(flight.packet_id, flight.released) for flight in (await kept.again(session)).flights] == [
        (TWO.packet_id, True)
    ]


async def test_an_identifier_that_is_used_again_stands_for_the_new_push(kept: Kept) -> None:
    session = await kept.open("a")
    await begin(kept, session, ONE)
    await step(kept, session, ONE, released=True)
    later = Flight(ONE.packet_id, TWO.position, True, TWO.message_id)
    await begin(kept, session, later)
    for released in (True, False):  # what was said of the former
        await step(kept, session, ONE, released=released)
    assert (await kept.again(session)).flights == (later,)


async def test_who_has_not_the_session_begins_nothing(kept: Kept) -> None:
    first = await kept.open("a")
    second = await kept.open("a", node="n2")
    assert first.number == second.number
    assert not await begin(kept, first, ONE)
    assert (await kept.again(second)).flights == ()
    assert await begin(kept, second, ONE)
    await step(kept, first, ONE, released=True)  # what its client has said stays true
    assert (await kept.again(second)).flights == (RELEASED,)


async def test_they_end_with_their_session(kept: Kept) -> None:
    first = await kept.open("a")
    await begin(kept, first, ONE, TWO)
    second = await kept.open("a", clean=True)
    assert second.opened.flights == ()
    assert not await begin(kept, first, ONE, epoch=second.epoch)
    await step(kept, first, ONE, released=True)
    await kept.clear()
    assert (await kept.again(second)).flights == ()
    assert await begin(kept, second, TWO)
    assert (await kept.again(second)).flights == (TWO,)
