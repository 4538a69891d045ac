"""What a room does when the session table may have lost what it was told last."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from longline.errors import Unavailable
from longline.model.devices import Binding
from longline.mqtt.packets import Disconnect
from longline.register.memory import MemoryRegister
from longline.register.port import Bind, Unbind
from longline.room.life.audit import Audit
from longline.testing.clock import settle
from tests.unit.room.running import RunningRoom


class ForgetfulRegister(MemoryRegister):
    """Says when it has forgotten something, and may be out of reach then."""

    def __init__(self) -> None:
        super().__init__()
        self.doubts = 0
        self.away = 0  # questions that it will not answer
        self._news = asyncio.Event()

    async def doubted(self, seen: int) -> int:
        while self.doubts == seen:
            self._news.clear()
            await self._news.wait()
        return self.doubts

    def doubt(self) -> None:
        self.doubts += 1
        self._news.set()

    def rewind(self, app: int, device: str, binding: Binding) -> None:
        """Has an earlier session in its table."""
        self._apps[app][device] = binding

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        if self.away:
            self.away -= 1
            raise Unavailable("the store is away")
        return await super().locate(app, devices)


@asynccontextmanager
async def a_running_room(register: ForgetfulRegister) -> AsyncIterator[RunningRoom]:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    async with RunningRoom(register=register) as room:
        room.run(
            Audit(
                register,
                room.parts.sessions,
                room.rebinding.add,
                room.parts.counters,
                room.parts.faults,
                sleep=sleep,
            ).run()
        )
        yield room


async def test_a_session_that_the_table_has_forgotten_is_put_back_and_its_device_does_not_hear_of_it() -> (
    None
):
    register = ForgetfulRegister()
    async with a_running_room(register) as room:
        forgotten, behind, known = [room.connect(name) for name in ("forgotten", "behind", "known")]
        await room.settle()
        epochs = {name: session.epoch for name, session in room.parts.sessions.tenants[7].sessions.items()}
        await register.unbind([Unbind(7, "forgotten", epochs["forgotten"], 0)])
        register.rewind(7, "behind", Binding("elsewhere", epochs["behind"] - 1, 0))
        for peer in (forgotten, behind, known):
            peer.unread()
        register.away = 2
        register.doubt()
        await room.settle()
        await settle()
        for peer in (forgotten, behind, known):
            assert peer.unread() == []
            assert not peer.over
        now = await register.locate(7, ["forgotten", "behind", "known"])
        here = [peer.session.epoch for peer in (forgotten, behind, known)]
        assert [(item.node, item.epoch) for item in now if item] == [("n1", epoch) for epoch in here]
        assert room.parts.counters.sessions_forgotten == 2


async def test_a_session_that_another_room_has_taken_over_is_told_so() -> None:
    register = ForgetfulRegister()
    async with a_running_room(register) as room:
        peer = room.connect("phone")
        await room.settle()
        peer.unread()
        await register.bind([Bind(7, "phone", "elsewhere", 0)])  # and the notice of it was lost
        register.doubt()
        await room.settle()
        (goodbye,) = peer.unread()
        assert isinstance(goodbye, Disconnect)
        assert goodbye.reason == 0x8E
        assert room.parts.counters.sessions_forgotten == 0
