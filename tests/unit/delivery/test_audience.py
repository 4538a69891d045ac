"""What an audience may be, whoever brings it, and who its aliases are."""

from collections.abc import Sequence

import msgspec
import pytest

from longline.delivery.audience import called
from longline.delivery.checking import AudienceBounds, checked
from longline.delivery.draft import Draft
from longline.delivery.replies import ReplyAddress
from longline.delivery.slices import sliced
from longline.errors import (
    AudienceTooComplex,
    AudienceTooLarge,
    LonglineError,
    NoTarget,
    PayloadEmpty,
    ReplyInvalid,
    ValidationFailed,
)
from longline.model.apps import App
from longline.model.audience import (
    MAX_CALLED,
    MAX_NAMES,
    Aliases,
    AllOf,
    AnyOf,
    Devices,
    Equal,
    Everyone,
    Expression,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
    Wanted,
)
from longline.saver.port.audiences import Described
from longline.saver.port.inboxes import Arrival
from tests.fakes.saver import FakeSaver

NOBODY_ASKED = FakeSaver().devices
APP = App(
    app="news",
    number=7,
    name="news",
    server_key_hash=b"h" * 32,
    device_secret="s",
    pubsub=False,
    created_at=0,
)
BOUNDS = AudienceBounds(tests=20, depth=4, alias_devices=100)


class Known:
    """Fulfils `AudienceStore`: aliases and the devices that have them."""

    def __init__(self, holders: dict[str, list[str]]) -> None:
        self.known = holders
        self.asked: list[list[str]] = []

    async def describe(self, app: int, expression: Expression, limit: int) -> Described:
        raise AssertionError("nobody asks for that here")

    async def holders(self, app: int, aliases: Sequence[str], limit: int) -> list[list[str]]:
        assert app == APP.number
        self.asked.append(list(aliases))
        return [self.known.get(alias, [])[:limit] for alias in aliases]


def draft(audience: Wanted) -> Draft:
    return Draft(audience=audience, payload=b"x", content_type="text/plain")


@pytest.mark.parametrize(
    "audience",
    [
        Tagged(()),
        OnPlatform(()),
        AnyOf(()),
        AllOf((Everyone(), NoneOf(()))),
        Equal("x", ()),
        Devices(()),
        Aliases(()),
        Aliases(tuple(str(n) for n in range(MAX_NAMES + 1))),
        Devices(("a", "b/c")),
    ],
)
def test_an_audience_that_says_nothing_or_too_much_is_refused(audience: Wanted) -> None:
    """An empty list may have been meant to be anybody."""
    with pytest.raises(ValidationFailed) as refused:
        checked(audience, BOUNDS)
    assert refused.value.code == "invalid"


@pytest.mark.parametrize(
    ("audience", "fine"),
    [
        (Tagged(("t",) * 20), True),
        (Tagged(("t",) * 21), False),
        (AllOf((Ordered("x", "gt", 1), Ordered("x", "lt", 3))), True),
        (AllOf((Ordered("x", "gt", 1), Ordered("x", "lt", 3), Equal("x", (2,)))), False),
        (Equal("x", ("a", True, 1, 2.5)), True),
        (AnyOf((AnyOf((AnyOf((Tagged(("t",)),)),)),)), True),
        (NoneOf((AllOf((AnyOf((AnyOf((Tagged(("t",)),)),)),)),)), False),
    ],
)
def test_what_an_expression_may_ask_is_bounded(audience: Expression, fine: bool) -> None:
    if fine:
        assert checked(audience, BOUNDS) is audience
    else:
        with pytest.raises(AudienceTooComplex):
            checked(audience, BOUNDS)


def test_names_that_are_repeated_count_once() -> None:
    assert checked(Devices(("a", "b", "a")), BOUNDS) == Devices(("a", "b"))
    assert checked(Aliases(("a", "b", "a")), BOUNDS) == Aliases(("a", "b"))


async def test_of_all_messages_the_aliases_are_asked_for_at_once() -> None:
    store = Known({"ann": ["phone", "tablet"], "bob": ["phone"]})
    drafts: list[Draft | LonglineError] = [
        draft(Aliases(("ann", "bob"))),
        draft(Everyone()),
        PayloadEmpty(),
        draft(Aliases(("bob", "nobody"))),
        draft(Devices(("ann",))),
        draft(Aliases(())),
    ]
    found = await called(drafts, APP, store, NOBODY_ASKED, BOUNDS)
    assert store.asked == [["ann", "bob", "nobody"]]
    assert found[0] == Devices(("phone", "tablet"))
    assert found[3] == Devices(("phone", "@nobody")), "who stands for nobody, and is called like no device"
    assert sorted(found) == [0, 3]


async def test_without_aliases_nobody_is_asked() -> None:
    store = Known({})
    drafts = [draft(Devices(("a",))), draft(Tagged(("t",)))]
    assert await called(drafts, APP, store, NOBODY_ASKED, BOUNDS) == {}
    assert store.asked == []


async def test_aliases_of_too_many_devices_are_refused_one_by_one() -> None:
    crowd = {f"a{n}": [f"d{n}-{m}" for m in range(100)] for n in range(MAX_CALLED // 100 + 1)}
    store = Known({**crowd, "all": [f"d{n}" for n in range(101)]})
    most = Aliases(tuple(crowd)[:-1])
    drafts = [draft(Aliases(tuple(crowd))), draft(most), draft(Aliases(("a0", "all")))]
    found = await called(drafts, APP, store, NOBODY_ASKED, BOUNDS)
    too_many, fine, too_large = (found[place] for place in range(3))
    assert isinstance(too_many, AudienceTooLarge)
    assert isinstance(fine, Devices)
    assert len(fine.devices) == MAX_CALLED
    assert isinstance(too_large, AudienceTooLarge)
    assert [*too_large.details] == [("audience.aliases.1", "at most 100 devices of one alias")]


def test_messages_to_aliases_go_in_pieces() -> None:
    """What they come to is not known yet, and may be more than one device each."""
    pieces = list(sliced([draft(Aliases(("a",)))] * 1000))
    assert len(pieces) > 1
    assert pieces[0][1] - pieces[0][0] > 100


async def test_an_answer_is_for_the_device_that_asked_and_no_later_one() -> None:
    saver = FakeSaver()
    saver.arrivals["phone"] = Arrival(5, False, 0, 0)
    drafts = [
        msgspec.structs.replace(draft(Devices((name,))), reply=ReplyAddress(7, ordinal, name, "answers"))
        for name, ordinal in (("phone", 5), ("phone", 4), ("gone", 3))
    ]
    drafts.append(msgspec.structs.replace(drafts[0], reply=ReplyAddress(8, 5, "phone", "answers")))
    saver.arrivals["gone"] = None
    found = await called(drafts, APP, Known({}), saver.devices, BOUNDS)
    assert {place: type(error) for place, error in found.items()} == {
        1: NoTarget,
        2: NoTarget,
        3: ReplyInvalid,
    }
