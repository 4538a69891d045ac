"""Scripts and what they include."""

import hashlib

from longline.store.script import Script


def test_an_included_file_stands_where_it_was_asked_for_and_only_once() -> None:
    script = Script("tests.unit.store.lua", "refuse.lua")

    assert script.text.splitlines() == [
        b"local more = 1",
        b"local word = 'FENCED'",
        b"return redis.error_reply(word .. ' ' .. ARGV[1])",
    ]


def test_a_script_is_named_by_the_digest_of_its_whole_text() -> None:
    script = Script("tests.unit.store.lua", "refuse.lua")

    assert script.sha == hashlib.sha1(script.text).hexdigest().encode()
