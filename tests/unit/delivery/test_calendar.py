"""When something is due that is said in local time, also on the days on which clocks are changed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longline.delivery.calendar import (
    Cron,
    Once,
    everywhere,
    local_time,
    milliseconds,
    moment,
    read_send_at,
    zone_named,
)
from longline.errors import InvalidCron, InvalidSendAt, InvalidTimezone

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000  # ms


def at(text: str, zone: ZoneInfo = BERLIN, *, second: bool = False) -> int:
    """A local time in ms; of two of that name the first unless the second is meant."""
    return milliseconds(datetime.fromisoformat(text).replace(tzinfo=zone, fold=int(second)))


def times(cron: str, after: int, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next times, in UTC."""
    found: list[str] = []
    moment: int | None = after
    while moment is not None and len(found) < count:
        moment = Cron(cron).after(moment, zone)
        if moment is not None:
            found.append(datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M"))
    return found


def test_a_time_of_day_is_that_of_the_zone_on_all_days() -> None:
    """Also when the zone's clocks have been changed in between."""
    assert times("0 9 * * *", at("2026-03-28T00:00"), 3) == [
        "2026-03-28T08:00",
        "2026-03-29T07:00",
        "2026-03-30T07:00",
    ]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0,30 2 * * *", "*/20 2 * * *", "15-45 2 * * *"])
def test_a_time_that_is_skipped_is_made_up_for_once(cron: str) -> None:
    """In the moment in which it would have been over: clocks go from 2:00 to 3:00, so at 3:00."""
    first, second = times(cron, at("2026-03-28T12:00"), 2)
    assert first == "2026-03-29T01:00"
    assert second.startswith("2026-03-30T00:")


def test_a_skipped_time_and_the_one_behind_it_are_one() -> None:
    """2:30 that is not there and 3:00 come to the same moment."""
    assert times("0,30 2,3 * * *", at("2026-03-29T00:00"), 3) == [
        "2026-03-29T01:00",
        "2026-03-29T01:30",
        "2026-03-30T00:00",
    ]


def test_a_time_that_comes_twice_is_taken_once() -> None:
    """The first time. Clocks go from 3:00 back to 2:00."""
    assert times("30 2 * * *", at("2026-10-24T12:00"), 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]
    assert times("0,30 2 * * *", at("2026-10-25T00:00"), 3) == [
        "2026-10-25T00:00",
        "2026-10-25T00:30",
        "2026-10-26T01:00",
    ]


@pytest.mark.parametrize("minute", [0, 10, 29, 30, 45, 59])
def test_in_the_second_of_two_hours_the_first_is_over(minute: int) -> None:
    """Whoever looks from within the repetition does not find what was due before it."""
    after = at(f"2026-10-25T02:{minute:02}", second=True)
    assert times("30 2 * * *", after, 1) == ["2026-10-26T01:30"]


def test_what_is_for_every_hour_goes_by_the_time_that_passes() -> None:
    """No interval is an hour longer, or an hour shorter, for a change of clocks."""
    for begin in ("2026-10-25T00:00", "2026-03-29T00:00"):
        found = [datetime.fromisoformat(each) for each in times("*/30 * * * *", at(begin), 12)]
        assert {b - a for a, b in pairwise(found)} == {timedelta(minutes=30)}


def test_the_29th_of_february_is_in_leap_years() -> None:
    assert times("0 12 29 2 *", at("2026-01-01T00:00"), 2) == ["2028-02-29T11:00", "2032-02-29T11:00"]


def test_days_of_the_week_are_those_of_the_zone() -> None:
    """Monday morning in Auckland is Sunday evening in UTC."""
    auckland = ZoneInfo("Pacific/Auckland")
    after = at("2026-06-05T12:00", auckland)  # a Friday
    assert times("0 8 * * 1-5", after, 2, auckland) == ["2026-06-07T20:00", "2026-06-08T20:00"]


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "0 0 9 * * *", "60 * * * *", "* 24 * * *", "x * * * *", "0 0 30 2 *", "*/0 * * * *"],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    """Also one with seconds, and one of a day that never comes."""
    with pytest.raises(InvalidCron) as refused:
        Cron(text)
    assert refused.value.details[0][0] == "cron"


@settings(max_examples=300)
@given(st.text("0123456789*/,-#LW ?x", max_size=20))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    """No expression raises anything else."""
    try:
        cron = Cron(text)
    except InvalidCron:
        return
    assert (cron.after(at("2026-01-01T00:00"), BERLIN) or 0) > at("2026-01-01T00:00")


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "/etc/passwd", "../UTC", "Europe", "Europe/Berlin\n", "\x00"]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidTimezone):
        zone_named(name)


SEND_AT: list[tuple[str, Callable[[], object]]] = [
    ("2026-12-24T18:00:00Z", lambda: at("2026-12-24T18:00", ZoneInfo("UTC"))),
    ("2026-12-24T18:00:00.25+01:00", lambda: at("2026-12-24T17:00", ZoneInfo("UTC")) + 250),
    ("2026-12-24t18:00:00-00:30", lambda: at("2026-12-24T18:30", ZoneInfo("UTC"))),
    ("2026-12-24T18:00:00", lambda: datetime.fromisoformat("2026-12-24T18:00:00")),
]


@pytest.mark.parametrize(("text", "expected"), SEND_AT)
def test_a_time_to_send_at_is_a_moment_or_local(text: str, expected: Callable[[], object]) -> None:
    assert read_send_at(text, at("2026-12-01T00:00")) == expected()


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "2026-12-24", "18:00:00", "20261224T180000Z", "2026-12-24T18:00:00+25:00"),
        *("2026-02-30T00:00:00Z", "2026-12-24T24:00:00Z", "2026-12-24T18:00:60Z", "2028-01-01T00:00:00Z"),
        *(
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59",
            "2026-12-24T18:00:00Z\n",
            "٢٠٢٦-12-24T18:00:00",
        ),
    ],
)
def test_what_is_no_time_to_send_at_is_refused(text: str) -> None:
    """Also one that is more than a year ahead."""
    with pytest.raises(InvalidSendAt) as refused:
        read_send_at(text, at("2026-12-01T00:00"))
    assert refused.value.details[0][0] == "options.send_at"


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2028-01-01")),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
)
def test_every_local_time_is_a_moment(local: datetime, name: str) -> None:
    """Where clocks show it: the first such moment; where they never do, the first behind it."""
    zone = ZoneInfo(name)
    found = moment(local, zone)
    shown = local_time(found, zone)
    local = local.replace(microsecond=local.microsecond // 1000 * 1000)
    if shown != local:
        assert shown > local  # it was skipped
        assert local_time(found - 1, zone) < local
    assert local_time(found - HOUR, zone) < shown or shown != local


async def test_a_local_time_comes_to_the_world_from_east_to_west() -> None:
    """In each zone at its moment, in each once, and somewhere it is the last."""
    once = Once(datetime.fromisoformat("2026-12-24T18:00:00"))
    after, due = 0, (await everywhere(once, 0, 0)).next
    moments: dict[str, int] = {}
    while due is not None:
        found = await everywhere(once, after, due)
        assert found.zones
        assert not found.zones & moments.keys()
        moments |= dict.fromkeys(found.zones, due)
        after, due = due, found.next
    assert moments["Europe/Berlin"] == at("2026-12-24T18:00")
    assert moments["UTC"] == at("2026-12-24T18:00", ZoneInfo("UTC"))
    assert moments["Pacific/Kiritimati"] == min(moments.values())
    assert max(moments.values()) - min(moments.values()) == 26 * HOUR


async def test_what_was_missed_everywhere_is_found_at_once() -> None:
    """A day without anybody to look: all zones are due together."""
    cron = Cron("0 9 * * *")
    after = at("2026-06-01T00:00")
    found = await everywhere(cron, after, after + 26 * HOUR)
    assert {"Europe/Berlin", "UTC", "America/New_York", "Asia/Tokyo"} <= found.zones
    assert found.next is not None
    assert found.next > after + 26 * HOUR


async def test_each_zone_has_a_repeated_hour_once() -> None:
    """On the day on which Berlin's clocks go back, 2:30 comes to it in the first of the two hours."""
    cron = Cron("30 2 * * *")
    first = at("2026-10-25T02:30")
    before = await everywhere(cron, first - HOUR, first - 1)
    assert "Europe/Berlin" not in before.zones
    assert "Europe/Berlin" in (await everywhere(cron, first - 1, first)).zones
    assert "Europe/Berlin" not in (await everywhere(cron, first, first + 2 * HOUR)).zones
