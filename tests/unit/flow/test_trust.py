"""Authorities are read once, and hold nobody up."""

import asyncio
import ssl
import threading

import httpx
import pytest

from longline.flow.trust import Trust


async def test_the_context_is_made_once_and_not_by_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made_by: list[threading.Thread] = []

    def make() -> ssl.SSLContext:
        made_by.append(threading.current_thread())
        return ssl.create_default_context()

    monkeypatch.setattr(httpx, "create_ssl_context", make)
    trust = Trust()
    assert made_by == [], "nobody may ever call"
    first = await trust.context()
    assert await trust.context() is first
    assert len(made_by) == 1
    assert made_by[0] is not threading.current_thread()


async def test_calls_that_come_while_it_is_made_get_one_each_that_is_good() -> None:
    trust = Trust()
    for context in await asyncio.gather(trust.context(), trust.context()):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
