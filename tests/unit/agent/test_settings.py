"""Mistakes in what an agent is to run are found before anything is started."""

import pytest

from longline.errors import SettingsError
from longline.settings import load


@pytest.mark.parametrize(
    "processes",
    [
        "room=4",
        "room=4,center+dispatcher=2,coordinator=1",
        "room+center+dispatcher+coordinator=2",
        "room=1,room=2",
        "room+center=1,center=1",
    ],
)
def test_kinds_of_processes_are_roles_and_a_count(processes: str) -> None:
    assert load(flags={"agent.processes": processes}).settings.agent.processes == tuple(processes.split(","))


@pytest.mark.parametrize(
    ("processes", "said"),
    [
        ("door=1", "'door=1' is not ROLES=COUNT"),
        ("room", "'room': COUNT is a number"),
        ("room=0", "'room=0': COUNT is a number"),
        ("room=-1", "'room=-1': COUNT is a number"),
        ("room=many", "'room=many': COUNT is a number"),
        ("room=1025", "'room=1025': COUNT is a number"),
        ("=1", "'=1' is not ROLES=COUNT"),
        ("room++center=1", "is not ROLES=COUNT"),
        ("room+room=1", "is not ROLES=COUNT"),
        ("center=1,dispatcher=1", "share a port"),
        ("center+dispatcher=1,dispatcher=1", "share a port"),
    ],
)
def test_anything_else_is_a_mistake_that_is_named(processes: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(flags={"agent.processes": processes})
    ((field, text),) = caught.value.details
    assert field == "agent.processes"
    assert said in text


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(flags={"agent.processes": "door=1,room=0"})
    assert len(caught.value.details) == 2


def test_every_process_and_its_successor_has_a_port_for_its_probes() -> None:
    load(flags={"agent.processes": "room=100", "agent.status_ports": "65000"})
    with pytest.raises(SettingsError) as caught:
        load(flags={"agent.processes": "room=300", "agent.status_ports": "65000"})
    assert [field for field, _ in caught.value.details] == ["agent.status_ports"]
