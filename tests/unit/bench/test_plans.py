"""How a plan is divided among processes: everything is done once, by somebody."""

import pytest

from longline.bench import fanout, unicast
from longline.bench.fleet import limit_reached

SHAPES = [(1, 1000, 0), (1, 10, 3), (2, 7, 1), (3, 5, 6), (7, 2, 0), (50, 1, 1), (50, 1, 4)]


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize(("topics", "subscribers", "publishers"), SHAPES)
def test_every_subscriber_and_publisher_has_one_process(
    topics: int, subscribers: int, publishers: int, processes: int
) -> None:
    plan = fanout.FanoutPlan(topics=topics, subscribers=subscribers, publishers=publishers)
    homes: dict[int, int] = {}
    for topic in range(topics):
        assert sum(plan.shares(topic, processes)) == subscribers
        home = plan.home_of(topic, processes)
        assert 0 <= home < processes
        for publisher in plan.publishers_of(topic):
            # A publisher of several topics sits in the one process that is home to all of them.
            assert homes.setdefault(publisher, home) == home
    assert sorted(homes) == list(range(plan.publishing()))


def test_a_topic_with_several_publishers_has_their_windows_together() -> None:
    plan = fanout.FanoutPlan(topics=2, publishers=5, window=8)
    assert [plan.topic_window(topic) for topic in range(2)] == [24, 16]


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_every_message_is_posted_by_one_process(processes: int) -> None:
    plan = unicast.UnicastPlan(key="k")
    assert sum(plan.part(1003, index, processes) for index in range(processes)) == 1003


def test_a_generator_at_nine_tenths_of_a_core_was_the_limit() -> None:
    assert not limit_reached([0.2, 0.89])
    assert limit_reached([0.2, 0.9])
