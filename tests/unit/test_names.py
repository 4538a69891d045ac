"""One word for one thing in the whole source, and only words that others bring along."""

from pathlib import Path

import pytest
from tools.names import strange_words, twins

SOURCE = Path(__file__).parents[2] / "src" / "longline"

# What is one thing, written twice because neither may import the other: the part of a port in each of its
# engines; JSON as it is said and as it is read; and what users of the SDK hold of a device and of a message.
ONE_THING = (
    {"saver/kv", "saver/sql"},
    {"center/apps/apps.py", "sdk/answers.py"},
    {"center/devices/device_views.py", "sdk/answers.py"},
    {"center/devices/tokens.py", "sdk/answers.py"},
    {"center/events/webhook_shapes.py", "sdk/webhooks.py"},
    {"center/messages/message_shapes.py", "sdk/answers.py"},
    {"center/messages/statuses.py", "sdk/answers.py"},
    {"center/messages/traces.py", "sdk/answers.py"},
    {"dispatcher/dispatcher.py", "sdk/dispatch.py", "sdk/backoff.py"},
    {"model/devices.py", "sdk/device.py"},
    {"model/messages.py", "sdk/message.py"},
)


def is_one_thing(files: list[str]) -> bool:
    return any(all({file, str(Path(file).parent)} & pair for file in files) for pair in ONE_THING)


def test_a_class_has_its_name_for_itself() -> None:
    found = {name: files for name, files in twins(SOURCE).items() if not is_one_thing(files)}
    assert found == {}


def test_every_word_is_one_that_others_bring_along() -> None:
    assert strange_words(SOURCE) == {}


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("class FrontDesk: ...", "desk"),
        ("a_scene = 1", "scene"),
        ("def steer(why: Why) -> None: ...", "why"),
        ("x = 1  # who knocks at the door", "at the door"),
        ('"""An obituary."""', "obituary"),
    ],
)
def test_a_strange_word_is_found_in_names_and_prose(source: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(source)
    assert strange_words(tmp_path) == {word: ["file.py:1"]}


def test_words_that_are_part_of_others_and_adverbs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("warehouse = desktop = elsewhere = 1  # why it is town by town\n")
    assert strange_words(tmp_path) == {}


def test_a_class_of_two_files_is_found_unless_it_is_private(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("class Link: ...\nclass _Place: ...\n")
    assert twins(tmp_path) == {"Link": ["one.py", "two.py"]}
