"""Where a device connects next."""

import pytest

from longline.sdk.endpoints import Endpoints

A, B, C = ("a", 1), ("b", 2), ("c", 3)


def test_the_list_is_tried_in_its_order_and_then_from_its_beginning() -> None:
    endpoints = Endpoints([A, B])
    tried = []
    for _ in range(3):
        tried.append(endpoints.current)
        endpoints.failed()
    assert tried == [A, B, A]


def test_where_the_server_sent_the_device_comes_first_until_it_fails() -> None:
    endpoints = Endpoints([A])
    endpoints.send_to([B, C])
    assert endpoints.current == B
    endpoints.failed()
    assert endpoints.current == C
    endpoints.failed()
    assert endpoints.current == A


def test_sent_nowhere_in_particular_it_tries_another_of_the_list() -> None:
    endpoints = Endpoints([A, B])
    endpoints.send_to([])
    assert endpoints.current == B


def test_a_new_list_leaves_it_where_it_was_sent() -> None:
    endpoints = Endpoints([A])
    endpoints.send_to([C])
    endpoints.feed([B])
    assert endpoints.current == C
    endpoints.failed()
    assert endpoints.current == B


def test_a_list_is_used_up_when_each_of_it_has_failed_since_one_worked() -> None:
    endpoints = Endpoints([A, B])
    endpoints.failed()
    endpoints.worked()
    endpoints.failed()
    assert not endpoints.used_up
    endpoints.failed()
    assert endpoints.used_up
    endpoints.feed([C])
    assert not endpoints.used_up


def test_where_the_server_sent_the_device_is_not_of_the_list() -> None:
    endpoints = Endpoints([A])
    endpoints.send_to([B])
    assert endpoints.sent
    endpoints.failed()
    assert not endpoints.sent
    assert not endpoints.used_up


def test_it_may_know_nothing_at_first_but_is_never_fed_nothing() -> None:
    endpoints = Endpoints()
    assert not endpoints.known
    assert endpoints.used_up
    with pytest.raises(ValueError, match="at least one"):
        endpoints.feed([])
    endpoints.send_to([])
    endpoints.feed([A])
    assert endpoints.known
