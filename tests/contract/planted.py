"""Faults that can be planted into any engine, to see whether its contract suite notices: a pytest plugin.

    LONGLINE_PLANTED_FAULT=lost-receipt python -m pytest -p tests.contract.planted tests/contract/saver

Each fault forgets one duty of a port and does everything else as before.
"""

import os
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass

import msgspec
import pytest

from longline.bus.port import Bus
from longline.keeper.port import Keeper
from longline.model.apps import App
from longline.model.audience import Everyone, way_of
from longline.model.commands import Command, Resync
from longline.model.devices import Device, Profile
from longline.model.events import Event
from longline.model.figures import Asked, FiguresTold
from longline.model.ledger import DeliveryRecord
from longline.model.messages import Envelope
from longline.model.profiles import ProcessProfile, ProfileChoice
from longline.register.port import Rebind, Register, Unbind
from longline.saver.bundle import Saver
from longline.saver.port.devices import Registration
from longline.saver.port.events import EventPage
from longline.saver.port.inboxes import Arrival, Arrive, Fetch, Receipt, Told
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from longline.saver.port.queues import Declined, Published, QueuePublication, Settle, Step
from longline.saver.port.retained import Retain
from longline.saver.port.schedules import Timer
from longline.saver.port.sessions import CloseSession, DueWill, KeptSession, OpenSession
from longline.saver.port.shadows import Changed, ShadowChange
from tests.contract.engines import PROFILES
from tests.contract.store_fixture import StoreFixture

VARIABLE = "LONGLINE_PLANTED_FAULT"


def lost_receipt(saver: Saver) -> None:
    """Answers as if it had taken all receipts, and forgets the last of them."""
    settle = saver.inboxes.settle

    async def settle_but_one(batch: Sequence[Receipt]) -> None:
        await settle(batch[:-1])

    replace(saver.inboxes, "settle", settle_but_one)


def settled_for_good(saver: Saver) -> None:
    """Does not hear that a device took what does not wait for it any more."""
    settle = saver.inboxes.settle

    async def settle_what_waits(batch: Sequence[Receipt]) -> None:
        waiting: list[Receipt] = []
        for receipt in batch:
            (page,) = await saver.inboxes.fetch([Fetch(receipt.app, receipt.ordinal, 0, 0, 1000, receipt.at)])
            if (receipt.position, receipt.broadcast) in {
                (push.position, push.broadcast) for push in page.pushes
            }:
                waiting.append(receipt)
        await settle(waiting)

    replace(saver.inboxes, "settle", settle_what_waits)


def silent_hole(saver: Saver) -> None:
    """Tells nobody what they have missed."""
    arrive = saver.inboxes.arrive

    async def arrive_in_silence(batch: Sequence[Arrive]) -> list[Arrival | None]:
        return [
            None if arrival is None else msgspec.structs.replace(arrival, gap=None)
            for arrival in await arrive(batch)
        ]

    replace(saver.inboxes, "arrive", arrive_in_silence)


def told_for_ever(saver: Saver) -> None:
    """Does not hear that a device knows what it misses."""

    async def close_nothing(batch: Sequence[Told]) -> None:
        return None

    replace(saver.inboxes, "close_gaps", close_nothing)


def overfull_inbox(saver: Saver) -> None:
    """Takes all messages for as important when it makes room."""
    enqueue = saver.messages.enqueue

    async def enqueue_alike(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        alike = [
            msgspec.structs.replace(
                submission,
                envelopes=tuple(
                    Envelope(msgspec.structs.replace(each.message, priority="high"), each.audience)
                    for each in submission.envelopes
                ),
            )
            for submission in batch
        ]
        return await enqueue(alike)

    replace(saver.messages, "enqueue", enqueue_alike)


def lost_key(saver: Saver) -> None:
    """Stores a request that is repeated under one Idempotency-Key once more."""
    enqueue = saver.messages.enqueue

    async def enqueue_again(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        return await enqueue(
            [msgspec.structs.replace(submission, idempotency_key=None) for submission in batch]
        )

    replace(saver.messages, "enqueue", enqueue_again)


def stale_word(saver: Saver) -> None:
    """Believes what a session says of a device that another owns by now."""
    settle = saver.inboxes.settle

    async def settle_for_anybody(batch: Sequence[Receipt]) -> None:
        await settle([msgspec.structs.replace(receipt, epoch=0) for receipt in batch])

    replace(saver.inboxes, "settle", settle_for_anybody)


def lost_update(saver: Saver) -> None:
    """Puts an app in the place of whatever somebody else made of it meanwhile."""
    update = saver.apps.update

    async def update_anything(app: App, before: App) -> bool:
        return await update(app, await saver.apps.find(app.app) or before)

    replace(saver.apps, "update", update_anything)


def lost_change(saver: Saver) -> None:
    """Puts a profile in the place of whatever somebody else made of it meanwhile."""
    update = saver.devices.update

    async def update_anything(app: int, before: Device, profile: Profile) -> bool:
        (now,) = await saver.devices.find(app, [before.device])
        return now is not None and await update(app, now, profile)

    replace(saver.devices, "update", update_anything)


def late_audience(saver: Saver) -> None:
    """Sends to those whom an expression describes, and to everyone registered where it describes somebody."""
    enqueue = saver.messages.enqueue

    async def enqueue_to_all(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        return await enqueue(
            [
                msgspec.structs.replace(
                    submission,
                    envelopes=tuple(
                        Envelope(each.message, Everyone() if way_of(each.audience)[1] else each.audience)
                        for each in submission.envelopes
                    ),
                )
                for submission in batch
            ]
        )

    replace(saver.messages, "enqueue", enqueue_to_all)


def kept_label(saver: Saver) -> None:
    """Adds what a device is described by, and takes nothing of it away."""
    put = saver.devices.put

    async def put_and_keep(app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        known = await saver.devices.find(app, [item.device for item in batch])
        tags = {device.device: device.profile.tags for device in known if device is not None}
        merged = [
            Registration(
                item.device,
                msgspec.structs.replace(
                    item.profile, tags=tuple({*item.profile.tags, *tags.get(item.device, ())})
                ),
            )
            for item in batch
        ]
        return await put(app, merged, now)

    replace(saver.devices, "put", put_and_keep)


def forgotten_ban(saver: Saver) -> None:
    """Answers as if it had banned a device."""

    async def ban_nobody(app: int, device: str, until: int) -> bool:
        return (await saver.devices.find(app, [device])) != [None]

    replace(saver.devices, "ban", ban_nobody)


def skipped_row(saver: Saver) -> None:
    """Leaves out the row that follows a page of a ledger."""
    deliveries = saver.ledgers.deliveries

    async def later_page(
        app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        return await deliveries(app, message_id, after + 1, limit)

    replace(saver.ledgers, "deliveries", later_page)


def endless_task(saver: Saver) -> None:
    """Does not hear that a node is done with a broadcast."""

    async def finish_nothing(app: int, message_id: str, node: str, at: int) -> None:
        pass

    replace(saver.routing, "finish", finish_nothing)


def echoed_event(saver: Saver) -> None:
    """Takes every event for a new one."""
    append = saver.events.append
    told: list[Event] = []

    async def append_again(batch: Sequence[Event]) -> None:
        told.extend(batch)
        count = len(told)
        again = [
            msgspec.structs.replace(event, source=f"{event.source}-{count + n}")
            for n, event in enumerate(batch)
        ]
        await append(again)

    replace(saver.events, "append", append_again)


def crowded_out(saver: Saver) -> None:
    """Removes the oldest events when a queue is full, whichever devices they are of."""
    append = saver.events.append

    async def append_stateless(batch: Sequence[Event]) -> None:
        await append([msgspec.structs.replace(event, state="") for event in batch])

    replace(saver.events, "append", append_stateless)


def late_lane(saver: Saver) -> None:
    """Tells what came to one lane after what had come to another and was told: it is missed."""
    events = saver.events
    read = events.read

    async def read_further(app: int, after: str, limit: int) -> EventPage:
        page = await read(app, after, limit)
        return EventPage(page.events[1:], page.gap) if after and len(page.events) > 1 else page

    replace(events, "read", read_further)


def shuffled_lane(saver: Saver) -> None:
    """Tells of each page the latest first."""
    events = saver.events
    read = events.read

    async def read_backwards(app: int, after: str, limit: int) -> EventPage:
        page = await read(app, after, limit)
        return EventPage(page.events[::-1], page.gap)

    replace(events, "read", read_backwards)


def undying(saver: Saver) -> None:
    """Keeps a retained message whose topic was given an empty one."""
    keep = saver.retained.keep

    async def keep_what_has_a_payload(batch: Sequence[Retain]) -> list[str | None]:
        codes = iter(await keep([item for item in batch if item.publication.payload]))
        return [next(codes) if item.publication.payload else None for item in batch]

    replace(saver.retained, "keep", keep_what_has_a_payload)


def unbounded_end(saver: Saver) -> None:
    """Ends all that is over in one call, however little it was allowed."""
    end = saver.expiry.end

    async def end_all(now: int, limit: int) -> int:
        return await end(now, 1_000_000)

    replace(saver.expiry, "end", end_all)


def late_close(saver: Saver) -> None:
    """Closes whatever connection a session has, without a look at the epoch."""
    sessions = saver.sessions
    open_, close = sessions.open, sessions.close
    epochs: dict[int, int] = {}

    async def open_noting(batch: Sequence[OpenSession]) -> list[KeptSession | None]:
        epochs.update({item.ordinal: item.epoch for item in batch})
        return await open_(batch)

    async def close_anybody(batch: Sequence[CloseSession]) -> list[bool]:
        return await close([msgspec.structs.replace(item, epoch=epochs[item.ordinal]) for item in batch])

    replace(sessions, "open", open_noting)
    replace(sessions, "close", close_anybody)


def eager_will(saver: Saver) -> None:
    """Gives wills out before their time."""
    sessions = saver.sessions
    due_wills = sessions.due_wills

    async def due_soon(now: int, limit: int, lease: int) -> list[DueWill]:
        return await due_wills(now + 3_600_000, limit, lease)

    replace(sessions, "due_wills", due_soon)


def forgotten_identifier(saver: Saver) -> None:
    """Takes a QoS 2 message that comes again for another one."""
    queues = saver.queues
    publish = queues.publish

    async def publish_again(batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        return await publish([msgspec.structs.replace(item, received=None) for item in batch])

    replace(queues, "publish", publish_again)


def chosen_by_filter(saver: Saver) -> None:
    """Queues what was given to one session for all whose filters match."""
    queues = saver.queues
    publish = queues.publish

    async def publish_to_all(batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        return await publish([msgspec.structs.replace(item, given=(), matching=True) for item in batch])

    replace(queues, "publish", publish_to_all)


def unreleased(saver: Saver) -> None:
    """Keeps a QoS 2 message that its client has received, to send it once more."""
    queues = saver.queues
    settle = queues.settle

    async def settle_without_releasing(batch: Sequence[Settle]) -> None:
        await settle([item for item in batch if item.step != Step.RELEASED])

    replace(queues, "settle", settle_without_releasing)


def first_come(saver: Saver) -> None:
    """Keeps the profiles that came first, and none that comes when there are enough."""
    profiles = saver.profiles
    put = profiles.put

    async def put_where_there_is_room(profile: ProcessProfile) -> None:
        if len(await profiles.latest(ProfileChoice(), 1000)) < PROFILES:
            await put(profile)

    replace(profiles, "put", put_where_there_is_room)


def undeleted(saver: Saver) -> None:
    """Answers as if it had deleted a profile."""

    async def delete_nothing(id: str) -> bool:
        return await saver.profiles.find(id) is not None

    replace(saver.profiles, "delete", delete_nothing)


def lost_race(saver: Saver) -> None:
    """Puts a timer in the place of whatever somebody else made of it meanwhile."""
    change = saver.schedules.change

    async def change_anything(timer: Timer) -> bool:
        present = await saver.schedules.find(timer.app, timer.id)
        version = timer.version if present is None else present.version + 1
        return await change(msgspec.structs.replace(timer, version=version))

    replace(saver.schedules, "change", change_anything)


def blind_change(saver: Saver) -> None:
    """Puts a shadow in the place of whatever somebody else made of it meanwhile."""
    change = saver.shadows.change

    async def change_anything(batch: Sequence[ShadowChange]) -> list[Changed]:
        done = []
        for item in batch:
            (present,) = await saver.shadows.find(item.app, [item.ordinal])
            before = item.before if present is None else present.version
            done += await change([msgspec.structs.replace(item, before=before)])
        return done

    replace(saver.shadows, "change", change_anything)


def late_unbind(register: Register) -> None:
    """Ends whatever session a device has, without a look at the epoch."""
    unbind = register.unbind

    async def unbind_anybody(batch: Sequence[Unbind]) -> list[bool]:
        done = []
        for item in batch:
            (binding,) = await register.locate(item.app, [item.device])
            epoch = item.epoch if binding is None else binding.epoch
            done += await unbind([msgspec.structs.replace(item, epoch=epoch)])
        return done

    replace(register, "unbind", unbind_anybody)


def taken_back(register: Register) -> None:
    """Gives a device to the new name of a node wherever it is by now."""
    rebind = register.rebind

    async def rebind_anybody(batch: Sequence[Rebind]) -> list[int | None]:
        done = []
        for item in batch:
            (binding,) = await register.locate(item.app, [item.device])
            epoch = item.epoch if binding is None else binding.epoch
            done += await rebind([msgspec.structs.replace(item, epoch=epoch)])
        return done

    replace(register, "rebind", rebind_anybody)


def silent_gap(bus: Bus) -> None:
    """Tells nobody that commands were lost."""
    receive = bus.receive

    async def receive_on(node: str) -> list[Command]:
        return [command for command in await receive(node) if not isinstance(command, Resync)]

    replace(bus, "receive", receive_on)


def two_leaders(keeper: Keeper) -> None:
    """Lets every member lead."""

    async def leads(duty: str, node: str) -> bool:
        return any(member.node == node for member in await keeper.members())

    replace(keeper, "leads", leads)


def replace(engine: object, name: str, method: Callable[..., Awaitable[object]]) -> None:
    """Puts another method in the place of one of this object's."""
    setattr(engine, name, method)


@dataclass(frozen=True)
class Fault:
    """A fault, where the duty's tests are, and the test that must notice."""

    plant: Callable[..., None]
    suite: str
    test: str


def unheard_watcher(saver: Saver) -> None:
    """Tells nobody that somebody watches."""
    tell = saver.figures.tell

    async def tell_unwatched(told: FiguresTold) -> Asked:
        return msgspec.structs.replace(await tell(told), watched=False)

    replace(saver.figures, "tell", tell_unwatched)


def lost_point(saver: Saver) -> None:
    """Keeps coarse points, and no fine ones."""
    tell = saver.figures.tell

    async def tell_coarsely(told: FiguresTold) -> Asked:
        return await tell(msgspec.structs.replace(told, fine=b""))

    replace(saver.figures, "tell", tell_coarsely)


def undead(saver: Saver) -> None:
    """Goes on showing processes that have ended."""

    async def left(life: str) -> None:
        """Forgets nothing."""

    replace(saver.figures, "left", left)


FAULTS = {
    "unheard-watcher": Fault(
        unheard_watcher, "saver/test_figures.py", "test_who_tells_learns_that_somebody_watches_for_a_time"
    ),
    "lost-point": Fault(lost_point, "saver/test_figures.py", "test_points_are_read_by_kind_and_time"),
    "undead": Fault(undead, "saver/test_figures.py", "test_who_has_ended_is_not_there_any_more"),
    "silent-hole": Fault(
        silent_hole, "saver/test_inboxes_gaps.py", "test_each_message_that_ended_unseen_is_counted"
    ),
    "told-for-ever": Fault(
        told_for_ever,
        "saver/test_inboxes_gaps.py",
        "test_a_device_is_told_until_it_knows_and_then_only_of_what_is_new",
    ),
    "overfull-inbox": Fault(
        overfull_inbox, "saver/test_inboxes_bounds.py", "test_those_of_high_priority_go_last"
    ),
    "lost-receipt": Fault(
        lost_receipt, "saver/test_inboxes_settling.py", "test_a_receipt_moves_a_device_out_of_pending"
    ),
    "settled-for-good": Fault(
        settled_for_good,
        "saver/test_inboxes_settling.py",
        "test_what_a_device_took_is_acked_whatever_it_had_been_taken_for",
    ),
    "lost-key": Fault(
        lost_key, "saver/test_messages.py", "test_a_repeated_request_stores_nothing_and_repeats_its_results"
    ),
    "stale-word": Fault(
        stale_word, "saver/test_inboxes_fencing.py", "test_a_session_that_lost_its_device_is_not_heard"
    ),
    "lost-update": Fault(
        lost_update, "saver/test_apps.py", "test_an_update_of_what_somebody_else_has_changed_is_refused"
    ),
    "lost-change": Fault(
        lost_change,
        "saver/test_devices.py",
        "test_an_update_of_a_device_that_somebody_else_has_changed_is_refused",
    ),
    "late-audience": Fault(
        late_audience,
        "saver/test_audiences.py",
        "test_a_message_is_for_whom_its_expression_described_when_it_was_sent",
    ),
    "kept-label": Fault(
        kept_label, "saver/test_audiences.py", "test_what_a_device_is_described_by_follows_its_profile"
    ),
    "forgotten-ban": Fault(
        forgotten_ban, "saver/test_inboxes_arriving.py", "test_a_ban_is_told_on_arrival_and_can_be_lifted"
    ),
    "skipped-row": Fault(
        skipped_row, "saver/test_ledgers_deliveries.py", "test_deliveries_are_read_page_by_page"
    ),
    "first-come": Fault(first_come, "saver/test_profiles.py", "test_of_too_many_the_oldest_go"),
    "undeleted": Fault(undeleted, "saver/test_profiles.py", "test_a_profile_that_is_deleted_is_gone_once"),
    "endless-task": Fault(
        endless_task, "saver/test_routing.py", "test_an_online_broadcast_is_over_when_its_last_node_is_done"
    ),
    "echoed-event": Fault(echoed_event, "saver/test_events.py", "test_an_event_recorded_twice_is_told_once"),
    "crowded-out": Fault(
        crowded_out,
        "saver/test_events.py",
        "test_a_device_that_comes_and_goes_all_the_time_pushes_out_no_other",
    ),
    "late-lane": Fault(
        late_lane,
        "saver/test_events.py",
        "test_who_reads_while_many_write_misses_nothing_and_sees_each_devices_in_order",
    ),
    "shuffled-lane": Fault(
        shuffled_lane,
        "saver/test_events.py",
        "test_of_many_devices_everybody_reads_the_same_in_each_ones_order",
    ),
    "undying": Fault(
        undying,
        "saver/test_retained.py",
        "test_an_empty_payload_ends_what_is_kept_and_is_not_kept_itself",
    ),
    "lost-race": Fault(lost_race, "saver/test_schedules.py", "test_of_two_changes_of_one_state_one_is_done"),
    "blind-change": Fault(
        blind_change,
        "saver/test_shadows.py",
        "test_a_change_of_another_version_than_there_is_changes_nothing",
    ),
    "unbounded-end": Fault(
        unbounded_end, "saver/test_expiry.py", "test_no_call_does_more_than_it_was_allowed"
    ),
    "late-close": Fault(
        late_close,
        "saver/test_sessions.py",
        "test_a_connection_that_was_taken_over_closes_nothing",
    ),
    "eager-will": Fault(eager_will, "saver/test_sessions_wills.py", "test_a_will_waits_for_its_delay"),
    "forgotten-identifier": Fault(
        forgotten_identifier,
        "saver/test_queues_publishing.py",
        "test_a_packet_identifier_that_comes_again_is_the_same_message",
    ),
    "chosen-by-filter": Fault(
        chosen_by_filter,
        "saver/test_queues_given.py",
        "test_whom_it_is_given_has_it_whatever_its_filters_and_nobody_else",
    ),
    "unreleased": Fault(
        unreleased,
        "saver/test_queues_reading.py",
        "test_what_was_released_keeps_its_place_without_its_message",
    ),
    "late-unbind": Fault(
        late_unbind,
        "register/test_register.py",
        "test_a_late_close_of_an_old_session_does_not_unbind_the_new_one",
    ),
    "taken-back": Fault(
        taken_back,
        "register/test_rebinding.py",
        "test_what_has_come_elsewhere_meanwhile_is_not_taken_back",
    ),
    "silent-gap": Fault(silent_gap, "bus/test_bus.py", "test_a_receiver_waits_until_something_comes"),
    "two-leaders": Fault(two_leaders, "keeper/test_keeper.py", "test_exactly_one_member_leads_a_duty"),
}


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    engine = yield
    name = os.environ.get(VARIABLE)
    if name is not None:
        fault = FAULTS[name]
        if isinstance(engine, StoreFixture) and fault.suite.startswith("saver/"):
            fault.plant(engine.saver)
        elif fault.suite.startswith(f"{fixturedef.argname}/"):
            fault.plant(engine)
    return engine
