"""How secrets that sign are kept at rest: with the keys of the settings (docs/adr/0051)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from longline.model.apps import App
from longline.saver.bundle import Saver
from longline.saver.sealing import Seals
from longline.settings import Settings

PAGE: Final = 100  # apps
LOOKED_AT: Final = 1000  # apps whose secrets are tried at the start of each process of a cluster

log = structlog.get_logger("longline.node")


def seals_of(settings: Settings) -> Seals:
    """What seals and opens by these settings."""
    return Seals(settings.secrets_keys)


async def try_secrets(settings: Settings, saver: Saver, *, seal: bool) -> None:
    """Whether the keys open what is stored: raises `SecretsUnreadable` before anything is served.

    `seal`: no other process reads the store, so what is not sealed by the newest key is now. Otherwise the
    first apps are looked at; those behind them are when they are asked for.
    """
    if settings.secrets_key is None:
        log.info("secrets_in_clear", reason="secrets_key is not set: who reads the store can sign")
    elif seal:
        if changed := await seal_all(saver, lambda done: None):
            log.info("secrets_sealed", secrets=changed)
        return
    looked = 0
    async for page in _pages(saver):
        looked += len(page)
        if looked >= LOOKED_AT:
            return


async def seal_all(saver: Saver, progress: Callable[[int], None]) -> int:
    """Seals all secrets by the newest key; how many apps and webhooks were not. `progress`: apps so far."""
    changed = done = 0
    async for page in _pages(saver):
        apps = await asyncio.gather(*(saver.apps.seal(app.app) for app in page))
        webhooks = await asyncio.gather(*(saver.webhooks.seal(app.number) for app in page))
        changed += sum(apps) + sum(webhooks)
        done += len(page)
        progress(done)
    return changed


async def _pages(saver: Saver) -> AsyncIterator[list[App]]:
    after = ""
    while page := await saver.apps.list(after, PAGE):
        yield page
        after = page[-1].app
