"""Commands as bytes, also between processes of different releases."""

from typing import get_args

import msgspec
import pytest

from longline.bus import wire
from longline.bus.wire import MAX_BATCH, join, pack, unpack
from longline.model.commands import AppChanged, Close, CloseReason, Command, Filled, Resync, SessionsKept

CLOSE = Close(1, "phone", 7, CloseReason.KICKED)


@pytest.mark.parametrize("count", [0, 1, 500, MAX_BATCH])
def test_a_batch_comes_out_as_it_went_in(count: int) -> None:
    assert unpack(join([pack(CLOSE)] * count)) == [CLOSE] * count


def test_every_kind_of_command_has_its_number() -> None:
    assert set(wire._KINDS) == set(get_args(Command))
    assert len(set(wire._KINDS.values())) == len(wire._KINDS)


def test_news_of_queues_and_sessions_travel() -> None:
    commands: list[Command] = [Filled(1, ("phone", "tablet")), SessionsKept(2)]
    assert unpack(join([pack(command) for command in commands])) == commands


def test_fields_of_a_later_release_are_passed_over() -> None:
    later = msgspec.msgpack.encode((4, {"app": 1, "name": "news", "mood": "good"}))
    assert unpack(join([later])) == [AppChanged(1, "news")]


@pytest.mark.parametrize(
    "unknown",
    [
        msgspec.msgpack.encode((99, {"app": 1})),
        msgspec.msgpack.encode((3, {"app": 1, "device": "d", "epoch": 1, "why": "boredom"})),
        msgspec.msgpack.encode((3, {"app": 1})),
    ],
)
def test_a_command_that_nobody_can_read_was_lost_where_it_stood(unknown: bytes) -> None:
    assert unpack(join([pack(CLOSE), unknown, pack(CLOSE)])) == [CLOSE, Resync(), CLOSE]


def test_a_batch_that_nobody_can_read_was_lost() -> None:
    assert unpack(b"\xc1") == [Resync()]
