"""The document of settings that change at run time: what it says, to whom, and how it goes back."""

import msgspec
import pytest

from longline.errors import Conflict, LonglineError, SettingNotFound, ValidationFailed
from longline.settings import CATALOGUE, Settings
from longline.settings.dynamic import (
    DYNAMIC,
    REMEMBERED,
    Document,
    Gray,
    checked,
    decode,
    effective,
    encode,
    promote,
    put,
    remove,
    roll_back,
    roll_back_one,
)

OWN = Settings()


def document(*changes: tuple[str, object], nodes: tuple[str, ...] = ()) -> Document:
    made = Document()
    for at, (name, value) in enumerate(changes, 1):
        made = put(made, name, value, nodes, at)
    return made


def test_nothing_changes_a_nodes_own_settings_at_first() -> None:
    assert decode(None) == Document()
    assert effective(OWN, Document(), "n1") == OWN


def test_a_value_for_all_nodes_is_in_force_on_all() -> None:
    made = document(("room.linger", 3), ("dispatcher.pools", ["news=beta"]), ("node.log_level", "debug"))
    for node in ("n1", "n2"):
        settings = effective(OWN, made, node)
        assert settings.room.linger == 3.0
        assert settings.dispatcher.pools == ("news=beta",)
        assert settings.node.log_level == "debug"
        assert settings.room.port == OWN.room.port
    assert made.version == 3


def test_a_value_on_trial_is_in_force_on_its_nodes_only() -> None:
    made = put(document(("room.linger", 3)), "room.linger", 7, ("n1", "host-3"), 2)
    assert effective(OWN, made, "n1", "host-1").room.linger == 7
    assert effective(OWN, made, "n2", "host-3").room.linger == 7
    assert effective(OWN, made, "n3", "host-2").room.linger == 3


def test_a_trial_is_promoted_to_all_or_ended() -> None:
    made = document(("room.linger", 3), ("center.max_requests", 9), nodes=("n1",))
    assert effective(OWN, made, "n2") == OWN
    everywhere = promote(made, 5)
    assert (everywhere.gray, effective(OWN, everywhere, "n2").center.max_requests) == (None, 9)
    ended = roll_back(made, 5)
    assert (ended.gray, effective(OWN, ended, "n1")) == (None, OWN)
    assert everywhere.version == ended.version == made.version + 1


def test_two_trials_at_once_would_not_tell_whose_effect_it_was() -> None:
    made = document(("room.linger", 3), nodes=("n1", "n2"))
    assert put(made, "room.linger", 4, ("n2", "n1"), 2).gray == Gray(("n1", "n2"), {"room.linger": 4})
    with pytest.raises(Conflict, match="n1, n2"):
        put(made, "room.linger", 4, ("n1",), 2)
    with pytest.raises(Conflict):
        promote(document(("room.linger", 3)), 2)


def test_a_removed_value_leaves_each_node_to_its_own() -> None:
    made = put(document(("room.linger", 3), ("room.ack_delay", 1)), "room.linger", 4, ("n1",), 3)
    made = remove(made, "room.linger", 4)
    assert (made.settings, made.gray) == ({"room.ack_delay": 1}, None)
    assert effective(OWN, made, "n1").room.linger == OWN.room.linger


def test_everything_can_go_back_to_what_was_before_the_latest_change() -> None:
    made = document(("room.linger", 3), ("room.linger", 4))
    back = roll_back(made, 9)
    assert (back.settings, back.version) == ({"room.linger": 3}, 3)
    assert roll_back(back, 10).settings == {"room.linger": 4}
    with pytest.raises(Conflict):
        roll_back(Document(), 1)


def test_one_setting_goes_back_and_the_others_stay() -> None:
    made = document(("room.linger", 3), ("room.ack_delay", 1), ("room.linger", 4), ("room.ack_delay", 2))
    assert roll_back_one(made, "room.linger", 9).settings == {"room.linger": 3, "room.ack_delay": 2}
    first = document(("room.ack_delay", 1), ("room.linger", 3))
    assert roll_back_one(first, "room.linger", 9).settings == {"room.ack_delay": 1}
    with pytest.raises(Conflict):
        roll_back_one(first, "center.max_requests", 9)


def test_only_so_many_former_states_are_remembered() -> None:
    made = document(*(("room.linger", n) for n in range(REMEMBERED + 10)))
    assert len(made.history) == REMEMBERED
    assert [past.version for past in made.history[:2]] == [made.version - 1, made.version - 2]
    assert made.history[0].at == REMEMBERED + 9


def test_a_document_comes_back_as_it_was_kept() -> None:
    made = put(document(("room.linger", 3.5), ("dispatcher.pools", ["a=b"])), "node.weight", 2, ("n1",), 3)
    assert decode(encode(made)) == made


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("room.nothing", 1, SettingNotFound),
        ("room.port", 1884, ValidationFailed),
        ("node.region", "x", ValidationFailed),
        ("room.linger", -1, ValidationFailed),
        ("room.linger", "3", ValidationFailed),
        ("room.linger", None, ValidationFailed),
        ("center.max_requests", 1.5, ValidationFailed),
        ("node.log_level", "loud", ValidationFailed),
        ("dispatcher.pools", ["news"], ValidationFailed),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_a_reason(
    name: str, value: object, error: type[LonglineError]
) -> None:
    with pytest.raises(error) as caught:
        put(Document(), name, value, (), 1)
    assert caught.value.details or error is SettingNotFound


def test_what_a_newer_version_wrote_is_left_out() -> None:
    made = Document(version=9, settings={"room.new_thing": 1, "room.linger": "long", "room.ack_delay": 2})
    assert effective(OWN, made, "n1") == msgspec.structs.replace(
        OWN, room=msgspec.structs.replace(OWN.room, ack_delay=2.0)
    )


def test_what_a_start_alone_can_change_is_not_dynamic() -> None:
    assert {"room.linger", "node.weight", "dispatcher.pools", "coordinator.grace"} <= set(DYNAMIC)
    for name, entry in DYNAMIC.items():
        assert not entry.secret
        assert CATALOGUE[name] is entry
        assert not name.endswith(("port", "host", "path"))


def test_every_default_of_a_dynamic_setting_is_allowed() -> None:
    for name, entry in DYNAMIC.items():
        checked(name, msgspec.to_builtins(entry.default))
