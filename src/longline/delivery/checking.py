"""Whether an audience can be: what is wrong with it by itself, before anybody is asked who that is.

Compiled: it is asked of each message.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from longline.errors import AudienceTooComplex, ValidationFailed
from longline.model.audience import (
    MAX_NAMES,
    Aliases,
    AllOf,
    AnyOf,
    Audience,
    Devices,
    Equal,
    Everyone,
    Expression,
    InGroup,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
    Wanted,
    parts_of,
)
from longline.model.devices import check_device_names

NUMBER: Final = 8  # tests that a comparison with a number is worth: it takes more sets than one


class AudienceBounds(NamedTuple):
    """What an audience may ask of the store.

    `tests`: what it asks of a device, a label each, and `NUMBER` for a comparison with a number. `depth`:
    what is in one another, be it any, every or none. `alias_devices`: devices that have one alias.
    """

    tests: int = 256
    depth: int = 16
    alias_devices: int = 100


def checked(wanted: Wanted, bounds: AudienceBounds) -> Wanted:
    """The audience without repetition; raises what is wrong with it."""
    if isinstance(wanted, Devices):
        names = wanted.devices
        _check_count(names, "devices")
        check_device_names(names, "audience.devices")
        return wanted if len(names) == 1 else Devices(tuple(dict.fromkeys(names)))
    if isinstance(wanted, Aliases):
        aliases = wanted.aliases
        _check_count(aliases, "aliases")
        return wanted if len(aliases) == 1 else Aliases(tuple(dict.fromkeys(aliases)))
    if not isinstance(wanted, Everyone | InGroup):
        _check_expression(wanted, bounds)
    return wanted


def _check_count(names: Sequence[str], field: str) -> None:
    if not 0 < len(names) <= MAX_NAMES:
        raise ValidationFailed(
            "a field's value is not allowed", details=[(f"audience.{field}", f"1 to {MAX_NAMES} {field}")]
        )


def _check_expression(expression: Expression, bounds: AudienceBounds) -> None:
    tests = 0
    waiting: list[tuple[Expression, int]] = [(expression, 1)]
    while waiting:
        each, depth = waiting.pop()
        tests += _tests(each)
        if tests > bounds.tests:
            raise AudienceTooComplex(
                "the audience asks for too much",
                details=[
                    ("audience", f"at most {bounds.tests} tests, a comparison with a number is {NUMBER}")
                ],
            )
        if depth > bounds.depth:
            raise AudienceTooComplex(
                "the audience is nested too deeply", details=[("audience", f"at most {bounds.depth} deep")]
            )
        waiting += [(part, depth + 1) for part in parts_of(each)]


def _tests(expression: Expression) -> int:
    """What an expression asks by itself; `ValidationFailed` for nothing."""
    match expression:
        case AnyOf(of) | AllOf(of) | NoneOf(of) | Tagged(of) | OnPlatform(of):
            tests = len(of)
        case Equal(values=values):
            tests = sum(1 if isinstance(value, bool | str) else NUMBER for value in values)
        case Ordered():
            tests = NUMBER
        case _:
            tests = 1
    if tests == 0:
        raise ValidationFailed("the audience asks nothing", details=[("audience", "an empty list")])
    return tests


def settled(wanted: Wanted, called: Devices | None) -> Audience:
    """The audience that stores know: `called` is who the aliases are, where it consists of such."""
    if isinstance(wanted, Aliases):
        assert called is not None, "somebody has to be asked first who they are"
        return called
    return wanted
