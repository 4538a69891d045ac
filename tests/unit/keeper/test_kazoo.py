"""What `store/zookeeper.py` needs of kazoo beyond what kazoo offers to everybody.

A failure here says which of it a new version has not: then `_Client` and `_Connection` are to be written
anew, or pyproject.toml is to keep the version out.
"""

import inspect
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest

from kazoo.client import KazooClient
from kazoo.protocol.connection import ConnectionHandler

KAZOO = f"kazoo {version('kazoo')}"


@pytest.fixture
def client() -> Iterator[Any]:
    client = KazooClient("127.0.0.1:1")
    yield client
    client.close()


def test_a_client_has_one_connection_that_can_be_replaced(client: Any) -> None:
    connection = getattr(client, "_connection", None)
    assert isinstance(connection, ConnectionHandler), f"{KAZOO}: KazooClient._connection is {connection!r}"
    used = inspect.getsource(KazooClient.start_async)
    assert "self._connection.start()" in used, f"{KAZOO}: KazooClient does not start `_connection`"


def test_a_client_has_what_it_retries_its_connections_by(client: Any) -> None:
    retry = getattr(client, "_conn_retry", None)
    assert callable(getattr(retry, "copy", None)), f"{KAZOO}: KazooClient._conn_retry is {retry!r}"


def test_a_connection_has_its_socket(client: Any) -> None:
    assert hasattr(client._connection, "_socket"), f"{KAZOO}: ConnectionHandler._socket is gone"


def test_a_connection_is_made_by_a_method_that_says_for_how_long_to_read() -> None:
    connect = getattr(ConnectionHandler, "_connect", None)
    assert connect is not None, f"{KAZOO}: ConnectionHandler._connect is gone"
    parameters = list(inspect.signature(connect).parameters)
    assert parameters == ["self", "host", "hostip", "port"], f"{KAZOO}: _connect takes {parameters}"
    source = inspect.getsource(connect)
    assert "read_timeout = negotiated_session_timeout * 2.0 / 3.0" in source, (
        f"{KAZOO}: ConnectionHandler._connect does not read for two thirds of the session's timeout"
    )
    assert "return read_timeout, connect_timeout" in source, (
        f"{KAZOO}: ConnectionHandler._connect returns something else"
    )
