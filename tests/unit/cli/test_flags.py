"""Every setting is a flag."""

from pathlib import Path

import pytest

from longline.cli.flags import load_settings, parse_overrides
from longline.cli.usage import UsageError
from longline.errors import SettingsError


def test_flags_are_read_in_both_spellings() -> None:
    tokens = ["--room.port", "1884", "--center.port=0", "--data-dir", "/srv", "--room.ack-delay=2"]
    assert parse_overrides(tokens) == {
        "room.port": "1884",
        "center.port": "0",
        "data_dir": "/srv",
        "room.ack_delay": "2",
    }


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--room.prot", "1"], "no flag --room.prot"),
        (["--room.port"], "--room.port needs a value"),
        (["loose"], "unexpected argument 'loose'"),
        (["-p", "1"], "unexpected argument '-p'"),
    ],
)
def test_what_is_no_setting_is_wrong_usage(tokens: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_overrides(tokens)


def test_data_is_the_setting_data_dir() -> None:
    assert load_settings(None, Path("/srv"), [], {}).settings.data_dir == Path("/srv")


def test_a_bad_value_of_a_flag_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="integer from 0 to 65,535 wanted"):
        load_settings(None, None, ["--room.port=99999"], {"LONGLINE_ROOM__PORT": "also bad"})


def test_a_bad_value_elsewhere_is_a_failure() -> None:
    with pytest.raises(SettingsError):
        load_settings(None, None, ["--room.port=99999"], {"LONGLINE_CENTER__PORT": "bad"})
