"""Wills are published once, to everybody whom they concern."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from longline.coordinator.sessions import LEASE, SessionEnds, WillDuty
from longline.errors import Unavailable
from longline.model.commands import Command, Filled, ForGroups, Forward
from longline.model.pubsub import Filter, StoredWill
from longline.model.times import wall_clock
from longline.saver.port.inboxes import Arrive
from longline.saver.port.queues import Read
from longline.saver.port.retained import FindRetained
from longline.saver.port.sessions import AddFilter, CloseSession, OpenSession
from tests.unit.coordinator.cluster import Cluster, a_cluster


class Site:
    """The duty, and devices with sessions."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.sessions = cluster.saver.sessions
        self.duty = WillDuty(
            cluster.saver.apps,
            cluster.saver.sessions,
            cluster.saver.queues,
            cluster.saver.retained,
            cluster.bus,
            cluster.faults,
        )

    async def opens(self, device: str, node: str, will: StoredWill | None = None) -> OpenSession:
        cluster, now = self.cluster, wall_clock()
        binding = await cluster.bind(device, node)
        [arrival] = await cluster.saver.inboxes.arrive([Arrive(cluster.app.number, device, now)])
        assert arrival is not None
        opened = OpenSession(
            cluster.app.number, device, arrival.ordinal, node, binding.epoch, now, False, 1000, will
        )
        assert await self.sessions.open([opened]) != [None]
        return opened

    async def breaks_off(self, session: OpenSession, will: bool = True) -> None:
        closed = CloseSession(session.app, session.ordinal, session.epoch, wall_clock(), will)
        assert await self.sessions.close([closed]) == [True]

    async def subscribes(self, session: OpenSession, filter: str) -> None:
        added = AddFilter(
            session.app, session.device, session.ordinal, session.epoch, session.epoch, Filter(filter, 2)
        )
        assert await self.sessions.subscribe([added]) == [False]

    async def told(self, node: str) -> Sequence[Command]:
        return await self.cluster.bus.receive(node)


async def test_a_will_goes_to_every_room_and_queue_and_is_retained(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        site = Site(cluster)
        for node in ("n1", "n2"):
            await cluster.bus.open(node)
        listener = await site.opens("listener", "n2")
        await site.subscribes(listener, "w/#")
        will = StoredWill("w/1", b"gone", 2, True, expires_in=60)
        session = await site.opens("d", "n1", will)
        assert not await site.duty.round()
        before = wall_clock()
        await site.breaks_off(session)
        assert not await site.duty.round()
        assert site.duty.published == 1
        [first] = await site.told("n1")
        forward, filled = await site.told("n2")
        assert filled == Filled(cluster.app.number, ("listener",))
        assert isinstance(first, Forward)
        assert isinstance(forward, Forward)
        assert first == replace(forward, share=ForGroups(decides=True))  # one of them for both
        assert (forward.topic, forward.payload, forward.qos, forward.queued) == ("w/1", b"gone", 2, True)
        assert before + 60_000 <= forward.expires_at <= wall_clock() + 60_000
        now = wall_clock()
        read = Read(cluster.app.number, listener.ordinal, listener.epoch, 0, 10, now)
        [page] = await cluster.saver.queues.read([read])
        [retained] = await cluster.saver.retained.find([FindRetained(cluster.app.number, "w/1", now)])
        assert [entry.publication for entry in page.entries] == list(retained.publications)
        assert retained.publications[0].id == forward.id
        assert not await site.duty.round()
        assert site.duty.published == 1


async def test_one_with_qos_0_is_not_queued_nor_one_of_who_said_good_bye(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        site = Site(cluster)
        await cluster.bus.open("n1")
        for qos, said in ((0, False), (1, True)):
            session = await site.opens(f"d{qos}", "n1", StoredWill("w", b"%d" % qos, qos))
            await site.breaks_off(session, will=not said)
        await site.duty.round()
        [forward] = await site.told("n1")
        assert forward == Forward(
            cluster.app.number, "w", b"0", 0, share=ForGroups(decides=True), sender="d0"
        )


async def test_a_room_that_cannot_be_told_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path) as cluster:
        site = Site(cluster)
        for node in ("n1", "n2"):
            await cluster.bus.open(node)
        send = cluster.bus.send

        async def refuse(node: str, commands: Sequence[Command]) -> None:
            if node == "n1":
                raise Unavailable
            await send(node, commands)

        monkeypatch.setattr(cluster.bus, "send", refuse)
        await site.breaks_off(await site.opens("d", "n1", StoredWill("w", b"x", 1)))
        await site.duty.round()
        assert len(await site.told("n2")) == 1
        assert await cluster.saver.sessions.due_wills(wall_clock() + 2 * LEASE, 10, LEASE) == []


async def test_sessions_end_when_their_time_is_over(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        site = Site(cluster)
        session = await site.opens("d", "n1")
        closed = CloseSession(session.app, session.ordinal, session.epoch, wall_clock() - 10_000, False, 5)
        await site.sessions.close([closed])
        assert not await SessionEnds(site.sessions).round()
        [arrival] = await cluster.saver.inboxes.arrive([Arrive(cluster.app.number, "d", wall_clock())])
        assert arrival is not None
        assert not arrival.session
