"""Figures in words: what is wrong is always said, what is right only once."""

import msgspec

from longline.bench import connections, fanout, unicast
from longline.bench.latencies import Latencies
from longline.bench.ledgers import ServerVerdict
from longline.bench.report import aligned, lines_of
from longline.bench.servers import Memory

LATENCIES = Latencies(1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 1000)

FANOUT = fanout.FanoutFigures(
    seconds=10.0,
    delivered_per_second=123456.7,
    published_per_second=123.4,
    latency=LATENCIES,
    lost=0,
    surplus=0,
    disordered=0,
    unfinished=0,
    lost_connections=0,
    server_cpu=0.5,
    delivered_per_server_core=246913.4,
    generator_cpu=[0.25, 0.5],
    generator_was_the_limit=False,
)

CONNECTIONS = connections.ConnectionsFigures(
    opened=1000,
    refused={"connack 0x05": 3},
    lost=2,
    seconds=0.5,
    connects_per_second=2000.0,
    handshake=LATENCIES,
    held_seconds=5.0,
    pings=7,
    memory_before=Memory(10_000_000, 9_000_000, 8_000_000),
    memory_after=Memory(12_000_000, 11_000_000, 9_500_000),
    server_cpu=0.25,
    rss_bytes_per_connection=2000.0,
    private_bytes_per_connection=1500.0,
    generator_cpu=[0.95],
    generator_was_the_limit=True,
)

UNICAST = unicast.UnicastFigures(
    seconds=10.0,
    acknowledged_per_second=12345.6,
    receipt=LATENCIES,
    answer=LATENCIES,
    accepted=100,
    acknowledged=99,
    lost=1,
    duplicates=0,
    refused={"429": 500},
    foreign=4,
    lost_connections=0,
    verdict=ServerVerdict(10, 1, 5, 0),
    server_cpu=None,
    generator_cpu=[0.1],
    generator_was_the_limit=False,
)


def test_a_sound_run_has_no_line_about_what_is_wrong() -> None:
    labels = [label for label, _ in lines_of(FANOUT)]
    assert FANOUT.sound()
    assert "delivered per second" in labels
    assert not {"lost", "surplus", "warning", "connections lost"} & set(labels)


def test_everything_wrong_has_a_line() -> None:
    wrong = msgspec.structs.replace(FANOUT, lost=1, surplus=2, disordered=3, unfinished=4, lost_connections=5)
    assert not wrong.sound()
    assert [value for _, value in lines_of(wrong)[-6:-1]] == ["1", "2", "3", "4", "5"]


def test_a_generator_that_was_the_limit_says_so_last() -> None:
    assert lines_of(CONNECTIONS)[-1] == ("warning", "load generator was the limit")


def test_connections_are_weighed_and_their_refusals_named() -> None:
    lines = dict(lines_of(CONNECTIONS))
    assert lines["resident bytes per connection"] == "2,000"
    assert lines["private bytes per connection"] == "1,500"
    assert lines["refused"] == "3 × connack 0x05"
    assert lines["lost while held"] == "2"
    assert not CONNECTIONS.sound()


def test_unicasts_tell_what_the_server_still_holds() -> None:
    lines = dict(lines_of(UNICAST))
    assert lines["pending at the server"] == "1 at 10 devices"
    assert lines["lost"] == "1"
    assert lines["left by an earlier run"] == "4"
    assert not UNICAST.sound()


def test_labels_and_values_stand_in_two_columns() -> None:
    assert aligned([("a", "1"), ("long", "2")]) == "a     1\nlong  2"
