"""Whom an expression describes, in plain Python: engines work it out by sets, here each device is asked."""

from longline.model.audience import (
    AllOf,
    AnyOf,
    Equal,
    Everyone,
    Expression,
    Having,
    InGroup,
    InZone,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
)
from longline.model.devices import Profile


def describes(expression: Expression, profile: Profile) -> bool:
    """Whether a device of this profile is among them."""
    match expression:
        case Everyone():
            return True
        case Tagged(tags):
            return not set(tags).isdisjoint(profile.tags)
        case OnPlatform(platforms):
            return profile.platform in platforms
        case InZone(zones):
            return profile.timezone in zones
        case Having(name):
            return name in profile.attributes
        case Equal(name, values):
            return any(_same(profile.attributes.get(name), value) for value in values)
        case Ordered(name, order, number):
            value = profile.attributes.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                return False
            value = float(value)
            return {
                "gt": value > number,
                "gte": value >= number,
                "lt": value < number,
                "lte": value <= number,
            }[order]
        case AnyOf(of):
            return any(describes(each, profile) for each in of)
        case AllOf(of):
            return all(describes(each, profile) for each in of)
        case NoneOf(of):
            return not any(describes(each, profile) for each in of)
        case InGroup():
            raise ValueError("no profile says who is in a group")


def _same(one: object, other: object) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    return isinstance(one, int | float) and isinstance(other, int | float) and float(one) == float(other)
