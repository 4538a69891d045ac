"""Secrets that sign are sealed in the store: nobody finds them there, and a key can be replaced."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from longline.errors import SecretsUnreadable
from longline.model.access import AppAccess, FormerSecret
from longline.model.apps import App
from longline.model.webhooks import Webhook
from longline.register.memory import MemoryRegister
from longline.saver.bundle import Saver
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.webhooks import WebhookChange
from longline.saver.sealing import SEALED, Seals
from longline.saver.sql.engine import SqliteSaver
from longline.settings import StoreSettings
from longline.store.redis import Store
from tests.contract.store_fixture import START, an_app
from tests.servers.shared import shared

OLD = "0123456789abcdef" * 4
NEW = "fedcba9876543210" * 4
SECRETS = ("the-device-secret-in-force", "the-one-before-it", "whsec_now", "whsec_before")

Open = Callable[..., "Kept"]


class Kept:
    """A store that is opened with one set of keys after the other, and looked at from below."""

    def __init__(self, kind: str, directory: Path, url: str) -> None:
        self.kind = kind
        self._path = directory / "db"
        self._url = url

    @asynccontextmanager
    async def opened(self, *keys: str) -> AsyncIterator[Saver]:
        seals = Seals(keys)
        if self.kind == "sqlite":
            saver = await SqliteSaver.open(self._path, locate=MemoryRegister().locate_now, seals=seals)
            yield saver
            await saver.close()
            return
        store = await Store.open(StoreSettings(url=self._url, partitions=4))
        yield await RedisSaver.open(store, seals=seals)
        await store.close()

    async def bytes(self) -> bytes:
        """All that lies there."""
        if self.kind == "sqlite":
            return b"".join(path.read_bytes() for path in self._path.parent.glob("db*"))
        store = await Store.open(StoreSettings(url=self._url, partitions=4))
        await store.call(b"p0", "CONFIG", "SET", "rdbcompression", "no")
        keys = msgspec.convert(await store.call(b"p0", "KEYS", "*"), list[bytes])
        dumped = [await store.call(b"p0", "DUMP", key) for key in keys]
        await store.close()
        return b"".join(each for each in dumped if isinstance(each, bytes))


@pytest.fixture(params=["sqlite", "redis"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    with shared("redis") as server:
        yield Kept(request.param, tmp_path, server.url)


def news() -> App:
    access = AppAccess(former_device_secret=FormerSecret(SECRETS[1], START))
    return msgspec.structs.replace(an_app("news"), device_secret=SECRETS[0], access=access)


def a_webhook(app: App) -> Webhook:
    return Webhook(
        app=app.number,
        name=app.app,
        url="https://example.org/in",
        secret=SECRETS[2],
        events=("upstream",),
        created_at=START,
        version=1,
        former_secret=FormerSecret(SECRETS[3], START),
    )


async def filled(kept: Kept, *keys: str) -> App:
    async with kept.opened(*keys) as saver:
        app = await saver.apps.create(news())
        assert await saver.webhooks.change(WebhookChange(a_webhook(app), 0))
    return app


async def has_all(saver: Saver, app: App) -> bool:
    """Whether everything is read as it was written, in each way of reading it."""
    webhook = await saver.webhooks.find(app.number)
    assert webhook is not None
    return (
        await saver.apps.find("news") == app
        and list(await saver.apps.list("", 10)) == [app]
        and list(await saver.apps.numbered([app.number])) == [app]
        and webhook[0] == a_webhook(app)
    )


async def test_no_secret_lies_in_the_store_and_all_are_read_with_the_key(kept: Kept) -> None:
    app = await filled(kept, OLD)
    stored = await kept.bytes()
    assert [secret for secret in SECRETS if secret.encode() in stored] == []
    assert b"sealed:1:" in stored
    async with kept.opened(OLD) as saver:
        assert await has_all(saver, app)


async def test_without_a_key_they_lie_in_clear_as_before(kept: Kept) -> None:
    app = await filled(kept)
    stored = await kept.bytes()
    assert [secret for secret in SECRETS if secret.encode() not in stored] == []
    async with kept.opened() as saver:
        assert await has_all(saver, app)
    async with kept.opened(NEW) as saver:
        assert await has_all(saver, app)


@pytest.mark.parametrize("keys", [(), (NEW,)])
async def test_without_the_right_key_it_is_said_which_is_missing(kept: Kept, keys: tuple[str, ...]) -> None:
    app = await filled(kept, OLD)
    said = r"of app 'news' is sealed by the key [0-9a-f]{8}, and secrets_key has"
    async with kept.opened(*keys) as saver:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: saver.apps.find("news"),
            lambda: saver.apps.list("", 10),
            lambda: saver.apps.numbered([app.number]),
            lambda: saver.apps.update(app, app),
            lambda: saver.webhooks.find(app.number),
        ]
        if keys:
            calls += [lambda: saver.apps.seal("news"), lambda: saver.webhooks.seal(app.number)]
        for call in calls:
            with pytest.raises(SecretsUnreadable, match=said):
                await call()
    async with kept.opened(OLD) as saver:
        assert await has_all(saver, app)


async def test_one_app_that_cannot_be_opened_is_no_other_ones_error(kept: Kept) -> None:
    await filled(kept, OLD)
    async with kept.opened(NEW) as saver:
        other = await saver.apps.create(an_app("maps"))
        assert await saver.apps.find("maps") == other


async def test_a_key_is_replaced_by_sealing_anew_and_the_old_one_is_not_needed_any_more(kept: Kept) -> None:
    app = await filled(kept, OLD)
    async with kept.opened(NEW, OLD) as saver:
        assert await has_all(saver, app)
        assert await saver.apps.seal("news")
        assert await saver.webhooks.seal(app.number)
        assert not await saver.apps.seal("news")
        assert not await saver.webhooks.seal(app.number)
        assert not await saver.apps.seal("nowhere")
        assert not await saver.webhooks.seal(app.number + 1)
    async with kept.opened(NEW) as saver:
        assert await has_all(saver, app)


async def test_what_lay_in_clear_is_sealed(kept: Kept) -> None:
    app = await filled(kept)
    async with kept.opened(NEW) as saver:
        assert await saver.apps.seal("news")
        assert await saver.webhooks.seal(app.number)
        assert await has_all(saver, app)
    async with kept.opened() as saver:
        with pytest.raises(SecretsUnreadable):
            await saver.apps.find("news")


async def test_a_change_compares_what_is_meant_and_not_how_it_is_sealed(kept: Kept) -> None:
    app = await filled(kept, OLD)
    async with kept.opened(NEW, OLD) as saver:
        renamed = msgspec.structs.replace(app, name="Renamed", device_secret="another-device-secret")
        assert await saver.apps.update(renamed, app)
        assert not await saver.apps.update(app, app)
        assert await saver.apps.find("news") == renamed
        webhook = msgspec.structs.replace(a_webhook(app), version=2)
        assert await saver.webhooks.change(WebhookChange(webhook, 1))
    async with kept.opened(NEW) as saver:
        assert await saver.apps.find("news") == renamed
        assert await saver.webhooks.find(app.number) is not None


def test_what_is_sealed_for_one_app_or_purpose_is_no_others() -> None:
    seals = Seals([OLD])
    sealed = seals.seal_app(news())
    assert seals.seal_app(news()).device_secret != sealed.device_secret
    with pytest.raises(SecretsUnreadable, match="was changed in the store, or is another's"):
        seals.open_app(msgspec.structs.replace(sealed, app="maps"))
    webhook = msgspec.structs.replace(a_webhook(news()), secret=sealed.device_secret)
    with pytest.raises(SecretsUnreadable, match="was changed"):
        seals.open_webhook(webhook)
    number = sealed.device_secret.removeprefix(SEALED).partition(":")[0]
    for changed in (
        sealed.device_secret[:-6] + "AAAAA=",
        sealed.device_secret[:-1],  # no base64 any more
        f"{SEALED}{number}:",  # nothing left
        f"{SEALED}{number}:AAAA",  # less than a nonce
    ):
        with pytest.raises(SecretsUnreadable):
            seals.open_app(msgspec.structs.replace(sealed, device_secret=changed))
