"""Ports that are to be shared by ours alone."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longline.errors import SettingsError
from longline.node.ports import until_free
from longline.settings import CenterSettings, RoomSettings, Settings, listeners
from tests.waiting import WITHIN


@contextmanager
def a_listener(*, shared: bool) -> Iterator[tuple[int, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0), reuse_port=shared) as listener:
        yield listener.getsockname()[1], listener


def with_ports(room: int, center: int) -> Settings:
    return Settings(room=RoomSettings(port=room, ws_port=0), center=CenterSettings(port=center))


@pytest.mark.parametrize(
    ("roles", "setting"),
    [(("room",), "room.port"), (("center",), "center.port"), (("dispatcher",), "center.port")],
)
async def test_a_port_that_another_program_has_is_told_at_once(roles: tuple[str, ...], setting: str) -> None:
    with a_listener(shared=False) as (port, _):
        settings = with_ports(port, 0) if setting == "room.port" else with_ports(0, port)
        async with asyncio.timeout(WITHIN):
            with pytest.raises(SettingsError, match="in use") as caught:
                await until_free(settings, roles, within=2 * WITHIN)
    assert [field for field, _ in caught.value.details] == [setting]


async def test_ports_of_roles_that_do_not_run_here_are_nobodys_business() -> None:
    with a_listener(shared=False) as (port, _):
        await until_free(with_ports(port, port), ("coordinator",))
        await until_free(with_ports(0, port), ("room",))


async def test_who_shares_a_port_is_waited_for_because_it_may_be_about_to_end() -> None:
    with a_listener(shared=True) as (port, listener):
        waiting = asyncio.create_task(until_free(with_ports(port, 0), ("room",)))
        await asyncio.sleep(0)
        assert not waiting.done()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()  # what it has accepted may live on
        listener.close()
        async with asyncio.timeout(WITHIN):
            await waiting
        client.close()
        accepted.close()


async def test_who_shares_a_port_and_does_not_go_is_another_longline() -> None:
    with a_listener(shared=True) as (port, _), pytest.raises(SettingsError, match="in use"):
        await until_free(with_ports(port, 0), ("room",), within=0.0)


async def test_a_port_that_nobody_has_asked_for_is_done_without_when_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with a_listener(shared=False) as (port, _), a_listener(shared=True) as (shared, _):
        monkeypatch.setattr(listeners, "UNASKED", {("ws", port), ("wss", shared)})
        room = RoomSettings(
            port=0, ws_port=port, wss_port=shared, tls_port=0, tls_cert=Path("a"), tls_key=Path("a")
        )
        settings = Settings(room=room, center=CenterSettings(port=0))
        assert await until_free(settings, ("room",), within=0.0) == {
            "room.ws_port": "0",
            "room.wss_port": "0",
        }
        monkeypatch.setattr(listeners, "UNASKED", set())
        with pytest.raises(SettingsError, match="in use"):
            await until_free(settings, ("room",), within=0.0)
