"""Settings come to the engines as what they are."""

from collections.abc import Iterator

import msgspec

from longline.node.saver_bounds import saver_bounds
from longline.saver.bounds import SaverBounds
from longline.settings import Settings

SECTIONS = ("saver", "sessions", "groups", "webhooks", "telemetry")
UNSET = "figures."  # what there is no setting for


def each(bounds: msgspec.Struct, subject: str = "") -> Iterator[tuple[str, int]]:
    for name in bounds.__struct_fields__:
        value = getattr(bounds, name)
        if isinstance(value, msgspec.Struct):
            yield from each(value, f"{subject}{name}.")
        else:
            yield subject + name, value


def test_what_nothing_is_set_of_is_what_an_engine_keeps_by_itself() -> None:
    assert saver_bounds(Settings()) == SaverBounds()


def test_each_bound_has_a_setting_of_its_own() -> None:
    settings = Settings()
    before = dict(each(saver_bounds(settings)))
    of_setting: dict[str, str] = {}
    for section in SECTIONS:
        part = getattr(settings, section)
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if type(value) is not int:
                continue
            changed = msgspec.structs.replace(part, **{name: value + 1})
            after = dict(each(saver_bounds(msgspec.structs.replace(settings, **{section: changed}))))
            for bound in before:
                if after[bound] != before[bound]:
                    assert bound not in of_setting
                    of_setting[bound] = f"{section}.{name}"
    assert len(set(of_setting.values())) == len(of_setting)
    assert before.keys() - of_setting.keys() == {bound for bound in before if bound.startswith(UNSET)}
