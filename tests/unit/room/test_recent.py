from longline.room.push.recent import Recent


def test_a_key_is_new_once_for_as_long_as_it_is_among_the_latest() -> None:
    recent = Recent(2)
    assert [recent.add(key) for key in ("a", "a", "b", "a", "c", "b", "a")] == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]
