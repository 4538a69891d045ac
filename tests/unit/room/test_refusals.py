"""A refusal that no packet can carry would end the connection of whoever is refused."""

import importlib
import pkgutil

import pytest

import longline.room
from longline.mqtt.packets import PUBACK
from longline.mqtt.reasons import ACKNOWLEDGEMENT_REASONS, DISCONNECT_REASONS, SUBACK_REASONS
from longline.room.pubsub.rules import Refusal


def refusals() -> dict[str, Refusal]:
    """All that stand in modules of the room, by module and name."""
    found: dict[str, Refusal] = {}
    for info in pkgutil.walk_packages(longline.room.__path__, "longline.room."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if isinstance(value, Refusal):
                found[f"{info.name}.{name}"] = value
    return found


REFUSALS = refusals()


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_packet_can_carry_it(name: str) -> None:
    refusal = REFUSALS[name]
    carried = DISCONNECT_REASONS if refusal.fatal else ACKNOWLEDGEMENT_REASONS[PUBACK] | SUBACK_REASONS
    assert refusal.reason in carried


def test_there_are_some() -> None:
    assert len(REFUSALS) > 20
