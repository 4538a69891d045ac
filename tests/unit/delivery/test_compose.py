"""A draft becomes a message, or says what is wrong with it."""

import msgspec
import pytest

from longline.delivery.compose import Composer
from longline.delivery.draft import Draft
from longline.errors import LonglineError
from longline.model.apps import App
from longline.model.audience import MAX_NAMES, Devices, Everyone
from longline.model.messages import MAX_COLLAPSE_KEY, MAX_PAYLOAD, MAX_SPREAD, MAX_TTL

NOW = 1_800_000_000_000  # ms
APP = App(
    app="news",
    number=1,
    name="news",
    server_key_hash=b"",
    device_secret="",
    pubsub=False,
    created_at=NOW,
)
DRAFT = Draft(audience=Devices(("a",)), payload=b"x", content_type="text/plain")


def composer() -> Composer:
    return Composer(default_ttl=60, online_grace=0.5)


def test_what_the_draft_says_is_what_the_message_says() -> None:
    asked = Draft(
        audience=Everyone(),
        payload=b"\x00",
        content_type="a/b",
        ttl=10,
        qos=0,
        priority="high",
        collapse_key="k",
        spread_over=10,
    )
    envelope = composer().compose(APP, asked, NOW)
    message = envelope.message
    assert envelope.audience == Everyone()
    assert (message.app, message.payload, message.content_type) == ("news", b"\x00", "a/b")
    assert (message.created_at, message.expires_at) == (NOW, NOW + 10_000)
    assert (message.qos, message.priority, message.collapse_key) == (0, "high", "k")
    assert (message.online_only, message.spread_over) == (False, 10)


@pytest.mark.parametrize(
    ("asked", "life"),
    [
        ({}, 60_000),
        ({"ttl": 0}, 500),
        ({"online_only": True, "ttl": 9}, 500),
        ({"ttl": 0, "spread_over": 7}, 7500),
    ],
)
def test_a_message_lives_as_long_as_the_draft_the_settings_or_its_being_sent_say(
    asked: dict[str, object], life: int
) -> None:
    message = composer().compose(APP, msgspec.structs.replace(DRAFT, **asked), NOW).message
    assert message.expires_at - NOW == life
    assert message.online_only == (life < 60_000)


def test_ids_rise_in_the_order_in_which_messages_were_made() -> None:
    maker = composer()
    ids = [maker.compose(APP, DRAFT, NOW).message.id for _ in range(100)]
    assert ids == sorted(set(ids))


def test_a_name_that_is_given_twice_counts_once() -> None:
    asked = msgspec.structs.replace(DRAFT, audience=Devices(("b", "a", "b")))
    assert composer().compose(APP, asked, NOW).audience == Devices(("b", "a"))


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        ({"payload": b""}, "payload_empty", []),
        ({"payload": bytes(MAX_PAYLOAD + 1)}, "payload_too_large", []),
        ({"qos": 3}, "invalid", ["options.qos"]),
        ({"qos": -1}, "invalid", ["options.qos"]),
        ({"ttl": -1}, "invalid", ["options.ttl"]),
        ({"ttl": MAX_TTL + 1}, "invalid", ["options.ttl"]),
        ({"priority": "urgent"}, "invalid", ["options.priority"]),
        ({"collapse_key": ""}, "invalid", ["options.collapse_key"]),
        ({"collapse_key": "k" * (MAX_COLLAPSE_KEY + 1)}, "invalid", ["options.collapse_key"]),
        ({"spread_over": -1}, "invalid", ["options.spread_over"]),
        ({"spread_over": MAX_SPREAD + 1, "ttl": MAX_TTL}, "invalid", ["options.spread_over"]),
        ({"spread_over": 61}, "invalid", ["options.spread_over"]),
        ({"audience": Devices(())}, "invalid", ["audience.devices"]),
        ({"audience": Devices(tuple(map(str, range(MAX_NAMES + 1))))}, "invalid", ["audience.devices"]),
        ({"audience": Devices(("a", "b/c"))}, "invalid", ["audience.devices.1"]),
    ],
)
def test_each_mistake_has_its_code_and_names_its_field(
    change: dict[str, object], code: str, fields: list[str]
) -> None:
    """Also for who is not the API, whose decoder has bounds of its own."""
    with pytest.raises(LonglineError) as caught:
        composer().compose(APP, msgspec.structs.replace(DRAFT, **change), NOW)
    assert caught.value.code == code
    assert [field for field, _ in caught.value.details] == fields
