"""The benchmark of the console's pages has all of them."""

import re
from importlib.resources import files

from benchmarks.pages import Filled, pages

WITHOUT_CALLS = {"login"}


def test_every_page_of_the_console_is_measured() -> None:
    scripts = (files("longline.console") / "files" / "pages").iterdir()
    modules = {file.name.removesuffix(".js") for file in scripts}
    messages = {"one": "m1", "crowd": "m2", "everyone": "m3"}
    filled = Filled(node="room-1", messages=messages, profiles=["p1", "p2"])
    assert {page.module for page in pages(filled)} == modules - WITHOUT_CALLS


def test_what_is_asked_of_devices_and_messages_is_what_their_pages_can_ask() -> None:
    for name in ("devices", "messages"):
        text = (files("longline.console") / "files" / "pages" / f"{name}.js").read_text("utf-8")
        fields = re.search(r"const FIELDS = \[(.*)\]", text)
        assert fields is not None
        offered = set(re.findall(r'"(\w+)"', fields[1]))
        filled = Filled(node="room-1", profiles=["p1", "p2"])
        asked = {
            key
            for page in pages(filled)
            if page.module == name
            for step in page.steps
            for call in step
            for key in call.parameters
        }
        assert asked - {"limit"} <= offered
