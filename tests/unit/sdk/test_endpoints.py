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


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Endpoints([])
