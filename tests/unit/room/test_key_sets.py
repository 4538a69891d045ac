"""Keys of identity providers: read when they are wanted, seldom, and good for a while without being read."""

import asyncio
import json
from collections.abc import Sequence

import httpx
import pytest

from longline.flow.outbound import CallFailed, Outbound
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.key_sets import KeySets
from longline.settings import AuthoritySettings
from longline.testing.clock import settle
from tests.unit.jose.identity_provider import public_jwk

URL = "https://id.example.org/keys"
SETTINGS = AuthoritySettings(jwks_fresh=100, jwks_stale=1000, jwks_unknown_key=30)


class Provider(Outbound):
    """An identity provider that serves keys, or does not."""

    def __init__(self) -> None:
        super().__init__(plain=False, private=False, most=1, timeout=1)
        self.kids = ["a"]
        self.away = False
        self.reads: list[str] = []
        self.hold: asyncio.Event | None = None

    async def get(self, url: str) -> bytes:
        self.reads.append(url)
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise CallFailed("it answered 500")
        return json.dumps({"keys": [public_jwk("EdDSA", kid=kid) for kid in self.kids]}).encode()


class Known:
    def __init__(self, settings: AuthoritySettings = SETTINGS) -> None:
        self.now = 0.0
        self.provider = Provider()
        self.counters = AuthorityCounters()
        self.sets = KeySets(settings, self.counters, outbound=self.provider, clock=lambda: self.now)

    def kids(self, url: str = URL) -> list[str | None] | None:
        keys = self.sets.usable(url)
        return None if keys is None else [key.kid for key in keys]

    @property
    def reads(self) -> int:
        return len(self.provider.reads)


async def test_a_set_is_read_once_for_all_who_want_it() -> None:
    known = Known()
    assert known.kids() is None
    assert known.sets.worth_asking(URL)
    known.provider.hold = asyncio.Event()
    waiting = [asyncio.create_task(known.sets.read(URL)) for _ in range(5)]
    await settle()
    assert known.reads == 1
    known.provider.hold.set()
    await asyncio.gather(*waiting)
    assert known.kids() == ["a"]
    assert known.counters.key_sets_read == 1


async def test_who_stops_waiting_takes_nobody_elses_answer_away() -> None:
    known = Known()
    known.provider.hold = asyncio.Event()
    first, second = (asyncio.create_task(known.sets.read(URL)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    known.provider.hold.set()
    await second
    assert known.kids() == ["a"]


async def test_a_set_that_is_not_fresh_is_read_again_beside_the_work() -> None:
    known = Known()
    await known.sets.read(URL)
    known.now = 99.0
    assert known.kids() == ["a"]
    await settle()
    assert known.reads == 1
    known.now = 100.0
    known.provider.kids = ["b"]
    assert known.kids() == ["a"]  # nobody waits
    await settle()
    assert known.kids() == ["b"]
    assert known.reads == 2


async def test_a_set_that_cannot_be_read_again_is_good_for_a_bounded_time() -> None:
    known = Known()
    await known.sets.read(URL)
    known.provider.away = True
    known.now = 999.0
    assert known.kids() == ["a"]
    await settle()
    assert known.reads == 2
    known.now = 1000.0
    assert known.kids() is None
    known.provider.away = False
    known.now = 1002.0
    await known.sets.read(URL)
    assert known.kids() == ["a"]


async def test_an_unknown_key_has_the_set_read_again_but_not_often() -> None:
    known = Known()
    await known.sets.read(URL)
    known.now = 29.0
    assert not known.sets.worth_asking(URL)
    known.now = 30.0
    assert known.sets.worth_asking(URL)
    known.provider.kids = ["a", "b"]
    await known.sets.read(URL)
    assert known.kids() == ["a", "b"]
    assert not known.sets.worth_asking(URL)


async def test_a_provider_that_does_not_answer_is_asked_less_and_less() -> None:
    known = Known()
    known.provider.away = True
    pauses = []
    for _ in range(10):
        await known.sets.read(URL)
        assert not known.sets.worth_asking(URL)
        reads, since = known.reads, known.now
        while known.reads == reads:
            known.now += 0.5
            await known.sets.read(URL)
        pauses.append(known.now - since)
        known.now += 0.001
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert known.counters.key_sets_failed > 5


@pytest.mark.parametrize("content", [b"<html>", b"{}", b""])
async def test_what_is_no_set_is_as_good_as_no_answer(content: bytes) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34"]

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(content))

    outbound = Outbound(
        plain=False,
        private=False,
        most=100,
        timeout=5,
        resolve=resolve,
        transport=httpx.MockTransport(answer),
    )
    counters = AuthorityCounters()
    sets = KeySets(SETTINGS, counters, outbound=outbound)
    await sets.read(URL)
    assert sets.usable(URL) is None
    assert counters.key_sets_failed == 1


async def test_no_more_sets_are_remembered_than_a_setting_says() -> None:
    known = Known(AuthoritySettings(jwks_sets=3))
    for number in range(5):
        await known.sets.read(f"{URL}/{number}")
    assert [known.kids(f"{URL}/{number}") for number in range(5)] == [None, None, ["a"], ["a"], ["a"]]


async def test_reads_end_with_the_room() -> None:
    known = Known()
    known.provider.hold = asyncio.Event()
    waiting = asyncio.create_task(known.sets.read(URL))
    await settle()
    await known.sets.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
