"""How a server tells a client to go elsewhere, and what a client makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.mqtt.moving import (
    MAX_ENDPOINTS,
    moved_notice,
    moved_properties,
    read_moved_notice,
    read_moved_properties,
    read_reference,
)
from longline.mqtt.properties import Properties, PropertyId


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("myserver.xyz.org", [("myserver.xyz.org", 1883)]),
        ("myserver.xyz.org:8883", [("myserver.xyz.org", 8883)]),
        (
            "10.10.151.22:8883 [fe80::9610:3eff:fe1c]:1884",
            [("10.10.151.22", 8883), ("fe80::9610:3eff:fe1c", 1884)],
        ),
        ("[::1]", [("::1", 1883)]),
        ("", []),
        ("::1", []),
        ("a:0 b:65536 c:x d: :1 [] []:1 e:1", [("e", 1)]),
        ("a:\u0661", []),
    ],
)
def test_a_server_reference_is_a_list_of_servers(text: str, found: list[tuple[str, int]]) -> None:
    """Section 4.11, its examples among these."""
    assert read_reference(text, 1883) == found


def test_a_server_reference_without_end_is_cut() -> None:
    assert len(read_reference("a " * 1000, 1)) == MAX_ENDPOINTS


@pytest.mark.parametrize("server", [None, "10.0.0.2:1884", "[::1]:1884"])
def test_both_versions_say_the_same(server: str | None) -> None:
    endpoints = read_reference(server, 1) if server else []
    assert read_moved_properties(moved_properties(server, 1500), 1) == (endpoints, 1.5)
    assert read_moved_notice(moved_notice(server, 1500)) == (endpoints, 1.5)


def test_the_notice_is_json_that_any_client_can_read() -> None:
    notice = json.loads(moved_notice("10.0.0.2:1884", 20))
    assert notice == {"endpoints": [{"host": "10.0.0.2", "port": 1884}], "after_ms": 20}


@pytest.mark.parametrize("after", ["", "-1", "x", "1.5", "9" * 20])
def test_a_wait_that_makes_no_sense_is_none(after: str) -> None:
    properties: Properties = {PropertyId.USER_PROPERTY: [("after-ms", after)]}
    assert read_moved_properties(properties, 1) == ([], 0.0)
    assert read_moved_properties(None, 1) == ([], 0.0)


def test_a_wait_is_bounded() -> None:
    assert read_moved_properties(moved_properties(None, 10**8), 1) == ([], 60.0)
    assert read_moved_notice(moved_notice(None, 10**12)) == ([], 60.0)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["endpoints", "after_ms", "host", "port"]), inner, max_size=4
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_no_notice_does_harm(payload: bytes) -> None:
    endpoints, after = read_moved_notice(payload)
    assert all(host and 0 < port <= 65_535 for host, port in endpoints)
    assert 0.0 <= after <= 60.0
